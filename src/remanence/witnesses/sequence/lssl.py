"""Does a HiPPO matrix keep what came in a hundred samples ago, where a stable matrix drawn at random does not?

Nothing of the systems is learned; what is read of them is: C is fitted to some signals by least squares, and asked for
others. The baseline is the same layer with a random matrix that is as wide and fades over the same time.
"""

from __future__ import annotations

import numpy as np
import torch

from remanence.core.card import Evidence
from remanence.mechanisms.sequence.lssl import LSSL, Start
from remanence.scenarios.delay_decode import Delays, delay_decode

DELAYS = (25.0, 50.0, 100.0)
SIZE, STEP, RIDGE = 16, 0.01, 1e-6


def witness(seed: int) -> Evidence:
    """The error of telling the signal of a hundred samples ago, as a share of its deviation."""
    value, baseline = (measure(seed, one)[-1] for one in ("legs", "random"))
    return Evidence("error at a delay of 100", float(value), float(baseline), higher_is_better=False)


def measure(seed: int, measure_: Start, *, interval: float = 1.0, resample: bool = True) -> np.ndarray:
    """Errors at each of `DELAYS`, of signals sampled at an interval, with C from such sampled at 1."""
    layer = fitted(seed, measure_)
    if resample:
        layer.resample(interval)
    asked = delay_decode(1000 + seed, delays=DELAYS, length=round(512 / interval), interval=interval)
    return asked.errors(told(layer, asked))


def fitted(seed: int, measure_: Start) -> LSSL:
    """One feature, a channel for each delay, C by least squares."""
    settings = {"hidden_size": 1, "state_size": SIZE, "learn": False, "steps": (STEP, STEP), "seed": seed}
    probe = LSSL(measure=measure_, channels=SIZE, **settings).double()  # type: ignore[arg-type]
    layer = LSSL(measure=measure_, channels=len(DELAYS), **settings).double()  # type: ignore[arg-type]
    seen = delay_decode(seed, delays=DELAYS)
    with torch.no_grad():
        for one in (probe, layer):
            one.D.zero_()
        probe.C.copy_(torch.eye(SIZE))
        states = told(probe, seen)[:, seen.first :].reshape(-1, SIZE)
        past = seen.past[:, seen.first :].reshape(-1, len(DELAYS))
        gram = states.T @ states + RIDGE * len(states) * np.eye(SIZE) * np.square(states).mean()
        layer.C.copy_(torch.from_numpy(np.linalg.solve(gram, states.T @ past).T)[None])
    return layer


def told(layer: LSSL, world: Delays) -> np.ndarray:
    """What every channel says at every sample, [B, T, M]."""
    with torch.no_grad():
        y, _ = layer.simulate(torch.from_numpy(world.signals)[..., None])
    return y[:, :, 0].numpy()
