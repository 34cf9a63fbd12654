"""Memories over both kinds of store, with a clock under control."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.clock import SteppingClock
from remanence.runtime.memory import Memory

START = datetime(2026, 3, 1, 9, tzinfo=UTC)

Make = Callable[..., Memory]


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock(START, timedelta(milliseconds=5))


@pytest.fixture(params=["reference", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: SteppingClock) -> Iterator[Make]:
    """Makes memories; those of one test share a file where the store has one. A module with `ENRICH = False` looks at
    what is said alone."""
    made: list[Memory] = []
    enrich = getattr(request.module, "ENRICH", True)

    def new(path: str | None = None, **options: Any) -> Memory:
        default = ":memory:" if request.param == "reference" else str(tmp_path / "one.db")
        made.append(Memory(path or default, **{"clock": clock, "enrich": enrich, **options}))
        return made[-1]

    yield new
    for memory in made:
        memory.close()


@pytest.fixture
def memory(make: Make) -> Memory:
    return make()


@pytest.fixture
def on_disk(tmp_path: Path, clock: SteppingClock) -> Iterator[Make]:
    """Makes memories that share one file."""
    made: list[Memory] = []

    def new(name: str = "shared.db", **options: Any) -> Memory:
        made.append(Memory(tmp_path / name, **{"clock": clock, **options}))
        return made[-1]

    yield new
    for memory in made:
        memory.close()
