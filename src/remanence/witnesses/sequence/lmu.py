"""Does a Legendre memory tell a signal's past better than as many leaky averages, whose decoder was even fitted?

The layer's one channel takes in a signal, lifted above 0; what it was is read by the known polynomials, without
learning. The baseline keeps as many exponential averages, of time constants from 1 to the window, and tells the past by
least squares that were fitted to other signals of the same kind.
"""

from __future__ import annotations

import numpy as np
import torch

from remanence.core.card import Evidence
from remanence.mechanisms.sequence.lmu import LegendreMemory
from remanence.scenarios.delay_decode import Delays, delay_decode

SIZE, WINDOW, SHORTEST = 16, 128, 64.0
DELAYS = (0.0, WINDOW / 4, WINDOW / 2, float(WINDOW))
_LIFT, _SETTLED = 8.0, 2 * WINDOW
_RIDGE = 1e-6


def witness(seed: int) -> Evidence:
    """The mean error of telling the signal 0, 1/4, 1/2 and 1 window ago, as a share of its deviation."""
    return Evidence(
        "error of the past", float(measure(seed).mean()), float(averages(seed).mean()), higher_is_better=False
    )


def measure(seed: int, *, shortest: float = SHORTEST, size: int = SIZE) -> np.ndarray:
    """Errors of the memory at each of `DELAYS`, for signals with periods from `shortest` on."""
    world = _world(1000 + seed, shortest)
    layer = LegendreMemory(hidden_size=2, memory_size=size, window=WINDOW).double()
    with torch.no_grad():
        layer.u_proj.weight.copy_(torch.tensor([[1.0, _LIFT]]))
        layer.u_proj.bias.zero_()
        x = torch.from_numpy(np.stack([world.signals, np.ones_like(world.signals)], -1))
        m, _, _ = layer.remember(x)
        told = layer.recall(m, torch.tensor(DELAYS)) - _LIFT
    return _errors(world, told.numpy())


def averages(seed: int, *, shortest: float = SHORTEST, size: int = SIZE) -> np.ndarray:
    """Errors of the leaky averages."""
    seen, asked = (_world(number, shortest) for number in (seed, 1000 + seed))
    states, past = (one[:, _SETTLED:] for one in (_leaky(seen, size), seen.past))
    flat = states.reshape(-1, size)
    gram = flat.T @ flat + _RIDGE * np.trace(flat.T @ flat) / size * np.eye(size)
    read = np.linalg.solve(gram, flat.T @ past.reshape(len(flat), -1))
    return _errors(asked, _leaky(asked, size) @ read)


def _leaky(world: Delays, size: int) -> np.ndarray:
    keep = np.exp(-1 / np.geomspace(1, WINDOW, size))
    state, found = np.zeros((len(world.signals), size)), []
    for at in range(world.signals.shape[1]):
        state = keep * state + (1 - keep) * world.signals[:, at, None]
        found.append(state)
    return np.stack(found, 1)


def _world(seed: int, shortest: float) -> Delays:
    return delay_decode(seed, delays=DELAYS, length=6 * WINDOW, shortest=shortest)


def _errors(world: Delays, told: np.ndarray) -> np.ndarray:
    """From two windows on: until then the beginning, which was lifted all at once, still rings."""
    return Delays(world.signals, world.past, _SETTLED).errors(told)
