"""What goes in comes out, character by character, and nobody sees what is not theirs."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import InvalidInput, InvalidTime
from remanence.core.scope import MAX_LENGTH, Scope
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import MAX_TEXT, Draft, Edge, Record
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Edges,
    Erase,
    Get,
    History,
    Link,
    Lookup,
    Put,
    Receipts,
    Revise,
    Touch,
)
from tests.stores.sqlite.support import ANA, LATER, START, add, ask, everything, fresh

TEXTS = {
    "NUL": "a\x00b\x00",
    "only NUL": "\x00",
    "lone high surrogate": "x\ud83dx",
    "lone low surrogate": "\udc80",
    "surrogate and NUL": "\udfff\x00\ud800",
    "megabyte": "näxt " * 250_000,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 🇳🇴",
    "right to left": "שלום \u202eעולם\u202c مرحبا",
    "Chinese": "我上週從里斯本搬到了奧斯陸。",
    "Thai": "ฉันย้ายจากลิสบอนไปออสโล",
    "combining": "e\u0301 ≠ é",
    "white": " \t\r\n\u2028\u00a0\ufeff",
    "quotes": "'; DROP TABLE versions; --\"\\",
    "wildcards": "%_*?[]{}",
    "control": "".join(map(chr, range(1, 32))),
    "private": "\ue000\uffff\U0010ffff",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_text_comes_back_exactly(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    short = text[:400]
    meta = {"key " + short: [short, {"": short}], "n": 1.5, "none": None, "big": 2**70}
    draft = Draft(text, zone=short, speaker=short, role=short, language=short, meta=meta, terms=(short, "x", short))
    outcome = store.batch([Put(draft), Put(Draft("other"))], scope=ANA, actor=short, why=short)
    id, other = (written.id for written in outcome.results)
    store.batch([Link(Edge(id, other, short, 0.5))], scope=ANA)
    store.close()
    store = fresh(path)
    (record,) = ask(store, Get((id,), LATER))
    assert isinstance(record, Record)
    assert (record.text, record.zone, record.speaker, record.role, record.language) == (text, *[short] * 4)
    assert (record.meta, record.terms) == (meta, (short, "x", short))
    assert ask(store, History(id)) == (record,)
    assert ask(store, Edges()) == (Edge(id, other, short, 0.5),)
    assert ask(store, Edges(types=(short,))) == (Edge(id, other, short, 0.5),)
    assert ask(store, Lookup((short, "absent"))) == (1, None)
    entry = ask(store, Changes())[0]
    assert (entry.actor, entry.why) == (short, short)
    assert ask(store, Changes())[2].detail["type"] == short
    receipt = ask(store, Erase((other,), reason=short))
    assert ask(store, Receipts()) == (receipt,)
    assert receipt.reason == short
    assert store.check() == []


def test_the_empty_and_the_endless_text_are_refused(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    for text in ("", "x" * (MAX_TEXT + 1)):
        with pytest.raises(InvalidInput):
            add(store, text)
    assert store.position() == 0


@pytest.mark.parametrize("meta", [{"x": math.nan}, {"x": [math.inf]}, {"x": object()}, {1: 2}], ids=str)
def test_metadata_that_is_no_json_is_refused(tmp_path: Path, meta: Mapping[str, Any]) -> None:
    store = fresh(tmp_path / "r.db")
    with pytest.raises(InvalidInput):
        add(store, "x", meta=meta)
    assert store.position() == 0


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 31, 9, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ],
    ids=str,
)
def test_every_moment_comes_back_to_the_microsecond(tmp_path: Path, moment: datetime) -> None:
    store = fresh(tmp_path / "r.db")
    add(store, "x", event_at=moment)
    (record,) = everything(store)
    assert (record.event_at, record.valid_from) == (moment, moment)
    assert record.event_at.utcoffset() == timedelta(0)
    store.batch([Touch((record.id,), moment)], scope=ANA)
    assert everything(store)[0].last_hit == moment


@pytest.mark.parametrize(
    "moment", [datetime(2026, 1, 1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "2026-01-01"], ids=str
)
def test_a_moment_without_zone_or_out_of_range_is_refused(tmp_path: Path, moment: Any) -> None:
    store = fresh(tmp_path / "r.db")
    with pytest.raises(InvalidTime):
        add(store, "x", event_at=moment)
    assert store.position() == 0


def test_time_never_runs_backwards(tmp_path: Path) -> None:
    readings = [START, START - timedelta(days=400), START + timedelta(seconds=1), START - timedelta(microseconds=1)]
    store = fresh(tmp_path / "r.db", clock=iter(readings).__next__)
    (id,) = add(store, "a")
    store.batch([Revise(id, Draft("b"))], scope=ANA)
    add(store, "c")
    store.batch([Close(id)], scope=ANA)
    times = [entry.at for entry in ask(store, Changes())]
    assert times == [START, START, START + timedelta(seconds=1), START + timedelta(seconds=1)]
    for version in ask(store, History(id)):
        assert version.closed_at >= version.recorded_at
    assert store.check() == []


def test_the_clock_is_read_once_per_writing_batch_and_never_for_reading(tmp_path: Path) -> None:
    readings = 0

    def clock() -> datetime:
        nonlocal readings
        readings += 1
        return START

    store = fresh(tmp_path / "r.db", clock=clock)
    everything(store)
    assert readings == 0
    add(store, "a", "b", "c")
    assert readings == 1
    store.batch([Touch((), START)], scope=ANA)
    assert readings == 2


USERS = (
    "a", "A", "aa", "a ", " a", "%", "_", "a%", "a.b", "a/b", "é", "e\u0301", "*", "?", "'", "null", "NULL", "1", "1.0",
    "01", "😀", "\u202ea", "x" * MAX_LENGTH, "x" * (MAX_LENGTH - 1),
)  # fmt: skip
SCOPES = [*(Scope(user_id=name) for name in USERS), Scope(app_id="a"), Scope(agent_id="a"), Scope(run_id="a")]


def test_no_scope_sees_another_however_alike_their_ids_are(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    ids = {scope: add(store, str(number), scope=scope)[0] for number, scope in enumerate(SCOPES)}
    for number, scope in enumerate(SCOPES):
        assert [record.text for record in everything(store, scope)] == [str(number)]
        assert [entry.id for entry in ask(store, Changes(), scope)] == [ids[scope]]
        seen = ask(store, Get(tuple(ids.values()), LATER), scope)
        assert [record is not None for record in seen] == [other == scope for other in SCOPES]
    assert set(store.scopes()) == set(SCOPES)


def test_a_scope_of_several_ids_and_what_covers_it(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    whole = Scope(app_id="p", user_id="u", agent_id="g", run_id="r")
    add(store, "x", scope=whole)
    for part in (Scope(app_id="p"), Scope(user_id="u", run_id="r"), Scope(agent_id="g"), whole):
        assert len(everything(store, part)) == 1
    for other in (Scope(app_id="u"), Scope(user_id="u", run_id="g"), Scope(user_id="r", agent_id="g")):
        assert everything(store, other) == ()


def test_sql_is_never_made_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store: SqliteStore = fresh(path)
    evil = "') OR 1=1; DROP TABLE versions; --"
    add(store, "theirs")
    assert everything(store, Scope(user_id=evil)) == ()
    assert ask(store, Get((evil, "'", '"', "\x00", "\ud800"), LATER)) == (None,) * 5
    assert ask(store, Changes(id=evil)) == ()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
    connection.close()
