"""mem0's interface: call shapes of 1.x and 2.x side by side, item and history fields, filters, errors, concurrency."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.compat.mem0 import AsyncMemory, Memory
from remanence.compat.mem0_shapes import MemoryNotFound
from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidFilter, InvalidInput, NotFound, RemanenceError, ScopeRequired

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEM = {"id", "memory", "hash", "metadata", "created_at", "updated_at"}
ROW = {*"id memory_id old_memory new_memory event created_at updated_at is_deleted actor_id role".split()}


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock(START)


@pytest.fixture
def memory(clock: SteppingClock) -> Iterator[Memory]:
    with Memory(path=":memory:", clock=clock) as memory:
        memory.add("Ana likes green tea", user_id="ana", run_id="r1", metadata={"topic": "drinks", "n": 1})
        memory.add("Ana plays the violin", user_id="ana", agent_id="desk", metadata={"topic": "music", "n": 2})
        memory.add("Bob likes black coffee", user_id="bob", metadata={"topic": "drinks", "n": 3})
        yield memory


def texts(answer: dict[str, Any]) -> list[str]:
    return [row["memory"] for row in answer["results"]]


@pytest.mark.parametrize(
    "messages",
    ["I moved to Oslo", ["I moved to Oslo"], {"role": "user", "content": "I moved to Oslo"},
     [{"role": "user", "content": "I moved to Oslo"}],
     [{"role": "user", "content": [{"type": "text", "text": "I moved to Oslo"}]}],
     [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "I moved to Oslo", "name": "Ana"}]],
)  # fmt: skip
def test_add_takes_all_shapes_of_messages(messages: Any) -> None:
    with Memory(path=":memory:") as memory:
        added = memory.add(messages, user_id="ana", infer=False)
        assert [(set(row), row["memory"], row["event"]) for row in added["results"]] == [
            ({"id", "memory", "event", "role", "actor_id"}, "I moved to Oslo", "ADD")
        ]
        assert texts(memory.get_all(filters={"user_id": "ana"})) == ["I moved to Oslo"]


def test_add_says_who_spoke_as_mem0_does_without_inference(memory: Memory) -> None:
    said = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "I play chess", "name": "Ana"},
        {"role": "assistant", "content": ""}, {"role": "assistant", "content": "Noted"},
    ]  # fmt: skip
    rows = memory.add(said, user_id="ana", infer=False)["results"]
    assert [(row["memory"], row["role"], row["actor_id"]) for row in rows] == [
        ("I play chess", "user", "Ana"), ("Noted", "assistant", None),
    ]  # fmt: skip


SEARCHES: list[tuple[str, Callable[[Memory], dict[str, Any]]]] = [
    ("1.x", lambda m: m.search("what does she drink?", user_id="ana", limit=1)),
    ("1.x with filters", lambda m: m.search("she drinks?", user_id="ana", limit=1, filters={"topic": "drinks"})),
    ("1.x with threshold", lambda m: m.search("drink tea", user_id="ana", limit=1, threshold=0.0, rerank=True)),
    ("2.x", lambda m: m.search("what does she drink?", filters={"user_id": "ana"}, top_k=1)),
    ("2.x with a condition", lambda m: m.search("drink?", filters={"user_id": "ana", "n": {"eq": 1}}, top_k=1)),
    ("2.x in AND", lambda m: m.search("drink?", filters={"AND": [{"user_id": "ana"}, {"run_id": "r1"}]}, top_k=1)),
    ("2.x explained", lambda m: m.search("green tea", filters={"user_id": "ana"}, top_k=1, explain=True)),
    ("both", lambda m: m.search("green tea", user_id="ana", filters={"user_id": "ana"}, limit=1, top_k=1)),
    ("session_id", lambda m: m.search("drink?", filters={"session_id": "r1"}, top_k=1)),
    ("by a set of owners", lambda m: m.search("green tea", filters={"user_id": {"in": ["ana", "eva"]}}, top_k=1)),
    ("blanks", lambda m: m.search(" green tea ", user_id=" ana ", limit=1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call"), SEARCHES, ids=[name for name, _ in SEARCHES])
def test_search_in_all_call_shapes(memory: Memory, name: str, call: Callable[[Memory], dict[str, Any]]) -> None:
    answer = call(memory)
    assert texts(answer) == ["Ana likes green tea"]
    (row,) = answer["results"]
    assert set(row) >= {*ITEM, "score", "user_id", "run_id", "role"}
    assert "agent_id" not in row
    assert 0 <= row["score"] <= 1
    assert ("score_details" in row) == (name == "2.x explained")


LISTS: list[tuple[str, Callable[[Memory], dict[str, Any]], int]] = [
    ("1.x", lambda m: m.get_all(user_id="ana"), 2),
    ("1.x limit", lambda m: m.get_all(user_id="ana", limit=1), 1),
    ("1.x agent", lambda m: m.get_all(agent_id="desk"), 1),
    ("1.x user and agent", lambda m: m.get_all(user_id="bob", agent_id="desk"), 0),
    ("2.x", lambda m: m.get_all(filters={"user_id": "ana"}), 2),
    ("2.x top_k", lambda m: m.get_all(filters={"user_id": "ana"}, top_k=1), 1),
    ("2.x wildcard", lambda m: m.get_all(filters={"user_id": "*"}), 3),
    ("2.x wildcard agent", lambda m: m.get_all(filters={"agent_id": "*"}), 1),
    ("2.x or", lambda m: m.get_all(filters={"OR": [{"user_id": "bob"}, {"agent_id": "desk"}]}), 2),
    ("2.x not", lambda m: m.get_all(filters={"user_id": "ana", "NOT": [{"topic": "music"}]}), 1),
    ("nobody", lambda m: m.get_all(user_id="eva"), 0),
]


@pytest.mark.parametrize(("name", "call", "count"), LISTS, ids=[name for name, _, _ in LISTS])
def test_get_all_in_all_call_shapes(
    memory: Memory, name: str, call: Callable[[Memory], dict[str, Any]], count: int
) -> None:
    rows = call(memory)["results"]
    assert len(rows) == count
    assert all(set(row) >= ITEM and "score" not in row for row in rows)


@pytest.mark.parametrize(
    ("condition", "found"),
    [({"n": {"eq": 1}}, {1}), ({"n": {"ne": 1}}, {2, 3}), ({"n": {"in": [1, 3]}}, {1, 3}),
     ({"n": {"nin": [1, 3]}}, {2}),
     ({"n": {"gt": 1}}, {2, 3}), ({"n": {"gte": 2}}, {2, 3}), ({"n": {"lt": 2}}, {1}), ({"n": {"lte": 2}}, {1, 2}),
     ({"topic": {"contains": "rink"}}, {1, 3}), ({"topic": {"icontains": "MUS"}}, {2}), ({"topic": "*"}, {1, 2, 3}),
     ({"absent": "*"}, set()), ({"n": {"gt": 1, "lt": 3}}, {2}),
     ({"AND": [{"n": {"gt": 1}}, {"topic": "drinks"}]}, {3}),
     ({"OR": [{"n": 1}, {"n": 2}]}, {1, 2}), ({"NOT": [{"n": 1}, {"n": 2}]}, {3}),
     ({"data": {"contains": "tea"}}, {1}),
     ({"updated_at": {"gte": "2026-03-01T12:00:00Z"}}, {1, 2, 3}), ({"updated_at": {"lt": "2026-03-01"}}, set()),
     ({"AND": [{"OR": [{"n": 1}, {"NOT": [{"topic": "drinks"}]}]}]}, {1, 2})],
)  # fmt: skip
def test_filter_operators(memory: Memory, condition: dict[str, Any], found: set[int]) -> None:
    rows = memory.get_all(filters={"user_id": "*", **condition})["results"]
    assert {row["metadata"]["n"] for row in rows} == found
    hits = memory.search("what do they like?", filters={"user_id": "*", **condition})["results"]
    assert {row["metadata"]["n"] for row in hits} == found


UPDATES: list[tuple[str, Callable[[Memory, str], Any]]] = [
    ("1.x positional", lambda m, id: m.update(id, "Ana likes red tea")),
    ("1.x data", lambda m, id: m.update(memory_id=id, data="Ana likes red tea")),
    ("2.x text", lambda m, id: m.update(id, text="Ana likes red tea")),
    ("2.x text and metadata", lambda m, id: m.update(id, "Ana likes red tea", {"n": 1})),
    ("both", lambda m, id: m.update(id, text="Ana likes red tea", data="Ana likes red tea")),
]


@pytest.mark.parametrize(("name", "call"), UPDATES, ids=[name for name, _ in UPDATES])
def test_update_in_all_call_shapes(memory: Memory, name: str, call: Callable[[Memory, str], Any]) -> None:
    (before,) = memory.get_all(run_id="r1")["results"]
    assert call(memory, before["id"]) == {"message": "Memory updated successfully!"}
    after = memory.get(before["id"])
    assert after is not None
    assert (after["memory"], after["metadata"]) == ("Ana likes red tea", {"topic": "drinks", "n": 1})
    assert after["hash"] == hashlib.md5(b"Ana likes red tea", usedforsecurity=False).hexdigest()
    assert after["user_id"] == "ana"
    assert after["updated_at"] > before["updated_at"]


def test_metadata_is_merged_and_cannot_move_a_memory_to_another_owner(memory: Memory) -> None:
    (row,) = memory.get_all(user_id="bob")["results"]
    memory.update(row["id"], metadata={"user_id": "ana", "n": 4})
    assert texts(memory.get_all(user_id="bob")) == ["Bob likes black coffee"]
    assert memory.get_all(user_id="bob")["results"][0]["metadata"] == {"user_id": "ana", "n": 4, "topic": "drinks"}
    assert len(memory.get_all(user_id="ana")["results"]) == 2


def test_history_of_a_memory(memory: Memory) -> None:
    (row,) = memory.get_all(run_id="r1")["results"]
    memory.update(row["id"], "Ana likes red tea")
    assert memory.delete(row["id"]) == {"message": "Memory deleted successfully!"}
    history = memory.history(row["id"])
    assert [(one["event"], one["old_memory"], one["new_memory"], one["is_deleted"]) for one in history] == [
        ("ADD", None, "Ana likes green tea", False),
        ("UPDATE", "Ana likes green tea", "Ana likes red tea", False),
        ("DELETE", "Ana likes red tea", None, True),
    ]
    assert all(set(one) >= ROW and one["memory_id"] == row["id"] for one in history)
    assert memory.get(row["id"]) is None
    assert memory.history("01ARZ3NDEKTSV4RRFFQ69G5FAV") == []


def test_the_fields_of_an_item(memory: Memory) -> None:
    added = memory.add(
        {"role": "assistant", "name": "Max", "content": "Noted"}, agent_id="desk", timestamp="2025-01-01T10:00:00+01:00"
    )
    found = memory.get(added["results"][0]["id"])
    assert found is not None
    assert set(found) >= {*ITEM, "score", "agent_id", "actor_id", "role"}
    assert (found["metadata"], found["score"], found["actor_id"], found["role"]) == (None, None, "Max", "assistant")
    assert found["created_at"] == found["updated_at"]
    assert found["event_at"] == "2025-01-01T09:00:00+00:00"
    assert not {"user_id", "run_id", "expiration_date", "app_id"} & set(found)


def test_by_id_within_an_owner(memory: Memory) -> None:
    (row,) = memory.get_all(user_id="bob")["results"]
    assert memory.get(row["id"], user_id="ana") is None
    with pytest.raises(MemoryNotFound):
        memory.update(row["id"], "changed", user_id="ana")
    with pytest.raises(MemoryNotFound):
        memory.delete(row["id"], user_id="ana")
    assert memory.history(row["id"], user_id="ana") == []
    assert memory.get(row["id"], user_id="bob") is not None


def test_delete_all_takes_everything_of_an_owner_and_nothing_else(memory: Memory) -> None:
    for number in range(150):
        memory.add(f"note {number}", user_id="eva")
    assert memory.delete_all(user_id="eva") == {"message": "Memories deleted successfully!", "count": 150}
    assert memory.get_all(user_id="eva")["results"] == []
    assert len(memory.get_all(filters={"user_id": "*"})["results"]) == 3
    assert memory.delete_all("bob")["count"] == 1


def test_reset_destroys_the_collection_and_no_other(tmp_path: Path) -> None:
    def opened(name: str) -> Memory:
        return Memory.from_config(
            {"vector_store": {"provider": "qdrant", "config": {"collection_name": name}}}, path=tmp_path / "m.db"
        )

    with opened("one") as one, opened("two") as two:
        one.add("Ana likes tea", user_id="ana")
        two.add("Ana likes coffee", user_id="ana")
        assert texts(one.search("what does she like?", user_id="ana")) == ["Ana likes tea"]
        one.reset()
        one.reset()
        assert one.get_all(user_id="ana")["results"] == []
        assert one.runtime.stats()["records"] == 0
        assert texts(two.get_all(user_id="ana")) == ["Ana likes coffee"]


def test_expiry_by_day(memory: Memory, clock: SteppingClock) -> None:
    for when in ("2026-03-02", date(2026, 3, 2), datetime(2026, 3, 2, 9, tzinfo=UTC)):
        added = memory.add(f"the offer ends {when!r}", user_id="eva", expiration_date=when)
        found = memory.get(added["results"][0]["id"])
        assert found is not None
        assert found["expiration_date"] == "2026-03-02"
    clock.current += timedelta(days=1)
    assert len(memory.get_all(user_id="eva")["results"]) == 3
    clock.current += timedelta(days=1)
    assert memory.get_all(user_id="eva")["results"] == []
    assert memory.search("the offer", user_id="eva")["results"] == []
    assert len(memory.search("the offer", user_id="eva", show_expired=True)["results"]) == 3
    rows = memory.get_all(filters={"user_id": "eva"}, show_expired=True)["results"]
    memory.update(rows[0]["id"], expiration_date="2026-12-31")
    memory.update(rows[1]["id"], expiration_date=None)
    assert {row["id"] for row in memory.get_all(user_id="eva")["results"]} == {rows[0]["id"], rows[1]["id"]}
    assert [row.get("expiration_date") for row in memory.get_all(user_id="eva")["results"]] == ["2026-12-31", None]


def test_a_threshold_cuts(memory: Memory) -> None:
    everything = memory.search("green tea", user_id="ana")["results"]
    assert len(everything) == 2
    cut = memory.search("green tea", user_id="ana", threshold=everything[0]["score"])["results"]
    assert [row["id"] for row in cut] == [everything[0]["id"]]


def test_a_reference_date_asks_for_what_was_true_then(memory: Memory, clock: SteppingClock) -> None:
    added = memory.add("Eva lives in Lisbon", user_id="eva", timestamp="2024-01-01")
    memory.update(added["results"][0]["id"], "Eva lives in Oslo")
    asked = memory.search("where does Eva live?", user_id="eva", reference_date="2025-01-01")
    assert texts(asked) == ["Eva lives in Lisbon"]
    assert texts(memory.search("where does Eva live?", user_id="eva")) == ["Eva lives in Oslo"]


def test_procedural_memories(memory: Memory) -> None:
    added = memory.add("Click Save, then Close", agent_id="bot", memory_type="procedural_memory", prompt="Summarize")
    found = memory.get(added["results"][0]["id"])
    assert found is not None
    assert (found["kind"], found["metadata"]) == ("procedural_memory", {"memory_type": "procedural_memory"})
    assert texts(memory.search("how to save?", agent_id="bot")) == ["Click Save, then Close"]


def test_recalled_memories_are_not_stored_again(memory: Memory) -> None:
    block = str(memory.runtime.context("green tea", user_id="ana"))
    added = memory.add([{"role": "user", "content": block}, {"role": "user", "content": "thanks"}], user_id="ana")
    assert [row["memory"] for row in added["results"]] == ["thanks"]
    assert [row["event"] for row in added["skipped"]] == ["NONE"]


# Configuration


class MemoryConfig:
    """Stands for mem0's own, which is a pydantic model."""

    def model_dump(self) -> dict[str, Any]:
        return {"vector_store": {"provider": "qdrant", "config": {"collection_name": "notes"}}, "version": "v1.1"}


@pytest.mark.parametrize(
    ("config", "collection", "unused"),
    [
        (None, "mem0", ()),
        ({}, "mem0", ()),
        ({"version": "v1.1", "llm": {"provider": "openai", "config": {"api_key": "sk-secret"}}}, "mem0",
         ("llm (openai)",)),
        ({"embedder": {"provider": "ollama"}, "reranker": None, "history_db_path": "/x.db"}, "mem0",
         ("embedder (ollama)", "history_db_path")),
        ({"vector_store": {"provider": "chroma", "config": {"collection_name": "notes"}}}, "notes",
         ("vector_store (chroma)",)),
        (MemoryConfig(), "notes", ("vector_store (qdrant)",)),
    ],
)  # fmt: skip
def test_what_of_a_configuration_is_used(config: Any, collection: str, unused: tuple[str, ...]) -> None:
    with Memory(config, path=":memory:") as memory:
        assert (memory.collection, memory.unused) == (collection, unused)
    with Memory.from_config(config, path=":memory:") as memory:
        assert memory.unused == unused
        assert "sk-secret" not in repr(memory.unused)


# Errors

BAD: list[tuple[str, Callable[[Any], Any], type[RemanenceError]]] = [
    ("add for nobody", lambda m: m.add("x"), ScopeRequired),
    ("search for nobody", lambda m: m.search("x"), ScopeRequired),
    ("search by topic alone", lambda m: m.search("x", filters={"topic": "drinks"}), ScopeRequired),
    ("list for nobody", lambda m: m.get_all(), ScopeRequired),
    ("delete everything", lambda m: m.delete_all(), ScopeRequired),
    ("delete by topic", lambda m: m.delete_all(filters={"user_id": "ana", "topic": "drinks"}), InvalidInput),
    ("empty user", lambda m: m.add("x", user_id=""), InvalidInput),
    ("blank user", lambda m: m.add("x", user_id="   "), InvalidInput),
    ("blank user in filters", lambda m: m.search("x", filters={"user_id": " "}), InvalidInput),
    ("two users", lambda m: m.search("x", user_id="ana", filters={"user_id": "bob"}), InvalidInput),
    ("unknown argument", lambda m: m.search("x", user_id="ana", colour="red"), InvalidInput),
    ("app", lambda m: m.add("x", app_id="other"), InvalidInput),
    ("app in filters", lambda m: m.search("x", filters={"user_id": "ana", "app_id": "other"}), InvalidInput),
    ("messages of a number", lambda m: m.add(7, user_id="ana"), InvalidInput),
    ("messages of none", lambda m: m.add(None, user_id="ana"), InvalidInput),
    ("empty message", lambda m: m.add("", user_id="ana"), InvalidInput),
    ("metadata of text", lambda m: m.add("x", user_id="ana", metadata="red"), InvalidInput),
    ("memory type", lambda m: m.add("x", user_id="ana", memory_type="semantic"), InvalidInput),
    ("procedure of nobody", lambda m: m.add("x", user_id="ana", memory_type="procedural_memory"), InvalidInput),
    ("expiration", lambda m: m.add("x", user_id="ana", expiration_date="soon"), InvalidInput),
    ("empty query", lambda m: m.search("  ", user_id="ana"), InvalidInput),
    ("query of a number", lambda m: m.search(7, user_id="ana"), InvalidInput),
    ("limit", lambda m: m.search("x", user_id="ana", limit=-1), InvalidInput),
    ("limit of text", lambda m: m.get_all(user_id="ana", limit="5"), InvalidInput),
    ("limit and top_k", lambda m: m.search("x", user_id="ana", limit=1, top_k=2), InvalidInput),
    ("threshold", lambda m: m.search("x", user_id="ana", threshold=2), InvalidInput),
    ("threshold of text", lambda m: m.search("x", user_id="ana", threshold="0.5"), InvalidInput),
    ("operator", lambda m: m.search("x", filters={"user_id": "ana", "n": {"near": 1}}), InvalidFilter),
    ("logic", lambda m: m.search("x", filters={"user_id": "ana", "OR": "x"}), InvalidFilter),
    ("one of nothing", lambda m: m.search("x", filters={"user_id": "ana", "OR": []}), InvalidFilter),
    ("none of nothing", lambda m: m.get_all(filters={"user_id": "ana", "NOT": []}), InvalidFilter),
    ("update to nothing", lambda m: m.update(m.get_all(user_id="bob")["results"][0]["id"]), InvalidInput),
    ("update to blank", lambda m: m.update(m.get_all(user_id="bob")["results"][0]["id"], " "), InvalidInput),
    ("update to two texts", lambda m: m.update("x", text="a", data="b"), InvalidInput),
    ("update of nothing", lambda m: m.update("01ARZ3NDEKTSV4RRFFQ69G5FAV", "x"), MemoryNotFound),
    ("update of a list", lambda m: m.update(["x"], "x"), InvalidInput),
    ("delete of nothing", lambda m: m.delete("no-such-id"), MemoryNotFound),
    ("delete of none", lambda m: m.delete(None), InvalidInput),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call", "error"), BAD, ids=[name for name, _, _ in BAD])
def test_bad_calls_are_value_errors_and_store_nothing(
    memory: Memory, name: str, call: Callable[[Any], Any], error: type[RemanenceError]
) -> None:
    with pytest.raises(error) as caught:
        call(memory)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value)
    assert len(memory.get_all(filters={"user_id": "*"})["results"]) == 3


def test_a_deleted_memory_is_not_found_again(memory: Memory) -> None:
    (row,) = memory.get_all(user_id="bob")["results"]
    memory.delete(row["id"])
    calls: list[Callable[[], object]] = [lambda: memory.delete(row["id"]), lambda: memory.update(row["id"], "x")]
    for call in calls:
        with pytest.raises(MemoryNotFound) as caught:
            call()
        assert isinstance(caught.value, NotFound)
        assert row["id"] in str(caught.value)


@pytest.mark.parametrize("config", [7, "config.yaml", {"vector_store": {"config": {"collection_name": 7}}}])
def test_bad_configurations(config: Any) -> None:
    with pytest.raises(InvalidInput):
        Memory(config, path=":memory:")


# Concurrency


def test_many_coroutines_lose_nothing(tmp_path: Path) -> None:
    async def main() -> int:
        async with await AsyncMemory.from_config({"llm": {"provider": "openai"}}, path=tmp_path / "m.db") as memory:
            assert memory.unused == ("llm (openai)",)
            users = ("ana", "bob", "eva", "max")
            await asyncio.gather(*(memory.add(f"note {n}", user_id=users[n % 4], llm=None) for n in range(60)))
            found = await asyncio.gather(*(memory.get_all(user_id=user, limit=99) for user in users))
            hits = await asyncio.gather(*(memory.search(f"note {n}", user_id=users[n % 4], limit=1) for n in range(8)))
            assert [texts(one) for one in hits] == [[f"note {n}"] for n in range(8)]
            return sum(len(one["results"]) for one in found)

    assert asyncio.run(main()) == 60


def test_many_coroutines_change_one_memory(tmp_path: Path) -> None:
    async def main() -> tuple[int, int, Any]:
        async with AsyncMemory(path=tmp_path / "m.db") as memory:
            id = (await memory.add("start", user_id="ana"))["results"][0]["id"]
            await asyncio.gather(*(memory.update(id, metadata={f"k{n}": n}) for n in range(6)))
            found = await memory.get(id)
            assert found is not None
            history = await memory.history(id)
            await memory.delete(id)
            assert (await memory.delete_all("ana"))["count"] == 0
            await memory.reset()
            return len(found["metadata"]), len(history), await memory.get(id)

    assert asyncio.run(main()) == (6, 7, None)


def test_two_objects_share_a_file(tmp_path: Path) -> None:
    with Memory(path=tmp_path / "m.db") as one, Memory(path=tmp_path / "m.db") as two:
        one.add("Ana likes green tea", user_id="ana")
        assert texts(two.search("what does Ana like?", filters={"user_id": "ana"})) == ["Ana likes green tea"]
