"""Hope: its memories seen through the layer, its phases, its levels, and what a stream leaves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.self_modifying import NAMES
from remanence.mechanisms.sequence.nested_learning import NestedLearning
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.nested_learning import cosine, perceptron, prepared, witness, written


def layer(**arguments: Any) -> NestedLearning:
    """In float64, with weights that are not special."""
    made = NestedLearning(**{"hidden_size": 12, "chunks": (2, 4), "periods": (3,), "eta_scale": 0.05, **arguments})
    made = made.double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for one in made.parameters():
            one.add_(0.1 * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return made


@torch.no_grad()
@pytest.mark.parametrize("phase", [1, 2, 3])
def test_only_phase_one_leaves_the_projections_alone(phase: int) -> None:
    made = layer(phase=phase)
    start, (_, end) = made.init_state(2), made.scan(tokens(0, made, length=9))
    for name in NAMES:
        same = torch.equal(start[f"memory_{name}_w2"], end[f"memory_{name}_w2"])
        assert same == (phase == 1 and name != "mem")


@torch.no_grad()
def test_phase_two_that_rewrites_nothing_is_phase_one() -> None:
    """And one that does, or has other targets, is not."""
    x = tokens(0, layer(), length=15)
    static, still, adaptive, own = (
        layer(phase=phase, plasticity=plasticity).scan(x)[0]
        for phase, plasticity in ((1, 1.0), (2, 0.0), (2, 1.0), (3, 1.0))
    )
    torch.testing.assert_close(still, static, rtol=1e-12, atol=1e-12)
    assert (adaptive - static).abs().max() > 1e-4
    assert (own - adaptive).abs().max() > 1e-4


@torch.no_grad()
def test_memories_are_seen_to_have_changed_at_the_end_of_a_chunk() -> None:
    made = layer()
    x, state = tokens(0, made, length=9), made.init_state(2)
    for t in range(9):
        before = state
        _, state = made.step(x[:, t], state)
        for name in NAMES:
            period = 4 if name == "mem" else 2
            moved = bool((state[f"anchor_{name}_w2"] != before[f"anchor_{name}_w2"]).any())
            assert moved == ((t + 1) % period == 0), name


@torch.no_grad()
def test_levels_follow_and_can_be_left_out() -> None:
    made, bare = layer(), layer(periods=())
    assert made.levels is not None
    assert bare.levels is None
    bare.load_state_dict({name: one for name, one in made.state_dict().items() if not name.startswith("levels")})
    x = tokens(0, made, length=9)
    y, (with_levels, _) = bare.scan(x)[0], made.scan(x)
    said, _ = made.levels.scan(made.levels_norm(y))
    torch.testing.assert_close(with_levels, y + said, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_end_of_a_stream_shows_all_that_was_written() -> None:
    made = layer()
    _, state = made.scan(tokens(0, made, length=7))
    done = made.finalize(state)
    assert not torch.equal(state["anchor_mem_w1"], state["memory_mem_w1"])
    assert torch.equal(done["anchor_mem_w1"], state["memory_mem_w1"])
    assert done["position"].tolist() == [0, 0] == done["levels.position"].tolist()
    made.scan(tokens(1, made), done)


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="got 12, 5, 4"):
        layer(num_heads=5)
    with pytest.raises(InvalidInput, match=r"got 0\.0, "):
        layer(forget=0.0)
    with pytest.raises(InvalidInput, match="got 4 and"):
        layer(phase=4).scan(tokens(0, layer()))


@torch.no_grad()
def test_the_prepared_projections_take_tokens_apart_exactly() -> None:
    made = prepared(0.1)
    x = torch.randn(1, 5, 1, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name, part in (("k", slice(0, 16)), ("v", slice(16, 32))):
        w1, w2 = made.initial[f"{name}_w1"], made.initial[f"{name}_w2"]
        taken = x + torch.nn.functional.gelu(x @ w2) @ w1
        wanted = torch.zeros_like(x)
        wanted[..., part] = x[..., part]
        torch.testing.assert_close(taken, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.value > evidence.baseline + 0.05


def test_a_memory_that_learns_nothing_recalls_nothing() -> None:
    keys, values, k, v = written(0)
    assert cosine(perceptron(keys, k, v, eta=0.0), values) < 0.2
