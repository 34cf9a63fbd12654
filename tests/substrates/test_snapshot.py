from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from remanence.core.errors import Conflict, InvalidInput
from remanence.core.scope import Scope
from remanence.substrates.records import snapshot
from remanence.substrates.records.model import Draft, Record, Source, View
from remanence.substrates.records.operations import Close, Erase, Find, Put, Revise
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore
from tests.substrates.worlds import ANA, BOB, MINUTE, START, opened, say

LATER = START + timedelta(days=1000)


def same(drafts: Sequence[Draft]) -> Sequence[Draft]:
    return drafts


def found(store: RecordStore, scope: Scope = ANA) -> tuple[Record, ...]:
    records: tuple[Record, ...] = store.batch([Find(View(LATER), limit=None)], scope=scope).results[0]
    return records


def moved(store: RecordStore, now: datetime = LATER) -> MemoryStore:
    """A new store with the state of another, which went through JSON on the way."""
    state = json.loads(json.dumps(snapshot.take(store, ANA, now)))
    target = MemoryStore()
    assert snapshot.put_back(target, ANA, state, same) == now
    return target


def put(store: RecordStore, draft: Draft, scope: Scope = ANA) -> str:
    id: str = store.batch([Put(draft)], scope=scope).results[0].id
    return id


def test_everything_about_a_record_survives() -> None:
    store = MemoryStore()
    other = say(store, "what it rests on")
    put(
        store,
        Draft(
            "Zoë \x00 \ud800 said 你好\n",
            kind="fact",
            scope=Scope(user_id="ana", run_id="r", agent_id="a", app_id="%"),
            event_at=datetime(1, 1, 1, 12, tzinfo=UTC),
            zone="Europe/Oslo",
            valid_from=datetime(2025, 1, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            valid_to=datetime(9999, 12, 31, tzinfo=UTC),
            speaker="Zoë",
            role="user",
            language="en",
            sources=(Source(other, 0, 4),),
            meta={"a": [1, None, {"b": "c"}]},
            state="archived",
            origin="derived:facts",
            trust=0.25,
        ),
    )
    before, after = found(store), found(moved(store))
    for name in Record.__dataclass_fields__:
        if name not in ("recorded_at", "terms"):
            assert [getattr(r, name) for r in after] == [getattr(r, name) for r in before], name


def test_only_what_is_shown_is_kept() -> None:
    store = MemoryStore()
    ids = [say(store, text) for text in ("stays", "closed", "erased", "revised", "ends")]
    say(store, "somebody else's", BOB)
    put(store, Draft("until tomorrow", event_at=START, valid_to=START + timedelta(days=1)))
    store.batch([Close(ids[1]), Revise(ids[3], Draft("revised again"))], scope=ANA)
    store.batch([Erase((ids[2],))], scope=ANA)
    assert {record.text for record in found(moved(store))} == {"stays", "revised again", "ends"}
    kept = {row["text"] for row in snapshot.take(store, ANA, START)["records"]}
    assert kept == {"stays", "revised again", "ends", "until tomorrow"}


def test_what_was_closed_is_gone_whenever_the_state_is_taken() -> None:
    # Also a memory of something ahead, seen from before it begins.
    store = MemoryStore()
    ids = [say(store, "dentist", event_at=START + timedelta(days=days)) for days in (-5, 5)]
    store.batch([Close(id) for id in ids], scope=ANA)
    for now in (START - timedelta(days=9), START, START + timedelta(days=9)):
        assert snapshot.take(store, ANA, now)["records"] == []


def test_no_version_of_what_was_closed_comes_back() -> None:
    store = MemoryStore()
    id = say(store, "lives in Oslo", event_at=START)
    store.batch([Revise(id, Draft("lives in Bergen", event_at=START + timedelta(days=9)))], scope=ANA)
    store.batch([Close(id)], scope=ANA)
    for days in (-1, 1, 5, 99):
        assert snapshot.take(store, ANA, START + timedelta(days=days))["records"] == []


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_sources_are_written_before_what_rests_on_them(kind: str, tmp_path: Path) -> None:
    # A summary that is revised rests on turns that are younger than itself, and a record may name itself.
    store = MemoryStore()
    oldest, summary = say(store, "oldest"), say(store, "summary")
    young = say(store, "young")
    middle = put(store, Draft("middle", kind="fact", sources=(Source(young, 0, 1),)))
    spans = tuple(Source(id, 0, 1) for id in (oldest, middle, summary))
    store.batch([Revise(summary, Draft("summary of all", kind="summary", sources=spans))], scope=ANA)
    state = snapshot.take(store, ANA, LATER)
    with opened(kind, tmp_path) as another:
        target = another()
        snapshot.put_back(target, ANA, state, same)
        sources = {record.id: [source.id for source in record.sources] for record in found(target)}
    assert sources == {oldest: [], summary: [oldest, middle], young: [], middle: [young]}


def test_sources_that_were_forgotten_are_left_out() -> None:
    store = MemoryStore()
    gone, stays = say(store, "gone"), say(store, "stays")
    put(store, Draft("fact", kind="fact", sources=(Source(gone, 0, 1), Source(stays, 0, 5))))
    store.batch([Close(gone)], scope=ANA)
    fact = found(moved(store))[-1]
    assert fact.sources == (Source(stays, 0, 5),)


def test_records_that_rest_on_each_other() -> None:
    store = MemoryStore()
    one, other = say(store, "one"), say(store, "other")
    store.batch([Revise(one, Draft("one", sources=(Source(other, 0, 1),)))], scope=ANA)
    store.batch([Revise(other, Draft("other", sources=(Source(one, 0, 1),)))], scope=ANA)
    after = {record.text: record.sources for record in found(moved(store))}
    assert after == {"one": (Source(other, 0, 1),), "other": ()}


def test_long_chains_of_sources() -> None:
    store = MemoryStore()
    last = say(store, "0")
    for number in range(1, 120):
        last = put(store, Draft(str(number), kind="fact", sources=(Source(last, 0, 1),)))
    records = found(moved(store))
    assert [record.text for record in records] == [str(number) for number in range(120)]
    assert all(record.sources for record in records[1:])


def test_what_follows_from_the_texts_is_derived_anew() -> None:
    store = MemoryStore()
    say(store, "red fox")
    state = snapshot.take(store, ANA, LATER)
    assert "terms" not in state["records"][0]

    def derive(drafts: Sequence[Draft]) -> list[Draft]:
        return [Draft(draft.text, id=draft.id, terms=("derived",)) for draft in drafts]

    target = MemoryStore()
    snapshot.put_back(target, ANA, state, derive)
    assert found(target)[0].terms == ("derived",)


def test_ids_are_never_taken_twice() -> None:
    store = MemoryStore()
    say(store, "red fox")
    state = snapshot.take(store, ANA, LATER)
    with pytest.raises(Conflict):
        snapshot.put_back(store, ANA, state, same)
    with pytest.raises(InvalidInput, match="not covered"):
        snapshot.put_back(MemoryStore(), BOB, state, same)


def test_nothing_remembered() -> None:
    assert snapshot.take(MemoryStore(), ANA, LATER) == {"now": LATER.isoformat(), "records": [], "edges": []}
    assert found(moved(MemoryStore(), LATER + MINUTE)) == ()
