"""The answer to `Scan`: versions as columns, as fast as Python and SQLite can hand them over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.stores.relational.columns import Row
from remanence.stores.relational.scanning import HIDDEN, LISTED, Closing, VectorTable, columns_from, gather, nothing
from remanence.stores.sqlite.codec import bounded, chunks, unpack
from remanence.stores.sqlite.transaction import Transaction
from remanence.substrates.records.operations import Columns, Scan

_AT_ONCE = 512
"""Rows per portion: fewer than the allocations that start a garbage collection."""
_SHORT_TAIL = 2048
_THIN = 4
_FEW_SCOPES = 16
"""Scopes that are asked for one by one."""
_COLUMNS = f"{LISTED}, {HIDDEN}, v.sid"


def scan(tx: Transaction, operation: Scan) -> Columns:
    """Versions since a journal position, with closings and late vectors."""
    after = min(operation.after, tx.seq)
    meta = dict(tx.execute("SELECT name, value FROM meta"))
    # Before every search an index asks whether there is anything new, and mostly there is not.
    if after == tx.seq and operation.vectors_after == meta["late"]:
        return nothing(tx.seq, meta["late"])
    listed = gather(_portions(tx, after), lambda key: key[0], unpack)
    scopes, scope_of = _scopes(tx, listed.places)
    return columns_from(
        listed,
        _closed(tx, after),
        _vectors(tx, operation, after, listed.seqs, dict.fromkeys(listed.places.tolist())),
        _embedded(tx, operation, after),
        seq=tx.seq,
        vectors_seq=meta["late"],
        erased=0 < operation.after < max(tx.epoch, meta["reindexed"]),
        after=after,
        scopes=scopes,
        scope_of=scope_of,
    )


def _portions(tx: Transaction, after: int) -> Iterator[Sequence[Row]]:
    """Rows of covered versions opened after a position, in journal order, in portions."""
    tail = tx.seq - after
    columns = f"SELECT {_COLUMNS} FROM versions v"
    if tail <= _SHORT_TAIL:
        rows = tx.execute(f"{columns} NOT INDEXED WHERE v.seq > ? ORDER BY v.seq", (after,)).fetchall()
        if rows := [row for row in rows if tx.covers(row[-1])]:
            yield rows
        return
    # Where the scope lies thinly in the journal, its own index leads to its rows; otherwise reading all is faster.
    where, values = tx.covered("v.sid")
    thin = f"FROM versions v INDEXED BY versions_scope WHERE {where} AND v.seq > ?"
    (wanted,) = tx.execute(f"SELECT count(*) {thin}", (*values, after)).fetchone()
    if wanted * _THIN < tail:
        seqs = sorted([seq for (seq,) in tx.execute(f"SELECT v.seq {thin}", (*values, after))])
        for marks, part in chunks(seqs):
            yield tx.execute(f"{columns} WHERE v.seq IN ({marks}) ORDER BY v.seq", part).fetchall()
        return
    cursor = tx.execute(f"{columns} NOT INDEXED WHERE v.seq > ? AND {where} ORDER BY v.seq", (after, *values))
    while rows := cursor.fetchmany(_AT_ONCE):
        yield rows


def _closed(tx: Transaction, after: int) -> list[Closing]:
    query = (
        "SELECT v.seq, v.id, v.version, v.closed_at, v.ended_at, v.sid FROM versions v INDEXED BY versions_closed "
        "WHERE v.closed_seq > ? ORDER BY v.closed_seq"
    )
    return [Closing._make(row[:5]) for row in tx.execute(query, (after,)) if tx.covers(row[5])]


def _scopes(tx: Transaction, sids: NDArray[np.int64]) -> tuple[list[Scope], NDArray[np.int32]]:
    """Distinct scopes in order of first appearance, and the place of each row's scope among them."""
    if not len(sids):
        return [], np.zeros(0, dtype=np.int32)
    if len(sids) and (sids == sids[0]).all():
        return [tx.scope_of(int(sids[0]))], np.zeros(len(sids), dtype=np.int32)
    distinct, first, inverse = np.unique(sids, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    places = np.empty(len(order), dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    listed = distinct[order].tolist()
    tx.learn_scopes(listed)
    return [tx.scope_of(sid) for sid in listed], places[inverse]


def _vectors(tx: Transaction, operation: Scan, after: int, seqs: NDArray[np.int64], sids: Iterable[int]) -> VectorTable:
    """Vectors of the listed rows. `sids`: the scope numbers of the rows."""
    table = VectorTable(seqs)
    space = None if operation.space is None else tx.space(operation.space)
    if space is None:
        return table
    parts = [("e.sid = ?", (sid,)) for sid in sids]
    for where, values in parts if len(parts) <= _FEW_SCOPES else [tx.covered("e.sid")]:
        query = f"SELECT e.seq, e.scale, e.data FROM vectors e WHERE {where} AND e.space = ? AND e.seq > ?"
        cursor = tx.execute(query, (*values, space.number, after))
        while rows := cursor.fetchmany(_AT_ONCE):
            table.add(rows, space.dim)
    return table


def _embedded(tx: Transaction, operation: Scan, after: int) -> list[tuple[str, int, bytes, float]]:
    """Vectors that came late to versions which the reader already has."""
    space = None if operation.space is None else tx.space(operation.space)
    if space is None or not after:
        return []
    query = (
        "SELECT v.id, v.version, e.data, e.scale, e.sid FROM vectors e INDEXED BY vectors_late "
        "JOIN versions v ON v.seq = e.seq WHERE e.late > ? AND e.space = ? AND e.seq <= ? ORDER BY e.late"
    )
    rows = tx.execute(query, (bounded(operation.vectors_after), space.number, after))
    return [row[:4] for row in rows if tx.covers(row[4])]
