"""The Omega rule: a matrix memory that is fitted to the last c pairs at each token, not to the last one alone.

    u_t = sum_{t-c < i <= t} gamma_i grad loss(M^T k_i, v_i)
        = G_t M - B_t,  G_t = sum gamma_i k_i k_i^T,  B_t = sum gamma_i k_i v_i^T     (twice that if squared)
    S_t = eta_t S_{t-1} - theta_t u_t
    M_t = alpha_t M_{t-1} + rate_t post(S_t)
    o_t = M_t^T q_t

The gradient is taken at the last chunk boundary, with chunks of one token at M_{t-1}. With post = Newton-Schulz and
momentum it is ATLAS, without both OmegaNet, with c = 1 Titans, and with loss "dot" sliding-window linear attention.
A step theta below 1 / (the largest eigenvalue of G_t) is safe (half of that if squared); a larger one may diverge.
Source: Behrouz et al., ATLAS (arXiv:2505.23735).
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.kernels.sequence.forms import Call, Example, Op
from remanence.kernels.sequence.frozen import Gates, Mlp, drawn, frozen_chunks, given, last_pairs
from remanence.kernels.sequence.newton_schulz import newton_schulz
from remanence.kernels.sequence.update import Loss, Post, UpdateState

MATRIX = Mlp()
Result = tuple[Tensor, UpdateState | None]


def naive_recurrent_omega(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    theta: Tensor | None = None,
    gamma: Tensor | None = None,
    eta: Tensor | None = None,
    g: Tensor | None = None,
    rate: Tensor | None = None,
    window: int = 16,
    loss: Loss = "squared",
    post: Post | None = None,
    scale: float = 1.0,
    chunk_size: int = 64,
    initial_state: UpdateState | None = None,
    output_final_state: bool = True,
) -> Result:
    """`o [B, T, H, V], state = omega(q, k, v, theta=…, gamma=…, window=16)`, by the Gram matrix of each window.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V], after features.
        theta: step size (None: 1), [B, T, H].
        gamma: weight of a pair in the windows that it is in (None: 1), [B, T, H].
        eta: momentum (None: 0), [B, T, H].
        g: log decay, [B, T, H]; None: nothing is forgotten.
        rate: factor on what is added to M (None: 1), [B, T, H].
        window: c.
        loss: "squared" is |f - v|^2 as published; "l2" half of it; "dot" -<f, v>.
        post: what is made of S [..., K, V] before it is added, e.g. `newton_schulz`; None: nothing.
        scale: factor on q. It is 1, not K ** -0.5: the memory is fitted to the keys as they are.
        chunk_size: tokens that share the point of their gradients.
        initial_state: see `update.start` for one with a given M_0; None: an empty memory.
        output_final_state: whether to return the state: also the last c - 1 pairs.

    Raises `InvalidInput` for shapes that do not match and a window < 1.

    """
    type_ = v.dtype
    q, k, v, (g, eta, theta, gamma, rate), state = given(
        q, k, v, Gates(g, eta, theta, gamma, rate), initial_state,
        memory=MATRIX, loss=loss, window=window, chunk_size=chunk_size, scale=scale,
    )  # fmt: skip
    ((m,), (s,), (anchor,)), offset = (state.parameters, state.momentum, state.anchor), state.offset
    keys, values, weights = last_pairs(state, k, v, gamma, state.keys.shape[1] + k.shape[1])
    before = keys.shape[1] - k.shape[1]
    outputs = [v[:, :0]]
    for t in range(k.shape[1]):
        if offset % chunk_size == 0:
            anchor = m
        seen = slice(max(0, before + t - window + 1), before + t + 1)
        gram, cross = window_gram(keys[:, seen], values[:, seen], weights[:, seen])
        u = -cross if loss == "dot" else gram @ anchor - cross
        if loss == "squared":
            u = 2 * u
        if theta is not None:
            u = theta[:, t, :, None, None] * u
        s = -u if eta is None else eta[:, t, :, None, None] * s - u
        written = s if post is None else post(s)
        if rate is not None:
            written = rate[:, t, :, None, None] * written
        m = (m if g is None else g[:, t, :, None, None].exp() * m) + written
        outputs.append(torch.einsum("bhkv,bhk->bhv", m, q[:, t])[:, None])
        offset += 1
    final = UpdateState((m,), (s,), (anchor,), *last_pairs(state, k, v, gamma, window - 1), offset)
    return torch.cat(outputs, 1).to(type_), final if output_final_state else None


def window_gram(k: Tensor, v: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """G = sum gamma_i k_i k_i^T [B, H, K, K] and B = sum gamma_i k_i v_i^T [B, H, K, V] of pairs [B, N, H, …].

    The largest step that cannot diverge is 1 / the largest eigenvalue of G.
    """
    weighted = gamma[..., None] * k
    return torch.einsum("bnhk,bnhl->bhkl", weighted, k), torch.einsum("bnhk,bnhv->bhkv", weighted, v)


def chunk_omega(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    theta: Tensor | None = None,
    gamma: Tensor | None = None,
    eta: Tensor | None = None,
    g: Tensor | None = None,
    rate: Tensor | None = None,
    window: int = 16,
    loss: Loss = "squared",
    post: Post | None = None,
    scale: float = 1.0,
    chunk_size: int = 64,
    initial_state: UpdateState | None = None,
    output_final_state: bool = True,
) -> Result:
    """`naive_recurrent_omega`, a chunk at a time: the window is a banded mask on the gradients of single pairs."""
    type_ = v.dtype
    arguments = given(
        q, k, v, Gates(g, eta, theta, gamma, rate), initial_state,
        memory=MATRIX, loss=loss, window=window, chunk_size=chunk_size, scale=scale,
    )  # fmt: skip
    o, state = frozen_chunks(*arguments, memory=MATRIX, loss=loss, window=window, chunk_size=chunk_size, post=post)
    return o.to(type_), state if output_final_state else None


def _example(post: Post | None) -> Example:
    def example(length: int, generator: torch.Generator) -> Call:
        tensors, gates = drawn(length, generator)
        return Call(tensors, {**gates, "post": post, "rate": 0.01 * torch.ones_like(gates["g"])})

    return example


omega = Op(
    naive_recurrent_omega,
    chunk_omega,
    examples={"Omega rule, window of 16": _example(None), "ATLAS, matrix memory": _example(newton_schulz)},
)
