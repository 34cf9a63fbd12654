"""Processes that share a socket share its connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

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
            stack.enter_context(socket.create_connection(listening.getsockname(), 5))
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


def test_as_many_may_wait_as_before(listening: socket.socket) -> None:
    loop = FairLoop()
    try:
        server = loop.run_until_complete(loop.create_server(asyncio.Protocol, sock=listening, backlog=64))
        with ExitStack() as stack:
            # Nobody takes any of them, so that each finds a place in the queue or none.
            for _ in range(2 * MANY):
                stack.enter_context(socket.create_connection(listening.getsockname(), 1))
        server.close()
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
