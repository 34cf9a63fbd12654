"""Other embedders: late vectors, failures, other spaces. Words are kept and found whatever the embedder does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.clock import SteppingClock
from remanence.core.errors import EmbeddingError, EmbeddingSpaceMismatch
from remanence.runtime.memory import Memory
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, HashEmbedder
from tests.runtime.conftest import Make

ENRICH = False


class Service:
    """An embedder that is a model elsewhere: counts its calls, and fails when told to."""

    def __init__(self, name: str = "service", dim: int = 32, *, inline: bool = False) -> None:
        self.inner = HashEmbedder(dim, seed=len(name))
        self.name = name
        self.down = False
        self.dim_known = True
        self.passages = 0
        self.queries = 0
        self._inline = inline

    @property
    def space(self) -> EmbeddingSpace:
        if not self.dim_known and self.down:
            raise EmbeddingError("the service cannot be reached")
        return EmbeddingSpace(self.name, self.inner.space.dim)

    @property
    def inline(self) -> bool:
        return self._inline

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        if kind == "query":
            self.queries += 1
        else:
            self.passages += len(texts)
        if self.down:
            raise EmbeddingError("the service cannot be reached")
        return self.inner.embed(texts, kind=kind)


def vectors(memory: Memory) -> dict[str, int]:
    return dict(memory.stats(user_id="ana")["vectors"])


def test_adding_never_calls_a_model(make: Make) -> None:
    service = Service()
    memory = make(embedder=service)
    memory.add("the boiler hums", user_id="ana")
    memory.add_many(["one", "two"], user_id="ana")
    assert service.passages == 0
    assert vectors(memory) == {}


def test_the_next_search_attaches_the_vectors(make: Make) -> None:
    service = Service()
    memory = make(embedder=service)
    memory.add_many(["the boiler hums", "the door squeaks"], user_id="ana")
    result = memory.search("boiler", user_id="ana", explain=True)
    assert "degraded" not in result
    assert service.passages == 2
    assert vectors(memory) == {"service:32": 2}
    assert result["results"][0]["channels"]["dense"] != 0
    memory.search("boiler", user_id="ana")
    assert service.passages == 2


def test_one_search_embeds_no_more_than_its_share(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remanence.runtime.vectors.AT_SEARCH", {True: 8, False: 4})
    service = Service()
    memory = make(embedder=service)
    memory.add_many([f"text {n}" for n in range(10)], user_id="ana")
    first = memory.search("text 9", user_id="ana")
    assert "flush()" in first["degraded"][0]
    assert first["results"][0]["memory"] == "text 9"
    assert service.passages == 4
    assert memory.flush(user_id="ana")["embedded"] == 6
    assert "degraded" not in memory.search("text 9", user_id="ana")


def test_flush_knows_where_vectors_are_missing(make: Make) -> None:
    memory = make(embedder=Service())
    memory.add("one", user_id="ana")
    memory.add("two", user_id="bob", run_id="s1")
    memory.add_many([{"content": "three", "user_id": "cy"}])
    assert memory.flush()["embedded"] == 3
    assert memory.flush()["embedded"] == 0


def test_a_failing_service_costs_meaning_and_nothing_else(make: Make, clock: SteppingClock) -> None:
    service = Service()
    memory = make(embedder=service)
    service.down = True
    memory.add_many(["the boiler hums", "the door squeaks"], user_id="ana")
    result = memory.search("boiler", user_id="ana")
    assert result["results"][0]["memory"] == "the boiler hums"
    assert "cannot be reached" in result["degraded"][0]
    asked = (service.passages, service.queries)
    memory.search("boiler", user_id="ana")
    assert (service.passages, service.queries) == asked, "a service that is down is left alone for a while"
    with pytest.raises(EmbeddingError):
        memory.flush(user_id="ana")
    service.down = False
    clock.current += timedelta(minutes=1)
    assert "degraded" not in memory.search("boiler", user_id="ana")
    assert vectors(memory) == {"service:32": 2}


def test_a_service_that_cannot_tell_its_dimension(make: Make, clock: SteppingClock) -> None:
    service = Service()
    memory = make(embedder=service)
    memory.add("the boiler hums", user_id="ana")
    memory.search("boiler", user_id="ana")
    service.down, service.dim_known = True, False
    memory.add("the door squeaks", user_id="ana")
    clock.current += timedelta(minutes=1)
    result = memory.search("door", user_id="ana")
    assert result["results"][0]["memory"] == "the door squeaks"
    assert result["degraded"]
    assert "squeaks" in memory.context("what does the door do?", user_id="ana")


def test_an_inline_embedder_that_fails_loses_no_words(make: Make) -> None:
    service = Service(inline=True)
    memory = make(embedder=service)
    service.down = True
    result = memory.add("the boiler hums", user_id="ana")
    assert result["results"][0]["event"] == "ADD"
    assert "cannot be reached" in result["degraded"][0]
    assert memory.add_many(["two"], user_id="ana")["degraded"]
    service.down = False
    assert memory.flush()["embedded"] == 2


def test_vectors_of_another_model_only_are_an_error_that_names_the_way_out(on_disk: Make) -> None:
    on_disk(embedder=Service("old")).add("the boiler hums", user_id="ana")
    old = on_disk(embedder=Service("old"))
    old.search("boiler", user_id="ana")
    new = on_disk(embedder=Service("new", 16))
    with pytest.raises(EmbeddingSpaceMismatch, match="remanence reembed"):
        new.search("boiler", user_id="ana")
    with pytest.raises(EmbeddingSpaceMismatch):
        new.context("boiler", user_id="ana")
    assert new.reembed(user_id="ana") == 1
    assert new.search("boiler", user_id="ana")["results"]
    assert vectors(new) == {"new:16": 1, "old:32": 1}
    assert old.search("boiler", user_id="ana")["results"]


def test_two_spaces_can_share_a_store(on_disk: Make) -> None:
    first, second = (
        on_disk(embedder=Service("first", inline=True)),
        on_disk(embedder=Service("second", 16, inline=True)),
    )
    first.add("the boiler hums", user_id="ana")
    second.add("the door squeaks", user_id="ana")
    assert first.search("door", user_id="ana")["results"][0]["memory"] == "the door squeaks"
    assert second.search("boiler", user_id="ana")["results"][0]["memory"] == "the boiler hums"
    assert vectors(first) == {"first:32": 2, "second:16": 2}


def test_reembedding_covers_closed_versions_and_reports_progress(make: Make) -> None:
    memory = make(embedder=Service("old", inline=True))
    id = memory.add("Lisbon", user_id="ana")["results"][0]["id"]
    memory.update(id, "Oslo", user_id="ana")
    memory.add("Bergen", user_id="ana")
    seen: list[tuple[int, int | None]] = []
    done = memory.reembed(Service("new", 16), user_id="ana", progress=lambda n, total: seen.append((n, total)))
    assert done == 3
    assert seen[-1] == (3, 3)
    assert vectors(memory)["new:16"] == 3
    assert len(memory.history(id, user_id="ana")) == 2


def test_the_whole_store_can_be_looked_after(on_disk: Make) -> None:
    memory = on_disk(embedder=Service("old", inline=True), user_id="someone")
    memory.add("one", user_id="ana", run_id="s1")
    memory.add("two", user_id="ana")
    memory.add("three", user_id="bob", app_id="desk")
    memory.add("four", agent_id="bot", user_id=None)
    assert memory.reembed(Service("new", 16), everywhere=True) == 4
    assert memory.rebuild(everywhere=True) == 4
    with Memory(":memory:") as other:
        other.add("one", user_id="ana")
        other.add("two", user_id="bob")
        assert other.rebuild(everywhere=True) == 2


def test_rebuilding_keeps_every_version_and_every_answer(memory: Memory) -> None:
    id = memory.add("I live in Lisbon", user_id="ana")["results"][0]["id"]
    memory.update(id, "I live in Oslo", user_id="ana")
    memory.add_many([f"number {n}" for n in range(20)], user_id="ana")
    before = memory.search("who lives in Oslo?", user_id="ana")["results"]
    history = memory.history(id, user_id="ana")
    assert memory.rebuild(user_id="ana") == 22
    after = memory.search("who lives in Oslo?", user_id="ana")["results"]
    assert [(item["id"], item["score"]) for item in after] == [(item["id"], item["score"]) for item in before]
    assert memory.history(id, user_id="ana") == history


def test_a_function_is_an_embedder(make: Make) -> None:
    calls: list[int] = []

    def letters(texts: list[str]) -> list[list[float]]:
        calls.append(len(texts))
        return [[text.count(letter) + 0.1 for letter in "abcdefgh"] for text in texts]

    memory = make(embedder=letters)
    memory.add("a bad cab", user_id="ana")
    assert calls == []
    assert memory.search("cab", user_id="ana")["results"]
    assert sum(calls) >= 2


def test_texts_without_known_words_are_embedded_once(make: Make) -> None:
    service = Service()
    memory = make(embedder=service)
    memory.add("🎉🎉", user_id="ana")
    memory.add("words", user_id="ana")
    for _ in range(3):
        memory.search("words", user_id="ana")
    assert service.passages == 2
