from __future__ import annotations

import pytest

from remanence.witnesses.records.himem import measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    # The notes of a second round answer nine of ten, those of the first six.
    assert evidence.value >= 0.9
    assert 0.5 < evidence.baseline < 0.75


def test_repairs_without_need_write_more_for_no_gain() -> None:
    found = measure(1, arms=("", "always"))
    assert found["always: writes 1"] > 1.5 * found["writes 1"]
    assert found["writes 2"] == 0 < found["always: writes 2"]
    assert found["always: notes 2"] <= found["notes 2"]
    assert found["always: tokens 2"] > 5 * found["tokens 2"]


def test_what_no_question_finds_out() -> None:
    # Where a newer value was missed, the older note answers, and the trigger never fires.
    found = measure(0, arms=("",), versions=True)
    assert found["outdated"] > 1
