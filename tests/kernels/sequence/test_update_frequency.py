"""Where levels are due: every period is met exactly, wherever a stream is cut."""

from __future__ import annotations

import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.sequence.update_frequency import cycle, spans


@pytest.mark.parametrize("periods", [(1,), (3,), (2, 4, 8), (3, 5), (64, 512)])
def test_a_level_is_due_after_every_period_and_at_no_other_time(periods: tuple[int, ...]) -> None:
    found: dict[int, tuple[int, ...]] = {}
    at = 0
    for length in (1, 0, 7, 20, 2, 100):
        for span in spans(at, length, periods):
            assert 0 <= span.first < span.last <= length
            if span.due:
                found[at + span.last] = span.due
        at += length
    wanted = {t: tuple(n for n, period in enumerate(periods) if t % period == 0) for t in range(1, at + 1)}
    assert found == {t: due for t, due in wanted.items() if due}


def test_spans_are_as_long_as_nothing_changes() -> None:
    assert [span.last - span.first for span in spans(5, 20, (8, 12))] == [3, 4, 4, 8, 1]
    assert list(spans(0, 0, (8,))) == []


def test_the_cycle_is_the_least_common_multiple() -> None:
    assert cycle((8, 12)) == 24
    for periods in ((), (0, 1)):
        with pytest.raises(InvalidInput, match="at least one token"):
            cycle(periods)
