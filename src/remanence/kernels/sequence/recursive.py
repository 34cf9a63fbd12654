"""Recursive least squares: the regression on the whole past, kept solved. A Kalman filter whose state does not move.

    gain_t = beta_t P_{t-1} k_t / (f_t + beta_t k_t^T P_{t-1} k_t),  f_t = e^g_t
    M_t    = M_{t-1} + gain_t (v_t - M_{t-1}^T k_t)^T
    P_t    = (P_{t-1} - gain_t k_t^T P_{t-1}) / f_t
    o_t    = scale M_t^T q_t

From P_0 = I / lambda and M_0 = 0, P_t is the inverse of H_t + f_1 … f_t lambda I, with H_t as in `ridge`, and M_t is
that times U_t: the regulariser decays together with the past. That of MesaNet and Gated KalmaNet does not, and no
recursion of finite size reproduces it. With P held at I the gain is that of the delta rule with the step
beta / (1 + beta |k|^2).

Source: Plackett (1950), Kalman (1960); the deletion of a pair is the same step with the weight -beta.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.ridge import RidgeState, chunk_ridge
from remanence.kernels.sequence.shapes import check, expect


class RecursiveState(NamedTuple):
    """P [B, H, K, K], the inverse of the decayed covariance with its ridge (a Kalman filter's error covariance), and
    M [B, H, K, V], the regression itself; fp32 or fp64."""

    p: Tensor
    m: Tensor


def start(
    batch: int,
    heads: int,
    key_dim: int,
    value_dim: int,
    *,
    lam: float = 1.0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> RecursiveState:
    """The state in which nothing was written: P = I / lam, M = 0. Raises `InvalidInput` unless lam > 0."""
    if not lam > 0:
        raise InvalidInput(f"lam {lam} must be above 0: the regression on no pairs is not determined")
    identity = torch.eye(key_dim, device=device, dtype=dtype) / lam
    m = torch.zeros(batch, heads, key_dim, value_dim, device=device, dtype=dtype)
    return RecursiveState(identity.expand(batch, heads, key_dim, key_dim), m)


def gain(p: Tensor, k: Tensor, *, beta: Tensor | None = None, forget: Tensor | None = None) -> Tensor:
    """beta P k / (forget + beta k^T P k) [..., K] for p [..., K, K], k [..., K], beta and forget [...] (None: 1).

    As a Kalman filter: measurement noise 1 / beta.
    """
    image = (p @ k[..., None])[..., 0]
    along = (k * image).sum(-1)
    if beta is not None:
        image, along = image * beta[..., None], along * beta
    return image / (along + (1 if forget is None else forget))[..., None]


def naive_recurrent_least_squares(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    lam: float = 1.0,
    scale: float | None = None,
    initial_state: RecursiveState | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, RecursiveState | None]:
    """Write pairs and read with the regression; o [B, T, H, V] and the state after the last token.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V].
        beta: [B, T, H], the weight of a pair (None: 1).
        g: [B, T, H], log decay, finite (None: nothing decays). With strong decay P grows where no key points.
        lam: the ridge that a fresh state begins with.
        scale: factor on what is read; K ** -0.5 by default.
        initial_state: where to begin; a fresh state if left out.
        output_final_state: whether to return the state.
        chunk_size: tokens per chunk in the chunked form.

    Raises `InvalidInput` for shapes that do not match and lam <= 0.

    """
    state = _checked(q, k, v, beta, g, lam, initial_state)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    outputs = [v[:, :0]]
    for t in range(q.shape[1]):
        weight = None if beta is None else beta[:, t].to(state.p.dtype)
        forget = None if g is None else g[:, t].to(state.p.dtype).exp()
        state = _updated(state, k[:, t], v[:, t], weight, forget)
        read = torch.einsum("bhk,bhkv->bhv", q[:, t].to(state.m.dtype), state.m)
        outputs.append((scale * read)[:, None].to(v.dtype))
    return torch.cat(outputs, 1), state if output_final_state else None


def chunk_least_squares(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    lam: float = 1.0,
    scale: float | None = None,
    initial_state: RecursiveState | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, RecursiveState | None]:
    """`naive_recurrent_least_squares` as `ridge` without a ridge of its own: the inverse of P, which decays, has it."""
    state = _checked(q, k, v, beta, g, lam, initial_state)
    h = torch.linalg.inv_ex(state.p)[0]
    o, end = chunk_ridge(
        q,
        k,
        v,
        beta=beta,
        g=g,
        lam=h.new_zeros(h.shape[1:3]),
        solver="exact",
        scale=scale,
        initial_state=RidgeState(h, h @ state.m),
        chunk_size=chunk_size,
    )
    if end is None or not output_final_state:
        return o, None
    if not q.shape[1]:
        return o, state
    p = torch.linalg.inv_ex(end.h)[0]
    return o, RecursiveState(p, p @ end.u)


def _example(length: int, generator: torch.Generator) -> Call:
    q, k, v = (torch.randn(1, length, 2, 32, generator=generator) for _ in range(3))
    return Call((q, torch.nn.functional.normalize(k, dim=-1), v))


least_squares = Op(naive_recurrent_least_squares, chunk_least_squares, examples={"recursive least squares": _example})


def delete(
    state: RecursiveState, k: Tensor, v: Tensor, *, beta: Tensor | None = None, g_since: Tensor | None = None
) -> RecursiveState:
    """The state as if these pairs had never been written.

    Args:
        state: the state that holds them.
        k, v, beta: the pairs as they were written, [B, N, H, …].
        g_since: [B, N, H], the sum of the log decays after each of them was written (None: nothing decayed).

    Raises `InvalidInput` where a pair weighs more than all that is stored: it was not written like this.

    """
    check(k, k, v, beta=beta, g_since=g_since, state=state.m)
    for n in range(k.shape[1]):
        weight = k.new_ones(k.shape[0], k.shape[2]) if beta is None else beta[:, n]
        weight = weight.to(state.p.dtype)
        if g_since is not None:
            weight = weight * g_since[:, n].to(state.p.dtype).exp()
        key = k[:, n].to(state.p.dtype)
        left = 1 - weight * torch.einsum("bhk,bhkl,bhl->bh", key, state.p, key)
        if not bool((left > 0).all()):
            raise InvalidInput(f"pair {n} weighs more than all that is stored: it was not written with this weight")
        state = _updated(state, key, v[:, n], -weight, None)
    return state


def _updated(state: RecursiveState, k: Tensor, v: Tensor, beta: Tensor | None, forget: Tensor | None) -> RecursiveState:
    p, m = state
    k, v = k.to(p.dtype), v.to(p.dtype)
    step = gain(p, k, beta=beta, forget=forget)
    error = v - torch.einsum("bhk,bhkv->bhv", k, m)
    m = m + step[..., None] * error[..., None, :]
    p = p - step[..., None] * torch.einsum("bhk,bhkl->bhl", k, p)[..., None, :]
    return RecursiveState(p if forget is None else p / forget[..., None, None], m)


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    lam: float,
    state: RecursiveState | None,
) -> RecursiveState:
    check(q, k, v, beta=beta, g=g, state=None if state is None else state.m)
    for name, gate in (("beta", beta), ("g", g)):
        if gate is not None:
            expect(gate.ndim == 3, f"{name} must be [B, T, H]", {name: gate, "k": k})
    batch, _, heads, width = k.shape
    if state is None:
        return start(batch, heads, width, v.shape[3], lam=lam, device=k.device, dtype=accumulation(q, k, v))
    wanted = (batch, heads, width, width)
    expect(tuple(state.p.shape) == wanted, f"P must be [B, H, K, K] = {wanted}", {"P": state.p, "k": k})
    dtype = accumulation(q, k, v, state.p)
    return RecursiveState(state.p.to(dtype), state.m.to(dtype))
