from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from remanence.kernels.claims.answers import NOTHING_KNOWN, Known, Ledger, Verdict, alike, answer
from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.questions import read_question

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = START + 200 * DAY


def fact(
    name: str,
    subject: str,
    attribute: str,
    value: str,
    begin: int,
    end: int | None = None,
    *,
    status: str = "",
    sources: tuple[str, ...] = (),
    polarity: bool = True,
    confidence: float = 1.0,
    ended_by: str = "",
) -> Known:
    status = status or ("held" if end is None else "superseded")
    valid_to = None if end is None else START + end * DAY
    sources = sources or (f"{name}-said",)
    return Known(
        name, subject, attribute, value, polarity, status, START + begin * DAY, valid_to, confidence, sources, begin,
        ended_by,
    )  # fmt: skip


MOVES = (
    fact("oslo", "Ana", "home_city", "Oslo", 0, 50, ended_by="bergen-1"),
    fact("bergen", "Ana", "home_city", "Bergen", 50, 100, sources=("bergen-1", "bergen-2"), ended_by="rome-1"),
    fact("rome", "Ana", "home_city", "Rome", 100, sources=("rome-1", "rome-2")),
    fact("paris", "Ana", "home_city", "Paris", 10, 10, status="retracted"),
    fact("ben", "Ben", "home_city", "Turin", 5),
)


def ask(text: str, known: tuple[Known, ...] | Ledger, as_of: datetime | None = None) -> Verdict:
    return answer(read_question(text, NOW), known, NOW, as_of)


def turns(verdict: Verdict) -> list[str]:
    return [turn for turn, _ in verdict.answers]


def test_the_current_value_with_its_newest_statement_first() -> None:
    verdict = ask("Where does Ana live?", MOVES)
    assert turns(verdict) == ["rome-2", "rome-1"]
    assert verdict.value == "Rome"
    assert verdict.path == ("rome",)
    assert {turn for turn, _ in verdict.outdated} == {"oslo-said", "bergen-1", "bergen-2", "paris-said"}
    assert verdict.answers[0][1] > verdict.answers[1][1]


@pytest.mark.parametrize(
    ("text", "value", "first"),
    [
        ("Where did Ana live on 21 January 2024?", "Oslo", "oslo-said"),
        ("Where did Ana live on 20 March 2024?", "Bergen", "bergen-2"),
        ("Where did Ana live in May 2024?", "Rome", "rome-2"),
        ("Where did Ana live before 1 February 2024?", "Oslo", "oslo-said"),
        ("Where did Ana live before Rome?", "Bergen", "bergen-2"),
        ("Where did Ana live before Bergen?", "Oslo", "oslo-said"),
        ("Where did Ana live before?", "Bergen", "bergen-2"),
        ("Does Ana still live in Rome?", "yes", "rome-2"),
        ("Does Ana still live in Bergen?", "no", "rome-1"),
        ("How many cities has Ana lived in so far?", "3", "rome-2"),
        ("When did Ana move to Bergen?", "20 February 2024", "bergen-1"),
        ("Did Ana ever live in Oslo?", "1 January 2024", "oslo-said"),
    ],
)
def test_other_times_of_the_same_matter(text: str, value: str, first: str) -> None:
    verdict = ask(text, MOVES)
    assert (verdict.value, turns(verdict)[0]) == (value, first)
    assert "paris-said" not in turns(verdict)
    assert not set(turns(verdict)) & {turn for turn, _ in verdict.outdated}


def test_as_of_answers_as_one_would_have_then() -> None:
    verdict = ask("Where does Ana live?", MOVES, START + 60 * DAY)
    assert (verdict.value, turns(verdict)) == ("Bergen", ["bergen-2", "bergen-1"])
    assert ask("Where does Ana live?", MOVES, START - DAY) == Verdict(understood=verdict.understood)


def test_what_began_first_is_a_guess_for_the_time_before() -> None:
    verdict = ask("Where did Ana live in March 2023?", MOVES)
    assert (verdict.value, turns(verdict)) == ("Oslo", ["oslo-said"])
    assert verdict.sure < 0.5


@pytest.mark.parametrize(
    "text", ["Where does Carla live?", "Which car does Ana drive?", "Where did Ana live before Lima?"]
)
def test_nothing_known_is_an_empty_answer_to_an_understood_question(text: str) -> None:
    verdict = ask(text, MOVES)
    assert (verdict.answers, verdict.outdated, verdict.path, verdict.sure) == ((), (), (), 0.0)
    assert verdict.understood > 0.8
    assert answer([], MOVES, NOW) == NOTHING_KNOWN


def test_what_was_never_true_is_no_answer_and_of_others_nothing_is_said() -> None:
    slip = (fact("slip", "Ana", "car", "Fiat", 0, 0, status="retracted"), fact("car", "Ana", "car", "Volvo", 0))
    verdict = ask("Which car does Ana drive?", (*slip, *MOVES))
    assert (turns(verdict), verdict.outdated[0][0]) == (["car-said"], "slip-said")
    assert not ask("Which car does Ana drive?", slip[:1]).answers
    assert "ben-said" not in str(ask("Where does Ana live?", MOVES))


def test_a_path_is_followed_from_person_to_person() -> None:
    known = (
        fact("freya", "Timo", "sister", "Freya", 0),
        fact("karl", "Freya", "boss", "Karl", 0, 50),
        fact("lena", "Freya", "boss", "Lena", 50),
        fact("job", "Freya", "job", "baker", 0),
        fact("lena-home", "Lena", "home_city", "Rome", 0),
        fact("karl-home", "Karl", "home_city", "Oslo", 0),
    )
    verdict = ask("What is Timo's sister's job?", known)
    assert (verdict.value, turns(verdict), verdict.path) == ("baker", ["job-said", "freya-said"], ("freya", "job"))
    assert verdict.answers[1][1] < verdict.answers[0][1]
    assert ask("Where does Timo's sister's boss live?", known).value == "Rome"
    assert ask("Where did Timo's sister's boss live on 5 January 2024?", known).value == "Oslo"
    assert ask("Who is Timo's sister's boss?", known).value == "Lena"
    assert not ask("What is Timo's brother's job?", known).answers


def test_relatives_without_a_name_are_known_by_what_they_are() -> None:
    known = (fact("job", "Ana's brother", "job", "roofer", 0), fact("mine", "my brother", "job", "cook", 0))
    assert ask("What does Ana's brother do for a living?", known).value == "roofer"
    assert ask("What does my brother do for a living?", known).value == "cook"
    assert not ask("What does Ana do for a living?", known).answers
    mine = Ledger([fact("job", "Ana's husband", "job", "baker", 0)], me=("Ana",))
    for text in ("What is my husband's job?", "What is Ana's partner's job?", "What does my partner do for a living?"):
        assert ask(text, mine).value == "baker"


def test_what_was_replaced_in_the_same_moment_was_true_before_all_the_same() -> None:
    known = (
        fact("oslo", "Ana", "home_city", "Oslo", 5, 5, status="superseded"),
        fact("rome", "Ana", "home_city", "Rome", 5),
    )
    known = (known[0], replace(known[1], order=9))
    assert ask("Where does Ana live?", known).value == "Rome"
    assert ask("Where did Ana live before Rome?", known).value == "Oslo"


def test_several_values_hold_at_once() -> None:
    known = (
        fact("kiwi", "Ana", "allergy", "kiwi", 0),
        fact("soy", "Ana", "allergy", "soy", 10, 20, status="ended", sources=("soy-1", "soy-over")),
        fact("nickel", "Ana", "allergy", "nickel", 30),
    )
    verdict = ask("What is Ana allergic to?", known)
    assert (verdict.value, turns(verdict)) == ("kiwi, nickel", ["nickel-said", "kiwi-said"])
    assert {turn for turn, _ in verdict.outdated} == {"soy-1", "soy-over"}
    assert ask("To how many things is Ana allergic now?", known).value == "2"
    still = ask("Is Ana still allergic to soy?", known)
    assert (still.value, turns(still)) == ("no", ["soy-over"])
    assert ask("Is Ana still allergic to kiwis?", known).value == "yes"
    assert not ask("Is Ana still allergic to latex?", known).answers


def test_what_is_over_is_answered_by_the_words_that_say_so() -> None:
    known = (fact("car", "Ana", "car", "Volvo", 0, 20, status="ended", ended_by="sold"),)
    verdict = ask("Which car does Ana drive?", known)
    assert (turns(verdict), verdict.value) == (["sold"], "none")
    assert [turn for turn, _ in verdict.outdated] == ["car-said"]


def test_what_is_asked_for_word_by_word_goes_before_what_is_like_it() -> None:
    known = (
        fact("teas", "Ana", "likes", "herbal teas", 0, 30, status="ended", ended_by="no-teas"),
        fact("mixed", "Ana", "likes", "herbal teas with hibiscus", 10),
        fact("again", "Ana", "likes", "jazz", 5, 8, status="ended", ended_by="no-jazz"),
        fact("jazz", "Ana", "likes", "jazz", 40),
    )
    assert turns(ask("Does Ana still like herbal teas?", known)) == ["no-teas"]
    assert ask("Does Ana still like teas with hibiscus?", known).value == "yes"
    assert turns(ask("Does Ana still like jazz?", known)) == ["jazz-said"]


def test_denials_answer_whether_and_are_no_value() -> None:
    known = (
        fact("meat", "user", "likes", "meat", 0, polarity=False),
        fact("rice", "user", "likes", "rice", 0),
        fact("opera", "user", "dislikes", "opera", 0),
    )
    assert turns(ask("What do I like?", known)) == ["rice-said"]
    assert ask("Do I like meat?", known).value == "no"
    assert ask("Do I like opera?", known).value == "no"
    assert ask("Do I dislike opera?", known).value == "yes"
    assert turns(ask("Do I like opera?", known)) == ["opera-said"]


def test_a_topic_chooses_among_several_values() -> None:
    known = (
        fact("film", "Ana", "likes", "action movies", 0),
        fact("rice", "Ana", "likes", "rice", 5),
    )
    movies, music = ask("What kind of movies does Ana like?", known), ask("What kind of music does Ana like?", known)
    assert (turns(movies), movies.value) == (["film-said", "rice-said"], "action movies")
    assert movies.answers[1][1] < 0.5 * movies.answers[0][1]
    assert turns(music) == ["rice-said", "film-said"]
    assert music.sure < 0.5 < movies.sure


def test_relatives_of_whom_nothing_is_known_are_not_the_person_themselves() -> None:
    known = (fact("rice", "Ana", "likes", "rice", 0), fact("two", "Ana", "children", "2", 0))
    assert not ask("What do Ana's kids like?", known).answers
    assert not ask("What does Ana's sister like?", known).answers


@pytest.mark.parametrize("key", ["favourite_color", "favourite_colour", "favourite_colours"])
def test_a_favourite_is_known_under_any_spelling(key: str) -> None:
    ledger = Ledger([fact("green", "Ana", key, "green", 0)])
    for text in ("What is Ana's favorite color?", "What's Ana's favourite colour?"):
        assert ask(text, ledger).value == "green"
    ledger.drop("green")
    assert not ask("What is Ana's favorite color?", ledger).answers


def test_happenings_are_found_by_their_value_and_counted_between() -> None:
    known = (
        fact("etna", "Ana", "hike", "Etna", 10, 11, status="held"),
        fact("fuji", "Ana", "hike", "Fuji", 40, 41, status="held"),
        fact("gig", "Ana", "concert", "Glass Otters", 17, 18, status="held"),
    )
    verdict = ask("When did Ana climb Etna?", known)
    assert (verdict.value, turns(verdict)) == ("11 January 2024", ["etna-said"])
    assert turns(ask("When did Ana go to a concert?", known)) == ["gig-said"]
    days = ask("Thinking of Ana: how many days passed between the climb of Etna and the Glass Otters concert?", known)
    assert (days.value, set(turns(days))) == ("7", {"etna-said", "gig-said"})
    assert not ask("When did Ana climb Triglav?", known).answers


def test_an_appointment_that_was_put_off() -> None:
    known = (
        fact("first", "Ana", "dentist", "14 June 2024", 0, 5),
        fact("second", "Ana", "dentist", "20 June 2024", 5),
    )
    verdict = ask("For which day is Ana's dentist appointment set?", known)
    assert (verdict.value, turns(verdict), verdict.outdated[0][0]) == ("20 June 2024", ["second-said"], "first-said")


@pytest.mark.parametrize("subject", ["user", "Ana", "ana", "ANÁ"])
def test_i_is_the_one_who_asks(subject: str) -> None:
    ledger = Ledger([fact("home", subject, "home_city", "Rome", 0)], me=("Ana",))
    assert ask("Where do I live?", ledger).value == "Rome"
    assert ask("Where does Ana live?", ledger).value == "Rome"
    assert not ask("Where does Ben live?", ledger).answers


def test_first_names_match_full_names_only_where_one_person_has_them() -> None:
    ledger = Ledger([fact("home", "Ana Garcia", "home_city", "Rome", 0)])
    assert ask("Where does Ana live?", ledger).value == "Rome"
    assert ask("Where does Ana García live?", ledger).value == "Rome"
    ledger.put(fact("other", "Ana Novak", "home_city", "Oslo", 0))
    assert not ask("Where does Ana live?", ledger).answers
    assert ask("Where does Ana Novak live?", ledger).value == "Oslo"
    assert not ask("Where does Ana Berg live?", ledger).answers


def test_a_pronoun_is_the_only_other_person_known_with_that_attribute() -> None:
    ledger = Ledger([fact("ben", "Ben", "car", "Fiat", 0), fact("me", "user", "car", "Volvo", 0)])
    assert ask("What does he drive?", ledger).value == "Fiat"
    ledger.put(fact("karl", "Karl", "car", "Opel", 0))
    assert not ask("What does he drive?", ledger).answers


def test_who_somebody_is() -> None:
    ledger = Ledger([fact("sister", "Timo", "sister", "Freya", 0)])
    assert turns(ask("Who is Freya?", ledger)) == ["sister-said"]
    ledger.put(fact("job", "Freya", "job", "baker", 3))
    assert turns(ask("Tell me about Freya", ledger)) == ["job-said"]


def test_uncertain_facts_and_readings_make_uncertain_answers() -> None:
    sure = ask("Where does Ana live?", MOVES)
    doubtful = ask("Where does Ana live?", tuple(replace(one, confidence=0.5) for one in MOVES))
    assert doubtful.sure == pytest.approx(0.5 * sure.sure)
    assert doubtful.understood == sure.understood
    assert ask("Did Ana ever live in Rome?", MOVES).sure < sure.sure


def test_the_next_reading_is_taken_where_the_first_finds_nothing() -> None:
    asks = [Ask(("Ana",), "car", "now", confidence=0.9), Ask(("Ana",), "home_city", "now", confidence=0.4)]
    verdict = answer(asks, MOVES, NOW)
    assert (verdict.value, verdict.understood) == ("Rome", 0.9)
    assert verdict.sure == pytest.approx(0.4)


def test_a_ledger_is_the_same_however_it_was_filled() -> None:
    texts = ("Where does Ana live?", "Where did Ana live before?", "Does Ana still live in Oslo?", "Who is Ana?")
    fresh = Ledger(MOVES)
    rng = random.Random(7)
    for _ in range(20):
        shuffled = rng.sample(MOVES, len(MOVES))
        other = Ledger([replace(one, value="wrong", subject=rng.choice(("Ana", "Eve"))) for one in shuffled])
        for one in shuffled:
            other.put(one)
        other.put(fact("gone", "Eve", "car", "Fiat", 0))
        other.drop("gone")
        other.drop("gone")
        assert len(other) == len(fresh)
        assert other.people == fresh.people
        assert [ask(text, other) for text in texts] == [ask(text, fresh) for text in texts]


def test_facts_by_key_are_those_a_look_at_all_of_them_finds() -> None:
    rng = random.Random(3)
    pool = [
        fact(
            f"f{i}", rng.choice(("Ana", "ana", "Ben")), rng.choice(("car", "job")), rng.choice("xyz"), rng.randrange(9)
        )
        for i in range(60)
    ]
    ledger = Ledger(pool)
    for subject in ("ana", "ben"):
        for attribute in ("car", "job"):
            naive = [one for one in pool if one.subject.lower() == subject and one.attribute == attribute]
            naive.sort(key=lambda one: (one.valid_from, one.order, one.id))
            assert ledger.facts(subject, attribute) == naive


@pytest.mark.parametrize(
    ("wanted", "value", "score"),
    [
        ("Oslo", "oslo", 1.0),
        ("the cello", "cello", 1.0),
        ("a bakers", "baker", 1.0),
        ("Shinjuku", "an apartment in Shinjuku", 0.8),
        ("pottery workshop", "pottery class", 0.0),
        ("go to the pottery workshop", "went to a pottery workshop", 0.5),
        ("Oslo", "Bergen", 0.0),
        ("", "Oslo", 0.0),
        ("X 1", "Y 1", 0.0),
    ],
)
def test_values_are_compared_by_their_words(wanted: str, value: str, score: float) -> None:
    assert alike(wanted, value) == score
    assert alike(value, wanted) == score


def test_that_no_event_is_known_says_little() -> None:
    known = (fact("shop", "Gina", "event", "opened an online clothing store", 4, 5, status="held"),)
    found = ask("When did Gina open her online clothing store?", known)
    assert turns(found) == ["shop-said"]
    assert found.understood == 0.0
    assert ask("When did Gina visit Peru?", known) == NOTHING_KNOWN
