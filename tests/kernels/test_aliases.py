from __future__ import annotations

import random

import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.aliases import _NICKNAMES, SCORES, AliasLink, groups, links, relations
from remanence.kernels.names import name_key


def pairs(*names: str, speakers: tuple[str, ...] = ()) -> set[tuple[str, str, str]]:
    return {(link.short, link.full, link.reason) for link in links(names, speakers)}


def test_one_name_is_one_entity_however_it_is_written() -> None:
    written = ["DGIA", "dgia", "Dgia's", "DGIA", "Dr. Ana Lindqvist", "Ana Lindqvist's", "Ana Lindqvíst"]
    assert {name_key(name) for name in written} == {"dgia", "ana lindqvist"}
    assert links(written) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Bob", "Robert"), ("bob", "robert", "nickname")),
        (("Bob Lee", "Robert Lee"), ("bob lee", "robert lee", "nickname")),
        (("Ana", "Ana Lindqvist"), ("ana", "ana lindqvist", "first_name")),
        (("Dr. Lindqvist", "Ana Lindqvist"), ("lindqvist", "ana lindqvist", "last_name")),
        (
            ("MIT", "Massachusetts Institute of Technology"),
            ("mit", "massachusetts institute of technology", "initials"),
        ),
    ],
)
def test_links(names: tuple[str, ...], expected: tuple[str, str, str]) -> None:
    assert pairs(*names) == {expected}
    assert {link.score for link in links(names)} == {SCORES[expected[2]]}  # type: ignore[index]


def test_short_forms_are_for_speakers() -> None:
    assert pairs("Caro", speakers=("Caroline", "Bo")) == {("caro", "caroline", "short_form")}
    assert pairs("Caro", "Caroline") == set()
    assert pairs("Car", speakers=("Caroline", "Carmen")) == set()


@pytest.mark.parametrize(
    "names",
    [
        ("Alex", "Alexander", "Alexandra"),
        ("Ana", "Ana Lindqvist", "Ana Berg"),
        ("Game", "Game of Thrones"),
        ("mit", "Massachusetts Institute of Technology"),
        ("Robert Lee", "Bob Berg"),
        ("Ann", "Hannah"),
    ],
)
def test_what_could_be_two_is_linked_to_neither(names: tuple[str, ...]) -> None:
    assert pairs(*names) == set()


def test_order_and_repetition_make_no_difference() -> None:
    names = ["Bob", "Robert", "Robert Lee", "Ana", "Ana Berg", "MIT", "Massachusetts Institute of Technology", "Lee"]
    expected = links(names)
    for seed in range(5):
        shuffled = [*names, *names]
        random.Random(seed).shuffle(shuffled)
        assert links(shuffled) == expected


def test_links_can_be_taken_back() -> None:
    keys = ["bob", "robert", "robert lee", "ana"]
    found = links(["Bob", "Robert", "Robert Lee", "Ana"])
    grouped = groups(keys, found)
    assert grouped == {"bob": "robert lee", "robert": "robert lee", "robert lee": "robert lee", "ana": "ana"}
    without = [link for link in found if link.short != "bob"]
    assert groups(keys, without)["bob"] == "bob"
    assert groups(keys, without)["robert"] == "robert lee"
    assert groups(keys, found, least=0.85)["bob"] == "bob"
    assert groups(keys, [AliasLink("bob", "nobody", "nickname", 1.0)]) == {key: key for key in keys}
    with pytest.raises(InvalidInput, match="2"):
        groups([], [], least=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My sister Freya moved.", [("", "sister", "Freya")]),
        ("I met Freya, my older sister, there.", [("", "sister", "Freya")]),
        ("my best friend's name is Omar", [("", "friend", "Omar")]),
        ("Ana's brother Ivo called", [("Ana", "brother", "Ivo")]),
        ("My mother-in-law Greta", [("", "mother-in-law", "Greta")]),
        ("Freya is Ana's sister", [("Ana", "sister", "Freya")]),
        ("our dog Rex and my cat Luna", [("", "dog", "Rex"), ("", "cat", "Luna")]),
        ("My sister and Bob went", []),
        ("my sister moved to Oslo", []),
        ("", []),
        ("моя сестра Анна", []),
    ],
)
def test_relations(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(one.owner, one.relation, one.name) for one in relations(text)] == expected
    assert all(text[one.start : one.end].count(one.name) == 1 for one in relations(text))


def test_the_table_holds_first_names_only() -> None:
    assert len(_NICKNAMES) > 100
    assert all(word.isalpha() and word.islower() for names in _NICKNAMES.items() for word in (names[0], *names[1]))
    assert _NICKNAMES["annie"] == ("ann", "anna", "anne")


def test_odd_names() -> None:
    assert links([]) == []
    assert links(["", "  ", "\ud800", "日本", "a" * 5000, "A"]) == []
    many = [f"Name{i} Berg{i}" for i in range(5000)] + [f"Name{i}" for i in range(5000)]
    assert len(links(many)) == 5000
