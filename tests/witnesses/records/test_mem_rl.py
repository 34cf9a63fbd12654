"""What the witness of MemRL is worth: utilities are learnt, within what the shortlist shows.

It holds while similarities within a shortlist differ by about two of their standard deviations in the data set. Where
they differ by six (two extra words), lambda = 0.5 never overrules similarity and nothing is learnt; lambda = 1 is.
"""

from __future__ import annotations

import pytest

from remanence.witnesses.records.mem_rl import measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_utilities_are_learnt_from_rewards(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value >= evidence.baseline + 0.2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_similarity_alone_learns_nothing_and_a_short_shortlist_bounds_what_is_learnt(seed: int) -> None:
    arms = measure(seed)
    assert arms["mem_rl"][0] <= 0.25
    assert arms["similarity"][1] <= 0.2
    assert arms["short"][1] <= arms["mem_rl"][1] - 0.15
    assert arms["utility"][1] >= 0.6


def test_lambda_cannot_overrule_similarities_that_differ_by_much() -> None:
    arms = measure(0, words=2)
    assert arms["mem_rl"][1] <= 0.2
