"""What the operations that write do, except `Erase`: checks in their order, what closes what, what is journaled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from remanence.core.clock import from_micros, to_micros
from remanence.core.errors import Conflict, NotFound
from remanence.core.scope import FIELDS, Scope
from remanence.stores.relational.rows import Current
from remanence.stores.relational.transaction import K, Space, Transaction
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


def put(tx: Transaction[K], operation: Put, meta: str) -> Written:
    """Write the first version of a new record."""
    draft = operation.draft
    if draft.id is not None and tx.taken(draft.id):
        raise Conflict(f"id {draft.id} is taken or was erased; ids are never used twice, leave it out")
    times, space = _prepare(tx, draft)
    if tx.change is None:
        tx.begin_change()
    id = tx.draw() if draft.id is None else draft.id
    _open(tx, "put", tx.place(draft.scope or tx.scope), id, 1, draft, times, space, meta, None)
    return Written(id, 1, tx.moment)


def revise(tx: Transaction[K], operation: Revise, meta: str) -> Written:
    """Close the open version and write the next one."""
    id, draft = operation.id, operation.draft
    current = _current(tx, id, operation.expected_version)
    times, space = _prepare(tx, draft)
    _shut(tx, current, max(to_micros(times.valid_from), current.valid_from))
    version = tx.rows.newest(current.key, id) + 1
    _open(tx, "revise", current.key, id, version, draft, times, space, meta, {"previous": current.version})
    return Written(id, version, tx.moment)


def close(tx: Transaction[K], operation: Close) -> Written:
    """Close the open version without a successor."""
    current = _current(tx, operation.id, operation.expected_version)
    _shut(tx, current, to_micros(ending(from_micros(current.valid_from), operation.at)))
    tx.enter("close", current.key, operation.id, current.version, detail={"version": current.version})
    return Written(operation.id, current.version, tx.moment)


def restore(tx: Transaction[K], operation: Restore) -> Written:
    """Write an earlier version again, vectors included."""
    id, rows = operation.id, tx.rows
    key = tx.owner(id)
    if key is None:
        raise no_record(tx, id)
    row = rows.kept(id, operation.version)
    if row is None:
        raise NotFound(f"record {id} has no version {operation.version}; see its history")
    newest = rows.newest(key, id)
    if operation.expected_version is not None and operation.expected_version != newest:
        raise Conflict(f"record {id} is at version {newest}, not {operation.expected_version}; read it again")
    current = rows.open_version(id)
    if current is not None:
        _shut(tx, current, current.valid_from)
    earlier, kind, event_at, valid_from, valid_to, *kept, terms, text = row
    detail = {"from": operation.version, "previous": None if current is None else current.version}
    seq = tx.enter("restore", key, id, newest + 1, detail=detail)
    # Left empty: closed_at, ended_at, closed_seq.
    columns = (newest + 1, kind, event_at, valid_from, valid_to, tx.now, None, None, None, *kept)
    tx.add_version(key, seq, id, columns, tx.decode(unpack_terms(terms)), text)
    rows.copy_vectors(key, earlier, seq)
    rows.copy_lineage(key, earlier, seq)
    return Written(id, newest + 1, tx.moment)


def adopt(tx: Transaction[K], operation: Adopt, metas: str) -> Written:
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
    pack, pack_optional, *_ = tx.texts
    parts = zip(operation.versions, json.loads(metas), operation.terms, operation.vectors, spaces, strict=True)
    for record, meta, terms, vector, space in parts:
        seq = tx.enter("adopt", key, id, record.version, detail={"open": record.closed_at is None})
        columns = (
            record.version, record.kind, to_micros(record.event_at), to_micros(record.valid_from),
            micros(record.valid_to), to_micros(record.recorded_at), micros(record.closed_at),
            micros(record.ended_at), None if record.closed_at is None else seq, record.state,
            pack_optional(record.zone), pack_optional(record.speaker), pack_optional(record.role),
            pack_optional(record.language), pack_optional(record.origin), float(record.trust),
            pack_sources(record.sources), None if meta == "{}" else meta,
        )  # fmt: skip
        tx.add_version(key, seq, id, columns, terms, pack(record.text))
        for source in record.sources:
            tx.add_lineage(key, source.id, seq)
        if space is not None and vector is not None:
            tx.add_vector(key, space, seq, vector)
    usage = (newest.hits, micros(newest.last_hit), float(newest.strength), float(newest.utility))
    if usage != (0, None, 1.0, 0.0):
        tx.add_usage(key, id, usage)
    return Written(id, newest.version, newest.recorded_at)


def link(tx: Transaction[K], operation: Link) -> bool:
    """Add an edge or change its weight."""
    edge, rows = operation.edge, tx.rows
    ends = [tx.owner(end) for end in edge[:2]]
    for end, key in zip(edge[:2], ends, strict=True):
        if key is None:
            raise no_record(tx, end)
    source, target = (key for key in ends if key is not None)
    weight = float(edge.weight)
    previous = rows.weight(source, edge)
    if previous == weight:
        return False
    rows.set_edge(source, target, edge, weight)
    _enter_edge(tx, "link", source, target, edge, {"weight": weight, "previous": previous})
    return True


def unlink(tx: Transaction[K], operation: Unlink) -> bool:
    """Remove an edge."""
    edge, rows = operation.edge, tx.rows
    source, target = tx.owner(edge.source), tx.owner(edge.target)
    if source is None or target is None:
        return False
    weight = rows.weight(source, edge)
    if weight is None:
        return False
    rows.drop_edge(source, edge)
    _enter_edge(tx, "unlink", source, target, edge, {"weight": weight})
    return True


def embed(tx: Transaction[K], operation: Embed) -> bool:
    """Attach a vector to a version that is there already."""
    rows = tx.rows
    key = tx.owner(operation.id)
    there = None if key is None else rows.indexed(operation.id, operation.version)
    if key is None or there is None:
        return False
    rows.embed(key, tx.space_for(operation.vector), there[0], operation.vector)
    return True


def reindex(tx: Transaction[K], operation: Reindex) -> bool:
    """Replace the terms of a version that is there already."""
    id, version, rows = operation.id, operation.version, tx.rows
    key = tx.owner(id)
    there = None if key is None else rows.indexed(id, version)
    if key is None or there is None:
        return False
    stream = tx.stream(operation.terms)
    if stream != there[1]:
        rows.set_terms(key, id, version, stream)
        rows.note_reindexed(tx.enter("reindex", key, id, version))
    return True


def touch(tx: Transaction[K], operation: Touch) -> int:
    """Count a use of records."""
    at = to_micros(operation.at)
    strength = None if operation.strength is None else float(operation.strength)
    utility = None if operation.utility is None else float(operation.utility)
    tx.learn_owners(operation.ids)
    owned = [(key, id) for id in dict.fromkeys(operation.ids) if (key := tx.owner(id)) is not None]
    tx.rows.count_use(owned, at, strength, utility)
    return len(owned)


def no_record(tx: Transaction[K], id: str) -> NotFound:
    """The error for an id that does not exist as far as this scope can see."""
    return NotFound(f"no record {id!r} in scope {tx.scope}")


def _prepare(tx: Transaction[K], draft: Draft) -> tuple[Times, Space | None]:
    """The times of a draft and its vector's space, after the checks that need the store."""
    times = resolve(draft, tx.moment)
    for source in draft.sources:
        if tx.owner(source[0]) is None:
            raise NotFound(f"source {source[0]} is no record in scope {tx.scope}")
    return times, None if draft.vector is None else tx.space_for(draft.vector)


def _open(
    tx: Transaction[K],
    op: JournalOp,
    key: K,
    id: str,
    version: int,
    draft: Draft,
    times: Times,
    space: Space | None,
    meta: str,
    detail: Mapping[str, Any] | None,
) -> None:
    seq = tx.enter(op, key, id, version, detail=detail)
    event_at = tx.now if times.event_at is tx.moment else to_micros(times.event_at)
    valid_from = event_at if times.valid_from is times.event_at else to_micros(times.valid_from)
    valid_to = None if times.valid_to is None else to_micros(times.valid_to)
    sources = [Source(*source) for source in draft.sources]
    pack_optional = tx.texts.pack_optional
    # Left empty: closed_at, ended_at, closed_seq.
    columns = (
        version, draft.kind, event_at, valid_from, valid_to, tx.now, None, None, None, draft.state,
        pack_optional(draft.zone), pack_optional(draft.speaker), pack_optional(draft.role),
        pack_optional(draft.language), pack_optional(draft.origin), float(draft.trust), pack_sources(sources),
        None if meta == "{}" else meta,
    )  # fmt: skip
    tx.add_version(key, seq, id, columns, draft.terms, tx.texts.pack(draft.text))
    for source in sources:
        tx.add_lineage(key, source.id, seq)
    if space is not None and draft.vector is not None:
        tx.add_vector(key, space, seq, draft.vector)


def _current(tx: Transaction[K], id: str, expected: int | None) -> Current[K]:
    """The open version; `NotFound` when there is none, `Conflict` when it is not the expected one."""
    if tx.owner(id) is None:
        raise no_record(tx, id)
    current = tx.rows.open_version(id)
    if current is None:
        raise NotFound(f"record {id} is closed; restore one of its versions first")
    if expected is not None and expected != current.version:
        raise Conflict(f"record {id} is at version {current.version}, not {expected}; read it again")
    return current


def _shut(tx: Transaction[K], current: Current[K], ended_at: int) -> None:
    """Close a version at the journal position that is entered next."""
    tx.rows.shut(current.seq, ended_at, tx.seq + 1)


def _enter_edge(
    tx: Transaction[K], op: JournalOp, source: K, target: K, edge: Edge, weights: Mapping[str, Any]
) -> None:
    # Covered by exactly those scopes that cover both ends.
    one, other = tx.scope_of(source), tx.scope_of(target)
    both = Scope(**{name: getattr(one, name) for name in FIELDS if getattr(one, name) == getattr(other, name)})
    detail = {"source": edge.source, "target": edge.target, "type": edge.type, **weights}
    tx.enter(op, tx.place(both), edge.source, 0, other=edge.target, detail=detail)
