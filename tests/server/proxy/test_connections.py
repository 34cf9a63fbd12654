"""Connections to the upstream: used again after a whole answer, closed after a broken one, and never left behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest

from remanence.server.proxy.settings import Upstream
from remanence.server.proxy.upstream import Client
from tests.server.proxy.support import Body, Handler, Place, answer, chunk, says
from tests.support.waiting import eventually

pytestmark = pytest.mark.loopback


@pytest.fixture
def seen(place: Place) -> set[tuple[str, int]]:
    """The connections over which the upstream was asked."""
    found: set[tuple[str, int]] = set()
    spoken = says("a few words that take several pieces")

    def step(handler: Handler, request: Body) -> None:
        found.add(handler.client_address)
        spoken(handler, request)

    place.up.script = [step] * 400
    return found


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What the connections to the upstream say of themselves."""
    clients: list[httpx.AsyncClient] = []
    connected = Client._connected

    def noted(self: Client) -> httpx.AsyncClient:
        client = connected(self)
        if client not in clients:
            clients.append(client)
        return client

    def found() -> list[str]:
        transports = [client._transport for client in clients]
        return [
            connection.info()
            for transport in transports
            if isinstance(transport, httpx.AsyncHTTPTransport)
            for connection in transport._pool.connections
        ]

    monkeypatch.setattr(Client, "_connected", noted)
    return found


def wait_until_idle(kept: Callable[[], list[str]]) -> None:
    """Wait until no connection is in use any more."""
    eventually(lambda: all("IDLE" in info or "CLOSED" in info for info in kept()), "a connection is still in use")


def streamed(place: Place, number: int, *, whole: bool = True) -> None:
    body = {
        "model": "tiny",
        "stream": True,
        "user": f"user {number % 7}",
        "messages": [{"role": "user", "content": f"tell me number {number}"}],
    }
    with (
        httpx.Client(verify=False, trust_env=False, timeout=60) as made,
        made.stream("POST", f"{place.base}/chat/completions", json=body) as reply,
    ):
        for piece in reply.iter_bytes():
            if not whole or b"[DONE]" in piece:
                return


def test_streams_one_after_the_other_share_a_connection(
    place: Place, seen: set[tuple[str, int]], kept: Callable[[], list[str]]
) -> None:
    for number in range(20):
        streamed(place, number)
        # What follows the end of a stream may still be read.
        wait_until_idle(kept)
    assert kept()
    assert len(seen) == 1


def test_no_connection_outlives_its_stream_in_use(
    place: Place, seen: set[tuple[str, int]], kept: Callable[[], list[str]]
) -> None:
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(lambda number: streamed(place, number, whole=number % 4 > 0), range(160)))
    assert seen
    wait_until_idle(kept)


def test_callers_who_leave_at_any_moment_leave_no_connection_behind(
    place: Place, kept: Callable[[], list[str]]
) -> None:
    async def go(number: int, made: httpx.AsyncClient, turn: asyncio.Semaphore) -> None:
        body = {
            "model": "tiny",
            "stream": number % 3 == 0,
            "user": "ana",
            "messages": [{"role": "user", "content": f"tell me number {number}"}],
        }
        async with turn:
            try:
                async with asyncio.timeout(number % 97 / 800):
                    await made.post(f"{place.base}/chat/completions", json=body)
            except TimeoutError:
                return

    async def crowd() -> None:
        turn = asyncio.Semaphore(16)
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=60) as made:
            await asyncio.gather(*(go(number, made, turn) for number in range(600)))

    def slow(handler: Handler, request: Body) -> None:
        time.sleep(number() / 20)
        says("a few words")(handler, request)

    def halved(handler: Handler, request: Body) -> None:
        text = json.dumps(answer("word " * 4_000)).encode()
        handler.begin({"Content-Type": "application/json"})
        handler.piece(text[:9_000])
        time.sleep(0.03)
        handler.piece(text[9_000:])
        handler.end()

    def torn(handler: Handler, request: Body) -> None:
        handler.begin()
        handler.event(chunk("half"))
        handler.reset()

    number = Random(5).random
    place.up.script = [slow, halved, says("a few words"), torn] * 150
    asyncio.run(crowd())
    assert place.up.paths, "some of them came as far as the upstream"
    wait_until_idle(kept)


class Slow(httpx.AsyncByteStream):
    """A stream that takes a moment to close."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"

    async def aclose(self) -> None:
        await self.let_go.wait()
        self.closed = True


class Slowly(httpx.AsyncBaseTransport):
    """Answers everything with one stream."""

    def __init__(self, stream: Slow) -> None:
        self.stream = stream

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self.stream)


def test_an_answer_is_closed_even_if_whoever_closes_it_is_cancelled() -> None:
    async def go() -> None:
        stream = Slow()
        client = Client(Upstream(base_url="http://127.0.0.1:1/v1"))
        client._client = httpx.AsyncClient(transport=Slowly(stream))
        answer = await client.ask("POST", "http://127.0.0.1:1/v1/chat/completions", [], b"{}")
        closing = asyncio.ensure_future(answer.aclose())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        assert closing.cancelled()
        assert not stream.closed
        stream.let_go.set()
        await client.close()
        assert stream.closed

    asyncio.run(go())


def test_what_follows_the_end_is_not_waited_for_long(place: Place) -> None:
    def step(handler: Handler, request: Body) -> None:
        handler.begin()
        handler.event(chunk("said"))
        handler.event(chunk(finish="stop"))
        handler.event(b"[DONE]")
        while not place.up.released.wait(0.02):
            handler.piece(b": still here\n\n")

    place.up.script = [step]
    streamed(place, 1)
    eventually(lambda: place.up.broken_off.is_set())
    assert place.texts(user_id="user 1") == ["tell me number 1", "said"]
