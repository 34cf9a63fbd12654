"""Does Hope's memory, a perceptron written by delta gradient descent, give back more of noisy pairs than a matrix?

Thirty-two keys of sixteen coordinates are written eight times each, every time with other noise on the value; no weight
is learnt before. The projections are set by hand to take key and value out of a token and stay as they are (phase 1):
what it is good for that a layer rewrites them is for outer training to find out, and does not show without it. The
baseline is a matrix written by the delta rule, at the best of several step sizes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from remanence.core.card import Evidence
from remanence.kernels.sequence.delta import gated_delta_rule
from remanence.mechanisms.sequence.nested_learning import NestedLearning
from remanence.scenarios.recall_pairs import recall_probe
from remanence.substrates.sequence.mechanism import State

PAIRS, WRITES, DIMENSION, NOISE = 32, 8, 16, 1.0
GAIN = 4.0
"""On the drawn W_2 of the memory, so that units of it are not all near the linear part of gelu."""
ETA, BETAS = 0.03, (0.03, 0.1, 0.2, 0.3, 0.6, 1.0)


def witness(seed: int) -> Evidence:
    """The mean cosine of what is answered to the keys with the values without noise."""
    keys, values, k, v = written(seed)
    matrix = max(cosine(delta_rule(keys, k, v, beta), values) for beta in BETAS)
    return Evidence("cosine with the value", cosine(perceptron(keys, k, v), values), matrix)


def written(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Keys and values [N, d], and the keys and noisy values of all writes [T, d] in their order."""
    world, rng = recall_probe(seed, pairs=PAIRS, dimension=DIMENSION), np.random.default_rng([seed, PAIRS])
    order = np.concatenate([rng.permutation(PAIRS) for _ in range(WRITES)])
    noisy = world.values[order] + NOISE * rng.standard_normal((len(order), DIMENSION)) / DIMENSION**0.5
    keys, values, k, v = (torch.from_numpy(one) for one in (world.keys, world.values, world.keys[order], noisy))
    return keys, values, k, v


def cosine(answers: Tensor, values: Tensor) -> float:
    """The mean cosine of answers with values, both [N, d]."""
    return float(functional.cosine_similarity(answers, values, dim=-1).mean())


def delta_rule(keys: Tensor, k: Tensor, v: Tensor, beta: float) -> Tensor:
    """What a matrix answers to the keys after all writes."""
    strength = torch.full((1, len(k), 1), beta, dtype=k.dtype)
    _, state = gated_delta_rule(k[None, :, None], k[None, :, None], v[None, :, None], strength)
    assert state is not None
    return keys @ state[0, 0]


@torch.no_grad()
def perceptron(keys: Tensor, k: Tensor, v: Tensor, *, eta: float = ETA) -> Tensor:
    """What Hope's memory answers to the keys after all writes; tokens are key and value side by side."""
    layer = prepared(eta)
    z, q = torch.cat([k, v], 1), torch.cat([keys, torch.zeros_like(keys)], 1)
    state = _memories(layer.init_state(1))
    _, after = layer.recall(z[None, :, None], z[None, :, None], state)
    # One query after the other, each before anything is written for it.
    answers = [layer.recall(one[None, None, None], one[None, None, None], {**state, **after})[0] for one in q]
    return torch.cat(answers, 1)[0, :, 0, DIMENSION:]


def prepared(eta: float) -> NestedLearning:
    """A layer whose M_k keeps the key of a token and whose M_v keeps its value, with one step size for all tokens.

    A perceptron can take part of its input away exactly, as gelu(a) - gelu(-a) = a.
    """
    width = 2 * DIMENSION
    layer = NestedLearning(
        hidden_size=width, num_heads=1, phase=1, chunks=(1, 1), expansion=2.0, eta_scale=eta / float(np.log(2)),
        forget=1e-6, periods=(), conv_size=1,
    ).double()  # fmt: skip
    own = torch.eye(width, dtype=torch.float64)
    with torch.no_grad():
        for name, part in (("k", own[:, DIMENSION:]), ("v", own[:, :DIMENSION])):
            layer.initial[f"{name}_w1"].zero_()
            layer.initial[f"{name}_w1"][0, :width] = torch.cat([-part.mT, part.mT])
            layer.initial[f"{name}_w2"][0, :, :width] = torch.cat([part, -part], 1)
        layer.initial["mem_w2"].mul_(GAIN)
        layer.initial["eta_w1"].zero_()
        layer.initial["alpha_w1"].zero_()
    return layer


def _memories(state: State) -> State:
    return {name: one for name, one in state.items() if name != "conv"}
