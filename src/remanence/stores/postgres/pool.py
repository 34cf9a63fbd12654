"""Connections to one schema: opened on first use, lent to one batch at a time, at most so many, never across a fork."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from remanence.core.errors import InvalidInput, MissingExtra, StoreBusy, StoreClosed, StoreError
from remanence.stores.postgres import faults, schema
from remanence.stores.postgres.schema import Connection

T = TypeVar("T")

SESSION = "remanence.session"
MARK = f"current_setting('{SESSION}', true)"
"""What a statement asks to know whose session it has come to; for `Pool.check_session`."""
OLDEST: Final = 140000
"""The oldest PostgreSQL that stores are tried with, as the server counts versions."""
READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_POOL_MODES: Final = ("session", "transaction")
_PREPARED_FROM = 5
"""How often a session sees a statement before it prepares it, as psycopg has it."""
_POLL = 0.05
_ATTEMPTS = 5
_PAUSE = 0.01
_INHERITED: list[Connection] = []
"""Connections that were open when this process was forked off: closing them would hang up the parent's."""


class Address:
    """Where a store is: what libpq needs to connect, the schema, and a name that gives no password away.

    `url` is what libpq takes, `postgresql://user@host/database`, with two settings of ours: `?schema=name`, and
    `?pool_mode=transaction` where a pooler in front gives each transaction another session.
    """

    def __init__(self, url: str, schema_name: str | None = None) -> None:
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise MissingExtra(
                "a store at postgresql://… needs the package psycopg: pip install 'remanence[postgres]'"
            ) from error
        parts = urlsplit(url)
        if parts.scheme not in ("postgresql", "postgres"):
            raise InvalidInput(f"{parts.scheme or 'an address without a scheme'}:// is no PostgreSQL address; "
                               "use postgresql://user@host/database")  # fmt: skip
        # Cut out as it stands: libpq reads the rest by rules of its own.
        settings = [part.partition("=") for part in parts.query.split("&") if part]
        own = {name: unquote(value) for name, _, value in settings if name in ("schema", "pool_mode")}
        self.schema = schema.check_name(schema_name or own.get("schema", schema.SCHEMA))
        mode = own.get("pool_mode", _POOL_MODES[0])
        if mode not in _POOL_MODES:
            raise InvalidInput(f"pool_mode {mode!r} of the PostgreSQL address must be one of {', '.join(_POOL_MODES)}")
        self.pooled = mode == "transaction"
        rest = "&".join("".join(part) for part in settings if part[0] not in own)
        self.conninfo = urlunsplit(parts._replace(query=rest))
        try:
            known = conninfo_to_dict(self.conninfo)
        except ProgrammingError as error:
            raise InvalidInput(f"the PostgreSQL address cannot be read: {error}") from error
        host, database = known.get("host") or "", known.get("dbname") or known.get("user") or ""
        self.name = f"postgresql://{host}/{database}?schema={self.schema}"
        mine = f"schema={self.schema}{'&pool_mode=transaction' if self.pooled else ''}"
        self.url = f"{self.conninfo}{'&' if '?' in self.conninfo else '?'}{mine}"
        """All of it, for those who connect."""


class Pool:
    """The open connections of one store. Thread-safe. Nothing is opened before the first one is lent."""

    def __init__(
        self,
        address: Address,
        *,
        size: int,
        timeout: float,
        statement_timeout: float | None,
        durable: bool,
        role: str = schema.ROLE,
    ) -> None:
        if size < 1:
            raise InvalidInput(f"a store needs at least one connection, not {size}")
        self.address = address
        self.timeout = timeout
        self._size = size
        self._statement_timeout = statement_timeout
        self._durable = durable
        self._role = role
        self._settings = self._chosen()
        self._mark = hashlib.sha256(repr([role, *self._settings.items()]).encode()).hexdigest()[:32]
        own = {"role": role, **self._settings, SESSION: self._mark}
        calls = [f"set_config('{name}', '{value}', true)" for name, value in own.items()]
        self._local = f"SELECT {', '.join(calls)}"
        """What each transaction begins with where it may come to any session."""
        self._idle: list[Connection] = []
        self._reset()
        self._closed = False
        self._ready = False

    def __del__(self) -> None:
        # Without this, a store that was never closed would leave connections for the garbage collector to complain of.
        if getattr(self, "_pid", None) == os.getpid():
            for connection in self._idle:
                connection.close()

    @contextmanager
    def lend(self, *, writing: bool = False) -> Iterator[Connection]:
        """A connection for one batch; one that writes waits for the other writers of this process first.

        They would wait for each other in the server else, each with a connection that nobody else can have meanwhile.
        """
        self._follow_fork()
        if writing and not self._writer.acquire(timeout=self.timeout):
            raise StoreBusy(f"other threads wrote to {self.address.name} for more than {self.timeout:g} s; try again")
        writer = self._writer if writing else None
        try:
            places = self._places
            if not places.acquire(timeout=self.timeout):
                raise StoreBusy(
                    f"all {self._size} connections to {self.address.name} were in use for {self.timeout:g} s; "
                    "try again, or give the store more with pool_size"
                )
            try:
                connection = self._borrow()
                try:
                    yield connection
                finally:
                    self._give_back(connection)
            finally:
                places.release()
        finally:
            if writer is not None:
                writer.release()

    def owner(self) -> Connection:
        """A connection of its own that keeps the login's rights, for the caller to close."""
        self.check_open()
        self._prepare()
        connection = self._connect()
        try:
            schema.run(connection, "RESET ROLE")
        except BaseException:
            connection.close()
            raise
        return connection

    def begin(self, statement: str) -> bytes:
        """A `BEGIN` together with what a transaction has to set for itself."""
        return (f"{statement}; {self._local}" if self.address.pooled else statement).encode()

    @contextmanager
    def together(self, connection: Connection, begin: str = READING) -> Iterator[None]:
        """Statements of the block go out in one round trip, as one transaction; answers can be fetched after the block.

        Where sessions are our own they need no `begin`: the server takes what comes at once for one transaction.
        """
        with connection.pipeline() if can_pipeline() else nullcontext():
            if self.address.pooled:
                connection.execute(begin.encode())
                connection.execute(self._local.encode())
            yield
            if self.address.pooled:
                connection.execute(b"COMMIT")

    @contextmanager
    def alone(self, connection: Connection, begin: str = READING) -> Iterator[None]:
        """The block is a single statement; its answer can be fetched after the block."""
        with self.together(connection, begin) if self.address.pooled else nullcontext():
            yield

    def check_open(self) -> None:
        """Raise `StoreClosed` after `close`."""
        if self._closed:
            raise StoreClosed(f"the store {self.address.name} was closed; make a new one")

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        self._follow_fork()
        self._closed = True
        self.forget_idle()

    def forget_idle(self) -> None:
        """Close what is idle: after the server went away, none of it can be used."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._writer = threading.Lock()
        self._opening = threading.Lock()
        self._places = threading.BoundedSemaphore(self._size)
        self._idle = []

    def _follow_fork(self) -> None:
        if self._pid != os.getpid():
            _INHERITED.extend(self._idle)
            self._reset()

    def _borrow(self) -> Connection:
        self.check_open()
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        return self._open() if connection is None else connection

    def _give_back(self, connection: Connection) -> None:
        from psycopg.pq import TransactionStatus

        idle = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
        if idle and not self._closed:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()

    def check_session(self, mark: str | None) -> None:
        """Raise `Displaced` unless a session bears the mark of those that this pool has set up.

        Behind a pooler of transactions statements may come to a session that was set up for somebody else, perhaps in
        another schema: what is written there would be in the wrong store, without a word.
        """
        if mark != self._mark:
            raise faults.Displaced(self.address.name)

    def _chosen(self) -> dict[str, str]:
        """Settings of a session, by which it is told from those of others."""
        return {
            "search_path": f"{self.address.schema}, public",
            "lock_timeout": f"{max(1, round(self.timeout * 1000))}ms",
            "statement_timeout": f"{round((self._statement_timeout or 0) * 1000)}ms",
            "idle_in_transaction_session_timeout": "10min",
            "synchronous_commit": "on" if self._durable else "off",
            # A store's statements are short; compiling them takes longer than running them.
            "jit": "off",
            "row_security": "on",
            # What a batch of a store sends together, without BEGIN, sees one moment.
            "default_transaction_isolation": "repeatable read" if self._role == schema.ROLE else "read committed",
        }

    def _prepare(self) -> None:
        """Make the schema, or bring it up to date, once for each store object."""
        with self._opening:
            if not self._ready:
                connection = self._connect()
                try:
                    schema.migrate(connection, self.address.schema, self.address.name)
                finally:
                    connection.close()
                self._ready = True

    def _open(self) -> Connection:
        self._prepare()
        connection = self._connect()
        try:
            if self.address.pooled:
                with connection.transaction():
                    schema.take_role(connection, self.address.name, self._role, local=True)
                return connection
            # A pooler may hand on what another program has prepared, under the names that ours would get.
            schema.run(connection, "DEALLOCATE ALL")
            schema.take_role(connection, self.address.name, self._role)
            connection.prepare_threshold = _PREPARED_FROM
            settings = self._settings | {SESSION: self._mark}
            calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            pairs = [part for pair in settings.items() for part in pair]
            connection.execute(f"SELECT {calls}".encode(), pairs)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Connection:
        import psycopg

        deadline = time.monotonic() + self.timeout
        while True:
            try:
                connection = psycopg.connect(
                    self.address.conninfo,
                    autocommit=True,
                    connect_timeout=max(2, math.ceil(self.timeout)),
                    # Whatever the environment or the login's own settings say.
                    client_encoding="UTF8",
                    prepare_threshold=None,
                )
            except psycopg.OperationalError as error:
                if not faults.is_starting(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(_POLL)
                continue
            try:
                self._check_server(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _check_server(self, connection: Connection) -> None:
        info = connection.info
        if info.server_version < OLDEST:
            found, major = info.parameter_status("server_version"), info.server_version // 10000
            raise StoreError(
                f"{self.address.name} is PostgreSQL {found or major}; a store needs {OLDEST // 10000} or newer"
            )
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreError(f"{self.address.name} has encoding {encoding}; a store needs a database in UTF8")


def can_pipeline() -> bool:
    """Whether the driver's library can send several statements at once (libpq 14 or newer)."""
    from psycopg import Pipeline

    return Pipeline.is_supported()


def trying(pool: Pool, act: Callable[[list[bool]], T]) -> T:
    """Run a transaction, again where others got in its way, or the connection or its settings were lost before its end.

    `act` borrows its connection from the pool, and sets what it is given to `[True]` while it commits, as `transaction`
    does. Raises `StoreError`.
    """
    from psycopg import Error

    reconnected = False
    for attempt in range(1, _ATTEMPTS + 1):
        committing: list[bool] = []
        try:
            return act(committing)
        except faults.Displaced:
            # It has gone back to the others, which may be no better.
            pool.forget_idle()
            if reconnected or attempt == _ATTEMPTS:
                raise
            reconnected = True
        except Error as error:
            lost = faults.is_lost(error)
            anew = lost or faults.is_displaced(error)
            if anew:
                pool.forget_idle()
                if lost and committing:
                    raise faults.unknown(pool.address.name) from error
            again = (anew and not reconnected and not faults.is_crowded(error)) or faults.is_passing(error)
            if not again or attempt == _ATTEMPTS:
                raise faults.translate(error, pool.address.name, pool.timeout) from error
            reconnected = reconnected or anew
            time.sleep(_PAUSE * attempt)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def transaction(pool: Pool, connection: Connection, begin: str, committing: list[bool]) -> Iterator[None]:
    """Commit at the end of the block, roll back when it raises. `committing` becomes `[True]` while it commits."""
    connection.execute(pool.begin(begin))
    try:
        yield
    except BaseException:
        if not connection.closed:
            _roll_back(connection)
        raise
    committing[:] = [True]
    connection.execute(b"COMMIT")
    committing[:] = []


def _roll_back(connection: Connection) -> None:
    from psycopg import Error

    try:
        connection.execute(b"ROLLBACK")
    except Error as error:
        # The server rolls back what it has lost contact to; the connection is of no use any more.
        connection.close()
        if not faults.is_lost(error):
            raise
