"""Logins and sessions as operators give them: with few rights, with settings of their own, through a pooler."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from psycopg.errors import SerializationFailure

from remanence.conformance.stage import NOW, START, one, put
from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, StoreError
from remanence.stores.postgres import PostgresStore
from remanence.stores.postgres.pool import Pool, trying
from remanence.substrates.records.operations import Changes, Find, Scan
from tests.stores.postgres.server import Schemas, Server, schema_of


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
        with pytest.raises(Conflict, match="is taken"):
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


def test_a_session_that_lost_its_settings_is_not_used_again(schemas: Schemas) -> None:
    """As after DISCARD ALL: the store goes on with a session of its own."""
    store = schemas.new()
    put(store, "before")
    for lose in ("RESET ALL; RESET ROLE", "RESET search_path", "RESET ROLE", "SET remanence.session = 'of another'"):
        for use in (lambda: put(store, "kept"), lambda: one(store, Find(NOW)), store.position):
            with store._pool.lend() as connection:
                connection.execute(lose.encode())
            assert use()
    assert len(one(store, Find(NOW))) == 5
    assert store.check() == []


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets every session come back as another store of this name left it, as a pooler of transactions does."""

    def pool(schema: str) -> None:
        lend = Pool.lend

        @contextmanager
        def lent(self: Pool, **options: Any) -> Iterator[Any]:
            with lend(self, **options) as connection:
                connection.execute(f"SET search_path = {schema}, public".encode())
                connection.execute(b"SET remanence.session = 'that of the other store'")
                yield connection

        monkeypatch.setattr(Pool, "lend", lent)

    return pool


def test_behind_a_pooler_of_transactions_nothing_goes_to_another_store(
    schemas: Schemas, pooled: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = schemas.new(), schemas.new()
    put(own, "own")
    put(other, "of the other")
    pooled(schema_of(other))
    for use in (
        lambda: put(own, "stray"),
        lambda: one(own, Find(NOW)),
        lambda: one(own, Scan()),
        lambda: one(own, Changes()),
        lambda: own.due(),
        own.position,
        own.check,
    ):
        with pytest.raises(StoreError, match="pool_mode = session"):
            use()
    monkeypatch.undo()
    assert [record.text for record in one(other, Find(NOW))] == ["of the other"]
    assert [record.text for record in one(own, Find(NOW))] == ["own"]


def test_a_session_lost_at_the_last_attempt_is_told(schemas: Schemas) -> None:
    """After as many conflicts as are tried, too, what comes is the store's own error."""
    pool = schemas.new()._pool
    attempts: list[bool] = []

    def act(committing: list[bool]) -> None:
        attempts.append(True)
        if len(attempts) < 5:
            raise SerializationFailure("another batch got in the way")
        pool.check_session("that of another store")

    with pytest.raises(StoreError, match="pool_mode = session"):
        trying(pool, act)
    assert len(attempts) == 5
