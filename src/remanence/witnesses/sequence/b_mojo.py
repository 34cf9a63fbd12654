"""Are old vectors of a stream that could not be predicted found again, word for word, long after they left the window?

Nothing is trained: vectors are their own keys and values. The baselines have as many places: a window of as many
tokens as window and set have together, the same set filled at random, and filled by the largest steps from one vector
to the next, which takes no predictor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from remanence.core.card import Evidence
from remanence.mechanisms.sequence.b_mojo import BMojo
from remanence.scenarios.outlier_stream import OutlierStream, outlier_stream

DIMENSION, WINDOW, SET, WORLDS, SHARPNESS = 16, 16, 16, 4, 20.0


def witness(seed: int) -> Evidence:
    """The share of planted vectors that come back to a noisy query, on the average of four streams, beside the best of
    the baselines."""
    found = measure(seed)
    value = found.pop("b_mojo")
    return Evidence("planted vectors recalled", value, max(found.values()))


@torch.no_grad()
def measure(seed: int) -> dict[str, float]:
    """The share that comes back with what is kept for its innovation, with a longer window alone, with a set of random
    tokens, and with one of large steps."""
    totals = dict.fromkeys(("b_mojo", "window", "random", "steps"), 0.0)
    for world in range(WORLDS):
        number = WORLDS * seed + world
        stream = outlier_stream(number, dimension=DIMENSION, recent=5 * WINDOW)
        x = torch.from_numpy(stream.vectors)[None]
        chance = torch.rand(x.shape[:2], generator=torch.Generator().manual_seed(number), dtype=x.dtype)
        steps = torch.cat((torch.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]), 1).square().sum(-1)
        layer = BMojo(
            hidden_size=DIMENSION, num_heads=1, window=WINDOW, eidetic=SET, fading="average", seed=number
        ).double()
        longer = BMojo(hidden_size=DIMENSION, num_heads=1, window=WINDOW + SET, eidetic=0, fading="average").double()
        totals["b_mojo"] += _recalled(layer, stream, x) / WORLDS
        totals["window"] += _recalled(longer, stream, x) / WORLDS
        totals["random"] += _recalled(layer, stream, x, score=chance) / WORLDS
        totals["steps"] += _recalled(layer, stream, x, score=steps) / WORLDS
    return totals


def _recalled(layer: BMojo, stream: OutlierStream, x: Tensor, score: Tensor | None = None) -> float:
    """The whole layer but its projections: recurrence, innovation, attention."""
    state = layer.init_state(1)
    assert layer.recurrence is not None
    f, _ = layer.recurrence.advance(x, layer.recurrence.init_state(1), form="auto")
    if layer.eidetic and score is None:
        score, state = layer.surprise(f, state)
    k, faded = x[:, :, None], f[:, :, None]
    _, state = layer.recall(k, k, k, state, fading=(faded, faded), score=score)
    queries = torch.from_numpy(stream.queries)[None, :, None]
    answers = layer.read(SHARPNESS * DIMENSION**0.5 * queries, state)
    return stream.accuracy(answers[0, :, 0].numpy())
