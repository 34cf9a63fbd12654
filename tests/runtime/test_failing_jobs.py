"""Handlers that fail, stores that cannot be written, workers that die: nothing is lost, nothing happens twice."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import (
    StoreBusy,
    StoreError,
    StoreFull,
)
from remanence.core.scope import Scope
from remanence.runtime import outbox, working
from remanence.runtime.engine import Engine
from remanence.runtime.memory import Memory
from remanence.runtime.outbox import jobs
from remanence.runtime.working import Shift, drain
from remanence.substrates.records.model import Draft, Source
from remanence.substrates.records.operations import Jobs, Lease, Outcome, Put, Settle
from tests.runtime.handlers import (
    ANA,
    Echoes,
    Fails,
    Returns,
    Topics,
    derived,
    engine_of,
    install,
    later,
    right,
)
from tests.support.waiting import eventually

AGENT = Scope(user_id="ana", agent_id="a1")

Make = Callable[..., Memory]


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    found = Topics()
    install(monkeypatch, found, Echoes())
    return found


def test_one_handler_that_fails_stops_no_other(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = Fails()
    install(monkeypatch, Topics(), Echoes(), fails)
    engine = engine_of(memory)
    memory.add("cats purr", user_id="ana")
    drain(engine)
    right(memory)
    (row,) = jobs(engine, ANA)
    assert (row["kind"], row["state"]) == ("enrich:fails", "waiting")


def test_a_job_that_always_fails_is_dead_in_the_end_and_can_be_revived(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    fails, topics = Fails("no\nsense " + "x" * 500), Topics()
    install(monkeypatch, topics, fails)
    engine = engine_of(memory)
    memory.add("cats purr", user_id="ana")
    drain(engine)
    pauses = []
    for _ in range(20):
        (row,) = jobs(engine, ANA)
        if row["state"] == "dead":
            break
        due = engine.read([Jobs()], ANA)[0][0].due
        pauses.append((due - engine.now()).total_seconds())
        later(clock, pauses[-1] + 1)
        drain(engine)
    assert row["state"] == "dead"
    assert row["error"].startswith("ValueError: no sense xxx")
    assert len(row["error"]) <= 200
    assert fails.calls == 1 + working.MOST_FAILURES
    assert all(0.5 * 2**n - 0.1 <= pause <= 2 * 2**n for n, pause in enumerate(pauses, 0)), pauses
    later(clock, 1e6)
    assert drain(engine)["done"] == 0
    fails.words = None
    assert outbox.retry_jobs(engine, ANA) == 1
    assert drain(engine)["done"] == 1
    assert jobs(engine, ANA) == []


def test_a_revived_job_has_all_its_attempts_again(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    fails = Fails()
    install(monkeypatch, fails)
    engine = engine_of(memory)
    memory.add("cats purr", user_id="ana")
    for _ in range(20):
        drain(engine)
        later(clock, 4000)
    assert jobs(engine, ANA)[0]["state"] == "dead"
    calls = fails.calls
    outbox.retry_jobs(engine, ANA, [jobs(engine, ANA)[0]["id"]])
    for _ in range(20):
        drain(engine)
        later(clock, 4000)
    assert fails.calls == calls + working.MOST_FAILURES


def test_a_handler_that_fails_at_times_gets_there(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    rng = random.Random(3)

    class Flaky(Topics):
        def derive(self, batch: Any) -> Any:
            if rng.random() < 0.6:
                raise RuntimeError("at times")
            return super().derive(batch)

    install(monkeypatch, Flaky(), Echoes())
    for number in range(12):
        memory.add(f"{'abc'[number % 3]} {number}", user_id="ana", run_id=f"r{number % 2}")
        drain(engine_of(memory))
        later(clock, 3)
    for _ in range(20):
        later(clock, 4000)
        drain(engine_of(memory))
    assert jobs(engine_of(memory), ANA) == []
    right(memory)


@pytest.mark.parametrize(
    "wrong",
    [
        Put(Draft("no source", origin="derived:returns")),
        Put(Draft("not mine", sources=(Source("01ARZ3NDEKTSV4RRFFQ69G5FAV", 0, 1),))),
        Put(Draft("nowhere", sources=(Source("01ARZ3NDEKTSV4RRFFQ69G5FAV", 0, 1),), origin="derived:returns")),
        Put(Draft("", sources=(Source("01ARZ3NDEKTSV4RRFFQ69G5FAV", 0, 1),), origin="derived:returns")),
        Put(Draft("of bo", scope=Scope(user_id="bo"), sources=(Source("x", 0, 1),), origin="derived:returns")),
    ],
)
def test_nonsense_from_a_handler_is_refused_and_stops_no_other(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock, wrong: Put
) -> None:
    install(monkeypatch, Topics(), Echoes(), Returns([wrong]))
    engine = engine_of(memory)
    memory.add("cats purr", user_id="ana")
    for _ in range(20):
        drain(engine)
        later(clock, 4000)
    right(memory)
    (row,) = jobs(engine, ANA)
    assert (row["kind"], row["state"]) == ("enrich:returns", "dead")
    assert row["error"]


def test_the_later_handlers_of_one_that_failed_run_again_behind_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, clock: SteppingClock
) -> None:
    broken = [True]

    class Breaks(Topics):
        def derive(self, batch: Any) -> Any:
            if broken[0]:
                raise RuntimeError("not yet")
            return super().derive(batch)

    echoes = Echoes()
    install(monkeypatch, Breaks(), echoes)
    memory.add("cats purr", user_id="ana")
    drain(engine_of(memory))
    assert echoes.planned == [0]
    broken[0] = False
    later(clock, 10)
    drain(engine_of(memory))
    assert len(echoes.planned) == 2
    right(memory)


class Troubled:
    """A store that raises at chosen writes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.trouble: Callable[[list[Any]], Exception | None] = lambda operations: None
        self.before: Callable[[list[Any]], None] = lambda operations: None

    def batch(self, operations: Any, **options: Any) -> Outcome:
        self.before(list(operations))
        error = self.trouble(list(operations))
        if error is not None:
            raise error
        outcome: Outcome = self._store.batch(operations, **options)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def troubled(memory: Memory) -> Troubled:
    store = Troubled(memory.store)
    engine_of(memory).store = store
    return store


def ends(operations: list[Any]) -> bool:
    return any(isinstance(operation, Settle) and operation.outcome == "done" for operation in operations)


@pytest.mark.parametrize("error", [StoreBusy("busy"), StoreFull("full")])
def test_a_store_that_cannot_be_written_costs_nothing(memory: Memory, topics: Topics, error: StoreError) -> None:
    memory.add("cats purr", user_id="ana")
    store = troubled(memory)
    store.trouble = lambda operations: error if ends(operations) else None
    with pytest.raises(type(error)):
        drain(engine_of(memory))
    (row,) = jobs(engine_of(memory), ANA)
    assert (row["state"], derived(engine_of(memory), ANA)) == ("waiting", [])
    store.trouble = lambda operations: None
    assert drain(engine_of(memory))["done"] == 1
    right(memory)


def test_a_store_that_fails_altogether_costs_only_time(memory: Memory, topics: Topics, clock: SteppingClock) -> None:
    memory.add("cats purr", user_id="ana")
    store = troubled(memory)
    store.trouble = lambda operations: StoreFull("full") if any(type(o) is Settle for o in operations) else None
    for _ in range(5):
        with pytest.raises(StoreFull):
            drain(engine_of(memory))
        later(clock, 61)
    store.trouble = lambda operations: None
    assert drain(engine_of(memory))["done"] == 1
    right(memory)


def test_what_somebody_changed_meanwhile_is_derived_anew(memory: Memory, topics: Topics) -> None:
    id = memory.add("cats purr", user_id="ana")["results"][0]["id"]
    drain(engine_of(memory))
    memory.add("cats meow", user_id="ana")
    store = troubled(memory)
    done: list[int] = []

    def interfere(operations: list[Any]) -> None:
        if ends(operations) and not done:
            done.append(1)
            memory.erase([id], user_id="ana")

    store.before = interfere
    drain(engine_of(memory))
    assert done
    right(memory)


def test_who_was_too_slow_has_no_effect(memory: Memory, topics: Topics, clock: SteppingClock) -> None:
    memory.add("cats purr", user_id="ana")
    engine = engine_of(memory)
    store = troubled(memory)
    others: list[int] = []

    def overtake(operations: list[Any]) -> None:
        if ends(operations) and not others:
            others.append(0)
            later(clock, 120)
            others[0] = drain(engine)["done"]

    store.before = overtake
    shift = Shift(engine)
    shift.step()
    assert others == [1]
    assert (shift.tally.done, shift.tally.lost) == (0, 1)
    right(memory)


def test_a_lease_that_ran_out_ends_nothing(memory: Memory, topics: Topics, clock: SteppingClock) -> None:
    memory.add("cats purr", user_id="ana")
    store = troubled(memory)
    store.before = lambda operations: later(clock, 120) if ends(operations) else None
    shift = Shift(engine_of(memory))
    shift.step()
    assert (shift.tally.done, shift.tally.lost, derived(engine_of(memory), ANA)) == (0, 1, [])
    store.before = lambda operations: None
    later(clock, 120)
    assert drain(engine_of(memory))["done"] == 1
    right(memory)


def test_leases_are_renewed_while_work_goes_on(
    memory: Memory, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock goes on when the test says so, however long a busy machine takes.
    clock.step = timedelta(microseconds=1)

    def held_until() -> Any:
        (job,) = engine_of(memory).read([Jobs()], ANA)[0]
        return job.leased_until

    class Long(Topics):
        def derive(self, batch: Any) -> Any:
            for _ in range(4):
                before = held_until()
                later(clock, 0.1)
                eventually(lambda before=before: held_until() > before)  # type: ignore[misc]
            return super().derive(batch)

    install(monkeypatch, Long())
    memory.add("cats purr", user_id="ana")
    shift = Shift(engine_of(memory), lease=0.2)
    shift.step()
    assert (shift.tally.done, shift.tally.lost, shift.tally.errors) == (1, 0, [])


def lease(engine: Engine, name: str, limit: int = 100) -> Any:
    return engine.store.batch([Lease(name, limit=limit)], scope=ANA).results[0]


def test_one_home_has_one_worker(memory: Memory, topics: Topics, clock: SteppingClock) -> None:
    engine = engine_of(memory)
    memory.add("a one", user_id="ana")
    memory.add("a two", user_id="ana", run_id="r1")
    memory.add("a three", user_id="ana", agent_id="a1")
    assert [job.scope for job in lease(engine, "somebody", limit=1)] == [ANA]
    shift = Shift(engine)
    assert shift.step()
    assert shift.blocked
    assert [str(batch.scope) for batch in topics.batches] == [str(AGENT)], "the run is of the home that is taken"
    assert not shift.step()
    later(clock, 61)
    while shift.step():
        pass
    assert (shift.tally.done, shift.blocked) == (3, False)
    right(memory)


def test_a_job_that_kills_its_workers_is_found_out(
    memory: Memory, topics: Topics, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(memory)

    class Death(BaseException):
        pass

    class Deadly(Topics):
        def derive(self, batch: Any) -> Any:
            if any("poison" in turn.text for turn in batch.turns):
                raise Death
            return super().derive(batch)

    install(monkeypatch, Deadly(), Echoes())
    for text in ("a one", "a poison", "a two", "a three"):
        memory.add(text, user_id="ana")
    monkeypatch.setattr(Shift, "_give_back", give_back_if_alive)
    for _ in range(60):
        later(clock, 61)
        try:
            Shift(engine).step()
        except Death:
            continue
    (row,) = jobs(engine, ANA)
    assert row["state"] == "dead"
    assert working.MOST_LOSSES < row["attempts"] <= working.MOST_LOSSES + 3
    assert "workers ended" in row["error"]
    assert ("topic", "a: a one | a two | a three") in [found[:2] for found in derived(engine, ANA)]


_GIVE_BACK = Shift._give_back


def give_back_if_alive(self: Shift, jobs: Any, home: Scope) -> None:
    """What dies gives nothing back."""
    if sys.exc_info()[0] is None or issubclass(sys.exc_info()[0] or Exception, Exception):
        _GIVE_BACK(self, jobs, home)


def test_the_clock_may_be_set_back(memory: Memory, topics: Topics, clock: SteppingClock) -> None:
    memory.add("a one", user_id="ana")
    clock.current -= timedelta(days=1)
    memory.add("a two", user_id="ana")
    assert drain(engine_of(memory))["done"] == 2
    memory.add("a three", user_id="ana")
    clock.current -= timedelta(days=400)
    assert drain(engine_of(memory))["done"] == 1
    right(memory)
