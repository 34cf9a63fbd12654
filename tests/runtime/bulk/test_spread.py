"""The port in this process, what travels over it, and who may write."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import (
    EmbeddingSpaceMismatch,
    InvalidInput,
    MissingExtra,
    NotFound,
    SpreadError,
)
from remanence.runtime.bulk.spread import Here, as_spread
from remanence.runtime.bulk.tools import Tools, each, forget_tools, recipe_of, tools_of
from remanence.runtime.memory import Memory
from remanence.stores.embedders.function import CallableEmbedder
from remanence.stores.embedders.openai import OpenAIEmbedder
from remanence.stores.embedders.sentence_transformers import SentenceTransformersEmbedder
from remanence.stores.embedders.static import DEFAULT_TABLE, StaticEmbedder
from remanence.substrates.embedding import HashEmbedder
from tests.runtime.bulk.cases import lengths


def add(one: int, other: int) -> int:
    return one + other


def fail(error: Exception) -> None:
    raise error


def test_here_runs_at_once_and_takes_tickets() -> None:
    spread = Here()
    first = spread.start(add, 1, spread.put(2))
    second = spread.start(add, first, first)
    assert spread.first([first, second]) is first
    assert spread.result(second) == 6


def test_here_tells_errors_when_asked() -> None:
    spread = Here()
    known, unknown = spread.start(fail, NotFound("no record x")), spread.start(fail, ZeroDivisionError("by 0"))
    behind = spread.start(add, known, 1)
    for ticket in (known, behind):
        with pytest.raises(NotFound, match="no record x"):
            spread.result(ticket)
    with pytest.raises(SpreadError, match="ZeroDivisionError: by 0"):
        spread.result(unknown)


def test_names_of_spreads(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Here()
    assert as_spread(own) is own
    assert isinstance(as_spread("here"), Here)
    with pytest.raises(InvalidInput, match="names no cluster"):
        as_spread("")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'remanence\[ray\]'"):
        as_spread("local")


def test_many_machines_cannot_share_a_file(tmp_path: Path) -> None:
    with Memory(tmp_path / "one.db") as memory:
        with pytest.raises(InvalidInput, match=r"workers cannot write into .*one\.db: .*PostgreSQL"):
            memory.bulk(write="workers")
        with pytest.raises(InvalidInput, match="write='both'"):
            memory.bulk(write="both")  # type: ignore[arg-type]


def double(items: Sequence[int]) -> list[int]:
    if any(item < 0 for item in items):
        raise ValueError(f"{min(items)} is negative")
    return [2 * item for item in items]


def test_one_bad_item_costs_nobody_else() -> None:
    assert each(double, [1, 2, 3]) == ([2, 4, 6], {})
    assert each(double, []) == ([], {})
    assert each(double, [1, -2, 3]) == ([2, None, 6], {1: "ValueError: -2 is negative"})
    assert each(double, [-1]) == ([None], {0: "ValueError: -1 is negative"})


def test_where_nothing_works_it_is_not_tried_for_ever() -> None:
    calls: list[int] = []

    def refuse(items: Sequence[int]) -> list[int]:
        calls.append(len(items))
        raise ConnectionError("down")

    found, failed = each(refuse, range(1000))
    assert found == [None] * 1000
    assert len(failed) == 1000
    assert len(calls) < 20
    late = [1, *[-1] * 20, 2]
    found, failed = each(double, late)
    assert (found[0], found[-1], len(failed)) == (2, 4, 20)


def test_tools_are_made_once_and_only_where_they_are_the_same(memory: Memory) -> None:
    recipe = recipe_of(memory._engine, None)
    assert tools_of(recipe) is tools_of(recipe)
    assert tools_of(replace(recipe, name="another")) is not tools_of(recipe)
    with pytest.raises(SpreadError, match=r"a worker has remanence .*, the driver 0\.0\.0"):
        Tools(replace(recipe, version="0.0.0"))
    with pytest.raises(EmbeddingSpaceMismatch, match="makes vectors of hash-7:64"):
        Tools(replace(recipe, embedder=HashEmbedder(seed=7)))
    with pytest.raises(SpreadError, match="no address"):
        _ = tools_of(recipe).engine
    forget_tools()


def test_the_address_of_a_database_is_not_shown(memory: Memory) -> None:
    recipe = recipe_of(memory._engine, "postgresql://ana:secret@host/db")
    assert "secret" not in repr(recipe)


@pytest.mark.parametrize(
    "embedder",
    [
        StaticEmbedder(),
        StaticEmbedder(DEFAULT_TABLE.parent / "elsewhere"),
        HashEmbedder(32, seed=3),
        CallableEmbedder(lengths, "lengths", 2, inline=True),
        OpenAIEmbedder("small", "http://localhost:1/v1", "key", dimensions=8, batch_size=3, retries=0),
        SentenceTransformersEmbedder("some-model", device="cpu", batch_size=3),
    ],
    ids=lambda embedder: type(embedder).__name__,
)
def test_embedders_travel_without_what_they_have_loaded(embedder: Any) -> None:
    # Copying takes the same way as going to another process.
    embedder._loaded = object()
    again = copy.copy(embedder)
    assert type(again) is type(embedder)
    own = {"_lock", "_loaded", "_known_space", "_opener", "_space"}
    assert {name: value for name, value in vars(again).items() if name not in own} == {
        name: value for name, value in vars(embedder).items() if name not in own
    }
    if "_lock" in vars(embedder):
        assert again._lock is not embedder._lock
        assert vars(again).get("_loaded") is None
