"""Newton-Schulz iteration: every singular value of a matrix is moved towards 1, its singular vectors stay.

X_0 = G / |G|_F,  X <- a X + (b A + c A^2) X with A = X X^T. The "muon" coefficients are fast but land near 1, not on
it: singular values in [0.01, 1] |G|_F come out in [0.68, 1.13] after five steps. "cubic" (1.5, -0.5, 0) converges to 1,
slowly for small ones.
Source: Jordan et al., Muon (https://kellerjordan.github.io/posts/muon); used on surprise by ATLAS (arXiv:2505.23735).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput

Coefficients = Literal["muon", "cubic"]
COEFFICIENTS: dict[str, tuple[float, float, float]] = {
    "muon": (3.4445, -4.7750, 2.0315),
    "cubic": (1.5, -0.5, 0.0),
}


def newton_schulz(matrices: Tensor, steps: int = 5, coefficients: Coefficients = "muon") -> Tensor:
    """Orthogonalise [..., m, n], each matrix by itself, in fp32 at least; a zero matrix stays zero.

    Raises `InvalidInput` for what is no matrix, a negative number of steps and coefficients that are not there.
    """
    if matrices.ndim < 2:
        raise InvalidInput(f"Newton-Schulz takes matrices [..., m, n]; got {list(matrices.shape)}")
    if steps < 0:
        raise InvalidInput(f"steps {steps} must not be negative")
    if coefficients not in COEFFICIENTS:
        raise InvalidInput(f"no coefficients {coefficients!r}; there are {', '.join(COEFFICIENTS)}")
    if not matrices.numel():
        return matrices
    a, b, c = COEFFICIENTS[coefficients]
    x = matrices.to(torch.promote_types(matrices.dtype, torch.float32))
    tall = x.shape[-2] > x.shape[-1]
    x = _unit(x.mT if tall else x)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram) if c else b * gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


def _unit(x: Tensor) -> Tensor:
    """x over its Frobenius norm. The result does not depend on the scale, so that the first division may be a constant
    for the gradient; without it squares of small entries would underflow."""
    largest = x.detach().abs().amax((-2, -1), keepdim=True)
    x = x / torch.where(largest > 0, largest, 1)
    squares = x.square().sum((-2, -1), keepdim=True)
    return x * torch.rsqrt(torch.where(squares > 0, squares, 1))
