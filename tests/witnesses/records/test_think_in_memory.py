"""What the witness of Think-in-Memory is worth: answers alike, and right, in whatever words a question is asked.

It holds where the gold turns do not repeat the question's words ("medium", "hard"). Where they do ("easy"), BM25 finds
both facts for most wordings and reasoning anew does as well or better; so little is claimed there.
"""

from __future__ import annotations

import pytest

from remanence.witnesses.records.think_in_memory import measure, witness


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_stored_conclusions_answer_more_wordings_rightly(seed: int) -> None:
    evidence = witness(seed)
    assert evidence.holds
    assert evidence.value >= evidence.baseline + 0.25


def test_they_answer_alike_and_only_because_they_were_drawn_before() -> None:
    arms = measure(0)
    for name in ("without conclusions", "bm25", "dense", "rrf"):
        assert arms["tim"]["alike"] >= arms[name]["alike"] + 0.25
