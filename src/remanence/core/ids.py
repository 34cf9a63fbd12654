"""Identifiers: ULIDs (github.com/ulid/spec), 26 characters that sort by creation and are never reused."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import datetime

from remanence.core.clock import Clock, to_micros, utc_now
from remanence.core.errors import InvalidInput

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_VALID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_RANDOM_BITS = 80

RandomBits = Callable[[int], int]
"""`bits -> integer of that many random bits`, as `random.Random(seed).getrandbits` gives."""


def os_bits(bits: int) -> int:
    """Random bits from the operating system."""
    return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)


def encode(value: int) -> str:
    """The 26 Crockford base-32 characters of a 128-bit integer."""
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def decode(ulid: str) -> int:
    """The 128-bit integer of a well-formed ULID."""
    if not is_ulid(ulid):
        raise InvalidInput(f"{ulid!r} is not a ULID (26 characters of Crockford base 32)")
    value = 0
    for char in ulid:
        value = value * 32 + _VALUES[char]
    return value


def is_ulid(text: object) -> bool:
    """Whether `text` is a well-formed ULID in upper case."""
    return isinstance(text, str) and _VALID.fullmatch(text) is not None


class UlidFactory:
    """Gives out ULIDs that strictly increase within this factory, whatever the clock does. Thread-safe.

    The first id of a millisecond draws 80 random bits; later ones (and those after a clock that ran backwards)
    add a small random step, so that two processes that share a file do not meet.
    """

    def __init__(self, clock: Clock = utc_now, random_bits: RandomBits = os_bits) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """A new id, greater than every id this factory gave before."""
        return self.many(1)[0]

    def follow(self, id: str) -> None:
        """Stay above an id that came from elsewhere."""
        value = decode(id)
        with self._lock:
            self._last = max(self._last, value)

    def many(self, count: int) -> list[str]:
        """`count` new ids in increasing order, with one reading of the clock."""
        millis = max(0, to_micros(self._clock()) // 1000)
        with self._lock:
            first = (millis << _RANDOM_BITS) | self._random_bits(_RANDOM_BITS)
            if millis <= self._last >> _RANDOM_BITS:
                first = self._last + 1 + self._random_bits(32)
            steps = [first]
            for _ in range(count - 1):
                steps.append(steps[-1] + 1)
            self._last = steps[-1]
        return [encode(step) for step in steps[:count]]


def ulid_millis(ulid: str) -> int:
    """Milliseconds since 1970 that a ULID carries."""
    return decode(ulid) >> _RANDOM_BITS


def ulid_floor(moment: datetime) -> str:
    """The smallest ULID of that moment's millisecond, for range queries; before 1970, the smallest of all."""
    return encode(max(0, to_micros(moment) // 1000) << _RANDOM_BITS)
