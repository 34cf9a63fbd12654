"""The extractor by kinds of statements: who, what, since when, and what is no claim at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Claim, Utterance

AT = datetime(2024, 5, 15, 12, tzinfo=UTC)


def said(text: str, *before: tuple[str, str], speaker: str | None = "Ana", role: str | None = None) -> list[Claim]:
    turns = [Utterance(f"b{i}", words, AT, who) for i, (who, words) in enumerate(before)]
    return extract(Utterance("t", text, AT, speaker, role), turns, ("Ana", "Bo"))


def rows(claims: Sequence[Claim]) -> set[tuple[str, str, str, str]]:
    return {(claim.subject, claim.attribute, claim.value, claim.act) for claim in claims}


def the(text: str, *before: tuple[str, str]) -> Claim:
    claims = said(text, *before)
    assert len(claims) == 1, claims
    return claims[0]


def day(year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("I live in Chiang Mai.", "home_city", "Chiang Mai"),
        ("I've lived in Berlin for years.", "home_city", "Berlin"),
        ("I was born in Porto.", "hometown", "Porto"),
        ("I grew up in a small town in Ohio.", "hometown", "Ohio"),
        ("I work as a court interpreter, mostly from home.", "job", "court interpreter"),
        ("I'm a software engineer.", "job", "software engineer"),
        ("I work at Norrfjord Logistics and like it.", "employer", "Norrfjord Logistics"),
        ("I drive a Tesla Model 3.", "car", "Tesla Model 3"),
        ("I take the night bus to work.", "commute", "night bus"),
        ("I pay 1200 euros rent per month.", "rent", "1200 euros"),
        ("My email is ana.lopez@example.org.", "email", "ana.lopez@example.org"),
        ("My phone number is 555-1234.", "phone_number", "555-1234"),
        ("My address is 12 Main Street, Springfield.", "address", "12 Main Street, Springfield"),
        ("I'm 34 years old.", "age", "34"),
        ("My name is Ana Lopez.", "name", "Ana Lopez"),
        ("My birthday is May 3rd.", "birthday", "3 May"),
        ("I speak Portuguese.", "speaks", "Portuguese"),
        ("I'm learning Welsh at the moment.", "language", "Welsh"),
        ("I play the french horn.", "instrument", "french horn"),
        ("I have a degree in physics.", "degree", "physics"),
        ("I'm vegan.", "diet", "vegan"),
        ("I'm married.", "marital_status", "married"),
        ("I am a Buddhist.", "religion", "Buddhist"),
        ("I have asthma.", "condition", "asthma"),
        ("I have three kids.", "children", "three"),
        ("I have a sprained ankle.", "injury", "sprained ankle"),
        ("My favourite colour is teal.", "favourite_colour", "teal"),
        ("My favorite movie is The Matrix.", "favourite_movie", "The Matrix"),
        ("I am reading A Grammar of Stones, slowly.", "book", "A Grammar of Stones"),
        ("I can't stand olives.", "dislikes", "olives"),
        ("I love dogs, especially Labradors, because they are loyal.", "likes", "dogs, especially Labradors"),
        ("I enjoy reading, watching films, and painting.", "likes", "reading, watching films, and painting"),
        ("I'm hoping to get into local politics.", "goal", "get into local politics"),
        ("My partner is called Vera.", "partner", "Vera"),
        ("My best friend is Tom.", "friend", "Tom"),
    ],
)  # fmt: skip
def test_what_people_say_of_themselves(text: str, attribute: str, value: str) -> None:
    claim = the(text)
    assert (claim.subject, claim.attribute, claim.value, claim.act) == ("Ana", attribute, value, "state")
    assert claim.polarity


@pytest.mark.parametrize(
    "text",
    [
        "Do you live in Rome?",
        "So do I live in Rome?  Do I work as a baker?",
        "If I lived in Rome, I would eat pasta.",
        "I would love to live in Rome.",
        "I could be a baker.",
        "I nearly moved to Rome.",
        "I wish I could play the cello.",
        "They offered me a job as a baker, but I said no.",
        "My mother thinks I am allergic to nuts.",
        "A colleague of mine lives in Rome.",
        "Everyone works at Bluefin Analytics.",
        "Everybody lives in Rome.",
        "The plumber said Saint Turbine was the favourite band of his youth.",
        "I live in Rome. Just kidding.",
        'She read aloud: "I live in Rome and work as a baker."',
        "You live in Rome.",
        "I like it.",
        "I love the way you said that.",
        "I'm gonna make it work.",
        "At fifteen my favourite band was Moth Parade.",
        "Looks likes the store is growing.",
        "That's the pic I got from the event.",
        "I was a stapler and nobody used me.",
    ],
)
def test_what_is_no_claim(text: str) -> None:
    assert [claim for claim in said(text) if claim.attribute not in ("event", "activity")] == []


def test_a_doubt_in_another_clause_does_not_matter() -> None:
    assert ("Ana", "home_city", "Oslo", "state") in rows(said("People think I moved, but I live in Oslo."))
    assert ("Ana", "home_city", "Oslo", "state") in rows(said("I live in Oslo, as you would know."))


def test_somebody_named_is_the_subject() -> None:
    assert rows(said("Lena lives near the old depot in Bergen.")) == {("Lena", "home_city", "Bergen", "state")}
    assert rows(said("Did you hear? Lena's job is a baker.")) == {("Lena", "job", "baker", "state")}


def test_a_pronoun_is_whom_the_other_asked_about() -> None:
    claim = the("She got a library card for Dundee.", ("Bo", "How is Lena doing?"))
    assert (claim.subject, claim.value) == ("Lena", "Dundee")
    nobody_asked = said("She got a library card for Dundee.", ("Bo", "Nice weather."))
    assert nobody_asked == []
    unnamed = the("Boxes everywhere! Linz welcomed them with rain yesterday.", ("Bo", "Any news from Lena?"))
    assert (unnamed.subject, unnamed.value) == ("Lena", "Linz")


def test_a_pronoun_does_not_mean_the_one_spoken_to() -> None:
    claims = said("Bo, my uncle has a job as a baker, he lives in Rome.")
    assert not {claim.subject for claim in claims} & {"Ana", "Bo"}


def test_relatives_are_subjects_of_their_own() -> None:
    assert rows(said("My sister works as a dentist.")) == {("Ana's sister", "job", "dentist", "state")}
    assert ("Ana's mother", "home_city", "Rome", "state") in rows(said("My mom lives in Rome."))
    named = rows(said("My sister Wanda works as a dentist."))
    assert named == {("Ana", "sister", "Wanda", "state"), ("Wanda", "job", "dentist", "state")}
    known = said("My sister works as a dentist.", ("Ana", "My sister Wanda is visiting."), ("Bo", "Nice."))
    assert rows(known) == {("Wanda", "job", "dentist", "state")}


def test_in_laws_and_business_partners_are_not_relatives_of_the_speaker() -> None:
    assert not [c for c in said("Enzo, my brother-in-law works for Alder Clinics.") if c.attribute == "brother"]
    assert not [c for c in said("The name of my business partner is Ana Ruiz.") if c.attribute == "partner"]


def test_a_speaker_without_name_is_the_user_or_the_assistant() -> None:
    assert said("I live in Rome.", speaker=None)[0].subject == "user"
    assert said("I live in Rome.", speaker=None, role="assistant")[0].subject == "assistant"


@pytest.mark.parametrize(
    ("text", "attribute", "value", "old"),
    [
        ("I moved from Oslo to Bergen.", "home_city", "Bergen", "Oslo"),
        ("I switched jobs, from baker to florist.", "job", "florist", "baker"),
        ("I left Dune Solar and started working at Hollow Records.", "employer", "Hollow Records", "Dune Solar"),
        ("I swapped espresso for sencha.", "drink", "sencha", "espresso"),
        ("I gave up the cello for the harp.", "instrument", "harp", "cello"),
        ("The house was so quiet without Socks, so I came home with a frog. Say hello to Yoda", "pet", "Yoda", "Socks"),
        ("My rent changed from 900 euros to 950 euros.", "rent", "950 euros", "900 euros"),
        ("Moth Parade has replaced Glass Otters as my favourite.", "band", "Moth Parade", "Glass Otters"),
        ("Pad thai has replaced ramen as my favourite.", "food", "pad thai", "ramen"),
    ],
)  # fmt: skip
def test_changes_name_what_they_replace(text: str, attribute: str, value: str, old: str) -> None:
    claim = next(claim for claim in said(text) if claim.attribute == attribute)
    assert (claim.value, claim.act, claim.old) == (value, "change", old)


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("I no longer live in Oslo.", "home_city", "Oslo"),
        ("I don't live in Oslo any more.", "home_city", "Oslo"),
        ("I quit my job.", "job", ""),
        ("I lost my job at the bank.", "job", ""),
        ("We broke up.", "partner", ""),
        ("I sold my car.", "car", ""),
        ("I used to like jazz.", "likes", "jazz"),
        ("I no longer like jazz.", "likes", "jazz"),
        ("I no longer play the cello.", "instrument", "cello"),
        ("I am no longer allergic to nuts.", "allergy", "nuts"),
        ("I stopped doing karaoke.", "hobby", "karaoke"),
        ("I no longer work for Hollow Records.", "employer", "Hollow Records"),
        ("Bella passed away.", "", "Bella"),
    ],
)
def test_ends(text: str, attribute: str, value: str) -> None:
    claim = the(text)
    assert (claim.subject, claim.attribute, claim.value, claim.act) == ("Ana", attribute, value, "end")


def test_denials_are_claims_of_negative_polarity() -> None:
    for text, attribute, value in (
        ("I don't eat meat.", "eats", "meat"),
        ("I'm not a fan of horror movies.", "likes", "horror movies"),
        ("I do not live in Oslo.", "home_city", "Oslo"),
        ("I don't speak French.", "speaks", "French"),
    ):
        claim = the(text)
        assert (claim.attribute, claim.value, claim.act, claim.polarity) == (attribute, value, "state", False)


def test_now_after_then_gives_both() -> None:
    claims = said("I used to dislike wrestling, but now I like wrestling.")
    assert rows(claims) == {("Ana", "dislikes", "wrestling", "end"), ("Ana", "likes", "wrestling", "state")}


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("I moved to Seattle last Friday.", day(2024, 5, 10), None),
        ("I moved to Seattle two years ago.", day(2022, 1, 1), None),
        ("I live in Seattle since 2019.", day(2019, 1, 1), None),
        ("Since May I work as a baker.", day(2024, 5, 1), None),
        ("From next Monday I work for Bosch.", day(2024, 5, 20), None),
        ("I'm moving to Lisbon next month.", day(2024, 6, 1), None),
        ("I moved to Oslo a week ago today.", day(2024, 5, 8), None),
        ("I quit my job last Friday.", None, day(2024, 5, 10)),
        ("I live in Oslo.", None, None),
        ("I climbed Triglav yesterday.", day(2024, 5, 14), day(2024, 5, 15)),
        ("On 3 May I climbed Triglav.", day(2024, 5, 3), day(2024, 5, 4)),
        ("I live in Oslo these days.", None, None),
    ],
)
def test_validity(text: str, start: datetime | None, end: datetime | None) -> None:
    claim = the(text)
    assert (claim.valid_from, claim.valid_to) == (start, end)


def test_appointments_are_days_to_come() -> None:
    claim = the("My dentist appointment is on 3 May.")
    assert (claim.attribute, claim.value, claim.valid_from) == ("dentist", "3 May 2025", None)
    assert the("I have a dentist appointment in ten days.").value == "25 May 2024"
    moved = the("My flight was moved, it leaves on the 20th of June now.")
    assert (moved.attribute, moved.value, moved.act) == ("flight", "20 June 2024", "change")


def test_leap_days_are_found() -> None:
    assert the("My dentist appointment is on 29 February.").value == "29 February 2028"


def test_names_that_look_like_times() -> None:
    claim = the("I went to the Yesterday Machine concert four days ago.")
    assert (claim.value, claim.valid_from) == ("Yesterday Machine", day(2024, 5, 11))
    assert the("I am reading Tomorrow's Cartilage.").value == "Tomorrow's Cartilage"
    assert the("I drive a Peugeot 208.").value == "Peugeot 208"


@pytest.mark.parametrize(
    ("question", "reply", "attribute", "value"),
    [
        ("What is the name of your coach, Ana?", "Easy one: Birgit.", "coach", "Birgit"),
        ("Ana, what is your sister called?", "Hm, Oona, of course.", "sister", "Oona"),
        ("Which car do you drive?", "A Fiat Panda. Long story.", "car", "Fiat Panda"),
        ("How much rent do you pay?", "That would be 1141 euros.", "rent", "1141 euros"),
        ("Which book are you reading, Ana?", "The Owl Accountant, and don't you laugh.", "book", "The Owl Accountant"),
        ("What is your best time over ten kilometres?", "54:04, if you can believe it.", "run_time", "54:04"),
        ("What are you allergic to?", "Pine nuts. I thought I had told you.", "allergy", "pine nuts"),
        ("Ana, what school do the kids go to now?", "Old Mill School, as of today.", "school", "Old Mill School"),
        ("What do you do for a living?", "An actuary, as of today.", "job", "actuary"),
        ("What is your favourite ice cream?", "Probably pistachio.", "favourite_ice_cream", "pistachio"),
    ],
)
def test_short_replies(question: str, reply: str, attribute: str, value: str) -> None:
    claim = the(reply, ("Bo", question))
    assert (claim.subject, claim.attribute, claim.value) == ("Ana", attribute, value)
    assert said(reply, ("Ana", question)) == [], "one's own question is not answered by oneself"
    assert said(reply) == []


@pytest.mark.parametrize(
    "reply",
    [
        "Ha, you ask me that every single time.",
        "Later, somebody is calling on the other line.",
        "You tell me!",
        "Not a topic for today, please.",
        "Let me get back to you on that.",
        "Why do you want to know?",
        "Hold that thought, the doorbell rang.",
        "",
        "...",
    ],
)
@pytest.mark.parametrize("question", ["Which series are you watching, Ana?", "What do you do for a living, Ana?"])
def test_evasions_answer_nothing(question: str, reply: str) -> None:
    assert said(reply, ("Bo", question)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, I said Oslo before, I meant Bergen.",
        "Wait, scratch Oslo, I mixed that up. Bergen is right.",
        "Hang on, did I say Oslo? My brain is mush. Bergen, of course.",
        "I was half asleep when I said Oslo. Bergen, obviously.",
        "Forget Oslo, that was nonsense from me, I meant Bergen.",
        "Sorry, not Oslo but Bergen.",
        "I meant Bergen, not Oslo.",
        "Scratch that, it's Bergen.",
    ],
)
def test_corrections_find_what_they_correct(text: str) -> None:
    claim = the(text, ("Ana", "I live in Oslo."), ("Bo", "Lovely."))
    assert (claim.subject, claim.attribute, claim.value, claim.old) == ("Ana", "home_city", "Bergen", "Oslo")
    assert claim.act == "correct"


def test_a_correction_of_something_long_ago_leaves_the_attribute_open() -> None:
    claim = the("Forget Oslo, that was nonsense from me, I meant Bergen.")
    assert (claim.attribute, claim.value, claim.old) == ("", "Bergen", "Oslo")
    assert said("Scratch that, it's Bergen.") == [], "neither side of it is known"


def test_a_correction_may_name_the_matter() -> None:
    claim = the("Wait, I got Greta's book wrong. It is Iron Meadow, not The Borrowed Violin.")
    assert (claim.subject, claim.attribute, claim.value) == ("Greta", "book", "Iron Meadow")
    assert claim.old == "The Borrowed Violin"


def test_pets_come_with_their_kind() -> None:
    assert rows(said("I have a guinea pig called Bramley.")) == {
        ("Ana", "pet", "Bramley", "state"),
        ("Bramley", "kind", "guinea pig", "state"),
    }
    adopted = said("We adopted a puppy last week, her name is Luna.")
    assert {(c.subject, c.value, c.valid_from) for c in adopted if c.attribute == "pet"} == {
        ("Ana", "Luna", day(2024, 5, 6))
    }


def test_enumerations_give_a_claim_each() -> None:
    claims = said("I'm allergic to nuts, soy and milk.")
    assert [claim.value for claim in claims] == ["nuts", "soy", "milk"]
    assert [claim.value for claim in said("I am allergic to nuts, which is a pity.")] == ["nuts"]


def test_doings_without_a_template_are_events() -> None:
    claim = the("I signed up for a pottery class yesterday and it was fun.")
    assert (claim.attribute, claim.value, claim.valid_from) == (
        "event",
        "signed up for a pottery class",
        day(2024, 5, 14),
    )
    assert the("I've been taking a poetry class lately.").attribute == "activity"
    assert said("I had to.") == []


def test_what_a_template_reads_is_no_event_besides() -> None:
    assert rows(said("I quit my job as a baker.")) == {("Ana", "job", "baker", "end")}


@pytest.mark.parametrize("text", ["I quit my job. I'm a teacher now", "I quit my job, I'm a teacher now"])
def test_what_comes_instead_goes_before_an_end_without_a_name(text: str) -> None:
    (claim,) = [claim for claim in extract(Utterance("t", text, AT, "Ana")) if claim.attribute == "job"]
    assert (claim.value, claim.act) == ("teacher", "state")
    (over,) = extract(Utterance("t", "I'm a teacher. I quit my job", AT, "Ana"))
    assert (over.value, over.act) == ("", "end"), "what stands before the end is no successor"
