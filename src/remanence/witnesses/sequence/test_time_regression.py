"""Does a line fitted at each query predict better than the weighted mean that softmax attention is?

Pairs of an affine map and noise come one after the other, and after each of them the layer is asked at a new point.
Nothing is trained. Attention is given the sharpness that serves it best of several; local-linear attention has one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from remanence.core.card import Evidence
from remanence.kernels.sequence.ridge import RidgeState, read
from remanence.mechanisms.sequence.test_time_regression import TestTimeRegression
from remanence.scenarios.recall_pairs import recall_probe
from remanence.substrates.sequence.mechanism import State

DIMENSION, PAIRS, NOISE, WORLDS = 4, 96, 0.3, 4
SHARPNESS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
WINDOW = 16
CORRELATED: dict[str, dict[str, Any]] = {
    "linear": {"preset": "linear_attention", "feature": "identity", "unit": True, "normalize": False},
    "delta": {"preset": "delta_net"},
    "omega": {
        "preset": "omega", "memory": "linear", "feature": "identity", "loss": "l2", "grad_at": "previous",
        "decay": "none", "window": WINDOW,
    },
    "ridge": {"preset": "gka", "weights": "uniform", "decay": "none"},
}  # fmt: skip
"""The order in which memories take note of how keys covary."""


def witness(seed: int) -> Evidence:
    """Mean squared error at new points, once there are more pairs than the map has parameters."""
    found = measure(seed)
    return Evidence("error on noisy affine data", found["line"], found["mean"], higher_is_better=False)


def measure(seed: int, *, noise: float = NOISE) -> dict[str, float]:
    """Errors of local-linear attention ("line") and of softmax attention at its best sharpness ("mean")."""
    rng = np.random.default_rng([seed, 157])
    shape = (WORLDS, PAIRS, 1, DIMENSION)
    k, q = (torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal(shape)), dim=-1) for _ in range(2))
    a, b = (
        torch.from_numpy(rng.standard_normal(one))
        for one in ((WORLDS, DIMENSION, DIMENSION), (WORLDS, 1, 1, DIMENSION))
    )
    v = torch.einsum("bthk,bkv->bthv", k, a) + b + noise * torch.from_numpy(rng.standard_normal(shape))
    wanted = torch.einsum("bthk,bkv->bthv", q, a) + b

    def error(preset: str, sharpness: float) -> float:
        layer = TestTimeRegression(
            preset=preset, hidden_size=DIMENSION, num_heads=1, conv_size=1, unit=True, scale=sharpness
        )
        o, _ = layer.recall(q, k, v, layer.init_memory(WORLDS, device=None, dtype=k.dtype))
        return (o - wanted)[:, PAIRS // 3 :].square().mean().item()

    return {"line": error("local_linear", 2.0), "mean": min(error("softmax", one) for one in SHARPNESS)}


def correlated(seed: int, *, pairs: int = 24, worlds: int = 8) -> dict[str, float]:
    """The share of values that come back by correlated keys, for each memory of `CORRELATED`."""
    totals = dict.fromkeys(CORRELATED, 0.0)
    for world in range(worlds):
        probe = recall_probe(worlds * seed + world, pairs=pairs, correlation=0.5)
        k, v = (torch.from_numpy(one)[None, :, None] for one in (probe.keys, probe.values))
        for name, axes in CORRELATED.items():
            layer = TestTimeRegression(hidden_size=k.shape[-1], num_heads=1, conv_size=1, **axes)
            start = layer.init_memory(1, device=None, dtype=k.dtype)
            gates: dict[str, Any] = {"theta": _safe_steps(k)} if name == "omega" else {}
            _, state = layer.recall(k, k, v, start, **gates)
            answers = _read(name, state, k)
            totals[name] += probe.accuracy(answers[0, :, 0].numpy()) / worlds
    return totals


def _safe_steps(k: Tensor) -> Tensor:
    """1 over the largest eigenvalue of each window's Gram matrix: the largest step that cannot diverge."""
    steps = []
    for t in range(k.shape[1]):
        seen = k[0, max(0, t - WINDOW + 1) : t + 1, 0]
        steps.append(1 / torch.linalg.eigvalsh(seen.T @ seen)[-1])
    return torch.stack(steps)[None, :, None]


def _read(name: str, state: State, q: Tensor) -> Tensor:
    if name == "ridge":
        return read(RidgeState(state["h"], state["u"]), q)
    return torch.einsum("bhkv,bnhk->bnhv", state["memory_0"], q)
