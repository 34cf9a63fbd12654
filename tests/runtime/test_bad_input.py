"""Whatever is passed: either it is kept exactly, or it is refused by name and nothing is stored."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import InvalidFilter, InvalidInput, InvalidTime, NotFound, RemanenceError, ScopeRequired
from remanence.runtime.memory import Memory

KEPT = {
    "emoji": "🎉 party 👩‍👩‍👧‍👦",
    "right to left": "שלום עולם مرحبا بالعالم",
    "chinese": "我们搬到了卑尔根",
    "thai": "ฉันย้ายไปเชียงใหม่",
    "nul": "before\x00after",
    "surrogate": "half \ud83d of a pair",
    "controls": "\x01\x02\x7f\u2028line\u2029paragraph",
    "markup": "<script>'; DROP TABLE versions; --%_\\",
    "newlines": "a\r\nb\n\n\tc",
    "long": "word " * 20_000,
}

REFUSED_MESSAGES: list[Any] = [
    None, 7, 3.5, True, b"bytes", object(), {"role": "user"}, {}, "", "   ", "\n\t", {"content": ""},
    {"role": 5, "content": "x"}, {"content": "x", "name": ["a"]}, [None], [7], [[]], [{"role": "user"}],
    {"content": [{"text": "no type"}]}, {"content": [{"type": "text"}]}, {"content": [{"type": "text", "text": 5}]},
    {"content": [7]}, {"content": 7}, {"content": {"type": 3}}, {"content": b"x"}, {1, 2},
]  # fmt: skip


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT.keys())
def test_strange_texts_come_back_exactly(memory: Memory, text: str) -> None:
    (row,) = memory.add(text, user_id="ana", metadata={"same": text})["results"]
    item = memory.get(row["id"], user_id="ana")
    assert item is not None
    assert item["memory"] == text
    assert item["metadata"] == {"same": text}
    assert memory.search(text[:2000], user_id="ana")["results"][0]["id"] == row["id"]


@pytest.mark.parametrize(
    "address", ["mysql://host/db", "postgresql+psycopg://host/db", "file:///m.db", "s3://bucket/m"]
)
def test_an_address_of_something_else_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=re.escape(address.partition("//")[0])):
        Memory(address)
    assert list(tmp_path.iterdir()) == []
    with Memory("./" + address) as memory:
        assert memory.add("kept in a file of a strange name", user_id="ana")["results"]


@pytest.mark.parametrize("messages", REFUSED_MESSAGES, ids=lambda value: repr(value)[:40])
def test_what_is_no_message_is_refused(memory: Memory, messages: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add(messages, user_id="ana")
    assert memory.get_all(user_id="ana")["results"] == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": float("nan")},
        {"a": float("inf")},
        {1: 2},
        {"a": object()},
        {"a": b"x"},
        ["list"],
        "text",
        7,
        {"a": "x" * 2**21},
    ],
    ids=lambda value: repr(value)[:30],
)
def test_metadata_that_is_no_json_is_refused(memory: Memory, metadata: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add("x", user_id="ana", metadata=metadata)
    assert memory.get_all(user_id="ana")["results"] == []


@pytest.mark.parametrize(
    "when",
    ["soon", "", "2026-13-01", "0000-01-01", float("nan"), float("inf"), 1e300, True, [], {}, b"2026", "2026-02-30"],
    ids=repr,
)
def test_times_that_cannot_be_read_are_refused(memory: Memory, when: Any) -> None:
    for verb in (
        lambda: memory.add("x", user_id="ana", timestamp=when),
        lambda: memory.add({"content": "x", "timestamp": when}, user_id="ana"),
        lambda: memory.add("x", user_id="ana", valid_from=when),
        lambda: memory.search("x", user_id="ana", as_of=when),
        lambda: memory.get_all(user_id="ana", known_at=when),
    ):
        with pytest.raises(InvalidTime):
            verb()
    assert memory.get_all(user_id="ana")["results"] == []


@pytest.mark.parametrize(
    "when",
    ["0001-01-01", "9999-12-31T23:59:59.999999", datetime(1, 1, 1, tzinfo=UTC), "2999-06-01", 0, -1, 253402300799],
)
def test_times_at_the_edges_of_the_calendar_are_kept(memory: Memory, when: Any) -> None:
    memory.add("far away", user_id="ana", timestamp=when)
    (item,) = memory.search("far away", user_id="ana")["results"]
    own = {key: value for key, value in item.items() if key not in ("score", "facts", "superseded")}
    assert memory.get(item["id"], user_id="ana") == own | {"hits": 0}
    memory.delete(item["id"], user_id="ana")
    assert memory.search("far away", user_id="ana")["results"] == []


@pytest.mark.parametrize(
    "option",
    [
        {"kind": None}, {"kind": 5}, {"kind": ""}, {"kind": "two words"}, {"role": 5}, {"role": None}, {"speaker": 5},
        {"language": 5}, {"metadata": 0}, {"metadata": []}, {"valid_from": "2026-01-02", "valid_to": "2026-01-01"},
    ],
    ids=repr,
)  # fmt: skip
def test_options_of_the_wrong_type_are_refused(memory: Memory, option: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add("x", user_id="ana", **option)
    if not option.keys() & {"speaker", "role"} and None not in option.values():
        with pytest.raises(InvalidInput):
            memory.add_many([{"content": "x", **option}], user_id="ana")
    assert memory.get_all(user_id="ana")["results"] == []


@pytest.mark.parametrize("query", [None, 7, "", "  ", b"x", ["x"]], ids=repr)
def test_queries_have_to_be_words(memory: Memory, query: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.search(query, user_id="ana")
    with pytest.raises(InvalidInput):
        memory.context(query, user_id="ana")


@pytest.mark.parametrize("query", ["???", "x" * 200_000, "the " * 20_000, "\x00", "\ud800", "🎉", "%_*'\"\\", "-- "])
def test_odd_queries_are_answered(memory: Memory, query: str) -> None:
    memory.add_many([f"sentence number {n}" for n in range(30)], user_id="ana")
    assert len(memory.search(query, user_id="ana")["results"]) == 10


@pytest.mark.parametrize("limit", [-1, True, 2.5, "3", 2**40])
def test_limits_are_whole_numbers(memory: Memory, limit: Any) -> None:
    for verb in (
        lambda: memory.search("x", user_id="ana", limit=limit),
        lambda: memory.search("x", user_id="ana", top_k=limit),
        lambda: memory.get_all(user_id="ana", limit=limit),
        lambda: memory.changes(user_id="ana", limit=limit),
    ):
        with pytest.raises(InvalidInput, match="limit"):
            verb()


def test_limits_may_be_zero_or_larger_than_what_is_there(memory: Memory) -> None:
    memory.add_many(["one", "two", "three"], user_id="ana")
    assert memory.search("one", user_id="ana", limit=0)["results"] == []
    assert memory.get_all(user_id="ana", limit=0) == {"results": [], "next": None}
    assert memory.changes(user_id="ana", limit=0) == []
    assert len(memory.search("one", user_id="ana", limit=10**6)["results"]) == 3
    assert len(memory.search("one", user_id="ana", limit=1)["results"]) == 1
    with pytest.raises(InvalidInput, match="synonyms"):
        memory.search("one", user_id="ana", limit=1, top_k=2)


@pytest.mark.parametrize("id", [None, 7, "", b"x", ["x"]], ids=repr)
def test_ids_of_memories_are_strings(memory: Memory, id: Any) -> None:
    for verb in (
        lambda: memory.update(id, "x", user_id="ana"),
        lambda: memory.delete(id, user_id="ana"),
        lambda: memory.history(id, user_id="ana"),
    ):
        with pytest.raises((InvalidInput, NotFound)):
            verb()
    with pytest.raises((InvalidInput, NotFound)):
        memory.erase([id], user_id="ana")


@pytest.mark.parametrize(
    "filters",
    [{"speaker": {"like": "x"}}, {"$bogus": 1}, {"AND": "x"}, [], "x", 7, {"speaker": {}}, {3: 4}],
    ids=repr,
)
def test_filters_that_cannot_be_read_are_refused(memory: Memory, filters: Any) -> None:
    with pytest.raises(InvalidFilter):
        memory.search("x", user_id="ana", filters=filters)
    with pytest.raises(InvalidFilter):
        memory.get_all(user_id="ana", filters=filters)


def test_unknown_arguments_are_named(memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="'limt'"):
        memory.search("x", user_id="ana", limt=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match="'userid'"):
        memory.add("x", userid="ana")  # type: ignore[call-arg]


def test_without_a_scope_nothing_works(memory: Memory) -> None:
    verbs: list[Any] = [
        lambda: memory.add("x"), lambda: memory.search("x"), lambda: memory.context("x"), lambda: memory.get("x"),
        memory.get_all, lambda: memory.update("x", "y"), lambda: memory.delete("x"), memory.delete_all,
        lambda: memory.history("x"), lambda: memory.undo("x"), memory.changes, memory.erase, memory.stats,
        lambda: memory.export("x"), memory.rebuild, memory.reembed, memory.receipts,
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(ScopeRequired):
            verb()


@pytest.mark.parametrize(
    "id", ["", "x" * 600, "nul\x00", "\ud800", True, 1.5, b"x"], ids=lambda value: repr(value)[:20]
)
def test_scope_ids_that_no_store_can_keep_are_refused(memory: Memory, id: Any) -> None:
    with pytest.raises(InvalidInput):
        memory.add("x", user_id=id)
    with pytest.raises(InvalidInput):
        memory.search("x", filters={"user_id": id})


@pytest.mark.parametrize("threshold", ["0.5", True, [], float("nan")], ids=repr)
def test_thresholds_are_numbers(memory: Memory, threshold: Any) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        memory.search("x", user_id="ana", threshold=threshold)


def test_every_error_is_one_of_the_project(memory: Memory) -> None:
    for value in (None, 7, object(), b""):
        with pytest.raises(RemanenceError):
            memory.add(value, user_id="ana")  # type: ignore[arg-type]
