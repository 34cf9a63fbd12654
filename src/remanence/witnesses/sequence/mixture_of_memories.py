"""Do several memories, of which each pair goes to two, keep apart what one memory mixes?

Nothing is trained: the router is fixed at random, memories add up pairs, and more independent pairs are written than a
key has coordinates. The baseline is one memory of the size of each. How the state is spent is another question: one
memory as large as all together, whose keys are lifted to as many random waves, does about as well (`measure` tells).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from remanence.core.card import Evidence
from remanence.kernels.sequence.hebbian import hebbian
from remanence.mechanisms.sequence.mixture_of_memories import MixtureOfMemories
from remanence.scenarios.recall_pairs import recall_probe

PAIRS, DIMENSION, MEMORIES, TOPK, WORLDS = 256, 64, 8, 2, 4


def witness(seed: int) -> Evidence:
    """The mean cosine of what comes back with what was written, on the average of four worlds."""
    found = measure(seed)
    return Evidence("cosine of recall over capacity", found["mixture"][1], found["one memory"][1])


@torch.no_grad()
def measure(seed: int, *, pairs: int = PAIRS, noise: float = 0.0) -> dict[str, tuple[float, float]]:
    """Accuracy and mean cosine of the mixture, of one memory, and of one as large with lifted keys.

    Queries are the keys, with noise of that length added to them.
    """
    layer = MixtureOfMemories(
        hidden_size=DIMENSION, num_heads=1, conv_size=1, num_memories=MEMORIES, topk=TOPK,
        shared=False, single_kv_proj=True, rule="hebbian", router="random", seed=seed,
    )  # fmt: skip
    totals: dict[str, tuple[float, float]] = {}
    for world in range(WORLDS):
        number = WORLDS * seed + world
        probe = recall_probe(number, pairs=pairs, dimension=DIMENSION)
        k, v = (torch.from_numpy(one)[None, :, None] for one in (probe.keys, probe.values))
        off = torch.randn(k.shape, generator=torch.Generator().manual_seed(number), dtype=k.dtype)
        q = normalize(k + noise * normalize(off, dim=-1), dim=-1)
        written, asked = layer.route(k[:, :, 0]), layer.route(q[:, :, 0])
        start = layer.init_memory(1, device=None, dtype=k.dtype)
        _, state = layer.recall(k, k, v, start, weights=written.weights, indices=written.indices)
        answers = {
            "mixture": layer.read(q, state, weights=asked.weights, indices=asked.indices),
            "one memory": one_memory(k, v, q),
            "one as large": one_memory(waves(k, MEMORIES, seed=number), v, waves(q, MEMORIES, seed=number)),
        }
        for name, one in answers.items():
            said, before = one[0, :, 0].numpy(), totals.get(name, (0.0, 0.0))
            totals[name] = before[0] + probe.accuracy(said) / WORLDS, before[1] + probe.cosine(said) / WORLDS
    return totals


def waves(k: Tensor, times: int, *, seed: int) -> Tensor:
    """Unit keys [..., K] as `times` as many cosines and sines of random directions, of unit length: inner products are
    about exp(-2 |k - k'|^2)."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(k.shape[-1], times * k.shape[-1] // 2, generator=generator, dtype=k.dtype)
    angles = 2 * k @ directions
    return normalize(torch.cat((angles.cos(), angles.sin()), -1), dim=-1)


def one_memory(k: Tensor, v: Tensor, q: Tensor) -> Tensor:
    """What a sum of all pairs answers."""
    _, memory = hebbian(k, k, v)
    assert memory is not None
    return torch.einsum("bhkv,bnhk->bnhv", memory, q)
