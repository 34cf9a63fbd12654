"""Who asks, how far they reach, and the permit under which each of their writes runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from remanence.core.errors import InvalidInput
from remanence.core.scope import FIELDS, Scope
from remanence.runtime.arguments import ids_of
from remanence.server.errors import Forbidden, TimedOut, Unauthenticated
from remanence.server.keys import RIGHTS, Key, Keys
from remanence.server.limits import check_filter
from remanence.substrates.records.checks import writes
from remanence.substrates.records.filters import split_scope
from remanence.substrates.records.operations import Operation, Outcome
from remanence.substrates.records.port import RecordStore

__all__ = ["ANY", "OPEN", "PERMIT", "Permit", "Principal", "guard"]

ANY: Final = ""
"""What every key may do."""
_ELSEWHERE: Final = "this key does not reach there"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from: a key, or anybody on this machine while there are no keys."""

    key_id: str | None
    name: str
    ids: Mapping[str, str]
    rights: frozenset[str]

    @classmethod
    def of(cls, key: Key) -> Principal:
        """Whoever holds a key."""
        return cls(key.id, key.name, key.scope, key.rights)

    @property
    def everywhere(self) -> bool:
        """Whether no scope bounds it."""
        return not self.ids

    def may(self, right: str) -> bool:
        """Whether it has a right; "admin" is all of them."""
        return right == ANY or right in self.rights or "admin" in self.rights

    def require(self, right: str) -> None:
        """Raise `Forbidden` without the right."""
        if not self.may(right):
            raise Forbidden(f"this key may not {right if right != 'admin' else 'administer'}; it may {self._rights()}")

    def narrow(
        self, ids: Mapping[str, object], filters: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """The ids of a call, completed by those of the key, and what its filter asks besides.

        Raises:
            Forbidden: an id that contradicts the key's.
            InvalidInput: ids that no scope can have, or that contradict each other.
            InvalidFilter: a filter that is none, or has more in it than a server looks at.

        """
        if isinstance(filters, Mapping):
            check_filter(filters)
        inside, rest = ({}, {}) if filters is None else split_scope(filters)
        named = ids_of(ids)
        for name, value in ids_of(inside).items():
            if named.setdefault(name, value) != value:
                raise InvalidInput(f"{name}={named[name]!r} contradicts {name}={value!r} inside filters")
        for name, value in self.ids.items():
            if named.setdefault(name, value) != value:
                raise Forbidden(_ELSEWHERE)
        return named, rest

    def covers(self, scope: Scope) -> bool:
        """Whether records written under a scope are within reach."""
        return all(getattr(scope, name) == value for name, value in self.ids.items())

    def check_items(self, items: Sequence[object]) -> None:
        """Raise `Forbidden` when an item of a stream names ids out of reach."""
        for item in items:
            if isinstance(item, Mapping):
                self.narrow({name: item[name] for name in (*FIELDS, "session_id", "project_id") if name in item})

    def check_messages(self, messages: object) -> None:
        """Raise `Forbidden` when one of the messages of a call names ids out of reach."""
        self.check_items(messages if isinstance(messages, list) else [messages])

    def _rights(self) -> str:
        return " and ".join(right for right in RIGHTS if right in self.rights)


OPEN: Final = Principal(None, "local", {}, frozenset(RIGHTS))
"""Anybody on this machine, where no key was ever made."""


@dataclass(slots=True)
class Permit:
    """The leave of one request to write. It ends with the key, and when nobody waits for the answer any more."""

    principal: Principal
    keys: Keys | None
    over: bool = field(default=False)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """A block in which the key cannot be revoked. Raises `Unauthenticated`, `TimedOut`."""
        if self.over:
            raise TimedOut("the request took too long; what it had not begun to write is not written")
        if self.principal.key_id is None or self.keys is None:
            yield
            return
        with self.keys.holding(self.principal.key_id) as valid:
            if not valid:
                raise Unauthenticated("the key has ended")
            yield


PERMIT: ContextVar[Permit | None] = ContextVar("remanence_permit", default=None)
"""The permit of the request that this thread works on; None: the server's own work, such as facts in the background."""


def guard(store: RecordStore) -> RecordStore:
    """Let every writing batch of a request hold its permit, and be journaled under its name. The same store."""
    plain = store.batch

    def batch(operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        permit = PERMIT.get()
        if permit is None or not writes(operations):
            return plain(operations, scope=scope, actor=actor, why=why)
        with permit.hold():
            return plain(operations, scope=scope, actor=actor or permit.principal.name, why=why)

    # On the object, so that whoever asks for its class, as the verifier of erasures does, still finds it.
    object.__setattr__(store, "batch", batch)
    return store
