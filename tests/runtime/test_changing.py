from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.runtime.memory import Memory
from tests.runtime.conftest import START, Make


def texts(memory: Memory, **options: Any) -> list[str]:
    return [item["memory"] for item in memory.get_all(user_id="ana", **options)["results"]]


def where(memory: Memory, **options: Any) -> list[str]:
    return [item["memory"] for item in memory.search("where does Ana live?", user_id="ana", **options)["results"]]


def test_lisbon_oslo_bergen(memory: Memory, clock: SteppingClock) -> None:
    """What was true when, and what was known when, are two questions."""
    id = memory.add("I live in Lisbon", user_id="ana", timestamp="2025-01-10")["results"][0]["id"]
    clock.current = START + timedelta(days=10)
    memory.update(id, "I live in Oslo", valid_from="2026-02-01", user_id="ana")
    knew_oslo = clock.current
    clock.current = START + timedelta(days=20)
    memory.update(id, "I live in Bergen", user_id="ana", correction=True)

    assert where(memory) == ["I live in Bergen"]
    assert where(memory, as_of="2026-02-15") == ["I live in Bergen"]
    assert where(memory, as_of="2025-06-01") == ["I live in Lisbon"]
    assert where(memory, as_of="2024-06-01") == []
    assert where(memory, known_at=knew_oslo) == ["I live in Oslo"]
    assert where(memory, as_of="2025-06-01", known_at=knew_oslo) == ["I live in Lisbon"]
    assert where(memory, known_at=START - timedelta(days=1)) == []
    assert where(memory, known_at=START + timedelta(days=5)) == ["I live in Lisbon"]
    assert texts(memory) == ["I live in Bergen"]
    assert texts(memory, as_of="2025-06-01") == ["I live in Lisbon"]
    past = memory.get(id, user_id="ana", as_of="2025-06-01")
    assert past is not None
    assert (past["memory"], past["version"]) == ("I live in Lisbon", 1)
    assert past["valid_to"] is not None
    assert past["valid_to"].startswith("2026-02-01")
    then = memory.get(id, user_id="ana", as_of="2025-06-01", known_at=START + timedelta(days=5))
    assert then is not None
    assert then["valid_to"] is None


def test_history_tells_every_change(memory: Memory) -> None:
    id = memory.add("one", user_id="ana", speaker="Ana")["results"][0]["id"]
    second = memory.update(id, data="two", user_id="ana")
    memory.delete(id, user_id="ana")
    memory.undo(memory.history(id, user_id="ana")[-1]["change"], user_id="ana")
    rows = memory.history(id, user_id="ana")
    assert [(row["event"], row["old_memory"], row["new_memory"], row["version"]) for row in rows] == [
        ("ADD", None, "one", 1),
        ("UPDATE", "one", "two", 2),
        ("DELETE", "two", None, 2),
        ("RESTORE", None, "two", 3),
    ]
    assert [row["is_deleted"] for row in rows] == [False, False, True, False]
    assert len({row["id"] for row in rows}) == 4
    assert {row["memory_id"] for row in rows} == {id}
    assert len({row["created_at"] for row in rows}) == 1
    assert (rows[1]["change"], rows[0]["actor_id"], rows[0]["role"]) == (second["change"], "Ana", "user")


def test_update_by_mem0s_names(memory: Memory) -> None:
    id = memory.add("tea", user_id="ana", metadata={"a": 1})["results"][0]["id"]
    assert memory.update(memory_id=id, data="coffee", user_id="ana")["message"]
    assert memory.update(id, "mate", user_id="ana")["results"][0]["version"] == 3
    item = memory.get(memory_id=id, user_id="ana")
    assert item is not None
    assert (item["memory"], item["metadata"]) == ("mate", {"a": 1})
    with pytest.raises(InvalidInput, match="synonyms"):
        memory.update(id, "a", data="b", user_id="ana")


def test_metadata_is_replaced_and_times_stay(memory: Memory) -> None:
    id = memory.add("tea", user_id="ana", metadata={"a": 1}, timestamp="2020-05-05T12:00:00+02:00")["results"][0]["id"]
    memory.update(id, metadata={"b": 2}, user_id="ana")
    item = memory.get(id, user_id="ana", as_of="2021-01-01")
    assert item is not None
    assert (item["metadata"], item["memory"], item["version"]) == ({"b": 2}, "tea", 2)
    assert (item["event_at"], item["zone"]) == ("2020-05-05T10:00:00+00:00", "+02:00")


def test_an_end_can_be_set_without_new_words(memory: Memory) -> None:
    id = memory.add("works at Acme", user_id="ana", timestamp="2020-01-01")["results"][0]["id"]
    memory.update(id, valid_to="2024-01-01", user_id="ana")
    assert texts(memory) == []
    assert texts(memory, as_of="2023-01-01") == ["works at Acme"]
    memory.update(id, "works at Acme again", user_id="ana")
    assert texts(memory) == ["works at Acme again"]


@pytest.mark.parametrize("change", [{}, {"text": ""}, {"text": "  "}, {"text": 7}, {"metadata": {"a": float("nan")}}])
def test_updates_that_say_nothing_are_refused(memory: Memory, change: dict[str, Any]) -> None:
    id = memory.add("tea", user_id="ana")["results"][0]["id"]
    with pytest.raises(InvalidInput):
        memory.update(id, **change, user_id="ana")
    assert len(memory.history(id, user_id="ana")) == 1


def test_expected_versions_protect_from_lost_updates(memory: Memory) -> None:
    id = memory.add("one", user_id="ana")["results"][0]["id"]
    memory.update(id, "two", user_id="ana", expected_version=1)
    with pytest.raises(Conflict):
        memory.update(id, "three", user_id="ana", expected_version=1)
    with pytest.raises(Conflict):
        memory.delete(id, user_id="ana", expected_version=1)
    assert texts(memory) == ["two"]


def test_updates_without_a_version_build_on_the_newest(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = make()
    id = memory.add("one", user_id="ana")["results"][0]["id"]
    engine = memory._engine
    recall = engine.recall
    raced: list[bool] = []

    def meanwhile(*args: Any) -> Any:
        if not raced:
            raced.append(True)
            memory.update(id, metadata={"by": "somebody else"}, user_id="ana")
        return recall(*args)

    monkeypatch.setattr(engine, "recall", meanwhile)
    memory.update(id, "two", user_id="ana")
    item = memory.get(id, user_id="ana")
    assert item is not None
    assert (item["memory"], item["metadata"], item["version"]) == ("two", {"by": "somebody else"}, 3)


def test_deleting_and_undoing(memory: Memory) -> None:
    id = memory.add("the password of the printer", user_id="ana")["results"][0]["id"]
    change = memory.delete(id, user_id="ana")
    assert memory.get(id, user_id="ana") is None
    assert memory.search("printer", user_id="ana")["results"] == []
    assert memory.undo(change, user_id="ana")["results"][0]["event"] == "RESTORE"
    assert texts(memory) == ["the password of the printer"]


def test_deleting_as_of_a_time_keeps_the_past(memory: Memory) -> None:
    id = memory.add("rents a garage", user_id="ana", timestamp="2024-01-01")["results"][0]["id"]
    memory.delete(id, at="2025-01-01", user_id="ana")
    assert texts(memory) == []
    assert texts(memory, as_of="2024-06-01") == ["rents a garage"]


def test_what_lies_ahead_can_be_deleted_and_undone(memory: Memory) -> None:
    added = memory.add("party next week", user_id="ana", timestamp=START + timedelta(days=7))
    assert texts(memory) == ["party next week"]
    memory.delete(added["results"][0]["id"], user_id="ana")
    assert texts(memory) == []
    assert memory.search("party", user_id="ana")["results"] == []


@pytest.mark.parametrize("verb", ["update", "delete", "history"])
def test_memories_that_are_not_there(memory: Memory, verb: str) -> None:
    id = memory.add("mine", user_id="bob")["results"][0]["id"]
    arguments = {"text": "x"} if verb == "update" else {}
    with pytest.raises(NotFound):
        getattr(memory, verb)(id, user_id="ana", **arguments)
    assert memory.get(id, user_id="ana") is None
    assert memory.get("01ARZ3NDEKTSV4RRFFQ69G5FAV", user_id="ana") is None


def test_deleted_memories_cannot_be_changed(memory: Memory) -> None:
    id = memory.add("x", user_id="ana")["results"][0]["id"]
    memory.delete(id, user_id="ana")
    with pytest.raises(NotFound):
        memory.update(id, "y", user_id="ana")
    with pytest.raises(NotFound):
        memory.delete(id, user_id="ana")


def test_delete_all_deletes_all_and_nothing_else(memory: Memory) -> None:
    memory.add_many([f"number {n}" for n in range(150)], user_id="ana")
    memory.add("ended long ago", user_id="ana", timestamp="2020-01-01", valid_to="2021-01-01")
    memory.add("bob's", user_id="bob")
    result = memory.delete_all(user_id="ana")
    assert result["count"] == 151
    assert texts(memory) == []
    assert texts(memory, as_of="2020-06-01") == []
    assert [item["memory"] for item in memory.get_all(user_id="bob")["results"]] == ["bob's"]
    assert memory.delete_all(user_id="ana") == {**result, "count": 0, "change": None}
    memory.undo(result, user_id="ana")
    assert len(texts(memory, limit=1000)) == 150
    assert texts(memory, as_of="2020-06-01") == ["ended long ago"]


def test_undo_takes_one_change_back_and_can_be_undone(memory: Memory) -> None:
    change = memory.add(["one", "two"], user_id="ana")
    undone = memory.undo(change, user_id="ana")
    assert undone["undone"] == change["change"]
    assert texts(memory) == []
    memory.undo(undone["change"], user_id="ana")
    assert texts(memory) == ["one", "two"]


def test_undo_refuses_what_it_cannot_do(memory: Memory) -> None:
    added = memory.add("one", user_id="ana")
    id = added["results"][0]["id"]
    memory.update(id, "two", user_id="ana")
    with pytest.raises(Conflict):
        memory.undo(added, user_id="ana")
    with pytest.raises(NotFound):
        memory.undo(added, user_id="bob")
    for wrong in (None, 7, "", {}, {"change": None}):
        with pytest.raises(InvalidInput):
            memory.undo(wrong, user_id="ana")  # type: ignore[arg-type]
    receipt = memory.erase(id, user_id="ana")
    with pytest.raises(InvalidInput, match="erasure"):
        memory.undo(receipt["id"], user_id="ana")


def test_changes_are_listed_newest_first(make: Make) -> None:
    memory = make(actor="tester")
    for n in range(5):
        memory.add([f"a{n}", f"b{n}"], user_id="ana")
        memory.add("other", user_id="bob")
    changes = memory.changes(user_id="ana", limit=3)
    assert len(changes) == 3
    assert [len(change["events"]) for change in changes] == [2, 2, 2]
    assert changes[0]["at"] > changes[1]["at"]
    assert changes[0]["actor"] == "tester"
    assert len(memory.changes(user_id="ana")) == 5


def test_a_clock_that_is_set_back_hides_nothing_and_shows_nothing_deleted(make: Make, clock: SteppingClock) -> None:
    memory = make()
    id = memory.add("soon gone", user_id="ana")["results"][0]["id"]
    memory.add("stays", user_id="ana")
    memory.delete(id, user_id="ana")
    clock.current = START - timedelta(days=300)
    assert texts(memory) == ["stays"]


def test_aliases_are_the_verbs(memory: Memory) -> None:
    id = memory.remember("by other names", user_id="ana")["results"][0]["id"]
    assert memory.recall("names", user_id="ana")["results"][0]["id"] == id
    assert memory.forget(id, user_id="ana")["results"][0]["event"] == "DELETE"
