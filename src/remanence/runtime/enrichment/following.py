"""Records of one home scope kept in memory in step with the journal, so that a job reads what has changed and not all.

One worker at a time works on a home scope (see `working`), so what follows it needs no lock of its own.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.handler import home_of, newest_versions
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Changes, Find, JournalEntry

__all__ = ["Follower", "Followers", "forget"]

_HOMES: Final = 32
_WORTH_READING_ALL: Final = 512
"""Changed records from which on everything is read anew: most of them are turns, which no follower keeps."""
_RECORD_OPS: Final = frozenset(("put", "adopt", "revise", "close", "restore"))

F = TypeVar("F", bound="Follower")


class Follower(ABC):
    """The newest versions of some kinds of records of a home scope, over or not."""

    def __init__(self, engine: Engine, home: Scope) -> None:
        self._engine = engine
        self._home = home
        self._seq = -1

    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it keeps."""

    @abstractmethod
    def clear(self) -> None:
        """Keep nothing."""

    @abstractmethod
    def take(self, records: Sequence[Record]) -> None:
        """Keep these in place of what they were; those of other kinds are passed over."""

    def follow(self) -> Self:
        """Take in what was written since; itself."""
        position = self._engine.store.position()
        if self._seq < 0:
            self._load(position)
        elif position != self._seq:
            entries: Sequence[JournalEntry]
            (entries,) = self._engine.read([Changes(since=self._seq)], self._home)
            ids = dict.fromkeys(entry.id for entry in entries if entry.op in _RECORD_OPS)
            anew = position < self._seq or len(ids) > _WORTH_READING_ALL
            if anew or any(entry.op == "erase" for entry in entries):
                self._load(position)
            else:
                self._take(newest_versions(self._engine, list(ids), self._home))
                self._seq = max([position, *(entry.seq for entry in entries)])
        return self

    def read(self, *kinds: str) -> None:
        """Keep all records of these kinds, as they are now."""
        found: Sequence[Record]
        asked = Find(View(self._engine.now()), kinds=kinds, limit=None, closed=True)
        (found,) = self._engine.read([asked], self._home)
        self._take(found)

    def _load(self, position: int) -> None:
        self.clear()
        # The position was read first: what is written in between is taken in twice, which changes nothing.
        if kinds := self.kinds():
            self.read(*kinds)
        self._seq = position

    def _take(self, records: Sequence[Record]) -> None:
        self.take([record for record in records if home_of(record.scope) == self._home])


_EVERY: Final[list[Followers[Any]]] = []


def forget(engine: Engine) -> None:
    """Keep nothing of an engine's store in memory: what was erased there must not stay here."""
    for followers in _EVERY:
        followers.forget(engine)


class Followers(Generic[F]):
    """One follower for each home scope that was worked on lately, by engine. Thread-safe."""

    def __init__(self, make: Callable[[Engine, Scope], F]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[Engine, OrderedDict[Scope, F]] = WeakKeyDictionary()
        _EVERY.append(self)

    def of(self, engine: Engine, home: Scope) -> F:
        """That of a home scope, up to date."""
        with self._lock:
            kept = self._kept.setdefault(engine, OrderedDict())
            follower = kept.pop(home, None)
            if follower is None:
                follower = self._make(engine, home)
            kept[home] = follower
            while len(kept) > _HOMES:
                kept.popitem(last=False)
        return follower.follow()

    def forget(self, engine: Engine) -> None:
        """Keep nothing of an engine's store."""
        with self._lock:
            self._kept.pop(engine, None)
