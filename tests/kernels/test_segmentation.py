from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.segmentation import (
    FAREWELL,
    GREETING,
    TURN_OF_TALK,
    Beat,
    Segmenter,
    Settings,
    pk,
    ranges,
    segment,
    window_diff,
)

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
TEXTS = ("I see.", "Hey Ana!", "By the way, the boat.", "Bye, talk soon!", "The kayak is red.", "", "Anyway.", "日本語")


def beats(seed: int, size: int, dim: int = 8) -> list[Beat]:
    dice, rng = random.Random(seed), np.random.default_rng(seed)
    topic, at, out = rng.normal(size=dim), START, []
    for _ in range(size):
        if dice.random() < 0.1:
            topic = rng.normal(size=dim)
        vector = topic + 0.5 * rng.normal(size=dim)
        vector /= np.linalg.norm(vector)
        at += timedelta(minutes=dice.choice([1, 1, 1, 1, 2, 40]))
        terms = [f"w{dice.randrange(30)}" for _ in range(dice.randrange(6))]
        known = None if dice.random() < 0.1 else vector.astype(np.float32)
        out.append(Beat(dice.choice(TEXTS), terms, known, None if dice.random() < 0.1 else at))
    return out


def stream(turns: list[Beat], settings: Settings, begun: int = 0) -> list[int]:
    segmenter = Segmenter(settings, begun)
    for turn in turns:
        before = list(segmenter.starts)
        assert segmenter.push(turn) == (segmenter.starts != before)
    return segmenter.starts


SETTINGS = (
    Settings(),
    Settings(window=1, shortest=2, longest=6, topic=0.3, surprise=0.5),
    Settings(window=2, shortest=5, longest=9, topic=0.8, surprise=1.0, memory=3, history=10),
    Settings(topic=99, surprise=99),
)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", range(6))
def test_stream_and_batch_agree(seed: int, settings: Settings) -> None:
    turns = beats(seed, 30 + 40 * seed)
    assert [part.start for part in segment(turns, settings)] == stream(turns, settings)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_boundary_is_never_taken_back(settings: Settings) -> None:
    turns = beats(11, 120)
    whole = stream(turns, settings)
    for size in range(0, 120, 7):
        part = stream(turns[:size], settings)
        assert part == whole[: len(part)]
        assert all(start >= size - settings.window for start in whole[len(part) :])


@pytest.mark.parametrize("settings", SETTINGS[1:])
def test_it_can_be_continued_from_any_episode(settings: Settings) -> None:
    turns = beats(5, 200)
    whole = stream(turns, settings)
    for begun in whole[2::5]:
        context = max(0, begun - settings.reach)
        rest = [context + start for start in stream(turns[context:], settings, begun - context)]
        assert rest == [start for start in whole if start >= begun]


def test_episodes_partition_the_session_and_keep_their_limits() -> None:
    settings = Settings(window=2, shortest=3, longest=7, topic=0.2, surprise=0.2)
    turns = [Beat(beat.text, beat.terms, beat.vector) for beat in beats(2, 300)]
    parts = segment(turns, settings)
    assert [i for part in parts for i in part] == list(range(300))
    assert all(3 <= len(part) <= 7 for part in parts[:-1])


def test_two_topics_are_told_apart_by_their_vectors_alone() -> None:
    rng = np.random.default_rng(0)
    one, other = np.eye(16)[0], np.eye(16)[1]
    turns = []
    for topic in (one, other, one):
        for _ in range(12):
            vector = topic + 0.15 * rng.normal(size=16)
            turns.append(Beat("so", ["a", "b"], (vector / np.linalg.norm(vector)).astype(np.float32)))
    assert [part.start for part in segment(turns)] == [0, 12, 24]
    # A variant that takes the first low cosine instead of the lowest cuts too early.
    assert segment([Beat(turn.text, turn.terms) for turn in turns]) == [range(36)]


def test_unheard_words_are_a_surprise() -> None:
    usual = [Beat("so", [f"w{i % 5}", f"w{(i * 3) % 5}", f"v{i % 4}"]) for i in range(30)]
    odd = [Beat("so", ["kiln", "glaze", "clay"]), *[Beat("so", ["w1", "v1"]) for _ in range(6)]]
    assert [part.start for part in segment([*usual, *odd], Settings(surprise=2.0))] == [0, 30]


def test_silence_cuts_even_short_episodes() -> None:
    at = [START, START + timedelta(minutes=29), START + timedelta(minutes=59), START + timedelta(days=1)]
    assert segment([Beat("x", at=moment) for moment in at]) == [range(2), range(2, 3), range(3, 4)]
    # Clocks that run backwards are silence too, not an error.
    assert segment([Beat("x", at=at[3]), Beat("x", at=at[0])]) == [range(1), range(1, 2)]


@pytest.mark.parametrize(
    "text", ["Hey Melanie!", "Hi Jon, how are you?", "Good morning, Ana", "Ana! Long time no see."]
)
def test_greetings(text: str) -> None:
    assert GREETING.search(text)


@pytest.mark.parametrize("text", ["Hey that is mine", "I say hi to him", "He said hello", "Highlights of today"])
def test_not_greetings(text: str) -> None:
    assert not GREETING.search(text)


@pytest.mark.parametrize("text", ["Bye Ana, take care.", "Talk to you soon!", "I have to run.", "See you later!"])
def test_farewells(text: str) -> None:
    assert FAREWELL.search(text)


def test_not_farewells() -> None:
    assert not FAREWELL.search("I have to run to the shop first")
    assert not FAREWELL.search("I went by train")
    assert TURN_OF_TALK.search("Oh, by the way, I moved")
    assert not TURN_OF_TALK.search("It went by the river")


@pytest.mark.parametrize("size", [0, 1, 2, 4])
def test_few_turns(size: int) -> None:
    turns = [Beat("Hey!", ["x"], np.full(4, 0.5, np.float32), START) for _ in range(size)]
    assert segment(turns) == ([range(size)] if size else [])
    assert sum(map(len, segment(turns))) == size


def test_ten_thousand_turns() -> None:
    turns = beats(1, 10_000, dim=4)
    segmenter = Segmenter()
    assert sum(segmenter.push(turn) for turn in turns) > 1000
    assert len(segmenter._turns) <= 7


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"window": 4, "shortest": 4}, {"shortest": 9, "longest": 8}, {"gap": timedelta(0)}]
)
def test_bad_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Settings(**wrong)  # type: ignore[arg-type]


def test_bad_positions() -> None:
    with pytest.raises(InvalidInput, match="begun"):
        Segmenter(begun=-1)
    with pytest.raises(InvalidInput, match="12"):
        pk([12], [], 10)


def test_pk_and_window_diff_by_hand() -> None:
    # Ten turns; segments 0-4 | 5-9 against 0-3 | 4-9, k = round(10 / 4) = 2, so 8 pairs (i, i + 2).
    # Reference apart: i = 3, 4. Found apart: i = 2, 3. They differ at i = 2 and i = 4.
    assert pk([5], [4], 10) == 2 / 8
    assert window_diff([5], [4], 10) == 2 / 8
    # Found 4 and 5: apart at i = 2, 3, 4; Pk differs at 2 only; two boundaries lie within the window at i = 3.
    assert pk([5], [4, 5], 10) == 1 / 8
    assert window_diff([5], [4, 5], 10) == 2 / 8
    assert pk([0, 5], [5], 10) == window_diff([5], [0, 5], 10) == 0
    assert pk([5], [], 10) == 2 / 8
    assert pk([], [], 1) == pk([], [], 0) == 0


def test_ranges() -> None:
    assert ranges([0, 3], 5) == [range(3), range(3, 5)]
    assert ranges([], 0) == []
