"""Does a step that gives up the old answer to its input keep the newest of many answers?

A linear layer is trained, one pair at a time, to say more of a value to a key; every key gets new values again and
again. The loss is the dot product, which says what to add and never what to take away. The baseline is gradient descent
with the best of several weight decays, which takes away everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from remanence.core.card import Evidence
from remanence.mechanisms.training.dgd import DGD
from remanence.scenarios.recall_pairs import overwrite_probe

KEYS, REWRITES, DIMENSION = 24, 6, 32
DECAYS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)


def witness(seed: int) -> Evidence:
    """The share of keys that are answered with their newest value."""
    return Evidence("newest value", measure(seed, lambda layer: DGD(params=layer, lr=1.0)), baseline(seed))


def baseline(seed: int) -> float:
    """The same with gradient descent; how fast it learns does not matter to which value is nearest, only how fast it
    forgets."""
    return max(measure(seed, lambda layer, d=decay: torch.optim.SGD(layer.parameters(), lr=1.0, weight_decay=d))  # type: ignore[misc]
               for decay in DECAYS)  # fmt: skip


def measure(seed: int, make: Callable[[nn.Linear], torch.optim.Optimizer]) -> float:
    """Train on all writes in their order, then ask for every key."""
    world = overwrite_probe(seed, keys=KEYS, rewrites=REWRITES, dimension=DIMENSION)
    layer = nn.utils.skip_init(nn.Linear, DIMENSION, DIMENSION, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    optimizer = make(layer)
    for key, value in zip(torch.from_numpy(world.written), torch.from_numpy(world.values), strict=True):
        optimizer.zero_grad()
        (-(layer(key) @ value)).backward()
        optimizer.step()
    with torch.no_grad():
        right, _ = world.scores(layer(torch.from_numpy(world.keys)).numpy())
    return right
