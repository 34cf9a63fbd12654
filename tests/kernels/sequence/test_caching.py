"""Caching: segments side by side are segments one after the other, and limits of the aggregates are other memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.caching import Aggregate, Cache, DeepMemory, MatrixMemory, Memory, cached, read
from remanence.kernels.sequence.deep import initial_weights
from remanence.kernels.sequence.hebbian import hebbian

AGGREGATES: tuple[Aggregate, ...] = ("residual", "grm", "soup", "ssc")
HEBBIAN, DELTA = MatrixMemory("hebbian", 4), MatrixMemory("gated_delta", 4)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def deep() -> DeepMemory:
    weights = initial_weights(2, 4, 3, hidden=5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return DeepMemory(tuple(weights), chunk_size=4)


def inputs(memory: Memory, length: int, *, batch: int = 2) -> dict[str, Any]:
    sizes = {"q": 4, "k": 4, "v": 3, "u": 4}
    given: dict[str, Any] = {n: draw(batch, length, 2, s, seed=i) for i, (n, s) in enumerate(sizes.items())}
    given["k"] = torch.nn.functional.normalize(given["k"], dim=-1)
    given["u"] = 3 * given["u"]
    names = ("theta", "eta", "g") if isinstance(memory, DeepMemory) else ("beta", "g")
    given["gates"] = {name: draw(batch, length, 2, seed=20 + i).sigmoid() for i, name in enumerate(names)}
    given["gates"]["g"] = given["gates"]["g"].log()
    if "theta" in names:
        given["gates"]["theta"] = 0.1 * given["gates"]["theta"]
    return given


def part(given: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    cut = {name: one[:, first:last] for name, one in given.items() if name != "gates"}
    return {**cut, "gates": {name: one[:, first:last] for name, one in given["gates"].items()}}


def leaves(cache: Cache | None) -> list[Tensor]:
    assert cache is not None
    return [*(cache.live[name] for name in sorted(cache.live)), cache.total, cache.kept, cache.means]


def close(found: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float = 1e-10) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def everything(given: dict[str, Any], form: str, **settings: Any) -> list[Tensor]:
    """Outputs, the cache and all gradients, of a random function of both."""
    wanted = [one.requires_grad_() for one in (*given["gates"].values(), *(given[n] for n in "qkvu"))]
    o, cache = cached.in_form(form)(**given, **settings)
    results = [o, *leaves(cache)]
    total = torch.stack([(one * draw(*one.shape, seed=40 + i)).sum() for i, one in enumerate(results)]).sum()
    return [*results, *torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)]


def warm(memory: Memory) -> Cache:
    _, cache = cached(**inputs(memory, 9), memory=memory, cuts=(4, 8))
    assert cache is not None
    return cache._replace(valid=torch.tensor([[False, True], [True, True]]))


@pytest.mark.parametrize("start", ["independent", "checkpoint"])
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("memory", [HEBBIAN, DELTA, deep()], ids=["hebbian", "delta", "deep"])
def test_segments_at_once_are_tokens_one_by_one(memory: Memory, aggregate: Aggregate, start: str) -> None:
    """I1, with gradients: segments of equal and of other lengths, from a cache that holds padding."""
    given = inputs(memory, 14)
    for cuts in ((), (0, 3, 6, 9, 10, 13), (1, 5, 9)):
        settings = {
            "memory": memory,
            "cuts": cuts,
            "aggregate": aggregate,
            "start": start,
            "initial_state": warm(memory),
        }
        close(everything(given, "chunk", **settings), everything(given, "recurrent", **settings), 1e-9)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_stream_may_be_split_anywhere(aggregate: Aggregate) -> None:
    """I23."""
    for memory in (DELTA, deep()):
        given, cuts = inputs(memory, 13), (0, 4, 8)
        whole, end = cached(**given, memory=memory, cuts=cuts, aggregate=aggregate)
        for at in (0, 1, 4, 6, 8, 13):
            first, cache = cached(
                **part(given, 0, at), memory=memory, cuts=[c for c in cuts if c < at], aggregate=aggregate
            )
            rest = [c - at for c in cuts if c >= at]
            second, after = cached(
                **part(given, at, 13), memory=memory, cuts=rest, aggregate=aggregate, initial_state=cache
            )
            close([torch.cat((first, second), 1), *leaves(after)], [whole, *leaves(end)])


def test_the_sum_over_fresh_segments_is_linear_attention() -> None:
    """I20: residual over a memory that only adds, and nothing decays."""
    given = inputs(HEBBIAN, 20) | {"gates": {}}
    found, _ = cached(**given, memory=HEBBIAN, cuts=(3, 7, 15), aggregate="residual")
    wanted, _ = hebbian(given["q"], given["k"], given["v"])
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_with_checkpoints_the_sum_counts_the_past_again() -> None:
    """So the identity above would not hold, if segments did not begin empty."""
    given = inputs(HEBBIAN, 20) | {"gates": {}}
    found, _ = cached(**given, memory=HEBBIAN, cuts=(3, 7, 15), aggregate="residual", start="checkpoint")
    wanted, _ = hebbian(given["q"], given["k"], given["v"])
    torch.testing.assert_close(found[:, :3], wanted[:, :3])
    assert (found[:, 15:] - wanted[:, 15:]).abs().max() > 0.1


def test_the_live_state_of_checkpoints_is_that_of_no_segments() -> None:
    given = inputs(DELTA, 20)
    _, cache = cached(**given, memory=DELTA, cuts=(3, 7, 15), start="checkpoint")
    _, plain = cached(**given, memory=DELTA)
    assert cache is not None
    assert plain is not None
    torch.testing.assert_close(cache.live["matrix"], plain.live["matrix"])


def test_soup_is_the_gated_sum_where_memories_are_linear_and_not_where_they_are_deep() -> None:
    """I20."""
    for memory, equal in ((HEBBIAN, True), (DELTA, True), (deep(), False)):
        given = inputs(memory, 12)
        # The recurrent form mixes parameters for soup, and outputs for grm.
        grm, soup = (cached.recurrent(**given, memory=memory, cuts=(4, 8), aggregate=a)[0] for a in ("grm", "soup"))
        difference = (grm - soup).abs().max()
        assert difference < 1e-12 if equal else difference > 1e-3


def test_sparse_caching_of_all_segments_is_the_gated_sum() -> None:
    """I20; and of fewer it is not."""
    given = inputs(DELTA, 20)
    cuts = (4, 8, 12, 16)
    wanted, _ = cached(**given, memory=DELTA, cuts=cuts)
    for topk, equal in ((4, True), (9, True), (3, False), (1, False)):
        found, _ = cached(**given, memory=DELTA, cuts=cuts, aggregate="ssc", topk=topk)
        assert (torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)) == equal


def test_sparse_caching_reads_the_segments_of_the_largest_scores_and_the_live_one() -> None:
    given = inputs(DELTA, 20)
    cuts = (4, 8, 12, 16)
    found, cache = cached(**given, memory=DELTA, cuts=cuts, aggregate="ssc", topk=2)
    assert cache is not None
    scores = torch.einsum("bhk,bnhk->bhn", given["u"][:, -1], cache.means)
    live = torch.einsum("bhk,bhk->bh", given["u"][:, -1], given["k"][:, 16:].mean(1))
    for b in range(2):
        for h in range(2):
            best = scores[b, h].topk(2).indices
            shares = torch.cat((scores[b, h, best], live[b, h, None])).softmax(0)
            memories = [*cache.kept[b, best, h], cache.live["matrix"][b, h]]
            wanted = sum(s * (given["q"][b, -1, h] / 2) @ m for s, m in zip(shares, memories, strict=True))
            torch.testing.assert_close(found[b, -1, h], wanted)


def test_even_gates_are_the_sum_over_the_number_of_segments() -> None:
    """u = 0 gives every segment the same share."""
    given = inputs(DELTA, 16)
    given["u"] = torch.zeros_like(given["u"])
    grm, _ = cached(**given, memory=DELTA, cuts=(4, 8, 12))
    residual, _ = cached(**given, memory=DELTA, cuts=(4, 8, 12), aggregate="residual")
    segments = 1 + torch.arange(16) // 4
    torch.testing.assert_close(grm, residual / segments[:, None, None])


def test_the_cache_grows_by_one_state_a_segment_and_not_within() -> None:
    given = inputs(DELTA, 20)
    for length, kept in ((4, 0), (5, 1), (8, 1), (16, 3), (20, 4)):
        _, cache = cached(**part(given, 0, length), memory=DELTA, cuts=range(0, length, 4))
        assert cache is not None
        assert cache.kept.shape == (2, kept, 2, 4, 3)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_reading_is_the_next_query_without_its_write(aggregate: Aggregate) -> None:
    for memory in (DELTA, deep()):
        cache = warm(memory)
        q, u = draw(2, 3, 2, 4, seed=7), 3 * draw(2, 3, 2, 4, seed=8)
        found = read(q, u, cache, memory=memory, aggregate=aggregate, topk=1)
        for t in range(3):
            # A write of strength 0 of the mean key changes neither the memory nor the mean.
            k = (cache.total / cache.tokens)[:, None]
            none = torch.zeros(2, 1, 2, dtype=torch.float64)
            gates = {"theta": none, "eta": none, "g": none} if memory is not DELTA else {"beta": none, "g": none}
            at = slice(t, t + 1)
            o, _ = cached(
                q[:, at], k, torch.ones(2, 1, 2, 3, dtype=torch.float64), u[:, at],
                memory=memory, aggregate=aggregate, topk=1, gates=gates, initial_state=cache,
            )  # fmt: skip
            torch.testing.assert_close(found[:, at], o, rtol=1e-10, atol=1e-10)


def test_what_never_was_written_reads_as_zero() -> None:
    _, cache = cached(**inputs(DELTA, 0), memory=DELTA)
    assert cache is not None
    assert not read(draw(2, 3, 2, 4), draw(2, 3, 2, 4), cache, memory=DELTA).any()


def test_what_is_no_number_spoils_nothing_before_it_and_no_other_sequence() -> None:
    for form in ("recurrent", "chunk"):
        given = inputs(DELTA, 12)
        wanted, _ = cached(**given, memory=DELTA, cuts=(4, 8))
        given["v"][0, 6] = torch.nan
        found, _ = cached.in_form(form)(**given, memory=DELTA, cuts=(4, 8))
        assert found[0, 6:].isnan().all()
        close([found[0, :6], found[1]], [wanted[0, :6], wanted[1]])


def test_no_tokens_and_no_sequences() -> None:
    for form in ("recurrent", "chunk"):
        cache = warm(DELTA)
        o, after = cached.in_form(form)(**inputs(DELTA, 0), memory=DELTA, initial_state=cache)
        assert o.shape == (2, 0, 2, 3)
        close(leaves(after), leaves(cache), 0.0)
        o, _ = cached.in_form(form)(**inputs(DELTA, 7, batch=0), memory=DELTA, cuts=(0, 3))
        assert o.shape == (0, 7, 2, 3)


def test_memory_in_the_backward_pass_grows_with_the_length_not_its_square() -> None:
    """Bytes that are kept for gradients, at twice the length."""

    def kept(length: int) -> int:
        given = inputs(DELTA, length)
        held: dict[int, int] = {}

        def pack(one: Tensor) -> Tensor:
            held[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
            return one

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
            given["q"].requires_grad_()
            given["k"].requires_grad_()
            o, _ = cached(**given, memory=DELTA, cuts=range(0, length, 8))
        assert o.requires_grad
        return sum(held.values())

    assert kept(512) < 2.2 * kept(256)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cuts": (3, 2)}, r"\[3, 2\]"),
        ({"cuts": (8,)}, "within 0 … 7"),
        ({"aggregate": "mean"}, "'mean'"),
        ({"start": "warm"}, "'warm'"),
        ({"topk": -1}, "topk -1"),
        ({"u": torch.zeros(2, 8, 2, 3)}, r"u \(2, 8, 2, 3\)"),
        ({"q": torch.zeros(2, 8, 2, 3)}, r"q \(2, 8, 2, 3\)"),
        ({"initial_state": warm(DELTA)._replace(means=torch.zeros(2, 2, 1, 4))}, r"means \(2, 2, 1, 4\)"),
    ],
)
def test_what_does_not_fit_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        cached(**{**inputs(DELTA, 8), "memory": DELTA, **wrong})
