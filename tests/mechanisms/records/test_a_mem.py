from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import EmbeddingError, NotFound
from remanence.core.scope import Scope
from remanence.kernels.notes import Note, NoteBox
from remanence.mechanisms.records.a_mem import LINK, NOTE, AMem
from remanence.scenarios.chains import renamed_topics
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.llm.openai import OpenAIChat
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.base import KEY, TURN
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Edge, Record, View
from remanence.substrates.records.operations import History
from remanence.substrates.records.port import RecordStore
from tests.support.llm_server import Answer, Request, Service, broken, error, said, serving

NOW = datetime(2026, 5, 11, 9, tzinfo=UTC)
TALK = (
    "Otter costs 90 euros a day",
    "Nobody answers the phone for Otter",
    "The kettle is on again",
    "From today Otter goes by the name Larkspur",
    "Badger will be late",
)


def told(*texts: str, store: RecordStore | None = None, **options: Any) -> AMem:
    memory = AMem(store=store, **{"shared": 0.05, **options})
    for number, text in enumerate(texts or TALK):
        memory.write([Item(text, speaker="Ana", at=NOW + timedelta(minutes=number))], now=NOW + timedelta(hours=1))
    return memory


def notes(memory: AMem) -> dict[str, Record]:
    """Notes by what they say."""
    return {record.text: record for record in memory.current(NOW).of(NOTE).values()}


def turn_of(memory: AMem, text: str) -> str:
    return notes(memory)[text].sources[0].id


def attributes(memory: AMem) -> dict[str, Any]:
    """What notes say of themselves, without ids."""
    return {text: {**record.meta, "rests": None} for text, record in notes(memory).items()}


def links(memory: AMem) -> set[frozenset[str]]:
    said_by = {record.sources[0].id: text for text, record in notes(memory).items()}
    return {frozenset({said_by[edge.source], said_by[edge.target]}) for edge in memory.edges(LINK)}


def test_each_turn_gets_a_note_that_describes_itself_and_is_found_by_that() -> None:
    # The first public code leaves keywords and tags empty unless the caller gives them.
    memory = told()
    assert list(notes(memory)) == list(TALK)
    for text, record in notes(memory).items():
        assert record.meta["keywords"]
        assert record.meta["tags"]
        assert record.meta["context"].startswith(text)
        key = record.meta[KEY]
        assert all(word in key for word in (*record.meta["keywords"], *record.meta["tags"], *record.meta["about"]))
        assert memory.read(key, 1, now=NOW)[0].text == text


def test_links_join_notes_with_a_name_in_common_and_lead_from_one_to_the_other() -> None:
    memory = told(evolve=False)
    assert links(memory) == {frozenset({TALK[i], TALK[j]}) for i, j in ((0, 1), (0, 3), (1, 3))}
    found = [hit.text for hit in memory.read("the name Larkspur", 4, now=NOW)]
    assert found[0] == TALK[3]
    assert found[1] in TALK[:2]
    assert set(found) >= {TALK[0], TALK[1], TALK[3]}
    # However many are asked for, the first ones are the same.
    for k in range(1, 5):
        assert [hit.text for hit in memory.read("the name Larkspur", k, now=NOW)] == found[:k]
    unlinked = AMem(store=memory.store, links=0.0)
    nearest = [record.text for id, _ in memory.nearest("the name Larkspur", 3, kinds=(NOTE,)) for record in
               memory.get([id]) if record]  # fmt: skip
    assert [hit.text for hit in unlinked.read("the name Larkspur", 3, now=NOW)] == nearest


def test_link_targets_exist_also_after_forgetting() -> None:
    memory = told()
    memory.forget([turn_of(memory, TALK[0])], now=NOW)
    for edge in memory.edges(LINK):
        linked = {record.sources[0].id for record in notes(memory).values()}
        assert edge.source in linked
        assert edge.target in linked or memory.get([edge.target]) == [None]
    assert {hit.text for hit in memory.read("Larkspur Otter", 5, now=NOW)} == {TALK[i] for i in (1, 2, 3, 4)}


def test_a_renaming_reaches_the_old_notes_and_only_by_evolution() -> None:
    talk = renamed_topics(0, topics=4)
    by_id = {turn.id: turn.text for turn in talk.turns}
    found = {}
    for evolve in (True, False):
        memory = AMem(links=0.0, evolve=evolve, shared=0.1, embedder=StaticEmbedder())
        memory.write([Item(turn.text, at=turn.at) for turn in talk.turns], now=NOW)
        found[evolve] = sum(
            by_id[question.gold[-1]] in {hit.text for hit in memory.read(question.names[0], 5, now=NOW)}
            for question in talk.questions
        )
    assert found[True] >= 10
    assert found[False] <= 2


class Ranked(AMem):
    """What the public code does: a neighbour's rank is taken for its place in the list of all notes."""

    def _placed(self, note: Note, box: NoteBox) -> list[Edge]:
        near = box.add(note, self.neighbours)
        taken = list(box.notes)[: len(near)]
        for id in taken:
            box.notes[id].context = f"Seen beside: {note.text}"
        box.rewritten(taken)
        return []


def touched_beyond_neighbours(kind: type[AMem]) -> set[str]:
    """Which notes changed on a write although search did not return them as neighbours."""
    memory = kind(neighbours=1, shared=0.05)
    odd = set()
    for number, text in enumerate((*TALK, "Badger will be late, they say")):
        memory.write([Item(text, at=NOW + timedelta(minutes=number))], now=NOW)
        before = attributes(memory)
        asked = f"Badger is late, number {number}"
        near = neighbours(memory, asked)
        memory.write([Item(asked, at=NOW + timedelta(minutes=number, seconds=1))], now=NOW)
        after = attributes(memory)
        odd |= {one for one in before if before[one] != after[one]} - near
    return odd


def neighbours(memory: AMem, text: str) -> set[str]:
    """Which notes a text would have as neighbours."""
    seen: list[Mapping[str, float]] = []
    original = NoteBox.add

    def add(self: NoteBox, note: Note, k: int) -> dict[str, float]:
        seen.append(original(self, note, k))
        return dict(seen[-1])

    copy = AMem(neighbours=memory.neighbours, evolve=False)
    copy.restore(memory.state())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NoteBox, "add", add)
        copy.write([Item(text, at=NOW)], now=NOW)
    texts = {record.sources[0].id: record.text for record in copy.current(NOW).of(NOTE).values()}
    return {texts[id] for id in seen[-1]}


def test_evolution_touches_only_the_neighbours_that_search_returned() -> None:
    assert touched_beyond_neighbours(AMem) == set()
    assert touched_beyond_neighbours(Ranked)


class Stale(AMem):
    """What public code does until the next consolidation: attributes change, the vector does not."""

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Note, "key", property(lambda note: f"{note.speaker}: {note.text}"))
            return super().work(now, flush=flush)


@pytest.mark.parametrize(("kind", "moved"), [(AMem, True), (Stale, False)])
def test_the_vector_of_an_evolved_note_changes_with_it_at_once(kind: type[AMem], moved: bool) -> None:
    memory = kind(shared=0.05)
    for text in TALK[:3]:
        memory.write([Item(text, speaker="Ana", at=NOW)], now=NOW)
    old = notes(memory)[TALK[0]]
    (before,) = memory.vectors_of([old.id])
    memory.write([Item(TALK[3], speaker="Ana", at=NOW)], now=NOW + timedelta(hours=1))
    new = notes(memory)[TALK[0]]
    assert new.id == old.id
    assert new.meta["about"] == ["nobody", "Larkspur"]
    (after,) = memory.vectors_of([new.id])
    assert bool(abs(after - before).max() > 0.01) is moved
    if moved:
        assert float(after @ memory.embedder.embed([new.meta[KEY]])[0]) == pytest.approx(1, abs=0.02)
    history = memory.commit([History(new.id)])[0]
    assert [version.meta["about"] for version in history] == [[], ["nobody"], ["nobody", "Larkspur"]]


def test_forgetting_a_turn_takes_back_the_words_that_it_lent() -> None:
    memory = told()
    assert "Larkspur" in notes(memory)[TALK[0]].meta["about"]
    assert memory.read("Larkspur", 5, now=NOW)[0].sources == (turn_of(memory, TALK[3]),)
    assert memory.forget([turn_of(memory, TALK[3])], now=NOW) == 1
    assert not [record for record in notes(memory).values() if "Larkspur" in json.dumps(dict(record.meta))]
    assert set(notes(memory)) == set(TALK) - {TALK[3]}
    about = {text: record.meta["about"] for text, record in notes(memory).items()}
    never = told(*[text for text in TALK if text != TALK[3]])
    assert about == {text: record.meta["about"] for text, record in notes(never).items()}


def test_forgetting_a_note_forgets_its_turn_and_nothing_brings_it_back() -> None:
    memory = told()
    gone = notes(memory)[TALK[1]].id
    assert memory.forget([gone, gone, "nobody"], now=NOW) == 1
    memory.consolidate(now=NOW)
    assert TALK[1] not in notes(memory)
    assert TALK[1] not in {record.text for record in memory.current(NOW).of(TURN).values()}
    again = AMem()
    again.restore(memory.state())
    assert TALK[1] not in {hit.text for hit in again.read(TALK[1], 9, now=NOW)}


def test_an_updated_note_is_noted_anew_with_new_links() -> None:
    memory = told()
    memory.update(notes(memory)[TALK[0]].id, "Badger costs 80 euros a day", now=NOW + timedelta(hours=2))
    assert TALK[0] not in notes(memory)
    fresh = notes(memory)["Badger costs 80 euros a day"]
    assert "badger" in fresh.meta["keywords"]
    assert frozenset({"Badger costs 80 euros a day", TALK[4]}) in links(memory)
    assert frozenset({"Badger costs 80 euros a day", TALK[1]}) not in links(memory)
    with pytest.raises(NotFound):
        memory.update("nobody", "x", now=NOW)


def test_another_instance_and_a_restored_one_answer_alike() -> None:
    memory = told()
    fresh = AMem(store=memory.store, shared=0.05)
    restored = AMem(shared=0.05)
    restored.restore(memory.state())
    for query in ("Larkspur", "Otter phone", "kettle"):
        expected = {hit.text: hit.score for hit in memory.read(query, 4, now=NOW)}
        for other in (fresh, restored):
            found = {hit.text: hit.score for hit in other.read(query, 4, now=NOW)}
            assert list(found) == list(expected)
            assert found == pytest.approx(expected)
    assert links(restored) == links(memory)
    assert fresh.consolidate(now=NOW) == []


def test_memory_and_sqlite_agree(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "m.db") as store:
        one, other = told(), told(store=store)
        assert attributes(one) == attributes(other)
        assert links(one) == links(other)
        for query in ("Larkspur", "Otter", "euros"):
            hits = [[(hit.text, hit.score) for hit in memory.read(query, 4, now=NOW)] for memory in (one, other)]
            assert hits[0] == hits[1]


def test_work_after_a_crash_between_turns_and_notes_makes_up_for_it() -> None:
    memory = AMem(shared=0.05)
    memory.remember([Item(text, speaker="Ana", at=NOW) for text in TALK], NOW)
    assert memory.read("Otter", 3, now=NOW) == []
    other = AMem(store=memory.store, shared=0.05)
    assert len(other.consolidate(now=NOW)) == len(TALK)
    assert set(notes(memory)) == set(TALK)
    assert other.work(NOW) == []


def test_bounds_of_a_read() -> None:
    memory = told()
    assert memory.write([], now=NOW) == []
    assert memory.read(" ", 3, now=NOW) == []
    assert memory.read("Otter", 0, now=NOW) == []
    for k in range(1, 9):
        hits = memory.read("Otter", k, now=NOW)
        assert len({hit.id for hit in hits}) == len(hits) == min(k, len(TALK))
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


class Down(HashEmbedder):
    """An embedder of another process that cannot be reached."""

    @property
    def inline(self) -> bool:
        return False

    def embed(self, texts: Any, *, kind: Any = "passage") -> Any:
        raise EmbeddingError("down")


def test_without_an_embedder_notes_are_kept_all_the_same() -> None:
    memory = told(embedder=Down())
    assert list(notes(memory)) == list(TALK)
    assert any("down" in trouble for trouble in memory.troubles)


# With a model.

Script = Callable[[dict[str, Any]], Any]


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def scripted(service: Service, describe: Script, evolve: Script) -> AMem:
    def answer(request: Request) -> str:
        shown = json.loads(next(one["content"] for one in request["messages"] if one["role"] == "user"))
        return json.dumps(evolve(shown) if "neighbours" in shown else describe(shown))

    service.answers = answer
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    memory = AMem(llm=model, scope=Scope(user_id="ana"))
    for number, text in enumerate(TALK):
        memory.write([Item(text, at=NOW + timedelta(minutes=number))], now=NOW + timedelta(hours=1))
    return memory


def described(shown: dict[str, Any]) -> Any:
    return {"keywords": ["alpha", " ", "alpha", "beta"], "context": f"On {shown['note'][:5]}", "tags": ["greek"]}


@pytest.mark.loopback
def test_a_model_describes_links_and_rewrites_the_neighbour_of_that_id(service: Service) -> None:
    def evolved(shown: dict[str, Any]) -> Any:
        old = [one["id"] for one in shown["neighbours"] if one["note"] == TALK[2]]
        rewritten = [{"id": id, "context": "Tea time", "tags": ["drinks", "greek"]} for id in old]
        return {"links": [*old, "0", "nobody"], "tags": ["greek", "new"], "neighbours": rewritten}

    memory = scripted(service, described, evolved)
    assert memory.troubles == []
    first, kettle, later = (notes(memory)[TALK[i]] for i in (0, 2, 3))
    assert first.meta["keywords"] == ["alpha", "beta"]
    assert first.meta["context"] == "On Otter"
    assert links(memory) == {frozenset({TALK[2], TALK[i]}) for i in (3, 4)}
    assert (kettle.meta["context"], kettle.meta["tags"]) == ("Tea time", ["drinks", "greek"])
    assert later.meta["tags"] == ["greek", "new"]
    assert memory.read("Tea time drinks", 1, now=NOW)[0].text == TALK[2]
    # The oldest note, which the rank "0" would name in the public code, is as it was.
    assert first.meta["context"] == "On Otter"
    assert memory.usage.calls == 2 * len(TALK) - 1


@pytest.mark.loopback
def test_what_a_model_wrote_goes_with_any_turn_that_it_was_shown(service: Service) -> None:
    def evolved(shown: dict[str, Any]) -> Any:
        rewritten = [{"id": one["id"], "context": "Larkspur was Otter", "tags": []} for one in shown["neighbours"]]
        return {"links": [], "tags": [], "neighbours": rewritten}

    memory = scripted(service, described, evolved)
    memory.llm = None
    assert notes(memory)[TALK[0]].meta["context"] == "Larkspur was Otter"
    memory.forget([turn_of(memory, TALK[3])], now=NOW)
    assert "Larkspur" not in json.dumps([dict(record.meta) for record in notes(memory).values()])
    assert set(notes(memory)) == set(TALK) - {TALK[3]}


BROKEN = {
    "down": lambda request: error(503),
    "hung up": broken,
    "garbage": lambda request: said("certainly! {"),
    "wrong shape": lambda request: said('{"keywords": 3, "links": {}}'),
    "nothing": lambda request: said(None),
}


@pytest.mark.loopback
@pytest.mark.parametrize("name", list(BROKEN))
def test_a_model_that_fails_loses_nothing(name: str, service: Service) -> None:
    step: Callable[[Request], Answer] = BROKEN[name]
    service.script = [step] * 200
    model = OpenAIChat("tiny", service.url, "k", retries=0, timeout=60, sleep=lambda seconds: None)
    memory, plain = told(llm=model), told()
    assert memory.troubles
    assert attributes(memory) == attributes(plain)
    assert links(memory) == links(plain)
    assert memory.store.batch([History(notes(memory)[TALK[0]].id)], scope=memory.scope).results
    assert View(NOW).shows(notes(memory)[TALK[4]])
