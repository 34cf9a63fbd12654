"""The answer to `Scan`: versions as columns, as fast as Python and the server can hand them over."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import Key, Row, unpack
from remanence.stores.postgres.transaction import Transaction
from remanence.substrates.records.model import AWAY
from remanence.substrates.records.operations import NEVER, Columns, Scan

_AT_ONCE = 2048
"""Rows per portion."""
_SHORT_TAIL = 2048
_COLUMNS = (
    "v.seq, v.id, v.version, v.kind, v.app_id, v.user_id, v.agent_id, v.run_id, v.speaker, v.role, v.event_at, "
    "v.valid_from, v.valid_to, v.recorded_at, v.terms, v.origin, "
    f"(v.state IN ({', '.join(map(repr, sorted(AWAY)))}) OR v.trust <= 0)::int"
)


def scan(tx: Transaction, operation: Scan) -> Columns:
    """Versions since a journal position, with closings and late vectors."""
    after = min(operation.after, tx.seq)
    # Before every search an index asks whether there is anything new, and mostly there is not.
    quiet = after == tx.seq and operation.vectors_after == tx.late
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
    places: dict[Key, int] = {}
    for rows in () if quiet else _portions(tx, after):
        (
            seq, id, version, kind, app_id, user_id, agent_id, run_id, speaker, role, event_at, valid_from, valid_to,
            recorded_at, stream, origin, hidden,
        ) = zip(*rows, strict=True)  # fmt: skip
        ids += id
        kinds += _shared(kind, known)
        speakers += _shared(speaker, known)
        roles += _shared(role, known)
        origins += _shared(origin, known)
        terms.append(b"".join(stream))
        lengths.append(np.fromiter(map(len, stream), dtype=np.int64, count=len(stream)) // 4)
        keys = zip(app_id, user_id, agent_id, run_id, strict=True)
        scope_of = [places.setdefault(key, len(places)) for key in keys]
        table = np.empty((8, len(rows)), dtype=np.int64)
        for line, column in enumerate((seq, version, scope_of, event_at, valid_from, recorded_at, hidden)):
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
        rows_of = np.searchsorted(seqs, closings[:, 0])
        closed_at[rows_of], ended_at[rows_of] = closings[:, 1], closings[:, 2]
    scopes: list[Scope] = [tx.scope_of(key) for key in places]
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    if lengths:
        np.cumsum(np.concatenate(lengths), out=offsets[1:])
    vectors, scales = _vectors(tx, operation, after, seqs)
    return Columns(
        seq=tx.seq,
        vectors_seq=tx.late,
        erased=0 < operation.after < max(tx.epoch, tx.reindexed),
        ids=ids,
        versions=table[1].astype(np.int32),
        kinds=kinds,
        scopes=scopes,
        scope_of=table[2].astype(np.int32),
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
    where, values = tx.covered("v")
    query = f"SELECT {_COLUMNS} FROM versions v WHERE v.seq > %s AND {where} ORDER BY v.seq"
    if tx.seq - after <= _SHORT_TAIL:
        if rows := tx.execute(query, (after, *values)).fetchall():
            yield rows
        return
    with tx.connection.cursor("scan", binary=True) as cursor:
        cursor.execute(query.encode(), (after, *values))
        while rows := cursor.fetchmany(_AT_ONCE):
            yield rows


def _shared(column: Sequence[Any], known: dict[Any, Any]) -> Iterator[Any]:
    """Decoded strings, equal ones as one object; few differ, so each is decoded once."""
    for value in set(column).difference(known):
        known[value] = value if value is None else unpack(value)
    return map(known.__getitem__, column)


def _closed(tx: Transaction, after: int) -> list[tuple[int, str, int, int, int]]:
    where, values = tx.covered("v")
    query = (
        "SELECT v.seq, v.id, v.version, v.closed_at, v.ended_at FROM versions v "
        f"WHERE v.closed_seq > %s AND {where} ORDER BY v.closed_seq"
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in tx.execute(query, (after, *values))]


def _vectors(
    tx: Transaction, operation: Scan, after: int, seqs: NDArray[np.int64]
) -> tuple[NDArray[np.int8] | None, NDArray[np.float32]]:
    """Vectors of the listed rows, zero where there is none, and their scales; None when no row has one."""
    scales = np.zeros(len(seqs), dtype=np.float32)
    space = None if operation.space is None or not len(seqs) else tx.space(operation.space)
    if space is None:
        return None, scales
    vectors = None
    where, values = tx.covered("e")
    query = f"SELECT e.seq, e.scale, e.data FROM vectors e WHERE {where} AND e.space = %s AND e.seq > %s"
    with tx.connection.cursor("vectors", binary=True) as cursor:
        cursor.execute(query.encode(), (*values, space.number, after))
        while rows := cursor.fetchmany(_AT_ONCE):
            if vectors is None:
                vectors = np.zeros((len(seqs), space.dim), dtype=np.int8)
            seq, scale, data = zip(*rows, strict=True)
            places = np.searchsorted(seqs, np.array(seq, dtype=np.int64))
            vectors[places] = np.frombuffer(b"".join(data), dtype=np.int8).reshape(-1, space.dim)
            scales[places] = scale
    return vectors, scales


def _embedded(tx: Transaction, operation: Scan, after: int) -> list[tuple[str, int, bytes, float]]:
    """Vectors that came late to versions which the reader already has."""
    space = None if operation.space is None else tx.space(operation.space)
    if space is None or not after:
        return []
    where, values = tx.covered("e")
    same = " AND ".join(f"v.{name} = e.{name}" for name in FIELDS)
    query = (
        f"SELECT v.id, v.version, e.data, e.scale FROM vectors e JOIN versions v ON {same} AND v.seq = e.seq "
        f"WHERE e.late > %s AND e.space = %s AND e.seq <= %s AND {where} ORDER BY e.late"
    )
    rows = tx.execute(query, (operation.vectors_after, space.number, after, *values))
    return [(row[0], row[1], row[2], row[3]) for row in rows]
