"""A scripted service that speaks OpenAI's chat protocol on this machine's loopback interface.

It plays its script one step per request, then answers by `answers` for ever, and keeps what it was sent. The steps are
what real services do on good and bad days.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `cut`: bytes of the body that are sent before the connection breaks; None: all."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Step = Callable[[Request], Answer]


@dataclass
class Service:
    """`answers` makes the text of an answer from a request; `takes` says which response formats are known."""

    answers: Callable[[Request], str] = lambda request: "hello"
    takes: frozenset[str] = frozenset({"json_schema", "json_object"})
    silent: bool = False
    """Unknown response formats are ignored instead of refused."""
    script: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    models: tuple[str, ...] = ("tiny", "other")
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def step(self, request: Request) -> Answer:
        """What an ordinary day's service answers."""
        wanted = request.get("response_format", {}).get("type", "text")
        if wanted != "text" and wanted not in self.takes and not self.silent:
            return error(400, f"'response_format' of type {wanted!r} is not supported with this model")
        return said(self.answers(request))


def said(text: str | None, *, finish: str = "stop", model: str = "tiny-0125", **message: Any) -> Answer:
    """A well-formed answer with this content."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    return Answer(body=json.dumps(body).encode())


def error(status: int, message: str = "no", headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    """An error as OpenAI words it."""
    return Answer(status, json.dumps({"error": {"message": message, "type": "x", **more}}).encode(), headers or {})


def always(answer: Answer) -> Step:
    """A step that gives this answer whatever is asked."""
    return lambda request: answer


def text(content: str, **options: Any) -> Step:
    """A step that says this."""
    return always(said(content, **options))


def broken(request: Request) -> Answer:
    """The connection breaks in the middle of an answer."""
    return Answer(body=said("hello").body, cut=20)


def hung_up(request: Request) -> Answer:
    """The connection breaks before an answer."""
    return Answer(cut=-1)


SILENCE = 60.0
"""Seconds after which a silent service speaks, if the test has not ended by then."""


def silence(service: Service) -> Step:
    """No answer until the test ends."""

    def step(request: Request) -> Answer:
        service.released.wait(SILENCE)
        return said("too late")

    return step


@contextmanager
def serving() -> Iterator[Service]:
    """A service that runs until the block ends."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service.paths.append(self.path)
            service.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = {"object": "list", "data": [{"id": name, "object": "model"} for name in service.models]}
            self._send(Answer(body=json.dumps(body).encode()))

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.paths.append(self.path)
            service.headers.append({name.lower(): value for name, value in self.headers.items()})
            service.requests.append(request)
            self._send(service.script.pop(0)(request) if service.script else service.step(request))

        def _send(self, answer: Answer) -> None:
            self.close_connection = True
            if answer.cut == -1:
                # A reset, as from a service that dies.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            try:
                self.send_response_only(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(answer.body[: answer.cut])
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up first, as the timeout test wants

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
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


def shown_turns(request: Request) -> dict[int, tuple[bool, str, str]]:
    """The turns in a request for claims: by number, whether to be read, the speaker and the text."""
    found = {}
    material = next((one["content"] for one in request["messages"] if "===== turns" in one["content"]), "")
    for line in material.splitlines():
        if match := re.match(r"\[(\d+)\] (read|context) \S+ \(\w+\) (\"(?:[^\"\\]|\\.)*\"): (.*)$", line):
            found[int(match[1])] = (match[2] == "read", json.loads(match[3]), json.loads(match[4]))
    return found


def fact(turn: int, quote: str, subject: str, attribute: str, value: str, **more: Any) -> dict[str, Any]:
    """One fact as the prompt wants it."""
    return {
        "turn": turn, "quote": quote, "subject": subject, "attribute": attribute, "value": value, "act": "state",
        "old": None, "polarity": True, "valid_from": None, **more,
    }  # fmt: skip


def reader(*known: tuple[str, str, str, str]) -> Callable[[Request], str]:
    """A good model that knows these facts, (quote, subject, attribute, value), and finds them where they are said."""

    def answer(request: Request) -> str:
        facts = [
            fact(number, quote, subject, attribute, value)
            for number, (asked, _, said_there) in shown_turns(request).items()
            for quote, subject, attribute, value in known
            if asked and quote in said_there
        ]
        return json.dumps({"facts": facts})

    return answer
