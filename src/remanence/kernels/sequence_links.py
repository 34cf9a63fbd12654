"""Which row follows which: sessions and neighbours in a stream of turns that arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]

SESSION_GAP = 3_600_000_000
"""Microseconds of silence after which a stream without session ids starts a new session."""


def link_naive(
    groups: Sequence[int], times: Sequence[int], splits: Sequence[bool], gap: int = SESSION_GAP
) -> tuple[list[int], list[int], list[int]]:
    """Sessions, predecessors and successors of rows, all at once.

    Row i belongs to stream `groups[i]` and happened at `times[i]`; in streams with `splits[i]` a jump of more than
    `gap` (either way) begins a new session. A row of a negative group belongs to no stream and is a session of its
    own. Returns `(session, previous, next)`; -1: no neighbour. Sessions are numbered by first appearance.
    """
    last: dict[int, int] = {}
    session: list[int] = []
    previous: list[int] = []
    following = [-1] * len(groups)
    count = 0
    for row, group in enumerate(groups):
        before = last.get(group, -1)
        if before >= 0 and not (splits[row] and abs(times[row] - times[before]) > gap):
            session.append(session[before])
            previous.append(before)
            following[before] = row
        else:
            session.append(count)
            previous.append(-1)
            count += 1
        if group >= 0:
            last[group] = row
    return session, previous, following


class SessionLinks:
    """`link_naive` for rows that arrive in pieces; large pieces are linked with array operations."""

    def __init__(self, gap: int = SESSION_GAP) -> None:
        self.gap = gap
        self.sessions = 0
        self._last: dict[int, tuple[int, int, int]] = {}
        """group → (row, time, session) of its newest row."""

    def extend(
        self, first_row: int, groups: NDArray[np.int64], times: NDArray[np.int64], splits: NDArray[np.bool_]
    ) -> tuple[Ints, Ints, Ints, list[tuple[int, int]]]:
        """Link new rows `first_row …`. Returns `(session, previous, next)` of the new rows, with absolute row
        numbers, and `(old row, new row)` pairs for old rows that now have a successor."""
        n = len(groups)
        if not n:
            empty = np.zeros(0, np.int32)
            return empty, empty, empty, []
        order = np.argsort(groups, kind="stable")
        sorted_groups, sorted_times = groups[order], times[order]
        begins = np.flatnonzero(np.diff(sorted_groups, prepend=sorted_groups[0] - 1))
        before_row = np.empty(n, np.int64)
        before_time = np.empty(n, np.int64)
        before_row[1:] = order[:-1] + first_row
        before_time[1:] = sorted_times[:-1]
        carried = {}
        for begin in begins.tolist():
            group = int(sorted_groups[begin])
            before_row[begin], before_time[begin], carried[begin] = self._last.get(group, (-1, 0, -1))
        broken = splits[order] & (np.abs(sorted_times - before_time) > self.gap)
        starts = broken | (before_row < 0) | (sorted_groups < 0)
        before_row[starts] = -1
        # Numbered by first appearance in row order, although the work is done in group order.
        rank = np.full(n, -1, np.int64)
        start_rows = np.sort(order[starts])
        rank[start_rows] = np.arange(len(start_rows)) + self.sessions
        head = np.maximum.accumulate(np.where(starts, np.arange(n), 0))
        session_sorted = rank[order[head]]
        ends = np.append(begins[1:], n)
        continued = ~starts[begins]
        for begin, end in zip(begins[continued].tolist(), ends[continued].tolist(), strict=True):
            # Rows before the piece's first session start continue the session that the group was in.
            fresh = np.flatnonzero(starts[begin:end])
            session_sorted[begin : begin + int(fresh[0]) if len(fresh) else end] = carried[begin]
        previous: Ints = np.empty(n, np.int32)
        previous[order] = before_row
        session: Ints = np.empty(n, np.int32)
        session[order] = session_sorted
        following = np.full(n, -1, np.int32)
        has = previous >= first_row
        following[previous[has] - first_row] = np.flatnonzero(has) + first_row
        joined = [
            (int(previous[i]), int(i) + first_row) for i in np.flatnonzero((previous >= 0) & (previous < first_row))
        ]
        for end in ends.tolist():
            i = int(order[end - 1])
            if groups[i] >= 0:
                self._last[int(groups[i])] = (i + first_row, int(times[i]), int(session[i]))
        self.sessions += len(start_rows)
        return session, previous, following, joined
