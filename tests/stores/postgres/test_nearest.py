"""Nearest neighbours by the server: the exact search, and what of it the index finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest

from remanence.conformance.stage import ANA, BOB, one, put
from remanence.core.errors import EmbeddingSpaceMismatch, InvalidInput, NotFound, StoreError
from remanence.core.scope import Scope
from remanence.kernels.dense import scan_naive, top_naive
from remanence.kernels.quantize import quantize
from remanence.stores.postgres import PostgresStore, nearest
from remanence.stores.postgres.transaction import Transaction
from remanence.substrates.records.model import Draft, Vector
from remanence.substrates.records.operations import Embed, Erase, Put, Restore, Revise, Scan
from tests.stores.postgres.server import Schemas, Server, schema_of

SPACE = "test:32"
DIM = 32
COUNT = 1200


def vectors(seed: int, count: int) -> list[Vector]:
    """Unit vectors in twenty clusters, as embeddings are, quantised."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, DIM))
    rows = centres[rng.integers(0, 20, count)] + 0.6 * rng.normal(size=(count, DIM))
    codes, scales = quantize((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return [Vector(SPACE, code.tobytes(), float(scale)) for code, scale in zip(codes, scales, strict=True)]


@pytest.fixture
def indexed(server: Server, schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresStore]:
    """A store of Ana's and Bob's vectors, of which most are Bob's, with an index."""
    found = server.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    if not found or tuple(map(int, found[0][0].split(".")[:2])) < nearest.OLDEST:
        pytest.skip(f"the server has pgvector {found[0][0] if found else '(none)'}")
    monkeypatch.setattr(nearest, "LARGE", 50)
    store = schemas.new()
    for start in range(0, COUNT, 300):
        part = vectors(start, 300)
        puts = [
            Put(Draft(f"{start + row}", scope=Scope(user_id="ana" if row % 6 == 0 else "bob", app_id="a"), vector=one_))
            for row, one_ in enumerate(part)
        ]
        store.batch(puts, scope=Scope(app_id="a"))
    store.index_space(SPACE)
    yield store
    ((number,),) = server.execute(f"SELECT space FROM {schema_of(store)}.spaces")
    server.execute(f"DROP TABLE {schema_of(store)}.near_{number}")


def naive(store: PostgresStore, question: Vector, k: int, scope: Scope) -> list[tuple[str, int]]:
    columns = one(store, Scan(space=SPACE), scope)
    scores = scan_naive(columns.vectors, columns.scales, np.frombuffer(question.data, np.int8), question.scale)
    return [(columns.ids[row], int(columns.versions[row])) for row in top_naive(scores, k)]


def test_exact_is_the_naive_form(indexed: PostgresStore) -> None:
    for question in vectors(77, 5):
        for scope in (ANA, BOB, Scope(app_id="a")):
            found = indexed.nearest(SPACE, question, 10, scope=scope, exact=True)
            assert [(near.id, near.version) for near in found] == naive(indexed, question, 10, scope)
            assert [near.score for near in found] == sorted((near.score for near in found), reverse=True)


def test_the_index_finds_nearly_all_of_it_in_large_and_in_thin_scopes(indexed: PostgresStore) -> None:
    for scope in (ANA, BOB, Scope(app_id="a")):
        hits = 0
        for question in vectors(78, 20):
            exact = {near.id for near in indexed.nearest(SPACE, question, 10, scope=scope, exact=True)}
            found = indexed.nearest(SPACE, question, 10, scope=scope)
            hits += len(exact & {near.id for near in found})
        assert hits / 200 >= 0.97, f"recall@10 {hits / 200} under {scope}"


def test_the_index_is_asked(indexed: PostgresStore, server: Server) -> None:
    """An index that lost its rows finds nothing: were it not asked, nobody would notice."""
    (question,) = vectors(79, 1)
    ((number,),) = server.execute(f"SELECT space FROM {schema_of(indexed)}.spaces")
    server.execute(f"DELETE FROM {schema_of(indexed)}.near_{number}")
    assert indexed.nearest(SPACE, question, 5, scope=BOB) == []
    assert len(indexed.nearest(SPACE, question, 5, scope=BOB, exact=True)) == 5


def test_the_plan_goes_through_the_index(indexed: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading all and sorting would find everything, and recall would say nothing of the index."""
    plans: list[str] = []
    execute = Transaction.execute

    def explained(tx: Transaction, query: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        if "ORDER BY n.embedding" in query:
            plans.append(" ".join(row[0] for row in execute(tx, f"EXPLAIN {query}", parameters).fetchall()))
        return execute(tx, query, parameters)

    monkeypatch.setattr(Transaction, "execute", explained)
    (question,) = vectors(81, 1)
    for scope in (ANA, BOB, Scope(app_id="a")):
        indexed.nearest(SPACE, question, 10, scope=scope)
    assert len(plans) == 3
    assert all("Index Scan using near_" in plan and "_embedding_idx" in plan for plan in plans), plans


def test_the_index_follows_what_is_written_and_erased(indexed: PostgresStore, server: Server) -> None:
    (question, other, later) = vectors(80, 3)
    id = put(indexed, "new", BOB, vector=question)
    assert indexed.nearest(SPACE, question, 1, scope=BOB)[0][:2] == (id, 1)
    one(indexed, Embed(id, 1, later), BOB)
    one(indexed, Revise(id, Draft("newer", vector=question)), BOB)
    assert indexed.nearest(SPACE, question, 1, scope=BOB)[0][:2] == (id, 2)
    one(indexed, Restore(id, 1), BOB)
    assert {near[:2] for near in indexed.nearest(SPACE, later, 2, scope=BOB)} == {(id, 1), (id, 3)}
    one(indexed, Erase((id,)), BOB)
    assert id not in {near.id for near in indexed.nearest(SPACE, question, 20, scope=BOB)}
    ((number,),) = server.execute(f"SELECT space FROM {schema_of(indexed)}.spaces")
    assert server.execute(f"SELECT count(*) FROM {schema_of(indexed)}.near_{number}") == [(COUNT,)]
    assert indexed.nearest(SPACE, other, 3, scope=Scope(user_id="nobody")) == []
    indexed.index_space(SPACE)
    assert len(indexed.nearest(SPACE, other, 3, scope=BOB)) == 3


def test_a_pgvector_that_is_too_old_is_refused(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "x", vector=vectors(1, 1)[0])
    server.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    ((found,),) = server.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    called = "UPDATE pg_extension SET extversion = %s WHERE extname = 'vector'"
    server.execute(called, "0.7.4")
    try:
        with pytest.raises(StoreError, match=r"has pgvector 0\.7\.4, .* needs 0\.8 or newer"):
            store.index_space(SPACE)
    finally:
        server.execute(called, found)
    assert server.execute(f"SELECT bool_or(near) FROM {schema_of(store)}.spaces") == [(False,)]
    assert len(store.nearest(SPACE, vectors(2, 1)[0], 3, scope=ANA)) == 1


def test_refusals(schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "x", vector=Vector(SPACE, bytes(DIM), 1.0))
    (question,) = vectors(1, 1)
    assert store.nearest("unknown", question, 3, scope=ANA) == []
    assert store.nearest(SPACE, question, 0, scope=ANA) == []
    assert len(store.nearest(SPACE, question, 3, scope=ANA)) == 1
    with pytest.raises(EmbeddingSpaceMismatch, match="32 dimensions"):
        store.nearest(SPACE, Vector(SPACE, b"\x01", 1.0), 3, scope=ANA)
    with pytest.raises(InvalidInput):
        store.nearest(SPACE, question, -1, scope=ANA)
    with pytest.raises(NotFound, match="unknown"):
        store.index_space("unknown")
