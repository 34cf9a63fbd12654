"""Memory caching: the state that a memory had at the end of every segment is kept, and tokens read all of them.

    r_i = u . mean(k in segment i),  gamma = softmax(r)       of the live segment the mean of its keys so far
    residual: o = sum_i M_i(q)
    grm:      o = sum_i gamma_i M_i(q)
    ssc:      as grm, over the live segment and the `topk` of the others with the largest r
    soup:     o = (sum_i gamma_i theta_i)(q), with theta_i the parameters of M_i

For a memory that is linear in its parameters soup is grm. Segments begin where it is told (`cuts`): with an empty
memory, or with what the last one held ("checkpoint"). The memory itself is any that can be run over a segment and read:
see `Memory`. Source: Memory caching: RNNs with growing memory (2026).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.chunks import accumulation
from remanence.kernels.sequence.deep import PLAIN, deep
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.forms import Call, Example, Op
from remanence.kernels.sequence.frozen import Mlp
from remanence.kernels.sequence.hebbian import hebbian
from remanence.kernels.sequence.shapes import check, expect
from remanence.kernels.sequence.update import Parameters, UpdateState

Leaves = Mapping[str, Tensor]
"""The state of a memory in the middle of a segment, each [B, H, …]."""
Aggregate = Literal["residual", "grm", "soup", "ssc"]
Start = Literal["independent", "checkpoint"]


class Memory(Protocol):
    """What can be cached. A snapshot is one tensor [B, H, …] of all that reading needs."""

    @property
    def linear(self) -> bool:
        """Whether reading is linear in the snapshot."""

    def fresh(self, batch: int, k: Tensor, v: Tensor) -> Leaves:
        """The state before the first token of a segment, for keys and values like these."""

    def run(
        self, q: Tensor, k: Tensor, v: Tensor, leaves: Leaves, *, offset: int, form: str, gates: Mapping[str, Tensor]
    ) -> tuple[Tensor, Leaves]:
        """Write and read tokens [B, T, H, …] that follow `offset` others of their segment."""

    def snapshot(self, leaves: Leaves) -> Tensor:
        """What of a state is kept."""

    def read(self, q: Tensor, kept: Tensor, gamma: Tensor) -> Tensor:
        """sum_i gamma_i M_i(q), without writing: q [B, T, H, K], snapshots [B, N, H, …], gamma [B, T, H, N]."""


@dataclass(frozen=True)
class MatrixMemory:
    """A matrix [B, H, K, V] with the update of `rule`: hebbian, or gated_delta_rule; gates are beta and g."""

    rule: Literal["hebbian", "gated_delta"] = "gated_delta"
    chunk_size: int = 64
    linear = True

    def fresh(self, batch: int, k: Tensor, v: Tensor) -> Leaves:
        """Zeros."""
        return {"matrix": k.new_zeros(batch, k.shape[2], k.shape[3], v.shape[3], dtype=accumulation(k, v))}

    def run(
        self, q: Tensor, k: Tensor, v: Tensor, leaves: Leaves, *, offset: int, form: str, gates: Mapping[str, Tensor]
    ) -> tuple[Tensor, Leaves]:
        """The operation."""
        op = hebbian if self.rule == "hebbian" else gated_delta_rule
        o, matrix = op.in_form(form)(
            q, k, v, gates.get("beta"), gates.get("g"), initial_state=leaves["matrix"], chunk_size=self.chunk_size
        )
        assert matrix is not None
        return o, {"matrix": matrix}

    def snapshot(self, leaves: Leaves) -> Tensor:
        """The matrix."""
        return leaves["matrix"]

    def read(self, q: Tensor, kept: Tensor, gamma: Tensor) -> Tensor:
        """M_i^T q / sqrt(K), as one product with all matrices below each other."""
        wide = gamma[..., None] * (q / math.sqrt(q.shape[-1])).to(kept.dtype)[..., None, :]
        return (wide.flatten(3).transpose(1, 2) @ kept.transpose(1, 2).flatten(2, 3)).transpose(1, 2)


@dataclass(frozen=True)
class DeepMemory:
    """A perceptron trained while it is read, whose weights a segment begins with; gates are theta, eta and g."""

    weights: Parameters
    """Without a batch, each [H, in, out]."""
    perceptron: Mlp = PLAIN
    chunk_size: int = 16
    linear = False

    def fresh(self, batch: int, k: Tensor, v: Tensor) -> Leaves:
        """The first weights, no momentum."""
        leaves: dict[str, Tensor] = {}
        for number, one in enumerate(self.weights):
            first = one.to(accumulation(k, v)).expand(batch, *one.shape)
            leaves |= {f"weight_{number}": first, f"anchor_{number}": first}
            leaves[f"momentum_{number}"] = torch.zeros_like(first)
        return leaves

    def run(
        self, q: Tensor, k: Tensor, v: Tensor, leaves: Leaves, *, offset: int, form: str, gates: Mapping[str, Tensor]
    ) -> tuple[Tensor, Leaves]:
        """Gradients are taken at the start of chunks, which are counted from the start of the segment."""
        weights, momentum, anchor = (
            tuple(leaves[f"{name}_{i}"] for i in range(len(self.weights))) for name in ("weight", "momentum", "anchor")
        )
        none = (k[:, :0], v[:, :0], k[:, :0, :, 0])
        state = UpdateState(weights, momentum, anchor, *none, offset % self.chunk_size)
        theta, eta, g = (gates.get(name) for name in ("theta", "eta", "g"))
        o, after = deep.in_form(form)(
            q, k, v, initial_state=state, theta=theta, eta=eta, g=g,
            memory=self.perceptron, chunk_size=self.chunk_size,
        )  # fmt: skip
        assert after is not None
        kept = {"weight": after.parameters, "momentum": after.momentum, "anchor": after.anchor}
        return o, {f"{name}_{i}": one.contiguous() for name, many in kept.items() for i, one in enumerate(many)}

    def snapshot(self, leaves: Leaves) -> Tensor:
        """All weights in one row, [B, H, P]."""
        return torch.cat([leaves[f"weight_{i}"].flatten(2) for i in range(len(self.weights))], -1)

    def read(self, q: Tensor, kept: Tensor, gamma: Tensor) -> Tensor:
        """The perceptrons, one after the other."""
        total = q.new_zeros(*q.shape[:3], self.weights[-1].shape[-1], dtype=kept.dtype)
        for one, share in zip(kept.unbind(1), gamma.unbind(-1), strict=True):
            parts = zip(one.split([w[0].numel() for w in self.weights], -1), self.weights, strict=True)
            weights = tuple(part.unflatten(-1, w.shape[1:]) for part, w in parts)
            total = total + share[..., None] * self.perceptron(weights, q.to(kept.dtype))
        return total


class Cache(NamedTuple):
    """The live segment, and snapshots of those before it, oldest first."""

    live: Leaves
    total: Tensor
    """[B, H, K]: sum of the keys of the live segment."""
    tokens: int
    """How many they are."""
    kept: Tensor
    """[B, N, H, …]."""
    means: Tensor
    """[B, N, H, K]: the mean key of each."""
    valid: Tensor | None = None
    """[B, N], False for padding at the front, where sequences of a batch have fewer; None: all is real."""

    def closed(self, memory: Memory, k: Tensor, v: Tensor, start: Start) -> Cache:
        """With a snapshot of the live segment, and a new one that has read nothing; if it has not, the same."""
        if not self.tokens:
            return self
        live = memory.fresh(k.shape[0], k, v) if start == "independent" else self.live
        valid = None if self.valid is None else torch.cat((self.valid, self.valid.new_ones(k.shape[0], 1)), 1)
        kept = torch.cat((self.kept, memory.snapshot(self.live)[:, None]), 1)
        means = torch.cat((self.means, (self.total / self.tokens)[:, None]), 1)
        return Cache(live, torch.zeros_like(self.total), 0, kept, means, valid)


def empty(memory: Memory, k: Tensor, v: Tensor) -> Cache:
    """Before the first token, for keys [B, T, H, K] and values [B, T, H, V] like these."""
    live = memory.fresh(k.shape[0], k, v)
    total = k.new_zeros(k.shape[0], *k.shape[2:], dtype=accumulation(k, v))
    return Cache(live, total, 0, memory.snapshot(live)[:, None][:, :0], total[:, None][:, :0])


def shares(
    u: Tensor, live: Tensor, means: Tensor, valid: Tensor | None, aggregate: Aggregate, topk: int
) -> tuple[Tensor, Tensor]:
    """How much tokens u [B, T, H, K] take of kept segments, [B, T, H, N], and of the live one, [B, T, H].

    `live` [B, T, H, K] is the mean key of the live segment up to each token. `residual` is 1 for all.
    """
    scores = torch.einsum("bthk,bnhk->bthn", u, means)
    unreal = None if valid is None else ~valid[:, None, None]
    if aggregate == "residual":
        ones = torch.ones_like(scores)
        return ones if unreal is None else ones.masked_fill(unreal, 0), torch.ones_like(u[..., 0])
    if unreal is not None:
        scores = scores.masked_fill(unreal, -torch.inf)
    if aggregate == "ssc" and topk < scores.shape[-1]:
        best = scores.argsort(dim=-1, descending=True, stable=True)[..., :topk]
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).scatter(-1, best, False), -torch.inf)
    gamma = torch.cat((scores, (u * live).sum(-1, keepdim=True)), -1).softmax(-1)
    return gamma[..., :-1], gamma[..., -1]


def naive_recurrent_cached(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    u: Tensor | None = None,
    *,
    memory: Memory,
    cuts: Sequence[int] = (),
    aggregate: Aggregate = "grm",
    topk: int = 2,
    start: Start = "independent",
    gates: Mapping[str, Tensor] | None = None,
    initial_state: Cache | None = None,
    output_final_state: bool = True,
) -> tuple[Tensor, Cache | None]:
    """Run a memory over segments and read all of them, token by token; o [B, T, H, V] and the cache after the last.

    Args:
        q, k, v: [B, T, H, K], [B, T, H, K], [B, T, H, V].
        u: what is compared with the mean keys of segments, [B, T, H, K]; q if left out.
        memory: what is cached.
        cuts: tokens before which a segment ends, ascending, in 0 … T - 1, for all sequences.
        aggregate: residual | grm | soup | ssc.
        topk: how many kept segments `ssc` reads.
        start: whether a segment begins with a fresh memory or goes on from the last one.
        gates: of the memory, each [B, T, H] or [B, T, H, K].
        initial_state: the cache before the first token.
        output_final_state: whether to return the cache.

    Raises `InvalidInput` for shapes that do not match and settings that are none.

    """
    u, gates, cache = _checked(q, k, v, u, cuts, aggregate, topk, start, gates, memory, initial_state)
    outputs = [v[:, :0]]
    for t in range(q.shape[1]):
        if t in cuts:
            cache = cache.closed(memory, k, v, start)
        at = slice(t, t + 1)
        told = {name: one[:, at] for name, one in gates.items()}
        o, live = memory.run(
            q[:, at], k[:, at], v[:, at], cache.live, offset=cache.tokens, form="recurrent", gates=told
        )
        cache = cache._replace(live=live, total=cache.total + k[:, t], tokens=cache.tokens + 1)
        mean = (cache.total / cache.tokens)[:, None]
        gamma, own = shares(u[:, at], mean, cache.means, cache.valid, aggregate, topk)
        if aggregate == "soup":
            every = torch.cat((cache.kept, memory.snapshot(live)[:, None]), 1)
            mixed = torch.einsum("bhn,bnh...->bh...", torch.cat((gamma, own[..., None]), -1)[:, 0], every)
            o = memory.read(q[:, at], mixed[:, None], torch.ones_like(own)[..., None])
        else:
            seen = _largest(cache.kept, gamma, topk) if aggregate == "ssc" else (cache.kept, gamma)
            o = own[..., None] * o + memory.read(q[:, at], *seen)
        outputs.append(o.to(v.dtype))
    return torch.cat(outputs, 1), cache if output_final_state else None


def chunk_cached(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    u: Tensor | None = None,
    *,
    memory: Memory,
    cuts: Sequence[int] = (),
    aggregate: Aggregate = "grm",
    topk: int = 2,
    start: Start = "independent",
    gates: Mapping[str, Tensor] | None = None,
    initial_state: Cache | None = None,
    output_final_state: bool = True,
) -> tuple[Tensor, Cache | None]:
    """`naive_recurrent_cached`, a segment at a time; fresh segments of equal length are run side by side.

    What is read of kept segments is computed again in the backward pass: its parts are as many as tokens times
    segments. The soup of a memory that is not linear has parameters of its own for every token, and no faster form.
    """
    if aggregate == "soup" and not memory.linear:
        return naive_recurrent_cached(
            q, k, v, u, memory=memory, cuts=cuts, aggregate=aggregate, topk=topk, start=start, gates=gates,
            initial_state=initial_state, output_final_state=output_final_state,
        )  # fmt: skip
    u, gates, cache = _checked(q, k, v, u, cuts, aggregate, topk, start, gates, memory, initial_state)
    if not q.shape[1]:
        return v[:, :0], cache if output_final_state else None
    if 0 in cuts:
        cache = cache.closed(memory, k, v, start)
    edges = [0, *(cut for cut in cuts if cut), q.shape[1]]
    live, tokens, total = cache.live, cache.tokens, cache.total[:, None]
    ran = _side_by_side(q, k, v, gates, memory, edges[1:]) if start == "independent" else {}
    outs, means, kept = [], [], [cache.kept]
    for first, last in pairwise(edges):
        if first in ran:
            o, live = ran.pop(first)
        else:
            told = {name: one[:, first:last] for name, one in gates.items()}
            at = slice(first, last)
            o, live = memory.run(q[:, at], k[:, at], v[:, at], live, offset=tokens, form="auto", gates=told)
        totals = total + k[:, first:last].to(total.dtype).cumsum(1)
        counts = torch.arange(tokens + 1, tokens + last - first + 1, device=k.device)
        outs.append(o)
        means.append(totals / counts[:, None, None])
        kept.append(memory.snapshot(live)[:, None])
        cache = cache._replace(live=live, total=totals[:, -1], tokens=tokens + last - first)
        tokens, total = 0, torch.zeros_like(totals[:, :1])
    before = cache.means.shape[1]
    snapshots = torch.cat(kept[:-1], 1)
    mean_keys = torch.cat([cache.means, *(one[:, -1:] for one in means[:-1])], 1)
    valid = cache.valid
    if valid is not None:
        valid = torch.cat((valid, valid.new_ones(valid.shape[0], len(outs) - 1)), 1)

    def whole(o: Tensor, q: Tensor, u: Tensor, live: Tensor, seen: int) -> Tensor:
        allowed = None if valid is None else valid[:, :seen]
        gamma, own = shares(u, live, mean_keys[:, :seen], allowed, aggregate, topk)
        return (own[..., None] * o + memory.read(q, snapshots[:, :seen], gamma)).to(v.dtype)

    ys = []
    for number, (first, last) in enumerate(pairwise(edges)):
        arguments = (outs[number], q[:, first:last], u[:, first:last], means[number], before + number)
        if torch.is_grad_enabled():
            y: Tensor = checkpoint(whole, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            y = whole(*arguments)
        ys.append(y)
    return torch.cat(ys, 1), cache._replace(
        kept=snapshots, means=mean_keys, valid=valid
    ) if output_final_state else None


def read(q: Tensor, u: Tensor, cache: Cache, *, memory: Memory, aggregate: Aggregate = "grm", topk: int = 2) -> Tensor:
    """What queries q, u [B, N, H, K] read in a cache without writing: [B, N, H, V]; 0 where nothing was written."""
    if cache.tokens:
        cache = cache.closed(memory, q, q, "checkpoint")
    if not cache.means.shape[1]:
        return memory.read(q, cache.kept, u.new_zeros(*u.shape[:3], 0))
    live = cache.means[:, -1:].expand(-1, q.shape[1], -1, -1)
    before = None if cache.valid is None else cache.valid[:, :-1]
    gamma, own = shares(u, live, cache.means[:, :-1], before, aggregate, topk)
    gamma = torch.cat((gamma, own[..., None]), -1)
    if aggregate == "soup" and not memory.linear:
        mixed = torch.einsum("bthn,bnh...->bth...", gamma, cache.kept).flatten(0, 1)[:, None]
        said = memory.read(q.flatten(0, 1)[:, None], mixed, torch.ones_like(own).flatten(0, 1)[:, None, :, None])
        return said.reshape(*q.shape[:3], -1)
    return memory.read(q, cache.kept, gamma)


def _largest(kept: Tensor, gamma: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of snapshots [B, N, H, …] those with the largest shares gamma [B, 1, H, N] of one token."""
    if count >= gamma.shape[-1]:
        return kept, gamma
    best = gamma.argsort(dim=-1, descending=True, stable=True)[..., :count]
    at = best[:, 0].transpose(1, 2)
    at = at.reshape(*at.shape, *[1] * (kept.ndim - 3)).expand(-1, -1, -1, *kept.shape[3:])
    return kept.gather(1, at), gamma.gather(-1, best)


def _side_by_side(
    q: Tensor, k: Tensor, v: Tensor, gates: Mapping[str, Tensor], memory: Memory, edges: Sequence[int]
) -> dict[int, tuple[Tensor, Leaves]]:
    """Outputs and states of all segments between edges, each from a fresh memory, by their first tokens."""
    lengths: dict[int, list[int]] = {}
    for first, last in pairwise(edges):
        lengths.setdefault(last - first, []).append(first)
    found: dict[int, tuple[Tensor, Leaves]] = {}
    batch = q.shape[0]
    for length, firsts in lengths.items():

        def rows(x: Tensor, length: int = length, firsts: Sequence[int] = firsts) -> Tensor:
            return torch.cat([x[:, first : first + length] for first in firsts])

        many = rows(k), rows(v)
        o, live = memory.run(
            rows(q), *many, memory.fresh(batch * len(firsts), *many),
            offset=0, form="auto", gates={name: rows(one) for name, one in gates.items()},
        )  # fmt: skip
        parts = {name: one.split(batch) for name, one in live.items()}
        for number, (first, own) in enumerate(zip(firsts, o.split(batch), strict=True)):
            found[first] = own, {name: part[number] for name, part in parts.items()}
    return found


def _checked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    u: Tensor | None,
    cuts: Sequence[int],
    aggregate: str,
    topk: int,
    start: str,
    gates: Mapping[str, Tensor] | None,
    memory: Memory,
    cache: Cache | None,
) -> tuple[Tensor, Mapping[str, Tensor], Cache]:
    gates = gates or {}
    check(q, k, v, **gates)
    if u is not None:
        expect(u.shape == k.shape, "u must be [B, T, H, K]", {"u": u, "k": k})
    if aggregate not in get_args(Aggregate) or start not in get_args(Start):
        raise InvalidInput(
            f"aggregate is one of {', '.join(get_args(Aggregate))} and start one of {', '.join(get_args(Start))}; "
            f"got {aggregate!r} and {start!r}"
        )
    if topk < 0:
        raise InvalidInput(f"topk {topk} must be at least 0")
    if list(cuts) != sorted(set(cuts)) or (cuts and not 0 <= cuts[0] <= cuts[-1] < q.shape[1]):
        raise InvalidInput(f"cuts must ascend within 0 … {q.shape[1] - 1}, the tokens that there are; got {list(cuts)}")
    if cache is None:
        cache = empty(memory, k, v)
    wanted = (k.shape[0], *k.shape[2:])
    fits = tuple(cache.total.shape) == wanted and tuple(cache.means[:, 0:0].shape[2:]) == wanted[1:]
    told = {"total": cache.total, "means": cache.means, "kept": cache.kept, "k": k}
    expect(fits and cache.kept.shape[:3] == cache.means.shape[:3], "the cache is of other keys than these", told)
    dtype = cache.total.dtype
    return (q if u is None else u).to(dtype), gates, cache


def _example(segment: int, aggregate: Aggregate) -> Example:
    def example(length: int, generator: torch.Generator) -> Call:
        q, k, v = (torch.randn(1, length, 2, 32, generator=generator) for _ in range(3))
        k = torch.nn.functional.normalize(k, dim=-1)
        setting = {"memory": MatrixMemory(), "cuts": range(0, length, segment), "aggregate": aggregate}
        return Call((q, k, v), setting)

    return example


cached = Op(
    naive_recurrent_cached,
    chunk_cached,
    examples={
        "delta rule, all of segments of 64": _example(64, "grm"),
        "delta rule, 2 of segments of 64": _example(64, "ssc"),
    },
)
