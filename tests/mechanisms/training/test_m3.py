"""M3: the published algorithm by hand, Muon without the slow momentum, and when the slow one is written and used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from remanence.core.errors import InvalidInput
from remanence.mechanisms.training.m3 import M3
from remanence.witnesses.training.m3 import RATE, RATES, measure, witness


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(gradients: Tensor, **settings: Any) -> Tensor:
    """Where a weight that begins with zeros is after gradients [T, …]."""
    weight = nn.Parameter(torch.zeros(gradients.shape[1:], dtype=gradients.dtype))
    optimizer = M3(params=[weight], **settings)
    for one in gradients:
        weight.grad = one
        optimizer.step()
    return weight.detach()


def cubic(g: Tensor, steps: int = 3) -> Tensor:
    """Newton-Schulz by the singular values: each step is 1.5 s - 0.5 s^3."""
    u, s, v = torch.linalg.svd(g, full_matrices=False)
    s = s / s.norm()
    for _ in range(steps):
        s = 1.5 * s - 0.5 * s**3
    found: Tensor = (u * s) @ v
    return found


def algorithm(gradients: Tensor, *, alpha: float, period: int, late: bool = True) -> Tensor:
    """Algorithm 1 with its defaults; `late` False: the slow direction is used in the step that writes it."""
    w, m1, m2, v, s, o2 = (torch.zeros_like(gradients[0]) for _ in range(6))
    for t, g in enumerate(gradients, 1):
        m1, v, s = m1 + 0.9 * g, v + 0.999 * g * g, s + g
        if not late and t % period == 0:
            m2, s = m2 + 0.9 * s, torch.zeros_like(s)
            o2 = cubic(m2)
        w = w - 1e-3 * (cubic(m1) + alpha * o2) / (v.sqrt() + 1e-8)
        if late and t % period == 0:
            m2, s = m2 + 0.9 * s, torch.zeros_like(s)
            o2 = cubic(m2)
    return w


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_it_is_the_published_algorithm(shape: tuple[int, int]) -> None:
    gradients = drawn(11, *shape)
    found = run(gradients, period=4)
    torch.testing.assert_close(found, algorithm(gradients, alpha=1.0, period=4), rtol=1e-9, atol=1e-12)
    early = algorithm(gradients, alpha=1.0, period=4, late=False)
    assert (found - early).abs().max() > 1e-5


def test_without_the_slow_momentum_it_is_muon_over_the_root_of_v() -> None:
    gradients = drawn(11, 4, 6)
    torch.testing.assert_close(run(gradients, alpha=0.0), algorithm(gradients, alpha=0.0, period=99))
    weight = nn.Parameter(torch.zeros(4, 6))
    optimizer = M3(params=[weight], alpha=0.0, adaptive=False)
    weight.grad = torch.ones(4, 6)
    optimizer.step()
    assert optimizer.measured_bytes() == optimizer.claimed_bytes() == 4 * 24


def test_the_slow_momentum_is_first_used_in_the_second_period() -> None:
    gradients = drawn(9, 4, 6)
    for count, alike in ((8, True), (9, False)):
        slow, fast = (run(gradients[:count], alpha=alpha, period=8) for alpha in (1.0, 0.0))
        assert torch.equal(slow, fast) == alike


def test_averages_and_lengths_of_the_other_form() -> None:
    """Muon's averages; with `rescale` a step is as long as the momentum."""
    gradients = drawn(6, 4, 6)
    settings = {"lr": 1.0, "alpha": 0.0, "ema": True, "adaptive": False}
    m = torch.zeros(4, 6, dtype=torch.float64)
    for g in gradients:
        m = 0.9 * m + 0.1 * g
    moved = run(gradients, **settings) - run(gradients[:-1], **settings)
    torch.testing.assert_close(-moved, cubic(m), rtol=1e-9, atol=1e-9)
    scaled = run(gradients, rescale=True, **settings) - run(gradients[:-1], rescale=True, **settings)
    torch.testing.assert_close(-scaled, cubic(m) * m.norm() / cubic(m).norm(), rtol=1e-9, atol=1e-9)


def test_tensors_are_matrices_and_vectors_are_left_as_they_are() -> None:
    gradients = drawn(6, 4, 2, 3)
    flat = run(gradients.flatten(2), period=2)
    torch.testing.assert_close(run(gradients, period=2).flatten(1), flat)
    one = drawn(1, 5)
    torch.testing.assert_close(run(one, alpha=0.0), -1e-3 * 0.9 * one[0] / (0.999**0.5 * one[0].abs() + 1e-8))


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="got 0, 3, 'cubic'"):
        M3(period=0)
    with pytest.raises(InvalidInput, match="'quintic'"):
        M3(coefficients="quintic")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"2\.0"):
        M3(beta2=2.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    assert witness(seed).holds


def test_less_is_forgotten_at_no_cost_to_both_tasks_together() -> None:
    """The mean over both tasks is no worse than the best of Muon."""
    best = min(sum(measure(0, rate, alpha=0.0)) for rate in RATES)
    assert sum(measure(0, RATE)) < best
