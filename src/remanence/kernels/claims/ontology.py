"""What can be said of somebody: the attributes that the extractor, the fold and the questions share.

A key that is not listed is legal: `favourite_<x>` is one value per x, everything else is a normalised predicate of
which any number may hold at once ("plays_in").
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FAVOURITE = "favourite_"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One property of a person.

    `many`: several values may hold at once; where not, a new value replaces the old one. `person`: the value is a
    person, so that it can be followed in a question. `render` and `deny` make a sentence of {subject} and {value}.
    `static`: part of a profile, rarely changes. `dated`: it happened on a day. `day`: the value is a day, spelt
    "3 May 2024". `countable`: a value in the singular takes "a" or "an" in a sentence.
    """

    key: str
    label: str
    many: bool
    person: bool
    render: str
    deny: str
    static: bool
    dated: bool = False
    day: bool = False
    countable: bool = False

    def sentence(self, subject: str, value: str, *, polarity: bool = True) -> str:
        """The claim in words: "Ana works as an actuary"."""
        said = with_article(value) if self.countable else value
        return (self.render if polarity else self.deny).format(subject=subject, value=said)


_NO_ARTICLE = re.compile(
    r"(?:an?|the|my|his|her|our|their|some|two|three|\d+)\s|.*(?:[^su]s|whiplash|syndrome|inflammation)$", re.IGNORECASE
)
_AN = re.compile(r"(?:[aeio]|u(?!ni|se|k|r[aeio])|hour|heir|honest)(?!ne\b)", re.IGNORECASE)


def with_article(noun: str) -> str:
    """The noun with "a" or "an", unless it is a plural or has a determiner: "an actuary", "two cats"."""
    if not noun or _NO_ARTICLE.match(noun):
        return noun
    return f"an {noun}" if _AN.match(noun) else f"a {noun}"


def _is(
    key: str,
    label: str,
    render: str,
    deny: str,
    *,
    many: bool = False,
    person: bool = False,
    static: bool = False,
    countable: bool = False,
) -> Attribute:
    return Attribute(key, label, many, person, render, deny, static, countable=countable)


def _whose(key: str, label: str = "", *, many: bool = False, person: bool = False, static: bool = False) -> Attribute:
    """Ana's <label> is Wanda."""
    label = label or key.replace("_", " ")
    return _is(
        key,
        label,
        f"{{subject}}'s {label} is {{value}}",
        f"{{subject}}'s {label} is not {{value}}",
        many=many,
        person=person,
        static=static,
    )


def _relative(key: str, *, many: bool = False, label: str = "") -> Attribute:
    return _whose(key, label, many=many, person=True, static=True)


def _happened(key: str, label: str, past: str, base: str, *, countable: bool = False) -> Attribute:
    """Ana <past>; Ana did not <base>."""
    return Attribute(
        key,
        label,
        True,
        False,
        f"{{subject}} {past}",
        f"{{subject}} did not {base}",
        static=False,
        dated=True,
        countable=countable,
    )


def _appointment(key: str, label: str) -> Attribute:
    return Attribute(
        key,
        label,
        False,
        False,
        f"{{subject}}'s {label} is on {{value}}",
        f"{{subject}}'s {label} is not on {{value}}",
        static=False,
        dated=True,
        day=True,
    )


_LIFE: tuple[Attribute, ...] = (
    _is("home_city", "city", "{subject} lives in {value}", "{subject} does not live in {value}"),
    _is("hometown", "town of birth", "{subject} was born in {value}", "{subject} was not born in {value}", static=True),
    _is("country", "country", "{subject} is from {value}", "{subject} is not from {value}", static=True),
    _whose("address", static=True),
    _is("job", "job", "{subject} works as {value}", "{subject} does not work as {value}", countable=True),
    _is("employer", "employer", "{subject} works for {value}", "{subject} does not work for {value}"),
    _is("car", "car", "{subject} drives {value}", "{subject} does not drive {value}", countable=True),
    _is("commute", "way to work", "{subject} gets to work by {value}", "{subject} does not get to work by {value}"),
    _is("rent", "rent", "{subject} pays {value} rent per month", "{subject} does not pay {value} rent per month"),
    _is("school", "kids' school", "{subject}'s kids go to {value}", "{subject}'s kids do not go to {value}"),
    _is("phone", "phone", "{subject} uses {value} as phone", "{subject} does not use {value} as phone", countable=True),
    _whose("food", "favourite food"),
    _is(
        "drink",
        "morning drink",
        "{subject} drinks {value} in the morning",
        "{subject} does not drink {value} in the morning",
    ),
    _is("instrument", "instrument", "{subject} plays the {value}", "{subject} does not play the {value}", many=True),
    _is("language", "language lessons", "{subject} is learning {value}", "{subject} is not learning {value}"),
    _is("speaks", "language", "{subject} speaks {value}", "{subject} does not speak {value}", many=True, static=True),
    _is("book", "book", "{subject} is reading {value}", "{subject} is not reading {value}"),
    _is("series", "series", "{subject} is watching {value}", "{subject} is not watching {value}"),
    _whose("band", "favourite band"),
    _is("allergy", "allergies", "{subject} is allergic to {value}", "{subject} is not allergic to {value}", many=True),
    _is("hobby", "hobbies", "{subject}'s hobby is {value}", "{subject} does not do {value}", many=True),
    _is("pet", "pet", "{subject} has a pet: {value}", "{subject} does not have a pet: {value}", many=True),
    _is("kind", "kind", "{subject} is {value}", "{subject} is not {value}", static=True, countable=True),
    _whose("run_time", "best time over ten kilometres"),
    _is(
        "injury", "injury", "{subject} is dealing with {value}", "{subject} is not dealing with {value}", countable=True
    ),
    _is(
        "condition",
        "health condition",
        "{subject} has been diagnosed with {value}",
        "{subject} does not have {value}",
        many=True,
    ),
    _is(
        "trip",
        "next trip",
        "{subject}'s next trip is going to {value}",
        "{subject}'s next trip is not going to {value}",
    ),
    _is(
        "volunteer",
        "volunteering",
        "{subject} volunteers at the {value}",
        "{subject} does not volunteer at the {value}",
    ),
    _whose("name", static=True),
    _whose("nickname", many=True, static=True),
    _is("age", "age", "{subject} is {value} years old", "{subject} is not {value} years old"),
    _whose("birthday", static=True),
    _whose("email", "e-mail address", static=True),
    _whose("phone_number", "phone number", static=True),
    _whose("height", static=True),
    _is("diet", "diet", "{subject} is {value}", "{subject} is not {value}", many=True),
    _is("likes", "likes", "{subject} likes {value}", "{subject} does not like {value}", many=True),
    _is("dislikes", "dislikes", "{subject} dislikes {value}", "{subject} does not dislike {value}", many=True),
    _is("fears", "fears", "{subject} is afraid of {value}", "{subject} is not afraid of {value}", many=True),
    _is("eats", "eating habits", "{subject} eats {value}", "{subject} does not eat {value}", many=True),
    _is("owns", "possessions", "{subject} has {value}", "{subject} does not have {value}", many=True),
    _is("goal", "goals", "{subject} plans to {value}", "{subject} does not plan to {value}", many=True),
    _is("religion", "religion", "{subject} is {value}", "{subject} is not {value}", static=True),
    _is("nationality", "nationality", "{subject} is {value}", "{subject} is not {value}", many=True, static=True),
    _is("marital_status", "marital status", "{subject} is {value}", "{subject} is not {value}", static=True),
    _is("gender_identity", "gender identity", "{subject} is {value}", "{subject} is not {value}", static=True),
    _is("children", "children", "{subject} has {value} children", "{subject} does not have {value} children"),
    _is("education", "education", "{subject} studies {value}", "{subject} does not study {value}", many=True),
    _is("degree", "degree", "{subject} has a degree in {value}", "{subject} has no degree in {value}", many=True),
    _is(
        "university",
        "university",
        "{subject} studies at {value}",
        "{subject} does not study at {value}",
        many=True,
        static=True,
    ),
)

_PEOPLE: tuple[Attribute, ...] = (
    *(_relative(key) for key in ("partner", "mother", "father", "boss", "coach", "neighbour", "landlord", "teacher")),
    *(
        _relative(key, many=True)
        for key in (
            "sister", "brother", "son", "daughter", "child", "friend", "flatmate", "colleague", "cousin", "aunt",
            "uncle", "niece", "nephew", "grandmother", "grandfather", "client", "doctor",
        )
    ),
)  # fmt: skip

_HAPPENED: tuple[Attribute, ...] = (
    _happened("concert", "concert", "went to the {value} concert", "go to the {value} concert"),
    _happened("race", "half marathon", "ran the {value} half marathon", "run the {value} half marathon"),
    _happened("exam", "exam", "passed the {value} exam", "pass the {value} exam"),
    _happened("purchase", "purchase", "bought {value}", "buy {value}", countable=True),
    _happened("hike", "climb", "climbed {value}", "climb {value}"),
    _happened("dinner", "dinner", "cooked {value}", "cook {value}"),
    _happened("event", "event", "{value}", "{value}"),
    _is("activity", "doings", "{subject} is {value}", "{subject} is not {value}", many=True),
    _appointment("dentist", "dentist appointment"),
    _appointment("driving_test", "driving test"),
    _appointment("flight", "flight"),
    _appointment("interview", "job interview"),
    _appointment("housewarming", "housewarming party"),
)


ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({known.key: known for known in (*_LIFE, *_PEOPLE, *_HAPPENED)})
"""All listed attributes by key."""


@functools.lru_cache(maxsize=4096)
def attribute(key: str) -> Attribute:
    """The attribute of `key`; for a key that is not listed, one made from its words (see the module)."""
    known = ATTRIBUTES.get(key)
    if known is not None:
        return known
    words = key.replace("_", " ").strip()
    if key.startswith(FAVOURITE):
        return _whose(key, words)
    return _is(key, words, f"{{subject}} {words} {{value}}", f"not so: {{subject}} {words} {{value}}", many=True)
