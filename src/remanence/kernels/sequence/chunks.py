"""What chunked forms have in common: cutting a sequence into chunks, and decay between the tokens of one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput

P = ParamSpec("P")
R = TypeVar("R")


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function on tensors in the types that it chooses, also where a model runs under autocast."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        first = next(iter((*args, *kwargs.values())), None)
        with torch.autocast(first.device.type if isinstance(first, Tensor) else "cpu", enabled=False):
            return function(*args, **kwargs)

    return run


def accumulation(*tensors: Tensor | None) -> torch.dtype:
    """The type that states, gates and solves are kept in: float64 if any of these is, else float32."""
    double = any(one is not None and one.dtype == torch.float64 for one in tensors)
    return torch.float64 if double else torch.float32


def chunk_length(chunk_size: int, length: int) -> int:
    """Tokens in a chunk: a power of two, no larger than it takes for the whole length.

    Raises `InvalidInput` for a chunk without tokens.
    """
    if chunk_size < 1:
        raise InvalidInput(f"chunk_size {chunk_size} must be at least 1; 64 suits most sizes")
    return 1 << max(min(chunk_size, length) - 1, 0).bit_length()


def chunked(x: Tensor, size: int) -> Tensor:
    """[B, T, H, …] to [B, H, N, size, …], N chunks; the last one is filled up with zeros."""
    batch, length, heads, *rest = x.shape
    missing = -length % size
    x = functional.pad(x, (0, 0) * (x.ndim - 2) + (0, missing))
    return x.reshape(batch, (length + missing) // size, size, heads, *rest).movedim(3, 1)


def unchunked(x: Tensor, length: int) -> Tensor:
    """[B, H, N, size, …] to [B, T, H, …], without what the last chunk was filled up with."""
    return x.movedim(1, 3).flatten(1, 2)[:, :length]


@dataclass(frozen=True)
class Decayed:
    """Products inside of chunks, each with the decay on the way; a_l is the decay of token l, by channel c or not.

    `products`: of every x, P_ij = sum_c x_ic y_jc a_{j+1} … a_i for j <= i, else 0, [..., C, C]. `from_start`: every x
    times a_1 … a_i; `to_end`: y times a_{j+1} … a_C, [..., C, K]. `over`: a_1 … a_C, [..., 1, K or 1].
    """

    products: list[Tensor]
    from_start: list[Tensor]
    to_end: Tensor
    over: Tensor


def decayed_products(xs: Sequence[Tensor], y: Tensor, g: Tensor | None = None) -> Decayed:
    """Products of queries or keys x with keys y, [..., C, K], under log decay g: [..., C], [..., C, K], or None for 0.

    C is a power of two. Where channels decay apart, blocks of tokens are joined two and two: what a later block reads
    of an earlier one is a matrix product, with the decay split where they meet. All factors are products of decays, so
    that nothing overflows, what underflows is 0 anyway, and no precision is lost in differences of sums. A log decay of
    minus infinity is allowed.
    """
    if g is None:
        return Decayed([(x @ y.mT).tril() for x in xs], list(xs), y, torch.ones_like(y[..., :1, :1]))
    if g.ndim < y.ndim:
        # Sums from j + 1 to i, never a difference of two: minus infinity stays what it is.
        decay = g.unsqueeze(-1).expand(*g.shape, g.shape[-1]).tril(-1).cumsum(-2).exp().tril()
        start, end = g.cumsum(-1).exp().unsqueeze(-1), decay[..., -1, :].unsqueeze(-1)
        return Decayed([x @ y.mT * decay for x in xs], [x * start for x in xs], y * end, start[..., -1:, :])
    over = g.exp().unsqueeze(-2)  # [..., blocks, 1, K]
    y = y.unsqueeze(-2)
    blocks = [x.unsqueeze(-2) for x in xs]
    products = [(x * y).sum(-1, keepdim=True) for x in blocks]
    blocks = [x * over for x in blocks]
    while y.shape[-3] > 1:
        later_over, earlier_y = over[..., 1::2, :, :], y[..., ::2, :, :]
        products = [
            torch.cat((_widened(p[..., ::2, :, :]), torch.cat((x @ earlier_y.mT, p[..., 1::2, :, :]), -1)), -2)
            for p, x in zip(products, (x[..., 1::2, :, :] for x in blocks), strict=True)
        ]
        blocks = [torch.cat((x[..., ::2, :, :], x[..., 1::2, :, :] * over[..., ::2, :, :]), -2) for x in blocks]
        y = torch.cat((earlier_y * later_over, y[..., 1::2, :, :]), -2)
        over = over[..., ::2, :, :] * later_over
    return Decayed([p.squeeze(-3) for p in products], [x.squeeze(-3) for x in blocks], y.squeeze(-3), over.squeeze(-3))


def _widened(x: Tensor) -> Tensor:
    return functional.pad(x, (0, x.shape[-1]))
