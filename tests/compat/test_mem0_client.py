"""The clients of mem0's hosted service, answered by a memory of one's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remanence.compat.mem0 import Memory
from remanence.compat.mem0_client import AsyncMemoryClient, MemoryClient
from remanence.compat.mem0_shapes import MemoryNotFound
from remanence.core.clock import SteppingClock
from remanence.core.errors import InvalidInput, StoreClosed

MESSAGES = [{"role": "user", "content": "I moved to Oslo"}, {"role": "assistant", "content": "How is it?"}]


def test_the_verbs() -> None:
    client = MemoryClient("m0-key", host="https://api.example.com", path=":memory:")
    added = client.add(MESSAGES, {"user_id": "ana"}, output_format="v1.1", async_mode=False)
    assert (added["status"], len(added["results"])) == ("SUCCEEDED", 2)
    assert added["event_id"]
    first, second = (row["id"] for row in added["results"])
    assert client.search("where?", {"filters": {"user_id": "ana"}}, top_k=1)["results"][0]["id"] == first
    assert client.search("where?", user_id="ana", version="v2")["results"]
    assert client.update(first, text="I moved to Bergen", metadata={"n": 1})["memory"] == "I moved to Bergen"
    assert client.get(first)["metadata"] == {"n": 1}
    assert [row["event"] for row in client.history(first)] == ["ADD", "UPDATE"]
    client.batch_update([{"memory_id": first, "text": "I moved to Turin"}, {"memory_id": second, "metadata": {"n": 2}}])
    assert client.get(first)["memory"] == "I moved to Turin"
    assert client.delete(second)["message"] == "Memory deleted successfully!"
    client.batch_delete([{"memory_id": first}])
    with pytest.raises(MemoryNotFound):
        client.get(first)
    client.close()


def test_options_of_the_service_are_taken() -> None:
    client = MemoryClient(path=":memory:")
    client.add(MESSAGES[:1], filters={"user_id": "ana"}, metadata={"categories": ["places"], "n": 1})
    service = {
        "custom_categories": [{"sea": "boats and harbours"}], "custom_instructions": "only boats", "includes": "boats",
        "excludes": "cars", "structured_data_schema": {}, "filters": {"AND": [{"user_id": "ana"}]},
    }  # fmt: skip
    client.add("I bought a boat", service, timestamp=1721577600)
    boat, home = sorted(
        client.get_all(filters={"user_id": "ana"}, latest_only=True)["results"], key=lambda r: r["memory"]
    )
    assert boat["event_at"] == "2024-07-21T16:00:00+00:00"
    assert (boat["metadata"], home["metadata"]) == (None, {"categories": ["places"], "n": 1})

    def found(**options: Any) -> set[str]:
        listed = client.get_all(user_id="ana", **options)["results"]
        hits = client.search("what happened?", filters={"user_id": "ana"}, **options)["results"]
        assert {row["id"] for row in listed} == {row["id"] for row in hits}
        return {row["id"] for row in listed}

    assert found(categories=["places", "people"]) == {home["id"]}
    assert found(categories=["people"]) == set()
    assert found(categories=[]) == {boat["id"], home["id"]}
    assert found(metadata={"n": 1}) == {home["id"]}


def test_a_range_of_days_takes_the_last_one_in() -> None:
    clock = SteppingClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    client = MemoryClient(path=":memory:", clock=clock)
    for day in range(3):
        clock.current = datetime(2026, 3, 1 + day, 12, tzinfo=UTC)
        client.add(f"day {day + 1}", user_id="ana")

    def found(**options: Any) -> list[str]:
        rows = client.get_all(filters={"user_id": "ana"}, **options)["results"]
        return [row["memory"] for row in rows]

    assert found(start_date="2026-03-02") == ["day 2", "day 3"]
    assert found(end_date="2026-03-02") == ["day 1", "day 2"]
    assert found(start_date="2026-03-02", end_date="2026-03-02", page=1) == ["day 2"]
    assert found(end_date="2026-03-02T11:00:00Z") == ["day 1"]


def test_pages() -> None:
    client = MemoryClient(path=":memory:")
    for number in range(7):
        client.add(f"note {number}", user_id="ana")
    assert len(client.get_all(user_id="ana")["results"]) == 7
    pages: list[dict[str, Any]] = [
        client.get_all({"filters": {"user_id": "ana"}, "page": n, "page_size": 3}) for n in (1, 2, 3)
    ]
    assert [(page["count"], page["next"], page["previous"], len(page["results"])) for page in pages] == [
        (7, 2, None, 3), (7, 3, 1, 3), (7, None, 2, 1),
    ]  # fmt: skip
    assert [row["memory"] for page in pages for row in page["results"]] == [f"note {number}" for number in range(7)]
    for bad in (0, -1, True, "1"):
        with pytest.raises(InvalidInput, match="page="):
            client.get_all(user_id="ana", page=bad)  # type: ignore[arg-type]


def test_users_are_listed_and_destroyed() -> None:
    client = MemoryClient(path=":memory:")
    client.add("I live in Oslo", user_id="ana")
    assert client.memory.runtime.flush()["worked"]
    client.add("two", user_id="ana", agent_id="desk")
    client.add("three", user_id="bob", run_id="r1")
    client.delete(client.add("gone", user_id="eva")["results"][0]["id"])
    assert [(row["type"], row["name"], row["total_memories"]) for row in client.users()["results"]] == [
        ("user", "ana", 2), ("user", "bob", 1), ("agent", "desk", 1), ("run", "r1", 1),
    ]  # fmt: skip
    client.delete_users(user_id="ana")
    assert client.memory.runtime.stats(user_id="ana")["records"] == 0
    assert client.users()["total_results"] == 2
    assert client.delete_all(user_id="bob")["count"] == 1
    client.reset()
    assert client.memory.runtime.stats()["records"] == 0


def test_bad_input() -> None:
    client = MemoryClient(path=":memory:")
    for call in (
        lambda: client.add("x"), lambda: client.add("x", "ana"), lambda: client.add("x", app_id="a", user_id="ana"),  # type: ignore[arg-type]
        lambda: client.add("x", filters={"user_id": "ana", "topic": "sea"}), lambda: client.add("x", filters={}),
        lambda: client.add("x", user_id="ana", colour="red"), lambda: client.get_all(user_id="ana", categories="sea"),
        lambda: client.search("x", user_id="ana", metadata="sea"),
        lambda: client.get_all(user_id="ana", end_date="soon"), lambda: client.get_all(user_id="ana", start_date="-"),
        lambda: client.delete_users(app_id="a"), lambda: client.delete_all(), lambda: client.batch_delete([{}]),
        lambda: client.batch_update([{"text": "x"}]), lambda: MemoryClient(memory=Memory(path=":memory:"), path="x"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            call()


def test_the_asynchronous_client(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncMemoryClient("m0-key", path=tmp_path / "m.db") as client:
            await use(client)
        with pytest.raises(StoreClosed):
            await client.users()

    async def use(client: AsyncMemoryClient) -> None:
        await asyncio.gather(*(client.add(f"note {number}", user_id="ana") for number in range(10)))
        rows = (await client.get_all(user_id="ana"))["results"]
        assert len(rows) == 10
        assert (await client.search("note 3", user_id="ana", top_k=1))["results"][0]["memory"] == "note 3"
        assert (await client.update(rows[0]["id"], text="changed"))["memory"] == "changed"
        assert len(await client.history(rows[0]["id"])) == 2
        await client.delete(rows[0]["id"])
        await client.batch_update([{"memory_id": rows[1]["id"], "text": "changed too"}])
        assert (await client.get(rows[1]["id"]))["memory"] == "changed too"
        await client.batch_delete([{"memory_id": rows[1]["id"]}])
        assert (await client.users())["results"][0]["total_memories"] == 8
        assert (await client.delete_all(user_id="ana"))["count"] == 8
        await client.delete_users(user_id="ana")
        await client.reset()

    asyncio.run(main())
