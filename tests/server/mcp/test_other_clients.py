"""What clients of the official server ask for besides its tools, and files that were not written by this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from remanence.runtime.memory import Memory
from remanence.server.mcp.budget import data_tokens
from tests.server.mcp.support import call, caller, data_of, error_of, main_box, official_box, talk, text_of

DANGLING = b'{"type":"relation","from":"Ana","to":"Oslo","relationType":"lives in"}\n'


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_who_lists_resources_may_list_templates_too(tmp_path: Path, mode: str) -> None:
    async def go(client: Client) -> None:
        assert [str(found.uri) for found in (await client.list_resources()).resources] == ["memory://knowledge-graph"]
        assert (await client.list_resource_templates()).resource_templates == []

    talk(official_box(tmp_path / "graph.jsonl"), go, mode=mode)


def test_relations_without_entities_are_read(tmp_path: Path) -> None:
    path = tmp_path / "graph.jsonl"
    path.write_bytes(DANGLING + b'{"type":"entity","name":"Rex","entityType":"dog","observations":[]}\n')
    box = official_box(path)
    lives = {"from": "Ana", "to": "Oslo", "relationType": "lives in"}
    found = call(box, "read_graph", caller())
    assert ([entity["name"] for entity in found["entities"]], found["relations"]) == (["Rex"], [lives])
    for name, more in (("search_nodes", {"query": ""}), ("open_nodes", {"names": ["Rex"]})):
        assert call(box, name, caller(), **more)["relations"] == []


def test_many_relations_without_entities_come_in_pages(tmp_path: Path) -> None:
    path = tmp_path / "graph.jsonl"
    path.write_bytes(b"".join(DANGLING.replace(b"Ana", b"Ana %d" % number) for number in range(200)))
    box, met, cursor = official_box(path), [], None
    while True:
        page = call(box, "read_graph", caller(), max_tokens=1_000, **({} if cursor is None else {"cursor": cursor}))
        met += [relation["from"] for relation in page["relations"]]
        if (cursor := page.get("next_cursor")) is None:
            break
    assert met == [f"Ana {number}" for number in range(200)]


def test_a_number_beyond_all_bounds_does_not_damage_its_line(tmp_path: Path) -> None:
    path = tmp_path / "graph.jsonl"
    line = '{"type":"entity","name":"Ana","entityType":"person","observations":[],"weight":1e999,"deep":[{"x":-1e999}]}'
    path.write_text(line + "\n")
    box = official_box(path)
    addition = {"entityName": "Ana", "contents": ["lives in Oslo"]}
    call(box, "add_observations", caller(), observations=[addition])

    def no_json(name: str) -> float:
        raise AssertionError(f"{name} in the file")

    kept: Any = json.loads(path.read_text(), parse_constant=no_json)
    assert kept["observations"] == ["lives in Oslo"]
    assert [entity["name"] for entity in call(box, "read_graph", caller())["entities"]] == ["Ana"]


def test_an_empty_conversation_is_not_remembered_in_silence(tmp_path: Path) -> None:
    with Memory(tmp_path / "memory.db", background=False) as memory, main_box(memory, user_id="ana") as box:

        async def go(client: Client) -> None:
            refused = await client.call_tool("add_memory", {"messages": []})
            assert error_of(refused) == "invalid_input"
            assert "messages" in text_of(refused)
            assert data_of(await client.call_tool("search_memories", {}))["results"] == []

        talk(box, go)


@pytest.mark.parametrize("name", ["open_nodes", "delete_entities", "delete_observations"])
def test_names_that_are_not_there_do_not_fill_the_context(tmp_path: Path, name: str) -> None:
    path = tmp_path / "graph.jsonl"
    path.write_text('{"type":"entity","name":"Rex","entityType":"dog","observations":["barks"]}\n')
    names = [f"不存在的名字{number}" * 12 for number in range(40)]
    arguments: dict[str, dict[str, Any]] = {
        "open_nodes": {"names": [*names, "Rex"]},
        "delete_entities": {"entityNames": names},
        "delete_observations": {"deletions": [{"entityName": name, "observations": ["x"]} for name in names]},
    }
    found = call(official_box(path, tokens=400), name, caller(), **arguments[name])
    assert data_tokens(found) <= 400
    assert "不存在的名字0" in str(found)
    if name == "open_nodes":
        assert [entity["observations"] for entity in found["entities"]] == [["barks"]]
