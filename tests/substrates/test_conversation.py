from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.clock import to_micros
from remanence.core.scope import Scope
from remanence.kernels.timex import resolve
from remanence.substrates.records import channels
from remanence.substrates.records.conversation import (
    Question,
    arranged,
    candidates,
    current_first,
    speaker_match,
    speaker_terms,
    spread_out,
    take_apart,
    time_match,
    token_streams,
)
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import Close, Put
from remanence.substrates.records.reference import MemoryStore
from remanence.substrates.records.scope_index import ASKS, DATED, ScopeIndex
from tests.substrates.worlds import ANA, ANALYZER, EMBEDDER, MINUTE, START, say, turn

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = 24 * 3600 * 1_000_000
PLAIN = Question(
    terms=(), stops=(), speakers=(), about_user=False, asks_when=False, asks_present=False, asks_several=False, spans=()
)  # fmt: skip


def index_over(store: MemoryStore, scope: Scope = ANA) -> ScopeIndex:
    index = ScopeIndex(store, scope, EMBEDDER.space.key, EMBEDDER.space.dim)
    index.refresh()
    return index


def talk(*said: tuple[str | None, str | None, str], scope: Scope = ANA) -> ScopeIndex:
    """An index of turns `(speaker, role, text)`."""
    store = MemoryStore()
    for speaker, role, text in said:
        say(store, text, scope, speaker=speaker, role=role)
    return index_over(store, scope)


@pytest.mark.parametrize(
    ("text", "markers"),
    [
        ("red fox", ()),
        ("red fox?", (ASKS,)),
        ("red fox? \n", (ASKS,)),
        ("红色的狐狸？", (ASKS,)),
        ("أين الثعلب؟", (ASKS,)),
        ("που είναι\u037e", (ASKS,)),
        ("? red fox", ()),
        ("return fox;", ()),
        ("we met yesterday", (DATED,)),
        ("when did we meet in May 2023?", (ASKS, DATED)),
        ("昨天见面", (DATED,)),
        ("?", (ASKS,)),
        ("", ()),
        ("   ", ()),
    ],
)
def test_token_streams(text: str, markers: tuple[str, ...]) -> None:
    assert token_streams([text], ANALYZER) == [(*ANALYZER.terms(text), *markers)]


@given(st.lists(st.text(), max_size=5))
def test_streams_of_several_texts_are_those_of_each(texts: list[str]) -> None:
    assert token_streams(texts, ANALYZER) == [token_streams([text], ANALYZER)[0] for text in texts]


HOUSE = (("Ana", "user", "a"), ("Bob Lee", "user", "b"), (None, "assistant", "c"), ("Léa", None, "d"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where does Ana live?", {"terms": ("live",), "stops": ("where", "doe"), "speakers": (0,)}),
        ("ANA'S dog", {"terms": ("dog",), "speakers": (0,)}),
        ("did Lee or Ana sing", {"terms": ("sing",), "stops": ("did", "or"), "speakers": (0, 1)}),
        ("lea likes red red foxes", {"terms": ("like", "red", "fox"), "speakers": (3,)}),
        ("Ana", {"terms": ("ana",), "speakers": (0,)}),
        ("what did Bob Lee do?", {"terms": ("bob", "lee"), "stops": ("what", "did", "do"), "speakers": (1,)}),
        ("what is it", {"terms": ("what", "is", "it")}),
        ("what did my assistant say?", {"terms": ("say",), "speakers": (2,), "about_user": True}),
        ("Anabel and the Boblees", {"terms": ("anabel", "boble"), "stops": ("and", "the")}),
        ("I'm red", {"terms": ("red",), "about_user": True}),
        ("Is IT red?", {"terms": ("red",), "stops": ("is", "it")}),
        ("when was the fox seen?", {"terms": ("fox", "seen"), "asks_when": True}),
        ("what does she eat now?", {"asks_present": True}),
        ("where do I live?", {"terms": ("live",), "about_user": True, "asks_present": True}),
        ("what did the fox eat", {"terms": ("fox", "eat"), "stops": ("what", "did", "the")}),
        ("狐狸在哪里", {"asks_when": False, "speakers": ()}),
        ("他最近什么时候去的", {"asks_when": True, "asks_present": True}),
        ("", {"terms": (), "stops": ()}),
        ("?!", {"terms": (), "stops": ()}),
    ],
)
def test_taking_a_question_apart(text: str, expected: dict[str, Any]) -> None:
    question = take_apart(text, talk(*HOUSE), ANALYZER, NOW)
    standard = {"speakers": (), "about_user": False, "asks_when": False} | expected
    for name, value in standard.items():
        assert getattr(question, name) == value, name
    # Nothing is looked for twice, and nothing that was said gets lost.
    said = set(ANALYZER.terms(text))
    assert len(set(question.terms + question.stops)) == len(question.terms) + len(question.stops)
    assert set(question.terms + question.stops) <= said
    assert bool(question.terms) == bool(said)


def test_relative_times_count_from_now() -> None:
    index = talk(*HOUSE)
    for now in (NOW, NOW - timedelta(days=400), NOW.astimezone()):
        question = take_apart("what happened last week and in May 2023?", index, ANALYZER, now)
        spans = [(to_micros(span.start), to_micros(span.end)) for span in resolve("last week and in May 2023", now)]
        assert list(question.spans) == spans
        assert len(spans) == 2
    assert take_apart("what happened?", index, ANALYZER, NOW).spans == ()


def test_an_unnamed_user_is_called_by_the_id() -> None:
    index = talk((None, "user", "a"), (None, "assistant", "b"), scope=Scope(user_id="carla", agent_id="max"))
    assert index.speakers == ["carla", "max"]
    assert take_apart("what does Carla like?", index, ANALYZER, NOW).speakers == (0,)
    assert take_apart("what did Max say?", index, ANALYZER, NOW).speakers == (1,)


def test_no_speaker_is_called_by_a_stop_word() -> None:
    index = talk(("The Will", None, "a"), ("", None, "b"))
    assert speaker_terms("Will of the North", ANALYZER) == {"north"}
    assert take_apart("will the fox come?", index, ANALYZER, NOW).speakers == ()


@pytest.mark.parametrize(
    ("user", "asked", "called"),
    [
        ("7", "what did I do in the last 7 days?", False),
        ("u-2024", "where was I in 2024?", False),
        ("user٣", "who are my 3 best friends?", False),
        ("5f3ab2c4-0242-ac130003", "is the AC on in room 5?", False),
        ("5f3ab2c4-0242-ac130003", "what did 5f3ab2c4-0242-ac130003 say?", True),
        ("R2D2", "may R rated films be seen by 2?", False),
        ("R2D2", "what did R2D2 say?", True),
        ("carla99", "what does Carla like?", True),
        ("小明2", "小明喜欢什么?", True),
    ],
)
def test_digits_of_an_id_call_nobody(user: str, asked: str, called: bool) -> None:
    index = talk((None, "user", "a"), (None, "assistant", "b"), scope=Scope(user_id=user, agent_id="max"))
    question = take_apart(asked, index, ANALYZER, NOW)
    assert question.speakers == ((0,) if called else ())
    if not called:
        assert {term for term in ANALYZER.terms(asked) if term.isdecimal()} <= {*question.terms, *question.stops}


def crowd(seed: int) -> tuple[ScopeIndex, np.ndarray]:
    """Random turns in a few sessions, and which are visible after some were closed."""
    rng = random.Random(seed)
    store = MemoryStore()
    ids = []
    for number in range(80):
        text = " ".join(rng.choices(["red", "fox", "dog", "sings", "a"], k=rng.randint(0, 4))) + "."
        text += " quokka" * (number in (30, 60))
        scope = Scope(user_id="ana", run_id=rng.choice("abcd"))
        ids.append(say(store, text, event_at=START + number * MINUTE, scope=scope))
    store.batch([Close(id) for id in rng.sample(ids, 20)], scope=ANA)
    index = index_over(store)
    visible = index.visible(View(now=NOW + timedelta(days=9999)))
    assert visible is not None
    return index, visible


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("pool", [1, 3, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_candidates(seed: int, pool: int, hide: bool) -> None:
    index, shown = crowd(seed)
    visible = shown if hide else None
    asked = ["red", "sing"] if seed else ["quokka"]
    words = channels.lexical(index, channels.postings_of(index, asked, visible))
    meaning = channels.dense(index, EMBEDDER.embed(["fox dog"])[0], visible)
    everything = [row for row in range(80) if visible is None or visible[row]]
    answers = np.zeros(81, np.float32)
    answers[[5, 41]] = 0.5
    for whole in (80, 1000):
        assert candidates(index, words, meaning, answers, visible, whole=whole, pool=pool).tolist() == everything
    matching = sorted((row for row in range(80) if words[row] > 0), key=lambda row: (-words[row], row))[:pool]
    nearest = sorted(range(80), key=lambda row: (-meaning[row], row))[:pool]
    expected = set(matching) | set(nearest)
    for row in list(expected):
        expected |= {int(near[0]) for near in index.neighbours(np.array([row])).values() if near[0] >= 0}
    expected |= {5, 41}
    found = candidates(index, words, meaning, answers, visible, whole=79, pool=pool)
    assert found.tolist() == sorted(expected & set(everything))


def test_candidates_without_a_single_match() -> None:
    index, _ = crowd(0)
    nothing = np.zeros(81, np.float32)
    assert len(candidates(index, nothing, nothing, nothing, None, whole=0, pool=0)) == 0
    # Where nothing is nearer than anything else the first rows are looked at.
    assert 5 <= len(candidates(index, nothing, nothing, nothing, None, whole=0, pool=5)) <= 25


def test_spreading_out_by_hand() -> None:
    sessions = np.array([1, 1, 1, 2, 3], np.int32)
    # 5.0; then 4.9 - .25 = 4.65 against 4.7 of another session; then 4.65; then 4.6 - .5 = 4.1 against 4.2.
    assert spread_out(sessions, np.array([5.0, 4.9, 4.6, 4.7, 4.2])) == [0, 3, 1, 4, 2]
    assert spread_out(sessions, np.array([5.0, 4.0, 3.0, 2.0, 1.0])) == [0, 1, 2, 3, 4], "a clear lead is kept"
    assert spread_out(np.zeros(4, np.int32), np.array([4.0, 4.0, 3.9, 3.9])) == [0, 1, 2, 3], "one session: as it was"
    assert spread_out(np.zeros(0, np.int32), np.zeros(0)) == []


@pytest.mark.parametrize(
    ("text", "several"),
    [
        ("How many weddings have I been to?", True),
        ("In which order did I visit the museums?", True),
        ("How many days passed between the race and the concert?", True),
        ("Which books has Ana read?", True),
        ("Which trip came first, Rome or Oslo?", True),
        ("Where does Ana live?", False),
        ("What is her job?", False),
        ("When did Bo go to Oslo?", False),
        ("What did I say about the boat?", False),
    ],
)
def test_questions_whose_answer_has_to_be_put_together(text: str, several: bool) -> None:
    assert take_apart(text, talk(*HOUSE), ANALYZER, NOW).asks_several is several


def test_what_is_surely_known_is_shown_first() -> None:
    index = talk(("Ana", "user", "red"), ("Ana", "user", "blue"), ("Ana", "user", "green"))
    rows, logits = np.array([2, 0, 1]), np.array([3.0, 2.0, 1.0])
    known = replace(PLAIN, answers=((index.ids[1], 0.8), (index.ids[0], 0.4)), sure=0.8)
    assert arranged(index, rows, logits, known) == [2, 0, 1]
    assert arranged(index, rows, logits, replace(known, sure=0.4)) == [0, 1, 2], "a guess decides nothing"
    assert arranged(index, rows[:2], logits[:2], known) == [0, 1], "it is not among the best"
    over = replace(known, sure=0.1, answers=((index.ids[1], 0.3),), outdated=((index.ids[2], 0.3),))
    assert arranged(index, rows, logits, over) == [1, 2, 0], "what holds no longer stands below what does"
    assert arranged(index, rows[:2], logits[:2], over) == [0, 1], "and where it is alone, where it was"


def test_only_what_has_to_be_put_together_is_spread() -> None:
    index = talk(("Ana", "user", "red"), ("Ana", "user", "blue"), ("Ana", "user", "green"))
    rows, logits = np.arange(3), np.array([2.0, 1.9, 1.8])
    assert arranged(index, rows, logits, PLAIN) == [0, 1, 2]
    assert sorted(arranged(index, rows, logits, replace(PLAIN, asks_several=True))) == [0, 1, 2]
    many = np.repeat(rows, 60)[:120]
    falling = np.linspace(5, 4, 120)
    assert sorted(arranged(index, many, falling, replace(PLAIN, asks_several=True))) == list(range(120))


@pytest.mark.parametrize(
    ("speakers", "about_user", "expected"),
    [
        ((0,), False, [1, -1, -1, -1]),
        ((1,), True, [-1, 1, -1, -1]),  # a name says more than "my"
        ((0, 3), False, [1, -1, -1, 1]),
        ((), True, [1, 1, -1, -1]),
        ((), False, [0, 0, 0, 0]),
        ((0, 1, 2, 3), False, [0, 0, 0, 0]),  # all of them: nobody in particular
        ((0, 1, 2, 3), True, [0, 0, 0, 0]),
    ],
)
def test_speaker_match(speakers: tuple[int, ...], about_user: bool, expected: list[int]) -> None:
    question = replace(PLAIN, speakers=speakers, about_user=about_user)
    index = talk(*HOUSE)
    assert speaker_match(index, question, np.arange(4)).tolist() == expected
    assert speaker_match(index, question, np.array([2, 0])).tolist() == [expected[2], expected[0]]


def test_my_means_nothing_where_no_user_speaks() -> None:
    index = talk(("Ana", None, "a"), ("Bob", "assistant", "b"))
    assert speaker_match(index, replace(PLAIN, about_user=True), np.arange(2)).tolist() == [0, 0]
    assert speaker_match(index, replace(PLAIN, about_user=True), np.zeros(0, np.intp)).tolist() == []


def test_time_match_by_hand() -> None:
    event_at = np.array([0, 10 * DAY - 1, 10 * DAY, 17 * DAY, -7 * DAY, -70 * DAY])
    match = time_match(event_at, [(0, 10 * DAY)])
    assert match == pytest.approx([1, 1, 1, math.exp(-1), math.exp(-1), math.exp(-10)], rel=1e-5)
    # The nearest of several counts, whatever their order.
    two = [(100 * DAY, 101 * DAY), (0, 10 * DAY)]
    assert time_match(event_at, two) == pytest.approx(match)
    assert time_match(event_at, two[::-1]) == pytest.approx(match)
    assert time_match(event_at, []).tolist() == [0] * 6
    assert time_match(np.zeros(0, np.int64), [(0, 1)]).tolist() == []


def test_open_spans_reach_to_the_ends_of_the_calendar() -> None:
    first, last = -62_135_596_800_000_000, 253_402_300_799_999_999
    event_at = np.array([first, 0, last])
    assert time_match(event_at, [(0, last)]).tolist() == [0, 1, 1]
    assert time_match(event_at, [(first, 0)]).tolist() == [1, 1, 0]
    (span,) = resolve("since 2024", NOW)
    bounds = (to_micros(span.start), to_micros(span.end))
    assert time_match(np.array([to_micros(NOW)]), [bounds]).tolist() == [1]


RENT_THEN, RENT_NOW = "my rent is 900 euros a month", "my rent is now 950 euros a month"


def statements(*rows: tuple[str, str, int, str]) -> ScopeIndex:
    """An index of statements `(text, session, day, speaker)`."""
    store = MemoryStore()
    for text, session, day, speaker in rows:
        scope = Scope(user_id="ana", run_id=session)
        draft = turn(text, event_at=START + timedelta(days=day), speaker=speaker, scope=scope)
        store.batch([Put(draft)], scope=ANA)
    return index_over(store)


UPDATE = ((RENT_THEN, "s1", 0, "Ana"), (RENT_NOW, "s2", 30, "Ana"))
PRESENT = replace(PLAIN, asks_present=True)


def order(
    index: ScopeIndex, question: Question = PRESENT, rows: Sequence[int] | None = None, logits: Sequence[float] = ()
) -> list[int]:
    """Row numbers in the order in which they would be shown, given best first."""
    best = list(range(len(index))) if rows is None else rows
    scores = np.array(logits or [0.0] * len(best))
    found = current_first(index, np.array(best, np.intp), scores, question)
    assert sorted(found) == list(range(len(best)))
    return [best[place] for place in found]


def test_the_newer_of_two_statements_on_one_matter_comes_first() -> None:
    index = statements(*UPDATE)
    assert order(index) == [1, 0]
    assert order(index, rows=[1, 0]) == [1, 0]


@pytest.mark.parametrize(
    ("rows", "question", "logits"),
    [
        (UPDATE, PLAIN, (0.0, 0.0)),  # asked what happened, not how things stand
        (UPDATE, PRESENT, (2.5, 0.0)),  # a clear lead is kept
        ((UPDATE[0], (RENT_NOW, "s1", 30, "Ana")), PRESENT, (0.0, 0.0)),  # one conversation
        ((UPDATE[0], (RENT_NOW, "s2", 30, "Bob")), PRESENT, (0.0, 0.0)),  # somebody else's rent
        ((UPDATE[0], (RENT_NOW, "s2", 0, "Ana")), PRESENT, (0.0, 0.0)),  # not newer
        ((UPDATE[0], (RENT_NOW, "s2", -1, "Ana")), PRESENT, (0.0, 0.0)),  # older
        ((UPDATE[0], ("the fox sings", "s2", 30, "Ana")), PRESENT, (0.0, 0.0)),  # another matter
    ],
)
def test_otherwise_the_better_one_stays_first(
    rows: tuple[tuple[str, str, int, str], ...], question: Question, logits: tuple[float, ...]
) -> None:
    assert order(statements(*rows), question, logits=logits) == [0, 1]


def test_a_lead_within_reach_is_overtaken() -> None:
    assert order(statements(*UPDATE), logits=(2.0, 0.0)) == [1, 0]


def test_only_the_first_three_change_places() -> None:
    other = ("the fox sings", "s9", 1, "Ana")
    index = statements(other, other, UPDATE[0], UPDATE[1])
    assert order(index) == [0, 1, 2, 3]
    index = statements(other, UPDATE[0], UPDATE[1], other)
    assert order(index) == [0, 2, 1, 3]
    index = statements(UPDATE[0], other, UPDATE[1])
    assert order(index) == [2, 0, 1]
    chain = [(RENT_NOW, f"s{day}", day, "Ana") for day in (1, 2, 3)]
    assert order(statements(*chain)) == [2, 1, 0]


def test_few_rows_to_order() -> None:
    index = statements(*UPDATE)
    assert order(index, rows=[]) == []
    assert order(index, rows=[1]) == [1]
