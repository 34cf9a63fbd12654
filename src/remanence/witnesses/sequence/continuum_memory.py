"""Does a fast level that begins again from a slow one err less when the task changes?

Two linear maps in turn, two hundred pairs each; keys are random vectors, and no weight is learnt before. The fast level
is updated after every pair, the slow one after every sixteen, and the fast one begins again from it with every task.
The baseline is one level that is updated after every pair, at the best of several step sizes.
"""

from __future__ import annotations

import torch

from remanence.core.card import Evidence
from remanence.mechanisms.sequence.continuum_memory import ContinuumMemory
from remanence.scenarios.regression_stream import regression_stream

DIMENSION, PHASE, PHASES = 8, 200, 6
STEPS = (0.005, 0.01, 0.02, 0.05)
STEP, SLOW = 0.02, 0.1
AFTER, LATE = 20, 50


def witness(seed: int) -> Evidence:
    """The mean relative error over the first twenty pairs after a change of task."""
    alone = min(errors[0] for errors in measure(seed, STEPS, periods=(1,), rates=(1.0,)))
    (nested,) = measure(seed, (STEP,), periods=(1, 16), rates=(1.0, SLOW))
    return Evidence("error after a change of task", nested[0], alone, higher_is_better=False)


@torch.no_grad()
def measure(
    seed: int, steps: tuple[float, ...], *, periods: tuple[int, ...], rates: tuple[float, ...], context: int = PHASE
) -> list[tuple[float, float]]:
    """For each step size, a sequence of its own: the error after a change of task, and at the end of a task."""
    world = regression_stream(seed, dimension=DIMENSION, outputs=DIMENSION, phases=PHASES, phase=PHASE)
    layer = ContinuumMemory(
        hidden_size=DIMENSION, num_heads=1, conv_size=1, arrangement="nested", periods=periods, rates=rates,
        context=context,
    ).double()  # fmt: skip
    k, v = (torch.from_numpy(one[:, 0])[None, :, None].expand(len(steps), -1, -1, -1)
            for one in (world.inputs, world.targets / DIMENSION**0.5))  # fmt: skip
    theta = torch.tensor(steps, dtype=k.dtype)[:, None, None].expand(k.shape[:3])
    o, _ = layer.recall(k, k, v, layer.init_memory(len(steps), device=None, dtype=k.dtype), theta=theta)
    wrong = (o - v).square().sum((2, 3)) / v.square().sum((2, 3)).mean(1, keepdim=True)
    # The first two tasks are new to all.
    wrong = wrong.unflatten(1, (PHASES, PHASE))[:, 2:]
    early, late = wrong[..., :AFTER].mean((1, 2)), wrong[..., -LATE:].mean((1, 2))
    return [(float(one), float(other)) for one, other in zip(early, late, strict=True)]
