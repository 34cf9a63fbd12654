"""The graph of phrases: counts of support, synonyms, and what may be walked on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.openie import Extraction
from remanence.kernels.phrase_graph import (
    Pairs,
    PhraseGraph,
    capped,
    is_linkable,
    mentioned,
    synonym_pairs,
    synonym_pairs_naive,
)
from remanence.kernels.quantize import quantize

FIRST = Extraction(("Ana", "Oslo", "skiing"), (("Ana", "lives in", "Oslo"), ("ana", "works in", "Oslo")))
SECOND = Extraction((), (("Oslo", "lies in", "Norway"), ("Oslo", "is", "Oslo"), ("", "is", "Oslo")))


def graph_of(*extractions: Extraction) -> PhraseGraph:
    graph = PhraseGraph()
    for one in extractions:
        graph.append(one)
    return graph


def random_vectors(rows: int, seed: int, dim: int = 12) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(rows // 4, 1), dim))
    vectors = centres[rng.integers(len(centres), size=rows)] + 0.3 * rng.normal(size=(rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[::7] = 0
    return quantize(vectors.astype(np.float32))


def listed(pairs: Pairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.weight.tolist(), strict=True))


def test_weights_count_triples_and_places_count_ends() -> None:
    graph = graph_of(FIRST, SECOND)
    ana, oslo, skiing, norway = (graph.number[name] for name in ("ana", "oslo", "skiing", "norway"))
    assert listed(graph.relations()) == [(ana, oslo, 2.0), (oslo, norway, 1.0)]
    places = {(phrase, passage): count for phrase, passage, count in listed(graph.places())}
    # "Oslo is Oslo" counts two ends in the second passage, beside "Oslo lies in"; an entity without a triple counts 1.
    assert places == {(ana, 0): 2, (oslo, 0): 2, (skiing, 0): 1, (oslo, 1): 3, (norway, 1): 1}
    assert graph.spread()[[ana, oslo, skiing, norway]].tolist() == [1, 2, 1, 1]
    assert [graph.origin[node] for node in (ana, oslo, norway)] == [0, 0, 1]
    assert graph.facts == {
        ("ana", "lives in", "oslo"): 0,
        ("ana", "works in", "oslo"): 0,
        ("oslo", "lies in", "norway"): 1,
        ("oslo", "is", "oslo"): 1,
    }


def test_appending_later_is_appending_at_once() -> None:
    late = graph_of(FIRST)
    assert len(late.relations().first) == 1
    late.append(SECOND)
    for one, other in zip(late.relations(), graph_of(FIRST, SECOND).relations(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_empty_graph_has_nothing() -> None:
    graph = graph_of(Extraction())
    assert graph.passages == 1
    assert len(graph.relations().first) == len(graph.places().first) == len(graph.spread()) == 0
    with pytest.raises(InvalidInput):
        graph.walk(Pairs.none())


def test_the_walk_joins_phrases_synonyms_and_passages() -> None:
    graph = graph_of(FIRST, SECOND)
    synonyms = Pairs(np.array([0]), np.array([3]), np.array([0.9]))
    plain, whole = graph.walk(synonyms), graph.walk(synonyms, passages=True)
    assert (plain.nodes, whole.nodes) == (4, 6)
    dense = np.zeros((6, 6))
    dense[whole.rows, whole.indices] = whole.weights
    np.testing.assert_array_equal(dense, dense.T)
    # A phrase that stands three times in a passage is joined with it by 1 all the same.
    oslo = graph.number["oslo"]
    assert dense[oslo, 4] == dense[oslo, 5] == 1
    assert dense[graph.number["ana"], oslo] == 2
    assert dense[0, 3] == 0.9
    np.testing.assert_array_equal(plain.degrees, dense[:4, :4].sum(axis=1))


@pytest.mark.parametrize("rows", [0, 1, 5, 40, 300])
def test_blocks_find_what_pair_by_pair_finds(rows: int) -> None:
    codes, scales = random_vectors(rows, rows)
    fast, slow = synonym_pairs(codes, scales, 0.8), synonym_pairs_naive(codes, scales, 0.8)
    assert listed(fast) == listed(slow)
    assert rows < 40 or len(fast.first) > 10


def test_growing_finds_the_same_pairs() -> None:
    codes, scales = random_vectors(120, 1)
    whole = set(listed(synonym_pairs(codes, scales, 0.8)))
    grown = set(listed(synonym_pairs(codes[:70], scales[:70], 0.8)))
    grown |= set(listed(synonym_pairs(codes, scales, 0.8, since=70)))
    assert grown == whole
    assert set(listed(synonym_pairs(codes, scales, 0.8, since=70))) < whole


def test_a_threshold_is_reached_by_equality() -> None:
    codes, scales = quantize(np.array([[0.6, 0.8], [0.8, 0.6], [-1, 0]], np.float32))
    exact = float(synonym_pairs(codes, scales, 0.5).weight[0])
    assert exact == pytest.approx(0.96, abs=0.01)
    assert len(synonym_pairs(codes, scales, exact).first) == 1
    assert len(synonym_pairs(codes, scales, float(np.nextafter(exact, 1))).first) == 0
    with pytest.raises(InvalidInput, match="cosine"):
        synonym_pairs(codes, scales, 0.0)
    with pytest.raises(InvalidInput, match="scales"):
        synonym_pairs(codes, scales[:1], 0.8)


def test_the_nearest_of_either_side_stay() -> None:
    star = Pairs(np.array([0, 0, 0, 1]), np.array([1, 2, 3, 2]), np.array([0.9, 0.8, 0.7, 0.95]))
    # 3 has no nearer synonym than 0, so its pair stays although 0 has nearer ones.
    assert listed(capped(star, 1)) == [(0, 1, 0.9), (0, 3, 0.7), (1, 2, 0.95)]
    assert listed(capped(star, 100)) == listed(star)
    with pytest.raises(InvalidInput, match="most=0"):
        capped(star, 0)


def test_pairs_follow_their_rows_to_new_numbers() -> None:
    pairs = Pairs(np.array([0, 1]), np.array([2, 2]), np.array([0.9, 0.8]))
    assert listed(pairs.among(np.array([5, -1, 3]))) == [(3, 5, 0.9)]


def test_short_phrases_have_no_synonyms() -> None:
    assert [is_linkable(one) for one in ("", "a", "uk", "u k", "usa", "7th")] == [
        False,
        False,
        False,
        False,
        True,
        True,
    ]


def test_a_phrase_is_mentioned_word_by_word() -> None:
    question = "Where does Ann Lee's employer sit?"
    assert mentioned(["ann lee", "ann", "an", "lees", "where", "employer sit"], question) == [
        True, True, False, False, False, True,
    ]  # fmt: skip
