"""Nothing of another scope is ever seen, counted, changed or erased, however alike the ids are."""

from __future__ import annotations

from typing import Any

import pytest

from remanence.core.errors import InvalidFilter, InvalidInput, NotFound
from remanence.runtime.memory import Memory
from tests.runtime.conftest import Make

LOOKALIKES = [
    "ana", "ANA", "ana ", " ana", "an", "anaa", "ana%", "a_a", "%", "_", "*", "ana.b", "ana/b", "ana\\", "ana'--",
    "ána", "a\u0301na", "\u0430na", "ana\u200b", "0", "00", "null", "None", "{}", "ana\n", "ana:b", "…", "用户",
]  # fmt: skip


def test_lookalike_ids_stay_apart(memory: Memory) -> None:
    for id in LOOKALIKES:
        memory.add(f"secret of {id!r}", user_id=id)
    for id in LOOKALIKES:
        own = f"secret of {id!r}"
        assert [item["memory"] for item in memory.search("secret of", user_id=id)["results"]] == [own]
        assert [item["memory"] for item in memory.get_all(user_id=id)["results"]] == [own]
        assert memory.stats(user_id=id)["versions"] == 1
        assert own in memory.context("secret of", user_id=id) or "Nothing in memory" in memory.context(
            "secret of", user_id=id
        )


def test_ids_combine(memory: Memory) -> None:
    memory.add("one", user_id="ana", agent_id="bot", session_id="s1")
    memory.add("two", user_id="ana", session_id="s2")
    memory.add("three", agent_id="bot")

    def seen(**ids: Any) -> list[str]:
        return [item["memory"] for item in memory.get_all(**ids)["results"]]

    assert seen(user_id="ana") == ["one", "two"]
    assert seen(agent_id="bot") == ["one", "three"]
    assert seen(user_id="ana", agent_id="bot") == ["one"]
    assert seen(run_id="s2") == ["two"]
    assert seen(user_id="ana", filters={"session_id": "s1"}) == ["one"]
    assert seen(filters={"AND": [{"user_id": "ana"}, {"run_id": "s2"}]}) == ["two"]
    assert seen(user_id="bob") == []


def test_defaults_come_from_the_constructor(make: Make) -> None:
    memory = make(user_id="ana", app_id="desk")
    memory.add("mine")
    memory.add("his", user_id="bob")
    (mine,) = memory.get_all()["results"]
    assert (mine["user_id"], mine["app_id"]) == ("ana", "desk")
    assert [item["memory"] for item in memory.get_all(filters={"user_id": "bob"})["results"]] == ["his"]
    assert len(memory.get_all(user_id=None)["results"]) == 1
    assert "user_id='ana'" in repr(memory)


def test_integers_are_strings(memory: Memory) -> None:
    memory.add("x", user_id=7)
    assert memory.search("x", user_id="7")["results"]
    assert memory.search("x", filters={"user_id": 7})["results"]


def test_contradictions_are_refused(memory: Memory) -> None:
    for arguments in (
        {"user_id": "ana", "filters": {"user_id": "bob"}},
        {"run_id": "a", "session_id": "b"},
        {"session_id": "a", "filters": {"run_id": "b"}},
    ):
        with pytest.raises(InvalidInput):
            memory.search("x", **arguments)


def test_ids_in_filters_of_every_verb(memory: Memory) -> None:
    me: Any = {"user_id": "ana"}
    added = memory.add("one", filters=me)
    id = added["results"][0]["id"]
    assert memory.get(id, filters=me) is not None
    memory.update(id, "two", filters=me)
    assert len(memory.history(id, filters=me)) == 2
    assert memory.changes(filters=me)
    assert memory.stats(filters=me)["memories"] == 1
    change = memory.delete(id, filters=me)
    memory.undo(change, filters=me)
    assert memory.delete_all(filters=me)["count"] == 1
    assert memory.erase(filters=me)["ids"] == [id]
    assert len(memory.receipts(filters=me)) == 1
    for verb in (memory.delete_all, memory.erase, memory.stats):
        with pytest.raises(InvalidFilter, match="kind"):
            verb(filters={**me, "kind": "turn"})


def test_nothing_by_id_reaches_across(memory: Memory) -> None:
    added = memory.add("hers", user_id="ana")
    id = added["results"][0]["id"]
    assert memory.get(id, user_id="bob") is None
    for verb in (
        lambda: memory.update(id, "his", user_id="bob"),
        lambda: memory.delete(id, user_id="bob"),
        lambda: memory.history(id, user_id="bob"),
        lambda: memory.undo(added, user_id="bob"),
        lambda: memory.erase(id, user_id="bob"),
        lambda: memory.update(id, "his", user_id="ana", session_id="s1"),
    ):
        with pytest.raises(NotFound):
            verb()
    assert memory.changes(user_id="bob") == []
    assert memory.erase(user_id="bob")["ids"] == []
    item = memory.get(id, user_id="ana")
    assert item is not None
    assert item["memory"] == "hers"


def test_metadata_cannot_move_a_memory(memory: Memory) -> None:
    id = memory.add("hers", user_id="ana", metadata={"user_id": "bob"})["results"][0]["id"]
    memory.update(id, metadata={"user_id": "bob", "scope": {"user_id": "bob"}}, user_id="ana")
    assert memory.get_all(user_id="bob")["results"] == []
    item = memory.get(id, user_id="ana")
    assert item is not None
    assert item["user_id"] == "ana"
