"""Files that other assistants and memory layers let their users take along."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import ImportFormatError
from remanence.runtime.memory import Memory


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", user_id="ana") as opened:
        yield opened


def node(id: str, parent: str | None, role: str = "user", text: object = "", **message: Any) -> dict[str, Any]:
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    return {
        "id": id,
        "parent": parent,
        "children": [],
        "message": {"id": id, "author": {"role": role}, "create_time": 1736209400.5, "content": content, **message},
    }


def tree(*nodes: dict[str, Any], leaf: str | None = None) -> dict[str, Any]:
    mapping: dict[str, dict[str, Any]] = {"root": {"id": "root", "parent": None, "children": [], "message": None}}
    mapping |= {one["id"]: one for one in nodes}
    for one in nodes:
        mapping[one["parent"]]["children"].append(one["id"])
    return {"title": "Moving", "create_time": 1736209400, "mapping": mapping, "current_node": leaf, "id": "c1"}


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def texts(memory: Memory) -> list[str]:
    return [item["memory"] for item in memory.get_all()["results"]]


CHATGPT = tree(
    node("s", "root", "system", "You are helpful."),
    node("a", "s", "user", "I live in Oslo"),
    node("a2", "s", "user", "I live in Bergen"),
    node("b", "a2", "assistant", "Nice and rainy."),
    node("t", "b", "assistant", {"content_type": "code", "text": "search('x')"}, recipient="browser"),
    node("h", "t", "user", "profile", metadata={"is_visually_hidden_from_conversation": True}),
    node("p", "h", "user", {"content_type": "multimodal_text", "parts": [{"asset_pointer": "file"}, "My view"]}),
    leaf="p",
)


def test_chatgpt_gives_the_branch_that_was_seen(memory: Memory, tmp_path: Path) -> None:
    result = memory.import_(write(tmp_path / "conversations.json", [CHATGPT]))
    assert result["format"] == "chatgpt"
    assert texts(memory) == ["I live in Bergen", "Nice and rainy.", "My view"]
    first = memory.get_all()["results"][0]
    assert first["role"] == "user"
    assert first["event_at"].startswith("2025-01-07T00:23:20.5")
    assert first["run_id"] == "chatgpt/c1"
    assert first["metadata"] == {"title": "Moving", "message_id": "a2"}


def test_without_a_current_node_the_last_branch_counts(memory: Memory, tmp_path: Path) -> None:
    memory.import_(write(tmp_path / "c.json", [{**CHATGPT, "current_node": None}]), format="chatgpt")
    assert texts(memory) == ["I live in Bergen", "Nice and rainy.", "My view"]


def test_a_tree_that_bites_its_tail_ends(memory: Memory, tmp_path: Path) -> None:
    looped = tree(node("a", "root", "user", "round"), node("b", "a", "user", "and round"), leaf="b")
    looped["mapping"]["a"]["parent"] = "b"
    looped["mapping"]["b"]["children"] = ["a"]
    memory.import_(write(tmp_path / "c.json", [looped]))
    assert sorted(texts(memory)) == ["and round", "round"]


def test_zip_as_it_was_downloaded(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export/user.json", "{}")
        archive.writestr("export/conversations-000.json", json.dumps([CHATGPT]))
        archive.writestr("export/conversations-001.json", json.dumps([{**CHATGPT, "id": "c2"}]))
    assert memory.import_(path)["imported"] == 6


def overwritten(data: bytes) -> bytes:
    """The same beginning and end, and nothing sensible between."""
    return data[:4] + b"\xff" * (len(data) - 30) + data[-26:]


@pytest.mark.parametrize("damage", [lambda data: data[:-30], overwritten])
def test_a_damaged_zip_stores_nothing(memory: Memory, tmp_path: Path, damage: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("conversations.json", json.dumps([CHATGPT]))
    path = tmp_path / "export.zip"
    path.write_bytes(damage(buffer.getvalue()))
    with pytest.raises(ImportFormatError, match="nothing was stored"):
        memory.import_(path)
    assert texts(memory) == []


CLAUDE = {
    "uuid": "k1",
    "name": "Allergies",
    "created_at": "2025-02-01T10:00:00.000000Z",
    "chat_messages": [
        {
            "uuid": "m1", "sender": "human", "created_at": "2025-02-01T10:00:01Z", "text": "old form",
            "content": [{"type": "text", "text": "I am allergic to kiwi"}],
            "attachments": [{"file_name": "list.txt", "extracted_content": "kiwi, nuts"}],
        },
        {"uuid": "m2", "sender": "assistant", "created_at": "2025-02-01T10:00:09Z", "text": "Noted.", "content": []},
        {"uuid": "m3", "sender": "human", "text": "", "content": [{"type": "tool_result", "content": []}]},
    ],
}  # fmt: skip


def test_claude_with_attachments(memory: Memory, tmp_path: Path) -> None:
    assert memory.import_(write(tmp_path / "conversations.json", [CLAUDE]))["format"] == "claude"
    assert texts(memory) == ["I am allergic to kiwi\n[file: list.txt]\nkiwi, nuts", "Noted."]
    first = memory.get_all()["results"][0]
    assert (first["event_at"][:19], first["run_id"]) == ("2025-02-01T10:00:01", "claude/k1")


MEM0 = {
    "results": [
        {
            "id": "9a", "memory": "Likes kiwi", "user_id": "bob", "created_at": "2025-01-01T00:00:00-08:00",
            "metadata": {"topic": "food"}, "categories": ["food"], "score": 0.4, "hash": "ff",
        },
        {"id": "9b", "memory": "Works at Acme", "user_id": "bob", "run_id": "r7", "expiration_date": "2099-01-01"},
    ]
}  # fmt: skip


def test_mem0_keeps_whose_each_memory_is(tmp_path: Path) -> None:
    with Memory(":memory:") as memory:
        assert memory.import_(write(tmp_path / "mem0.json", MEM0))["format"] == "mem0"
        (first, second) = memory.get_all(user_id="bob")["results"]
    assert str(first["event_at"]).startswith("2025-01-01T08:00")
    assert first["metadata"] == {"topic": "food", "categories": ["food"], "hash": "ff", "mem0_id": "9a"}
    assert second["run_id"] == "r7"
    assert str(second["valid_to"]).startswith("2099-01-01")


def test_the_call_says_whose_it_is(memory: Memory, tmp_path: Path) -> None:
    memory.import_(write(tmp_path / "mem0.json", MEM0))
    assert texts(memory) == ["Likes kiwi", "Works at Acme"]
    assert memory.get_all(user_id="bob")["results"] == []


def test_mem0_as_json_lines_and_as_payloads(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "mem0.jsonl"
    path.write_text('{"id": "1", "memory": "a b"}\n\n{"id": "2", "payload": {"data": "c d", "user_id": "x"}}\n')
    assert memory.import_(path)["imported"] == 2
    assert texts(memory) == ["a b", "c d"]


LANGGRAPH = [
    {"namespace": ["memories", "ana"], "key": "k1", "value": {"kind": "Memory", "content": {"content": "Is vegan"}},
     "created_at": "2025-03-01T00:00:00+00:00", "updated_at": "2025-03-02T00:00:00+00:00"},
    {"namespace": ["profile"], "key": "k2", "value": {"name": "Ana", "langs": ["pt"]}},
]  # fmt: skip


def test_langgraph_items_and_langmem_memories(memory: Memory, tmp_path: Path) -> None:
    assert memory.import_(write(tmp_path / "items.json", LANGGRAPH))["format"] == "langgraph"
    assert texts(memory) == ["Is vegan", '{"langs": ["pt"], "name": "Ana"}']
    assert memory.get_all()["results"][0]["metadata"]["namespace"] == ["memories", "ana"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("chatgpt", [{"title": "x"}]),
        ("chatgpt", [{"mapping": {}}, 3]),
        ("claude", [{"chat_messages": [{"sender": "dog"}]}]),
        ("mem0", {"results": [{"memory": "  "}]}),
        ("mem0", ["text"]),
        ("langgraph", [{"namespace": [], "value": "x"}]),
        ("chatgpt", "nonsense"),
    ],
)
def test_what_is_no_such_item_is_named(memory: Memory, tmp_path: Path, name: str, data: object) -> None:
    path = write(tmp_path / "f.json", data)
    with pytest.raises(ImportFormatError, match="nothing was stored"):
        memory.import_(path, format=name)
    assert texts(memory) == []
    assert memory.import_(path, format=name, skip_bad=True)["bad"] >= 1


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[[[" * 100_000, b"{", b"[1, 2]", b"{}"])
def test_what_is_no_such_file_is_refused(memory: Memory, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(content)
    with pytest.raises(ImportFormatError):
        memory.import_(path)
    assert texts(memory) == []
