"""Batches of several processes at once, and on bad days: order of positions, leases, limits, lost connections."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from remanence.conformance.stage import ANA, BOB, NOW, START, one, put
from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, InvalidInput, StoreBusy, StoreError, StoreReadOnly
from remanence.core.ids import os_bits
from remanence.stores.postgres import PostgresStore, reading
from remanence.stores.postgres import store as store_module
from remanence.stores.postgres.transaction import Transaction
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import (
    Changes,
    Count,
    Enqueue,
    Find,
    Jobs,
    Lease,
    Operation,
    Put,
    Revise,
    Settle,
)
from tests.stores.postgres.server import Schemas, Server, schema_of


def in_threads(*works: Callable[[], None]) -> None:
    """Run at once; the first failure is raised here."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def blocker(server: Server, store: PostgresStore) -> psycopg.Connection[Any]:
    """A session that holds the lock of writers until it is closed."""
    connection = psycopg.connect(server.url)
    connection.execute(f"SELECT * FROM {schema_of(store)}.state FOR UPDATE".encode())
    return connection


def test_a_follower_misses_nothing(schemas: Schemas) -> None:
    """Several writers; whoever reads on from the last position that it has seen gets every entry, in order."""
    stores = [schemas(clock=SteppingClock(START, timedelta(milliseconds=1)), random_bits=os_bits)]
    stores += [schemas.again(stores[0]) for _ in range(2)]
    follower = schemas.again(stores[0])
    finished = threading.Event()
    seen: list[int] = []

    def write(store: PostgresStore, name: str) -> Callable[[], None]:
        def work() -> None:
            for number in range(15):
                store.batch([Put(Draft(f"{name} {number}")) for _ in range(number % 3 + 1)], scope=ANA)

        return work

    def follow() -> None:
        last = 0
        while True:
            over = finished.is_set()
            outcome = follower.batch([Changes(since=last)], scope=ANA)
            seen.extend(entry.seq for entry in outcome.results[0])
            last = outcome.seq
            if over:
                return

    reader = threading.Thread(target=follow)
    reader.start()
    in_threads(*(write(store, str(number)) for number, store in enumerate(stores)))
    finished.set()
    reader.join()
    assert seen == list(range(1, 91))
    times = [entry.at for entry in one(follower, Changes())]
    assert times == sorted(times)


def test_a_sequence_in_place_of_the_counter_would_let_followers_miss_something(server: Server) -> None:
    """The plausible wrong form: numbers from a sequence are given out before, and in another order than, commits."""
    server.execute("CREATE SEQUENCE wrong; CREATE TABLE wrongly(seq bigint DEFAULT nextval('wrong'))")
    try:
        with psycopg.connect(server.url) as slow:
            slow.execute("INSERT INTO wrongly DEFAULT VALUES")
            server.execute("INSERT INTO wrongly DEFAULT VALUES")
            ((last,),) = server.execute("SELECT max(seq) FROM wrongly")
            slow.commit()
        assert server.execute(f"SELECT seq FROM wrongly WHERE seq <= {last} ORDER BY seq") == [(1,), (2,)]
        assert last == 2
        assert server.execute(f"SELECT seq FROM wrongly WHERE seq > {last}") == []
    finally:
        server.execute("DROP TABLE wrongly; DROP SEQUENCE wrong")


def test_workers_do_not_wait_for_writers_and_share_nothing(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    ids = [one(store, Enqueue("enrich")) for _ in range(30)]
    others = [schemas.again(store) for _ in range(3)]
    taken: list[str] = []
    writing = blocker(server, store)

    def take(number: int) -> Callable[[], None]:
        def work() -> None:
            while found := one(others[number], Lease(f"w{number}", limit=4)):
                taken.extend(job.id for job in found)

        return work

    in_threads(*map(take, range(3)))
    writing.close()
    assert sorted(taken) == ids
    assert {job.attempts for job in one(store, Jobs())} == {1}


def test_a_job_that_is_being_leased_does_not_swallow_new_work(server: Server, schemas: Schemas) -> None:
    """What is enqueued under the key of a job whose lease is not committed yet waits, and becomes a job of its own."""
    store = schemas.new()
    first = one(store, Enqueue("enrich", key="k"))
    lease = psycopg.connect(server.url)
    lease.execute(f"UPDATE {schema_of(store)}.jobs SET state = 'leased'".encode())
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(one(store, Enqueue("enrich", key="k"))))
    thread.start()
    thread.join(0.3)
    assert found == []
    lease.commit()
    lease.close()
    thread.join()
    assert found != [first]
    assert len(one(store, Jobs())) == 2


def test_another_writer_is_waited_for_and_not_for_ever(server: Server, schemas: Schemas) -> None:
    with Schemas(server, busy_timeout=0.3) as impatient:
        store = impatient.new()
        put(store, "x")
        writing = blocker(server, store)
        with pytest.raises(StoreBusy, match="locked by another writer"):
            put(store, "y")
        assert one(store, Count(NOW)) == 1
        writing.close()
        put(store, "y")
        assert one(store, Count(NOW)) == 2


def test_an_exhausted_pool_is_busy(server: Server) -> None:
    with Schemas(server, busy_timeout=0.2, pool_size=1) as small:
        store = small.new()
        put(store, "x")
        with store._pool.lend(), pytest.raises(StoreBusy, match="all 1 connections"):
            one(store, Count(NOW))
        assert one(store, Count(NOW)) == 1


def test_a_slow_statement_is_stopped(server: Server) -> None:
    with Schemas(server, statement_timeout=0.1) as hasty:
        store = hasty.new()
        put(store, "x")
        server.execute(
            f"CREATE POLICY slow ON {schema_of(store)}.versions AS RESTRICTIVE FOR SELECT "
            "USING (pg_sleep(2)::text IS NOT NULL)"
        )
        try:
            with pytest.raises(StoreBusy, match="a statement was stopped"):
                one(store, Count(NOW))
        finally:
            server.execute(f"DROP POLICY slow ON {schema_of(store)}.versions")
        assert one(store, Count(NOW)) == 1


def test_a_deadlock_is_tried_again_a_bounded_number_of_times(schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    store = schemas.new()
    put(store, "x")
    finish = Transaction.finish
    left = [3]

    def failing(tx: Transaction) -> None:
        finish(tx)
        if left[0]:
            left[0] -= 1
            tx.execute("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$")

    monkeypatch.setattr(Transaction, "finish", failing)
    put(store, "y")
    assert one(store, Count(NOW)) == 2
    left[0] = 100
    with pytest.raises(StoreBusy, match="again and again"):
        put(store, "z")
    assert left[0] == 95
    left[0] = 0
    assert one(store, Count(NOW)) == 2
    assert [entry.seq for entry in one(store, Changes())] == [1, 2]


def test_a_batch_that_fails_in_the_middle_leaves_no_trace(schemas: Schemas) -> None:
    store = schemas.new()
    id = put(store, "x", terms=("x",))
    bad: list[Operation] = [Put(Draft("y", terms=("y",))), Enqueue("enrich"), Revise(id, Draft("z"), 9)]
    with pytest.raises(Conflict):
        store.batch(bad, scope=ANA)
    with pytest.raises(Conflict):
        store.batch([Put(Draft("y", terms=("y",))), Settle("nothing", "nobody")], scope=ANA)
    assert one(store, Count(NOW)) == 1
    assert store.position() == 1
    assert store.check() == []


def test_lost_connections_are_made_anew(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "x")
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' AND state = 'idle'"
    )
    server.execute(kill)
    put(store, "y")
    server.execute(kill)
    assert one(store, Count(NOW)) == 2
    server.execute(kill)
    assert store.position() == 2


@pytest.mark.parametrize("moment", ["before", "while committing"])
def test_a_connection_lost_during_a_batch(
    moment: str, server: Server, schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit the batch is done again; afterwards nobody knows, and it is whole or it is not there."""
    store = schemas.new()
    put(store, "x")
    lost = [True]
    finish = Transaction.finish

    def dying(tx: Transaction) -> None:
        finish(tx)
        if lost.pop() if lost else False:
            ((pid,),) = tx.execute("SELECT pg_backend_pid()").fetchall()
            if moment == "before":
                server.execute("SELECT pg_terminate_backend(%s)", pid)
                tx.execute("SELECT 1")
            else:
                threading.Timer(0.05, lambda: server.execute("SELECT pg_terminate_backend(%s)", pid)).start()
                time.sleep(0.5)

    monkeypatch.setattr(Transaction, "finish", dying)
    if moment == "before":
        put(store, "y")
        assert one(store, Count(NOW)) == 2
    else:
        with pytest.raises(StoreError, match="kept whole or not at all"):
            put(store, "y")
        assert one(store, Count(NOW)) == 1
    put(store, "z")
    assert store.check() == []


def test_a_server_that_is_restarted(server: Server, schemas: Schemas) -> None:
    if not server.can_restart:
        pytest.skip("the server of REMANENCE_TEST_PG is not ours to stop")
    store = schemas.new()
    put(store, "before")
    server.stop()
    try:
        with pytest.raises(StoreError, match="cannot be reached"):
            put(store, "while it is away")
        with pytest.raises(StoreError, match="cannot be reached"):
            store.position()
    finally:
        server.start()
    put(store, "after")
    assert [record.text for record in one(store, Find(NOW))] == ["before", "after"]
    assert store.check() == []


def test_a_replica_can_be_read(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "x")
    url = f"{server.url}&options=-c%20default_transaction_read_only%3Don"
    with PostgresStore(url, schema=schema_of(store)) as replica:
        assert one(replica, Count(NOW)) == 1
        assert replica.position() == 1
        with pytest.raises(StoreReadOnly, match="Write to the primary"):
            put(replica, "y")


def test_a_child_process_has_connections_of_its_own(schemas: Schemas) -> None:
    store = schemas.new()
    put(store, "parent")
    outlet, inlet = os.pipe()
    child = os.fork()
    if not child:
        try:
            put(store, "child")
            os.write(inlet, str(one(store, Count(NOW))).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(outlet, 9) == b"2"
    put(store, "parent again")
    assert one(store, Count(NOW)) == 3
    os.close(outlet)
    os.close(inlet)


def test_a_reading_batch_sees_one_moment(schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    store = schemas.new()
    put(store, "x")
    other = schemas.again(store)
    counting = reading.count

    def late(tx: Transaction, operation: Count) -> int:
        counted = counting(tx, operation)
        put(other, "in between")
        return counted

    monkeypatch.setitem(store_module._OTHERS, Count, late)
    outcome = store.batch([Count(NOW), Find(NOW), Count(NOW)], scope=ANA)
    assert (outcome.results[0], len(outcome.results[1]), outcome.results[2], outcome.seq) == (1, 1, 1, 1)
    assert store.position() == 3


def test_times_and_ids_go_on_whatever_the_clocks_of_the_machines(schemas: Schemas) -> None:
    store = schemas.new(START + timedelta(days=3))
    behind = schemas.again(store)
    ids = [put(one_of, "x") for one_of in (store, behind, store, behind)]
    assert ids == sorted(ids)
    times = [entry.at for entry in one(store, Changes())]
    assert times == sorted(times)
    one(behind, Enqueue("enrich"))
    (job,) = one(behind, Lease("w"))
    assert job.created_at >= times[-1]


def test_sizes_are_checked() -> None:
    with pytest.raises(InvalidInput, match="at least one connection"):
        PostgresStore("postgresql://x/y", pool_size=0)


def test_scopes_of_jobs_and_records_are_listed(schemas: Schemas) -> None:
    store = schemas.new()
    for scope in (BOB, ANA):
        put(store, "x", scope)
        one(store, Enqueue("enrich"), scope)
    assert store.due() == [BOB, ANA]
    assert set(store.scopes()) == {ANA, BOB}
