from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.kernels import bm25
from remanence.kernels.bm25 import MAX_TF, Postings, bm25_naive, idf, length_norms, saturate

Documents = Sequence[Sequence[int]]

DOCUMENTS = st.lists(st.lists(st.integers(0, 5) | st.sampled_from([70_000, 2**31 - 1]), max_size=8), max_size=25)
PIECES = st.lists(st.integers(0, 6), max_size=12)


def append(postings: Postings, documents: Documents) -> None:
    terms = np.array(list(itertools.chain.from_iterable(documents)), np.int32)
    postings.append(terms, np.cumsum([0, *map(len, documents)], dtype=np.int64))


def in_pieces(documents: Documents, sizes: Sequence[int], tail_rows: int) -> Postings:
    """Postings that got the documents piece by piece, and the rest at the end, with a tail of that many rows."""
    postings = Postings()
    start = 0
    with patch.object(bm25, "_TAIL_ROWS", tail_rows):
        for size in (*sizes, len(documents)):
            append(postings, documents[start : start + size])
            start = min(start + size, len(documents))
    return postings


def scores(postings: Postings, documents: Documents, query: Sequence[int]) -> np.ndarray:
    """BM25 as the engine computes it: one posting list after the other."""
    total = np.zeros(postings.rows, np.float32)
    norms = length_norms(np.array([len(document) for document in documents], np.float32))
    for docs, tfs in postings.of_many(list(dict.fromkeys(query))):
        total[docs] += saturate(tfs, norms[docs], idf(postings.rows, len(docs)))
    return total


@given(DOCUMENTS, PIECES, st.integers(0, 4))
def test_pieces_make_the_same_postings(documents: Documents, sizes: list[int], tail_rows: int) -> None:
    postings = in_pieces(documents, sizes, tail_rows)
    assert postings.rows == len(documents)
    terms = [*range(-1, 7), 70_000, 2**31 - 1]
    expected = {
        term: [(row, document.count(term)) for row, document in enumerate(documents) if term in document]
        for term in terms
    }
    for term, (docs, tfs) in zip(terms, postings.of_many(terms), strict=True):
        assert list(zip(docs.tolist(), tfs.tolist(), strict=True)) == expected[term]
        assert docs.dtype == np.int32
        assert tfs.dtype == np.uint8
        one_docs, one_tfs = postings.of(term)
        assert one_docs.tolist() == docs.tolist()
        assert one_tfs.tolist() == tfs.tolist()
    assert postings.df_many(terms).tolist() == [len(expected[term]) for term in terms]


@given(DOCUMENTS, st.lists(st.integers(0, 7), max_size=5), PIECES, st.integers(0, 4))
def test_fast_equals_naive(documents: Documents, query: list[int], sizes: list[int], tail_rows: int) -> None:
    found = scores(in_pieces(documents, sizes, tail_rows), documents, query)
    np.testing.assert_allclose(found, bm25_naive(documents, query), rtol=1e-5, atol=1e-6)


def test_a_larger_collection_in_random_pieces() -> None:
    rng = random.Random(0)
    documents = [[int(rng.paretovariate(0.7)) for _ in range(rng.randrange(12))] for _ in range(900)]
    pieces = Postings()
    start = 0
    while start < len(documents):
        # Mostly turn by turn, as conversations arrive, with a bulk load now and then.
        size = rng.choice([1] * 90 + [2] * 9 + [600])
        append(pieces, documents[start : start + size])
        start += size
    whole = Postings()
    append(whole, documents)
    counts: Counter[int] = Counter()
    for document in documents:
        counts.update(set(document))
    for term in counts:
        docs, tfs = pieces.of(term)
        assert docs.tolist() == whole.of(term)[0].tolist()
        assert tfs.tolist() == whole.of(term)[1].tolist()
    terms = list(counts)
    assert pieces.df_many(terms).tolist() == whole.df_many(terms).tolist() == [counts[term] for term in terms]
    query = [1, 2, 5, 9]
    np.testing.assert_allclose(scores(pieces, documents, query), bm25_naive(documents, query), rtol=1e-5)


@pytest.mark.parametrize("tail_rows", [0, 10])
@pytest.mark.parametrize("times", [1, 254, 255, 256, 257, 511, 512, 1000])
def test_frequencies_stop_at_the_cap(times: int, tail_rows: int) -> None:
    documents = [[7] * times, [7, 8], [8]]
    postings = in_pieces(documents, [1], tail_rows)
    assert postings.of(7)[1].tolist() == [min(times, MAX_TF), 1]
    np.testing.assert_allclose(scores(postings, documents, [7]), bm25_naive(documents, [7]), rtol=1e-5)


def test_by_hand() -> None:
    documents = [[1, 1, 2], [2]]
    idf_1 = math.log(1 + 1.5 / 1.5)  # in one of two documents
    idf_2 = math.log(1 + 0.5 / 2.5)  # in both
    norms = [1.2 * (1 - 0.3 + 0.3 * 3 / 2), 1.2 * (1 - 0.3 + 0.3 * 1 / 2)]
    first = idf_1 * 2 * 2.2 / (2 + norms[0]) + idf_2 * 2.2 / (1 + norms[0])
    second = idf_2 * 2.2 / (1 + norms[1])
    assert bm25_naive(documents, [1, 2]) == pytest.approx([first, second])
    assert scores(in_pieces(documents, [], 0), documents, [2, 1]) == pytest.approx([first, second], rel=1e-6)


def test_a_term_asked_twice_counts_once() -> None:
    documents = [[1], [2]]
    assert bm25_naive(documents, [1, 1]) == bm25_naive(documents, [1])


@pytest.mark.parametrize("tail_rows", [0, 10])
def test_no_terms_and_no_rows(tail_rows: int) -> None:
    postings = Postings()
    assert postings.of_many([]) == []
    assert postings.df_many([]).tolist() == []
    assert postings.df_many([1]).tolist() == [0]
    assert postings.of(1)[0].tolist() == []
    assert bm25_naive([], [1]) == []
    postings = in_pieces([[], [1], []], [1, 1], tail_rows)
    assert postings.rows == 3
    assert postings.of_many([]) == []
    assert postings.df_many(np.zeros(0, np.int32)).tolist() == []
    assert postings.of(1)[0].tolist() == [1]
    assert bm25_naive([[], [1], []], [1])[1] > 0


def test_the_tail_is_merged_when_it_has_grown() -> None:
    postings = Postings()
    sizes = []
    for row in range(5000):
        append(postings, [[row % 10]])
        sizes.append(postings.rows - postings._base_rows)
    # Never longer than allowed, and mostly there: appending one row does not sort everything again.
    assert max(sizes) <= 5000 // 8
    assert 0 < sum(size == 0 for size in sizes) < 10
    assert postings.of(3)[0].tolist() == list(range(3, 5000, 10))


def test_bytes_follow_the_content() -> None:
    small, large = Postings(), Postings()
    append(small, [[1, 2, 3]])
    for _ in range(3):
        append(large, [[term] for term in range(2000)])
    assert 0 < small.nbytes < 5000
    # A posting takes a row number and a frequency, a term its integer and where its postings start.
    assert large.nbytes == pytest.approx(6000 * 5 + 2000 * 12, rel=0.05)


@given(st.integers(1, 10_000), st.data())
def test_idf_falls_and_is_never_negative(rows: int, data: st.DataObject) -> None:
    df = data.draw(st.integers(0, rows - 1))
    assert idf(rows, df) > idf(rows, df + 1) > 0
    assert idf(rows, df) == pytest.approx(math.log((rows + 1) / (df + 0.5)))


def test_length_norms() -> None:
    assert length_norms(np.zeros(0, np.float32)).tolist() == []
    assert length_norms(np.zeros(3, np.float32)) == pytest.approx([1.2 * 0.7] * 3)
    assert length_norms(np.array([1.0, 3.0])) == pytest.approx([1.2 * (0.7 + 0.15), 1.2 * (0.7 + 0.45)])
    assert length_norms(np.array([1.0, 3.0]), 2.0, 1.0) == pytest.approx([1, 3])
    assert length_norms(np.array([1.0, 3.0]), 2.0, 1.0, average=1.0) == pytest.approx([2, 6])
    assert length_norms(np.array([1.0]), average=0.0).dtype == np.float32


def test_saturation() -> None:
    norms = np.ones(4, np.float32)
    shares = saturate(np.array([0, 1, 10, 255], np.uint8), norms, 2.0)
    assert shares[0] == 0
    assert shares[1] == pytest.approx(2 * 2.2 / 2)
    assert (np.diff(shares) > 0).all()
    assert shares[3] == pytest.approx(2 * 2.2, rel=0.01)
    assert shares[3] < 2 * 2.2


@st.composite
def found_postings(draw: st.DrawFn) -> tuple[int, list[bm25.Posting]]:
    rows = draw(st.integers(1, 60))
    found = []
    for _ in range(draw(st.integers(0, 5))):
        docs = sorted(draw(st.sets(st.integers(0, rows - 1))))
        tfs = draw(st.lists(st.integers(1, MAX_TF), min_size=len(docs), max_size=len(docs)))
        found.append((np.array(docs, np.int32), np.array(tfs, np.uint8)))
    return rows, found


@given(found_postings(), st.integers(0, 2**32 - 1))
def test_all_terms_at_once_add_up_bit_for_bit(given: tuple[int, list[bm25.Posting]], seed: int) -> None:
    rows, found = given
    rng = np.random.default_rng(seed)
    norms, weights = rng.random(rows).astype(np.float32) + 0.1, rng.random(len(found)).tolist()
    start = rng.random(rows + 1).astype(np.float32)
    naive, fast = start.copy(), start.copy()
    bm25.add_up_naive(naive, found, norms, weights)
    bm25.add_up(fast, found, norms, weights)
    assert naive.tobytes() == fast.tobytes()


@given(found_postings(), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, bm25._MANY]))
def test_frequencies_by_walking_or_looking_up(given: tuple[int, list[bm25.Posting]], seed: int, many: int) -> None:
    size, found = given
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(size, rng.integers(0, size + 1), replace=False)).astype(np.intp)
    with patch.object(bm25, "_MANY", many):
        for posting in found:
            fast = bm25.frequencies(posting, rows, size)
            assert fast.dtype == np.uint8
            np.testing.assert_array_equal(fast, bm25.frequencies_naive(posting, rows, size))
