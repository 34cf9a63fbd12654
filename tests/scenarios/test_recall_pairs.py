"""The probes are the catalog's: memories written out in numpy come out as its tables say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.recall_pairs import Array, overwrite_probe, recall_probe

Memory = Callable[[Array, Array, Array], Array]
"""Keys and values in order of writing, and queries, to answers."""


def gated(beta: float = 0.0, alpha: float = 1.0, *, delta: bool = True) -> Memory:
    def answer(keys: Array, values: Array, queries: Array) -> Array:
        m = np.zeros((keys.shape[1], values.shape[1]))
        for k, v in zip(keys, values, strict=True):
            m = alpha * m
            m = m + (beta * np.outer(k, v - k @ m) if delta else np.outer(k, v))
        return queries @ m

    return answer


def ridge(alpha: float = 1.0, features: Callable[[Array], Array] = lambda x: x) -> Memory:
    def answer(keys: Array, values: Array, queries: Array) -> Array:
        phi = features(keys)
        weights = alpha ** np.arange(len(keys))[::-1]
        h = (phi * weights[:, None]).T @ phi
        u = (phi * weights[:, None]).T @ values
        m: Array = features(queries) @ np.linalg.solve(h + 0.02 * np.linalg.norm(h) * np.eye(len(h)), u)
        return m

    return answer


def squares(x: Array) -> Array:
    flat: Array = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
    return flat


LINEAR = gated(delta=False)
HEBBIAN_SQUARES: Memory = lambda k, v, q: LINEAR(squares(k), v, squares(q))  # noqa: E731 - one row of the table


@pytest.mark.parametrize(
    ("memory", "pairs", "correlation", "accuracy", "cosine"),
    [
        (LINEAR, 32, 0.0, 0.98, 0.72),
        (LINEAR, 24, 0.5, 0.29, 0.38),
        (LINEAR, 24, 0.8, 0.07, 0.24),
        (gated(1.0), 64, 0.0, 0.45, 0.46),
        (gated(1.0), 24, 0.5, 0.38, 0.49),
        (gated(0.5), 48, 0.5, 0.28, 0.43),
        (ridge(), 24, 0.5, 1.0, 0.91),
        (ridge(), 48, 0.5, 0.99, 0.74),
        (ridge(), 24, 0.8, 1.0, 0.83),
        (HEBBIAN_SQUARES, 64, 0.0, 1.0, 0.93),
        (HEBBIAN_SQUARES, 24, 0.5, 0.88, 0.61),
        (ridge(features=squares), 24, 0.5, 1.0, 1.0),
    ],
)
def test_recall_is_that_of_the_table(
    memory: Memory, pairs: int, correlation: float, accuracy: float, cosine: float
) -> None:
    worlds = [recall_probe(seed, pairs=pairs, correlation=correlation) for seed in range(32)]
    answers = [memory(world.keys, world.values, world.keys) for world in worlds]
    found = [(world.accuracy(one), world.cosine(one)) for world, one in zip(worlds, answers, strict=True)]
    # The table has eight repeats: accuracies of one world differ by a tenth, cosines by a few hundredths.
    assert np.mean(found, axis=0) == pytest.approx([accuracy, cosine], abs=0.09)
    assert np.mean(found, axis=0)[1] == pytest.approx(cosine, abs=0.03)


@pytest.mark.parametrize(
    ("memory", "keys", "rewrites", "right", "stale"),
    [
        (LINEAR, 8, 4, 0.20, 0.73),
        (LINEAR, 16, 16, 0.03, 0.51),
        (gated(1.0, 0.95, delta=False), 16, 4, 0.90, 0.05),
        (gated(1.0), 24, 4, 0.88, 0.01),
        (gated(0.5), 16, 4, 0.99, 0.01),
        (gated(1.0, 0.98), 24, 4, 0.81, 0.01),
        (ridge(), 16, 4, 0.23, 0.75),
        (ridge(0.95), 16, 16, 1.0, 0.0),
    ],
)
def test_overwrites_are_those_of_the_table(
    memory: Memory, keys: int, rewrites: int, right: float, stale: float
) -> None:
    worlds = [overwrite_probe(seed, keys=keys, rewrites=rewrites) for seed in range(32)]
    found = [world.scores(memory(world.written, world.values, world.keys)) for world in worlds]
    assert np.mean(found, axis=0) == pytest.approx([right, stale], abs=0.07)


def test_the_right_answers_score_one() -> None:
    pairs = recall_probe(0, pairs=5)
    assert (pairs.accuracy(pairs.values), round(pairs.cosine(pairs.values), 9)) == (1.0, 1.0)
    assert pairs.cosine(np.zeros_like(pairs.values)) == 0.0
    world = overwrite_probe(0, keys=3, rewrites=5)
    writes = [np.flatnonzero(world.order == key) for key in range(3)]
    newest, oldest = world.values[[at[-1] for at in writes]], world.values[[at[0] for at in writes]]
    assert world.scores(newest) == (1.0, 0.0)
    assert world.scores(oldest) == (0.0, 1.0)


def test_worlds_are_seeded_and_keys_are_as_correlated_as_asked() -> None:
    one, again, other = (recall_probe(seed, pairs=200, correlation=0.5) for seed in (1, 1, 2))
    assert np.array_equal(one.keys, again.keys)
    assert not np.array_equal(one.keys, other.keys)
    similar = one.keys @ one.keys.T
    assert similar[np.triu_indices(200, 1)].mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "wrong",
    [{"pairs": 0}, {"pairs": 3, "dimension": 0}, {"pairs": 3, "correlation": 1.0}, {"pairs": 3, "correlation": -1.0}],
)
def test_worlds_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        recall_probe(0, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        overwrite_probe(0, keys=0, rewrites=1)


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"answers must be \(3, 32\)"):
        recall_probe(0, pairs=3).accuracy(np.zeros((2, 32)))
    with pytest.raises(InvalidInput, match=r"answers must be \(3, 32\)"):
        overwrite_probe(0, keys=3, rewrites=2).scores(np.zeros((6, 32)))
