"""Does a deep memory, trained while it is read, hold a map from keys to values that no matrix holds?

256 pairs whose values are products of coordinates of their keys are read again and again; no weight is learnt before.
The baseline is the matrix memory with the same update, with and without momentum, whichever does better.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.card import Evidence
from remanence.mechanisms.sequence.titans import Titans

PAIRS, DIMENSION, CHUNK = 256, 16, 16
STEP, MOMENTUM, PASSES = 0.01, 0.9, 32


def witness(seed: int) -> Evidence:
    """The mean cosine of what a memory of two layers answers to all keys with their values, beside that of a matrix."""
    linear = max(measure(seed, depth=1), measure(seed, depth=1, momentum=0.0))
    return Evidence("cosine on a product map", measure(seed), linear)


@torch.no_grad()
def measure(seed: int, *, depth: int = 2, momentum: float = MOMENTUM, passes: int = PASSES) -> float:
    """The mean cosine after so many passes over the pairs; nothing decays."""
    k, v = product_map(seed)
    layer = Titans(hidden_size=DIMENSION, num_heads=1, depth=depth, chunk_size=CHUNK, conv_size=1, seed=seed)
    layer = layer.to(k.dtype)
    k, v = k[None, :, None], v[None, :, None]
    ones = torch.ones_like(k[..., 0])
    state = layer.init_memory(1, device=None, dtype=k.dtype)
    for _ in range(passes):
        _, state = layer.recall(k, k, v, state, theta=STEP * ones, eta=momentum * ones)
    return float(functional.cosine_similarity(layer.read(k, state), v, dim=-1).mean())


def product_map(seed: int) -> tuple[Tensor, Tensor]:
    """Unit keys [N, K] and unit values [N, V], v = R (first half of k * second half of k)."""
    rng = np.random.default_rng([seed, PAIRS, DIMENSION])
    k, mix = rng.standard_normal((PAIRS, DIMENSION)), rng.standard_normal((DIMENSION, DIMENSION // 2))
    k /= np.linalg.norm(k, axis=1, keepdims=True)
    v = k[:, : DIMENSION // 2] * k[:, DIMENSION // 2 :] @ mix.T
    return torch.from_numpy(k), torch.from_numpy(v / np.linalg.norm(v, axis=1, keepdims=True))
