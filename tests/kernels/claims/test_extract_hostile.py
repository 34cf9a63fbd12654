"""The extractor on texts that nobody means: huge, odd, foreign, malformed. It stays linear, exact and quiet."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remanence.kernels.claims import patterns
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Claim, Utterance
from remanence.kernels.claims.ontology import ATTRIBUTES, FAVOURITE, attribute
from remanence.kernels.claims.reading import LONGEST, sentences
from remanence.kernels.claims.templates import Field, compile_fields
from remanence.kernels.claims.times import coming, masked, times

AT = datetime(2024, 5, 15, 12, tzinfo=UTC)


def said(text: str, before: str | None = None) -> list[Claim]:
    turns = [] if before is None else [Utterance("b", before, AT, "Bo")]
    return extract(Utterance("t", text, AT, "Ana"), turns, ("Ana", "Bo"))


WORDS = (
    "I we she my her Ana Bo Bergen sister moved to from live lives in work works as a the baker at last Friday since "
    "2019 not no longer any more like love used hate called named is am have has got it and but because if would . , ! "
    "? : ; ' \" Mochi cat adopted new old said meant sorry scratch that favourite food reading book years ago tomorrow"
).split()
texts = st.one_of(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join), st.text(max_size=200))


@settings(max_examples=250, deadline=None)
@given(texts, st.none() | texts)
@example("\x01", None)
@example("I live in \x01.", "Where do you live?")
@example("I moved \x00 to Bergen\x7f.", None)
@example("I live in \ud800.", None)
@example("My , my's my", "Who is your sister?")
@example("My own journey", None)
@example("I'm in exactly 99 months from now", None)
def test_any_text_gives_claims_of_its_own_words(text: str, before: str | None) -> None:
    claims = said(text, before)
    assert claims == said(text, before)
    assert claims == sorted(claims, key=lambda claim: (claim.start, claim.end, claim.attribute))
    for claim in claims:
        assert 0 <= claim.start < claim.end <= len(text)
        assert claim.subject
        assert claim.value or claim.act == "end"
        words = " ".join(text[claim.start : claim.end].split()).casefold()
        if not attribute(claim.attribute).day and claim.attribute != "birthday":
            assert claim.value.casefold() in words
        if claim.valid_from is not None and claim.valid_to is not None:
            assert claim.valid_from < claim.valid_to


@settings(max_examples=60, deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_any_moment_will_do(at: datetime) -> None:
    for text in ("I moved to Oslo two years ago.", "My flight leaves in 14 weeks.", "My birthday is 29 February.",
                 "My dentist appointment is in exactly two weeks."):  # fmt: skip
        for claim in extract(Utterance("t", text, at, "Ana")):
            assert claim.value


@pytest.mark.parametrize(
    "text",
    [
        "Ich wohne in Berlin und arbeite als Lehrer bei Siemens.",
        "Je vis à Paris, j'aime le vin et ma sœur s'appelle Anne.",
        "Vivo en Madrid y trabajo como médico. Mi hermana se llama Ana.",
        "我住在北京，我喜欢喝茶。我妹妹叫小红。",
        "Я живу в Москве и работаю врачом.",
        "أعيش في القاهرة وأعمل طبيبا.",
        "私は東京に住んでいます。",
        "Bor i Oslo og jobber som lege.",
        "Vivo a Roma e lavoro come medico.",
    ],
)
def test_other_languages_give_nothing(text: str) -> None:
    assert said(text) == []


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "?", "...", "!!!", "\x00", "\u200b", "🧠🚀", "I", "my", "I am", "I live in"]
)
def test_empty_and_tiny_texts(text: str) -> None:
    assert said(text) == []


def test_unicode_around_and_inside() -> None:
    [claim] = said("🧠 I live in São Paulo 🚀!")
    assert claim.value == "São Paulo"
    [claim] = said("I’m allergic to crème fraîche.")
    assert claim.value == "crème fraîche"
    [claim] = said("I live in Bergen.\r\n\tAnd that’s that.")
    assert claim.value == "Bergen"


PIECES = (
    "a", "a ", "A ", "Ana Maria Lopez ", "I ", "my ", "my sister ", "I live in ", ". ", "?", "\n", " ", '"',
    '"I live ',
    "1", "1:", "since ", "in a week ", "I moved \x01 ", "I said I said ", "not , not ", "- ", "and, ", "I like a, ",
    "I live in Bergen. ", "(", "'", "I'm ", "I have a new pet called ", "mine's ", "@", "a@b.", "my dog's my cat's ",
)  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_work_is_linear(piece: str) -> None:
    """A text eight times as long may take about eight times as long; what backtracks takes sixty-four times."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.perf_counter()
        said(text)
        return time.perf_counter() - began

    seconds(1000)
    short = max(min(seconds(5_000) for _ in range(2)), 0.001)
    assert min(seconds(40_000) for _ in range(3)) < 40 * short + 0.5


def test_a_megabyte_without_a_break_is_read_in_pieces() -> None:
    text = "I live in Bergen and " * 50_000
    began = time.perf_counter()
    claims = said(text)
    assert time.perf_counter() - began < 20
    assert {claim.value for claim in claims if claim.attribute == "home_city"} == {"Bergen"}


def test_sentences_cover_the_text_in_order_and_are_short() -> None:
    text = "Dr. Ana B. Lopez lives here. She does!  Really?\nYes… (no) " + "word " * 400
    found = sentences(text)
    assert [text[s.start : s.end] for s in found[:3]] == ["Dr. Ana B. Lopez lives here.", "She does!", "Really?"]
    assert found[2].question
    assert all(s.end - s.start <= LONGEST for s in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert "".join(text[s.start : s.end] for s in found).replace(" ", "") == text.replace(" ", "").replace("\n", "")


def test_masks_keep_every_offset() -> None:
    text = "On 3 May I moved, and last Friday I moved again."
    blotted = masked(text, times(text, AT))
    assert len(blotted) == len(text)
    assert blotted.count("moved") == 2
    assert "May" not in blotted
    assert "Friday" not in blotted


def test_days_to_come() -> None:
    [time_] = times("on 3 May", AT)
    assert coming(time_, AT).start == datetime(2025, 5, 3, tzinfo=UTC)
    [time_] = times("in exactly two weeks", AT)
    assert (time_.start, time_.end - time_.start) == (datetime(2024, 5, 29, tzinfo=UTC), timedelta(days=1))


def test_every_template_compiles_and_has_words_to_be_found_by() -> None:
    rules = compile_fields(patterns.FIELDS)
    assert len(rules) > 500
    for rule in rules:
        assert rule.triggers
        assert rule.pattern.search("") is None
        assert rule.attribute in ATTRIBUTES or rule.attribute in ("", FAVOURITE)


def test_a_template_without_a_word_is_refused() -> None:
    with pytest.raises(Exception, match="add one"):
        compile_fields([Field("home_city", "n", state=("I V",))])


def test_ontology_renders_both_ways() -> None:
    for known in ATTRIBUTES.values():
        assert "{value}" in known.render
        assert "{value}" in known.deny
        assert known.render.format(subject="Ana", value="x") != ""
    assert attribute("favourite_movie").render.format(subject="Ana", value="Dune") == "Ana's favourite movie is Dune"
    assert not attribute("favourite_movie").many
    assert attribute("plays_in").many
    assert attribute("sister").person
