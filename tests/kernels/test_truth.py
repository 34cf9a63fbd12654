"""What holds when: superseding, merging, ending, correcting, denying, and the past told later."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.kernels.claims.model import Act, Claim
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.truth import LONG_AGO, Held, Said, combined, family, matter, settle, value_key

START = datetime(2024, 1, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CITY, HOBBY, LIKES, TEST, RACE = map(attribute, ("home_city", "hobby", "likes", "driving_test", "race"))


def day(n: float) -> datetime:
    return START + n * DAY


def said(n: float, value: str, act: Act = "state", key: str = "home_city", place: int = 0, **rest: Any) -> Said:
    """A claim of day `n`, whose record id grows with the day."""
    record = f"r{int(n * 1000) + 500_000:09d}"
    claim = Claim("Ana", key, value, act, place, place + 5, **{"confidence": 0.8, **rest})
    return Said(record, day(n), record, claim)


def rows(found: Sequence[Held]) -> list[tuple[str, float | None, float | None, str]]:
    """Value, first and last day, status; None for what never ended or began nobody knows when."""

    def number(moment: datetime | None) -> float | None:
        return None if moment is None or moment == LONG_AGO else round((moment - START) / DAY, 4)

    return [(one.value, number(one.valid_from), number(one.valid_to), one.status) for one in found]


def test_a_later_value_takes_the_place_of_the_earlier() -> None:
    found = settle([said(0, "Lisbon"), said(5, "Oslo", "change")], CITY)
    assert rows(found) == [("Lisbon", 0, 5, "superseded"), ("Oslo", 5, None, "held")]
    assert found[0].replaced_by == 1
    assert found[0].ended_by == said(5, "Oslo", "change")


def test_what_was_ingested_last_is_not_what_was_said_last() -> None:
    first, second = said(0, "Lisbon"), said(5, "Oslo")
    late = Said("r999999999", first.at, "r999999999", first.claim)
    assert [one.value for one in settle([second, late], CITY) if one.valid_to is None] == ["Oslo"]


def test_ingest_order_decides_between_what_was_said_at_the_same_time() -> None:
    one, other = said(0, "Lisbon"), said(0, "Oslo")
    for first, second in ((one, other), (other, one)):
        a, b = Said("a", START, "a", first.claim), Said("b", START, "b", second.claim)
        found = settle([b, a], CITY)
        assert [held.status for held in found] == ["superseded", "held"]
        assert found[1].value == second.claim.value
        assert START == found[0].valid_from < found[1].valid_from == found[0].valid_to


def test_a_change_begins_when_its_words_say() -> None:
    found = settle([said(0, "Lisbon"), said(9, "Oslo", "change", valid_from=day(4))], CITY)
    assert rows(found) == [("Lisbon", 0, 4, "superseded"), ("Oslo", 4, None, "held")]


def test_one_value_said_twice_is_one_fact_with_two_pieces_of_evidence() -> None:
    found = settle([said(0, "the Nordic Choir"), said(3, "Nordic choir."), said(4, "nordic choir")], CITY)
    assert rows(found) == [("the Nordic Choir", 0, None, "held")]
    assert len(found[0].said) == 3
    assert found[0].confidence > 0.8


def test_there_and_back_again_makes_three_intervals() -> None:
    found = settle([said(0, "Lisbon"), said(5, "Oslo"), said(9, "Lisbon")], CITY)
    assert rows(found) == [("Lisbon", 0, 5, "superseded"), ("Oslo", 5, 9, "superseded"), ("Lisbon", 9, None, "held")]
    assert [one.replaced_by for one in found] == [1, 2, None]


def test_many_values_do_not_close_each_other() -> None:
    claims = [said(n, value, key="hobby") for n, value in enumerate(("chess", "darts", "knitting"))]
    assert [one.status for one in settle(claims, HOBBY)] == ["held"] * 3
    claims.append(said(9, "darts", "end", key="hobby"))
    found = {one.value: one for one in settle(claims, HOBBY)}
    assert found["darts"].status == "ended"
    assert found["darts"].valid_to == day(9)
    assert found["chess"].valid_to is None


def test_the_value_that_a_change_names_ends_though_many_may_hold() -> None:
    claims = [said(0, "chess", key="hobby"), said(1, "darts", key="hobby")]
    claims.append(said(5, "knitting", "change", key="hobby", old="chess"))
    found = {one.value: one for one in settle(claims, HOBBY)}
    assert (found["chess"].status, found["chess"].valid_to) == ("superseded", day(5))
    assert found["darts"].valid_to is None
    assert found["knitting"].valid_from == day(5)


def test_what_a_change_names_as_left_is_learnt_from_it() -> None:
    found = settle([said(5, "Oslo", "change", old="Lisbon", valid_from=day(2))], CITY)
    assert rows(found) == [("Lisbon", None, 2, "superseded"), ("Oslo", 2, None, "held")]


def test_an_end_without_a_value_ends_what_holds() -> None:
    found = settle([said(0, "Oslo"), said(5, "", "end")], CITY)
    assert rows(found) == [("Oslo", 0, 5, "ended")]
    assert found[0].ended_by == said(5, "", "end")
    assert found[0].noted == (said(5, "", "end"),)
    again = settle([said(0, "Oslo"), said(5, "", "end"), said(8, "Oslo")], CITY)
    assert rows(again) == [("Oslo", 0, 5, "ended"), ("Oslo", 8, None, "held")]


def test_an_end_that_nothing_precedes_is_kept() -> None:
    assert rows(settle([said(5, "Oslo", "end", valid_to=day(3))], CITY)) == [("Oslo", None, 3, "ended")]
    (alone,) = settle([said(5, "", "end")], CITY)
    assert (alone.value, alone.polarity, alone.status) == ("", False, "held")
    assert rows(settle([said(5, "", "end"), said(7, "Oslo")], CITY))[1] == ("Oslo", 7, None, "held")


def test_an_end_of_another_value_leaves_the_present_alone() -> None:
    found = settle([said(0, "Oslo"), said(5, "Rome", "end")], CITY)
    assert rows(found) == [("Rome", None, 0, "ended"), ("Oslo", 0, None, "held")]


def test_an_end_may_name_a_part_of_the_value_if_that_is_clear() -> None:
    claims = [
        said(0, "the Harbour Choir", key="hobby"),
        said(1, "chess", key="hobby"),
        said(5, "choir", "end", key="hobby"),
    ]
    assert [one.status for one in settle(claims, HOBBY)] == ["ended", "held"]
    claims.insert(2, said(2, "school choir", key="hobby"))
    assert {one.value: one.status for one in settle(claims, HOBBY)} == {
        "the Harbour Choir": "held",
        "chess": "held",
        "school choir": "held",
        "choir": "ended",
    }


def test_a_stay_that_is_said_to_go_on_goes_on() -> None:
    claims = [said(0, "Rome", valid_to=day(9)), said(3, "Rome")]
    assert rows(settle(claims[:1], CITY)) == [("Rome", 0, 9, "held")]
    assert rows(settle(claims, CITY)) == [("Rome", 0, None, "held")]


def test_a_correction_takes_back_and_begins_where_the_slip_began() -> None:
    claims = [said(0, "Lisbon"), said(5, "Oslo", "change"), said(6, "Bergen", "correct", old="Oslo")]
    found = settle(claims, CITY)
    assert rows(found) == [
        ("Lisbon", 0, 5, "superseded"), ("Bergen", 5, None, "held"), ("Oslo", 5, 5, "retracted")
    ] or rows(found) == [
        ("Lisbon", 0, 5, "superseded"), ("Oslo", 5, 5, "retracted"), ("Bergen", 5, None, "held")
    ]  # fmt: skip
    slip = next(one for one in found if one.status == "retracted")
    assert slip.replaced_by is not None
    assert found[slip.replaced_by].value == "Bergen"


def test_a_correction_that_names_nothing_means_what_was_heard_last() -> None:
    found = settle([said(0, "Lisbon"), said(5, "Oslo", "change"), said(6, "Bergen", "correct")], CITY)
    assert {one.value: one.status for one in found} == {
        "Lisbon": "superseded",
        "Oslo": "retracted",
        "Bergen": "held",
    }


def test_a_correction_of_the_past_leaves_the_present() -> None:
    claims = [said(0, "Lisbon"), said(5, "Oslo", "change"), said(6, "Porto", "correct", old="Lisbon")]
    held = [row for row in rows(settle(claims, CITY)) if row[3] != "retracted"]
    assert held == [("Porto", 0, 5, "superseded"), ("Oslo", 5, None, "held")]


def test_what_was_never_so_gives_way_to_what_was_before() -> None:
    claims = [said(0, "Lisbon"), said(5, "Oslo", "change"), said(6, "", "correct", old="Oslo")]
    found = settle(claims, CITY)
    assert rows(found) == [("Lisbon", 0, None, "held"), ("Oslo", 5, 5, "retracted")]
    assert found[1].noted == (claims[2],)


def test_a_correction_of_what_nobody_said_takes_nothing_back() -> None:
    claims = [said(0, "Lisbon"), said(6, "Porto", "correct", old="Rome")]
    assert rows(settle(claims, CITY)) == [("Lisbon", 0, 6, "superseded"), ("Porto", 6, None, "held")]


def test_a_denial_ends_the_value_and_holds_itself() -> None:
    claims = [said(0, "meat", key="likes"), said(4, "meat", key="likes", polarity=False)]
    found = settle(claims, LIKES)
    assert [(one.polarity, one.valid_to, one.status) for one in found] == [
        (True, day(4), "ended"),
        (False, None, "held"),
    ]
    again = settle([*claims, said(8, "meat", key="likes")], LIKES)
    assert [(one.polarity, one.valid_to) for one in again] == [(True, day(4)), (False, day(8)), (True, None)]


def test_likes_and_dislikes_of_one_thing_exclude_each_other() -> None:
    claims = [said(0, "olives", key="likes"), said(1, "jazz", key="likes"), said(4, "the olives", key="dislikes")]
    found = settle(claims, LIKES)
    assert [(one.attribute, one.value, one.valid_to, one.status) for one in found] == [
        ("likes", "olives", day(4), "superseded"),
        ("likes", "jazz", None, "held"),
        ("dislikes", "the olives", None, "held"),
    ]
    assert family("likes") == family("dislikes") == ("dislikes", "likes")


def test_not_liking_and_disliking_agree() -> None:
    claims = [said(0, "olives", key="likes", polarity=False), said(4, "olives", key="dislikes")]
    assert [one.status for one in settle(claims, LIKES)] == ["held", "held"]


def test_the_past_told_later_does_not_close_the_present() -> None:
    told = said(5, "Rome", valid_to=day(-900))
    assert rows(settle([said(0, "Oslo"), told], CITY)) == [("Rome", None, -900, "ended"), ("Oslo", 0, None, "held")]
    spanned = said(5, "Rome", valid_from=day(-1500), valid_to=day(-900))
    assert rows(settle([said(0, "Oslo"), spanned], CITY))[0] == ("Rome", -1500, -900, "ended")
    story = said(5, "Rome", "change", valid_from=day(-1500))
    assert rows(settle([said(0, "Oslo"), story], CITY)) == [("Rome", -1500, 0, "superseded"), ("Oslo", 0, None, "held")]


def test_since_reaches_back_and_holds_on() -> None:
    claims = [said(-2000, "Rome"), said(0, "Oslo"), said(5, "Oslo", valid_from=day(-900))]
    assert rows(settle(claims, CITY)) == [("Rome", -2000, -900, "superseded"), ("Oslo", -900, None, "held")]


def test_a_change_dated_before_the_old_value_was_heard_leaves_it_the_time_before() -> None:
    found = settle([said(0, "Lisbon"), said(0.01, "Oslo", "change", valid_from=day(-7))], CITY)
    assert rows(found) == [("Lisbon", None, -7, "superseded"), ("Oslo", -7, None, "held")]


def test_what_is_announced_leaves_the_present_until_then() -> None:
    plan = said(2, "Bergen", "change", valid_from=day(90))
    claims = [said(0, "Oslo"), plan, said(5, "Oslo")]
    assert rows(settle(claims, CITY)) == [("Oslo", 0, 90, "superseded"), ("Bergen", 90, None, "held")]
    later = said(8, "Bergen", "change", valid_from=day(120))
    assert rows(settle([*claims, later], CITY)) == [("Oslo", 0, 120, "superseded"), ("Bergen", 120, None, "held")]
    called_off = said(8, "Bergen", "end")
    assert rows(settle([*claims, called_off], CITY)) == [("Oslo", 0, None, "held"), ("Bergen", 90, 90, "retracted")]


def test_a_happening_holds_for_its_day_and_a_new_date_replaces_the_announced_one() -> None:
    first = said(0, "Oslo", key="race", valid_from=day(10), valid_to=day(11))
    assert rows(settle([first], RACE)) == [("Oslo", 10, 11, "held")]
    moved = said(3, "Oslo", "change", key="race", valid_from=day(20), valid_to=day(21))
    found = settle([first, moved], RACE)
    assert rows(found) == [("Oslo", 10, 10, "retracted"), ("Oslo", 20, 21, "held")]
    assert found[0].replaced_by == 1
    another = said(30, "Oslo", "change", key="race", valid_from=day(25), valid_to=day(26))
    assert [one.status for one in settle([first, another], RACE)] == ["held", "held"]
    spoken_of = said(12, "Oslo", key="race")
    assert rows(settle([spoken_of, first], RACE)) == [("Oslo", 10, 11, "held")]


def test_an_appointment_has_one_day() -> None:
    claims = [said(0, "20 February 2024", key="driving_test"), said(5, "1 March 2024", "change", key="driving_test")]
    assert [one.status for one in settle(claims, TEST)] == ["superseded", "held"]


@pytest.mark.parametrize(
    ("one", "other"), [("the Oslo", "oslo."), ("$1,500", "1500"), ("Café", "café"), ("Ann's bike", "ann bike")]
)
def test_spellings_of_one_value(one: str, other: str) -> None:
    assert value_key(one) == value_key(other)


@pytest.mark.parametrize(("one", "other"), [("62:59", "62:58"), ("C++", "C"), ("the", ""), ("1.5", "15"), ("?", "!")])
def test_spellings_of_two_values(one: str, other: str) -> None:
    assert value_key(one) != value_key(other)


def test_subjects_meet_without_case_and_accents() -> None:
    assert matter("José", "car") == matter("jose", "car") != matter("jose", "job")


def test_confidence_counts_records_not_repetitions() -> None:
    one, again, other = said(0, "Oslo"), said(0, "Oslo", place=9), said(1, "Oslo")
    assert combined([one]) == combined([one, again]) == 0.8
    assert 0.8 < combined([one, other]) < 0.99
    assert combined([said(n, "Oslo") for n in range(99)]) == 0.99
    assert combined([said(0, "Oslo", confidence=1.0)]) == 1.0


# Against a naive form: at each moment, look which statement comes last of those that claim it.


def naive(claims: Sequence[Said], moment: datetime) -> str | None:
    """The value at a moment, for states and ends that begin when they are said, of a single-valued attribute."""
    value = None
    for one in sorted(claims, key=lambda one: (one.at, one.order)):
        if one.at <= moment:
            if one.claim.act != "end":
                value = one.claim.value
            elif one.claim.value in ("", value):
                value = None
    return value


def claims_of(rng: random.Random, count: int, acts: Sequence[Act], key: str = "home_city") -> list[Said]:
    found = []
    for n in rng.sample(range(60), count):
        act = rng.choice(acts)
        value = rng.choice(("Oslo", "Rome", "Lisbon", "Bergen"))
        rest: dict[str, Any] = {}
        if act in ("end", "correct") and rng.random() < 0.4:
            value = ""
        if act in ("correct", "change") and rng.random() < 0.5:
            rest["old"] = rng.choice(("Oslo", "Rome", "Lisbon"))
        if act in ("state", "change") and rng.random() < 0.3:
            rest["valid_from"] = day(n + rng.choice((-300, -8, -3, 6, 20)))
        if act == "state" and rng.random() < 0.2:
            rest["valid_to"] = day(n + rng.choice((-200, -4, 9)))
        if act == "state" and rng.random() < 0.15:
            rest["polarity"] = False
        if rest.get("valid_from") and rest.get("valid_to") and rest["valid_to"] <= rest["valid_from"]:
            del rest["valid_to"]
        found.append(said(n, value, act, key, **rest))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_the_naive_form_at_every_moment(seed: int) -> None:
    rng = random.Random(seed)
    claims = [
        said(n, rng.choice(("Oslo", "Rome", "Lisbon", "")), "end")
        if rng.random() < 0.25
        else said(n, rng.choice(("Oslo", "Rome", "Lisbon")))
        for n in rng.sample(range(40), 12)
    ]
    found = settle(claims, CITY)
    for n in range(41):
        moment = day(n + 0.5)
        holding = [
            one.value
            for one in found
            if one.polarity and one.valid_from <= moment and (one.valid_to is None or moment < one.valid_to)
            # What is known only by its end is beyond the naive form.
            if any(each.claim.act == "state" for each in one.said)
        ]
        wanted = naive(claims, moment)
        assert holding == ([wanted] if wanted else [])


@pytest.mark.parametrize("key", ["home_city", "hobby", "likes", "race", "driving_test"])
@given(seed=st.integers(0, 10_000), shuffle=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_order_of_arrival_does_not_matter_and_nothing_is_lost(key: str, seed: int, shuffle: int) -> None:
    rng = random.Random(seed)
    claims = claims_of(rng, rng.randint(1, 9), ("state", "change", "end", "correct"), key)
    found = settle(claims, attribute(key))
    mixed = [*claims, *claims[:2]]
    random.Random(shuffle).shuffle(mixed)
    assert settle(mixed, attribute(key)) == found
    kept = {one for held in found for one in (*held.said, *held.noted)}
    assert kept == set(claims)
    assert settle(kept, attribute(key)) == found
    check(found, many=attribute(key).many)


def check(found: Sequence[Held], *, many: bool) -> None:
    for place, one in enumerate(found):
        assert one.said
        assert (one.status == "retracted") == (one.valid_to == one.valid_from)
        assert one.valid_to is None or one.valid_from <= one.valid_to
        assert one.replaced_by != place
        assert one.replaced_by is None or one.replaced_by < len(found)
        assert one.status != "superseded" or one.replaced_by is not None
        assert 0 <= one.confidence <= 1
    true = [one for one in found if one.status != "retracted" and one.polarity]
    for place, one in enumerate(true):
        for other in true[place + 1 :]:
            if (not many or value_key(one.value) == value_key(other.value)) and one.attribute == other.attribute:
                assert one.valid_to is not None, (one, other)
                assert one.valid_to <= other.valid_from or other.status == "held", (one, other)


@pytest.mark.parametrize("seed", [509, 1929, 2059, 3378])
def test_nothing_overlaps_after_corrections_of_what_is_long_over(seed: int) -> None:
    rng = random.Random(seed)
    claims = claims_of(rng, rng.randint(1, 9), ("state", "change", "end", "correct"))
    check(settle(claims, CITY), many=False)


def last_ingested_wins(claims: Sequence[Said]) -> str:
    return max(claims, key=lambda one: one.order).claim.value


def overwriting(claims: Sequence[Said]) -> list[str]:
    return [max(claims, key=lambda one: one.at).claim.value]


@pytest.mark.parametrize("wrong", [lambda claims: [last_ingested_wins(claims)], overwriting])
def test_plausible_wrong_forms_differ(wrong: Callable[[Sequence[Said]], list[str]]) -> None:
    late = Said("r999999999", day(0), "r999999999", said(0, "Lisbon").claim)
    claims = [said(5, "Oslo"), late]
    assert [one.value for one in settle(claims, CITY)] == ["Lisbon", "Oslo"] != wrong(claims)
