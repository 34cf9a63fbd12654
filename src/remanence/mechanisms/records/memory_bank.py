"""MemoryBank: a diary of exchanges, daily summaries and a portrait, forgotten along a curve that each recall flattens.

    R = exp(-t / S)        t: days since the last recall, S: strength
    on recall              S <- S + 1, t <- 0

An exchange is what somebody said and the reply of another voice. A day that is over is summed up; the summaries and
preferences of all days make an overview and a portrait. A query finds exchanges and days by cosine, and finding is a
recall. What has faded is put away: reads find it no more, the raw turns stay as evidence of what rests on them.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from itertools import accumulate, filterfalse
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Utterance
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.forgetting import THRESHOLD, forgotten, keep_best, retention, sampled
from remanence.kernels.summaries import Passage, bounded, passages
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import GONE, KEY, TURN, RecordMemory, whole
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.operations import Touch
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="memory_bank",
    substrate="records",
    title="MemoryBank",
    paper="memory_bank",
    claim="at equal size keeps more of what is still needed than forgetting the oldest or at random",
    idea="Keeps a diary with daily summaries and a portrait; what is not recalled fades, each recall makes it last.",
    equation="R = exp(-t/S);  on recall S <- S + 1, t <- 0",
    source="zhongwanjun/MemoryBank-SiliconFriend",
    can=frozenset({"update", "forget", "consolidate", "reinforce"}),
    deviations=(
        "the public code computes exp(-(t/5)*S), under which the stronger fades faster; here exp(-t/(scale*S))",
        "lets go below a retention of 0.1; drawing by chance, as published, is forgetting='sample'; capacity optional",
        "what faded is put away (state expired), the raw turns stay; t is exact and counts from when it was told",
        "without a model summaries are sentences that were said, and the portrait counts stated preferences",
        "traits, mood and how to answer are noted by a model only; exact cosine search over the given embedder",
    ),
)

EXCHANGE: Final = "exchange"
DAY: Final = "day"
OVERVIEW: Final = "overview"
TASTES: Final = (
    "likes dislikes fears eats diet allergy food drink band book series hobby instrument language goal".split()
)
BUDGETS: Final = {DAY: 100, OVERVIEW: 200}
"""Tokens of summaries made without a model; a portrait has `LINES` preferences."""
LINES: Final = 20

Forgetting = Literal["threshold", "sample", "none"]
_TEXT: Final = {"type": "string"}
_DAY_PARTS: Final = {"summary": _TEXT, "traits": {"type": "array", "items": _TEXT}}
_DAY_TASK: Final = (
    "Sum up one day of conversation in a few sentences; keep names, numbers and decisions. List, one short line each, "
    "what the day shows of the people: traits, mood, and how they would like to be answered."
)
_WHOLE_PARTS: Final = {"overview": _TEXT, "portrait": _TEXT}
_WHOLE_TASK: Final = (
    "You are given, day by day, summaries of a conversation and notes on the people in it. Write an overview of what "
    "happened over all days, and a portrait of the people: who they are, how they feel, how to answer them well."
)


class MemoryBank(RecordMemory):
    """`forgetting` says what `consolidate` lets go: what is retained by less than `threshold`, each by chance with
    probability 1 - R ("sample", seeded, one draw per exchange and calendar day), or nothing. `scale`: days that one
    unit of strength lasts (1 as published, 5 in the public code). `capacity`: exchanges kept at most. `chunk`:
    characters up to which a found exchange is shown together with its neighbours in `context`."""

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        forgetting: Forgetting = "threshold",
        threshold: float = THRESHOLD,
        scale: float = 1.0,
        capacity: int | None = None,
        chunk: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        if forgetting not in get_args(Forgetting):
            raise InvalidInput(f"forgetting={forgetting!r} is none of {', '.join(get_args(Forgetting))}")
        self.forgetting, self.threshold, self.scale, self.capacity = forgetting, threshold, scale, capacity
        self.chunk, self.seed = chunk, seed

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Exchanges at once, a day when it is over; fading only when flushed."""
        made = [*self._exchanges(now), *self._days(now, flush)]
        return [*made, *(self._fade(now) if flush else ()), *self._whole(now)]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """The nearest exchanges and days. Each that is found is recalled."""
        if not query.strip():
            return []
        vector, kinds = self.embed_query(query), (EXCHANGE, DAY)
        least = [score for _, score in self.nearest(vector, k, kinds=kinds)][-1:]
        # Equals go by id: in the index a revised record stands behind those that are younger.
        found = self.nearest(vector, 1 << 30, kinds=kinds, least=least[0]) if least else []
        hits = self.hits(sorted(found, key=lambda pair: (-pair[1], pair[0])), k, now=now)
        records = [hit.record for hit in hits if hit.record is not None]
        self.commit([Touch((record.id,), now, strength=record.strength + 1) for record in records])
        return hits

    def retained(self, records: Sequence[Record], now: datetime) -> NDArray[np.float64]:
        """[n] R = exp(-t / S) of exchanges with their counters as the store has them (`get`)."""
        since = [one.last_hit or datetime.fromisoformat(one.meta["learnt"]) for one in records]
        days = [(now - moment).total_seconds() / 86_400 for moment in since]
        return retention(days, [one.strength for one in records], self.scale)

    def context(self, query: str, k: int = 6, *, now: datetime) -> str:
        """What goes before the recent dialogue in a prompt: portrait, overview, and what a query recalls, by day."""
        current = self.current(now)
        parts = [text for one in current.of(OVERVIEW).values() for text in (one.meta["portrait"], one.text) if text]
        days: dict[str, dict[str, str]] = defaultdict(dict)
        for record in filter(None, [hit.record for hit in self.read(query, k, now=now)]):
            shown = self._neighbours(record, now) if record.kind == EXCHANGE else [record]
            days[_date(record)].update((one.id, one.text) for one in shown)
        parts += [f"{day}\n" + "\n".join(texts[id] for id in sorted(texts)) for day, texts in sorted(days.items())]
        return "\n\n".join(parts)

    def _exchanges(self, now: datetime) -> list[str]:
        """An exchange for each turn; where one answers the turn before it, that turn's exchange takes it in."""
        last: dict[str | None, str] = {}
        before: dict[str, str] = {}
        current = self.current(now)
        for turn in current.of(TURN).values():
            before[turn.id] = last.get(turn.scope.run_id, "")
            last[turn.scope.run_id] = turn.id
        groups: dict[str, list[Record]] = {}
        known: dict[str, Record] = {}
        for turn in self.open_turns(EXCHANGE, now):
            asked = current.get(before[turn.id])
            if asked is not None and _voice(asked) != _voice(turn) and _date(asked) == _date(turn):
                for id in current.citing(asked.id):
                    record = current.get(id)
                    if record and record.kind == EXCHANGE and record.text == _exchange([asked], now).text:
                        groups[asked.id], known[asked.id] = [asked], record
                if len(groups.get(asked.id, ())) == 1:
                    groups[asked.id].append(turn)
                    continue
            groups[turn.id] = [turn]
        return self._write({id: _exchange(turns, now) for id, turns in groups.items()}, known, now)

    def _days(self, now: datetime, flush: bool) -> list[str]:
        waiting: dict[str, list[Record]] = defaultdict(list)
        for turn in self.open_turns(DAY, now):
            waiting[_date(turn)].append(turn)
        if not waiting:
            return []
        current = self.current(now)
        today = max(map(_date, current.of(TURN).values()))
        known = {_date(record): record for record in current.of(DAY).values()}
        drafts: dict[str, Draft] = {}
        for date, turns in sorted(waiting.items()):
            if flush or date != today:
                said = [current.get(source.id) for source in known[date].sources] if date in known else []
                drafts[date] = self._day(date, sorted([*filter(None, said), *turns], key=lambda turn: turn.id))
        return self._write(drafts, known, now)

    def _day(self, date: str, turns: Sequence[Record]) -> Draft:
        said = [{"speaker": turn.speaker or turn.role, "text": turn.text} for turn in turns]
        answer = self._asked(_DAY_TASK, {"date": date, "conversation": said}, _DAY_PARTS)
        lines = [item for turn in turns for item in self._sentences(turn.text, _voice(turn))]
        summary = answer.get("summary", "").strip() or _gist(lines, BUDGETS[DAY]) or turns[0].text[: self.chunk]
        noted = [trait for trait in answer.get("traits", ()) if trait.strip()]
        stated = Counter(line for turn in turns for line in _preferences(turn))
        meta = {"traits": noted, "preferences": sorted(stated.items())}
        return Draft(f"{date}\n{summary}", kind=DAY, event_at=turns[0].event_at, sources=whole(*turns), meta=meta)

    def _whole(self, now: datetime) -> list[str]:
        """The overview with its portrait, where the days are other ones than those that it was made of."""
        current = self.current(now)
        days = sorted((day for day in current.of(DAY).values() if day.state != "expired"), key=_date)
        data = [{"summary": day.text, "notes": [*day.meta["traits"], *_lines(day.meta["preferences"])]} for day in days]
        mark = blake2b(json.dumps(data).encode(), digest_size=8).hexdigest()
        old = {record.kind: record for record in current.of(OVERVIEW).values()}
        ids = {day.id for day in days}
        refused = any(ids <= {source.id for source in gone.sources} for gone in current.of(GONE).values())
        if not days or refused or (old and old[OVERVIEW].meta["of"] == mark):
            return []
        answer = self._asked(_WHOLE_TASK, {"days": data}, _WHOLE_PARTS)
        lines = [item for day in days for line in day.text.split("\n")[1:] for item in self._sentences(line)]
        counts = Counter(trait for day in days for trait in day.meta["traits"])
        for day in days:
            counts.update(dict(day.meta["preferences"]))
        text = answer.get("overview", "").strip() or _gist(lines, BUDGETS[OVERVIEW]) or days[-1].text
        portrait = answer.get("portrait", "").strip() or "\n".join(_lines(counts.items())[:LINES])
        meta = {"of": mark, "portrait": portrait}
        made = Draft(text, kind=OVERVIEW, event_at=days[-1].event_at, sources=whole(*days), meta=meta)
        return self._write({OVERVIEW: made}, old, now)

    def _write(self, drafts: Mapping[str, Draft], known: Mapping[str, Record], now: datetime) -> list[str]:
        """Keep drafts, those that have a known record of the same name in its place; ids."""
        changed = {known[name].id: draft for name, draft in drafts.items() if name in known}
        self.revise(changed, now)
        return [*changed, *self.keep([draft for name, draft in drafts.items() if name not in known], now)]

    def _fade(self, now: datetime) -> list[str]:
        current = self.current(now)
        held = [*filter(None, self.get(list(current.of(EXCHANGE))))]
        left = self.retained(held, now)
        kept = alive = np.array([record.state != "expired" for record in held], bool)
        if self.forgetting == "threshold":
            kept = alive & ~forgotten(left, self.threshold)
        elif self.forgetting == "sample":
            kept = alive & ~sampled(left, random.Random(f"{self.seed}:{now.date().isoformat()}"))
        if self.capacity is not None:
            rows = np.flatnonzero(kept)
            kept = kept & np.isin(np.arange(len(kept)), rows[keep_best(left[rows], self.capacity)])
        faded = [record for record, was, stays in zip(held, alive, kept, strict=True) if was and not stays]
        lived = {_date(record) for record, stays in zip(held, kept, strict=True) if stays}
        empty = {_date(record) for record in faded} - lived
        faded += [day for day in current.of(DAY).values() if _date(day) in empty and day.state != "expired"]
        self.revise({record.id: replace(self.redrafted(record), state="expired") for record in faded}, now)
        return [record.id for record in faded]

    def _neighbours(self, record: Record, now: datetime) -> list[Record]:
        """An exchange with those around it in its session and day, nearest first, while they fit into `chunk`."""
        place = (record.meta["session"], _date(record), record.state)
        exchanges = self.current(now).of(EXCHANGE).values()
        near = [one for one in exchanges if (one.meta["session"], _date(one), one.state) == place]
        at = [one.id for one in near].index(record.id)
        order = sorted(range(len(near)), key=lambda i: (abs(i - at), i))
        lengths = accumulate(len(near[i].text) for i in order)
        return [near[i] for i, length in zip(order, lengths, strict=True) if i == at or length <= self.chunk]

    def _asked(self, task: str, material: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the model answers, by part; nothing without a model or when it fails."""
        schema = {"type": "object", "additionalProperties": False, "required": list(parts), "properties": parts}
        return self.ask(task, material, schema) or {}

    def _sentences(self, text: str, voice: str = "") -> list[Passage]:
        items = passages("", text, lambda line: filterfalse(is_stopword, self.analyzer.terms(line)), prefix=voice)
        return [replace(item, text=voice + item.text) for item in items]


def _gist(items: Sequence[Passage], budget: int) -> str:
    return "\n".join(item.text for item in bounded(items, budget))


def _date(record: Record) -> str:
    return record.event_at.date().isoformat()


def _voice(turn: Record) -> str:
    who = turn.speaker or turn.role
    return f"{who}: " if who else ""


def _exchange(turns: Sequence[Record], now: datetime) -> Draft:
    text = "\n".join(_voice(turn) + turn.text for turn in turns)
    # Counted from when it was told, so that a history of old talks does not fade as it comes in.
    meta = {KEY: f"{_date(turns[0])}. {text}", "session": turns[0].scope.run_id, "learnt": now.isoformat()}
    return Draft(text, kind=EXCHANGE, event_at=turns[0].event_at, sources=whole(*turns), meta=meta)


def _preferences(turn: Record) -> list[str]:
    """What a turn says somebody likes, fears, eats or means to do, in sentences."""
    said = extract(Utterance(turn.id, turn.text, turn.event_at, turn.speaker, turn.role))
    return [
        attribute(claim.attribute).sentence(claim.subject, claim.value, polarity=claim.polarity)
        for claim in said
        if claim.attribute in TASTES and claim.value and claim.act in ("state", "change")
    ]


def _lines(counts: Iterable[Sequence[Any]]) -> list[str]:
    """Lines, those said most often first, with how often where that is more than once."""
    ranked = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    return [line if count == 1 else f"{line} ({count} times)" for line, count in ranked]
