"""Keys: who may do what in whose memory. They lie in an SQLite file of their own beside the store.

A key is `rmk_<id>_<secret>` with a secret of 256 random bits, shown once. The file holds the SHA-256 of it: a slow hash
defends passwords that can be guessed, and nobody guesses 256 bits.

Whoever writes holds a read transaction on this file meanwhile (`holding`), and a revocation is a write to it. The file
has a rollback journal, in which a writer waits for the readers before it and lets none in: when `revoke` returns, every
write that had begun under the key is over, and none begins after it, in whichever process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from remanence.core.clock import Clock, from_micros, parse_time, to_micros, utc_now
from remanence.core.errors import InvalidInput, NotFound, StoreBusy, StoreCorrupt, StoreError, StoreVersionError
from remanence.core.ids import RandomBits, os_bits
from remanence.core.scope import Scope

__all__ = ["RIGHTS", "Key", "Keys", "rights_of"]

RIGHTS: Final = ("read", "write", "erase", "admin")
"""What a key may be allowed. "admin" looks after the whole of the key's scope and may do all the others."""

_PREFIX: Final = "rmk"
_TOKEN: Final = re.compile(r"rmk_([0-9a-f]{16})_([0-9a-f]{64})")
_NOBODY: Final = hashlib.sha256(b"").digest()
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


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without its secret. An empty `scope` reaches everything."""

    id: str
    name: str
    scope: Mapping[str, str]
    rights: frozenset[str]
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def state(self, now: datetime) -> str:
        """ "valid", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


def rights_of(rights: Iterable[str]) -> frozenset[str]:
    """Rights by name, checked. Raises `InvalidInput`."""
    found = frozenset(rights)
    if not found or not found <= set(RIGHTS):
        raise InvalidInput(f"rights {sorted(found)} must be some of {', '.join(RIGHTS)}")
    return found


class Keys:
    """The keys of one store. Thread-safe; many processes may use one file.

    Nothing is opened before it is needed, and only `create` makes the file. `timeout`: seconds that a change waits for
    writes in progress, and a check for a change in progress.
    """

    def __init__(
        self, path: str | Path, *, clock: Clock = utc_now, random_bits: RandomBits = os_bits, timeout: float = 60.0
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._bits = random_bits
        self._timeout = timeout
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []

    def exist(self) -> bool:
        """Whether a key was ever made here, be it revoked by now."""
        return self.path.exists()

    def create(
        self,
        name: str,
        scope: Mapping[str, object] | None,
        rights: Iterable[str] = ("read", "write"),
        *,
        expires: object = None,
    ) -> tuple[Key, str]:
        """A new key and its token, which is kept nowhere.

        Args:
            name: for people, and the author of changes in the journal.
            scope: ids that the key is bound to, as `Scope.of` takes them; None: everything.
            rights: some of `RIGHTS`.
            expires: when it ends by itself.

        Raises:
            InvalidInput: a name, scope, right or time that cannot be used.
            StoreError: the file cannot be written.

        """
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise InvalidInput(f"name={name!r} must be up to 200 printable characters")
        ids = {} if scope is None else dict(Scope.of(scope).items())
        end = None if expires is None else parse_time(expires).astimezone(UTC)
        now = parse_time(self._clock()).astimezone(UTC)
        if end is not None and end <= now:
            raise InvalidInput(f"expires={expires!r} is past")
        id, secret = f"{self._bits(64):016x}", f"{self._bits(256):064x}"
        key = Key(id, name, ids, rights_of(rights), now, end, None)
        row = (
            id, name, _digest(secret), json.dumps(ids), " ".join(sorted(key.rights)), to_micros(now),
            None if end is None else to_micros(end),
        )  # fmt: skip
        with self._changing(new=True) as connection:
            connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", row)
        return key, f"{_PREFIX}_{id}_{secret}"

    def revoke(self, key_id: str) -> Key:
        """End a key. When this returns, no write of it is in progress and none will begin. Raises `NotFound`."""
        now = to_micros(parse_time(self._clock()).astimezone(UTC))
        with self._changing() as connection:
            connection.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, key_id))
            row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no key {key_id!r}; `remanence keys list` shows them")
        return _key(row)

    def list(self) -> list[Key]:
        """All keys, oldest first, also those that have ended."""
        if not self.exist():
            return []
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created, id").fetchall()
        return [_key(row) for row in rows]

    def usable(self) -> int:
        """How many keys are valid now."""
        now = parse_time(self._clock()).astimezone(UTC)
        return sum(key.state(now) == "valid" for key in self.list())

    def verify(self, token: str) -> Key | None:
        """The key that a token is, None unless it is valid now. Takes the same time for every secret.

        Raises `StoreError` when the file cannot be read; then nobody may be let in.
        """
        form = _TOKEN.fullmatch(token)
        if form is None or not self.exist():
            return None
        with self._reading() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (form[1],)).fetchone()
        same = hmac.compare_digest(_digest(form[2]), _NOBODY if row is None else row[2])
        if row is None or not same:
            return None
        key = _key(row)
        return key if key.state(parse_time(self._clock()).astimezone(UTC)) == "valid" else None

    @contextmanager
    def holding(self, key_id: str) -> Iterator[bool]:
        """Whether a key is valid, as long as the block lasts: it cannot be revoked meanwhile."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()
                now = parse_time(self._clock()).astimezone(UTC)
                yield row is not None and _key(row).state(now) == "valid"
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
            now = os.stat(self.path)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror or error}") from error
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
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Nobody but the owner needs to read even the hashes.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise StoreError(f"{self.path} cannot be made: {error.strerror or error}") from error
        elif not self.exist():
            raise NotFound(f"there are no keys at {self.path}; `remanence keys create` makes one")
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
        connection = sqlite3.connect(self.path, self._timeout, isolation_level=None, check_same_thread=False)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version > _VERSION:
                raise StoreVersionError(f"{self.path} was written by a newer version ({version} > {_VERSION})")
            if application != _APPLICATION and (tables or not fresh):
                raise StoreCorrupt(f"{self.path} is no file of keys")
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
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise StoreBusy(f"{self.path} was in use for more than {self._timeout:g} s; try again") from error
            raise StoreCorrupt(f"{self.path} cannot be used: {error}") from error


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def _key(row: tuple[str, str, bytes, str, str, int, int | None, int | None]) -> Key:
    id, name, _, scope, rights, created, expires, revoked = row
    return Key(
        id,
        name,
        json.loads(scope),
        rights_of(rights.split()),
        from_micros(created),
        None if expires is None else from_micros(expires),
        None if revoked is None else from_micros(revoked),
    )
