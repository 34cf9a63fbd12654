"""Answers to the operations that read, except `Scan`."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import Any

from remanence.core.clock import from_micros
from remanence.core.scope import FIELDS
from remanence.stores.relational import reading
from remanence.stores.relational.columns import KEY_FROM, TERMS_AT, Row, entries_from, receipt_from, record_from
from remanence.stores.relational.reading import Condition, edges_from
from remanence.stores.relational.writing import no_record
from remanence.stores.sqlite.codec import RECORD_COLUMNS, RECORDS, TEXTS, bounded, chunks, pack, scope_from, unpack
from remanence.stores.sqlite.transaction import Transaction
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
from remanence.substrates.records.port import Tally

_GOOD_PART = 8
_SORTED_AT_ONCE = 4096
"""Rows that are cheaper to sort than to look for in a long walk over all ids."""


def get(tx: Transaction, operation: Get) -> tuple[Record | None, ...]:
    """The newest visible version of each id."""
    shown, shown_values = visible(operation.view)
    rows: dict[str, Row] = {}
    for marks, values in chunks(_wellformed(operation.ids)):
        query = f"SELECT {RECORD_COLUMNS} FROM {RECORDS} WHERE v.id IN ({marks}) AND {shown}"
        for row in tx.execute(query, (*values, *shown_values)):
            if tx.covers(row[KEY_FROM]) and (row[0] not in rows or rows[row[0]][1] < row[1]):
                rows[row[0]] = row
    # The words of all of them at once, instead of one query for each.
    streams = [unpack_terms(row[TERMS_AT]) for row in rows.values()]
    words = iter(tx.decode(tuple(chain.from_iterable(streams))))
    records = {
        row[0]: record_from(row, tx.scope_of(row[KEY_FROM]), tuple(islice(words, len(stream))), TEXTS)
        for row, stream in zip(rows.values(), streams, strict=True)
    }
    return tuple([records.get(id) for id in operation.ids])


def find(tx: Transaction, operation: Find) -> tuple[Record, ...]:
    """Visible records that a predicate accepts, by id."""
    accepts = compile_filter(operation.where)
    limit = operation.limit
    found: list[Record] = []
    if limit == 0:
        return ()
    with closing(_newest_visible(tx, operation)) as rows:
        for row in rows:
            record = _record(tx, row)
            if accepts(record):
                found.append(record)
                if len(found) == limit:
                    break
    return tuple(found)


def count(tx: Transaction, operation: Count) -> int:
    """How many records are visible."""
    shown, shown_values = visible(operation.view)
    where, values = tx.covered("v.sid")
    source = "versions v"
    if tx.only_scope is None and _covers_many(tx, tx.seq // _GOOD_PART):
        source += " NOT INDEXED"
    query = f"SELECT count(DISTINCT v.id) FROM {source} WHERE {where} AND {shown}"
    parameters: list[Any] = [*values, *shown_values]
    narrow, narrow_values = _newest_is(operation, *visible(operation.view, "n"))
    query += narrow
    parameters += narrow_values
    return int(tx.execute(query, parameters).fetchone()[0])


def tallies(connection: sqlite3.Connection, view: View) -> tuple[Tally, ...]:
    """How many records are visible in each scope that holds one, the first of them, and when the last was changed."""
    shown, shown_values = visible(view)
    narrow, narrow_values = _newest_is(Count(view, derived=False), *visible(view, "n"))
    counted = (
        f"SELECT v.sid, count(*) AS number, min(v.id) AS first, max(v.recorded_at) AS changed FROM versions v "
        f"WHERE {shown}{narrow} GROUP BY v.sid"
    )
    query = (
        f"SELECT {', '.join(FIELDS)}, ifnull(c.number, 0), c.first, c.changed FROM scopes s LEFT JOIN ({counted}) c "
        "ON c.sid = s.sid WHERE EXISTS (SELECT 1 FROM versions v WHERE v.sid = s.sid) ORDER BY s.sid"
    )
    rows = connection.execute(query, [*shown_values, *narrow_values])
    return tuple(
        [
            Tally(scope_from(ids), number, first, None if changed is None else from_micros(changed))
            for *ids, number, first, changed in rows
        ]
    )


def history(tx: Transaction, operation: History) -> tuple[Record, ...]:
    """All versions of one record."""
    if tx.owner(operation.id) is None:
        raise no_record(tx, operation.id)
    query = f"SELECT {RECORD_COLUMNS} FROM {RECORDS} WHERE v.id = ? ORDER BY v.version"
    return tuple([_record(tx, row) for row in tx.execute(query, (operation.id,)).fetchall()])


def edges(tx: Transaction, operation: Edges) -> tuple[Edge, ...]:
    """Edges with both ends covered."""
    source, values = tx.covered("e.sid")
    target, _ = tx.covered("e.target_sid")
    columns = "SELECT e.source, e.target, e.type, e.weight FROM edges e WHERE"
    rows: set[Row] = set()
    if operation.ids is None:
        rows.update(tx.execute(f"{columns} {source} AND {target}", (*values, *values)))
    else:
        # An index is entered by the scope of an id; trying every scope that is covered would cost as many look-ups.
        owned: dict[int, list[str]] = {}
        for id in dict.fromkeys(operation.ids):
            if (sid := tx.owner(id)) is not None:
                owned.setdefault(sid, []).append(id)
        for sid, own in owned.items():
            for marks, ids in chunks(own):
                starting = f"{columns} e.sid = ? AND e.source IN ({marks}) AND {target}"
                ending = f"{columns} e.target_sid = ? AND e.target IN ({marks}) AND {source}"
                for query in (starting, ending):
                    rows.update(tx.execute(query, (sid, *ids, *values)))
    return edges_from(rows, operation.types, TEXTS)


def changes(tx: Transaction, operation: Changes) -> tuple[JournalEntry, ...]:
    """Journal entries whose scope is covered."""
    where, values = tx.covered("j.sid")
    conditions = ["j.seq > ?", where]
    parameters: list[Any] = [bounded(operation.since), *values]
    if operation.until is not None:
        conditions.append("j.seq <= ?")
        parameters.append(bounded(operation.until))
    if operation.change is not None:
        row = tx.execute("SELECT first, last FROM changes WHERE change = ?", (pack(operation.change),)).fetchone()
        conditions.append("j.seq BETWEEN ? AND ?")
        parameters += row or (1, 0)
    if operation.id is not None:
        # Versions know the positions of the entries that opened and closed them; only the others need an index by id.
        conditions.append(
            "j.seq IN (SELECT seq FROM versions WHERE id = ? UNION SELECT closed_seq FROM versions WHERE id = ? "
            "UNION SELECT seq FROM journal WHERE id = ? AND op IN ('link', 'unlink', 'reindex', 'erase'))"
        )
        parameters += [pack(operation.id)] * 3
    query = (
        "SELECT j.seq, c.change, c.at, c.actor, c.why, j.op, j.id, j.version, j.detail, j.sid "
        f"FROM journal j JOIN changes c ON c.first = j.first WHERE {' AND '.join(conditions)} ORDER BY j.seq LIMIT ?"
    )
    parameters.append(-1 if operation.limit is None else bounded(operation.limit))
    return entries_from(tx.execute(query, parameters).fetchall(), tx.scope_of, TEXTS)


def lookup(tx: Transaction, operation: Lookup) -> tuple[int | None, ...]:
    """Integers of terms."""
    tids = tx.tids(dict.fromkeys(operation.terms))
    return tuple([tids.get(term) for term in operation.terms])


def pending(tx: Transaction, operation: Pending) -> tuple[Record, ...]:
    """Open versions without a vector in a space."""
    where, values = tx.covered("v.sid")
    space = tx.space(operation.space)
    query = (
        f"SELECT {RECORD_COLUMNS} FROM {RECORDS} WHERE {where} AND v.closed_at IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM vectors e WHERE e.sid = v.sid AND e.space = ? AND e.seq = v.seq) ORDER BY v.seq LIMIT ?"
    )
    rows = tx.execute(query, (*values, space.number if space else 0, bounded(operation.limit))).fetchall()
    return tuple([_record(tx, row) for row in rows])


def spaces(tx: Transaction, operation: Spaces) -> tuple[tuple[str, int], ...]:
    """Vectors per space."""
    where, values = tx.covered("e.sid")
    query = f"SELECT s.key, count(*) FROM vectors e JOIN spaces s USING (space) WHERE {where} GROUP BY s.space"
    return tuple(sorted((unpack(key), number) for key, number in tx.execute(query, values)))


def receipts(tx: Transaction, operation: Receipts) -> tuple[Receipt, ...]:
    """Receipts of erasures."""
    where, values = tx.covered("r.sid")
    query = (
        "SELECT c.change, c.at, c.actor, r.reason, r.counts, r.seq, r.sid FROM receipts r "
        f"JOIN journal j ON j.seq = r.seq JOIN changes c ON c.first = j.first WHERE {where} ORDER BY r.seq"
    )
    found = []
    for *row, seq, sid in tx.execute(query, values).fetchall():
        parts: dict[str, list[str]] = {"asked": [], "derived": [], "kept": [], "again": []}
        for part, id in tx.execute("SELECT part, id FROM receipt_ids WHERE seq = ? ORDER BY part, place", (seq,)):
            parts[part].append(id)
        found.append(receipt_from(tuple(row), [*parts.values()], tx.scope_of(sid), TEXTS))
    return tuple(found)


def visible(view: View, of: str = "v") -> Condition:
    """`View.shows` as an SQL condition over the `versions` called `of`, with its parameters."""
    return reading.visible(view, of, mark="?", later="max")


def _newest_visible(tx: Transaction, operation: Find) -> Generator[Row, None, None]:
    """Rows of the newest visible version of each record, in order of ids, of the wanted kinds."""
    down = operation.newest_first
    current: Row | None = None
    # Versions of one record come together: the newest first on the way down, last on the way up.
    for row in _visible_rows(tx, operation, down):
        if current is not None and row[0] != current[0]:
            yield current
            current = row
        elif current is None or not down:
            current = row
    if current is not None:
        yield current


def _visible_rows(tx: Transaction, operation: Find, down: bool) -> Iterator[Row]:
    shown, values = _found(operation, "v")
    where, scope_values = tx.covered("v.sid")
    conditions, parameters = [where, shown], [*scope_values, *values]
    if operation.after is not None:
        conditions.append(f"v.id {'<' if down else '>'} ?")
        parameters.append(pack(operation.after))
    narrow, narrow_values = _newest_is(operation, *_found(operation, "n"))
    parameters += narrow_values
    order = "v.id DESC, v.version DESC" if down else "v.id, v.version"
    rest = f"WHERE {' AND '.join(conditions)}{narrow} ORDER BY {order}"
    index = "versions_scope"
    if tx.only_scope is None:
        # The ids of several scopes have to be sorted. Picking them out of the ids of the whole store is faster when
        # few are wanted, or when a good part of all ids is covered.
        picky = operation.where or narrow or operation.limit is None
        if not _covers_many(tx, tx.seq // _GOOD_PART if picky else 0):
            seqs = [seq for (seq,) in tx.execute(f"SELECT v.seq FROM versions v {rest}", parameters)]
            yield from _by_seq(tx, seqs)
            return
        index = "versions_id"
    source = RECORDS.replace("versions v", f"versions v INDEXED BY {index}")
    cursor = tx.execute(f"SELECT {RECORD_COLUMNS} FROM {source} {rest}", parameters)
    try:
        yield from cursor
    finally:
        cursor.close()


def _covers_many(tx: Transaction, versions: int) -> bool:
    """Whether the scope covers at least so many versions, and more than can be sorted in no time."""
    enough = max(versions, _SORTED_AT_ONCE)
    where, values = tx.covered("v.sid")
    query = f"SELECT count(*) FROM (SELECT 1 FROM versions v WHERE {where} LIMIT ?)"
    return bool(tx.execute(query, (*values, enough)).fetchone()[0] >= enough)


def _by_seq(tx: Transaction, seqs: list[int]) -> Iterator[Row]:
    """Rows in the order of `seqs`, fetched in portions that grow, since few of them may be wanted."""
    done, size = 0, 64
    while done < len(seqs):
        part = seqs[done : done + size]
        done, size = done + size, 512
        rows: dict[int, Row] = {}
        for marks, values in chunks(part):
            query = f"SELECT v.seq, {RECORD_COLUMNS} FROM {RECORDS} WHERE v.seq IN ({marks})"
            rows.update((row[0], row[1:]) for row in tx.execute(query, values))
        yield from (rows[seq] for seq in part)


def _found(operation: Find, of: str) -> Condition:
    """The condition that a version is among those of which the newest is found, with its parameters."""
    shown, values = visible(operation.view, of)
    if not operation.closed:
        return shown, values
    other, other_values = visible(operation.view, "o")
    return (
        f"({shown} OR NOT EXISTS (SELECT 1 FROM versions o WHERE o.id = {of}.id AND {other}))",
        (*values, *other_values),
    )


def _newest_is(operation: Find | Count, shown: str, values: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """What else an SQL condition asks of a version for the operation's `kinds` and `derived`, empty for nothing.

    They are asked of that version alone of which no newer one `n` of its record meets the condition `shown`.
    """
    parts: list[str] = []
    parameters: list[Any] = []
    if operation.kinds is not None:
        parts.append(f"v.kind IN ({','.join('?' * len(operation.kinds))})")
        parameters += map(pack, operation.kinds)
    if operation.derived is not None:
        # An origin with lone surrogates is a BLOB, which equals no text.
        begin = f"CAST(substr(v.origin, 1, {len(DERIVED)}) AS TEXT)"
        parts.append(f"ifnull({begin}, '') {'=' if operation.derived else '<>'} ?")
        parameters.append(DERIVED)
    if not parts:
        return "", []
    newer = f"SELECT 1 FROM versions n WHERE n.id = v.id AND n.version > v.version AND {shown}"
    return f" AND {' AND '.join(parts)} AND NOT EXISTS ({newer})", [*parameters, *values]


def _record(tx: Transaction, row: Row) -> Record:
    return record_from(row, tx.scope_of(row[KEY_FROM]), tx.decode(unpack_terms(row[TERMS_AT])), TEXTS)


def _wellformed(ids: tuple[str, ...]) -> list[str]:
    """Distinct ids that can occur at all; the others could not even be passed to SQLite."""
    return [id for id in dict.fromkeys(ids) if id.isascii()]
