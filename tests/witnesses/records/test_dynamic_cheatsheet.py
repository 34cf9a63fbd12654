"""What the witness of the Dynamic Cheatsheet is worth: it holds where it says so, and not where it says not."""

from __future__ import annotations

import pytest

from remanence.mechanisms.records.dynamic_cheatsheet import CARD
from remanence.scenarios.puzzles import WeakModel, puzzle_stream
from remanence.witnesses.records.dynamic_cheatsheet import (
    COUNT,
    FAMILIES,
    START,
    live,
    measure,
    memory,
    solved,
    witness,
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.baseline > 0.7
    assert "given room for all rules" in CARD.claim


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_solves_what_can_be_solved_and_the_rules_do_so_without_a_model(seed: int) -> None:
    found = measure(seed, ("cumulative", "rules", "oracle", "retrieval", "retrieved"))
    assert found["cumulative"] == found["rules"] == found["oracle"]
    assert found["retrieved"] < found["retrieval"] < found["oracle"]


def test_the_whole_history_is_refused_and_a_memory_that_is_overwritten_forgets() -> None:
    found = measure(0, ("empty", "whole", "overwritten", "cumulative"))
    assert max(found["empty"], found["whole"], found["overwritten"]) < found["cumulative"] / 2
    whole = solved(0, "whole")
    assert sum(whole[:25]) > 0
    assert not any(whole[60:])


def test_with_too_little_room_similar_exchanges_are_the_better_memory() -> None:
    for seed in (0, 1, 2):
        found = measure(seed, ("similar", "cumulative"), budget=300)
        assert found["similar"] > found["cumulative"]


def test_once_a_rule_was_found_every_puzzle_of_its_family_is_solved() -> None:
    right = solved(1, "cumulative")
    known: set[str] = set()
    for puzzle, solved_it in zip(puzzle_stream(1, count=COUNT, family_count=FAMILIES), right, strict=True):
        assert solved_it or puzzle.family not in known
        known.update([puzzle.family] if solved_it else [])
    assert len(known) == FAMILIES


def test_a_seed_gives_the_same_evidence_again() -> None:
    assert witness(4) == witness(4) != witness(5)


def test_the_sheet_stays_within_its_budget() -> None:
    sheet = memory(0, "cumulative")
    puzzles = puzzle_stream(0, count=60, family_count=FAMILIES)
    live(sheet, puzzles, WeakModel(0))
    assert 0 < len(sheet.items(START)) <= FAMILIES
