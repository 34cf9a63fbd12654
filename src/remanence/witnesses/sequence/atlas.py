"""Does fitting a window of pairs recall keys that have much in common, where fitting one pair at a time confuses them?

Nothing is trained: pairs are written straight into an empty matrix memory without decay, each step as long as cannot
diverge, 1 / (the largest eigenvalue of the window's Gram matrix), and each key is asked for. The baseline is the same
with windows of one pair, which is the delta rule with full steps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from remanence.core.card import Evidence
from remanence.kernels.sequence.omega import window_gram
from remanence.mechanisms.sequence.atlas import Atlas
from remanence.scenarios.recall_pairs import Pairs, recall_probe

PAIRS, DIMENSION, CORRELATION, WINDOW, WORLDS = 24, 32, 0.5, 16, 8


def witness(seed: int) -> Evidence:
    """The share of values that come back, on the average of eight worlds, beside windows of one pair."""
    return Evidence("recall under correlated keys", measure(seed), measure(seed, window=1))


def measure(seed: int, *, window: int = WINDOW, correlation: float = CORRELATION, muon: bool = False) -> float:
    """Recall with windows of so many pairs; with Muon, momentum is 0.5, the step 0.1 and 2 % decay with each token."""
    layer = Atlas(
        hidden_size=DIMENSION, num_heads=1, depth=1, window=window, chunk_size=1, feature_name="identity",
        loss="l2", optimizer="muon" if muon else "gd", conv_size=1,
    )  # fmt: skip
    worlds = [
        recall_probe(WORLDS * seed + world, pairs=PAIRS, dimension=DIMENSION, correlation=correlation)
        for world in range(WORLDS)
    ]
    return sum(_recall(layer, one, muon) for one in worlds) / WORLDS


@torch.no_grad()
def _recall(layer: Atlas, probe: Pairs, muon: bool) -> float:
    k, v = (torch.from_numpy(one)[None, :, None] for one in (probe.keys, probe.values))
    k = layer.features(k)
    ones = torch.ones_like(k[..., 0])
    gates: dict[str, Any] = {"theta": _safe_steps(k, v, layer.window)}
    if muon:
        gates = {"rate": 0.1 * ones, "eta": 0.5 * ones, "g": math.log(0.98) * ones}
    state = layer.init_memory(1, device=None, dtype=k.dtype)
    _, state = layer.recall(k, k, v, state, **gates)
    return probe.accuracy(layer.read(k, state)[0, :, 0].numpy())


def _safe_steps(k: Tensor, v: Tensor, window: int) -> Tensor:
    """1 / the largest eigenvalue of each window's Gram matrix, [1, T, 1]."""
    steps = []
    for t in range(k.shape[1]):
        seen = slice(max(0, t - window + 1), t + 1)
        gram, _ = window_gram(k[:, seen], v[:, seen], torch.ones_like(k[:, seen, :, 0]))
        steps.append(1 / torch.linalg.eigvalsh(gram).amax(-1))
    return torch.stack(steps, 1)
