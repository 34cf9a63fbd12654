"""The several ways to the same rows: by scope, by id, thin or dense, sorted or walked, all give one answer."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore, codec, reading, scanning
from remanence.substrates.records.model import Draft, Vector, View
from remanence.substrates.records.operations import (
    Close,
    Columns,
    Count,
    Embed,
    Erase,
    Find,
    Get,
    Lookup,
    Put,
    Revise,
    Scan,
)
from remanence.substrates.records.reference import MemoryStore
from tests.stores.sqlite.support import ANA, LATER, START, add, ask, fresh

RUNS = [Scope(user_id="ana", run_id=str(run)) for run in range(5)]
OTHERS = [Scope(user_id=f"u{number}") for number in range(5)]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    """Some versions in ten scopes, mixed, many of them revised, closed or embedded; to be read only."""
    rng = random.Random(7)
    store = fresh(tmp_path_factory.mktemp("crowded") / "r.db")
    for _ in range(12):
        for scope in rng.sample(RUNS + OTHERS, 10):
            vector = Vector("m:4", rng.randbytes(4), 0.5)
            ids = add(store, "a b", "c", scope=scope, terms=("a", str(rng.randrange(9))), vector=vector)
            if rng.random() < 0.5:
                kind = rng.choice(("turn", "fact"))
                later = START + timedelta(days=rng.randrange(-9, 9))
                store.batch([Revise(ids[0], Draft("d", kind=kind, valid_from=later))], scope=scope)
            if rng.random() < 0.3:
                store.batch([Close(ids[1]), Embed(ids[0], 1, Vector("m:4", rng.randbytes(4), 2.0))], scope=scope)
    return store


def columns(found: Columns) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value := getattr(found, name), np.ndarray) else value
        for name in Columns.__slots__
    }


@pytest.mark.parametrize("after", [0, 1, 100, 300])
@pytest.mark.parametrize("scope", [ANA, RUNS[2], OTHERS[0], Scope(user_id="nobody")], ids=str)
def test_a_scan_is_the_same_by_all_three_ways(
    crowded: SqliteStore, scope: Scope, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = Scan(after, "m:4", 3)
    short = columns(ask(crowded, operation, scope))
    monkeypatch.setattr(scanning, "_SHORT_TAIL", 0)
    monkeypatch.setattr(scanning, "_THIN", 0.0)
    monkeypatch.setattr(scanning, "_AT_ONCE", 7)
    monkeypatch.setattr(codec, "_CHUNKS", (1, 7))
    thin = columns(ask(crowded, operation, scope))
    monkeypatch.setattr(scanning, "_THIN", float("inf"))
    dense = columns(ask(crowded, operation, scope))
    assert short == thin == dense
    assert len(short["ids"]) > 0 or scope.user_id == "nobody" or after == 300


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 7, None])
@pytest.mark.parametrize("kinds", [None, ("fact",)])
def test_find_is_the_same_sorted_and_walked(
    crowded: SqliteStore,
    newest_first: bool,
    limit: int | None,
    kinds: tuple[str, ...] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for view in (LATER, View(START, as_of=START), View(START, known_at=START + timedelta(seconds=30))):
        operation = Find(view, kinds=kinds, limit=limit, newest_first=newest_first)
        found = ask(crowded, operation)
        monkeypatch.setattr(reading, "_SORTED_AT_ONCE", 0)
        monkeypatch.setattr(reading, "_GOOD_PART", 1 << 40)
        walked = ask(crowded, operation)
        counted = ask(crowded, Count(view, kinds))
        monkeypatch.undo()
        ids = [record.id for record in found]
        assert ids == sorted(set(ids), reverse=newest_first)
        assert found == walked
        if limit is None:
            assert ask(crowded, Count(view, kinds)) == counted == len(found)
            pages = [record for scope in RUNS for record in ask(crowded, operation, scope)]
            assert sorted(pages, key=lambda record: record.id, reverse=newest_first) == list(found)


def test_find_continues_where_it_stopped(crowded: SqliteStore) -> None:
    for newest_first in (False, True):
        whole = ask(crowded, Find(LATER, limit=None, newest_first=newest_first))
        pages: list[Any] = []
        while page := ask(
            crowded,
            Find(LATER, limit=5, after=pages[-1].id if pages else None, newest_first=newest_first),
        ):
            pages += page
        assert pages == list(whole)


def test_readers_who_follow_the_journal_end_where_a_fresh_one_does(crowded: SqliteStore, tmp_path: Path) -> None:
    crowded.backup(tmp_path / "own.db")
    crowded = fresh(tmp_path / "own.db")
    seen = ask(crowded, Scan(space="m:4"))
    (new,) = add(crowded, "new", scope=RUNS[0], vector=Vector("m:4", b"abcd", 1.0))
    old = seen.ids[seen.scope_of.tolist().index(0)]
    where = seen.scopes[0]
    crowded.batch([Embed(old, 1, Vector("m:4", b"late", 3.0))], scope=where)
    tail = ask(crowded, Scan(seen.seq, "m:4", seen.vectors_seq))
    assert tail.ids == [new]
    assert tail.vectors is not None
    assert tail.vectors.tobytes() == b"abcd"
    assert tail.embedded == [(old, 1, b"late", 3.0)]
    assert (tail.seq, tail.vectors_seq) == (seen.seq + 1, seen.vectors_seq + 1)
    assert not tail.erased
    crowded.batch([Close(new)], scope=RUNS[0])
    last = ask(crowded, Scan(tail.seq, "m:4", tail.vectors_seq))
    assert [(id, version) for id, version, _, _ in last.closed] == [(new, 1)]
    assert (last.ids, last.embedded) == ([], [])
    crowded.batch([Erase((new,))], scope=RUNS[0])
    assert ask(crowded, Scan(tail.seq, "m:4", tail.vectors_seq)).erased
    assert not ask(crowded, Scan(0, "m:4")).erased


def test_a_batch_sees_its_own_terms_scopes_and_spaces(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    put = Put(Draft("x", terms=("new",), scope=Scope(user_id="ana", run_id="r"), vector=Vector("m:1", b"a", 1.0)))
    outcome = store.batch([Find(LATER), put, Find(LATER), Scan(space="m:1")], scope=ANA)
    before, written, after, scan = outcome.results
    assert before == ()
    assert [(record.id, record.terms) for record in after] == [(written.id, ("new",))]
    assert scan.ids == [written.id]
    assert scan.vectors.tolist() == [[97]]


def test_numbers_beyond_what_a_file_can_hold_find_nothing(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    (id,) = add(store, "x")
    huge = 2**62
    assert ask(store, Embed(id, huge, Vector("m:1", b"a", 1.0))) is False
    assert ask(store, Scan(huge)).ids == []


def test_a_large_batch_is_written_as_the_readable_store_writes_it(tmp_path: Path) -> None:
    rng = random.Random(11)
    drafts = [
        Draft(
            f"text {number}",
            scope=rng.choice((None, *RUNS)),
            event_at=START + timedelta(minutes=rng.randrange(1000)),
            terms=tuple(f"t{rng.randrange(300)}" for _ in range(rng.randrange(30))),
            vector=Vector("m:16", rng.randbytes(16), rng.random()) if rng.random() < 0.9 else None,
        )
        for number in range(1500)
    ]
    store = fresh(tmp_path / "r.db", random_bits=random.Random(1).getrandbits)
    plain = MemoryStore(clock=SteppingClock(START), random_bits=random.Random(1).getrandbits)
    terms = Lookup(tuple(f"t{number}" for number in range(301)))
    answers = []
    for kept in (store, plain):
        written = kept.batch([Put(draft) for draft in drafts], scope=ANA)
        scan, found, numbers = kept.batch([Scan(space="m:16"), Find(LATER, limit=None), terms], scope=ANA).results
        answers.append((written, columns(scan), found, numbers))
    assert answers[0] == answers[1]


def test_ten_thousand_ids_in_one_question(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    ids = add(store, *[f"text {number}" for number in range(1500)])
    asked = tuple(ids[::-1] + [f"0{number:025}" for number in range(8500)])
    found = ask(store, Get(asked, LATER))
    assert [record.text for record in found[:1500]] == [f"text {number}" for number in range(1499, -1, -1)]
    assert found[1500:] == (None,) * 8500
