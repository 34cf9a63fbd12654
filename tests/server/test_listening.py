"""Connections on which nothing comes, or too slowly, and addresses that nobody can listen on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import pytest
import uvicorn

from remanence.core.errors import StoreError
from remanence.server.listening import Connection, address_of, bound, options

pytestmark = pytest.mark.loopback

PATIENCE = 0.3
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


class Impatient(Connection):
    patience = PATIENCE
    seen: list[int]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        self.seen.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Refuses what is posted without reading it, and otherwise takes longer to answer than a head may take to come."""
    assert scope["type"] == "http"
    if scope["method"] == "GET":
        await receive()
        time.sleep(2 * PATIENCE)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(listener: socket.socket) -> Iterator[None]:
    """A server on a socket while the block runs."""
    Impatient.seen = []
    server = uvicorn.Server(uvicorn.Config(app, **{**options(), "http": Impatient, "lifespan": "off"}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with bound("localhost", 0) as listener, serving(listener):
        yield listener.getsockname()[:2]


def until_closed(connection: socket.socket) -> None:
    """Wait until the other side closes a connection; an error if it keeps it for a minute."""
    connection.settimeout(60)
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass


@pytest.mark.parametrize("said", [b"", b"G", HEAD])
def test_who_sends_no_request_is_let_go(address: tuple[str, int], said: bytes) -> None:
    # From before the connection is there: later the other side may have begun to count.
    began = time.monotonic()
    with socket.create_connection(address) as connection:
        connection.sendall(said)
        until_closed(connection)
    assert time.monotonic() - began >= PATIENCE * 0.8


@pytest.mark.parametrize(
    "beginning",
    [
        HEAD + b"X-Long: ",
        # Answered at once; what follows is read by nobody.
        POST + b"Content-Length: 1000000\r\n\r\n",
    ],
)
def test_a_byte_from_time_to_time_keeps_nothing_open(address: tuple[str, int], beginning: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(beginning)
        began, gone = time.monotonic(), False
        while not gone:
            assert time.monotonic() - began < 60
            time.sleep(PATIENCE / 6)
            try:
                connection.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                gone = True


def answered(connection: socket.socket, client: h11.Connection) -> None:
    """Read an answer to its end."""
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    client.send(h11.EndOfMessage())
    while (event := client.next_event()) is h11.NEED_DATA or not isinstance(event, h11.EndOfMessage):
        if event is h11.NEED_DATA:
            client.receive_data(connection.recv(4096))
        else:
            assert not isinstance(event, h11.ConnectionClosed)
    client.start_next_cycle()


def test_who_waits_for_an_answer_has_all_the_time() -> None:
    client = h11.Connection(h11.CLIENT)
    with bound("localhost", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2], 60) as connection:
            # Before anybody counts, so that a busy machine does not send it too late.
            connection.sendall(HEAD + b"\r\n")
            with serving(listener):
                answered(connection, client)
                connection.sendall(HEAD + b"\r\n")
                answered(connection, client)


def test_answers_leave_at_once(address: tuple[str, int]) -> None:
    """Without this, an answer in two writes waits some 40 ms for an acknowledgement in between."""
    with socket.create_connection(address) as connection:
        connection.sendall(POST + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        until_closed(connection)
    assert Impatient.seen == [1]


def test_heads_are_bounded_whatever_else_is_installed() -> None:
    """uvicorn prefers another parser where there is one, and that has no bound."""
    given = options()
    assert issubclass(given["http"], Connection)
    assert given["h11_max_incomplete_event_size"] <= 1 << 16


def test_addresses() -> None:
    with bound("127.0.0.1", 0) as first:
        first.listen()
        host, port = first.getsockname()
        assert address_of(first) == f"http://{host}:{port}"
        with pytest.raises(StoreError, match=f"cannot listen on {host}:{port}: "):
            bound(host, port)
    with bound("localhost", 0) as named:
        assert named.family == socket.AF_INET, "the one that most callers try first"


def test_a_name_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StoreError, match=r"cannot listen on nowhere\.invalid:80: Name or service not known"):
        bound("nowhere.invalid", 80)
