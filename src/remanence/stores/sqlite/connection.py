"""Connections to one file: opened on first use, lent to one batch at a time, never carried across a fork."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remanence.core.errors import StoreBusy, StoreClosed, StoreError, StoreReadOnly
from remanence.stores.sqlite import faults, schema
from remanence.stores.sqlite.turns import Turns

_STATEMENTS = 256
_POLL = 0.02
_SHORTEST, _LONGEST = 0.0002, 0.005
"""Seconds between looks whether another process still writes."""
_FORK_PATIENCE = 5.0
_SETTINGS = (
    # What is deleted is overwritten with zeros.
    "secure_delete = ON",
    # Sorting stays in memory, so that no text is left in a temporary file.
    "temp_store = MEMORY",
    "cache_size = -32768",
    "journal_size_limit = 67108864",
)


class _Snapshot(sqlite3.Connection):
    """A connection to a file that cannot be written; it would not notice changes, so it serves one batch only."""


class _Connection(sqlite3.Connection):
    """A connection that knows which log it has open, as `(device, inode)`."""

    log: tuple[int, int] | None = None


class Connections:
    """The open connections of one store. Thread-safe.

    A connection is used by one thread at a time and kept for the next one that asks, so there are never more than the
    most batches that ever ran at once. Nothing is opened before the first one is lent.
    """

    def __init__(self, path: Path, *, timeout: float, durable: bool) -> None:
        self.path = path
        self.timeout = timeout
        self._log = path.with_name(path.name + "-wal")
        self._durable = durable
        # Threads of one process queue here instead of polling the file's lock.
        self.turns = Turns(str(path), timeout)
        self._state = threading.Condition()
        self._idle: list[_Connection] = []
        self._lent = 0
        self._frozen = False
        self._froze_writer = False
        self._closed = False
        self._file: tuple[int, int] | None = None
        _LIVE.add(self)

    def __del__(self) -> None:
        # Without this, a store that was never closed would leave connections for the garbage collector to complain of.
        for connection in self._idle:
            connection.close()

    @contextmanager
    def lend(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for one batch; whoever writes has to have the turn (`turns`).

        Errors of SQLite inside the block come out as `StoreError`, and the connection is not used again.
        """
        connection = self._borrow(writing)
        try:
            yield connection
        except sqlite3.Error as error:
            self._discard(connection)
            raise faults.translate(error, self.path, self.timeout) from error
        except BaseException:
            self._give_back(connection)
            raise
        else:
            self._give_back(connection)

    def check_open(self) -> None:
        """Raise `StoreClosed` after `close`."""
        if self._closed:
            raise StoreClosed(f"the store {self.path} was closed; make a new one")

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        with self._state:
            self._closed = True
        self._close_idle()

    def freeze(self) -> None:
        """Before a fork: let running batches end, let none begin, and close everything.

        SQLite keeps its file locks per process and inode; a child that inherits them believes that it holds locks
        which it does not hold.
        """
        deadline = time.monotonic() + _FORK_PATIENCE
        self._froze_writer = self.turns.acquire(_FORK_PATIENCE)
        with self._state:
            self._frozen = True
            self._state.wait_for(lambda: self._lent == 0, timeout=max(0.0, deadline - time.monotonic()))
        self._close_idle()

    def thaw(self, *, child: bool) -> None:
        """After a fork, in both processes."""
        if child:
            # Threads of the parent do not live on here; what they held is never given back.
            self._state = threading.Condition()
            self.turns = Turns(str(self.path), self.timeout)
            self._lent = 0
        elif self._froze_writer:
            self.turns.release()
        with self._state:
            self._frozen = False
            self._state.notify_all()

    def _connect(self) -> _Connection:
        """A new connection with the store's settings."""
        connection = sqlite3.connect(
            self.path,
            self.timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
            cached_statements=_STATEMENTS,
        )
        try:
            for setting in (f"synchronous = {'FULL' if self._durable else 'NORMAL'}", *_SETTINGS):
                connection.execute(f"PRAGMA {setting}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _borrow(self, writing: bool) -> _Connection | _Snapshot:
        with self._state:
            self._state.wait_for(lambda: not self._frozen)
            self.check_open()
            self._lent += 1
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                return self._open(writing)
            self._require_same_file()
            if connection.log != _identity(self._log):
                # The log was deleted, or by a process that could not see our locks: what we wrote now would be lost.
                connection.close()
                return self._open(writing)
            return connection
        except BaseException:
            if connection is not None:
                connection.close()
            self._returned()
            raise

    def _give_back(self, connection: _Connection | _Snapshot) -> None:
        with self._state:
            # One that is still in a transaction was interrupted while it rolled back.
            keep = not (self._closed or isinstance(connection, _Snapshot) or connection.in_transaction)
            if keep and isinstance(connection, _Connection):
                self._idle.append(connection)
                self._lent -= 1
                self._state.notify_all()
        if not keep:
            self._discard(connection)

    def _discard(self, connection: sqlite3.Connection) -> None:
        connection.close()
        self._returned()

    def _returned(self) -> None:
        with self._state:
            self._lent -= 1
            self._state.notify_all()

    def _close_idle(self) -> None:
        with self._state:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _require_same_file(self) -> None:
        """Raise when the path no longer names the file that is open; SQLite would go on writing into a deleted one."""
        if _identity(self.path) != self._file:
            self._close_idle()
            raise StoreError(
                f"{self.path} was moved, deleted or replaced while it was open; nothing was written. "
                "Put it back, or make a new store to go on with the new file"
            )

    def _open(self, writing: bool) -> _Connection | _Snapshot:
        path = self.path
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                if path.is_dir():
                    raise StoreError(f"{path} is a folder; name a file in it, such as {path / 'remanence.db'}")
                return self._attempt()
            except OSError as error:
                raise faults.translate_os(error, path) from error
            except sqlite3.Error as error:
                fault = faults.translate(error, path, self.timeout)
                if isinstance(fault, StoreReadOnly) and not writing and self._unattended():
                    return self._snapshot()
                # Changing into WAL mode and the first look at the log do not wait for other openers by themselves.
                if not isinstance(fault, StoreBusy) or time.monotonic() > deadline:
                    raise fault from error
                time.sleep(_POLL)

    def _attempt(self) -> _Connection:
        path = self.path
        if self._file is not None:
            self._require_same_file()
        elif path.exists():
            schema.inspect_file(path)
        else:
            _make_folder(path.parent)
        connection = self._connect()
        try:
            version = schema.identify(connection, path)
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
            if version < schema.VERSION:
                with transaction(connection, "BEGIN IMMEDIATE"):
                    schema.migrate(connection, path)
                # The header has to be in the file itself, where `inspect_file` looks, and not in the log alone.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._file = _identity(path)
            connection.log = _identity(self._log)
        except BaseException:
            connection.close()
            raise
        return connection

    def _unattended(self) -> bool:
        """Whether the file alone is the whole store: it is there, and no log beside it holds newer pages."""
        return self.path.exists() and not (self._log.exists() and self._log.stat().st_size)

    def _snapshot(self) -> _Snapshot:
        """A connection that needs no files beside the store: where none can be made, SQLite cannot use its log."""
        connection = sqlite3.connect(
            schema.unlocked(self.path),
            isolation_level=None,
            check_same_thread=False,
            factory=_Snapshot,
            uri=True,
        )
        try:
            version = schema.identify(connection, self.path)
            if version < schema.VERSION:
                raise faults.not_brought_up(self.path, version, schema.VERSION)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str, patience: float | None = None) -> Iterator[None]:
    """Commit at the end of the block, roll back when it raises. `patience`: see `_begin_soon`."""
    if patience is None:
        connection.execute(begin)
    else:
        _begin_soon(connection, begin, patience)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some failures, a full disk among them, have already rolled back.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin_soon(connection: sqlite3.Connection, begin: str, patience: float) -> None:
    """Begin as soon as other processes let go of the file, or fail after `patience` seconds.

    SQLite itself looks again after ever longer pauses of up to a tenth of a second, many times what a batch takes.
    """
    deadline = time.monotonic() + patience
    pause = _SHORTEST
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute(begin)
            except sqlite3.OperationalError as error:
                left = deadline - time.monotonic()
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or left <= 0:
                    raise
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * patience)}")


def _identity(path: Path) -> tuple[int, int] | None:
    """What file a path names at the moment."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder")
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk: what is new in it would not survive a power cut by its own syncing alone."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# A fork concerns all stores of the process; entries vanish with their stores.
_LIVE: weakref.WeakSet[Connections] = weakref.WeakSet()


def _before_fork() -> None:
    for connections in list(_LIVE):
        connections.freeze()


def _after_fork(child: bool) -> None:
    for connections in list(_LIVE):
        connections.thaw(child=child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=lambda: _after_fork(False), after_in_child=lambda: _after_fork(True)
    )
