"""Versions as columns, put together from rows in portions as fast as Python and numpy can."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.stores.relational.columns import Row
from remanence.substrates.records.model import AWAY
from remanence.substrates.records.operations import NEVER, Columns

LISTED = (
    "v.seq, v.id, v.version, v.kind, v.speaker, v.role, v.event_at, v.valid_from, v.valid_to, v.recorded_at, v.terms, "
    "v.origin"
)
"""A version in the order of `gather`. Whether it is hidden and the scope's columns come behind."""
HIDDEN = f"v.state IN ({', '.join(map(repr, sorted(AWAY)))}) OR v.trust <= 0"
"""The SQL condition that a version is hidden."""


class Listed(NamedTuple):
    """Versions in journal order, column by column; `places` are what `gather` was told stands for their scopes."""

    seqs: NDArray[np.int64]
    ids: list[str]
    kinds: list[str]
    speakers: list[str | None]
    roles: list[str | None]
    origins: list[str | None]
    terms: NDArray[np.int32]
    term_offsets: NDArray[np.int64]
    versions: NDArray[np.int64]
    places: NDArray[np.int64]
    event_at: NDArray[np.int64]
    valid_from: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    hidden: NDArray[np.int64]
    valid_to: NDArray[np.int64]


class Closing(NamedTuple):
    """The journal position of a version that was closed, which it is, and when; times are microseconds."""

    seq: int
    id: str
    version: int
    closed_at: int
    ended_at: int


def gather(
    portions: Iterable[Sequence[Row]], place: Callable[[tuple[Any, ...]], Sequence[int]], unpack: Callable[[Any], str]
) -> Listed:
    """Columns of rows of `LISTED`. `place`: from the scope's columns of a portion to one integer for each row."""
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
    for rows in portions:
        (
            seq, id, version, kind, speaker, role, event_at, valid_from, valid_to, recorded_at, stream, origin, hidden,
            *key,
        ) = zip(*rows, strict=True)  # fmt: skip
        ids += id
        kinds += shared(kind, known, unpack)
        speakers += shared(speaker, known, unpack)
        roles += shared(role, known, unpack)
        origins += shared(origin, known, unpack)
        terms.append(b"".join(stream))
        lengths.append(np.fromiter(map(len, stream), dtype=np.int64, count=len(stream)) // 4)
        table = np.empty((8, len(rows)), dtype=np.int64)
        for line, column in enumerate((seq, version, place(tuple(key)), event_at, valid_from, recorded_at, hidden)):
            table[line] = array("q", column)
        table[7] = NEVER if valid_to.count(None) == len(rows) else [NEVER if end is None else end for end in valid_to]
        numbers.append(table)
    table = np.concatenate(numbers, axis=1) if numbers else np.empty((8, 0), dtype=np.int64)
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    if lengths:
        np.cumsum(np.concatenate(lengths), out=offsets[1:])
    seqs, *rest = table
    stream_of_all = np.frombuffer(b"".join(terms), dtype="<i4").astype(np.int32)
    return Listed(seqs, ids, kinds, speakers, roles, origins, stream_of_all, offsets, *rest)


def shared(column: Sequence[Any], known: dict[Any, Any], unpack: Callable[[Any], str]) -> Iterator[Any]:
    """Decoded strings, equal ones as one object; few differ, so each is decoded once."""
    for value in set(column).difference(known):
        known[value] = value if value is None else unpack(value)
    return map(known.__getitem__, column)


class VectorTable:
    """Vectors of the versions at some journal positions, zero where there is none, and their scales.

    `vectors` is None as long as no version has one.
    """

    def __init__(self, seqs: NDArray[np.int64]) -> None:
        self._seqs = seqs
        self.vectors: NDArray[np.int8] | None = None
        self.scales = np.zeros(len(seqs), dtype=np.float32)

    def add(self, rows: Sequence[Row], dim: int) -> None:
        """Fill in rows of journal position, scale and components."""
        if self.vectors is None:
            self.vectors = np.zeros((len(self._seqs), dim), dtype=np.int8)
        seq, scale, data = zip(*rows, strict=True)
        places = np.searchsorted(self._seqs, np.array(seq, dtype=np.int64))
        self.vectors[places] = np.frombuffer(b"".join(data), dtype=np.int8).reshape(-1, dim)
        self.scales[places] = scale


def columns_from(
    listed: Listed,
    closed: Sequence[Closing],
    table: VectorTable,
    embedded: list[tuple[str, int, bytes, float]],
    *,
    seq: int,
    vectors_seq: int,
    erased: bool,
    after: int,
    scopes: list[Scope],
    scope_of: NDArray[np.int32],
) -> Columns:
    """The answer to `Scan`, from what was opened since `after` and what was closed and embedded since."""
    closed_at = np.full(len(listed.ids), NEVER, dtype=np.int64)
    ended_at = np.full(len(listed.ids), NEVER, dtype=np.int64)
    if closed:
        among = [(one.seq, one.closed_at, one.ended_at) for one in closed if one.seq > after]
        closings = np.array(among, dtype=np.int64).reshape(-1, 3)
        rows = np.searchsorted(listed.seqs, closings[:, 0])
        closed_at[rows], ended_at[rows] = closings[:, 1], closings[:, 2]
    return Columns(
        seq=seq,
        vectors_seq=vectors_seq,
        erased=erased,
        ids=listed.ids,
        versions=listed.versions.astype(np.int32),
        kinds=listed.kinds,
        scopes=scopes,
        scope_of=scope_of,
        speakers=listed.speakers,
        roles=listed.roles,
        origins=listed.origins,
        hidden=listed.hidden.astype(np.bool_),
        event_at=listed.event_at,
        valid_from=listed.valid_from,
        valid_to=listed.valid_to,
        recorded_at=listed.recorded_at,
        closed_at=closed_at,
        ended_at=ended_at,
        terms=listed.terms,
        term_offsets=listed.term_offsets,
        vectors=table.vectors,
        scales=table.scales,
        closed=[(one.id, one.version, one.closed_at, one.ended_at) for one in closed],
        embedded=embedded,
    )


def nothing(seq: int, vectors_seq: int) -> Columns:
    """The answer to a scan after which nothing has changed."""
    listed = gather((), lambda key: (), str)
    return columns_from(
        listed,
        (),
        VectorTable(listed.seqs),
        [],
        seq=seq,
        vectors_seq=vectors_seq,
        erased=False,
        after=seq,
        scopes=[],
        scope_of=np.zeros(0, dtype=np.int32),
    )
