"""Does a momentum that learns which way gradients usually point follow a moving target through noise?

A linear layer is trained on batches whose targets are noisy; the teacher moves every twenty steps, always within the
same two dimensions of the input. The baseline is momentum, with the best of several step sizes and decays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from remanence.core.card import Evidence
from remanence.mechanisms.training.dmgd import DMGD
from remanence.scenarios.regression_stream import RegressionStream, regression_stream

Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
RATES, MOMENTA = (0.03, 0.1, 0.2, 0.3), (0.0, 0.5)


def witness(seed: int) -> Evidence:
    """The mean relative error over the second half of the stream."""
    world = stream(seed)
    baseline = min(
        measure(world, functools.partial(torch.optim.SGD, lr=lr, momentum=momentum))
        for lr in RATES
        for momentum in MOMENTA
    )
    value = measure(world, lambda params: DMGD(params=params, lr=0.02))
    return Evidence("error of a moving target", value, baseline, higher_is_better=False)


def stream(seed: int, rank: int | None = 2) -> RegressionStream:
    """Thirty teachers, one after the other; `rank` None: they have nothing in common."""
    return regression_stream(
        seed, dimension=32, outputs=16, batch=16, tasks=30, phases=30, phase=20, rank=rank, noise=4.0
    )


def measure(world: RegressionStream, make: Make) -> float:
    """The mean error before each step of the second half."""
    errors = follow(world, make)
    return float(errors[len(errors) // 2 :].mean())


def follow(world: RegressionStream, make: Make) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The error against the teacher of the moment before each step, of a layer that begins with zeros."""
    weight = nn.Parameter(torch.zeros(world.teachers.shape[1:], dtype=torch.float64))
    optimizer, errors = make([weight]), []
    for x, y, task in zip(torch.from_numpy(world.inputs), torch.from_numpy(world.targets), world.task, strict=True):
        w = weight.detach()
        errors.append(world.error(w.numpy(), int(task)))
        weight.grad = (w @ x.mT - y.mT) @ x / len(x)
        optimizer.step()
    return np.array(errors)
