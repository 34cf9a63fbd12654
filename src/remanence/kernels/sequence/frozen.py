"""Chunks of the update whose gradients are all taken at the chunk's start: what Titans, Omega and deep memories share.

The gradient of token i is an outer product x_i δ_i^T for every weight matrix of the memory, x_i what goes in and δ_i
the error that comes back. At a fixed anchor they do not depend on each other, so that S and M are linear recurrences in
them, which have closed forms within a chunk of n tokens:

    A_ti = prod_{i<l<=t} alpha_l,  N_ti = prod_{i<l<=t} eta_l       (t >= i, else 0)
    S_t = N_t0 S_0 - sum_i push_ti x_i δ_i^T,           push = N diag(theta) band(gamma)
    M_t = A_t0 M_0 + f_t S_0 - sum_i mix_ti x_i δ_i^T,  mix = A diag(rate) push,  f = A diag(rate) N_.0

A query y_t reads its own M_t without that any M_t is formed:

    y_t M_t = A_t0 y_t M_0 + f_t y_t S_0 - sum_i mix_ti (y_t·x_i) δ_i^T

Only where S_t goes through a nonlinear map (`post`) are matrices formed for every token, of one chunk at a time.
Source: Sun et al., Learning to (learn at test time) (arXiv:2407.04620), for the dual form; Behrouz et al., Titans
(arXiv:2501.00663) and ATLAS (arXiv:2505.23735), for momentum, window and map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.update import Loss, Parameters, Post, UpdateState, start

NORM_EPS = 1e-5


@dataclass(frozen=True)
class Mlp:
    """The memory f(x) = W_L^T gelu(… gelu(W_1^T x)); with `residual`, x + (1 + gain) * layernorm(of that).

    Parameters: W_1 [B, H, K, D], …, W_L [B, H, D', V], and last the gain [B, H, V] where `residual` (V = K then).
    One weight matrix alone is the matrix memory. The gain decays towards 0, that is towards the plain norm.
    """

    residual: bool = False

    def __call__(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """[B, N, H, K] to [B, N, H, V]."""
        weights, gain = self.split(parameters)
        x = inputs
        for number, weight in enumerate(weights):
            x = torch.einsum("bnhk,bhkv->bnhv", functional.gelu(x) if number else x, weight)
        if gain is None:
            return x
        return inputs + (1 + gain[:, None]) * functional.layer_norm(x, x.shape[-1:], eps=NORM_EPS)

    def split(self, parameters: Parameters) -> tuple[Parameters, Tensor | None]:
        """Weight matrices, and the gain if there is one."""
        return (parameters[:-1], parameters[-1]) if self.residual else (parameters, None)

    def expect(self, parameters: Parameters, k: Tensor, v: Tensor) -> None:
        """Raise `InvalidInput`, with the shapes, unless these are parameters of a memory from k to v."""
        told = {f"parameter {number}": one for number, one in enumerate(parameters)} | {"k": k, "v": v}
        weights, gain = self.split(parameters)
        expect(all(one.ndim == 4 for one in weights) and len(weights) > 0, "weights must be [B, H, K, V]", told)
        widths = [k.shape[-1], *(one.shape[-1] for one in weights)]
        fits = all(
            tuple(one.shape[:3]) == (k.shape[0], k.shape[2], width) for one, width in zip(weights, widths, strict=False)
        )
        expect(fits and widths[-1] == v.shape[-1], "weights must lead from K to V, each [B, H, in, out]", told)
        if gain is not None:
            expect(k.shape[-1] == v.shape[-1], "a residual memory needs K = V", told)
            expect(gain.shape == (*weights[-1].shape[:2], v.shape[-1]), "the gain must be [B, H, V]", told)


class Gates(NamedTuple):
    """What steers the update, each [B, T, H]; None: as `update.naive_update` says."""

    g: Tensor | None = None
    eta: Tensor | None = None
    theta: Tensor | None = None
    gamma: Tensor | None = None
    rate: Tensor | None = None

    def expect(self, k: Tensor) -> None:
        """Raise `InvalidInput`, with the shapes, unless each is [B, T, H]."""
        for name, gate in self._asdict().items():
            if gate is not None:
                expect(gate.shape == k.shape[:3], f"{name} must be [B, T, H]", {name: gate, "k": k})


class Given(NamedTuple):
    """Arguments that were checked, in the type that states are kept in."""

    q: Tensor
    k: Tensor
    v: Tensor
    gates: Gates
    state: UpdateState


def given(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Gates,
    state: UpdateState | None,
    *,
    memory: Mlp,
    loss: Loss,
    window: int,
    chunk_size: int,
    scale: float,
) -> Given:
    """Check the arguments of an operation, bring them to fp32 (fp64 if there is any) and scale q; without a state it is
    an empty matrix memory.

    Raises `InvalidInput`, with the shapes or the value, for what does not fit.
    """
    check(q, k, v)
    gates.expect(k)
    if loss not in get_args(Loss):
        raise InvalidInput(f"no loss {loss!r}; there are {', '.join(get_args(Loss))}")
    if window < 1 or chunk_size < 1:
        raise InvalidInput(f"window {window} and chunk_size {chunk_size} must be at least 1")
    wide = accumulation(q, k, v, *gates, *(state.parameters if state else ()))
    q, k, v = q.to(wide), k.to(wide), v.to(wide)
    gates = Gates(*(None if one is None else one.to(wide) for one in gates))
    if state is None:
        state = start((k.new_zeros(k.shape[0], k.shape[2], k.shape[3], v.shape[3]),), k, v)
    memory.expect(state.parameters, k, v)
    for held in (state.momentum, state.anchor):
        memory.expect(held, k, v)
    fits = state.keys.shape[1] == state.values.shape[1] == state.weights.shape[1]
    fits = fits and state.keys.shape[2:] == k.shape[2:] and state.values.shape[2:] == v.shape[2:]
    told = {"keys": state.keys, "values": state.values, "weights": state.weights, "k": k, "v": v}
    expect(fits, "the pairs of the state must be [B, N, H, K], [B, N, H, V] and [B, N, H]", told)
    parameters, momentum, anchor = (
        tuple(one.to(wide) for one in held) for held in (state.parameters, state.momentum, state.anchor)
    )
    pairs = (state.keys.to(wide), state.values.to(wide), state.weights.to(wide))
    return Given(q * scale, k, v, gates, UpdateState(parameters, momentum, anchor, *pairs, state.offset))


def error(f: Tensor, v: Tensor, loss: Loss) -> Tensor:
    """The gradient of the loss of a pair with respect to what the memory said."""
    if loss == "dot":
        return -v
    return 2 * (f - v) if loss == "squared" else f - v


def last_pairs(
    state: UpdateState, k: Tensor, v: Tensor, gamma: Tensor | None, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The last `count` keys, values and weights of what a state holds and what came, or all if there are fewer."""
    weights = torch.ones_like(k[..., 0]) if gamma is None else gamma
    return _last(state.keys, k, count), _last(state.values, v, count), _last(state.weights, weights, count)


def _last(held: Tensor, new: Tensor, count: int) -> Tensor:
    whole = torch.cat((held[:, held.shape[1] - min(count, held.shape[1]) :], new), 1)
    return whole[:, whole.shape[1] - min(count, whole.shape[1]) :]


class Coefficients(NamedTuple):
    """What ties the n tokens of a chunk to the m = n + window - 1 pairs that their gradients are taken over."""

    decay: Tensor
    """A_t0 [..., n, 1]"""
    fade: Tensor
    """N_t0 [..., n, 1]"""
    carry: Tensor
    """f [..., n, 1]"""
    push: Tensor
    """[..., n, m]"""
    mix: Tensor
    """[..., n, m]"""
    spread: Tensor
    """A diag(rate) [..., n, n]"""


def products(factors: Tensor) -> Tensor:
    """[..., n] to [..., n, n]: the product over i < l <= t, 0 where i > t; factors may be 0, or negative."""
    n = factors.shape[-1]
    later = torch.ones(n, n, dtype=torch.bool, device=factors.device).tril(-1)
    return torch.where(later, factors.unsqueeze(-1), 1).cumprod(-2).tril()


def coefficients(gates: Gates, window: int, like: Tensor) -> Coefficients:
    """From gates [..., n], gamma [..., m], of the type and on the device of `like`."""
    g, eta, theta, gamma, rate = gates
    assert gamma is not None
    n = gamma.shape[-1] - window + 1
    ones = gamma.new_ones(*gamma.shape[:-1], n)
    eye = torch.eye(n, dtype=like.dtype, device=like.device).expand(*ones.shape, n)
    alpha = ones if g is None else g.exp()
    decays = products(alpha)
    momenta = eye if eta is None else products(eta)
    decay = alpha.cumprod(-1)
    fade = torch.zeros_like(ones) if eta is None else eta.cumprod(-1)
    spread = decays if rate is None else decays * rate.unsqueeze(-2)
    band = torch.ones(n, n + window - 1, dtype=torch.bool, device=like.device)
    band = band.triu() & band.tril(window - 1)
    banded = torch.where(band, gamma.unsqueeze(-2), 0)
    push = (momenta if theta is None else momenta * theta.unsqueeze(-2)) @ banded
    fade = fade.unsqueeze(-1)
    return Coefficients(decay.unsqueeze(-1), fade, spread @ fade, push, spread @ push, spread)


def gradients(
    memory: Mlp, parameters: Parameters, k: Tensor, v: Tensor, loss: Loss
) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
    """The gradient of each pair k, v [B, H, m, …] by itself: (x, δ) for each weight matrix, and that of the gain.

    The gradient of a weight matrix is x^T δ, of x [B, H, m, in] and δ [B, H, m, out].
    """
    weights, gain = memory.split(parameters)
    inputs, before = [k], [k @ weights[0]]
    for weight in weights[1:]:
        inputs.append(functional.gelu(before[-1]))
        before.append(inputs[-1] @ weight)
    z = before[-1]
    if gain is None:
        delta, of_gain = error(z, v, loss), None
    else:
        centred = z - z.mean(-1, keepdim=True)
        rstd = torch.rsqrt(centred.square().mean(-1, keepdim=True) + NORM_EPS)
        norm, scale = centred * rstd, (1 + gain).unsqueeze(-2)
        e = error(k + scale * norm, v, loss)
        of_gain, d = e * norm, e * scale
        # All of the bracket is over the deviation: d less its mean and its part along the norm.
        delta = (d - d.mean(-1, keepdim=True) - norm * (d * norm).mean(-1, keepdim=True)) * rstd
    deltas = [delta]
    for weight, h in zip(reversed(weights[1:]), reversed(before[:-1]), strict=True):
        deltas.append((deltas[-1] @ weight.mT) * gelu_slope(h))
    return list(zip(inputs, reversed(deltas), strict=True)), of_gain


def gelu_slope(h: Tensor) -> Tensor:
    """The derivative of gelu: Φ(h) + h φ(h)."""
    return 0.5 * (1 + torch.erf(h / math.sqrt(2))) + h * torch.exp(-0.5 * h.square()) / math.sqrt(2 * math.pi)


def drawn(
    length: int, generator: torch.Generator, *, heads: int = 2, width: int = 32
) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Tensor]]:
    """q, k of unit length, v, and gates as a layer would have them, at random: what operations are tried on."""
    q, k, v = (torch.randn(1, length, heads, width, generator=generator) for _ in range(3))
    q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
    gates = {name: torch.rand(1, length, heads, generator=generator) for name in ("theta", "eta", "g", "gamma")}
    return (q, k, v), {**gates, "theta": 0.01 * gates["theta"], "g": -0.05 * gates["g"]}


def frozen_chunks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Gates,
    state: UpdateState,
    *,
    memory: Mlp,
    loss: Loss,
    window: int,
    chunk_size: int,
    post: Post | None,
) -> tuple[Tensor, UpdateState]:
    """The update with `grad_at="chunk_start"` over arguments that `given` has checked, a chunk at a time.

    `post` is applied to S of each weight matrix, all tokens of a chunk at once: [B, H, n, in, out]; never to the gain.
    Memory beside the inputs: one set of parameters for each chunk, and with `post` one for each token of one chunk,
    also in the backward pass, which forms them again.
    """
    length, carried = k.shape[1], window - 1
    if not length:
        return v, state
    gamma = torch.ones_like(k[..., 0]) if gates.gamma is None else gates.gamma
    kept = last_pairs(state, k, v, gamma, carried)
    k, v, gates, gamma, poison = _sound(k, v, gates, gamma)
    held = (state.keys, state.values, state.weights)
    keys, values, weights = (
        _before(old, new, carried).transpose(1, 2) for old, new in zip(held, (k, v, gamma), strict=True)
    )
    q = q.transpose(1, 2)
    along = Gates(*(None if one is None else one.transpose(1, 2) for one in gates))._replace(gamma=None)
    edges = [0, *range(-state.offset % chunk_size or chunk_size, length, chunk_size), length]
    pieces = list(pairwise(edges))
    whole = [piece for piece in pieces if piece[1] - piece[0] == chunk_size]
    ready = _of_whole_chunks(along, weights, whole, window, keys)
    parameters, momentum, anchor, offset = state.parameters, state.momentum, state.anchor, state.offset
    outputs = []
    for first, last in pieces:
        if offset % chunk_size == 0:
            anchor = parameters
        if last - first == chunk_size:
            these = next(ready)
        else:
            part = Gates(*(None if one is None else one[..., first:last] for one in along))
            these = coefficients(part._replace(gamma=weights[..., first : last + carried]), window, keys)
        tensors = (q[:, :, first:last], keys[:, :, first : last + carried], values[:, :, first : last + carried])
        arguments = (*tensors, these, parameters, momentum, anchor, memory, loss, post)
        if post is not None and torch.is_grad_enabled():
            # No chance is inside, so that there is no generator's state to keep.
            o, parameters, momentum = checkpoint(_advance, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            o, parameters, momentum = _advance(*arguments)
        outputs.append(o)
        offset += last - first
        spoilt = poison[:, last - 1]
        parameters, momentum = (
            tuple(one + spoilt.reshape(*spoilt.shape, *[1] * (one.ndim - 2)) for one in held)
            for held in (parameters, momentum)
        )
    o = torch.cat(outputs, 2).transpose(1, 2) + poison.unsqueeze(-1)
    return o, UpdateState(parameters, momentum, anchor, *kept, offset)


def _sound(k: Tensor, v: Tensor, gates: Gates, gamma: Tensor) -> tuple[Tensor, Tensor, Gates, Tensor, Tensor]:
    """Keys, values and gates without what is not finite, and NaN from where that occurs, 0 before, [B, T, H].

    Within a chunk everything goes through matrix products, where 0 times NaN is NaN: without this a spoilt token would
    spoil what came before it.
    """
    bad = ~(k.isfinite().all(-1) & v.isfinite().all(-1) & gamma.isfinite())
    for name, gate in gates._asdict().items():
        if gate is not None:
            # Minus infinity is a log decay: it empties the memory.
            bad = bad | (gate.isnan() | (gate == torch.inf) if name == "g" else ~gate.isfinite())
    gates = Gates(*(None if gate is None else gate.masked_fill(bad, 0) for gate in gates))
    poison = torch.zeros_like(k[..., 0]).masked_fill(bad, torch.nan).cumsum(1)
    k, v = k.masked_fill(bad[..., None], 0), v.masked_fill(bad[..., None], 0)
    return k, v, gates, gamma.masked_fill(bad, 0), poison


def _before(held: Tensor, new: Tensor, count: int) -> Tensor:
    """What came, after the last `count` of what was held, with zeros in front of these if there are fewer."""
    held = held[:, held.shape[1] - min(count, held.shape[1]) :]
    missing = held.new_zeros(held.shape[0], count - held.shape[1], *held.shape[2:])
    return torch.cat((missing, held, new), 1)


def _of_whole_chunks(
    gates: Gates, weights: Tensor, whole: Sequence[tuple[int, int]], window: int, like: Tensor
) -> Iterator[Coefficients]:
    """The coefficients of all chunks of full length, made together."""
    if not whole:
        return iter(())
    first, size = whole[0][0], whole[0][1] - whole[0][0]
    stop = whole[-1][1]
    by_chunk = Gates(
        *(None if one is None else one[..., first:stop].unflatten(-1, (-1, size)).movedim(-2, 0) for one in gates)
    )
    windows = weights[..., first : stop + window - 1].unfold(-1, size + window - 1, size).movedim(-2, 0)
    made = coefficients(by_chunk._replace(gamma=windows), window, like)
    return map(Coefficients._make, zip(*made, strict=True))


def _advance(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    these: Coefficients,
    parameters: Parameters,
    momentum: Parameters,
    anchor: Parameters,
    memory: Mlp,
    loss: Loss,
    post: Post | None,
) -> tuple[Tensor, Parameters, Parameters]:
    """One chunk: outputs [B, H, n, V], M and S after its last token."""
    outer, of_gain = gradients(memory, anchor, k, v, loss)
    decay, fade, carry, push, mix, spread = these
    y, memories, momenta = q, [], []
    for number, (x, delta) in enumerate(outer):
        m, s = parameters[number], momentum[number]
        y = functional.gelu(y) if number else y
        if post is None:
            y = decay * (y @ m) + carry * (y @ s) - ((y @ x.mT) * mix) @ delta
            memories.append(decay[..., -1:, :] * m + carry[..., -1:, :] * s - (mix[..., -1, :, None] * x).mT @ delta)
            momenta.append(fade[..., -1:, :] * s - (push[..., -1, :, None] * x).mT @ delta)
        else:
            sums = torch.einsum("bhtm,bhmk,bhmv->bhtkv", push, x, delta)
            s_t = fade[..., None] * s.unsqueeze(2) - sums
            written = (spread @ post(s_t).flatten(-2)).unflatten(-1, s.shape[-2:])
            m_t = decay[..., None] * m.unsqueeze(2) + written
            y = (y.unsqueeze(-2) @ m_t).squeeze(-2)
            memories.append(m_t[:, :, -1])
            momenta.append(s_t[:, :, -1])
    if of_gain is None:
        return y, tuple(memories), tuple(momenta)
    gains = decay * parameters[-1].unsqueeze(2) + carry * momentum[-1].unsqueeze(2) - mix @ of_gain
    momenta.append(fade[..., -1, :] * momentum[-1] - (push[..., -1:, :] @ of_gain).squeeze(2))
    o = q + (1 + gains) * functional.layer_norm(y, y.shape[-1:], eps=NORM_EPS)
    return o, (*memories, gains[:, :, -1]), tuple(momenta)
