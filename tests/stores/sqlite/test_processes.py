"""Many processes and threads share one file: no lost write, no lock error, no id twice."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from remanence.core.errors import NotFound, StoreBusy, StoreClosed, StoreError
from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore, schema
from remanence.stores.sqlite.verify import verify_erasure
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Changes, Close, Erase, Find, Get, Put
from tests.stores.sqlite.support import ANA, BOB, LATER, START, add, ask, everything, finish, fresh, start

T = TypeVar("T")
SHARED = Scope(app_id="shared")
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


def test_four_processes_of_two_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "0", scope=SHARED, kind="counter")
    processes = [start("share.py", path, name, 40) for name in "abcd"]
    reports = [finish(process) for process in processes]
    ids = [id for report in reports for id in report["ids"]]
    assert len(ids) == len(set(ids)) > 4 * 2 * 40
    assert all(ask(store, Get(tuple(ids), LATER), SHARED))
    (counter,) = (record for record in everything(store, SHARED) if record.kind == "counter")
    assert int(counter.text) == counter.version - 1 == sum(report["revisions"] for report in reports) == 4 * 2 * 10
    entries = ask(store, Changes(), SHARED)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    written = [entry.id for entry in entries if entry.op == "put"]
    assert written == sorted(written), "ids of later changes are not greater"
    assert store.check() == []


def test_a_file_may_be_made_by_many_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.db"
    barrier = threading.Barrier(8)
    failed: list[BaseException] = []

    def make(name: str) -> None:
        store = fresh(path)
        barrier.wait()
        try:
            add(store, name)
        except BaseException as error:
            failed.append(error)
        store.close()

    threads = [threading.Thread(target=make, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {record.text for record in everything(fresh(path))} == {str(number) for number in range(8)}


def test_a_file_looked_at_while_it_is_made_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    looking = sqlite3.connect(path, isolation_level=None)
    looking.execute("PRAGMA journal_mode = WAL").fetchall()
    making = sqlite3.connect(path, isolation_level=None)

    def make_between(statement: str) -> None:
        if "sqlite_master" in statement:
            looking.set_trace_callback(None)
            making.execute("BEGIN IMMEDIATE")
            schema.migrate(making, path)
            making.execute("COMMIT")

    looking.set_trace_callback(make_between)
    assert schema.identify(looking, path) == 0, "half of what was seen is older than the other half"
    assert schema.identify(looking, path) == schema.VERSION
    looking.close()
    making.close()


def in_child(body: Callable[[], T]) -> T:
    """What `body` returns in a forked child of this process."""
    context = multiprocessing.get_context("fork")
    queue: Any = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put(body()))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    result: T = queue.get()
    return result


@needs_fork
def test_parent_and_child_go_on_after_a_fork(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    (first,) = add(store, "before the fork")

    def child() -> list[str]:
        assert [record.text for record in everything(store)] == ["before the fork"]
        return [add(store, f"child {number}")[0] for number in range(20)]

    theirs = in_child(child)
    ours = [add(store, f"parent {number}")[0] for number in range(20)]
    assert {record.id for record in everything(store)} == {first, *theirs, *ours}
    assert len({first, *theirs, *ours}) == 41
    assert store.check() == []


@needs_fork
def test_a_fork_carries_no_connection_over(tmp_path: Path) -> None:
    """A child that inherits SQLite's list of locks would believe that it holds those of its parent."""
    store = fresh(tmp_path / "r.db")
    add(store, "one")
    name = str(tmp_path / "r.db")

    def child() -> int:
        folder = Path("/proc/self/fd")
        if not folder.exists():
            pytest.skip("needs /proc")
        return sum(os.readlink(link).startswith(name) for link in folder.iterdir() if link.is_symlink())

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    assert in_child(child) == 0


@needs_fork
def test_a_fork_waits_for_batches_of_other_threads(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    add(store, "first")
    stop = threading.Event()
    written: list[str] = []

    def keep_writing() -> None:
        while not stop.is_set():
            written.extend(add(store, f"text {len(written)}"))

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        for _ in range(5):
            assert in_child(lambda: len(add(store, "from a child"))) == 1
    finally:
        stop.set()
        thread.join()
    texts = [record.text for record in everything(store)]
    assert texts.count("from a child") == 5
    assert len(texts) == 1 + 5 + len(written)
    assert store.check() == []


def test_a_second_process_is_seen_at_the_next_read(tmp_path: Path) -> None:
    ours, theirs = fresh(tmp_path / "r.db"), fresh(tmp_path / "r.db")
    add(ours, "one")
    assert [record.text for record in everything(theirs)] == ["one"]
    before = theirs.position()
    add(ours, "two", terms=("new",))
    assert theirs.position() == before + 1
    add(theirs, "three", terms=("new", "newer"))
    assert [record.terms for record in everything(ours)] == [(), ("new",), ("new", "newer")]


def test_looking_at_the_file_does_not_unlock_it(tmp_path: Path) -> None:
    """POSIX takes a process's locks on a file away when any descriptor of it is closed.

    Another process that closes the store would then believe to be the last one and delete the log we write to.
    """
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "one")
    assert len(everything(fresh(path))) == 1
    assert verify_erasure(path, (), ["absent"]).clean
    assert store.info().records == 1
    assert store.check() == []
    store.backup(tmp_path / "copy.db")
    assert finish(start("look.py", path)) == ["one"]
    add(store, "two")
    assert finish(start("look.py", path)) == ["one", "two"]


@pytest.mark.parametrize("interfere", ["unlock", "delete"])
def test_a_log_that_is_gone_is_noticed_before_anything_is_written_into_it(tmp_path: Path, interfere: str) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "one")
    if interfere == "unlock":
        # What any innocent copy of the file does to this process's locks.
        path.open("rb").close()
    assert finish(start("look.py", path)) == ["one"]
    if interfere == "delete":
        store.batch([Find(LATER)], scope=ANA)
        ask(store, Erase(()))
        (tmp_path / "r.db-wal").unlink()
    add(store, "two")
    assert finish(start("look.py", path)) == ["one", "two"]
    assert store.check() == []


def test_terms_of_a_batch_that_failed_are_not_remembered(tmp_path: Path) -> None:
    ours, theirs = fresh(tmp_path / "r.db"), fresh(tmp_path / "r.db")
    add(ours, "one", terms=("kept",))
    with pytest.raises(NotFound):
        ours.batch([Put(Draft("x", terms=("lost",))), Find(LATER), Close("unknown")], scope=ANA)
    add(theirs, "two", terms=("other",))
    add(ours, "three", terms=("lost", "kept"))
    assert [record.terms for record in everything(theirs)] == [("kept",), ("other",), ("lost", "kept")]
    assert ours.check() == []


def test_ids_increase_across_stores_even_when_the_second_clock_is_behind(tmp_path: Path) -> None:
    ahead = fresh(tmp_path / "r.db", clock=lambda: START + timedelta(days=1), random_bits=lambda bits: (1 << bits) - 2)
    behind = fresh(tmp_path / "r.db", clock=lambda: START, random_bits=lambda bits: 0)
    ids = [add(store, "x")[0] for _ in range(3) for store in (ahead, behind)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 6
    times = [record.recorded_at for record in everything(behind)]
    assert times == [START + timedelta(days=1)] * 6


def test_a_locked_file_is_reported_after_the_timeout(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    holder, waiter = fresh(path), fresh(path, busy_timeout=0.05)
    add(holder, "one")
    with holder._connections.turns.hold(), holder._connections.lend(writing=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert len(everything(waiter)) == 1, "readers do not wait for writers"
        with pytest.raises(StoreBusy, match=r"r\.db was locked .* more than 0\.05 s"):
            add(waiter, "two")
        connection.execute("ROLLBACK")
    add(waiter, "three")
    assert [record.text for record in everything(holder)] == ["one", "three"]


def test_threads_of_one_store_queue_without_polling_the_file(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db", busy_timeout=0.05)
    add(store, "one")
    with store._connections.turns.hold(), pytest.raises(StoreBusy, match="other threads"):
        add(store, "two")


def test_close_is_final_and_waits_for_nobody(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    add(store, "one")
    with store._connections.lend() as connection:
        store.close()
        store.close()
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
    for use in (lambda: add(store, "two"), store.position, store.check, lambda: ask(store, Changes(), BOB)):
        with pytest.raises(StoreClosed, match=r"r\.db was closed"):
            use()
    assert [file.name for file in tmp_path.iterdir()] == ["r.db"], "the log was not folded in"


def test_a_file_that_vanishes_is_not_written_into_the_void(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "one")
    path.rename(tmp_path / "moved.db")
    with pytest.raises(StoreError, match="moved, deleted or replaced"):
        add(store, "two")
    assert not path.exists(), "a new file was begun in silence"
    (tmp_path / "moved.db").rename(path)
    add(store, "three")
    assert [record.text for record in everything(store)] == ["one", "three"]


def test_nothing_is_touched_before_the_first_batch(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "deep" / "r.db").close()
    assert list(tmp_path.iterdir()) == []
