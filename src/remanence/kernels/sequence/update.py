"""The one update that every gradient member of the family makes, token by token: the reference for all fast forms.

A memory f_M is fitted while it is read, to pairs (k_i, v_i) of the past:

    P_t = alpha_t * M_{t-1}  (grad_at "decayed"),  M_{t-1}  ("previous"),  M at the last chunk boundary  ("chunk_start")
    u_t = sum_{t-c < i <= t} gamma_i grad_M loss(f_M(k_i), v_i) at M = P_t
    S_t = eta_t S_{t-1} - theta_t u_t
    M_t = alpha_t * M_{t-1} + rate_t post(S_t)
    o_t = f_{M_t}(q_t)      (read_at "after"),  f_{M_{t-1}}(q_t)  ("before")

Slow and readable; it differentiates the loss itself (torch.func), so that it needs no formula for any memory.
Source: Wang et al., Test-time regression (arXiv:2501.12352); Behrouz et al., Titans (arXiv:2501.00663) and ATLAS
(arXiv:2505.23735). The choice of names is this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Parameters = tuple[Tensor, ...]
"""The parameters of a memory, each [B, H, …]: one memory for each sequence and head."""
Apply = Callable[[Parameters, Tensor], Tensor]
"""f: parameters and inputs [B, N, H, K] to outputs [B, N, H, V]."""
Loss = Literal["dot", "l2", "squared"]
"""-<f, v>;  1/2 |f - v|^2;  |f - v|^2 as in the papers on Titans and ATLAS."""
GradAt = Literal["decayed", "previous", "chunk_start"]
Post = Callable[[Tensor], Tensor]


def linear(parameters: Parameters, inputs: Tensor) -> Tensor:
    """The matrix memory: f(x) = M^T x, with M [B, H, K, V]."""
    return torch.einsum("bhkv,bnhk->bnhv", parameters[0], inputs)


@dataclass(frozen=True)
class UpdateState:
    """M, momentum S, M at the last boundary, the last pairs of the window, and how many tokens of the chunk are over.

    `keys [B, <c, H, K]`, `values [B, <c, H, V]`, `weights [B, <c, H]`.
    """

    parameters: Parameters
    momentum: Parameters
    anchor: Parameters
    keys: Tensor
    values: Tensor
    weights: Tensor
    offset: int = 0


def start(parameters: Parameters, k: Tensor, v: Tensor) -> UpdateState:
    """The state before the first token, for keys and values of these shapes."""
    none = tuple(torch.zeros_like(one) for one in parameters)
    return UpdateState(parameters, none, parameters, k[:, :0], v[:, :0], k[:, :0, :, 0])


def naive_update(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    state: UpdateState,
    apply: Apply = linear,
    loss: Loss = "l2",
    grad_at: GradAt = "decayed",
    g: Tensor | None = None,
    eta: Tensor | None = None,
    theta: Tensor | None = None,
    gamma: Tensor | None = None,
    rate: Tensor | None = None,
    window: int = 1,
    chunk_size: int = 1,
    post: Post = lambda s: s,
    read_at: Literal["after", "before"] = "after",
    scale: float = 1.0,
) -> tuple[Tensor, UpdateState]:
    """Run the update over time; returns o [B, T, H, V] and the state after the last token.

    Args:
        q, k, v: queries, keys (after features) and values.
        state: where to begin; see `start`.
        apply: the memory f.
        g: log decay, [B, T, H], or [B, T, H, K] for the rows of a matrix memory; None: nothing decays.
        eta, theta, gamma: momentum (None: 0), step size (None: 1) and the weight of a pair in its windows (None: 1),
            each [B, T, H].
        rate: factor on what `post` made of S (None: 1), [B, T, H]; a step size where `post` forgets the size of S.
        window: how many of the last pairs a gradient is taken over.
        chunk_size: tokens between boundaries for `grad_at="chunk_start"`.
        post: what is made of S, of each parameter by itself, before it is added; e.g. Newton-Schulz.
        scale: factor on q.

    """
    batch, length, heads, _ = k.shape
    ones = torch.ones(batch, length, heads, dtype=k.dtype, device=k.device)
    eta = torch.zeros_like(ones) if eta is None else eta
    theta = ones if theta is None else theta
    gamma = ones if gamma is None else gamma
    alpha = ones if g is None else g.exp()
    rate = ones if rate is None else rate
    memory, momentum, anchor, offset = state.parameters, state.momentum, state.anchor, state.offset
    keys, values, weights = state.keys, state.values, state.weights
    outputs = []
    for t in range(length):
        if offset % chunk_size == 0:
            anchor = memory
        read = memory
        keys, values, weights = (
            torch.cat((held, new[:, t : t + 1]), 1)[:, -window:]
            for held, new in ((keys, k), (values, v), (weights, gamma))
        )
        decayed = _scaled(memory, alpha[:, t])
        at = {"decayed": decayed, "previous": memory, "chunk_start": anchor}[grad_at]
        gradient = torch.func.grad(_total(apply, loss, keys, values, weights))(at)
        if not torch.is_grad_enabled():
            # torch.func.grad records by what it differentiates, whatever was said outside of it.
            gradient = tuple(one.detach() for one in gradient)
        steps = zip(_scaled(momentum, eta[:, t]), _scaled(gradient, theta[:, t]), strict=True)
        momentum = tuple(held - step for held, step in steps)
        written = _scaled([post(step) for step in momentum], rate[:, t])
        memory = tuple(held + step for held, step in zip(decayed, written, strict=True))
        outputs.append(apply(memory if read_at == "after" else read, scale * q[:, t : t + 1]))
        offset += 1
    o = torch.cat(outputs, 1) if outputs else torch.zeros_like(v)
    kept = max(window - 1, 0)
    keys, values, weights = (held[:, held.shape[1] - min(kept, held.shape[1]) :] for held in (keys, values, weights))
    return o, UpdateState(memory, momentum, anchor, keys, values, weights, offset)


def _total(apply: Apply, loss: Loss, k: Tensor, v: Tensor, weights: Tensor) -> Callable[[Parameters], Tensor]:
    """The weighted loss, summed over everything: memories of other sequences and heads do not occur in a gradient."""

    def total(parameters: Parameters) -> Tensor:
        f = apply(parameters, k)
        if loss == "dot":
            return -(weights * (f * v).sum(-1)).sum()
        squares = (weights * (f - v).square().sum(-1)).sum()
        return squares if loss == "squared" else squares / 2

    return total


def _scaled(parameters: Sequence[Tensor], factor: Tensor) -> Parameters:
    """Each parameter [B, H, …] times a factor [B, H], or [B, H, K] along its first own axis."""
    return tuple(one * factor.reshape(*factor.shape, *[1] * (one.ndim - factor.ndim)) for one in parameters)
