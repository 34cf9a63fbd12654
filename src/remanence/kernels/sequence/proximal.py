"""The implicit step: the memory nearest to the last one that fits the new pair, as a step size for the delta rule.

    M_t = argmin_M |M - M_{t-1}|^2 + delta_t |M^T k_t - v_t|^2
        = M_{t-1} + beta_t k_t (v_t - M_{t-1}^T k_t)^T,  beta_t = delta_t / (1 + delta_t |k_t|^2)

Whatever delta is, beta |k|^2 < 1: a step never overshoots, also with keys that are not normalised. It is the step of
Longhorn (arXiv:2407.14207) and the delta gradient descent of Nested Learning, which get it from Sherman and Morrison.
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput


def proximal_beta(k: Tensor, delta: Tensor) -> Tensor:
    """beta [B, T, H] of the delta rule for keys k [B, T, H, K] and strengths delta [B, T, H], >= 0 and maybe infinite.

    An infinite delta stores v exactly; a key that is 0 takes nothing in then. Raises `InvalidInput` for other shapes.
    """
    if delta.shape != k.shape[:-1]:
        raise InvalidInput(f"delta must be [B, T, H] = {tuple(k.shape[:-1])}; got {tuple(delta.shape)}")
    square = k.square().sum(-1)
    endless = torch.isposinf(delta)
    nothing = endless & (square == 0)
    finite = delta.masked_fill(endless, 1)
    exact = 1 / square.masked_fill(square == 0, 1)
    return torch.where(endless, exact, finite / (1 + finite * square)).masked_fill(nothing, 0)
