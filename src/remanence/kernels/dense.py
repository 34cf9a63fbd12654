"""Exact nearest neighbours by scanning: int8 vectors, integer dot products, one pass over the matrix.

A stored vector is `codes * scale` with int8 codes; a unit vector of 256 components takes 260 bytes. The scan is bound
by memory bandwidth: `docs/benchmarks.md` shows how close it comes on a measured machine.
"""

from __future__ import annotations

import numpy as np
import simsimd
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

_SAMPLED, _SAMPLE, _MARGIN = 24, 4096, 3
"""From how many times as many scores as are wanted a sample is taken, how large it gets, how far below it aims."""

Codes = NDArray[np.int8]
Floats = NDArray[np.float32]


def scan_naive(codes: Codes, scales: Floats, query: Codes, query_scale: float) -> Floats:
    """Dot product of every row with the query, in plain numpy. Shapes: [n, d], [n], [d]; result [n] float32."""
    if not len(codes):
        return np.zeros(0, np.float32)
    dots = codes.astype(np.int32) @ query.astype(np.int32)
    return (dots.astype(np.float32) * scales * np.float32(query_scale)).astype(np.float32)


def scan(codes: Codes, scales: Floats, query: Codes, query_scale: float) -> Floats:
    """`scan_naive` with SIMD integer arithmetic, without widening the matrix. Equal to it bit for bit."""
    if codes.ndim != 2 or query.shape != (codes.shape[1],):
        raise InvalidInput(f"a query of shape {query.shape} does not fit a matrix of shape {codes.shape}")
    if not len(codes):
        return np.zeros(0, np.float32)
    # Integer dot products are exact whatever the order of summation, so every machine ranks alike.
    dots = np.asarray(simsimd.cdist(query[None, :], codes, "dot"))[0]
    found: Floats = dots.astype(np.float32)
    found *= scales
    found *= np.float32(query_scale)
    return found


def top_naive(scores: NDArray[np.floating], k: int, above: float = -np.inf) -> NDArray[np.intp]:
    """Positions of the k greatest scores over `above`, best first; equal scores in order of position."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return np.array([row for row in order if scores[row] > above][: max(k, 0)], dtype=np.intp)


def top(scores: NDArray[np.floating], k: int, above: float = -np.inf) -> NDArray[np.intp]:
    """`top_naive` in linear time."""
    if k <= 0 or not len(scores):
        return np.zeros(0, np.intp)
    if len(scores) >= _SAMPLED * k:
        # A value that a sample puts well below the k-th greatest leaves few to look at. Were it above, all are.
        sample = scores[:: max(_SAMPLED // 3, len(scores) // max(_SAMPLE, _SAMPLED * k))]
        rank = len(sample) - min(len(sample), k * len(sample) * _MARGIN // len(scores) + _MARGIN)
        threshold = np.partition(sample, rank)[rank]
        if threshold > above:
            rows = np.flatnonzero(scores >= threshold)
            if k <= len(rows) < len(scores) // 2:
                return rows[top(scores[rows], k)]
    if above > -np.inf:
        rows = np.flatnonzero(scores > above)
        return rows[top(scores[rows], k)]
    if k < len(scores):
        # The k-th greatest value decides; ties at the threshold go by position, as in the naive form.
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        greater = np.flatnonzero(scores > threshold)
        rows = np.concatenate([greater, np.flatnonzero(scores == threshold)[: k - len(greater)]])
    else:
        rows = np.arange(len(scores))
    rows = rows[scores[rows] > -np.inf]
    best: NDArray[np.intp] = rows[np.lexsort((rows, -scores[rows]))]
    return best
