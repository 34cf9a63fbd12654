"""Deep momentum: its perceptron learns by the gradient that it says, and projects on what gradients have in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from remanence.core.errors import InvalidInput
from remanence.mechanisms.training.dmgd import DMGD, Objective
from remanence.witnesses.training.dmgd import MOMENTA, RATES, measure, stream, witness


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fed(gradients: Tensor, **settings: Any) -> tuple[dict[str, Tensor], Tensor]:
    """The memory after gradients [T, out, in], and where the weight is."""
    weight = nn.Parameter(torch.zeros(gradients.shape[1:], dtype=gradients.dtype))
    optimizer = DMGD(params=[weight], **{"lr": 1.0, "hidden": 3, **settings})
    for one in gradients:
        weight.grad = one
        optimizer.step()
    return {name: one.clone() for name, one in optimizer.state[weight].items()}, weight.detach()


@pytest.mark.parametrize("objective", ["dot", "l2"])
def test_the_perceptron_takes_a_gradient_step(objective: Objective) -> None:
    gradients = drawn(4, 5, 6)
    before, _ = fed(gradients[:3], objective=objective)
    after, _ = fed(gradients, objective=objective)
    u = gradients[3] / gradients[3].norm() * 5**0.5
    w1, w2 = before["w1"].requires_grad_(), before["w2"].requires_grad_()
    said = torch.tanh(u @ w1) @ w2
    loss = 0.5 * (said - u).square().sum() if objective == "l2" else -(said * u).sum()
    first, second = torch.autograd.grad(loss / 5, (w1, w2))
    torch.testing.assert_close(after["w1"], (w1 - 0.1 * first).detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after["w2"], (0.999 * w2 - 0.1 * second).detach(), rtol=1e-12, atol=1e-12)
    # A plausible mistake: the first layer learns through the second as it is after its step.
    late = torch.tanh(u @ w1) @ after["w2"]
    loss = 0.5 * (late - u).square().sum() if objective == "l2" else -(late * u).sum()
    (wrong,) = torch.autograd.grad(loss / 5, w1)
    assert (first - wrong).abs().max() > 1e-3


def test_it_is_read_after_it_has_learnt() -> None:
    gradients = drawn(3, 5, 6)
    (memory, now), (_, before) = fed(gradients), fed(gradients[:2])
    length = gradients[2].norm() / 5**0.5
    said = length * torch.tanh(gradients[2] / length @ memory["w1"]) @ memory["w2"]
    torch.testing.assert_close(before - now, said, rtol=1e-12, atol=1e-12)


def test_the_length_of_gradients_does_not_matter_to_what_is_learnt() -> None:
    gradients = drawn(6, 5, 6)
    (one, near), (other, far) = fed(gradients), fed(1000 * gradients)
    torch.testing.assert_close(other["w2"], one["w2"])
    torch.testing.assert_close(far, 1000 * near)


def test_it_drops_what_is_not_usual() -> None:
    """Gradients that lie in one plane, and one that does not: of that, little more than its part in the plane is said.

    Momentum says all of it.
    """
    plane = torch.linalg.qr(drawn(12, 2))[0]
    usual = drawn(400, 8, 2, seed=1) @ plane.mT
    memory, _ = fed(usual, hidden=8, rate=0.3, objective="l2", keep=1.0)
    g = drawn(8, 12, seed=2)
    length = g.norm() / 8**0.5
    said = length * torch.tanh(g / length @ memory["w1"]) @ memory["w2"]
    across = said - said @ plane @ plane.mT
    assert across.norm() < 0.05 * said.norm()
    assert (g - g @ plane @ plane.mT).norm() > 0.8 * g.norm()


def test_vectors_have_ordinary_momentum() -> None:
    weight = nn.Parameter(torch.zeros(4))
    optimizer = DMGD(params=[weight], momentum=0.5, lr=1.0)
    for _ in range(3):
        weight.grad = torch.ones(4)
        optimizer.step()
    assert set(optimizer.state[weight]) == {"momentum"}
    torch.testing.assert_close(weight.detach(), torch.full((4,), -(1 + 1.5 + 1.75)))


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="'l1'"):
        DMGD(objective="l1")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"0\.0 and 2"):
        DMGD(keep=2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.value < 0.7 * evidence.baseline


def test_where_teachers_have_nothing_in_common_there_is_nothing_to_learn() -> None:
    world = stream(0, rank=None)
    plain = min(
        measure(world, lambda p, lr=lr, a=a: torch.optim.SGD(p, lr=lr, momentum=a))  # type: ignore[misc]
        for lr in RATES
        for a in MOMENTA
    )
    assert measure(world, lambda p: DMGD(params=p, lr=0.02)) > plain
