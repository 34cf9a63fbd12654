"""Processes that share a socket share its connections."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from remanence.server import loop as module
from remanence.server.loop import FairLoop

pytestmark = pytest.mark.loopback

MANY = 12


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        yield sock


def most_at_once(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> tuple[int, int]:
    """How many of the connections that wait are taken in one turn of the loop at most, and how many in all."""
    taken: list[object] = []

    class Taken(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken.append(transport)
            transport.close()

    async def serve() -> int:
        server = await loop.create_server(Taken, sock=listening, backlog=64)
        most = before = 0
        for _ in range(20 * MANY):
            await asyncio.sleep(0)
            most, before = max(most, len(taken) - before), len(taken)
        server.close()
        return most

    with ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(socket.create_connection(listening.getsockname(), 60))
        try:
            return loop.run_until_complete(serve()), len(taken)
        finally:
            loop.close()


def test_connections_are_taken_one_at_a_time(listening: socket.socket) -> None:
    most, total = most_at_once(FairLoop(), listening)
    assert total == MANY
    assert most <= 2


def test_asyncio_alone_would_take_them_all(listening: socket.socket) -> None:
    most, total = most_at_once(asyncio.SelectorEventLoop(), listening)
    assert (most, total) == (MANY, MANY)


def test_an_answer_in_two_writes_does_not_wait_for_an_acknowledgement(listening: socket.socket) -> None:
    """Without TCP_NODELAY the second write comes some 40 ms after the first; asyncio sets it on sockets of its own."""
    found: list[int] = []

    class Asked(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connection = transport.get_extra_info("socket")
            found.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Asked, sock=listening)
        while not found:
            await asyncio.sleep(0.001)
        server.close()

    loop = FairLoop()
    try:
        with socket.create_connection(listening.getsockname(), 60):
            loop.run_until_complete(asyncio.wait_for(serve(), 60))
    finally:
        loop.close()
    assert found[0] != 0


def test_who_has_fewer_connections_takes_the_next(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two loops on one socket, each in a thread of its own: connections that come one by one are shared evenly."""
    # Ten times what it is, beside which the whims of a busy machine are small.
    monkeypatch.setattr(module, "PAUSE", 10 * module.PAUSE)
    monkeypatch.setattr(module, "LONGEST", 10 * module.LONGEST)
    taken: list[list[asyncio.BaseTransport]] = [[], []]
    serving = [threading.Event(), threading.Event()]
    stop = threading.Event()

    def serve(number: int) -> None:
        class Kept(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                taken[number].append(transport)

        async def main() -> None:
            # On Windows and macOS two loops share no descriptor; here each has its own of the same socket.
            server = await asyncio.get_running_loop().create_server(Kept, sock=listening.dup(), backlog=64)
            assert server.is_serving()
            await asyncio.sleep(0)
            serving[number].set()
            while not stop.is_set():
                await asyncio.sleep(0.005)
            server.close()
            await server.wait_closed()
            assert not server.is_serving()
            for transport in taken[number]:
                transport.close()

        with asyncio.Runner(loop_factory=FairLoop) as runner:
            runner.run(main())

    threads = [threading.Thread(target=serve, args=(number,)) for number in (0, 1)]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
        # Whoever begins alone takes what comes before the other one is there.
        assert all(one.wait(60) for one in serving)
        for many in range(1, MANY + 1):
            stack.enter_context(socket.create_connection(listening.getsockname(), 60))
            deadline = time.monotonic() + 60
            while sum(map(len, taken)) < many and time.monotonic() < deadline:
                time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(map(len, taken)) == MANY
    # A busy machine may let the wrong one be sooner now and then, never nearly always.
    assert min(map(len, taken)) >= MANY // 4


def test_as_many_may_wait_as_before(listening: socket.socket) -> None:
    loop = FairLoop()
    try:
        server = loop.run_until_complete(loop.create_server(asyncio.Protocol, sock=listening, backlog=64))
        with ExitStack() as stack:
            # Nobody takes any of them, so that each finds a place in the queue or none.
            for _ in range(2 * MANY):
                stack.enter_context(socket.create_connection(listening.getsockname(), 1))
        server.close()
        loop.run_until_complete(server.wait_closed())
    finally:
        loop.close()


def test_without_a_socket_of_others_nothing_changes() -> None:
    loop = FairLoop()
    try:
        server = loop.run_until_complete(loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
        with socket.create_connection(server.sockets[0].getsockname(), 5):
            pass
        server.close()
    finally:
        loop.close()
