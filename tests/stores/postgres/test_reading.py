"""What is read in one round trip is what is read one statement after the other: the same rows, of one moment."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from remanence.conformance.stage import ANA, BOB, NOW, one, put
from remanence.core.clock import SteppingClock
from remanence.core.errors import NotFound, StoreBusy
from remanence.core.scope import Scope
from remanence.stores.postgres import PostgresStore, asking, reading, scanning
from remanence.stores.postgres import store as store_module
from remanence.stores.postgres.codec import Key
from remanence.stores.postgres.pool import Pool
from remanence.stores.postgres.transaction import Transaction
from remanence.stores.relational.columns import Row
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import (
    Changes,
    Columns,
    Count,
    Erase,
    Find,
    Get,
    History,
    Lookup,
    Operation,
    Put,
    Scan,
)
from tests.stores.postgres.server import Schemas, Server
from tests.substrates.worlds import LATER, SPACE, START, STEMS, World, turn

RUN = Scope(user_id="ana", run_id="r1")
APP = Scope(app_id="app")
LONG = Scope(*("é" * 400,) * 4)


@pytest.fixture
def store(schemas: Schemas) -> PostgresStore:
    return schemas.new()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each round trip had that answered in one piece."""
    found: list[int] = []
    together = asking._together

    def counted(
        pool: Pool, connection: psycopg.Connection[Row], key: Key, asks: Sequence[asking.Ask]
    ) -> list[list[Row]]:
        found.append(1 + len(asks))
        return together(pool, connection, key, asks)

    monkeypatch.setattr(asking, "_together", counted)
    return found


def plain(result: Any) -> Any:
    """A result in a form that can be compared."""
    if not isinstance(result, Columns):
        return result
    found = {field.name: getattr(result, field.name) for field in fields(result)}
    return {
        name: (value.dtype.str, value.tolist()) if isinstance(value, np.ndarray) else value
        for name, value in found.items()
    }


def both_ways(store: PostgresStore, operations: Sequence[Operation], scope: Scope) -> tuple[Any, Any]:
    """The answers in one round trip, and one statement after the other."""
    ways = []
    for at_once in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store_module, "can_pipeline", lambda at_once=at_once: at_once)
            outcome = store.batch(operations, scope=scope)
            ways.append((outcome.seq, [plain(result) for result in outcome.results]))
    return ways[0], ways[1]


def questions(ids: Sequence[str], rng: random.Random) -> Iterator[list[Operation]]:
    views = [LATER, View(now=LATER.now, as_of=START + timedelta(hours=9)),
             View(now=LATER.now, known_at=START + timedelta(hours=6))]  # fmt: skip
    some = tuple(rng.sample(ids, min(3, len(ids))))
    for view in views:
        yield [Get(some, view), Get((), view), Count(view), Count(view, kinds=("fact",), derived=False)]
        yield [Find(view), Find(view, limit=2, newest_first=True), Find(view, limit=0)]
        yield [Find(view, kinds=("fact", "turn"), limit=None, closed=True, derived=False)]
        yield [Find(view, after=some[0] if some else None, limit=4, derived=True)]
        yield [Find(view, where={"speaker": "Ana"}, limit=3)]
    yield [Changes(since=5), Changes(since=0, limit=3), *(History(id) for id in some)]
    yield [Lookup((*STEMS, "nowhere")), Lookup(())]
    for after in (0, 7, 10**6):
        yield [Scan(after=after, space=SPACE), Scan(after=after), Scan(after=after, space="another", vectors_after=2)]


@pytest.mark.parametrize("seed", range(2))
def test_both_ways_give_the_same_answers(seed: int, schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    store = schemas(
        clock=SteppingClock(START, timedelta(minutes=7)), random_bits=random.Random(seed).getrandbits
    )  # fmt: skip
    world = World(store, seed)
    rng = random.Random(seed)
    for scope in (RUN, APP, LONG):
        for number in range(4):
            store.batch([Put(turn(f"{number} foxes\x00 sing", role="user", speaker="Ana"))], scope=scope)
    for step in range(40):
        world.step()
        if step not in (20, 39):
            continue
        for scope in (ANA, BOB, RUN, APP, LONG, Scope(run_id="r1"), Scope(user_id="nobody")):
            ids = [record.id for record in one(store, Find(LATER), scope)]
            # A store that has not written what it reads finds words and scopes that are new to it.
            with schemas.again(store) as fresh:
                for operations in questions(ids, rng):
                    at_once, in_turn = both_ways(fresh, operations, scope)
                    assert at_once == in_turn, (scope, operations)
    # In portions, where one piece would be too large, likewise.
    for module in (reading, scanning):
        monkeypatch.setattr(module, "AT_ONCE", 3)
    for operations in questions([], rng):
        at_once, in_turn = both_ways(store, operations, ANA)
        assert at_once == in_turn


def test_a_batch_is_one_round_trip(store: PostgresStore, rounds: list[int], schemas: Schemas) -> None:
    id = put(store, "the red fox", terms=("red", "fox"))
    batch: list[Operation] = [Get((id,), NOW), Find(NOW), Count(NOW), History(id), Changes(), Scan(), Lookup(("fox",))]
    store.batch(batch, scope=ANA)
    # A statement each, but for the words, which the store that wrote them knows; the principal, and its scopes.
    assert rounds == [len(batch) - 1 + 2]
    rounds.clear()
    seq = one(store, Scan()).seq
    assert rounds == [3]
    rounds.clear()
    assert one(store, Scan(after=seq)).seq == seq
    assert rounds == []
    # What another store wrote has words that are asked for when they turn up.
    one(schemas.again(store), Get((id,), NOW))
    assert rounds == [3, 2]


def test_a_scope_that_came_since_is_seen(store: PostgresStore, rounds: list[int], schemas: Schemas) -> None:
    first = put(store, "first")
    other = schemas.again(store)
    assert [record.id for record in one(other, Find(NOW))] == [first]
    second = put(store, "second", RUN)
    rounds.clear()
    assert [record.id for record in one(other, Find(NOW))] == [first, second]
    assert len(rounds) == 2
    # Several scopes do not become one again: it is not looked up any more.
    rounds.clear()
    assert [record.id for record in one(other, Find(NOW))] == [first, second]
    assert rounds == [2]


def test_trusting_that_there_is_one_scope_would_be_noticed(
    store: PostgresStore, schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "first")
    other = schemas.again(store)
    one(other, Find(NOW))
    put(store, "second", RUN)
    stands = Transaction.stands
    monkeypatch.setattr(Transaction, "stands", lambda tx, standing, covered: stands(tx, standing, covered) or True)
    assert len(one(other, Find(NOW))) == 1


def counted_twice(server: Server, store: PostgresStore, writer: PostgresStore) -> list[int]:
    """How many records a reading sees before and after another store has put one, all sent together."""
    where = "SELECT count(*) FROM versions"
    asks = [asking.Ask(where), asking.Ask("SELECT 1 FROM pg_advisory_xact_lock(7)"), asking.Ask(where)]

    def steps(tx: Transaction, operation: Count) -> asking.Steps[list[int]]:
        before, _, after = yield asks
        return [before[0][0], after[0][0]]

    found: list[list[int]] = []
    with psycopg.connect(server.url, autocommit=True) as holder, pytest.MonkeyPatch.context() as patch:
        holder.execute("SELECT pg_advisory_lock(7)")
        patch.setitem(store_module._OTHERS, Count, asking.Asked(steps))
        reader = threading.Thread(target=lambda: found.append(one(store, Count(NOW))))
        reader.start()
        while not server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"):
            assert reader.is_alive()
        put(writer, "meanwhile")
        holder.execute("SELECT pg_advisory_unlock(7)")
        reader.join()
    return found[0]


def test_a_reading_in_one_piece_sees_one_moment(server: Server, store: PostgresStore, schemas: Schemas) -> None:
    put(store, "first")
    assert counted_twice(server, store, schemas.again(store)) == [1, 1]


def test_without_one_snapshot_two_moments_would_be_seen(server: Server, store: PostgresStore, schemas: Schemas) -> None:
    put(store, "first")
    with store._pool.lend() as connection:
        connection.execute("SET default_transaction_isolation = 'read committed'")
    assert counted_twice(server, store, schemas.again(store)) == [1, 2]


def test_an_erasure_between_two_rounds_starts_over(
    store: PostgresStore, schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = put(store, "kept", terms=("kept",)), put(store, "gone", terms=("gone",))
    reader = schemas.again(store)
    together = asking._together
    calls = []

    def erasing(
        pool: Pool, connection: psycopg.Connection[Row], key: Key, asks: Sequence[asking.Ask]
    ) -> list[list[Row]]:
        calls.append(asks)
        if len(calls) == 2:
            with monkeypatch.context() as patch:
                patch.setattr(asking, "_together", together)
                one(store, Erase((gone,)))
        return together(pool, connection, key, asks)

    monkeypatch.setattr(asking, "_together", erasing)
    found = one(reader, Find(NOW))
    assert [(record.id, record.terms) for record in found] == [(kept, ("kept",))]
    assert len(calls) > 2


def test_a_cached_word_that_was_erased_is_not_answered(store: PostgresStore, schemas: Schemas) -> None:
    id = put(store, "gone", terms=("gone",))
    reader = schemas.again(store)
    (number,) = one(reader, Lookup(("gone",)))
    assert number is not None
    one(store, Erase((id,)))
    assert one(reader, Lookup(("gone",))) == (None,)
    put(store, "gone", terms=("gone",))
    (again,) = one(reader, Lookup(("gone",)))
    assert again not in (None, number)


def test_an_error_leaves_a_connection_that_can_be_used(server: Server) -> None:
    with Schemas(server, statement_timeout=0.2, pool_size=1) as hasty:
        store = hasty.new()
        put(store, "x")
        with pytest.raises(NotFound, match="no record 'nothing'"):
            store.batch([Count(NOW), History("nothing")], scope=ANA)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "visible", lambda view: ("pg_sleep(5) IS NOT NULL", ()))
            with pytest.raises(StoreBusy, match="a statement was stopped"):
                store.batch([Count(NOW), Find(NOW)], scope=ANA)
        assert one(store, Count(NOW)) == 1


def test_a_principal_is_forgotten_with_its_batch(store: PostgresStore) -> None:
    put(store, "of ana")
    put(store, "of bob", BOB)
    assert one(store, Count(NOW)) == 1
    with store._pool.lend() as connection:
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (0,)
    assert one(store, Count(NOW), BOB) == 1
    assert len(one(store, Find(NOW), Scope(user_id="nobody"))) == 0
    store.batch([Put(Draft("more"))], scope=BOB)
    assert one(store, Count(NOW), BOB) == 2
