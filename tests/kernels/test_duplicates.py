"""Repetitions and near-misses: form may differ, content may not."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from remanence.kernels.analyzer import fold
from remanence.kernels.duplicates import (
    LISTED,
    Statement,
    canonical,
    depends_on_context,
    differs,
    group,
    naive_group,
)
from remanence.kernels.timex import TimeSpan, resolve

MAY = datetime(2025, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def said(*texts: str, voice: str = "", **others: object) -> list[Statement]:
    """One statement a day."""
    return [Statement(text, MAY + day * DAY, voice, **others) for day, text in enumerate(texts)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I'm allergic to peanuts.", "I am really allergic to PEANUTS!!"),
        ("By the way, I live in Oslo", "As I said, i live in Oslo"),
        ("On Mondays I swim in the lake", "I swim in the lake on Mondays"),
        ("I have three cats at home", "I have 3 cats at home"),
        ("We don’t eat meat", "We do not eat meat"),
        ("The rent is 1,000 euros", "rent is 1000 euros"),
        ("Ich wohne in Köln", "ich wohne in KÖLN."),
        ("我住在奥斯陆。", "我住在奥斯陆"),
    ],
)
def test_form_makes_no_difference(one: str, other: str) -> None:
    assert differs(one, other, MAY, MAY + 40 * DAY) is None
    assert group(said(one, other)) == [0, 0]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("The flight leaves at 9:15", "The flight leaves at 9:45", "number"),
        ("The rent is 1,000 euros", "The rent is 1,000.50 euros", "number"),
        ("I eat fish on weekdays", "I don't eat fish on weekdays", "polarity"),
        ("I never eat fish at home", "I eat fish at home", "polarity"),
        ("My dentist is on 3 May 2025", "My dentist is on 4 May 2025", "date"),
        ("I ran five kilometres yesterday", "I ran five kilometres yesterday", "date"),
        ("I met Xenia in town", "I met Yara in town", "name"),
        ("My sister lives by the harbour", "My brother lives by the harbour", "wording"),
        ("I live in the old town", "I lived in the old town", "wording"),
        ("I might move to the coast", "I will move to the coast", "wording"),
        ("a train from Oslo to Bergen", "a train from Bergen to Oslo", "order"),
        ("Ana called Bo at home", "Bo called Ana at home", "order"),
        ("I live in Oslo with Bo", "I live in Oslo with Bo?", "mood"),
    ],
)
def test_content_does(one: str, other: str, why: str) -> None:
    assert differs(one, other, MAY, MAY + 40 * DAY) == why
    pair = [Statement(one, MAY), Statement(other, MAY + 40 * DAY)]
    assert group(pair) == [0, 1]


def test_the_first_stands_for_all_in_whatever_order_they_come() -> None:
    statements = said("I like tea a lot", "i like tea a lot!", "Well, I like tea a lot")
    assert group(statements) == [0, 0, 0]
    assert group(statements[::-1]) == [2, 2, 2]


def test_voices_do_not_repeat_each_other() -> None:
    statements = [Statement("I live in Oslo", MAY, "ana"), Statement("I live in Oslo", MAY + DAY, "bo")]
    assert group(statements) == [0, 1]


def test_what_comes_back_after_a_change_is_news() -> None:
    assert group(said("standup is at 9:00", "standup is at 9:30", "standup is at 9:00", "standup is at 9:00")) == [
        0, 1, 2, 2,
    ]  # fmt: skip
    assert group(said("my colour is blue", "my colour is green", "my colour is blue")) == [0, 1, 2]
    assert group(said("I eat fish at home", "I don't eat fish at home", "I eat fish at home")) == [0, 1, 2]


def test_what_was_said_in_between_may_be_passed_over() -> None:
    statements = said("standup is at 9:00", "standup is at 9:30", "Standup is at 9:00!")
    assert group(statements, news=False) == [0, 1, 0]


def test_a_change_counts_whoever_said_it() -> None:
    statements = said("standup is at 9:00", "standup is at 9:30", "standup is at 9:00")
    statements[1] = Statement(statements[1].text, statements[1].at, "boss")
    assert group(statements) == [0, 1, 2]


def test_a_list_is_no_row_of_changes() -> None:
    likes = [f"Ana likes {what}" for what in "tea jazz rain figs maps".split()]
    assert len(likes) == LISTED
    assert group(said(*likes, "Ana likes tea")) == [0, 1, 2, 3, 4, 0]
    assert group(said(*likes[1:], "Ana likes jazz")) == [0, 1, 2, 3, 4]


def test_claims_go_before_words() -> None:
    first, between, again = "Ana lives in Oslo", "Ana lives in Bergen", "Ana lives in Oslo"

    def three(*claims: str) -> list[Statement]:
        texts = (first, between, again)
        return [
            Statement(text, MAY + day * DAY, claims=frozenset({claim}))
            for day, (text, claim) in enumerate(zip(texts, claims, strict=True))
        ]

    assert group(three("a", "b", "a")) == [0, 1, 0]
    assert group(three("a", "b", "c")) == [0, 1, 2]


def test_the_same_claim_in_other_words() -> None:
    home = frozenset({"home"})
    statements = [
        Statement("I live in Oslo, near my sister", MAY, claims=home | {"sister"}),
        Statement("My home is Oslo", MAY + DAY, claims=home, spent=True),
        Statement("My home is Oslo, and it rains", MAY + 2 * DAY, claims=home),
        Statement("My home is Oslo, my car is red", MAY + 3 * DAY, claims=home | {"car"}, spent=True),
    ]
    assert group(statements) == [0, 0, 2, 3]


def test_a_reply_repeats_only_what_stands_right_before_it() -> None:
    yes = [
        Statement("Yes, please", MAY, bound=True),
        Statement("Yes, please", MAY + DAY, bound=True, follows=0),
        Statement("Do you take milk?", MAY + 2 * DAY, "bo", follows=1),
        Statement("Yes, please", MAY + 3 * DAY, bound=True, follows=2),
    ]
    assert group(yes) == [0, 0, 2, 3]


@pytest.mark.parametrize(
    "text",
    ["Yes", "Sure, I can come over tomorrow", "I liked it very much", "Thanks a lot", "Where were you born, Jana?"],
)
def test_replies_and_pointers_depend_on_context(text: str) -> None:
    assert depends_on_context(text)


@pytest.mark.parametrize("text", ["I am allergic to peanuts", "My flight leaves at nine"])
def test_statements_do_not(text: str) -> None:
    assert not depends_on_context(text)


@pytest.mark.parametrize(
    "text", ["", " ", "!!!", "really", "\ud800", "😡 😡", "a\x00b", "ﷺ" * 50, "1" * 5000, "so well"]
)
def test_odd_texts_are_statements_too(text: str) -> None:
    assert group([Statement(text, MAY), Statement(text, MAY)]) == [0, 0]
    assert group([Statement(text, MAY), Statement(text + " Oslo", MAY)]) == [0, 1]


def test_texts_without_words_are_compared_by_their_characters() -> None:
    assert group(said("😡", "😀", "😡")) == [0, 1, 0]


def test_fillers_alone_are_kept() -> None:
    assert canonical("Oh, really?") == ("oh", "really")


@pytest.mark.parametrize("seed", range(60))
def test_fast_and_naive_agree(seed: int) -> None:
    rng = random.Random(seed)
    statements = []
    for index in range(40):
        value = rng.choice(["9", "10", "tea", "rain", "figs"])
        text = rng.choice(["the start is at {}", "Start is at {}!", "it is not {}", "yesterday I had {} at home"])
        claims = frozenset(rng.sample(["a", "b"], rng.choice([0, 0, 1, 2])))
        statements.append(
            Statement(
                text.format(value),
                MAY + rng.randrange(12) * DAY / 2,
                rng.choice(["ana", "bo"]),
                claims,
                rng.random() < 0.3,
                rng.random() < 0.2,
                rng.choice([None, max(index - 1, 0)]),
            )
        )
    assert group(statements) == naive_group(statements)
    assert group(statements, news=False) == naive_group(statements, news=False)


def test_work_grows_with_the_statements_and_times_are_worked_out_for_what_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: Counter[str] = Counter()

    def counted_fold(text: str) -> str:
        read["words"] += 1
        return fold(text)

    def counted_resolve(text: str, at: datetime) -> list[TimeSpan]:
        read["times"] += 1
        return resolve(text, at)

    monkeypatch.setattr("remanence.kernels.duplicates.fold", counted_fold)
    monkeypatch.setattr("remanence.kernels.duplicates.resolve", counted_resolve)
    once = [Statement(f"I walked to house number{number} yesterday", MAY) for number in range(300)]
    again = [Statement("I ran five kilometres yesterday", MAY + day * DAY) for day in range(2)]
    assert group([*once, *again]) == list(range(302)), "another day is another run"
    # The same text twice in a row is cut once.
    assert read == {"words": 301, "times": 2}
