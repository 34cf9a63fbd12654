"""Reading goes on when the embedder does not: words still find, and the answer says what was missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import EmbeddingError
from remanence.substrates.embedding import Embedder, EmbeddingKind, EmbeddingSpace

__all__ = ["PAUSE", "Breaker", "Resilient"]

PAUSE: Final = timedelta(seconds=30)
"""How long an embedder that failed is left alone by searches, which would all have to wait for it to fail again."""


class Breaker:
    """Remembers when the embedder failed. Thread-safe; `now` gives the time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._until: datetime | None = None
        self._reason = ""

    def open(self) -> str | None:
        """Why the embedder is left alone at present; None if it may be asked."""
        with self._lock:
            return self._reason if self._until is not None and self._now() < self._until else None

    def failed(self, error: EmbeddingError) -> None:
        """Leave it alone for a while."""
        with self._lock:
            self._until, self._reason = self._now() + PAUSE, str(error)

    def worked(self) -> None:
        """It may be asked again."""
        with self._lock:
            self._until = None


class Resilient:
    """An embedder for one search. After a failure it gives zeros, which are near to nothing, and `reason` says why."""

    def __init__(self, embedder: Embedder, breaker: Breaker) -> None:
        self._embedder = embedder
        self._breaker = breaker
        self.reason = breaker.open()

    @property
    def space(self) -> EmbeddingSpace:
        """The embedder's space; one without vectors when it cannot even tell its dimension."""
        try:
            return self._embedder.space
        except EmbeddingError as error:
            self.fail(error)
            return EmbeddingSpace("unavailable", 1)

    @property
    def inline(self) -> bool:
        """As the embedder's."""
        return self._embedder.inline

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        """Vectors float32 [len(texts), dim]; zeros after a failure."""
        dim = self.space.dim
        if self.reason is None:
            try:
                vectors = self._embedder.embed(texts, kind=kind)
            except EmbeddingError as error:
                self.fail(error)
            else:
                self._breaker.worked()
                return vectors
        return np.zeros((len(texts), dim), np.float32)

    def fail(self, error: EmbeddingError) -> None:
        """Do without from here on."""
        self.reason = str(error)
        self._breaker.failed(error)
