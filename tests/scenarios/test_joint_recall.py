from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.joint_recall import BOS, CONTEXTS, KEYS, PAD, SEP, VALUES, joint_recall
from remanence.scenarios.mqar import TokenTask


def reader(task: TokenTask, *, by_context: bool) -> float:
    """Accuracy of one who keeps the newest value of each key, with or without the contexts said before it."""
    told = np.zeros_like(task.ids)
    for row, tokens in enumerate(task.ids.tolist()):
        path: dict[int, int] = {}
        held: dict[tuple[int, ...], int] = {}
        for at, token in enumerate(tokens):
            if token >= CONTEXTS:
                level = (token - CONTEXTS) // 16
                path = {**{one: name for one, name in path.items() if one < level}, level: token}
            elif KEYS <= token < CONTEXTS:
                cell = (*path.values(), token) if by_context else (token,)
                if task.asked[row, at]:
                    told[row, at] = held[cell]
                else:
                    held[cell] = tokens[at + 1]
                    continue
    return task.accuracy(told)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_context_and_key_together_tell_the_value(levels: int) -> None:
    task = joint_recall(1, sequences=3, contexts=3, keys=4, levels=levels)
    assert reader(task, by_context=True) == 1.0
    assert reader(task, by_context=False) < 0.6
    rows, places = task.asked.nonzero()
    assert len(rows) == 3 * 3**levels * 4
    seen = places - task.distance[rows, places]
    assert np.array_equal(task.ids[rows, seen], task.targets[rows, places])
    assert np.array_equal(task.ids[rows, seen - 1], task.ids[rows, places])
    assert np.array_equal(task.ids[rows, places + 1], task.targets[rows, places])


def test_layout() -> None:
    task = joint_recall(0, sequences=2, contexts=16, keys=16, padded=True)
    assert task.ids.shape == (2, 1058)
    row = task.ids[0].tolist()
    assert row[0] == BOS
    assert row.count(SEP) == 1
    assert row.index(SEP) == 1 + 16 * (1 + 2 * 16)
    assert PAD not in row
    small = joint_recall(0, sequences=1, contexts=5, keys=6, padded=True).ids[0]
    assert small.shape == (1058,)
    assert (small[2 + 2 * 5 * 13 :] == PAD).all()
    assert set(small.tolist()) <= {BOS, SEP, PAD, *range(VALUES, CONTEXTS + 16)}
    assert joint_recall(0).vocabulary == 58


def test_seeded() -> None:
    assert np.array_equal(joint_recall(4).ids, joint_recall(4).ids)
    assert not np.array_equal(joint_recall(4).ids, joint_recall(5).ids)


@pytest.mark.parametrize("wrong", [{"contexts": 17}, {"contexts": 0}, {"keys": 17}, {"levels": 0}, {"sequences": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="must be 1 to 16"):
        joint_recall(0, **wrong)  # type: ignore[arg-type]
