"""The event loop of one server process among several that listen on one socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["FairLoop"]

PAUSE = 0.001
"""Seconds that a process lets a new connection wait for each that it serves already: one with fewer takes it first."""
LONGEST = 0.02


class FairLoop(asyncio.SelectorEventLoop):
    """Takes connections one at a time, and sooner the fewer it has.

    asyncio takes all that wait as soon as it looks. Callers that keep their connections would all be served by the
    process that looked first, on one core, while the others sleep.
    """

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *arguments: Any,
        sock: socket.socket | None = None,
        backlog: int = 100,
        **options: Any,
    ) -> Any:
        """As asyncio's; for a socket that is given, an `asyncio.AbstractServer` with `sockets`."""
        if sock is None:
            return await super().create_server(protocol_factory, *arguments, backlog=backlog, **options)
        sock.setblocking(False)
        sock.listen(backlog)
        return _FairServer(self, protocol_factory, sock, options)


class _FairServer(asyncio.AbstractServer):
    """Waits on a socket that other processes wait on, too."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        options: dict[str, Any],
    ) -> None:
        self._loop, self._make, self._sock = loop, make, sock
        # What uvicorn says besides is about sockets that asyncio would make itself.
        self._options = {name: options[name] for name in ("ssl",) if options.get(name)}
        self._held: set[asyncio.BaseTransport] = set()
        self._task = loop.create_task(self._serve())

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The socket, while it is served."""
        return () if self._task.done() else (self._sock,)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it serves on."""
        return self._loop

    async def start_serving(self) -> None:
        """It does so from the beginning."""

    async def serve_forever(self) -> None:
        """Until it is closed."""
        await self._task

    def is_serving(self) -> bool:
        """Whether connections are taken."""
        return not self._task.done()

    def close(self) -> None:
        """Take no more connections, and close the socket; the connections that there are go on."""
        self._task.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    async def wait_closed(self) -> None:
        """Until none is taken any more."""
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while True:
            await self._readable()
            self._held = {one for one in self._held if not one.is_closing()}
            if self._held:
                await asyncio.sleep(min(PAUSE * len(self._held), LONGEST))
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                # Another process was sooner, or the caller has gone.
                continue
            except OSError as error:
                # Out of descriptors or memory: those that wait are served when there are some again.
                self._loop.call_exception_handler({"message": "a connection was not taken", "exception": error})
                await asyncio.sleep(1)
                continue
            connection.setblocking(False)
            _at_once(connection)
            taking = self._loop.create_task(self._take(connection))
            taking.add_done_callback(self._told)
            # So that the next look counts it.
            await asyncio.sleep(0)

    async def _take(self, connection: socket.socket) -> None:
        transport, _ = await self._loop.connect_accepted_socket(self._make, connection, **self._options)
        self._held.add(transport)

    def _told(self, taking: asyncio.Task[None]) -> None:
        if not taking.cancelled() and (error := taking.exception()):
            # A handshake that failed, for example, ends its own connection and no other.
            self._loop.call_exception_handler({"message": "a connection came to nothing", "exception": error})

    async def _readable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_reader(self._sock, ready.set)
        try:
            await ready.wait()
        finally:
            if self._sock.fileno() >= 0:
                self._loop.remove_reader(self._sock)


def _at_once(connection: socket.socket) -> None:
    """Send what is written without waiting for the other side's word on what was sent before.

    asyncio does so where it made the socket itself; of one that is given it does not know that it speaks TCP. Head and
    body of an answer are two writes, and the second would wait some 40 ms for a delayed acknowledgement of the first.
    """
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
