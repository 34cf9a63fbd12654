"""Does a long momentum that gives up what it holds along a gradient follow a goal that moves?

A badly conditioned quadratic whose goal jumps every fifty steps; the share of momentum that stays is 0.98 for both, the
step size the best of several for both. That is the claim, and no more: where a goal moves this often, a momentum that
is short from the beginning does better than either.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from remanence.core.card import Evidence
from remanence.mechanisms.training.delta_momentum import DeltaMomentum

Make = Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
MOMENTUM, DIMENSION, CONDITION = 0.98, 20, 100.0
JUMP, STEPS = 50, 300
RATES = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)


def witness(seed: int) -> Evidence:
    """The mean relative error over all steps."""
    value = min(measure(seed, lambda p, lr: DeltaMomentum(params=p, lr=lr, momentum=MOMENTUM), lr) for lr in RATES)
    baseline = min(measure(seed, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=MOMENTUM), lr) for lr in RATES)
    return Evidence("error of a moving goal", value, baseline, higher_is_better=False)


def measure(seed: int, make: Make, lr: float) -> float:
    """The mean of (w - goal)^T H (w - goal) over that of zeros; infinite where it diverges."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.logspace(0, -math.log10(CONDITION), DIMENSION, dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(1, DIMENSION, dtype=torch.float64))
    optimizer, total, goal = make([weight], lr), 0.0, weight.detach()
    for step in range(STEPS):
        if step % JUMP == 0:
            goal = torch.randn(1, DIMENSION, generator=generator, dtype=torch.float64)
        away = weight.detach() - goal
        error = float((h * away.square()).sum() / (h * goal.square()).sum())
        if not error < 1e6:
            return math.inf
        total += error
        weight.grad = h * away
        optimizer.step()
    return total / STEPS
