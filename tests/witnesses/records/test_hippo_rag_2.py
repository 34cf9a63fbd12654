"""What the witness of HippoRAG 2 is worth."""

from __future__ import annotations

import pytest

from remanence.witnesses.records.hippo_rag_2 import measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.metric == "recall@5"
    assert evidence.value > evidence.baseline + 0.15


def test_filter_weight_and_walk_are_essential() -> None:
    found = measure(0)
    assert witness(0).value == found["hippo_rag_2"]
    assert found["stated"] > 0.95
    for without in ("unfiltered", "heavy_passages", "no_walk"):
        assert found[without] < 0.55


def test_plain_questions_lose_nothing() -> None:
    found = measure(0, hops=1, arms=("stated",))
    assert min(found["hippo_rag_2"], found["stated"]) >= found["dense"] - 0.02
