"""Any function from texts to vectors as an embedder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError, InvalidInput
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, normalised_rows

__all__ = ["CallableEmbedder"]


class CallableEmbedder:
    """`fn(list of texts)` gives one vector per text: lists, numpy arrays or CPU tensors.

    Args:
        fn: called from whatever thread embeds; its exceptions arrive as `EmbeddingError` with the cause attached.
        name: what the vectors are called in a store. Give another name whenever the function gives other vectors.
        dim: length of the vectors; found out by embedding one word at first need if left out.
        inline: True only if `fn` is plain arithmetic that may run on the write path.

    """

    def __init__(
        self, fn: Callable[[list[str]], object], name: str, dim: int | None = None, *, inline: bool = False
    ) -> None:
        if not name:
            raise InvalidInput("a callable embedder needs a name: it tells its vectors from those of other models")
        if dim is not None and dim < 1:
            raise InvalidInput(f"dim={dim} must be at least 1, or None to find it out")
        self._fn = fn
        self._name = name
        self._dim = dim
        self._inline = inline
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # A lock cannot go to another process, and need not.
        return (partial(CallableEmbedder, inline=self._inline), (self._fn, self._name, self._dim))

    @property
    def space(self) -> EmbeddingSpace:
        """The space, named after the function; may call it once to learn the dimension."""
        if self._dim is None:
            with self._lock:
                if self._dim is None:
                    self._dim = int(self._call(["dimension"], None).shape[1])
        return EmbeddingSpace(f"callable:{self._name}", self._dim)

    @property
    def inline(self) -> bool:
        """What the constructor was told."""
        return self._inline

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]; `kind` makes no difference."""
        dim = self.space.dim
        if not texts:
            return np.zeros((0, dim), dtype=np.float32)
        return self._call(list(texts), dim)

    def _call(self, texts: list[str], dim: int | None) -> NDArray[np.float32]:
        origin = f"embedder {self._name!r}"
        try:
            vectors = self._fn(texts)
        except Exception as error:
            raise EmbeddingError(f"{origin} failed on {len(texts)} texts: {type(error).__name__}: {error}") from error
        return normalised_rows(vectors, rows=len(texts), dim=dim, origin=origin)
