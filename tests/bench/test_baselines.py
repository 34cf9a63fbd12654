from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from remanence.bench.baselines import Dense, Fused, Lexical, baselines, content_terms, passage
from remanence.bench.datasets import Corpus, Document, Question
from remanence.kernels.analyzer import Analyzer
from remanence.substrates.embedding import HashEmbedder
from tests.bench.samples import small


def ask(text: str) -> Question:
    return Question("q", "c", text, frozenset({"x"}), "all")


def corpus(texts: Sequence[str]) -> Corpus:
    return Corpus("c", tuple(Document(str(number), text) for number, text in enumerate(texts)))


def naive_bm25(query: list[str], documents: list[list[str]], k1: float, b: float) -> list[float]:
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for term in query:
            containing = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
            times = document.count(term)
            score += idf * times * (k1 + 1) / (times + k1 * (1 - b + b * len(document) / average))
        scores.append(score)
    return scores


def test_bm25_equals_the_formula() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(12)]
    texts = [" ".join(rng.choice(words, rng.integers(1, 15))) for _ in range(40)]
    ranker = Lexical("bm25", str.split)
    ranker.build(corpus(texts))
    for text in ("w0 w1", "w3 w3 w3 w9", "w2 unknown"):
        expected = naive_bm25(text.split(), [one.split() for one in texts], 1.2, 0.75)
        np.testing.assert_allclose(ranker.scores(ask(text)), expected, rtol=1e-5)


def test_a_second_corpus_replaces_the_first() -> None:
    ranker = Lexical("bm25", str.split)
    ranker.build(corpus(["alpha", "beta"]))
    ranker.build(corpus(["gamma"]))
    assert ranker.matches(ask("alpha"), 5) == []
    assert ranker.matches(ask("gamma"), 5) == ["0"]


def test_documents_without_a_match_follow_in_order_up_to_k() -> None:
    ranker = Lexical("bm25", str.split)
    ranker.build(corpus(["a", "b", "c", "b"]))
    assert ranker.matches(ask("c"), 3) == ["2"]
    assert ranker.rank(ask("c"), 3) == ["2", "0", "1"]
    assert ranker.rank(ask("b"), 1) == ["1"]


def test_an_empty_document_does_no_harm() -> None:
    ranker = Lexical("bm25", str.split)
    ranker.build(corpus(["", ""]))
    assert ranker.rank(ask("a"), 5) == ["0", "1"]


def test_passages_hold_everything_a_document_says() -> None:
    assert passage(Document("1", "hi", speaker="Ana", caption="a dog")) == "Ana: hi\na dog"
    assert passage(Document("1", "text", title="Title")) == "Title\ntext"
    assert passage(Document("1", "")) == ""


def test_stop_words_go_unless_nothing_else_is_left() -> None:
    analyzer = Analyzer()
    assert content_terms(analyzer, "The dogs were running") == analyzer.terms("dogs running")
    assert content_terms(analyzer, "Who are you?") == analyzer.terms("who are you")


def test_dense_ranks_by_cosine_and_returns_everything() -> None:
    ranker = Dense(HashEmbedder(dim=256))
    ranker.build(corpus(["red apple pie", "green pear", "red apple"]))
    assert ranker.rank(ask("red apple"), 3) == ["2", "0", "1"]


def test_fusion_by_hand() -> None:
    lexical, dense = Lexical("bm25", str.split), Dense(HashEmbedder(dim=256))
    fused = Fused(lexical, dense)
    texts = ["red apple pie", "green pear", "red apple", "plum"]
    fused.build(corpus(texts))
    question = ask("red apple")
    places = [lexical.matches(question, 100), dense.rank(question, 100)]
    assert "3" not in places[0]  # documents without a match must not gain from their place in the corpus
    expected = {
        str(number): sum(1 / (60 + ranked.index(str(number)) + 1) for ranked in places if str(number) in ranked)
        for number in range(len(texts))
    }
    assert fused.rank(question, 4) == sorted(expected, key=lambda identity: -expected[identity])


@pytest.mark.parametrize("name", ["bm25", "bm25-stemmed", "dense", "rrf"])
def test_every_baseline_finds_the_obvious(name: str) -> None:
    ranker = baselines(lambda: HashEmbedder(dim=256))[name]()
    assert ranker.name == name
    ranker.build(small().corpora[1])
    assert ranker.rank(small().questions[2], 1) == ["b"]


def test_only_the_stemmed_one_sees_through_inflection() -> None:
    makers = baselines(HashEmbedder)
    ranked = {}
    for name in ("bm25", "bm25-stemmed"):
        ranker = makers[name]()
        assert isinstance(ranker, Lexical)
        ranker.build(corpus(["nothing of it", "dogs were running"]))
        ranked[name] = ranker.matches(ask("dog runs"), 5)
    assert ranked == {"bm25": [], "bm25-stemmed": ["1"]}
