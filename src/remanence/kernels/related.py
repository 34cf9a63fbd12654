"""Related words from static word vectors: "wed" for "marriage", "puppi" for "dog"."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.dense import scan, scan_naive, top
from remanence.kernels.quantize import quantize

WordTable = Callable[[], tuple[Sequence[str], NDArray[np.float32]]]
"""Gives words [v] and their vectors [v, dim]; called once, at first use."""

MOST = 12
LEAST_SIMILARITY = 0.45
_CHUNK = 512


class RelatedTerms:
    """Maps an analysed term to the analysed terms whose word vectors point the same way. Thread-safe.

    Words of one stem share the mean of their vectors. Up to `most` terms with a cosine of at least `least` are given,
    most similar first.
    """

    def __init__(
        self, table: WordTable, analyzer: Analyzer, *, most: int = MOST, least: float = LEAST_SIMILARITY
    ) -> None:
        self._table = table
        self._analyzer = analyzer
        self._most = most
        self._least = least
        self._lock = threading.Lock()
        self._row: dict[str, int] = {}
        self._terms: list[str] = []
        self._codes: NDArray[np.int8] | None = None
        self._scales = np.zeros(0, np.float32)
        self._known: dict[str, tuple[tuple[str, float], ...]] = {}

    def __call__(self, term: str) -> tuple[tuple[str, float], ...]:
        """`(term, cosine)` pairs; empty for a term that the table does not know."""
        found = self._known.get(term)
        if found is None:
            codes = self._load()
            row = self._row.get(term)
            found = () if row is None else self._nearest(row, scan(codes, self._scales, codes[row], self._scales[row]))
            if row is not None:
                self._known[term] = found
        return found

    def naive(self, term: str) -> tuple[tuple[str, float], ...]:
        """The same without SIMD and without memory of earlier calls."""
        codes = self._load()
        row = self._row.get(term)
        if row is None:
            return ()
        return self._nearest(row, scan_naive(codes, self._scales, codes[row], self._scales[row]))

    def _nearest(self, row: int, cosines: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        cosines[row] = -np.inf
        best = (int(near) for near in top(cosines, self._most))
        return tuple((self._terms[near], float(cosines[near])) for near in best if cosines[near] >= self._least)

    def _load(self) -> NDArray[np.int8]:
        with self._lock:
            if self._codes is None:
                words, vectors = self._table()
                rows: dict[str, int] = {}
                row_of = [
                    -1 if len(terms) != 1 or is_stopword(terms[0]) else rows.setdefault(terms[0], len(rows))
                    for terms in self._analyzer.terms_of_words(words)
                ]
                codes, self._scales = _means(vectors, np.array(row_of, np.intp), len(rows))
                self._terms = list(rows)
                self._row = rows
                self._codes = codes
            return self._codes


def _means(
    vectors: NDArray[np.float32], row_of: NDArray[np.intp], rows: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantised unit vectors in the direction of the mean of each row's vectors: codes [rows, dim], scales [rows].

    `row_of` [v] names the row of each of `vectors` [v, dim], every row at least once; -1 for none.
    """
    codes, scales = np.zeros((rows, vectors.shape[1]), np.int8), np.zeros(rows, np.float32)
    order = np.argsort(row_of, kind="stable")[np.count_nonzero(row_of < 0) :]
    ends = np.append(np.flatnonzero(np.diff(row_of[order])) + 1, len(order)) if rows else np.zeros(0, np.intp)
    starts = np.concatenate([[0], ends[:-1]])
    for low in range(0, rows, _CHUNK):
        part = slice(low, min(low + _CHUNK, rows))
        begin = int(starts[low])
        sums = np.add.reduceat(vectors[order[begin : int(ends[part][-1])]], starts[part] - begin, axis=0)
        sums /= np.maximum(np.sqrt(np.einsum("ij,ij->i", sums, sums)), 1e-9)[:, None]
        codes[part], scales[part] = quantize(sums)
    return codes, scales
