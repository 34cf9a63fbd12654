from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.claims.model import Claim, Utterance
from remanence.kernels.novelty import Entry, Notebook, Statement, naive_known, read, relation, stated

START = datetime(2026, 1, 1, tzinfo=UTC)
DIM = 8
ONE = np.eye(DIM, dtype=np.float32)[0]


def at(day: int) -> datetime:
    return START + timedelta(days=day)


def lives(value: str, day: int = 0, holds: bool = True, who: str = "Ana", source: str = "") -> Statement:
    text = f"{who} lives in {value}" if holds else f"{who} does not live in {value}"
    return Statement(text, at(day), ((source or f"t{day}", 0, 9),), who, "home_city", value, holds)


def likes(value: str, day: int = 0, attribute: str = "likes", holds: bool = True) -> Statement:
    return Statement(f"Ana {attribute} {value}", at(day), ((f"t{day}", 0, 9),), "Ana", attribute, value, holds)


def words(text: str, day: int = 0) -> Statement:
    return Statement(text, at(day), ((f"t{day}", 0, 9),))


# Two statements


@pytest.mark.parametrize(
    ("new", "old", "how"),
    [
        (lives("Oslo"), lives("oslo"), "same"),
        (lives("Bergen"), lives("Oslo"), "contradicts"),
        (lives("Bergen"), lives("Bergen", who="Bo"), "independent"),
        (lives("Oslo", holds=False), lives("Oslo"), "contradicts"),
        (lives("Oslo"), lives("Oslo", holds=False), "contradicts"),
        (lives("Oslo", holds=False), lives("Bergen"), "independent"),
        (lives("", holds=False), lives("Bergen"), "contradicts"),
        (lives("north Oslo"), lives("Oslo"), "extends"),
        (lives("Oslo"), lives("north Oslo"), "contradicts"),
        (likes("tea"), likes("coffee"), "independent"),
        (likes("tea", attribute="dislikes"), likes("tea"), "contradicts"),
        (likes("tea", attribute="dislikes"), likes("tea", holds=False), "same"),
        (likes("green tea"), likes("tea"), "extends"),
        (replace(likes("tea"), old="coffee"), likes("coffee"), "contradicts"),
    ],
)
def test_read_statements_are_compared_by_their_values(new: Statement, old: Statement, how: str) -> None:
    # However alike or unlike the vectors are.
    assert relation(new, old, 0.0) == relation(new, old, 1.0) == how


@pytest.mark.parametrize(
    ("new", "old", "how"),
    [
        ("The keys are under the mat.", "the keys are under the mat", "same"),
        ("The keys lie under the mat", "The keys are under the mat", "same"),
        ("The keys are not under the mat", "The keys are under the mat", "contradicts"),
        ("The train leaves at 9:15", "The train leaves at 9:45", "independent"),
        ("Ana met Bo in the park", "Ana met Cy in the park", "independent"),
        ("Ana met Bo in the park by the lake", "Ana met Bo in the park", "extends"),
    ],
)
def test_free_words_are_compared_by_cosine_and_details(new: str, old: str, how: str) -> None:
    assert relation(words(new), words(old), 0.9) == how
    assert relation(words(new), words(old), 0.84) == "independent"


# The filter


def noted(*statements: Statement, edits: bool = False) -> Notebook:
    notebook = Notebook(DIM, edits=edits)
    for statement in statements:
        notebook.take(statement, ONE)
    return notebook


def test_an_empty_notebook_predicts_nothing() -> None:
    assert noted().predicted(lives("Oslo"), ONE) is None


def test_a_changed_value_is_news_and_so_is_the_way_back() -> None:
    notebook = noted(lives("Oslo", 0), lives("Bergen", 1))
    assert notebook.predicted(lives("Bergen", 2), ONE) is not None
    assert notebook.predicted(lives("Cadiz", 2), ONE) is None
    assert notebook.predicted(lives("Oslo", 2), ONE) is None


def test_of_many_values_each_is_news_once() -> None:
    notebook = noted(likes("tea", 0), likes("coffee", 1))
    assert notebook.predicted(likes("tea", 2), ONE) is not None
    assert notebook.predicted(likes("milk", 2), ONE) is None
    assert notebook.predicted(likes("tea", 2, holds=False), ONE) is None


def test_by_cosine_alone_a_changed_value_would_be_lost() -> None:
    # The plausible wrong variant: one vector for both, as close as sentences come.
    notebook = noted(lives("Oslo", 0))
    assert max(float(vector @ ONE) for vector in [ONE]) >= notebook.threshold
    assert notebook.predicted(lives("Bergen", 1), ONE) is None
    assert notebook.predicted(lives("Oslo", 1, who="Bo"), ONE) is None


def pool(rng: random.Random) -> Statement:
    day = rng.randrange(6)
    fate = rng.random()
    if fate < 0.4:
        return lives(rng.choice(["Oslo", "Bergen", "Cadiz"]), day, rng.random() < 0.8, rng.choice(["Ana", "Bo"]))
    if fate < 0.7:
        return likes(rng.choice(["tea", "milk"]), day, rng.choice(["likes", "dislikes"]), rng.random() < 0.8)
    return words(rng.choice(["the mat is red", "the mat is not red", "a red mat", "mat 7 is red"]), day)


@pytest.mark.parametrize("seed", range(40))
def test_the_notebook_predicts_what_the_naive_form_does(seed: int) -> None:
    rng = random.Random(seed)
    vectors: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((3, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    notebook = Notebook(DIM, edits=False)
    known: list[Statement] = []
    rows: list[NDArray[np.float32]] = []
    for place in range(25):
        new = replace(pool(rng), spans=((f"t{place}", 0, 1),))
        vector = vectors[rng.randrange(3)]
        matrix = np.array(rows, np.float32).reshape(len(rows), DIM)
        expected = naive_known(new, vector, known, matrix, notebook.threshold)
        assert (notebook.predicted(new, vector) is not None) == expected
        notebook.add(Entry(new), vector)
        known.append(new)
        rows.append(vector)


def test_what_is_compared_can_be_what_was_known_before() -> None:
    notebook = noted(lives("Oslo", 0))
    until = len(notebook.entries)
    for _ in range(2):
        notebook.take(likes("tea", 1 + _), ONE, until)
    notebook.take(lives("Oslo", 3), ONE, until)
    assert [entry.statement.value for entry in notebook.entries] == ["Oslo", "tea", "tea"]


# Taking in


def test_a_repetition_supports_what_is_known() -> None:
    notebook = noted(lives("Oslo", 0), lives("Oslo", 1))
    (entry,) = notebook.entries
    assert list(entry.spans) == [("t0", 0, 9), ("t1", 0, 9)]
    assert (entry.first, entry.statement.at) == (at(0), at(1))


def test_without_edits_nothing_is_put_away() -> None:
    assert [entry.live for entry in noted(lives("Oslo", 0), lives("Bergen", 1)).entries] == [True, True]


def test_what_is_contradicted_is_put_away_and_rests_on_what_did_it() -> None:
    old, new = noted(lives("Oslo", 0), lives("Bergen", 1), edits=True).entries
    assert (old.live, new.live) == (False, True)
    assert list(old.spans) == [("t0", 0, 9), ("t1", 0, 9)]
    assert list(new.spans) == [("t1", 0, 9)]


def test_what_comes_late_is_put_away_itself() -> None:
    new, old = noted(lives("Bergen", 1), lives("Oslo", 0), edits=True).entries
    assert (old.live, new.live) == (False, True)
    assert ("t1", 0, 9) in old.spans


def test_what_extends_rewrites() -> None:
    (entry,) = noted(likes("tea", 0), likes("green tea", 1), edits=True).entries
    assert entry.statement.value == "green tea"
    assert len(entry.spans) == 2


def test_reading_the_same_words_again_changes_nothing() -> None:
    notebook = noted(lives("Oslo", 0), lives("Bergen", 1), edits=True)
    for entry in notebook.entries:
        entry.changed = False
    touched = notebook.take(lives("Oslo", 0), ONE) + notebook.take(lives("Bergen", 1), ONE)
    assert [entry.statement.value for entry in touched] == ["Oslo", "Bergen"]
    assert not any(entry.changed for entry in notebook.entries)
    assert len(notebook.entries) == 2


def test_an_end_without_attribute_finds_what_it_ends() -> None:
    notebook = noted(lives("Oslo", 0), edits=True)
    notebook.take(Statement("Ana: Oslo is history", at(1), (("t1", 0, 9),), "Ana", "", "Oslo", False), ONE)
    assert [(entry.statement.text, entry.live) for entry in notebook.entries] == [
        ("Ana lives in Oslo", False),
        ("Ana does not live in Oslo", True),
    ]


def test_a_correction_read_again_is_understood_again() -> None:
    notebook = noted(lives("Oslo", 0), edits=True)
    meant = Statement("Ana: scratch Oslo, Bergen", at(1), (("t1", 0, 9),), "Ana", "", "Bergen", old="Oslo")
    first, second = notebook.take(meant, ONE), notebook.take(meant, ONE)
    assert first[0] is second[0]
    # Without what was said first nobody would know what it is about.
    assert list(first[0].spans) == [("t1", 0, 9), ("t0", 0, 9)]
    assert [(entry.statement.text, entry.live) for entry in notebook.entries] == [
        ("Ana lives in Oslo", False),
        ("Ana lives in Bergen", True),
    ]


def test_a_threshold_out_of_range_is_refused() -> None:
    for threshold in (0.0, 1.5):
        with pytest.raises(InvalidInput, match=str(threshold)):
            Notebook(DIM, threshold=threshold)


# Reading


def said(*lines: tuple[str, str]) -> list[Utterance]:
    return [Utterance(f"u{i}", text, at(i), speaker) for i, (speaker, text) in enumerate(lines)]


def test_claims_become_sentences_that_stand_alone() -> None:
    (first, second) = read(said(("Ana", "I live in Oslo now"), ("Bo", "I moved from Oslo to Bergen")))
    assert [one.text for one in first] == ["Ana lives in Oslo"]
    assert [(one.text, one.old) for one in second] == [("Bo lives in Bergen", "Oslo")]
    assert first[0].spans[0][0] == "u0"


def test_what_it_takes_to_understand_a_turn_is_a_source() -> None:
    turns = said(
        ("Bo", "Lovely day."), ("Bo", "Ana, what is your job?"), ("Bo", "I live in Oslo"), ("Ana", "I am a baker.")
    )
    assert [[one.spans[0][0] for one in found] for found in read(turns)] == [[], [], ["u2"], ["u3"]]
    asked, told = said(("Ana", "Which car do you drive now, Bo?"), ("Bo", "A Fiat Panda, second hand."))
    (found,) = read([asked, told])[1]
    assert (found.attribute, found.spans) == ("car", (found.spans[0], ("u0", 0, len(asked.text))))
    assert read([told])[0] == []


def test_a_name_from_the_context_is_a_source() -> None:
    asked, told = said(("Ana", "How is your sister Quillbert doing?"), ("Bo", "She lives in Bergen now"))
    claim = Claim("Quillbert", "home_city", "Bergen", "state", 0, 19)
    assert stated(claim, told, [asked]).spans == (("u1", 0, 19), ("u0", 0, len(asked.text)))
    assert stated(replace(claim, subject="Bo"), told).spans == (("u1", 0, 19),)


def test_a_conversation_is_read_the_same_in_parts() -> None:
    lines = [("Ana", "I live in Oslo"), ("Bo", "Really?"), ("Bo", "My sister Eva lives in Bergen"), ("Ana", "Nice!")]
    turns = said(*(lines * 8))
    assert read(turns[5:], 20) == read(turns)[25:]
    assert sum(map(len, read(turns))) > 8
