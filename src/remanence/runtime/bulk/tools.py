"""What a worker needs to make of a text what the driver would make of it, and how the driver tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import remanence
from remanence.core.clock import utc_now
from remanence.core.errors import EmbeddingSpaceMismatch, SpreadError
from remanence.core.ids import os_bits
from remanence.kernels.analyzer import Analyzer
from remanence.runtime.bulk.spread import words
from remanence.runtime.engine import Engine, open_store
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.deriving import Deriver
from remanence.substrates.records.model import Vector

__all__ = ["Made", "Recipe", "Tools", "address_of", "each", "forget_tools", "recipe_of", "tools_of"]

T = TypeVar("T")
R = TypeVar("R")

_HOPELESS: Final = 8
"""Items that may fail one after the other, with none before them that went well, until the rest is not tried."""
_INDEX_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Recipe:
    """Values from which any process makes the same tools. With an address it holds what opens the store."""

    name: str
    """Tells it from others, so that a process makes its tools once."""
    embedder: Embedder
    space: str
    language: str
    version: str
    address: str | None = field(default=None, repr=False)
    actor: str = ""
    enrich: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """What follows from some texts, in their order. `refused` and `bare` say by place what went wrong.

    A refused text has no terms, so it cannot be stored; a bare one lacks its vector only.
    """

    terms: list[tuple[str, ...] | None]
    vectors: list[Vector | None]
    refused: Mapping[int, str]
    bare: Mapping[int, str]


class Tools:
    """An analyzer, an embedder and, where the recipe has an address, the store. Made once per process and recipe."""

    def __init__(self, recipe: Recipe) -> None:
        if recipe.version != remanence.__version__:
            raise SpreadError(
                f"a worker has remanence {remanence.__version__}, the driver {recipe.version}; "
                "install the same version on all machines of the cluster"
            )
        if recipe.embedder.space.key != recipe.space:
            raise EmbeddingSpaceMismatch(
                f"the embedder of a worker makes vectors of {recipe.embedder.space.key}, that of the driver of "
                f"{recipe.space}; put the same model on all machines of the cluster"
            )
        self.analyzer = Analyzer(recipe.language)
        self.deriver = Deriver()
        self.deriver.analyzer, self.deriver.embedder = self.analyzer, recipe.embedder
        self._recipe = recipe
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """An engine over the store that the recipe names; nothing is opened before its first use."""
        if self._engine is None:
            recipe = self._recipe
            if recipe.address is None:
                raise SpreadError("this recipe has no address of a store; its tasks return what they made")
            self._engine = Engine(
                open_store(recipe.address, utc_now),
                embedder=recipe.embedder,
                analyzer=self.analyzer,
                clock=utc_now,
                defaults={},
                actor=recipe.actor,
                index_bytes=_INDEX_BYTES,
                enrich=recipe.enrich,
            )
        return self._engine

    def make(self, texts: Sequence[str]) -> Made:
        """Terms and vectors; a text that makes either fail is alone in that."""
        terms, refused = each(self.deriver.analyse, texts)
        vectors, bare = each(self.deriver.embed, texts)
        return Made(terms, vectors, refused, bare)

    def embed(self, texts: Sequence[str]) -> Made:
        """Vectors alone."""
        vectors, bare = each(self.deriver.embed, texts)
        return Made([], vectors, {}, bare)

    def close(self) -> None:
        """Close the store, if it was opened."""
        if self._engine is not None:
            self._engine.close(close_store=True)
            self._engine = None


_TOOLS: dict[str, Tools] = {}


def tools_of(recipe: Recipe) -> Tools:
    """The tools of a recipe; those of an earlier one are let go."""
    tools = _TOOLS.get(recipe.name)
    if tools is None:
        tools = Tools(recipe)
        forget_tools()
        _TOOLS[recipe.name] = tools
    return tools


def forget_tools() -> None:
    """Let go of what this process made for tasks."""
    while _TOOLS:
        _TOOLS.popitem()[1].close()


def recipe_of(engine: Engine, address: str | None) -> Recipe:
    """The recipe for working like an engine does; `address` where workers open the store themselves."""
    return Recipe(
        name=f"{os_bits(64):016x}",
        embedder=engine.embedder,
        space=engine.embedder.space.key,
        language=engine.analyzer.language,
        version=remanence.__version__,
        address=address,
        actor=engine.actor,
        enrich=engine.enrich,
    )


def address_of(store: object) -> str | None:
    """What opens a store again from another machine; None for one that only this process, or this machine, can use."""
    address: Any = getattr(store, "address", None)
    return address if isinstance(address, str) else None


def each(function: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> tuple[list[R | None], dict[int, str]]:
    """What a function makes of all items, and by place the reason where it failed.

    All at once where that goes well; else one by one, so that one bad item costs nobody else.
    """
    try:
        return list(function(items)), {}
    except Exception as error:
        if len(items) <= 1:
            return [None] * len(items), dict.fromkeys(range(len(items)), words(error))
    found: list[R | None] = []
    failed: dict[int, str] = {}
    for at, item in enumerate(items):
        if at == len(failed) == _HOPELESS:
            rest = range(at, len(items))
            return [*found, *(None for _ in rest)], failed | dict.fromkeys(rest, failed[at - 1])
        (one,), wrong = each(function, [item])
        found.append(one)
        failed.update((at, reason) for reason in wrong.values())
    return found, failed
