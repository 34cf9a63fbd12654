"""How often a key may ask, one bucket of tokens for each, and how much one question may be."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from remanence.core.errors import InvalidFilter

__all__ = ["LONGEST_QUERY", "WIDEST_FILTER", "Buckets", "check_filter"]

LONGEST_QUERY: Final = 500_000
"""Characters of a question. Four million, of different words, take a search twenty seconds."""
WIDEST_FILTER: Final = 2_000
"""Conditions and values of a filter, each of which may be compared with every memory of a scope."""

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


def check_filter(filters: Mapping[str, Any]) -> None:
    """Raise `InvalidFilter` for a filter with more conditions and values than a server looks at."""
    left = WIDEST_FILTER
    parts: list[Iterable[Any]] = [filters.values()]
    while parts:
        for part in parts.pop():
            left -= 1
            if left < 0:
                raise InvalidFilter(
                    f"a filter may have {WIDEST_FILTER:,} conditions and values here; ask several times instead"
                )
            if isinstance(part, Mapping):
                parts.append(part.values())
            elif isinstance(part, list | tuple):
                parts.append(part)
