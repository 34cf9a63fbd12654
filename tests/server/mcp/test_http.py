from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from remanence.core.clock import utc_now
from remanence.runtime.memory import Memory
from remanence.server.keys import Keys
from remanence.server.settings import Settings
from tests.server.conftest import over_all_stores
from tests.server.mcp.support import COMMAND, data_of, environment, error_of, text_of

pytestmark = pytest.mark.loopback


@contextmanager
def served(folder: Path, *arguments: str, **more: str) -> Iterator[str]:
    """A server over HTTP as a process of its own; its address."""
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--transport", "http", "--port", "0", *arguments],
        env=environment(folder, **more),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    try:
        assert " at http://127.0.0.1:" in line, line
        yield line.partition(" at ")[2].partition(";")[0]
    finally:
        process.terminate()
        out, told = process.communicate(timeout=60)
    assert out == ""
    assert "Traceback" not in told, told


@asynccontextmanager
async def client(url: str, token: str | None = None, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as spoken,
    ):
        yield spoken


def post(url: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return httpx.post(url, content=body, headers=sent, timeout=60)


def calling(name: str = "search_memories", **arguments: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    return json.dumps(message).encode()


def test_the_main_profile_without_keys_on_this_machine(tmp_path: Path) -> None:
    async def go(url: str, mode: str) -> None:
        async with client(url, mode=mode) as spoken:
            assert len((await spoken.list_tools()).tools) == 7
            added = data_of(await spoken.call_tool("add_memory", {"text": "The key is under the pot"}))
            id = added["results"][0]["id"]
            assert id in text_of(await spoken.call_tool("search_memories", {"query": "where is the key?"}))
            assert "pot" in text_of(await spoken.call_tool("memory_context", {"query": "where is the key?"}))
            data_of(await spoken.call_tool("update_memory", {"memory_id": id, "text": "It is in the shed"}))
            assert "shed" in text_of(await spoken.call_tool("get_memory", {"memory_id": id}))
            data_of(await spoken.call_tool("delete_memory", {"memory_id": id}))
            assert data_of(await spoken.call_tool("delete_all_memories", {}))["count"] == 0
            assert error_of(await spoken.call_tool("get_memory", {"memory_id": id})) == "not_found"
            assert error_of(await spoken.call_tool("search_memories", {"user_id": "bob"})) == "forbidden"

    with served(tmp_path, "--user", "ana") as url:
        for mode in ("auto", "legacy"):
            anyio.run(go, url, mode)


def test_the_official_profile_with_bad_requests_between(tmp_path: Path) -> None:
    ana = {"name": "Ana", "entityType": "person", "observations": ["plays the violin"]}
    rex = {"name": "Rex", "entityType": "dog", "observations": []}
    owns = {"from": "Ana", "to": "Rex", "relationType": "owns"}

    async def go(url: str) -> None:
        async with client(url) as spoken:
            assert len((await spoken.list_tools()).tools) == 9
            assert data_of(await spoken.call_tool("create_entities", {"entities": [ana, rex]}))["entities"] == [
                ana,
                rex,
            ]
            assert data_of(await spoken.call_tool("create_relations", {"relations": [owns]}))["relations"] == [owns]
            addition = {"entityName": "Rex", "contents": ["barks"]}
            data_of(await spoken.call_tool("add_observations", {"observations": [addition]}))
            assert len(data_of(await spoken.call_tool("read_graph", {}))["entities"]) == 2
            assert data_of(await spoken.call_tool("search_nodes", {"query": "violin player"}))["entities"] == [ana]
            assert data_of(await spoken.call_tool("open_nodes", {"names": ["Ana"]}))["relations"] == [owns]
            deletion = {"entityName": "Rex", "observations": ["barks"]}
            data_of(await spoken.call_tool("delete_observations", {"deletions": [deletion]}))
            data_of(await spoken.call_tool("delete_relations", {"relations": [owns]}))
            data_of(await spoken.call_tool("delete_entities", {"entityNames": ["Rex"]}))
            (contents,) = (await spoken.read_resource("memory://knowledge-graph")).contents
            assert "violin" in contents.model_dump_json()

    with served(tmp_path, "--profile", "official") as url:
        for body in (
            b"no JSON",
            b"\xff\xfe",
            b"[" * 10_000,
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b'{"a":' * 10_000,
            b"",
            b"[]",
        ):
            assert 400 <= post(url, body).status_code < 500
        assert post(url, calling("search_nodes", query="x" * 10_000_000)).status_code == 413
        assert post(url, calling("read_graph"), Content_Encoding="gzip").status_code == 400
        for method in ("PUT", "PATCH"):
            assert 400 <= httpx.request(method, url, content=b"{}", timeout=60).status_code < 500
        assert httpx.get(url.replace("/mcp", "/elsewhere"), timeout=60).status_code == 404
        # A page of somebody else, opened on this machine, that has its name point here.
        assert post(url, calling("read_graph"), Host="evil.example").status_code in (401, 421)
        assert post(url, calling("read_graph"), Origin="https://evil.example").status_code in (401, 403)
        anyio.run(go, url)


@over_all_stores
def test_keys_bind_and_end(tmp_path: Path, store: str) -> None:
    keys = Keys(Settings(path=store).keys_place)
    _, ana = keys.create("ana", {"user_id": "ana"}, ["read", "write"])
    _, bob = keys.create("bob", {"user_id": "bob"}, ["read", "write"])
    _, reader = keys.create("reader", {"user_id": "ana"}, ["read"])
    _, phone = keys.create("phone", {"app_id": "phone"}, ["read", "write"])
    ended, over = keys.create("over", {"user_id": "ana"}, ["read"])
    keys.revoke(ended.id)
    last, soon = keys.create("soon", {"user_id": "ana"}, ["read", "write"], expires=utc_now() + timedelta(hours=1))
    with Memory(store) as memory:
        secret = memory.add("bob's secret is a zeppelin", user_id="bob", app_id="desk")["results"][0]["id"]
        outside = memory.add("ana on the phone", user_id="ana", app_id="phone")["results"][0]["id"]

    async def go(url: str) -> None:
        async with client(url, ana) as spoken:
            id = data_of(await spoken.call_tool("add_memory", {"text": "ana's key is under the pot"}))["results"][0][
                "id"
            ]
            rows = data_of(await spoken.call_tool("search_memories", {}))["results"]
            assert [row["id"] for row in rows] == [id]
            for foreign in (secret, outside):
                assert error_of(await spoken.call_tool("get_memory", {"memory_id": foreign})) == "not_found"
                assert error_of(await spoken.call_tool("delete_memory", {"memory_id": foreign})) == "not_found"
            for ids in ({"user_id": "bob"}, {"app_id": "phone"}):
                assert error_of(await spoken.call_tool("search_memories", {"query": "x", **ids})) == "forbidden"
                assert error_of(await spoken.call_tool("delete_all_memories", ids)) == "forbidden"
        async with client(url, bob) as spoken:
            assert "zeppelin" in text_of(await spoken.call_tool("search_memories", {"query": "secret"}))
            assert error_of(await spoken.call_tool("get_memory", {"memory_id": id})) == "not_found"
        async with client(url, reader) as spoken:
            assert "pot" in text_of(await spoken.call_tool("search_memories", {"query": "key"}))
            assert error_of(await spoken.call_tool("delete_memory", {"memory_id": id})) == "forbidden"
        async with client(url, phone) as spoken:
            # The server was started for another application.
            assert error_of(await spoken.call_tool("search_memories", {"query": "x"})) == "forbidden"
        async with client(url, soon) as spoken:
            data_of(await spoken.call_tool("add_memory", {"text": "one more"}))
            keys.revoke(last.id)
            assert post(url, calling(), Authorization=f"Bearer {soon}").status_code == 401

    with closing(keys), served(tmp_path, "--path", store, "--app", "desk") as url:
        for headers in (
            {},
            {"Authorization": "Bearer nonsense"},
            {"Authorization": f"Bearer {ana[:-1]}x"},
            {"Authorization": f"Basic {ana}"},
            {"Authorization": f"Bearer {over}"},
            {"Authorization": f"Bearer {ana}", "X_API_Key": bob},
        ):
            answer = post(url, calling(), **headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "unauthenticated"
        assert post(url, calling(), X_API_Key=ana).status_code != 401
        anyio.run(go, url)


@over_all_stores
def test_two_servers_on_one_store(tmp_path: Path, store: str) -> None:
    async def write(url: str, who: str) -> None:
        async with client(url) as spoken:
            for number in range(10):
                data_of(await spoken.call_tool("add_memory", {"text": f"{who} {number}"}))

    async def go(first: str, second: str) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(write, first, "left")
            group.start_soon(write, second, "right")
        async with client(first) as spoken:
            rows = data_of(await spoken.call_tool("search_memories", {"limit": 100}))["results"]
            assert len(rows) == 20

    options = ("--path", store, "--user", "ana")
    with served(tmp_path, *options) as first, served(tmp_path, *options) as second:
        anyio.run(go, first, second)


def test_who_listens_for_changes_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    file = str(tmp_path / "graph.jsonl")
    process = subprocess.Popen(
        [
            sys.executable,
            *COMMAND,
            "--transport",
            "http",
            "--port",
            "0",
            "--profile",
            "official",
            "--memory-file",
            file,
        ],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = process.stderr.readline().partition(" at ")[2].partition(";")[0]
    protocol = "io.modelcontextprotocol/"
    meta = {
        f"{protocol}protocolVersion": "2026-07-28",
        f"{protocol}clientInfo": {"name": "listener", "version": "1"},
        f"{protocol}clientCapabilities": {},
    }
    wanted = {"notifications": {"resourceSubscriptions": ["memory://knowledge-graph"]}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": wanted}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "subscriptions/listen",
    }
    try:
        with httpx.stream("POST", url, json=message, headers=headers, timeout=60) as answer:
            assert "acknowledged" in next(answer.iter_text()), "it listens"
            process.terminate()
            assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()
