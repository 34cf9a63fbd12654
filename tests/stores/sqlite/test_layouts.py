"""A file of an earlier layout is brought up on opening, with everything in it, or left alone."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remanence.core.clock import from_micros, to_micros
from remanence.core.errors import StoreError
from remanence.stores.sqlite import schema
from remanence.stores.sqlite.verify import verify_erasure
from remanence.substrates.records.model import Draft, Edge, Source
from remanence.substrates.records.operations import (
    Changes,
    Edges,
    Enqueue,
    Erase,
    Find,
    History,
    Jobs,
    Lease,
    Lookup,
    Pending,
    Receipts,
    Restore,
    Revise,
    Scan,
    Settle,
    Spaces,
)
from tests.stores.sqlite.support import ANA, LATER, START, add, ask, everything, files, finish, fresh, start

NOW = to_micros(START)
A, B, C, ERASED, LAST = (f"01KDX4Z000{letter * 16}" for letter in "ABCDZ")
LINKED = f'{{"source":"{A}","target":"{C}","type":"t","weight":0.5,"previous":null}}'
LONG = "word " * 5000


def layout_1(path: Path) -> Path:
    """A store as the first layout wrote it: a revised record, a derived one, links, vectors, and an erasure."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("BEGIN IMMEDIATE")
        schema.STEPS[0](raw)
        raw.execute("PRAGMA user_version = 1")
        rows: dict[str, list[tuple[Any, ...]]] = {
            "scopes": [(1, "", "ana", "", ""), (2, "", "ana", "", "r1")],
            "changes": [
                (1, 3, "01KDX4Z000" + "E" * 16, NOW, "", "", C),
                (4, 5, "01KDX4Z000" + "F" * 16, NOW + 5, "me", b"\xed\xa0\x80", C),
                (7, 7, "01KDX4Z000" + "G" * 16, NOW + 9, "", "", LAST),
            ],
            "journal": [
                (1, 1, 1, "put", A, 1, None, None),
                (2, 1, 2, "put", B, 1, None, None),
                (3, 1, 1, "put", C, 1, None, None),
                (4, 4, 1, "revise", A, 2, None, '{"previous":1}'),
                (5, 4, 1, "link", A, 0, C, LINKED),
                (7, 7, 1, "erase", "01KDX4Z000" + "G" * 16, 0, None, None),
            ],
            "versions": [
                (1, 1, A, 1, "turn", NOW - 9, NOW - 9, None, NOW, NOW + 5, NOW + 5, 4, "generated", None, "Ana", "user",
                 None, None, '{"city":"Oslo"}', b"\x01\x00\x00\x00\x02\x00\x00\x00", "I live in Oslo"),
                (2, 2, B, 1, "turn", NOW, NOW, NOW + 99, NOW, None, None, None, "archived", "Europe/Oslo", None, None,
                 "en", None, None, b"", b"lone \xed\xa0\x80"),
                (3, 1, C, 1, "fact", NOW, NOW, None, NOW, None, None, None, "generated", None, None, None, None,
                 f'[["{A}",0,4]]', None, b"\x02\x00\x00\x00", "Ana lives in Oslo"),
                (4, 1, A, 2, "turn", NOW + 5, NOW + 5, None, NOW + 5, None, None, None, "generated", None, "Ana", None,
                 None, None, None, b"\x01\x00\x00\x00", LONG),
            ],
            "lineage": [(A, 3)],
            "vocab": [(1, "live"), (2, "oslo")],
            "spaces": [(1, "m:2", 2)],
            "vectors": [(1, 1, 1, None, 0.5, b"ab"), (1, 1, 3, 1, 0.25, b"cd")],
            "edges": [(1, A, C, "t", 0.5, 1)],
            "usage": [(1, A, 3, NOW + 7, 2.0, 0.0)],
            "receipts": [(7, 1, "she asked", '{"versions":1}')],
            "receipt_ids": [(7, "asked", 0, ERASED)],
        }  # fmt: skip
        for table, lines in rows.items():
            raw.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(lines[0]))})", lines)
        raw.execute("UPDATE meta SET value = 1 WHERE name = 'late'")
        raw.execute("COMMIT")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return path


def test_a_store_of_the_first_layout_keeps_everything(tmp_path: Path) -> None:
    store = fresh(layout_1(tmp_path / "r.db"))
    first, second = ask(store, History(A))
    assert (first.text, first.meta, first.terms, first.speaker) == (
        "I live in Oslo",
        {"city": "Oslo"},
        ("live", "oslo"),
        "Ana",
    )
    assert (first.closed_at, first.ended_at, first.event_at) == (from_micros(NOW + 5),) * 2 + (from_micros(NOW - 9),)
    assert (second.text, second.closed_at, second.role, second.hits, second.strength) == (LONG, None, None, 3, 2.0)
    (fact,) = ask(store, Find(LATER, kinds=("fact",)))
    assert fact.sources == (Source(A, 0, 4),)
    (archived,) = ask(store, History(B))
    assert (archived.text, archived.state, archived.zone, archived.language) == (
        "lone \ud800",
        "archived",
        "Europe/Oslo",
        "en",
    )
    assert archived.valid_to == from_micros(NOW + 99)
    for record in (first, second, fact, archived):
        assert (record.origin, record.trust, record.derived) == (None, 1.0, False)
    columns = ask(store, Scan(space="m:2"))
    assert (columns.seq, columns.vectors_seq, columns.ids) == (7, 1, [A, B, C, A])
    assert (columns.origins, columns.hidden.tolist()) == ([None] * 4, [False, True, False, False])
    assert columns.scales.tolist() == [0.5, 0.0, 0.25, 0.0]
    assert [entry.op for entry in ask(store, Changes())] == ["put", "put", "put", "revise", "link", "erase"]
    assert ask(store, Edges()) == (Edge(A, C, "t", 0.5),)
    assert (ask(store, Spaces()), ask(store, Lookup(("oslo",)))) == ((("m:2", 2),), (2,))
    assert [record.id for record in ask(store, Pending("m:2"))] == [B, A]
    assert [(receipt.ids, receipt.reason) for receipt in ask(store, Receipts())] == [((ERASED,), "she asked")]
    assert (ask(store, Jobs()), store.due(), store.position()) == ((), [], 7)
    assert store.check() == []


def test_a_store_of_the_first_layout_goes_on(tmp_path: Path) -> None:
    path = layout_1(tmp_path / "r.db")
    store = fresh(path, clock=lambda: START.replace(year=2020))
    written = store.batch([Enqueue("enrich")], scope=ANA)
    assert written.results[0] > LAST, "ids do not go on from where they were"
    (new,) = add(store, "new", origin="user", trust=0.5)
    assert new > written.results[0]
    (record,) = ask(store, Find(LATER, where={"origin": "user"}))
    assert (record.recorded_at, record.trust) == (from_micros(NOW + 9), 0.5)
    (job,) = ask(store, Lease("w"))
    assert ask(store, Settle(job.id, "w"))
    receipt = ask(store, Erase((A,)))
    assert receipt.derived == (C,)
    assert verify_erasure(path, receipt, ["I live in Oslo", "Ana lives in Oslo", LONG[:40]]).clean
    assert len(everything(store)) == 1
    assert store.check() == []
    store.close()
    again = fresh(path)
    assert again.check() == []
    assert again.info().layout == schema.VERSION


def test_all_ways_to_the_present_layout_lead_to_the_same_tables(tmp_path: Path) -> None:
    def tables(path: Path) -> list[tuple[str, str]]:
        add(fresh(path), "x")
        with closing(sqlite3.connect(path)) as raw:
            return raw.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()

    assert tables(layout_1(tmp_path / "old.db")) == tables(tmp_path / "new.db")


def test_a_step_that_fails_leaves_the_earlier_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = layout_1(tmp_path / "r.db")

    def failing(connection: sqlite3.Connection) -> None:
        schema._add_work(connection)
        raise sqlite3.OperationalError("no more today")

    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", (schema.STEPS[0], failing))
        with pytest.raises(StoreError, match="no more today"):
            everything(fresh(path))
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
        assert raw.execute("SELECT count(*) FROM versions").fetchone() == (4,)
        assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('jobs', 'work')").fetchone() == (0,)
    assert len(everything(fresh(path))) == 2


def test_many_open_a_store_of_the_first_layout_at_once(tmp_path: Path) -> None:
    path = layout_1(tmp_path / "r.db")
    processes = [start("look.py", path) for _ in range(4)]
    assert [len(finish(process)) for process in processes] == [2] * 4
    assert fresh(path).check() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX users")
def test_what_cannot_be_brought_up_says_so_and_is_left_as_it_is() -> None:
    # Not in tmp_path: another user cannot get there.
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "locked").mkdir()
        folder.chmod(0o755)
        path = layout_1(folder / "locked" / "r.db")
        path.chmod(0o444)
        path.parent.chmod(0o555)
        before = files(path)
        report = finish(start("limited.py", "rights", folder))["locked/r.db"]
        assert report["texts"] == "StoreReadOnly"
        assert report["reading"].startswith("StoreReadOnly: ")
        assert "layout 1 and has to be brought to layout 2" in report["reading"]
        assert files(path) == before
    finally:
        (folder / "locked").chmod(0o755)
        shutil.rmtree(folder)


def test_the_first_step_is_never_edited() -> None:
    """What was written by it is on people's disks."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        schema.STEPS[0](raw)
        columns = [row[1] for row in raw.execute("PRAGMA table_info(versions)")]
        tables = sorted(name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
    assert columns[12:] == ["state", "zone", "speaker", "role", "language", "sources", "meta", "terms", "text"]
    assert tables == [
        "changes", "edges", "floors", "journal", "lineage", "meta", "receipt_ids", "receipts", "scopes", "spaces",
        "sqlite_sequence", "usage", "vectors", "versions", "vocab",
    ]  # fmt: skip


def test_a_draft_that_is_revised_after_the_step_is_of_both_layouts(tmp_path: Path) -> None:
    store = fresh(layout_1(tmp_path / "r.db"))
    store.batch([Revise(A, Draft("again", origin="tool", trust=0)), Restore(A, 1)], scope=ANA)
    assert [(version.origin, version.trust) for version in ask(store, History(A))] == [
        (None, 1.0),
        (None, 1.0),
        ("tool", 0.0),
        (None, 1.0),
    ]
    assert store.check() == []
