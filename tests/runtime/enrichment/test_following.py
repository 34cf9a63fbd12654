"""What workers keep in memory is what the store has, and what they read grows with the work and no faster."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from remanence.core.errors import NotFound
from remanence.core.scope import Scope
from remanence.runtime.enrichment.following import _EVERY, Followers
from remanence.runtime.enrichment.handler import Batch, home_of
from remanence.runtime.enrichment.made import Shelf, standing
from remanence.runtime.memory import Memory
from remanence.scenarios.dialogues import generate
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.model import Draft, Record, View
from remanence.substrates.records.operations import Close, Erase, Find, Operation, Outcome, Put, Restore, Revise
from remanence.substrates.records.reference import MemoryStore
from tests.runtime.enrichment.house import ANA, START, House

HANDLERS = ("derived:entities", "derived:episodes")
KINDS = ("entity", "episode")


def batch_of(house: House, scope: Scope) -> Batch:
    return Batch(
        engine=house.engine, scope=scope, home=home_of(scope), turns=(), gone=(), changed=(), now=house.engine.now()
    )


def naive(house: House, kind: str, origin: str, scope: Scope | None) -> list[tuple[str, int, str, bool]]:
    """What stands, read from the store each time."""
    asked = Find(View(house.engine.now()), kinds=(kind,), limit=None, closed=True, derived=True)
    (found,) = house.store.batch([asked], scope=ANA).results
    return [
        (record.id, record.version, record.text, record.closed_at is not None)
        for record in found
        if record.origin == origin and home_of(record.scope) == ANA and (scope is None or record.scope == scope)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_shelf_holds_what_the_store_has(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remanence.runtime.enrichment.following._WORTH_READING_ALL", 6)
    house = House(store=MemoryStore(), embedder=HashEmbedder())
    rng = random.Random(seed)
    (turn,) = house.say("Ana: hello")
    ids: list[str] = []
    scopes = (
        ANA,
        Scope(user_id="ana", run_id="s1"),
        Scope(user_id="ana", run_id="s2"),
        Scope(user_id="ana", agent_id="x"),
    )
    for _ in range(60):
        for _ in range(rng.choice((1, 1, 1, 9))):
            write(house, rng, ids, turn, scopes)
        kind, origin = rng.choice(KINDS), rng.choice(HANDLERS)
        scope = rng.choice((None, *scopes[:3]))
        found = standing(batch_of(house, scopes[1]), kind, origin.partition(":")[2], scope)
        kept = [(one.id, one.version, one.draft.text, one.closed) for one in found]
        assert kept == naive(house, kind, origin, scope)


def write(house: House, rng: random.Random, ids: list[str], turn: str, scopes: Sequence[Scope]) -> None:
    scope = rng.choice(scopes)
    # One that somebody gave other words is theirs.
    origin = rng.choice((*HANDLERS, None))
    draft = Draft(f"text {rng.random()}", kind=rng.choice(KINDS), scope=scope, origin=origin, event_at=START)
    operation: Operation = Put(draft)
    if ids and rng.random() < 0.6:
        id = rng.choice(ids)
        operation = rng.choice((Revise(id, draft), Close(id), Restore(id, 1), Erase((id,))))
    try:
        outcome: Outcome = house.store.batch([operation], scope=ANA)
    except NotFound:
        return
    if isinstance(operation, Put):
        ids.append(outcome.results[0].id)
    elif isinstance(operation, Erase):
        ids.remove(operation.ids[0] if operation.ids else "")


def test_nothing_is_kept_of_a_store_that_was_told_to_forget() -> None:
    house = House(store=MemoryStore())
    shelves = Followers(Shelf)
    shelf = shelves.of(house.engine, ANA)
    assert shelves.of(house.engine, ANA) is shelf
    shelves.forget(house.engine)
    assert shelves.of(house.engine, ANA) is not shelf


def test_no_words_of_an_erased_memory_stay_in_memory() -> None:
    with Memory(":memory:", background=False, user_id="ana") as memory:
        id = memory.add("My sister Freya moved to Bergen", speaker="Ana")["results"][0]["id"]
        memory.flush()
        kept = [followers for followers in _EVERY if memory._engine in followers._kept]
        assert len(kept) == 2, "facts, and what is made anew as a whole"
        memory.erase(id)
        assert [followers for followers in kept if memory._engine in followers._kept] == []


class Counting(MemoryStore):
    """Counts the records that it hands out."""

    handed = 0

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        for result in outcome.results:
            if isinstance(result, tuple):
                self.handed += sum(isinstance(one, Record) for one in result)
        return outcome


def test_records_read_grow_with_the_sessions_and_no_faster() -> None:
    """A job for each session used to read all that was derived of all sessions."""
    per_turn = []
    for sessions in (8, 32):
        store = Counting()
        house = House(store=store, embedder=HashEmbedder())
        turns = generate(5, sessions=sessions, people=3, hardness="easy").turns
        by_session: dict[str, list[str]] = {}
        for turn in turns:
            by_session.setdefault(turn.session, []).extend(
                house.say(f"{turn.speaker}: {turn.text}", session=turn.session, at=turn.at)
            )
        store.handed = 0
        for ids in by_session.values():
            house.derive(ids)
        per_turn.append(store.handed / len(turns))
    assert per_turn[1] < 1.3 * per_turn[0]
