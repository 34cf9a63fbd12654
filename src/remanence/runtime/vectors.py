"""Vectors that come later: of memories that were added while the model could not run, or by another model.

`add` never waits for a model or a network. Plain arithmetic (an embedder with `inline`) gives vectors while writing;
what has none is embedded from its text here, in bounded portions at the next search or all at once by `flush`.
"""

from __future__ import annotations

import threading
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from remanence.core.errors import EmbeddingError, EmbeddingSpaceMismatch, StoreError
from remanence.core.scope import Scope
from remanence.runtime.adding import Progress
from remanence.runtime.engine import Engine
from remanence.runtime.resilience import Resilient
from remanence.substrates.embedding import EmbeddingSpace
from remanence.substrates.records.model import Record
from remanence.substrates.records.operations import Embed, Pending, Spaces
from remanence.substrates.records.scope_index import ScopeIndex

__all__ = ["LateVectors", "attach", "finish"]

PORTION: Final = 256
"""Memories embedded and written in one transaction."""
AT_SEARCH: Final = {True: 2048, False: PORTION}
"""Memories that one search may embed: many by plain arithmetic, few by a model or a service."""


def attach(engine: Engine, scope: Scope, *, most: int | None = None, progress: Progress | None = None) -> int:
    """Embed memories of a scope that have no vector in the embedder's space; how many. `most` None: all of them.

    Each portion is committed by itself, so what was done stays done when a later one fails.

    Raises:
        EmbeddingError: the model failed.
        StoreError: the vectors could not be written.

    """
    done = 0
    recall = engine.recall(scope)
    space = engine.embedder.space.key
    while most is None or done < most:
        waiting: tuple[Record, ...]
        (waiting,) = engine.read([Pending(space, PORTION if most is None else min(PORTION, most - done))], scope)
        if not waiting:
            break
        vectors = recall.embed([record.text for record in waiting])
        embeds = [Embed(r.id, r.version, vector) for r, vector in zip(waiting, vectors, strict=True)]
        engine.write(embeds, scope)
        done += len(waiting)
        if progress is not None:
            progress(done, None)
    return done


def finish(engine: Engine, scope: Scope | None) -> int:
    """Embed everything that waits, in a scope or wherever this engine has added without vectors; how many."""
    return sum(attach(engine, place) for place in ([scope] if scope is not None else engine.unembedded()))


class LateVectors:
    """Notices which scopes hold memories without a vector that the query can be compared with, and attaches them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._indexes: WeakValueDictionary[tuple[Scope, str], ScopeIndex] = WeakValueDictionary()
        self._settled: WeakKeyDictionary[ScopeIndex, tuple[int, int, int]] = WeakKeyDictionary()
        """Rows, late vectors and rows without a vector of an index when nothing was left to do: some stay without one,
        closed versions and texts whose vector is zero."""

    def behind(self, scope: Scope, space: EmbeddingSpace) -> bool:
        """Whether vectors may be missing, as far as the index knows; one that was just searched is up to date."""
        index = self._index(scope, space)
        settled = self._settled.get(index, (0, 0, 0))
        with index.lock:
            if (len(index), index.vectors_seq) == settled[:2]:
                return False
        state = _state(index)
        if state[2] not in (0, settled[2]):
            return True
        self._settled[index] = state
        return False

    def catch_up(self, scope: Scope, embedder: Resilient) -> list[str]:
        """Attach what is missing, within bounds. What could not be done comes back in words; nothing is lost by it.

        Raises:
            EmbeddingSpaceMismatch: the scope has vectors, but none of this embedder.

        """
        space = embedder.space
        rows, _, blank = _state(self._index(scope, space))
        if blank == rows:
            self._require_own_space(scope, space.key)
        most = AT_SEARCH[embedder.inline]
        try:
            done = attach(self._engine, scope, most=most)
        except EmbeddingError as error:
            embedder.fail(error)
            return [f"some memories have no vectors yet, they are found by their words: {error}"]
        except StoreError as error:
            return [f"vectors could not be stored, memories without them are found by their words: {error}"]
        if done >= most:
            return ["some memories have no vectors yet, they are found by their words: flush() attaches the rest"]
        index = self._engine.index(scope, space)
        self._settled[index] = _state(index)
        return []

    def _index(self, scope: Scope, space: EmbeddingSpace) -> ScopeIndex:
        with self._lock:
            index = self._indexes.get((scope, space.key))
        if index is None:
            index = self._engine.index(scope, space)
            with self._lock:
                self._indexes[scope, space.key] = index
        return index

    def _require_own_space(self, scope: Scope, space: str) -> None:
        (spaces,) = self._engine.read([Spaces()], scope)
        others = [name for name, count in spaces if name != space and count]
        if others and all(name != space for name, _ in spaces):
            raise EmbeddingSpaceMismatch(
                f"the memories of {scope} have vectors of {', '.join(others)}, none of {space}, the embedder in use; "
                "`remanence reembed` (Memory.reembed) computes them anew from the texts, or open the store with the "
                "embedder it was written with"
            )


def _state(index: ScopeIndex) -> tuple[int, int, int]:
    with index.lock:
        return len(index), index.vectors_seq, int(np.count_nonzero(index.scales == 0))
