"""A base for record mechanisms that distil turns into statements and cut conversations into episodes.

`learn` takes what turns state into a notebook of records. Whatever a turn did is written down as what rests on it: the
record that it made, supported, rewrote or put away names it as a source, and a mark names the turns that were read and
every record that they touched. So to forget a turn is to take back all it did: what rests on it is closed, marks on
what was closed open their turns again, and these are read once more without it.
"""

from __future__ import annotations

from abc import ABC
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.claims.model import Utterance
from remanence.kernels.novelty import THRESHOLD, WINDOW, Entry, Notebook, Statement, read
from remanence.kernels.quantize import dequantize, quantize
from remanence.kernels.segmentation import Beat, Segmenter, Settings, ranges
from remanence.kernels.summaries import passages, summarise
from remanence.kernels.timex import mentions_time, resolve
from remanence.substrates.chat import Schema
from remanence.substrates.records.base import GONE, TURN, RecordMemory, whole
from remanence.substrates.records.model import Draft, Record, Source, State

__all__ = [
    "NUMBERS",
    "TEXT",
    "Distiller",
    "Lesson",
    "fields",
    "numbered",
    "spoken",
    "statement_of",
    "title_of",
    "written",
]

_READ = 5000
"""Characters of a turn that are looked at for a title; longer texts are documents."""
_SHORT = 3
_DATED = frozenset(("day", "week", "weekend", "month", "quarter", "season", "year", "range"))
TEXT: Schema = {"type": "string"}
NUMBERS: Schema = {"type": "array", "items": {"type": "integer"}}
Lesson = tuple[Sequence[Record], Sequence[Statement]]
"""Turns that were read, and what was found in them."""


class Distiller(RecordMemory, ABC):
    """Statements of kind `STATED`, and marks of kind `marker` on the turns that were read for them."""

    STATED: ClassVar[str]

    @property
    def marker(self) -> str:
        """Kind of the marks: `open_turns` of it are the turns that were not read yet."""
        return f"{self.STATED}_read"

    def details(self, statement: Statement) -> Mapping[str, Any]:
        """Further `meta` of the record of a statement."""
        return {}

    def stated_in(self, turns: Sequence[Record], now: datetime) -> list[list[Statement]]:
        """What each turn states, by rules; the turns before it in its session are context."""
        places = self._places(now)
        found: dict[str, list[Statement]] = {}
        for run in self._runs(turns, places):
            session = places[1][run[0].scope.run_id]
            start = places[0][run[0].id]
            context = session[max(0, start - WINDOW) : start]
            utterances = [_utterance(turn) for turn in (*context, *run)]
            found.update(zip((turn.id for turn in run), read(utterances, len(context)), strict=True))
        return [found[turn.id] for turn in turns]

    def extracted(self, turns: Sequence[Record], now: datetime) -> list[list[Statement]]:
        """What is noted of each turn when it is first read: all that it states."""
        return self.stated_in(turns, now)

    def learn(
        self,
        lessons: Sequence[Lesson],
        now: datetime,
        *,
        threshold: float = THRESHOLD,
        edits: bool = True,
        beside: Literal["everything", "earlier", "nothing"] = "everything",
    ) -> list[str]:
        """Take lessons into the notebook, in order; ids of the statements that were made or changed.

        Args:
            lessons: what to learn; their turns count as read afterwards.
            now: the time of the call.
            threshold: cosine from which free words may mean the same.
            edits: whether news rewrites or puts away what is known.
            beside: what a statement is compared with: all that is known, what was known before its lesson, or nothing
                (then every statement is news, unless the very same words were read before).

        """
        current = self.current(now)
        known = current.of(self.STATED)
        forgotten = {
            tuple(source)
            for mark in current.of(GONE).values()
            if mark.meta["kind"] == self.STATED
            for source in mark.sources
        }
        notebook = Notebook(self.embedder.space.dim, threshold=threshold, edits=edits)
        for record, vector in zip(known.values(), self.vectors_of(list(known)), strict=True):
            notebook.add(_entry(record), vector)
        vectors = iter(self._vectors([one.text for _, statements in lessons for one in statements]))
        touched: list[list[Entry]] = []
        for _, statements in lessons:
            until = {"everything": None, "earlier": len(notebook.entries), "nothing": 0}[beside]
            mine: dict[int, Entry] = {}
            for statement in statements:
                vector = next(vectors)
                if not forgotten.issuperset(statement.spans):
                    mine.update((id(one), one) for one in notebook.take(statement, vector, until))
            touched.append(list(mine.values()))
        fresh = [entry for entry in notebook.entries if entry.id is None]
        for entry, made in zip(fresh, self.keep([self._draft(entry) for entry in fresh], now), strict=True):
            entry.id = made
        changed = {
            entry.id: self._draft(entry, known[entry.id])
            for entry in notebook.entries
            if entry.changed and entry.id is not None and entry.id in known
        }
        if changed:
            self.revise(changed, now)
        self._mark([(turns, mine) for (turns, _), mine in zip(lessons, touched, strict=True) if turns], now)
        return [entry.id for entry in fresh if entry.id is not None] + list(changed)

    def segments(
        self, kind: str, now: datetime, settings: Settings, *, flush: bool = False
    ) -> list[tuple[list[Record], bool]]:
        """Stretches of turns that no record of `kind` rests on, cut into episodes; whether each is complete.

        The last stretch of a session is complete when another one follows, when silence followed it, or with `flush`.
        """
        turns = self.open_turns(kind, now)
        places = self._places(now)
        everything = list(self.current(now).of(TURN).values())
        # For each place the latest time at or after it: whether anything was said long after an open stretch.
        latest: dict[str, datetime] = {}
        newest = everything[-1].event_at if everything else now
        for turn in reversed(everything):
            newest = max(newest, turn.event_at)
            latest[turn.id] = newest
        stretches: list[tuple[list[Record], list[Record], bool]] = []
        for run in self._runs(turns, places):
            session = places[1][run[0].scope.run_id]
            start = places[0][run[0].id]
            tail = places[0][run[-1].id] == len(session) - 1
            complete = flush or not tail or latest[run[-1].id] >= run[-1].event_at + settings.gap
            stretches.append((session[max(0, start - settings.reach) : start], run, complete))
        beats = self._beats({turn.id: turn for context, run, _ in stretches for turn in (*context, *run)})
        found: list[tuple[list[Record], bool]] = []
        for context, run, complete in stretches:
            segmenter = Segmenter(settings, begun=len(context))
            for turn in (*context, *run):
                segmenter.push(beats[turn.id])
            cuts = ranges([start - len(context) for start in segmenter.starts], len(run))
            found += [(run[cut.start : cut.stop], complete or cut.stop < len(run)) for cut in cuts]
        return found

    def _beats(self, turns: Mapping[str, Record]) -> dict[str, Beat]:
        vectors = self.vectors_of(list(turns)) if turns else ()
        streams = self.analyzer.terms_many([turn.text for turn in turns.values()])
        return {
            turn.id: Beat(turn.text, [term for term in terms if not is_stopword(term)], vector, turn.event_at)
            for turn, terms, vector in zip(turns.values(), streams, vectors, strict=True)
        }

    def _places(self, now: datetime) -> tuple[dict[str, int], dict[str | None, list[Record]]]:
        """The place of each turn in its session, and the turns of each session in order of creation."""
        turns = self.current(now).of(TURN)

        def make() -> tuple[dict[str, int], dict[str | None, list[Record]]]:
            places: dict[str, int] = {}
            sessions: dict[str | None, list[Record]] = {}
            for turn in turns.values():
                session = sessions.setdefault(turn.scope.run_id, [])
                places[turn.id] = len(session)
                session.append(turn)
            return places, sessions

        return self.cached("distilling:places", make)

    @staticmethod
    def _runs(
        turns: Sequence[Record], places: tuple[dict[str, int], dict[str | None, list[Record]]]
    ) -> list[list[Record]]:
        """Turns in stretches that follow each other in one session without a gap."""
        sessions: dict[str | None, list[Record]] = {}
        for turn in turns:
            sessions.setdefault(turn.scope.run_id, []).append(turn)
        runs: list[list[Record]] = []
        for members in sessions.values():
            ordered = sorted(members, key=lambda turn: places[0][turn.id])
            runs.append(ordered[:1])
            for before, turn in pairwise(ordered):
                if places[0][turn.id] != places[0][before.id] + 1:
                    runs.append([])
                runs[-1].append(turn)
        return sorted(runs, key=lambda run: run[0].id)

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors as the store will have them, [n, dim]; zeros where the embedder fails, so that words alone count."""
        if not texts:
            return np.zeros((0, self.embedder.space.dim), np.float32)
        try:
            return dequantize(*quantize(self.embedder.embed(texts)))
        except EmbeddingError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            return np.zeros((len(texts), self.embedder.space.dim), np.float32)

    def _draft(self, entry: Entry, old: Record | None = None) -> Draft:
        said = entry.statement
        meta = {
            **({} if old is None else old.meta),
            **self.details(said),
            "subject": said.subject,
            "attribute": said.attribute,
            "value": said.value,
            "holds": said.holds,
            "last": said.at.isoformat(),
        }
        state: State = "generated" if entry.live else "archived"
        sources = tuple(Source(*span) for span in entry.spans)
        if old is not None:
            return replace(self.redrafted(old), text=said.text, sources=sources, meta=meta, state=state)
        return Draft(said.text, kind=self.STATED, event_at=entry.first, sources=sources, meta=meta, state=state)

    def _mark(self, read_turns: Sequence[tuple[Sequence[Record], Sequence[Entry]]], now: datetime) -> None:
        marks = []
        for turns, entries in read_turns:
            rests = tuple(Source(entry.id, 0, len(entry.statement.text)) for entry in entries if entry.id is not None)
            marks.append(Draft("read", kind=self.marker, event_at=turns[-1].event_at, sources=(*whole(*turns), *rests)))
        if marks:
            self.keep(marks, now)


def fields(**properties: Any) -> Schema:
    """The schema of an object that has just these fields."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def numbered(turns: Sequence[Record]) -> list[dict[str, Any]]:
    """Turns as a model is shown them, with numbers from 1 that it may name."""
    return [
        {"number": number, "at": turn.event_at.isoformat(), "speaker": turn.speaker or turn.role, "text": turn.text}
        for number, turn in enumerate(turns, 1)
    ]


def written(rows: Sequence[Mapping[str, Any]], turns: Sequence[Record]) -> list[Statement]:
    """Statements that a model wrote about numbered turns: `statement`, and the `messages` that it rests on; all of
    them where it names none that it was shown."""
    found = []
    for row in rows:
        cited = [turns[number - 1] for number in dict.fromkeys(row["messages"]) if 1 <= number <= len(turns)]
        spans = tuple((turn.id, 0, len(turn.text)) for turn in cited or turns)
        if row["statement"].strip():
            found.append(Statement(row["statement"].strip(), turns[-1].event_at, spans))
    return found


def title_of(analyzer: Analyzer, turns: Sequence[Record]) -> str:
    """The pair of neighbouring words that was said most, or the word, and the day; without the speakers' names."""
    called = {term for turn in turns if turn.speaker for term in analyzer.terms(turn.speaker)}
    counts: Counter[str] = Counter()
    for turn in turns:
        words, terms = analyzer.words(turn.text[:_READ]), analyzer.terms(turn.text[:_READ])
        kept = [
            None if is_stopword(term) or term in called or len(term) < _SHORT else word
            for word, term in zip(words, terms, strict=False)
        ]
        counts.update(f"{one} {other}" for one, other in pairwise(kept) if one and other)
        counts.update(word for word in kept if word)
    day = f"{turns[0].event_at:%Y-%m-%d}"
    if not counts:
        return f"Conversation of {day}"
    # Two words say more than one: a pair counts for as much as two of them.
    best = max(counts, key=lambda words: counts[words] * (2 if " " in words else 1))
    return f"{best[0].upper()}{best[1:]}, {day}"


def summary_of(analyzer: Analyzer, turns: Sequence[Record], budget: int) -> str:
    """Sentences of turns that sum them up within a budget of tokens."""

    def terms(text: str) -> list[str]:
        return [term for term in analyzer.terms(text) if not is_stopword(term)]

    items = [item for turn in turns for item in passages(turn.id, turn.text, terms)]
    return " ".join(items[place].text for place in summarise(items, budget))


def spoken(turn: Record) -> str:
    """What a turn says, by whom, with its relative times resolved: "Ana: we met yesterday (2024-05-01)"."""
    text = turn.text
    if len(text) <= _READ and mentions_time(text):
        for span in reversed(resolve(text, turn.event_at)):
            if span.kind in _DATED:
                end = span.end - timedelta(microseconds=1)
                days = f"{span.start:%Y-%m-%d}" + (f" to {end:%Y-%m-%d}" if end.date() > span.start.date() else "")
                text = f"{text[: span.end_char]} ({days}){text[span.end_char :]}"
    return f"{turn.speaker}: {text}" if turn.speaker else text


def statement_of(record: Record) -> Statement:
    """The statement that a record holds."""
    meta = record.meta
    return Statement(
        record.text,
        datetime.fromisoformat(meta["last"]),
        tuple((source.id, source.start, source.end) for source in record.sources),
        meta["subject"],
        meta["attribute"],
        meta["value"],
        meta["holds"],
    )


def _entry(record: Record) -> Entry:
    statement = statement_of(record)
    return Entry(
        statement,
        record.id,
        record.state != "archived",
        spans=dict.fromkeys(statement.spans),
        first=record.event_at,
    )


def _utterance(turn: Record) -> Utterance:
    return Utterance(turn.id, turn.text, turn.event_at, turn.speaker or turn.role, turn.role)
