from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import combinations

import pytest

from remanence.scenarios import smalltalk
from remanence.scenarios.attributes import ATTRIBUTES, HAPPENINGS, RELATIONS, SHARED
from remanence.scenarios.dates import DAYS, days_in, future_phrase, past_phrase, spell
from remanence.scenarios.dialogues import HARDNESS, generate
from remanence.scenarios.dice import Dice
from remanence.scenarios.model import Hardness
from remanence.scenarios.phrases import Attribute, inflect, names_subject, person, render, says, value_fields
from remanence.scenarios.questions import Asker
from remanence.scenarios.values import KINDS, MEN, POOLS, WOMEN
from remanence.scenarios.world import Simulation

VALUES = [value for pool in POOLS.values() for value in pool] + [*WOMEN, *MEN]
VALUE = ("{v}", "{V}", "{nv}", "{av}")
MISTAKES = re.compile(
    r"\ba [aeio]|\b[Ss]ince on |\b(the the|a a|an an|a the|the a)\b|\b(she|he) (am|are|live|work|drive)\b"
    r"|\bI (is|are|lives|works|has|does|drives|plays|gets|pays|uses|drinks|keeps)\b"
)
STOP = set("which what does do is are of the a an in to for these days now by s who how much where have has".split())


def lines(thing: object) -> Iterator[str]:
    """All strings in nested tuples and mappings."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from lines(value)
    elif isinstance(thing, tuple):
        for value in thing:
            yield from lines(value)


def said_of(attribute: Attribute) -> tuple[object, ...]:
    return (attribute.say, attribute.change, attribute.end, attribute.tease, attribute.gossip)


def asked_of(attribute: Attribute) -> tuple[object, ...]:
    return (attribute.ask, attribute.now, attribute.then, attribute.before, attribute.still, attribute.count)


# Values


def test_no_value_occurs_inside_another() -> None:
    padded = {value: f" {re.sub(chr(39) + 's', ' ', value.casefold())} " for value in VALUES}
    assert len(padded) == len(VALUES)
    clashes = [(a, b) for a, b in combinations(VALUES, 2) if padded[a] in padded[b] or padded[b] in padded[a]]
    assert clashes == []


def test_no_template_and_no_small_talk_says_a_value() -> None:
    texts = [line for name, table in vars(smalltalk).items() if name.isupper() for line in lines(table)]
    texts += [line for one in ATTRIBUTES.values() for line in lines((*said_of(one), *asked_of(one)))]
    texts += [line for one in HAPPENINGS.values() for line in lines((one.say, one.moved, one.tease, one.gossip))]
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, VALUES)) + r")(?!\w)", re.IGNORECASE)
    assert [text for text in texts if pattern.search(text)] == []


def test_pools_are_large_enough_to_keep_values_apart() -> None:
    assert {name: len(pool) for name, pool in POOLS.items() if len(pool) < 24} == {}
    assert len(ATTRIBUTES) >= 25
    assert set(KINDS) == set(POOLS["pet"])


# Templates


@pytest.mark.parametrize("key", ATTRIBUTES)
def test_every_attribute_can_be_said_in_many_ways(key: str) -> None:
    one = ATTRIBUTES[key]
    assert len(list(lines(one.say))) >= 6
    assert all(one.say)
    assert one.ask
    assert one.now
    assert one.tease
    assert one.gossip
    for levels in (one.change, one.end):
        assert all(levels) or not any(levels)


@pytest.mark.parametrize("key", ATTRIBUTES)
def test_templates_carry_what_their_facts_need(key: str) -> None:
    one = ATTRIBUTES[key]
    for template in lines((one.say, one.change)):
        assert any(token in template for token in VALUE), template
    for template in lines(one.say):
        assert "{w}" not in template, f"a first mention is not news: {template}"
    for template in lines(one.end):
        assert "{old}" in template or "{nold}" in template, template
    for template in lines((one.now, one.then, one.before, one.still, one.count)):
        assert "{n}" in template, template
    if one in SHARED:
        assert all(names_subject(template) for template in one.tease)


@pytest.mark.parametrize("key", HAPPENINGS)
def test_templates_of_happenings_carry_their_day(key: str) -> None:
    one = HAPPENINGS[key]
    for template in lines((one.say, one.moved)):
        if one.ahead:
            assert "{f}" in template, template
        else:
            assert "{w}" in template or "{w_}" in template, template
            assert any(token in template for token in VALUE), template


def test_first_and_third_person() -> None:
    lena = person("Lena", female=True)
    fields = value_fields("the", "oboe")
    template = "{P} teacher says {s} [play|plays] {nv} by {self}; {S} [have|has] {p} doubts."
    assert render(template, lena, True, fields) == "My teacher says I play the oboe by myself; I have my doubts."
    assert (
        render(template, lena, False, fields)
        == "Lena's teacher says she plays the oboe by herself; Lena has her doubts."
    )


def test_articles() -> None:
    assert value_fields("a", "optician")["nv"] == "an optician"
    assert value_fields("a", "roofer")["Nv"] == "A roofer"
    assert value_fields("", "mango")["V"] == "Mango"


def coverage(question: str, statement: str) -> float:
    asked = set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", question).lower())) - STOP
    said = set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", statement).lower()))
    return len(asked & said) / len(asked)


def test_hardness_is_in_the_words() -> None:
    shares: dict[Hardness, list[float]] = {hardness: [] for hardness in HARDNESS}
    decoys: list[float] = []
    for one in ATTRIBUTES.values():
        for question in one.now:
            for hardness, statements in zip(HARDNESS, one.say, strict=True):
                shares[hardness] += [coverage(question, inflect(line, False)) for line in statements]
            decoys += [coverage(question, inflect(line, False)) for line in (*one.tease, *one.gossip, *one.ask)]
    means = {hardness: sum(share) / len(share) for hardness, share in shares.items()}
    assert means["easy"] > 0.9
    assert 0.2 < means["medium"] < 0.6
    assert means["hard"] < 0.1
    assert sum(decoys) / len(decoys) > 0.7


@pytest.mark.parametrize("hardness", HARDNESS)
def test_turns_are_clean_sentences(hardness: Hardness) -> None:
    for seed in range(20):
        one = generate(seed, hardness=hardness)
        for text in [turn.text for turn in one.turns] + [question.text for question in one.questions]:
            assert not re.search(r"[{}\[\]|]|  |\bNone\b", text), text
            assert text[0].isupper() or text[0].isdigit(), text
            assert text[-1] in ".?!", text
            assert not MISTAKES.search(text), text
            for sentence in re.split(r"(?<=[.?!]) ", text):
                assert sentence[0].isupper() or sentence[0].isdigit() or "… " in text, text


def test_sentences_are_not_repeated_within_a_short_while() -> None:
    repeated = total = 0
    for seed in range(20):
        texts = [turn.text for turn in generate(seed).turns if len(turn.text) > 25]
        total += len(texts)
        repeated += sum(text in texts[max(0, i - 30) : i] for i, text in enumerate(texts))
    assert repeated / total < 0.01


# Dates


def test_what_is_said_of_a_day_is_read_back_as_that_day() -> None:
    seen = set()
    dice = Dice("dates")
    for offset in range(800):
        today = date(2023, 11, 1) + timedelta(days=offset)
        for days in range(1, 15):
            for _ in range(3):
                phrase = past_phrase(today, days, dice)
                seen.add(re.sub(r"\d+\w*", "N", phrase))
                assert days_in(f"It was {phrase}, I think.", today) == [today - timedelta(days=days)], (phrase, today)
        for days in range(1, 41, 3):
            phrase = future_phrase(today, days, dice)
            seen.add(re.sub(r"\d+\w*", "N", phrase))
            assert days_in(f"{phrase[0].upper()}{phrase[1:]} it is.", today) == [today + timedelta(days=days)]
    assert len(seen) > 50


def test_last_friday_is_said_only_of_a_day_of_the_calendar_week_before() -> None:
    dice = Dice("weeks")
    counted = 0
    for offset in range(60):
        today = date(2024, 2, 1) + timedelta(days=offset)
        for ago in range(1, 15):
            for _ in range(10):
                if past_phrase(today, ago, dice) in {f"last {day}" for day in DAYS}:
                    said = today - timedelta(days=ago)
                    assert said.isocalendar().week == (today - timedelta(days=7)).isocalendar().week
                    assert ago < 7
                    counted += 1
    assert counted > 100


def test_a_day_without_a_year_is_the_nearest_one() -> None:
    assert days_in("on 29 December", date(2025, 1, 3)) == [date(2024, 12, 29)]
    assert days_in("on the 2nd of January", date(2024, 12, 30)) == [date(2025, 1, 2)]
    assert days_in("on 29 February", date(2024, 3, 1)) == [date(2024, 2, 29)]
    assert spell(date(2024, 5, 3)) == "3 May 2024"


# Small parts


def test_whole_words_only() -> None:
    assert says("I live in Oslo.", "oslo")
    assert not says("Osloites everywhere", "Oslo")
    assert says("No!", "no")
    assert not says("Now!", "no")
    assert says("Ana's cat", "Ana")


def test_the_fast_search_for_other_mentions_agrees_with_the_naive_one() -> None:
    world = Simulation(3, 3, "medium")
    turns = tuple(turn for index in range(30) for turn in world.session(index))
    asker = Asker(world, turns)
    outcomes = set()
    for entry in world.entries:
        naive = all(turn.id in entry.turns for turn in turns if says(turn.text, entry.value))
        assert asker._only_in(entry.value, entry.turns) == naive, entry
        outcomes.add(naive)
    assert outcomes == {True, False}


def test_dice_are_pinned() -> None:
    dice = Dice("a", 1)
    assert [dice.below(1000) for _ in range(5)] == [161, 116, 247, 173, 937]
    assert sorted(dice.shuffled(range(50))) == list(range(50))
    assert {dice.between(2, 4) for _ in range(200)} == {2, 3, 4}
    assert 850 < sum(dice.chance(0.3) for _ in range(3000)) < 950


def test_relations_name_people() -> None:
    assert all(relation.person and relation.speakers_only for relation in RELATIONS)
