"""Selective copying: some tokens of a stream matter, the others are noise; at the end those that matter are repeated.

    . . a . b . . . c .  |  GO GO GO   ->   a b c

Where they stand differs between sequences, so that no fixed delay solves it: a memory must choose what it writes.
Source: the task of that name in Gu and Dao, Mamba (arXiv:2312.00752), after Jing et al. (arXiv:1706.02761).
"""

from __future__ import annotations

import numpy as np

from remanence.core.errors import InvalidInput
from remanence.scenarios.mqar import TokenTask

__all__ = ["GO", "NOISE", "selective_copy"]

NOISE, GO = 0, 1


def selective_copy(seed: int, *, sequences: int = 32, length: int = 64, count: int = 8, symbols: int = 14) -> TokenTask:
    """Sequences of `length` tokens of which `count` matter, followed by as many questions.

    Tokens 2 … symbols + 1 matter. Raises `InvalidInput` where they do not fit into the length.

    """
    if min(sequences, count, symbols) < 1 or length < count:
        raise InvalidInput(
            "sequences, count and symbols must be at least 1, and length at least count; got "
            f"{sequences}, {count}, {symbols}, {length}"
        )
    rng = np.random.default_rng([seed, length, count, symbols])
    places = np.sort(rng.permuted(np.tile(np.arange(length), (sequences, 1)), axis=1)[:, :count], axis=1)
    told = 2 + rng.integers(symbols, size=(sequences, count))
    ids = np.full((sequences, length + count), NOISE)
    np.put_along_axis(ids, places, told, axis=1)
    ids[:, length:] = GO
    targets, distance = np.zeros_like(ids), np.zeros_like(ids)
    asked = length + np.arange(count)
    targets[:, asked] = told
    distance[:, asked] = asked - places
    return TokenTask(ids, targets, targets > 0, distance, symbols + 2)
