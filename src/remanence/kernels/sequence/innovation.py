"""Innovation: how badly a stream was predicted at each token, and a bounded set of the tokens predicted worst.

A linear prediction of x_t from x_{t-1}, the ridge regression on the fading past, is kept up to date:

    H = sum_i f^(t-i) x_{i-1} x_{i-1}^T,   U = sum_i f^(t-i) x_{i-1} x_i^T,   z = (H + lambda I)^-1 x_{t-1}
    e = x_t - U^T z,   r = mean(e^2) / (1 + x_{t-1}^T z),   ratio = r / (the fading mean of r before t)
    innovation = ratio / max(1, ratio of the token before)

Two doubts are taken into account, whatever the scale of the stream: 1 + x^T z is how much less sure a prediction is
where little was seen, without which the first tokens of a stream would be the most surprising ones; and a prediction
from a token that was itself a surprise is worth little, without which the one after it would be as surprising.
The set keeps the M largest innovations there were, the earlier of equals, in the order of time, and is read by
attention: at every token as it was then.

Source: for the idea Zancato et al., B'MOJO (arXiv:2407.06324); the predictor is recursive least squares (Plackett,
1950) whose ridge does not fade, and the ratio the normalised innovation squared of Kalman filters.

>>> import torch
>>> x = torch.ones(1, 6, 1, 2)
>>> x[0, 4] = torch.tensor([1.0, -1.0])
>>> innovation(x)[0].argmax().item()
4
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.attention import Part, attend
from remanence.kernels.sequence.chunks import accumulation, without_autocast
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.sound import unsound, without_nan

TINY = 1e-20
"""Keeps a stream of zeros from dividing by zero."""


class Predictor(NamedTuple):
    """What was seen of a stream: sums of products, the last token, and how far predictions were off; fp32 or fp64."""

    h: Tensor
    """[B, H, K, K]"""
    u: Tensor
    """[B, H, K, K]"""
    last: Tensor
    """[B, H, K], 0 before the first token."""
    off: Tensor
    """[B]: sum of the fading r."""
    seen: Tensor
    """[B]: how many pairs of tokens they count for; -1 before the first token."""
    ratio: Tensor
    """[B]: of the last token."""


def unread(
    batch: int, heads: int, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Predictor:
    """Before the first token."""
    square = torch.zeros(batch, heads, width, width, device=device, dtype=dtype)
    off = square.new_zeros(batch)
    return Predictor(square, square, square[..., 0], off, off - 1, off + 1)


@without_autocast
def naive_recurrent_innovation(
    x: Tensor,
    *,
    forget: float = 0.999,
    ridge: float = 1.0,
    initial_state: Predictor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 32,
) -> tuple[Tensor, Predictor | None]:
    """How badly each token was predicted, [B, T] in fp32 or fp64, and the predictor after the last.

    Args:
        x: the stream, [B, T, H, K]. Heads are predicted by themselves and judged together.
        forget: f, what of the past is left after a token, in (0, 1].
        ridge: lambda, as a number of pairs of average size.
        initial_state: where to begin.
        output_final_state: whether to return the predictor.
        chunk_size: tokens per chunk in the chunked form.

    The first token of a stream has 1: nothing is known. Raises `InvalidInput` for other shapes and numbers.

    """
    x, state = _checked(x, forget, ridge, initial_state)
    found = [x[:, :0, 0, 0]]
    for t in range(x.shape[1]):
        h, u, last, off, seen, before = state
        told = seen >= 0
        count = seen.clamp(min=0)
        size = (h.diagonal(dim1=-2, dim2=-1).sum(-1) + last.square().sum(-1)) / (count + 1)[:, None]
        z = _solve(h, ridge * size / x.shape[3], last)
        e = x[:, t] - torch.einsum("bhkl,bhk->bhl", u, z)
        r = (e.square().mean(-1) / (1 + (last * z).sum(-1))).mean(-1)
        ratio = _ratio(r, off, count)
        found.append((ratio / before.clamp(min=1))[:, None])
        # The first token was not predicted: it says nothing of how good predictions are.
        state = Predictor(
            forget * h + last[..., :, None] * last[..., None, :],
            forget * u + last[..., :, None] * x[:, t][..., None, :],
            x[:, t],
            forget * off + torch.where(told, r, 0 * r),
            torch.where(told, forget * count + 1, torch.zeros_like(seen)),
            ratio,
        )
    return torch.cat(found, 1), state if output_final_state else None


@without_autocast
def chunk_innovation(
    x: Tensor,
    *,
    forget: float = 0.999,
    ridge: float = 1.0,
    initial_state: Predictor | None = None,
    output_final_state: bool = True,
    chunk_size: int = 32,
) -> tuple[Tensor, Predictor | None]:
    """`naive_recurrent_innovation`, where the systems of all tokens of a chunk are solved together."""
    if chunk_size < 1:
        raise InvalidInput(f"chunk_size {chunk_size} must be at least 1")
    x, state = _checked(x, forget, ridge, initial_state)
    (x,), spoilt = without_nan((x,))
    found = [x[:, :0, 0, 0]]
    for part in x.split(chunk_size, 1) if x.shape[1] else ():
        h, u, last, off, seen, ratio = state
        n = part.shape[1]
        before = torch.cat((last[:, None], part[:, :-1]), 1)
        told = torch.ones_like(part[..., 0, 0])
        told[:, 0] = (seen >= 0).to(told)
        # What is left at token t, row t, and after the last, row n, of token j, and of what was before.
        t = torch.arange(n + 1, device=x.device)
        age = t[:, None] - 1 - t[None, :n]
        left = torch.where(age >= 0, forget ** age.clamp(min=0).to(x.dtype), 0)
        start = forget ** t.to(x.dtype)
        count = start * seen.clamp(min=0)[:, None] + told @ left.T
        products = torch.einsum("bjhk,bjhl->bjhkl", before, before)
        hs = start[:, None, None, None] * h[:, None] + torch.einsum("tj,bj...->bt...", left, products)
        energy = hs[:, :n].diagonal(dim1=-2, dim2=-1).sum(-1) + before.square().sum(-1)
        z = _solve(hs[:, :n], ridge * energy / (count[:, :n, None] + 1) / x.shape[3], before)
        weights = torch.einsum("tj,bjhk,bthk->bthj", left[:n], before, z)
        said = start[:n, None, None] * torch.einsum("bhkl,bthk->bthl", u, z)
        e = part - said - torch.einsum("bthj,bjhl->bthl", weights, part)
        r = (e.square().mean(-1) / (1 + (before * z).sum(-1))).mean(-1)
        offs = start * off[:, None] + (told * r) @ left.T
        ratios = torch.cat((ratio[:, None], _ratio(r, offs[:, :n], count[:, :n])), 1)
        found.append(ratios[:, 1:] / ratios[:, :-1].clamp(min=1))
        u = start[n] * u + torch.einsum("j,bjhk,bjhl->bhkl", left[n], before, part)
        state = Predictor(hs[:, n], u, part[:, -1], offs[:, n], count[:, n], ratios[:, n])
    if x.shape[1]:
        head, whole = spoilt[:, -1], spoilt[:, -1].sum(-1)
        state = Predictor(
            state.h + head[..., None, None], state.u + head[..., None, None], state.last + head[..., None],
            state.off + whole, state.seen, state.ratio + whole,
        )  # fmt: skip
    return torch.cat(found, 1) + spoilt.sum(-1), state if output_final_state else None


def _solve(h: Tensor, ridge: Tensor, x: Tensor) -> Tensor:
    identity = torch.eye(h.shape[-1], dtype=h.dtype, device=h.device)
    system = h + (ridge + TINY)[..., None, None] * identity
    solved: Tensor = torch.linalg.solve_ex(system, x[..., None])[0]
    return solved[..., 0]


def _ratio(r: Tensor, off: Tensor, count: Tensor) -> Tensor:
    return torch.where(count > 0, r * count / (off + TINY), 1 + 0 * r)


def _checked(x: Tensor, forget: float, ridge: float, state: Predictor | None) -> tuple[Tensor, Predictor]:
    expect(x.ndim == 4, "x must be [B, T, H, K]", {"x": x})
    if not 0 < forget <= 1 or not ridge > 0:
        raise InvalidInput(f"forget must be in (0, 1] and ridge above 0; got {forget} and {ridge}")
    batch, _, heads, width = x.shape
    if state is None:
        state = unread(batch, heads, width, device=x.device, dtype=accumulation(x))
    wanted = (batch, heads, width, width)
    expect(state.h.shape == state.u.shape == wanted, f"H and U must be {wanted}", {"h": state.h, "u": state.u, "x": x})
    dtype = accumulation(x, state.h)
    return x.to(dtype), Predictor(*(one.to(dtype) for one in state))


class Kept(NamedTuple):
    """The set: keys [B, M, H, K], values [B, M, H, V] and scores [B, M] of at most M tokens, oldest first, with
    padding at the front whose score is minus infinity."""

    k: Tensor
    v: Tensor
    score: Tensor


def nothing(batch: int, size: int, k: Tensor, v: Tensor) -> Kept:
    """A set of `size` places that is empty, for keys [B, T, H, K] and values [B, T, H, V] like these."""
    score = k.new_full((batch, size), -torch.inf, dtype=accumulation(k))
    return Kept(k.new_zeros(batch, size, *k.shape[2:]), v.new_zeros(batch, size, *v.shape[2:]), score)


class Recalled(NamedTuple):
    """What reading a set returns: o [B, T, H, V], the set after the last token, and lse [B, T, H] to merge with."""

    o: Tensor
    final_state: Kept | None
    lse: Tensor


def naive_recurrent_eidetic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    score: Tensor,
    *,
    size: int = 64,
    scale: float | None = None,
    initial_state: Kept | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> Recalled:
    """Offer every token to a set that keeps those of the largest scores, and attend to what is in it.

    Args:
        q: what reads the set after token t was offered, [B, T, H, K].
        k, v: tokens that are offered, [B, T, H, K] and [B, T, H, V].
        score: [B, T]; minus infinity and NaN are never kept, nor is a token that is not finite.
        size: M, the places of a fresh set.
        scale: factor on q.k; K ** -0.5 by default.
        initial_state: the set before the first token.
        output_final_state: whether to return it.
        chunk_size: tokens per chunk in the chunked form.

    """
    score, kept = _offered(q, k, v, score, size, initial_state)
    places = kept.score.shape[1]
    outputs: list[Part] = [(v[:, :0], q[:, :0, :, 0].to(accumulation(q)))]
    for t in range(q.shape[1]):
        whole = Kept(*(torch.cat((old, new[:, t : t + 1]), 1) for old, new in zip(kept, (k, v, score), strict=True)))
        # Out goes the newest of those with the lowest score.
        lowest = whole.score == whole.score.amin(1, keepdim=True)
        order = torch.arange(places + 1, device=q.device)
        out = torch.where(lowest, order, -1).amax(1)
        stay = order[:-1] + (order[:-1] >= out[:, None]).long()
        kept = _blank(Kept(*(_rows(one, stay) for one in whole)))
        seen = (kept.score > -torch.inf)[:, None, None]
        outputs.append(attend(q[:, t : t + 1], kept.k, kept.v, seen, scale=scale))
    o, lse = (torch.cat(parts, 1) for parts in zip(*outputs, strict=True))
    return Recalled(o, kept if output_final_state else None, lse)


def chunk_eidetic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    score: Tensor,
    *,
    size: int = 64,
    scale: float | None = None,
    initial_state: Kept | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> Recalled:
    """`naive_recurrent_eidetic`, a chunk at a time.

    A token is in the set at a time if fewer than M of those there were until then beat it; what was out of the set
    before a chunk does not return, so that those in it and in the chunk are counted.
    """
    if chunk_size < 1:
        raise InvalidInput(f"chunk_size {chunk_size} must be at least 1")
    score, kept = _offered(q, k, v, score, size, initial_state)
    places = kept.score.shape[1]
    outputs: list[Part] = [(v[:, :0], q[:, :0, :, 0].to(accumulation(q)))]
    for first in range(0, q.shape[1], chunk_size):
        at = slice(first, first + chunk_size)
        new = Kept(k[:, at], v[:, at], score[:, at])
        bad = unsound([new.k, new.v]).any(-1)[..., None, None]
        new = Kept(new.k.masked_fill(bad, 0), new.v.masked_fill(bad, 0), new.score)
        whole = Kept(*(torch.cat((old, one), 1) for old, one in zip(kept, new, strict=True)))
        n, real = new.score.shape[1], whole.score > -torch.inf
        order = torch.arange(places + n, device=q.device)
        mine, other = whole.score[:, None, :], whole.score[:, :, None]
        beats = (other > mine) | ((other == mine) & (order[:, None] < order))
        beats = beats & real[:, :, None]
        ahead = beats[:, :places].sum(1, keepdim=True) + beats[:, places:].cumsum(1)
        come = order <= places + torch.arange(n, device=q.device)[:, None]
        inside = (ahead < places) & come & real[:, None]
        outputs.append(attend(q[:, at], whole.k, whole.v, inside[:, None], scale=scale))
        stay = inside[:, -1].int().argsort(dim=1, stable=True)[:, n:]
        kept = _blank(Kept(*(_rows(one, stay) for one in whole)), _rows(inside[:, -1], stay))
    o, lse = (torch.cat(parts, 1) for parts in zip(*outputs, strict=True))
    return Recalled(o, kept if output_final_state else None, lse)


def _rows(x: Tensor, at: Tensor) -> Tensor:
    return x.gather(1, at.reshape(*at.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:]))


def _blank(kept: Kept, real: Tensor | None = None) -> Kept:
    """With zeros for what is not in the set."""
    none = ~(kept.score > -torch.inf if real is None else real)
    k, v = (one.masked_fill(none[..., None, None], 0) for one in kept[:2])
    return Kept(k, v, kept.score.masked_fill(none, -torch.inf))


def _offered(q: Tensor, k: Tensor, v: Tensor, score: Tensor, size: int, kept: Kept | None) -> tuple[Tensor, Kept]:
    check(q, k, v)
    expect(score.shape == k.shape[:2], "score must be [B, T]", {"score": score, "k": k})
    if size < 0:
        raise InvalidInput(f"size {size} must be at least 0")
    if kept is None:
        kept = nothing(k.shape[0], size, k, v)
    fits = kept.k.shape[:2] == kept.v.shape[:2] == kept.score.shape and kept.k.shape[0] == k.shape[0]
    fits = fits and kept.k.shape[2:] == k.shape[2:] and kept.v.shape[2:] == v.shape[2:]
    expect(fits, "the set must be [B, M, H, K], [B, M, H, V] and [B, M]", {**kept._asdict(), "keys": k, "values": v})
    score = score.detach().to(kept.score.dtype)
    never = score.isnan() | unsound([k, v]).any(-1)
    return score.masked_fill(never, -torch.inf), kept


def _stream(length: int, generator: torch.Generator) -> Call:
    return Call((torch.randn(1, length, 2, 32, generator=generator),))


def _offers(length: int, generator: torch.Generator) -> Call:
    q, k, v = (torch.randn(1, length, 2, 32, generator=generator) for _ in range(3))
    return Call((q, k, v, torch.rand(1, length, generator=generator)))


innovation = Op(naive_recurrent_innovation, chunk_innovation, examples={"a stream of 64 channels in 2 heads": _stream})
eidetic = Op(naive_recurrent_eidetic, chunk_eidetic, examples={"the 64 tokens of the largest scores": _offers})
