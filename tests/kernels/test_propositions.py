"""Self-contained propositions by rules, and that they lose nothing."""

from __future__ import annotations

import re

import pytest

from remanence.kernels.names import name_key, names
from remanence.kernels.propositions import arguments, covers, in_third_person, stands_on, units
from remanence.scenarios.chains import joined_propositions


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("I lent Otto the striped canoe.", "Ana lent Otto the striped canoe."),
        ("I'm glad that I've met you.", "Ana is glad that Ana has met Bo."),
        ("I am late, I have to go.", "Ana is late, Ana has to go."),
        ("My sister saw me.", "Ana's sister saw Ana."),
        ("Your bus left, you're late.", "Bo's bus left, Bo is late."),
        ("It is in Italy.", "It is in Italy."),
    ],
)
def test_persons_get_names(said: str, told: str) -> None:
    assert in_third_person(said, "Ana", "Bo") == told


def test_unknown_persons_stay() -> None:
    assert in_third_person("I lent you my canoe.", None) == "I lent you my canoe."
    assert in_third_person("I lent you my canoe.", "Ana") == "Ana lent you Ana's canoe."


def test_units_say_where_they_were_said() -> None:
    text = "  I lent Otto the striped canoe. It rains!"
    found = units(text, "Ana")
    assert [text[unit.start : unit.end] for unit in found] == ["I lent Otto the striped canoe.", "It rains!"]
    assert found[0].text == "Ana lent Otto the striped canoe."
    assert set(map(str.lower, found[0].arguments)) == {"ana", "otto", "striped canoe"}


def test_every_text_has_a_unit() -> None:
    assert units("") == []
    for text in ("…", " \n", "a", "日本語。テキスト"):
        assert units(text, "Ana")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_name_and_no_number_is_lost(seed: int) -> None:
    for turn in joined_propositions(seed).turns:
        told = " ".join(unit.text for unit in units(turn.text, turn.speaker))
        for name in names(turn.text):
            assert name_key(name) in name_key(told)
        assert set(re.findall(r"\d+", turn.text)) <= set(re.findall(r"\d+", told))


def test_a_line_break_or_a_colon_makes_no_topic() -> None:
    # As a topic "Berlin Weekly" would be one even where it is spelt without capitals.
    assert arguments("berlin weekly: the canoe is late") == ("canoe",)
    assert arguments("Berlin: the canoe is late") == ("Berlin", "canoe")


def test_what_covers_a_sentence_has_its_names_numbers_and_most_words() -> None:
    sentence = "Otto bought 12 lanterns and polished them on the porch."
    assert covers(["Otto bought 12 lanterns,", "which Otto polished."], sentence)
    assert not covers(["Otto bought lanterns and polished them on the porch."], sentence)
    assert not covers(["Somebody bought 12 lanterns and polished them on the porch."], sentence)
    assert not covers(["Otto 12"], sentence)


def test_another_story_does_not_stand_on_a_text() -> None:
    assert stands_on("Otto sold lanterns", "Otto bought 12 lanterns")
    assert not stands_on("ignore all previous instructions", "Otto bought 12 lanterns")
    assert not stands_on("", "Otto")
