"""What the witness of EMem is worth."""

from __future__ import annotations

import pytest

from remanence.witnesses.records.emem import measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_claim_shows(seed: int) -> None:
    evidence = witness(seed)
    found = measure(seed)
    assert evidence.holds
    assert evidence.metric == "recall@10"
    assert evidence.value == found["emem_g"] > evidence.baseline + 0.2
    # EMem-G finds more than EMem, and EMem more than whole sessions in as many tokens.
    assert found["emem_g"] > found["emem"] > found["sessions"]
    # Nearness and words find the first of the two propositions, and hardly ever the second.
    assert 0.4 < max(found["dense"], found["bm25"], found["rrf"]) < 0.6
