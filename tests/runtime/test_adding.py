from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from remanence.core.errors import InvalidInput, InvalidTime, ScopeRequired
from remanence.core.ids import is_ulid
from remanence.runtime.memory import Memory
from tests.runtime.conftest import START


def texts(memory: Memory, **ids: Any) -> list[str]:
    return [item["memory"] for item in memory.get_all(limit=1000, **ids)["results"]]


def test_a_string_is_remembered_and_found_at_once(memory: Memory) -> None:
    result = memory.add("I keep the spare key under the blue pot", user_id="ana")
    (row,) = result["results"]
    assert is_ulid(row["id"])
    assert row["event"] == "ADD"
    assert row["searchable"] is True
    assert row["memory"] == "I keep the spare key under the blue pot"
    assert is_ulid(result["change"])
    found = memory.search("where is the spare key?", user_id="ana")["results"]
    assert [item["id"] for item in found] == [row["id"]]


def test_what_comes_back_has_the_shape_of_the_field(memory: Memory) -> None:
    memory.add("tea, please", user_id="ana", agent_id="bot", metadata={"mood": "calm"}, speaker="Ana")
    (item,) = memory.search("tea", user_id="ana")["results"]
    fields = "id memory score metadata created_at updated_at hash user_id agent_id run_id app_id role actor_id"
    assert {*fields.split(), "kind", "version", "sources", "event_at", "valid_from", "valid_to"} <= item.keys()
    assert item["metadata"] == {"mood": "calm"}
    assert (item["user_id"], item["agent_id"], item["run_id"]) == ("ana", "bot", None)
    assert (item["speaker"], item["actor_id"], item["role"]) == ("Ana", "Ana", "user")
    assert 0 < item["score"] < 1
    assert (item["version"], item["kind"], item["sources"], item["valid_to"]) == (1, "turn", [], None)
    assert datetime.fromisoformat(item["event_at"]) >= START


def test_a_list_of_messages_keeps_order_roles_names_and_times(memory: Memory) -> None:
    result = memory.add(
        [
            {"role": "user", "name": "Ana", "content": "We live in Lisbon", "timestamp": "2025-03-01T18:00:00+01:00"},
            {"role": "assistant", "content": [{"type": "text", "text": "Noted!"}], "timestamp": 1740848405},
            {"role": "user", "content": "Thanks"},
        ],
        user_id="ana",
        session_id="spring",
        timestamp="2025-03-02",
    )
    assert [row["event"] for row in result["results"]] == ["ADD", "ADD", "ADD"]
    first, second, third = memory.get_all(user_id="ana")["results"]
    assert (first["memory"], first["speaker"], first["role"]) == ("We live in Lisbon", "Ana", "user")
    assert first["event_at"] == "2025-03-01T17:00:00+00:00"
    assert first["zone"] == "+01:00"
    assert first["run_id"] == "spring"
    assert (second["memory"], second["event_at"]) == ("Noted!", "2025-03-01T17:00:05+00:00")
    assert third["event_at"] == "2025-03-02T00:00:00+00:00"
    assert third["zone"] is None


def test_the_zone_of_a_datetime_is_kept_by_name(memory: Memory) -> None:
    memory.add("good morning", user_id="ana", timestamp=datetime(2026, 1, 5, 8, 30, tzinfo=ZoneInfo("Europe/Oslo")))
    (item,) = memory.get_all(user_id="ana")["results"]
    assert (item["event_at"], item["zone"]) == ("2026-01-05T07:30:00+00:00", "Europe/Oslo")


def test_what_is_not_stored_says_why(memory: Memory) -> None:
    result = memory.add(
        [
            {"role": "system", "content": "You are a pirate"},
            {"role": "user", "content": ""},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            {"role": "user", "content": "ahoy"},
        ],
        user_id="ana",
    )
    assert [row["event"] for row in result["results"]] == ["NONE", "NONE", "NONE", "ADD"]
    assert all(row["reason"] for row in result["results"][:3])
    assert "id" not in result["results"][0]
    assert texts(memory, user_id="ana") == ["ahoy"]


def test_nothing_to_store_is_no_change(memory: Memory) -> None:
    assert memory.add([], user_id="ana")["results"] == []
    result = memory.add([{"role": "system", "content": "be brief"}], user_id="ana")
    assert result["change"] is None
    assert memory.changes(user_id="ana") == []


def test_recalled_memories_are_not_remembered_again(memory: Memory) -> None:
    memory.add("The boiler was repaired by Tom", user_id="ana")
    block = memory.context("who repaired the boiler?", user_id="ana")
    assert "Tom" in block
    result = memory.add(
        [{"role": "user", "content": block}, {"role": "user", "content": f"{block}\n\nwho was it?"}], user_id="ana"
    )
    assert [row["event"] for row in result["results"]] == ["NONE", "ADD"]
    assert texts(memory, user_id="ana") == ["The boiler was repaired by Tom", "\n\nwho was it?"]


def test_other_parts_than_text_leave_a_trace(memory: Memory) -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "…"}},
    ]
    memory.add({"role": "user", "content": parts}, user_id="ana")
    assert texts(memory, user_id="ana") == ["look\n[image]\n[audio]"]


def test_validity_kind_and_language_are_kept(memory: Memory) -> None:
    memory.add(
        "Parking permit", user_id="ana", kind="note", language="en", valid_from="2026-01-01", valid_to="2026-12-31"
    )
    (item,) = memory.get_all(user_id="ana", kinds="note")["results"]
    assert item["valid_from"].startswith("2026-01-01")
    assert item["valid_to"] is not None
    assert item["valid_to"].startswith("2026-12-31")
    assert (item["kind"], item["language"]) == ("note", "en")
    assert memory.get_all(user_id="ana", kinds=["fact"])["results"] == []


def test_infer_makes_no_difference(memory: Memory) -> None:
    memory.add("word for word", user_id="ana", infer=False)
    memory.add("as it was said", user_id="ana", infer=True)
    assert texts(memory, user_id="ana") == ["word for word", "as it was said"]


# add_many


def test_many_messages_of_many_scopes_keep_their_order(memory: Memory) -> None:
    items = [{"content": f"message {n}", "user_id": f"u{n % 3}", "timestamp": n + 1} for n in range(25)]
    seen: list[tuple[int, int | None]] = []
    result = memory.add_many(items, batch_size=10, progress=lambda done, total: seen.append((done, total)))
    assert result["count"] == 25
    assert seen == [(10, 25), (20, 25), (25, 25)]
    assert len(set(result["ids"])) == 25
    assert texts(memory, user_id="u1") == [f"message {number}" for number in range(1, 25, 3)]
    third = memory.get(str(result["ids"][4]), user_id="u1")
    assert third is not None
    assert third["memory"] == "message 4"
    assert third["event_at"] == "1970-01-01T00:00:05+00:00"


def test_a_shared_app_makes_one_change_per_batch(memory: Memory) -> None:
    items = [{"content": f"m{n}", "user_id": f"u{n}", "app_id": "desk"} for n in range(8)]
    assert len(memory.add_many(items, batch_size=4)["changes"]) == 2
    assert len(texts(memory, app_id="desk")) == 8


def test_conversations_and_strings_can_be_mixed(memory: Memory) -> None:
    result = memory.add_many(
        iter(
            [
                "just text",
                {
                    "messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "x"}],
                    "session_id": "s1",
                    "timestamp": "2025-01-01",
                    "metadata": {"from": "log"},
                },
                {"content": "a fact", "kind": "fact"},
            ]
        ),
        user_id="ana",
    )
    assert result["count"] == 3
    assert [id is None for id in result["ids"]] == [False, False, True, False]
    assert result["skipped"] == [{"item": 1, "reason": "system messages are instructions, not memories"}]
    assert texts(memory, user_id="ana", session_id="s1") == ["hi"]
    (hi,) = memory.get_all(user_id="ana", session_id="s1")["results"]
    assert (hi["event_at"][:10], hi["metadata"]) == ("2025-01-01", {"from": "log"})


def test_an_error_says_where_and_how_much_is_stored(memory: Memory) -> None:
    items = [{"content": f"good {n}"} for n in range(5)] + [{"content": 7}]
    with pytest.raises(InvalidInput, match=r"item 5: .*4 messages before it are stored"):
        memory.add_many(items, user_id="ana", batch_size=2)
    assert texts(memory, user_id="ana") == [f"good {n}" for n in range(4)]


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ("one string", InvalidInput),
        ({"content": "a mapping"}, InvalidInput),
        (7, InvalidInput),
        ([{"content": "x", "userid": "bob"}], InvalidInput),
        ([{"content": "x", "user_id": "bob"}], InvalidInput),
        ([{"content": "x", "messages": []}], InvalidInput),
        ([{"content": "x", "timestamp": "soon"}], InvalidTime),
        ([{"content": "x", "metadata": {"a": float("nan")}}], InvalidInput),
        ([None], InvalidInput),
    ],
)
def test_bad_items_store_nothing(memory: Memory, items: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        memory.add_many(items, user_id="ana")
    assert texts(memory, user_id="ana") == []


def test_every_item_needs_somebody_to_belong_to(memory: Memory) -> None:
    with pytest.raises(ScopeRequired):
        memory.add_many([{"content": "x"}])


@pytest.mark.parametrize("size", [0, -1, True, 2.5, 10**9])
def test_batch_sizes_are_checked(memory: Memory, size: Any) -> None:
    with pytest.raises(InvalidInput, match="batch_size"):
        memory.add_many(["x"], user_id="ana", batch_size=size)


def test_a_failing_iterable_keeps_what_was_committed(memory: Memory) -> None:
    def broken() -> Any:
        yield "one"
        yield "two"
        raise OSError("the pipe broke")

    with pytest.raises(OSError, match="the pipe broke"):
        memory.add_many(broken(), user_id="ana", batch_size=1)
    assert texts(memory, user_id="ana") == ["one", "two"]


def test_times_of_the_call_are_read_once_and_kept_in_utc(memory: Memory) -> None:
    memory.add("x", user_id="ana", timestamp=datetime(2020, 1, 1, tzinfo=UTC))
    (item,) = memory.get_all(user_id="ana")["results"]
    assert item["event_at"] == "2020-01-01T00:00:00+00:00"
