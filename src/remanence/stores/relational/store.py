"""What stores over tables have in common beside their operations: a clock, a source of ids, a cache, and an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import Any, Generic, Self, TypeVar

from remanence.core.clock import Clock, parse_time, to_micros
from remanence.core.ids import RandomBits, os_bits
from remanence.stores.relational.transaction import Cache, Transaction
from remanence.substrates.records.id_source import IdSource
from remanence.substrates.records.operations import Adopt, Operation, Receipt

C = TypeVar("C", bound=Cache[Any])


class RelationalStore(ABC, Generic[C]):
    """Base of the stores.

    Args:
        clock: read once per writing batch.
        random_bits: feeds the identifiers (None: the operating system).
        busy_timeout: seconds to wait for others.
        new_cache: makes an empty cache of an epoch.

    """

    def __init__(
        self, clock: Clock, random_bits: RandomBits | None, busy_timeout: float, new_cache: Callable[[int], C]
    ) -> None:
        self._clock = clock
        self._ids = IdSource(random_bits or os_bits)
        self._timeout = busy_timeout
        self._new_cache = new_cache
        self._cache = new_cache(0)

    @abstractmethod
    def close(self) -> None:
        """Release what is held open. Idempotent; later use raises `StoreClosed`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reading(self) -> int:
        """What the clock reads, in microseconds."""
        return to_micros(parse_time(self._clock()).astimezone(UTC))

    def _cache_of(self, epoch: int) -> C:
        """The cache of what does not change before the next erasure, as of a moment."""
        cache = self._cache
        if cache.epoch != epoch:
            cache = self._new_cache(epoch)
            if epoch > self._cache.epoch:
                self._cache = cache
        return cache

    def _begin_writing(
        self, tx: Transaction[Any], operations: Sequence[Operation], at: int, last_id: str, actor: str, why: str
    ) -> None:
        """Let a batch write, above the newest id and not before the newest time of the store."""
        self._ids.follow(last_id)
        tx.begin_writing(self._ids, max(self._reading(), at), actor, why)
        tx.adopting = frozenset(op.versions[0].id for op in operations if isinstance(op, Adopt))


def erased_ids(erased: Receipt | Iterable[str]) -> set[str]:
    """Ids of the records that a receipt says are gone, or the ids themselves."""
    return {*erased.ids, *erased.derived} if isinstance(erased, Receipt) else set(erased)
