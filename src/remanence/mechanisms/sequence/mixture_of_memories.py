"""Mixture-of-Memories: several memories, and a router that sends each token to a few of them.

    s_t = softmax(x_t W_g);  (w, m_1 … m_k) = the k largest, w / sum w
    M_m <- rule(M_m; k_m, v_m, g_m, beta_m)  for the chosen m alone;  the others are neither written nor decayed
    o_t = sum_m w_m q_m^T M_m + q^T M_shared

Tokens are laid out by memory, so that each memory reads a sequence of its own: the short convolution runs over that,
and a memory that got no token keeps its state bit by bit. The formulas are computed in `kernels.sequence.routing` and
in the operation of the rule. Source: Du et al. (arXiv:2502.13685).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.convolution import short_conv
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.ridge import RidgeState, ridge
from remanence.kernels.sequence.ridge import read as read_ridge
from remanence.kernels.sequence.routing import Packed, Routed, load_balance, pack, random_router, router_topk
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import Decay, HeadMixer, wide

CARD = Card(
    slug="mixture_of_memories",
    substrate="sequence",
    title="Mixture-of-Memories",
    paper="mom",
    claim="recalls pairs that one memory of that size confuses: what goes to different memories does not interfere",
    idea="Sends each token to a few of several recurrent memories, and leaves the others as they are.",
    equation="s = softmax(x W_g); (w, m) = top k of s; M_m <- rule(M_m; k_m, v_m, g_m, beta_m); o = sum_m w_m q^T M_m",
    source="OpenSparseLLMs/MoM",
    can=frozenset({"scan"}),
    needs=frozenset({"torch"}),
    deviations=(
        "initial weights are those of the other layers here",
        'router="random" routes by fixed random directions, so that nothing has to be trained',
    ),
)

Rule = Literal["gated_delta", "delta", "hebbian", "gated_hebbian", "ridge"]
"""Operations of `kernels.sequence`. For all of them a token of strength 0 that decays by nothing is none."""
Leaves = tuple[Tensor, ...]
_CONV = "conv"


class Pairs(NamedTuple):
    """What memories are given: q, k [..., H, K], v [..., H, V] and gates [..., H]."""

    q: Tensor
    k: Tensor
    v: Tensor
    gates: dict[str, Tensor]


class Group(NamedTuple):
    """Memories that are advanced together: the routed ones, or the shared one."""

    prefix: str
    """Of their names in the state."""
    first: int
    """Where they begin in projections and gates."""
    size: int


class MixtureOfMemories(HeadMixer):
    """The layer; the state has `memory` [B, n, H, K, V] and `shared_memory` [B, 1, H, K, V], and their convolutions.

    Which memories a token goes to jumps where scores are equal: in half precision a few tokens go elsewhere.

    Args:
        num_memories, topk: n, and how many of them a token goes to.
        shared: whether one more memory reads every token.
        single_kv_proj: whether all memories share W_k and W_v; beta and decay are always their own.
        rule: how a memory is written; "ridge" is read with the regression and keeps `covariance` [B, n, H, K, K] too.
        router: learnt, or fixed random directions.
        others: those of `HeadMixer`.

    """

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        num_memories: int = 4,
        topk: int = 2,
        shared: bool = True,
        single_kv_proj: bool = False,
        rule: Rule = "gated_delta",
        router: Literal["learned", "random"] = "learned",
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if not 1 <= topk <= num_memories:
            raise InvalidInput(f"topk must be from 1 to num_memories {num_memories}, not {topk}")
        if rule not in get_args(Rule) or router not in ("learned", "random"):
            raise InvalidInput(
                f"rule is one of {', '.join(get_args(Rule))} and router learned or random; got {rule!r} and {router!r}"
            )
        self.num_memories, self.topk, self.rule, self.single_kv_proj = num_memories, topk, rule, single_kv_proj
        self.groups = [Group("", 0, num_memories), *([Group("shared_", num_memories, 1)] if shared else [])]
        size, every = self.hidden_size, num_memories + shared
        self.router = nn.Linear(size, num_memories, bias=False) if router == "learned" else None
        self.directions: Tensor | None
        drawn = random_router(size, num_memories, seed=int(torch.randint(2**31, ()))) if router == "random" else None
        self.register_buffer("directions", drawn)
        # A block of rows for each memory, the shared one last.
        blocks = 1 if single_kv_proj else every
        self.k_proj = nn.Linear(size, blocks * self.num_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(size, blocks * self.num_heads * self.value_dim, bias=False)
        strong, fades = rule in ("gated_delta", "delta", "ridge"), rule in ("gated_delta", "gated_hebbian", "ridge")
        self.b_proj = nn.Linear(size, every * self.num_heads, bias=False) if strong else None
        self.decay = Decay(size, every * self.num_heads) if fades else None
        self.aux_loss: Tensor | None = None
        """The load-balancing loss of the last scan, 1 where memories are used alike; 0.01 of it is added to a loss."""
        self._routed: list[Routed] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the loss, which hangs on a graph that cannot be copied."""
        return {**self.__dict__, "aux_loss": None}

    # Routing.

    def route(self, x: Tensor) -> Routed:
        """The memories of each token x [B, T, D] and their weights, in float32 at least."""
        weight = self.directions if self.router is None else self.router.weight.T
        assert weight is not None
        with torch.autocast(x.device.type, enabled=False):
            return router_topk(x.to(wide(x.dtype)) @ weight.to(wide(x.dtype)), self.topk)

    def scan(self, x: Tensor, state: State | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """As of every layer; leaves the load-balancing loss of the tokens, without padding, in `aux_loss`."""
        self._routed = []
        y, state = super().scan(x, state, mask=mask)
        routed, self._routed, self.aux_loss = self._routed, None, None
        if routed:
            indices, probabilities = (
                torch.cat([getattr(one, name).flatten(0, 1) for one in routed]) for name in ("indices", "probabilities")
            )
            self.aux_loss = load_balance(probabilities, indices)
        return y, state

    # The layer.

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """Zeros."""
        state: State = {}
        for prefix, _, count in self.groups:
            lead = (batch, count, self.num_heads, self.head_dim)
            for name in self._leaves:
                width = self.value_dim if name == "memory" else self.head_dim
                state[prefix + name] = torch.zeros(*lead, width, device=device, dtype=dtype)
        return state

    @property
    def _leaves(self) -> tuple[str, ...]:
        return ("covariance", "memory") if self.rule == "ridge" else ("memory",)

    def init_state(
        self, batch: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The memories, and for each of them the last inputs of the convolution."""
        state = super().init_state(batch, device=device, dtype=dtype)
        conv = state.pop(_CONV, None)
        if conv is not None:
            state |= {prefix + _CONV: conv[:, None].repeat(1, count, 1, 1) for prefix, _, count in self.groups}
        return state

    def advance(self, x: Tensor, state: State, *, form: str) -> tuple[Tensor, State]:
        """Each memory over its own tokens."""
        routed, asked = self.route(x), self.q_proj(x)
        if self._routed is not None:
            self._routed.append(routed)
        type_, heads = wide(x.dtype), (self.num_heads, -1)
        keys, values = self.num_heads * self.head_dim, self.num_heads * self.value_dim
        gates: dict[str, Tensor] = {}
        if self.b_proj is not None:
            gates["beta"] = torch.sigmoid(self.b_proj(x)).to(type_)
        if self.decay is not None:
            gates["g"] = self.decay(x)
        o, after = torch.zeros((), dtype=type_, device=x.device), dict[str, Tensor]()
        for group in self.groups:
            packed, weights = self._packed(group, routed.weights, routed.indices)
            mixed = torch.cat([packed.take(asked), *self._keys_and_values(group, packed.take(x))], -1)
            mixed = self._convolved(group, packed, mixed, state, after)
            q, k, v = (one.unflatten(-1, heads) for one in mixed.split([keys, keys, values], -1))
            own = {name: packed.take_own(self._of(group, one)) for name, one in gates.items()}
            with torch.autocast(x.device.type, enabled=False):
                pairs = Pairs(self.features(q.to(type_)), self.features(k.to(type_)), v.to(type_), own)
                o = o + packed.put(self._write(group, packed, pairs, state, after, form), weights)
        return self.finish(o, x, asked.dtype), after

    def _packed(self, group: Group, weights: Tensor, indices: Tensor) -> tuple[Packed, Tensor]:
        if group.prefix:
            weights, indices = torch.ones_like(weights[..., :1]), torch.zeros_like(indices[..., :1])
        return pack(indices, group.size), weights

    def _of(self, group: Group, gate: Tensor) -> Tensor:
        every: Tensor = gate.unflatten(-1, (-1, self.num_heads))
        return every[:, :, group.first : group.first + group.size]

    def _keys_and_values(self, group: Group, x: Tensor) -> list[Tensor]:
        first = 0 if self.single_kv_proj else group.first
        made = []
        for projection, width in ((self.k_proj, self.head_dim), (self.v_proj, self.value_dim)):
            blocks = projection.weight.unflatten(0, (-1, self.num_heads * width))
            own = blocks.expand(group.size, -1, -1) if self.single_kv_proj else blocks[first : first + group.size]
            one: Tensor = torch.einsum("bnld,nkd->bnlk", x, own)
            made.append(one)
        return made

    def _convolved(self, group: Group, packed: Packed, mixed: Tensor, state: State, after: State) -> Tensor:
        """Over the tokens of each memory; what it keeps are the last of them, not of the places."""
        if self.conv_weight is None:
            return functional.silu(mixed)
        tail = state[group.prefix + _CONV]
        whole = torch.cat((tail.to(mixed.dtype), mixed), 2)
        last = packed.counts[..., None] + torch.arange(self.conv_size - 1, device=mixed.device)
        kept = whole.gather(2, last[..., None].expand(-1, -1, -1, whole.shape[-1]))
        after[group.prefix + _CONV] = torch.where(packed.counts[..., None, None] > 0, kept.to(tail.dtype), tail)
        found, _ = short_conv(
            mixed.flatten(0, 1), self.conv_weight.to(mixed.dtype), tail=tail.to(mixed.dtype).flatten(0, 1)
        )
        return found.reshape(mixed.shape)

    # The memories.

    def _write(self, group: Group, packed: Packed, pairs: Pairs, state: State, after: State, form: str) -> Tensor:
        """What q [B, n, L, H, K] read while k, v are written; memories without tokens do not take part."""
        names = [group.prefix + name for name in self._leaves]
        rows = (packed.counts > 0).flatten().nonzero()[:, 0]
        there = packed.valid.flatten(0, 1)[rows][..., None]
        q, k, v = (one.flatten(0, 1)[rows] for one in pairs[:3])
        own = {name: one.flatten(0, 1)[rows].masked_fill(~there, 0) for name, one in pairs.gates.items()}
        own.setdefault("beta", there.to(k.dtype).expand(k.shape[:3]))
        before = tuple(state[name].flatten(0, 1)[rows] for name in names)
        o, left = self._updated(Pairs(q, k, v, own), before, form)
        for name, one in zip(names, left, strict=True):
            after[name] = state[name].flatten(0, 1).index_copy(0, rows, one).view_as(state[name])
        places = o.new_zeros(packed.counts.numel(), *o.shape[1:]).index_copy(0, rows, o)
        return places.reshape(*packed.counts.shape, *o.shape[1:])

    def _updated(self, pairs: Pairs, leaves: Leaves, form: str) -> tuple[Tensor, Leaves]:
        q, k, v, gates = pairs
        given: dict[str, Any] = {**gates, "chunk_size": self.chunk_size}
        if self.rule == "ridge":
            o, sums = ridge.in_form(form)(q, k, v, initial_state=RidgeState(*leaves), **given)
            assert sums is not None
            return o, tuple(sums)
        op = gated_delta_rule if self.rule in ("gated_delta", "delta") else hebbian
        o, memory = op.in_form(form)(q, k, v, initial_state=leaves[0], **given)
        assert memory is not None
        return o, (memory,)

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Write pairs, the same for all memories, and read: q, k [B, T, H, K], v [B, T, H, V] to o [B, T, H, V].

        `gates` are `weights` and `indices` [B, T, k], as from `route`, and beta and g [B, T, n H], shared ones last.
        """
        weights, indices = gates.pop("weights"), gates.pop("indices").long()
        o, after = torch.zeros((), dtype=v.dtype, device=v.device), dict[str, Tensor]()
        for group in self.groups:
            packed, shares = self._packed(group, weights, indices)
            own = {name: packed.take_own(self._of(group, one)) for name, one in gates.items()}
            pairs = Pairs(packed.take(q), packed.take(k), packed.take(v), own)
            o = o + packed.put(self._write(group, packed, pairs, state, after, form), shares)
        return o, {**state, **after}

    def read(self, q: Tensor, state: State, *, weights: Tensor, indices: Tensor) -> Tensor:
        """What queries q [B, N, H, K] that were routed read without writing: [B, N, H, V]."""
        o = torch.zeros((), dtype=q.dtype, device=q.device)
        for group in self.groups:
            packed, shares = self._packed(group, weights, indices)
            asked = packed.take(q)
            leaves = [state[group.prefix + name] for name in self._leaves]
            if self.rule == "ridge":
                sums = RidgeState(*(one.flatten(0, 1) for one in leaves))
                said = read_ridge(sums, asked.flatten(0, 1)).unflatten(0, asked.shape[:2])
            else:
                said = torch.einsum("bnhkv,bnlhk->bnlhv", leaves[0], asked)
            o = o + packed.put(said, shares)
        return o
