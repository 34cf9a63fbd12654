from __future__ import annotations

import functools
import time

import numpy as np
import pytest

from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.bm25 import bm25_naive
from remanence.kernels.fusion import Profile
from remanence.mechanisms.records import recall as mechanism
from remanence.mechanisms.records.recall import CHANNELS, Recall
from remanence.scenarios.dialogues import generate
from remanence.substrates.embedding import HashEmbedder
from remanence.witnesses.records import recall as module
from remanence.witnesses.records.recall import Baselines, measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    start = time.process_time()
    evidence = witness(seed)
    assert time.process_time() - start < 5
    assert evidence.metric == "recall@5"
    assert evidence.higher_is_better
    assert evidence.holds
    # Not by a hair: the engine finds well over a third more of the evidence.
    assert evidence.value > 1.4 * evidence.baseline > 0.1


def test_the_baseline_is_the_best_of_three() -> None:
    found = measure(0)
    assert set(found) == {"recall", "bm25", "dense", "rrf"}
    evidence = witness(0)
    assert evidence.value == found["recall"]
    assert evidence.baseline == max(found["bm25"], found["dense"], found["rrf"])


def test_a_seed_gives_the_same_evidence_again() -> None:
    assert witness(7) == witness(7)
    assert witness(7) != witness(8)


@pytest.mark.parametrize("channel", ["lexical", "dense"])
def test_an_engine_that_is_no_better_than_a_baseline_is_found_out(
    channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = np.array([float(name == channel) for name in CHANNELS])
    profile = Profile(CHANNELS, weights, 0.0)
    poor = functools.partial(Recall, profiles={"turn": profile, "document": profile})
    monkeypatch.setattr(module, "Recall", poor)
    found = [measure(seed) for seed in range(3)]
    assert not all(values["recall"] > max(values["bm25"], values["dense"], values["rrf"]) for values in found)


def test_the_easy_level_is_easy_for_the_baselines_too() -> None:
    # The baselines are no straw men: where words are repeated they find nearly everything.
    found = measure(0, hardness="easy")
    assert min(found.values()) > 0.8
    assert min(measure(0, hardness="easy", k=1000).values()) > 0.99


def test_the_baselines_rank_as_they_should() -> None:
    turns = generate(1, sessions=2, hardness="medium").turns
    analyzer, embedder = Analyzer(), HashEmbedder(64)
    baselines = Baselines(turns, analyzer, embedder)
    texts = [f"{turn.speaker}: {turn.text}" for turn in turns]
    numbers: dict[str, int] = {}
    documents = [[numbers.setdefault(term, len(numbers)) for term in analyzer.terms(text)] for text in texts]
    stops = {number for term, number in numbers.items() if is_stopword(term)}
    content = [[number for number in document if number not in stops] or document for document in documents]
    vectors = embedder.embed(texts)
    for turn in turns[:12]:
        query = f"{turn.text} unheard"
        asked = [numbers[term] for term in analyzer.terms(query) if term in numbers]
        scores = bm25_naive(content, [number for number in asked if number not in stops])
        cosines = vectors @ embedder.embed([query])[0]
        ranked = dict(baselines.rank(query))
        assert [scores[row] for row in ranked["bm25"]] == pytest.approx(sorted(filter(None, scores), reverse=True))
        assert [cosines[row] for row in ranked["dense"]] == pytest.approx(sorted(cosines, reverse=True))
        fused = {row: sum(1 / (61 + ranks.index(row)) for ranks in (ranked["bm25"], ranked["dense"]) if row in ranks)
                 for row in ranked["rrf"]}  # fmt: skip
        assert list(fused.values()) == sorted(fused.values(), reverse=True)
        assert set(fused) == {*ranked["bm25"], *ranked["dense"]}


def test_the_share_of_the_evidence_by_hand() -> None:
    assert module._recall(["a", "b", "c"], ("b", "x")) == 0.5
    assert module._recall([], ("b",)) == 0
    assert module._recall(["b", "a"], ("a", "b")) == 1


def test_the_witness_is_of_the_mechanism() -> None:
    assert module.__name__.rpartition(".")[2] == mechanism.CARD.slug
    assert "more often than BM25, dense search or their rank fusion" in mechanism.CARD.claim
