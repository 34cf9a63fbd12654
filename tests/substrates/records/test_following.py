"""The current records of a scope, followed by the journal: always what the store itself would list."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.following import Current
from remanence.substrates.records.model import Draft, Source, View
from remanence.substrates.records.operations import Close, Erase, Find, Operation, Put, Restore, Revise, Touch
from remanence.substrates.records.reference import MemoryStore

ANA, BOB = Scope(user_id="ana"), Scope(user_id="bob")
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=365)


def listed(store: MemoryStore) -> list[tuple[str, str, str]]:
    (records,) = store.batch([Find(View(NOW), limit=None)], scope=ANA).results
    return [(one.id, one.kind, one.text) for one in records if one.closed_at is None]


def held(current: Current) -> list[tuple[str, str, str]]:
    kinds = ("turn", "note", "fact")
    assert all(list(current.of(kind)) == sorted(current.of(kind)) for kind in kinds)
    return sorted((one.id, one.kind, one.text) for kind in kinds for one in current.of(kind).values())


@pytest.mark.parametrize("seed", range(12))
def test_it_holds_what_the_store_lists(seed: int) -> None:
    dice = random.Random(seed)
    store = MemoryStore(clock=SteppingClock(START), random_bits=dice.getrandbits)
    current = Current(store, ANA)
    ids: list[str] = []
    for step in range(80):
        kind, act = dice.choice(("turn", "note", "fact")), dice.random()
        some = dice.choice(ids) if ids else ""
        operation: Operation
        if act < 0.5 or not ids:
            sources = (Source(some, 0, 1),) if some and act < 0.2 else ()
            operation = Put(Draft(f"text {step}", kind=kind, sources=sources))
        elif act < 0.65:
            operation = Revise(some, Draft(f"text {step}", kind=kind))
        elif act < 0.8:
            operation = Close(some)
        elif act < 0.9:
            operation = Restore(some, 1)
        elif act < 0.95:
            operation = Touch((some,), NOW)
        else:
            operation = Erase((some,))
        try:
            outcome = store.batch([operation], scope=dice.choice((ANA, ANA, ANA, BOB)))
        except (NotFound, Conflict):
            continue
        if isinstance(operation, Put):
            ids.append(outcome.results[0].id)
        if dice.random() < 0.6:
            current.refresh(NOW)
            assert held(current) == listed(store)
    current.refresh(NOW)
    assert held(current) == listed(store)
    fresh = Current(store, ANA)
    fresh.refresh(NOW)
    assert held(fresh) == held(current)
    assert {id: set(fresh.citing(id)) for id in ids} == {id: set(current.citing(id)) for id in ids}


def test_what_rests_on_what() -> None:
    store = MemoryStore(clock=SteppingClock(START))

    def put(text: str, *sources: str) -> str:
        draft = Draft(text, kind="note" if sources else "turn", sources=tuple(Source(one, 0, 1) for one in sources))
        id: str = store.batch([Put(draft)], scope=ANA).results[0].id
        return id

    a, b = put("a"), put("b")
    ab, bb = put("ab", a, b), put("bb", b)
    abab = put("abab", ab, bb)
    current = Current(store, ANA)
    current.refresh(NOW)
    assert set(current.citing(b)) == {ab, bb}
    assert set(current.dependents([a])) == {ab, abab}
    assert set(current.dependents([b])) == {ab, bb, abab}
    assert current.dependents([abab]) == []
    store.batch([Close(ab)], scope=ANA)
    current.refresh(NOW)
    assert current.citing(a) == []
    assert set(current.dependents([b])) == {bb, abab}
    assert current.get(ab) is None
    record = current.get(bb)
    assert record is not None
    assert record.text == "bb"
