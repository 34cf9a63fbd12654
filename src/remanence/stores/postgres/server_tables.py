"""What servers on one store share: the keys that let callers in, and the requests that were answered already.

The tables are for the role `remanence_server` alone. Statements of tenants run as `remanence_app`, which may not even
look at them, so neither a wrong statement nor a planted one reads or makes a key.

A key is held by an advisory lock that many share and that its revocation takes alone. Who waits for such a lock stands
in a queue: while a revocation waits for the writes that had begun, no further one begins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias

from remanence.stores.postgres import faults
from remanence.stores.postgres.pool import Address, Pool, transaction, trying
from remanence.stores.postgres.schema import SERVER, SERVER_ROLE, Connection

__all__ = ["KeyRow", "RequestRow", "ServerTables"]

KeyRow: TypeAlias = tuple[str, str, bytes, str, str, int, int | None, int | None]
"""Id, name, digest of the secret, JSON of the scope, rights, and when it was made, expires and was revoked, in µs."""
RequestRow: TypeAlias = tuple[bytes, bytes, int | None, bytes | None]
"""Hash of the body, nonce, and status and masked answer if there is one."""

_KEY: Final = "id, name, digest, scope, rights, created, expires, revoked"
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_SWEEP: Final = 60_000_000
"""Microseconds between two removals of what is too old."""


class ServerTables:
    """Keys and requests in the schema of a `PostgresStore`. Thread-safe; nothing is connected to before it is needed.

    Args:
        url: as for `PostgresStore`.
        pool_size: most connections that this object opens; whoever holds a key has one as long as it is held.
        timeout: seconds to wait for a connection, for writes under a key that is revoked, or for its revocation, before
            `StoreBusy`.
        durable: as for `PostgresStore`.

    """

    def __init__(self, url: str, *, pool_size: int = 4, timeout: float = 30.0, durable: bool = True) -> None:
        self._address = Address(url)
        # Statements here touch one row, but may wait for a lock as long as `timeout`.
        self._pool = Pool(
            self._address,
            size=pool_size,
            timeout=timeout,
            statement_timeout=2 * timeout,
            durable=durable,
            role=SERVER_ROLE,
        )
        # Named in full: through a pooler that the address does not tell of, a statement may come to any session.
        self._keys, self._requests = (f"{self._address.schema}.{table}" for table in SERVER)
        self._lock = threading.Lock()
        self._has_key = False
        self._swept: int | None = None

    @property
    def name(self) -> str:
        """Where they are, without user and password."""
        return self._address.name

    def exist(self) -> bool:
        """Whether a key was ever made. No key is ever removed, so that what was so once is not asked for again."""
        if not self._has_key:
            self._has_key = bool(self._read(f"SELECT EXISTS (SELECT 1 FROM {self._keys})")[0][0])
        return self._has_key

    def add(self, row: KeyRow) -> None:
        """Keep a new key."""

        def act(committing: list[bool]) -> None:
            with self._pool.lend() as connection, transaction(self._pool, connection, _BEGIN, committing):
                connection.execute(
                    f"INSERT INTO {self._keys}({_KEY}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)".encode(), row
                )

        trying(self._pool, act)

    def end(self, key_id: str, at: int) -> KeyRow | None:
        """Revoke a key once nobody holds it, and keep the time if it was revoked before. None: there is no such key."""

        def act(committing: list[bool]) -> KeyRow | None:
            with self._pool.lend() as connection, transaction(self._pool, connection, _BEGIN, committing):
                connection.execute(b"SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", self._held(key_id))
                query = f"UPDATE {self._keys} SET revoked = %s WHERE id = %s AND revoked IS NULL"
                connection.execute(query.encode(), (at, key_id))
                return self._found(connection, key_id)

        return trying(self._pool, act)

    def rows(self) -> list[KeyRow]:
        """All keys, oldest first."""
        return [_key(row) for row in self._read(f"SELECT {_KEY} FROM {self._keys} ORDER BY created, id")]

    def key(self, key_id: str) -> KeyRow | None:
        """One key."""
        rows = self._read(f"SELECT {_KEY} FROM {self._keys} WHERE id = %s", key_id)
        return _key(rows[0]) if rows else None

    @contextmanager
    def holding(self, key_id: str) -> Iterator[KeyRow | None]:
        """A key that is not revoked as long as the block lasts, in whichever process or machine."""
        with ExitStack() as stack:
            yield trying(self._pool, lambda _: self._hold(stack, key_id))

    def take(self, name: bytes, body: bytes, nonce: bytes, *, at: int, lease: int, expired: int) -> RequestRow | None:
        """Note a request that is to be worked on; or what is known of it already.

        What came before `expired` is forgotten, and whoever let a lease run out has lost the request.
        """
        self._sweep(at, expired)
        while True:
            taken = self._read(
                f"INSERT INTO {self._requests} AS r (name, body, at, lease, nonce) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (name) DO UPDATE SET body = excluded.body, at = excluded.at, lease = excluded.lease, "
                "nonce = excluded.nonce, status = NULL, answer = NULL "
                "WHERE r.at < %s OR (r.body = excluded.body AND r.status IS NULL AND r.lease <= excluded.at) "
                "RETURNING 1",
                name, body, at, lease, nonce, expired,
            )  # fmt: skip
            if taken:
                return None
            rows = self._read(f"SELECT body, nonce, status, answer FROM {self._requests} WHERE name = %s", name)
            if rows:
                # A connection that was lost after the row was written makes this look at it again.
                return None if rows[0][1] == nonce else (rows[0][0], rows[0][1], rows[0][2], rows[0][3])

    def answer(self, name: bytes, nonce: bytes, status: int, answer: bytes) -> None:
        """Keep what a request was answered, if it is still that of the nonce."""
        query = f"UPDATE {self._requests} SET status = %s, answer = %s WHERE name = %s AND nonce = %s"
        self._do(query, status, answer, name, nonce)

    def drop(self, name: bytes, nonce: bytes) -> None:
        """Forget a request, if it is still that of the nonce."""
        self._do(f"DELETE FROM {self._requests} WHERE name = %s AND nonce = %s", name, nonce)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._pool.close()

    def _sweep(self, at: int, expired: int) -> None:
        with self._lock:
            due = self._swept is None or not 0 <= at - self._swept < _SWEEP
            self._swept = at if due else self._swept
        if due:
            self._do(f"DELETE FROM {self._requests} WHERE at < %s", expired)

    def _hold(self, stack: ExitStack, key_id: str) -> KeyRow | None:
        with ExitStack() as own:
            connection = own.enter_context(self._pool.lend())
            connection.execute(self._pool.begin(_BEGIN))
            connection.execute(b"SELECT pg_advisory_xact_lock_shared(hashtext(%s), hashtext(%s))", self._held(key_id))
            # A statement of its own, so that it sees what was committed while it waited for the lock.
            row = self._found(connection, key_id)
            own.callback(_let_go, connection)
            stack.push(own.pop_all())
        return row

    def _found(self, connection: Connection, key_id: str) -> KeyRow | None:
        row = connection.execute(f"SELECT {_KEY} FROM {self._keys} WHERE id = %s".encode(), (key_id,)).fetchone()
        return None if row is None else _key(row)

    def _held(self, key_id: str) -> tuple[str, str]:
        return f"remanence keys of {self._address.schema}", key_id

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement that may be run twice."""

        def act(_: list[bool]) -> list[tuple[Any, ...]]:
            with self._pool.lend() as connection:
                with self._pool.alone(connection, _BEGIN):
                    cursor = connection.execute(query.encode(), values)
                return cursor.fetchall()

        return trying(self._pool, act)

    def _do(self, query: str, *values: object) -> None:
        """Run a statement without rows that may be run twice."""

        def act(_: list[bool]) -> None:
            with self._pool.lend() as connection, self._pool.alone(connection, _BEGIN):
                connection.execute(query.encode(), values)

        trying(self._pool, act)


def _key(row: tuple[Any, ...]) -> KeyRow:
    id, name, digest, scope, rights, created, expires, revoked = row
    return id, name, bytes(digest), scope, rights, created, expires, revoked


def _let_go(connection: Connection) -> None:
    from psycopg import Error

    try:
        connection.execute(b"COMMIT")
    except Error as error:
        # Only the lock ended here. It ends with its session too, and what was written under it is written.
        lost = connection.closed or faults.is_lost(error)
        connection.close()
        if not lost:
            raise
