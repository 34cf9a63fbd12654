"""Keys: who may do what in whose memory. They lie in a file beside the store, or in the database that is the store.

A key is `rmk_<id>_<secret>` with a secret of 256 random bits, shown once. What is kept is the SHA-256 of it: a slow
hash defends passwords that can be guessed, and nobody guesses 256 bits.

Whoever writes holds the key meanwhile (`holding`), and its revocation waits for all who do and lets none in: when
`revoke` returns, every write that had begun under the key is over, and none begins after it, in whichever process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from remanence.core.clock import Clock, from_micros, parse_time, to_micros, utc_now
from remanence.core.errors import InvalidInput, NotFound
from remanence.core.ids import RandomBits, os_bits
from remanence.core.scope import Scope
from remanence.server.key_file import KeyFile, KeyRow
from remanence.server.places import is_database, server_tables

__all__ = ["RIGHTS", "Key", "KeyRows", "Keys", "rights_of"]

RIGHTS: Final = ("read", "write", "erase", "admin")
"""What a key may be allowed. "admin" looks after the whole of the key's scope and may do all the others."""

_PREFIX: Final = "rmk"
_TOKEN: Final = re.compile(r"rmk_([0-9a-f]{16})_([0-9a-f]{64})")
_NOBODY: Final = hashlib.sha256(b"").digest()


class KeyRows(Protocol):
    """Where keys lie. Thread-safe, and shared by processes. All raise `StoreError` when the place cannot be used."""

    @property
    def name(self) -> str:
        """The place, for people."""
        ...

    def exist(self) -> bool:
        """Whether a key was ever made."""
        ...

    def add(self, row: KeyRow) -> None:
        """Keep a new key."""
        ...

    def end(self, key_id: str, at: int) -> KeyRow | None:
        """Revoke a key once nobody holds it, and keep the time if it was revoked before. None: there is no such key."""
        ...

    def rows(self) -> list[KeyRow]:
        """All keys, oldest first."""
        ...

    def key(self, key_id: str) -> KeyRow | None:
        """One key."""
        ...

    def holding(self, key_id: str) -> AbstractContextManager[KeyRow | None]:
        """One key, which is not revoked as long as the block lasts."""
        ...

    def close(self) -> None:
        """Close what is open. Idempotent."""
        ...


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
    """The keys of one store. Thread-safe; many processes and machines may use one place.

    Nothing is opened before it is needed. `place`: a file, which only `create` makes; the address of a database; or
    what is open already, which the caller closes. `timeout`: seconds that a change waits for writes in progress, and a
    check for a change in progress.
    """

    def __init__(
        self,
        place: str | Path | KeyRows,
        *,
        clock: Clock = utc_now,
        random_bits: RandomBits = os_bits,
        timeout: float = 60.0,
    ) -> None:
        self._rows: KeyRows
        self._lent = not isinstance(place, str | Path)
        if not isinstance(place, str | Path):
            self._rows = place
        elif is_database(place):
            self._rows = server_tables(str(place), timeout=timeout)
        else:
            self._rows = KeyFile(Path(place), timeout=timeout)
        self._clock = clock
        self._bits = random_bits

    @property
    def place(self) -> str:
        """Where they lie, for people: no password is in it."""
        return self._rows.name

    def exist(self) -> bool:
        """Whether a key was ever made here, be it revoked by now."""
        return self._rows.exist()

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
            StoreError: the place cannot be written.

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
        self._rows.add((
            id, name, _digest(secret), json.dumps(ids), " ".join(sorted(key.rights)), to_micros(now),
            None if end is None else to_micros(end), None,
        ))  # fmt: skip
        return key, f"{_PREFIX}_{id}_{secret}"

    def revoke(self, key_id: str) -> Key:
        """End a key. When this returns, no write of it is in progress and none will begin. Raises `NotFound`."""
        row = self._rows.end(key_id, to_micros(parse_time(self._clock()).astimezone(UTC)))
        if row is None:
            raise NotFound(f"there is no key {key_id!r}; `remanence keys list` shows them")
        return _key(row)

    def list(self) -> list[Key]:
        """All keys, oldest first, also those that have ended."""
        return [_key(row) for row in self._rows.rows()] if self.exist() else []

    def usable(self) -> int:
        """How many keys are valid now."""
        now = parse_time(self._clock()).astimezone(UTC)
        return sum(key.state(now) == "valid" for key in self.list())

    def verify(self, token: str) -> Key | None:
        """The key that a token is, None unless it is valid now. Takes the same time for every secret.

        Raises `StoreError` when the keys cannot be read; then nobody may be let in.
        """
        form = _TOKEN.fullmatch(token)
        if form is None or not self.exist():
            return None
        row = self._rows.key(form[1])
        same = hmac.compare_digest(_digest(form[2]), _NOBODY if row is None else row[2])
        if row is None or not same:
            return None
        key = _key(row)
        return key if key.state(parse_time(self._clock()).astimezone(UTC)) == "valid" else None

    @contextmanager
    def holding(self, key_id: str) -> Iterator[bool]:
        """Whether a key is valid, as long as the block lasts: it cannot be revoked meanwhile."""
        with self._rows.holding(key_id) as row:
            now = parse_time(self._clock()).astimezone(UTC)
            yield row is not None and _key(row).state(now) == "valid"

    def close(self) -> None:
        """Close what was opened here."""
        if not self._lent:
            self._rows.close()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def _key(row: KeyRow) -> Key:
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
