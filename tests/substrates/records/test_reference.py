"""What the reference store does beyond the contract, whose rules run in tests/stores/contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import Changes, Find, History, Put
from remanence.substrates.records.reference import MemoryStore

ANA = Scope(user_id="ana")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_clock_readings_are_kept_in_utc() -> None:
    oslo = timezone(timedelta(hours=1))
    store = MemoryStore(clock=lambda: NOON.astimezone(oslo))
    id = store.batch([Put(Draft("x"))], scope=ANA).results[0].id
    (record,) = store.batch([History(id)], scope=ANA).results[0]
    assert (record.recorded_at, record.recorded_at.tzinfo) == (NOON, UTC)


def test_the_same_clock_and_bits_give_the_same_store() -> None:
    def written() -> object:
        bits = iter(range(10**6))
        store = MemoryStore(clock=SteppingClock(NOON), random_bits=lambda count: next(bits))
        return [store.batch([Put(Draft(str(number)))], scope=ANA) for number in range(5)]

    assert written() == written()
    # Without injected bits the ids of two stores differ even under one clock.
    ids = {MemoryStore(clock=lambda: NOON).batch([Put(Draft("x"))], scope=ANA).results[0].id for _ in range(8)}
    assert len(ids) == 8


def test_a_failing_clock_leaves_the_store_as_it_was() -> None:
    times = iter([NOON])
    store = MemoryStore(clock=lambda: next(times))
    store.batch([Put(Draft("x"))], scope=ANA)
    with pytest.raises(StopIteration):
        store.batch([Put(Draft("y"))], scope=ANA)
    found, journal = store.batch([Find(View(NOON)), Changes()], scope=ANA).results
    assert ([record.text for record in found], len(journal), store.position()) == (["x"], 1, 1)
