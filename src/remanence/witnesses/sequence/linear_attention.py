"""Does a plain sum keep more of many unrelated pairs than the delta rule, and than the same room full of the last ones?

Nothing is trained: twice as many pairs as keys have coordinates are written straight into the memory of a layer without
features and divisor, and each key is asked for. The delta rule writes with full strength into a state of the same size;
the last pairs are kept as they are, as many as fit into the room of that state.
"""

from __future__ import annotations

import torch

from remanence.core.card import Evidence
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.mechanisms.sequence.linear_attention import LinearAttention
from remanence.scenarios.recall_pairs import recall_probe

PAIRS, DIMENSION, WORLDS = 64, 32, 8


def witness(seed: int) -> Evidence:
    """The share of values that come back, on the average of eight worlds, beside the better of both baselines."""
    found = measure(seed)
    return Evidence("recall of unrelated pairs", found["linear"], max(found["delta"], found["last"]))


def measure(seed: int, *, pairs: int = PAIRS, correlation: float = 0.0) -> dict[str, float]:
    """Recall of linear attention ("linear"), of the delta rule ("delta") and of keeping the last pairs ("last")."""
    layer = LinearAttention(
        hidden_size=DIMENSION, num_heads=1, conv_size=1, feature_name="identity", normalize=False
    ).double()
    kept = DIMENSION * DIMENSION // (DIMENSION + DIMENSION)
    totals = {"linear": 0.0, "delta": 0.0, "last": min(1.0, kept / pairs)}
    for world in range(WORLDS):
        probe = recall_probe(WORLDS * seed + world, pairs=pairs, dimension=DIMENSION, correlation=correlation)
        k, v = (torch.from_numpy(one)[None, :, None] for one in (probe.keys, probe.values))
        _, state = layer.recall(k, k, v, layer.init_memory(1, device=None, dtype=k.dtype))
        _, delta = gated_delta_rule(k, k, v)
        assert delta is not None
        for name, memory in (("linear", state), ("delta", {"memory": delta})):
            totals[name] += probe.accuracy(layer.read(k, memory)[0, :, 0].numpy()) / WORLDS
    return totals
