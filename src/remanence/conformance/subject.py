"""A mechanism under test: the class, its card, its witness, and fresh instances of it."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from remanence import catalog
from remanence.conformance.probes import Probe, probe_of
from remanence.conformance.rules import CannotRun
from remanence.conformance.stage import START
from remanence.core.card import Card, Evidence
from remanence.core.clock import Clock, SteppingClock
from remanence.core.errors import CatalogError, InvalidInput
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore

SEEDS = (0, 1, 2)
"""On which a witness has to hold."""


class Subject:
    """What is put to the test. Evidence is measured once; stores that rules open are closed in the end."""

    def __init__(self, cls: type[Any], witness: Callable[[int], Evidence] | None = None) -> None:
        card = getattr(cls, "card", None)
        if not isinstance(card, Card):
            raise InvalidInput(f"{cls.__qualname__} has no card; give it `card: ClassVar[Card] = CARD`")
        self.cls = cls
        self.card = card
        self.probe: Probe = probe_of(card.substrate)
        self.witness = witness
        self._stores: list[RecordStore] = []
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    @classmethod
    def of(cls, subject: type[Any] | str | Path) -> Subject:
        """From a class, the slug of a mechanism of the catalog, or a Python file that holds one.

        Errors: `InvalidInput` (no such mechanism or file, or not exactly one in the file).
        """
        if isinstance(subject, type):
            return cls(subject, _own_witness(subject, sys.modules.get(subject.__module__)))
        if isinstance(subject, Path) or str(subject).endswith(".py"):
            module = _load(Path(subject))
            found = [
                value
                for value in vars(module).values()
                if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "card")
            ]
            if len(found) != 1:
                names = ", ".join(sorted(one.__name__ for one in found)) or "none"
                raise InvalidInput(f"{subject} must hold one class with a `card`; it holds {names}")
            return cls(found[0], _own_witness(found[0], module))
        return cls(catalog.get(subject), _catalogued(subject))

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        for store in self._stores:
            store.close()
        for folder in self._folders:
            folder.cleanup()
        self._stores.clear()
        self._folders.clear()

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What the constructor takes, without `self`."""
        return inspect.signature(self.cls).parameters

    def takes(self, name: str) -> bool:
        """Whether the constructor takes an argument of this name."""
        anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in self.parameters.values())
        return anything or name in self.parameters

    def make(self, **arguments: Any) -> Any:
        """An instance. `CannotRun` where the constructor does not take one of the arguments."""
        for name in arguments:
            if not self.takes(name):
                raise CannotRun(f"{self.cls.__name__}() takes no {name}")
        return self.cls(**arguments)

    def memory(self, clock: Clock | None = None) -> MemoryStore:
        """A new store in memory whose clock is under control."""
        store = MemoryStore(clock=clock or SteppingClock(START))
        self._stores.append(store)
        return store

    def sqlite(self, clock: Clock | None = None) -> SqliteStore:
        """A new store in a file of its own."""
        folder = tempfile.TemporaryDirectory(prefix="remanence-check-")
        self._folders.append(folder)
        store = SqliteStore(Path(folder.name) / "store.db", clock=clock or SteppingClock(START))
        self._stores.append(store)
        return store

    @cached_property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the witness measured on `SEEDS`."""
        return tuple(map(self.testify, SEEDS))

    def testify(self, seed: int) -> Evidence:
        """Run the witness once."""
        if self.witness is None:
            raise CannotRun("no witness: put `def witness(seed) -> Evidence` beside the class")
        return self.witness(seed)


def _own_witness(cls: type[Any], module: ModuleType | None) -> Callable[[int], Evidence] | None:
    """A function `witness` in the class's own file; for the catalog's mechanisms, the one in its place."""
    found = getattr(module, "witness", None)
    if callable(found):
        witness: Callable[[int], Evidence] = found
        return witness
    slug = cls.card.slug if isinstance(getattr(cls, "card", None), Card) else ""
    listed = slug in catalog.cards() and catalog.module_of(slug) == cls.__module__
    return _catalogued(slug) if listed else None


def _catalogued(slug: str) -> Callable[[int], Evidence] | None:
    return catalog.witness(slug) if catalog.has_witness(slug) else None


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidInput(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CatalogError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
