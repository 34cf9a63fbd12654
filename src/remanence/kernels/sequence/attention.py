"""Attention as regression on the past with weights that depend on the query: degree 0 is softmax attention, degree 1
fits a line at each query.

    w_i(q) = exp(scale q.k_i),  p_i = w_i / sum_j w_j
    degree 0:  o = sum_i p_i v_i                            = argmin_b sum_i w_i |v_i - b|^2
    degree 1:  o = b of argmin_{b, W} sum_i p_i |v_i - b - W^T (k_i - q)|^2 + epsilon |W|^2

What a query sees is causal, may be the last `window` tokens only, may lie `lag` tokens back, and a prefix is seen by
every query. Attentions over disjoint sets of keys are put together by `merge` with their log-sum-exps.

>>> import torch
>>> q, k, v = (torch.randn(1, 9, 2, 4, generator=torch.Generator().manual_seed(0)) for _ in range(3))
>>> whole, _, lse = attention(q, k, v, window=3)
>>> first, state, _ = attention(q[:, :5], k[:, :5], v[:, :5], window=3)
>>> rest, state, _ = attention(q[:, 5:], k[:, 5:], v[:, 5:], window=3, initial_state=state)
>>> bool(torch.allclose(torch.cat((first, rest), 1), whole, atol=1e-6)), tuple(state.k.shape), tuple(lse.shape)
(True, (1, 2, 2, 4), (1, 9, 2))

Source: Vaswani et al., Attention is all you need (arXiv:1706.03762); Wang et al., Test-time regression
(arXiv:2501.12352) for both degrees as regression; the log-sum-exp merge is that of Milakov and Gimelshein
(arXiv:1805.02867).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.forms import Call, Example, Op
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.sound import unsound


class KV(NamedTuple):
    """Keys [B, N, H, K] and values [B, N, H, V] of the last N tokens, oldest first: the state of an attention."""

    k: Tensor
    v: Tensor
    valid: Tensor | None = None
    """[B, N], False for padding at the front, where sequences of a batch have seen fewer tokens; None: all is real."""


def unseen(
    batch: int,
    length: int,
    heads: int,
    key_dim: int,
    value_dim: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> KV:
    """A state of `length` tokens all of which are padding. With `length = window - 1 + lag` its size never changes."""
    return KV(
        torch.zeros(batch, length, heads, key_dim, device=device, dtype=dtype),
        torch.zeros(batch, length, heads, value_dim, device=device, dtype=dtype),
        torch.zeros(batch, length, device=device, dtype=torch.bool),
    )


class Attended(NamedTuple):
    """What attention returns: o [B, T, H, V], the state after the last token, and lse [B, T, H]."""

    o: Tensor
    final_state: KV | None
    """The last `window - 1 + lag` tokens, or all of them without a window; None if it was not asked for."""
    lse: Tensor
    """log sum_i exp(scale q.k_i) in fp32 or fp64; -inf where a query sees nothing, whose output is 0."""


Part = tuple[Tensor, Tensor]
"""(o, lse) of an attention over some of the keys."""
Block = Callable[[Tensor, Tensor, Tensor, Tensor | None], Part]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, scale: float | None = None) -> Part:
    """Softmax attention of T queries over N keys in any order: (o [B, T, H, V], lse [B, T, H]).

    Args:
        q, k, v: [B, T, H, K], [B, N, H, K], [B, N, H, V].
        mask: true where a query may see a key; broadcast to [B, H, T, N]. None: it sees all.
        scale: factor on q.k; K ** -0.5 by default.

    A query that sees no key gets 0, and -inf as lse. Scores and sums are fp32, or fp64 for such inputs.

    """
    p, top, total = _weights(q, k, mask, scale)
    o = torch.einsum("bhtn,bnhv->bthv", p, v.to(p.dtype)) / _nonzero(total)[..., None]
    return o.to(v.dtype), _lse(top, total)


def merge(parts: Sequence[Part]) -> Part:
    """The attention over the union of disjoint sets of keys, from the attentions over each: (o, lse).

    o = sum_b exp(lse_b - LSE) o_b,  LSE = log sum_b exp lse_b. Raises `InvalidInput` for no parts at all.
    """
    if not parts:
        raise InvalidInput("there is nothing to merge: give at least one (o, lse)")
    o, lse = parts[0]
    for other, its in parts[1:]:
        # Where neither saw anything both are -inf: their difference would be NaN, also in the gradient.
        nothing = torch.isneginf(lse) & torch.isneginf(its)
        both = torch.where(nothing, its, torch.logaddexp(lse.masked_fill(nothing, 0), its.masked_fill(nothing, 0)))
        at = both.masked_fill(nothing, 0)
        shares = (torch.exp(lse - at)[..., None], torch.exp(its - at)[..., None])
        o, lse = (shares[0] * o + shares[1] * other).to(o.dtype), both
    return o, lse


def naive_recurrent_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window: int | None = None,
    lag: int = 0,
    scale: float | None = None,
    prefix_k: Tensor | None = None,
    prefix_v: Tensor | None = None,
    initial_state: KV | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> Attended:
    """Causal softmax attention with a stream's cache: `o, state, lse = attention(q, k, v)`.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V].
        window: a token sees this many tokens, itself included; None: all before it and itself.
        lag: what it sees ends so many tokens back: t - lag - window < i <= t - lag. 0: it sees itself.
        scale: factor on q.k; K ** -0.5 by default.
        prefix_k, prefix_v: [B, P, H, K] and [B, P, H, V], or without B: tokens that every query sees besides
            (persistent memory, sinks). They do not enter the state; give them with each call.
        initial_state: the keys and values before the first token.
        output_final_state: whether to return the keys and values that later tokens will see.
        chunk_size: queries per block in the chunked form; takes O(T window) there, and memory linear in T in any case.

    Raises `InvalidInput` for shapes that do not match, a window < 1 and a lag < 0.

    """
    held, prefix = _checked(q, k, v, window, lag, initial_state, prefix_k, prefix_v)
    before = held.k.shape[1] - k.shape[1]
    outputs: list[Part] = [_empty(q, v)]
    for t in range(q.shape[1]):
        keys, values, valid = _seen(held, before + t, before + t, window, lag)
        outputs.append(attend(q[:, t : t + 1], keys, values, _allowed(valid), scale=scale))
    return _result(q, v, outputs, prefix, held, window, lag, scale, output_final_state)


def chunk_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window: int | None = None,
    lag: int = 0,
    scale: float | None = None,
    prefix_k: Tensor | None = None,
    prefix_v: Tensor | None = None,
    initial_state: KV | None = None,
    output_final_state: bool = True,
    chunk_size: int = 64,
) -> Attended:
    """`naive_recurrent_attention`, a block of queries at a time; without a window scores are computed again in the
    backward pass instead of being kept."""
    held, prefix = _checked(q, k, v, window, lag, initial_state, prefix_k, prefix_v)
    outputs = _blocks(partial(attend, scale=scale), q, v, held, window, lag, chunk_size)
    return _result(q, v, outputs, prefix, held, window, lag, scale, output_final_state)


def naive_recurrent_local_linear(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    epsilon: float = 1e-3,
    window: int | None = None,
    scale: float | None = None,
    initial_state: KV | None = None,
    output_final_state: bool = True,
    chunk_size: int = 16,
) -> Attended:
    """Local-linear attention: each query fits a line to the pairs that softmax attention would average.

    Arguments as in `naive_recurrent_attention`, and `epsilon`, the ridge on the slope W, relative to weights that sum
    to 1: towards infinity W is 0 and the output that of softmax attention; towards 0 any affine v = A k + b is
    reproduced. Takes O(T window K^2 + T K^3): for small K. `lse` is that of the weights.

    With d_i = k_i - q, s1 = sum_i p_i d_i, s2 = sum_i p_i d_i d_i^T + epsilon I and
    c_i = p_i (1 - s1^T s2^-1 d_i), the output is sum_i c_i v_i / sum_i c_i.
    """
    held, _ = _checked(q, k, v, window, 0, initial_state, None, None)
    _expect_ridge(epsilon)
    before, exact = held.k.shape[1] - k.shape[1], _exact(q.dtype)
    outputs: list[Part] = [_empty(q, v)]
    for t in range(q.shape[1]):
        keys, values, valid = _seen(held, before + t, before + t, window, 0)
        w, top, total = _weights(q[:, t : t + 1], keys, _allowed(valid), scale)
        p = (w / total[..., None].transpose(1, 2))[:, :, 0]
        d = (keys - q[:, t : t + 1]).to(exact).transpose(1, 2)
        s1 = torch.einsum("bhn,bhnk->bhk", p, d)
        ridge = epsilon * torch.eye(d.shape[-1], dtype=exact, device=d.device)
        s2 = torch.einsum("bhn,bhnk,bhnl->bhkl", p, d, d) + ridge
        c = p * (1 - torch.einsum("bhk,bhnk->bhn", torch.linalg.solve(s2, s1), d))
        o = torch.einsum("bhn,bnhv->bhv", c, values.to(exact)) / c.sum(-1, keepdim=True)
        outputs.append((o[:, None].to(v.dtype), _lse(top, total)))
    return _result(q, v, outputs, None, held, window, 0, scale, output_final_state)


def chunk_local_linear(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    epsilon: float = 1e-3,
    window: int | None = None,
    scale: float | None = None,
    initial_state: KV | None = None,
    output_final_state: bool = True,
    chunk_size: int = 16,
) -> Attended:
    """`naive_recurrent_local_linear`, a block of queries at a time."""
    held, _ = _checked(q, k, v, window, 0, initial_state, None, None)
    _expect_ridge(epsilon)
    outputs = _blocks(partial(_fit_line, epsilon=epsilon, scale=scale), q, v, held, window, 0, chunk_size)
    return _result(q, v, outputs, None, held, window, 0, scale, output_final_state)


def _example(width: int, **setting: int) -> Example:
    def example(length: int, generator: torch.Generator) -> Call:
        q, k, v = (torch.randn(1, length, 2, width, generator=generator) for _ in range(3))
        return Call((q, k, v), dict(setting))

    return example


attention = Op(
    naive_recurrent_attention,
    chunk_attention,
    examples={"softmax attention": _example(32), "sliding-window attention": _example(32, window=64)},
)
local_linear = Op(
    naive_recurrent_local_linear,
    chunk_local_linear,
    examples={"local-linear attention in a window": _example(8, window=64)},
)


def _fit_line(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, epsilon: float, scale: float | None
) -> Part:
    """o = sum_i p_i (1 + (k_i - m)^T (Cov + epsilon I)^-1 (q - m)) v_i with m and Cov the mean and covariance of the
    keys under p: the same fit with the keys centred, where nothing is divided by a vanishing sum of c_i."""
    w, top, total = _weights(q, k, mask, scale)
    p = w / _nonzero(total).transpose(1, 2)[..., None]
    q, k = q.to(p.dtype).transpose(1, 2), k.to(p.dtype).transpose(1, 2)
    m = p @ k
    centred = k[:, :, None] - m[:, :, :, None]
    covariance = (p[..., None] * centred).mT @ centred
    ridge = epsilon * torch.eye(k.shape[-1], dtype=p.dtype, device=k.device)
    slope = torch.linalg.solve(covariance + ridge, q - m)
    c = p * (1 + (centred @ slope[..., None])[..., 0])
    return torch.einsum("bhtn,bnhv->bthv", c, v.to(p.dtype)).to(v.dtype), _lse(top, total)


def _weights(q: Tensor, k: Tensor, mask: Tensor | None, scale: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """exp(s_i - top) [B, H, T, N], top = max_i s_i (0 where nothing is seen) and their sum, both [B, T, H]."""
    exact = _exact(q.dtype)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.einsum("bthk,bnhk->bhtn", q.to(exact) * scale, k.to(exact))
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if scores.shape[-1]:
        top = scores.detach().amax(-1, keepdim=True)
        top = top.masked_fill(torch.isneginf(top), 0)
    else:
        top = scores.sum(-1, keepdim=True)
    weights = torch.exp(scores - top)
    return weights, top[..., 0].transpose(1, 2), weights.sum(-1).transpose(1, 2)


def _nonzero(total: Tensor) -> Tensor:
    return torch.where(total == 0, 1, total)


def _lse(top: Tensor, total: Tensor) -> Tensor:
    return torch.where(total == 0, -torch.inf, top + torch.log(_nonzero(total)))


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _seen(held: KV, first: int, last: int, window: int | None, lag: int) -> KV:
    """What any of the tokens `first` to `last` of `held` may see."""
    start = 0 if window is None else max(0, first - lag - window + 1)
    stop = max(start, last - lag + 1)
    return _cut(held, start, stop)


def _cut(held: KV, start: int, stop: int) -> KV:
    valid = None if held.valid is None else held.valid[:, start:stop]
    return KV(held.k[:, start:stop], held.v[:, start:stop], valid)


def _allowed(valid: Tensor | None) -> Tensor | None:
    """[B, N] as a mask for scores [B, H, T, N]."""
    return None if valid is None else valid[:, None, None]


def _blocks(block: Block, q: Tensor, v: Tensor, held: KV, window: int | None, lag: int, chunk_size: int) -> list[Part]:
    if chunk_size < 1:
        raise InvalidInput(f"chunk_size {chunk_size} must be at least 1")
    length, before = q.shape[1], held.k.shape[1] - q.shape[1]
    # Without a window all scores together would be T x T: they are computed again in the backward pass.
    again = window is None and torch.is_grad_enabled()

    bad = unsound([held.k, held.v])
    if held.valid is not None:
        bad = bad & held.valid[..., None]
    held = KV(held.k.masked_fill(bad[..., None], 0), held.v.masked_fill(bad[..., None], 0), held.valid)
    counts = torch.nn.functional.pad(bad.cumsum(1), (0, 0, 1, 0))

    def attend_from(start: int, q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None) -> Part:
        last = before + start - lag + torch.arange(q.shape[1], device=q.device)
        first = 0 if window is None else max(0, before + start - lag - window + 1)
        i = first + torch.arange(k.shape[1], device=q.device)
        mask = i <= last[:, None] if window is None else (i <= last[:, None]) & (i > last[:, None] - window)
        o, lse = block(q, k, v, mask if valid is None else mask & valid[:, None, None])
        # Who sees a spoilt token: more of them lie up to the last that it sees than before the first.
        ends = (last + 1).clamp(min=0)
        starts = torch.zeros_like(last) if window is None else (last + 1 - window).clamp(min=0)
        spoilt = counts[:, ends] > counts[:, starts]
        return o.masked_fill(spoilt[..., None], torch.nan), lse.masked_fill(spoilt, torch.nan)

    outputs = [_empty(q, v)]
    for start in range(0, length, chunk_size):
        stop = min(start + chunk_size, length)
        given = (start, q[:, start:stop], *_seen(held, before + start, before + stop - 1, window, lag))
        if again:
            part: Part = checkpoint(attend_from, *given, use_reentrant=False, preserve_rng_state=False)
        else:
            part = attend_from(*given)
        outputs.append(part)
    return outputs


def _empty(q: Tensor, v: Tensor) -> Part:
    return v[:, :0], q[:, :0, :, 0].to(_exact(q.dtype))


def _result(
    q: Tensor,
    v: Tensor,
    outputs: Sequence[Part],
    prefix: KV | None,
    held: KV,
    window: int | None,
    lag: int,
    scale: float | None,
    output_final_state: bool,
) -> Attended:
    o, lse = (torch.cat(parts, 1) for parts in zip(*outputs, strict=True))
    if prefix is not None:
        o, lse = merge(((o, lse), attend(q, prefix.k, prefix.v, scale=scale)))
    kept = held.k.shape[1] if window is None else min(held.k.shape[1], window - 1 + lag)
    state = _cut(held, held.k.shape[1] - kept, held.k.shape[1]) if output_final_state else None
    return Attended(o.to(v.dtype), state, lse)


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    window: int | None,
    lag: int,
    state: KV | None,
    prefix_k: Tensor | None,
    prefix_v: Tensor | None,
) -> tuple[KV, KV | None]:
    """All keys and values that there are, and the prefix for each sequence; raises `InvalidInput` as documented."""
    check(q, k, v)
    if window is not None and window < 1:
        raise InvalidInput(f"window {window} must be at least 1: a token sees itself; None is no window")
    if lag < 0:
        raise InvalidInput(f"lag {lag} must be at least 0: nothing is seen before it came")
    held = KV(k, v)
    if state is not None:
        _expect_pairs("the state", state.k, state.v, k, v)
        valid = state.valid
        if valid is not None:
            expect(valid.shape == state.k.shape[:2], "valid must be [B, N]", {"valid": valid, "keys": state.k})
            valid = torch.cat((valid, valid.new_ones(k.shape[:2])), 1)
        held = KV(torch.cat((state.k, k), 1), torch.cat((state.v, v), 1), valid)
    if prefix_k is None and prefix_v is None:
        return held, None
    if prefix_k is None or prefix_v is None:
        raise InvalidInput("prefix_k and prefix_v belong together: give both, or none")
    prefix = KV(*(one.expand(k.shape[0], *one.shape) if one.ndim == 3 else one for one in (prefix_k, prefix_v)))
    _expect_pairs("the prefix", prefix.k, prefix.v, k, v)
    return held, prefix


def _expect_pairs(what: str, keys: Tensor, values: Tensor, k: Tensor, v: Tensor) -> None:
    fits = keys.ndim == values.ndim == 4 and keys.shape[:3] == values.shape[:3]
    fits = fits and (keys.shape[0], *keys.shape[2:]) == (k.shape[0], *k.shape[2:]) and values.shape[3] == v.shape[3]
    expect(fits, f"{what} must be [B, N, H, K] and [B, N, H, V]", {"keys": keys, "values": values, "k": k, "v": v})


def _expect_ridge(epsilon: float) -> None:
    if not epsilon > 0:
        raise InvalidInput(f"epsilon {epsilon} must be above 0: the slope of fewer than K pairs is not determined")
