"""A multi-layer perceptron as memory, whose weights are trained while it is read; the update is that of `update`.

Its gradients are taken at the last chunk boundary, so that a chunk is computed at once; see `frozen`. With momentum it
is the deep memory of Titans, with a window that of OmegaNet, with Newton-Schulz besides that of ATLAS, with loss "dot"
deep linear attention, and with l2 and neither, a TTT layer.
Source: Behrouz, Zhong and Mirrokni, Titans (arXiv:2501.00663); Behrouz et al., ATLAS (arXiv:2505.23735); Sun et al.,
Learning to (learn at test time) (arXiv:2407.04620).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.forms import Call, Example, Op
from remanence.kernels.sequence.frozen import Gates, Mlp, drawn, frozen_chunks, given
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.update import Loss, Parameters, Post, UpdateState, naive_update, start

PLAIN = Mlp()
Result = tuple[Tensor, UpdateState | None]


def initial_weights(
    heads: int,
    key_dim: int,
    value_dim: int,
    *,
    depth: int = 2,
    hidden: int | None = None,
    residual: bool = False,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
) -> Parameters:
    """Parameters of an `Mlp` without a batch, [H, in, out], each uniform as by Xavier; the gain [H, V] is 0.

    Hidden layers are `hidden` wide, four times the key if it is left out. Raises `InvalidInput` for a memory without
    layers or with an empty one, and for a residual one whose values differ in width from its keys.
    """
    hidden = 4 * key_dim if hidden is None else hidden
    if depth < 1 or (depth > 1 and hidden < 1):
        raise InvalidInput(f"a memory of depth {depth} and hidden width {hidden} has no layer; both must be at least 1")
    if residual and key_dim != value_dim:
        raise InvalidInput(f"a residual memory needs values as wide as keys; got {value_dim} and {key_dim}")
    widths = [key_dim, *[hidden] * (depth - 1), value_dim]
    weights = []
    for wide, out in pairwise(widths):
        bound = math.sqrt(6 / (wide + out))
        weights.append((2 * torch.rand(heads, wide, out, generator=generator, dtype=dtype) - 1) * bound)
    return (*weights, torch.zeros(heads, value_dim, dtype=dtype)) if residual else tuple(weights)


def naive_recurrent_deep(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    initial_state: UpdateState,
    theta: Tensor | None = None,
    gamma: Tensor | None = None,
    eta: Tensor | None = None,
    g: Tensor | None = None,
    rate: Tensor | None = None,
    window: int = 1,
    memory: Mlp = PLAIN,
    loss: Loss = "squared",
    post: Post | None = None,
    scale: float = 1.0,
    chunk_size: int = 64,
    output_final_state: bool = True,
) -> Result:
    """`o [B, T, H, V], state = deep(q, k, v, initial_state=start(parameters, k, v), theta=…, eta=…, g=…)`.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V].
        initial_state: weights, each [B, H, in, out], in a state: `update.start`, from `initial_weights` for example.
        theta: step size (None: 1), [B, T, H].
        gamma: weight of a pair in the windows that it is in (None: 1), [B, T, H].
        eta: momentum (None: 0), [B, T, H].
        g: log decay, [B, T, H]; None: nothing is forgotten.
        rate: factor on what is added to the weights (None: 1), [B, T, H].
        window: how many of the last pairs each gradient is taken over.
        memory: whether the perceptron stands alone or in a residual norm.
        loss: "squared" is |f - v|^2 as published; "l2" half of it; "dot" -<f, v>.
        post: what is made of S of each weight matrix before it is added, e.g. `newton_schulz`; None: nothing.
        scale: factor on q. It is 1, not K ** -0.5: the memory is fitted to the keys as they are.
        chunk_size: tokens that share the point of their gradients.
        output_final_state: whether to return the state.

    Raises `InvalidInput` for shapes that do not match.

    """
    type_ = v.dtype
    gates = Gates(g, eta, theta, gamma, rate)
    q, k, v, gates, state = given(
        q, k, v, gates, initial_state, memory=memory, loss=loss, window=window, chunk_size=chunk_size, scale=scale
    )
    o, final = naive_update(
        q,
        k,
        v,
        state=state,
        apply=memory,
        loss=loss,
        grad_at="chunk_start",
        **gates._asdict(),
        window=window,
        chunk_size=chunk_size,
        post=lambda s: s if post is None or s.ndim < 4 else post(s),
    )
    return o.to(type_), final if output_final_state else None


def chunk_deep(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    initial_state: UpdateState,
    theta: Tensor | None = None,
    gamma: Tensor | None = None,
    eta: Tensor | None = None,
    g: Tensor | None = None,
    rate: Tensor | None = None,
    window: int = 1,
    memory: Mlp = PLAIN,
    loss: Loss = "squared",
    post: Post | None = None,
    scale: float = 1.0,
    chunk_size: int = 64,
    output_final_state: bool = True,
) -> Result:
    """`naive_recurrent_deep`, a chunk at a time: gradients by batch algebra, each query through its own weights."""
    type_ = v.dtype
    arguments = given(
        q, k, v, Gates(g, eta, theta, gamma, rate), initial_state,
        memory=memory, loss=loss, window=window, chunk_size=chunk_size, scale=scale,
    )  # fmt: skip
    o, state = frozen_chunks(*arguments, memory=memory, loss=loss, window=window, chunk_size=chunk_size, post=post)
    return o.to(type_), state if output_final_state else None


def surprise(
    k: Tensor,
    v: Tensor,
    *,
    initial_state: UpdateState,
    loss: Loss = "squared",
    memory: Mlp = PLAIN,
    **arguments: Any,
) -> tuple[Tensor, UpdateState | None]:
    """What each pair loses under the memory before it, [B, T, H], and the state after the last.

    Other arguments are those of `deep`. Large where something comes that the memory does not predict: a sign of novelty
    for what segments events or chooses what to keep.
    """
    ahead = torch.cat((k[:, 1:], k[:, :1]), 1)
    o, state = chunk_deep(ahead, k, v, initial_state=initial_state, loss=loss, memory=memory, **arguments)
    first = memory(initial_state.parameters, k[:, :1].to(initial_state.parameters[0].dtype))
    said = torch.cat((first.to(o.dtype), o[:, :-1]), 1)[:, : k.shape[1]]
    if loss == "dot":
        return -(said * v).sum(-1), state
    squares = (said - v).square().sum(-1)
    return (squares if loss == "squared" else squares / 2), state


def _example(post: Post | None) -> Example:
    def example(length: int, generator: torch.Generator) -> Call:
        (q, k, v), gates = drawn(length, generator)
        weights = initial_weights(k.shape[2], k.shape[3], v.shape[3], generator=generator)
        state = start(tuple(one[None] for one in weights), k, v)
        return Call(
            (q, k, v), {**gates, "post": post, "rate": 0.1 * torch.ones_like(gates["g"]), "initial_state": state}
        )

    return example


deep = Op(
    naive_recurrent_deep,
    chunk_deep,
    examples={"Titans, two layers": _example(None), "ATLAS, two layers": _example(newton_schulz)},
)
