"""Requests with an `Idempotency-Key`: done once, and answered alike each time they are sent.

Answers hold words that may have to be erased, and no erasure looks for them here, so none are kept: an answer is
masked with a pad that only whoever sends the same request with the same key can make again. Pad and names are hashes
that include the client's key, which is not kept.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final, Protocol

from remanence.core.clock import Clock, parse_time, to_micros, utc_now
from remanence.core.errors import Conflict
from remanence.core.ids import RandomBits, os_bits
from remanence.server.errors import HttpError
from remanence.server.places import is_database, server_tables
from remanence.server.request_file import RequestFile, RequestRow

__all__ = ["Answer", "InProgress", "RequestRows", "Requests", "Ticket"]

KEPT: Final = timedelta(hours=24)
_TIMEOUT: Final = 10.0


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


class RequestRows(Protocol):
    """Where requests are noted. Thread-safe. All raise `StoreError` when the place cannot be used."""

    def take(self, name: bytes, body: bytes, nonce: bytes, *, at: int, lease: int, expired: int) -> RequestRow | None:
        """Note a request that is to be worked on; or what is known of it already.

        What came before `expired` is forgotten, and whoever let a lease run out has lost the request. Times in µs.
        """
        ...

    def answer(self, name: bytes, nonce: bytes, status: int, answer: bytes) -> None:
        """Keep what a request was answered, if it is still that of the nonce."""
        ...

    def drop(self, name: bytes, nonce: bytes) -> None:
        """Forget a request, if it is still that of the nonce."""
        ...

    def close(self) -> None:
        """Close what is open. Idempotent."""
        ...


class Requests:
    """The requests of the last day. Thread-safe; many processes and machines may use one place.

    `place`: a file, the address of a database, what is open already (which the caller closes), or None: kept in memory.
    `patience`: after so much time a request that was never answered is taken to have died with its server, and is done
    again when it is sent again.
    """

    def __init__(
        self,
        place: str | Path | RequestRows | None,
        *,
        clock: Clock = utc_now,
        random_bits: RandomBits = os_bits,
        patience: timedelta = timedelta(minutes=5),
    ) -> None:
        self._rows: RequestRows
        self._lent = not isinstance(place, str | Path | None)
        if not isinstance(place, str | Path | None):
            self._rows = place
        elif is_database(place):
            self._rows = server_tables(str(place), timeout=_TIMEOUT)
        else:
            self._rows = RequestFile(None if place is None else Path(place), timeout=_TIMEOUT)
        self._clock = clock
        self._bits = random_bits
        self._patience = patience

    def begin(self, whose: str, where: str, key: str, body: Sequence[bytes]) -> Ticket | Answer:
        """Take a request on, or the answer that it had.

        Raises:
            Conflict: another request was sent with this key.
            InProgress: the same one is being worked on.

        """
        name = _hash(b"name", whose.encode(), where.encode(), key.encode())
        secret = _hash(b"secret", name, key.encode(), *body)
        same = _hash(b"body", secret)
        nonce = self._bits(128).to_bytes(16, "big")
        now = to_micros(parse_time(self._clock()).astimezone(UTC))
        known = self._rows.take(
            name, same, nonce, at=now, lease=now + _micros(self._patience), expired=now - _micros(KEPT)
        )
        return Ticket(name, secret, nonce) if known is None else _answered(known, secret, same)

    def finish(self, ticket: Ticket, answer: Answer | None) -> None:
        """Keep an answer; None: nothing was done, and the same request may be sent again."""
        if answer is None:
            self._rows.drop(ticket.name, ticket.nonce)
            return
        masked = _mask(answer.body, ticket.secret, ticket.nonce)
        self._rows.answer(ticket.name, ticket.nonce, answer.status, masked)

    def close(self) -> None:
        """Close what was opened here."""
        if not self._lent:
            self._rows.close()


def _answered(row: RequestRow, secret: bytes, same: bytes) -> Answer:
    body, nonce, status, answer = row
    if not hmac.compare_digest(body, same):
        raise Conflict("another request was sent with this Idempotency-Key; use a new one for each request")
    if status is None or answer is None:
        raise InProgress("this request is being worked on; ask again in a moment")
    return Answer(status, _mask(answer, secret, nonce))


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
