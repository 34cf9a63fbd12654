"""The continuum memory as a layer: its levels, their frequencies, restarts, error signals from outside, the end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.mechanisms.sequence.continuum_memory import ContinuumMemory
from remanence.substrates.sequence.mechanism import State
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.continuum_memory import SLOW, STEP, STEPS, measure, witness


def layer(**arguments: Any) -> ContinuumMemory:
    """In float64, with weights that are not special."""
    made = ContinuumMemory(**{"hidden_size": 12, "periods": (2, 6), **arguments}).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for one in made.parameters():
            one.add_(0.1 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return made


def run(made: ContinuumMemory, x: Tensor, *cuts: int) -> tuple[Tensor, State]:
    state, outputs = made.init_state(x.shape[0]), []
    for first, last in pairwise((0, *cuts, x.shape[1])):
        y, state = made.scan(x[:, first:last], state)
        outputs.append(y)
    return torch.cat(outputs, 1), state


@pytest.mark.parametrize("arrangement", ["chain", "parallel", "nested"])
def test_a_level_changes_after_its_period_and_at_no_other_time(arrangement: str) -> None:
    made = layer(arrangement=arrangement)
    x, state = tokens(0, made, length=13), made.init_state(2)
    for t in range(13):
        before = state
        _, state = made.step(x[:, t], state)
        moved = [bool((state[f"level_{n}_w2"] != before[f"level_{n}_w2"]).any()) for n in (0, 1)]
        assert moved == [(t + 1) % 2 == 0, (t + 1) % 6 == 0]


@torch.no_grad()
@pytest.mark.parametrize("arrangement", ["chain", "parallel", "nested"])
def test_splits_anywhere_and_padding_change_nothing(arrangement: str) -> None:
    """Sequences of a batch that stand at different points of the cycle too."""
    made = layer(arrangement=arrangement, context=9 if arrangement == "nested" else None)
    x = tokens(0, made, length=20)
    y, end = run(made, x)
    other, state = run(made, x, 1, 2, 6, 11)
    torch.testing.assert_close(other, y, rtol=1e-10, atol=1e-10)
    for name, one in end.items():
        torch.testing.assert_close(state[name], one, rtol=1e-10, atol=1e-10)
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[1, 3:8] = False
    padded, state = made.scan(x, mask=mask)
    alone, _ = run(made, x[1:, mask[1]])
    torch.testing.assert_close(padded[1:, mask[1]], alone, rtol=1e-10, atol=1e-10)
    assert state["position"].tolist() == [20, 15]


def test_nested_levels_begin_alike_and_others_do_not() -> None:
    nested, chain = layer(arrangement="nested").init_state(1), layer().init_state(1)
    assert torch.equal(nested["level_0_w1"], nested["level_1_w1"])
    assert not torch.equal(chain["level_0_w1"], chain["level_1_w1"])


@torch.no_grad()
def test_error_signals_from_outside_are_what_its_own_loss_would_give() -> None:
    made = layer()
    state = {name: one for name, one in made.init_state(1).items() if name != "conv"}
    k, v = (torch.randn(1, 6, 2, 6, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (1, 2))
    theta = torch.full((1, 6, 2), 0.01, dtype=torch.float64)
    _, own = made.recall(k, k, v, state, theta=theta)
    taught = state
    for t in range(6):
        at = slice(t, t + 1)
        taught = made.taught(k[:, at], made.read(k[:, at], taught) - v[:, at], taught, theta[:, at])
    for name, one in own.items():
        torch.testing.assert_close(taught[name], one, rtol=1e-10, atol=1e-12)
    wrong = made.taught(k, v - made.read(k, state), state, theta)
    assert not torch.allclose(wrong["level_1_w2"], own["level_1_w2"])


@torch.no_grad()
def test_the_end_of_a_stream_flushes_and_counts_anew() -> None:
    made = layer()
    _, state = run(made, tokens(0, made, length=4))
    assert state["gathered_1_w2"].any()
    done = made.finalize(state)
    rate = made.rates[1]
    assert rate == pytest.approx(1 / 6)
    torch.testing.assert_close(done["level_1_w2"], state["level_1_w2"] - state["gathered_1_w2"])
    assert done["position"].tolist() == [0, 0]
    assert not done["gathered_1_w2"].any()
    made.scan(tokens(1, made), done)


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="expand_v must be 1, not 2"):
        layer(expand_v=2)
    with pytest.raises(InvalidInput, match=r"got \(\)"):
        layer(periods=())
    with pytest.raises(InvalidInput, match="lr must be above 0, not 0"):
        layer(lr=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.value < 0.85 * evidence.baseline


def test_it_comes_as_far_as_a_level_alone() -> None:
    (nested,) = measure(0, (STEP,), periods=(1, 16), rates=(1.0, SLOW))
    assert nested[1] < min(late for _, late in measure(0, STEPS, periods=(1,), rates=(1.0,))) + 0.1


def test_what_helps_is_to_begin_again_from_what_was_learnt() -> None:
    """A slow level that is merely there changes nothing; to begin again from one that learns nothing is worse."""
    (alone,) = measure(0, (STEP,), periods=(1,), rates=(1.0,))
    (idle,) = measure(0, (STEP,), periods=(1, 16), rates=(1.0, SLOW), context=10**6)
    assert idle == pytest.approx(alone)
    (blank,) = measure(0, (STEP,), periods=(1, 16), rates=(1.0, 0.0))
    assert blank[0] > alone[0]
