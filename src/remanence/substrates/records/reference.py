"""The readable record store: dicts and lists in memory. What it answers is what every other store has to answer.

Written to be read and not to be fast, although it serves mechanisms as their default store and does well with some
ten thousand records. A batch that writes works on a copy of the state, and the copy takes the state's place once all
of its operations have succeeded: this is what makes a batch atomic.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from remanence.core.clock import EPOCH, Clock, parse_time, utc_now
from remanence.core.errors import Conflict, EmbeddingSpaceMismatch, NotFound, StoreClosed
from remanence.core.ids import RandomBits, UlidFactory
from remanence.core.scope import FIELDS, Scope
from remanence.substrates.records import working
from remanence.substrates.records.checks import Times, check_adopted, check_batch, check_due, ending, resolve, writes
from remanence.substrates.records.model import Draft, Edge, Record, Source, Vector, View
from remanence.substrates.records.operations import (
    Adopt,
    Close,
    Discard,
    Embed,
    Enqueue,
    Erase,
    Find,
    Jobs,
    JournalEntry,
    JournalOp,
    Lease,
    Link,
    Operation,
    Outcome,
    Put,
    Receipt,
    Reindex,
    Renew,
    Requeue,
    Restore,
    Revise,
    Settle,
    Touch,
    Unlink,
    Written,
)
from remanence.substrates.records.port import Tally
from remanence.substrates.records.state import Placed, State, Usage, Version, answer, bare


class MemoryStore:
    """A `RecordStore` that lives as long as the process. Thread-safe.

    `clock` is read once per writing batch; `random_bits` feeds the identifiers (default: the operating system).
    """

    def __init__(self, *, clock: Clock = utc_now, random_bits: RandomBits | None = None) -> None:
        self._clock = clock
        self._now = EPOCH
        self._ids = UlidFactory(self._reading, *(() if random_bits is None else (random_bits,)))
        self._state = State()
        self._lock = threading.RLock()
        self._closed = False

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        """Run `operations` in order, atomically, under `scope`; see `RecordStore`."""
        with self._lock:
            self._check_open()
            metas = check_batch(operations, scope=scope, actor=actor, why=why)
            state = self._state
            if writes(operations):
                state = state.copy()
                self._now = self._moment(state)
            work = _Batch(state, scope, actor, why, self._now, self._ids)
            work.adopting = frozenset(op.versions[0].id for op in operations if isinstance(op, Adopt))
            results = tuple(work.run(operation, meta) for operation, meta in zip(operations, metas, strict=True))
            if work.change is not None:
                working.name_change(state, work.unnamed, work.change)
            self._state = state
            return Outcome(work.change, state.seq, results)

    def position(self) -> int:
        """Last journal position of the whole store."""
        with self._lock:
            self._check_open()
            return self._state.seq

    def due(self, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Scope]:
        """Scopes that hold jobs which could be leased now; see `RecordStore`."""
        with self._lock:
            self._check_open()
            check_due(limit, kinds)
            return working.due(self._state, self._moment(self._state), limit, kinds)

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that holds a record; see `Surveyable`."""
        with self._lock:
            self._check_open()
            return tuple(dict.fromkeys(versions[0].record.scope for versions in self._state.records.values()))

    def tallies(self, view: View) -> tuple[Tally, ...]:
        """How many records a view shows, by scope; see `Surveyable`."""
        with self._lock:
            shown: Sequence[Record]
            found = []
            for scope in self.scopes():
                (shown,) = self.batch([Find(view, limit=None, derived=False)], scope=scope).results
                own = [record for record in shown if record.scope == scope]
                first = min((record.id for record in own), default=None)
                changed = max((record.recorded_at for record in own), default=None)
                found.append(Tally(scope, len(own), first, changed))
            return tuple(found)

    def close(self) -> None:
        """Forget everything. Idempotent; later use raises `StoreClosed`."""
        with self._lock:
            self._closed = True
            self._state = State()

    def _moment(self, state: State) -> datetime:
        """The time of a batch: what the clock reads, unless an earlier batch already stands at a later time."""
        reading = parse_time(self._clock()).astimezone(UTC)
        journaled = state.journal[-1].at if state.journal else reading
        return max(reading, journaled, state.worked or reading)

    def _reading(self) -> datetime:
        return self._now

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("this store was closed; open a new one")


class _Batch:
    """The operations of one batch at work on a state that is theirs alone."""

    def __init__(self, state: State, scope: Scope, actor: str, why: str, now: datetime, ids: UlidFactory) -> None:
        self.state = state
        self.scope = scope
        self.actor = actor
        self.why = why
        self.now = now
        self.ids = ids
        self.change: str | None = None
        self.adopting: frozenset[str] = frozenset()
        """Ids of the records that the batch adopts."""
        self.unnamed: list[str] = []
        """Jobs that were made before the batch had a change."""

    def run(self, operation: Operation, meta: str) -> Any:
        """The answer to one operation; `meta` is the canonical JSON of its draft's metadata or of its payload."""
        match operation:
            case Put(draft):
                return self.put(draft, meta)
            case Revise(id, draft, expected):
                return self.revise(id, draft, meta, expected)
            case Close(id, at, expected):
                return self.close(id, at, expected)
            case Restore(id, version, expected):
                return self.restore(id, version, expected)
            case Adopt():
                return self.adopt(operation, json.loads(meta))
            case Link(edge):
                return self.link(edge)
            case Unlink(edge):
                return self.unlink(edge)
            case Embed(id, version, vector):
                return self.embed(id, version, vector)
            case Reindex(id, version, terms):
                return self.reindex(id, version, tuple(terms))
            case Touch():
                return self.touch(operation)
            case Erase(ids, reason):
                return self.erase(ids, reason)
            case Enqueue():
                return self.enqueue(operation, meta)
            case Lease():
                return working.lease(self.state, self.scope, operation, self.now)
            case Renew():
                return working.renew(self.state, self.scope, operation, self.now)
            case Settle():
                return working.settle(self.state, self.scope, operation, meta, self.now)
            case Requeue():
                return working.requeue(self.state, self.scope, operation, self.now)
            case Discard():
                return working.discard(self.state, self.scope, operation, self.now)
            case Jobs():
                return working.jobs(self.state, self.scope, operation)
            case _:
                return answer(self.state, self.scope, operation)

    def put(self, draft: Draft, meta: str) -> Written:
        if draft.id is not None and (draft.id in self.state.records or draft.id in self.state.retired):
            raise Conflict(f"id {draft.id} is taken or was erased; ids are never used twice, leave it out")
        times = self.prepare(draft)
        self.begin_change()
        id = self.ids() if draft.id is None else draft.id
        return self.open(id, draft, times, draft.scope or self.scope, meta, "put", {})

    def revise(self, id: str, draft: Draft, meta: str, expected: int | None) -> Written:
        current = self.current(id, expected)
        times = self.prepare(draft)
        self.shut(current, ending(current.record.valid_from, times.valid_from))
        return self.open(id, draft, times, current.record.scope, meta, "revise", {"previous": current.record.version})

    def close(self, id: str, at: datetime | None, expected: int | None) -> Written:
        current = self.current(id, expected)
        version = current.record.version
        self.shut(current, ending(current.record.valid_from, at))
        self.write_down("close", current.record.scope, id, version, {"version": version})
        return Written(id, version, self.now)

    def restore(self, id: str, version: int, expected: int | None) -> Written:
        versions = self.state.versions(id, self.scope)
        earlier = next((entry for entry in versions if entry.record.version == version), None)
        if earlier is None:
            raise NotFound(f"record {id} has no version {version}; see its history")
        newest = self.state.newest[id]
        if expected is not None and expected != newest:
            raise Conflict(f"record {id} is at version {newest}, not {expected}; read it again")
        current = next((entry for entry in versions if entry.closed is None), None)
        if current is not None:
            self.shut(current, current.record.valid_from)
        previous = None if current is None else current.record.version
        again = replace(earlier.record, version=newest + 1, recorded_at=self.now, closed_at=None, ended_at=None)
        for (owner, number, space), placed in list(self.state.vectors.items()):
            if (owner, number) == (id, version):
                self.state.vectors[id, again.version, space] = Placed(placed.vector, 0)
        return self.keep(again, earlier.meta, "restore", {"from": version, "previous": previous})

    def adopt(self, operation: Adopt, metas: list[str]) -> Written:
        newest = operation.versions[-1]
        id = newest.id
        if id in self.state.records or id in self.state.retired:
            raise Conflict(f"id {id} is taken or was erased; ids are never used twice")
        check_adopted(operation.versions, self.now)
        for source in (source for record in operation.versions for source in record.sources):
            if source.id not in self.adopting and not self.state.has(source.id, self.scope):
                raise NotFound(f"source {source.id} is no record in scope {self.scope}")
        for vector in operation.vectors:
            if vector is not None:
                self.check_space(vector)
        self.ids.follow(id)
        self.begin_change()
        parts = zip(operation.versions, metas, operation.terms, operation.vectors, strict=True)
        for record, meta, terms, vector in parts:
            self.number(terms)
            if vector is not None:
                self.state.vectors[id, record.version, vector.space] = Placed(vector, 0)
            self.keep(bare(record, terms), meta, "adopt", {"open": record.closed_at is None})
            if record.closed_at is not None:
                *earlier, kept = self.state.records[id]
                self.state.records[id] = (*earlier, replace(kept, closed=kept.opened))
        usage = Usage(newest.hits, newest.last_hit, float(newest.strength), float(newest.utility))
        if usage != Usage():
            self.state.usage[id] = usage
        return Written(id, newest.version, newest.recorded_at)

    def link(self, edge: Edge) -> bool:
        key = (edge.source, edge.target, edge.type)
        ends = [self.state.versions(end, self.scope)[0].record.scope for end in key[:2]]
        previous = self.state.edges.get(key)
        if previous == edge.weight:
            return False
        self.state.edges[key] = float(edge.weight)
        detail = {"source": edge.source, "target": edge.target, "type": edge.type, "weight": float(edge.weight)}
        self.write_down("link", _shared(*ends), edge.source, 0, {**detail, "previous": previous})
        return True

    def unlink(self, edge: Edge) -> bool:
        key = (edge.source, edge.target, edge.type)
        if key not in self.state.edges or not all(self.state.has(end, self.scope) for end in key[:2]):
            return False
        ends = [self.state.records[end][0].record.scope for end in key[:2]]
        weight = self.state.edges.pop(key)
        detail = {"source": edge.source, "target": edge.target, "type": edge.type, "weight": weight}
        self.write_down("unlink", _shared(*ends), edge.source, 0, detail)
        return True

    def embed(self, id: str, version: int, vector: Vector) -> bool:
        if not self.state.has(id, self.scope):
            return False
        if all(entry.record.version != version for entry in self.state.records[id]):
            return False
        self.check_space(vector)
        self.state.vectors_seq += 1
        self.state.vectors[id, version, vector.space] = Placed(vector, self.state.vectors_seq)
        return True

    def reindex(self, id: str, version: int, terms: tuple[str, ...]) -> bool:
        if not self.state.has(id, self.scope):
            return False
        versions = self.state.records[id]
        entry = next((entry for entry in versions if entry.record.version == version), None)
        if entry is None:
            return False
        if entry.record.terms != terms:
            self.number(terms)
            again = replace(entry, record=replace(entry.record, terms=terms))
            self.state.records[id] = tuple(again if one is entry else one for one in versions)
            self.write_down("reindex", entry.record.scope, id, version, {})
        return True

    def touch(self, touch: Touch) -> int:
        ids = [id for id in dict.fromkeys(touch.ids) if self.state.has(id, self.scope)]
        at = touch.at.astimezone(UTC)
        for id in ids:
            usage = self.state.usage.get(id, Usage())
            self.state.usage[id] = Usage(
                hits=usage.hits + 1,
                last_hit=at if usage.last_hit is None else max(usage.last_hit, at),
                strength=usage.strength if touch.strength is None else float(touch.strength),
                utility=usage.utility if touch.utility is None else float(touch.utility),
            )
        return len(ids)

    def enqueue(self, operation: Enqueue, payload: str) -> str:
        scope = operation.scope or self.scope
        waiting = working.waiting(self.state, scope, operation)
        if waiting is not None:
            return waiting
        id = self.ids()
        working.enqueue(self.state, scope, operation, payload, self.now, id, self.change)
        if self.change is None:
            self.unnamed.append(id)
        return id

    def erase(self, ids: tuple[str, ...] | None, reason: str) -> Receipt:
        if ids is None:
            asked = {id for id in self.state.records if self.state.has(id, self.scope)}
        else:
            asked = {self.state.versions(id, self.scope)[0].record.id for id in ids}
        derived, kept, destroyed = self.follow_lineage(asked)
        gone = asked | derived
        places = {self.state.records[id][0].record.scope for id, _ in destroyed}
        working.forget(self.state, self.scope, gone, places, whole=ids is None)
        again = self.support(gone, destroyed)
        # Whoever asks for everything means what was said; the rest goes with it.
        if ids is None:
            asked = {id for id in asked if not self.state.records[id][-1].record.derived}
        counts = self.destroy(gone, destroyed)
        for id in kept:
            self.state.records[id] = tuple(_without(version, gone) for version in self.state.records[id])
        receipt = Receipt(
            id=self.begin_change(),
            scope=self.scope,
            at=self.now,
            actor=self.actor,
            reason=reason,
            ids=tuple(sorted(asked)),
            derived=tuple(sorted(gone - asked)),
            kept=tuple(sorted(kept)),
            counts=counts,
            again=again,
        )
        self.state.receipts.append(receipt)
        self.write_down("erase", self.scope, receipt.id, 0, {})
        return replace(receipt, counts=dict(counts))

    def follow_lineage(self, asked: set[str]) -> tuple[set[str], set[str], set[tuple[str, int]]]:
        """Which other records go, which lose only a version or a source, and all versions that are destroyed."""
        gone = set(asked)
        while True:
            doomed = {
                (id, version.record.version)
                for id, versions in self.state.records.items()
                for version in versions
                if id in gone or _falls_with(version, gone)
            }
            emptied = {
                id
                for id, versions in self.state.records.items()
                if all((id, version.record.version) in doomed for version in versions)
                or (versions[-1].record.derived and any(_cites(version, gone) for version in versions))
            }
            if emptied == gone:
                break
            gone = emptied
        kept = {
            id
            for id, versions in self.state.records.items()
            if id not in gone and any(_cites(version, gone) for version in versions)
        }
        return gone - asked, kept, doomed

    def support(self, gone: set[str], doomed: set[tuple[str, int]]) -> tuple[str, ...]:
        """Surviving records that are not derived, on which the derived ones among the destroyed versions rested."""
        sources = {
            source.id
            for id, versions in self.state.records.items()
            for version in versions
            if (id, version.record.version) in doomed and version.record.derived
            for source in version.record.sources
        }
        return tuple(sorted(id for id in sources - gone if not self.state.records[id][-1].record.derived))

    def destroy(self, gone: set[str], doomed: set[tuple[str, int]]) -> Mapping[str, int]:
        """Remove records and versions with all that hangs on them; how many rows of each kind went."""
        state = self.state
        vectors = [key for key in state.vectors if key[:2] in doomed]
        edges = [key for key in state.edges if key[0] in gone or key[1] in gone]
        journal = [entry for entry in state.journal if not _concerns(entry, gone, doomed)]
        counts = {
            "versions": len(doomed),
            "vectors": len(vectors),
            "edges": len(edges),
            "usage": len(gone & state.usage.keys()),
            "journal": len(state.journal) - len(journal),
        }
        for key in vectors:
            del state.vectors[key]
        for edge in edges:
            del state.edges[edge]
        for id, versions in list(state.records.items()):
            state.records[id] = tuple(version for version in versions if (id, version.record.version) not in doomed)
        for id in gone:
            del state.records[id], state.newest[id]
            state.usage.pop(id, None)
        state.retired |= gone
        state.journal = journal
        used = {term for versions in state.records.values() for version in versions for term in version.record.terms}
        unused = state.terms.keys() - used
        state.terms = {term: number for term, number in state.terms.items() if term in used}
        return {**counts, "terms": len(unused)}

    def current(self, id: str, expected: int | None) -> Version:
        """The open version; `NotFound` when there is none, `Conflict` when it is not the expected one."""
        versions = self.state.versions(id, self.scope)
        current = next((version for version in versions if version.closed is None), None)
        if current is None:
            raise NotFound(f"record {id} is closed; restore one of its versions first")
        if expected is not None and expected != current.record.version:
            raise Conflict(f"record {id} is at version {current.record.version}, not {expected}; read it again")
        return current

    def prepare(self, draft: Draft) -> Times:
        """The times of a draft, after the checks that need the store."""
        times = resolve(draft, self.now)
        for source in draft.sources:
            if not self.state.has(source[0], self.scope):
                raise NotFound(f"source {source[0]} is no record in scope {self.scope}")
        if draft.vector is not None:
            self.check_space(draft.vector)
        return times

    def check_space(self, vector: Vector) -> None:
        vectors = (placed.vector for placed in self.state.vectors.values())
        other = next((other for other in vectors if other.space == vector.space), vector)
        if len(other.data) != len(vector.data):
            raise EmbeddingSpaceMismatch(
                f"space {vector.space!r} holds vectors of {len(other.data)} dimensions, not {len(vector.data)}; "
                "`remanence reembed` moves a store to another embedder"
            )

    def open(
        self, id: str, draft: Draft, times: Times, scope: Scope, meta: str, op: JournalOp, detail: Mapping[str, Any]
    ) -> Written:
        """Write the next version of a record."""
        record = Record(
            id=id,
            version=self.state.newest.get(id, 0) + 1,
            kind=draft.kind,
            text=draft.text,
            scope=scope,
            event_at=times.event_at,
            zone=draft.zone,
            valid_from=times.valid_from,
            valid_to=times.valid_to,
            recorded_at=self.now,
            closed_at=None,
            ended_at=None,
            speaker=draft.speaker,
            role=draft.role,
            language=draft.language,
            sources=tuple(Source(*source) for source in draft.sources),
            meta={},
            terms=tuple(draft.terms),
            state=draft.state,
            origin=draft.origin,
            trust=float(draft.trust),
        )
        self.number(record.terms)
        if draft.vector is not None:
            self.state.vectors[id, record.version, draft.vector.space] = Placed(draft.vector, 0)
        return self.keep(record, meta, op, detail)

    def number(self, terms: tuple[str, ...]) -> None:
        """Give integers to the terms that have none yet."""
        for term in terms:
            if term not in self.state.terms:
                self.state.terms_seq += 1
                self.state.terms[term] = self.state.terms_seq

    def keep(self, record: Record, meta: str, op: JournalOp, detail: Mapping[str, Any]) -> Written:
        seq = self.write_down(op, record.scope, record.id, record.version, detail)
        versions = self.state.records.get(record.id, ())
        self.state.records[record.id] = (*versions, Version(record, meta, seq))
        self.state.newest[record.id] = record.version
        return Written(record.id, record.version, self.now)

    def shut(self, version: Version, ended_at: datetime) -> None:
        """Close a version at the journal position that is written next."""
        record = replace(version.record, closed_at=self.now, ended_at=ended_at)
        closed = replace(version, record=record, closed=self.state.seq + 1)
        self.state.records[record.id] = tuple(
            closed if entry is version else entry for entry in self.state.records[record.id]
        )

    def begin_change(self) -> str:
        if self.change is None:
            self.change = self.ids()
        return self.change

    def write_down(self, op: JournalOp, scope: Scope, id: str, version: int, detail: Mapping[str, Any]) -> int:
        """Add a journal entry and return its position."""
        change = self.begin_change()
        self.state.seq += 1
        entry = JournalEntry(
            seq=self.state.seq,
            change=change,
            at=self.now,
            actor=self.actor,
            why=self.why,
            scope=scope,
            op=op,
            id=id,
            version=version,
            detail=detail,
        )
        self.state.journal.append(entry)
        return entry.seq


def _shared(one: Scope, other: Scope) -> Scope:
    """The ids on which two scopes agree: covered by just those scopes that cover both."""
    return Scope(**{name: getattr(one, name) for name in FIELDS if getattr(one, name) == getattr(other, name)})


def _cites(version: Version, gone: set[str]) -> bool:
    return any(source.id in gone for source in version.record.sources)


def _falls_with(version: Version, gone: set[str]) -> bool:
    """Whether a version has nothing left to rest on; a derived one may hold the words of any source."""
    if version.record.derived:
        return _cites(version, gone)
    sources = version.record.sources
    return bool(sources) and all(source.id in gone for source in sources)


def _without(version: Version, gone: set[str]) -> Version:
    sources = tuple(source for source in version.record.sources if source.id not in gone)
    return replace(version, record=replace(version.record, sources=sources))


def _concerns(entry: JournalEntry, gone: set[str], doomed: set[tuple[str, int]]) -> bool:
    """Whether a journal entry speaks of an erased record or version."""
    return entry.id in gone or entry.detail.get("target") in gone or (entry.id, entry.version) in doomed
