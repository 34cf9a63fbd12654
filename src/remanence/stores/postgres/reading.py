"""Answers to the operations that read, except `Scan`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from remanence.core.scope import FIELDS
from remanence.stores.postgres.asking import AT_ONCE, Ask, Asked, Steps, TooMuch, learn
from remanence.stores.postgres.codec import (
    KEY_AT,
    RECORD_COLUMNS,
    RECORDS,
    TEXTS,
    before_ids,
    digest,
    key_from,
    pack,
    unpack,
)
from remanence.stores.postgres.transaction import TIDS, Transaction, tids_of
from remanence.stores.relational import reading
from remanence.stores.relational.columns import TERMS_AT, Row, entries_from, receipt_from, record_from
from remanence.stores.relational.reading import Condition, edges_from
from remanence.stores.relational.writing import no_record
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


def _get(tx: Transaction, operation: Get) -> Steps[tuple[Record | None, ...]]:
    shown, values = visible(operation.view)
    where, scope = tx.covered("v")
    query = (
        f"SELECT DISTINCT ON (v.id) {RECORD_COLUMNS} FROM {RECORDS} "
        f"WHERE v.id = ANY(%s) AND {where} AND {shown} ORDER BY v.id, v.version DESC"
    )
    ids = [*dict.fromkeys(map(pack, operation.ids))]
    (rows,) = yield [Ask(query, (ids, *scope, *values))]
    records = {record.id: record for record in (yield from _records(tx, rows))}
    return tuple([records.get(id) for id in operation.ids])


def _find(tx: Transaction, operation: Find) -> Steps[tuple[Record, ...]]:
    accepts = compile_filter(operation.where)
    limit = operation.limit
    if limit == 0:
        return ()
    if not operation.where:
        return tuple((yield from _page(tx, operation, operation.after, limit)))
    if tx.in_one_piece:
        raise TooMuch
    found: list[Record] = []
    after, sizes = operation.after, list(_PORTIONS)
    while True:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        page = yield from _page(tx, operation, after, size)
        found += filter(accepts, page)
        if limit is not None and len(found) >= limit:
            return tuple(found[:limit])
        if len(page) < size:
            return tuple(found)
        after = page[-1].id


def _count(tx: Transaction, operation: Count) -> Steps[int]:
    shown, values = visible(operation.view)
    where, scope = tx.covered("v")
    narrow, wanted = _narrow(operation)
    if narrow:
        newest = f"SELECT DISTINCT ON (v.id) v.kind, v.origin FROM versions v WHERE {where} AND {shown}"
        query = f"SELECT count(*) FROM ({newest} ORDER BY v.id, v.version DESC) v WHERE {narrow}"
    else:
        query = f"SELECT count(DISTINCT v.id) FROM versions v WHERE {where} AND {shown}"
    (((number,),),) = yield [Ask(query, (*scope, *values, *wanted))]
    return int(number)


def _history(tx: Transaction, operation: History) -> Steps[tuple[Record, ...]]:
    where, scope = tx.covered("v")
    query = f"SELECT {RECORD_COLUMNS} FROM {RECORDS} WHERE v.id = %s AND {where} ORDER BY v.version"
    (rows,) = yield [Ask(query, (pack(operation.id), *scope))]
    if not rows:
        raise no_record(tx, operation.id)
    return tuple((yield from _records(tx, rows)))


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
    return edges_from(rows, operation.types, TEXTS)


def _changes(tx: Transaction, operation: Changes) -> Steps[tuple[JournalEntry, ...]]:
    where, values = tx.covered("j")
    conditions = ["j.seq > %s", where]
    parameters: list[Any] = [operation.since, *values]
    if operation.until is not None:
        conditions.append("j.seq <= %s")
        parameters.append(operation.until)
    for column, wanted in (("change", operation.change), ("id", operation.id)):
        if wanted is not None:
            conditions.append(f"j.{column} = %s")
            parameters.append(pack(wanted))
    key = ", ".join(f"j.{name}" for name in FIELDS)
    query = (
        "SELECT j.seq, j.change, j.at, j.actor, j.why, j.op, j.id, j.version, j.detail, "
        f"{key} FROM journal j WHERE {' AND '.join(conditions)} ORDER BY j.seq LIMIT %s"
    )
    parameters.append(operation.limit)
    (rows,) = yield [Ask(query, parameters)]
    keys = [key_from(row[9:]) for row in rows]
    yield from learn(tx, scopes={*keys})
    return entries_from([(*row[:9], key) for row, key in zip(rows, keys, strict=True)], tx.scope_of, TEXTS)


def _lookup(tx: Transaction, operation: Lookup) -> Steps[tuple[int | None, ...]]:
    tids, missing = tx.known_tids(dict.fromkeys(operation.terms))
    if missing:
        by_digest = {digest(term): term for term in missing}
        (rows,) = yield [Ask(TIDS, ([*by_digest],))]
        tids |= tx.learn_tids(tids_of(by_digest, rows))
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
    return tuple(records_of(tx, rows))


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
        "SELECT r.change, r.at, r.actor, r.reason, r.counts, r.asked, r.derived, r.kept, r.again, "
        f"{key} FROM receipts r WHERE {where} ORDER BY r.seq"
    )
    rows = tx.execute(query, values).fetchall()
    return tuple([receipt_from(row[:5], row[5:9], tx.scope_of(key_from(row[9:])), TEXTS) for row in rows])


def visible(view: View, of: str = "v") -> Condition:
    """`View.shows` as an SQL condition over the `versions` called `of`, with its parameters."""
    return reading.visible(view, of, mark="%s", later="greatest")


def _page(tx: Transaction, operation: Find, after: str | None, limit: int | None) -> Steps[list[Record]]:
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
    query = f"SELECT v.id, v.seq FROM ({newest}) v{' WHERE ' + narrow if narrow else ''} ORDER BY v.id{turn} LIMIT %s"
    parameters += wanted
    if tx.in_one_piece or (limit is not None and limit <= AT_ONCE):
        most = AT_ONCE + 1 if limit is None else min(limit, AT_ONCE + 1)
        chosen = f"WITH n AS MATERIALIZED ({query}) SELECT {RECORD_COLUMNS} FROM n, {RECORDS}"
        (rows,) = yield [Ask(f"{chosen} WHERE v.seq = n.seq ORDER BY n.id{turn}", (*parameters, most))]
        if len(rows) > AT_ONCE:
            raise TooMuch
        return (yield from _records(tx, rows))
    (seqs,) = yield [Ask(query, (*parameters, limit))]
    found: list[Record] = []
    for start in range(0, len(seqs), _PORTIONS[-1]):
        part = [seq for _, seq in seqs[start : start + _PORTIONS[-1]]]
        (rows,) = yield [Ask(f"SELECT v.seq, {RECORD_COLUMNS} FROM {RECORDS} WHERE v.seq = ANY(%s::bigint[])", (part,))]
        by_seq = {row[0]: row[1:] for row in rows}
        found += yield from _records(tx, [by_seq[seq] for seq in part])
    return found


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


def records_of(tx: Transaction, rows: Sequence[Row]) -> list[Record]:
    """Records from rows of `RECORD_COLUMNS`; the words of all of them are looked up at once."""
    listed = [(row, unpack_terms(row[TERMS_AT])) for row in rows]
    tx.decode(tuple(chain.from_iterable(terms for _, terms in listed)))
    return _made(tx, listed)


def _records(tx: Transaction, rows: Sequence[Row]) -> Steps[list[Record]]:
    listed = [(row, unpack_terms(row[TERMS_AT])) for row in rows]
    yield from learn(tx, chain.from_iterable(terms for _, terms in listed), {key_from(row[KEY_AT]) for row in rows})
    return _made(tx, listed)


def _made(tx: Transaction, listed: Sequence[tuple[Row, tuple[int, ...]]]) -> list[Record]:
    return [record_from(row, tx.scope_of(key_from(row[KEY_AT])), tx.decode(terms), TEXTS) for row, terms in listed]


get = Asked(_get)
"""The newest visible version of each id."""
find = Asked(_find)
"""Visible records that a predicate accepts, by id."""
count = Asked(_count)
"""How many records are visible."""
history = Asked(_history)
"""All versions of one record."""
changes = Asked(_changes)
"""Journal entries whose scope is covered."""
lookup = Asked(_lookup)
"""Integers of terms."""
