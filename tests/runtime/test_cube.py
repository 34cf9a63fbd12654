"""Scopes as portable files: everything comes back as it was, and nothing comes in that was tampered with."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.runtime.memory import Memory
from tests.runtime.conftest import Make


def filled(memory: Memory) -> Memory:
    memory.add(
        [
            {"role": "user", "content": "I live in Lisbon", "timestamp": "2025-01-01T10:00:00+00:00"},
            {"role": "user", "content": "I moved to Oslo", "timestamp": "2025-06-01T10:00:00+02:00"},
        ],
        user_id="ana",
        session_id="s1",
        metadata={"topic": "home", "ünï": [1, None]},
    )
    kept = memory.add("The key is under the pot 🪴", user_id="ana")["results"][0]["id"]
    memory.update(kept, "The key is in the shed", user_id="ana")
    gone = memory.add("Nothing of note", user_id="ana")["results"][0]["id"]
    memory.delete(gone, user_id="ana")
    memory.flush()
    return memory


def body(path: Path) -> dict[str, list[Any]]:
    """The lines of a cube's files."""
    with zipfile.ZipFile(path) as archive:
        return {
            name: [json.loads(line) for line in archive.read(name).splitlines()]
            for name in archive.namelist()
            if name.endswith(".jsonl")
        }


def test_what_comes_back_is_what_was(make: Make, tmp_path: Path) -> None:
    memory = filled(make())
    exported = memory.export(tmp_path / "a.cube", user_id="ana")
    assert exported["versions"] > exported["records"] >= 4
    with Memory(":memory:") as other:
        result = other.import_(tmp_path / "a.cube")
        assert (result["format"], result["imported"]) == ("cube", exported["records"])
        again = other.export(tmp_path / "b.cube", user_id="ana")
        assert body(tmp_path / "b.cube") == body(tmp_path / "a.cube")
        assert again["files"] == exported["files"]
        question = "where does Ana live?"
        assert [hit["id"] for hit in other.search(question, user_id="ana")["results"]] == [
            hit["id"] for hit in memory.search(question, user_id="ana")["results"]
        ]


def test_facts_come_along_and_are_not_made_twice(make: Make, tmp_path: Path) -> None:
    memory = filled(make())
    memory.export(tmp_path / "a.cube", user_id="ana")
    facts = [row["memory"] for row in memory.get_all(kinds="fact", user_id="ana")["results"]]
    assert facts, "there is nothing to compare"
    with Memory(":memory:") as other:
        other.import_(tmp_path / "a.cube")
        assert [row["memory"] for row in other.get_all(kinds="fact", user_id="ana")["results"]] == facts
        other.flush()
        assert [row["memory"] for row in other.get_all(kinds="fact", user_id="ana")["results"]] == facts


def test_the_same_memories_give_the_same_bytes(make: Make, tmp_path: Path) -> None:
    memory = filled(make())
    first, second = (memory.export(tmp_path / name, user_id="ana") for name in ("a.cube", "b.cube"))
    assert first["files"] == second["files"]


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def with_manifest(**fields: Any) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        files["manifest.json"] = json.dumps({**json.loads(files["manifest.json"]), **fields}).encode()

    return change


def flip(files: dict[str, bytes]) -> None:
    files["records.jsonl"] = files["records.jsonl"].replace(b"Lisbon", b"London")


def shorten(files: dict[str, bytes]) -> None:
    files["records.jsonl"] = files["records.jsonl"][:-1]


def lengthen(files: dict[str, bytes]) -> None:
    files["edges.jsonl"] += b"{}\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (flip, "records.jsonl is damaged"),
        (shorten, "records.jsonl is damaged"),
        (lengthen, "edges.jsonl is damaged"),
        (lambda files: files.pop("edges.jsonl"), "lacks the file edges.jsonl"),
        (with_manifest(format="other"), "does not say"),
        (with_manifest(version=99), "cube version 99"),
        (with_manifest(files={"records.jsonl": {}, "tensors/a": {}}), "holds the files"),
        (with_manifest(files=None), "holds the files none"),
        (with_manifest(files={"records.jsonl": 3, "edges.jsonl": None}), "is damaged"),
        (lambda files: files.update({"manifest.json": b"{"}), "cannot be read"),
    ],
)
def test_what_was_tampered_with_is_refused(
    make: Make, tmp_path: Path, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    filled(make()).export(tmp_path / "a.cube", user_id="ana")
    path = rewritten(tmp_path / "a.cube", change)
    with Memory(":memory:") as other:
        with pytest.raises(ImportFormatError, match=said):
            other.import_(path)
        assert other.get_all(user_id="ana")["results"] == []


def test_a_cube_that_was_cut_short_is_refused(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.cube"
    filled(make()).export(path, user_id="ana")
    path.write_bytes(path.read_bytes()[:-40])
    with Memory(":memory:") as other, pytest.raises(ImportFormatError):
        other.import_(path, format="cube")


def test_only_what_the_scope_covers_may_come_in(make: Make, tmp_path: Path) -> None:
    filled(make()).export(tmp_path / "a.cube", user_id="ana")
    with Memory(":memory:") as other:
        with pytest.raises(InvalidInput, match="outside of the scope"):
            other.import_(tmp_path / "a.cube", user_id="bob")
        assert other.get_all(user_id="bob")["results"] == []


def test_a_path_that_cannot_be_written_keeps_what_was_there(make: Make, tmp_path: Path) -> None:
    (tmp_path / "folder.cube").mkdir()
    with pytest.raises(InvalidInput, match="cannot write"):
        filled(make()).export(tmp_path / "folder.cube", user_id="ana")
    assert not (tmp_path / "folder.cube.part").exists()
