"""Costly work that has jobs of its own: it waits, it is put off, it kills nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import (
    BudgetExceeded,
    LLMMalformed,
    LLMUnavailable,
)
from remanence.runtime import working
from remanence.runtime.memory import Memory
from remanence.runtime.outbox import jobs
from remanence.runtime.working import drain
from tests.runtime.handlers import (
    ANA,
    Echoes,
    Slow,
    Topics,
    derived,
    engine_of,
    install,
    later,
    right,
)


def test_costly_work_waits_for_more_and_is_one_job(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    slow = Slow(rounds=2)
    install(monkeypatch, laters=[slow])
    engine = engine_of(memory)
    for number in range(3):
        memory.add(f"a {number}", user_id="ana")
        drain(engine)
    assert [row["kind"] for row in jobs(engine, ANA)] == ["enrich:slow"]
    assert slow.calls == 0
    later(clock, 31)
    assert drain(engine)["done"] == 2
    assert [row[1] for row in derived(engine, ANA)] == ["3 turns, part 1", "3 turns, part 2"]


def test_who_cannot_do_it_does_not_take_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    slow = Slow()
    install(monkeypatch, laters=[slow])
    engine = engine_of(memory)
    memory.add("a", user_id="ana")
    drain(engine)
    slow.able = False
    later(clock, 31)
    memory.add("b", user_id="ana")
    assert drain(engine)["left"] is False
    assert [row["kind"] for row in jobs(engine, ANA)] == ["enrich:slow"]
    slow.able = True
    drain(engine)
    assert slow.calls == 1


def test_a_service_that_is_down_for_a_day_kills_no_job(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    down = LLMUnavailable("down")
    down.retry_after = 120.0
    slow = Slow(error=down)
    install(monkeypatch, laters=[slow])
    engine = engine_of(memory)
    memory.add("a", user_id="ana")
    drain(engine)
    for _ in range(24 * 4):
        later(clock, 900)
        drain(engine)
    (row,) = jobs(engine, ANA)
    assert (row["state"], row["error"]) == ("waiting", "LLMUnavailable: down")
    assert working.MOST_FAILURES < slow.calls <= 24 * 4
    slow.error = None
    later(clock, 4000)
    assert drain(engine)["done"] == 1
    assert len(derived(engine, ANA)) == 1


def test_a_spent_budget_waits_for_the_next_day(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    spent = BudgetExceeded("spent")
    slow = Slow(error=spent)
    install(monkeypatch, laters=[slow])
    engine = engine_of(memory)
    memory.add("a", user_id="ana")
    drain(engine)
    later(clock, 31)
    spent.until = clock.current + timedelta(hours=5)
    drain(engine)
    later(clock, 4 * 3600)
    assert drain(engine)["retried"] == 0
    assert slow.calls == 1
    slow.error = None
    later(clock, 2 * 3600)
    assert drain(engine)["done"] == 1


def test_an_answer_that_is_always_unusable_is_dead_in_the_end(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    slow = Slow(error=LLMMalformed("no JSON"))
    install(monkeypatch, Topics(), Echoes(), laters=[slow])
    memory.add("a one", user_id="ana")
    for _ in range(20):
        drain(engine_of(memory))
        later(clock, 4000)
    (row,) = jobs(engine_of(memory), ANA)
    assert (row["state"], slow.calls) == ("dead", working.MOST_FAILURES)
    right(memory)
