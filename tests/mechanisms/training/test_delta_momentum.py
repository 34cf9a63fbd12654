"""Delta momentum: the delta rule on gradients, its fixed points, and the optimizers that it is without it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.proximal import proximal_beta
from remanence.mechanisms.training.delta_momentum import DeltaMomentum, Form
from remanence.substrates.training.probe import network, train
from remanence.witnesses.training.delta_momentum import RATES, measure, witness


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def momentum_after(gradients: Tensor, **settings: object) -> Tensor:
    """What an optimizer holds after gradients [T, …]."""
    weight = nn.Parameter(torch.zeros(gradients.shape[1:], dtype=gradients.dtype))
    optimizer = DeltaMomentum(params=[weight], **settings)  # type: ignore[arg-type]
    for one in gradients:
        weight.grad = one
        optimizer.step()
    held: Tensor = optimizer.state[weight]["momentum"]
    return held


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_of_a_vector_it_is_the_delta_rule(form: Form) -> None:
    """I7 and I8: keys are gradients, values 1 or 1 / beta; what a gradient reads after its write is its value."""
    gradients = 0.3 * drawn(7, 5)
    k = gradients[None, :, None]
    delta = torch.ones(1, 7, 1, dtype=torch.float64)
    beta = proximal_beta(k, delta) if form == "implicit" else delta
    _, state = gated_delta_rule(k, k, (1 / beta)[..., None], beta)
    assert state is not None
    held = momentum_after(gradients, momentum=1.0, form=form)
    torch.testing.assert_close(held, state[0, 0, :, 0], rtol=1e-12, atol=1e-12)


def test_of_a_matrix_it_gives_up_input_directions() -> None:
    """A plausible mistake is g g^T m: it gives up directions of the outputs."""
    first, g = 0.2 * drawn(4, 6), 0.2 * drawn(4, 6, seed=1)
    held = momentum_after(torch.stack([first, g]), momentum=0.9, delta=0.7, form="explicit")
    torch.testing.assert_close(held, first @ (0.9 * torch.eye(6, dtype=g.dtype) - 0.7 * g.mT @ g) + g)
    wrong = (0.9 * torch.eye(4, dtype=g.dtype) - 0.7 * g @ g.mT) @ first + g
    assert (held - wrong).abs().max() > 1e-2


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_it_stays_bounded_where_nothing_decays(form: Form) -> None:
    """The same gradient again and again: m goes to a fixed point, where plain momentum grows by one each step."""
    g = 0.7 * drawn(5) / drawn(5).norm()
    square = float(g.square().sum())
    share = square if form == "explicit" else square / (1 + square)
    held = momentum_after(g.expand(200, -1), momentum=1.0, form=form)
    torch.testing.assert_close(held, g / share, rtol=1e-6, atol=1e-9)
    plain = momentum_after(g.expand(200, -1), momentum=1.0, delta=0.0)
    torch.testing.assert_close(plain, 200 * g)


def test_long_gradients_are_why_the_implicit_form_is_the_default() -> None:
    """The published form multiplies by 1 - |g|^2."""
    g = (3.0 * drawn(5)).expand(60, -1)
    assert momentum_after(g, momentum=1.0).norm() < 2 * g[0].norm()
    assert momentum_after(g, momentum=1.0, form="explicit").norm() > 1e20


def test_without_delta_and_with_values_by_adam_it_is_rmsprop() -> None:
    layers, other = network(0, dtype=torch.float64), network(0, dtype=torch.float64)
    train(DeltaMomentum(params=layers, lr=0.01, momentum=0.9, delta=0.0, second=0.99), layers, 0, 10)
    train(torch.optim.RMSprop(other.parameters(), lr=0.01, momentum=0.9, alpha=0.99), other, 0, 10)
    for one, wanted in zip(layers.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-12, atol=1e-12)


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="'sideways'"):
        DeltaMomentum(form="sideways")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"got 1\.5, 1\.0, None"):
        DeltaMomentum(momentum=1.5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.value < 0.6 * evidence.baseline


def test_a_short_momentum_follows_sooner_than_either() -> None:
    """The claim is about momenta of the same length."""
    short = min(measure(0, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.5), lr) for lr in RATES)
    assert short < witness(0).value
