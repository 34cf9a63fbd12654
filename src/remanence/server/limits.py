"""How often a key may ask: one bucket of tokens for each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Buckets"]

_MOST: Final = 10_000


class Buckets:
    """Token buckets: `burst` requests at once, `rate` per second on average. Used from one thread.

    A bucket refills as time goes by: tokens(t) = min(burst, tokens(t0) + rate * (t - t0)); a request takes one.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take one token: 0.0, or the seconds until there is one."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        tokens, then = self._buckets.pop(name, (self._burst, now))
        tokens = min(self._burst, tokens + self._rate * (now - then))
        enough = tokens >= 1.0
        self._buckets[name] = (tokens - 1.0 if enough else tokens, now)
        if len(self._buckets) > _MOST:
            # Whoever has not asked for longest has a full bucket by now, or nearly.
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - tokens) / self._rate
