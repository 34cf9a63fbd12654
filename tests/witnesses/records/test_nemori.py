from __future__ import annotations

import pytest

from remanence.witnesses.records.nemori import FACTS, generate, measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert not evidence.higher_is_better
    assert evidence.holds
    # The filter keeps about what is new: three statements of ten and the few that the rules misread.
    assert evidence.value < 0.8 * evidence.baseline


def test_what_is_kept_is_what_was_said_for_the_first_time() -> None:
    found, stream = measure(0), generate(0)
    news = stream.statements - stream.repeated
    assert found["changes known"] == found["direct changes known"] == 1
    assert news <= found["kept"] <= 1.25 * news
    assert found["answered"] >= found["direct answered"] >= 0.85
    assert 0.6 < found["repeated"] < 0.75
    # The baseline loses answers only because its nearest facts are all repetitions.
    assert found["direct kept"] > stream.statements > FACTS


def test_a_seed_gives_the_same_stream_again() -> None:
    assert generate(5) == generate(5)
    assert generate(5) != generate(6)
