"""Related words from static word vectors: "wed" for "marriage", "puppi" for "dog"."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Relatives:
    """All that a `RelatedTerms` with default limits answers, worked out beforehand.

    Relatives of `terms[i]` are the terms with the numbers `near[starts[i]:starts[i + 1]]`, at these `cosines`.
    """

    terms: tuple[str, ...]
    starts: NDArray[np.int32]
    near: NDArray[np.uint16]
    cosines: NDArray[np.float32]


Ready = Callable[[str], Relatives | None]
"""Gives the relatives that were worked out for the analyzer of a fingerprint, if there are any."""


class RelatedTerms:
    """Maps an analysed term to the analysed terms whose word vectors point the same way. Thread-safe.

    Words of one stem share the mean of their vectors. Up to `most` terms with a cosine of at least `least` are given,
    most similar first. With the default limits, `ready` answers without a look at the table, if it has the answers.
    """

    def __init__(
        self,
        table: WordTable,
        analyzer: Analyzer,
        *,
        most: int = MOST,
        least: float = LEAST_SIMILARITY,
        ready: Ready | None = None,
    ) -> None:
        self._table = table
        self._analyzer = analyzer
        self._most = most
        self._least = least
        self._ready = ready if (most, least) == (MOST, LEAST_SIMILARITY) else None
        self._answers: tuple[dict[str, int], Relatives] | None = None
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
            answers = self._load_answers()
            if answers is None:
                self._load()
            row = (self._row if answers is None else answers[0]).get(term)
            if row is None:
                return ()
            found = self._known[term] = self._look(row) if answers is None else _read(row, answers[1])
        return found

    def all(self) -> Relatives:
        """The relatives of every term of the table."""
        self._load()
        found = [self._look(row) for row in range(len(self._terms))]
        pairs = [pair for one in found for pair in one]
        return Relatives(
            tuple(self._terms),
            np.cumsum([0, *map(len, found)]).astype(np.int32),
            np.array([self._row[term] for term, _ in pairs], np.uint16),
            np.array([cosine for _, cosine in pairs], np.float32),
        )

    def naive(self, term: str) -> tuple[tuple[str, float], ...]:
        """The same without SIMD and without memory of earlier calls."""
        codes = self._load()
        row = self._row.get(term)
        if row is None:
            return ()
        return self._nearest(row, scan_naive(codes, self._scales, codes[row], self._scales[row]))

    def _look(self, row: int) -> tuple[tuple[str, float], ...]:
        codes = self._load()
        return self._nearest(row, scan(codes, self._scales, codes[row], self._scales[row]))

    def _load_answers(self) -> tuple[dict[str, int], Relatives] | None:
        with self._lock:
            if self._answers is None and self._ready is not None:
                found = self._ready(self._analyzer.fingerprint)
                self._ready = None
                if found is not None:
                    self._answers = {term: row for row, term in enumerate(found.terms)}, found
            return self._answers

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


def _read(row: int, found: Relatives) -> tuple[tuple[str, float], ...]:
    span = slice(int(found.starts[row]), int(found.starts[row + 1]))
    near, cosines = found.near[span].tolist(), found.cosines[span].tolist()
    return tuple((found.terms[other], cosine) for other, cosine in zip(near, cosines, strict=True))


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
