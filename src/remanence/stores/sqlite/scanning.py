"""The answer to `Scan`: versions as columns, as fast as Python and SQLite can hand them over."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.stores.sqlite.codec import Row, bounded, chunks, unpack
from remanence.stores.sqlite.transaction import Transaction
from remanence.substrates.records.model import AWAY
from remanence.substrates.records.operations import NEVER, Columns, Scan

_AT_ONCE = 512
"""Rows per portion: fewer than the allocations that start a garbage collection."""
_SHORT_TAIL = 2048
_THIN = 4
_FEW_SCOPES = 16
"""Scopes that are asked for one by one."""
_COLUMNS = (
    "v.seq, v.id, v.version, v.kind, v.sid, v.speaker, v.role, v.event_at, v.valid_from, v.valid_to, v.recorded_at, "
    f"v.terms, v.origin, v.state IN ({', '.join(map(repr, sorted(AWAY)))}) OR v.trust <= 0"
)


def scan(tx: Transaction, operation: Scan) -> Columns:
    """Versions since a journal position, with closings and late vectors."""
    after = min(operation.after, tx.seq)
    meta = dict(tx.execute("SELECT name, value FROM meta"))
    # Before every search an index asks whether there is anything new, and mostly there is not.
    quiet = after == tx.seq and operation.vectors_after == meta["late"]
    kinds: list[str] = []
    ids: list[str] = []
    speakers: list[str | None] = []
    roles: list[str | None] = []
    origins: list[str | None] = []
    # Joined portion by portion: a hundred thousand small objects would leave the heap in pieces.
    terms: list[bytes] = []
    lengths: list[NDArray[np.int64]] = []
    numbers: list[NDArray[np.int64]] = []
    known: dict[Any, Any] = {}
    for rows in () if quiet else _portions(tx, after):
        (
            seq, id, version, kind, sid, speaker, role, event_at, valid_from, valid_to, recorded_at, stream, origin,
            hidden,
        ) = zip(*rows, strict=True)  # fmt: skip
        ids += id
        kinds += _shared(kind, known)
        speakers += _shared(speaker, known)
        roles += _shared(role, known)
        origins += _shared(origin, known)
        terms.append(b"".join(stream))
        lengths.append(np.fromiter(map(len, stream), dtype=np.int64, count=len(stream)) // 4)
        table = np.empty((8, len(rows)), dtype=np.int64)
        for line, column in enumerate((seq, version, sid, event_at, valid_from, recorded_at, hidden)):
            table[line] = array("q", column)
        table[7] = NEVER if valid_to.count(None) == len(rows) else [NEVER if end is None else end for end in valid_to]
        numbers.append(table)
    table = np.concatenate(numbers, axis=1) if numbers else np.empty((8, 0), dtype=np.int64)
    seqs = table[0]
    closed_at = np.full(len(ids), NEVER, dtype=np.int64)
    ended_at = np.full(len(ids), NEVER, dtype=np.int64)
    closed = [] if quiet else _closed(tx, after)
    if closed:
        listed = [(seq, at, end) for seq, _, _, at, end in closed if seq > after]
        closings = np.array(listed, dtype=np.int64).reshape(-1, 3)
        places = np.searchsorted(seqs, closings[:, 0])
        closed_at[places], ended_at[places] = closings[:, 1], closings[:, 2]
    scopes, scope_of = _scopes(tx, table[2])
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    if lengths:
        np.cumsum(np.concatenate(lengths), out=offsets[1:])
    vectors, scales = _vectors(tx, operation, after, seqs, dict.fromkeys(table[2].tolist()))
    return Columns(
        seq=tx.seq,
        vectors_seq=meta["late"],
        erased=0 < operation.after < max(tx.epoch, meta["reindexed"]),
        ids=ids,
        versions=table[1].astype(np.int32),
        kinds=kinds,
        scopes=scopes,
        scope_of=scope_of,
        speakers=speakers,
        roles=roles,
        origins=origins,
        hidden=table[6].astype(np.bool_),
        event_at=table[3],
        valid_from=table[4],
        valid_to=table[7],
        recorded_at=table[5],
        closed_at=closed_at,
        ended_at=ended_at,
        terms=np.frombuffer(b"".join(terms), dtype="<i4").astype(np.int32),
        term_offsets=offsets,
        vectors=vectors,
        scales=scales,
        closed=[(id, version, at, end) for _, id, version, at, end in closed],
        embedded=[] if quiet else _embedded(tx, operation, after),
    )


def _portions(tx: Transaction, after: int) -> Iterator[Sequence[Row]]:
    """Rows of covered versions opened after a position, in journal order, in portions."""
    tail = tx.seq - after
    columns = f"SELECT {_COLUMNS} FROM versions v"
    if tail <= _SHORT_TAIL:
        rows = tx.execute(f"{columns} NOT INDEXED WHERE v.seq > ? ORDER BY v.seq", (after,)).fetchall()
        if rows := [row for row in rows if tx.covers(row[4])]:
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


def _shared(column: Sequence[Any], known: dict[Any, Any]) -> Iterator[Any]:
    """Decoded strings, equal ones as one object; few differ, so each is decoded once."""
    for value in set(column).difference(known):
        known[value] = value if value is None else unpack(value)
    return map(known.__getitem__, column)


def _closed(tx: Transaction, after: int) -> list[tuple[int, str, int, int, int]]:
    query = (
        "SELECT v.seq, v.id, v.version, v.closed_at, v.ended_at, v.sid FROM versions v INDEXED BY versions_closed "
        "WHERE v.closed_seq > ? ORDER BY v.closed_seq"
    )
    return [row[:5] for row in tx.execute(query, (after,)) if tx.covers(row[5])]


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


def _vectors(
    tx: Transaction, operation: Scan, after: int, seqs: NDArray[np.int64], sids: Iterable[int]
) -> tuple[NDArray[np.int8] | None, NDArray[np.float32]]:
    """Vectors of the listed rows, zero where there is none, and their scales; None when no row has one.

    `sids`: the scope numbers of the rows.
    """
    scales = np.zeros(len(seqs), dtype=np.float32)
    space = None if operation.space is None else tx.space(operation.space)
    if space is None:
        return None, scales
    number, dim, _ = space
    vectors = None
    parts = [("e.sid = ?", (sid,)) for sid in sids]
    for where, values in parts if len(parts) <= _FEW_SCOPES else [tx.covered("e.sid")]:
        query = f"SELECT e.seq, e.scale, e.data FROM vectors e WHERE {where} AND e.space = ? AND e.seq > ?"
        cursor = tx.execute(query, (*values, number, after))
        while rows := cursor.fetchmany(_AT_ONCE):
            if vectors is None:
                vectors = np.zeros((len(seqs), dim), dtype=np.int8)
            seq, scale, data = zip(*rows, strict=True)
            places = np.searchsorted(seqs, np.array(seq, dtype=np.int64))
            vectors[places] = np.frombuffer(b"".join(data), dtype=np.int8).reshape(-1, dim)
            scales[places] = scale
    return vectors, scales


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
