"""Each invariant is noticed when it is broken; copies are whole, clean and overwrite nothing."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remanence.core.errors import InvalidInput, StoreError
from remanence.stores.sqlite import SqliteStore, residue, schema
from remanence.stores.sqlite import connection as connections
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import Close, Enqueue, Erase, Lease, Link, Reindex, Revise, Scan, Touch
from tests.stores.sqlite.support import ANA, BOB, LATER, add, ask, everything, files, fresh


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """A store with a row in every table."""
    store = fresh(tmp_path / "r.db")
    a, b, c = add(store, "a", "b", "c", terms=("t", "u"), vector=Vector("m:2", b"xy", 1.0))
    d = add(store, "d", kind="fact", sources=(Source(a, 0, 1), Source(c, 0, 1)))[0]
    store.batch([Revise(b, Draft("b2")), Link(Edge(a, b, "near")), Touch((a,), LATER.now)], scope=ANA)
    store.batch([Close(d), Erase((c,)), Reindex(d, 1, ("u",))], scope=ANA)
    add(store, "e", scope=BOB)
    store.batch([Enqueue("x", {"n": 1}), Enqueue("y"), Lease("w", ("x",))], scope=ANA)
    assert store.check() == []
    return store


def rows(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as raw:
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


BROKEN = {
    "DELETE FROM journal WHERE op = 'put'": "has no journal entry of its own",
    "UPDATE journal SET version = 9 WHERE op = 'revise'": "has no journal entry of its own",
    "DELETE FROM versions WHERE kind = 'fact'": "opened a version of record .* that is not there",
    "UPDATE journal SET version = 9 WHERE op = 'reindex'": "reindexed version 9 of record .*, which is not there",
    "DELETE FROM changes WHERE first = 1": "belongs to no change",
    "UPDATE changes SET last = first": "belongs to no change",
    "INSERT INTO changes VALUES (99, 99, 'x', 0, '', '', '')": "change x has no journal entry",
    "UPDATE versions SET closed_at = NULL, closed_seq = NULL, ended_at = NULL": "has 2 open versions",
    "UPDATE versions SET closed_at = NULL, closed_seq = NULL, ended_at = NULL WHERE version = 1": "not the newest",
    "UPDATE versions SET closed_at = NULL WHERE kind = 'fact'": "closed by halves",
    "UPDATE versions SET ended_at = valid_from - 1 WHERE closed_at NOT NULL": "closed by halves",
    "UPDATE versions SET sid = (SELECT max(sid) FROM scopes) WHERE version = 2": "lies in more than one scope",
    "DELETE FROM scopes WHERE user_id = 'bob'": "lies in no known scope",
    "UPDATE vectors SET data = x'00'": "no space of its dimension",
    "DELETE FROM spaces": "no space of its dimension",
    "INSERT INTO vectors VALUES (1, 1, 99, NULL, 1, x'0000')": "has no version",
    "UPDATE edges SET target = 'gone'": "has a loose end",
    "UPDATE edges SET target_sid = 99": "has a loose end",
    "UPDATE usage SET id = 'gone'": "belong to no record",
    "UPDATE lineage SET source = 'gone'": "has a loose end",
    "UPDATE lineage SET seq = 99": "has a loose end",
    "UPDATE receipt_ids SET id = (SELECT id FROM versions LIMIT 1) WHERE part = 'asked'": "a receipt says",
    "UPDATE changes SET at = 0 WHERE first = (SELECT max(first) FROM changes)": "is dated before",
    "UPDATE jobs SET sid = 99": "job .* lies in no known scope",
    "UPDATE jobs SET ready = NULL WHERE state = 'waiting'": "waiting by halves",
    "UPDATE jobs SET ready = due WHERE state = 'leased'": "leased by halves",
    "UPDATE jobs SET state = 'dead'": "dead by halves",
    "UPDATE jobs SET worker = NULL": "leased by halves",
    "UPDATE jobs SET state = 'gone', ready = NULL": "gone by halves",
    "DELETE FROM vocab WHERE term = 'u'": "not all in the vocabulary",
    "UPDATE versions SET terms = x'010203' WHERE version = 2": "not all in the vocabulary",
}


@pytest.mark.parametrize(("statement", "sentence"), BROKEN.items(), ids=BROKEN)
def test_every_broken_promise_is_noticed(store: SqliteStore, statement: str, sentence: str) -> None:
    with closing(sqlite3.connect(store.path)) as raw:
        assert raw.execute(statement).rowcount > 0
        raw.commit()
    found = store.check()
    assert any(re.search(sentence, line) for line in found), found


def test_a_damaged_index_is_noticed(store: SqliteStore) -> None:
    partial = "CREATE INDEX versions_scope ON versions(sid, id, version) WHERE version > 1"
    with closing(sqlite3.connect(store.path)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'versions_scope'", (partial,))
        raw.commit()
    store.close()
    assert fresh(store.path).check() != []


def test_the_store_under_test_has_rows_of_every_kind(store: SqliteStore) -> None:
    assert [name for name, count in rows(store.path).items() if count == 0] == ["floors"]


def test_a_backup_is_the_same_store(store: SqliteStore, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "backup.db"
    target.parent.mkdir()
    store.backup(target)
    add(store, "later")
    assert os.listdir(target.parent) == ["backup.db"]
    copy = fresh(target)
    assert copy.check() == []
    assert rows(target) == {
        **rows(store.path),
        **{name: rows(target)[name] for name in ("versions", "journal", "changes")},
    }
    assert [record.text for record in everything(copy)] == ["a", "b2"]
    assert ask(copy, Scan()).seq == ask(store, Scan()).seq - 1
    add(copy, "goes on")
    assert copy.residue_cleared
    with copy._connections.lend() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",), "readers would block writers"


def test_a_backup_overwrites_nothing(store: SqliteStore, tmp_path: Path) -> None:
    before = files(store.path)["r.db"]
    for target in (store.path, tmp_path):
        with pytest.raises(InvalidInput, match="overwrites nothing"):
            store.backup(target)
    assert files(store.path)["r.db"] == before
    with pytest.raises(StoreError):
        store.backup(tmp_path / "missing" / "backup.db")


def test_a_backup_holds_nothing_that_was_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fresh(tmp_path / "r.db")
    monkeypatch.setattr(connections, "_SETTINGS", ("secure_delete = OFF",))
    ids = [add(store, f"secret word number {number} " + "x" * 900)[0] for number in range(200)]
    monkeypatch.setattr(residue, "_compact", lambda _: None)
    ask(store, Erase(tuple(ids[::2])))
    store.backup(tmp_path / "backup.db")
    kept = {b"secret word number %d " % number for number in range(1, 200, 2)}
    gone = {b"secret word number %d " % number for number in range(0, 200, 2)}
    data = (tmp_path / "backup.db").read_bytes()
    assert all(text in data for text in kept)
    assert not any(text in data for text in gone)
    assert any(text in b"".join(files(tmp_path / "r.db").values()) for text in gone), "nothing was left to be copied"


def test_info_counts(store: SqliteStore) -> None:
    info = store.info()
    assert (info.path, info.layout, info.records, info.position) == (store.path, schema.VERSION, 4, store.position())
    assert info.rows["versions"] == 5
    assert info.rows["vocab"] == 2
    assert info.bytes["r.db"] == store.path.stat().st_size
    assert info.residue_cleared


def test_the_file_says_what_it_is(store: SqliteStore) -> None:
    store.close()
    header = store.path.read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == schema.APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == schema.VERSION
    assert header[18:20] == b"\x02\x02", "not in WAL mode"
    assert int.from_bytes(header[16:18], "big") == schema.PAGE_SIZE


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_a_durable_store_syncs_every_commit(tmp_path: Path, durable: bool, level: int) -> None:
    store = fresh(tmp_path / "r.db", durable=durable)
    with store._connections.lend() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
