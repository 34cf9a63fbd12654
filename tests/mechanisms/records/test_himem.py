from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.novelty import Statement
from remanence.mechanisms.records.himem import EPISODE, HiMem, category
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import History
from tests.mechanisms.records.distilled import BROKEN, NOW, START, records, remembered, speaking, talk, texts

NOTE = HiMem.STATED
KINDS = (EPISODE, NOTE)
LIFE = (
    talk(["I live in Oslo now", "I work as a baker", "What a rainy day", "My coach is Eva"], session="a"),
    talk(["I live in Oslo, as you know", "I moved from Oslo to Bergen", "I like tea", "Bye!"], session="b", day=7),
    talk(["I bought a ladder", "My coach is Nils now", "Really nice here", "Good night!"], session="c", day=14),
)
CITY = "Which city does Ana live in?"


class Deaf(HiMem):
    """Takes no notes of its own accord."""

    def extracted(self, turns: Any, now: Any) -> list[list[Statement]]:
        return [[] for _ in turns]


def told(memory: HiMem, *sessions: list[Item]) -> HiMem:
    for items in sessions:
        memory.write(items, now=items[-1].at or NOW)
    memory.consolidate(now=NOW)
    return memory


def heard(memory: HiMem) -> HiMem:
    return told(memory, *LIFE)


def test_notes_say_what_holds_and_keep_what_held_in_their_history() -> None:
    memory = heard(HiMem())
    notes = {one.text: one for one in records(memory, NOTE)}
    assert not notes["Ana lives in Bergen"].hidden
    assert notes["Ana lives in Oslo"].hidden
    assert notes["Ana's coach is Eva"].hidden
    assert not notes["Ana's coach is Nils"].hidden
    hits = [hit.text for hit in memory.read(CITY, 50, now=NOW)]
    assert "Ana lives in Bergen" in hits
    assert "Ana lives in Oslo" not in hits


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [("likes", "pref"), ("home_city", "profile"), ("purchase", "fact"), ("event", "fact"), ("", "fact")],
)
def test_categories(attribute: str, kind: str) -> None:
    assert category(Statement("x", START, (), "Ana", attribute, "y")) == kind


def test_episodes_are_never_changed() -> None:
    memory = Deaf(embedder=StaticEmbedder())
    heard(memory)
    before = {one.id: (one.version, one.text) for one in records(memory, EPISODE)}
    for question in (CITY, "Who is Ana's coach?"):
        memory.recollect(question, now=NOW)
    assert {one.id: (one.version, one.text) for one in records(memory, EPISODE)} == before


def test_notes_are_repaired_where_they_failed_and_the_episodes_did_not() -> None:
    memory = Deaf(embedder=StaticEmbedder())
    heard(memory)
    first = memory.recollect(CITY, now=NOW)
    assert (first.sufficient, first.by_notes) == (True, False)
    assert [hit.record.kind for hit in first.hits if hit.record] == [EPISODE] * len(first.hits)
    assert texts(memory, NOTE) == ["Ana lives in Bergen"]
    second = memory.recollect(CITY, now=NOW)
    assert (second.sufficient, second.by_notes, second.repaired) == (True, True, [])
    assert [hit.text for hit in second.hits] == ["Ana lives in Bergen"]


@pytest.mark.parametrize("question", ["Which car does Ana drive?", "Which city does Zoe live in?", "?", " "])
def test_what_the_episodes_do_not_answer_changes_no_note(question: str) -> None:
    memory = Deaf(embedder=StaticEmbedder())
    heard(memory)
    found = memory.recollect(question, now=NOW)
    assert not found.sufficient
    assert texts(memory, NOTE) == []


class WithoutLookingOn(Deaf):
    """The plausible wrong variant: notes what the nearest episodes say, be it over or not."""

    def lexical(self, query: str, k: int, **options: Any) -> list[tuple[str, float]]:
        return []


def repaired(memory: HiMem) -> list[str]:
    """What is noted when only the oldest episode is near the question."""
    told(memory, talk(["I live in Oslo, a fine city to live in"], session="a"))
    told(memory, talk(["The keys of Oslo are history: I moved from Oslo to Bergen"], session="b", day=3))
    memory.recollect(CITY, 1, now=NOW)
    return texts(memory, NOTE)


def test_a_repair_does_not_note_what_is_over() -> None:
    assert repaired(Deaf(embedder=StaticEmbedder())) == ["Ana lives in Bergen"]
    assert repaired(WithoutLookingOn(embedder=StaticEmbedder())) == ["Ana lives in Oslo"]


def test_repairs_can_be_needless() -> None:
    one, other = heard(HiMem(embedder=StaticEmbedder())), heard(HiMem(embedder=StaticEmbedder(), always=True))
    start = one.store.position(), other.store.position()
    for memory in (one, other):
        memory.recollect(CITY, now=NOW)
    assert one.store.position() == start[0]
    assert other.store.position() > start[1]
    assert remembered(one, NOTE) == remembered(other, NOTE)


def test_best_effort_reads_notes_alone_where_they_suffice() -> None:
    memory = heard(HiMem(embedder=StaticEmbedder(), mode="best_effort"))
    hits = memory.read(CITY, 50, now=NOW)
    assert {hit.record.kind for hit in hits if hit.record} == {NOTE}
    hits = memory.read("Which car does Ana drive?", 50, now=NOW)
    assert {hit.record.kind for hit in hits if hit.record} == set(KINDS)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'lazy'"):
        HiMem(mode="lazy")  # type: ignore[arg-type]


def test_notes_beyond_the_capacity_are_put_away_by_use_and_age() -> None:
    memory = heard(HiMem(embedder=StaticEmbedder()))
    live = len(texts(memory, NOTE))
    for _ in range(5):
        memory.recollect("Does Ana work as a baker?", 1, now=NOW)
    memory.capacity = 2
    assert len(memory.consolidate(now=NOW)) == live - 2
    assert memory.consolidate(now=NOW) == []
    assert "Ana works as a baker" in texts(memory, NOTE)
    assert len(records(memory, EPISODE)) == len(records(heard(HiMem()), EPISODE))


def test_what_was_written_later_for_an_earlier_day_does_not_win() -> None:
    memory = told(HiMem(), talk(["I live in Bergen"], session="b", day=7), talk(["I live in Oslo"], session="a"))
    assert texts(memory, NOTE) == ["Ana lives in Bergen"]


@pytest.mark.parametrize("seed", range(6))
def test_forgetting_a_turn_takes_back_all_that_it_did(seed: int) -> None:
    rng = random.Random(seed)
    items = [item for session in LIFE for item in session]
    gone = rng.sample(range(len(items)), 3)
    memory = HiMem()
    ids = memory.write(items, now=NOW)
    memory.consolidate(now=NOW)
    for place in gone:
        memory.forget([ids[place]], now=NOW)
    memory.consolidate(now=NOW)
    plain = told(HiMem(), [item for place, item in enumerate(items) if place not in gone])
    assert remembered(memory, NOTE) == remembered(plain, NOTE)


def test_forgetting_the_change_brings_back_what_it_had_replaced() -> None:
    memory = HiMem()
    ids = memory.write([item for session in LIFE for item in session], now=NOW)
    memory.consolidate(now=NOW)
    memory.forget([ids[5]], now=NOW)
    assert "Ana lives in Oslo" in texts(memory, NOTE)
    assert all("Bergen" not in text for text in texts(memory, NOTE))


def test_a_user_may_put_a_note_into_other_words() -> None:
    memory = heard(HiMem())
    (note,) = [one for one in records(memory, NOTE) if one.text == "Ana lives in Bergen"]
    memory.update(note.id, "Ana has settled in Bergen for good", now=NOW)
    told(memory, talk(["I live in Bergen, still"], session="d", day=20))
    assert "Ana has settled in Bergen for good" in texts(memory, NOTE)
    assert "Ana lives in Bergen" not in texts(memory, NOTE)
    history = memory.commit([History(note.id)])[0]
    assert history[0].text == "Ana lives in Bergen"
    assert View(NOW).shows(history[-1])


def test_in_one_go_or_turn_by_turn_and_on_sqlite_the_same_is_remembered(tmp_path: Path) -> None:
    items = [item for session in LIFE for item in session]
    store = SqliteStore(tmp_path / "m.db")
    memories = [HiMem(), HiMem(store=store), HiMem()]
    for memory in memories[:2]:
        memory.write(items, now=NOW)
    for item in items:
        memories[2].write([item], now=item.at or NOW)
    for memory in memories:
        memory.consolidate(now=NOW)
    assert remembered(memories[0], *KINDS) == remembered(memories[1], *KINDS) == remembered(memories[2], *KINDS)
    again = HiMem()
    again.restore(memories[0].state())
    assert remembered(again, *KINDS) == remembered(memories[0], *KINDS)
    store.close()


# With a model

ANSWERS: dict[str, Any] = {
    "another episode begins": {"starts": [1, 3]},
    "Name the topic": {"topic": "Moving north", "summary": "Ana moves."},
    "bears on the question": {"notes": [{"statement": "Ana sleeps badly in Oslo", "messages": [1]}]},
    "Take notes": {"notes": [{"statement": "Ana adores rye", "messages": [2]}, {"statement": "", "messages": [1]}]},
    "Can the question": lambda shown: {"sufficient": any("Oslo" in text for text in shown["evidence"])},
}


@pytest.mark.loopback
def test_a_model_cuts_notes_judges_and_repairs() -> None:
    pytest.importorskip("openai")
    answers = ANSWERS | {
        "bears on the question": {"notes": [{"statement": "Ana sleeps badly in Oslo", "messages": [1]}]}
    }
    with speaking(answers) as (model, _):
        memory = told(HiMem(llm=model), LIFE[0])
        assert [len(one.sources) for one in records(memory, EPISODE)] == [2, 2]
        assert records(memory, EPISODE)[0].meta["topic"] == "Moving north"
        assert texts(memory, NOTE) == ["Ana adores rye"]
        found = memory.recollect("How does Ana sleep?", now=NOW)
        assert (found.sufficient, found.by_notes) == (True, False)
        assert texts(memory, NOTE) == ["Ana adores rye", "Ana sleeps badly in Oslo"]
        assert memory.recollect("How does Ana sleep?", now=NOW).by_notes
        assert memory.troubles == []


@pytest.mark.loopback
@pytest.mark.parametrize("nonsense", [*BROKEN, '{"starts": [0, 99]}'])
def test_a_model_that_talks_nonsense_changes_nothing(nonsense: str) -> None:
    pytest.importorskip("openai")
    with speaking(dict.fromkeys(ANSWERS, nonsense)) as (model, _):
        memory, plain = heard(HiMem(llm=model)), heard(HiMem())
        assert memory.troubles
        for one in (memory, plain):
            one.recollect(CITY, now=NOW + timedelta(days=1))
        assert remembered(memory, *KINDS) == remembered(plain, *KINDS)
