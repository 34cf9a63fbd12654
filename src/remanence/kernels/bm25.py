"""BM25 over postings that grow: a sorted base in arrays, and a small tail that is merged in now and then.

    score(d, q) = sum over terms t of q:  idf(t) * tf(t, d) * (k1 + 1) / (tf(t, d) + k1 * (1 - b + b * |d| / avg))
    idf(t)      = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))

Source: S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009); the idf with
1 + … inside the logarithm, which is never negative, is Lucene's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Posting = tuple[Ints, NDArray[np.uint8]]
"""Rows that hold a term, ascending, and how often each does."""

K1 = 1.2
B = 0.3
"""Weaker length normalisation than the usual 0.75: chat turns are short, and long ones say more."""

MAX_TF = 255
_TAIL_ROWS = 512
_MANY = 32
"""Postings per row that is asked for, from which looking up each row is faster than walking them all."""


def idf(rows: int, df: int) -> float:
    """Inverse document frequency of a term that occurs in `df` of `rows` documents."""
    return math.log(1 + (rows - df + 0.5) / (df + 0.5))


def bm25_naive(documents: Sequence[Sequence[int]], query: Sequence[int], k1: float = K1, b: float = B) -> list[float]:
    """Scores of all documents, straight from the formula. Term frequencies above `MAX_TF` count as `MAX_TF`."""
    average = max(sum(map(len, documents)) / max(len(documents), 1), 1e-9)
    frequencies = [Counter(document) for document in documents]
    scores = []
    for document, counts in zip(documents, frequencies, strict=True):
        total = 0.0
        for term in dict.fromkeys(query):
            tf = min(counts[term], MAX_TF)
            df = sum(term in other for other in frequencies)
            total += idf(len(documents), df) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(document) / average))
        scores.append(total)
    return scores


class Postings:
    """Term → (row, frequency) lists over rows 0 … n-1, in the order in which rows were appended."""

    def __init__(self) -> None:
        self.rows = 0
        self._terms = np.zeros(0, np.int32)
        self._starts = np.zeros(1, np.int64)
        self._docs = np.zeros(0, np.int32)
        self._tfs = np.zeros(0, np.uint8)
        self._base_rows = 0
        self._tail: dict[int, tuple[list[int], list[int]]] = {}
        self._tail_entries = 0

    def append(self, terms: Ints, offsets: NDArray[np.int64]) -> None:
        """Add rows; terms of new row i are `terms[offsets[i]:offsets[i + 1]]`."""
        count = len(offsets) - 1
        if self.rows + count - self._base_rows > max(_TAIL_ROWS, self._base_rows // 8):
            self._merge(terms, offsets)
        else:
            for i in range(count):
                for term, tf in Counter(terms[offsets[i] : offsets[i + 1]].tolist()).items():
                    docs, tfs = self._tail.setdefault(term, ([], []))
                    docs.append(self.rows + i)
                    tfs.append(min(tf, MAX_TF))
                    self._tail_entries += 1
        self.rows += count

    def _merge(self, terms: Ints, offsets: NDArray[np.int64]) -> None:
        lengths = np.diff(offsets)
        rows = np.repeat(np.arange(self.rows, self.rows + len(lengths), dtype=np.int32), lengths)
        order = _by_term(terms)
        terms, rows = terms[order], rows[order]
        new = _begins(terms)
        new[1:] |= rows[1:] != rows[:-1]
        first = np.flatnonzero(new)
        tfs = np.minimum(np.diff(first, append=len(terms)), MAX_TF).astype(np.uint8)
        terms, rows = terms[new], rows[new]
        if self.rows:
            # Older rows come first, so that a stable order by term keeps every list ascending.
            tail = [(term, *pair) for term, (docs, tfs) in self._tail.items() for pair in zip(docs, tfs, strict=True)]
            tail_terms, tail_docs, tail_tfs = np.array(tail, np.int64).reshape(-1, 3).T
            terms = np.concatenate([np.repeat(self._terms, np.diff(self._starts)), tail_terms.astype(np.int32), terms])
            order = _by_term(terms)
            terms = terms[order]
            rows = np.concatenate([self._docs, tail_docs.astype(np.int32), rows])[order]
            tfs = np.concatenate([self._tfs, tail_tfs.astype(np.uint8), tfs])[order]
        starts = np.flatnonzero(_begins(terms))
        self._terms = terms[starts]
        self._starts = np.append(starts, len(terms))
        self._docs = rows
        self._tfs = tfs
        self._tail = {}
        self._tail_entries = 0
        self._base_rows = self.rows + len(lengths)

    def of(self, term: int) -> Posting:
        """Rows that hold the term, ascending, and how often each does."""
        return self.of_many([term])[0]

    def of_many(self, terms: Sequence[int] | Ints) -> list[Posting]:
        """`of` for several terms with one search."""
        slots, known = self._slots(terms)
        begins = np.where(known, self._starts[slots], 0).tolist()
        ends = np.where(known, self._starts[np.minimum(slots + 1, len(self._starts) - 1)], 0).tolist()
        docs, tfs = self._docs, self._tfs
        found = [(docs[begin:end], tfs[begin:end]) for begin, end in zip(begins, ends, strict=True)]
        if self._tail:
            for at, term in enumerate(np.asarray(terms).tolist()):
                if term in self._tail:
                    more_docs, more_tfs = self._tail[term]
                    found[at] = (
                        np.concatenate([found[at][0], np.array(more_docs, np.int32)]),
                        np.concatenate([found[at][1], np.array(more_tfs, np.uint8)]),
                    )
        return found

    def df_many(self, terms: Sequence[int] | Ints) -> NDArray[np.int64]:
        """In how many rows each term occurs."""
        slots, known = self._slots(terms)
        counts = np.where(known, self._starts[np.minimum(slots + 1, len(self._starts) - 1)] - self._starts[slots], 0)
        if self._tail:
            waiting = [len(self._tail[t][0]) if t in self._tail else 0 for t in np.asarray(terms).tolist()]
            counts += np.array(waiting, np.int64)
        return counts

    def _slots(self, terms: Sequence[int] | Ints) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        wanted = np.asarray(terms, np.int32)
        slots = np.searchsorted(self._terms, wanted)
        known = slots < len(self._terms)
        known[known] = self._terms[slots[known]] == wanted[known]
        return slots, known

    @property
    def nbytes(self) -> int:
        """Bytes held, the tail's Python objects estimated."""
        tail = 200 * len(self._tail) + 72 * self._tail_entries
        return self._terms.nbytes + self._starts.nbytes + self._docs.nbytes + self._tfs.nbytes + tail


def length_norms(
    lengths: NDArray[np.floating], k1: float = K1, b: float = B, *, average: float | None = None
) -> Floats:
    """k1 * (1 - b + b * |d| / avg) of every document; all that BM25 needs of a document's length.

    `average` is needed where `lengths` are not those of the whole collection.
    """
    if average is None:
        average = float(lengths.mean()) if len(lengths) else 1.0
    return (k1 * (1 - b + b * lengths / max(average, 1e-9))).astype(np.float32)


def saturate(tfs: NDArray[np.generic], norms: Floats, weight: float | NDArray[np.float64], k1: float = K1) -> Floats:
    """weight * tf * (k1 + 1) / (tf + norm), elementwise: one term's share of the score. `weight`: one, or one each."""
    frequencies = tfs.astype(np.float32)
    share: Floats = frequencies * np.asarray(weight * (k1 + 1), np.float32) / (frequencies + norms)
    return share


def add_up_naive(scores: Floats, found: Sequence[Posting], norms: Floats, weights: Sequence[float]) -> None:
    """Add to `scores` what each term gives to the rows that hold it, term by term. `norms`: of all rows."""
    for (docs, tfs), weight in zip(found, weights, strict=True):
        scores[docs] += saturate(tfs, norms[docs], weight)


def add_up(scores: Floats, found: Sequence[Posting], norms: Floats, weights: Sequence[float]) -> None:
    """`add_up_naive` with one pass over the postings of all terms. Equal to it bit for bit."""
    if not found:
        return
    docs = np.concatenate([docs for docs, _ in found])
    tfs = np.concatenate([tfs for _, tfs in found])
    each = np.repeat(np.array(weights, np.float64), [len(docs) for docs, _ in found])
    # Where rows occur several times, `add.at` adds in the order in which they are listed: that of the terms.
    np.add.at(scores, docs, saturate(tfs, norms[docs], each))


def frequencies_naive(posting: Posting, rows: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
    """How often a term occurs in each of `rows` of an index of `size` rows."""
    docs, tfs = posting
    table = np.zeros(size, np.uint8)
    table[docs] = tfs
    return table[rows]


def frequencies(posting: Posting, rows: NDArray[np.intp], size: int) -> NDArray[np.uint8]:
    """`frequencies_naive` without a walk over the postings where those are many more than the rows."""
    docs, tfs = posting
    if len(docs) <= _MANY * len(rows):
        return frequencies_naive(posting, rows, size)
    wanted = rows.astype(np.int32)  # of the postings' own type, or the postings would be converted
    at = np.minimum(np.searchsorted(docs, wanted), len(docs) - 1)
    return np.where(docs[at] == wanted, tfs[at], np.uint8(0))


def _by_term(terms: Ints) -> NDArray[np.intp]:
    """The stable order by term, 16 bits at a time: NumPy sorts short integers by counting, in linear time."""
    order = np.argsort(terms.astype(np.uint16), kind="stable")
    if len(terms) and int(terms.max()) >> 16:
        order = order[np.argsort((terms >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def _begins(values: Ints) -> NDArray[np.bool_]:
    """Where a run of equal values begins."""
    begins = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins
