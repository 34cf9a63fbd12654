from __future__ import annotations

import ast
import json
import math
import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.clock import Clock, SteppingClock
from remanence.core.errors import InvalidInput, InvalidTime, NotFound
from remanence.core.scope import Scope
from remanence.kernels.fusion import logistic
from remanence.mechanisms.records import recall as module
from remanence.mechanisms.records.recall import CARD, Recall
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import EmbeddingKind, EmbeddingSpace, HashEmbedder
from remanence.substrates.records import probe
from remanence.substrates.records.mechanism import ABILITIES, CanForget, CanUpdate, Item, RecordMechanism
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import (
    Close,
    Erase,
    Get,
    History,
    Operation,
    Outcome,
    Revise,
)
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore
from tests.mechanisms.records.talks import (
    ANA,
    LATER,
    NOW,
    WORDS,
    channel_values,
    found,
    plain,
    question,
    said,
    talk,
    texts,
)

# Writing, changing, forgetting.


def test_what_was_written_can_be_read_at_once() -> None:
    recall = Recall(scope=ANA)
    other = Recall(store=recall.store, scope=ANA)
    for number, word in enumerate(WORDS):
        (id,) = recall.write([Item(f"{word} number {number}")], now=NOW + timedelta(minutes=number))
        for reader in (recall, other):
            (hit,) = reader.read(word, 1, now=LATER)
            assert (hit.id, hit.text) == (id, f"{word} number {number}")
            assert hit.record is not None
            assert hit.record.event_at == NOW + timedelta(minutes=number)


def test_an_item_becomes_a_turn() -> None:
    recall = Recall(scope=ANA)
    at = datetime(2020, 1, 1, tzinfo=UTC)
    recall.write([Item("full", speaker="Ana", role="user", at=at, session="s", meta={"a": 1}), Item("bare")], now=NOW)
    full, bare = found(recall)
    assert (full.kind, full.speaker, full.role, full.event_at, full.meta) == ("turn", "Ana", "user", at, {"a": 1})
    assert full.scope == Scope(user_id="ana", run_id="s")
    assert (bare.speaker, bare.role, bare.event_at, bare.meta, bare.scope) == (None, None, NOW, {}, ANA)


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (Item(""), InvalidInput),
        (Item("x", session=""), InvalidInput),
        (Item("x", at=datetime(2020, 1, 1)), InvalidTime),
        (Item("x", meta={"a": math.nan}), InvalidInput),
        (Item("x", meta={"a": object()}), InvalidInput),
    ],
)
def test_a_bad_item_is_refused_and_nothing_of_its_batch_is_kept(item: Item, error: type[Exception]) -> None:
    recall = Recall()
    with pytest.raises(error):
        recall.write([Item("good"), item], now=NOW)
    assert found(recall) == ()


def test_an_update_replaces_what_is_found() -> None:
    recall = talk(0, 9)
    (id,) = recall.write(
        [Item("my dentist is Dr. Quokka", speaker="Ana", role="user", meta={"a": 1}, at=NOW, session="s")], now=NOW
    )
    recall.write([Item("thank you", at=NOW + timedelta(minutes=1), session="s")], now=NOW)
    changed = NOW + timedelta(days=30)
    recall.update(id, "my dentist is Dr. Wombat", now=changed)
    assert texts(recall.read("dentist", 1, now=LATER)) == ["my dentist is Dr. Wombat"]
    assert not any("Quokka" in hit.text for hit in recall.read("dentist quokka", 20, now=LATER))
    assert texts(recall.search("dentist", 1, view=View(LATER, as_of=changed - timedelta(days=1)))) == [
        "my dentist is Dr. Quokka"
    ]
    old, new = recall.store.batch([History(id)], scope=ANA).results[0]
    assert (new.kind, new.speaker, new.role, new.meta, new.scope) == (old.kind, "Ana", "user", {"a": 1}, old.scope)
    assert (new.valid_from, old.ended_at) == (changed, changed)
    # It stands where the old one stood in the conversation.
    assert channel_values(recall, "wombat")["thank you"]["lexical_window"] > 0
    with pytest.raises(NotFound):
        recall.update("0" * 26, "nothing", now=NOW)


def test_a_record_is_listed_once_whatever_its_versions() -> None:
    # Announced ahead: the old version is still true and the new one is already found.
    recall = said(["red fox", "blue dog"])
    id = recall.read("fox", 1, now=LATER)[0].id
    (draft,) = recall.derive([Draft("red vixen", event_at=LATER + timedelta(days=9))])
    recall.store.batch([Revise(id, draft)], scope=ANA)
    hits = recall.read("red", 9, now=LATER)
    assert sorted(texts(hits)) == ["blue dog", "red vixen"]
    assert len({hit.id for hit in hits}) == 2


def test_forgetting_counts_what_was_there() -> None:
    recall = said(["red fox", "blue dog", "green bird"])
    ids = [hit.id for hit in recall.read("red", 9, now=LATER)]
    assert recall.forget([ids[0], ids[0], "0" * 26, "no id"], now=LATER) == 1
    assert recall.forget([ids[0]], now=LATER) == 0
    assert recall.forget(ids, now=LATER) == 2
    assert recall.state() == {"now": LATER.isoformat(), "records": [], "edges": []}
    assert recall.read("red", 9, now=LATER) == []


def test_what_lies_ahead_can_be_forgotten() -> None:
    recall = Recall()
    ids = recall.write([Item("dentist next week", at=NOW + timedelta(days=7))], now=NOW)
    assert len(recall.read("dentist", 9, now=NOW)) == 1
    assert recall.forget(ids, now=NOW) == 1
    for now in (NOW, LATER):
        assert recall.read("dentist", 9, now=now) == []
    assert recall.state()["records"] == []


def test_erasing_from_the_store_is_followed() -> None:
    recall = said(["red fox", "blue dog", "red bird"])
    gone = recall.read("fox", 1, now=LATER)[0].id
    recall.store.batch([Erase((gone,))], scope=ANA)
    hits = recall.search("red fox", 9, view=View(LATER), explain=True)
    assert sorted(texts(hits)) == ["blue dog", "red bird"]


class Racing(MemoryStore):
    """A store in which somebody else closes records between the search and the fetching of what it found."""

    def __init__(self, closed: int) -> None:
        super().__init__()
        self.closed = closed

    def batch(self, operations: Sequence[Operation], **options: Any) -> Outcome:
        if self.closed and any(isinstance(operation, Get) and len(operation.ids) > 1 for operation in operations):
            ids = [id for operation in operations if isinstance(operation, Get) for id in operation.ids[: self.closed]]
            self.closed = 0
            super().batch([Close(id) for id in ids], **options)
        return super().batch(operations, **options)


def test_what_is_closed_meanwhile_is_made_up_for() -> None:
    recall = said(["red fox", "red dog", "red bird", "blue pear", "green milk"], store=Racing(2))
    hits = recall.read("red", 2, now=LATER)
    assert len(hits) == 2
    assert {hit.id for hit in hits} <= {record.id for record in found(recall)}


# State.


def test_a_restored_state_remembers_the_same() -> None:
    recall = talk(4, 40)
    recall.forget([hit.id for hit in recall.read("red", 3, now=LATER)], now=LATER)
    recall.update(recall.read("tea", 1, now=LATER)[0].id, "tea is what Bo drinks in Quito", now=LATER)
    state = json.loads(json.dumps(recall.state()))
    again = Recall(scope=ANA)
    again.restore(state)
    assert again.state() == recall.state() == state
    assert {record.id: record.text for record in found(again)} == {r.id: r.text for r in found(recall)}
    for query in ("fox", "Quito", question(1)):
        assert set(texts(again.read(query, 37, now=LATER))) == set(texts(recall.read(query, 37, now=LATER)))


def test_a_conversation_scores_the_same_after_a_restore() -> None:
    recall = talk(4, 40)
    again = Recall(scope=ANA)
    again.restore(recall.state())
    for query in ("fox", "what tea do I drink now?", question(2)):
        assert plain(again.read(query, 40, now=LATER)) == plain(recall.read(query, 40, now=LATER))


def test_forgotten_stays_forgotten_through_any_number_of_restores() -> None:
    recall = said(["red fox", "blue dog", "green bird"])
    gone = recall.read("fox", 1, now=LATER)[0]
    recall.forget([gone.id], now=LATER)
    second = Recall(scope=ANA)
    second.restore(recall.state())
    assert "fox" not in json.dumps(second.state())
    # Forgotten by somebody who never wrote anything, after a restore.
    dog = second.read("dog", 1, now=LATER)[0]
    second.forget([dog.id], now=LATER)
    third = Recall(scope=ANA)
    third.restore(second.state())
    assert texts(third.read("red blue green", 9, now=LATER)) == ["green bird"]
    # Changed before it was forgotten: its first wording is gone as well.
    second.update(second.read("bird", 1, now=LATER)[0].id, "green parrot", now=LATER)
    third = Recall(scope=ANA)
    third.restore(second.state())
    second.forget([hit.id for hit in second.read("parrot", 9, now=LATER)], now=LATER)
    assert Recall(store=second.store, scope=ANA).state()["records"] == []
    second = third
    # A new engine over the old store has not written anything either.
    assert [row["text"] for row in Recall(store=second.store, scope=ANA).state()["records"]] == ["green parrot"]


def test_new_ids_do_not_repeat_those_of_a_restored_state() -> None:
    recall = said(["red fox", "blue dog"])
    again = Recall(scope=ANA)
    again.restore(recall.state())
    before = {record.id for record in found(again)}
    assert before.isdisjoint(again.write([Item("green bird"), Item("plum tea")], now=LATER))


# One engine on every store, and nothing that depends on when or where it runs.


def histories(open_store: Callable[[Clock, Callable[[int], int]], RecordStore], seed: int) -> list[Any]:
    """What an engine on a store answers along a random history."""
    rng = random.Random(seed)
    recall = Recall(
        store=open_store(SteppingClock(NOW, timedelta(seconds=1)), random.Random(seed).getrandbits), scope=ANA
    )
    observed: list[Any] = []
    ids: list[str] = []
    now = NOW
    for step in range(25):
        now += timedelta(minutes=rng.choice([1, 30, 90]))
        roll = rng.random()
        if not ids or roll < 0.6:
            items = [
                Item(
                    " ".join(rng.choices(WORDS, k=4)),
                    speaker=rng.choice(["Ana", "Bo"]),
                    at=now,
                    session=rng.choice([None, "s"]),
                )
                for _ in range(rng.randint(1, 4))
            ]
            ids += recall.write(items, now=now)
        elif roll < 0.75:
            ids.remove(gone := rng.choice(ids))
            observed.append(recall.forget([gone], now=now))
        elif roll < 0.95:
            recall.update(rng.choice(ids), " ".join(rng.choices(WORDS, k=3)), now=now)
        else:
            ids.remove(gone := rng.choice(ids))
            recall.store.batch([Erase((gone,))], scope=ANA)
        if step % 4 == 0:
            for view in (View(now), View(now, as_of=now - timedelta(minutes=50)), View(now, known_at=NOW)):
                hits = recall.search(question(step), 6, view=view, explain=True)
                observed.append([(*line, dict(hit.channels)) for line, hit in zip(plain(hits), hits, strict=True)])
    return [*observed, recall.state()]


@pytest.mark.parametrize("seed", range(3))
def test_memory_and_sqlite_answer_alike(seed: int, tmp_path: Path) -> None:
    stores: list[SqliteStore] = []

    def on_disk(clock: Clock, bits: Callable[[int], int]) -> RecordStore:
        stores.append(SqliteStore(tmp_path / "a.db", clock=clock, random_bits=bits, durable=False))
        return stores[-1]

    in_memory = histories(lambda clock, bits: MemoryStore(clock=clock, random_bits=bits), seed)
    assert in_memory == histories(on_disk, seed)
    for store in stores:
        store.close()


def test_two_processes_on_one_file_see_each_others_writes(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "a.db") as here, SqliteStore(tmp_path / "a.db") as there:
        one, other = Recall(store=here, scope=ANA), Recall(store=there, scope=ANA)
        for number, word in enumerate(WORDS[:6]):
            writer, reader = (one, other) if number % 2 else (other, one)
            (id,) = writer.write([Item(f"{word} {number}")], now=NOW)
            assert [hit.id for hit in reader.read(word, 1, now=LATER)] == [id]


def test_used_alike_it_remembers_alike() -> None:
    observations = []
    for _ in range(2):
        recall = Recall()
        ids = probe.drive(recall, 3)
        assert len(set(ids)) == probe.SESSIONS * probe.TURNS
        observations.append(probe.observe(recall))
    assert observations[0] == observations[1]
    assert dict(observations[0])[""] == []
    assert all(hits for query, hits in observations[0] if query)


def test_no_wall_clock_and_no_hidden_randomness() -> None:
    package = Path(module.__file__).parents[2]
    for name in ("mechanisms/records/recall.py", *(f"substrates/records/{part}.py" for part in PARTS)):
        tree = ast.parse((package / name).read_text(encoding="utf-8"))
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
        }
        assert imported.isdisjoint({"time", "random", "secrets", "uuid", "os"}), name
        called = {
            node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        }
        assert called.isdisjoint({"now", "utcnow", "today", "utc_now", "default_rng", "hash", "id"}), name


PARTS = ("channels", "conversation", "scope_index", "snapshot")


def test_it_is_what_its_card_says() -> None:
    recall = Recall()
    assert Recall.card is CARD
    assert CARD.slug == Path(module.__file__).stem
    assert CARD.can == {"update", "forget"} <= set(ABILITIES)
    for protocol in (RecordMechanism, CanUpdate, CanForget):
        assert isinstance(recall, protocol)


class Untouchable:
    """Anything that is used is an error."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


def test_the_constructor_does_nothing() -> None:
    untouchable: Any = Untouchable()
    Recall(
        store=untouchable, embedder=untouchable, analyzer=untouchable, indexes=untouchable, related=untouchable,
        profiles=untouchable,
    )  # fmt: skip


class Slow:
    """An embedder that must not run while writing, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[EmbeddingKind] = []
        self.inner = HashEmbedder(16)

    @property
    def space(self) -> EmbeddingSpace:
        return self.inner.space

    @property
    def inline(self) -> bool:
        return False

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> np.ndarray:
        self.asked.append(kind)
        return self.inner.embed(texts)


def test_a_slow_embedder_runs_for_the_query_only() -> None:
    slow = Slow()
    recall = said(["red fox", "blue dog"], embedder=slow)
    recall.update(recall.search("dog", 1, view=View(LATER), use_dense=False)[0].id, "blue cat", now=LATER)
    assert slow.asked == []
    assert recall.vectors(["red"]) is None
    assert texts(recall.search("fox", 1, view=View(LATER), use_dense=False)) == ["red fox"]
    assert slow.asked == []
    recall.read("fox", 1, now=LATER)
    assert slow.asked == ["query"]


# Threads.


def test_reading_goes_on_while_others_write_and_erase() -> None:
    recall = talk(0, 40)
    stop = threading.Event()
    errors: list[BaseException] = []

    def write() -> None:
        rng = random.Random(0)
        try:
            for number in range(25):
                ids = recall.write([Item(" ".join(rng.choices(WORDS, k=4))) for _ in range(3)], now=NOW)
                recall.update(ids[0], "red fox again", now=NOW)
                recall.forget(ids[1:2], now=NOW)
                if number % 3 == 0:
                    recall.store.batch([Erase(tuple(ids[2:]))], scope=ANA)
        except BaseException as error:
            errors.append(error)
        finally:
            stop.set()

    def read() -> None:
        try:
            while not stop.is_set():
                hits = recall.search("red fox", 10, view=View(LATER), explain=True)
                assert len({hit.id for hit in hits}) == len(hits) == 10
                assert all(logistic(sum(hit.channels.values()), 1, 0) == pytest.approx(hit.score) for hit in hits)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
