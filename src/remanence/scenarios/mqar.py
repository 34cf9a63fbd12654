"""Multi-query associative recall: a sequence of keys with their values, and later the keys again.

    k1 v1 k2 v2 … kn vn | ka va kb vb …

The model reads the whole sequence; at a key of the second half it has to tell the value. With `rewrites` every key is
written again with a new value, in rounds, and the newest counts. Source: Arora et al., Zoology (arXiv:2312.04927); the
sizes are those of the catalogue's small experiment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["TokenTask", "mqar"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenTask:
    """Sequences [B, T], what is to be told after each token [B, T], and where that is asked [B, T]."""

    ids: Ids
    targets: Ids
    """Token that answers at this place; 0 where nothing is asked."""
    asked: npt.NDArray[np.bool_]
    distance: Ids
    """How many tokens ago the answer was read; 0 where nothing is asked."""
    vocabulary: int

    def accuracy(self, told: Ids) -> float:
        """The share of right answers among those asked for, when `told` [B, T] is what was said at every place."""
        if told.shape != self.ids.shape:
            raise InvalidInput(f"answers must be {self.ids.shape}, one for each token; got {told.shape}")
        return float((told == self.targets)[self.asked].mean())


def mqar(
    seed: int, *, sequences: int = 48, pairs: int = 8, keys: int = 32, values: int = 32, rewrites: int = 1
) -> TokenTask:
    """Sequences in which each of `pairs` keys is written `rewrites` times and asked once, all in random order.

    Tokens 0 … keys - 1 are keys, the following are values. A value may belong to several keys.

    Raises `InvalidInput` for more pairs than keys, or anything below 1.

    """
    if min(sequences, pairs, keys, values, rewrites) < 1:
        raise InvalidInput(
            "sequences, pairs, keys, values and rewrites must be at least 1; got "
            f"{sequences}, {pairs}, {keys}, {values}, {rewrites}"
        )
    if pairs > keys:
        raise InvalidInput(f"{pairs} pairs need as many different keys; there are {keys}")
    rng = np.random.default_rng([seed, pairs, keys, values, rewrites])
    chosen = _rows(rng, np.tile(np.arange(keys), (sequences, 1)))[:, :pairs]
    rounds = [_rows(rng, chosen) for _ in range(rewrites)]
    written = np.concatenate(rounds, axis=1)
    told = keys + rng.integers(values, size=written.shape)
    asked = _rows(rng, chosen)
    # Where the newest writing of each key asked for stands.
    newest = written.shape[1] - 1 - (written[:, None, ::-1] == asked[:, :, None]).argmax(2)
    answers = np.take_along_axis(told, newest, axis=1)
    ids = np.concatenate([_interleave(written, told), _interleave(asked, answers)], axis=1)
    targets, places, distance = np.zeros_like(ids), np.zeros(ids.shape, dtype=np.bool_), np.zeros_like(ids)
    at = 2 * written.shape[1] + 2 * np.arange(pairs)
    targets[:, at], places[:, at] = answers, True
    distance[:, at] = at - (2 * newest + 1)
    return TokenTask(ids, targets, places, distance, keys + values)


def _rows(rng: np.random.Generator, table: Ids) -> Ids:
    """Each row in an order of its own."""
    return rng.permuted(table, axis=1)


def _interleave(first: Ids, second: Ids) -> Ids:
    return np.stack([first, second], axis=2).reshape(len(first), -1)
