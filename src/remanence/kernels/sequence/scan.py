"""Elementwise linear recurrences over time, y_t = a_t y_{t-1} + b_t, in about 2 sqrt(T) steps instead of T."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.shapes import expect


def naive_recurrent_assoc_scan(a: Tensor, b: Tensor, init: Tensor | None = None) -> Tensor:
    """y_t = a_t * y_{t-1} + b_t along the second dimension; returns all y, like b.

    `a: [B, T, …]` has the first dimensions of `b: [B, T, …, …]`, or 1 in place of some, and is repeated along the
    others. `init: [B, …, …]` is y before the first step, 0 if left out. a may have any sign and may be 0. Raises
    `InvalidInput` for other shapes.
    """
    a, init = _aligned(a, b, init)
    y, ys = init, []
    for t in range(b.shape[1]):
        y = a[:, t] * y + b[:, t]
        ys.append(y)
    return torch.stack(ys, 1) if ys else b


def chunk_assoc_scan(a: Tensor, b: Tensor, init: Tensor | None = None) -> Tensor:
    """`naive_recurrent_assoc_scan`, in sqrt(T) chunks that advance together, then from chunk to chunk.

    The gradient is the same recurrence backwards: from it, y and a alone are kept.
    """
    a, init = _aligned(a, b, init)
    if not b.shape[1]:
        return b
    first = b[:, :1] + a[:, :1] * init.unsqueeze(1)
    y: Tensor = _Scan.apply(a, torch.cat((first, b[:, 1:]), 1))  # type: ignore[no-untyped-call]
    return y


def _example(length: int, generator: torch.Generator) -> Call:
    a, b = torch.rand(1, length, generator=generator), torch.randn(1, length, 256, generator=generator)
    return Call((a, b), state="")


assoc_scan = Op(naive_recurrent_assoc_scan, chunk_assoc_scan, examples={"256 channels": _example})


class _Scan(torch.autograd.Function):
    """From y_0 = 0; with l_t = dy_t + a_{t+1} l_{t+1}: db_t = l_t and da_t = l_t y_{t-1}."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return _blocked(a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor]:
        a, y = ctx.saved_tensors
        following = torch.cat((a[:, 1:], torch.zeros_like(a[:, :1])), 1)
        db: Tensor = _Scan.apply(following.flip(1), dy.flip(1)).flip(1)  # type: ignore[no-untyped-call]
        if not ctx.needs_input_grad[0]:
            return None, db
        before = torch.cat((torch.zeros_like(y[:, :1]), y[:, :-1]), 1)
        return (db * before).sum_to_size(a.shape), db


def _blocked(a: Tensor, b: Tensor) -> Tensor:
    length = b.shape[1]
    size = math.isqrt(length - 1) + 1
    a, b = (_cut(one, size) for one in (a, b))
    y, product = b[:, :, 0], a[:, :, 0]
    ys, products = [y], [product]
    for t in range(1, size):
        y = a[:, :, t] * y + b[:, :, t]
        product = a[:, :, t] * product
        ys.append(y)
        products.append(product)
    carry = torch.zeros_like(b[:, 0, 0])
    carries = [carry]
    for n in range(b.shape[1] - 1):
        carry = product[:, n] * carry + y[:, n]
        carries.append(carry)
    whole = torch.stack(ys, 2) + torch.stack(products, 2) * torch.stack(carries, 1).unsqueeze(2)
    return whole.flatten(1, 2)[:, :length]


def _cut(x: Tensor, size: int) -> Tensor:
    missing = -x.shape[1] % size
    filled: Tensor = functional.pad(x, (0, 0) * (x.ndim - 2) + (0, missing)).unflatten(1, (-1, size))
    return filled


def _aligned(a: Tensor, b: Tensor, init: Tensor | None) -> tuple[Tensor, Tensor]:
    given = {"a": a, "b": b, **({} if init is None else {"init": init})}
    fits = b.ndim >= a.ndim >= 2 and b.shape[:2] == a.shape[:2]
    fits = fits and all(one in (1, other) for one, other in zip(a.shape[2:], b.shape[2:], strict=False))
    expect(fits, "b must be [B, T, …] and a have its first dimensions", given)
    expect(init is None or init.shape == b.shape[:1] + b.shape[2:], "init must be like b without time", given)
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)
    a = a.reshape(*a.shape, *[1] * (b.ndim - a.ndim))
    return a, b.new_zeros(b.shape[:1] + b.shape[2:]) if init is None else init
