"""The operations that write, except `Erase`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from remanence.core.clock import from_micros, to_micros
from remanence.core.errors import Conflict, NotFound
from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import KEY, Key, keyed, pack, pack_optional, unpack
from remanence.stores.postgres.reading import no_record
from remanence.stores.postgres.transaction import Space, Transaction
from remanence.substrates.records.checks import Times, check_adopted, ending, resolve
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import (
    Adopt,
    Close,
    Embed,
    JournalOp,
    Link,
    Operation,
    Put,
    Reindex,
    Restore,
    Revise,
    Touch,
    Unlink,
    Written,
)
from remanence.substrates.records.packing import micros, pack_sources, unpack_terms


class _Current(NamedTuple):
    """What has to be known of an open version in order to close it."""

    key: Key
    seq: int
    version: int
    valid_from: int


def look_ahead(tx: Transaction, operations: Sequence[Operation]) -> None:
    """Ask at once for what the operations would ask for one by one: who owns the records that they name."""
    named: list[str] = []
    given: list[str] = []
    for operation in operations:
        match operation:
            case Put(draft):
                named += [source.id for source in draft.sources]
                given += [] if draft.id is None else [draft.id]
            case Revise(id, draft):
                named += [id, *(source.id for source in draft.sources)]
            case Adopt(versions):
                named += [source.id for record in versions for source in record.sources]
                given.append(versions[0].id)
            case Link(edge) | Unlink(edge):
                named += edge[:2]
            case Close(id) | Restore(id) | Embed(id) | Reindex(id):
                named.append(id)
            case Touch(ids):
                named += ids
            case _:
                pass
    tx.learn_owners(named)
    tx.learn_taken(given)


def put(tx: Transaction, operation: Put, meta: str) -> Written:
    """Write the first version of a new record."""
    draft = operation.draft
    if draft.id is not None and tx.taken(draft.id):
        raise Conflict(f"id {draft.id} is taken or was erased; ids are never used twice, leave it out")
    times, space = _prepare(tx, draft)
    tx.begin_change()
    id = tx.draw() if draft.id is None else draft.id
    _open(tx, "put", tx.place(draft.scope or tx.scope), id, 1, draft, times, space, meta, None)
    return Written(id, 1, tx.moment)


def revise(tx: Transaction, operation: Revise, meta: str) -> Written:
    """Close the open version and write the next one."""
    id, draft = operation.id, operation.draft
    current = _current(tx, id, operation.expected_version)
    times, space = _prepare(tx, draft)
    _shut(tx, current, max(to_micros(times.valid_from), current.valid_from))
    version = _newest(tx, current.key, id) + 1
    _open(tx, "revise", current.key, id, version, draft, times, space, meta, {"previous": current.version})
    return Written(id, version, tx.moment)


def close(tx: Transaction, operation: Close) -> Written:
    """Close the open version without a successor."""
    current = _current(tx, operation.id, operation.expected_version)
    _shut(tx, current, to_micros(ending(from_micros(current.valid_from), operation.at)))
    tx.enter("close", current.key, operation.id, current.version, detail={"version": current.version})
    return Written(operation.id, current.version, tx.moment)


def restore(tx: Transaction, operation: Restore) -> Written:
    """Write an earlier version again, vectors included."""
    id = operation.id
    key = tx.owner(id)
    if key is None:
        raise no_record(tx, id)
    row = tx.execute(
        "SELECT seq, kind, event_at, valid_from, valid_to, state, zone, speaker, role, language, origin, trust, "
        "sources, meta, terms, text FROM versions WHERE id = %s AND version = %s",
        (id, operation.version),
    ).fetchone()
    if row is None:
        raise NotFound(f"record {id} has no version {operation.version}; see its history")
    newest = _newest(tx, key, id)
    if operation.expected_version is not None and operation.expected_version != newest:
        raise Conflict(f"record {id} is at version {newest}, not {operation.expected_version}; read it again")
    current = _open_version(tx, id)
    if current is not None:
        _shut(tx, current, current.valid_from)
    earlier, kind, event_at, valid_from, valid_to, *kept, terms, text = row
    detail = {"from": operation.version, "previous": None if current is None else current.version}
    seq = tx.enter("restore", key, id, newest + 1, detail=detail)
    version = (*key, seq, id, newest + 1, kind, event_at, valid_from, valid_to, tx.now, None, None, None, *kept)
    tx.add_version(version, tx.decode(unpack_terms(terms)), text)
    for space, dim, near, name, scale, data in tx.execute(
        "SELECT s.space, s.dim, s.near, s.key, e.scale, e.data FROM vectors e JOIN spaces s ON s.space = e.space "
        f"WHERE ({KEY}) = (%s, %s, %s, %s) AND e.seq = %s",
        (*key, earlier),
    ).fetchall():
        tx.add_vector(key, Space(space, dim, near), seq, Vector(unpack(name), data, scale))
    tx.execute(
        f"INSERT INTO lineage SELECT {KEY}, source, %s FROM lineage WHERE ({KEY}) = (%s, %s, %s, %s) AND seq = %s",
        (seq, *key, earlier),
    )
    return Written(id, newest + 1, tx.moment)


def adopt(tx: Transaction, operation: Adopt, metas: str) -> Written:
    """Write all versions of a record of another store. `metas`: a JSON list of the canonical JSON of their metadata."""
    newest = operation.versions[-1]
    id = newest.id
    if tx.taken(id):
        raise Conflict(f"id {id} is taken or was erased; ids are never used twice")
    check_adopted(operation.versions, tx.moment)
    for record in operation.versions:
        for source in record.sources:
            if source.id not in tx.adopting and tx.owner(source.id) is None:
                raise NotFound(f"source {source.id} is no record in scope {tx.scope}")
    spaces = [None if vector is None else tx.space_for(vector) for vector in operation.vectors]
    tx.follow(id)
    tx.begin_change()
    key = tx.place(newest.scope)
    parts = zip(operation.versions, json.loads(metas), operation.terms, operation.vectors, spaces, strict=True)
    for record, meta, terms, vector, space in parts:
        seq = tx.enter("adopt", key, id, record.version, detail={"open": record.closed_at is None})
        row = (
            *key, seq, id, record.version, pack(record.kind), to_micros(record.event_at), to_micros(record.valid_from),
            micros(record.valid_to), to_micros(record.recorded_at), micros(record.closed_at),
            micros(record.ended_at), None if record.closed_at is None else seq, record.state,
            pack_optional(record.zone), pack_optional(record.speaker), pack_optional(record.role),
            pack_optional(record.language), pack_optional(record.origin), float(record.trust),
            pack_sources(record.sources), None if meta == "{}" else meta,
        )  # fmt: skip
        tx.add_version(row, terms, pack(record.text))
        for source in record.sources:
            tx.add_lineage(key, source.id, seq)
        if space is not None and vector is not None:
            tx.add_vector(key, space, seq, vector)
    usage = (newest.hits, micros(newest.last_hit), float(newest.strength), float(newest.utility))
    if usage != (0, None, 1.0, 0.0):
        tx.add_usage(key, id, usage)
    return Written(id, newest.version, newest.recorded_at)


def link(tx: Transaction, operation: Link) -> bool:
    """Add an edge or change its weight."""
    edge = operation.edge
    ends = [tx.owner(end) for end in edge[:2]]
    for end, key in zip(edge[:2], ends, strict=True):
        if key is None:
            raise no_record(tx, end)
    source, target = (key for key in ends if key is not None)
    weight = float(edge.weight)
    previous = _weight(tx, source, edge)
    if previous == weight:
        return False
    tx.execute(
        f"INSERT INTO edges VALUES ({', '.join(['%s'] * 13)}) "
        f"ON CONFLICT ({KEY}, source, target, type) DO UPDATE SET weight = excluded.weight",
        (*source, edge.source, edge.target, keyed(edge.type), pack(edge.type), weight, *target),
    )
    _enter_edge(tx, "link", source, target, edge, {"weight": weight, "previous": previous})
    return True


def unlink(tx: Transaction, operation: Unlink) -> bool:
    """Remove an edge."""
    edge = operation.edge
    source, target = tx.owner(edge.source), tx.owner(edge.target)
    if source is None or target is None:
        return False
    weight = _weight(tx, source, edge)
    if weight is None:
        return False
    tx.execute(f"DELETE FROM edges WHERE {_EDGE}", (*source, edge.source, edge.target, keyed(edge.type)))
    _enter_edge(tx, "unlink", source, target, edge, {"weight": weight})
    return True


def embed(tx: Transaction, operation: Embed) -> bool:
    """Attach a vector to a version that is there already."""
    key = tx.owner(operation.id)
    if key is None:
        return False
    query = "SELECT seq FROM versions WHERE id = %s AND version = %s"
    row = tx.execute(query, (operation.id, operation.version)).fetchone()
    if row is None:
        return False
    space = tx.space_for(operation.vector)
    tx.late += 1
    tx.add_vector(key, space, row[0], operation.vector, tx.late)
    return True


def reindex(tx: Transaction, operation: Reindex) -> bool:
    """Replace the terms of a version that is there already."""
    key = tx.owner(operation.id)
    if key is None:
        return False
    query = "SELECT seq, terms FROM versions WHERE id = %s AND version = %s"
    row = tx.execute(query, (operation.id, operation.version)).fetchone()
    if row is None:
        return False
    stream = tx.stream(operation.terms)
    if stream != row[1]:
        where = f"({KEY}) = (%s, %s, %s, %s) AND id = %s AND version = %s"
        tx.execute(f"UPDATE versions SET terms = %s WHERE {where}", (stream, *key, operation.id, operation.version))
        tx.reindexed = tx.enter("reindex", key, operation.id, operation.version)
    return True


def touch(tx: Transaction, operation: Touch) -> int:
    """Count a use of records."""
    at = to_micros(operation.at)
    strength = None if operation.strength is None else float(operation.strength)
    utility = None if operation.utility is None else float(operation.utility)
    tx.learn_owners(operation.ids)
    owned = [(key, id) for id in dict.fromkeys(operation.ids) if (key := tx.owner(id)) is not None]
    tx.many(
        "INSERT INTO usage AS u VALUES (%s, %s, %s, %s, %s, 1, %s, coalesce(%s::float8, 1), coalesce(%s::float8, 0)) "
        f"ON CONFLICT ({KEY}, id) DO UPDATE SET hits = u.hits + 1, last_hit = greatest(u.last_hit, excluded.last_hit), "
        "strength = coalesce(%s::float8, u.strength), utility = coalesce(%s::float8, u.utility)",
        [(*key, id, at, strength, utility, strength, utility) for key, id in sorted(owned)],
    )
    return len(owned)


_EDGE = f"({KEY}) = (%s, %s, %s, %s) AND source = %s AND target = %s AND type = %s"


def _prepare(tx: Transaction, draft: Draft) -> tuple[Times, Space | None]:
    """The times of a draft and its vector's space, after the checks that need the store."""
    times = resolve(draft, tx.moment)
    for source in draft.sources:
        if tx.owner(source[0]) is None:
            raise NotFound(f"source {source[0]} is no record in scope {tx.scope}")
    return times, None if draft.vector is None else tx.space_for(draft.vector)


def _open(
    tx: Transaction,
    op: JournalOp,
    key: Key,
    id: str,
    version: int,
    draft: Draft,
    times: Times,
    space: Space | None,
    meta: str,
    detail: Mapping[str, Any] | None,
) -> None:
    seq = tx.enter(op, key, id, version, detail=detail)
    sources = [Source(*source) for source in draft.sources]
    # Left empty: closed_at, ended_at, closed_seq.
    row = (
        *key, seq, id, version, pack(draft.kind), to_micros(times.event_at), to_micros(times.valid_from),
        micros(times.valid_to), tx.now, None, None, None, draft.state, pack_optional(draft.zone),
        pack_optional(draft.speaker), pack_optional(draft.role), pack_optional(draft.language),
        pack_optional(draft.origin), float(draft.trust), pack_sources(sources), None if meta == "{}" else meta,
    )  # fmt: skip
    tx.add_version(row, draft.terms, pack(draft.text))
    for source in sources:
        tx.add_lineage(key, source.id, seq)
    if space is not None and draft.vector is not None:
        tx.add_vector(key, space, seq, draft.vector)


def _open_version(tx: Transaction, id: str) -> _Current | None:
    """The open version of a record; only its newest one can be open."""
    query = (
        f"SELECT {KEY}, seq, version, valid_from, closed_at FROM versions WHERE id = %s ORDER BY version DESC LIMIT 1"
    )
    row = tx.execute(query, (id,)).fetchone()
    return None if row is None or row[7] is not None else _Current(row[:4], *row[4:7])


def _current(tx: Transaction, id: str, expected: int | None) -> _Current:
    """The open version; `NotFound` when there is none, `Conflict` when it is not the expected one."""
    if tx.owner(id) is None:
        raise no_record(tx, id)
    current = _open_version(tx, id)
    if current is None:
        raise NotFound(f"record {id} is closed; restore one of its versions first")
    if expected is not None and expected != current.version:
        raise Conflict(f"record {id} is at version {current.version}, not {expected}; read it again")
    return current


def _newest(tx: Transaction, key: Key, id: str) -> int:
    """The highest version number that a record ever had."""
    query = (
        "SELECT greatest((SELECT max(version) FROM versions WHERE id = %s), "
        f"(SELECT version FROM floors WHERE ({KEY}) = (%s, %s, %s, %s) AND id = %s))"
    )
    return int(tx.execute(query, (id, *key, id)).fetchall()[0][0])


def _shut(tx: Transaction, current: _Current, ended_at: int) -> None:
    """Close a version at the journal position that is entered next."""
    tx.execute(
        "UPDATE versions SET closed_at = %s, ended_at = %s, closed_seq = %s WHERE seq = %s",
        (tx.now, ended_at, tx.seq + 1, current.seq),
    )


def _weight(tx: Transaction, source: Key, edge: Edge) -> float | None:
    values = (*source, edge.source, edge.target, keyed(edge.type))
    row = tx.execute(f"SELECT weight FROM edges WHERE {_EDGE}", values).fetchone()
    return None if row is None else float(row[0])


def _enter_edge(
    tx: Transaction, op: JournalOp, source: Key, target: Key, edge: Edge, weights: Mapping[str, Any]
) -> None:
    # Covered by exactly those scopes that cover both ends.
    one, other = tx.scope_of(source), tx.scope_of(target)
    both = Scope(**{name: getattr(one, name) for name in FIELDS if getattr(one, name) == getattr(other, name)})
    detail = {"source": edge.source, "target": edge.target, "type": edge.type, **weights}
    tx.enter(op, tx.place(both), edge.source, 0, other=edge.target, detail=detail)
