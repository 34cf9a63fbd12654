from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.core.scope import Scope
from remanence.runtime.memory import Memory
from remanence.substrates.records.model import Edge
from remanence.substrates.records.operations import Edges, Link
from tests.runtime.conftest import Make

ENRICH = False


@pytest.fixture
def full(memory: Memory) -> Memory:
    """Versions of every kind: changed, corrected, ended, deleted, restored; strange texts, links, many scopes."""
    ids = [
        row["id"]
        for row in memory.add(
            ["one \ud800", "two \x00", "three", "four 🎉", "five"],
            user_id="ana",
            session_id="s1",
            metadata={"a": [1, None, {"b": "ü"}]},
            timestamp="2025-01-01T10:00:00+02:00",
        )["results"]
    ]
    memory.update(ids[0], "one, later", user_id="ana", valid_from="2025-06-01")
    memory.update(ids[0], "one, corrected", user_id="ana", correction=True)
    memory.update(ids[1], valid_to="2025-12-31", user_id="ana")
    memory.delete(ids[2], at="2025-03-01", user_id="ana")
    change = memory.delete(ids[3], user_id="ana")
    memory.undo(change, user_id="ana")
    memory.update(ids[3], "four, again", user_id="ana")
    memory.delete(ids[4], user_id="ana")
    memory.add("a note", user_id="ana", kind="note", speaker="Ana", language="en")
    memory.store.batch(
        [Link(Edge(ids[0], ids[1], "near", 0.5)), Link(Edge(ids[3], ids[0], "after"))], scope=Scope(user_id="ana")
    )
    memory.search("one", user_id="ana")
    memory.flush()
    memory.add("not hers", user_id="bob")
    return memory


def observed(memory: Memory) -> Any:
    """Everything about a scope that can be asked for, without the times at which this store learnt it."""

    def plain(item: Any) -> Any:
        return {key: value for key, value in item.items() if key not in ("updated_at", "created_at", "hits")}

    views: list[dict[str, Any]] = [{}, {"as_of": "2025-02-01"}, {"as_of": "2025-07-01"}, {"as_of": "2030-01-01"}]
    edges = memory.store.batch([Edges()], scope=Scope(user_id="ana")).results[0]
    return [
        [[plain(item) for item in memory.get_all(user_id="ana", **view)["results"]] for view in views],
        [
            [(item["id"], item["score"]) for item in memory.search("one two three", user_id="ana", **view)["results"]]
            for view in views
        ],
        edges,
    ]


def test_what_was_exported_can_be_read_into_an_empty_store(full: Memory, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "ana.jsonl"
    header = full.export(path, user_id="ana")
    assert (header["records"], header["edges"]) == (6, 2)
    assert json.loads(path.read_text().splitlines()[0])["sha256"] == header["sha256"]
    assert not path.with_name("ana.jsonl.part").exists()
    other = make(str(tmp_path / "other.db"))
    seen: list[tuple[int, int | None]] = []
    result = other.import_(path, progress=lambda done, total: seen.append((done, total)))
    assert (result["format"], result["imported"], result["edges"], result["skipped"]) == ("remanence", 6, 2, [])
    assert seen == [(6, 6)]
    assert observed(other) == observed(full)
    assert other.get_all(user_id="bob")["results"] == []


def test_an_import_can_be_repeated_and_undone(full: Memory, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "ana.jsonl"
    full.export(path, user_id="ana")
    other = make(str(tmp_path / "other.db"))
    first = other.import_(path)
    again = other.import_(path)
    assert (again["imported"], again["edges"], again["changes"]) == (0, 0, [])
    assert len(again["skipped"]) == 6
    for change in reversed(first["changes"]):
        other.undo(change, user_id="ana")
    assert other.get_all(user_id="ana")["results"] == []


def test_erased_memories_do_not_come_back_by_an_import(full: Memory, tmp_path: Path) -> None:
    path = tmp_path / "ana.jsonl"
    full.export(path, user_id="ana")
    full.erase(user_id="ana")
    result = full.import_(path)
    assert result["imported"] == 0
    assert len(result["skipped"]) == 6
    assert "erased" in result["skipped"][0]["reason"]


def test_streams_work_like_paths(full: Memory, make: Make, tmp_path: Path) -> None:
    stream = io.StringIO()
    full.export(stream, user_id="ana")
    path = tmp_path / "ana.jsonl"
    full.export(path, user_id="ana")
    stream.seek(0)
    assert stream.read().splitlines()[1:] == path.read_text().splitlines()[1:]
    stream.seek(0)
    assert make(str(tmp_path / "other.db")).import_(stream)["imported"] == 6


def test_exports_lie_within_the_scope_that_reads_them(full: Memory, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "ana.jsonl"
    full.export(path, user_id="ana")
    other = make(str(tmp_path / "other.db"))
    with pytest.raises(InvalidInput, match="outside"):
        other.import_(path, user_id="bob")
    with pytest.raises(InvalidInput, match="outside"):
        other.import_(path, user_id="ana", session_id="s1")
    assert other.get_all(user_id="ana")["results"] == []
    assert other.import_(path, user_id="ana")["imported"] == 6


def tamper(path: Path, line: int, new: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    lines[line] = new
    path.write_text("".join(lines))


def test_damaged_files_store_nothing(full: Memory, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "ana.jsonl"
    other = make(str(tmp_path / "other.db"))
    full.export(path, user_id="ana")
    good = path.read_text()
    for number, new in ((1, ""), (2, "{}\n"), (0, "[]\n"), (0, "no json\n"), (0, '{"format": "remanence-export"}\n')):
        path.write_text(good)
        tamper(path, number, new)
        with pytest.raises(ImportFormatError):
            other.import_(path, format="remanence")
    path.write_text(good[: len(good) // 2])
    with pytest.raises(ImportFormatError, match="damaged or incomplete"):
        other.import_(path)
    header = json.loads(good.splitlines()[0])
    path.write_text(good.replace(json.dumps(header), json.dumps({**header, "version": 99})))
    with pytest.raises(ImportFormatError, match="99"):
        other.import_(path)
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ImportFormatError, match="cannot read"):
            other.import_(missing)
    assert other.get_all(user_id="ana")["results"] == []


def test_every_field_is_checked_before_anything_is_stored(full: Memory, make: Make, tmp_path: Path) -> None:
    import hashlib

    stream = io.StringIO()
    full.export(stream, user_id="ana")
    header, *body = stream.getvalue().splitlines()
    other = make(str(tmp_path / "other.db"))
    line = json.loads(body[-3])
    for key, value in (
        ("id", "x"), ("text", 5), ("text", ""), ("state", "odd"), ("event_at", "soon"), ("scope", {}), ("scope", None),
        ("sources", [[1]]), ("meta", 7), ("version", "a"), ("kind", None), ("kind", "a b"), ("zone", 5), ("speaker", 5),
        ("role", []),
    ):  # fmt: skip
        changed = [*body[:-3], json.dumps({**line, key: value}), *body[-2:]]
        data = "".join(f"{part}\n" for part in changed)
        fixed = {**json.loads(header), "sha256": hashlib.sha256(data.encode()).hexdigest()}
        with pytest.raises((ImportFormatError, InvalidInput), match=f"line {len(body) - 1}"):
            other.import_(io.StringIO(json.dumps(fixed) + "\n" + data))
        assert other.get_all(user_id="ana")["results"] == [], key


def test_a_folder_that_is_not_there_is_named(full: Memory, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot write"):
        full.export(tmp_path / "no" / "such" / "folder.jsonl", user_id="ana")
