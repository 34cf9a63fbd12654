"""The short causal convolution that stands before keys, queries and values of most recurrent layers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.shapes import expect

Activation = Literal["silu", "none"]


def naive_recurrent_short_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    tail: Tensor | None = None,
    activation: Activation = "silu",
) -> tuple[Tensor, Tensor]:
    """Convolve every channel over its last W tokens: y_t = act(sum_w weight[:, w] x_{t - W + 1 + w} + bias).

    `x: [B, T, D]`, `weight: [D, W]` with the newest token's weight last, `bias: [D]`, `tail: [B, W - 1, D]` the inputs
    before the first, 0 if left out. Returns y like x, and the tail for what follows. Raises `InvalidInput` for other
    shapes and activations.
    """
    tail = _tail(x, weight, bias, tail, activation)
    ys = []
    for t in range(x.shape[1]):
        window = torch.cat((tail, x[:, t : t + 1]), 1)
        ys.append(torch.einsum("bwd,dw->bd", window, weight))
        tail = window[:, 1:]
    y = torch.stack(ys, 1) if ys else x
    return _activated(y, bias, activation), tail


def chunk_short_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    tail: Tensor | None = None,
    activation: Activation = "silu",
) -> tuple[Tensor, Tensor]:
    """`naive_recurrent_short_conv`, all tokens together."""
    tail = _tail(x, weight, bias, tail, activation)
    length, width = x.shape[1], weight.shape[1]
    if not length:
        return x, tail
    whole = torch.cat((tail, x), 1)
    y = whole[:, width - 1 :] * weight[:, -1]
    for w in range(width - 1):
        y = torch.addcmul(y, whole[:, w : w + length], weight[:, w])
    return _activated(y, bias, activation), whole[:, length:]


def _example(length: int, generator: torch.Generator) -> Call:
    x, weight = torch.randn(1, length, 192, generator=generator), torch.randn(192, 4, generator=generator)
    return Call((x, weight), state="tail")


short_conv = Op(naive_recurrent_short_conv, chunk_short_conv, examples={"192 channels": _example})


def _tail(x: Tensor, weight: Tensor, bias: Tensor | None, tail: Tensor | None, activation: str) -> Tensor:
    optional = {"bias": bias, "tail": tail}
    given = {"x": x, "weight": weight, **{name: one for name, one in optional.items() if one is not None}}
    expect(x.ndim == 3, "x must be [B, T, D]", given)
    expect(weight.ndim == 2 and weight.shape[0] == x.shape[2] and weight.shape[1] > 0, "weight must be [D, W]", given)
    expect(bias is None or bias.shape == weight.shape[:1], "bias must be [D]", given)
    shape = (x.shape[0], weight.shape[1] - 1, x.shape[2])
    expect(tail is None or tail.shape == shape, f"tail must be [B, W - 1, D] = {shape}", given)
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)
    if activation not in ("silu", "none"):
        raise InvalidInput(f"activation {activation!r} is neither 'silu' nor 'none'")
    return x.new_zeros(shape) if tail is None else tail


def _activated(y: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    y = y if bias is None else y + bias
    return functional.silu(y) if activation == "silu" else y
