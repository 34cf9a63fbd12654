"""The port between text and vectors: what an embedder promises, and a small offline one to test against."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError, InvalidInput

__all__ = ["Embedder", "EmbeddingKind", "EmbeddingSpace", "HashEmbedder", "normalised_rows"]

EmbeddingKind = Literal["passage", "query"]


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Which vectors may be compared with each other: those of one model state and one dimension.

    `fingerprint` changes whenever the same text could get another vector (other weights, another tokenizer).
    """

    fingerprint: str
    dim: int

    @property
    def key(self) -> str:
        """The name under which a store keeps the vectors of this space."""
        return f"{self.fingerprint}:{self.dim}"


class Embedder(Protocol):
    """Turns texts into unit vectors of one space."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of every vector that `embed` returns."""
        ...

    @property
    def inline(self) -> bool:
        """True: plain arithmetic that may run on the write path. False: a model or a network, for a worker."""
        ...

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim], each of length 1; all zeros for a text without any known token.

        The vector of a text does not depend on the other texts of the call.

        Raises:
            EmbeddingError: the model failed or returned something unusable.

        """
        ...


def normalised_rows(vectors: object, *, rows: int, dim: int | None, origin: str) -> NDArray[np.float32]:
    """Check what a model returned and give its rows length 1 (rows of zeros stay zero).

    The one place where output of any embedder is judged. `origin` names the embedder in messages.

    Raises:
        EmbeddingError: not numbers, not a matrix [rows, dim], or NaN or an infinite value in it.

    """
    try:
        matrix = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise EmbeddingError(f"{origin} returned something that is no matrix of numbers: {error}") from error
    if rows == 0 and matrix.size == 0:
        return np.zeros((0, dim or 0), dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[0] != rows:
        raise EmbeddingError(f"{origin} returned shape {matrix.shape} for {rows} texts; one vector per text is needed")
    if dim is not None and matrix.shape[1] != dim:
        raise EmbeddingError(
            f"{origin} returned vectors of {matrix.shape[1]} dimensions where {dim} were promised; "
            "check the model name, or pass the dimension that it really has"
        )
    if matrix.shape[1] == 0:
        raise EmbeddingError(f"{origin} returned vectors without dimensions")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise EmbeddingError(f"{origin} returned NaN or an infinite value for text number {row}")
    # Dividing by the peak first keeps the sum of squares of huge or tiny vectors within range.
    peaks = np.abs(matrix).max(axis=1, initial=0.0, keepdims=True)
    matrix = np.divide(matrix, peaks, out=np.zeros_like(matrix), where=peaks > 0)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    return unit.astype(np.float32)


class HashEmbedder:
    """Seeded signed feature hashing of words: no file, no model, the same vectors on every machine.

    A reference for tests and for a store that wants word overlap as its only notion of nearness. Two texts are as near
    as their word counts are, up to collisions, whose expected contribution is zero because of the signs
    (K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009).
    """

    def __init__(self, dim: int = 64, seed: int = 0) -> None:
        if dim < 1:
            raise InvalidInput(f"dim={dim} must be at least 1")
        self._space = EmbeddingSpace(f"hash-{seed}", dim)
        self._key = seed.to_bytes(8, "little", signed=True)

    @property
    def space(self) -> EmbeddingSpace:
        """The space, named after the seed."""
        return self._space

    @property
    def inline(self) -> bool:
        """Plain arithmetic: True."""
        return True

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]; `kind` makes no difference."""
        dim = self._space.dim
        vectors = np.zeros((len(texts), dim), dtype=np.float64)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                # Lone surrogates have no encoding of their own; any stable bytes will do.
                digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key).digest()
                value = int.from_bytes(digest, "little")
                row[(value >> 1) % dim] += 1.0 if value & 1 else -1.0
        return normalised_rows(vectors, rows=len(texts), dim=dim, origin=f"HashEmbedder(dim={dim})")
