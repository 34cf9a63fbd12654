from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.answerability import FEATURES, Gate
from remanence.mechanisms.records.d_mem import GATE, DMem
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.mechanism import Item
from tests.mechanisms.records.distilled import BROKEN, NOW, records, remembered, speaking, talk, texts

MEMORY = DMem.STATED
LIFE = (
    talk(["I live in Oslo now", "I work as a baker", "What a rainy day", "My coach is Eva"], session="a"),
    talk(
        ["I moved from Oslo to Bergen", "I like tea", "My teapot fell off the shelf, all teal and chipped"],
        session="b",
        day=7,
    ),
    talk(["My coach is Nils now", "I live in Bergen, I am happy here", "Good night!"], session="c", day=14),
)
CITY, TEAPOT = "Which city does Ana live in?", "What colour is Ana's teapot?"
QUESTIONS = (CITY, TEAPOT, "Who is Ana's coach?", "What does Ana do for a living?", "Who is Zoe?", "?!")


def heard(memory: DMem) -> DMem:
    for items in LIFE:
        memory.write(items, now=items[-1].at or NOW)
    return memory


def static(**options: Any) -> DMem:
    return heard(DMem(embedder=StaticEmbedder(), **options))


# System 1


def test_memories_are_added_updated_and_deleted() -> None:
    memory = heard(DMem())
    assert set(texts(memory, MEMORY)) == {
        "Ana lives in Bergen",
        "Ana works as a baker",
        "Ana's coach is Nils",
        *[text for text in texts(memory, MEMORY) if "tea" in text],
    }
    (bergen,) = [one for one in records(memory, MEMORY) if one.text == "Ana lives in Bergen"]
    # What says nothing new supports what is known.
    assert len(bergen.sources) == 2
    assert {one.text for one in records(memory, MEMORY) if one.hidden} >= {"Ana lives in Oslo", "Ana's coach is Eva"}
    memory.write(talk(["I no longer live in Bergen"], session="d", day=20), now=NOW)
    assert "Ana lives in Bergen" not in texts(memory, MEMORY)


def test_a_fast_answer_is_the_newest_value_of_the_matter() -> None:
    found = static().answer(CITY, now=NOW)
    assert (found.text, found.slow) == ("Bergen", False)
    assert found.hits[0].text == "Ana lives in Bergen"


# The gate and system 2


def test_what_the_extractor_dropped_is_read_again() -> None:
    memory = static()
    found = memory.answer(TEAPOT, now=NOW)
    assert found.slow
    assert "teal" in found.text
    assert not any("teal" in text for text in texts(memory, MEMORY))
    assert any("teal" in hit.text for hit in found.hits)


@pytest.mark.parametrize("question", QUESTIONS)
def test_threshold_0_is_the_fast_path_and_1_the_slow_one(question: str) -> None:
    never, always = static(threshold=0.0), static(threshold=1.0)
    asked = never.asked(question, NOW)
    text, hits, _, _ = never.fast(asked, NOW)
    assert (never.answer(question, now=NOW).text, never.answer(question, now=NOW).slow) == (text, False)
    assert never.answer(question, now=NOW).cost == never.cost_of(hits)
    slow = always.answer(question, now=NOW)
    assert (slow.text, slow.slow) == (always.slow(asked, NOW)[0], True)


@pytest.mark.parametrize("threshold", [0.0, None, 1.0])
def test_the_cost_is_that_of_the_fast_path_and_of_the_slow_one_where_it_was_taken(threshold: float | None) -> None:
    memory = static(threshold=threshold)
    for question in QUESTIONS:
        _, hits, _, _ = memory.fast(memory.asked(question, NOW), NOW)
        found = memory.answer(question, now=NOW)
        assert found.cost == memory.cost_of(hits) + found.slow * memory.cost(NOW)
        assert memory.cost(NOW) > memory.cost_of(hits) or not hits


def test_a_gate_that_looks_at_nothing_is_found_out() -> None:
    # The plausible wrong variant: one probability for every answer.
    blind = Gate((0.0,) * FEATURES, 0.0, 0.4)
    assert [static(gate=blind).answer(one, now=NOW).slow for one in (CITY, TEAPOT)] == [False, False]
    assert [static(gate=replace(blind, threshold=0.6)).answer(one, now=NOW).slow for one in (CITY, TEAPOT)] == [
        True,
        True,
    ]
    assert [static().answer(one, now=NOW).slow for one in (CITY, TEAPOT)] == [False, True]


def test_the_gate_by_default() -> None:
    good, bad = np.ones((1, FEATURES)), np.zeros((1, FEATURES))
    assert GATE.wrong(good)[0] < 0.5 < GATE.wrong(bad)[0]
    assert not GATE.distrusts(GATE.wrong(good)[0])
    assert GATE.distrusts(GATE.wrong(bad)[0])


def test_what_is_read_begins_with_what_the_gate_chose() -> None:
    memory = static()
    kinds = [[hit.record.kind for hit in memory.read(one, 50, now=NOW) if hit.record] for one in (CITY, TEAPOT)]
    assert kinds[0][0] == MEMORY
    assert kinds[1][0] == "turn"
    assert all({MEMORY, "turn"} == set(one) for one in kinds)
    assert "teal" in memory.read(TEAPOT, 1, now=NOW)[0].text


def test_an_empty_memory_has_no_answer() -> None:
    for threshold in (0.0, 1.0):
        found = DMem(threshold=threshold).answer(CITY, now=NOW)
        assert (found.text, found.hits, found.cost) == ("", [], 0)


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInput, match="threshold=2"):
        DMem(threshold=2)


# What every mechanism owes


@pytest.mark.parametrize("seed", range(6))
def test_forgetting_a_turn_takes_back_all_that_it_did(seed: int) -> None:
    rng = random.Random(seed)
    items = [item for session in LIFE for item in session]
    gone = rng.sample(range(len(items)), 3)
    memory, plain = DMem(), DMem()
    ids = memory.write(items, now=NOW)
    for place in gone:
        memory.forget([ids[place]], now=NOW)
    plain.write([item for place, item in enumerate(items) if place not in gone], now=NOW)
    assert remembered(memory, MEMORY) == remembered(plain, MEMORY)


def test_a_forgotten_memory_stays_forgotten() -> None:
    memory = heard(DMem())
    (bergen,) = [one for one in records(memory, MEMORY) if one.text == "Ana lives in Bergen"]
    memory.forget([bergen.id], now=NOW)
    memory.consolidate(now=NOW)
    assert "Ana lives in Bergen" not in texts(memory, MEMORY)


def test_in_one_go_or_turn_by_turn_restored_and_on_sqlite_the_same_is_remembered(tmp_path: Path) -> None:
    items: list[Item] = [item for session in LIFE for item in session]
    store = SqliteStore(tmp_path / "m.db")
    memories = [DMem(), DMem(store=store), DMem(), DMem()]
    for memory in memories[:2]:
        memory.write(items, now=NOW)
    for item in items:
        memories[2].write([item], now=item.at or NOW)
    memories[3].restore(memories[0].state())
    first = remembered(memories[0], MEMORY)
    assert all(remembered(memory, MEMORY) == first for memory in memories)
    for question in QUESTIONS:
        answers = [memory.answer(question, now=NOW) for memory in memories]
        assert len({(one.text, one.slow, one.cost) for one in answers}) == 1
    store.close()


# With a model


def scan(shown: Mapping[str, Any]) -> Any:
    facts = [
        {"statement": f"Found: {one['text']}", "score": 5 if "teal" in one["text"] else 2, "messages": [one["number"]]}
        for one in shown["messages"]
    ]
    return {"facts": [*facts, {"statement": "", "score": 5, "messages": []}]}


ANSWERS: dict[str, Any] = {
    "worth remembering": {"memories": [{"statement": "Ana sings in the bath", "messages": [1]}]},
    "Answer the question": lambda shown: {"answer": f"by {len(shown['evidence'])}: {shown['evidence'][0]}"},
    "Judge an answer": lambda shown: {"relevant": True, "faithful": True, "complete": "teal" in str(shown["answer"])},
    "bear on the question": scan,
}


@pytest.mark.loopback
def test_a_model_extracts_answers_audits_and_scans() -> None:
    pytest.importorskip("openai")
    with speaking(ANSWERS) as (model, service):
        memory = DMem(llm=model, chunk=2)
        heard(memory)
        # Said again of every pair of messages, and remembered once.
        assert texts(memory, MEMORY) == ["Ana sings in the bath"]
        found = memory.answer(TEAPOT, now=NOW)
        assert found.slow
        assert found.text == "by 1: Found: My teapot fell off the shelf, all teal and chipped"
        assert ["teal" in hit.text for hit in found.hits] == [True]
        assert memory.troubles == []
        scans = [one for one in service.requests if "bear on the question" in str(one["messages"])]
        assert len(scans) == 5
        memory.gate = replace(memory.gate, threshold=0.0)
        assert not memory.answer(TEAPOT, now=NOW).slow


@pytest.mark.loopback
def test_all_three_judgements_have_to_be_good() -> None:
    pytest.importorskip("openai")
    for missing in ("relevant", "faithful", "complete"):
        verdict = {"relevant": True, "faithful": True, "complete": True, missing: False}
        with speaking(ANSWERS | {"Judge an answer": verdict}) as (model, _):
            memory = static()
            memory.llm = model
            assert memory.answer(CITY, now=NOW).slow
    with speaking(ANSWERS | {"Judge an answer": dict.fromkeys(("relevant", "faithful", "complete"), True)}) as (
        model,
        _,
    ):
        memory = static()
        memory.llm = model
        assert not memory.answer(TEAPOT, now=NOW).slow


@pytest.mark.loopback
@pytest.mark.parametrize("nonsense", BROKEN)
def test_a_model_that_talks_nonsense_changes_nothing(nonsense: str) -> None:
    pytest.importorskip("openai")
    with speaking(dict.fromkeys(ANSWERS, nonsense)) as (model, _):
        memory, plain = static(llm=model), static()
        assert remembered(memory, MEMORY) == remembered(plain, MEMORY)
        for question in (CITY, TEAPOT):
            one, other = memory.answer(question, now=NOW), plain.answer(question, now=NOW)
            assert (one.text, one.slow, one.cost) == (other.text, other.slow, other.cost)
        assert memory.troubles
