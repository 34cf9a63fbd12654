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
                rows: dict[str, list[int]] = {}
                for i, analysed in enumerate(self._analyzer.terms_many(words)):
                    if len(analysed) == 1 and not is_stopword(analysed[0]):
                        rows.setdefault(analysed[0], []).append(i)
                means = np.array([vectors[of].mean(axis=0) for of in rows.values()], np.float32)
                means = means.reshape(len(rows), vectors.shape[1])
                means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
                self._terms = list(rows)
                self._row = {term: i for i, term in enumerate(rows)}
                self._codes, self._scales = quantize(means)
            return self._codes
