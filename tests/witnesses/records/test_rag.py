"""What the witness of RAG is worth: answers follow the passages, and only the passages."""

from __future__ import annotations

import pytest

from remanence.mechanisms.records.rag import CARD
from remanence.scenarios.dice import Dice
from remanence.witnesses.records import rag as module
from remanence.witnesses.records.rag import SLOTS, Generator, World, measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value >= 0.95
    assert "without any training" in CARD.claim


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_answer_from_two_passages_favours_the_sum_per_token(seed: int) -> None:
    found = measure(seed)
    assert found["two_token"] > found["two_sequence"]
    assert found["two_token_log"] > found["two_sequence_log"] + 1
    # And summing over passages finds more than trusting the nearest one.
    assert found["sequence"] > found["hard"]


def test_before_the_exchange_both_know_everything() -> None:
    found = measure(0)
    assert found["by_heart_before"] == 1
    assert found["before"] >= 0.95
    assert found["by_heart"] == 0


def test_passages_that_are_not_exchanged_are_not_answered_by() -> None:
    # The generator knows no answer itself: with old passages it gives old answers.
    dice = Dice(0)
    people = ["Ana", "Ivo", "Lena", "Omar", "Priya", "Hugo"]
    world, other = World.of(dice, people), World.of(dice, people)
    other.differ_from(world, dice)
    generator = Generator(tuple(value for _, _, values in SLOTS.values() for value in values))
    memory = module._memory(world)
    for clauses, answers in world.single():
        generator.learn(clauses, answers, module._find(memory, clauses, 5))
    assert module._share(memory, generator, world, 5) > 0.9
    assert module._share(memory, generator, other, 5) < 0.1


def test_worlds_differ_in_every_value_and_nobody_asked_about_was_seen_in_training() -> None:
    dice = Dice("worlds")
    one, two = World.of(dice, ["Ana", "Ivo"]), World.of(dice, ["Ana", "Ivo"])
    two.differ_from(one, dice)
    assert all(one.values[key] != two.values[key] for key in one.values)
    for clauses, answers in one.double(dice):
        assert len(set(clauses)) == len(answers) == 2


def test_a_seed_gives_the_same_evidence_again() -> None:
    assert measure(5) == measure(5) != measure(6)
