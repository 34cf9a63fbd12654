"""Requests with an `Idempotency-Key`: done once, and answered alike each time they are sent.

Answers hold words that may have to be erased, and no erasure looks into this file, so it holds none: an answer is
masked with a pad that only whoever sends the same request with the same key can make again. Pad and names are hashes
that include the client's key, which is not kept.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final

from remanence.core.clock import Clock, parse_time, to_micros, utc_now
from remanence.core.errors import Conflict, StoreError
from remanence.core.ids import RandomBits, os_bits
from remanence.server.errors import HttpError

__all__ = ["Answer", "InProgress", "Requests", "Ticket"]

KEPT: Final = timedelta(hours=24)
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that is to be worked on now, by whoever holds this."""

    name: bytes
    secret: bytes
    nonce: bytes


class InProgress(HttpError):
    """The same request is being worked on."""

    status = 409
    type = "in_progress"
    retry_after = 1.0


class Requests:
    """The requests of the last day. Thread-safe; many processes may use one file. `path` None: kept in memory.

    `patience`: after so much time a request that was never answered is taken to have died with its server, and is done
    again when it is sent again.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock = utc_now,
        random_bits: RandomBits = os_bits,
        patience: timedelta = timedelta(minutes=5),
    ) -> None:
        self._path = path
        self._clock = clock
        self._bits = random_bits
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def begin(self, whose: str, where: str, key: str, body: Sequence[bytes]) -> Ticket | Answer:
        """Take a request on, or the answer that it had.

        Raises:
            Conflict: another request was sent with this key.
            InProgress: the same one is being worked on.

        """
        name = _hash(b"name", whose.encode(), where.encode(), key.encode())
        secret = _hash(b"secret", name, key.encode(), *body)
        same = _hash(b"body", secret)
        now = self._now()
        with self._lock:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("DELETE FROM requests WHERE at < ?", (now - _micros(KEPT),))
                row = connection.execute(
                    "SELECT body, lease, nonce, status, answer FROM requests WHERE name = ?", (name,)
                ).fetchone()
                if row is not None:
                    found = _known(row, secret, same, now)
                    if found is not None:
                        return found
                nonce = self._bits(128).to_bytes(16, "big")
                connection.execute(
                    "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                    (name, same, now, now + _micros(self._patience), nonce),
                )
            finally:
                connection.execute("COMMIT")
        return Ticket(name, secret, nonce)

    def finish(self, ticket: Ticket, answer: Answer | None) -> None:
        """Keep an answer; None: nothing was done, and the same request may be sent again."""
        with self._lock:
            connection = self._opened()
            if answer is None:
                connection.execute("DELETE FROM requests WHERE name = ? AND nonce = ?", (ticket.name, ticket.nonce))
                return
            masked = _mask(answer.body, ticket.secret, ticket.nonce)
            connection.execute(
                "UPDATE requests SET status = ?, answer = ? WHERE name = ? AND nonce = ?",
                (answer.status, masked, ticket.name, ticket.nonce),
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                if self._path is not None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(
                    ":memory:" if self._path is None else self._path,
                    10.0,
                    isolation_level=None,
                    check_same_thread=False,
                )
                for statement in ("PRAGMA journal_mode = WAL", "PRAGMA secure_delete = ON", _SCHEMA):
                    connection.execute(statement).fetchall()
            except (OSError, sqlite3.Error) as error:
                raise StoreError(f"{self._path} cannot be used: {error}") from error
            self._connection = connection
        return self._connection

    def _now(self) -> int:
        return to_micros(parse_time(self._clock()).astimezone(UTC))


def _known(
    row: tuple[bytes, int, bytes, int | None, bytes | None], secret: bytes, same: bytes, now: int
) -> Answer | None:
    body, lease, nonce, status, answer = row
    if not hmac.compare_digest(body, same):
        raise Conflict("another request was sent with this Idempotency-Key; use a new one for each request")
    if status is not None and answer is not None:
        return Answer(status, _mask(answer, secret, nonce))
    if now < lease:
        raise InProgress("this request is being worked on; ask again in a moment")
    return None


def _mask(data: bytes, secret: bytes, nonce: bytes) -> bytes:
    """Data with its pad over it, or without it again."""
    pad = hashlib.shake_256(b"answer" + nonce + secret).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")


def _hash(*parts: bytes) -> bytes:
    """SHA-256 of several parts that cannot run into each other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.digest()


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
