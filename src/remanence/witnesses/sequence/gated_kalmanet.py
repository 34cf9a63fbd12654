"""Does reading with the exact regression recall pairs whose keys have much in common, and which gradient steps confuse?

Nothing is trained: pairs are written straight into the memory of a layer, all with the same weight and without decay,
and each key is asked for. The baseline is the better of linear attention and the delta rule, whose states are smaller
by H [K, K].
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.core.card import Evidence
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.kernels.sequence.hebbian import hebbian
from remanence.mechanisms.sequence.gated_kalmanet import GatedKalmaNet
from remanence.scenarios.recall_pairs import recall_probe

PAIRS, DIMENSION, CORRELATION, WORLDS = 24, 32, 0.5, 8


def witness(seed: int) -> Evidence:
    """The share of values that come back, on the average of eight worlds, beside the better of both baselines."""
    found = measure(seed)
    return Evidence("recall under correlated keys", found["ridge"], max(found["delta"], found["linear"]))


def measure(seed: int, *, pairs: int = PAIRS, correlation: float = CORRELATION) -> dict[str, float]:
    """Recall of the ridge memory ("ridge"), of the delta rule with full steps ("delta") and of linear attention."""
    layer = GatedKalmaNet(hidden_size=DIMENSION, num_heads=1, conv_size=1)
    totals = {"ridge": 0.0, "delta": 0.0, "linear": 0.0}
    for world in range(WORLDS):
        probe = recall_probe(WORLDS * seed + world, pairs=pairs, dimension=DIMENSION, correlation=correlation)
        k, v = (torch.from_numpy(one)[None, :, None] for one in (probe.keys, probe.values))
        state = layer.init_memory(1, device=None, dtype=k.dtype)
        _, state = layer.recall(k, k, v, state)
        answers = {
            "ridge": layer.read(k, state),
            "delta": _read(gated_delta_rule(k, k, v)[1], k),
            "linear": _read(hebbian(k, k, v)[1], k),
        }
        for name, one in answers.items():
            totals[name] += probe.accuracy(one[0, :, 0].numpy()) / WORLDS
    return totals


def _read(state: Tensor | None, q: Tensor) -> Tensor:
    assert state is not None
    return torch.einsum("bhkv,bnhk->bnhv", state, q)
