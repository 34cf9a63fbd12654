"""Ridge memory: reading with the exact regression on the whole decayed past, not with one gradient step per pair.

    H_t = e^g_t H_{t-1} + beta_t k_t k_t^T
    U_t = e^g_t U_{t-1} + beta_t k_t v_t^T
    x_t = (H_t + lambda_t I)^-1 q_t
    o_t = scale U_t^T (q_t + alpha_t (x_t - q_t))

The state is a pair of decayed sums. So, unlike what gradient steps leave behind, it does not depend on the order of
pairs that do not decay, and earlier writes can be taken out of it (`delete`) or memories put together (`merge`)
exactly.
lambda_t is given (MesaNet: per channel of the key) or a share of the Frobenius norm of H_t, which bounds the condition
number by (1 + ratio) / ratio whatever is stored (Gated KalmaNet). alpha_t = 1 reads with x alone.

>>> import torch
>>> keys, values = torch.eye(3)[None, :, None], torch.tensor([[2.0], [3.0], [5.0]])[None, :, None]
>>> o, state = ridge(keys, keys, values, ratio=1e-6, solver="exact", scale=1.0)
>>> state = delete(state, keys[:, 1:2], values[:, 1:2])
>>> read(state, keys, ratio=1e-6, solver="exact", scale=1.0).flatten()
tensor([2.0000, 0.0000, 5.0000])

Source: von Oswald et al., MesaNet (arXiv:2506.05233); Peng et al., Gated KalmaNet (arXiv:2511.21016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import solvers
from remanence.kernels.sequence.chunks import accumulation, chunk_length, chunked, decayed_products, unchunked
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.sound import without_nan

Solver = Literal["exact", "cg", "chebyshev"]
"""Elimination in each H_t; conjugate gradients; Chebyshev iteration. The last two only multiply with H_t."""


class RidgeState(NamedTuple):
    """H [B, H, K, K], the decayed covariance of the keys, and U [B, H, K, V], that of keys and values; fp32 or fp64."""

    h: Tensor
    u: Tensor


def empty(
    batch: int,
    heads: int,
    key_dim: int,
    value_dim: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> RidgeState:
    """The state in which nothing was written."""
    return RidgeState(
        torch.zeros(batch, heads, key_dim, key_dim, device=device, dtype=dtype),
        torch.zeros(batch, heads, key_dim, value_dim, device=device, dtype=dtype),
    )


def naive_recurrent_ridge(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    lam: Tensor | None = None,
    ratio: float = 0.02,
    alpha: Tensor | None = None,
    solver: Solver = "chebyshev",
    iterations: int = 30,
    scale: float | None = None,
    initial_state: RidgeState | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, RidgeState | None]:
    """Write pairs and read with the ridge solution; o [B, T, H, V] and the state after the last token.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V].
        beta: [B, T, H], the weight of a pair in the regression (None: 1). Gated KalmaNet multiplies both k and v by its
            gate, which is a weight of the gate's square.
        g: [B, T, H], log decay (None: nothing decays).
        lam: the ridge, above 0: [H, K] for each channel of the key, or per token [B, T, H] or [B, T, H, K].
        ratio: where `lam` is left out, lambda_t = ratio |H_t|_F; 1 while H_t is still 0.
        alpha: [B, T, H], how far from q to x it is read (None: 1).
        solver: exact | cg | chebyshev; see `Solver`.
        iterations: steps of cg or chebyshev; the fewer, the faster and the more like linear attention.
        scale: factor on what is read; K ** -0.5 by default.
        initial_state: where to begin.
        output_final_state: whether to return the state.
        chunk_size: tokens per chunk in the chunked form.

    Raises `InvalidInput` for shapes that do not match and unknown solvers.

    """
    state = _checked(q, k, v, beta, g, lam, ratio, alpha, initial_state, solver, iterations)
    dtype = state.h.dtype
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    ridge_of = None if lam is None else _per_channel(lam, k).to(dtype)
    outputs = [v[:, :0]]
    for t in range(q.shape[1]):
        if g is not None:
            state = decay(state, g[:, t])
        state = write(state, *(one[:, t : t + 1] for one in (k, v)), beta=None if beta is None else beta[:, t : t + 1])
        held = None if ridge_of is None else ridge_of[:, t]
        x = solve(state, q[:, t : t + 1], lam=held, ratio=ratio, solver=solver, iterations=iterations)
        if alpha is not None:
            x = torch.lerp(q[:, t : t + 1].to(dtype), x, alpha[:, t : t + 1, :, None].to(dtype))
        outputs.append((scale * torch.einsum("bnhk,bhkv->bnhv", x, state.u)).to(v.dtype))
    return torch.cat(outputs, 1), state if output_final_state else None


def chunk_ridge(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None = None,
    g: Tensor | None = None,
    *,
    lam: Tensor | None = None,
    ratio: float = 0.02,
    alpha: Tensor | None = None,
    solver: Solver = "chebyshev",
    iterations: int = 30,
    scale: float | None = None,
    initial_state: RidgeState | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> tuple[Tensor, RidgeState | None]:
    """`naive_recurrent_ridge`, where the systems of all tokens are solved together and no H_t but those at the
    beginnings of chunks is formed: H_t x = e^G_t H_0 x + sum_j W_tj k_j (k_j . x), W_tj = e^(G_t - G_j) beta_j.

    `solver="exact"` forms the H_t of one chunk after the other.
    """
    state = _checked(q, k, v, beta, g, lam, ratio, alpha, initial_state, solver, iterations)
    length = q.shape[1]
    size = chunk_length(chunk_size, length)
    if not length:
        return torch.zeros_like(v), state if output_final_state else None
    dtype = state.h.dtype
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    ones = torch.ones(*k.shape[:3], 1, dtype=dtype, device=k.device)
    clean, spoilt = without_nan([k.to(dtype), v.to(dtype), ones if beta is None else beta[..., None].to(dtype)], g)
    queries, keys, values, weight, ones = (chunked(one, size) for one in (q.to(dtype), *clean[:3], ones))
    inside = decayed_products([ones], ones, None if g is None else chunked(clean[3].to(dtype), size))
    weights, from_start = inside.products[0], inside.from_start[0]
    weights, written = weights * weight.mT, keys * inside.to_end * weight
    starts, state = _starts(state, written.mT @ keys, written.mT @ values, inside.over)
    covariance = _Covariance(starts.h, keys, weights, from_start)
    norm = covariance.norm()
    if lam is None:
        ridges = _ridge(norm, ratio)[..., None]
    else:
        # The last chunk is filled up with zeros, which are no ridge to divide by.
        ridges = chunked(_per_channel(lam, k).to(dtype), size) + (1 - ones)

    def system(x: Tensor) -> Tensor:
        return covariance(x) + ridges * x

    def run(b: Tensor) -> Tensor:
        if solver == "exact":
            return covariance.eliminate(b, ridges)
        return _iterate(system, b, ridges, norm, solver, iterations)

    x = solvers.solve(system, queries, run)
    if alpha is not None:
        x = torch.lerp(queries, x, chunked(alpha.to(dtype), size)[..., None])
    o = from_start * (x @ starts.u) + ((x @ keys.mT) * weights) @ values
    o = unchunked(scale * o, length) + spoilt[..., None]
    state = RidgeState(*(one + spoilt[:, -1, :, None, None] for one in state))
    return o.to(v.dtype), state if output_final_state else None


def _example(length: int, generator: torch.Generator) -> Call:
    q, k, v = (torch.randn(1, length, 2, 32, generator=generator) for _ in range(3))
    g = -torch.rand(1, length, 2, generator=generator) / 16
    q, k = (torch.nn.functional.normalize(one, dim=-1) for one in (q, k))
    return Call((q, k, v), {"g": g})


ridge = Op(naive_recurrent_ridge, chunk_ridge, examples={"ridge": _example})


def decay(state: RidgeState, g: Tensor) -> RidgeState:
    """What is left after a log decay g [B, H]: both sums shrink alike."""
    factor = g.to(state.h.dtype).exp()[..., None, None]
    return RidgeState(factor * state.h, factor * state.u)


def write(state: RidgeState, k: Tensor, v: Tensor, *, beta: Tensor | None = None) -> RidgeState:
    """Add pairs k [B, N, H, K], v [B, N, H, V] with weights beta [B, N, H] (None: 1), without decay between them."""
    k, v = k.to(state.h.dtype), v.to(state.h.dtype)
    weighted = k if beta is None else k * beta[..., None].to(k.dtype)
    return RidgeState(
        state.h + torch.einsum("bnhk,bnhl->bhkl", weighted, k), state.u + torch.einsum("bnhk,bnhv->bhkv", weighted, v)
    )


def delete(
    state: RidgeState, k: Tensor, v: Tensor, *, beta: Tensor | None = None, g_since: Tensor | None = None
) -> RidgeState:
    """The state as if these pairs had never been written.

    Args:
        state: the state that holds them.
        k, v, beta: the pairs as they were written, [B, N, H, …].
        g_since: [B, N, H], the sum of the log decays after each of them was written (None: nothing decayed).

    A pair that was not written is taken out all the same, which leaves a state that no writes lead to.

    """
    beta = k.new_ones(k.shape[:3]) if beta is None else beta
    left = beta.to(state.h.dtype) if g_since is None else beta.to(state.h.dtype) * g_since.to(state.h.dtype).exp()
    return write(state, k, v, beta=-left)


def merge(states: Sequence[RidgeState]) -> RidgeState:
    """The memory of all pairs of several memories. Raises `InvalidInput` for none, and for shapes that differ."""
    if not states:
        raise InvalidInput("there is nothing to merge: give at least one state")
    for state in states[1:]:
        same = state.h.shape == states[0].h.shape and state.u.shape == states[0].u.shape
        expect(same, "memories to merge must have one shape", {"first": states[0].u, "other": state.u})
    return RidgeState(
        torch.stack([state.h for state in states]).sum(0), torch.stack([state.u for state in states]).sum(0)
    )


def solve(
    state: RidgeState,
    q: Tensor,
    *,
    lam: Tensor | None = None,
    ratio: float = 0.02,
    solver: Solver = "chebyshev",
    iterations: int = 30,
) -> Tensor:
    """x = (H + lambda I)^-1 q for queries q [B, N, H, K], each by itself; differentiable in everything.

    `lam` is [B, H, K] or [H, K], above 0; left out, it is ratio |H|_F.
    """
    h = state.h
    norm = _root(h.square().sum((-1, -2)))[..., None, None]
    ridges = _ridge(norm, ratio) if lam is None else lam.to(h.dtype)[..., None, :]
    b = q.to(h.dtype).transpose(1, 2)
    ridges = ridges.expand(*b.shape[:2], 1, b.shape[3])

    def system(x: Tensor) -> Tensor:
        return x @ h + ridges * x

    def run(b: Tensor) -> Tensor:
        if solver == "exact":
            matrix = h + torch.diag_embed(ridges[..., 0, :])
            return solvers.exact(matrix[..., None, :, :], b)
        return _iterate(system, b, ridges, norm[..., 0], solver, iterations)

    return solvers.solve(system, b, run).transpose(1, 2)


def read(
    state: RidgeState,
    q: Tensor,
    *,
    lam: Tensor | None = None,
    ratio: float = 0.02,
    solver: Solver = "chebyshev",
    iterations: int = 30,
    scale: float | None = None,
) -> Tensor:
    """What the memory answers to q [B, N, H, K], each by itself, without changing: o [B, N, H, V].

    The other arguments are those of `solve`; `scale` is K ** -0.5 by default.
    """
    x = solve(state, q, lam=lam, ratio=ratio, solver=solver, iterations=iterations)
    o = torch.einsum("bnhk,bhkv->bnhv", x, state.u) * (q.shape[-1] ** -0.5 if scale is None else scale)
    return o.to(q.dtype)


class _Covariance:
    """All H_t of chunks [B, H, N, C, …] at once, as what they do to one vector each.

    `start` [B, H, N, K, K] are the H_0, `keys` [B, H, N, C, K], `weights` [B, H, N, C, C] the W_tj and `from_start`
    [B, H, N, C, 1] the e^G.
    """

    def __init__(self, start: Tensor, keys: Tensor, weights: Tensor, from_start: Tensor) -> None:
        self.start, self.keys, self.weights, self.from_start = start, keys, weights, from_start

    def __call__(self, x: Tensor) -> Tensor:
        return self.from_start * (x @ self.start) + ((x @ self.keys.mT) * self.weights) @ self.keys

    def norm(self) -> Tensor:
        """|H_t|_F [B, H, N, C], without an H_t:

        |H_t|^2 = e^2G |H_0|^2 + 2 e^G sum_j W_tj k_j^T H_0 k_j + sum_ij W_ti W_tj (k_i . k_j)^2.
        """
        decay = self.from_start[..., 0]
        old = self.start.square().sum((-1, -2))[..., None]
        mixed = (self.weights @ ((self.keys @ self.start) * self.keys).sum(-1, keepdim=True))[..., 0]
        new = ((self.weights @ (self.keys @ self.keys.mT).square()) * self.weights).sum(-1)
        return _root(decay * (decay * old + 2 * mixed) + new)

    def eliminate(self, b: Tensor, ridges: Tensor) -> Tensor:
        """The solutions of (H_t + diag ridges) x = b, one chunk after the other: all H_t would be [T, K, K]."""
        found = []
        ridges = ridges.expand_as(b)
        for n in range(b.shape[2]):
            start, keys, weights = self.start[:, :, n], self.keys[:, :, n], self.weights[:, :, n]
            h = self.from_start[:, :, n, :, :, None] * start[:, :, None]
            h = h + (weights @ (keys[..., :, None] * keys[..., None, :]).flatten(-2)).unflatten(-1, start.shape[-2:])
            found.append(solvers.exact(h + torch.diag_embed(ridges[:, :, n]), b[:, :, n]))
        return torch.stack(found, 2)


def _iterate(
    system: solvers.Linear, b: Tensor, ridges: Tensor, norm: Tensor, solver: Solver, iterations: int
) -> Tensor:
    if solver == "cg":
        return solvers.conjugate_gradients(system, b, iterations=iterations)
    low, high = ridges.amin(-1, keepdim=True), ridges.amax(-1, keepdim=True) + norm[..., None]
    return solvers.chebyshev(system, b, low=low, high=high, iterations=iterations)


def _starts(state: RidgeState, new_h: Tensor, new_u: Tensor, over: Tensor) -> tuple[RidgeState, RidgeState]:
    """The states at the beginning of each chunk, [B, H, N, K, …], and the one after the last."""
    starts, ends = [], []
    for held, new in zip(state, (new_h, new_u), strict=True):
        at = []
        for n in range(new.shape[2]):
            at.append(held)
            held = over[:, :, n] * held + new[:, :, n]
        starts.append(torch.stack(at, 2))
        ends.append(held)
    return RidgeState(*starts), RidgeState(*ends)


def _ridge(norm: Tensor, ratio: float) -> Tensor:
    return torch.where(norm == 0, 1, ratio * norm)


def _root(square: Tensor) -> Tensor:
    """A square root whose gradient at 0 is 0."""
    nothing = square == 0
    root: Tensor = square.masked_fill(nothing, 1).sqrt()
    return root.masked_fill(nothing, 0)


def _per_channel(lam: Tensor, k: Tensor) -> Tensor:
    """The ridge as [B, T, H, K]."""
    return (lam[..., None] if lam.shape == k.shape[:3] else lam).expand(k.shape)


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    lam: Tensor | None,
    ratio: float,
    alpha: Tensor | None,
    state: RidgeState | None,
    solver: Solver,
    iterations: int,
) -> RidgeState:
    """The state to begin with; raises `InvalidInput` as documented."""
    check(q, k, v, state=None if state is None else state.u, beta=beta, g=g, alpha=alpha)
    for name, gate in (("beta", beta), ("g", g), ("alpha", alpha)):
        if gate is not None:
            expect(
                gate.ndim == 3, f"{name} must be [B, T, H]: H and U shrink and grow as a whole", {name: gate, "k": k}
            )
    if lam is not None:
        shapes = (k.shape[2:], k.shape[:3], k.shape)
        expect(lam.shape in shapes, "lam must be [H, K], [B, T, H] or [B, T, H, K]", {"lam": lam, "k": k})
    elif not ratio > 0:
        raise InvalidInput(f"ratio {ratio} must be above 0: the regression on fewer than K pairs is not determined")
    if solver not in get_args(Solver):
        raise InvalidInput(f"there is no solver {solver!r}; there are {', '.join(get_args(Solver))}")
    solvers.expect_iterations(iterations)
    batch, _, heads, width = k.shape
    dtype = accumulation(q, k, v)
    if state is None:
        return empty(batch, heads, width, v.shape[3], device=k.device, dtype=dtype)
    wanted = (batch, heads, width, width)
    expect(tuple(state.h.shape) == wanted, f"H must be [B, H, K, K] = {wanted}", {"H": state.h, "k": k})
    dtype = accumulation(q, k, v, state.h)
    return RidgeState(state.h.to(dtype), state.u.to(dtype))
