"""Conclusions stand as long as their premises, and no longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remanence.kernels.claims.model import Claim
from remanence.runtime.enrichment import facts
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Find
from tests.runtime.knowledge import ANA, DAY, NOW, START, World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.engine.close(close_store=True)


def stale(world: World, id: str) -> bool:
    """Whether a conclusion is marked; then it is not what holds now, and names why."""
    record = world.newest(id)
    assert record.closed_at is None
    marked = record.meta.get("status") == "stale"
    assert marked == bool(record.meta.get("stale_because"))
    assert (id in {one.id for one in conclusions(world)}) == (not marked)
    return marked


def conclusions(world: World, day: float | None = None) -> tuple[Record, ...]:
    view = View(world.engine.now(), None if day is None else START + day * DAY)
    found: tuple[Record, ...] = world.engine.read([Find(view, kinds=("conclusion",), limit=None)], ANA)[0]
    return found


def say(world: World, text: str, day: float = 50) -> str:
    id = world.say(text, day)
    world.work()
    return id


def test_a_conclusion_falls_with_the_fact_that_its_turn_states(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana needs a plug of type F", turn, day=1)
    other = world.conclude("Ana likes the sea", world.say("I love swimming."), day=1)
    world.work()
    assert not stale(world, drawn)
    say(world, "I moved to London.")
    assert stale(world, drawn)
    assert not stale(world, other)
    record = world.newest(drawn)
    assert record.meta["stale_because"] == [turn]
    assert record.valid_to == START + 50 * DAY
    assert record.text == world.versions(drawn)[0].text
    assert drawn in {one.id for one in conclusions(world, 30)}


def test_a_conclusion_from_a_fact_falls_with_it(world: World) -> None:
    world.tell("I live in Lisbon.")
    fact = world.fact("Ana lives in Lisbon").record.id
    drawn = world.conclude("Ana can surf after work", fact, day=1)
    say(world, "I moved to London.")
    assert stale(world, drawn)
    assert world.newest(drawn).meta["stale_because"] == [fact]


def test_a_correction_was_never_true(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    say(world, "Sorry, I meant Madrid, not Lisbon.")
    assert stale(world, drawn)
    assert conclusions(world, 30) == ()


def test_one_fact_of_several_takes_only_what_rests_on_it(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon. I work as a baker. I am allergic to peanuts.")
    surf = world.conclude("Close to the beach, as Lisbon is on the coast", turn, day=1)
    early = world.conclude("A baker gets up early", turn, day=1)
    label = world.conclude("Her job leaves the afternoons free", turn, day=1)
    vague = world.conclude("She told us a lot", turn, day=1)
    both = world.conclude("A baker in Lisbon", turn, day=1)
    say(world, "I moved to London.", 50)
    assert stale(world, both)
    assert [stale(world, id) for id in (surf, early, label, vague)] == [True, False, False, False]
    say(world, "I work as a pilot.", 60)
    assert [stale(world, id) for id in (surf, early, label, vague)] == [True, True, True, False]


def test_what_only_describes_another_fact_does_not_keep_a_conclusion_alive(world: World) -> None:
    turn = world.say("I have a tortoise called Biscuit.")
    told = [
        Claim("Ana", "pet", "Biscuit", "state", 0, 33),
        Claim("Biscuit", "kind", "tortoise", "state", 0, 33),
        Claim("Ana", "event", "got Biscuit", "state", 0, 33, valid_from=START, valid_to=START + DAY),
    ]
    world.engine.write(facts.apply_claims(world.batch([turn]), {turn: told}), ANA)
    drawn = world.conclude("No holidays without a sitter", turn, day=1)
    world.derive([drawn])
    gone = world.say("Biscuit has gone to my aunt.", 50)
    over = Claim("Ana", "pet", "Biscuit", "end", 0, 28)
    world.engine.write(facts.apply_claims(world.batch([gone]), {gone: [over]}), ANA)
    assert stale(world, drawn)


def test_falls_pass_on_from_conclusion_to_conclusion(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    first = world.conclude("Ana can surf after work", turn, day=1)
    world.work()
    second = world.conclude("Ana owns a wetsuit", first, day=2)
    world.work()
    third = world.conclude("Ana has a big wardrobe", second, day=3)
    world.work()
    say(world, "I moved to London.")
    assert [stale(world, id) for id in (first, second, third)] == [True] * 3
    assert world.newest(third).meta["stale_because"] == [second]


def test_what_was_over_before_was_no_premise(world: World) -> None:
    turn, _ = world.tell("I live in Lisbon.", "I moved to London.")
    drawn = world.conclude("Ana speaks some Portuguese", turn, day=2)
    world.work()
    assert not stale(world, drawn)
    say(world, "I moved to Rome.")
    assert not stale(world, drawn)


def test_saying_it_again_or_something_else_leaves_it(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    for text in ("I live in Lisbon.", "I work as a baker.", "Would you live in London?"):
        say(world, text)
    assert not stale(world, drawn)


@pytest.mark.parametrize("by", ["update", "delete"])
def test_what_users_do_to_a_premise_counts_as_well(world: World, by: str) -> None:
    (turn,) = world.tell("The weather was nice.")
    drawn = world.conclude("Ana went out", turn, day=1)
    world.work()
    if by == "update":
        world.update(turn, "The weather was awful.", correction=True)
    else:
        world.delete(turn)
    assert stale(world, drawn)


def test_new_metadata_are_no_new_words(world: World) -> None:
    (turn,) = world.tell("The weather was nice.")
    drawn = world.conclude("Ana went out", turn, day=1)
    world.work()
    world.update(turn, metadata={"mood": "good"})
    assert not stale(world, drawn)


def test_a_fact_that_a_user_rewords_or_deletes(world: World) -> None:
    world.tell("I live in Lisbon.", "I work as a baker.")
    city, job = (world.fact(text).record.id for text in ("Ana lives in Lisbon", "Ana works as a baker"))
    surf, early = world.conclude("Ana can surf", city, day=2), world.conclude("Ana gets up early", job, day=2)
    world.work()
    world.update(city, "Ana lives in Lisbon, Portugal", correction=True)
    assert not stale(world, surf)
    world.update(city, "Ana lives in Madrid", correction=True)
    assert stale(world, surf)
    world.delete(job)
    assert stale(world, early)


def test_an_erased_premise(world: World) -> None:
    one, other = world.tell("The weather was nice.", "The sea was calm.")
    both = world.conclude("Ana went sailing", one, other, day=2)
    alone = world.conclude("Ana went out", one, day=2)
    world.work()
    world.erase(one)
    assert stale(world, both)
    assert world.newest(both).meta["stale_because"] == [one]
    assert alone not in {record.id for record in conclusions(world)}


def test_what_is_taken_back_restores_what_fell_and_everybody_can_see_it(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    world.work()
    before = world.newest(drawn)
    moved = say(world, "I moved to London.")
    change = world.delete(moved)
    after = world.newest(drawn)
    assert not stale(world, drawn)
    assert (after.text, dict(after.meta), after.valid_to) == (before.text, dict(before.meta), before.valid_to)
    assert after.version == 3
    world.undo(change, moved)
    assert stale(world, drawn)


def test_coming_back_to_the_value_does_not(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    say(world, "I moved to London.", 50)
    say(world, "I moved to Lisbon.", 60)
    assert stale(world, drawn)


def test_a_plan_lets_it_stand_until_then(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    say(world, "I moved to London.", 130)
    assert world.newest(drawn).valid_to == START + 130 * DAY > NOW
    assert [one.id for one in conclusions(world)] == [drawn]


def test_working_again_changes_nothing(world: World) -> None:
    (turn,) = world.tell("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    moved = say(world, "I moved to London.")
    assert stale(world, drawn)
    assert world.derive([turn, drawn, moved]) == []


def test_the_order_of_jobs_does_not_matter(world: World) -> None:
    turn = world.say("I live in Lisbon.")
    drawn = world.conclude("Ana can surf after work", turn, day=1)
    moved = world.say("I moved to London.", 50)
    for id in (moved, drawn, turn):
        world.derive([id])
    assert stale(world, drawn)
    other = World()
    turn, moved = other.say("I live in Lisbon."), other.say("I moved to London.", 50)
    drawn = other.conclude("Ana can surf after work", turn, day=51)
    for id in (drawn, moved, turn):
        other.derive([id])
    assert not stale(other, drawn)
