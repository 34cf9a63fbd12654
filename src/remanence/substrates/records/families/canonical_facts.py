"""A base for record mechanisms that keep each fact once: chunks of turns, the facts in them, and their occurrences.

A chunk is at most two turns that follow each other in a session. With a model, it lists the facts of each chunk; of a
turn that it takes nothing from, and without a model of every turn, what was said is the fact: with its speaker, and its
dates spelt out. A fact that is said again becomes a further source of the one that is known, so that forgetting one of
the two turns keeps it.
"""

from __future__ import annotations

from abc import ABC
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from remanence.core.clock import EPOCH, parse_time
from remanence.core.errors import InvalidTime
from remanence.kernels.duplicates import canonical, differs
from remanence.kernels.names import name_key, names
from remanence.kernels.segmentation import TURN_OF_TALK
from remanence.kernels.timex import mentions_time, resolve
from remanence.substrates.records.base import RecordMemory
from remanence.substrates.records.families.distilling import NUMBERS, TEXT, fields, numbered, spoken
from remanence.substrates.records.model import Draft, Record, Source

__all__ = ["FACT", "FactMemory", "chunks", "entities", "until"]

FACT: Final = "fact"
ALIKE: Final = 0.93
"""Cosine from which a model is asked whether two facts are one."""
NEAR: Final = 8
CHECKED: Final = 4
CHUNK: Final = 8000
"""Characters of a chunk, and of the part of a long turn that is a fact."""
TURNS: Final = 2
BREAK: Final = timedelta(hours=6)
PER_TURN: Final = 15
_DATED: Final = 5000
"""Characters up to which times in a text are looked for."""
FACTS: Final = fields(
    facts={
        "type": "array",
        "items": fields(text=TEXT, messages=NUMBERS, entities={"type": "array", "items": TEXT}, start=TEXT, end=TEXT),
    }
)
SAME: Final = fields(same=TEXT)
_EXTRACT: Final = (
    "List the facts in these messages, at most fifteen, of which at most two from an assistant. Each stands alone, in "
    "the third person, with dates instead of words like yesterday; what is only mentioned together is split. Name the "
    "numbers of its messages, its entities, and when it holds as ISO dates (empty if unknown)."
)
_EQUAL: Final = (
    "Is the new statement the same fact as one of the candidates? Then give that id, else an empty text. Another date, "
    "quantity or role makes another fact."
)


_words = lru_cache(maxsize=1 << 14)(canonical)


class FactMemory(RecordMemory, ABC):
    """Records of kind `FACT`. Their `meta`: `until` (`event_at` is when they begin), `entities` (normal form),
    `sessions` that they were told in, and whether the `user` told them."""

    def learn_facts(self, now: datetime) -> list[str]:
        """Take in the turns that no fact rests on yet; ids of the facts that were made or said again."""
        turns = self.open_turns(FACT, now)
        if not turns:
            return []
        known: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in self.current(now).of(FACT).values():
            known[_words(record.text)].append(record)
        fresh: dict[tuple[str, ...], list[int]] = defaultdict(list)
        drafts: list[Draft] = []
        again: dict[str, Draft] = {}
        for draft in (one for chunk in chunks(turns, TURNS) for one in self._facts_of(chunk)):
            words = _words(draft.text)
            old = next((one for one in known[words] if _same(one, draft)), None) or self._equal(draft)
            if old is not None:
                again[old.id] = _joined(again.get(old.id) or self.redrafted(old), draft)
            elif (at := next((at for at in fresh[words] if _same(drafts[at], draft)), None)) is not None:
                drafts[at] = _joined(drafts[at], draft)
            else:
                fresh[words].append(len(drafts))
                drafts.append(draft)
        if again:
            self.revise(again, now)
        return [*again, *(self.keep(drafts, now) if drafts else ())]

    def _facts_of(self, chunk: Sequence[Record]) -> list[Draft]:
        answer = self.ask(_EXTRACT, {"messages": numbered(chunk)}, FACTS)
        found = []
        for one in [] if answer is None else answer["facts"][:PER_TURN]:
            turns = [chunk[number - 1] for number in dict.fromkeys(one["messages"]) if 1 <= number <= len(chunk)]
            if turns and one["text"].strip():
                start = _time(one["start"]) or turns[0].event_at
                end = max(start, _time(one["end"]) or start)
                sources = [Source(turn.id, 0, len(turn.text)) for turn in turns]
                found.append(_fact(one["text"].strip(), start, end, turns, sources, one["entities"]))
        told = {source.id for draft in found for source in draft.sources}
        return found + [_said(turn, *span) for turn in chunk if turn.id not in told for span in _pieces(turn.text)]

    def _equal(self, draft: Draft) -> Record | None:
        """The known fact that a model takes for the same one."""
        if self.llm is None:
            return None
        near = self.nearest(draft.text, NEAR, kinds=(FACT,), least=ALIKE)[:CHECKED]
        shown = {one.id: one for one in self.get([id for id, _ in near]) if one is not None} if near else {}
        material = {"new": draft.text, "candidates": {id: one.text for id, one in shown.items()}}
        answer = self.ask(_EQUAL, material, SAME) if shown else None
        return None if answer is None else shown.get(answer["same"])


def chunks(turns: Sequence[Record], most: int) -> list[list[Record]]:
    """Turns in chunks of at most `most` that follow each other in one session, without a long break, and without words
    that announce another subject."""
    found: list[list[Record]] = []
    last: dict[str | None, list[Record]] = {}
    for turn in turns:
        chunk = last.get(turn.scope.run_id)
        if (
            chunk is None
            or len(chunk) >= most
            or sum(len(one.text) for one in chunk) + len(turn.text) > CHUNK
            or abs(turn.event_at - chunk[-1].event_at) > BREAK
            or TURN_OF_TALK.search(turn.text[:CHUNK])
        ):
            found.append([])
            chunk = last[turn.scope.run_id] = found[-1]
        chunk.append(turn)
    return found


def entities(facts: Iterable[Record], least: int, sessions: int) -> dict[str, list[Record]]:
    """The facts that mention each entity that is in at least `least` of them, from at least so many sessions."""
    mentions: dict[str, list[Record]] = defaultdict(list)
    for fact in facts:
        for entity in fact.meta["entities"]:
            mentions[entity].append(fact)
    return {
        entity: found
        for entity, found in mentions.items()
        if len(found) >= least and len({session for fact in found for session in fact.meta["sessions"]}) >= sessions
    }


def until(fact: Record | Draft) -> datetime:
    """When what a fact says is over, as far as it says so."""
    return datetime.fromisoformat(fact.meta["until"])


def _said(turn: Record, start: int, end: int) -> Draft:
    """What a turn says at `start:end`, at the time that it names first, else when it was said."""
    piece = replace(turn, text=turn.text[start:end])
    spans = resolve(piece.text, turn.event_at) if end - start <= _DATED and mentions_time(piece.text) else []
    begins, ends = (spans[0].start, spans[0].end) if spans else (turn.event_at, turn.event_at)
    return _fact(spoken(piece), begins, ends, [turn], [Source(turn.id, start, end)])


def _fact(
    text: str,
    start: datetime,
    end: datetime,
    turns: Sequence[Record],
    sources: Sequence[Source],
    known: Sequence[str] = (),
) -> Draft:
    called = [*names(text[:CHUNK]), *(turn.speaker for turn in turns if turn.speaker), *known]
    meta = {
        "until": end.isoformat(),
        "entities": sorted({key for name in called if (key := name_key(name))}),
        "sessions": sorted({turn.scope.run_id or "" for turn in turns}),
        "user": any(turn.role == "user" for turn in turns),
    }
    return Draft(text, kind=FACT, event_at=start, sources=tuple(sources), meta=meta)


def _same(one: Record | Draft, other: Draft) -> bool:
    """Whether nothing but form tells two facts apart."""
    times = one.event_at or EPOCH, other.event_at or EPOCH
    return one.text == other.text or differs(one.text, other.text, *times) is None


def _joined(fact: Draft, again: Draft) -> Draft:
    """A fact with one more occurrence."""
    meta: dict[str, Any] = {**fact.meta, "user": fact.meta["user"] or again.meta["user"]}
    for name in ("entities", "sessions"):
        meta[name] = sorted({*fact.meta[name], *again.meta[name]})
    return replace(fact, sources=tuple(dict.fromkeys((*fact.sources, *again.sources))), meta=meta)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Spans of at most `CHUNK` characters, cut between words where there are words."""
    start = 0
    while start < len(text):
        end = min(start + CHUNK, len(text))
        cut = text.rfind(" ", start + 1, end) if end < len(text) else end
        end = cut if cut > start else end
        yield start, end
        start = end


def _time(text: str) -> datetime | None:
    """A time that a model gives; None where it is none."""
    try:
        return parse_time(text)
    except InvalidTime:
        return None
