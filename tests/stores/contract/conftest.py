from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from remanence.conformance.stage import START, Reopen, StoreFactory
from remanence.core.clock import Clock, SteppingClock
from remanence.core.ids import RandomBits
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore
from tests.stores.postgres.server import Schemas, serve


class SqliteFiles:
    """Makes SQLite stores, each in a file of its own, and opens one again as a new process would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def __call__(self, *, clock: Clock, random_bits: RandomBits) -> SqliteStore:
        path = self._folder / f"{next(self._numbers)}.db"
        return SqliteStore(path, clock=clock, random_bits=random_bits, durable=False)

    def reopen(self, store: RecordStore) -> SqliteStore:
        assert isinstance(store, SqliteStore)
        store.close()
        bits = random.Random(1).getrandbits
        return SqliteStore(store.path, clock=SteppingClock(START), random_bits=bits, durable=False)


@pytest.fixture
def sqlite_files(tmp_path: Path) -> SqliteFiles:
    return SqliteFiles(tmp_path)


@pytest.fixture
def schemas() -> Iterator[Schemas]:
    with Schemas(serve()) as made:
        yield made


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def back_end(request: pytest.FixtureRequest) -> tuple[StoreFactory, Reopen | None]:
    """How to make a store, and how to open it again (None where a store does not outlive its process)."""
    if request.param == "memory":
        return MemoryStore, None
    made: SqliteFiles | Schemas = request.getfixturevalue(
        {"sqlite": "sqlite_files", "postgres": "schemas"}[request.param]
    )
    return made, made.reopen
