"""Words that come back are found where they stand, turned around or not."""

from __future__ import annotations

import random
import threading

import pytest

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels import echoes
from remanence.kernels.echoes import MOST_SCOPES, MOST_TEXTS, HandedOut, Shingles, naive_echoes

ANA = Scope(user_id="ana")
MONDAY = Scope(user_id="ana", run_id="monday")
BO = Scope(user_id="bo")

KNOWN = ["I live in Oslo", "I'm allergic to peanuts and shellfish since childhood", "My sister Xenia plays the cello"]


def stretches(text: str, known: list[str] = KNOWN) -> list[str]:
    return [text[start:end] for start, end, _ in Shingles(known).echoes(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Since you live in Oslo, take the tram.", ["you live in Oslo"]),
        ("You're allergic to peanuts and shellfish since childhood!", [
            "You're allergic to peanuts and shellfish since childhood"]),
        ("As YOUR SISTER XENIA PLAYS the cello: bring her.", ["YOUR SISTER XENIA PLAYS the cello"]),
        ("You live in Oslo. Your sister Xenia plays the cello.", [
            "You live in Oslo. Your sister Xenia plays the cello"]),
        ("You live in Oslo, and I think your sister Xenia plays the cello.", [
            "You live in Oslo", "your sister Xenia plays the cello"]),
        ("You live in Bergen", []),
        ("You are allergic to figs", []),
        ("I moved to Oslo", []),
        ("", []),
        ("\ud800 ﷺ", []),
    ],
)  # fmt: skip
def test_where_they_stand(text: str, found: list[str]) -> None:
    assert stretches(text) == found


def test_what_is_said_around_an_echo_is_not_one() -> None:
    assert stretches("Given that you live in Oslo, I booked the flight from Bergen") == ["you live in Oslo"]


def test_the_texts_that_are_repeated_are_named() -> None:
    ((_, _, numbers),) = Shingles(KNOWN).echoes("You live in Oslo. Your sister Xenia plays the cello.")
    assert numbers == {0, 2}


def test_short_texts_are_no_echoes() -> None:
    assert stretches("Oslo it is", ["Oslo it", "is"]) == []


@pytest.mark.parametrize("seed", range(40))
def test_fast_and_naive_agree(seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = "i you my your live am are in oslo tea".split()
    known = [" ".join(rng.choices(vocabulary, k=rng.randrange(1, 12))) for _ in range(6)]
    text = ", ".join(" ".join(rng.choices(vocabulary, k=8)) for _ in range(6))
    assert [(start, end) for start, end, _ in Shingles(known).echoes(text)] == naive_echoes(text, known)
    assert [(start, end) for start, end, _ in Shingles(known).echoes(text, 7)] == naive_echoes(text, known, 7)


def test_what_was_dropped_is_no_echo_any_more() -> None:
    shingles = Shingles(KNOWN)
    shingles.add(KNOWN[0])
    shingles.drop_oldest()
    assert shingles.echoes("you live in Oslo")
    assert not shingles.echoes("you're allergic to peanuts and shellfish")
    shingles.drop_oldest()
    shingles.drop_oldest()
    assert len(shingles) == 0
    assert shingles.echoes("you live in Oslo") == []


def test_too_few_words_are_refused() -> None:
    with pytest.raises(InvalidInput, match="least=2"):
        Shingles().echoes("a b", 2)


def test_what_was_handed_out_counts_where_it_was() -> None:
    handed = HandedOut()
    handed.note(ANA, KNOWN)
    assert handed.echoes(MONDAY, "you live in Oslo")
    assert not handed.echoes(BO, "you live in Oslo")
    handed.note(MONDAY, ["The key lies under the pot"])
    assert handed.echoes(ANA, "the key lies under the pot")
    assert not handed.echoes(Scope(user_id="ana", run_id="tuesday"), "the key lies under the pot")
    handed.clear()
    assert not handed.echoes(MONDAY, "you live in Oslo")


def test_it_remembers_the_last_ones_only() -> None:
    handed = HandedOut()
    handed.note(ANA, KNOWN[:1])
    handed.note(ANA, [f"the parcel number {number} has come" for number in range(MOST_TEXTS)])
    assert not handed.echoes(ANA, KNOWN[0])
    assert handed.echoes(ANA, f"the parcel number {MOST_TEXTS - 1} has come")
    for number in range(MOST_SCOPES):
        handed.note(Scope(user_id=f"u{number}"), KNOWN)
    assert not handed.echoes(ANA, f"the parcel number {MOST_TEXTS - 1} has come")


@pytest.mark.parametrize("seed", range(20))
def test_asking_now_or_later_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    texts = [f"the parcel for {rng.choice('abcdefgh')} has number {rng.randrange(200)} on it" for _ in range(200)]
    often, once = HandedOut(), HandedOut()
    for start in range(0, len(texts), 10):
        for handed in (often, once):
            handed.note(ANA, texts[start : start + 10])
        often.echoes(ANA, "the parcel")
    for text in texts:
        spans = [[(start, end) for start, end, _ in handed.echoes(ANA, text)] for handed in (often, once)]
        assert spans[0] == spans[1]
    newest = list(dict.fromkeys(reversed(texts)))[:MOST_TEXTS]
    assert all(once.echoes(ANA, text) == [(0, len(text), once.echoes(ANA, text)[0][2])] for text in newest)


def test_a_search_takes_no_text_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echoes, "_words", lambda text: pytest.fail(f"{text!r} was taken apart"))
    handed = HandedOut()
    handed.note(ANA, KNOWN)
    monkeypatch.undo()
    assert handed.echoes(ANA, "you live in Oslo")


def test_threads_share_it() -> None:
    handed = HandedOut()

    def work(name: int) -> None:
        for turn in range(50):
            handed.note(ANA, [f"thread {name} has said this in turn {turn}"])
            handed.echoes(ANA, "thread 1 has said this in turn 4")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handed.echoes(ANA, "thread 3 has said this in turn 49") or handed.echoes(ANA, "has said this in turn 49")
