"""Moving a store again after it was moved: what was done in the source meanwhile has to follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remanence.conformance.stage import ANA, BOB, NOW, day, one, put
from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.runtime import migrating
from remanence.runtime.migrating import migrate
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import (
    Close,
    Edges,
    Embed,
    Enqueue,
    Erase,
    Find,
    History,
    Jobs,
    Lease,
    Link,
    Operation,
    Outcome,
    Put,
    Reindex,
    Restore,
    Revise,
    Scan,
    Unlink,
)

Open = Callable[[str, int], SqliteStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    stores: list[SqliteStore] = []

    def open_(name: str, days: int = 0) -> SqliteStore:
        stores.append(SqliteStore(tmp_path / f"{name}.db", clock=SteppingClock(day(days)), durable=False))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


@pytest.fixture
def source(opened: Open) -> SqliteStore:
    return opened("source", 0)


@pytest.fixture
def target(opened: Open) -> SqliteStore:
    return opened("target", 1)


def content(store: SqliteStore, scope: Scope = ANA) -> dict[str, Any]:
    """Everything but the times of recording, which are the target's own where a change was done again."""
    timeless = [name for name in Draft.__dataclass_fields__ if name not in ("id", "scope", "vector")]
    found: dict[str, Any] = {"edges": one(store, Edges(), scope)}
    for record in one(store, Find(NOW, limit=None, closed=True), scope):
        versions = one(store, History(record.id), scope)
        found[record.id] = [
            (version.version, version.terms, version.ended_at, *(getattr(version, name) for name in timeless))
            for version in versions
        ]
    return found


CHANGES: dict[str, Callable[[Sequence[str]], Sequence[Operation]]] = {
    "revised": lambda ids: [Revise(ids[0], Draft("changed", valid_from=day(-1), terms=("changed",)))],
    "revised twice": lambda ids: [Revise(ids[0], Draft("changed")), Revise(ids[0], Draft("again"))],
    "closed": lambda ids: [Close(ids[1], at=day(3))],
    "closed and restored": lambda ids: [Close(ids[3]), Restore(ids[3], 1)],
    "cut anew": lambda ids: [Reindex(ids[2], 1, ("cut", "anew"))],
    "linked": lambda ids: [Link(Edge(ids[2], ids[3], "next", 0.5))],
    "weighed anew": lambda ids: [Link(Edge(ids[0], ids[1], "next", 0.25))],
    "unlinked": lambda ids: [Unlink(Edge(ids[0], ids[1], "next"))],
    "unlinked and linked": lambda ids: [Unlink(Edge(ids[0], ids[1], "next")), Link(Edge(ids[0], ids[1], "next", 0.75))],
    "embedded": lambda ids: [Embed(ids[2], 1, Vector("s:2", b"\x01\x02", 1.0))],
    "erased": lambda ids: [Erase((ids[4],), "asked for")],
    "new": lambda ids: [Put(Draft("new", sources=(Source(ids[0], 0, 3),)))],
}


def fill(store: SqliteStore) -> list[str]:
    ids = [put(store, f"record {number}", terms=("w", str(number))) for number in range(5)]
    one(store, Link(Edge(ids[0], ids[1], "next", 0.5)))
    one(store, Put(Draft("derived", sources=(Source(ids[4], 0, 1),), origin="derived:x")))
    return ids


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_after_a_complete_migration_follows_with_the_next(
    change: str, source: SqliteStore, target: SqliteStore
) -> None:
    ids = fill(source)
    assert migrate(source, target)["verified"]
    source.batch(CHANGES[change](ids), scope=ANA)
    report = migrate(source, target)
    assert report["verified"], report
    assert content(target) == content(source)
    position = target.position()
    assert migrate(source, target)["verified"]
    assert target.position() == position
    assert target.check() == []


def test_all_of_it_at_once_and_from_either_side(source: SqliteStore, target: SqliteStore, opened: Open) -> None:
    ids = fill(source)
    assert migrate(source, target)["verified"]
    for change in CHANGES.values():
        source.batch(change(ids), scope=ANA)
    assert migrate(source, target)["verified"]
    assert content(target) == content(source)
    back = opened("back", 2)
    assert migrate(target, back)["verified"]
    one(target, Revise(ids[3], Draft("later")))
    one(target, Erase((ids[0],), "later"))
    assert migrate(target, back)["verified"]
    assert content(back) == content(target)


def test_an_erasure_of_everything_follows(source: SqliteStore, target: SqliteStore) -> None:
    fill(source)
    put(source, "of another", BOB)
    assert migrate(source, target)["verified"]
    receipt = one(source, Erase(None, "asked for"))
    report = migrate(source, target)
    assert report["verified"], report
    assert report["receipts_left"] == 1
    assert one(target, Find(NOW, closed=True)) == ()
    assert [record.text for record in one(target, Find(NOW), BOB)] == ["of another"]
    assert target.verify_erasure(receipt, ["record 3"]).clean


@pytest.mark.parametrize("everything", [True, False])
def test_an_erasure_under_one_of_two_ids_follows(everything: bool, source: SqliteStore, target: SqliteStore) -> None:
    both = Scope(app_id="shop", user_id="ana")
    ids = [put(source, f"{number} of both", both) for number in range(3)]
    one(source, Revise(ids[0], Draft("rests on another", sources=(Source(ids[1], 0, 1),))), both)
    assert migrate(source, target)["verified"]
    one(source, Erase(None if everything else (ids[1], ids[2]), "asked for"), ANA)
    report = migrate(source, target)
    assert report["verified"], report
    assert content(target, both) == content(source, both)
    assert target.check() == []


def test_what_is_only_in_the_target_is_told_and_left(source: SqliteStore, target: SqliteStore) -> None:
    ids = fill(source)
    assert migrate(source, target)["verified"]
    own = put(target, "written since the application moved")
    one(target, Link(Edge(own, ids[0], "next", 1.0)))
    one(target, Revise(ids[1], Draft("also written there")))
    source.batch([Revise(ids[1], Draft("written here")), Revise(ids[1], Draft("and again"))], scope=ANA)
    report = migrate(source, target)
    assert not report["verified"]
    assert report["replayed"] == 0
    (line,) = [line for line in report["scopes"] if line["differences"]]
    assert any(difference.startswith("records: 6 here, 7 there") for difference in line["differences"])
    assert one(target, History(own))[0].text == "written since the application moved"
    assert [version.text for version in one(target, History(ids[1]))] == ["record 1", "also written there"]
    assert Edge(own, ids[0], "next", 1.0) in one(target, Edges())


def test_another_object_on_the_same_store_is_refused(source: SqliteStore) -> None:
    ids = fill(source)
    # A job of an earlier migration into it, which was stopped, proves nothing by itself.
    one(source, Enqueue(migrating.JOB, {"since": 0}, migrating.JOB))
    with SqliteStore(source.path, durable=False) as again:
        with pytest.raises(InvalidInput, match="the same store"):
            migrate(source, again)
        with pytest.raises(InvalidInput, match="the same store"):
            migrate(again, source)
    assert one(source, Jobs(kinds=(migrating.JOB,))) == ()
    assert len(one(source, Find(NOW))) == len(ids) + 1


def test_a_copy_of_a_store_is_another_one(source: SqliteStore, tmp_path: Path) -> None:
    fill(source)
    one(source, Enqueue(migrating.JOB, {"since": 0}, migrating.JOB))
    one(source, Lease(migrating.JOB, (migrating.JOB,), 1, 3600.0))
    with closing(sqlite3.connect(source.path)) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    with SqliteStore(tmp_path / "copy.db", clock=SteppingClock(day(1)), durable=False) as copy:
        one(source, Revise(put(source, "since the copy"), Draft("changed")))
        assert migrate(source, copy)["verified"]
        assert content(copy) == content(source)


class _Dies(Exception):
    pass


class Mortal:
    """A target whose process dies before its n-th batch that writes."""

    def __init__(self, store: SqliteStore, batches: int) -> None:
        self._store = store
        self._left = batches

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        self._left -= bool(why)
        if self._left < 0:
            raise _Dies
        return self._store.batch(operations, scope=scope, actor=actor, why=why)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_stopped_migration_of_another_source_leaves_nothing_out(
    source: SqliteStore, target: SqliteStore, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "PORTION", 2)
    older = opened("older", -9)
    before = [put(older, f"older {number}") for number in range(5)]
    one(older, Revise(before[0], Draft("changed")))
    fill(source)
    with pytest.raises(_Dies):
        migrate(source, Mortal(target, 2))
    migrate(older, target)
    for id in before:
        assert [one.text for one in _history(target, id)] == [one.text for one in _history(older, id)]
    assert migrate(source, target)["adopted"] > 0
    for record in one(source, Find(NOW, limit=None)):
        assert _history(target, record.id)[-1].text == record.text


def test_what_changed_between_a_death_and_the_next_run_follows(
    source: SqliteStore, target: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "PORTION", 2)
    ids = fill(source)
    with pytest.raises(_Dies):
        migrate(source, Mortal(target, 2))
    for change in CHANGES.values():
        source.batch(change(ids), scope=ANA)
    assert migrate(source, target)["verified"]
    assert content(target) == content(source)
    assert one(target, Jobs(kinds=(migrating.JOB,))) == ()


def _history(store: SqliteStore, id: str) -> Sequence[Any]:
    return one(store, History(id))  # type: ignore[no-any-return]


class Talkative:
    """A source in which somebody says something whenever its vectors are about to be read."""

    def __init__(self, store: SqliteStore, times: int) -> None:
        self._store = store
        self.left = times

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if self.left and any(isinstance(operation, Scan) and operation.space for operation in operations):
            self.left -= 1
            put(self._store, f"{self.left} to go", vector=Vector("s:2", b"\x01\x02", 1.0))
        return self._store.batch(operations, scope=scope, actor=actor, why=why)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_record_that_comes_while_both_are_compared_arrives(source: SqliteStore, target: SqliteStore) -> None:
    put(source, "first", vector=Vector("s:2", b"\x03\x04", 1.0))
    talkative = Talkative(source, 4)
    assert migrate(talkative, target)["verified"]
    assert talkative.left == 0
    assert content(target) == content(source)
