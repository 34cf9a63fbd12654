"""What servers share: out of reach of tenants, and brought to stores that were made before there was any of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from remanence.conformance.stage import ANA, NOW, one, put
from remanence.core.errors import StoreBusy, StoreClosed, StoreError
from remanence.stores.postgres import PostgresStore, schema
from remanence.stores.postgres.codec import EVERYWHERE, Key, key_of
from remanence.stores.postgres.schema import ROLE, SERVER, SERVER_ROLE
from remanence.stores.postgres.server_tables import KeyRow, ServerTables
from remanence.substrates.records.operations import Erase, Find
from tests.stores.postgres.server import Schemas, Server

Connection = psycopg.Connection[tuple[Any, ...]]
DESK: KeyRow = ("0" * 16, "desk", b"\x00digest", '{"user_id": "ana"}', "read write", 1, None, None)


@pytest.fixture
def url(schemas: Schemas) -> str:
    return schemas.address()


@pytest.fixture
def tables(url: str) -> Iterator[ServerTables]:
    with closing(ServerTables(url, timeout=5.0, durable=False)) as found:
        found.add(DESK)
        assert found.take(b"name", b"body", b"nonce", at=1, lease=2, expired=0) is None
        yield found


@contextmanager
def acting(server: Server, url: str, role: str, principal: Key | None = None) -> Iterator[Connection]:
    """A transaction of a role in a schema that is rolled back in the end."""
    with psycopg.connect(server.url) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        connection.execute(f"SET search_path = {url.rpartition('=')[2]}".encode())
        if principal is not None:
            connection.execute("SELECT set_config('remanence.scope', %s::text[]::text, true)", ([*principal],))
        yield connection
        connection.rollback()


@pytest.mark.parametrize("principal", [None, key_of(ANA), EVERYWHERE])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM {0}",
        "SELECT EXISTS (SELECT 1 FROM {0})",
        "DELETE FROM {0}",
        "TRUNCATE {0}",
        "DROP TABLE {0}",
        "ALTER TABLE {0} DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY all_of_it ON {0} TO remanence_app USING (true)",
        "GRANT ALL ON {0} TO remanence_app",
        "COPY {0} TO STDOUT",
        "INSERT INTO server_keys VALUES ('1', 'x', 'x', '{{}}', 'admin', 1, NULL, NULL)",
        "UPDATE server_keys SET revoked = NULL",
        "UPDATE server_requests SET lease = 0",
        "SET ROLE remanence_server",
    ],
)
def test_the_role_of_tenants_reaches_nothing(
    server: Server, url: str, tables: ServerTables, principal: Key | None, statement: str
) -> None:
    server.execute("DROP ROLE IF EXISTS tenant")
    server.execute("CREATE ROLE tenant LOGIN")
    server.execute(f"GRANT {ROLE} TO tenant")
    try:
        for table in SERVER:
            with psycopg.connect(server.url) as connection:
                connection.execute("SET SESSION AUTHORIZATION tenant")
                connection.execute(f"SET ROLE {ROLE}".encode())
                connection.execute(f"SET search_path = {url.rpartition('=')[2]}".encode())
                if principal is not None:
                    connection.execute("SELECT set_config('remanence.scope', %s::text[]::text, true)", ([*principal],))
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.format(table).encode())
                connection.rollback()
    finally:
        server.execute("DROP ROLE tenant")


def test_a_grant_that_was_forgotten_to_be_kept_back_would_be_noticed(
    server: Server, url: str, tables: ServerTables
) -> None:
    """The plausible wrong form: rights on all tables of the schema. Policies show nothing even then."""
    name = url.rpartition("=")[2]
    server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {ROLE}")
    try:
        with acting(server, url, ROLE, EVERYWHERE) as connection:
            for table in SERVER:
                assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall() == [(0,)]
    finally:
        server.execute(f"REVOKE ALL ON {', '.join(f'{name}.{table}' for table in SERVER)} FROM {ROLE}")


def test_the_role_of_servers_ends_keys_and_changes_nothing_else_of_them(
    server: Server, url: str, tables: ServerTables
) -> None:
    with acting(server, url, SERVER_ROLE) as connection:
        assert connection.execute("UPDATE server_keys SET revoked = 5").rowcount == 1
    for statement in (
        "UPDATE server_keys SET rights = 'admin'",
        "UPDATE server_keys SET scope = '{}'",
        "UPDATE server_keys SET digest = ''",
        "DELETE FROM server_keys",
        "SELECT text FROM versions",
        "SELECT count(*) FROM journal",
        "UPDATE state SET seq = 0",
    ):
        with acting(server, url, SERVER_ROLE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_the_roles_are_not_exempt_from_policies(server: Server, tables: ServerTables, url: str) -> None:
    rows = server.execute(
        "SELECT rolsuper OR rolbypassrls OR rolcanlogin FROM pg_roles WHERE rolname = ANY(%s)", [ROLE, SERVER_ROLE]
    )
    assert rows == [(False,), (False,)]
    server.execute(f"ALTER ROLE {SERVER_ROLE} BYPASSRLS")
    try:
        with closing(ServerTables(url)) as other, pytest.raises(StoreError, match="exempt from row-level security"):
            other.rows()
    finally:
        server.execute(f"ALTER ROLE {SERVER_ROLE} NOBYPASSRLS")


def test_a_store_of_layout_1_gets_them(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "layout_1_test"
    url = f"{server.url}&schema={name}"
    try:
        with monkeypatch.context() as patch:
            patch.setattr(schema, "STEPS", schema.STEPS[:1])
            with PostgresStore(url) as store:
                id = put(store, "from before", ANA)
        assert server.execute(f"SELECT to_regclass('{name}.server_keys')::text") == [(None,)]
        with closing(ServerTables(url)) as tables:
            assert not tables.exist()
            tables.add(DESK)
            assert tables.rows() == [DESK]
        with PostgresStore(url) as store:
            assert one(store, Find(NOW), ANA)[0].id == id
            assert store.check() == []
        with acting(server, url, ROLE, EVERYWHERE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM server_keys")
    finally:
        server.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def test_an_erasure_is_verified_and_cleared_beside_them(server: Server, url: str, tables: ServerTables) -> None:
    with PostgresStore(url) as store:
        id = put(store, "the secret", ANA)
        receipt = one(store, Erase((id,)), ANA)
        report = store.verify_erasure(receipt, ["the secret"])
        assert report.clean
        assert not set(SERVER) & report.tables.keys()
        assert store.clear_residue()
    assert tables.key(DESK[0]) == DESK


def test_rows_come_back_as_they_were(tables: ServerTables) -> None:
    other: KeyRow = (
        "1" * 16,
        "ünïcode % _ \\ '; --",
        bytes(range(32)),
        '{"user_id": "\\u0000\\ud800"}',
        "admin",
        2,
        9,
        7,
    )
    tables.add(other)
    assert tables.rows() == [DESK, other]
    assert tables.key(other[0]) == other
    assert tables.key("2" * 16) is None
    assert tables.end("2" * 16, 5) is None
    assert tables.end(DESK[0], 5) == (*DESK[:7], 5)
    assert tables.end(DESK[0], 6) == (*DESK[:7], 5), "the first time counts"
    with pytest.raises(StoreError):
        tables.add(other)
    answer = bytes(range(256)) * 4096
    tables.answer(b"name", b"another nonce", 200, b"of somebody else")
    tables.answer(b"name", b"nonce", 201, answer)
    assert tables.take(b"name", b"body", b"late", at=3, lease=9, expired=0) == (b"body", b"nonce", 201, answer)


def test_a_lock_that_is_lost_does_not_undo_what_was_done(server: Server, tables: ServerTables) -> None:
    with tables.holding(DESK[0]) as row:
        assert row == DESK
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' "
            "AND query LIKE '%%server_keys%%'"
        )
    assert tables.end(DESK[0], 5) is not None


def test_an_error_inside_lets_go_of_the_key(tables: ServerTables) -> None:
    with pytest.raises(ZeroDivisionError), tables.holding(DESK[0]):
        raise ZeroDivisionError
    assert tables.end(DESK[0], 5) is not None


def test_connections_that_were_lost_are_made_anew(server: Server, tables: ServerTables) -> None:
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' AND state = 'idle'"
    )
    for _ in range(2):
        server.execute(kill)
        with tables.holding(DESK[0]) as row:
            assert row == DESK
        server.execute(kill)
        assert tables.take(b"other", b"body", b"n", at=1, lease=0, expired=0) is None
        tables.drop(b"other", b"n")


def test_holders_do_not_use_up_the_connections_of_each_other(url: str, tables: ServerTables) -> None:
    with closing(ServerTables(url, pool_size=1, timeout=0.2)) as small:
        with small.holding(DESK[0]), pytest.raises(StoreBusy, match="pool_size"):
            small.rows()
        assert small.rows() == [DESK]


def test_a_schema_keeps_keys_of_its_own(schemas: Schemas, tables: ServerTables) -> None:
    with closing(ServerTables(schemas.address(), timeout=0.5)) as other:
        assert other.key(DESK[0]) is None
        assert not other.exist()
        other.add(DESK)
        with tables.holding(DESK[0]):
            assert other.end(DESK[0], 5) is not None, "and locks"


def test_many_at_once_take_a_request_once(tables: ServerTables, url: str) -> None:
    with closing(ServerTables(url)) as other:
        for number in range(20):
            found: list[object] = []

            def take(place: ServerTables, nonce: bytes, number: int = number, found: list[object] = found) -> None:
                found.append(place.take(b"%d" % number, b"body", nonce, at=1, lease=9, expired=0))

            threads = [
                threading.Thread(target=take, args=(place, nonce))
                for place, nonce in ((tables, b"a"), (other, b"b"), (tables, b"c"), (other, b"d"))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found.count(None) == 1


def test_after_closing(url: str) -> None:
    tables = ServerTables(url)
    assert not tables.exist()
    tables.close()
    tables.close()
    with pytest.raises(StoreClosed):
        tables.rows()
