"""A bounded, ageing mapping: what a process knows of the last requests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The newest `most` entries that are no older than `seconds`. Thread-safe."""

    def __init__(self, most: int, seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._timer = timer
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What is known under a key."""
        with self._lock:
            entry = self._entries.get(key)
            return entry[1] if entry is not None and self._timer() - entry[0] <= self._seconds else None

    def put(self, key: K, value: V) -> bool:
        """Enter a value as the newest. Whether nothing was known under the key before."""
        with self._lock:
            now = self._timer()
            old = self._entries.pop(key, None)
            self._entries[key] = (now, value)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
            return old is None or now - old[0] > self._seconds

    def drop(self, key: K) -> V | None:
        """Forget a key, and return what was known under it."""
        with self._lock:
            entry = self._entries.pop(key, None)
            return entry[1] if entry is not None and self._timer() - entry[0] <= self._seconds else None
