from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.mqar import mqar


@pytest.mark.parametrize("rewrites", [1, 3])
def test_whoever_keeps_the_newest_value_of_each_key_is_always_right(rewrites: int) -> None:
    task = mqar(3, sequences=9, pairs=5, rewrites=rewrites)
    told = np.zeros_like(task.ids)
    first = np.zeros_like(task.ids)
    for row in range(9):
        newest: dict[int, int] = {}
        oldest: dict[int, int] = {}
        for at, token in enumerate(task.ids[row]):
            if task.asked[row, at]:
                told[row, at], first[row, at] = newest[token], oldest[token]
                seen = at - task.distance[row, at]
                assert task.ids[row, seen] == newest[token]
                assert task.ids[row, seen - 1] == token
            elif token >= 32:
                newest[task.ids[row, at - 1]] = token
                oldest.setdefault(task.ids[row, at - 1], token)
    assert task.accuracy(told) == 1.0
    assert (task.accuracy(first) == 1.0) == (rewrites == 1)


def test_layout_and_sizes() -> None:
    task = mqar(0, sequences=4, pairs=6, keys=8, values=3, rewrites=2)
    assert task.ids.shape == (4, 2 * 6 * 3)
    assert task.asked.sum() == 4 * 6
    assert task.vocabulary == 11
    assert task.ids.max() < 11
    assert (task.ids[:, ::2] < 8).all()
    assert (task.ids[:, 1::2] >= 8).all()
    # What follows a key that is asked is its answer: a language model learns from the same sequence.
    assert (task.ids[:, 1:][task.asked[:, :-1]] == task.targets[task.asked]).all()
    assert all(len(set(row[24::2])) == 6 for row in task.ids)


def test_seeded() -> None:
    assert np.array_equal(mqar(1).ids, mqar(1).ids)
    assert not np.array_equal(mqar(1).ids, mqar(2).ids)


@pytest.mark.parametrize("wrong", [{"pairs": 33}, {"pairs": 0}, {"rewrites": 0}, {"sequences": 0}, {"values": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        mqar(0, **wrong)


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match="one for each token"):
        mqar(0).accuracy(np.zeros((2, 3), dtype=np.int64))
