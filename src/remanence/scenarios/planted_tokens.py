"""A stream of vectors in which a few matter: marked ones that are asked for much later, among others that seem to.

A token is [mark, cue, content]. Planted tokens come first and are marked the most; decoys, marked less, and filler, not
marked, follow. At the end each planted token's content is asked for by its cue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["Planted", "planted_tokens"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Planted:
    """The stream [T, 1 + 2 D] in order, and where the planted tokens stand in it."""

    tokens: Array
    places: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        """D, the width of a cue and of a content."""
        return (int(self.tokens.shape[1]) - 1) // 2

    @property
    def marks(self) -> Array:
        """How much each token seems to matter, [T], in [0, 1]."""
        return self.tokens[:, 0]

    @property
    def cues(self) -> Array:
        """Unit vectors [T, D]."""
        return self.tokens[:, 1 : 1 + self.size]

    @property
    def contents(self) -> Array:
        """Unit vectors [T, D]."""
        return self.tokens[:, 1 + self.size :]

    def cosine(self, answers: Array) -> float:
        """Mean cosine between answers [n, D] to the planted tokens' cues and their contents; nothing counts 0."""
        wanted = self.contents[self.places]
        if answers.shape != wanted.shape:
            raise InvalidInput(f"answers must be {wanted.shape}, one for each planted token; got {answers.shape}")
        length = np.linalg.norm(answers, axis=1)
        dots = (answers * wanted).sum(1)
        return float(np.divide(dots, length, out=np.zeros_like(dots), where=length > 0).mean())


def planted_tokens(
    seed: int, *, planted: int = 8, decoys: int = 60, filler: int = 240, delay: int = 200, size: int = 16
) -> Planted:
    """A stream of planted + decoys + filler tokens; no planted one is among the last `delay`.

    Marks: 0.9 to 1 for what is planted, 0.6 to 0.85 for decoys, 0 for filler; cues and contents are independent.

    Raises `InvalidInput` for nothing to ask, or too few tokens to hide it behind.

    """
    length = planted + decoys + filler
    if planted < 1 or size < 1 or min(decoys, filler, delay) < 0 or length - planted < delay:
        raise InvalidInput(
            "planted and size must be at least 1, decoys + filler at least delay; got "
            f"{planted}, {size}, {decoys}, {filler} and {delay}"
        )
    rng = np.random.default_rng([seed, planted, decoys, filler, size])
    places = np.sort(rng.permutation(length - delay)[:planted])
    others = np.setdiff1d(np.arange(length), places)
    marks = np.zeros(length)
    marks[places] = rng.uniform(0.9, 1.0, planted)
    marks[rng.permutation(others)[:decoys]] = rng.uniform(0.6, 0.85, decoys)
    halves = rng.standard_normal((length, 2, size))
    halves /= np.linalg.norm(halves, axis=2, keepdims=True)
    return Planted(np.concatenate([marks[:, None], halves.reshape(length, -1)], axis=1), places)
