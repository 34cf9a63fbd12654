"""What is not a number, kept from spreading backwards in time.

Within a chunk everything goes through matrix products, where 0 times NaN is NaN: a spoilt token would spoil what came
before it. So chunked forms compute without it, and spoil the outputs from it on themselves.

>>> k = torch.tensor([1.0, torch.nan, 3.0])[None, :, None, None]
>>> (k,), spoilt = without_nan((k,))
>>> k.flatten().tolist(), spoilt.flatten().tolist()
([1.0, 0.0, 3.0], [0.0, nan, nan])
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def unsound(tensors: Sequence[Tensor], log_decay: Tensor | None = None) -> Tensor:
    """[B, T, H]: where any of the tensors [B, T, H] or [B, T, H, …] is not finite, or a log decay is NaN or +inf.

    A log decay of minus infinity empties a memory, which is an ordinary thing to do.
    """
    bad = [~one.isfinite() for one in tensors]
    if log_decay is not None:
        bad.append(log_decay.isnan() | (log_decay == torch.inf))
    found = None
    for one in bad:
        whole = one.flatten(3).any(-1) if one.ndim > 3 else one
        found = whole if found is None else found | whole
    assert found is not None
    return found


def without_nan(tensors: Sequence[Tensor], log_decay: Tensor | None = None) -> tuple[tuple[Tensor, ...], Tensor]:
    """The tensors, and last the log decay if there is one, with 0 for all tokens that are not sound; and what is to be
    added to outputs [B, T, H]: NaN from the first such token on, 0 before it."""
    bad = unsound(tensors, log_decay)
    spoilt = torch.zeros(bad.shape, dtype=tensors[0].dtype, device=bad.device).masked_fill(bad, torch.nan).cumsum(1)
    every = [*tensors, log_decay] if log_decay is not None else [*tensors]
    clean = tuple(one.masked_fill(bad.reshape(*bad.shape, *[1] * (one.ndim - 3)), 0) for one in every)
    return clean, spoilt
