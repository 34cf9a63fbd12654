from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.kernels.analyzer import Analyzer
from remanence.kernels.related import LEAST_SIMILARITY, MOST, RelatedTerms

ANALYZER = Analyzer()
CONSONANTS = [*"bdfgklmnprstvz", "br", "dr", "fl", "kl", "pr", "st", "tr"]


def unit(*components: float) -> NDArray[np.float32]:
    vector = np.array(components, np.float32)
    return vector / np.linalg.norm(vector)


WORDS = {
    "dog": unit(1, 0.1, 0, 0),
    "dogs": unit(1, -0.1, 0, 0),
    "puppy": unit(0.9, 0.3, 0, 0),
    "hound": unit(0.8, 0, 0.4, 0),
    "cat": unit(0.5, 0, 0.86, 0),
    "wedding": unit(0, 0, 0.1, 1),
    "marriage": unit(0, 0.1, 0, 1),
    "the": unit(1, 0.1, 0, 0),
    "don't": unit(1, 0.1, 0, 0),
    "Puerto Rico": unit(1, 0.1, 0, 0),
    "!!": unit(1, 0.1, 0, 0),
    "void": np.zeros(4, np.float32),
}


def table(words: dict[str, NDArray[np.float32]]) -> tuple[Sequence[str], NDArray[np.float32]]:
    return list(words), np.array(list(words.values()), np.float32).reshape(-1, 4)


def related(**options: float) -> RelatedTerms:
    return RelatedTerms(lambda: table(WORDS), ANALYZER, **options)  # type: ignore[arg-type]


def test_nearest_terms_best_first() -> None:
    found = related()("dog")
    assert [term for term, _ in found] == ["puppi", "hound", "cat"]
    assert [cosine for _, cosine in found] == pytest.approx([0.949, 0.894, 0.5], abs=0.01)
    assert [term for term, _ in related()("wed")] == ["marriag"]


def test_words_of_one_stem_share_a_vector() -> None:
    # The mean of "dog" and "dogs" points along the first axis, whichever comes first in the table.
    ((term, cosine),) = RelatedTerms(
        lambda: table({"dogs": unit(0, 1, 0, 0), "dog": unit(1, 0, 0, 0), "puppy": unit(1, 1, 0, 0)}), ANALYZER
    )("dog")
    assert term == "puppi"
    assert cosine == pytest.approx(1, abs=0.01)


def test_stop_words_and_phrases_are_nobodys_relatives() -> None:
    known = related(least=-1.0, most=100)
    terms = {term for term, _ in known("dog")}
    assert terms == {"puppi", "hound", "cat", "wed", "marriag", "void"}
    for term in ("the", "dont", "puerto", "rico", "unheard", ""):
        assert known(term) == known.naive(term) == ()


def test_limits() -> None:
    assert [term for term, _ in related(most=1)("dog")] == ["puppi"]
    assert [term for term, _ in related(least=0.9)("dog")] == ["puppi"]
    assert related(most=0)("dog") == ()
    assert (MOST, LEAST_SIMILARITY) == (12, 0.45)


def test_a_word_without_a_vector_is_related_to_none() -> None:
    assert related()("void") == ()
    assert all(term != "void" for term, _ in related()("dog"))


def test_an_empty_table() -> None:
    nothing = RelatedTerms(lambda: table({}), ANALYZER)
    assert nothing("dog") == nothing.naive("dog") == ()


def test_fast_equals_naive() -> None:
    rng = np.random.default_rng(0)
    words = [f"{a}{b}{c}" for a in CONSONANTS for b in "aeiou" for d in "aou" for c in (f"b{d}", "bs", "d", f"g{d}x")]
    words = list(dict.fromkeys(words))
    # Few directions, so that many cosines are high and some are equal.
    vectors = (rng.normal(size=(12, 24))[rng.integers(12, size=len(words))]).astype(np.float32)
    vectors += rng.choice([0, 0.4], (len(words), 1)) * rng.normal(size=vectors.shape).astype(np.float32)
    many = RelatedTerms(lambda: (words, vectors), ANALYZER, most=9, least=0.3)
    terms = sorted({term for analysed in ANALYZER.terms_many(words) for term in analysed})
    found = {term: many(term) for term in terms}
    assert sum(map(len, found.values())) > 500
    assert len(terms) > 512
    means = {term: np.zeros(24) for term in terms}
    for (term,), vector in zip(ANALYZER.terms_many(words), vectors, strict=True):
        means[term] += vector
    for term in terms[::7]:
        for near, cosine in found[term]:
            one, other = means[term], means[near]
            assert cosine == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other), abs=0.02)
    for term in terms:
        # Asked again, after others were asked in between, and without any memory of having been asked.
        assert many(term) == many.naive(term) == found[term]
        assert term not in dict(found[term])
        assert list(found[term]) == sorted(found[term], key=lambda pair: -pair[1])


def test_the_table_is_read_once_and_at_first_use() -> None:
    calls = []

    def read() -> tuple[Sequence[str], NDArray[np.float32]]:
        calls.append(threading.get_ident())
        time.sleep(0.02)
        return table(WORDS)

    shared = RelatedTerms(read, ANALYZER)
    assert not calls
    answers: list[object] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        answers.append([shared(term) for term in ("dog", "wed", "cat")])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert answers == [[shared.naive(term) for term in ("dog", "wed", "cat")]] * 8
