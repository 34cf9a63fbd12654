"""Servers of both profiles within the test's own process, and real ones as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from remanence.runtime.memory import Memory
from remanence.server.access import Principal
from remanence.server.keys import RIGHTS
from remanence.server.mcp import main, official, wire
from remanence.server.mcp.graph_file import GraphFile
from remanence.server.mcp.tools import Toolbox
from remanence.server.service import Service
from remanence.server.settings import Settings

T = TypeVar("T")

EVERYTHING = frozenset(RIGHTS)
COMMAND = ["-c", "from remanence.cli import main; main()", "mcp"]
Talk = Callable[[Client], Awaitable[T]]


def caller(rights: frozenset[str] = EVERYTHING, **ids: str) -> Principal:
    return Principal(None, "test", ids, rights)


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def data_of(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def error_of(result: CallToolResult) -> str:
    """What kind of error it is, after checking that text and data agree on it."""
    assert result.is_error
    assert result.structured_content is None
    assert result.meta is not None
    detail = result.meta["remanence/error"]
    assert text_of(result) == f"{detail['type']}: {detail['message']}"
    return str(detail["type"])


def call(box: Toolbox, name: str, principal: Principal, **arguments: Any) -> dict[str, Any]:
    """A tool without any protocol around it: its data. `admit` is part of it."""
    (tool,) = (tool for tool in box.tools if tool.name == name)
    answer = tool.call(arguments, box.admit(principal))
    return answer.content.model_dump(mode="json", by_alias=True, exclude_none=True)


@contextmanager
def main_box(memory: Memory, tokens: int = 2_000, **ids: str) -> Iterator[Toolbox]:
    """The main profile on an open memory, for the memories of `ids`."""
    service = Service(Settings(path=":memory:"), memory)
    try:
        yield main.toolbox(service, ids, tokens)
    finally:
        service.close()


def official_box(path: Path, tokens: int = 6_000) -> Toolbox:
    return official.toolbox(GraphFile(path), tokens)


def talk(box: Toolbox, what: Talk[T], *, principal: Principal | None = None, mode: str = "auto") -> T:
    """Speak to a toolbox with the SDK's client, in this process."""
    service = Service(Settings(path=":memory:"))
    who = principal or caller()
    server = wire.server(box, service, lambda _: who, subscriptions=True)

    async def go() -> T:
        async with Client(server, mode=mode) as client:
            return await what(client)

    try:
        return anyio.run(go)
    finally:
        service.close()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a server's process is started with: its data in `folder`, and warnings as errors."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {"REMANENCE_DIR": str(folder), "REMANENCE_BACKGROUND": "0", "PYTHONWARNINGS": "error"} | more


def stdio(folder: Path, *arguments: str, **more: str) -> StdioServerParameters:
    """A server over standard input and output, for the SDK's client to start."""
    return StdioServerParameters(
        command=sys.executable, args=[*COMMAND, *arguments], env=environment(folder, **more), cwd=folder
    )


class Raw:
    """A server over standard input and output, spoken to line by line; every line that it prints has to be JSON-RPC."""

    def __init__(self, folder: Path, *arguments: str, code: str = COMMAND[1], **more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "mcp", *arguments],
            env=environment(folder, **more),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def say(self, *messages: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(message + b"\n" for message in messages))
        self.process.stdin.flush()

    def hear(self, number: int) -> dict[str, Any]:
        """The answer to a request; what else comes before it is skipped."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            assert message["jsonrpc"] == "2.0", line
            if message.get("id") == number:
                return message
        raise AssertionError("the server has ended")

    def rest(self) -> tuple[bytes, bytes]:
        """Close its input and wait: what else it printed, and what it told on standard error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdin = None
        # `communicate` knows nothing of what `hear` has read ahead, and would begin in the middle of a line.
        out = self.process.stdout.read()
        _, told = self.process.communicate(timeout=60)
        return out, told

    def end(self) -> str:
        """Close its input and wait: what it told on standard error."""
        out, told = self.rest()
        for line in out.splitlines():
            assert json.loads(line)["jsonrpc"] == "2.0", line
        assert self.process.returncode == 0, told.decode()
        return told.decode()


def request(number: int, method: str, params: Mapping[str, Any] | None = None) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        message["params"] = params
    return json.dumps(message).encode()


def hello() -> list[bytes]:
    """The handshake of clients from before 2026."""
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    return [
        request(0, "initialize", params),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode(),
    ]
