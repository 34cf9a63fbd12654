"""Pictures of digits, read pixel by pixel: in rows, or in one fixed random order in which neighbours are far apart.

The pictures are drawn here, from a font of 5 x 7 dots, moved by a pixel or two, dimmed and covered with noise, so that
no data set is needed. The permuted order is the usual test of how far a recurrent memory reaches (after Le et al.,
arXiv:1504.00941, who permute MNIST).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["SIDE", "Digits", "permuted_digits"]

SIDE = 9
"""Height and width of a picture."""
_FONT = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111",
    "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)
_GLYPHS = np.array([[[int(dot) for dot in row] for row in glyph.split()] for glyph in _FONT], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Digits:
    """Pictures as sequences [N, SIDE * SIDE], 0 dark to 1 light and noise, and the digits that they show [N]."""

    pixels: npt.NDArray[np.float64]
    digits: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    """Which pixel, counted by rows, comes at each step; the same for all pictures."""

    @property
    def pictures(self) -> npt.NDArray[np.float64]:
        """The pictures as they were before their pixels were put in order, [N, SIDE, SIDE]."""
        return self.pixels[:, np.argsort(self.order)].reshape(-1, SIDE, SIDE)


def permuted_digits(
    seed: int, *, count: int = 256, permuted: bool = True, noise: float = 0.1, order_seed: int = 0
) -> Digits:
    """Pictures of random digits.

    Args:
        seed: of the pictures.
        count: how many.
        permuted: whether pixels come in a random order, else row by row.
        noise: standard deviation of what is added to each pixel.
        order_seed: of the order, so that pictures to train and to test on share one.

    """
    if count < 1 or not noise >= 0:
        raise InvalidInput(f"count must be at least 1 and noise at least 0; got {count} and {noise}")
    rng = np.random.default_rng([seed, count])
    digits = rng.integers(10, size=count)
    pictures = np.zeros((count, SIDE, SIDE))
    height, width = _GLYPHS.shape[1:]
    downs = rng.integers(SIDE - height + 1, size=count)
    rights = rng.integers(SIDE - width + 1, size=count)
    light = rng.uniform(0.7, 1.0, size=count)
    for at in range(count):
        rows, columns = slice(downs[at], downs[at] + height), slice(rights[at], rights[at] + width)
        pictures[at, rows, columns] = light[at] * _GLYPHS[digits[at]]
    pictures += noise * rng.standard_normal(pictures.shape)
    order = np.random.default_rng(order_seed).permutation(SIDE * SIDE) if permuted else np.arange(SIDE * SIDE)
    return Digits(pictures.reshape(count, -1)[:, order], digits, order)
