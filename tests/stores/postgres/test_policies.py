"""Row-level security, tried with statements of our own under the role that the store acts as."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from remanence.conformance.stage import ANA, BOB, NOW, one, put
from remanence.conformance.store_promises import ADVERSARIAL
from remanence.core.errors import StoreError
from remanence.core.scope import Scope
from remanence.stores.postgres import PostgresStore
from remanence.stores.postgres.codec import EVERYWHERE, Key, key_of
from remanence.stores.postgres.schema import ROLE, SCOPED, SERVER, SHARED
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import Count, Enqueue, Erase, Find, Link, Put, Revise, Touch
from tests.stores.postgres.server import Schemas, Server, schema_of

Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def acting(server: Server, store: PostgresStore, principal: Key | None) -> Iterator[Connection]:
    """A transaction of the store's role under a principal, or under none, that is rolled back in the end."""
    with psycopg.connect(server.url) as connection:
        connection.execute(f"SET ROLE {ROLE}".encode())
        connection.execute(f"SET search_path = {schema_of(store)}".encode())
        if principal is not None:
            connection.execute("SELECT set_config('remanence.scope', %s::text[]::text, true)", ([*principal],))
        yield connection
        connection.rollback()


def filled(schemas: Schemas) -> PostgresStore:
    """A store in which every table has rows of Ana and of Bob."""
    store = schemas.new()
    for scope in (ANA, BOB):
        first = put(store, "the secret", scope, terms=("secret",), vector=Vector("space", b"\x01\x02", 0.5))
        second = put(store, "derived", scope, sources=(Source(first, 0, 3),))
        one(store, Link(Edge(first, second, "next")), scope)
        one(store, Touch((first,), NOW.now), scope)
        one(store, Enqueue("enrich", {"id": first}), scope)
        kept = put(store, "kept", scope)
        one(store, Revise(kept, Draft("kept, resting", sources=(Source(first, 0, 1),))), scope)
        other = put(store, "forgotten", scope)
        half = put(store, "half", scope)
        one(store, Revise(half, Draft("on what goes", sources=(Source(other, 0, 1),))), scope)
        one(store, Erase((other,)), scope)
    return store


def count(connection: Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0])


def test_every_table_has_a_policy_that_binds_its_owner_too(server: Server, schemas: Schemas) -> None:
    store = filled(schemas)
    rows = server.execute(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'",
        schema_of(store),
    )
    assert {name for name, *_ in rows} == {*SCOPED, *SHARED, *SERVER, "layouts"}
    assert all(enabled and forced for name, enabled, forced, _ in rows if name != "layouts")
    assert ROLE not in {owner for *_, owner in rows}
    ((can,),) = server.execute("SELECT rolsuper OR rolbypassrls OR rolcanlogin FROM pg_roles WHERE rolname = %s", ROLE)
    assert not can


def test_without_a_principal_nothing_is_seen(server: Server, schemas: Schemas) -> None:
    store = filled(schemas)
    with acting(server, store, EVERYWHERE) as connection:
        assert all(count(connection, table) > 0 for table in (*SCOPED, *SHARED))
    with acting(server, store, None) as connection:
        assert {table: count(connection, table) for table in SCOPED} == dict.fromkeys(SCOPED, 0)
        assert {table: count(connection, table) for table in SHARED} == dict.fromkeys(SHARED, 0) | {"state": 1}
        # A setting that was made for one transaction leaves an empty string behind.
        connection.execute("SELECT set_config('remanence.scope', '', true)")
        assert count(connection, "versions") == 0


def test_without_a_principal_nothing_is_written(server: Server, schemas: Schemas) -> None:
    store = filled(schemas)
    writes = [
        "INSERT INTO scopes VALUES ('', 'eve', '', '', NULL)",
        "INSERT INTO usage VALUES ('', 'ana', '', '', 'x', 1, NULL, 1, 0)",
        "INSERT INTO floors VALUES ('', '', '', '', 'x', 1)",
        "INSERT INTO vocab VALUES (1000, 'x', 'x')",
        "INSERT INTO retired VALUES ('x')",
    ]
    for statement in writes:
        with (
            acting(server, store, None) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        ):
            connection.execute(statement.encode())
    with acting(server, store, None) as connection:
        for table in (*SCOPED, *SHARED):
            column = {"state": "seq = 0", "work": "at = 0"}.get(table)
            if column:
                assert connection.execute(f"UPDATE {table} SET {column}".encode()).rowcount == 0
            assert connection.execute(f"DELETE FROM {table}".encode()).rowcount == 0
    for statement in ("TRUNCATE versions", "DROP TABLE versions", "ALTER TABLE versions DISABLE ROW LEVEL SECURITY",
                      "CREATE TABLE x(y int)", "INSERT INTO layouts VALUES (9, 'x')",
                      "DROP POLICY by_scope ON versions"):  # fmt: skip
        with acting(server, store, EVERYWHERE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_a_principal_sees_and_writes_its_own(server: Server, schemas: Schemas) -> None:
    store = filled(schemas)
    with acting(server, store, key_of(ANA)) as connection:
        for table in SCOPED:
            rows = connection.execute(f"SELECT DISTINCT user_id FROM {table}".encode()).fetchall()
            assert rows == [("ana",)], table
        assert connection.execute("UPDATE versions SET text = 'x' WHERE user_id = 'bob'").rowcount == 0
        assert connection.execute("DELETE FROM journal WHERE user_id = 'bob'").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE versions SET user_id = 'bob'")
    with (
        acting(server, store, key_of(ANA)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
    ):
        connection.execute("INSERT INTO floors VALUES ('', 'bob', '', '', 'x', 1)")


def test_policies_alone_keep_adversarial_tenants_apart(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    for name in ADVERSARIAL:
        put(store, f"of {name}", Scope(user_id=name))
    for name in ADVERSARIAL:
        with acting(server, store, key_of(Scope(user_id=name))) as connection:
            rows = connection.execute("SELECT text FROM versions WHERE true OR user_id = ''").fetchall()
            assert rows == [(f"of {name}",)]


def test_a_policy_that_compares_by_pattern_would_be_noticed(server: Server, schemas: Schemas) -> None:
    """The plausible wrong form: LIKE, under which `ana%` sees `ana2`."""
    store = schemas.new()
    put(store, "of ana2", Scope(user_id="ana2"))
    name = schema_of(store)
    policy = f"DROP POLICY by_scope ON {name}.versions; CREATE POLICY by_scope ON {name}.versions USING "
    right = server.execute("SELECT qual FROM pg_policies WHERE schemaname = %s AND tablename = 'versions'", name)[0][0]
    server.execute(f"{policy} (user_id LIKE {name}.principal(2))")
    with acting(server, store, key_of(Scope(user_id="ana%"))) as connection:
        assert count(connection, "versions") == 1
    server.execute(f"SET search_path = {name}; {policy} ({right})")
    with acting(server, store, key_of(Scope(user_id="ana%"))) as connection:
        assert count(connection, "versions") == 0


def test_ids_too_long_for_an_index_are_kept_apart_and_come_back(schemas: Schemas) -> None:
    store = schemas.new()
    long = [Scope(user_id="é" * 512), Scope(user_id="é" * 511 + "e"), Scope(*("👩" * 512,) * 4)]
    for scope in long:
        id = put(store, str(scope), scope)
        one(store, Enqueue("enrich"), scope)
        one(store, Link(Edge(id, id, "t" * 5000)), scope)
    for scope in long:
        (record,) = one(store, Find(NOW), scope)
        assert (record.text, record.scope) == (str(scope), scope)
    assert set(store.due()) == set(long) == set(store.scopes())


def test_a_role_that_is_exempt_from_policies_is_refused(server: Server, schemas: Schemas) -> None:
    store = schemas.new()
    store.position()
    server.execute(f"ALTER ROLE {ROLE} BYPASSRLS")
    try:
        with pytest.raises(StoreError, match="exempt from row-level security"):
            schemas.again(store).batch([Count(NOW)], scope=ANA)
    finally:
        server.execute(f"ALTER ROLE {ROLE} NOBYPASSRLS")


def test_a_login_without_rights_can_use_a_store_that_is_there(server: Server, schemas: Schemas) -> None:
    if not server.can_restart:
        pytest.skip("the address of another server's login cannot be made up")
    store = schemas.new()
    put(store, "x")
    server.execute("CREATE ROLE plain LOGIN")
    try:
        url = server.url.replace("postgres:@", "plain:@")
        with PostgresStore(url, schema=schema_of(store)) as other, pytest.raises(StoreError, match=f"GRANT {ROLE}"):
            other.batch([Count(NOW)], scope=ANA)
        server.execute(f"GRANT {ROLE} TO plain")
        with PostgresStore(url, schema=schema_of(store)) as other:
            other.batch([Put(Draft("y"))], scope=ANA)
            assert one(other, Count(NOW)) == 2
        with (
            PostgresStore(url, schema="not_there") as other,
            pytest.raises(StoreError, match="may not bring 'not_there' to layout"),
        ):
            other.batch([Count(NOW)], scope=ANA)
    finally:
        server.execute("DROP ROLE plain")
