"""Answers to the operations that read, except `Scan`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from remanence.core.clock import from_micros
from remanence.core.errors import NotFound
from remanence.core.scope import FIELDS
from remanence.stores.postgres.codec import (
    KEY_AT,
    RECORD_COLUMNS,
    RECORDS,
    TERMS_AT,
    Row,
    before_ids,
    pack,
    record_from,
    unpack,
)
from remanence.stores.postgres.transaction import Transaction
from remanence.substrates.records.filters import compile_filter
from remanence.substrates.records.model import DERIVED, Edge, Record, View
from remanence.substrates.records.operations import (
    Changes,
    Count,
    Edges,
    Find,
    Get,
    History,
    JournalEntry,
    Lookup,
    Pending,
    Receipt,
    Receipts,
    Spaces,
)
from remanence.substrates.records.packing import unpack_terms

_PORTIONS = (128, 1024, 8192)
"""Records that are fetched at once while a predicate looks for those that it accepts: first few, then more."""

Condition = tuple[str, tuple[Any, ...]]


def get(tx: Transaction, operation: Get) -> tuple[Record | None, ...]:
    """The newest visible version of each id."""
    shown, values = visible(operation.view)
    where, scope = tx.covered("v")
    query = (
        f"SELECT DISTINCT ON (v.id) {RECORD_COLUMNS} FROM {RECORDS} "
        f"WHERE v.id = ANY(%s) AND {where} AND {shown} ORDER BY v.id, v.version DESC"
    )
    ids = [*dict.fromkeys(map(pack, operation.ids))]
    records = {record.id: record for record in _records(tx, tx.execute(query, (ids, *scope, *values)).fetchall())}
    return tuple([records.get(id) for id in operation.ids])


def find(tx: Transaction, operation: Find) -> tuple[Record, ...]:
    """Visible records that a predicate accepts, by id."""
    accepts = compile_filter(operation.where)
    limit = operation.limit
    if limit == 0:
        return ()
    if not operation.where:
        return tuple(_page(tx, operation, operation.after, limit))
    found: list[Record] = []
    for record in _walk(tx, operation):
        if accepts(record):
            found.append(record)
            if len(found) == limit:
                break
    return tuple(found)


def count(tx: Transaction, operation: Count) -> int:
    """How many records are visible."""
    shown, values = visible(operation.view)
    where, scope = tx.covered("v")
    narrow, wanted = _narrow(operation)
    if narrow:
        newest = f"SELECT DISTINCT ON (v.id) v.kind, v.origin FROM versions v WHERE {where} AND {shown}"
        query = f"SELECT count(*) FROM ({newest} ORDER BY v.id, v.version DESC) v WHERE {narrow}"
    else:
        query = f"SELECT count(DISTINCT v.id) FROM versions v WHERE {where} AND {shown}"
    return int(tx.execute(query, (*scope, *values, *wanted)).fetchall()[0][0])


def history(tx: Transaction, operation: History) -> tuple[Record, ...]:
    """All versions of one record."""
    where, scope = tx.covered("v")
    query = f"SELECT {RECORD_COLUMNS} FROM {RECORDS} WHERE v.id = %s AND {where} ORDER BY v.version"
    rows = tx.execute(query, (pack(operation.id), *scope)).fetchall()
    if not rows:
        raise no_record(tx, operation.id)
    return tuple(_records(tx, rows))


def edges(tx: Transaction, operation: Edges) -> tuple[Edge, ...]:
    """Edges with both ends covered."""
    source, values = tx.covered("e")
    target, _ = tx.covered("e", "target_")
    query = f"SELECT e.source, e.target, e.label, e.weight FROM edges e WHERE {source} AND {target}"
    rows: set[Row] = set()
    if operation.ids is None:
        rows.update(tx.execute(query, (*values, *values)))
    else:
        ids = [*dict.fromkeys(map(pack, operation.ids))]
        for end in ("source", "target"):
            rows.update(tx.execute(f"{query} AND e.{end} = ANY(%s)", (*values, *values, ids)))
    found = [Edge(source, target, unpack(type), weight) for source, target, type, weight in rows]
    if operation.types is not None:
        found = [edge for edge in found if edge.type in operation.types]
    return tuple(sorted(found))


def changes(tx: Transaction, operation: Changes) -> tuple[JournalEntry, ...]:
    """Journal entries whose scope is covered."""
    where, values = tx.covered("j")
    conditions = ["j.seq > %s", where]
    parameters: list[Any] = [operation.since, *values]
    for column, wanted in (("change", operation.change), ("id", operation.id)):
        if wanted is not None:
            conditions.append(f"j.{column} = %s")
            parameters.append(pack(wanted))
    key = ", ".join(f"j.{name}" for name in FIELDS)
    query = (
        f"SELECT j.seq, j.change, j.at, j.actor, j.why, {key}, j.op, j.id, j.version, j.detail "
        f"FROM journal j WHERE {' AND '.join(conditions)} ORDER BY j.seq LIMIT %s"
    )
    parameters.append(operation.limit)
    return tuple(
        [
            JournalEntry(
                seq=row[0],
                change=row[1],
                at=from_micros(row[2]),
                actor=unpack(row[3]),
                why=unpack(row[4]),
                scope=tx.scope_of(row[5:9]),
                op=row[9],
                id=row[10],
                version=row[11],
                detail={} if row[12] is None else json.loads(row[12]),
            )
            for row in tx.execute(query, parameters).fetchall()
        ]
    )


def lookup(tx: Transaction, operation: Lookup) -> tuple[int | None, ...]:
    """Integers of terms."""
    tids = tx.tids(dict.fromkeys(operation.terms))
    return tuple([tids.get(term) for term in operation.terms])


def pending(tx: Transaction, operation: Pending) -> tuple[Record, ...]:
    """Open versions without a vector in a space."""
    where, values = tx.covered("v")
    space = tx.space(operation.space)
    same = " AND ".join(f"e.{name} = v.{name}" for name in FIELDS)
    query = (
        f"SELECT {RECORD_COLUMNS} FROM {RECORDS} WHERE {where} AND v.closed_at IS NULL AND NOT EXISTS "
        f"(SELECT 1 FROM vectors e WHERE {same} AND e.space = %s AND e.seq = v.seq) ORDER BY v.seq LIMIT %s"
    )
    rows = tx.execute(query, (*values, space.number if space else 0, operation.limit)).fetchall()
    return tuple(_records(tx, rows))


def spaces(tx: Transaction, operation: Spaces) -> tuple[tuple[str, int], ...]:
    """Vectors per space."""
    where, values = tx.covered("e")
    query = (
        "SELECT s.key, n.number FROM (SELECT e.space, count(*) AS number FROM vectors e "
        f"WHERE {where} GROUP BY e.space) n JOIN spaces s ON s.space = n.space"
    )
    return tuple(sorted((unpack(key), number) for key, number in tx.execute(query, values)))


def receipts(tx: Transaction, operation: Receipts) -> tuple[Receipt, ...]:
    """Receipts of erasures."""
    where, values = tx.covered("r")
    key = ", ".join(f"r.{name}" for name in FIELDS)
    query = (
        f"SELECT r.change, {key}, r.at, r.actor, r.reason, r.counts, r.asked, r.derived, r.kept, r.again "
        f"FROM receipts r WHERE {where} ORDER BY r.seq"
    )
    return tuple(
        [
            Receipt(
                id=row[0],
                scope=tx.scope_of(row[1:5]),
                at=from_micros(row[5]),
                actor=unpack(row[6]),
                reason=unpack(row[7]),
                ids=tuple(row[9]),
                derived=tuple(row[10]),
                kept=tuple(row[11]),
                counts=json.loads(row[8]),
                again=tuple(row[12]),
            )
            for row in tx.execute(query, values).fetchall()
        ]
    )


def visible(view: View, of: str = "v") -> Condition:
    """`View.shows` as an SQL condition over the `versions` called `of`, with its parameters."""
    now, as_of, known_at = view.micros()
    at = now if as_of is None else as_of
    # Without as_of, what lies ahead is judged at its own beginning: its start does not hide it, its end does.
    moment = f"greatest(%s, {of}.valid_from)" if as_of is None else "%s"
    conditions = [f"({of}.valid_to IS NULL OR {of}.valid_to > {moment})"]
    values = [at]
    if as_of is not None:
        conditions.append(f"{of}.valid_from <= %s")
        values.append(at)
    if known_at is None:
        conditions.append(f"({of}.ended_at IS NULL OR {of}.ended_at > {moment})")
        values.append(at)
    else:
        closed = f"{of}.closed_at IS NULL OR {of}.closed_at > %s OR {of}.ended_at > {moment}"
        conditions.append(f"{of}.recorded_at <= %s AND ({closed})")
        values += [known_at, known_at, at]
    return " AND ".join(conditions), tuple(values)


def no_record(tx: Transaction, id: str) -> NotFound:
    """The error for an id that does not exist as far as this scope can see."""
    return NotFound(f"no record {id!r} in scope {tx.scope}")


def _walk(tx: Transaction, operation: Find) -> Iterator[Record]:
    """All records of the operation but for its predicate and its limit, in portions that grow."""
    after, sizes = operation.after, list(_PORTIONS)
    while True:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        page = _page(tx, operation, after, size)
        yield from page
        if len(page) < size:
            return
        after = page[-1].id


def _page(tx: Transaction, operation: Find, after: str | None, limit: int | None) -> list[Record]:
    """The newest visible version of each record behind `after`, in order of ids, of the wanted kinds."""
    down = operation.newest_first
    shown, values = visible(operation.view)
    where, scope = tx.covered("v")
    conditions, parameters, order = [where], [*scope], "v.version DESC"
    if operation.closed:
        # Visible versions come first; of a record that has none, the newest of all.
        order = f"({shown}) DESC, v.version DESC"
    else:
        conditions.append(shown)
        parameters += values
    if after is not None:
        conditions.append(f"v.id {'<' if down else '>'} %s")
        parameters.append(before_ids(after))
    if operation.closed:
        parameters += values
    turn = " DESC" if down else ""
    newest = (
        "SELECT DISTINCT ON (v.id) v.id, v.seq, v.kind, v.origin FROM versions v "
        f"WHERE {' AND '.join(conditions)} ORDER BY v.id{turn}, {order}"
    )
    narrow, wanted = _narrow(operation)
    # First which, then what they hold: texts would only be carried through the sort.
    query = f"SELECT v.seq FROM ({newest}) v{' WHERE ' + narrow if narrow else ''} ORDER BY v.id{turn} LIMIT %s"
    seqs = [seq for (seq,) in tx.execute(query, (*parameters, *wanted, limit))]
    found: list[Record] = []
    for start in range(0, len(seqs), _PORTIONS[-1]):
        found += _by_seq(tx, seqs[start : start + _PORTIONS[-1]])
    return found


def _by_seq(tx: Transaction, seqs: Sequence[int]) -> list[Record]:
    """Records in the order of `seqs`."""
    query = f"SELECT v.seq, {RECORD_COLUMNS} FROM {RECORDS} WHERE v.seq = ANY(%s::bigint[])"
    rows = {row[0]: row[1:] for row in tx.execute(query, ([*seqs],))}
    return _records(tx, [rows[seq] for seq in seqs])


def _narrow(operation: Find | Count) -> Condition:
    """What a condition asks of the newest visible version for the operation's `kinds` and `derived`."""
    parts: list[str] = []
    parameters: list[Any] = []
    if operation.kinds is not None:
        parts.append("v.kind = ANY(%s::text[])")
        parameters.append([*map(pack, operation.kinds)])
    if operation.derived is not None:
        parts.append(f"coalesce(starts_with(v.origin, %s), false) {'=' if operation.derived else '<>'} true")
        parameters.append(DERIVED)
    return " AND ".join(parts), tuple(parameters)


def _records(tx: Transaction, rows: Iterable[Row]) -> list[Record]:
    """Records from rows; the words of all of them are looked up at once."""
    listed = [(row, unpack_terms(row[TERMS_AT])) for row in rows]
    tx.decode(tuple(chain.from_iterable(terms for _, terms in listed)))
    return [record_from(row, tx.scope_of(row[KEY_AT]), tx.decode(terms)) for row, terms in listed]
