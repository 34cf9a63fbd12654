from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.kernels.growing import Growing


@given(st.lists(st.integers(0, 40), max_size=20), st.sampled_from([None, 1, 3]))
def test_a_growing_array_is_what_was_appended(sizes: list[int], width: int | None) -> None:
    growing: Growing[np.int32] = Growing(np.int32, width)
    parts = [np.zeros((0,) if width is None else (0, width), np.int32)]
    for number, size in enumerate(sizes):
        shape = (size,) if width is None else (size, width)
        parts.append(np.arange(number, number + np.prod(shape, dtype=int), dtype=np.int32).reshape(shape))
        growing.extend(parts[-1])
        expected = np.concatenate(parts)
        assert len(growing) == len(expected)
        assert growing.view.dtype == np.int32
        assert np.array_equal(growing.view, expected)
        assert growing.nbytes >= growing.view.nbytes


def test_the_view_writes_through() -> None:
    growing: Growing[np.int64] = Growing(np.int64)
    growing.extend(np.array([1, 2, 3]))
    growing.view[1] = 9
    growing.extend(np.array([4]))
    assert growing.view.tolist() == [1, 9, 3, 4]
    growing.view[growing.view > 3] = 0
    assert growing.view.tolist() == [1, 0, 3, 0]


def test_a_bulk_load_takes_no_more_than_it_needs() -> None:
    growing: Growing[np.float32] = Growing(np.float32, 16)
    growing.extend(np.ones((1000, 16), np.float32))
    assert growing.nbytes == 1000 * 16 * 4


def test_growth_is_amortised_and_wastes_little() -> None:
    growing: Growing[np.int8] = Growing(np.int8)
    allocations = set()
    for _ in range(20_000):
        growing.extend(np.ones(1, np.int8))
        allocations.add(growing.nbytes)
        assert growing.nbytes <= len(growing) * 1.13 + 20
    assert len(allocations) < 80
    assert int(growing.view.sum()) == 20_000


def test_rows_that_are_given_away_are_not_copied() -> None:
    growing: Growing[np.int32] = Growing(np.int32, 2)
    values = np.arange(6, dtype=np.int32).reshape(3, 2).copy()
    growing.take(values)
    assert np.shares_memory(growing.view, values)
    growing.take(np.ones((1, 2), np.int32))
    growing.extend(np.ones((1, 2), np.int32))
    assert growing.view.tolist() == [[0, 1], [2, 3], [4, 5], [1, 1], [1, 1]]
    growing.view[0] = 7
    assert values[0].tolist() == [0, 1]


LOCKED = np.zeros((3, 2), np.int8)
LOCKED.flags.writeable = False


@pytest.mark.parametrize(
    "values",
    [
        np.frombuffer(bytes(6), np.int8).reshape(3, 2),
        np.zeros((3, 2), np.int16),
        np.zeros((6, 2), np.int8)[:3],  # somebody else's memory
        np.zeros((3, 2), np.int8, order="F"),
        LOCKED,
    ],
)
def test_rows_that_cannot_be_taken_as_they_are_are_copied(values: np.ndarray) -> None:
    growing: Growing[np.int8] = Growing(np.int8, 2)
    growing.take(values)
    assert not np.shares_memory(growing.view, values)
    assert growing.view.dtype == np.int8
    growing.view[0] = 9
    assert growing.view.tolist() == [[9, 9], [0, 0], [0, 0]]
    assert not values.any()


def test_values_take_the_arrays_type() -> None:
    growing: Growing[np.float32] = Growing(np.float32)
    growing.extend(np.array([1, 2], np.int64))
    assert growing.view.dtype == np.float32


def test_rows_of_another_width_are_refused() -> None:
    growing: Growing[np.int8] = Growing(np.int8, 3)
    for append in (growing.extend, growing.take):
        with pytest.raises(ValueError, match="broadcast"):
            append(np.ones((2, 4), np.int8))
