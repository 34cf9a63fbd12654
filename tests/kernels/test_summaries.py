from __future__ import annotations

import random

import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.summaries import (
    Passage,
    RunningSummary,
    bounded,
    details,
    missing,
    naive_summarise,
    passage,
    passages,
    sentences,
    summarise,
)

ANALYZER = Analyzer()


def terms(text: str) -> list[str]:
    return [term for term in ANALYZER.terms(text) if not is_stopword(term)]


def said(*texts: str) -> list[Passage]:
    return [item for number, text in enumerate(texts) for item in passages(f"t{number}", text, terms)]


def drawn(seed: int, size: int) -> list[Passage]:
    dice = random.Random(seed)
    return [
        Passage(
            f"{number}", f"t{number}", 0, 1,
            frozenset(f"w{dice.randrange(20)}" for _ in range(dice.randrange(8))),
            frozenset(f"n{dice.randrange(9)}" for _ in range(dice.randrange(3))),
            dice.randrange(1, 12),
        )
        for number in range(size)
    ]  # fmt: skip


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_lazy_and_naive_choose_the_same(seed: int, keep: bool) -> None:
    items = drawn(seed, 40)
    for budget in (0, 3, 20, 60, 10_000):
        chosen = summarise(items, budget, keep=keep)
        assert chosen == naive_summarise(items, budget, keep=keep)
        assert sum(items[i].cost for i in chosen) <= budget


def test_sentences_and_their_spans() -> None:
    text = " Dr. Smith paid 3.5 dollars. He left!  Really?\nYes 今天。明天 e.g. no"
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. Smith paid 3.5 dollars.", "He left!", "Really?", "Yes 今天。", "明天 e.g. no",
    ]  # fmt: skip
    assert sentences("") == sentences(" \n ") == []


def test_details_are_names_and_numbers() -> None:
    assert details("We met Ana-Léa at 10:30 in Oslo with 1,000 others.") == {"ana lea", "10:30", "oslo", "1,000"}


def test_names_and_numbers_are_kept() -> None:
    chat = (
        "Well, that is how it goes with gardens and rain and gardens in the rain.",
        "I paid 4200 euros to Ingrid for the boat.",
        "The gardens were lovely and the rain was lovely.",
        "Tomas Berg starts on 14 June in Lisbon.",
        "Gardens, rain, gardens, rain, and more gardens.",
    )
    items = said(*chat)
    chosen = summarise(items, 40, keep=True)
    text = " ".join(items[i].text for i in chosen)
    for wanted in ("4200", "Ingrid", "Tomas Berg", "14", "June", "Lisbon"):
        assert wanted in text
    assert missing(items, chosen) == frozenset()
    # Taking what is most typical, or what comes first, loses them.
    typical = max(range(len(items)), key=lambda i: len(items[i].terms))
    assert missing(items, [typical])
    assert missing(items, [0, 1, 2])
    assert "4200" in missing(items, summarise(items, 12, keep=True)) or "lisbon" in missing(items, [])


def test_nothing_is_said_twice() -> None:
    items = said(
        "Freya bought a red kayak in Bergen.",
        "Freya bought a red kayak in Bergen.",
        "The neighbour repaired the old roof yesterday.",
    )
    chosen = summarise(items, items[0].cost + items[2].cost)
    assert chosen == [0, 2]


def test_small_talk_and_callers_names_are_no_news() -> None:
    assert not passage("t", "Lovely!", 0, 7, ["love"]).terms
    item = passage("t", "Hey Ana, lovely boat", 0, 20, ["ana", "love", "boat"], people=["ana"], prefix="Bo: ")
    assert item.terms == {"love", "boat"}
    assert item.details == frozenset()
    assert item.cost > passage("t", "Hey Ana, lovely boat", 0, 20, []).cost
    assert summarise(said("Lovely!", "Hm."), 100) == []


def test_the_running_summary_is_bounded_and_layered() -> None:
    running = RunningSummary(budget=30, every=10)
    for number in range(45):
        running.push(passages(f"t{number}", f"On day {number} I planted tulips beside shed {number}.", terms))
        assert sum(item.cost for item in running.current) <= 30
        assert sum(item.cost for item in running.passages()) <= 60
    assert {item.source for item in running.overview} & {f"t{n}" for n in range(40)}
    assert all(item.source >= "t40" for item in running.current)


def test_one_level_is_what_two_levels_are_without_a_period() -> None:
    flat, layered = RunningSummary(40, every=10_000), RunningSummary(40, every=5)
    state: tuple[Passage, ...] = ()
    for number in range(23):
        turn = passages(f"t{number}", f"Item {number * 7 % 23} is called N{number}x and costs {number}.", terms)
        flat.push(turn)
        layered.push(turn)
        state = bounded((*state, *turn), 40)
    assert flat.current == state
    assert flat.overview == ()
    assert layered.overview


@pytest.mark.parametrize("budget", [-1, -100])
def test_bad_budgets(budget: int) -> None:
    with pytest.raises(InvalidInput, match=str(budget)):
        summarise([], budget)
    with pytest.raises(InvalidInput):
        RunningSummary(budget)


def test_odd_input() -> None:
    assert summarise([], 10) == []
    items = said("你好。我住在北京。", "Привет, Анна живёт в Осло 5 лет.", "\ud800", "x" * 5000)
    assert summarise(items, 10_000)
    assert len(summarise(said(*[f"Point {i} is about N{i}." for i in range(10_000)]), 200)) > 10
