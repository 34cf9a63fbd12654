"""How to use any optimizer once, and how to see what it then remembers: what general laws are stated with."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from remanence.substrates.training.base import MemoryOptimizer

INPUTS, HIDDEN, OUTPUTS, BATCH = 8, 6, 4, 16
ASKED = 4711
"""Seed of the weights and batches that `observe` asks with."""
STEPS = 4

_driven: WeakKeyDictionary[MemoryOptimizer, nn.Module] = WeakKeyDictionary()
"""What `drive` gave an optimizer to train: it goes on with it when it drives it again."""


def network(seed: int, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """A small perceptron with seeded weights, the same in every type; torch's own generator is left alone."""
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(
        nn.Linear(INPUTS, HIDDEN, bias=bias, device="meta"),
        nn.Tanh(),
        nn.Linear(HIDDEN, OUTPUTS, bias=bias, device="meta"),
    ).to_empty(device="cpu")
    with torch.no_grad():
        for one in layers.parameters():
            drawn = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            one.copy_(drawn * one.shape[-1] ** -0.5)
    return layers.to(dtype)


def batch(seed: int, step: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Inputs [N, INPUTS] and targets [N, OUTPUTS] of a step: a fixed smooth map, and some noise."""
    fixed = torch.Generator().manual_seed(seed)
    teacher = torch.randn(INPUTS, OUTPUTS, generator=fixed, dtype=torch.float64) * INPUTS**-0.5
    generator = torch.Generator().manual_seed(1000 * (seed + 1) + step)
    x = torch.randn(BATCH, INPUTS, generator=generator, dtype=torch.float64)
    y = torch.sin(x @ teacher) + 0.05 * torch.randn(BATCH, OUTPUTS, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


def gradients(layers: nn.Module, seed: int, step: int) -> Tensor:
    """The loss of a step's batch, whose gradients the parameters then have."""
    x, y = batch(seed, step, next(layers.parameters()).dtype)
    for one in layers.parameters():
        one.grad = None
    loss: Tensor = (layers(x) - y).square().mean()
    loss.backward()
    return loss.detach()


def train(optimizer: torch.optim.Optimizer, layers: nn.Module, seed: int, steps: range | int = STEPS) -> list[float]:
    """Train on the batches of these steps; the losses before each."""
    losses = []
    for step in range(steps) if isinstance(steps, int) else steps:
        losses.append(gradients(layers, seed, step).item())
        optimizer.step()
    optimizer.zero_grad()
    return losses


def drive(optimizer: MemoryOptimizer, seed: int) -> None:
    """Use an optimizer once, the same way for the same seed: let it train a small perceptron for some steps."""
    if optimizer not in _driven:
        _driven[optimizer] = network(0)
        optimizer.attach(_driven[optimizer])
    train(optimizer, _driven[optimizer], seed)


def observe(optimizer: MemoryOptimizer) -> list[float]:
    """Where it takes fixed weights from what it remembers, and the sums of that, to six digits."""
    found: Any = optimizer.state()
    other, layers = type(optimizer)(**optimizer.defaults), network(ASKED)
    other.restore(found)
    other.attach(layers)
    train(other, layers, ASKED)
    weights = torch.cat([one.detach().flatten() for one in layers.parameters()]).double().tolist()
    sums = [float(one.sum()) if hasattr(one, "sum") else float(one)
            for memory in found["memory"].values() for one in memory.values()]  # fmt: skip
    return [float(f"{value:.6g}") for value in (*weights, *sums)]
