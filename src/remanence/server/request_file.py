"""The file of requests that were answered already: an SQLite database of its own beside the store."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from remanence.core.errors import StoreError
from remanence.server.places import file_failure, is_busy

__all__ = ["RequestFile", "RequestRow"]

RequestRow: TypeAlias = tuple[bytes, bytes, int | None, bytes | None]
"""Hash of the body, nonce, and status and masked answer if there is one."""

_POLL: Final = 0.01
"""Seconds between two attempts to open a file that others are opening."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
    name BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    at INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    status INTEGER,
    answer BLOB
) WITHOUT ROWID
"""
_TAKE: Final = """
INSERT INTO requests(name, body, at, lease, nonce) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE
SET body = excluded.body, at = excluded.at, lease = excluded.lease, nonce = excluded.nonce, status = NULL, answer = NULL
WHERE requests.body = excluded.body AND requests.status IS NULL AND requests.lease <= excluded.at
"""


class RequestFile:
    """Requests in one file that many processes may use, `RequestRows`; with `path` None, in memory.

    `timeout`: seconds to wait for others before `StoreBusy`.
    """

    def __init__(self, path: Path | None, *, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def take(self, name: bytes, body: bytes, nonce: bytes, *, at: int, lease: int, expired: int) -> RequestRow | None:
        """See `RequestRows`."""
        known: RequestRow | None = None
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("DELETE FROM requests WHERE at < ?", (expired,))
                if connection.execute(_TAKE, (name, body, at, lease, nonce)).rowcount != 1:
                    query = "SELECT body, nonce, status, answer FROM requests WHERE name = ?"
                    known = connection.execute(query, (name,)).fetchone()
                connection.execute("COMMIT")
            except BaseException:
                # A full disk has ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return known

    def answer(self, name: bytes, nonce: bytes, status: int, answer: bytes) -> None:
        """See `RequestRows`."""
        query = "UPDATE requests SET status = ?, answer = ? WHERE name = ? AND nonce = ?"
        with self._using() as connection:
            connection.execute(query, (status, answer, name, nonce))

    def drop(self, name: bytes, nonce: bytes) -> None:
        """See `RequestRows`."""
        with self._using() as connection:
            connection.execute("DELETE FROM requests WHERE name = ? AND nonce = ?", (name, nonce))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time."""
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = self._opened()
                yield self._connection
        except (OSError, sqlite3.Error) as error:
            known = file_failure(self._path, error, timeout=self._timeout)
            raise known or StoreError(f"{self._path} cannot be used: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._timeout
        while True:
            connection = sqlite3.connect(
                self._path or ":memory:", self._timeout, isolation_level=None, check_same_thread=False
            )
            try:
                for statement in ("PRAGMA journal_mode = WAL", "PRAGMA secure_delete = ON", _SCHEMA):
                    connection.execute(statement).fetchall()
            except sqlite3.Error as error:
                connection.close()
                # Changing into WAL mode does not wait by itself for others who open the file at the same time.
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)
            else:
                return connection
