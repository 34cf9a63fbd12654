"""Self-modifying memories: keys, values, step size and retention come from memories that the same rule trains.

    M(x) = A x + gelu(x W_2) W_1        five memories: k, v, eta, alpha, mem; A is fixed, 1 where M(x) is as wide as x

    o_t = M_mem(q_t),  k_t = unit M_k(x_t),  v_t = M_v(x_t),
    eta_t = eta_scale softplus(M_eta(x_t) + b_eta),  alpha_t = sigmoid(M_alpha(x_t) + b_alpha)

    target of a memory: v_t (A v_t where it is narrower), or self-generated, M(v_t)
    W_2 <- (alpha_t I - eta_t k_t k_t^T) W_2 - eta_t grad |M(k_t) - target|^2        delta gradient descent
    W_1 <- alpha_t W_1 - eta_t grad |M(k_t) - target|^2

Everything is read before anything is written. Reads and gradients are taken at the memories of the last boundary, every
`chunks[0]` tokens for k, v, eta and alpha and every `chunks[1]` for mem, so that W_2 is the delta rule and W_1 linear
attention on keys and values that do not depend on each other. Source: Behrouz et al., Nested Learning (NeurIPS 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.forms import Call, Op
from remanence.kernels.sequence.frozen import drawn, gelu_slope
from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.shapes import expect
from remanence.kernels.sequence.update_frequency import spans

Phase = Literal[1, 2, 3]
NAMES = ("k", "v", "eta", "alpha", "mem")
"""The memories; the last is what is read, the others make what it is trained with."""
PROJECTIONS = NAMES[:4]
UNIT_EPS = 1e-6


class Perceptron(NamedTuple):
    """W_1 [B, H, E, O] and W_2 [B, H, K, E] of a memory; O is K, or 1 for eta and alpha."""

    w1: Tensor
    w2: Tensor


Memories = dict[str, Perceptron]


@dataclass(frozen=True)
class SelfState:
    """The memories, as they were at the last boundary, and how many tokens were read."""

    memories: Memories
    anchors: Memories
    offset: int = 0


class Fixed(NamedTuple):
    """What is not modified: A of eta and alpha [H, K], and their biases [H]."""

    eta: Tensor
    alpha: Tensor
    eta_bias: Tensor
    alpha_bias: Tensor


Result = tuple[Tensor, SelfState | None]


def start(memories: Memories) -> SelfState:
    """The state before the first token."""
    return SelfState(dict(memories), dict(memories))


def naive_recurrent_self_modifying(
    q: Tensor,
    x: Tensor,
    *,
    fixed: Fixed,
    initial_state: SelfState,
    phase: Phase = 3,
    chunks: tuple[int, int] = (8, 64),
    eta_scale: float = 1e-3,
    plasticity: float = 1.0,
    output_final_state: bool = True,
) -> Result:
    """`o [B, T, H, K], state = self_modifying(q, x, fixed=…, initial_state=…)`.

    Args:
        q: queries [B, T, H, K].
        x: what keys, values and gates are made from, [B, T, H, K].
        fixed: what is not modified.
        initial_state: see `start`.
        phase: 1: only mem is modified; 2: all, all with target v; 3: all, with targets that they generate.
        chunks: tokens between two boundaries of the projections, and of mem.
        eta_scale: factor on softplus(eta).
        plasticity: of the projections: their step size is plasticity * eta, their retention alpha ** plasticity.
        output_final_state: whether to return the state.

    Raises `InvalidInput`, with the shapes or the value, for what does not fit.

    """
    type_ = q.dtype
    q, x, fixed, state = _given(q, x, fixed, initial_state, phase, chunks)
    memories, anchors = dict(state.memories), dict(state.anchors)
    outputs = [x[:, :0]]
    for t, span in enumerate(spans(state.offset, x.shape[1], (*chunks, 1))):
        made = _made(q[:, t : t + 1], x[:, t : t + 1], anchors, fixed, eta_scale)
        outputs.append(made.o)
        for name in NAMES if phase > 1 else NAMES[-1:]:
            eta, alpha = _steps(name, made, plasticity)
            target = _target(name, made.v, anchors[name], fixed, phase)
            k, held = made.k, memories[name]

            def loss(each: tuple[Tensor, Tensor], name: str = name, k: Tensor = k, target: Tensor = target) -> Tensor:
                return (_read(name, Perceptron(*each), k, fixed) - target).square().sum()

            gradient = torch.func.grad(loss)((anchors[name].w1, anchors[name].w2))
            if not torch.is_grad_enabled():
                gradient = (gradient[0].detach(), gradient[1].detach())
            eta, alpha = eta[:, 0, :, None, None], alpha[:, 0, :, None, None]
            erased = torch.einsum("bhk,bhl,bhle->bhke", k[:, 0], k[:, 0], held.w2)
            memories[name] = Perceptron(
                alpha * held.w1 - eta * gradient[0], alpha * held.w2 - eta * erased - eta * gradient[1]
            )
        anchors = _refreshed(memories, anchors, span.due)
    final = SelfState(memories, anchors, state.offset + x.shape[1])
    return torch.cat(outputs, 1).to(type_), final if output_final_state else None


def chunk_self_modifying(
    q: Tensor,
    x: Tensor,
    *,
    fixed: Fixed,
    initial_state: SelfState,
    phase: Phase = 3,
    chunks: tuple[int, int] = (8, 64),
    eta_scale: float = 1e-3,
    plasticity: float = 1.0,
    output_final_state: bool = True,
) -> Result:
    """`naive_recurrent_self_modifying`, all tokens between two boundaries together."""
    type_ = q.dtype
    q, x, fixed, state = _given(q, x, fixed, initial_state, phase, chunks)
    memories, anchors = dict(state.memories), dict(state.anchors)
    outputs = [x[:, :0]]
    for span in spans(state.offset, x.shape[1], chunks):
        part = slice(span.first, span.last)
        made = _made(q[:, part], x[:, part], anchors, fixed, eta_scale)
        outputs.append(made.o)
        for name in NAMES if phase > 1 else NAMES[-1:]:
            eta, alpha = _steps(name, made, plasticity)
            anchor = anchors[name]
            h = torch.einsum("bnhk,bhke->bnhe", made.k, anchor.w2)
            a = functional.gelu(h)
            f = _linear(name, made.k, fixed) + torch.einsum("bnhe,bheo->bnho", a, anchor.w1)
            e = 2 * (f - _target(name, made.v, anchor, fixed, phase))
            dh = torch.einsum("bnho,bheo->bnhe", e, anchor.w1) * gelu_slope(h)
            g = alpha.log()
            _, w1 = hebbian(a, a, -e, eta, g, initial_state=memories[name].w1)
            _, w2 = gated_delta_rule(made.k, made.k, -dh, eta, g, initial_state=memories[name].w2, grad_at="previous")
            assert w1 is not None
            assert w2 is not None
            memories[name] = Perceptron(w1, w2)
        anchors = _refreshed(memories, anchors, span.due)
    final = SelfState(memories, anchors, state.offset + x.shape[1])
    return torch.cat(outputs, 1).to(type_), final if output_final_state else None


class _Made(NamedTuple):
    o: Tensor
    k: Tensor
    v: Tensor
    eta: Tensor
    alpha: Tensor


def _made(q: Tensor, x: Tensor, anchors: Memories, fixed: Fixed, eta_scale: float) -> _Made:
    """All reads, of the memories at the last boundary."""
    k, v, eta, alpha = (_read(name, anchors[name], x, fixed) for name in PROJECTIONS)
    return _Made(
        _read("mem", anchors["mem"], q, fixed),
        functional.normalize(k, dim=-1, eps=UNIT_EPS),
        v,
        eta_scale * functional.softplus(eta.squeeze(-1) + fixed.eta_bias),
        torch.sigmoid(alpha.squeeze(-1) + fixed.alpha_bias),
    )


def _linear(name: str, x: Tensor, fixed: Fixed) -> Tensor:
    """A x."""
    if name not in ("eta", "alpha"):
        return x
    return (x * (fixed.eta if name == "eta" else fixed.alpha)).sum(-1, keepdim=True)


def _read(name: str, memory: Perceptron, x: Tensor, fixed: Fixed) -> Tensor:
    h = functional.gelu(torch.einsum("bnhk,bhke->bnhe", x, memory.w2))
    return _linear(name, x, fixed) + torch.einsum("bnhe,bheo->bnho", h, memory.w1)


def _target(name: str, v: Tensor, anchor: Perceptron, fixed: Fixed, phase: Phase) -> Tensor:
    return _read(name, anchor, v, fixed) if phase == 3 else _linear(name, v, fixed)


def _steps(name: str, made: _Made, plasticity: float) -> tuple[Tensor, Tensor]:
    if name == "mem":
        return made.eta, made.alpha
    return plasticity * made.eta, made.alpha**plasticity


def _refreshed(memories: Memories, anchors: Memories, due: tuple[int, ...]) -> Memories:
    return {name: memories[name] if (1 if name == "mem" else 0) in due else anchors[name] for name in NAMES}


def _given(
    q: Tensor, x: Tensor, fixed: Fixed, state: SelfState, phase: Phase, chunks: tuple[int, int]
) -> tuple[Tensor, Tensor, Fixed, SelfState]:
    told = {"q": q, "x": x}
    expect(q.ndim == 4 and q.shape == x.shape, "q and x must be [B, T, H, K]", told)
    if phase not in (1, 2, 3) or min(chunks) < 1:
        raise InvalidInput(f"phase is 1, 2 or 3, and chunks are at least one token; got {phase} and {chunks}")
    lead, width = (q.shape[0], q.shape[2]), q.shape[3]
    wanted = {"eta": (lead[1], width), "alpha": (lead[1], width), "eta_bias": lead[1:], "alpha_bias": lead[1:]}
    for name, shape in wanted.items():
        one: Tensor = getattr(fixed, name)
        expect(tuple(one.shape) == shape, f"{name} must be {shape}", {name: one, **told})
    for held in (state.memories, state.anchors):
        if held.keys() != set(NAMES):
            raise InvalidInput(f"a state has the memories {', '.join(NAMES)}; this has {', '.join(held)}")
        for name, (w1, w2) in held.items():
            out = 1 if name in ("eta", "alpha") else width
            fits = w2.ndim == 4 and w2.shape[:3] == (*lead, width) and w1.shape == (*lead, w2.shape[3], out)
            expect(fits, f"{name} must be W_1 [B, H, E, {out}] and W_2 [B, H, K, E]", {"W_1": w1, "W_2": w2, **told})
    type_ = accumulation(q, x, *(one for memory in state.memories.values() for one in memory))
    memories, anchors = (
        {name: Perceptron(*(one.to(type_) for one in memory)) for name, memory in held.items()}
        for held in (state.memories, state.anchors)
    )
    fixed = Fixed(*(one.to(type_) for one in fixed))
    return q.to(type_), x.to(type_), fixed, SelfState(memories, anchors, state.offset)


def initial_memories(
    heads: int, width: int, *, expansion: float = 2.0, generator: torch.Generator | None = None
) -> Memories:
    """Memories before anything is learnt, without a batch: W_2 drawn with variance 1 / K, W_1 with less, so that M is
    near its linear part."""
    inner = round(expansion * width)
    if inner < 1:
        raise InvalidInput(f"expansion {expansion} leaves memories of width {width} without a unit")
    found = {}
    for name in NAMES:
        out = 1 if name in ("eta", "alpha") else width
        w1 = 0.1 * torch.randn(heads, inner, out, generator=generator) * inner**-0.5
        found[name] = Perceptron(w1, torch.randn(heads, width, inner, generator=generator) * width**-0.5)
    return found


def _example(length: int, generator: torch.Generator) -> Call:
    (q, _, x), _ = drawn(length, generator)
    heads, width = x.shape[2:]
    memories = initial_memories(heads, width, generator=generator)
    none = torch.zeros(heads, width)
    fixed = Fixed(none, none, torch.zeros(heads), torch.full((heads,), 6.0))
    state = start({name: Perceptron(*(one[None] for one in memory)) for name, memory in memories.items()})
    return Call((q, x), {"fixed": fixed, "initial_state": state})


self_modifying = Op(
    naive_recurrent_self_modifying, chunk_self_modifying, examples={"phase 3, chunks of 8 and 64": _example}
)
