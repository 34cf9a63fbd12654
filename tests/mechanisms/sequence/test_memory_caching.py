"""Memory caching: what its segments are, at its limits, where signals begin them, and what the cache is good for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from remanence.core.errors import InvalidInput
from remanence.mechanisms.sequence.gated_delta_net import GatedDeltaNet
from remanence.mechanisms.sequence.linear_attention import LinearAttention
from remanence.mechanisms.sequence.memory_caching import MemoryCaching
from remanence.substrates.sequence import state as states
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.memory_caching import measure, witness
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed


def layer(**arguments: Any) -> MemoryCaching:
    return perturbed(MemoryCaching(**{"hidden_size": 16, "segment": 5, **arguments}))


def loud(x: Tensor) -> Tensor:
    """A signal of each token by itself."""
    return x[..., 0] > 0.8


def test_one_endless_segment_is_the_memory_without_a_cache() -> None:
    made = layer(segment=1000)
    base = GatedDeltaNet(hidden_size=16).double()
    base.load_state_dict({name: one for name, one in made.state_dict().items() if name in base.state_dict()})
    x = tokens(0, made, length=20)
    torch.testing.assert_close(made.scan(x)[0], base.scan(x)[0], rtol=1e-12, atol=1e-12)


def test_the_sum_over_segments_of_linear_memories_is_linear_attention() -> None:
    """I20, as layers."""
    made = layer(memory="linear", aggregate="residual")
    base = LinearAttention(hidden_size=16, feature_name="identity", normalize=False).double()
    base.load_state_dict(made.state_dict())
    x = tokens(0, made, length=23)
    q, k, v, _ = made.project(x, made.init_state(2))
    found, _ = made.recall(q, k, v, made.init_memory(2, device=None, dtype=x.dtype))
    wanted, _ = base.recall(q, k, v, base.init_memory(2, device=None, dtype=x.dtype))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "setting",
    [
        {"memory": memory, "aggregate": aggregate}
        for memory in ("linear", "delta", "gated_delta", "deep")
        for aggregate in ("residual", "grm", "soup", "ssc")
    ]
    + [
        {"start": "checkpoint"},
        {"boundary": loud},
        {"boundary": loud, "segment": None, "memory": "deep"},
        {"memory": "deep", "segment": 7, "chunk_size": 2, "expand_v": 2.0, "num_heads": 1},
    ],
    ids=str,
)
def test_every_setting_scans_as_it_steps(setting: dict[str, Any]) -> None:
    made = layer(**{"chunk_size": 4, **setting})
    x = tokens(1, made, length=19)
    mask = torch.ones(2, 19, dtype=torch.bool)
    mask[0, 3:8] = False
    with torch.no_grad():
        _, warm = made.scan(tokens(2, made), mask=torch.tensor([[True] * 11, [True] * 4 + [False] * 7]))
        (y, end), (wanted, wanted_end) = made.scan(x, warm), by_steps(made, x, warm)
        padded, _ = made.scan(x, warm, mask=mask)
    assert largest(y - wanted) < 1e-10
    for name, one in wanted_end.items():
        torch.testing.assert_close(end[name], one, rtol=1e-10, atol=1e-10)
    assert largest(padded[1] - y[1]) < 1e-12
    assert not padded[0, 3:8].any()


def test_signals_begin_segments_for_each_sequence_by_itself() -> None:
    made = layer(segment=None, boundary=loud)
    x = tokens(3, made, batch=3, length=30)
    x[1, :, 0] = 0
    _, end = made.scan(x)
    begun = [int(loud(x[b, 1:]).sum()) for b in range(3)]
    assert begun[1] == 0
    assert end["valid"].sum(1).tolist() == begun
    assert end["kept"].shape[1] == max(begun)
    for b in range(3):
        y, alone = made.scan(x[b : b + 1])
        torch.testing.assert_close(made.scan(x)[0][b : b + 1], y)
        torch.testing.assert_close(end["kept"][b, end["valid"][b]], alone["kept"][0])


def test_sequences_that_close_segments_at_different_times_pad_each_other_no_longer_than_it_takes() -> None:
    made = layer()
    _, state = made.scan(tokens(2, made), mask=torch.tensor([[True] * 11, [True] * 4 + [False] * 7]))
    _, state = by_steps(made, tokens(1, made, length=40), state)
    assert state["valid"].sum(1).tolist() == [10, 8]
    assert state["kept"].shape[1] == 10


def test_each_kept_state_is_the_memory_of_its_segment_alone() -> None:
    made = layer(conv_size=1)
    x = tokens(4, made, length=13)
    _, end = made.scan(x)
    assert end["kept"].shape[:2] == (2, 2)
    for number, part in enumerate(x[:, :10].split(5, 1)):
        _, alone = made.scan(part)
        torch.testing.assert_close(end["kept"][:, number], alone["live_matrix"])
        k = made.project(part, made.init_state(2))[1]
        torch.testing.assert_close(end["means"][:, number], made.features(k).mean(1))


def test_the_state_grows_by_segments() -> None:
    made = MemoryCaching(segment=16)
    size = [states.size(made.scan(tokens(5, made, length=length))[1]) for length in (16, 32, 48, 64)]
    one_more = {two - one for one, two in pairwise(size)}
    assert len(one_more) == 1
    # A state and a mean key for each of two heads of 32, in float32, and a byte, of two sequences.
    assert one_more == {2 * (2 * (32 * 32 + 32) * 4 + 1)}


def test_reading_does_not_write() -> None:
    made = layer()
    x = tokens(6, made, length=12)
    _, state = made.scan(x)
    before = {name: one.clone() for name, one in state.items()}
    q = made.features(tokens(7, made, length=3).unflatten(-1, (2, 8)))
    assert made.read(q, state).shape == (2, 3, 2, 8)
    assert all(torch.equal(one, before[name]) for name, one in state.items())


def test_weights_of_every_memory_and_aggregate_learn() -> None:
    for memory in ("linear", "delta", "gated_delta", "deep"):
        for aggregate in ("residual", "grm", "soup", "ssc"):
            made = layer(memory=memory, aggregate=aggregate)
            made.scan(tokens(8, made, length=18))[0].square().sum().backward()
            idle = [name for name, one in made.named_parameters() if one.grad is None or not one.grad.any()]
            assert idle == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"segment": 0}, "got 0 and 2"),
        ({"segment": None}, "nothing ends a segment"),
        ({"cached": -1}, "got 5 and -1"),
        ({"aggregate": "mean"}, "'mean' is none of residual, grm, soup, ssc"),
        ({"memory": "lstm"}, "'lstm'"),
        ({"start": "warm"}, "'warm'"),
    ],
)
def test_unknown_settings_are_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        layer(**wrong)


def test_a_boundary_that_does_not_tell_of_each_token_is_told() -> None:
    made = layer(boundary=lambda x: x[:, 0, 0] > 0)
    with pytest.raises(InvalidInput, match=r"\(2, 11\), true or false; it told torch.bool \(2,\)"):
        made.scan(tokens(0, made))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value > 0.6
    assert evidence.baseline < 0.5


def test_recall_is_that_of_the_table() -> None:
    """256 independent pairs, 64 coordinates: .26/.25 for the delta rule, .75/.68 with its states cached."""
    cached = torch.tensor([measure(seed) for seed in range(3)]).mean(0)
    alone = torch.tensor([measure(seed, segment=256) for seed in range(3)]).mean(0)
    torch.testing.assert_close(cached, torch.tensor([0.75, 0.68]), rtol=0, atol=0.03)
    torch.testing.assert_close(alone, torch.tensor([0.26, 0.25]), rtol=0, atol=0.03)


def test_capacity_grows_with_segments_where_that_of_one_state_does_not() -> None:
    recalled = {pairs: pairs * measure(0, pairs=pairs)[0] for pairs in (128, 256, 512)}
    assert recalled[512] > 1.3 * recalled[256] > 1.3 * 1.3 * recalled[128]
    alone = {pairs: pairs * measure(0, pairs=pairs, segment=512)[0] for pairs in (128, 512)}
    assert alone[512] < 1.2 * alone[128]


def test_without_choice_of_segments_little_is_gained() -> None:
    """Even gates: what the other segments say is noise, as it is in one sum of all pairs."""
    assert measure(0, sharpness=0.0)[1] < 0.45
