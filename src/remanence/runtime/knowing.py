"""What is known, and why: profiles, time lines, and the whole lineage of one memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from remanence.core.errors import InvalidInput
from remanence.core.ids import decode, is_ulid
from remanence.core.scope import Scope
from remanence.kernels.claims.answers import Known
from remanence.kernels.claims.ontology import FAVOURITE, attribute
from remanence.kernels.names import name_key
from remanence.kernels.truth import LONG_AGO
from remanence.runtime import reading
from remanence.runtime.arguments import Time, memory_id_of, moment_of
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.book import Fact, fact_of
from remanence.runtime.enrichment.handler import newest_versions
from remanence.runtime.maintenance import histories
from remanence.runtime.resilience import Resilient
from remanence.runtime.results import item, stamp
from remanence.substrates.records.model import DERIVED_KINDS, Record, View
from remanence.substrates.records.operations import Edges, Find, History
from remanence.substrates.records.scope_index import ScopeIndex, who_speaks

__all__ = ["explain", "known", "ledger", "profile", "timeline"]

PREFERENCES: Final = frozenset(("likes", "dislikes", "food", "drink", "band", "diet"))
"""Attributes that are preferences, besides favourites of any sort."""
_SUPERSEDES: Final = "supersedes"
_SAMPLE: Final = 64
"""Turns at each end of a scope by which it is known who says "I" in it."""
_DEEPEST: Final = 32

Row = dict[str, Any]


def known(record: Record) -> Known | None:
    """The newest version of a fact as a ledger needs it; None where it no longer counts, or is no fact."""
    fact = fact_of(record)
    return None if fact is None or fact.deleted or record.hidden or not fact.value else _known(fact)


def ledger(engine: Engine, scope: Scope, view: View) -> tuple[list[Known], tuple[str, ...]]:
    """The facts of a scope as they were known at `view.known_at`, and the name that "I" stands for if there is one.

    Superseded, ended and retracted facts are among them; deleted ones and those put away are not.
    """
    facts = [fact for fact in _facts(engine, scope, view) if not fact.record.hidden and fact.value]
    # Whoever asks for these facts is about to search the index of the scope.
    index = engine.index(scope, Resilient(engine.embedder, engine.breaker).space)
    return [_known(fact) for fact in facts], _me_by(index, View(view.now))


def profile(engine: Engine, scope: Scope, subject: str | None, view: View, limit: int) -> Row:
    """What holds of somebody: rows for `static`, `current`, `preferences` and `instructions`, each with its sources.

    See `Memory.profile`. Raises `InvalidInput` for a subject that is no name.
    """
    wanted = _word(subject, "subject", "Ana") or (_me(engine, scope, view) or (None,))[0]
    moment = view.as_of or view.now
    found: Sequence[Record]
    (found,) = engine.read([Find(view, kinds=("fact", "instruction"), limit=None)], scope)
    groups: dict[str, list[Record]] = {"static": [], "current": [], "preferences": [], "instructions": []}
    for record in found:
        if record.hidden or record.valid_from > moment:
            continue
        if record.kind == "instruction":
            groups["instructions"].append(record)
            continue
        fact = fact_of(record)
        if fact is not None and fact.value and not fact.retracted and _is_about(fact, wanted):
            groups[_group(record.meta["attribute"])].append(record)
    for name, records in groups.items():
        records.sort(key=lambda one: (str(one.meta.get("attribute", "")), one.valid_from, one.id))
        groups[name] = records[:limit]
    shown = [record for records in groups.values() for record in records]
    quotes = _Quotes(engine, scope, shown)
    return {
        "subject": wanted,
        **{name: [_row(record, quotes) for record in records] for name, records in groups.items()},
        "updated_at": max((stamp(record.recorded_at) for record in shown), default=None),
    }


def timeline(
    engine: Engine,
    scope: Scope,
    view: View,
    *,
    subject: str | None = None,
    attribute: str | None = None,
    since: Time | None = None,
    until: Time | None = None,
    limit: int = 100,
) -> Row:
    """What was true when, as rows in order of `since`. See `Memory.timeline`.

    Raises `InvalidInput` for a subject or an attribute that is no word, `InvalidTime` for a time that is none.
    """
    wanted, attribute = _word(subject, "subject", "Ana"), _word(attribute, "attribute", "home_city")
    start, end = moment_of(since), moment_of(until)
    if start is not None and end is not None and end <= start:
        raise InvalidInput(f"until={until!r} is not after since={since!r}")
    found = [
        fact.record
        for fact in _facts(engine, scope, view)
        if not fact.retracted and not fact.record.hidden and _is_about(fact, wanted)
        if attribute is None or fact.record.meta["attribute"] == attribute
        if start is None or fact.record.valid_to is None or fact.record.valid_to > start
        if end is None or fact.record.valid_from < end
        if view.as_of is None or fact.record.valid_from <= view.as_of
    ]
    found.sort(key=lambda one: (one.valid_from, one.event_at, one.id))
    quotes = _Quotes(engine, scope, found[:limit])
    rows = [_row(record, quotes) | {"known_since": stamp(record.recorded_at)} for record in found[:limit]]
    return {"subject": wanted, "results": rows, "more": len(found) > limit}


def explain(engine: Engine, memory_id: str, scope: Scope) -> Row:
    """The lineage of one memory. See `Memory.explain`.

    `sources` is a tree down to what was said, `derived` and `dependents` are trees of what rests on it. Raises
    `NotFound`, also for what was erased: nothing is left of it to explain.
    """
    memory_id = memory_id_of(memory_id)
    versions: Sequence[Record]
    (versions,) = engine.read([History(memory_id)], scope)
    lineage = _Lineage(engine, scope)
    newest = versions[-1]
    return {
        "memory": item(newest),
        "origin": newest.origin,
        "trust": newest.trust,
        "deleted": newest.closed_at is not None,
        "status": _status(newest),
        "sources": lineage.sources(newest),
        "derived": [row for row in lineage.resting(memory_id) if row["origin"]],
        "dependents": [row for row in lineage.resting(memory_id) if not row["origin"]],
        "ended": lineage.ended_by(memory_id),
        "supersedes": lineage.chain(memory_id, forwards=True),
        "superseded_by": lineage.chain(memory_id, forwards=False),
        "stale_because": [lineage.brief(id) for id in newest.meta.get("stale_because", ())],
        "changes": list(reading.history(engine, memory_id, scope)),
    }


def _word(value: object, name: str, example: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise InvalidInput(f"{name}={value!r} must be a word such as {example!r}; leave it out for all")
    return value


def _is_about(fact: Fact, subject: str | None) -> bool:
    if subject is None:
        return True
    own = str(fact.record.meta["subject"])
    return own == subject or (bool(name_key(subject)) and name_key(own) == name_key(subject))


def _group(key: str) -> str:
    if key in PREFERENCES or key.startswith(FAVOURITE):
        return "preferences"
    return "static" if attribute(key).static else "current"


def _known(fact: Fact) -> Known:
    record = fact.record
    meta = record.meta
    sources = tuple(dict.fromkeys(source.id for source in record.sources))
    first = next(iter(sources), record.id)
    return Known(
        id=record.id,
        subject=meta["subject"],
        attribute=meta["attribute"],
        value=fact.value,
        polarity=meta["polarity"],
        status=meta["status"],
        valid_from=record.valid_from,
        valid_to=record.valid_from if fact.retracted else record.valid_to,
        confidence=meta["confidence"],
        sources=sources,
        order=decode(first) >> 64 if is_ulid(first) else 0,
        ended_by=meta.get("ended_by", ""),
    )


def _facts(engine: Engine, scope: Scope, view: View) -> list[Fact]:
    """Facts as they were known at a time, retracted ones included and deleted ones not, by id."""
    found: Sequence[Record]
    (found,) = engine.read([Find(View(view.now), kinds=("fact",), limit=None, closed=True)], scope)
    known_at = view.known_at
    if known_at is not None:
        ids = [record.id for record in found]
        believed = (_at(versions, known_at) for versions in histories(engine, ids, scope))
        found = [record for record in believed if record is not None]
    facts = (fact_of(record) for record in found)
    return [fact for fact in facts if fact is not None and not fact.deleted and (fact.open or fact.said)]


def _at(versions: Sequence[Record], known_at: datetime) -> Record | None:
    """The version that was the newest at a time, closed only if that was known then."""
    past = [version for version in versions if version.recorded_at <= known_at]
    if not past:
        return None
    newest = past[-1]
    return (
        newest
        if newest.closed_at is None or newest.closed_at <= known_at
        else replace(newest, closed_at=None, ended_at=None)
    )


def _me(engine: Engine, scope: Scope, view: View) -> tuple[str, ...]:
    """The name of the only one who says "I" as the user; none where several do."""
    asked = [Find(View(view.now), limit=_SAMPLE, newest_first=newest, derived=False) for newest in (False, True)]
    first, last = engine.read(asked, scope)
    turns = [turn for turn in (*first, *last) if turn.role == "user"]
    return _only_name(who_speaks(turn.speaker, turn.role, turn.scope) for turn in turns)


def _me_by(index: ScopeIndex, view: View) -> tuple[str, ...]:
    """`_me` from the index of a scope, without asking the store for records."""
    with index.lock:
        visible = index.visible(view, hidden=True)
        rows = range(len(index)) if visible is None else np.flatnonzero(visible).tolist()
        rows = sorted(rows, key=index.ids.__getitem__)
        turns = (*rows[:_SAMPLE], *reversed(rows[-_SAMPLE:]))
        return _only_name(index.speakers[index.speaker[row]] for row in turns if index.is_user[row])


def _only_name(spoken: Iterable[str]) -> tuple[str, ...]:
    names = {name_key(name): name for name in spoken if name}
    return tuple(names.values()) if len(names) == 1 else ()


def _status(record: Record) -> str | None:
    status = record.meta.get("status")
    if record.closed_at is not None and status != "retracted":
        return "deleted"
    return status if isinstance(status, str) else None


def _row(record: Record, quotes: _Quotes) -> Row:
    meta = record.meta
    fact = fact_of(record)
    return {
        "id": record.id,
        "memory": record.text,
        "subject": meta.get("subject"),
        "attribute": meta.get("attribute"),
        "value": None if fact is None else fact.value,
        "polarity": meta.get("polarity", True),
        "since": None if record.valid_from == LONG_AGO else stamp(record.valid_from),
        "until": None if record.valid_to is None else stamp(record.valid_to),
        "status": meta.get("status"),
        "confidence": meta.get("confidence"),
        "evidence": meta.get("evidence", len(record.sources)),
        "sources": quotes.of(record),
    }


class _Quotes:
    """The words that records rest on; all source records are read at once."""

    def __init__(self, engine: Engine, scope: Scope, records: Iterable[Record]) -> None:
        ids = sorted({source.id for record in records for source in record.sources})
        self._read = {record.id: record for record in newest_versions(engine, ids, scope)} if ids else {}

    def of(self, record: Record) -> list[Row]:
        return [quote(self._read[span.id], span.start, span.end) for span in record.sources if span.id in self._read]


def quote(record: Record, start: int, end: int) -> Row:
    """A span of a record, with who said it when."""
    return {
        "id": record.id,
        "start": start,
        "end": end,
        "text": record.text[start:end],
        "said_by": who_speaks(record.speaker, record.role, record.scope) or None,
        "at": stamp(record.event_at),
    }


class _Lineage:
    """What rests on what within a scope."""

    def __init__(self, engine: Engine, scope: Scope) -> None:
        self._engine = engine
        self._scope = scope
        found: Sequence[Record]
        asked = Find(View(engine.now()), kinds=tuple(sorted(DERIVED_KINDS)), limit=None, closed=True)
        (found,) = engine.read([asked], scope)
        self._records: dict[str, Record] = {record.id: record for record in found}
        self._resting: dict[str, list[str]] = {}
        self._ended: dict[str, list[str]] = {}
        for record in found:
            for id in dict.fromkeys(source.id for source in record.sources):
                self._resting.setdefault(id, []).append(record.id)
            ended_by = record.meta.get("ended_by")
            if isinstance(ended_by, str):
                self._ended.setdefault(ended_by, []).append(record.id)

    def sources(self, record: Record) -> list[Row]:
        """Spans that a record rests on, each with what it rests on itself."""
        return self._sources(record, (record.id,))

    def _sources(self, record: Record, path: tuple[str, ...]) -> list[Row]:
        self._fetch([source.id for source in record.sources])
        rows = []
        for span in record.sources:
            source = self._records.get(span.id)
            if source is None:
                continue
            row = quote(source, span.start, span.end) | self._state(source)
            if span.id not in path and len(path) < _DEEPEST:
                row["sources"] = self._sources(source, (*path, span.id))
            rows.append(row)
        return rows

    def resting(self, id: str, path: tuple[str, ...] = ()) -> list[Row]:
        """What rests on a memory, each with what rests on it in turn."""
        rows = []
        for other in self._resting.get(id, ()):
            if other in path or len(path) >= _DEEPEST:
                continue
            rows.append(self.brief(other) | {"resting": self.resting(other, (*path, id))})
        return rows

    def ended_by(self, id: str) -> list[Row]:
        """Facts that a turn says are over, or were never so."""
        return [self.brief(other) for other in self._ended.get(id, ())]

    def chain(self, id: str, *, forwards: bool) -> list[Row]:
        """What a fact took the place of, and so on; or, backwards, what took its place. The nearest comes first."""
        end: Callable[[Any], str] = (lambda edge: edge.target) if forwards else (lambda edge: edge.source)
        begin: Callable[[Any], str] = (lambda edge: edge.source) if forwards else (lambda edge: edge.target)
        seen: dict[str, None] = {id: None}
        waiting = [id]
        while waiting:
            (edges,) = self._engine.read([Edges(tuple(waiting), (_SUPERSEDES,))], self._scope)
            step = [end(edge) for edge in edges if begin(edge) in waiting and end(edge) not in seen]
            seen.update(dict.fromkeys(step))
            waiting = list(dict.fromkeys(step))
        del seen[id]
        self._fetch(seen)
        return [self.brief(other) for other in seen]

    def brief(self, id: str) -> Row:
        """A memory in one row; of an erased one nothing but its id."""
        self._fetch([id])
        record = self._records.get(id)
        if record is None:
            return {"id": id, "erased": True}
        return {"id": id, "memory": record.text, "at": stamp(record.event_at)} | self._state(record)

    def _state(self, record: Record) -> Row:
        ends = record.valid_to if record.closed_at is None else record.ended_at
        return {
            "kind": record.kind,
            "origin": record.origin if record.derived else None,
            "valid_from": None if record.valid_from == LONG_AGO else stamp(record.valid_from),
            "valid_to": None if ends is None else stamp(ends),
            "status": _status(record),
            "deleted": record.closed_at is not None,
        }

    def _fetch(self, ids: Collection[str]) -> None:
        missing = [id for id in ids if id not in self._records]
        if missing:
            found = newest_versions(self._engine, missing, self._scope)
            self._records.update({record.id: record for record in found})
