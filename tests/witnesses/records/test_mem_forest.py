"""What the witness of MemForest is worth: it holds, by what it claims to hold by, and its insertions are cheap."""

from __future__ import annotations

import pytest

from remanence.mechanisms.records.mem_forest import CARD
from remanence.witnesses.records.mem_forest import PEOPLE, SESSIONS, TOLD, Lives, costs, measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.baseline > 0.5
    assert "more often than flat search" in CARD.claim


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_order_of_time_that_finds_more(seed: int) -> None:
    found = measure(seed)
    # What does not walk along the tree is flat search again; what sorts everything at every read finds the same.
    assert abs(found["direct"] - found["dense"]) < 0.03
    assert found["forest"] > found["direct"] + 0.1
    assert abs(found["sorted"] - found["forest"]) < 0.05


def test_an_insertion_costs_a_path_and_a_profile_everything() -> None:
    some, all_of_it = costs(0, turns=40), costs(0)
    assert all_of_it["renewed"] <= all_of_it["height"]
    assert all_of_it["read"] < all_of_it["profile"] / 5
    assert all_of_it["read"] < 2.5 * some["read"]
    assert all_of_it["profile"] > 3.5 * some["profile"]


def test_lives_are_told_out_of_order_and_questions_have_two_answers() -> None:
    lives = Lives.of(3)
    assert len(lives.turns) == PEOPLE * SESSIONS * (TOLD + 2)
    assert all(len(question.gold) == 2 for question in lives.questions)
    assert Lives.of(3) == lives != Lives.of(4)
    text = {turn.id: turn for turn in lives.turns}
    for question in lives.questions:
        assert len({text[id].speaker for id in question.gold}) == 1
        assert all(" on " in text[id].text for id in question.gold)


def test_a_seed_gives_the_same_evidence_again() -> None:
    assert witness(7) == witness(7) != witness(8)
