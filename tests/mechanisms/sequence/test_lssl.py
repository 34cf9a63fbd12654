"""LSSL: a gate, a convolution and a system in continuous time are one layer; resampling needs no learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.hippo import legs
from remanence.mechanisms.sequence.lssl import LSSL
from remanence.substrates.sequence.probe import tokens
from remanence.witnesses.sequence.lssl import DELAYS, measure, witness
from tests.mechanisms.sequence.streams import by_steps, largest, perturbed

SETTINGS: list[dict[str, Any]] = [
    {},
    {"learn": False},
    {"learn": False, "measure": "random"},
    {"measure": "legt", "channels": 3, "alpha": 1.0},
    {"measure": "legt", "learn": False, "alpha": 0.5},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_recurrence_chunks_and_convolution_are_one(settings: dict[str, Any]) -> None:
    layer = perturbed(LSSL(hidden_size=6, state_size=8, chunk_size=16, **settings))
    x, state = tokens(0, layer, length=45), layer.scan(tokens(1, layer))[1]
    y, end = by_steps(layer, x, state)
    for convolution in (False, True):
        layer.convolution = convolution
        found, last = layer.scan(x, state)
        assert largest(found - y) < 1e-10
        assert largest(last["x"] - end["x"]) < 1e-10


def test_one_number_and_backward_steps_are_a_gated_average() -> None:
    """N = 1, A = -1, b = 1, alpha = 1, step e^z: x_t = (1 - sigmoid(z)) x_{t-1} + sigmoid(z) u_t."""
    layer = LSSL(hidden_size=3, state_size=1, learn=False, alpha=1.0, steps=(0.1, 5.0)).double()
    gate = layer.log_step.get("value").sigmoid()
    u, x = tokens(0, layer, length=9), torch.zeros(2, 3, dtype=torch.float64)
    for t in range(9):
        x = (1 - gate) * x + gate * u[:, t]
    # The matrices are those of float32.
    assert largest(layer.simulate(u)[1][..., 0] - x) < 1e-6


def test_before_anything_is_learned_both_kinds_are_one() -> None:
    learned, fixed = LSSL(learn=True), LSSL(learn=False)
    fixed.load_state_dict(
        {**fixed.state_dict(), **{n: one for n, one in learned.state_dict().items() if n in fixed.state_dict()}}
    )
    x = tokens(0, learned, length=40)
    torch.testing.assert_close(learned.scan(x)[0], fixed.scan(x)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(learned.continuous(torch.float64).a, legs(32).a, rtol=1e-5, atol=1e-4)


def test_what_is_learned_stays_in_the_family_and_the_fixed_kind_learns_only_how_to_read() -> None:
    """A is P(D + T^-1)Q of 4 N numbers, b and the steps beside it."""
    names = {name for name, _ in LSSL().named_parameters()}
    factors = {f"learned.{name}" for name in ("p", "d", "lower", "main", "upper", "q", "b", "step")}
    assert names == factors | {"C", "D", "out_proj.weight", "out_proj.bias"}
    assert {name for name, _ in LSSL(learn=False).named_parameters()} == names - factors
    layer = LSSL(state_size=5, hidden_size=4).double()
    with torch.no_grad():
        for one in layer.learned.values() if layer.learned is not None else ():
            one.add_(0.3)
    a = layer.continuous(torch.float64).a
    now = {name: layer.system.get(name) + 0.03 for name in ("p", "d", "lower", "main", "upper", "q")}
    t = torch.diag(now["main"]) + torch.diag(now["lower"], -1) + torch.diag(now["upper"], 1)
    wanted = torch.diag(now["p"]) @ (torch.diag(now["d"]) + t.inverse()) @ torch.diag(now["q"])
    torch.testing.assert_close(a, wanted)


@pytest.mark.parametrize("learn", [True, False])
def test_matrices_survive_files_devices_and_half_precision(learn: bool, tmp_path: Path) -> None:
    """A layer on the meta device, and one that was rounded, become the saved one again."""
    layer = LSSL(hidden_size=8, learn=learn, seed=1)
    layer.save(tmp_path / "layer.safetensors")
    with torch.device("meta"):
        other = LSSL(hidden_size=8, learn=learn, seed=2)
    other.to_empty(device="cpu").load(tmp_path / "layer.safetensors")
    x = tokens(0, layer, length=20)
    assert torch.equal(layer.scan(x)[0], other.scan(x)[0])
    half = LSSL(hidden_size=8, learn=learn, seed=1).bfloat16()
    assert torch.equal(half.system.get("b"), layer.system.get("b"))
    assert half.C.dtype == torch.bfloat16


def test_the_legs_layer_recalls_and_a_random_one_does_not() -> None:
    """Measured .03 to .05 at a delay of 100 against .65 to .84."""
    found = witness(0)
    assert found.value < 0.1
    assert found.baseline > 0.5


def test_half_the_samples_and_twice_the_step_tell_the_same() -> None:
    """Fitted at one rate, asked at half of it; the wrong variant forgets to change the step."""
    whole, half = (measure(0, "legs", interval=interval) for interval in (1.0, 2.0))
    assert half == pytest.approx(whole, abs=0.03)
    assert min(measure(0, "legs", interval=2.0, resample=False)) > 1
    assert len(whole) == len(DELAYS)


def test_a_learned_layer_is_resampled_as_well() -> None:
    layer = LSSL(hidden_size=4, steps=(0.01, 0.05)).double()
    before = layer.stepwise(torch.float64).a
    layer.resample(2.0)
    after = layer.stepwise(torch.float64).a
    # Two short steps are one long one, but for the error of the rule.
    torch.testing.assert_close(after[:, :4, :4], (before @ before)[:, :4, :4], rtol=0, atol=2e-2)


def test_nonsense_is_told() -> None:
    wrong: list[dict[str, Any]] = [
        {"state_size": 0}, {"channels": 0}, {"steps": (0.1, 0.01)}, {"alpha": 2.0}, {"measure": "fourier"},
        {"measure": "fourier", "learn": False}, {"measure": "random"},
    ]  # fmt: skip
    for one in wrong:
        with pytest.raises(InvalidInput):
            LSSL(**one)
    with pytest.raises(InvalidInput, match="0"):
        LSSL().resample(0.0)
