from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.mqar import TokenTask
from remanence.scenarios.passkey import ASK, MARK, passkey
from remanence.scenarios.selective_copy import GO, NOISE, selective_copy

TASKS: list[Callable[[int], TokenTask]] = [partial(passkey, depth=0.3), partial(passkey, depth=0.0), selective_copy]


@pytest.mark.parametrize("make", TASKS)
def test_the_answer_was_read_where_distance_says(make: Callable[[int], TokenTask]) -> None:
    task = make(3)
    rows, places = task.asked.nonzero()
    assert len(rows)
    seen = places - task.distance[rows, places]
    assert np.array_equal(task.ids[rows, seen], task.targets[rows, places])
    assert task.accuracy(task.targets) == 1.0
    assert task.accuracy(np.zeros_like(task.ids)) == 0.0
    assert task.ids.max() < task.vocabulary
    assert np.array_equal(make(3).ids, task.ids)
    assert not np.array_equal(make(4).ids, task.ids)


@pytest.mark.parametrize(("depth", "at"), [(0.0, 0), (0.5, 27), (1.0, 54)])
def test_the_needle_lies_at_its_depth(depth: float, at: int) -> None:
    task = passkey(0, sequences=3, length=64, depth=depth, digits=4)
    assert task.ids.shape == (3, 64)
    assert (task.ids == MARK).argmax(1).tolist() == [at] * 3
    assert (task.ids[:, at + 1 : at + 5] == task.ids[:, -4:]).all()
    assert (task.ids[:, -5] == ASK).all()
    assert task.asked[:, -5:-1].all()
    assert task.asked.sum() == 12
    # A language model reads each digit after it had to tell it.
    assert (task.targets[:, -5:-1] == task.ids[:, -4:]).all()


def test_filler_holds_neither_marks_nor_digits_and_can_be_foreseen() -> None:
    task = passkey(0, sequences=50, length=100, digits=2, depth=1.0)
    hay = task.ids[:, : 100 - 6]
    assert hay.min() >= 12
    follow: dict[int, set[int]] = {}
    for one, other in zip(hay[:, :-1].flatten(), hay[:, 1:].flatten(), strict=True):
        follow.setdefault(int(one), set()).add(int(other))
    assert max(map(len, follow.values())) <= 3


def test_what_matters_is_asked_in_order() -> None:
    task = selective_copy(1, sequences=5, length=20, count=6)
    for row, targets in zip(task.ids, task.targets, strict=True):
        assert [one for one in row[:20] if one != NOISE] == targets[20:].tolist()
        assert (row[20:] == GO).all()


@pytest.mark.parametrize(
    "wrong", [{"length": 9}, {"digits": 0}, {"depth": 1.1}, {"depth": -0.1}, {"filler": 0}, {"sequences": 0}]
)
def test_passkeys_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        passkey(0, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"length": 7}, {"count": 0}, {"symbols": 0}, {"sequences": 0}])
def test_copies_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        selective_copy(0, **wrong)
