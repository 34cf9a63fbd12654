"""Rebuilding: what was derived by other settings is derived anew, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from remanence.core.clock import SteppingClock
from remanence.core.errors import EmbeddingError, InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.runtime.memory import Memory
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, HashEmbedder
from remanence.substrates.records.model import Record
from remanence.substrates.records.operations import History, Scan
from tests.runtime.conftest import START, Make
from tests.stores.sqlite.support import files

ENRICH = False

ANA = Scope(user_id="ana")
TEXTS = (
    "The houses by the river were painted last summer",
    "Ana was cooking dumplings for her colleagues",
    "He is generously donating to several libraries",
    "The dumplings were eaten within minutes",
    "Is anybody going to the library on Friday?",
)
QUERIES = ("who painted the house?", "cook a dumpling", "generous donations", "libraries", "what happened on Friday?")


class Plain(HashEmbedder):
    """Vectors by arithmetic; stops when told to."""

    down = False

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        if self.down:
            raise EmbeddingError("the model is gone")
        return super().embed(texts, kind=kind)

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace("plain", super().space.dim)


def fill(memory: Memory) -> None:
    """Some texts, one of which has a closed version."""
    ids = [row["id"] for row in memory.add(list(TEXTS), user_id="ana")["results"]]
    memory.update(ids[1], "Ana was cooking noodles for her neighbours", user_id="ana")
    memory.delete(ids[3], user_id="ana")


def in_english(memory: Memory, **options: Any) -> Memory:
    """Another object over the same store. It is not closed, the store's owner may be closed before it."""
    return Memory(
        store=memory.store,
        language="english",
        **{"embedder": Plain(64), "clock": memory._engine._clock, "enrich": False, **options},
    )


def answers(memory: Memory) -> list[list[tuple[str, float]]]:
    found = [memory.search(query, user_id="ana")["results"] for query in QUERIES]
    return [[(item["memory"], item["score"]) for item in items] for items in found]


def versions(memory: Memory) -> list[Record]:
    (columns,) = memory.store.batch([Scan()], scope=ANA).results
    ids = list(dict.fromkeys(columns.ids))
    return [record for id in ids for record in memory.store.batch([History(id)], scope=ANA).results[0]]


@pytest.fixture
def english() -> Memory:
    """What is to come out: the same texts at the same times, written as English."""
    memory = Memory(":memory:", clock=SteppingClock(START), language="english", embedder=Plain(64))
    fill(memory)
    return memory


def test_a_store_moves_to_another_language(make: Make, english: Memory) -> None:
    old = make(clock=SteppingClock(START), language="german", embedder=Plain(64))
    fill(old)
    new = in_english(old, clock=english._engine._clock)
    assert answers(new) != answers(english), "the languages do not differ, so this test shows nothing"
    before = versions(new)
    assert new.rebuild(user_id="ana") == len(before) == 6
    assert answers(new) == answers(english)
    after = versions(new)
    assert [record.terms for record in after] == [record.terms for record in versions(english)]
    bare = [[(r.id, r.version, r.text, r.recorded_at, r.closed_at, r.ended_at) for r in rs] for rs in (before, after)]
    assert bare[0] == bare[1]


def test_an_index_in_use_starts_over(make: Make, english: Memory) -> None:
    old = make(language="german", embedder=Plain(64))
    fill(old)
    reader = in_english(old)
    answers(reader)
    in_english(old).rebuild(user_id="ana")
    assert [[text for text, _ in found] for found in answers(reader)] == [
        [text for text, _ in found] for found in answers(english)
    ]


def test_rebuilding_again_changes_and_journals_nothing(make: Make) -> None:
    old = make(language="german", embedder=Plain(64))
    fill(old)
    new = in_english(old, actor="ana")
    new.rebuild(user_id="ana")
    new.flush()
    position, rows = new.store.position(), versions(new)
    assert new.rebuild(user_id="ana") == 6
    assert (new.store.position(), versions(new)) == (position, rows)
    change = new.changes(user_id="ana")[0]
    assert (change["actor"], change["why"]) == ("ana", "rebuild")
    assert {event["event"] for event in change["events"]} == {"REINDEX"}
    with pytest.raises(InvalidInput, match="rebuild"):
        new.undo(change["change"], user_id="ana")
    assert [row["event"] for row in new.history(rows[1].id, user_id="ana")] == ["ADD", "UPDATE"]


def test_a_store_in_its_own_language_has_nothing_to_journal(memory: Memory) -> None:
    fill(memory)
    position = memory.store.position()
    assert memory.rebuild(user_id="ana") == 6
    assert memory.store.position() == position


def test_what_was_changed_before_can_still_be_undone(make: Make) -> None:
    old = make(language="german", embedder=Plain(64))
    id = old.add("The houses are painted", user_id="ana")["results"][0]["id"]
    update = old.update(id, "The houses are bare", user_id="ana")
    new = in_english(old)
    new.rebuild(user_id="ana")
    new.undo(update, user_id="ana")
    assert new.search("house painting", user_id="ana")["results"][0]["memory"] == "The houses are painted"
    assert versions(new)[-1].terms == tuple(Analyzer("english").terms("The houses are painted"))


def test_words_are_right_even_when_the_model_fails(make: Make, english: Memory) -> None:
    old = make(language="german", embedder=Plain(64))
    fill(old)
    model = Plain(64)
    new = in_english(old, embedder=model)
    model.down = True
    with pytest.raises(EmbeddingError):
        new.rebuild(user_id="ana")
    assert [record.terms for record in versions(new)] == [record.terms for record in versions(english)]


def test_terms_of_before_do_not_outlive_an_erasure(on_disk: Make) -> None:
    old = on_disk(language="german", embedder=Plain(64))
    id = old.add("Walrossfiguren und Puppenstuben standen zwischen den Kaminsimsen", user_id="ana")["results"][0]["id"]
    old.add("something else", user_id="bob")
    terms = set(versions(old)[0].terms)
    new = on_disk(language="english", embedder=Plain(64))
    new.rebuild(everywhere=True)
    replaced = sorted(terms - set(versions(new)[0].terms))
    assert len(replaced) > 2
    path = new.store.path  # type: ignore[attr-defined]
    assert all(any(term.encode() in data for data in files(path).values()) for term in replaced)
    receipt = new.erase(id, user_id="ana")
    old.close()
    # Three letters in a row stand in any file of vectors and ids by chance.
    telling = {term for term in {*terms, "walross"} if len(term) > 5}
    assert len(telling) > 2
    for name, data in files(path).items():
        assert [term for term in telling if term.encode() in data.lower()] == [], name
    assert new.verify_erasure(receipt, ["Walrossfiguren und Puppenstuben standen zwischen den Kaminsimsen"])["clean"]
    assert new.search("something", user_id="bob")["results"]
