from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import TextResourceContents

from remanence.core.errors import InvalidInput, NotFound
from remanence.kernels.packing import estimate_tokens
from remanence.server.access import PERMIT, Permit, Principal
from remanence.server.errors import Forbidden, Unauthenticated
from remanence.server.keys import Keys
from remanence.server.mcp import wire
from remanence.server.mcp.official import URI
from remanence.server.service import Service
from remanence.server.settings import Settings
from tests.server.mcp.support import call, caller, data_of, error_of, official_box, talk, text_of

NINE = {
    "create_entities": (False, False, False),
    "create_relations": (False, False, False),
    "add_observations": (False, False, False),
    "delete_entities": (False, True, True),
    "delete_observations": (False, True, True),
    "delete_relations": (False, True, True),
    "read_graph": (True, False, True),
    "search_nodes": (True, False, True),
    "open_nodes": (True, False, True),
}
ANA = {"name": "Ana", "entityType": "person", "observations": ["lives in Oslo"]}
REX = {"name": "Rex", "entityType": "dog", "observations": []}
OWNS = {"from": "Ana", "to": "Rex", "relationType": "owns"}


def filled(path: Path) -> Path:
    path.write_text("".join(json.dumps({"type": "entity", **entity}) + "\n" for entity in (ANA, REX)))
    with path.open("a") as file:
        file.write(json.dumps({"type": "relation", **OWNS}) + "\n")
    return path


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_all_nine_tools_with_the_client(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "memory.jsonl"

    async def what(client: Client) -> None:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(listed) == set(NINE)
        for name, (reads, destroys, twice) in NINE.items():
            hints = listed[name].annotations
            assert hints is not None
            given = hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint
            assert given == (reads, destroys, twice, False), name
            assert listed[name].output_schema is not None
        made = await client.call_tool("create_entities", {"entities": [ANA, REX, ANA]})
        assert data_of(made) == {"entities": [ANA, REX]}
        assert json.loads(text_of(made)) == [ANA, REX]
        again = await client.call_tool("create_entities", {"entities": [ANA]})
        assert data_of(again) == {"entities": []}
        related = await client.call_tool("create_relations", {"relations": [OWNS, OWNS]})
        assert data_of(related) == {"relations": [OWNS]}
        added = await client.call_tool(
            "add_observations", {"observations": [{"entityName": "Rex", "contents": ["barks", "barks"]}]}
        )
        assert data_of(added) == {"results": [{"entityName": "Rex", "addedObservations": ["barks"]}]}
        assert json.loads(text_of(added)) == data_of(added)["results"]
        rex = {**REX, "observations": ["barks"]}
        whole = await client.call_tool("read_graph", {})
        assert data_of(whole) == {"entities": [ANA, rex], "relations": [OWNS]}
        assert json.loads(text_of(whole)) == data_of(whole)
        found = await client.call_tool("search_nodes", {"query": "what does he bark at?"})
        assert data_of(found) == {"entities": [rex], "relations": [OWNS]}
        opened = await client.call_tool("open_nodes", {"names": ["Ana"]})
        assert data_of(opened) == {"entities": [ANA], "relations": [OWNS]}
        resources = (await client.list_resources()).resources
        assert [resource.uri for resource in resources] == [URI]
        (contents,) = (await client.read_resource(URI)).contents
        assert isinstance(contents, TextResourceContents)
        assert json.loads(contents.text) == data_of(whole)
        for name, arguments, message in (
            ("delete_observations", {"deletions": [{"entityName": "Rex", "observations": ["barks"]}]}, "Observations"),
            ("delete_relations", {"relations": [OWNS]}, "Relations"),
            ("delete_entities", {"entityNames": ["Rex", "Ana"]}, "Entities"),
        ):
            done = await client.call_tool(name, arguments)
            assert data_of(done) == {"success": True, "message": f"{message} deleted successfully"}
            assert text_of(done) == data_of(done)["message"]
        assert data_of(await client.call_tool("read_graph", {})) == {"entities": [], "relations": []}

    talk(official_box(path), what, mode=mode)
    assert path.read_bytes() == b""


def test_deleting_what_is_not_there_says_so(tmp_path: Path) -> None:
    box = official_box(filled(tmp_path / "m.jsonl"))
    gone = call(box, "delete_entities", caller(), entityNames=["Rex", "Zoe"])
    assert gone == {"success": True, "message": "Deleted 1 of 2 entities. Not found: Zoe"}
    gone = call(box, "delete_observations", caller(), deletions=[{"entityName": "Zoe", "observations": ["a", "b"]}])
    assert gone["message"] == "Deleted 0 of 2 observations. Entities not found: Zoe"
    assert call(box, "delete_relations", caller(), relations=[OWNS])["message"].startswith("Deleted 0 of 1")


def test_relations_come_with_either_end(tmp_path: Path) -> None:
    box = official_box(filled(tmp_path / "m.jsonl"))
    for name in ("Ana", "Rex"):
        assert call(box, "open_nodes", caller(), names=[name])["relations"] == [OWNS]
    assert call(box, "open_nodes", caller(), names=["Zoe"]) == {
        "entities": [],
        "relations": [],
        "notice": "Not found: Zoe.",
    }


def test_errors_are_answers_with_our_message(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.jsonl")
    before = path.read_bytes()

    async def what(client: Client) -> None:
        for name, arguments, kind in (
            ("create_relations", {"relations": [{**OWNS, "to": "Zoe"}]}, "not_found"),
            ("add_observations", {"observations": [{"entityName": "Zoe", "contents": ["x"]}]}, "not_found"),
            ("create_entities", {"entities": [{"name": " ", "entityType": "", "observations": []}]}, "invalid_input"),
            ("create_entities", {"entities": [{"name": 7, "entityType": "", "observations": []}]}, "invalid_input"),
            ("create_entities", {"entities": "many"}, "invalid_input"),
            ("create_entities", {}, "invalid_input"),
            ("create_relations", {"relations": [{**OWNS, "relationType": ""}]}, "invalid_input"),
            ("search_nodes", {"query": "x" * 3000}, "invalid_input"),
            ("search_nodes", {"query": "x", "max_tokens": 3}, "invalid_input"),
            ("search_nodes", {"query": "x", "cursor": "../../etc"}, "invalid_input"),
            ("open_nodes", {"names": [None]}, "invalid_input"),
            ("delete_entities", {"entityNames": {"a": 1}}, "invalid_input"),
        ):
            assert error_of(await client.call_tool(name, arguments)) == kind, (name, arguments)
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("drop_table", {})
        with pytest.raises(MCPError, match="Unknown resource"):
            await client.read_resource("memory://elsewhere")

    talk(official_box(path), what)
    assert path.read_bytes() == before


def test_lists_may_come_as_json_within_a_string(tmp_path: Path) -> None:
    box = official_box(tmp_path / "m.jsonl")
    assert call(box, "create_entities", caller(), entities=json.dumps([ANA, REX]))["entities"] == [ANA, REX]
    assert len(call(box, "open_nodes", caller(), names='["Ana"]')["entities"]) == 1
    with pytest.raises(InvalidInput, match="entityNames"):
        call(box, "delete_entities", caller(), entityNames="[broken")


def test_damaged_lines_are_told_and_stay(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.jsonl")
    with path.open("ab") as file:
        file.write(b'{"type":"entity","name":"Ha')
    box = official_box(path)
    shown = call(box, "read_graph", caller())
    assert len(shown["entities"]) == 2
    assert "one line" in shown["notice"]
    call(box, "create_entities", caller(), entities=[{"name": "Bo", "entityType": "x", "observations": []}])
    assert b'{"type":"entity","name":"Ha\n' in path.read_bytes()
    assert len(call(box, "read_graph", caller())["entities"]) == 3


@pytest.mark.parametrize(
    "word", ["漢字 かな", "naïve 🎻‍👩", "عربى", "a\u2028b\u0000c\t", "<script>'\"; DROP", "\\n\\u0041", "x" * 5000]
)
def test_any_text_comes_back_as_it_was(tmp_path: Path, word: str) -> None:
    path = tmp_path / "m.jsonl"
    box = official_box(path, 20_000)
    entity = {"name": word, "entityType": word, "observations": [word, f"{word} again"]}
    assert call(box, "create_entities", caller(), entities=[entity])["entities"] == [entity]
    call(box, "create_relations", caller(), relations=[{"from": word, "to": word, "relationType": word}])
    again = official_box(path, 20_000)
    assert call(again, "open_nodes", caller(), names=[word])["entities"] == [entity]
    assert call(again, "search_nodes", caller(), query=word[:2000])["entities"] == [entity]
    assert call(again, "delete_entities", caller(), entityNames=[word])["message"].startswith("Entities deleted")


def large(path: Path, count: int = 400) -> Path:
    with path.open("w") as file:
        for number in range(count):
            observations = [f"said thing {number}-{part} about the garden" for part in range(8)]
            entity = {"name": f"E{number}", "entityType": "thing", "observations": observations}
            file.write(json.dumps({"type": "entity", **entity}) + "\n")
        for number in range(1, count):
            relation = {"from": f"E{number}", "to": f"E{number - 1}", "relationType": "follows"}
            file.write(json.dumps({"type": "relation", **relation}) + "\n")
    return path


@pytest.mark.parametrize(("tool", "more"), [("read_graph", {}), ("search_nodes", {"query": "the garden"})])
def test_a_large_graph_comes_in_pages_that_keep_the_budget(tmp_path: Path, tool: str, more: dict[str, Any]) -> None:
    path = large(tmp_path / "m.jsonl")
    seen: dict[str, list[str]] = {}
    relations: list[tuple[str, str]] = []

    async def what(client: Client) -> None:
        cursor: str | None = None
        for _ in range(200):
            asked = {**more, "max_tokens": 3000} | ({"cursor": cursor} if cursor else {})
            result = await client.call_tool(tool, asked)
            data = data_of(result)
            assert estimate_tokens(text_of(result)) <= 3000
            assert estimate_tokens(json.dumps(data, ensure_ascii=False)) <= 3000
            for entity in data["entities"]:
                seen.setdefault(entity["name"], []).extend(entity["observations"])
            relations.extend((relation["from"], relation["to"]) for relation in data["relations"])
            cursor = data.get("next_cursor")
            if cursor is None:
                return
        raise AssertionError("no end")

    talk(official_box(path), what)
    assert len(seen) == 400
    assert all(len(set(texts)) == len(texts) == 8 for texts in seen.values())
    assert len(relations) == len(set(relations)) == 399


def test_without_arguments_a_graph_of_months_does_not_fill_the_context(tmp_path: Path) -> None:
    path = large(tmp_path / "m.jsonl")
    shown = call(official_box(path), "read_graph", caller())
    assert estimate_tokens(path.read_text()) > 50_000
    assert estimate_tokens(json.dumps(shown)) <= 6_000
    assert shown["next_cursor"]


def test_a_cursor_is_refused_once_the_graph_has_changed(tmp_path: Path) -> None:
    box = official_box(large(tmp_path / "m.jsonl", 100), 1_000)
    cursor = call(box, "read_graph", caller())["next_cursor"]
    assert call(box, "read_graph", caller(), cursor=cursor)["entities"]
    with pytest.raises(InvalidInput, match="cursor"):
        call(box, "search_nodes", caller(), query="garden", cursor=cursor)
    call(box, "delete_entities", caller(), entityNames=["E7"])
    with pytest.raises(InvalidInput, match="has changed"):
        call(box, "read_graph", caller(), cursor=cursor)


def test_what_is_echoed_keeps_the_budget_too(tmp_path: Path) -> None:
    box = official_box(tmp_path / "m.jsonl", 500)
    entities = [{"name": f"N{n}", "entityType": "t", "observations": ["word " * 50]} for n in range(50)]
    made = call(box, "create_entities", caller(), entities=entities)
    assert made["truncated"] is True
    assert estimate_tokens(json.dumps(made)) <= 500
    additions = [{"entityName": f"N{n}", "contents": [f"{n} " * 300]} for n in range(50)]
    added = call(box, "add_observations", caller(), observations=additions)
    assert added["truncated"] is True
    assert estimate_tokens(json.dumps(added)) <= 500
    relations = [{"from": "N0", "to": f"N{n}", "relationType": "is near to"} for n in range(50)]
    assert estimate_tokens(json.dumps(call(box, "create_relations", caller(), relations=relations))) <= 500
    assert len(call(official_box(tmp_path / "m.jsonl", 90_000), "read_graph", caller())["relations"]) == 50


def test_a_key_of_one_user_does_not_open_a_file_of_everybody(tmp_path: Path) -> None:
    box = official_box(filled(tmp_path / "m.jsonl"))
    with pytest.raises(Forbidden):
        call(box, "read_graph", caller(user_id="ana"))


def test_a_key_that_ends_meanwhile_writes_no_more(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    key, _ = keys.create("one", None, ["write"])
    box = official_box(tmp_path / "m.jsonl")
    token = PERMIT.set(Permit(Principal.of(key), keys))
    try:
        call(box, "create_entities", Principal.of(key), entities=[ANA])
        keys.revoke(key.id)
        with pytest.raises(Unauthenticated):
            call(box, "create_entities", Principal.of(key), entities=[REX])
    finally:
        PERMIT.reset(token)
    assert [entity["name"] for entity in call(box, "read_graph", caller())["entities"]] == ["Ana"]


def test_rights_are_needed(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.jsonl")

    async def what(client: Client) -> None:
        assert error_of(await client.call_tool("delete_entities", {"entityNames": ["Ana"]})) == "forbidden"
        assert len(data_of(await client.call_tool("read_graph", {}))["entities"]) == 2

    talk(official_box(path), what, principal=caller(frozenset({"read"})))


def test_subscribers_hear_of_changes(tmp_path: Path) -> None:
    box = official_box(tmp_path / "m.jsonl")

    async def what(client: Client) -> list[str]:
        heard: list[str] = []
        async with client.listen(resource_subscriptions=[URI]) as events:
            await client.call_tool("read_graph", {})
            await client.call_tool("create_entities", {"entities": [ANA]})
            with anyio.fail_after(60):
                async for event in events:
                    heard.append(str(event))
                    break
        return heard

    (heard,) = talk(box, what)
    assert URI in heard


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
def test_subscribers_of_before_2026_hear_of_changes(tmp_path: Path) -> None:
    service = Service(Settings(path=":memory:"))
    server = wire.server(official_box(tmp_path / "m.jsonl"), service, lambda _: caller(), subscriptions=True)
    heard: list[str] = []

    async def hear(message: object) -> None:
        heard.append(type(message).__name__)

    async def go() -> None:
        async with Client(server, mode="legacy", message_handler=hear) as client:
            await client.call_tool("create_entities", {"entities": [REX]})
            assert heard == []
            await client.session.subscribe_resource(URI)
            await client.call_tool("create_entities", {"entities": [REX]})
            await client.call_tool("create_entities", {"entities": [ANA]})
            await client.session.unsubscribe_resource(URI)
            await client.call_tool("delete_entities", {"entityNames": ["Ana"]})
            with pytest.raises(MCPError, match="Unknown resource"):
                await client.session.subscribe_resource("memory://elsewhere")

    anyio.run(go)
    service.close()
    assert heard == ["ResourceUpdatedNotification"]


def test_a_broken_tool_tells_nothing_of_what_broke_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "m.jsonl"
    box = official_box(path)
    path.mkdir()

    async def what(client: Client) -> None:
        result = await client.call_tool("read_graph", {})
        assert error_of(result) == "store_error"
        assert str(tmp_path) not in text_of(result)

    talk(box, what)
    assert str(tmp_path) in caplog.text


def test_unknown_names_raise_the_error_that_they_say(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        call(official_box(tmp_path / "m.jsonl"), "create_relations", caller(), relations=[OWNS])
