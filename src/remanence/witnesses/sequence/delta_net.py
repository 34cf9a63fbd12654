"""Does the delta rule answer with the newest value of keys that were rewritten, where sums mix in the earlier ones?

Nothing is trained: keys are rewritten in random order, straight into the memory of a layer, with half strength. The
baselines add: linear attention, and a memory that decays by a constant, which has to forget all keys to forget a value.
"""

from __future__ import annotations

import math

import torch

from remanence.core.card import Evidence
from remanence.kernels.sequence.hebbian import hebbian
from remanence.mechanisms.sequence.delta_net import DeltaNet
from remanence.scenarios.recall_pairs import overwrite_probe

KEYS, REWRITES, DIMENSION, WORLDS = 24, 4, 32, 8
STRENGTH, DECAY = 0.5, 0.95


def witness(seed: int) -> Evidence:
    """The share of keys answered with their newest value, on average of eight worlds, beside the better baseline."""
    found = measure(seed)
    return Evidence("newest value recalled", found["delta"][0], max(found["linear"][0], found["decayed"][0]))


def measure(seed: int, *, keys: int = KEYS, rewrites: int = REWRITES) -> dict[str, tuple[float, float]]:
    """Shares of keys answered with their newest value and with one of their older ones, for the delta rule ("delta"),
    linear attention ("linear") and a decaying sum ("decayed")."""
    layer = DeltaNet(hidden_size=DIMENSION, num_heads=1, conv_size=1).double()
    totals = dict.fromkeys(("delta", "linear", "decayed"), (0.0, 0.0))
    for world in range(WORLDS):
        probe = overwrite_probe(WORLDS * seed + world, keys=keys, rewrites=rewrites, dimension=DIMENSION)
        k, v, asked = (torch.from_numpy(one)[None, :, None] for one in (probe.written, probe.values, probe.keys))
        beta = torch.full(k.shape[:3], STRENGTH, dtype=k.dtype)
        _, state = layer.recall(k, k, v, layer.init_memory(1, device=None, dtype=k.dtype), beta=beta)
        memories = {"delta": state["memory"], "linear": hebbian(k, k, v)[1]}
        memories["decayed"] = hebbian(k, k, v, g=torch.full_like(beta, math.log(DECAY)))[1]
        for name, memory in memories.items():
            assert memory is not None
            newest, older = probe.scores(layer.read(asked, {"memory": memory})[0, :, 0].numpy())
            totals[name] = (totals[name][0] + newest / WORLDS, totals[name][1] + older / WORLDS)
    return totals
