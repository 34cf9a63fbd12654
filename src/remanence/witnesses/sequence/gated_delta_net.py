"""Does one gate drop a whole context at once, while within a context single values are replaced?

Nothing is trained. Pairs of one context are written straight into the memory of a layer; then the gate shuts once, and
other keys are written, each twice, with another value the second time. Asked are the keys of both contexts: those of
the new one should be answered with their newest value, those of the old one no longer with theirs. The baselines are
the delta rule without a gate, a sum with the same gate, and both with the better of two constant decays, which need no
gate but forget within the context too.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from remanence.core.card import Evidence
from remanence.kernels.sequence.hebbian import hebbian
from remanence.mechanisms.sequence.gated_delta_net import GatedDeltaNet
from remanence.scenarios.recall_pairs import overwrite_probe, recall_probe

PAIRS, REWRITES, DIMENSION, WORLDS = 32, 2, 64, 8
STRENGTH, SHUT, DECAYS = 0.5, -10.0, (0.98, 0.95)


def witness(seed: int) -> Evidence:
    """The share of new keys answered with their newest value less that of old keys still answered, on the average of
    eight worlds, beside the best of the baselines."""
    scores = {name: current - left for name, (current, left) in measure(seed).items()}
    gated = scores.pop("gated delta")
    return Evidence("newest values recalled, less what is left of the last context", gated, max(scores.values()))


def measure(seed: int) -> dict[str, tuple[float, float]]:
    """For each memory, the share of new keys answered with their newest value and of old keys answered with theirs."""
    layer = GatedDeltaNet(hidden_size=DIMENSION, num_heads=1, conv_size=1).double()
    totals: dict[str, tuple[float, float]] = {}
    for world in range(WORLDS):
        old = recall_probe(WORLDS * seed + world, pairs=PAIRS, dimension=DIMENSION)
        # Another seed, lest the two contexts be drawn from the same numbers.
        new = overwrite_probe(WORLDS * seed + world + 1_000_000, keys=PAIRS, rewrites=REWRITES, dimension=DIMENSION)
        k, v = (
            torch.from_numpy(np.concatenate(both))[None, :, None]
            for both in ((old.keys, new.written), (old.values, new.values))
        )
        for name, memory in _memories(layer, k, v).items():
            answers = {
                asked: layer.read(torch.from_numpy(keys)[None, :, None], {"memory": memory})[0, :, 0].numpy()
                for asked, keys in (("new", new.keys), ("old", old.keys))
            }
            nearest = (answers["old"] @ v[0, :, 0].numpy().T).argmax(1)
            current, left = new.scores(answers["new"])[0], float((nearest == np.arange(PAIRS)).mean())
            before = totals.get(name, (0.0, 0.0))
            totals[name] = (before[0] + current / WORLDS, before[1] + left / WORLDS)
    return totals


def _memories(layer: GatedDeltaNet, k: Tensor, v: Tensor) -> dict[str, Tensor]:
    beta = torch.full(k.shape[:3], STRENGTH, dtype=k.dtype)
    gates = {"": torch.zeros_like(beta), "gated ": torch.zeros_like(beta)}
    gates["gated "][:, PAIRS] = SHUT
    gates.update({f"{alpha} ": torch.full_like(beta, math.log(alpha)) for alpha in DECAYS})
    found = {}
    for name, g in gates.items():
        start = layer.init_memory(1, device=None, dtype=k.dtype)
        found[f"{name}delta"] = layer.recall(k, k, v, start, beta=beta, g=g)[1]["memory"]
        added = hebbian(k, k, v, g=g)[1]
        assert added is not None
        found[f"{name}sum"] = added
    return found
