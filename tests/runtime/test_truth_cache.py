"""Facts that are kept ready between searches: how many, and whose words they take "I" for."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.runtime import knowing
from remanence.runtime.arguments import view_of
from remanence.runtime.engine import Engine
from remanence.substrates.records.operations import Close, Put, Revise
from remanence.substrates.records.reference import MemoryStore
from tests.runtime.knowledge import World as Told
from tests.substrates.worlds import ANA, BOB, EMBEDDER, START, World, turn


@pytest.fixture
def engine() -> Engine:
    clock = SteppingClock(START, timedelta(minutes=7))
    store = MemoryStore(clock=clock, random_bits=random.Random(0).getrandbits)
    return Engine(
        store, embedder=EMBEDDER, analyzer=Analyzer(), clock=clock, defaults={}, actor="", index_bytes=1 << 26
    )  # fmt: skip


def asked(engine: Engine, scope: Scope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who says "I", as the records say and as the index does."""
    view = view_of(engine.now(), None, None)
    return knowing._me(engine, scope, view), knowing._me_by(engine.index(scope, EMBEDDER.space), view)


@pytest.mark.parametrize("seed", range(3))
def test_the_index_knows_who_speaks_as_the_records_do(seed: int, engine: Engine) -> None:
    world = World(engine.store, seed)
    for _ in range(60):
        world.step()
        for scope in (ANA, BOB, Scope(user_id="ana", run_id="r1")):
            by_records, by_index = asked(engine, scope)
            assert by_records == by_index


def test_only_the_turns_at_both_ends_count(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "_SAMPLE", 2)

    def say(speaker: str, role: str = "user") -> str:
        id: str = engine.store.batch([Put(turn("hello", speaker=speaker, role=role))], scope=ANA).results[0].id
        return id

    first, second = say("Ana"), say("ana")
    say("Zoe", "assistant")
    third, fourth = say("Ana"), say("ANA")
    assert asked(engine, ANA) == (("Ana",), ("Ana",))
    say("Bea")
    assert asked(engine, ANA) == ((), ())
    say("Ana")
    say("Ana")
    # Bea is in the middle now; revised, the first turn keeps its place, which is by its id.
    assert asked(engine, ANA) == (("Ana",), ("Ana",))
    engine.store.batch([Revise(first, turn("hello", speaker="Cleo", role="user"))], scope=ANA)
    assert asked(engine, ANA) == ((), ())
    engine.store.batch([Close(first)], scope=ANA)
    assert asked(engine, ANA) == (("Ana",), ("Ana",))
    engine.store.batch([Close(second), Close(third), Close(fourth)], scope=ANA)
    assert asked(engine, ANA) == ((), ())


def test_facts_are_kept_for_many_scopes_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    users = [Scope(user_id=name) for name in ("Ana", "Bea", "Cleo")]
    for user in users:
        told.tell("I live in Lisbon.", "I work as a baker.", scope=user)
    view = view_of(told.engine.now(), None, None)
    cache, read = told.engine.truth, []
    ledger = knowing.ledger

    def counted(engine: Engine, scope: Scope, *others: object) -> object:
        read.append(scope)
        return ledger(engine, scope, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(knowing, "ledger", counted)
    for _ in range(2):
        assert [len(cache.facts(user, view).facts) for user in users] == [2, 2, 2]
    assert read == users
    monkeypatch.setattr("remanence.runtime.truth.MOST_FACTS", 4)
    cache.facts(users[0], view)
    # Bea's are the oldest, and only hers had to go.
    cache.facts(users[2], view)
    assert read == users
    cache.facts(users[1], view)
    assert read == [*users, users[1]]
    # One scope with more than all may have is kept nevertheless, since it is in use.
    monkeypatch.setattr("remanence.runtime.truth.MOST_FACTS", 1)
    for _ in range(2):
        cache.facts(users[1], view)
    assert read == [*users, users[1]]
