"""A scripted upstream, the proxy in front of it as a real server, and what tests ask of both."""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from remanence import Memory
from remanence.server import create_app
from remanence.server.proxy.routes import CHAT, mount
from remanence.server.proxy.settings import Upstream
from remanence.server.service import Service
from remanence.server.settings import Settings
from remanence.stores.embedders import as_embedder
from remanence.substrates.embedding import Embedder
from tests.support.waiting import eventually

Body = dict[str, Any]
Step = Callable[["Handler", Body], None]
UP_KEY = "sk-upstream-0123456789"


@dataclass
class Scripted:
    """Plays its script one step per request, then answers "hello" for ever, and keeps what it was sent."""

    script: list[Step] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    broken_off: threading.Event = field(default_factory=threading.Event)
    """Set when a step found that the proxy had hung up."""
    url: str = ""

    def clear(self) -> None:
        for kept in (self.script, self.raw, self.headers, self.paths):
            kept.clear()

    @property
    def requests(self) -> list[Body]:
        return [json.loads(body) for body in self.raw]


class Handler(BaseHTTPRequestHandler):
    """One request to the upstream. Answers are chunked, so that a connection that breaks is known to have broken."""

    protocol_version = "HTTP/1.1"
    service: Scripted

    def do_GET(self) -> None:
        self._note()
        data = [{"id": name, "object": "model", "created": 1, "owned_by": "x"} for name in ("tiny", "org/big")]
        name = self.path.partition("/models/")[2]
        self.whole(200, data[-1] if name else {"object": "list", "data": data})

    def do_POST(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.service.raw.append(body)
        step = self.service.script.pop(0) if self.service.script else says("hello")
        try:
            step(self, json.loads(body))
        except (BrokenPipeError, ConnectionResetError):
            self.service.broken_off.set()
            self.close_connection = True

    def whole(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response_only(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(text)), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def begin(self, headers: Mapping[str, str] | None = None) -> None:
        self.send_response_only(200)
        sent = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked", **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()

    def piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, value: Any) -> None:
        self.piece(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _note(self) -> None:
        self.service.paths.append(self.path)
        self.service.headers.append({name.lower(): value for name, value in self.headers.items()})

    def log_message(self, format: str, *args: object) -> None:
        pass


def answer(text: str | None, **message: Any) -> Body:
    """A well-formed answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-0125",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
        }],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        "odd": {"kept": [1.5, None]},
    }  # fmt: skip


def chunk(text: str | None = None, *, finish: str | None = None, index: int = 0, **delta: Any) -> Body:
    """One piece of a stream."""
    said = {**({} if text is None else {"content": text}), **delta}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny-0125",
        "choices": [{"index": index, "delta": said, "finish_reason": finish}],
    }


def says(text: str | None, **message: Any) -> Step:
    """An ordinary answer, streamed in words if asked to."""

    def step(handler: Handler, request: Body) -> None:
        if not request.get("stream"):
            handler.whole(200, answer(text, **message), {"X-Ratelimit-Remaining": "7", "X-Request-Id": "up-1"})
            return
        handler.begin({"X-Ratelimit-Remaining": "7"})
        handler.event(chunk(role="assistant", **message))
        for word in (text or "").split(" "):
            handler.event(chunk(word + " "))
        handler.event(chunk(finish="tool_calls" if message.get("tool_calls") else "stop"))
        if (request.get("stream_options") or {}).get("include_usage"):
            handler.event({**chunk(), "choices": [], "usage": answer("")["usage"]})
        handler.event(b"[DONE]")
        handler.end()

    return step


def fails(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Step:
    return lambda handler, request: handler.whole(status, body, headers)


class Busy(ThreadingHTTPServer):
    """A server that many connect to at once."""

    request_queue_size = 128


@contextmanager
def scripted() -> Iterator[Scripted]:
    """An upstream that runs until the block ends."""
    service = Scripted()
    server = Busy(("127.0.0.1", 0), type("Bound", (Handler,), {"service": service}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(uvicorn.Server):
    """A server in a thread: signals are not its business, and tests do not wait for its next tick."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.005)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The address of an application as a real server."""
    server = Quiet(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@dataclass
class Place:
    """A proxy, its upstream, the memory between and the keys to it."""

    up: Scripted
    memory: Memory
    service: Service
    url: str

    @property
    def base(self) -> str:
        return f"{self.url}/v1"

    def key(self, scope: Mapping[str, str] | None, *rights: str) -> str:
        return self.service.keys.create("test", scope, rights or ("read", "write"))[1]

    def texts(self, **ids: str) -> list[str]:
        """What is stored for somebody, in order."""
        rows: list[Any] = list(self.memory.get_all(limit=1000, **ids)["results"])  # type: ignore[arg-type]
        return [row["memory"] for row in rows]

    def rows(self, **ids: str) -> list[Any]:
        return list(self.memory.get_all(limit=1000, **ids)["results"])  # type: ignore[arg-type]


@functools.cache
def embedder() -> Embedder:
    """The table that ships with the package, read once."""
    return as_embedder("static")


def opened(store: Path | str, kind: type[Memory] = Memory) -> Memory:
    """A memory in a folder, or at the address of a store, that works nothing out by itself."""
    return kind(_address(store), background=False, embedder=embedder())


def _address(store: Path | str) -> str:
    return store if isinstance(store, str) else str(store / "proxy.db")


@contextmanager
def proxied(store: Path | str, *, memory: Memory | None = None, auth: bool = False, **settings: Any) -> Iterator[Place]:
    """A proxy in front of a scripted upstream, within the whole server."""
    held = memory or opened(store)
    with scripted() as up, held:
        app = create_app(Settings(path=_address(store), auth=auth or None), memory=held)
        service: Service = app.state.service
        assert CHAT not in {getattr(route, "path", "") for route in app.routes}
        # Long enough for a busy machine; tests of what takes too long say how long that is.
        patient = {"timeout": 60.0, "recall_timeout": 60.0, "store_timeout": 60.0}
        mount(app, service, Upstream(**{"base_url": up.url, "key": UP_KEY, **patient, **settings}))
        with listening(app) as url:
            yield Place(up, held, service, url)
