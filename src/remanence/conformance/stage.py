"""Where store rules play: fresh stores with a clock under control, and the few questions that every rule asks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from remanence.conformance.rules import Broken, CannotRun
from remanence.core.clock import Clock, SteppingClock
from remanence.core.ids import RandomBits
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import Operation, Put
from remanence.substrates.records.port import RecordStore

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA = Scope(user_id="ana")
BOB = Scope(user_id="bob")


class StoreFactory(Protocol):
    """Makes a new, empty store that takes its time and its random bits from the arguments."""

    def __call__(self, *, clock: Clock, random_bits: RandomBits) -> RecordStore:
        """A store that shares nothing with those made before."""
        ...


Reopen = Callable[[RecordStore], RecordStore]
"""Close a store and open what it left behind, as a new process would."""


class Stage:
    """Fresh stores for one rule. `now` of the default views lies a year after the stores' clock begins."""

    def __init__(self, factory: StoreFactory, reopen: Reopen | None = None) -> None:
        self._factory = factory
        self._reopen = reopen
        self._stores: list[RecordStore] = []

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for store in self._stores:
            store.close()

    def store(self, clock: Clock | None = None, *, seed: int = 0) -> RecordStore:
        """An empty store; its clock begins at `START` and moves on by a microsecond per reading."""
        made = self._factory(clock=clock or SteppingClock(START), random_bits=random.Random(seed).getrandbits)
        self._stores.append(made)
        return made

    def reopened(self, store: RecordStore) -> RecordStore:
        """The same store after a restart; the rule cannot run when the caller gave no way to do that."""
        if self._reopen is None:
            raise CannotRun("no way to reopen a store was given")
        again = self._reopen(store)
        self._stores.append(again)
        return again


def day(number: float) -> datetime:
    """A moment so many days after `START`."""
    return START + timedelta(days=number)


NOW = View(now=day(365))


def one(store: RecordStore, operation: Operation, scope: Scope = ANA) -> Any:
    """The answer to one operation in a batch of its own."""
    return store.batch([operation], scope=scope).results[0]


def put(store: RecordStore, text: str, scope: Scope = ANA, **fields: Any) -> str:
    """Remember a text; its id."""
    id: str = one(store, Put(Draft(text, **fields)), scope).id
    return id


def expect(holds: object, note: str) -> None:
    """Raise `Broken` with `note` unless something holds."""
    if not holds:
        raise Broken(note)


def same(got: object, wanted: object, what: str) -> None:
    """Raise `Broken` unless two values are equal."""
    if got != wanted:
        raise Broken(f"{what}: got {got!r}, not {wanted!r}")


def raises(error: type[Exception], act: Callable[[], object], what: str) -> None:
    """Raise `Broken` unless `act` raises `error`."""
    try:
        answer = act()
    except error:
        return
    except Exception as other:
        raise Broken(f"{what}: raised {type(other).__name__} ({other}), not {error.__name__}") from other
    raise Broken(f"{what}: answered {answer!r}, and did not raise {error.__name__}")


def refused(
    store: RecordStore, operations: Iterable[Operation], error: type[Exception], what: str, scope: Scope = ANA
) -> None:
    """Raise `Broken` unless each operation, in a batch of its own, raises `error`."""
    for operation in operations:
        raises(error, lambda operation=operation: one(store, operation, scope), f"{what}: {operation!r}")  # type: ignore[misc]
