"""Hope: a memory that rewrites how its own keys, values, step sizes and retention are made, before levels that learn
at several frequencies.

    y_t = M_mem(q_t);  k_t, v_t, eta_t, alpha_t from M_k, M_v, M_eta, M_alpha at x_t;  M(x) = A x + gelu(x W_2) W_1
    each memory, at every token:  W_2 <- (alpha I - eta k k^T) W_2 - eta grad |M(k) - M(v)|^2,
                                  W_1 <- alpha W_1 - eta grad |M(k) - M(v)|^2
    out = y + CMS(norm(y))

The memories are `kernels.sequence.self_modifying`, the levels `substrates.sequence.families.continuum`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.convolution import short_conv
from remanence.kernels.sequence.self_modifying import (
    NAMES,
    Fixed,
    Perceptron,
    Phase,
    SelfState,
    initial_memories,
    self_modifying,
)
from remanence.substrates.sequence.base import SequenceLayer
from remanence.substrates.sequence.families.continuum import Continuum, as_learnt
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import wide
from remanence.substrates.sequence.model import RMSNorm

CARD = Card(
    slug="nested_learning",
    substrate="sequence",
    title="Nested learning: Hope",
    paper="nested_learning",
    claim="its memory, a perceptron rewritten while it is read, gives back more of many noisy pairs than a matrix that "
    "the delta rule writes",
    idea="Five small perceptrons, all trained on the stream by delta gradient descent with targets that they generate "
    "themselves: one is the memory, the others make its keys, values, step sizes and retention. A continuum memory "
    "follows.",
    equation="W_2 <- (alpha I - eta k k^T) W_2 - eta grad |M(k) - M(v)|^2;  "
    "W_1 <- alpha W_1 - eta grad |M(k) - M(v)|^2",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "memories are per head; A of eta and alpha, and their biases, are learnt and not rewritten",
        "the memory is updated every 16 tokens, published every 64: chunks",
        "targets that are generated are constant for the step that they are used in, and not for outer training",
    ),
)

_LEVELS = "levels."
_POSITION = "position"


class NestedLearning(SequenceLayer):
    """The layer.

    Args:
        hidden_size: D, the width of the tokens.
        num_heads: H; keys and values have D / H coordinates.
        phase: 1: projections are fixed; 2: they are rewritten, all memories with target v; 3: with own targets.
        chunks: tokens between two moments at which the projections, and the memory, are seen to have changed.
        expansion: width of a memory within, over that of a key.
        eta_scale: factor on softplus(eta).
        forget: 1 - alpha before anything is learnt.
        plasticity: how fast projections are rewritten; 0: not at all.
        periods: of the continuum memory that follows; empty: there is none.
        conv_size: tokens that the causal convolution on q and x sees; 1: there is none.
        seed: of the initial weights.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        num_heads: int = 2,
        phase: Phase = 3,
        chunks: tuple[int, int] = (8, 16),
        expansion: float = 2.0,
        eta_scale: float = 1e-3,
        forget: float = 1e-3,
        plasticity: float = 1.0,
        periods: Sequence[int] = (8, 64),
        conv_size: int = 4,
        seed: int | None = 0,
    ) -> None:
        super().__init__(hidden_size=hidden_size, seed=seed)
        if num_heads < 1 or hidden_size % num_heads or conv_size < 1:
            raise InvalidInput(
                "hidden_size must be a multiple of num_heads and conv_size at least 1; "
                f"got {hidden_size}, {num_heads}, {conv_size}"
            )
        if not 0 < forget < 1 or not eta_scale >= 0 or not plasticity >= 0:
            raise InvalidInput(
                "forget lies in (0, 1), eta_scale and plasticity are at least 0; "
                f"got {forget}, {eta_scale}, {plasticity}"
            )
        self.num_heads, self.head_dim, self.conv_size = num_heads, hidden_size // num_heads, conv_size
        self.stage: Phase = phase
        self.chunks, self.eta_scale, self.plasticity = chunks, eta_scale, plasticity
        self.in_proj = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.g_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_norm = RMSNorm(self.head_dim)
        bound = conv_size**-0.5
        self.conv_weight = nn.Parameter(torch.empty(2 * hidden_size, conv_size).uniform_(-bound, bound))
        first = initial_memories(num_heads, self.head_dim, expansion=expansion)
        self.initial = nn.ParameterDict(
            {f"{name}_{part}": one for name, memory in first.items() for part, one in memory._asdict().items()}
        )
        none = torch.zeros(num_heads, self.head_dim)
        self.eta_skip, self.alpha_skip = nn.Parameter(none), nn.Parameter(none.clone())
        self.eta_bias = nn.Parameter(torch.zeros(num_heads))
        self.alpha_bias = nn.Parameter(torch.full((num_heads,), math.log(1 / forget - 1)))
        self.levels: Continuum | None = None
        if periods:
            self.levels = Continuum(hidden_size=hidden_size, num_heads=num_heads, periods=periods, conv_size=1)
            self.levels_norm = RMSNorm(hidden_size)
        self.cycle = math.lcm(*chunks, self.levels.cycle if self.levels else 1)

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The last inputs of the convolution, the memories as they were learnt, and the state of the levels."""
        weight = self.in_proj.weight
        device, dtype = weight.device if device is None else device, weight.dtype if dtype is None else dtype
        state: State = {
            "conv": torch.zeros(batch, self.conv_size - 1, 2 * self.hidden_size, device=device, dtype=dtype),
            _POSITION: torch.zeros(batch, dtype=torch.long, device=device),
        }
        for name, one in self.initial.items():
            held = as_learnt(one, batch, device=device, dtype=wide(dtype))
            state[f"memory_{name}"], state[f"anchor_{name}"] = held, held
        if self.levels is not None:
            levels = self.levels.init_state(batch, device=device, dtype=dtype)
            state |= {_LEVELS + name: one for name, one in levels.items()}
        return state

    def phase(self, state: State) -> Tensor:
        """Where in the cycle of updates each sequence stands."""
        return state[_POSITION] % self.cycle

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """The recurrence over the tokens."""
        tail = state["conv"]
        mixed, end = short_conv(self.in_proj(x), self.conv_weight.to(x.dtype), tail=tail.to(x.dtype))
        with torch.autocast(x.device.type, enabled=False):
            q, z = (one.to(wide(x.dtype)).unflatten(-1, (self.num_heads, -1)) for one in mixed.chunk(2, -1))
            q = functional.normalize(q, dim=-1, eps=1e-6)
            o, memories = self.recall(q, z, state, form=form)
        y = self.o_norm(o).flatten(2).to(x.dtype) * functional.silu(self.g_proj(x))
        y = self.o_proj(y).to(x.dtype)
        after = {**memories, "conv": end.to(tail.dtype), _POSITION: state[_POSITION] + x.shape[1]}
        if self.levels is not None:
            held = {name.removeprefix(_LEVELS): one for name, one in state.items() if name.startswith(_LEVELS)}
            said, held = self.levels.advance(self.levels_norm(y), held, form=form)
            y = y + said.to(x.dtype)
            after |= {_LEVELS + name: one for name, one in held.items()}
        return y, after

    def recall(self, q: Tensor, z: Tensor, state: State, *, form: str = "auto") -> tuple[Tensor, State]:
        """Read with q, and rewrite all memories by z, both [B, T, H, K]; the memories alone of the state after."""
        memories, anchors = (
            {name: Perceptron(state[f"{held}_{name}_w1"], state[f"{held}_{name}_w2"]) for name in NAMES}
            for held in ("memory", "anchor")
        )
        o, after = self_modifying.in_form(form)(
            q,
            z,
            fixed=Fixed(self.eta_skip, self.alpha_skip, self.eta_bias, self.alpha_bias),
            initial_state=SelfState(memories, anchors, int(state[_POSITION][0]) % self.cycle),
            phase=self.stage,
            chunks=self.chunks,
            eta_scale=self.eta_scale,
            plasticity=self.plasticity,
        )
        assert after is not None
        return o, {
            f"{held}_{name}_{part}": one.contiguous()
            for held, found in (("memory", after.memories), ("anchor", after.anchors))
            for name, memory in found.items()
            for part, one in memory._asdict().items()
        }

    def finalize(self, state: State) -> State:
        """The end of a stream: levels take in what they have gathered, and all counting begins anew."""
        after = {**state, _POSITION: torch.zeros_like(state[_POSITION])}
        after |= {f"anchor_{name}": state[f"memory_{name}"] for name in self.initial}
        if self.levels is not None:
            held = {name.removeprefix(_LEVELS): one for name, one in state.items() if name.startswith(_LEVELS)}
            after |= {_LEVELS + name: one for name, one in self.levels.finalize(held).items()}
        return after
