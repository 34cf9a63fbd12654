"""Finds the handlers: no list of them is kept anywhere."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from remanence.core.errors import InvalidInput
from remanence.runtime import enrichment
from remanence.runtime.enrichment.handler import Batch, Handler, Later, Refined, home_of

__all__ = ["Batch", "Handler", "Later", "Refined", "handlers", "home_of", "laters", "ordered"]


@lru_cache(maxsize=1)
def handlers() -> tuple[Handler, ...]:
    """All handlers, each behind those that it comes `after`."""
    return ordered(_found("HANDLER"))


@lru_cache(maxsize=1)
def laters() -> Mapping[str, Later]:
    """What has jobs of its own, by name."""
    found: dict[str, Later] = {}
    for later in _found("LATER"):
        if found.setdefault(later.name, later) is not later:
            raise InvalidInput(f"two modules of runtime.enrichment have a LATER named {later.name!r}; rename one")
    return found


def ordered(unordered: Iterable[Handler]) -> tuple[Handler, ...]:
    """Handlers in the order in which they run: by name, but behind all that they come `after`.

    Raises `InvalidInput` for names that occur twice, that nobody has, or that wait for each other.
    """
    waiting: dict[str, Handler] = {}
    for handler in sorted(unordered, key=lambda handler: handler.name):
        if handler.name in waiting:
            raise InvalidInput(f"two handlers are named {handler.name!r}; the origin of records must tell them apart")
        waiting[handler.name] = handler
    for handler in waiting.values():
        for name in handler.after:
            if name not in waiting:
                raise InvalidInput(f"handler {handler.name!r} comes after {name!r}, but there is no such handler")
    placed: dict[str, Handler] = {}
    while waiting:
        ready = next((name for name, handler in waiting.items() if all(one in placed for one in handler.after)), None)
        if ready is None:
            raise InvalidInput(f"the handlers {', '.join(waiting)} come after each other in a circle")
        placed[ready] = waiting.pop(ready)
    return tuple(placed.values())


def _found(attribute: str) -> Sequence[Any]:
    modules = (
        importlib.import_module(f"{enrichment.__name__}.{module.name}")
        for module in pkgutil.iter_modules(enrichment.__path__)
    )
    return [getattr(module, attribute) for module in modules if hasattr(module, attribute)]
