"""Arrays that grow at the end at amortised constant cost."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class Growing(Generic[Scalar]):
    """A one- or two-dimensional array with room at the end. `view` is the filled part and shares memory with it."""

    def __init__(self, dtype: DTypeLike, width: int | None = None) -> None:
        self._shape = () if width is None else (width,)
        self._data: NDArray[Any] = np.zeros((0, *self._shape), dtype)
        self._length = 0

    def extend(self, values: NDArray[Any]) -> None:
        """Append rows."""
        needed = self._length + len(values)
        if needed > len(self._data):
            # A first bulk load gets what it needs; later growth leaves an eighth of headroom.
            room = needed if not self._length else needed + needed // 8 + 16
            grown = np.zeros((room, *self._shape), self._data.dtype)
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : needed] = values
        self._length = needed

    @property
    def view(self) -> NDArray[Scalar]:
        """The filled part, writable."""
        return self._data[: self._length]

    @property
    def nbytes(self) -> int:
        """Bytes allocated, headroom included."""
        return self._data.nbytes

    def __len__(self) -> int:
        return self._length
