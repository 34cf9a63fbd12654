"""The answer to `Scan`: versions as columns, as fast as Python and the server can hand them over.

What goes in one piece comes as few values: the server strings numbers, ids, term streams and vectors of all rows
together, which costs it less than sending rows, and numpy takes them apart. What is larger comes row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import FIELDS
from remanence.stores.postgres.asking import AT_ONCE, Ask, Asked, Steps, TooMuch, learn
from remanence.stores.postgres.codec import Key, digest, unpack
from remanence.stores.postgres.transaction import Standing, Transaction
from remanence.stores.relational.columns import Row
from remanence.stores.relational.scanning import (
    HIDDEN,
    LISTED,
    Closing,
    VectorTable,
    columns_from,
    gather,
    nothing,
    shared,
)
from remanence.substrates.records.operations import NEVER, Columns, Scan

_AT_ONCE = 2048
"""Rows per portion."""
_SHORT_TAIL = 2048
_ID = 26
"""Characters of an id."""
_HIDDEN = f"({HIDDEN})::int"
_COLUMNS = f"{LISTED}, {_HIDDEN}, {', '.join(f'v.{name}' for name in FIELDS)}"
_NUMBERS = ("seq", "version", "event_at", "valid_from", "recorded_at", "hidden", "valid_to", "closed_at", "ended_at",
            "closed_seq")  # fmt: skip
_OPEN = frozenset(("valid_to", "closed_at", "ended_at", "closed_seq"))
"""Numbers that may be NULL, for which `NEVER` stands."""
_WORDS = ("kind", "speaker", "role", "origin")
_SPACE = "(SELECT space FROM spaces WHERE digest = %s)"


def nothing_new(standing: Standing, operation: Scan) -> Columns | None:
    """The answer to a scan after which nothing has changed; None where something has, or may have."""
    if operation.after != standing.seq or operation.vectors_after != standing.late:
        return None
    return nothing(standing.seq, standing.late)


def _scan_rows(tx: Transaction, operation: Scan) -> Columns:
    after = min(operation.after, tx.seq)
    # The standing is that of the batch: what it has written itself is new.
    if after == tx.seq and operation.vectors_after == tx.late:
        return nothing(tx.seq, tx.late)
    places: dict[Key, int] = {}

    def place(columns: tuple[Any, ...]) -> list[int]:
        return [places.setdefault(key, len(places)) for key in zip(*columns, strict=True)]

    listed = gather(_portions(tx, after), place, unpack)
    closed = tx.execute(*_closings(tx, after)).fetchall()
    table = _vectors(tx, operation, after, listed.seqs)
    late = tx.execute(*_late(tx, operation, after)).fetchall() if after and operation.space is not None else []
    return columns_from(
        listed,
        [Closing(seq, id, version, closed_at, ended_at) for id, version, closed_at, ended_at, seq in closed],
        table,
        [(id, version, data, scale) for id, version, data, scale in late],
        seq=tx.seq,
        vectors_seq=tx.late,
        erased=0 < operation.after < max(tx.epoch, tx.reindexed),
        after=after,
        scopes=[tx.scope_of(key) for key in places],
        scope_of=listed.places.astype(np.int32),
    )


def _scan_at_once(tx: Transaction, operation: Scan) -> Steps[Columns]:
    after, space = operation.after, operation.space
    fixed = dict(zip(FIELDS, tx.only_scope or tx.key, strict=True))
    loose = [name for name in FIELDS if not fixed[name] and not tx.only_scope]
    where, values = tx.covered("v")
    listed = ", ".join(f"array_agg({name})" for name in (*_WORDS, *loose))
    own = ", ".join(f"v.{name}" for name in (*_NUMBERS, *_WORDS, *loose) if name != "hidden")
    asks = [
        Ask(
            f"SELECT count(*), string_agg({'||'.join(map(_strung, _NUMBERS))}, ''), string_agg(id, ''), "
            f"string_agg(terms, ''), string_agg(int4send(octet_length(terms)), ''), {listed} FROM "
            f"(SELECT v.id, v.terms, {own}, {_HIDDEN} AS hidden FROM versions v "
            f"WHERE v.seq > %s AND {where} ORDER BY v.seq LIMIT %s) v",
            (after, *values, AT_ONCE + 1),
        )
    ]
    if space is not None:
        where, values = tx.covered("e")
        vectors = (
            f"SELECT e.seq, e.scale, e.data FROM vectors e WHERE {where} AND e.space = {_SPACE} AND e.seq > %s LIMIT %s"
        )
        strung = "string_agg(int8send(seq), ''), string_agg(float8send(scale), ''), string_agg(data, '')"
        asks.append(Ask(f"SELECT {strung} FROM ({vectors}) e", (*values, digest(space), after, AT_ONCE + 1)))
    if after:
        asks.append(_closings(tx, after))
        asks += [_late(tx, operation, after)] if space is not None else []
    (row,), *others = yield asks
    count, numbers, ids, terms, lengths, *words = row
    if count > AT_ONCE:
        raise TooMuch
    table = np.frombuffer(numbers or b"", ">i8").reshape(count, len(_NUMBERS)).T.astype(np.int64, order="C")
    column = dict(zip(_NUMBERS, table, strict=True))
    known: dict[Any, Any] = {}
    kinds, speakers, roles, origins = ([*shared(part or (), known, unpack)] for part in words[: len(_WORDS)])
    parts = dict(zip(loose, words[len(_WORDS) :], strict=True))
    keys = list(zip(*(parts.get(name) or [fixed[name]] * count for name in FIELDS), strict=True))
    places: dict[Key, int] = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    yield from learn(tx, scopes=places)
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.frombuffer(lengths or b"", ">i4") // 4, out=offsets[1:])
    vectors_of, scales = _unstrung(others.pop(0)[0] if space is not None else (None, None, None), column["seq"])
    closed, *late = others or (_closed_among(column, ids or ""),)
    return Columns(
        seq=tx.seq,
        vectors_seq=tx.late,
        erased=0 < after < max(tx.epoch, tx.reindexed),
        ids=[(ids or "")[start : start + _ID] for start in range(0, count * _ID, _ID)],
        versions=column["version"].astype(np.int32),
        kinds=kinds,
        scopes=[tx.scope_of(key) for key in places],
        scope_of=np.fromiter(map(places.__getitem__, keys), np.int32, count),
        speakers=speakers,
        roles=roles,
        origins=origins,
        hidden=column["hidden"].astype(np.bool_),
        event_at=column["event_at"],
        valid_from=column["valid_from"],
        valid_to=column["valid_to"],
        recorded_at=column["recorded_at"],
        closed_at=column["closed_at"],
        ended_at=column["ended_at"],
        terms=np.frombuffer(terms or b"", dtype="<i4").astype(np.int32),
        term_offsets=offsets,
        vectors=vectors_of,
        scales=scales,
        closed=[(row[0], row[1], row[2], row[3]) for row in closed],
        embedded=[(row[0], row[1], row[2], row[3]) for row in chain.from_iterable(late)],
    )


scan = Asked(_scan_at_once, instead=_scan_rows)
"""Versions since a journal position, with closings and late vectors."""


def _strung(name: str) -> str:
    """A number of a row as eight bytes."""
    return f"int8send(coalesce({name}, {NEVER}))" if name in _OPEN else f"int8send({name})"


def _unstrung(row: Row, seqs: NDArray[np.int64]) -> tuple[NDArray[np.int8] | None, NDArray[np.float32]]:
    """Vectors and scales of the rows at `seqs` from those that the server strung together in some order."""
    scales = np.zeros(len(seqs), dtype=np.float32)
    if row[0] is None:
        return None, scales
    places = np.searchsorted(seqs, np.frombuffer(row[0], ">i8"))
    data = np.frombuffer(row[2], np.int8).reshape(len(places), -1)
    vectors = np.zeros((len(seqs), data.shape[1]), dtype=np.int8)
    vectors[places] = data
    scales[places] = np.frombuffer(row[1], ">f8")
    return vectors, scales


def _closed_among(column: dict[str, NDArray[np.int64]], ids: str) -> list[tuple[str, int, int, int]]:
    """Closings of the listed rows in their order, which are all there are where everything is listed."""
    rows = np.flatnonzero(column["closed_seq"] != NEVER)
    rows = rows[np.argsort(column["closed_seq"][rows], kind="stable")]
    numbers = (column[name][rows].tolist() for name in ("version", "closed_at", "ended_at"))
    return list(zip((ids[row * _ID : (row + 1) * _ID] for row in rows.tolist()), *numbers, strict=True))


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


def _closings(tx: Transaction, after: int) -> Ask:
    """Asks for what was closed after a position."""
    where, values = tx.covered("v")
    query = (
        "SELECT v.id, v.version, v.closed_at, v.ended_at, v.seq FROM versions v "
        f"WHERE v.closed_seq > %s AND {where} ORDER BY v.closed_seq"
    )
    return Ask(query, (after, *values))


def _late(tx: Transaction, operation: Scan, after: int) -> Ask:
    """Asks for vectors that came late to versions which the reader already has."""
    where, values = tx.covered("e")
    same = " AND ".join(f"v.{name} = e.{name}" for name in FIELDS)
    query = (
        f"SELECT v.id, v.version, e.data, e.scale FROM vectors e JOIN versions v ON {same} AND v.seq = e.seq "
        f"WHERE e.late > %s AND e.space = {_SPACE} AND e.seq <= %s AND {where} ORDER BY e.late"
    )
    return Ask(query, (operation.vectors_after, digest(operation.space or ""), after, *values))


def _vectors(tx: Transaction, operation: Scan, after: int, seqs: NDArray[np.int64]) -> VectorTable:
    """Vectors of the listed rows."""
    table = VectorTable(seqs)
    space = None if operation.space is None or not len(seqs) else tx.space(operation.space)
    if space is None:
        return table
    where, values = tx.covered("e")
    query = f"SELECT e.seq, e.scale, e.data FROM vectors e WHERE {where} AND e.space = %s AND e.seq > %s"
    with tx.connection.cursor("vectors", binary=True) as cursor:
        cursor.execute(query.encode(), (*values, space.number, after))
        while rows := cursor.fetchmany(_AT_ONCE):
            table.add(rows, space.dim)
    return table
