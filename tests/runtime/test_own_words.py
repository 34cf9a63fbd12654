"""What one message of a call says of itself is kept: metadata, times, kind, and a session of its own."""

from __future__ import annotations

from typing import Any

import pytest

from remanence.core.errors import InvalidInput
from remanence.runtime.memory import Memory


def rows(memory: Memory, **ids: Any) -> list[tuple[Any, ...]]:
    return [(one["memory"], one["metadata"], one["run_id"]) for one in memory.get_all(**ids)["results"]]


def test_metadata_and_session_of_a_message_are_kept(memory: Memory) -> None:
    result = memory.add(
        [
            {"role": "user", "content": "one", "metadata": {"topic": "tea", "n": 1}, "session_id": "spring"},
            {"role": "user", "content": "two", "run_id": "summer"},
            "three",
        ],
        metadata={"n": 0, "app": "chat"},
        user_id="ana",
    )
    assert rows(memory, user_id="ana") == [
        ("one", {"topic": "tea", "n": 1, "app": "chat"}, "spring"),
        ("two", {"n": 0, "app": "chat"}, "summer"),
        ("three", {"n": 0, "app": "chat"}, None),
    ]
    assert [row[0] for row in rows(memory, user_id="ana", session_id="spring")] == ["one"]
    assert memory.search("one", user_id="ana", filters={"topic": "tea"})["results"]
    assert [change["change"] for change in memory.changes(user_id="ana")] == [result["change"]], "one transaction"


def test_a_message_alone_is_one_too(memory: Memory) -> None:
    memory.add({"role": "user", "content": "one", "metadata": {"a": 1}, "session_id": "s"}, user_id="ana")
    assert rows(memory, user_id="ana") == [("one", {"a": 1}, "s")]


def test_add_and_add_many_keep_the_same(memory: Memory) -> None:
    messages = [
        {"role": "user", "content": "we moved", "metadata": {"a": 1}, "session_id": "s", "kind": "note",
         "valid_from": "2024-01-01", "valid_to": "2024-06-01", "language": "en"},
        {"role": "assistant", "content": "noted", "user_id": "ana", "agent_id": "bot", "metadata": None},
    ]  # fmt: skip
    memory.add(messages, user_id="ana")
    memory.add_many(messages, user_id="ana")
    found = memory.get_all(user_id="ana", as_of="2024-02-01")["results"] + memory.get_all(user_id="ana")["results"]
    shared = ("memory", "metadata", "user_id", "agent_id", "run_id", "kind", "valid_from", "valid_to", "language")
    kept = [
        tuple(item.get(name) for name in shared if name != "valid_from" or item["kind"] == "note") for item in found
    ]
    assert len(kept) == 4
    assert kept[0] == kept[1]
    assert kept[2] == kept[3]
    assert kept[0][1] == {"a": 1}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"user_id": "bob"}, r"message 1: user_id='bob' contradicts user_id='ana' of the call"),
        ({"session_id": "other"}, r"message 1: run_id='other' contradicts run_id='s' of the call"),
        ({"run_id": "s", "session_id": "t"}, "s"),
        ({"metadata": "tea"}, "message 1: metadata must be a mapping, not str"),
        ({"metadata": {"a": float("nan")}}, "metadata cannot be kept as JSON"),
        ({"kind": 7}, "message 1: kind=7 must be a string"),
        ({"agent_id": ""}, "agent_id"),
    ],
)
def test_contradictions_and_nonsense_store_nothing(memory: Memory, message: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        memory.add(["one", {"content": "two", **message}], user_id="ana", session_id="s")
    assert rows(memory, user_id="ana") == []


def test_the_default_of_the_memory_is_the_call_s(make: Any) -> None:
    memory = make(user_id="ana")
    with pytest.raises(InvalidInput, match="user_id='bob' contradicts user_id='ana'"):
        memory.add([{"content": "two", "user_id": "bob"}])


def test_what_is_no_memory_may_say_what_it_likes(memory: Memory) -> None:
    memory.add([{"role": "system", "content": "be kind", "user_id": "bob", "metadata": 7}, "one"], user_id="ana")
    assert rows(memory, user_id="ana") == [("one", {}, None)]
