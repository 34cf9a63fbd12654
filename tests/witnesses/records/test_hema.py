"""What the witness of HEMA is worth: it holds at long and short prompts, and the sign of the bonus decides."""

from __future__ import annotations

import functools

import pytest

from remanence.mechanisms.records.hema import CARD
from remanence.witnesses.records.hema import forgetting, measure, witness


@functools.cache
def found(seed: int) -> dict[str, float]:
    return measure(seed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    shares = found(seed)
    assert shares["both"] >= 0.8
    assert shares["both"] > 1.5 * max(shares["last"], shares["gist"])
    assert "in one token budget" in CARD.claim


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_token_for_token_the_gist_says_more_than_the_last_turns(seed: int) -> None:
    # In the whole budget the last turns hold more than a gist of two times sixty tokens can.
    shares = found(seed)
    assert shares["last_short"] < shares["gist"] < shares["last"] < shares["both"]


def test_a_seed_gives_the_same_evidence_again() -> None:
    evidence = witness(0)
    assert evidence.holds
    assert (evidence.value, evidence.baseline) == (found(0)["both"], max(found(0)["last"], found(0)["gist"]))


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_asked_for_again_stays_and_idle_talk_goes(seed: int) -> None:
    kept, all_kept = forgetting(seed), forgetting(seed, fraction=0)
    assert kept["asked"] >= 0.95 * all_kept["asked"] > 0.5
    assert kept["idle"] < 0.75
    assert kept["idle"] < kept["index"] < 0.9
    assert all_kept["idle"] == all_kept["index"] == 1


def test_known_defect_of_the_printed_formula_what_is_asked_for_goes_first() -> None:
    assert forgetting(0, bonus="idle")["asked"] < 0.1
