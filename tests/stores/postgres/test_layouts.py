"""Layouts: each numbered step leads on from a store that holds something, and a newer layout is left alone."""

from __future__ import annotations

import re
import threading
from typing import Any

import psycopg
import pytest

from remanence.conformance.stage import ANA, NOW, one, put
from remanence.core.errors import InvalidInput, StoreCorrupt, StoreError, StoreVersionError
from remanence.stores.postgres import PostgresStore, pool, schema
from remanence.stores.postgres.pool import Address
from remanence.substrates.records.operations import Count, Find
from tests.stores.postgres.server import Schemas, Server, schema_of


def _second(connection: schema.Connection) -> None:
    """A step as the next one may look: a new column, filled from what is there."""
    schema.run(connection, "ALTER TABLE versions ADD COLUMN letters int")
    schema.run(connection, "UPDATE versions SET letters = length(text)")


@pytest.fixture
def own(server: Server) -> Any:
    """The name of a schema that is dropped in the end."""
    yield "layouts_test"
    server.execute("DROP SCHEMA IF EXISTS layouts_test CASCADE")


def test_a_store_of_layout_1_is_led_to_the_next(server: Server, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "STEPS", schema.STEPS[:1])
    with PostgresStore(server.url, schema=own) as store:
        id = put(store, "four", ANA)
    assert server.execute(f"SELECT number, step FROM {own}.layouts") == [(1, "create")]
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, _second))
    with PostgresStore(server.url, schema=own) as store:
        assert one(store, Find(NOW))[0].id == id
        assert store.info().layout == 2
    assert server.execute(f"SELECT letters FROM {own}.versions") == [(4,)]
    assert server.execute(f"SELECT number, step FROM {own}.layouts ORDER BY number") == [(1, "create"), (2, "second")]


def test_a_server_that_is_too_old_is_refused_before_anything_is_made(
    server: Server, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((found,),) = server.execute("SELECT current_setting('server_version')")
    monkeypatch.setattr(pool, "OLDEST", 990000)
    with PostgresStore(server.url, schema=own) as store:
        for _ in range(2):
            with pytest.raises(StoreError, match=re.escape(f"is PostgreSQL {found}; a store needs 99 or newer")):
                put(store, "x")
        assert server.execute("SELECT to_regnamespace(%s)::text", own) == [(None,)]
        monkeypatch.undo()
        put(store, "x")


def test_a_step_that_fails_leaves_no_trace(server: Server, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgresStore(server.url, schema=own) as store:
        put(store, "x")

    def breaks(connection: schema.Connection) -> None:
        _second(connection)
        raise RuntimeError("half-way")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, breaks))
    with PostgresStore(server.url, schema=own) as store, pytest.raises(RuntimeError, match="half-way"):
        one(store, Count(NOW))
    monkeypatch.undo()
    with PostgresStore(server.url, schema=own) as store:
        assert one(store, Count(NOW)) == 1
        assert store.info().layout == len(schema.STEPS)


def test_a_newer_layout_is_not_touched(server: Server, own: str) -> None:
    with PostgresStore(server.url, schema=own) as store:
        put(store, "x")
    server.execute(f"INSERT INTO {own}.layouts VALUES (99, 'of tomorrow')")
    with PostgresStore(server.url, schema=own) as store, pytest.raises(StoreVersionError, match="layout 99"):
        one(store, Count(NOW))


def test_a_schema_of_another_program_is_refused(server: Server, own: str) -> None:
    server.execute(f"CREATE SCHEMA {own}")
    server.execute(f"CREATE TABLE {own}.theirs(x int)")
    with PostgresStore(server.url, schema=own) as store, pytest.raises(StoreCorrupt, match="another program"):
        one(store, Count(NOW))
    assert server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", own) == [(1,)]


def test_many_openers_make_one_store(server: Server, own: str) -> None:
    stores = [PostgresStore(server.url, schema=own) for _ in range(4)]
    failures: list[BaseException] = []

    def begin(store: PostgresStore) -> None:
        try:
            put(store, "x")
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=begin, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert one(stores[0], Count(NOW)) == 4
    for store in stores:
        store.close()


def test_addresses() -> None:
    address = Address("postgresql://ana:secret@db.example:5433/memory?sslmode=require&schema=team_a")
    assert address.schema == "team_a"
    assert "schema" not in address.conninfo
    assert "sslmode=require" in address.conninfo
    assert address.name == "postgresql://db.example/memory?schema=team_a"
    assert Address("postgres://localhost/x").schema == "remanence"
    several = Address("postgresql://host@one:5433,two/memory?target_session_attrs=read-write&schema=team_a")
    assert several.conninfo == "postgresql://host@one:5433,two/memory?target_session_attrs=read-write"
    for wrong in ("mysql://x/y", "postgresql://x/y?schema=A", "postgresql://x/y?schema=a;drop", "postgresql://x/y?a=b"):
        with pytest.raises(InvalidInput):
            Address(wrong)


def test_a_password_is_in_no_message(schemas: Schemas, server: Server) -> None:
    store = schemas.new()
    url = server.url.replace("postgres:@", "nobody:hunter2@")
    with PostgresStore(url, schema=schema_of(store), busy_timeout=1) as other, pytest.raises(StoreError) as raised:
        one(other, Count(NOW))
    assert "hunter2" not in str(raised.value)


def test_an_opener_who_had_to_wait_sees_what_was_made_meanwhile(server: Server, own: str) -> None:
    """A session remembers that there is no such name until it next locks a table, or somebody tells it of a change."""
    with psycopg.connect(server.url) as waiting:
        assert schema.layout(waiting, own) == 0
        server.execute(
            f"CREATE SCHEMA {own}; CREATE TABLE {own}.layouts(number int); INSERT INTO {own}.layouts VALUES (7)"
        )
        assert schema.layout(waiting, own) == 7
