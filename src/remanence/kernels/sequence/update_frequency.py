"""Levels that are updated at different frequencies: where in a stream which of them is due.

A level of period C gathers what C tokens say and takes it in after the last of them; until then it stays as it is.
Between two such moments nothing changes, so that all tokens between them can be read at once.

>>> [(span.first, span.last, span.due) for span in spans(0, 10, (2, 4))]
[(0, 2, (0,)), (2, 4, (0, 1)), (4, 6, (0,)), (6, 8, (0, 1)), (8, 10, (0,))]
>>> [(span.first, span.last, span.due) for span in spans(3, 4, (4, 64))]
[(0, 1, (0,)), (1, 4, ())]

Source: Behrouz et al., Nested Learning (NeurIPS 2025), where frequency is the number of updates per token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from remanence.core.errors import InvalidInput


class Span(NamedTuple):
    """Tokens first, …, last - 1 of a call that are read with the same levels, and those that are due after them."""

    first: int
    last: int
    due: tuple[int, ...]


def expect_periods(periods: Sequence[int]) -> None:
    """Raise `InvalidInput` unless there is a period, and all are at least one token."""
    if not periods or min(periods) < 1:
        raise InvalidInput(f"periods must be at least one token each, and one of them; got {tuple(periods)}")


def spans(offset: int, length: int, periods: Sequence[int]) -> Iterator[Span]:
    """Cut `length` tokens, `offset` after the beginning of the stream, where a level is due.

    Raises `InvalidInput` for periods that are not positive.
    """
    expect_periods(periods)
    first = 0
    while first < length:
        now = offset + first
        last = min(length, min(first + period - now % period for period in periods))
        reached = offset + last
        yield Span(first, last, tuple(at for at, period in enumerate(periods) if reached % period == 0))
        first = last


def cycle(periods: Sequence[int]) -> int:
    """After so many tokens the same levels are due in the same order again."""
    expect_periods(periods)
    return math.lcm(*periods)
