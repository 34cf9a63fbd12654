"""Identifiers that increase within a store, whichever process gives them out."""

from __future__ import annotations

from remanence.core.errors import InvalidInput
from remanence.core.ids import RandomBits, decode, encode

_RANDOM_BITS = 80


class IdSource:
    """ULIDs as `core.ids.UlidFactory` gives them, but for times that the store names, and above what the store has.

    Not thread-safe: it is used under the store's writer lock. An id of a batch that failed is not given out again.
    """

    def __init__(self, random_bits: RandomBits) -> None:
        self._random_bits = random_bits
        self._last = 0
        self.last = ""
        """The newest id, empty before the first one."""

    def follow(self, id: str) -> None:
        """Stay above an id that another process gave out."""
        if id > self.last:
            self._last, self.last = decode(id), id

    def draw(self, micros: int) -> str:
        """A new id for that time, greater than all before it."""
        millis = max(0, micros // 1000)
        value = (millis << _RANDOM_BITS) | self._random_bits(_RANDOM_BITS)
        if millis <= self._last >> _RANDOM_BITS:
            value = self._last + 1 + self._random_bits(32)
        if value >> 128:
            raise InvalidInput(f"the clock reads {millis} ms since 1970, beyond what a ULID can hold")
        self._last = value
        self.last = encode(value)
        return self.last
