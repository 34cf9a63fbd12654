"""Is less forgotten of a task that is not trained at the moment?

One layer is trained on two regressions in turn, twenty steps each, on badly conditioned inputs; the slow momentum is
written as often as the task changes. The baseline is the same optimizer without it, which is Muon, at the best of
several step sizes. Momenta are averages, and nothing is divided by the root of V: in the published form, with sums, the
slow momentum did not help here.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from remanence.core.card import Evidence
from remanence.mechanisms.training.m3 import M3
from remanence.scenarios.regression_stream import regression_stream

PHASE, PHASES = 20, 16
RATE, RATES = 0.02, (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1)


def witness(seed: int) -> Evidence:
    """The relative error on the other task at the end of each turn of the second half."""
    baseline = min(measure(seed, rate, alpha=0.0)[0] for rate in RATES)
    return Evidence("error on the other task", measure(seed, RATE)[0], baseline, higher_is_better=False)


def measure(seed: int, rate: float, *, alpha: float = 1.0) -> tuple[float, float]:
    """The errors on the other task and on that of the turn, at its end."""
    world = regression_stream(seed, dimension=12, outputs=6, batch=16, phases=PHASES, phase=PHASE, condition=100.0)
    weight = nn.Parameter(torch.zeros(6, 12, dtype=torch.float64))
    optimizer = M3(params=[weight], lr=rate, alpha=alpha, beta3=0.5, period=PHASE, ema=True, adaptive=False)
    other, own = [], []
    for step, (x, y) in enumerate(zip(torch.from_numpy(world.inputs), torch.from_numpy(world.targets), strict=True), 1):
        weight.grad = (weight.detach() @ x.mT - y.mT) @ x / len(x)
        optimizer.step()
        if step % PHASE == 0 and step > PHASE * PHASES // 2:
            w, task = weight.detach().numpy(), int(world.task[step - 1])
            other.append(world.error(w, 1 - task))
            own.append(world.error(w, task))
    return float(np.mean(other)), float(np.mean(own))
