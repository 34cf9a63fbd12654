"""HippoRAG 2: facts, their recognition, the reset, and the walk over phrases and passages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.kernels.pagerank import naive_pagerank
from remanence.mechanisms.records.hippo_rag_2 import HippoRag2, Recalled
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.families.phrases import min_max
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.probe import drive, observe
from tests.support.llm_server import Request, Service, serving

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASSAGES = (
    "Ana Lind\nAna Lind works for Rowan Optics.",
    "Rowan Optics\nRowan Optics is headquartered in Mount Varley.",
    "Mount Varley\nMount Varley is known for bells.",
    "Bo Dorn\nBo Dorn works for Kestrel Maps.",
    "Kestrel Maps\nKestrel Maps is headquartered in Port Ilmara.",
    "Port Ilmara\nPort Ilmara is known for flutes.",
    "nothing with a name stands here",
)
QUESTION = "In which city does the company that employs Ana Lind have its headquarters?"
EMPLOYS = ("ana lind", "works for", "rowan optics")
SEAT = ("rowan optics", "is headquartered in", "mount varley")


def told(texts: Sequence[str] = PASSAGES, **options: Any) -> tuple[HippoRag2, list[str]]:
    options.setdefault("embedder", StaticEmbedder())
    memory = HippoRag2(scope=Scope(user_id="ana"), **options)
    return memory, memory.write([Item(text) for text in texts], now=NOW)


def answers(memory: HippoRag2, query: str = QUESTION, k: int = 9) -> list[tuple[str, float]]:
    return [(hit.text, hit.score) for hit in memory.read(query, k, now=NOW)]


def test_both_passages_come_first() -> None:
    memory, ids = told()
    assert [hit.id for hit in memory.read(QUESTION, 2, now=NOW)] == ids[:2]


def test_facts_are_scored_between_the_least_and_the_most_similar() -> None:
    memory, _ = told()
    recalled = memory.recalled(QUESTION, NOW)
    assert recalled[0] == (EMPLOYS, 1.0)
    everything = HippoRag2(store=memory.store, scope=memory.scope, embedder=memory.embedder, facts=100)
    whole = everything.recalled(QUESTION, NOW)
    assert len(whole) == len(memory.phrases(NOW).facts)
    assert whole[-1][1] == 0.0
    assert whole[: len(recalled)] == recalled


def test_a_fact_is_relevant_when_the_question_mentions_an_end_of_it() -> None:
    memory, _ = told()
    recalled = [(SEAT, 0.9), (EMPLOYS, 0.8)]
    assert memory.relevant(QUESTION, recalled, NOW) == [(EMPLOYS, 0.8)]
    # Where no fact is mentioned, the nearest one stays.
    assert memory.relevant("who plays chess?", recalled, NOW) == [(SEAT, 0.9)]
    memory.recognise = False
    assert memory.relevant(QUESTION, recalled, NOW) == recalled


def test_a_synonym_is_a_mention_too() -> None:
    memory, _ = told(
        ["Rowan Optics Limited\nRowan Optics Limited is in Oslo.", "Rowan Optics\nRowan Optics is in Rome."]
    )
    one, other = ("rowan optics limited", "is in", "oslo"), ("rowan optics", "is in", "rome")
    assert memory.relevant("Where is Rowan Optics?", [(one, 0.5), (other, 0.4)], NOW) == [(one, 0.5), (other, 0.4)]


def test_phrases_weigh_the_mean_of_their_facts_over_their_spread() -> None:
    memory, _ = told()
    number = memory.phrases(NOW).number
    weights = memory.phrase_weights([(EMPLOYS, 1.0), (SEAT, 0.5)], NOW)
    # Rowan Optics stands in two passages and in both facts.
    assert weights[number["rowan optics"]] == (1.0 / 2 + 0.5 / 2) / 2
    assert weights[number["ana lind"]] == 1.0
    assert weights[number["mount varley"]] == 0.5 / 2
    assert np.count_nonzero(weights) == 3
    memory.facts = 1
    assert np.flatnonzero(memory.phrase_weights([(EMPLOYS, 1.0), (SEAT, 0.5)], NOW)).tolist() == [number["ana lind"]]


def test_a_sum_in_place_of_the_mean_would_be_found_out() -> None:
    class Summing(HippoRag2):
        """Adds up a phrase's shares."""

        def phrase_weights(self, relevant: Sequence[Recalled], now: datetime) -> NDArray[np.float64]:
            parts = [super(Summing, self).phrase_weights([one], now) for one in relevant]
            total: NDArray[np.float64] = np.sum(parts, axis=0)
            return total

    memory = Summing(scope=Scope(user_id="ana"), embedder=StaticEmbedder())
    memory.write([Item(text) for text in PASSAGES], now=NOW)
    number = memory.phrases(NOW).number
    weights = memory.phrase_weights([(EMPLOYS, 1.0), (SEAT, 0.5)], NOW)
    assert weights[number["rowan optics"]] != (1.0 / 2 + 0.5 / 2) / 2


def test_scores_are_the_ranks_of_passages() -> None:
    memory, ids = told()
    relevant = memory.relevant(QUESTION, memory.recalled(QUESTION, NOW), NOW)
    dense = memory.nearness(QUESTION, NOW)
    reset = np.concatenate([memory.phrase_weights(relevant, NOW), 0.05 * min_max(dense)])
    ranks = naive_pagerank(memory.walk(NOW), reset, 0.5)[-len(ids) :]
    found = {hit.id: hit.score for hit in memory.read(QUESTION, 9, now=NOW)}
    for id, rank in zip(memory.passages(NOW), ranks, strict=True):
        assert found[id] == pytest.approx(rank, abs=1e-9)


def test_without_a_walk_passages_stand_as_dense_search_has_them() -> None:
    memory, _ = told(damping=0.0)
    dense = [text for text, _ in sorted(_cosines(memory).items(), key=lambda pair: -pair[1])]
    assert [text for text, _ in answers(memory)] == dense


def test_heavy_passages_drown_the_walk() -> None:
    light, heavy = told()[0], told(passage_weight=100.0)[0]
    assert [text for text, _ in answers(light)][1] == PASSAGES[1]
    dense = sorted(_cosines(heavy).items(), key=lambda pair: -pair[1])
    assert answers(heavy)[0][0] == dense[0][0]


def _cosines(memory: HippoRag2) -> dict[str, float]:
    return {hit.text: hit.channels["dense"] for hit in memory.read(QUESTION, 9, now=NOW)}


def test_every_passage_is_there_and_nothing_breaks_without_facts() -> None:
    memory, _ = told()
    assert len(answers(memory)) == len(PASSAGES)
    bare, _ = told(["nothing here", "and nothing there"])
    assert [text for text, _ in answers(bare, "what is there?")] == ["and nothing there", "nothing here"]
    assert HippoRag2().read(QUESTION, 5, now=NOW) == []
    assert memory.read(" ", 5, now=NOW) == []
    assert memory.read(QUESTION, 0, now=NOW) == []


def test_indexing_more_then_deleting_it_is_indexing_less() -> None:
    memory, ids = told()
    memory.forget(ids[3:], now=NOW)
    less, _ = told(PASSAGES[:3])
    assert answers(memory) == answers(less)
    assert list(memory.phrases(NOW).number) == list(less.phrases(NOW).number)
    for one, other in zip(memory.walk(NOW).weights, less.walk(NOW).weights, strict=True):
        assert one == other


def test_what_another_passage_still_says_stays() -> None:
    memory, ids = told([*PASSAGES, "Staff\nAna Lind works for Rowan Optics."])
    memory.forget(ids[:1], now=NOW)
    assert EMPLOYS in memory.phrases(NOW).facts
    assert EMPLOYS in [fact for fact, _ in memory.recalled(QUESTION, NOW)]


def test_sqlite_answers_as_memory_does(tmp_path: Path) -> None:
    here, there = HippoRag2(), HippoRag2(store=SqliteStore(tmp_path / "m.db"))
    for memory in (here, there):
        drive(memory, 0)
        drive(memory, 1)
    assert observe(here) == observe(there) == observe(HippoRag2(store=there.store))
    other = HippoRag2()
    other.restore(here.state())
    assert observe(other) == observe(here)


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def filtering(choose: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Request], str]:
    """Says nothing of entities, and of facts what `choose` makes of those that are shown."""

    def answer(request: Request) -> str:
        data = json.loads(request["messages"][1]["content"])
        return json.dumps({"relevant": choose(data["facts"])}) if "facts" in data else "no idea"

    return answer


def asked(service: Service) -> HippoRag2:
    memory, _ = told()
    memory.llm = OpenAIChat("tiny", service.url, "k", retries=0, repairs=0, timeout=60, sleep=lambda seconds: None)
    return memory


@pytest.mark.loopback
def test_a_model_recognises_facts(service: Service) -> None:
    pytest.importorskip("openai")
    service.answers = filtering(lambda facts: [f["number"] for f in facts if "mount varley" in f["fact"]])
    memory = asked(service)
    recalled = memory.recalled(QUESTION, NOW)
    relevant = memory.relevant(QUESTION, recalled, NOW)
    assert relevant == [one for one in recalled if "mount varley" in one[0]]
    assert relevant
    # None is an answer: then nearness decides alone.
    service.answers = filtering(lambda facts: [])
    assert [hit.score for hit in memory.read(QUESTION, 9, now=NOW)] == [
        hit.channels["dense"] for hit in memory.read(QUESTION, 9, now=NOW)
    ]


@pytest.mark.loopback
@pytest.mark.parametrize("chosen", [[99], [-1, 0], "all", None, [0.5]])
def test_a_filter_that_talks_nonsense_is_not_believed(service: Service, chosen: Any) -> None:
    pytest.importorskip("openai")
    service.answers = filtering(lambda facts: chosen)
    memory = asked(service)
    assert answers(memory) == answers(told()[0])
    assert memory.troubles
