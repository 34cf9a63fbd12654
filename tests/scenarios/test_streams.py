from __future__ import annotations

from datetime import timedelta
from itertools import islice, pairwise

import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.attributes import ATTRIBUTES
from remanence.scenarios.streams import GAP, memory_stream
from remanence.scenarios.values import MEN, WOMEN
from remanence.scenarios.world import KNOWN_OF_OTHERS, LAST_YEAR, Simulation


def test_a_stream_goes_on_with_new_ids_and_later_times() -> None:
    turns = list(islice(memory_stream(1), 20_000))
    assert len({turn.id for turn in turns}) == len(turns)
    assert all(one.at < two.at for one, two in pairwise(turns))
    assert turns[-1].at - turns[0].at < timedelta(days=365)
    assert len({turn.text for turn in turns}) > 4_000


def test_a_stream_is_repeatable_and_seeds_differ() -> None:
    assert list(islice(memory_stream(2), 500)) == list(islice(memory_stream(2), 500))
    assert list(islice(memory_stream(2), 500)) != list(islice(memory_stream(3), 500))


def test_a_stream_keeps_nothing_but_the_state_of_the_world() -> None:
    world = Simulation(1, 3, "hard", gap=GAP)
    for index in range(1500):
        world.session(index)
        world.forget()
    assert not world.entries
    assert not world.near
    assert not world.happened
    assert len(world.turns) < 100
    assert len(world.persons) <= len(WOMEN) + len(MEN)
    assert len(world.slots) <= len(world.speakers) * len(ATTRIBUTES) + len(world.persons) * KNOWN_OF_OTHERS
    assert all(len(slot.entries) <= 8 for slot in world.slots.values())
    assert sum(map(len, world.stated.values())) <= len(world.slots)


def test_facts_keep_changing_for_as_long_as_one_listens() -> None:
    world = Simulation(1, 3, "easy", gap=GAP)
    for index in range(1200):
        world.session(index)
        world.forget()
    cities = {slot.who.name: [entry.value for entry in slot.open] for slot in world.slots.values()}
    for index in range(1200, 2400):
        world.session(index)
        world.forget()
    later = {slot.who.name: [entry.value for entry in slot.open] for slot in world.slots.values()}
    assert cities != later


def test_the_calendar_starts_over_before_it_ends() -> None:
    world = Simulation(1, 2, "easy")
    world.session(0)
    world.clock = world.clock.replace(year=LAST_YEAR - 1, month=12, day=30)
    for index in range(1, 8):
        turns = world.session(index)
    assert turns[0].at.year in (2024, 2025)


def test_bad_arguments_are_refused_at_the_call() -> None:
    with pytest.raises(InvalidInput, match="people must be 2 to 8, not 0"):
        memory_stream(1, people=0)
