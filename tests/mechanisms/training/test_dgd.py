"""Delta gradient descent: the proximal delta rule, the problem that it solves, and which inputs it knows."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.proximal import proximal_beta
from remanence.mechanisms.training.dgd import DGD
from remanence.substrates.training.probe import network
from remanence.witnesses.training.dgd import witness


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(outputs: int, inputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(drawn(outputs, inputs, seed=9))
    return layer


def step(layer: nn.Linear, x: Tensor, target: Tensor, **settings: float) -> tuple[Tensor, Tensor, Tensor]:
    """Weights before, and after one step on the mean of 1/2 |W x - target|^2; dL/dy of each input."""
    optimizer = DGD(params=layer, **settings)  # type: ignore[arg-type]
    before = layer.weight.detach().clone()
    y = layer(x)
    (0.5 * (y - target).square().sum(-1)).mean().backward()
    optimizer.step()
    return before, layer.weight.detach().clone(), (y - target).detach()


@pytest.mark.parametrize("lr", [0.3, 1.0, 50.0])
def test_one_input_at_a_time_it_is_the_proximal_delta_rule(lr: float) -> None:
    """I7. The loss -<W x, v> asks for v."""
    k, v = drawn(9, 6), drawn(9, 4, seed=1)
    layer = linear(4, 6)
    nn.init.zeros_(layer.weight)
    optimizer = DGD(params=layer, lr=lr)
    for x, value in zip(k, v, strict=True):
        optimizer.zero_grad()
        (-(layer(x) @ value)).backward()
        optimizer.step()
    keys = k[None, :, None]
    beta = proximal_beta(keys, torch.full((1, 9, 1), lr, dtype=torch.float64))
    _, state = gated_delta_rule(keys, keys, v[None, :, None], beta)
    assert state is not None
    torch.testing.assert_close(layer.weight.detach(), state[0, 0].mT, rtol=1e-9, atol=1e-9)
    _, wrong = gated_delta_rule(keys, keys, v[None, :, None], torch.full_like(beta, lr))
    assert wrong is not None
    assert (layer.weight.detach() - wrong[0, 0].mT).abs().max() > 1e-2


@pytest.mark.parametrize("count", [1, 3, 6, 20])
def test_it_solves_the_problem_that_it_stands_for(count: int) -> None:
    """min mean 1/2 |W x + dL/dy|^2 + 1/(2 lr) |W - W_t|^2: at the solution the gradient is zero."""
    x, target, lr = drawn(count, 6), drawn(count, 4, seed=1), 0.7
    before, after, error = step(linear(4, 6), x, target, lr=lr)
    gradient = (after @ x.mT + error.mT) @ x / count + (after - before) / lr
    assert gradient.abs().max() < 1e-12


def test_what_the_inputs_say_nothing_about_stays() -> None:
    x = drawn(2, 6)
    across = torch.linalg.qr(torch.cat([x, drawn(4, 6, seed=3)]).mT)[0][:, 2:]
    layer = linear(4, 6)
    before, after, _ = step(layer, x, layer(x).detach(), lr=5.0)
    torch.testing.assert_close(after @ across, before @ across)
    assert (after @ x.mT).norm() < 0.2 * (before @ x.mT).norm()


def test_no_step_is_too_large() -> None:
    """Gradient descent on the same inputs diverges from lr |x|^2 = 2 on."""
    x, target, layer = drawn(1, 6), drawn(1, 4, seed=1), linear(4, 6)
    for _ in range(20):
        _, after, _ = step(layer, x, target, lr=1e4)
        layer.weight.grad = None
    assert after.isfinite().all()
    assert after.norm() < 10 * linear(4, 6).weight.norm()


def test_inputs_belong_to_their_gradients() -> None:
    """What was only looked at does not count; what was added up over several losses does."""
    x, y, lr = drawn(4, 6), drawn(4, 4, seed=1), 0.5
    one, other = linear(4, 6), linear(4, 6)
    first, second = DGD(params=one, lr=lr), DGD(params=other, lr=lr)
    with torch.no_grad():
        one(10 * x)
    one(20 * x)
    (one(30 * x)).sum().backward()
    first.zero_grad()
    for part in range(2):
        (one(x[2 * part : 2 * part + 2]) - y[2 * part : 2 * part + 2]).square().sum(-1).mean().mul(0.5).backward()
    first.step()
    # Two means over two are twice a mean over four.
    (other(x) - y).square().sum(-1).mean().backward()
    rows = x / 4**0.5 * 2**0.5
    second._inputs = {other.weight: [rows]}
    second.step()
    torch.testing.assert_close(one.weight, other.weight)
    assert not first._inputs


def test_a_sum_counts_every_input_once() -> None:
    x, y = drawn(5, 6), drawn(5, 4, seed=1)
    layer = linear(4, 6)
    optimizer = DGD(params=layer, lr=0.3, reduction="sum")
    (0.5 * (layer(x) - y).square().sum()).backward()
    before, error = layer.weight.detach().clone(), (layer(x) - y).detach()
    optimizer.step()
    after = layer.weight.detach()
    assert ((after @ x.mT + error.mT) @ x + (after - before) / 0.3).abs().max() < 1e-12


def test_a_model_does_not_keep_its_optimizer_alive() -> None:
    layers = network(0)
    optimizer = DGD(params=layers)
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None
    layers(torch.ones(1, 8)).sum().backward()
    watching = DGD(params=layers)
    watching.detach()
    layers(torch.ones(1, 8)).sum().backward()
    assert not watching._inputs


def test_unknown_settings_are_told() -> None:
    with pytest.raises(InvalidInput, match="'most'"):
        DGD(reduction="most")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="-1"):
        DGD(decay=-1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_witness_holds(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value > 0.9
