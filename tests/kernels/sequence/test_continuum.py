"""The continuum memory: closed gradients against differentiation, SGD as its limit, periods, restarts, cuts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.continuum import (
    Arrangement,
    ContinuumState,
    Levels,
    chunk_continuum,
    continuum,
    finalize,
    initial_levels,
    naive_recurrent_continuum,
    read,
    start,
)
from remanence.kernels.sequence.update import Loss

B, H, K, E = 2, 2, 4, 6


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def inputs(length: int, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    q, k, v = (drawn(B, length, H, K, seed=seed, dtype=dtype) for seed in (1, 2, 3))
    return {"q": q, "k": k, "v": v, "theta": 0.05 * drawn(B, length, H, seed=4, dtype=dtype).sigmoid()}


def levels(count: int, dtype: torch.dtype = torch.float64, seed: int = 5) -> Levels:
    shapes = ((B, H, K, E), (B, H, E), (B, H, E, K), (B, H, K))
    return tuple(
        tuple(0.3 * drawn(*shape, seed=seed + 10 * n + at, dtype=dtype) for at, shape in enumerate(shapes))
        for n in range(count)
    )


def leaves(state: ContinuumState) -> list[Tensor]:
    return [one for held in (state.levels, state.gathered) for level in held for one in level]


def _leaves_of(levels: Levels) -> Levels:
    return tuple(tuple(one.clone().requires_grad_() for one in level) for level in levels)


def everything(
    run: Callable[..., tuple[Tensor, ContinuumState | None]],
    tensors: dict[str, Any],
    state: ContinuumState,
    **settings: Any,
) -> list[Tensor]:
    """Outputs, final state, and gradients in inputs, mix and initial state, for random gradients of both."""
    tensors = {name: one.clone().requires_grad_() for name, one in tensors.items()}
    state = ContinuumState(_leaves_of(state.levels), _leaves_of(state.gathered), state.offset)
    o, final = run(**tensors, initial_state=state, **settings)
    assert final is not None
    out = [o, *leaves(final)]
    total = torch.stack([(one * drawn(*one.shape, seed=7, dtype=one.dtype)).sum() for one in out]).sum()
    given = [*tensors.values(), *leaves(state)]
    found: tuple[Tensor | None, ...] = torch.autograd.grad(total, given, allow_unused=True)
    gradients = [torch.zeros_like(one) if g is None else g for one, g in zip(given, found, strict=True)]
    return [*(one.detach() for one in out), *gradients]


def assert_equal(found: list[Tensor], wanted: list[Tensor], tolerance: float = 1e-10) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("arrangement", ["chain", "parallel", "nested"])
@pytest.mark.parametrize(
    ("length", "periods", "offset"),
    [(1, (1, 4), 0), (5, (3, 5), 2), (13, (2, 4, 8), 3), (21, (16, 64), 9), (9, (1,), 0)],
)
def test_both_forms_are_equal_with_all_gradients(
    arrangement: Arrangement, length: int, periods: tuple[int, ...], offset: int
) -> None:
    """I1, from a state with gathered gradients in the middle of a period."""
    tensors, count = inputs(length), len(periods)
    if arrangement == "parallel":
        tensors["mix"] = drawn(count, seed=8)
    state = ContinuumState(levels(count), levels(count, seed=55), offset)
    settings: dict[str, Any] = {
        "periods": periods, "arrangement": arrangement, "rates": tuple(1 / (1 + n) for n in range(count)), "scale": 0.7,
        "context": 7 if arrangement == "nested" and length == 21 else None,
    }  # fmt: skip
    found = everything(chunk_continuum, tensors, state, **settings)
    assert_equal(found, everything(naive_recurrent_continuum, tensors, state, **settings))


@pytest.mark.parametrize("loss", ["l2", "squared", "dot"])
def test_every_loss(loss: Loss) -> None:
    state = start(levels(2))
    settings: dict[str, Any] = {"periods": (2, 6), "loss": loss}
    found = everything(chunk_continuum, inputs(9), state, **settings)
    assert_equal(found, everything(naive_recurrent_continuum, inputs(9), state, **settings))


class Level(nn.Module):
    """A level as torch would have it."""

    def __init__(self, level: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.w1, self.b1, self.w2, self.b2 = (nn.Parameter(one[0, 0].clone()) for one in level)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.layer_norm(x, x.shape[-1:]) @ self.w1 + self.b1
        return x + functional.gelu(h) @ self.w2 + self.b2


@pytest.mark.parametrize("periods", [(1, 1), (1, 4), (3, 6)])
def test_it_is_sgd_with_a_hand_loop(periods: tuple[int, int]) -> None:
    """Periods 1 are ordinary SGD on the chain; longer ones SGD on gradients summed at stale parameters."""
    first = levels(2)
    tensors = {name: one[:1, :, :1] for name, one in inputs(12).items()}
    lr = 0.03
    chain = nn.Sequential(*(Level(level) for level in first))
    optimizers = [torch.optim.SGD(level.parameters(), lr=lr) for level in chain]
    outputs = []
    for t in range(12):
        outputs.append(chain(tensors["q"][0, t, 0]).detach())
        (0.5 * (chain(tensors["k"][0, t, 0]) - tensors["v"][0, t, 0]).square().sum()).backward()
        for optimizer, period in zip(optimizers, periods, strict=True):
            if (t + 1) % period == 0:
                optimizer.step()
                optimizer.zero_grad()
    tensors["theta"] = torch.full_like(tensors["theta"], lr)
    one = tuple(tuple(part[:1, :1] for part in level) for level in first)
    for form in ("recurrent", "chunk"):
        o, state = continuum(**tensors, initial_state=start(one), periods=periods, form=form)  # type: ignore[call-arg]
        assert state is not None
        torch.testing.assert_close(o[0, :, 0], torch.stack(outputs), rtol=1e-12, atol=1e-12)
        for level, module in zip(state.levels, chain, strict=True):
            for found, wanted in zip(level, module.parameters(), strict=True):
                torch.testing.assert_close(found[0, 0], wanted.detach(), rtol=1e-12, atol=1e-12)


def test_its_schedule_is_a_hand_loop_bit_by_bit() -> None:
    """What is gathered, when it is taken in and what is seen of it, with nothing left to rounding."""
    tensors, periods = inputs(11), (2, 3)
    state = start(levels(2))
    o, end = naive_recurrent_continuum(**tensors, initial_state=state, periods=periods)
    assert end is not None
    held, gathered = state.levels, state.gathered
    for t in range(11):
        assert torch.equal(o[:, t : t + 1], read(held, tensors["q"][:, t : t + 1]))
        at = {name: one[:, t : t + 1] for name, one in tensors.items()}
        # One token from here, with periods that never come: what it adds to what is gathered.
        _, seen = naive_recurrent_continuum(**at, initial_state=start(held), periods=(99, 99))
        assert seen is not None
        gathered = tuple(
            tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(gathered, seen.gathered, strict=True)
        )
        for n, period in enumerate(periods):
            if (t + 1) % period == 0:
                stepped = tuple(a - b for a, b in zip(held[n], gathered[n], strict=True))
                held = (*held[:n], stepped, *held[n + 1 :])
                gathered = (*gathered[:n], tuple(torch.zeros_like(one) for one in stepped), *gathered[n + 1 :])
    assert all(map(torch.equal, leaves(end), leaves(ContinuumState(held, gathered))))
    # A plausible mistake: a level that is due is updated before the last token of its period is gathered.
    _, early = naive_recurrent_continuum(**tensors, initial_state=ContinuumState(state.levels, state.gathered, 1),
                                         periods=periods)  # fmt: skip
    assert early is not None
    assert not torch.allclose(early.levels[1][0], end.levels[1][0])


@pytest.mark.parametrize("arrangement", ["chain", "parallel", "nested"])
@pytest.mark.parametrize("form", ["recurrent", "chunk"])
@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3, 12), (8,)])
def test_a_stream_may_be_cut_anywhere(form: str, arrangement: Arrangement, cuts: tuple[int, ...]) -> None:
    """I23: updates survive, and later tokens see them."""
    tensors = inputs(15)
    settings: dict[str, Any] = {"periods": (2, 8), "arrangement": arrangement, "form": form}
    whole, end = continuum(**tensors, initial_state=start(levels(2)), **settings)
    state: ContinuumState | None = start(levels(2))
    outputs = []
    for first, last in pairwise((0, *cuts, 15)):
        assert state is not None
        part = {name: one[:, first:last] for name, one in tensors.items()}
        o, state = continuum(**part, initial_state=state, **settings)
        outputs.append(o)
    assert state is not None
    assert end is not None
    assert_equal([torch.cat(outputs, 1), *leaves(state)], [whole, *leaves(end)])
    assert state.offset == end.offset == 15


def test_nested_levels_begin_again_from_the_next_slower_one() -> None:
    tensors = inputs(8)
    state = start(levels(2))
    for context, length, again in ((None, 4, True), (None, 3, False), (6, 4, False), (6, 6, True)):
        part = {name: one[:, :length] for name, one in tensors.items()}
        _, end = chunk_continuum(**part, initial_state=state, periods=(1, 4), arrangement="nested", context=context)
        assert end is not None
        assert all(map(torch.equal, *end.levels)) == again
    alone, end = chunk_continuum(**tensors, initial_state=start(levels(2)[:1]), periods=(1,), arrangement="nested")
    never, _ = chunk_continuum(**tensors, initial_state=state, periods=(1, 99), arrangement="nested")
    torch.testing.assert_close(never, alone)


def test_the_end_takes_in_what_is_left() -> None:
    tensors = inputs(5)
    _, end = chunk_continuum(**tensors, initial_state=start(levels(2)), periods=(2, 8))
    _, whole = chunk_continuum(**tensors, initial_state=start(levels(2)), periods=(2, 5))
    assert end is not None
    assert whole is not None
    done = finalize(end)
    assert_equal(list(done.levels[1]), list(whole.levels[1]))
    assert done.offset == 0
    assert not any(one.any() for level in done.gathered for one in level)
    assert all(map(torch.equal, leaves(finalize(done)), leaves(done)))


def test_an_error_signal_may_be_given() -> None:
    """ "dot" with v = -error takes the step that an l2 loss with that error would take."""
    tensors = inputs(3)
    state = start(levels(2))
    errors = read(state.levels, tensors["k"]) - tensors["v"]
    _, own = chunk_continuum(**tensors, initial_state=state, periods=(3, 3))
    _, taught = chunk_continuum(**{**tensors, "v": -errors}, initial_state=state, periods=(3, 3), loss="dot")
    assert own is not None
    assert taught is not None
    assert_equal(leaves(taught), leaves(own))


def test_parallel_levels_weigh_the_same_before_anything_is_learnt() -> None:
    q = inputs(3)["q"]
    held = levels(2)
    mean = (read(held[:1], q) + read(held[1:], q)) / 2
    torch.testing.assert_close(read(held, q, arrangement="parallel"), mean)
    torch.testing.assert_close(
        read(held, q, arrangement="parallel", mix=torch.tensor([50.0, -50.0])), read(held[:1], q)
    )
    fresh = tuple(tuple(one[None].expand(B, *one.shape).double() for one in level)
                  for level in initial_levels(H, K, count=3))  # fmt: skip
    torch.testing.assert_close(read(fresh, q), q)


@pytest.mark.parametrize("form", ["recurrent", "chunk"])
def test_nothing_and_not_a_number(form: str) -> None:
    state = start(levels(2))
    settings: dict[str, Any] = {"periods": (4, 8), "form": form}
    o, end = continuum(**inputs(0), initial_state=state, **settings)
    assert o.shape == (B, 0, H, K)
    assert end is not None
    assert all(map(torch.equal, leaves(end), leaves(state)))
    none = start(tuple(tuple(one[:0] for one in level) for level in levels(2)))
    o, _ = continuum(**{name: one[:0] for name, one in inputs(5).items()}, initial_state=none, **settings)
    assert o.shape == (0, 5, H, K)
    spoiled = inputs(12)
    spoiled["k"][0, 5, 0, 0] = torch.nan
    o, _ = continuum(**spoiled, initial_state=state, **settings)
    assert not o[0, :8].isnan().any()
    assert o[0, 8:, 0].isnan().all()
    assert not o[1].isnan().any()
    assert not o[0, :, 1].isnan().any()


def test_single_precision_and_half() -> None:
    single = inputs(20, torch.float32)
    state = start(levels(2, torch.float32))
    settings: dict[str, Any] = {"periods": (4, 16)}
    found = everything(chunk_continuum, single, state, **settings)
    assert_equal(found, everything(naive_recurrent_continuum, single, state, **settings), 1e-3)
    o, end = continuum(**{name: one.bfloat16() for name, one in single.items()}, initial_state=state, **settings)
    assert o.dtype == torch.bfloat16
    assert end is not None
    assert {one.dtype for one in leaves(end)} == {torch.float32}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"v": drawn(B, 3, H, K + 1)}, "as wide as k"),
        ({"periods": (0, 1)}, r"\(0, 1\)"),
        ({"periods": (1, 2, 3)}, "2 levels, 3 periods"),
        ({"rates": (1.0,)}, "1 rates"),
        ({"arrangement": "tree"}, "'tree'"),
        ({"context": 4}, "got 4 for 'chain'"),
        ({"mix": drawn(3)}, r"mix must be \[L\]; got mix \(3,\)"),
        ({"initial_state": start(tuple(level[:3] for level in levels(2)))}, "W_1 must be"),
        ({"initial_state": start(tuple((*level[:3], level[3][:1]) for level in levels(2)))}, r"\(1, 2, 4\)"),
    ],
)
def test_what_does_not_fit_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        continuum(**{**inputs(3), "initial_state": start(levels(2)), "periods": (1, 2), **wrong})
