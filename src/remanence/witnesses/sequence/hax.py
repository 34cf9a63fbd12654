"""Does attention to a hash bucket find the value of a context and a key together, where the newest keys do not?

Nothing is trained: the model of two layers that the publication constructs answers tables of joint recall, once with
the bucket of the query, once with a sliding window of as many keys. The layer chooses keys by the same operation.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from remanence.core.card import Evidence
from remanence.scenarios.joint_recall import CONTEXTS, KEYS, VALUES, joint_recall
from remanence.substrates.sequence.families.constructed_recall import CONTEXT, KEY, VALUE, ConstructedRecall

SIDE, SEQUENCES = 16, 2


def witness(seed: int) -> Evidence:
    """The share of right values in tables of 16 contexts and 16 keys, when 64 keys are seen."""
    return Evidence("joint recall of 256 values", measure(seed, "hash", bits=12), measure(seed, "window"))


def measure(
    seed: int, lookup: Literal["hash", "window"], *, side: int = SIDE, bits: int = 8, sequences: int = SEQUENCES
) -> float:
    """Accuracy in tables of `side` contexts and as many keys."""
    task = joint_recall(seed, sequences=sequences, contexts=side, keys=side)
    model = ConstructedRecall(kinds(task.vocabulary), lookup=lookup, bits=bits, seed=seed)
    return task.accuracy(model.answer(torch.from_numpy(task.ids)).numpy())


def kinds(vocabulary: int) -> Tensor:
    """What each token of the scenario is."""
    found = torch.zeros(vocabulary, dtype=torch.long)
    found[VALUES:KEYS], found[KEYS:CONTEXTS], found[CONTEXTS:] = VALUE, KEY, CONTEXT
    return found
