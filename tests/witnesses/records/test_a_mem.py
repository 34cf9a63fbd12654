"""What the witness of A-MEM is worth: what links add, and what evolution adds where names change.

Links carry the claim: without them next to nothing is found. Evolution is worth little there (both signs occur), and
much where a topic got a new name; the rest is found by the frames that notes and questions of one kind share.
"""

from __future__ import annotations

import pytest

from remanence.witnesses.records.a_mem import measure, measure_renamed, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_links_find_what_the_question_does_not_name(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value >= evidence.baseline + 0.15
    if seed == 0:
        arms = measure(seed)
        assert arms["without evolution"] > arms["without links"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_evolution_finds_old_notes_by_the_new_name(seed: int) -> None:
    arms = measure_renamed(seed)
    assert arms["without links"] >= arms["neither"] + 0.15
    assert arms["without links"] >= arms["dense"] + 0.15
