from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.kernels.analyzer import Analyzer
from remanence.kernels.notes import Note, NoteBox, describe, news, vote
from remanence.substrates.embedding import HashEmbedder

AT = datetime(2026, 5, 11, 9, tzinfo=UTC)
EMBEDDER = HashEmbedder()


def note(id: str, text: str, *tags: str) -> Note:
    return Note(id, text, None, AT, [], dict.fromkeys(tags, (id,)), "")


def embed(texts: list[str]) -> NDArray[np.float32]:
    return EMBEDDER.embed(texts)


def box(*notes: Note, room: int = 5) -> NoteBox:
    return NoteBox(notes, embed([one.key for one in notes]), [], room, embed)


def test_keywords_go_by_frequency_times_rarity_and_tags_leave_names_out() -> None:
    rarity: dict[str, float] = defaultdict(lambda: 1.0, boat=3.0, otto=4.0, paint=2.0)
    found = describe("a", "Otto paints the boat. The boat is old.", "Ana", AT, Analyzer(), rarity, keywords=3, tags=2)
    assert found.keywords == ["boat", "otto", "paints"]
    assert found.tags == {"boat": ("a",), "paints": ("a",)}
    assert found.context == "Otto paints the boat."
    assert found.key == "Ana: Otto paints the boat. The boat is old. boat otto paints boat paints"


def test_a_context_names_the_days_that_the_text_speaks_of() -> None:
    found = describe("a", "I saw it yesterday. It rained.", None, AT, Analyzer(), defaultdict(float))
    assert found.context == "I saw it yesterday. 2026-05-10"
    assert "2026-05-10" in found.key


@pytest.mark.parametrize("text", ["?!…", "😀", "2026", "the of and"])
def test_texts_without_words_of_meaning_have_no_keywords(text: str) -> None:
    found = describe("a", text, None, AT, Analyzer(), defaultdict(float))
    assert not [word for word in found.keywords if word not in text]
    assert found.key.startswith(text)


def test_attributes_survive_a_round_trip() -> None:
    one = describe("a", "Otto paints the boat.", "Ana", AT, Analyzer(), defaultdict(lambda: 1.0))
    one.about["Silent Curlew"] = ("b", "c")
    one.context_from = ("d",)
    assert Note.from_attributes("a", one.text, "Ana", AT, one.attributes()) == one
    assert one.lenders() == ["d", "b", "c"]


def test_the_most_common_tags_win_and_the_own_ones_among_equals() -> None:
    own = note("a", "x", "red", "blue")
    others = [note("b", "y", "blue", "green"), note("c", "z", "green")]
    assert list(vote(own, others, 2)) == ["blue", "green"]
    assert vote(own, others, 2)["green"] == ("b",)
    assert list(vote(own, [], 2)) == ["red", "blue"]
    assert list(vote(own, [note("b", "y", "green")], 2)) == ["red", "blue"]


def test_news_is_the_first_name_that_the_other_lacks_else_a_keyword() -> None:
    renaming = note("a", "We call Otter by the name Larkspur now.")
    renaming.keywords = ["call", "name"]
    assert news(renaming, note("b", "Otter costs money."), Analyzer()) == "Larkspur"
    assert news(renaming, note("b", "Larkspur was Otter."), Analyzer()) == "call"
    assert news(renaming, note("b", "Call it Larkspur. Name it Otter."), Analyzer()) == ""


def test_neighbours_are_the_nearest_and_the_nearest_with_a_name_in_common() -> None:
    notes = [note(str(i), f"the red boat number {i} sails") for i in range(4)]
    named = [note(f"n{i}", text) for i, text in enumerate(["Curlew needs paint", "Nobody is like Curlew, alas"])]
    held = box(*notes, *named)
    near = held.add(note("new", "the red boat Curlew sails"), 2)
    assert set(near) >= {"n0", "n1"}
    assert len(near) == 4
    assert list(near.values()) == sorted(near.values(), reverse=True)
    plain = embed([one.key for one in (*notes, *named, held.notes["new"])])
    for id, cosine in near.items():
        assert cosine == pytest.approx(float(plain[[*held.notes].index(id)] @ plain[-1]), abs=0.02)
    assert box().add(note("new", "alone"), 5) == {}


def test_links_need_nearness_and_less_of_it_with_a_name_in_common() -> None:
    held = box(note("a", "Otto sold the boat"), note("b", "Vera sold the boat"))
    held.add(note("new", "Otto bakes"), 5)
    near = {"a": 0.4, "b": 0.4}
    assert held.belongs("new", near, link=0.5, shared=0.3) == ["a"]
    assert held.belongs("new", near, link=0.4, shared=0.3) == ["a", "b"]
    assert held.belongs("new", near, link=0.5, shared=0.5) == []


def test_evolution_rewrites_linked_notes_embeds_them_and_leaves_the_others() -> None:
    held = box(note("a", "Otter costs money"), note("b", "Otter is late"), note("c", "Badger is late"))
    before = held._codes.copy()
    held.add(note("new", "Otter is called Larkspur now", "names"), 5)
    held.join("new", "a")
    held.evolve("new", Analyzer(), tags=2, about=6)
    assert held.notes["a"].about == {"Larkspur": ("new",)}
    assert list(held.notes["a"].tags) == ["names"]
    assert list(held.changed) == ["new", "a"]
    assert (held._codes[0] != before[0]).any()
    assert (held._codes[1:3] == before[1:3]).all()
    again = embed([held.notes["a"].key])[0]
    assert float(held._codes[0] @ again * held._scales[0]) == pytest.approx(1, abs=0.02)


def test_what_is_taken_over_is_bounded_and_the_oldest_gives_way() -> None:
    held = box(note("a", "Otter costs money"))
    for name in ("Larkspur", "Yarrow", "Tansy"):
        held.add(note(name, f"Otter met {name}"), 5)
        held.join(name, "a")
        held.evolve(name, Analyzer(), tags=2, about=2)
    assert list(held.notes["a"].about) == ["Yarrow", "Tansy"]


def test_links_to_what_is_not_there_are_passed_over() -> None:
    held = box(note("a", "x"))
    held.join("a", "gone")
    assert held.linked("a") == []
