"""Does a memory that keeps its states by segment recall what it has overwritten since?

Nothing is trained. More independent pairs are written into a delta-rule memory with full steps than a key has
coordinates, in segments of sixteen; segments are chosen by how near the mean of their keys is to the query. The
baselines are the same memory without segments and linear attention without them, whose states do not grow: what is
shown is what caching adds to a memory, not that a state of this size could not be spent better.
"""

from __future__ import annotations

import torch

from remanence.core.card import Evidence
from remanence.mechanisms.sequence.memory_caching import Kind, MemoryCaching
from remanence.scenarios.recall_pairs import recall_probe

PAIRS, DIMENSION, SEGMENT, SHARPNESS, WORLDS = 256, 64, 16, 64.0, 4


def witness(seed: int) -> Evidence:
    """The mean cosine of what comes back with what was written, on the average of four worlds, beside the better of
    both baselines."""
    best = max(measure(seed, segment=PAIRS)[1], measure(seed, segment=PAIRS, memory="linear")[1])
    return Evidence("cosine of recall over capacity", measure(seed)[1], best)


@torch.no_grad()
def measure(
    seed: int, *, segment: int = SEGMENT, memory: Kind = "delta", sharpness: float = SHARPNESS, pairs: int = PAIRS
) -> tuple[float, float]:
    """Accuracy and mean cosine. With one segment for all pairs nothing is cached."""
    layer = MemoryCaching(hidden_size=DIMENSION, num_heads=1, conv_size=1, memory=memory, segment=segment)
    accuracy = cosine = 0.0
    for world in range(WORLDS):
        probe = recall_probe(WORLDS * seed + world, pairs=pairs, dimension=DIMENSION)
        k, v = (torch.from_numpy(one)[None, :, None] for one in (probe.keys, probe.values))
        _, state = layer.recall(k, k, v, layer.init_memory(1, device=None, dtype=k.dtype), u=k)
        said = layer.read(k, state, u=sharpness * k)[0, :, 0].numpy()
        accuracy, cosine = accuracy + probe.accuracy(said) / WORLDS, cosine + probe.cosine(said) / WORLDS
    return accuracy, cosine
