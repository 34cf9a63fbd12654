from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.ontology import ATTRIBUTES
from remanence.kernels.claims.questions import LONGEST, read_question
from remanence.kernels.claims.questions_words import NOUNS, RELATIONS, VERBS

NOW = datetime(2024, 6, 5, 12, tzinfo=UTC)
PEOPLE = ("Ana Garcia", "Ben", "Karl")


def best(text: str) -> tuple[tuple[str, ...], str, str, tuple[str, ...]]:
    asks = read_question(text, NOW, PEOPLE)
    assert asks, text
    return asks[0].path, asks[0].attribute, asks[0].mode, asks[0].values


ME = ("user",)


@pytest.mark.parametrize(
    ("text", "path", "attribute", "mode", "values"),
    [
        ("where do I live?", ME, "home_city", "now", ()),
        ("Where do I live now", ME, "home_city", "now", ()),
        ("where does Ana live now", ("Ana",), "home_city", "now", ()),
        ("what's my sister's name", ME, "sister", "now", ()),
        ("Do you remember what my sister's name is?", ME, "sister", "now", ()),
        ("who is Ben's boss", ("Ben",), "boss", "now", ()),
        ("who's my sister's husband?", ("user", "sister"), "partner", "now", ()),
        ("do I still work at Acme?", ME, "employer", "still", ("Acme",)),
        ("Do I still work at Acme these days?", ME, "employer", "still", ("Acme",)),
        ("what pets does he like", ("he",), "likes", "all", ("pets",)),
        ("what pets do I dislike?", ME, "dislikes", "all", ("pets",)),
        ("do I like dogs?", ME, "likes", "still", ("dogs",)),
        ("what is my favourite colour?", ME, "favourite_colour", "now", ()),
        ("What’s my favorite color", ME, "favourite_colour", "now", ()),
        ("What are my favorite movies?", ME, "favourite_movie", "now", ()),
        ("when did I move to Oslo?", ME, "home_city", "when", ("Oslo",)),
        ("how long have I lived in Oslo?", ME, "home_city", "how_long", ("Oslo",)),
        ("how long have I been working at Acme?", ME, "employer", "how_long", ("Acme",)),
        ("how long has Ana had her dog", ("Ana",), "pet", "how_long", ()),
        ("did Ana ever live in Oslo", ("Ana",), "home_city", "when", ("Oslo",)),
        ("has Ana moved to Bergen?", ("Ana",), "home_city", "when", ("Bergen",)),
        ("what did I say about my diet", ME, "diet", "all", ()),
        ("what am I allergic to", ME, "allergy", "all", ()),
        ("am I allergic to peanuts?", ME, "allergy", "still", ("peanuts",)),
        ("who am I", ME, "name", "now", ()),
        ("how old is Ana?", ("Ana",), "age", "now", ()),
        ("when is my birthday?", ME, "birthday", "now", ()),
        ("When was Ana born?", ("Ana",), "birthday", "now", ()),
        ("where was I born?", ME, "hometown", "now", ()),
        ("where are you from, Ana?", ("Ana",), "hometown", "now", ()),
        ("what does my sister do for a living", ("user", "sister"), "job", "now", ()),
        ("what was my previous job?", ME, "job", "before", ()),
        ("where did I work before Acme?", ME, "employer", "before", ("Acme",)),
        ("where did I live before?", ME, "home_city", "before", ()),
        ("where did I use to live?", ME, "home_city", "before", ()),
        ("what's the name of my dog?", ME, "pet", "now", ()),
        ("do I have any allergies?", ME, "allergy", "all", ()),
        ("is my boss still Karl?", ME, "boss", "still", ("Karl",)),
        ("Is Karl still my boss", ME, "boss", "still", ("Karl",)),
        ("am I vegan?", ME, "diet", "still", ("vegan",)),
        ("Is Ana married?", ("Ana",), "marital_status", "still", ("married",)),
        ("what does ana drive", ("Ana Garcia",), "car", "now", ()),
        ("What is the name of the company I work for?", ME, "employer", "now", ()),
        ("what kind of music do I like?", ME, "likes", "all", ("music",)),
        ("which languages do I speak?", ME, "speaks", "all", ()),
        ("how many pets does Ana have", ("Ana",), "pet", "count", ()),
        ("what books has Ana read?", ("Ana",), "book", "all", ()),
        ("when is my dentist appointment?", ME, "dentist", "now", ()),
        ("How many days ago did I buy a smoker?", ME, "purchase", "when", ("smoker",)),
        ("what do you know about me?", ME, "", "all", ()),
        ("who is Ana?", ("Ana",), "", "all", ()),
        ("What's my blood type?", ME, "blood_type", "now", ()),
    ],
)
def test_the_ways_people_ask(
    text: str, path: tuple[str, ...], attribute: str, mode: str, values: tuple[str, ...]
) -> None:
    assert best(text) == (path, attribute, mode, values)


@pytest.mark.parametrize(
    "text",
    [
        "Remind me: which instrument does Xenia's sister play?",
        "Sorry, I forget: which instrument does Xenia's sister play?",
        "Quick question. Which instrument does Xenia's sister play?",
        "Someone asked me the other day: which instrument does Xenia's sister play?",
        "Can you please tell me which instrument Xenia's sister plays?",
        "Hey, which instrument does Xenia's sister play, Goran?",
        "Goran, which instrument does Xenia's sister play now?",
        "I like music. Which instrument does Xenia’s sister play?",
        "which instrument does the sister of Xenia play",
        "  Which instrument   does Xenia's sister play these days ??",
    ],
)
def test_words_around_a_question_do_not_matter(text: str) -> None:
    assert best(text) == (("Xenia", "sister"), "instrument", "now", ())


@pytest.mark.parametrize(
    "text",
    [
        "So Ana, which city do you live in these days?",
        "Which city do you live in at the moment, Ana?",
        "Ana, before I cook: which city do you live in?",
    ],
)
def test_you_is_who_is_addressed(text: str) -> None:
    assert best(text) == (("Ana",), "home_city", "now", ())
    assert best("Which city do you live in?")[0] == ("you",)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("Where did I live in March 2023?", datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 4, 1, tzinfo=UTC)),
        ("In March 2023, where did I live?", datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 4, 1, tzinfo=UTC)),
        ("where was I living last year?", datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        ("where did I live in 2019", datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
        ("What was my home city on 3 May 2024?", datetime(2024, 5, 3, tzinfo=UTC), datetime(2024, 5, 4, tzinfo=UTC)),
    ],
)
def test_a_time_in_the_question(text: str, start: datetime, end: datetime) -> None:
    ask = read_question(text, NOW)[0]
    assert (ask.attribute, ask.mode, ask.spans) == ("home_city", "then", ((start, end),))


def test_values_that_look_like_times_stay_values() -> None:
    assert best("Is Ana still reading Winter in the Orchard?")[3] == ("Winter in the Orchard",)
    assert best("Which band was Ana's favourite before Yesterday Machine?")[3] == ("Yesterday Machine",)
    assert best("Which car did Ana drive before the Peugeot 208?")[3] == ("Peugeot 208",)
    assert best("Do I still like flavored water?")[3] == ("flavored water",)
    assert best("Is Ana still reading The Salt Cartographer?")[3] == ("The Salt Cartographer",)


def test_happenings_between_which_days_lie() -> None:
    text = "Thinking of Goran: how many days passed between the Sand and Sea concert and the climb of Etna?"
    assert best(text) == (("Goran",), "", "how_long", ("concert|Sand and Sea", "hike|Etna"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "?",
        "Hello there!",
        "I live in Oslo.",
        "My sister plays the cello.",
        "Write a poem about my sister",
        "What is the capital of France?",
        "What's the weather like in Oslo?",
        "What time is it?",
        "How do I get to the airport?",
        "How do I cook rice?",
        "Where do dogs live?",
        "What do people do for a living?",
        "Where do most of them work?",
        "Why did Joanna name the stuffed animal dog Tilly?",
        "How does Gina describe the feeling that dance brings?",
        "What motivated Maria and John to discuss potential solutions for their community on 7 July, 2023?",
        "Which two mystery novels does Tim particularly enjoy writing about?",
        "What did Ana say to Ben about the job she saw?",
        "Where did Ana go when she lived in Oslo?",
        "Would Caroline likely have Dr. Seuss books on her bookshelf?",
        "Can you suggest a hotel for my upcoming trip to Miami?",
        "wo wohne ich?",
        "¿dónde vivo?",
        "我住在哪里？",
        "أين أعيش؟",
    ],
)
def test_what_is_no_such_question_gives_none(text: str) -> None:
    assert read_question(text, NOW, PEOPLE) == []


@pytest.mark.parametrize(
    "text",
    [
        "When did Caroline join a mentorship program?",
        "When did Melanie get hurt?",
        "When will Tim leave for Ireland?",
        "When did Melanie make a plate in pottery class?",
        "When did Gina get accepted for the design internship?",
    ],
)
def test_verbs_in_another_sense_are_events(text: str) -> None:
    asks = read_question(text, NOW)
    assert {ask.attribute for ask in asks} <= {"event"}


def test_an_unknown_lower_case_word_is_a_name_only_where_nothing_has_capitals() -> None:
    assert read_question("where does bob live", NOW)[0].confidence < 0.5
    assert read_question("where does bob live", NOW, ("Bob",))[0] == read_question("Where does Bob live?", NOW)[0]
    assert read_question("Where does water live in Oslo?", NOW) == []


def test_readings_come_best_first_and_once() -> None:
    for text in ("where did I live?", "When did I move to Oslo?", "what was my job"):
        asks = read_question(text, NOW)
        assert [ask.confidence for ask in asks] == sorted((ask.confidence for ask in asks), reverse=True)
        assert len(set(asks)) == len(asks)


def test_the_words_lead_to_attributes_of_the_ontology() -> None:
    assert {key for key in RELATIONS.values() if not ATTRIBUTES[key].person} == set()
    assert {verb.key for verb in VERBS} | set(NOUNS.values()) <= set(ATTRIBUTES)


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_without_an_error(text: str) -> None:
    for ask in read_question(text, NOW, PEOPLE):
        assert ask.path
        assert 0 < ask.confidence <= 1


WORDS = st.sampled_from(
    "what which who where when how many long is does did do has still i my ana ana's sister's boss job city live in "
    "work at before on may 2024 the a favourite play to move and between days, ? : . ' name of".split()
)


@given(st.lists(WORDS, max_size=25))
@settings(max_examples=300, deadline=None)
def test_scrambled_questions_are_read_without_an_error(words: list[str]) -> None:
    for ask in read_question(" ".join(words), NOW, PEOPLE):
        assert isinstance(ask, Ask)
        assert all(ask.path)
        assert all(start < end for start, end in ask.spans)


@pytest.mark.parametrize(
    "text",
    [
        "what " * 200_000,
        "is " * 300 + "still",
        "what is " + "'s " * 300,
        "where " + "my sister's " * 60 + "live",
        "so, " * 300 + "where do i live",
        "Ana, " * 200 + "where do i live?",
        "when did " + "i move to " * 60,
        "how many days between " + " and " * 60,
        "do i " + "still " * 100 + "like like",
        "how many " + "different " * 60 + "cities",
        "\ud800 where do I live",
        "İ" * 500 + " where do I live?",
        "x" * 1_000_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    read_question("where do I live?", NOW)
    started = time.perf_counter()
    read_question(text, NOW, PEOPLE)
    assert time.perf_counter() - started < 3


def test_of_a_long_text_the_end_is_read() -> None:
    assert best("blah. " * LONGEST + "Where do I live?") == (ME, "home_city", "now", ())
