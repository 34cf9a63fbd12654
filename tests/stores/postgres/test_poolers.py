"""A real PgBouncer in front of the server: every way to pool, and its bad days."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import Trace

from remanence.conformance import STORE_RULES, check_store
from remanence.conformance.stage import ANA, BOB, NOW, START, one, put
from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput, StoreBusy, StoreError, StoreUncertain
from remanence.stores.postgres import PostgresStore, faults
from remanence.stores.postgres.pool import Address, Pool
from remanence.stores.postgres.schema import SERVER
from remanence.stores.postgres.server_tables import KeyRow, ServerTables
from remanence.substrates.records.operations import Changes, Count, Erase, Find, Scan
from tests.stores.postgres.pooler import Pooler, pooling
from tests.stores.postgres.server import Schemas, Server, schema_of
from tests.support.waiting import eventually

TRANSACTION = "&pool_mode=transaction"
PATIENCE = 60.0


def key_called(name: str) -> KeyRow:
    return (name * 16, name, b"digest", "{}", "read", 1, None, None)


def texts(store: PostgresStore) -> list[str]:
    return [record.text for record in one(store, Find(NOW))]


def opened(url: str, schema: str, seed: int = 0, **settings: Any) -> PostgresStore:
    bits = random.Random(f"{schema} {seed}").getrandbits
    return PostgresStore(
        url, schema=schema, clock=SteppingClock(START), random_bits=bits, **{"durable": False, **settings}
    )


def uses_of(store: PostgresStore) -> tuple[Callable[[], object], ...]:
    """A batch that writes, one that reads, and a single statement."""
    return lambda: put(store, "x", terms=("x",)), lambda: texts(store), store.position


@contextmanager
def slow_commits(server: Server, store: PostgresStore, seconds: float) -> Iterator[None]:
    """Commits of writing batches that take so long; what they commit is there only afterwards."""
    schema = schema_of(store)
    server.execute(
        f"CREATE FUNCTION {schema}.linger() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$; "
        f"CREATE CONSTRAINT TRIGGER linger AFTER UPDATE ON {schema}.state DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW EXECUTE FUNCTION {schema}.linger()"
    )
    try:
        yield
    finally:
        # Waits for those that still commit.
        server.execute(f"DROP FUNCTION {schema}.linger CASCADE")


def patiently(act: Callable[[], str]) -> str:
    """Try until it can be reached, for a minute."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(StoreError):
            return act()
        time.sleep(0.2)
    return act()


def put_and_while_it_commits(server: Server, store: PostgresStore, text: str, act: Callable[[], object]) -> None:
    """Keep something, with something done during its commit, which has to be a slow one."""
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    done: list[bool] = []

    def watch() -> None:
        eventually(lambda: server.execute(asleep) != [(0,)], "no commit was slow")
        act()
        done.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        put(store, text)
    finally:
        watcher.join()
        assert done, "no commit was slow"


@pytest.mark.parametrize(("pool_mode", "option"), [("session", ""), ("transaction", TRANSACTION)])
@pytest.mark.parametrize("reset", ["DISCARD ALL", ""])
def test_stores_and_servers_share_a_pooler(
    server: Server, schemas: Schemas, pool_mode: str, option: str, reset: str
) -> None:
    """Sessions go from one schema and role to the next, with and without being cleaned in between."""
    size = "1" if option else "2"
    first, second = schema_of(schemas.new()), schema_of(schemas.new())
    with pooling(server, pool_mode, server_reset_query=reset, default_pool_size=size) as pooler:
        url = pooler.url + option
        for round in range(3):
            for number in range(4):
                for name in (first, second):
                    with opened(url, name, 10 * round + number) as store:
                        for _ in range(3):
                            put(store, f"{name} {round}")
                            assert set(texts(store)) == {f"{name} {past}" for past in range(round + 1)}
                    with closing(ServerTables(f"{url}&schema={name}", durable=False)) as tables:
                        if not tables.exist():
                            tables.add(key_called(name[-1]))
                        with tables.holding(name[-1] * 16) as row:
                            assert row == key_called(name[-1])
        with opened(url, first, 99) as store:
            assert store.check() == []
            erased = one(store, Erase((one(store, Find(NOW))[0].id,)))
            assert not store.residue_cleared
            assert store.clear_residue()
            assert store.residue_cleared
            assert store.verify_erasure(erased).clean
            assert one(store, Count(NOW)) == 35
    assert set(texts(schemas.again(opened(server.url, second)))) == {f"{second} {round}" for round in range(3)}


@pytest.mark.parametrize("rule", [rule.id for rule in STORE_RULES])
def test_a_pooler_of_transactions_keeps_the_promises_of_the_contract(
    server: Server, transactions: Pooler, rule: str
) -> None:
    with Schemas(server, transactions.url + TRANSACTION) as pooled:
        report = check_store(pooled, reopen=pooled.reopen, only={rule})
        assert report.ok, str(report)


@pytest.fixture(scope="module")
def transactions() -> Iterator[Pooler]:
    """A pooler that has two sessions for all who come."""
    from tests.stores.postgres.server import serve

    with pooling(serve(), "transaction", default_pool_size="2") as pooler:
        yield pooler


def test_threads_of_two_stores_through_two_sessions(server: Server, schemas: Schemas, transactions: Pooler) -> None:
    names = [schema_of(schemas.new()) for _ in range(2)]
    stores = [opened(transactions.url + TRANSACTION, name) for name in names]
    failures: list[BaseException] = []

    def work(store: PostgresStore, name: str, scope: Any) -> None:
        try:
            for number in range(10):
                put(store, f"{name} {number}", scope)
                assert all(record.text.startswith(name) for record in one(store, Find(NOW), scope))
                assert one(store, Scan(), scope).seq
                assert store.position()
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(store, name, scope))
        for store, name in zip(stores, names, strict=True)
        for scope in (ANA, BOB)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for store in stores:
        assert store.position() == 20
        assert store.check() == []
        store.close()


def test_nothing_of_ours_stays_in_the_sessions_of_a_pooler(server: Server, schemas: Schemas) -> None:
    """Another program that shares them is not to find our role and path, nor what we have prepared."""
    name = schema_of(schemas.new())
    with (
        pooling(server, "transaction", default_pool_size="1") as pooler,
        opened(pooler.url + TRANSACTION, name) as store,
        psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as other,
    ):
        look = "SELECT current_user, current_setting('search_path'), current_setting('remanence.session', true), "
        look += "(SELECT count(*) FROM pg_prepared_statements)"
        before = other.execute(look.encode()).fetchall()
        for _ in range(8):
            put(store, "x")
            assert texts(store)
            store.position()
        ((user, path, mark, prepared),) = other.execute(look.encode()).fetchall()
    assert (user, path, prepared) == (before[0][0], before[0][1], 0)
    assert not mark


def test_what_others_left_in_the_sessions_of_a_pooler_does_no_harm(server: Server, schemas: Schemas) -> None:
    name = schema_of(schemas.new())
    server.execute("DROP ROLE IF EXISTS nobody_here; CREATE ROLE nobody_here")
    with pooling(server, "transaction", default_pool_size="1") as pooler:
        with psycopg.connect(pooler.url, autocommit=True) as other:
            other.execute("SET ROLE nobody_here")
            other.execute("SET search_path = pg_catalog")
            other.execute("SET default_transaction_isolation = 'serializable'")
        with opened(pooler.url + TRANSACTION, name) as store:
            put(store, "x")
            assert texts(store) == ["x"]
            assert store.clear_residue()
        fresh = f"{name}_fresh"
        try:
            with opened(pooler.url + TRANSACTION, fresh) as store:
                put(store, "made through it")
                assert texts(store) == ["made through it"]
        finally:
            server.execute(f"DROP SCHEMA IF EXISTS {fresh} CASCADE")
    server.execute("DROP ROLE nobody_here")


def test_transactions_pooled_without_a_word_in_the_address(server: Server, schemas: Schemas) -> None:
    """What is answered is right, what is not is refused with the way out, and nothing goes astray."""
    names = [schema_of(schemas.new()) for _ in range(2)]
    kept: dict[str, int] = dict.fromkeys(names, 0)
    refused: list[StoreError] = []
    with pooling(server, "transaction", default_pool_size="2") as pooler:
        stores = {name: opened(pooler.url, name, busy_timeout=5.0) for name in names}

        def work(name: str) -> None:
            store = stores[name]
            for _ in range(12):
                for use in (lambda: put(store, name), lambda: one(store, Changes()), store.position, store.check):
                    try:
                        found = use()
                    except StoreError as error:
                        refused.append(error)
                    else:
                        kept[name] += isinstance(found, str)
                try:
                    assert all(text == name for text in texts(store))
                except StoreError as error:
                    refused.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in names for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores.values():
            store.close()
    assert refused, "two sessions for four threads of two stores cannot stay apart"
    assert [str(error) for error in refused if "pool_mode=transaction" not in str(error)] == []
    for name in names:
        rows = server.execute(f"SELECT text, count(*) FROM {name}.versions GROUP BY text")
        assert rows == ([(name, kept[name])] if kept[name] else [])


def test_keys_of_another_schema_are_not_read_through_a_pooler_of_transactions(server: Server, schemas: Schemas) -> None:
    """Also where the address does not say what is in front: a key lets in where it was made and nowhere else."""
    names = [schema_of(schemas.new()) for _ in range(2)]
    for name in names:
        with closing(ServerTables(f"{server.url}&schema={name}", durable=False)) as tables:
            tables.add(key_called(name[-1]))
    with pooling(server, "transaction", default_pool_size="1") as pooler:
        both = [ServerTables(f"{pooler.url}&schema={name}", durable=False) for name in names]
        for _ in range(3):
            for name, tables in zip(names, both, strict=True):
                assert tables.rows() == [key_called(name[-1])]
                with tables.holding(name[-1] * 16) as row:
                    assert row == key_called(name[-1])
        for tables in both:
            tables.close()
    for name in names:
        for table in SERVER:
            server.execute(f"DELETE FROM {name}.{table}")


@pytest.mark.parametrize("option", ["", TRANSACTION])
def test_a_pooler_of_statements_is_refused(server: Server, schemas: Schemas, option: str) -> None:
    name = schema_of(schemas.new())
    with pooling(server, "statement") as pooler, opened(pooler.url + option, name) as store:
        for use in (lambda: put(store, "x"), lambda: texts(store), store.position):
            with pytest.raises(StoreError, match="pool sessions or transactions"):
                use()
    assert server.execute(f"SELECT count(*) FROM {name}.journal") == [(0,)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"default_pool_size": "1", "query_wait_timeout": "1"}, "query_wait_timeout"),
        ({"max_client_conn": "1"}, "no more connections allowed"),
    ],
)
def test_a_crowded_pooler_is_busy(
    server: Server, schemas: Schemas, settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = schema_of(schemas.new())
    connect = Pool._connect
    tried: list[Pool] = []

    def counted(self: Pool) -> psycopg.Connection[Any]:
        tried.append(self)
        return connect(self)

    with pooling(server, "session", **settings) as pooler, opened(pooler.url, name, busy_timeout=2.0) as store:
        with psycopg.connect(pooler.url) as occupied, monkeypatch.context() as patch:
            occupied.execute("SELECT 1")
            patch.setattr(Pool, "_connect", counted)
            with pytest.raises(StoreBusy, match=f"no session to give .*{said}"):
                put(store, "x")
            assert len(tried) == 1, "it was waited for once"
        put(store, "y")
        assert texts(store) == ["y"]


@pytest.mark.parametrize(
    "said",
    [
        "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
        "(EMAXCONN) max client connections reached, limit: 200",
        "Max client connections reached",
    ],
)
def test_what_other_poolers_say_when_they_are_crowded(said: str) -> None:
    error = psycopg.OperationalError(f"connection failed: FATAL:  {said}")
    assert faults.is_crowded(error)
    assert isinstance(faults.translate(error, "here", 1.0), StoreBusy)
    other = psycopg.OperationalError("connection failed: FATAL:  password authentication failed")
    assert not faults.is_crowded(other)
    assert not isinstance(faults.translate(other, "here", 1.0), StoreBusy)


def test_a_statement_that_the_pooler_stops_is_busy(server: Server, schemas: Schemas) -> None:
    made = schemas.new()
    with pooling(server, "session", query_timeout="2") as pooler, opened(pooler.url, schema_of(made)) as store:
        put(store, "x")
        with psycopg.connect(server.url) as blocker:
            blocker.execute(f"SELECT * FROM {schema_of(made)}.state FOR UPDATE".encode())
            with pytest.raises(StoreBusy, match="a statement was stopped"):
                put(store, "y")
        assert texts(store) == ["x"]
        with slow_commits(server, made, 5.0), pytest.raises(StoreUncertain, match="kept whole or not at all"):
            put(store, "z")
        assert store.check() == []


@pytest.mark.parametrize(("pool_mode", "option"), [("session", ""), ("transaction", TRANSACTION)])
def test_a_pooler_that_is_killed(server: Server, schemas: Schemas, pool_mode: str, option: str) -> None:
    made = schemas.new()
    with pooling(server, pool_mode) as pooler, opened(pooler.url + option, schema_of(made)) as store:
        put(store, "before")
        pooler.kill()
        for use in (lambda: put(store, "while it is away"), lambda: texts(store), store.position):
            with pytest.raises(StoreError, match="cannot be reached"):
                use()
        pooler.start()
        put(store, "after")
        assert texts(store) == ["before", "after"]
        pooler.kill()
        pooler.start()
        assert texts(store) == ["before", "after"], "a batch is done again on a new connection"
        pooler.kill()
        pooler.start()
        put(store, "again")
        with slow_commits(server, made, 3.0):
            with pytest.raises(StoreUncertain, match="kept whole or not at all"):
                put_and_while_it_commits(server, store, "nobody knows", pooler.kill)
            pooler.start()
            # The server has not noticed that nobody listens, and ends what it was told to.
            assert one(store, Count(NOW)) in (3, 4)
        assert texts(store) == ["before", "after", "again", "nobody knows"]
        assert store.check() == []
        assert store.position() == 4


@pytest.mark.parametrize(("pool_mode", "option"), [("session", ""), ("transaction", TRANSACTION)])
def test_a_session_that_ends_behind_the_pooler(server: Server, schemas: Schemas, pool_mode: str, option: str) -> None:
    made = schemas.new()
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    with pooling(server, pool_mode) as pooler, opened(pooler.url + option, schema_of(made)) as store:
        put(store, "before")
        server.execute(kill)
        put(store, "after")
        server.execute(kill)
        assert texts(store) == ["before", "after"]
        with (
            slow_commits(server, made, 30.0),
            pytest.raises(StoreUncertain, match="kept whole or not at all"),
        ):
            put_and_while_it_commits(server, store, "lost", lambda: server.execute(kill))
        assert texts(store) == ["before", "after"]
        put(store, "last")
        assert store.check() == []


def test_a_server_that_is_restarted_behind_the_pooler(server: Server, schemas: Schemas) -> None:
    if not server.can_restart:
        pytest.skip("the server of REMANENCE_TEST_PG is not ours to stop")
    made = schemas.new()
    made.position()
    with (
        pooling(server, "transaction", server_login_retry="1", query_wait_timeout="1") as pooler,
        opened(pooler.url + TRANSACTION, schema_of(made), busy_timeout=2.0) as store,
    ):
        put(store, "before")
        server.stop()
        try:
            for use in (lambda: put(store, "while it is away"), lambda: texts(store), store.position) * 2:
                with pytest.raises(StoreError, match=r"cannot be reached|no session to give"):
                    use()
        finally:
            server.start()
        # For `server_login_retry` the pooler remembers that it could not log in.
        again = patiently(lambda: put(store, "after"))
        assert [record.id for record in one(store, Find(NOW))][1:] == [again]
        assert texts(store) == ["before", "after"]


def test_passwords_are_checked_by_the_pooler(server: Server, schemas: Schemas) -> None:
    name = schema_of(schemas.new())
    with pooling(server, "transaction", auth_type="scram-sha-256") as pooler:
        with opened(pooler.url + TRANSACTION, name) as store:
            put(store, "x")
            assert texts(store) == ["x"]
        with (
            opened(pooler.url.replace(":secret@", ":wrong@") + TRANSACTION, name) as store,
            pytest.raises(StoreError, match=r"SASL authentication failed|password authentication failed") as failed,
        ):
            put(store, "y")
        assert "wrong" not in str(failed.value)


def test_a_setting_that_the_pooler_does_not_take(server: Server, schemas: Schemas) -> None:
    name = schema_of(schemas.new())
    setting = "&options=-c%20geqo%3Doff"
    with (
        pooling(server, "session") as pooler,
        opened(pooler.url + setting, name) as store,
        pytest.raises(StoreError, match="unsupported startup parameter: options"),
    ):
        put(store, "x")
    with (
        pooling(server, "session", ignore_startup_parameters="options") as pooler,
        opened(pooler.url + setting, name) as store,
    ):
        put(store, "x")
        assert texts(store) == ["x"]


@pytest.fixture
def trips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], int]]:
    """Counts how often the connections of stores have waited for the server in an act, by what libpq has sent."""
    path = tmp_path / "trace"
    connect = Pool._connect
    with path.open("ab") as trace:

        def traced(self: Pool) -> psycopg.Connection[Any]:
            connection = connect(self)
            connection.pgconn.trace(trace.fileno())
            connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            return connection

        def ended() -> int:
            # libpq waits at the end of a query, and of what it sends together.
            lines = path.read_text(encoding="latin1").splitlines()
            return sum(line.startswith("F\t") and line.split("\t")[2] in ("Query", "Sync") for line in lines)

        def count(act: Callable[[], object]) -> int:
            before = ended()
            act()
            return ended() - before

        monkeypatch.setattr(Pool, "_connect", traced)
        yield count


def test_transactions_that_set_everything_take_no_more_round_trips(
    server: Server, schemas: Schemas, trips: Callable[[Callable[[], object]], int]
) -> None:
    found = []
    for option in ("", TRANSACTION):
        with opened(server.url + option, schema_of(schemas.new())) as store:
            for use in uses_of(store) * 7:
                use()
            found.append([trips(use) for use in uses_of(store)])
    assert found[0] == found[1]
    assert found[0][1:] == [1, 1]


def test_the_address_says_how_sessions_are_pooled() -> None:
    address = Address("postgresql://ana@host/db?pool_mode=transaction&schema=s&sslmode=require")
    assert (address.pooled, address.schema) == (True, "s")
    assert address.conninfo == "postgresql://ana@host/db?sslmode=require"
    assert Address(address.url).url == address.url
    assert not Address("postgresql://ana@host/db?pool_mode=session").pooled
    assert not Address("postgresql://ana@host/db").pooled
    assert PostgresStore(address.url).address == address.url
    with pytest.raises(InvalidInput, match=r"pool_mode 'statement' .* one of session, transaction"):
        Address("postgresql://ana@host/db?pool_mode=statement")
