"""The operations that write, except `Erase`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from remanence.core.clock import from_micros, to_micros
from remanence.core.errors import Conflict, NotFound
from remanence.core.scope import FIELDS, Scope
from remanence.stores.sqlite.codec import Column, pack, pack_optional
from remanence.stores.sqlite.reading import no_record
from remanence.stores.sqlite.transaction import Transaction, bounded
from remanence.substrates.records.checks import Times, check_adopted, ending, resolve
from remanence.substrates.records.model import Draft, Edge, Source
from remanence.substrates.records.operations import (
    Adopt,
    Close,
    Embed,
    JournalOp,
    Link,
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

    seq: int
    sid: int
    version: int
    valid_from: int


def put(tx: Transaction, operation: Put, meta: str) -> Written:
    """Write the first version of a new record."""
    draft = operation.draft
    if draft.id is not None and tx.taken(draft.id):
        raise Conflict(f"id {draft.id} is taken or was erased; ids are never used twice, leave it out")
    times, space = _prepare(tx, draft)
    if tx.change is None:
        tx.begin_change()
    id = tx.draw() if draft.id is None else draft.id
    sid = tx.sid_of(draft.scope or tx.scope)
    _open(tx, "put", sid, id, 1, draft, times, space, meta, None)
    return Written(id, 1, tx.moment)


def revise(tx: Transaction, operation: Revise, meta: str) -> Written:
    """Close the open version and write the next one."""
    id, draft = operation.id, operation.draft
    current = _current(tx, id, operation.expected_version)
    times, space = _prepare(tx, draft)
    _shut(tx, current, max(to_micros(times.valid_from), current.valid_from))
    version = _newest(tx, current.sid, id) + 1
    _open(tx, "revise", current.sid, id, version, draft, times, space, meta, {"previous": current.version})
    return Written(id, version, tx.moment)


def close(tx: Transaction, operation: Close) -> Written:
    """Close the open version without a successor."""
    current = _current(tx, operation.id, operation.expected_version)
    _shut(tx, current, to_micros(ending(from_micros(current.valid_from), operation.at)))
    tx.enter("close", current.sid, operation.id, current.version, detail={"version": current.version})
    return Written(operation.id, current.version, tx.moment)


def restore(tx: Transaction, operation: Restore) -> Written:
    """Write an earlier version again, vectors included."""
    id = operation.id
    sid = tx.owner(id)
    if sid is None:
        raise no_record(tx, id)
    row = tx.execute(
        "SELECT seq, kind, event_at, valid_from, valid_to, state, zone, speaker, role, language, origin, trust, "
        "sources, meta, terms, text FROM versions WHERE id = ? AND version = ?",
        (id, bounded(operation.version)),
    ).fetchone()
    if row is None:
        raise NotFound(f"record {id} has no version {operation.version}; see its history")
    newest = _newest(tx, sid, id)
    if operation.expected_version is not None and operation.expected_version != newest:
        raise Conflict(f"record {id} is at version {newest}, not {operation.expected_version}; read it again")
    current = _open_version(tx, id)
    if current is not None:
        _shut(tx, current, current.valid_from)
    earlier, kind, event_at, valid_from, valid_to, *kept, terms, text = row
    detail = {"from": operation.version, "previous": None if current is None else current.version}
    seq = tx.enter("restore", sid, id, newest + 1, detail=detail)
    version = (seq, sid, id, newest + 1, kind, event_at, valid_from, valid_to, tx.now, None, None, None, *kept)
    tx.add_version(version, tx.decode(unpack_terms(terms)), text)
    tx.execute(
        "INSERT INTO vectors SELECT sid, space, ?, NULL, scale, data FROM vectors WHERE sid = ? AND seq = ?",
        (seq, sid, earlier),
    )
    tx.execute("INSERT INTO lineage SELECT source, ? FROM lineage WHERE seq = ?", (seq, earlier))
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
    sid = tx.sid_of(newest.scope)
    parts = zip(operation.versions, json.loads(metas), operation.terms, operation.vectors, spaces, strict=True)
    for record, meta, terms, vector, space in parts:
        seq = tx.enter("adopt", sid, id, record.version, detail={"open": record.closed_at is None})
        row = (
            seq, sid, id, record.version, record.kind, to_micros(record.event_at), to_micros(record.valid_from),
            micros(record.valid_to), to_micros(record.recorded_at), micros(record.closed_at),
            micros(record.ended_at), None if record.closed_at is None else seq, record.state,
            pack_optional(record.zone), pack_optional(record.speaker), pack_optional(record.role),
            pack_optional(record.language), pack_optional(record.origin), float(record.trust),
            pack_sources(record.sources), None if meta == "{}" else meta,
        )  # fmt: skip
        tx.add_version(row, terms, pack(record.text))
        for source in record.sources:
            tx.add_lineage(source.id, seq)
        if space is not None and vector is not None:
            tx.add_vector(sid, space, seq, vector)
    usage = (newest.hits, micros(newest.last_hit), float(newest.strength), float(newest.utility))
    if usage != (0, None, 1.0, 0.0):
        tx.execute("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?)", (sid, id, *usage))
    return Written(id, newest.version, newest.recorded_at)


def link(tx: Transaction, operation: Link) -> bool:
    """Add an edge or change its weight."""
    edge = operation.edge
    ends = [tx.owner(end) for end in edge[:2]]
    for end, sid in zip(edge[:2], ends, strict=True):
        if sid is None:
            raise no_record(tx, end)
    source_sid, target_sid = (sid for sid in ends if sid is not None)
    type, weight = pack(edge.type), float(edge.weight)
    previous = _weight(tx, source_sid, edge, type)
    if previous == weight:
        return False
    tx.execute(
        "INSERT INTO edges VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET weight = excluded.weight",
        (source_sid, edge.source, edge.target, type, weight, target_sid),
    )
    _enter_edge(tx, "link", source_sid, target_sid, edge, {"weight": weight, "previous": previous})
    return True


def unlink(tx: Transaction, operation: Unlink) -> bool:
    """Remove an edge."""
    edge = operation.edge
    source_sid, target_sid = tx.owner(edge.source), tx.owner(edge.target)
    if source_sid is None or target_sid is None:
        return False
    type = pack(edge.type)
    weight = _weight(tx, source_sid, edge, type)
    if weight is None:
        return False
    tx.execute(
        "DELETE FROM edges WHERE sid = ? AND source = ? AND target = ? AND type = ?",
        (source_sid, edge.source, edge.target, type),
    )
    _enter_edge(tx, "unlink", source_sid, target_sid, edge, {"weight": weight})
    return True


def embed(tx: Transaction, operation: Embed) -> bool:
    """Attach a vector to a version that is there already."""
    sid = tx.owner(operation.id)
    if sid is None:
        return False
    row = tx.execute(
        "SELECT seq FROM versions WHERE id = ? AND version = ?", (operation.id, bounded(operation.version))
    ).fetchone()
    if row is None:
        return False
    vector = operation.vector
    space = tx.space_for(vector)
    (late,) = tx.execute("UPDATE meta SET value = value + 1 WHERE name = 'late' RETURNING value").fetchone()
    values = (sid, space, row[0], late, vector.scale, vector.data)
    tx.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", values)
    return True


def reindex(tx: Transaction, operation: Reindex) -> bool:
    """Replace the terms of a version that is there already."""
    sid = tx.owner(operation.id)
    if sid is None:
        return False
    row = tx.execute(
        "SELECT seq, terms FROM versions WHERE id = ? AND version = ?", (operation.id, bounded(operation.version))
    ).fetchone()
    if row is None:
        return False
    stream = tx.stream(operation.terms)
    if stream != row[1]:
        tx.execute("UPDATE versions SET terms = ? WHERE seq = ?", (stream, row[0]))
        seq = tx.enter("reindex", sid, operation.id, operation.version)
        tx.execute("UPDATE meta SET value = ? WHERE name = 'reindexed'", (seq,))
    return True


def touch(tx: Transaction, operation: Touch) -> int:
    """Count a use of records."""
    at = to_micros(operation.at)
    strength = None if operation.strength is None else float(operation.strength)
    utility = None if operation.utility is None else float(operation.utility)
    ids = [(sid, id) for id in dict.fromkeys(operation.ids) if (sid := tx.owner(id)) is not None]
    tx.connection.executemany(
        "INSERT INTO usage VALUES (?1, ?2, 1, ?3, ifnull(?4, 1.0), ifnull(?5, 0.0)) ON CONFLICT DO UPDATE SET "
        "hits = hits + 1, last_hit = max(ifnull(last_hit, ?3), ?3), strength = ifnull(?4, strength), "
        "utility = ifnull(?5, utility)",
        [(sid, id, at, strength, utility) for sid, id in ids],
    )
    return len(ids)


def _prepare(tx: Transaction, draft: Draft) -> tuple[Times, int | None]:
    """The times of a draft and the number of its vector's space, after the checks that need the store."""
    times = resolve(draft, tx.moment)
    for source in draft.sources:
        if tx.owner(source[0]) is None:
            raise NotFound(f"source {source[0]} is no record in scope {tx.scope}")
    return times, None if draft.vector is None else tx.space_for(draft.vector)


def _open(
    tx: Transaction,
    op: JournalOp,
    sid: int,
    id: str,
    version: int,
    draft: Draft,
    times: Times,
    space: int | None,
    meta: str,
    detail: Mapping[str, Any] | None,
) -> None:
    seq = tx.enter(op, sid, id, version, detail=detail)
    event_at = tx.now if times.event_at is tx.moment else to_micros(times.event_at)
    valid_from = event_at if times.valid_from is times.event_at else to_micros(times.valid_from)
    valid_to = None if times.valid_to is None else to_micros(times.valid_to)
    sources = [Source(*source) for source in draft.sources]
    # Placeholders: closed_at, ended_at, closed_seq.
    row = (
        seq, sid, id, version, draft.kind, event_at, valid_from, valid_to, tx.now, None, None, None, draft.state,
        pack_optional(draft.zone), pack_optional(draft.speaker), pack_optional(draft.role),
        pack_optional(draft.language), pack_optional(draft.origin), float(draft.trust), pack_sources(sources),
        None if meta == "{}" else meta,
    )  # fmt: skip
    tx.add_version(row, draft.terms, pack(draft.text))
    for source in sources:
        tx.add_lineage(source.id, seq)
    if space is not None and draft.vector is not None:
        tx.add_vector(sid, space, seq, draft.vector)


def _open_version(tx: Transaction, id: str) -> _Current | None:
    """The open version of a record; only its newest one can be open."""
    columns = "seq, sid, version, valid_from, closed_at"
    query = f"SELECT {columns} FROM versions WHERE id = ? ORDER BY version DESC LIMIT 1"
    row = tx.execute(query, (id,)).fetchone()
    return None if row is None or row[4] is not None else _Current(*row[:4])


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


def _newest(tx: Transaction, sid: int, id: str) -> int:
    """The highest version number that a record ever had."""
    query = (
        "SELECT max((SELECT max(version) FROM versions WHERE id = ?), "
        "ifnull((SELECT version FROM floors WHERE sid = ? AND id = ?), 0))"
    )
    return int(tx.execute(query, (id, sid, id)).fetchone()[0])


def _shut(tx: Transaction, current: _Current, ended_at: int) -> None:
    """Close a version at the journal position that is entered next."""
    tx.execute(
        "UPDATE versions SET closed_at = ?, ended_at = ?, closed_seq = ? WHERE seq = ?",
        (tx.now, ended_at, tx.seq + 1, current.seq),
    )


def _weight(tx: Transaction, sid: int, edge: Edge, type: Column) -> float | None:
    row = tx.execute(
        "SELECT weight FROM edges WHERE sid = ? AND source = ? AND target = ? AND type = ?",
        (sid, edge.source, edge.target, type),
    ).fetchone()
    return None if row is None else float(row[0])


def _enter_edge(
    tx: Transaction, op: JournalOp, source_sid: int, target_sid: int, edge: Edge, weights: Mapping[str, Any]
) -> None:
    # Covered by exactly those scopes that cover both ends.
    one, other = tx.scope_of(source_sid), tx.scope_of(target_sid)
    both = Scope(**{name: getattr(one, name) for name in FIELDS if getattr(one, name) == getattr(other, name)})
    detail = {"source": edge.source, "target": edge.target, "type": edge.type, **weights}
    tx.enter(op, tx.sid_of(both), edge.source, 0, other=edge.target, detail=detail)
