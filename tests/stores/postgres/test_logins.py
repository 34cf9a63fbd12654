"""Logins and sessions as operators give them: with few rights, with settings of their own, through a pooler."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from remanence.conformance.stage import START, put
from remanence.core.clock import SteppingClock
from remanence.core.errors import StoreCorrupt
from remanence.stores.postgres import PostgresStore
from tests.stores.postgres.server import Schemas, Server


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """The address of a database that holds nothing, for a login that owns it and may make roles, but no superuser."""
    server.execute("CREATE ROLE opener LOGIN CREATEROLE")
    address = server.database("managed")
    server.execute("ALTER DATABASE managed OWNER TO opener")
    parts = urlsplit(address)
    yield urlunsplit(parts._replace(netloc="opener:@" if not parts.hostname else f"opener@{parts.hostname}"))
    server.execute("DROP DATABASE managed WITH (FORCE)")
    server.execute("DROP ROLE opener")


def opened(url: str, schema: str = "remanence") -> PostgresStore:
    return PostgresStore(
        url, schema=schema, clock=SteppingClock(START), random_bits=random.Random(0).getrandbits, durable=False
    )


def test_an_owner_who_is_no_superuser_makes_a_store(server: Server, database: str) -> None:
    if server.execute("SHOW server_version_num")[0][0] < "160000":
        pytest.skip("before PostgreSQL 16 whoever made a role was no member of it")
    if not server.can_restart:
        pytest.skip("the roles of a server that others use are not ours to give away")
    # As where another operator made the roles: a login that may give them to others may not take them on yet.
    for role in ("remanence_app", "remanence_server"):
        server.execute(f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        server.execute(f"GRANT {role} TO opener WITH ADMIN OPTION, SET FALSE, INHERIT FALSE")
    with opened(database) as store:
        first = put(store, "kept by an ordinary login")
        assert store.check() == []
        with pytest.raises(Exception, match="is taken"):
            put(store, "the same id", id=first)


@pytest.mark.parametrize("setting", ["client_encoding=LATIN1", "row_security=off"])
def test_settings_of_the_login_change_nothing(schemas: Schemas, setting: str) -> None:
    address = schemas.address()
    url, _, name = address.rpartition("&schema=")
    with opened(f"{url}&options=-c%20{setting.replace('=', '%3D')}", name) as store:
        put(store, "snow ☃ and a kanji 水")
        assert store.check() == []


def test_the_encoding_of_the_environment_changes_nothing(schemas: Schemas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    put(schemas.new(), "snow ☃")


def test_a_session_that_lost_its_settings_fails_once(schemas: Schemas) -> None:
    """As behind a pooler of transactions, or after DISCARD ALL: the store goes on with a session of its own."""
    store = schemas.new()
    put(store, "before")
    with store._pool.lend() as connection:
        connection.execute("RESET ALL; RESET ROLE")
    with pytest.raises(StoreCorrupt, match="pools transactions"):
        put(store, "refused")
    put(store, "after")
    assert store.check() == []
