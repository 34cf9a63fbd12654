"""Rotary position embedding: pairs of coordinates turned by angles that grow with the position.

    (x_i, x_{i + K/2}) turned by  position * base ** (-2 i / K)

The inner product of two turned vectors depends on their positions only by the difference. Source: Su et al., RoFormer
(arXiv:2104.09864), with the halves in place of neighbours, as most models do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput


def rotary(x: Tensor, positions: Tensor, *, base: float = 10_000.0) -> Tensor:
    """x [B, T, H, K] at integer positions [B, T] or [T]. Raises `InvalidInput` for an odd K.

    Angles are computed in fp64, so that far positions are told apart as well as near ones.
    """
    width = x.shape[-1]
    if width % 2:
        raise InvalidInput(f"rotary positions turn pairs of coordinates: the width must be even, not {width}")
    rates = base ** -(torch.arange(0, width, 2, device=x.device, dtype=torch.float64) / width)
    angles = (positions[..., None].to(torch.float64) * rates)[..., None, :]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1)
