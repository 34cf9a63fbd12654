from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.kernels.sequence_links import SESSION_GAP, SessionLinks, link_naive

GAP = 10


class Row(NamedTuple):
    group: int
    time: int
    splits: bool


# Times around the gap from each other; groups that belong to no stream are negative.
ROWS = st.lists(
    st.builds(Row, st.integers(-2, 3), st.sampled_from([0, 5, 9, 10, 11, 15, 20, 21, 31]), st.booleans()), max_size=30
)


def naive(rows: list[Row], gap: int = GAP) -> tuple[list[int], list[int], list[int]]:
    return link_naive([r.group for r in rows], [r.time for r in rows], [r.splits for r in rows], gap)


def linked(rows: list[Row], sizes: list[int], gap: int = GAP) -> tuple[list[int], list[int], list[int]]:
    """The same by pieces of the given sizes, and the rest at the end."""
    links = SessionLinks(gap)
    session: list[int] = []
    previous: list[int] = []
    following: list[int] = []
    for size in (*sizes, len(rows)):
        first = len(session)
        piece = rows[first : first + size]
        found = links.extend(
            first,
            np.array([row.group for row in piece], np.int64),
            np.array([row.time for row in piece], np.int64),
            np.array([row.splits for row in piece], bool),
        )
        session += found[0].tolist()
        previous += found[1].tolist()
        following += found[2].tolist()
        for old, new in found[3]:
            assert old < first <= new
            following[old] = new
    assert links.sessions == len(set(session))
    return session, previous, following


@given(ROWS, st.lists(st.integers(0, 7), max_size=8))
def test_pieces_equal_naive(rows: list[Row], sizes: list[int]) -> None:
    assert linked(rows, sizes) == naive(rows)


def test_long_streams_in_random_pieces() -> None:
    rng = random.Random(0)
    rows, time = [], 0
    for _ in range(3000):
        time += rng.choice([1, 2, 9, 10, 11, 40, -30])
        rows.append(Row(rng.choice([0, 0, 0, 1, 2, -1]), time, rng.random() < 0.7))
    for _ in range(4):
        assert linked(rows, [rng.choice([1, 2, 50, 400]) for _ in range(60)]) == naive(rows)


def test_by_hand() -> None:
    rows = [
        Row(0, 0, True),
        Row(1, 0, False),
        Row(0, 10, True),  # exactly the gap: still the same session
        Row(0, 21, True),  # one more than the gap
        Row(1, 99, False),  # a stream with session ids of its own never splits
        Row(-1, 21, True),
        Row(-1, 21, True),
        Row(0, 5, True),  # far back in time is another session too
    ]
    session = [0, 1, 0, 2, 1, 3, 4, 5]
    previous = [-1, -1, 0, -1, 1, -1, -1, -1]
    following = [2, 4, -1, -1, -1, -1, -1, -1]
    for sizes in ([], [1] * 8, [3, 3]):
        assert linked(rows, sizes) == naive(rows) == (session, previous, following)


def test_whether_to_split_is_asked_of_the_later_row() -> None:
    assert naive([Row(0, 0, True), Row(0, 99, False)])[0] == [0, 0]
    assert naive([Row(0, 0, False), Row(0, 99, True)])[0] == [0, 1]
    assert linked([Row(0, 0, False), Row(0, 99, True)], [1])[0] == [0, 1]


def test_times_at_the_ends_of_the_calendar() -> None:
    rows = [Row(0, -62_135_596_800_000_000, True), Row(0, 253_402_300_799_999_999, True)]
    assert linked(rows, [1], SESSION_GAP) == naive(rows, SESSION_GAP) == ([0, 1], [-1, -1], [-1, -1])


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_rows(count: int) -> None:
    assert linked([Row(0, 0, True)] * count, [0, 0]) == naive([Row(0, 0, True)] * count)


def test_rows_of_no_stream_leave_nothing_behind() -> None:
    links = SessionLinks()
    for first in range(0, 300, 3):
        links.extend(first, np.full(3, -1), np.zeros(3, np.int64), np.zeros(3, bool))
    assert links.sessions == 300
    assert not links._last


def test_the_usual_gap_is_an_hour() -> None:
    assert SESSION_GAP == 60 * 60 * 1_000_000 == SessionLinks().gap
