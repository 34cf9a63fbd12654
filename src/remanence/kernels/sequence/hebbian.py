"""Hebbian memory with decay: linear attention, RetNet, Mamba-2 and gated linear attention, by what is given for g.

    S_t = exp(g_t) S_{t-1} + beta_t k_t v_t^T,   o_t = S_t^T (scale q_t)

No decay is linear attention (Katharopoulos et al., arXiv:2006.16236); one fixed decay per head RetNet
(arXiv:2307.08621); one per token Mamba-2 (arXiv:2405.21060); one per token and channel of the key GLA
(arXiv:2312.06635), after which decay is split where parts of a chunk meet.
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.kernels.sequence.chunks import (
    accumulation,
    chunk_length,
    chunked,
    decayed_products,
    unchunked,
    without_autocast,
)
from remanence.kernels.sequence.examples import pairs
from remanence.kernels.sequence.forms import Op
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.sound import without_nan


@without_autocast
def naive_recurrent_hebbian(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """Add every pair to a matrix that decays, and read it after the write.

    `q, k: [B, T, H, K]`; `v: [B, T, H, V]`; `beta: [B, T, H]`, the strength of a write, 1 if left out;
    `g: [B, T, H]` or `[B, T, H, K]`, the log decay, 0 if left out; `initial_state: [B, H, K, V]`, 0 if left out.
    `scale` is K ** -0.5 if left out. Returns o like v, and the state in float32 (float64 if any input is).
    `chunk_size` is of no effect here and none on the outputs of the other form. Raises `InvalidInput` for other shapes.
    """
    q, k, v, beta, g, state, out = prepare(q, k, v, beta, g, scale, initial_state)
    alpha = decay(g, k)
    os = []
    for t in range(v.shape[1]):
        state = alpha[:, t] * state + torch.einsum("bh,bhk,bhv->bhkv", beta[:, t], k[:, t], v[:, t])
        os.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
    o = torch.stack(os, 1) if os else v
    return o.to(out), state if output_final_state else None


@without_autocast
def chunk_hebbian(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """`naive_recurrent_hebbian` by chunks; D_ij is the decay from token j to i, e^G that from the start of a chunk:

    O = diag(e^G) Q S + (Q K^T * D) V,   S' = e^{G_C} S + (diag(e^{G_C - G}) K)^T V

    Where something in k, v or a gate is not finite, the head answers NaN from there on.
    """
    q, k, v, beta, g, state, out = prepare(q, k, v, beta, g, scale, initial_state)
    length = v.shape[1]
    size = chunk_length(chunk_size, length)
    if not length:
        return v.to(out), state if output_final_state else None
    (k, v, *gates), spoilt = without_nan((k, v * beta.unsqueeze(-1)), g)
    q, k, v, *gates = (chunked(one, size) for one in (q, k, v, *gates))
    inside = decayed_products([q], k, *gates)
    written = inside.to_end.mT @ v
    states = [state]
    for over, new in zip(inside.over.mT.unbind(2), written.unbind(2), strict=True):
        states.append(torch.addcmul(new, over, states[-1]))
    o = inside.from_start[0] @ torch.stack(states[:-1], 2) + inside.products[0] @ v
    o = unchunked(o, length) + spoilt.unsqueeze(-1)
    return o.to(out), states[-1] + spoilt[:, -1, :, None, None] if output_final_state else None


hebbian = Op(
    naive_recurrent_hebbian,
    chunk_hebbian,
    examples={
        "linear attention": pairs(strength=False),
        "decay by token": pairs("token", strength=False),
        "decay by channel": pairs("channel", strength=False),
        "decay by token, 4 heads of 64": pairs("token", strength=False, heads=4, dim=64),
    },
)


def normalized_hebbian(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
    eps: float = 1e-10,
    form: str = "auto",
) -> tuple[Tensor, Tensor | None]:
    """`hebbian`, divided by what reading gives if every value is 1: a weighted mean of the values.

    For positive features: o_t = S_t^T q_t / (z_t^T q_t + eps), with z_t = exp(g_t) z_{t-1} + beta_t k_t. The state is
    [B, H, K, V + 1], z its last column. Shapes and errors as for `naive_recurrent_hebbian`.
    """
    wide = v.to(accumulation(q, k, v, beta, g, initial_state))
    ones = torch.ones_like(wide[..., :1])
    o, state = hebbian.in_form(form)(
        q,
        k,
        torch.cat((wide, ones), -1),
        beta,
        g,
        scale=1.0,
        initial_state=initial_state,
        output_final_state=output_final_state,
        chunk_size=chunk_size,
    )
    return (o[..., :-1] / (o[..., -1:] + eps)).to(v.dtype), state


def prepare(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor, torch.dtype]:
    """Scaled q, k, v, beta, g and state, in the type that is computed in, and the type of o. g alone may be None.

    Raises `InvalidInput`, with the shapes, if they do not fit.
    """
    check(q, k, v, state=initial_state, beta=beta, g=g)
    if beta is not None:
        expect(beta.ndim == 3, "beta must be [B, T, H]", {"q": q, "beta": beta})
    out = v.dtype
    dtype = accumulation(q, k, v, beta, g, initial_state)
    batch, _, heads, keys = k.shape
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    beta = torch.ones_like(k[..., 0]) if beta is None else beta.to(dtype)
    g = None if g is None else g.to(dtype)
    state = v.new_zeros(batch, heads, keys, v.shape[-1]) if initial_state is None else initial_state.to(dtype)
    return q * (keys**-0.5 if scale is None else scale), k, v, beta, g, state, out


def decay(g: Tensor | None, k: Tensor) -> Tensor:
    """exp(g) as a factor on the memory at every token, [B, T, H, K or 1, 1]."""
    if g is None:
        return torch.ones_like(k[..., :1, None])
    return (g if g.ndim == k.ndim else g.unsqueeze(-1)).exp().unsqueeze(-1)
