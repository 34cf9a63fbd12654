"""Sparse attention: the parallel form against the loop, and what is seen against a search through all keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.sparse_attention import (
    Sparse,
    SparseState,
    buckets,
    empty,
    importance,
    ranking_loss,
    sparse_attention,
)


def inputs(length: int, dtype: torch.dtype = torch.float64, seed: int = 0, bits: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"q": (2, length, 5), "k": (2, length, 5), "v": (2, length, 4), "planes": (5, bits), "scores": (2, length)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for name, shape in shapes.items()
    }


def warm(recent: int, top: int) -> SparseState:
    """What some tokens left behind, more in one sequence than in the other."""
    given = inputs(9, seed=5)
    state = sparse_attention.recurrent(**given, recent=recent, top=top).final_state  # type: ignore[arg-type]
    fresh = empty(2, key_dim=5, value_dim=4, bits=2, recent=recent, top=top, dtype=torch.float64)
    assert state is not None
    return SparseState(*(torch.cat((one[:1], other[1:])) for one, other in zip(state, fresh, strict=True)))


def leaves(found: Sparse, given: dict[str, Tensor], state: SparseState | None) -> list[Tensor]:
    """o, the last state, and gradients in q, k, v and in what of the state can have one."""
    assert found.final_state is not None
    end = list(found.final_state)
    total = (found.o * found.o.detach().cos()).sum()
    total = total + torch.stack([one.square().sum() for one in end if one.is_floating_point()]).sum()
    wanted = [given[name] for name in ("q", "k", "v")]
    if state is not None:
        wanted += [state.bucket_k, state.bucket_v, state.top_k, state.top_v, state.q_sum]
    grads: tuple[Tensor | None, ...] = torch.autograd.grad(total, wanted, allow_unused=True)
    return [found.o, *end, *(torch.zeros(()) if one is None else one for one in grads)]


@pytest.mark.parametrize("length", [1, 5, 27])
@pytest.mark.parametrize(("recent", "top"), [(3, 4), (3, 0), (0, 4)])
@pytest.mark.parametrize("begun", [False, True])
def test_i1_the_parallel_form_is_the_loop(length: int, recent: int, top: int, begun: bool) -> None:
    """I1: outputs, every leaf of the state, gradients."""
    results = []
    for form, chunk_size in (("recurrent", 64), ("chunk", 1), ("chunk", 5), ("chunk", 32)):
        given = {name: one.requires_grad_(name in "qkv") for name, one in inputs(length).items()}
        state = (
            SparseState(*(one.requires_grad_(one.is_floating_point()) for one in warm(recent, top))) if begun else None
        )
        settings: dict[str, Any] = {"recent": recent, "top": top, "chunk_size": chunk_size, "initial_state": state}
        results.append(leaves(sparse_attention.in_form(form)(**given, **settings), given, state))  # type: ignore[arg-type]
    for found in results[1:]:
        for one, wanted in zip(found, results[0], strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-10)


def searched(given: dict[str, Tensor], recent: int, top: int, *, centre: bool = True) -> Tensor:
    """The definition: for every query, all keys before it are looked at."""
    q, k, v = given["q"], given["k"], given["v"]
    numbers = []
    for x in (q, k):
        if centre:
            count = torch.arange(1, x.shape[1] + 1)[:, None]
            x = torch.nn.functional.normalize(x - x.cumsum(1) / count, dim=-1)
        signs = (x @ given["planes"] > 0).long()
        numbers.append(signs[..., 0] + 2 * signs[..., 1])
    outs = torch.zeros_like(v)
    for row in range(len(q)):
        for t in range(q.shape[1]):
            same = [i for i in range(t + 1) if numbers[1][row, i] == numbers[0][row, t]]
            best = sorted(range(t + 1), key=lambda i: (-float(given["scores"][row, i]), i))
            chosen = sorted({*same[max(len(same) - recent, 0) :], *best[:top]}) if recent else sorted(best[:top])
            if chosen:
                p = torch.softmax(k[row, chosen] @ q[row, t] * 5**-0.5, 0)
                outs[row, t] = p @ v[row, chosen]
    return outs


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize(("recent", "top"), [(3, 4), (0, 4), (40, 0)])
@pytest.mark.parametrize("form", sparse_attention.forms)
def test_what_is_seen_is_what_a_search_finds(form: str, recent: int, top: int, centre: bool) -> None:
    given = inputs(30)
    found = sparse_attention.in_form(form)(**given, recent=recent, top=top, centre=centre)  # type: ignore[arg-type]
    torch.testing.assert_close(found.o, searched(given, recent, top, centre=centre))


@pytest.mark.parametrize("form", sparse_attention.forms)
def test_enough_best_keys_are_full_attention(form: str) -> None:
    given = inputs(20)
    found = sparse_attention.in_form(form)(**given, recent=2, top=20)  # type: ignore[arg-type]
    scores = (torch.einsum("btk,bsk->bts", given["q"], given["k"]) * 5**-0.5).masked_fill(
        torch.ones(20, 20).triu(1).bool(), -torch.inf
    )
    torch.testing.assert_close(found.o, scores.softmax(-1) @ given["v"])


@pytest.mark.parametrize("form", sparse_attention.forms)
def test_a_later_token_changes_nothing_before(form: str) -> None:
    """A mean over the whole sequence, or a norm over time, would; so would the best keys of all."""
    given = inputs(30)
    run: Any = sparse_attention.in_form(form)
    whole = run(**given, recent=3, top=4).o
    changed = {name: one.clone() for name, one in given.items()}
    for name in ("q", "k", "v", "scores"):
        changed[name][:, 20] += 50
    torch.testing.assert_close(run(**changed, recent=3, top=4).o[:, :20], whole[:, :20], rtol=0, atol=0)


def test_centring_over_the_whole_sequence_would_be_noticed() -> None:
    """The wrong variant: buckets from a mean that knows the end."""
    given = inputs(30)
    k = given["k"] + 1
    late = torch.nn.functional.normalize(k - k.mean(1, keepdim=True), dim=-1)
    causal = buckets(k, given["planes"], torch.zeros(2, 5).double(), torch.zeros(2).long())
    assert not torch.equal(buckets(late, given["planes"]), causal)
    assert torch.equal(
        buckets(k[:, :9], given["planes"], torch.zeros(2, 5).double(), torch.zeros(2).long()), causal[:, :9]
    )


@pytest.mark.parametrize("form", sparse_attention.forms)
def test_i23_a_split_changes_nothing(form: str) -> None:
    """I23."""
    given = inputs(30)
    planes = given.pop("planes")
    run: Any = sparse_attention.in_form(form)
    whole, end = run(**given, planes=planes, recent=3, top=4)
    for at in (1, 13, 29):
        first, middle = run(**{name: one[:, :at] for name, one in given.items()}, planes=planes, recent=3, top=4)
        rest = {name: one[:, at:] for name, one in given.items()}
        second, last = run(**rest, planes=planes, recent=3, top=4, initial_state=middle)
        torch.testing.assert_close(torch.cat((first, second), 1), whole)
        for one, wanted in zip(last, end, strict=True):
            torch.testing.assert_close(one, wanted)


@pytest.mark.parametrize("form", sparse_attention.forms)
def test_edges(form: str) -> None:
    run: Any = sparse_attention.in_form(form)
    found = run(**inputs(0), recent=3, top=4, initial_state=warm(3, 4))
    assert found.o.shape == (2, 0, 4)
    for one, wanted in zip(found.final_state, warm(3, 4), strict=True):
        assert torch.equal(one, wanted)
    nobody = {name: one if name == "planes" else one[:0] for name, one in inputs(6).items()}
    assert run(**nobody, recent=3, top=4).o.shape == (0, 6, 4)
    assert run(**inputs(6), recent=3, top=4, output_final_state=False).final_state is None
    half = run(**inputs(6, torch.bfloat16), recent=3, top=4)
    assert (half.o.dtype, half.final_state.bucket_k.dtype) == (torch.bfloat16, torch.float32)
    single = run(**inputs(20, torch.float32), recent=3, top=4).o
    torch.testing.assert_close(single, run(**inputs(20), recent=3, top=4).o.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("form", sparse_attention.forms)
@pytest.mark.parametrize("spoilt", ["q", "k", "v", "scores"])
def test_nan_does_not_reach_what_came_before_or_the_other_sequence(form: str, spoilt: str) -> None:
    given = inputs(30)
    run: Any = sparse_attention.in_form(form)
    wanted = run(**given, recent=3, top=4).o
    given[spoilt][0, 17] = torch.nan
    found = run(**given, recent=3, top=4).o
    torch.testing.assert_close(found[:, :17], wanted[:, :17])
    torch.testing.assert_close(found[1], wanted[1])
    if spoilt == "q":
        assert found[0, 17].isnan().all()


def test_scores_need_importance_to_be_learned() -> None:
    """Importance is the sum of what later queries find; the loss is least where scores order keys alike."""
    given = inputs(12)
    wanted = importance(given["q"], given["k"], torch.arange(12))
    by_hand = torch.stack(
        [torch.sigmoid(given["q"][:, i:] @ given["k"][:, i, :, None] * 5**-0.5).sum((1, 2)) for i in range(12)], 1
    )
    torch.testing.assert_close(wanted, by_hand)
    some = torch.tensor([7, 2])
    torch.testing.assert_close(importance(given["q"], given["k"], some), by_hand[:, some])
    right, flat, wrong = (float(ranking_loss(factor * wanted, wanted)) for factor in (5.0, 0.0, -5.0))
    assert right < flat < wrong
    assert flat == pytest.approx(0.6931, abs=1e-3)


def test_memory_is_linear_in_length() -> None:
    from tests.kernels.sequence.pairs import saved

    def run(**given: Any) -> tuple[Tensor, Tensor | None]:
        return sparse_attention.in_form("chunk")(**given, recent=4, top=4).o, None

    short, long = (saved(run, inputs(length)) for length in (128, 512))
    assert long < 5 * short


@pytest.mark.parametrize(
    ("changed", "shape"), [("q", (2, 9, 4)), ("v", (2, 8, 4)), ("planes", (4, 2)), ("scores", (2, 8)), ("k", (2, 9))]
)
@pytest.mark.parametrize("form", sparse_attention.forms)
def test_shapes_that_do_not_fit_are_told(form: str, changed: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput) as raised:
        sparse_attention.in_form(form)(**{**inputs(9), changed: torch.zeros(shape).double()}, recent=3, top=2)  # type: ignore[arg-type]
    assert str(shape) in str(raised.value)


def test_states_and_sizes_that_do_not_fit_are_told() -> None:
    run: Any = sparse_attention
    with pytest.raises(InvalidInput, match="bucket_k"):
        run(**inputs(9), recent=4, top=4, initial_state=warm(3, 4))
    with pytest.raises(InvalidInput, match="scores"):
        run(**{**inputs(9), "scores": None}, recent=4, top=4)
    with pytest.raises(InvalidInput, match="not both 0"):
        run(**inputs(9), recent=0, top=0)
    with pytest.raises(InvalidInput, match="chunk_size"):
        run(**inputs(9), recent=1, chunk_size=0)
    with pytest.raises(InvalidInput, match=r"\(2, 12\)"):
        ranking_loss(torch.zeros(2, 12), torch.zeros(2, 11))
