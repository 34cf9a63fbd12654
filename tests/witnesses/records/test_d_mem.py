from __future__ import annotations

import pytest

from remanence.kernels.answerability import FEATURES, Gate, array, auc, fitted
from remanence.mechanisms.records.d_mem import GATE
from remanence.witnesses.records.d_mem import FITTED_ON, PRICE, RECOVERED, measure, talk, trial, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    # Not by a hair: chance would recover as little as it asks further.
    assert evidence.value > 1.15 * evidence.baseline


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_what_stands_behind_it(seed: int) -> None:
    found = measure(seed)
    assert found["fast"] < found["by chance"] < found["gated"] <= found["oracle"]
    assert found["slow"] > found["fast"] + 0.2
    assert found["recovered"] >= RECOVERED
    assert found["price"] <= PRICE
    assert found["auc"] >= 0.75


def test_the_ends_of_the_threshold_are_the_two_paths() -> None:
    never, always = (measure(4, gate=Gate(GATE.weights, GATE.bias, threshold)) for threshold in (0.0, 1.0))
    assert (never["gated"], never["rate"]) == (never["fast"], 0)
    assert (always["gated"], always["rate"]) == (always["slow"], 1)
    assert always["price"] > 1 > never["price"]


def test_a_gate_that_sees_nothing_does_no_better_than_chance() -> None:
    found = measure(4, gate=Gate((0.0,) * FEATURES, 0.0, 0.6))
    assert found["auc"] == 0.5
    assert found["price"] > PRICE


def test_the_gate_of_the_mechanism_is_the_one_that_was_fitted() -> None:
    outcomes = [one for seed in FITTED_ON for one in trial(seed)]
    gate = fitted(array(one.seen for one in outcomes), [not one.fast for one in outcomes])
    assert GATE.weights == pytest.approx(gate.weights, abs=0.006)
    assert GATE.bias == pytest.approx(gate.bias, abs=0.006)
    assert GATE.threshold == pytest.approx(gate.threshold, abs=0.006)
    assert set(FITTED_ON).isdisjoint(range(100))
    assert auc([one.wrong for one in outcomes], [not one.fast for one in outcomes]) > 0.9


def test_a_seed_gives_the_same_talk_again() -> None:
    assert talk(3) == talk(3)
    assert talk(3) != talk(4)
    made = talk(3)
    details = [one for one in made.questions if one.detail]
    assert 0.2 <= len(details) / len(made.questions) <= 0.3
    for one in details:
        assert sum(one.answer in item.text for item in made.items) == 1
        assert one.answer not in one.text
