"""Entities and triples by rules."""

from __future__ import annotations

import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.openie import (
    Extraction,
    checked,
    extract,
    extract_all,
    grounded,
    known_phrases,
    phrase_key,
    pieces,
    query_entities,
)


def test_a_sentence_relates_what_it_names() -> None:
    found = extract("Rowan Optics is headquartered in Mount Varley.")
    assert found.entities == ("Rowan Optics", "Mount Varley")
    assert found.triples == (("Rowan Optics", "is headquartered in", "Mount Varley"),)


def test_a_title_is_what_later_sentences_are_about() -> None:
    found = extract("Oslo\nIt was founded in 1040 by Harald Hardrada.")
    assert ("Oslo", "It was founded in", "1040") in found.triples
    assert ("Oslo", "It was founded in 1040 by", "Harald Hardrada") in found.triples
    assert ("1040", "by", "Harald Hardrada") in found.triples
    # Without its title line the text is about what it names first.
    bare = extract("It was founded in 1040 by Harald Hardrada.")
    assert all("Oslo" not in triple for triple in bare.triples)
    assert ("1040", "by", "Harald Hardrada") in bare.triples


def test_a_speaker_is_what_is_said_about() -> None:
    found = extract("Ana: I lent Otto the striped canoe.")
    assert ("Ana", "I lent", "Otto") in found.triples
    assert ("Ana", "I lent Otto the", "striped canoe") in found.triples


def test_no_phrase_is_related_to_itself_nor_within_another() -> None:
    found = extract("Ana: Ana met Ana at the University of Oslo.")
    assert all(phrase_key(one) != phrase_key(other) for one, _, other in found.triples)
    assert "Oslo" not in found.entities


def test_a_text_that_names_nothing_says_nothing() -> None:
    for text in ("", "…", "it rains", "日本語のテキスト"):
        assert extract(text) == Extraction()


def test_long_texts_are_cut_and_lose_no_name() -> None:
    text = "so Ana went on and on " * 200 + "until Bilal came"
    spans = pieces(text)
    assert max(end - start for start, end in spans) <= 600
    assert "".join(text[start:end] for start, end in spans) == text
    assert {"Ana", "Bilal"} <= set(extract(text).entities)


def test_many_texts_are_read_like_each_of_them() -> None:
    texts = ["Ana met Bo.", "", "Oslo\nThe city has a harbour."]
    assert extract_all(texts) == [extract(text) for text in texts]


def test_a_question_names_the_longest_known_phrases_then_names() -> None:
    known = {"mount varley", "varley", "rowan optics", "head office", "the", "office"}
    question = "Where is the head office of Rowan Optics near Mount Varley, and who is Leif Dorn?"
    assert query_entities(question, known) == ["head office", "rowan optics", "mount varley", "leif dorn"]


def test_one_plain_word_is_no_entity() -> None:
    assert known_phrases("the office in Oslo", {"office", "oslo"}) == ["oslo"]
    assert known_phrases("the office in Oslo", {"office", "oslo"}, capitals=False) == ["office", "oslo"]
    assert known_phrases("who is it", {"who", "it", "who is"}, capitals=False) == []


def test_what_a_text_does_not_hold_is_not_grounded() -> None:
    made = Extraction(("Ana", "Zeus"), (("Ana", "met", "Bo"), ("Ana", "is", "Zeus"), ("", "is", "Ana")))
    assert grounded(made, "Ana met Bo.") == Extraction(("Ana",), (("Ana", "met", "Bo"),))


def test_an_extractor_must_answer_for_each_text() -> None:
    assert checked([Extraction()], ["a"]) == [Extraction()]
    with pytest.raises(InvalidInput, match="2 texts"):
        checked([Extraction()], ["a", "b"])
    with pytest.raises(InvalidInput, match="no Extraction"):
        checked([("a", "b")], ["a"])  # type: ignore[list-item]
