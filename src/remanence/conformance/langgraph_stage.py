"""Where the rules for LangGraph stores play: fresh stores, time that can be let pass, and a small offline embedder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from typing import Any, Protocol

from remanence.conformance.rules import Broken, CannotRun
from remanence.core.errors import MissingExtra
from remanence.substrates.embedding import HashEmbedder

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        InvalidNamespaceError,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        SearchOp,
        TTLConfig,
    )
except ImportError as error:
    raise MissingExtra(
        f"{__name__} needs langgraph, which is not installed ({error}); install it with: pip install 'remanence[peers]'"
    ) from error

# The modules of rules take LangGraph's names from here, so that its absence is told by the error above.
__all__ = [
    "Advance",
    "BaseStore",
    "GetOp",
    "InvalidNamespaceError",
    "ListNamespacesOp",
    "MatchCondition",
    "Op",
    "PutOp",
    "Reopen",
    "SearchOp",
    "Stage",
    "StoreFactory",
    "embed",
    "keys",
    "need",
    "sweep",
]

DIMS = 256
_HASHED = HashEmbedder(DIMS)


class StoreFactory(Protocol):
    """Makes new, empty stores."""

    def __call__(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AbstractContextManager[BaseStore]:
        """A store that shares nothing with those made before, closed at the end of a `with` block.

        A store without one of the two abilities is only asked without that argument.
        """
        ...


Advance = Callable[[BaseStore, timedelta], None]
"""Let time pass for a store, without waiting for it."""
Reopen = Callable[[BaseStore], AbstractContextManager[BaseStore]]
"""Open what a store left behind once more, as another process would."""


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Vectors of hashed words: two texts are as near as the words that they share."""
    vectors: list[list[float]] = _HASHED.embed(texts).tolist()
    return vectors


class Stage:
    """Fresh stores for one rule."""

    def __init__(self, factory: StoreFactory, advance: Advance | None = None, reopen: Reopen | None = None) -> None:
        self._factory = factory
        self._advance = advance
        self._reopen = reopen
        self._open = ExitStack()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def store(self) -> BaseStore:
        """An empty store without an index."""
        return self._open.enter_context(self._factory())

    def indexed(self, *fields: str) -> BaseStore:
        """An empty store that indexes some fields, or the whole value."""
        config: IndexConfig = {"dims": DIMS, "embed": embed, "fields": list(fields) or None}
        return self._open.enter_context(self._factory(index=config))

    def timed(self, **config: Any) -> BaseStore:
        """An empty store with a `TTLConfig`."""
        ttl: TTLConfig = {"refresh_on_read": True, **config}  # type: ignore[typeddict-item]
        return self._open.enter_context(self._factory(ttl=ttl))

    def minutes_pass(self, store: BaseStore, minutes: float) -> None:
        """Let time pass; the rule cannot run when the caller gave no way to do that."""
        if self._advance is None:
            raise CannotRun("no way to let time pass was given")
        self._advance(store, timedelta(minutes=minutes))

    def tick(self, store: BaseStore) -> None:
        """Let time pass where that is possible; the clock of a store that takes none goes on by itself."""
        if self._advance is not None:
            self._advance(store, timedelta(minutes=1))

    def reopened(self, store: BaseStore) -> BaseStore:
        """The same store after a restart; the rule cannot run when the caller gave no way to do that."""
        if self._reopen is None:
            raise CannotRun("no way to reopen a store was given")
        return self._open.enter_context(self._reopen(store))


def need(item: Item | None, what: str) -> Item:
    """The item, which has to be there."""
    if item is None:
        raise Broken(f"{what}: got None")
    return item


def keys(items: Iterable[Item]) -> list[str]:
    """Keys in order."""
    return [item.key for item in items]


def sweep(store: BaseStore) -> None:
    """Remove what has expired."""
    sweeper: Callable[[], object] | None = getattr(store, "sweep_ttl", None)
    if sweeper is None:
        raise CannotRun("the store has no sweep_ttl()")
    sweeper()
