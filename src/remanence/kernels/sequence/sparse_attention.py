"""Attention to few keys, chosen by what they say: the newest of the query's hash bucket, and the highest scored of all.

    bucket(x) = sum_j [(normalize(x - mean of the x so far) R)_j > 0] 2^j
    seen by query t: the last `recent` keys i <= t with bucket(k_i) = bucket(q_t), and the `top` best scored i <= t

A key enters its bucket when it is read, with the mean of that moment, so that all is causal and the state does not
grow: 2^bits `recent` + `top` keys. Source: HAX (Overcoming long-context limitations of state-space models via
context-dependent sparse attention, 2025), whose mean and norm look at the whole sequence; these do not.

>>> import torch
>>> generator = torch.Generator().manual_seed(0)
>>> k, planes = torch.randn(1, 50, 8, generator=generator), torch.randn(8, 4, generator=generator)
>>> seen = sparse_attention(k, k, k, planes, recent=4, scale=100.0)
>>> bool(torch.allclose(seen.o[0, -1], k[0, -1], atol=1e-2)), tuple(seen.final_state.bucket_k.shape)
(True, (1, 16, 4, 8))
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation, without_autocast
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.shapes import expect

# Bucket and time in one number that sorts by both.
_TIMES = 1 << 40


class SparseState(NamedTuple):
    """Keys that later queries may see; what is empty stands in front, with time -1."""

    bucket_k: Tensor
    """[B, 2^bits, recent, K], in order of time."""
    bucket_v: Tensor
    """[B, 2^bits, recent, V]."""
    bucket_time: Tensor
    """[B, 2^bits, recent], when each key was read."""
    top_k: Tensor
    """[B, top, K], in order of time."""
    top_v: Tensor
    """[B, top, V]."""
    top_score: Tensor
    """[B, top]."""
    top_time: Tensor
    """[B, top]."""
    q_sum: Tensor
    """[B, K], of all queries so far."""
    k_sum: Tensor
    """[B, K], of all keys so far."""
    seen: Tensor
    """[B], how many tokens were read."""


class Sparse(NamedTuple):
    """o [B, T, V] and the state after the last token, None if it was not asked for."""

    o: Tensor
    final_state: SparseState | None


def empty(
    batch: int,
    *,
    key_dim: int,
    value_dim: int,
    bits: int,
    recent: int,
    top: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> SparseState:
    """The state before the first token. Raises `InvalidInput` where no key could be seen."""
    if not 1 <= bits <= 16 or min(recent, top) < 0 or recent + top < 1:
        raise InvalidInput(
            f"bits must be 1 to 16, recent and top at least 0 and not both 0; got {bits}, {recent}, {top}"
        )

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, device=device, dtype=dtype)

    def never(*shape: int) -> Tensor:
        return torch.full((batch, *shape), -1, device=device, dtype=torch.long)

    return SparseState(
        zeros(1 << bits, recent, key_dim),
        zeros(1 << bits, recent, value_dim),
        never(1 << bits, recent),
        zeros(top, key_dim),
        zeros(top, value_dim),
        zeros(top),
        never(top),
        zeros(key_dim),
        zeros(key_dim),
        torch.zeros(batch, device=device, dtype=torch.long),
    )


def buckets(x: Tensor, planes: Tensor, total: Tensor | None = None, seen: Tensor | None = None) -> Tensor:
    """Numbers [B, T] of the buckets of x [B, T, K] under planes [K, bits].

    With `total` [B, K] and `seen` [B], the sum and the number of the x before, vectors are centred by the mean of all
    up to themselves; without, they are taken as they are.
    """
    if total is not None and seen is not None:
        count = seen[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)
        x = functional.normalize(x - running_sum(x, total) / count[..., None], dim=-1)
    powers = 1 << torch.arange(planes.shape[1], device=x.device)
    return ((x @ planes > 0) * powers).sum(-1)


def running_sum(x: Tensor, total: Tensor) -> Tensor:
    """Sums [B, T, K] of all x [B, T, K] up to each token, those before included, whose sum is `total` [B, K]."""
    return total[:, None] + x.cumsum(1)


@without_autocast
def naive_recurrent_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    planes: Tensor,
    scores: Tensor | None = None,
    *,
    recent: int = 32,
    top: int = 0,
    centre: bool = True,
    scale: float | None = None,
    initial_state: SparseState | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> Sparse:
    """Softmax attention over the keys that hash and score choose, token by token.

    Args:
        q, k, v: [B, T, K], [B, T, K], [B, T, V]; heads belong into B.
        planes: normals of the hash [K, bits].
        scores: [B, T], how important each key is; needed where `top` is not 0. No gradient goes through a choice.
        recent: keys of the query's bucket.
        top: best scored keys; of equal ones the older. One that is seen for both reasons counts once.
        centre: whether the running mean is taken off before hashing.
        scale: factor on q.k; K ** -0.5 by default.
        initial_state: what was read before.
        output_final_state: whether to return what later tokens may see.
        chunk_size: tokens whose best scores the other form finds together.

    A query that sees nothing gets 0. Raises `InvalidInput` for other shapes.

    """
    state, type_ = _begun(q, k, v, planes, scores, recent, top, initial_state)
    out_type, outs = v.dtype, []
    q, k, v, planes = (one.to(type_) for one in (q, k, v, planes))
    scale = k.shape[2] ** -0.5 if scale is None else scale
    every = torch.arange(len(q), device=q.device)
    for t in range(q.shape[1]):
        total = (state.q_sum, state.k_sum)
        places = [
            buckets(one[:, t : t + 1], planes, its if centre else None, state.seen)[:, 0]
            for one, its in zip((q, k), total, strict=True)
        ]
        state = _written(state, places[1], k[:, t], v[:, t], None if scores is None else scores[:, t].to(type_))
        state = state._replace(q_sum=total[0] + q[:, t], k_sum=total[1] + k[:, t], seen=state.seen + 1)
        near, best = (every, places[0]), (every,)
        times = torch.cat((state.bucket_time[near], state.top_time[best]), 1)
        outs.append(
            _attended(
                q[:, t],
                torch.cat((state.bucket_k[near], state.top_k[best]), 1),
                torch.cat((state.bucket_v[near], state.top_v[best]), 1),
                _seen_once(times, recent),
                scale,
            )
        )
    o = torch.stack(outs, 1) if outs else v
    return Sparse(o.to(out_type), state if output_final_state else None)


def _written(state: SparseState, bucket: Tensor, k: Tensor, v: Tensor, score: Tensor | None) -> SparseState:
    """The state with one more key in each sequence, at the end of its bucket and among the best if it belongs there."""
    numbers = torch.arange(state.bucket_time.shape[1], device=k.device)
    if state.bucket_time.shape[2]:
        here = numbers == bucket[:, None]
        state = state._replace(
            **{
                name: torch.where(
                    here.reshape(*here.shape, *[1] * (old.ndim - 2)),
                    torch.cat((old[:, :, 1:], new[:, None, None].expand(-1, old.shape[1], 1, *new.shape[1:])), 2),
                    old,
                )
                for name, old, new in (
                    ("bucket_k", state.bucket_k, k),
                    ("bucket_v", state.bucket_v, v),
                    ("bucket_time", state.bucket_time, state.seen),
                )
            }
        )
    if score is None or not state.top_time.shape[1]:
        return state
    parts = {
        "top_k": (state.top_k, k),
        "top_v": (state.top_v, v),
        "top_score": (state.top_score, score),
        "top_time": (state.top_time, state.seen),
    }
    whole = {name: torch.cat((old, new[:, None]), 1) for name, (old, new) in parts.items()}
    kept = _best(whole["top_score"], whole["top_time"], state.top_time.shape[1])
    return state._replace(**{name: _taken(one, kept) for name, one in whole.items()})


def _best(scores: Tensor, times: Tensor, count: int) -> Tensor:
    """Places [..., count] of the best scored, in order of time; those of time -1 are worse than all others."""
    scores = scores.detach().masked_fill(times < 0, -torch.inf)
    # Sorted by whether there is a key before it is by score, or one scored minus infinity would give way to none.
    order = scores.argsort(descending=True, stable=True)
    order = order.gather(-1, (times < 0).gather(-1, order).to(torch.uint8).argsort(stable=True))
    places: Tensor = order[..., :count].sort(-1).values
    return places


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """x [B, N, …] at places [B, …]."""
    rows = torch.arange(len(x), device=x.device).reshape(-1, *[1] * (places.ndim - 1))
    return x[rows, places]


def _seen_once(times: Tensor, recent: int) -> Tensor:
    """Which of a query's keys [..., recent + top] are there, and, where chosen for both reasons, counted once."""
    there = times >= 0
    near, best = times[..., :recent], times[..., recent:]
    twice = (best[..., :, None] == near[..., None, :]).any(-1)
    return torch.cat((there[..., :recent], there[..., recent:] & ~twice), -1)


def _attended(q: Tensor, k: Tensor, v: Tensor, there: Tensor, scale: float) -> Tensor:
    """o [..., V] of queries [..., K], each over its own keys [..., S, K]; places without a key may hold NaN."""
    k, v = (torch.where(there[..., None], one, torch.zeros_like(one)) for one in (k, v))
    found = torch.einsum("...sk,...k->...s", k, q) * scale
    found = found.masked_fill(~there, torch.finfo(found.dtype).min)
    p = torch.softmax(found, -1) * there
    return torch.einsum("...s,...sv->...v", p, v)


@without_autocast
def chunk_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    planes: Tensor,
    scores: Tensor | None = None,
    *,
    recent: int = 32,
    top: int = 0,
    centre: bool = True,
    scale: float | None = None,
    initial_state: SparseState | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> Sparse:
    """`naive_recurrent_sparse_attention`: keys sorted by bucket and time are found for all queries at once."""
    state, type_ = _begun(q, k, v, planes, scores, recent, top, initial_state)
    if chunk_size < 1:
        raise InvalidInput(f"chunk_size {chunk_size} must be at least 1; 64 suits most sizes")
    out_type, (batch, length, _) = v.dtype, q.shape
    if not length:
        return Sparse(v, state if output_final_state else None)
    q, k, v, planes = (one.to(type_) for one in (q, k, v, planes))
    scale = k.shape[2] ** -0.5 if scale is None else scale
    asked, written = (
        buckets(one, planes, total if centre else None, state.seen)
        for one, total in ((q, state.q_sum), (k, state.k_sum))
    )
    time = state.seen[:, None] + torch.arange(length, device=q.device)
    held = state.bucket_time.shape[1] * recent
    # All keys there are: those of the buckets, the best of before, the new ones; a choice is a place among them.
    all_k = torch.cat((state.bucket_k.flatten(1, 2), state.top_k, k), 1)
    all_v = torch.cat((state.bucket_v.flatten(1, 2), state.top_v, v), 1)
    all_time = torch.cat((state.bucket_time.flatten(1, 2), state.top_time, time), 1)
    numbers = torch.arange(state.bucket_time.shape[1], device=q.device)
    sorted_, place = _sorted(
        torch.cat((numbers.repeat_interleave(recent).expand(batch, -1), written), 1),
        torch.cat((all_time[:, :held], time), 1),
    )
    place = torch.where(place < held, place, place + state.top_time.shape[1])
    near = _newest(sorted_, place, asked * _TIMES + time, recent)
    best, after = _best_so_far(state, scores, length, chunk_size)
    chosen = torch.cat((near, torch.where(best < 0, best, best + held)), -1)
    times = torch.where(chosen < 0, chosen, _taken(all_time, chosen.clamp(min=0)))
    found = chosen.clamp(min=0)
    o = _attended(q, _taken(all_k, found), _taken(all_v, found), _seen_once(times, recent), scale)
    if not output_final_state:
        return Sparse(o.to(out_type), None)
    ends = ((numbers + 1) * _TIMES - 1).expand(batch, -1).contiguous()
    last = _newest(sorted_, place, ends, recent)
    kept, there = last.clamp(min=0), last >= 0
    left_k, left_v = (_taken(one[:, held:], after) for one in (all_k, all_v))
    end = SparseState(
        torch.where(there[..., None], _taken(all_k, kept), torch.zeros_like(state.bucket_k)),
        torch.where(there[..., None], _taken(all_v, kept), torch.zeros_like(state.bucket_v)),
        torch.where(there, _taken(all_time, kept), torch.full_like(state.bucket_time, -1)),
        left_k,
        left_v,
        _taken(_with_scores(state, scores), after),
        _taken(all_time[:, held:], after),
        state.q_sum + q.sum(1),
        state.k_sum + k.sum(1),
        state.seen + length,
    )
    return Sparse(o.to(out_type), end)


def _sorted(bucket: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Bucket and time as one number, ascending, what is no key at the end; and the places where each stood."""
    code = torch.where(time < 0, torch.full_like(time, torch.iinfo(time.dtype).max), bucket * _TIMES + time)
    found = code.sort(1)
    return found.values, found.indices


def _newest(codes: Tensor, places: Tensor, asked: Tensor, count: int) -> Tensor:
    """Places [B, Q, count] of the last keys at or before what is asked for [B, Q] that are of its bucket, else -1."""
    at = torch.searchsorted(codes, asked.contiguous(), right=True)[..., None]
    at = at - count + torch.arange(count, device=asked.device)
    there = at >= 0
    at = at.clamp(min=0)
    there &= _taken(codes, at) // _TIMES == asked[..., None] // _TIMES
    return torch.where(there, _taken(places, at), torch.full_like(at, -1))


def _with_scores(state: SparseState, scores: Tensor | None) -> Tensor:
    return state.top_score if scores is None else torch.cat((state.top_score, scores.to(state.top_score.dtype)), 1)


def _best_so_far(state: SparseState, scores: Tensor | None, length: int, chunk_size: int) -> tuple[Tensor, Tensor]:
    """For each token the places [B, T, top] of the best scored up to it, among those held and the new ones, else -1;
    and the places [B, top] of those that stay."""
    batch, top = state.top_time.shape
    kept = torch.arange(top, device=state.seen.device).expand(batch, -1)
    if scores is None or not top:
        return kept.new_zeros(batch, length, 0), kept
    every = _with_scores(state, scores.detach())
    times = torch.cat((state.top_time, state.seen[:, None] + torch.arange(length, device=every.device)), 1)
    found = []
    for first in range(0, length, chunk_size):
        new = torch.arange(min(chunk_size, length - first), device=every.device)
        places = torch.cat((kept, (top + first + new).expand(batch, -1)), 1)
        # A query of the chunk sees those held and the new ones up to itself.
        late = torch.arange(places.shape[1], device=new.device) > top + new[:, None]
        own = every.gather(1, places)[:, None].masked_fill(late, -torch.inf)
        its = times.gather(1, places)[:, None].masked_fill(late, -1)
        best = _best(own, its, top)
        chosen = _taken(places, best)
        found.append(chosen.masked_fill(its.gather(2, best) < 0, -1))
        kept = chosen[:, -1]
    return torch.cat(found, 1), kept


def _begun(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    planes: Tensor,
    scores: Tensor | None,
    recent: int,
    top: int,
    state: SparseState | None,
) -> tuple[SparseState, torch.dtype]:
    given = {"q": q, "k": k, "v": v, "planes": planes, **({} if scores is None else {"scores": scores})}
    expect(q.ndim == 3 and q.shape == k.shape, "q and k must be [B, T, K]", given)
    expect(v.ndim == 3 and v.shape[:2] == k.shape[:2], "v must be [B, T, V]", given)
    expect(planes.ndim == 2 and planes.shape[0] == k.shape[2], "planes must be [K, bits]", given)
    expect(scores is None or scores.shape == k.shape[:2], "scores must be [B, T]", given)
    expect(len({one.device for one in given.values()}) == 1, "all tensors must be on one device", given)
    if top and scores is None:
        raise InvalidInput(f"the best {top} keys cannot be chosen without scores [B, T]; give them, or top=0")
    type_ = accumulation(q, k, v)
    like = empty(
        q.shape[0],
        key_dim=k.shape[2],
        value_dim=v.shape[2],
        bits=planes.shape[1],
        recent=recent,
        top=top,
        device=q.device,
        dtype=type_,
    )
    if state is None:
        return like, type_
    for name, one, other in zip(SparseState._fields, state, like, strict=True):
        expect(one.shape == other.shape, f"{name} of the state must be {tuple(other.shape)}", {**given, name: one})
    return SparseState(*(one.to(other.dtype) for one, other in zip(state, like, strict=True))), type_


# How keys get their scores.


def importance(q: Tensor, k: Tensor, places: Tensor, *, scale: float | None = None) -> Tensor:
    """What a scorer of keys learns to foresee: sum over queries t >= i of sigmoid(scale q_t.k_i), without gradient.

    q, k [B, T, K]; for keys at `places` [S] of the sequence, [B, S].
    """
    with torch.no_grad():
        found = torch.einsum("btk,bsk->bts", q, k[:, places]) * (k.shape[2] ** -0.5 if scale is None else scale)
        later = torch.arange(q.shape[1], device=q.device)[:, None] >= places
        return (torch.sigmoid(found) * later).sum(1)


def ranking_loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """How badly scores [B, S] order keys by their importance [B, S]: cross-entropy of all pairs' differences against
    1, 1/2 or 0."""
    expect(
        scores.ndim == 2 and scores.shape == wanted.shape, "both must be [B, S]", {"scores": scores, "wanted": wanted}
    )
    margin = scores[:, :, None] - scores[:, None, :]
    target = 0.5 + 0.5 * torch.sign(wanted[:, :, None] - wanted[:, None, :])
    return functional.binary_cross_entropy_with_logits(margin, target.to(margin.dtype))


def _example(length: int, generator: torch.Generator) -> Call:
    q, k, v = (torch.randn(1, length, 32, generator=generator) for _ in range(3))
    planes, scores = torch.randn(32, 6, generator=generator), torch.randn(1, length, generator=generator)
    return Call((q, k, v, planes, scores), {"recent": 16, "top": 16})


sparse_attention = Op(
    naive_recurrent_sparse_attention, chunk_sparse_attention, examples={"16 of 64 buckets and 16 best": _example}
)
