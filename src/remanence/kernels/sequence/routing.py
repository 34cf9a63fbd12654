"""Routing: which of several memories a token goes to, and each memory's tokens side by side.

    s = softmax(scores),  (w, indices) = the k largest of s,  w / sum w
    balance = n sum_m f_m P_m,  f_m the share of choices that fell on m, P_m the mean of s_m

`pack` lays tokens out by memory, in their order, so that all memories are advanced together and one that got no token
is not touched. Source: Shazeer et al. (arXiv:1701.06538) for the router, Fedus et al., Switch Transformers
(arXiv:2101.03961) for the loss; Du et al., Mixture-of-Memories (arXiv:2502.13685) for memories in place of experts.

>>> import torch
>>> routed = router_topk(torch.tensor([[[2.0, 0.0, 2.0], [0.0, 0.0, 9.0]]]), 2)
>>> routed.indices.tolist(), routed.weights[0, 0].tolist()
([[[0, 2], [2, 0]]], [0.5, 0.5])
>>> packed = pack(routed.indices, 3)
>>> packed.counts.tolist(), packed.take(torch.tensor([[[5.0], [6.0]]])).squeeze(-1).tolist()
([[2, 0, 2]], [[[5.0, 6.0], [0.0, 0.0], [5.0, 6.0]]])
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.shapes import expect


class Routed(NamedTuple):
    """Weights [B, T, k] that sum to 1, largest first, the memories [B, T, k] that they are for, and s [B, T, n]."""

    weights: Tensor
    indices: Tensor
    probabilities: Tensor


class Packed(NamedTuple):
    """Where tokens stand that are laid out by memory, each memory's in their order, from the left."""

    source: Tensor
    """[B, n, L]: the token at this place; 0 where there is none."""
    valid: Tensor
    """[B, n, L]: whether there is one."""
    counts: Tensor
    """[B, n]: tokens of each memory."""
    flat: Tensor
    """[B, T, k]: the place, of all n L, of each choice of each token."""

    def take(self, x: Tensor) -> Tensor:
        """[B, T, …] to [B, n, L, …], with zeros where there is no token."""
        rows = torch.arange(x.shape[0], device=x.device)[:, None, None]
        return x[rows, self.source].masked_fill(_alongside(~self.valid, x.ndim + 1), 0)

    def take_own(self, x: Tensor) -> Tensor:
        """[B, T, n, …], something for every memory, to [B, n, L, …], to each memory what is for it."""
        rows = torch.arange(x.shape[0], device=x.device)[:, None, None]
        own = torch.arange(x.shape[2], device=x.device)[None, :, None]
        return x[rows, self.source, own].masked_fill(_alongside(~self.valid, x.ndim), 0)

    def put(self, y: Tensor, weights: Tensor) -> Tensor:
        """[B, n, L, …] back to [B, T, …]: of every token, the sum over its choices, weighted by [B, T, k]."""
        rows = torch.arange(y.shape[0], device=y.device)[:, None, None]
        chosen = y.flatten(1, 2)[rows, self.flat]
        return (_alongside(weights, chosen.ndim) * chosen).sum(2)


def router_topk(scores: Tensor, k: int) -> Routed:
    """The k memories of each token, by scores [B, T, n]; of equal ones the first. In fp32, or fp64 for such scores.

    Raises `InvalidInput` unless 1 <= k <= n.
    """
    expect(scores.ndim == 3, "scores must be [B, T, n]", {"scores": scores})
    if not 1 <= k <= scores.shape[-1]:
        raise InvalidInput(f"top {k} of {scores.shape[-1]} memories: k must be from 1 to their number")
    probabilities = scores.to(torch.promote_types(scores.dtype, torch.float32)).softmax(-1)
    ordered, indices = probabilities.sort(dim=-1, descending=True, stable=True)
    weights = ordered[..., :k]
    return Routed(weights / weights.sum(-1, keepdim=True), indices[..., :k], probabilities)


def load_balance(probabilities: Tensor, indices: Tensor) -> Tensor:
    """n sum_m f_m P_m of tokens [..., n] and their choices [..., k]: 1 where all is even, n where one gets all.

    Its gradient comes through P alone. No tokens give 0.
    """
    n = probabilities.shape[-1]
    shares = torch.bincount(indices.flatten(), minlength=n).to(probabilities) / max(indices.numel(), 1)
    mean = probabilities.flatten(0, -2).sum(0) / max(probabilities.numel() // n, 1)
    return n * (shares * mean).sum()


def random_router(size: int, n: int, *, seed: int = 0) -> Tensor:
    """A router that needs no training: fixed directions [size, n], standard normal; scores are x @ directions."""
    return torch.randn(size, n, generator=torch.Generator().manual_seed(seed))


def pack(indices: Tensor, n: int) -> Packed:
    """Lay tokens out by memory; `indices` [B, T, k] in 0 … n - 1, the k of a token all different."""
    expect(indices.ndim == 3, "indices must be [B, T, k]", {"indices": indices})
    batch, length, k = indices.shape
    chosen = torch.zeros(batch, length, n, dtype=torch.long, device=indices.device).scatter_(2, indices, 1)
    counts = chosen.sum(1)
    places = (chosen.cumsum(1) - 1).gather(2, indices)
    longest = int(counts.max()) if counts.numel() else 0
    flat = indices * longest + places
    tokens = torch.arange(length, device=indices.device)[None, :, None].expand(batch, length, k)
    source = torch.zeros(batch, n * longest, dtype=torch.long, device=indices.device)
    source = source.scatter(1, flat.flatten(1), tokens.flatten(1)).unflatten(1, (n, longest))
    valid = torch.arange(longest, device=indices.device) < counts[..., None]
    return Packed(source, valid, counts, flat)


def _alongside(x: Tensor, dims: int) -> Tensor:
    return x.reshape(*x.shape, *[1] * (dims - x.ndim))
