"""A needle in a haystack of tokens: a marked key somewhere in filler, asked for at the end.

    filler … MARK d1 d2 … dn … filler … ASK d1 d2 … dn

`depth` 0 puts the needle first, 1 last. The filler is drawn from its own tokens, by a fixed chain of which token
follows which, so that it can be learned and the needle is what cannot be foreseen.
"""

from __future__ import annotations

import numpy as np

from remanence.core.errors import InvalidInput
from remanence.scenarios.mqar import TokenTask

__all__ = ["ASK", "MARK", "passkey"]

MARK, ASK = 0, 1
_DIGITS, _FIRST = 10, 2
_NEXT = 3
"""How many tokens may follow a filler token."""


def passkey(
    seed: int, *, sequences: int = 32, length: int = 128, depth: float = 0.5, digits: int = 4, filler: int = 32
) -> TokenTask:
    """Sequences of `length` tokens in all, with a key of `digits` digits at `depth`.

    Tokens 2 to 11 are digits, the following `filler` ones are filler. The key is asked digit by digit: at ASK its
    first, and at each digit that is repeated the next.

    Raises `InvalidInput` where the needle and the question do not fit, or for a depth outside [0, 1].

    """
    room = length - 2 * digits - 2
    if sequences < 1 or digits < 1 or filler < 1 or room < 0:
        raise InvalidInput(
            "sequences, digits and filler must be at least 1, and length at least 2 digits + 2; got "
            f"{sequences}, {digits}, {filler}, {length}"
        )
    if not 0 <= depth <= 1:
        raise InvalidInput(f"depth must lie in [0, 1], not {depth}")
    rng = np.random.default_rng([seed, length, digits, filler])
    follow = np.random.default_rng(filler).integers(filler, size=(filler, _NEXT))
    hay = np.empty((sequences, room), dtype=np.int64)
    at = rng.integers(filler, size=sequences)
    for place in range(room):
        hay[:, place] = at
        at = follow[at, rng.integers(_NEXT, size=sequences)]
    hay += _FIRST + _DIGITS
    key = _FIRST + rng.integers(_DIGITS, size=(sequences, digits))
    mark, ask = np.full((sequences, 1), MARK), np.full((sequences, 1), ASK)
    before = round(depth * room)
    ids = np.concatenate([hay[:, :before], mark, key, hay[:, before:], ask, key], axis=1)
    targets, distance = np.zeros_like(ids), np.zeros_like(ids)
    places = length - digits - 1 + np.arange(digits)
    targets[:, places] = key
    distance[:, places] = places - (before + 1 + np.arange(digits))
    return TokenTask(ids, targets, targets > 0, distance, _FIRST + _DIGITS + filler)
