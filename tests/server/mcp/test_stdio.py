from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from mcp import Client

from remanence.cli.app import root
from remanence.runtime.memory import Memory
from remanence.server.mcp.graph_file import GraphFile
from tests.server.mcp.support import Raw, data_of, error_of, hello, request, stdio, text_of

LOUD = """
import os
from remanence.runtime.memory import Memory
search = Memory.search
def loud(self, *args, **more):
    print("printed by something below")
    os.write(1, b"written by something below\\n")
    os.system("echo said by a child")
    return search(self, *args, **more)
Memory.search = loud
from remanence.cli import main
main()
"""


def tool(number: int, name: str, **arguments: object) -> bytes:
    return request(number, "tools/call", {"name": name, "arguments": arguments})


def test_the_main_profile_with_the_client(tmp_path: Path) -> None:
    async def go() -> None:
        async with Client(stdio(tmp_path, "--user", "ana", "--app", "desk")) as client:
            added = data_of(await client.call_tool("add_memory", {"text": "The key is under the pot", "run_id": "r"}))
            id = added["results"][0]["id"]
            found = data_of(await client.call_tool("search_memories", {"query": "where is the key?"}))
            assert [row["id"] for row in found["results"]] == [id]
            assert "pot" in text_of(await client.call_tool("memory_context", {"query": "where is the key?"}))
            data_of(await client.call_tool("update_memory", {"memory_id": id, "text": "The key is in the shed"}))
            assert "shed" in text_of(await client.call_tool("get_memory", {"memory_id": id}))
            assert error_of(await client.call_tool("get_memory", {"memory_id": id, "user_id": "bob"})) == "forbidden"
            data_of(await client.call_tool("delete_memory", {"memory_id": id}))
            assert data_of(await client.call_tool("delete_all_memories", {}))["count"] == 0

    anyio.run(go)
    with Memory(tmp_path / "remanence.db", user_id="ana") as memory:
        changes = memory.changes()
        assert [event["event"] for change in changes for event in change["events"]] == ["DELETE", "UPDATE", "ADD"]
        assert memory.stats()["scope"] == {"user_id": "ana"}


def test_the_official_profile_with_the_client_of_before_2026(tmp_path: Path) -> None:
    path = tmp_path / "graph.jsonl"
    ana = {"name": "Ana", "entityType": "person", "observations": ["plays the violin"]}

    async def go() -> None:
        server = stdio(tmp_path, "--profile", "official", MEMORY_FILE_PATH=str(path))
        async with Client(server, mode="legacy") as client:
            assert client.server_capabilities.resources is not None
            assert client.server_capabilities.resources.subscribe
            assert data_of(await client.call_tool("create_entities", {"entities": [ana]})) == {"entities": [ana]}
            found = data_of(await client.call_tool("search_nodes", {"query": "who plays violin?"}))
            assert found["entities"] == [ana]
            assert error_of(await client.call_tool("create_relations", {"relations": 7})) == "invalid_input"

    anyio.run(go)
    assert json.loads(path.read_text()) == {"type": "entity", **ana}


def test_bad_input_and_loud_code_do_not_disturb_the_protocol(tmp_path: Path) -> None:
    raw = Raw(tmp_path, code=LOUD, REMANENCE_USER="ana")
    raw.say(*hello())
    assert raw.hear(0)["result"]["serverInfo"]["name"] == "remanence"
    raw.say(b"this is no JSON", b"\xff\xfe\x00 nor is this", b"[" * 10_000 + b"]" * 10_000, b"{}", b"[]", b"null")
    raw.say(b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001)
    raw.say(tool(1, "add_memory", text="x" * 10_000_000))
    assert raw.hear(1)["result"]["isError"] is True
    raw.say(tool(2, "add_memory", text="half \ud83d of a pair"))
    raw.say(request(3, "no/such/method"), request(4, "tools/call", {"name": 7}))
    assert "error" in raw.hear(3)
    assert "error" in raw.hear(4)
    raw.say(tool(5, "add_memory", text="The key is under the pot"))
    assert raw.hear(5)["result"]["isError"] is False
    raw.say(tool(6, "search_memories"))
    rows = raw.hear(6)["result"]["structuredContent"]["results"]
    assert [row["memory"] for row in rows if "key" in row["memory"]] == ["The key is under the pot"]
    raw.say(tool(7, "search_memories", query="where is the key?"))
    assert raw.hear(7)["result"]["isError"] is False
    told = raw.end()
    for line in ("printed by something below", "written by something below", "said by a child"):
        assert line in told
    assert f"user_id='ana' in {tmp_path / 'remanence.db'}" in told
    assert "Traceback" not in told


def test_two_servers_on_one_file_lose_no_write(tmp_path: Path) -> None:
    async def go() -> None:
        async def write(who: str) -> None:
            async with Client(stdio(tmp_path, "--profile", "official")) as client:
                await client.call_tool(
                    "create_entities", {"entities": [{"name": "shared", "entityType": "t", "observations": []}]}
                )

                async def one(number: int) -> None:
                    entity = {"name": f"{who}{number}", "entityType": "t", "observations": []}
                    data_of(await client.call_tool("create_entities", {"entities": [entity]}))
                    addition = {"entityName": "shared", "contents": [f"{who}{number}"]}
                    data_of(await client.call_tool("add_observations", {"observations": [addition]}))

                async with anyio.create_task_group() as group:
                    for number in range(15):
                        group.start_soon(one, number)

        async with anyio.create_task_group() as group:
            for who in ("left", "right"):
                group.start_soon(write, who)

    anyio.run(go)
    entities = GraphFile(tmp_path / "memory.jsonl").read().entities()
    wanted = {f"{who}{number}" for who in ("left", "right") for number in range(15)}
    assert entities.keys() == wanted | {"shared"}
    assert set(entities["shared"].observations) == wanted


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_a_server_that_is_killed_has_kept_what_it_answered(tmp_path: Path) -> None:
    raw = Raw(tmp_path, "--user", "ana")
    raw.say(*hello(), *(tool(number, "add_memory", text=f"note {number}") for number in range(1, 40)))
    answered = [raw.hear(number)["result"]["structuredContent"]["results"][0]["id"] for number in (1,)]
    raw.process.send_signal(signal.SIGKILL)
    out, _ = raw.rest()
    for line in out.splitlines(keepends=True):
        if line.endswith(b"\n"):
            answered += [row["id"] for row in json.loads(line)["result"]["structuredContent"]["results"]]
    with Memory(tmp_path / "remanence.db", user_id="ana") as memory:
        assert set(answered) <= {row["id"] for row in memory.get_all(limit=100)["results"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--user"),
        (["--user", "a", "--max-tokens", "3"], "max_tokens=3"),
        (["--user", "a", "--transport", "http", "--host", "0.0.0.0", "--port", "0"], "no usable keys"),
        (["--user", "a", "--transport", "http", "--host", "::", "--port", "0"], "no usable keys"),
        (["--transport", "http", "--port", "0"], "--user"),
        (["--user", "a", "--transport", "http", "--host", "127.0.0.1", "--port", "99999"], "port=99999"),
        (["--profile", "other"], "Invalid value"),
    ],
)
def test_what_cannot_be_served_is_said_on_standard_error(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(root, ["mcp", *arguments])
    assert done.exit_code in (1, 2)
    assert done.stdout == ""
    assert message in done.stderr
