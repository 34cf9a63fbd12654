"""Memory caching: the state of a recurrent memory at the end of every segment is kept, and read beside the live one.

    gamma_i = softmax_i(u_t . mean(k in segment i)),  u = x W_u
    residual: o = sum_i M_i(q)     grm: o = sum_i gamma_i M_i(q)     soup: o = (sum_i gamma_i theta_i)(q)
    ssc: as grm, over the live segment and the top k of the others

Segments have a fixed length, or begin where a signal says so. Between the fixed state of a recurrence and the growing
one of attention: one state for a segment. The formulas are computed in `kernels.sequence.caching`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.card import Card
from remanence.core.errors import InvalidInput
from remanence.kernels.sequence import caching
from remanence.kernels.sequence.caching import Aggregate, Cache, DeepMemory, MatrixMemory, Memory, Start
from remanence.kernels.sequence.deep import initial_weights
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.mixer import Decay, HeadMixer, wide

CARD = Card(
    slug="memory_caching",
    substrate="sequence",
    title="Memory caching",
    paper="memory_caching",
    claim="recalls what the same memory without a cache has forgotten, with a state that grows by segments, not tokens",
    idea="Keeps the state of a recurrent memory at the end of every segment, and lets tokens choose which to read.",
    equation="o_t = sum_i gamma_i M_i(q_t), gamma = softmax_i(u_t . mean key of segment i)",
    source="",
    can=frozenset({"scan", "growing"}),
    needs=frozenset({"torch"}),
    deviations=(
        "a segment is summed up by the mean of its keys, as memories see them, in place of its tokens",
        "segments have a constant length or begin at a signal; lengths that grow with the logarithm are not there",
        "ssc spares reads token by token; a scan reads all segments and weighs those that were not chosen with 0",
    ),
)

Kind = Literal["linear", "delta", "gated_delta", "deep"]
Boundary = Callable[[Tensor], Tensor]
"""Tokens [B, T, D] to [B, T], true where one begins a segment; it judges each token by itself."""
_LIVE = "live_"


class MemoryCaching(HeadMixer):
    """The layer; its state has what the memory has, as `live_…`, sum and number of the keys of the live segment, and
    `kept` [B, N, H, …], `means` [B, N, H, K] and `valid` [B, N] of those before.

    Args:
        memory: what is cached; "deep" is a perceptron of two layers trained while it is read, as in Titans.
        segment: tokens of a segment, at most, if there is a `boundary`; None: no bound.
        boundary: where segments begin besides. It is not kept in files.
        aggregate: residual | grm | soup | ssc.
        cached: how many kept segments `ssc` reads.
        start: whether a segment begins with a fresh memory ("independent") or goes on from the last one ("checkpoint").
        max_lr: upper bound of the steps of a deep memory.
        others: those of `HeadMixer`.

    """

    card: ClassVar[Card] = CARD
    growing: ClassVar[frozenset[str]] = frozenset({"kept", "means", "valid"})

    def __init__(
        self,
        *,
        memory: Kind = "gated_delta",
        segment: int | None = 16,
        boundary: Boundary | None = None,
        aggregate: Aggregate = "grm",
        cached: int = 2,
        start: Start = "independent",
        max_lr: float = 0.02,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        chosen = ((memory, Kind), (aggregate, Aggregate), (start, Start))
        for value, options in chosen:
            if value not in get_args(options):
                raise InvalidInput(f"{value!r} is none of {', '.join(get_args(options))}")
        if (segment is not None and segment < 1) or cached < 0:
            raise InvalidInput(f"segment must be at least 1 and cached at least 0; got {segment} and {cached}")
        if segment is None and boundary is None:
            raise InvalidInput("nothing ends a segment: give segment, boundary, or both")
        self.kind, self.segment, self.boundary, self.aggregate = memory, segment, boundary, aggregate
        self.cached, self.start, self.max_lr = cached, start, max_lr
        self.u_proj: nn.Linear | None = None
        if aggregate != "residual":
            self.u_proj = nn.Linear(self.hidden_size, self.num_heads * self.head_dim, bias=False)
        strong = memory in ("delta", "gated_delta")
        self.b_proj = nn.Linear(self.hidden_size, self.num_heads, bias=False) if strong else None
        self.decay = Decay(self.hidden_size, self.num_heads) if memory == "gated_delta" else None
        self.initial, self.gate_proj = nn.ParameterList(), None
        if memory == "deep":
            self.initial.extend(initial_weights(self.num_heads, self.head_dim, self.value_dim))
            # Forgetting, momentum and step begin where those of Titans do.
            self.gate_proj = nn.Linear(self.hidden_size, 3 * self.num_heads)
            first = torch.logit(torch.tensor([0.005, 0.7, 0.5])).repeat_interleave(self.num_heads)
            with torch.no_grad():
                self.gate_proj.bias.copy_(first)

    @property
    def cell(self) -> Memory:
        """The memory that is cached."""
        if self.kind == "deep":
            return DeepMemory(tuple(self.initial), chunk_size=self.chunk_size)
        return MatrixMemory("hebbian" if self.kind == "linear" else "gated_delta", self.chunk_size)

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Those of the memory; u [B, T, H, K]; and `begins` [B, T] where there is a boundary."""
        found: dict[str, Tensor] = {}
        if self.u_proj is not None:
            found["u"] = self.u_proj(x).unflatten(-1, (self.num_heads, -1))
        if self.boundary is not None:
            found["begins"] = self._begins(x)
        if self.b_proj is not None:
            found["beta"] = torch.sigmoid(self.b_proj(x))
        if self.decay is not None:
            found["g"] = self.decay(x)
        if self.gate_proj is not None:
            a, eta, theta = self.gate_proj(x).to(wide(x.dtype)).chunk(3, -1)
            found |= {"g": functional.logsigmoid(-a), "eta": eta.sigmoid(), "theta": self.max_lr * theta.sigmoid()}
        return found

    def _begins(self, x: Tensor) -> Tensor:
        assert self.boundary is not None
        begins = self.boundary(x)
        if begins.shape != x.shape[:2] or begins.dtype != torch.bool:
            raise InvalidInput(
                f"boundary must tell [B, T] = {tuple(x.shape[:2])}, true or false; it told {begins.dtype} "
                f"{tuple(begins.shape)}"
            )
        return begins

    # The state.

    def init_memory(self, batch: int, *, device: torch.device | str | None, dtype: torch.dtype) -> State:
        """A memory that read nothing, and no segments."""
        k, v = (
            torch.zeros(batch, 0, self.num_heads, width, device=device, dtype=dtype)
            for width in (self.head_dim, self.value_dim)
        )
        return self._flat(caching.empty(self.cell, k, v), k)

    def _flat(self, cache: Cache, like: Tensor) -> State:
        batch, device = like.shape[0], like.device
        valid = cache.valid
        if valid is None:
            valid = torch.ones(batch, cache.kept.shape[1], dtype=torch.bool, device=device)
        # Else sequences that close their segments at different times would pad each other longer and longer.
        first = int((~valid.any(0)).long().cumprod(0).sum()) if batch else 0
        return {
            **{_LIVE + name: one for name, one in cache.live.items()},
            "total": cache.total, "tokens": torch.full((batch,), cache.tokens, device=device),
            "kept": cache.kept[:, first:], "means": cache.means[:, first:], "valid": valid[:, first:],
        }  # fmt: skip

    def _cache(self, state: State) -> Cache:
        live = {name.removeprefix(_LIVE): one for name, one in state.items() if name.startswith(_LIVE)}
        tokens = int(state["tokens"][0]) if len(state["tokens"]) else 0
        return Cache(live, state["total"], tokens, state["kept"], state["means"], state["valid"])

    def phase(self, state: State) -> Tensor:
        """How many tokens the live segment has."""
        return state["tokens"]

    # The memory.

    def recall(
        self, q: Tensor, k: Tensor, v: Tensor, state: State, *, form: str = "auto", **gates: Tensor
    ) -> tuple[Tensor, State]:
        """Write pairs and read all segments: q, k [B, T, H, K], v [B, T, H, V] to o [B, T, H, V].

        `gates` are those of the memory, u, and `begins` [B, T], not 0 where a token begins a segment. Sequences stand
        at the same point of a segment.
        """
        begins = gates.pop("begins", None)
        u = gates.pop("u", None)
        given: State = {"q": q, "k": k, "v": v, **({} if u is None else {"u": u})}
        if begins is None:
            return self._advance_together(given, gates, state, [False] * q.shape[1], form)
        patterns, which = (begins != 0).unique(dim=0, return_inverse=True)
        o, parts = torch.zeros_like(v), []
        for number, pattern in enumerate(patterns.tolist()):
            rows = (which == number).nonzero()[:, 0]
            mine, own = ({name: one[rows] for name, one in many.items()} for many in (given, gates))
            said, after = self._advance_together(mine, own, states.select(state, rows), pattern, form)
            o = o.index_copy(0, rows, said)
            parts.append((rows, after))
        return o, states.join(parts, q.shape[0], self.growing)

    def _advance_together(
        self, given: dict[str, Any], gates: State, state: State, begins: list[bool], form: str
    ) -> tuple[Tensor, State]:
        cache = self._cache(state)
        cuts, tokens = [], cache.tokens
        for t, begin in enumerate(begins):
            if tokens and (begin or tokens == self.segment):
                cuts.append(t)
                tokens = 0
            tokens += 1
        o, after = caching.cached.in_form(form)(
            **given, memory=self.cell, cuts=cuts, aggregate=self.aggregate, topk=self.cached, start=self.start,
            gates=gates, initial_state=cache,
        )  # fmt: skip
        assert after is not None
        return o, self._flat(after, given["k"])

    def read(self, q: Tensor, state: State, *, u: Tensor | None = None) -> Tensor:
        """What queries q, u [B, N, H, K] read of all segments, without writing: [B, N, H, V].

        q is taken for u if that is left out. Sequences stand at the same point of a segment.
        """
        return caching.read(
            q, q if u is None else u, self._cache(state), memory=self.cell, aggregate=self.aggregate, topk=self.cached
        )
