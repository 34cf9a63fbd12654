"""The vectors that lie nearest to a question, found by the server: exactly, or by an HNSW index for large scopes.

A space that is indexed (`index_space`) has a table of its own, `near_N`, with the vectors as pgvector's halfvec, the
same scope columns and the same policy, and an HNSW index over it (Malkov & Yashunin, arXiv:1603.09320). Rows go in with
the vectors that they repeat, in the same transaction, and out with them by a foreign key. The index chooses candidates,
which are scored again with the stored integers: scores are those of the exact search.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingSpaceMismatch, InvalidInput, NotFound, StoreError
from remanence.core.scope import FIELDS
from remanence.kernels.dense import scan, top
from remanence.stores.postgres.codec import KEY, Key, digest
from remanence.stores.postgres.schema import EVERYWHERE, ROLE, Connection, covers, protect, run
from remanence.substrates.records.model import Vector

if TYPE_CHECKING:
    from remanence.stores.postgres.transaction import Transaction

OLDEST = (0, 8)
"""The oldest pgvector whose index can be used."""
LARGE = 20_000
"""Vectors of a scope from which on the index is asked, where there is one; below, looking at all is as fast."""
WIDTH = 8
"""Candidates that the index chooses for each one wanted."""
LEAST = 100
"""Candidates at least; also the size of the list that the search of the index keeps."""

_AT_ONCE = 2048
_MOST = 1000
"""Largest list that pgvector keeps during a search."""


class Near(NamedTuple):
    """A version and the inner product of its vector with the one asked about."""

    id: str
    version: int
    score: float


def nearest(tx: Transaction, space: str, vector: Vector, k: int, *, exact: bool) -> list[Near]:
    """The k nearest versions, best first, older ones first among equals. See `PostgresStore.nearest`."""
    if k < 0:
        raise InvalidInput(f"k {k!r} must be a whole number from 0 up")
    known = tx.space(space)
    if known is None or k == 0:
        return []
    if len(vector.data) != known.dim:
        raise EmbeddingSpaceMismatch(
            f"space {space!r} holds vectors of {known.dim} dimensions, the question has {len(vector.data)}; "
            "embed it with the model of the space"
        )
    where, values = tx.covered("e")
    condition = f"{where} AND e.space = %s"
    parameters: list[object] = [*values, known.number]
    if known.near and not exact and _is_large(tx, condition, parameters):
        found = _candidates(tx, known.number, vector, max(LEAST, k * WIDTH))
        condition, parameters = f"{condition} AND e.seq = ANY(%s::bigint[])", [*parameters, found]
    seqs, scores = _score(tx, condition, parameters, vector)
    best = top(scores, k)
    wanted = seqs[best].tolist()
    query = "SELECT seq, id, version FROM versions WHERE seq = ANY(%s::bigint[])"
    names = {seq: (id, version) for seq, id, version in tx.execute(query, (wanted,))}
    return [Near(*names[seq], float(score)) for seq, score in zip(wanted, scores[best], strict=True)]


def index_space(connection: Connection, schema: str, space: str) -> None:
    """Build the index of a space, as the owner of the tables; an index that is there already is built anew.

    Raises `NotFound` for a space that the store does not hold, `StoreError` where the server lacks pgvector or has one
    that is too old.
    """
    from psycopg import errors

    with connection.transaction():
        run(connection, f"SET LOCAL search_path = {schema}, public")
        connection.execute("SELECT set_config('remanence.scope', %s, true)", (EVERYWHERE,))
        # No vector comes in between the copy and the moment from which every writer keeps the index.
        connection.execute("SELECT one FROM state FOR UPDATE")
        row = connection.execute("SELECT space, dim FROM spaces WHERE digest = %s", (digest(space),)).fetchone()
        if row is None:
            raise NotFound(f"the store holds no vector of space {space!r}; embed something first")
        number, dim = row
        try:
            run(connection, "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise StoreError(
                "the server has no pgvector and cannot index vectors; install the extension, or search without an index"
            ) from error
        _check_extension(connection)
        _build(connection, table_of(number), number, dim)
        connection.execute("UPDATE spaces SET near = true WHERE space = %s", (number,))


def table_of(space: int) -> str:
    """The table of a space's vectors in the form that the index needs."""
    return f"near_{space}"


def near_rows(
    space: int, dim: int, vectors: Sequence[tuple[Key, int, Vector]]
) -> tuple[str, list[tuple[str | int, ...]]]:
    """A statement and its rows that keep the index's copies of vectors up to date."""
    query = (
        f"INSERT INTO {table_of(space)}({KEY}, seq, embedding) VALUES (%s, %s, %s, %s, %s, %s::halfvec({dim})) "
        f"ON CONFLICT ({KEY}, space, seq) DO UPDATE SET embedding = excluded.embedding"
    )
    return query, [(*key, seq, text_of(vector.data, vector.scale)) for key, seq, vector in vectors]


def text_of(data: bytes, scale: float) -> str:
    """A vector as pgvector reads it."""
    values = np.frombuffer(data, dtype=np.int8).astype(np.float64) * scale
    return f"[{','.join(f'{value:.6g}' for value in values.tolist())}]"


def _check_extension(connection: Connection) -> None:
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    found = str(connection.execute(query.encode()).fetchall()[0][0])
    # Half-precision numbers came with 0.7, and searching on where a scope is thin with 0.8.
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise StoreError(
            f"the database has pgvector {found}, and an index of vectors needs {wanted} or newer; install that and "
            "run: ALTER EXTENSION vector UPDATE, or search without an index"
        )


def _build(connection: Connection, table: str, number: int, dim: int) -> None:
    columns = ", ".join(f'{name} text COLLATE "C" NOT NULL' for name in FIELDS)
    run(connection, f"DROP TABLE IF EXISTS {table}")
    run(
        connection,
        f"CREATE TABLE {table}({columns}, space int NOT NULL DEFAULT {number}, seq bigint NOT NULL, "
        f"embedding halfvec({dim}) NOT NULL, PRIMARY KEY ({KEY}, space, seq))",
    )
    # Rows are copied while no policy stands in the way of copying.
    with connection.cursor("source", binary=True) as source, connection.cursor() as target:
        source.execute(f"SELECT {KEY}, seq, scale, data FROM vectors WHERE space = %s".encode(), (number,))
        while rows := source.fetchmany(_AT_ONCE):
            with target.copy(f"COPY {table}({KEY}, seq, embedding) FROM STDIN".encode()) as copy:
                for *key, seq, scale, data in rows:
                    copy.write_row((*key, seq, text_of(data, scale)))
    run(connection, "SET LOCAL maintenance_work_mem = '256MB'")
    run(connection, f"CREATE INDEX ON {table} USING hnsw (embedding halfvec_ip_ops) WITH (ef_construction = 128)")
    run(
        connection,
        f"ALTER TABLE {table} ADD FOREIGN KEY ({KEY}, space, seq) REFERENCES vectors ON DELETE CASCADE",
    )
    protect(connection, table, covers())
    run(connection, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")


def _is_large(tx: Transaction, condition: str, parameters: Sequence[object]) -> bool:
    query = f"SELECT count(*) FROM (SELECT 1 FROM vectors e WHERE {condition} LIMIT %s) v"
    return bool(tx.execute(query, (*parameters, LARGE)).fetchall()[0][0] >= LARGE)


def _candidates(tx: Transaction, space: int, vector: Vector, number: int) -> list[int]:
    """Journal positions of the versions that the index takes for the nearest."""
    # Rows of other scopes are skipped by going on with the search, as long as that takes. Sorting is switched off for
    # this statement: the planner takes policies for far more selective than they are, and would read and sort all.
    settings = {"hnsw.ef_search": str(min(number, _MOST)), "hnsw.iterative_scan": "relaxed_order", "enable_sort": "off"}
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    tx.execute(f"SELECT {calls}", [part for pair in settings.items() for part in pair])
    where, values = tx.covered("n")
    dim = len(vector.data)
    query = f"SELECT n.seq FROM {table_of(space)} n WHERE {where} ORDER BY n.embedding <#> %s::halfvec({dim}) LIMIT %s"
    found = tx.execute(query, (*values, text_of(vector.data, vector.scale), number)).fetchall()
    tx.execute("SELECT set_config('enable_sort', 'on', true)")
    return [seq for (seq,) in found]


def _score(
    tx: Transaction, condition: str, parameters: Sequence[object], vector: Vector
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Journal positions of rows in their order, and the inner product of each with a vector."""
    question = np.frombuffer(vector.data, dtype=np.int8)
    positions: list[int] = []
    scores = [np.zeros(0, np.float32)]
    with tx.connection.cursor("score", binary=True) as cursor:
        query = f"SELECT e.seq, e.scale, e.data FROM vectors e WHERE {condition} ORDER BY e.seq"
        cursor.execute(query.encode(), parameters)
        while rows := cursor.fetchmany(_AT_ONCE):
            seqs, scales, data = zip(*rows, strict=True)
            positions += seqs
            codes = np.frombuffer(b"".join(data), dtype=np.int8).reshape(len(rows), -1)
            scores.append(scan(codes, np.array(scales, np.float32), question, vector.scale))
    return np.array(positions, dtype=np.int64), np.concatenate(scores)
