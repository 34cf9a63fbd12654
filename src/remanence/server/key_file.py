"""The file of keys: an SQLite database of its own beside the store.

Whoever holds a key has a read transaction on the file, and a revocation is a write to it. The file has a rollback
journal, in which a writer waits for the readers before it and lets none in.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from remanence.core.errors import NotFound, StoreCorrupt, StoreError, StoreVersionError
from remanence.server.places import file_failure

__all__ = ["KeyFile", "KeyRow"]

_VERSION: Final = 1
_APPLICATION: Final = 0x524D4B59
_SCHEMA: Final = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    scope TEXT NOT NULL,
    rights TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) WITHOUT ROWID
"""
_COLUMNS: Final = "id, name, digest, scope, rights, created, expires, revoked"

KeyRow: TypeAlias = tuple[str, str, bytes, str, str, int, int | None, int | None]
"""Id, name, digest of the secret, JSON of the scope, rights, and when it was made, expires and was revoked, in µs."""


class KeyFile:
    """Keys in one file, `KeyRows`. Only `add` makes it. `timeout`: seconds to wait for others before `StoreBusy`."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []

    @property
    def name(self) -> str:
        """The file's whole path."""
        return str(self._path.resolve())

    def exist(self) -> bool:
        """Whether there is a file."""
        return self._path.exists()

    def add(self, row: KeyRow) -> None:
        """See `KeyRows`."""
        with self._changing(new=True) as connection:
            connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def end(self, key_id: str, at: int) -> KeyRow | None:
        """See `KeyRows`."""
        with self._changing() as connection:
            connection.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (at, key_id))
            return _found(connection, key_id)

    def rows(self) -> list[KeyRow]:
        """See `KeyRows`."""
        with self._reading() as connection:
            return connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created, id").fetchall()

    def key(self, key_id: str) -> KeyRow | None:
        """See `KeyRows`."""
        with self._reading() as connection:
            return _found(connection, key_id)

    @contextmanager
    def holding(self, key_id: str) -> Iterator[KeyRow | None]:
        """See `KeyRows`."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                yield _found(connection, key_id)
            finally:
                connection.execute("COMMIT")

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        with self._lock:
            found, self._open = self._open, []
            self._local = threading.local()
        for connection in found:
            connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, to the file that the path names now."""
        try:
            now = os.stat(self._path)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror or error}") from error
        identity = (now.st_dev, now.st_ino)
        known: tuple[tuple[int, int], sqlite3.Connection] | None = getattr(self._local, "known", None)
        with self._translated():
            if known is None or known[0] != identity:
                # A file that was put in the place of another holds other keys.
                connection = self._connect()
                self._local.known = known = (identity, connection)
                with self._lock:
                    self._open.append(connection)
            yield known[1]

    @contextmanager
    def _changing(self, *, new: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction that writes, on a connection of its own."""
        if new and not self.exist():
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                # Nobody but the owner needs to read even the hashes.
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise StoreError(f"{self._path} cannot be made: {error.strerror or error}") from error
        elif not self.exist():
            raise NotFound(f"there are no keys at {self._path}; `remanence keys create` makes one")
        with self._translated(), closing(self._connect(fresh=new)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if new and connection.execute("PRAGMA user_version").fetchone() == (0,):
                    connection.execute(_SCHEMA)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self, *, fresh: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, self._timeout, isolation_level=None, check_same_thread=False)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version > _VERSION:
                raise StoreVersionError(f"{self._path} was written by a newer version ({version} > {_VERSION})")
            if application != _APPLICATION and (tables or not fresh):
                raise StoreCorrupt(f"{self._path} is no file of keys")
            connection.execute("PRAGMA synchronous = FULL").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            known = file_failure(self._path, error, timeout=self._timeout)
            raise known or StoreCorrupt(f"{self._path} cannot be used: {error}") from error


def _found(connection: sqlite3.Connection, key_id: str) -> KeyRow | None:
    row: KeyRow | None = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()
    return row
