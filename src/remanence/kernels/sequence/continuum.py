"""A continuum memory: perceptrons in a row, each updated at its own frequency with what was gathered since.

    f(x)  = x + gelu(layernorm(x) W_1 + b_1) W_2 + b_2                  a level
    G_l  += theta_t grad_l loss(F(k_t), v_t),   o_t = F(q_t)            at each token
    θ_l  <- θ_l - G_l,  G_l = 0                                         after every `periods[l]` tokens

"chain": F = f_L(… f_1(x)). "parallel": F = sum_l softmax(mix)_l f_l(x). "nested": F = f_1, every level is fitted by
itself, and where level l + 1 is updated, or every `context` tokens, level l begins again from it. A token is read
before it is written. Source: Behrouz et al., Nested Learning (NeurIPS 2025); the explicit forms are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.frozen import NORM_EPS, drawn, error, gelu_slope
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.update import Loss, Parameters
from remanence.kernels.sequence.update_frequency import Span, expect_periods, spans

Arrangement = Literal["chain", "parallel", "nested"]
Levels = tuple[Parameters, ...]
"""For each level W_1 [B, H, K, E], b_1 [B, H, E], W_2 [B, H, E, K], b_2 [B, H, K]."""


@dataclass(frozen=True)
class ContinuumState:
    """Levels, what each has gathered since its last update, and how many tokens were read."""

    levels: Levels
    gathered: Levels
    offset: int = 0


Result = tuple[Tensor, ContinuumState | None]
Value = tuple[tuple[Tensor, ...], Tensor]


def start(levels: Sequence[Parameters]) -> ContinuumState:
    """The state before the first token."""
    return ContinuumState(tuple(levels), tuple(tuple(torch.zeros_like(one) for one in level) for level in levels))


def finalize(state: ContinuumState) -> ContinuumState:
    """The end of a stream: every level takes in what it has gathered, however little, and counting begins anew."""
    levels = tuple(_stepped(level, gathered) for level, gathered in zip(state.levels, state.gathered, strict=True))
    return start(levels)


def naive_recurrent_continuum(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    theta: Tensor,
    *,
    initial_state: ContinuumState,
    periods: Sequence[int],
    rates: Sequence[float] | None = None,
    arrangement: Arrangement = "chain",
    mix: Tensor | None = None,
    context: int | None = None,
    loss: Loss = "l2",
    scale: float = 1.0,
    output_final_state: bool = True,
) -> Result:
    """`o [B, T, H, K], state = continuum(q, k, v, theta, initial_state=…, periods=(1, 8, 64))`.

    Args:
        q, k, v: [B, T, H, K], values as wide as keys.
        theta: step size of each token, [B, T, H].
        initial_state: see `start`.
        periods: tokens between two updates of each level.
        rates: factor on theta for each level; None: 1.
        arrangement: how levels answer together.
        mix: [L], for "parallel"; None: all weigh the same.
        context: for "nested"; None: a level begins again whenever the next slower one was updated.
        loss: "l2", "squared", or "dot": v is then what should be more. A given error signal is "dot" with v = -error.
        scale: factor on q.
        output_final_state: whether to return the state.

    Raises `InvalidInput`, with the shapes or the value, for what does not fit.

    """
    arguments = _given(q, k, v, theta, initial_state, periods, rates, arrangement, mix, context, loss, scale)
    return _run(*arguments, gradient=_autograd, context=context, out=v.dtype, keep=output_final_state, tokenwise=True)


def chunk_continuum(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    theta: Tensor,
    *,
    initial_state: ContinuumState,
    periods: Sequence[int],
    rates: Sequence[float] | None = None,
    arrangement: Arrangement = "chain",
    mix: Tensor | None = None,
    context: int | None = None,
    loss: Loss = "l2",
    scale: float = 1.0,
    output_final_state: bool = True,
) -> Result:
    """`naive_recurrent_continuum`, all tokens between two updates together, gradients in closed form."""
    arguments = _given(q, k, v, theta, initial_state, periods, rates, arrangement, mix, context, loss, scale)
    return _run(*arguments, gradient=_explicit, context=context, out=v.dtype, keep=output_final_state, tokenwise=False)


@dataclass(frozen=True)
class _Settings:
    periods: tuple[int, ...]
    rates: tuple[float, ...]
    arrangement: Arrangement
    weights: Tensor
    loss: Loss


def read(
    levels: Levels, q: Tensor, *, arrangement: Arrangement = "chain", mix: Tensor | None = None, loss: Loss = "l2"
) -> Tensor:
    """What levels answer to q [B, N, H, K], without learning."""
    ones = tuple(1 for _ in levels)
    return _answer(levels, q, _Settings(ones, ones, arrangement, _weights(mix, levels), loss))


def _given(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    theta: Tensor,
    state: ContinuumState,
    periods: Sequence[int],
    rates: Sequence[float] | None,
    arrangement: Arrangement,
    mix: Tensor | None,
    context: int | None,
    loss: Loss,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, ContinuumState, _Settings]:
    check(q, k, v, theta=theta)
    expect(theta.ndim == 3 and k.shape == v.shape, "theta must be [B, T, H], and v as wide as k", {"v": v, "k": k})
    expect_periods(periods)
    rates = tuple(rates) if rates is not None else (1.0,) * len(periods)
    if not len(periods) == len(rates) == len(state.levels) == len(state.gathered):
        raise InvalidInput(
            f"there are {len(state.levels)} levels, {len(periods)} periods and {len(rates)} rates; one each is needed"
        )
    if arrangement not in get_args(Arrangement) or loss not in get_args(Loss):
        raise InvalidInput(
            f"arrangement is one of {', '.join(get_args(Arrangement))}, loss one of {', '.join(get_args(Loss))}; "
            f"got {arrangement!r} and {loss!r}"
        )
    if context is not None and (context < 1 or arrangement != "nested"):
        raise InvalidInput(f"context is at least one token, and for nested levels; got {context} for {arrangement!r}")
    for number, level in enumerate(state.levels):
        told = {f"parameter {at} of level {number}": one for at, one in enumerate(level)} | {"k": k}
        lead, width = (k.shape[0], k.shape[2]), k.shape[3]
        expect(len(level) == 4 and level[0].shape[:3] == (*lead, width), "W_1 must be [B, H, K, E]", told)
        inner = level[0].shape[3]
        wanted = [(*lead, width, inner), (*lead, inner), (*lead, inner, width), (*lead, width)]
        expect([tuple(one.shape) for one in level] == wanted, f"a level must have the shapes {wanted}", told)
    type_ = accumulation(q, k, v, theta, *(one for level in state.levels for one in level))
    levels, gathered = (
        tuple(tuple(one.to(type_) for one in level) for level in held) for held in (state.levels, state.gathered)
    )
    weights = _weights(mix, levels)
    expect(weights.shape == (len(levels),), "mix must be [L]", {"mix": weights})
    settings = _Settings(tuple(periods), rates, arrangement, weights, loss)
    held = replace(state, levels=levels, gathered=gathered)
    return q.to(type_) * scale, k.to(type_), v.to(type_), theta.to(type_), held, settings


def _weights(mix: Tensor | None, levels: Levels) -> Tensor:
    like = levels[0][0]
    return torch.softmax(like.new_zeros(len(levels)) if mix is None else mix.to(like.dtype), 0)


Gradient = Callable[[Levels, Tensor, Tensor, Tensor, "_Settings"], Levels]


def _run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    theta: Tensor,
    state: ContinuumState,
    settings: _Settings,
    *,
    gradient: Gradient,
    context: int | None,
    out: torch.dtype,
    keep: bool,
    tokenwise: bool,
) -> Result:
    levels, gathered, offset = state.levels, state.gathered, state.offset
    outputs = [v[:, :0]]
    marks = (*settings.periods, *(() if context is None else (context,)))
    for span in spans(offset, k.shape[1], (*marks, 1) if tokenwise else marks):
        part = slice(span.first, span.last)
        outputs.append(_answer(levels, q[:, part], settings))
        said = gradient(levels, k[:, part], v[:, part], theta[:, part], settings)
        gathered = tuple(
            tuple(held + rate * one for held, one in zip(old, new, strict=True))
            for old, new, rate in zip(gathered, said, settings.rates, strict=True)
        )
        levels, gathered = _updated(levels, gathered, span, settings, context)
    final = ContinuumState(levels, gathered, offset + k.shape[1])
    return torch.cat(outputs, 1).to(out), final if keep else None


def _updated(
    levels: Levels, gathered: Levels, span: Span, settings: _Settings, context: int | None
) -> tuple[Levels, Levels]:
    count = len(levels)
    due = {at for at in span.due if at < count}
    if not due and count not in span.due:
        return levels, gathered
    none = tuple(tuple(torch.zeros_like(one) for one in level) for level in gathered)
    moved = tuple(_stepped(levels[at], gathered[at]) if at in due else levels[at] for at in range(count))
    anew = set()
    if settings.arrangement == "nested":
        anew = {at for at in range(count - 1) if (at + 1 in due if context is None else count in span.due)}
    after = tuple(moved[at + 1] if at in anew else moved[at] for at in range(count))
    return after, tuple(none[at] if at in due | anew else gathered[at] for at in range(count))


def _stepped(level: Parameters, gathered: Parameters) -> Parameters:
    return tuple(one - step for one, step in zip(level, gathered, strict=True))


def _forward(level: Parameters, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """f(x), layernorm(x), what goes into gelu, and 1 / deviation; x [B, N, H, K]."""
    w1, b1, w2, b2 = level
    centred = x - x.mean(-1, keepdim=True)
    rstd = torch.rsqrt(centred.square().mean(-1, keepdim=True) + NORM_EPS)
    z = centred * rstd
    h = torch.einsum("bnhk,bhke->bnhe", z, w1) + b1[:, None]
    y = x + torch.einsum("bnhe,bhek->bnhk", functional.gelu(h), w2) + b2[:, None]
    return y, z, h, rstd


def _answer(levels: Levels, x: Tensor, settings: _Settings) -> Tensor:
    if settings.arrangement == "nested":
        return _forward(levels[0], x)[0]
    if settings.arrangement == "parallel":
        said = torch.stack([_forward(level, x)[0] for level in levels], -1)
        return said @ settings.weights
    for level in levels:
        x = _forward(level, x)[0]
    return x


def _autograd(levels: Levels, k: Tensor, v: Tensor, theta: Tensor, settings: _Settings) -> Levels:
    """The gradient of the weighted loss, by differentiating it."""

    def total(each: Levels) -> Tensor:
        if settings.arrangement == "nested":
            answers = [_forward(level, k)[0] for level in each]
        else:
            answers = [_answer(each, k, settings)]
        losses = [_loss(one, v, settings.loss) for one in answers]
        return torch.stack([(theta * one).sum() for one in losses]).sum()

    found: Levels = torch.func.grad(total)(levels)
    # torch.func.grad records by what it differentiates, whatever was said outside of it.
    return found if torch.is_grad_enabled() else tuple(tuple(one.detach() for one in level) for level in found)


def _loss(f: Tensor, v: Tensor, loss: Loss) -> Tensor:
    if loss == "dot":
        return -(f * v).sum(-1)
    squares = (f - v).square().sum(-1)
    return squares if loss == "squared" else squares / 2


def _explicit(levels: Levels, k: Tensor, v: Tensor, theta: Tensor, settings: _Settings) -> Levels:
    """The same in closed form."""
    weight = theta.unsqueeze(-1)
    if settings.arrangement == "chain":
        parts, x = [], k
        for level in levels:
            y, *inside = _forward(level, x)
            parts.append(inside)
            x = y
        e, found = error(x, v, settings.loss), []
        for at in range(len(levels) - 1, -1, -1):
            gradient, e = _backward(levels[at], parts[at], e, weight, further=at > 0)
            found.append(gradient)
        return tuple(reversed(found))
    said = [_forward(level, k) for level in levels]
    if settings.arrangement == "parallel":
        whole = error(torch.stack([one[0] for one in said], -1) @ settings.weights, v, settings.loss)
        errors = [settings.weights[at] * whole for at in range(len(levels))]
    else:
        errors = [error(one[0], v, settings.loss) for one in said]
    return tuple(
        _backward(level, one[1:], e, weight, further=False)[0]
        for level, one, e in zip(levels, said, errors, strict=True)
    )


def _backward(
    level: Parameters, inside: Sequence[Tensor], e: Tensor, weight: Tensor, *, further: bool
) -> tuple[Parameters, Tensor]:
    """The gradient of a level, tokens weighted and summed, and the error at its input if it goes `further`."""
    w1, _, w2, _ = level
    z, h, rstd = inside
    a = functional.gelu(h)
    dh = torch.einsum("bnhk,bhek->bnhe", e, w2) * gelu_slope(h)
    heavy, dh_heavy = weight * e, weight * dh
    gradient = (
        torch.einsum("bnhk,bnhe->bhke", z, dh_heavy),
        dh_heavy.sum(1),
        torch.einsum("bnhe,bnhk->bhek", a, heavy),
        heavy.sum(1),
    )
    if not further:
        return gradient, e
    dz = torch.einsum("bnhe,bhke->bnhk", dh, w1)
    back = rstd * (dz - dz.mean(-1, keepdim=True) - z * (dz * z).mean(-1, keepdim=True))
    return gradient, e + back


def initial_levels(
    heads: int, width: int, *, count: int, expansion: float = 4.0, generator: torch.Generator | None = None
) -> list[Parameters]:
    """Levels before anything is learnt, without a batch: W_1 drawn with variance 1 / K, all else 0.

    With W_2 = 0 a level gives its input back.
    """
    inner = round(expansion * width)
    if inner < 1:
        raise InvalidInput(f"expansion {expansion} leaves levels of width {width} without a unit")
    return [
        (
            torch.randn(heads, width, inner, generator=generator) * width**-0.5,
            torch.zeros(heads, inner),
            torch.zeros(heads, inner, width),
            torch.zeros(heads, width),
        )
        for _ in range(count)
    ]


def _example(length: int, generator: torch.Generator) -> Call:
    (q, k, v), gates = drawn(length, generator)
    levels = initial_levels(k.shape[2], k.shape[3], count=2, generator=generator)
    state = start([tuple(one[None] for one in level) for level in levels])
    return Call((q, k, v, gates["theta"]), {"initial_state": state, "periods": (16, 64)})


continuum = Op(naive_recurrent_continuum, chunk_continuum, examples={"chain, periods 16 and 64": _example})
