"""The Legendre memory: any delay of its window can be read; spikes change its activations, not its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.mechanisms.sequence.lmu import LegendreMemory
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.lmu import averages, measure
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed

SETTINGS: list[dict[str, Any]] = [{}, {"spiking": True}, {"memory_size": 8, "window": 16.0}, {"memory_size": 1}]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("convolution", [False, True])
def test_recurrence_chunks_and_convolution_are_one(settings: dict[str, Any], convolution: bool) -> None:
    """Neurons that fire or not included: charges and spikes are the same."""
    layer = perturbed(LegendreMemory(hidden_size=10, chunk_size=16, convolution=convolution, **settings))
    x, state = tokens(0, layer, length=45), layer.scan(tokens(1, layer))[1]
    y, end = by_steps(layer, x, state)
    found, last = layer.scan(x, state)
    assert largest(found - y) < 1e-10
    for name, one in end.items():
        assert largest(last[name] - one) < 1e-10


def test_the_recurrence_is_the_formula() -> None:
    layer = perturbed(LegendreMemory(hidden_size=4, memory_size=6, window=20.0))
    a, b = layer.system.get("a"), layer.system.get("b")
    x, m = tokens(0, layer, length=12), torch.zeros(2, 6, dtype=torch.float64)
    for t in range(12):
        m = m @ a.mT + torch.relu(layer.u_proj(x[:, t])) * b
        h = torch.relu(layer.h_proj(torch.cat((m, x[:, t]), -1)))
        y = layer.o_norm(layer.o_proj(h))
    found, state = layer.scan(x)
    assert largest(found[:, -1] - y) < 1e-10
    assert largest(state["m"] - m) < 1e-10


def test_all_of_the_window_can_be_read_and_averages_cannot_tell_it() -> None:
    """Measured .015 to .028 at every delay; averages, with a fitted decoder, reach .4 to .5 at the window's end."""
    assert measure(0).max() < 0.07
    assert averages(0).max() > 0.3


def test_it_gets_worse_the_nearer_periods_come_to_window_over_size() -> None:
    """128 / 16 = 8: measured .02, .05, .4, .7."""
    errors = [measure(0, shortest=shortest).mean() for shortest in (64.0, 32.0, 16.0, 8.0)]
    assert errors == sorted(errors)
    assert errors[1] < 0.07
    assert errors[3] > 0.6


def test_a_window_read_backwards_would_be_noticed() -> None:
    """The wrong variant: P_i(1 - 2 tau / theta), the polynomials of the other end."""
    layer = LegendreMemory(hidden_size=1, memory_size=8, window=64.0).double()
    with torch.no_grad():
        layer.u_proj.weight.fill_(1)
        layer.u_proj.bias.zero_()
    t = torch.arange(400, dtype=torch.float64)
    u = 2 + torch.sin(2 * torch.pi * t / 90)
    m, _, _ = layer.remember(u[None, :, None])
    delays = torch.tensor([0.0, 16.0, 48.0])
    wanted = torch.stack([u[399], u[399 - 16], u[399 - 48]])
    torch.testing.assert_close(layer.recall(m, delays)[0, -1], wanted, rtol=0, atol=0.1)
    assert largest(layer.recall(m, 64 - delays)[0, -1] - wanted) > 0.5


def test_neurons_fire_and_gradients_reach_everything() -> None:
    layer = LegendreMemory(hidden_size=16, spiking=True)
    x = tokens(0, layer, length=40)
    _, seen, _ = layer.remember(x)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    y, state = layer.scan(x)
    assert set(state) == {"m", "x_charge", "u_charge", "h_charge"}
    assert state["m"].any()
    (y * tokens(2, layer, length=40)).sum().backward()
    assert [name for name, one in layer.named_parameters() if one.grad is None or not one.grad.any()] == []


def test_sizes_follow_the_width() -> None:
    """N = D, and 2 D with spikes, which say less each."""
    assert LegendreMemory(hidden_size=6).init_state(3)["m"].shape == (3, 6)
    assert LegendreMemory(hidden_size=6, spiking=True).init_state(3)["m"].shape == (3, 12)


def test_the_matrices_survive_files_devices_and_half_precision(tmp_path: Path) -> None:
    layer = LegendreMemory(hidden_size=8, seed=1)
    layer.save(tmp_path / "layer.safetensors")
    with torch.device("meta"):
        other = LegendreMemory(hidden_size=8, seed=2)
    other.to_empty(device="cpu").load(tmp_path / "layer.safetensors")
    x = tokens(0, layer, length=20)
    assert torch.equal(layer.scan(x)[0], other.scan(x)[0])
    assert torch.equal(LegendreMemory(hidden_size=8).half().system.get("a"), layer.system.get("a"))


def test_nonsense_is_told() -> None:
    for wrong in ({"memory_size": 0}, {"window": 0.5}, {"tau": 0.5}, {"chunk_size": 0}):
        with pytest.raises(InvalidInput):
            LegendreMemory(**wrong)
    layer = LegendreMemory(hidden_size=4, window=64.0)
    with pytest.raises(InvalidInput, match="64"):
        layer.recall(torch.zeros(1, 4), torch.tensor([65.0]))
