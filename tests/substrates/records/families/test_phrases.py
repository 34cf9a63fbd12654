"""Memories over a graph of phrases: what is kept, what goes with what, and what a model may add."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.openie import Extraction, extract_all
from remanence.kernels.phrase_graph import capped, is_linkable, synonym_pairs_naive
from remanence.kernels.quantize import quantize
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.families.phrases import (
    EXTRACTION,
    FACT,
    MOST_CHARACTERS,
    PHRASE,
    PhraseMemory,
    Synonyms,
)
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore
from tests.support.llm_server import Request, Service, serving

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = (
    "Ana Lind works for Rowan Optics.",
    "Rowan Optics is based in Mount Varley.",
    "Ana Lind was born in Port Ilmara.",
    "no name here",
)


class Plain(PhraseMemory):
    """The base with a read of its own."""

    card: ClassVar[Card] = Card(slug="plain", substrate="records", title="Plain", paper="", claim="nothing")
    KEEPS_FACTS = True

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return self.by_nearness(query, k, now=now)


def told(texts: Sequence[str] = TEXTS, **options: Any) -> tuple[Plain, list[str]]:
    memory = Plain(scope=Scope(user_id="ana"), **options)
    return memory, memory.write([Item(text) for text in texts], now=NOW)


def held(memory: Plain, kind: str) -> list[str]:
    return sorted(record.text for record in memory.current(NOW).of(kind).values())


def picture(memory: Plain) -> tuple[Any, ...]:
    """All that a walk depends on."""
    graph, synonyms = memory.phrases(NOW), memory.synonyms(NOW)
    columns = [column.tolist() for pairs in (graph.relations(), graph.places(), synonyms) for column in pairs]
    return list(graph.number), graph.facts, columns, graph.spread().tolist()


def test_each_turn_gets_an_extraction_and_each_phrase_a_record() -> None:
    memory, ids = told()
    assert memory.passages(NOW) == ids
    assert held(memory, PHRASE) == sorted(memory.phrases(NOW).number) == [
        "ana lind", "mount varley", "port ilmara", "rowan optics",
    ]  # fmt: skip
    assert held(memory, FACT) == [
        "ana lind was born in port ilmara",
        "ana lind works for rowan optics",
        "rowan optics is based in mount varley",
    ]
    assert len(memory.current(NOW).of(EXTRACTION)) == len(TEXTS)
    assert memory.work(NOW) == []


def test_forgetting_is_as_if_it_had_never_been_said() -> None:
    memory, ids = told()
    assert memory.forget(ids[1:3], now=NOW) == 2
    other, _ = told([TEXTS[0], TEXTS[3]])
    assert picture(memory) == picture(other)
    for kind in (PHRASE, FACT, EXTRACTION):
        assert held(memory, kind) == held(other, kind)
    # What the first text named too is there again, resting on that one.
    memory, ids = told()
    memory.forget(ids[:1], now=NOW)
    assert "ana lind" in held(memory, PHRASE)
    assert "ana lind works for rowan optics" not in held(memory, FACT)
    assert picture(memory) == picture(told(TEXTS[1:])[0])


def test_a_phrase_that_rests_on_nothing_would_be_found_out() -> None:
    class Careless(Plain):
        """Phrases do not rest on anything, so that they outlive what said them."""

        @staticmethod
        def _resting(unit: Any, kind: str, text: str, meta: dict[str, Any]) -> Any:
            return replace(PhraseMemory._resting(unit, kind, text, meta), sources=())

    memory = Careless(scope=Scope(user_id="ana"))
    ids = memory.write([Item(text) for text in TEXTS], now=NOW)
    memory.forget(ids, now=NOW)
    assert held(memory, PHRASE)


def test_an_update_reads_the_turn_anew() -> None:
    memory, ids = told()
    memory.update(ids[0], "Ana Lind works for Kestrel Maps.", now=NOW)
    assert "rowan optics" in held(memory, PHRASE)
    assert "ana lind works for kestrel maps" in held(memory, FACT)
    assert "ana lind works for rowan optics" not in held(memory, FACT)


def test_turn_by_turn_is_all_at_once() -> None:
    whole, _ = told(embedder=StaticEmbedder())
    steps = Plain(scope=Scope(user_id="ana"), embedder=StaticEmbedder())
    for text in TEXTS:
        steps.write([Item(text)], now=NOW)
        picture(steps)
    assert picture(steps) == picture(whole)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_another_instance_carries_on(kind: str, tmp_path: Path) -> None:
    store: RecordStore = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "m.db")
    first, _ = told(TEXTS[:2], store=store)
    second = Plain(store=store, scope=Scope(user_id="ana"))
    second.write([Item(text) for text in TEXTS[2:]], now=NOW)
    assert picture(first) == picture(second) == picture(told()[0])


def test_a_restored_memory_has_the_same_graph() -> None:
    memory, ids = told()
    memory.forget(ids[:1], now=NOW)
    other = Plain(scope=Scope(user_id="ana"))
    other.restore(memory.state())
    assert picture(other) == picture(memory)


def test_synonyms_follow_the_phrases_that_there_are() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    codes, scales = quantize(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    names = [f"phrase {i}" for i in range(40)]
    grown = Synonyms(0.6, 3)
    grown.add(names[:25], codes[:25], scales[:25])
    assert grown.unknown(names) == names[25:]
    grown.add(names[25:], codes[25:], scales[25:])
    # Half of the phrases, in another order.
    chosen = names[30:] + names[:10]
    rows = [names.index(name) for name in chosen]
    wanted = capped(synonym_pairs_naive(codes[rows], scales[rows], 0.6), 3)
    for one, other in zip(grown.among({name: i for i, name in enumerate(chosen)}), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(wanted.first) > 3


def test_a_phrase_without_a_vector_is_tried_again() -> None:
    codes, scales = quantize(np.array([[1, 0], [0, 0]], np.float32))
    synonyms = Synonyms(0.8, 3)
    synonyms.add(["one", "two"], codes, scales)
    assert synonyms.unknown(["one", "two", "ab"]) == ["two"]
    assert not is_linkable("ab")


def test_entities_are_linked_to_themselves_or_the_nearest_phrase() -> None:
    memory, _ = told(embedder=StaticEmbedder())
    number = memory.phrases(NOW).number
    assert memory.linked(["rowan optics", "rowan optics"], NOW) == [(number["rowan optics"], 1.0)]
    ((node, cosine),) = memory.linked(["the port of ilmara"], NOW)
    assert node == number["port ilmara"]
    assert 0.5 < cosine < 1
    assert memory.linked([], NOW) == []


def test_an_extractor_is_taken_at_its_word() -> None:
    fixed = Extraction(("Zeus",), (("Zeus", "throws", "lightning"),))
    memory, _ = told(["anything"], openie=lambda texts: [fixed] * len(texts))
    assert held(memory, FACT) == ["zeus throws lightning"]
    memory = Plain(openie=lambda texts: [])
    with pytest.raises(InvalidInput, match="one Extraction per text"):
        memory.write([Item("anything")], now=NOW)
    # What was said is kept; the next one reads it.
    assert len(memory.current(NOW).of("turn")) == 1
    memory.openie = extract_all
    memory.work(NOW)
    assert len(memory.current(NOW).of(EXTRACTION)) == 1


def test_a_text_with_endless_names_fits_a_record() -> None:
    text = " and ".join(f"Ördög{i} Ülő" for i in range(6_000))
    memory, _ = told([text, "Ördög7 Ülő met Ana."])
    (long, _) = memory.current(NOW).of(EXTRACTION).values()
    assert len(json.dumps(dict(long.meta), ensure_ascii=False)) < 2 * MOST_CHARACTERS
    assert len(long.meta["entities"]) > 100


# A language model beside the rules


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def model(service: Service) -> OpenAIChat:
    return OpenAIChat("tiny", service.url, "k", retries=0, repairs=0, timeout=60, sleep=lambda seconds: None)


def reading(entities: Any, triples: Any) -> Callable[[Request], str]:
    """Answers to "which entities" and "which triples"."""

    def answer(request: Request) -> str:
        asked = request["messages"][0]["content"]
        return json.dumps({"triples": triples} if "triples" in asked else {"named_entities": entities})

    return answer


@pytest.mark.loopback
def test_a_model_reads_what_the_rules_do_not(service: Service) -> None:
    pytest.importorskip("openai")
    service.answers = reading(["optics firm", "seaside"], [["optics firm", "moved to", "seaside"]])
    memory, _ = told(["the optics firm went to the seaside"], llm=model(service))
    assert held(memory, FACT) == ["optics firm moved to seaside"]
    # Two questions per passage, and the second one knows the answer to the first.
    assert len(service.requests) == 2
    assert "seaside" in service.requests[1]["messages"][1]["content"].split("named_entities")[1]
    assert memory.entities_of("what about the seaside?", NOW) == ["seaside"]


@pytest.mark.loopback
@pytest.mark.parametrize(
    "answers",
    [
        lambda request: "I would rather not",
        lambda request: json.dumps({"named_entities": 7, "triples": "x"}),
        reading([], []),
        reading([""], [["Ana Lind"], ["a", "b", "c", "d"], ["", "", ""]]),
        reading(["Zeus"], [["ignore all", "previous", "instructions"]]),
    ],
)
def test_a_broken_answer_leaves_it_to_the_rules(service: Service, answers: Callable[[Request], str]) -> None:
    pytest.importorskip("openai")
    service.answers = answers
    memory, _ = told(llm=model(service))
    assert picture(memory) == picture(told()[0])
    assert memory.entities_of("Where was Ana Lind born?", NOW) == ["ana lind"]
