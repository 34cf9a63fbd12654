"""What the reference store keeps, and how it answers each reading operation from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from remanence.core.clock import to_micros
from remanence.core.errors import NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.filters import compile_filter
from remanence.substrates.records.model import Edge, Record, Vector, View
from remanence.substrates.records.operations import (
    NEVER,
    Changes,
    Columns,
    Count,
    Edges,
    Find,
    Get,
    History,
    Job,
    JournalEntry,
    Lookup,
    Pending,
    ReadOperation,
    Receipt,
    Receipts,
    Scan,
    Spaces,
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a record, with its metadata as JSON and the journal positions of its opening and closing."""

    record: Record
    meta: str
    opened: int
    closed: int | None = None


class Usage(NamedTuple):
    """Counters of one record, shared by its versions."""

    hits: int = 0
    last_hit: datetime | None = None
    strength: float = 1.0
    utility: float = 0.0


class Placed(NamedTuple):
    """A vector and its position in the stream of late vectors; 0 when it came with its version."""

    vector: Vector
    position: int


class Queued(NamedTuple):
    """A job, and its payload as canonical JSON (the one of `job` stays empty)."""

    job: Job
    payload: str


@dataclass(slots=True)
class State:
    """All that a store holds. Values inside the containers are immutable, so copying the containers copies all."""

    records: dict[str, tuple[Version, ...]] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    """Highest version number that each record ever had."""
    retired: set[str] = field(default_factory=set)
    """Ids that were erased; they are never given out or accepted again."""
    usage: dict[str, Usage] = field(default_factory=dict)
    vectors: dict[tuple[str, int, str], Placed] = field(default_factory=dict)
    """By record id, version and space."""
    edges: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Weight by source, target and type."""
    terms: dict[str, int] = field(default_factory=dict)
    journal: list[JournalEntry] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    jobs: dict[str, Queued] = field(default_factory=dict)
    worked: datetime | None = None
    """Time of the newest batch that made or changed a job: such batches need not be in the journal."""
    seq: int = 0
    vectors_seq: int = 0
    terms_seq: int = 0

    def copy(self) -> State:
        """A state that can be changed without changing this one."""
        copied: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            copied[part.name] = value.copy() if isinstance(value, dict | list | set) else value
        return State(**copied)

    def versions(self, id: str, scope: Scope) -> tuple[Version, ...]:
        """All versions of a record, oldest first; `NotFound` when the scope does not cover it."""
        versions = self.records.get(id, ())
        if not versions or not scope.covers(versions[0].record.scope):
            raise NotFound(f"there is no record {id} in scope {scope}")
        return versions

    def has(self, id: str, scope: Scope) -> bool:
        """Whether a record exists for a scope, open or closed."""
        return id in self.records and scope.covers(self.records[id][0].record.scope)

    def covered(self, scope: Scope) -> list[Version]:
        """Every version that the scope covers, in the order in which they were opened."""
        found = [version for id, versions in self.records.items() if self.has(id, scope) for version in versions]
        return sorted(found, key=lambda version: version.opened)

    def full(self, version: Version) -> Record:
        """A version as it is given to callers, with metadata of its own and the record's counters."""
        usage = self.usage.get(version.record.id, Usage())
        return replace(version.record, meta=json.loads(version.meta), **usage._asdict())


def bare(record: Record, terms: tuple[str, ...]) -> Record:
    """A version of another store as this one keeps it: in UTC, without metadata and counters, which stand elsewhere."""
    return replace(
        record,
        event_at=record.event_at.astimezone(UTC),
        valid_from=record.valid_from.astimezone(UTC),
        valid_to=record.valid_to and record.valid_to.astimezone(UTC),
        recorded_at=record.recorded_at.astimezone(UTC),
        closed_at=record.closed_at and record.closed_at.astimezone(UTC),
        ended_at=record.ended_at and record.ended_at.astimezone(UTC),
        trust=float(record.trust),
        terms=tuple(terms),
        sources=tuple(record.sources),
        meta={},
        **Usage()._asdict(),
    )


def answer(state: State, scope: Scope, operation: ReadOperation) -> Any:
    """The answer to one reading operation under a scope, except `Jobs`."""
    match operation:
        case Get(ids, view):
            found = {record.id: record for record in _shown(state, scope, view, ids)}
            return tuple(found.get(id) for id in ids)
        case Find():
            return _find(state, scope, operation)
        case Count():
            shown = _shown(state, scope, operation.view, state.records)
            return sum(_wanted(record, operation) for record in shown)
        case History(id):
            return tuple(state.full(version) for version in state.versions(id, scope))
        case Edges(ids, types):
            return tuple(
                Edge(source, target, type, weight)
                for (source, target, type), weight in sorted(state.edges.items())
                if state.has(source, scope) and state.has(target, scope)
                if ids is None or source in ids or target in ids
                if types is None or type in types
            )
        case Changes(since, change, id, limit, until):
            entries = (
                replace(entry, detail=dict(entry.detail))
                for entry in state.journal
                if since < entry.seq and (until is None or entry.seq <= until) and scope.covers(entry.scope)
                if (change is None or entry.change == change) and (id is None or entry.id == id)
            )
            return tuple(entries)[:limit]
        case Scan():
            return _scan(state, scope, operation)
        case Lookup(terms):
            return tuple(state.terms.get(term) for term in terms)
        case Pending(space, limit):
            waiting = (
                state.full(version)
                for version in state.covered(scope)
                if version.closed is None and (version.record.id, version.record.version, space) not in state.vectors
            )
            return tuple(waiting)[:limit]
        case Spaces():
            spaces = [space for id, _, space in state.vectors if state.has(id, scope)]
            return tuple((space, spaces.count(space)) for space in sorted(set(spaces)))
        case Receipts():
            receipts = (receipt for receipt in state.receipts if scope.covers(receipt.scope))
            return tuple(replace(receipt, counts=dict(receipt.counts)) for receipt in receipts)


def _shown(state: State, scope: Scope, view: View, ids: Iterable[str], *, closed: bool = False) -> Iterator[Record]:
    """Of each record among `ids` that the scope covers, the newest version that the view shows; with `closed`, the
    newest version of all where it shows none."""
    for id in ids:
        if state.has(id, scope):
            versions = state.records[id]
            shown = [version for version in versions if view.shows(version.record)] or list(versions if closed else ())
            if shown:
                yield state.full(shown[-1])


def _wanted(record: Record, operation: Find | Count) -> bool:
    if operation.kinds is not None and record.kind not in operation.kinds:
        return False
    return operation.derived is None or record.derived is operation.derived


def _find(state: State, scope: Scope, find: Find) -> tuple[Record, ...]:
    accepts = compile_filter(find.where)
    ids = sorted(state.records, reverse=find.newest_first)
    if find.after is not None:
        after = find.after
        ids = [id for id in ids if (id < after if find.newest_first else id > after)]
    found = (
        record
        for record in _shown(state, scope, find.view, ids, closed=find.closed)
        if _wanted(record, find) and accepts(record)
    )
    return tuple(islice(found, find.limit))


def _scan(state: State, scope: Scope, scan: Scan) -> Columns:
    covered = state.covered(scope)
    rows = [version for version in covered if version.opened > scan.after]
    records = [version.record for version in rows]
    scopes = {scope: number for number, scope in enumerate(dict.fromkeys(record.scope for record in records))}
    terms = [[state.terms[term] for term in record.terms] for record in records]
    placed = [state.vectors.get((record.id, record.version, scan.space or "")) for record in records]
    closed = sorted((version.closed, version.record) for version in covered if (version.closed or 0) > scan.after)
    return Columns(
        seq=state.seq,
        vectors_seq=state.vectors_seq,
        erased=scan.after > 0
        and any(entry.op in ("erase", "reindex") and entry.seq > scan.after for entry in state.journal),
        ids=[record.id for record in records],
        versions=np.array([record.version for record in records], dtype=np.int32),
        kinds=[record.kind for record in records],
        scopes=list(scopes),
        scope_of=np.array([scopes[record.scope] for record in records], dtype=np.int32),
        speakers=[record.speaker for record in records],
        roles=[record.role for record in records],
        origins=[record.origin for record in records],
        hidden=np.array([record.hidden for record in records], dtype=np.bool_),
        event_at=np.array([to_micros(record.event_at) for record in records], dtype=np.int64),
        valid_from=np.array([to_micros(record.valid_from) for record in records], dtype=np.int64),
        valid_to=np.array([_micros(record.valid_to) for record in records], dtype=np.int64),
        recorded_at=np.array([to_micros(record.recorded_at) for record in records], dtype=np.int64),
        closed_at=np.array([_micros(record.closed_at) for record in records], dtype=np.int64),
        ended_at=np.array([_micros(record.ended_at) for record in records], dtype=np.int64),
        terms=np.array([number for row in terms for number in row], dtype=np.int32),
        term_offsets=np.cumsum([0, *(len(row) for row in terms)], dtype=np.int64),
        vectors=_matrix(placed),
        scales=np.array([0.0 if place is None else place.vector.scale for place in placed], dtype=np.float32),
        closed=[(r.id, r.version, _micros(r.closed_at), _micros(r.ended_at)) for _, r in closed],
        embedded=_late(state, [version for version in covered if version.opened <= scan.after], scan),
    )


def _matrix(placed: list[Placed | None]) -> Any:
    """int8 [n, dim] with zero rows for missing vectors; None when all are missing."""
    dim = next((len(place.vector.data) for place in placed if place is not None), None)
    if dim is None:
        return None
    data = b"".join(bytes(dim) if place is None else place.vector.data for place in placed)
    return np.frombuffer(data, dtype=np.int8).reshape(len(placed), dim)


def _late(state: State, versions: list[Version], scan: Scan) -> list[tuple[str, int, bytes, float]]:
    late = []
    for version in versions:
        id, number = version.record.id, version.record.version
        place = state.vectors.get((id, number, scan.space or ""))
        if place is not None and place.position > scan.vectors_after:
            late.append((place.position, (id, number, place.vector.data, place.vector.scale)))
    return [row for _, row in sorted(late)]


def _micros(moment: datetime | None) -> int:
    return NEVER if moment is None else to_micros(moment)
