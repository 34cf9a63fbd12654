from __future__ import annotations

from collections import Counter

import pytest

from remanence.kernels.claims.answers import Known, Ledger, answer
from remanence.kernels.claims.questions import read_question
from remanence.scenarios.dialogues import generate
from remanence.scenarios.model import Dialogue, Hardness

LEVELS: tuple[Hardness, ...] = ("easy", "medium", "hard")


def gold_ledger(dialogue: Dialogue) -> Ledger:
    """What a faultless extractor and fold would know of a dialogue."""
    followed = {(fact.subject, fact.attribute, fact.turn) for fact in dialogue.facts}
    known = []
    for i, fact in enumerate(dialogue.facts):
        if fact.valid_to is None or fact.ended_by is None:
            status = "held"
        elif fact.valid_to == fact.valid_from:
            status = "retracted"
        elif (fact.subject, fact.attribute, fact.ended_by) in followed:
            status = "superseded"
        else:
            status = "ended"
        known.append(
            Known(
                f"f{i}", fact.subject, fact.attribute, fact.value, True, status, fact.valid_from, fact.valid_to, 1.0,
                (fact.turn, *fact.restated), i, fact.ended_by or "",
            )
        )  # fmt: skip
    return Ledger(known)


@pytest.mark.parametrize("hardness", LEVELS)
def test_with_faultless_facts_the_answers_are_faultless(hardness: Hardness) -> None:
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for seed in range(1000, 1006):
        dialogue = generate(seed, sessions=12, people=3, hardness=hardness)
        ledger = gold_ledger(dialogue)
        for question in dialogue.questions:
            verdict = answer(read_question(question.text, question.now), ledger, question.now)
            turns = [turn for turn, _ in verdict.answers]
            asked[question.category] += 1
            if question.category == "unanswerable":
                right[question.category] += not turns and not verdict.outdated and verdict.understood > 0.5
            else:
                gold, forbidden = set(question.gold), set(question.forbidden)
                right[question.category] += (
                    turns[:1] != []
                    and turns[0] in gold
                    and gold <= set(turns)
                    and not forbidden & set(turns)
                    and verdict.value == question.answer
                )
    assert len(asked) == 13
    assert all(right[category] >= 0.98 * asked[category] for category in asked), (asked, right)


def test_as_of_and_the_words_of_the_question_agree() -> None:
    checked = 0
    for seed in range(1000, 1010):
        dialogue = generate(seed, sessions=12, people=3, hardness="medium")
        ledger = gold_ledger(dialogue)
        for question in dialogue.questions:
            if question.as_of is None:
                continue
            [asked] = read_question(question.text, question.now)
            now = answer([type(asked)(asked.path, asked.attribute, "now", confidence=0.9)], ledger, question.now,
                         question.as_of)  # fmt: skip
            assert now.value == question.answer == answer([asked], ledger, question.now).value
            checked += 1
    assert checked > 20
