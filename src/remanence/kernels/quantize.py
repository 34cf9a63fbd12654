"""Vectors as signed bytes with one scale per row.

`row ≈ codes * scale` with `scale = max|row| / 127`: symmetric (no zero point), so a dot product of two quantised rows
is the integer dot product of the codes times the two scales. A quarter of the memory of float32; the largest error of
an element is half a step, `scale / 2`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

__all__ = ["dequantize", "quantize", "quantize_naive"]

LEVELS = 127


def quantize(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes int8 [n, d] and scales float32 [n] of `vectors` float32 [n, d]; a zero row has scale 0.

    Raises:
        InvalidInput: not two-dimensional, or a value that is NaN or infinite.

    """
    matrix = _matrix(vectors)
    peaks = np.abs(matrix).max(axis=1, initial=0.0)
    # The peak of a row is NaN or infinite exactly when one of its values is: n checks instead of n*d.
    if not np.isfinite(peaks).all():
        row = int(np.flatnonzero(~np.isfinite(peaks))[0])
        raise InvalidInput(f"row {row} holds NaN or an infinite value; only finite vectors can be quantised")
    scales = (peaks / np.float32(LEVELS)).astype(np.float32)
    # A peak below 127 * the smallest float32 leaves no scale to speak of; such a row is zero for every purpose.
    steps = np.divide(np.float32(1.0), scales, out=np.zeros_like(scales), where=scales > np.finfo(np.float32).tiny)
    scales[steps == 0] = 0.0
    codes = np.rint(matrix * steps[:, None])
    # Rounding of 1/scale can push the peak a hair over 127.5; -128 must not appear either, or -code would overflow.
    np.clip(codes, -LEVELS, LEVELS, out=codes)
    return codes.astype(np.int8), scales


def dequantize(codes: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """The float32 [n, d] that codes int8 [n, d] and scales float32 [n] stand for.

    Raises:
        InvalidInput: the two have a different number of rows.

    """
    if codes.ndim != 2 or scales.shape != (codes.shape[0],):
        raise InvalidInput(f"codes of shape {codes.shape} need one scale per row, got scales of shape {scales.shape}")
    return codes.astype(np.float32) * scales[:, None].astype(np.float32)


def quantize_naive(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`quantize` row by row and value by value."""
    matrix = _matrix(vectors)
    codes = np.zeros(matrix.shape, dtype=np.int8)
    scales = np.zeros(matrix.shape[0], dtype=np.float32)
    for i, row in enumerate(matrix):
        values = [float(value) for value in row]
        if not all(np.isfinite(values)):
            raise InvalidInput(f"row {i} holds NaN or an infinite value; only finite vectors can be quantised")
        scale = max((abs(value) for value in values), default=0.0) / LEVELS
        if scale <= np.finfo(np.float32).tiny:
            continue
        scales[i] = scale
        for j, value in enumerate(values):
            codes[i, j] = max(-LEVELS, min(LEVELS, round(value / scale)))
    return codes, scales


def _matrix(vectors: NDArray[Any]) -> NDArray[np.float32]:
    matrix = np.asarray(vectors, dtype=np.float32)
    if matrix.ndim != 2:
        raise InvalidInput(f"vectors must be a matrix [n, d], got shape {matrix.shape}")
    return matrix
