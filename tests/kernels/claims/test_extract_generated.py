"""The extractor against generated dialogues, whose facts are exact."""

from __future__ import annotations

from functools import cache

import pytest

from remanence.bench.studies.claims import BEFORE, Score, measure, utterances
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Claim, Utterance
from remanence.kernels.claims.ontology import attribute
from remanence.scenarios.dialogues import Dialogue, generate
from remanence.scenarios.model import Hardness


@cache
def dialogue(hardness: Hardness) -> Dialogue:
    return generate(1003, sessions=12, people=3, hardness=hardness)


@cache
def read(hardness: Hardness) -> tuple[tuple[Utterance, Claim], ...]:
    turns = utterances(dialogue(hardness))
    people = frozenset(dialogue(hardness).people)
    return tuple(
        (turn, claim) for i, turn in enumerate(turns) for claim in extract(turn, turns[max(0, i - BEFORE) : i], people)
    )


@pytest.mark.parametrize("hardness", ["easy", "medium", "hard"])
def test_facts_and_ends_are_found_and_nothing_else(hardness: Hardness) -> None:
    score = Score()
    measure(dialogue(hardness), score)
    row = score.row()
    assert score.gold > 30
    assert row["precision"] >= 0.97
    assert row["recall"] >= 0.97
    assert row["ends_precision"] >= 0.95
    assert row["ends_recall"] >= 0.95
    assert row["dated"] >= 0.95
    assert row["false_per_100"] <= 0.2
    assert row["without_span"] == 0


@pytest.mark.parametrize("hardness", ["easy", "medium", "hard"])
def test_spans_hold_what_was_said(hardness: Hardness) -> None:
    for turn, claim in read(hardness):
        span = turn.text[claim.start : claim.end]
        assert span.strip()
        if not attribute(claim.attribute).day and claim.attribute != "birthday":
            assert claim.value.casefold() in span.casefold(), (turn.text, claim)
        if claim.old is not None and claim.act == "change":
            assert claim.old.casefold() in span.casefold(), (turn.text, claim)


@pytest.mark.parametrize("hardness", ["easy", "hard"])
def test_values_are_clean(hardness: Hardness) -> None:
    for _, claim in read(hardness):
        assert claim.value or claim.act == "end"
        assert claim.value == " ".join(claim.value.split())
        assert not claim.value.endswith((".", ",", "!", ";", ":"))
        assert not claim.value.startswith(("a ", "an ", "the ")), claim
        assert 0 < claim.confidence <= 1


def test_reading_twice_gives_the_same() -> None:
    turns = utterances(dialogue("hard"))
    people = frozenset(dialogue("hard").people)
    again = [claim for i, turn in enumerate(turns) for claim in extract(turn, turns[max(0, i - BEFORE) : i], people)]
    assert again == [claim for _, claim in read("hard")]


def test_the_order_of_people_does_not_matter() -> None:
    turns = utterances(dialogue("medium"))
    people = dialogue("medium").people
    for i, turn in enumerate(turns):
        before = turns[max(0, i - BEFORE) : i]
        assert extract(turn, before, people) == extract(turn, before, people[::-1])
