"""Joint recall: a table by context and key is read row by row, and asked in another order.

    BOS  c1 (k v)(k v)…  c2 (k v)…  …  SEP  c? (k v)(k v)…  …  PAD…

What a key stands for depends on the context that it follows: neither alone tells the value. Token ids, layout, sizes
and measure are those of the publication on HAX (Overcoming long-context limitations of state-space models via
context-dependent sparse attention, 2025): values from 10 on (16 of them), keys from 26, contexts from 42, the answer
predicted at each key after the separator. `levels` nests contexts: a value belongs to a path of contexts and a key.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from remanence.core.card import EntryCard
from remanence.core.errors import InvalidInput
from remanence.scenarios.mqar import TokenTask

__all__ = ["BOS", "CONTEXTS", "KEYS", "PAD", "SEP", "VALUES", "joint_recall"]

CARD = EntryCard(
    slug="joint_recall",
    kind="benchmark",
    title="Joint recall",
    paper="hax",
    about="Values that belong to a context and a key together, asked in another order than they were read.",
)

BOS, PAD, SEP = 1, 3, 4
VALUES, KEYS, CONTEXTS = 10, 26, 42
"""First id of each kind; there are 16 values and 16 keys, and contexts from 42 on, 16 for each level."""
_MANY = 16


def joint_recall(
    seed: int, *, sequences: int = 32, contexts: int = 5, keys: int = 5, levels: int = 1, padded: bool = False
) -> TokenTask:
    """Sequences over a table of contexts ** levels rows and `keys` columns, of its own for each sequence.

    Args:
        seed: decides everything.
        sequences: B.
        contexts: of each level, 1 to 16.
        keys: 1 to 16.
        levels: how many contexts lead to a row.
        padded: whether sequences are filled up to the length of the largest table of one level, 1,058.

    """
    if not (1 <= contexts <= _MANY and 1 <= keys <= _MANY and levels >= 1 and sequences >= 1):
        raise InvalidInput(
            f"contexts and keys must be 1 to {_MANY}, levels and sequences at least 1; got {contexts}, {keys}, "
            f"{levels}, {sequences}"
        )
    rng = np.random.default_rng([seed, contexts, keys, levels])
    rows = [_sequence(rng, contexts, keys, levels) for _ in range(sequences)]
    length = len(rows[0][0])
    if padded:
        length = max(length, 2 * _MANY * (2 * _MANY + 1) + 2)
    ids = np.full((sequences, length), PAD)
    targets, distance = np.zeros_like(ids), np.zeros_like(ids)
    for row, (tokens, asked, seen) in enumerate(rows):
        ids[row, : len(tokens)] = tokens
        targets[row, asked] = [tokens[at + 1] for at in asked]
        distance[row, asked] = np.subtract(asked, seen)
    return TokenTask(ids, targets, targets > 0, distance, CONTEXTS + _MANY * levels)


def _sequence(
    rng: np.random.Generator, contexts: int, keys: int, levels: int
) -> tuple[list[int], list[int], list[int]]:
    """Tokens, the places of the keys that are asked, and where the value of each was read."""
    names = [
        [CONTEXTS + _MANY * level + int(one) for one in rng.permutation(_MANY)[:contexts]] for level in range(levels)
    ]
    columns = [KEYS + int(one) for one in rng.permutation(_MANY)[:keys]]
    table = {cell: VALUES + int(rng.integers(_MANY)) for cell in product(*names, columns)}
    tokens, asked, seen = [BOS], [], []
    places: dict[tuple[int, ...], int] = {}
    for second in (False, True):
        if second:
            tokens.append(SEP)
        for path in _paths(rng, names):
            tokens.extend(path.shown)
            for at in rng.permutation(keys):
                cell = (*path.whole, columns[at])
                tokens += [columns[at], table[cell]]
                if second:
                    asked.append(len(tokens) - 2)
                    seen.append(places[cell])
                else:
                    places[cell] = len(tokens) - 1
    return tokens, asked, seen


class _Path:
    """Contexts from the outermost on, and those of them that are said here: what changed since the last row."""

    def __init__(self, whole: tuple[int, ...], shown: tuple[int, ...]) -> None:
        self.whole, self.shown = whole, shown


def _paths(rng: np.random.Generator, names: list[list[int]]) -> list[_Path]:
    """All rows in random order, those that share outer contexts together."""
    found: list[_Path] = []
    for at in rng.permutation(len(names[0])):
        name = names[0][at]
        if len(names) == 1:
            found.append(_Path((name,), (name,)))
            continue
        inner = _paths(rng, names[1:])
        found += [
            _Path((name, *one.whole), (name, *one.shown) if first else one.shown)
            for first, one in zip([True] + [False] * len(inner), inner, strict=False)
        ]
    return found
