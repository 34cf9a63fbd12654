"""The delta rule with decay: DeltaNet, Gated DeltaNet and Kimi Delta Attention, by what is given for g.

    S_t = A_t S_{t-1} + beta_t k_t (v_t - P_t^T k_t)^T,   o_t = S_t^T (scale q_t),   A_t = diag(exp(g_t))

P_t is the memory that the new value is compared with: A_t S_{t-1}, what is left after the decay ("decayed", as in these
layers), or S_{t-1} ("previous", the gradient step of Titans). What k_t read is taken out before v_t is written, so that
a key holds one value. Source: Yang et al., Parallelizing linear transformers with the delta rule (arXiv:2406.06484);
Gated delta networks (arXiv:2412.06464); Kimi Linear (arXiv:2510.26692), which decays by channel.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import (
    chunk_length,
    chunked,
    decayed_products,
    unchunked,
    without_autocast,
)
from remanence.kernels.sequence.examples import pairs
from remanence.kernels.sequence.forms import Op
from remanence.kernels.sequence.hebbian import decay, prepare
from remanence.kernels.sequence.sound import without_nan

Compared = Literal["decayed", "previous"]


@without_autocast
def naive_recurrent_gated_delta_rule(
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
    grad_at: Compared = "decayed",
) -> tuple[Tensor, Tensor | None]:
    """Replace, by beta, what the memory holds under a key, and read it after the write.

    `q, k: [B, T, H, K]`, k of unit length, else beta |k|^2 must stay below 2; `v: [B, T, H, V]`; `beta: [B, T, H]` in
    (0, 1), or (0, 2) where writes may turn over the sign of what was there, 1 if left out; `g: [B, T, H]` or
    `[B, T, H, K]`, the log decay, 0 if left out; `initial_state: [B, H, K, V]`, 0 if left out. `scale` is K ** -0.5 if
    left out. Returns o like v, and the state in float32 (float64 if any input is). `chunk_size` is of no effect here
    and none on the outputs of the other form. Raises `InvalidInput` for other shapes and for another `grad_at`.
    """
    _known(grad_at)
    q, k, v, beta, g, state, out = prepare(q, k, v, beta, g, scale, initial_state)
    alpha = decay(g, k)
    os = []
    for t in range(v.shape[1]):
        decayed = alpha[:, t] * state
        held = torch.einsum("bhkv,bhk->bhv", decayed if grad_at == "decayed" else state, k[:, t])
        u = beta[:, t].unsqueeze(-1) * (v[:, t] - held)
        state = decayed + torch.einsum("bhk,bhv->bhkv", k[:, t], u)
        os.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
    o = torch.stack(os, 1) if os else v
    return o.to(out), state if output_final_state else None


@without_autocast
def chunk_gated_delta_rule(
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
    grad_at: Compared = "decayed",
) -> tuple[Tensor, Tensor | None]:
    """`naive_recurrent_gated_delta_rule` by chunks (WY form); D_ij is the decay from token j to i, e^G from the start:

    A = tril(diag(beta) (K K^T * D), -1),   U, W = (I + A)^-1 diag(beta) [V, diag(e^G) K],   V~ = U - W S
    O = diag(e^G) Q S + (Q K^T * D) V~,     S' = e^{G_C} S + (diag(e^{G_C - G}) K)^T V~

    "previous" takes the decays of A and W to the token before i. Where something in k, v or a gate is not finite, the
    head answers NaN from there on.
    """
    _known(grad_at)
    q, k, v, beta, g, state, out = prepare(q, k, v, beta, g, scale, initial_state)
    length = v.shape[1]
    size = chunk_length(chunk_size, length)
    if not length:
        return v.to(out), state if output_final_state else None
    (k, v, beta, *gates), spoilt = without_nan((k, v, beta), g)
    q, k, v, beta, *gates = (chunked(one, size) for one in (q, k, v, beta.unsqueeze(-1), *gates))
    inside = decayed_products([q, k if grad_at == "decayed" else _up(k)], k, *gates)
    products, compared = inside.products[1], inside.from_start[1]
    if grad_at == "previous":
        products, compared = _down(products), torch.cat((k[..., :1, :], compared[..., :-1, :]), -2)
    a = (beta * products).tril(-1)
    solved = torch.linalg.solve_triangular(a, beta * torch.cat((v, compared), -1), upper=False, unitriangular=True)
    u, w = solved.split((v.shape[-1], k.shape[-1]), -1)
    states, news = [state], []
    chunks = (one.unbind(2) for one in (u, w, inside.over.mT, inside.to_end.mT))
    for u_n, w_n, over, keys in zip(*chunks, strict=True):
        news.append(u_n - w_n @ states[-1])
        states.append(over * states[-1] + keys @ news[-1])
    o = inside.from_start[0] @ torch.stack(states[:-1], 2) + inside.products[0] @ torch.stack(news, 2)
    o = unchunked(o, length) + spoilt.unsqueeze(-1)
    return o.to(out), states[-1] + spoilt[:, -1, :, None, None] if output_final_state else None


gated_delta_rule = Op(
    naive_recurrent_gated_delta_rule,
    chunk_gated_delta_rule,
    examples={
        "delta rule": pairs(),
        "decay by token": pairs("token"),
        "decay by channel": pairs("channel"),
        "decay by token, 4 heads of 64": pairs("token", heads=4, dim=64),
    },
)


def _known(grad_at: str) -> None:
    if grad_at not in ("decayed", "previous"):
        raise InvalidInput(f"grad_at {grad_at!r} is neither 'decayed' nor 'previous'; other memories are in `update`")


def _up(x: Tensor) -> Tensor:
    return functional.pad(x[..., 1:, :], (0, 0, 0, 1))


def _down(x: Tensor) -> Tensor:
    return functional.pad(x[..., :-1, :], (0, 0, 1, 0))
