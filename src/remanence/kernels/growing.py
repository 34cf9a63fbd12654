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

    def take(self, values: NDArray[Any]) -> None:
        """`extend` by rows that the caller gives away: the first, if they fit in type and shape, are not copied."""
        data = self._data
        if self._length or values.dtype != data.dtype or values.shape[1:] != data.shape[1:] or not _own(values):
            self.extend(values)
        else:
            self._data, self._length = values, len(values)

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


def _own(values: NDArray[Any]) -> bool:
    """Whether an array may be written to and is all there is of its memory."""
    return values.flags.owndata and values.flags.writeable and values.flags.c_contiguous
