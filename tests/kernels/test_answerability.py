from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.answerability import (
    FEATURES,
    Answerable,
    Gate,
    Passage,
    array,
    ask,
    auc,
    fitted,
    holds,
    kind_of,
    look,
    naive_auc,
    naive_scanned,
    scanned,
    stated_values,
    sufficient,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ANALYZER = Analyzer()
PEOPLE = ("Ana", "Bo")
OSLO = Passage("Ana lives in Oslo", 0.8, (("ana|home_city", "Oslo"),))
JOB = Passage("Ana works for Lumen Textiles", 0.7, (("ana|employer", "Lumen Textiles"),))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who is Ana's coach?", "name"),
        ("Where did they meet?", "name"),
        ("When did Ana climb the peak?", "time"),
        ("How many cats are there?", "number"),
        ("How long is the bridge?", "number"),
        ("What does Ana think of the bridge?", "any"),
    ],
)
def test_the_kind_of_thing_that_is_asked_for(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def test_a_question_is_taken_apart() -> None:
    asked = ask("Which city does Ana live in?", NOW, ANALYZER, PEOPLE)
    assert asked.named == {"ana"}
    assert asked.matters == {"ana|home_city"}
    assert "city" in asked.words or "citi" in asked.words
    assert "in" not in asked.words


def test_evidence_on_the_matter_suffices_and_other_evidence_does_not() -> None:
    asked = ask("Which city does Ana live in?", NOW, ANALYZER, PEOPLE)
    assert sufficient(look(asked, [JOB, OSLO], ANALYZER))
    # By cosine, name and kind alone this would do: the plausible wrong variant.
    seen = look(asked, [JOB], ANALYZER)
    assert seen.relevance >= 0.45
    assert seen.named == seen.typed == 1
    assert not sufficient(seen)
    assert not sufficient(look(asked, [], ANALYZER))


def test_a_question_that_cannot_be_read_needs_a_near_text_with_its_names_and_kind() -> None:
    asked = ask("Who brought Ana the umbrella?", NOW, ANALYZER, PEOPLE)
    assert asked.matters == frozenset()
    near = Passage("Bo came by with the umbrella for Ana", 0.6)
    assert sufficient(look(asked, [near], ANALYZER))
    for poor in (
        Passage(near.text, 0.4),
        Passage("Bo came by with the umbrella", 0.6),
        Passage("Somebody brought Ana the umbrella", 0.6),
    ):
        assert not sufficient(look(asked, [poor], ANALYZER))


def test_names_and_kind_have_to_come_together() -> None:
    asked = ask("Who brought Ana the umbrella?", NOW, ANALYZER, PEOPLE)
    apart = [Passage("Somebody brought Ana the umbrella", 0.6), Passage("Bo sleeps", 0.6)]
    seen = look(asked, apart, ANALYZER)
    assert (seen.named, seen.typed) == (1, 0)


def test_what_a_question_names_itself_is_no_answer() -> None:
    asked = ask("Who is Ana?", NOW, ANALYZER, PEOPLE)
    assert not holds(asked, "I saw Ana")
    assert holds(asked, "I saw Ana and Bo")


def test_an_answer_is_grounded_and_may_have_rivals() -> None:
    asked = ask("Which city does Ana live in?", NOW, ANALYZER, PEOPLE)
    bergen = Passage("Ana lives in Bergen", 0.8, (("ana|home_city", "Bergen"),))
    one, two = look(asked, [OSLO], ANALYZER, "Oslo"), look(asked, [OSLO, bergen], ANALYZER, "Kyoto")
    assert (one.grounded, one.unrivalled) == (1, 1)
    assert (two.grounded, two.unrivalled) == (0, 0)
    assert look(asked, [Passage("Ana lives in Osloberg", 0.8)], ANALYZER, "Oslo").grounded == 0


def test_what_a_record_states() -> None:
    meta = {"subject": "Ana", "attribute": "dislikes", "value": "tea", "holds": True}
    assert stated_values(meta) == (("ana|dislikes", "tea"),)
    assert stated_values({**meta, "holds": False}) == stated_values({}) == ()


@pytest.mark.parametrize("seed", range(20))
def test_the_scan_equals_the_naive_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(0, 15))
    words = rng.random(size) * (seed % 3 > 0)
    cosines, named = rng.uniform(-1, 1 if seed % 4 else 0, size), rng.integers(0, 2, size).astype(np.float64)
    previous = np.array([int(rng.integers(-1, at)) if at else -1 for at in range(size)], np.int64)
    for at in range(size):  # A turn is followed by one turn at most.
        if previous[at] in previous[:at]:
            previous[at] = -1
    found = scanned(words, cosines, named, previous)
    assert found.tolist() == pytest.approx(
        naive_scanned(words.tolist(), cosines.tolist(), named.tolist(), previous.tolist())
    )
    assert all(1 <= score <= 5 for score in found)


def test_a_reply_is_found_by_what_it_replies_to() -> None:
    words, cosines, named = np.array([4.0, 0, 0]), np.array([1.0, 0, 0]), np.array([1.0, 0, 0])
    assert scanned(words, cosines, named, np.array([-1, 0, 1])).tolist() == [5, 4, 1]
    assert scanned(words, cosines, named, np.array([-1, -1, 1])).tolist() == [5, 1, 1]


@pytest.mark.parametrize("seed", range(10))
def test_auc_equals_the_naive_form(seed: int) -> None:
    rng = random.Random(seed)
    scores = [rng.randrange(6) / 5 for _ in range(30)]
    labels = [rng.random() < 0.4 for _ in range(30)]
    assert auc(scores, labels) == pytest.approx(naive_auc(scores, labels))


def test_auc_of_plain_cases() -> None:
    assert auc([1, 2, 3], [False, True, True]) == 1
    assert auc([1, 1, 1], [False, True, True]) == 0.5
    assert auc([3, 2], [False, True]) == 0
    assert auc([1, 2], [True, True]) == naive_auc([1, 2], [True, True]) == 0.5


def sample(seed: int, rows: int = 200) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], list[bool]]:
    rng = np.random.default_rng(seed)
    features = rng.random((rows, FEATURES))
    chances = 1 / (1 + np.exp(-(4 - 6 * features[:, 0] - 2 * features[:, 3])))
    return features, [bool(one) for one in rng.random(rows) < chances]


@pytest.mark.parametrize("seed", range(3))
def test_the_gate_is_the_minimum_that_plain_descent_finds(seed: int) -> None:
    features, wrong = sample(seed)
    gate = fitted(features, wrong, strength=1.0)
    design = np.hstack([features, np.ones((len(wrong), 1))])
    weights = np.zeros(FEATURES + 1)
    shrink = np.array([1.0] * FEATURES + [1e-6])
    for _ in range(20_000):
        gradient = design.T @ (1 / (1 + np.exp(-design @ weights)) - np.array(wrong, float)) + shrink * weights
        weights -= 0.01 * gradient
    assert np.array([*gate.weights, gate.bias]) == pytest.approx(weights, abs=1e-4)
    assert auc(gate.wrong(features).tolist(), wrong) > 0.75


@pytest.mark.parametrize("recall", [0.5, 0.9, 1.0])
def test_the_threshold_catches_the_share_of_wrong_answers_asked_for(recall: float) -> None:
    features, wrong = sample(7)
    gate = fitted(features, wrong, recall=recall)
    caught = [gate.distrusts(chance) for chance, label in zip(gate.wrong(features), wrong, strict=True) if label]
    assert recall <= sum(caught) / len(caught) <= recall + 0.02


def test_the_ends_of_the_threshold() -> None:
    features, wrong = sample(1)
    gate = fitted(features, wrong)
    for chance in (0.0, 0.5, 1.0, *gate.wrong(features)):
        assert not Gate(gate.weights, gate.bias, 0.0).distrusts(chance)
        assert Gate(gate.weights, gate.bias, 1.0).distrusts(chance)


def test_without_wrong_answers_there_is_nothing_to_catch() -> None:
    features, _ = sample(2)
    assert fitted(features, [False] * len(features)).threshold == 0.5


def test_features_that_do_not_fit_are_refused() -> None:
    features, wrong = sample(3)
    for bad in (features[:5], features[0]):
        with pytest.raises(InvalidInput, match="labels"):
            fitted(bad, wrong)
    for recall in (0.0, 1.1):
        with pytest.raises(InvalidInput, match=f"recall={recall}"):
            fitted(features, wrong, recall=recall)


def test_features_in_order() -> None:
    one = Answerable(*(place / 10 for place in range(FEATURES)))
    assert array([one, one]).shape == (2, FEATURES)
    assert array([]).shape == (0, FEATURES)
    assert math.isclose(array([one])[0, 3], one.stated)
