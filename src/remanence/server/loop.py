"""The event loop of one server process among several that listen on one socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

__all__ = ["FairLoop"]


class FairLoop(asyncio.SelectorEventLoop):
    """Takes connections one at a time, so that whichever process is free takes the next one.

    asyncio takes all that wait as soon as it looks, as many as `backlog`. Callers that keep their connections would
    all be served by the process that looked first, on one core, while the others sleep.
    """

    async def create_server(
        self, *arguments: Any, sock: socket.socket | None = None, backlog: int = 100, **options: Any
    ) -> asyncio.Server:
        """As asyncio's, but `backlog` bounds only how many may wait."""
        if sock is None:
            return await super().create_server(*arguments, backlog=backlog, **options)
        server = await super().create_server(*arguments, sock=sock, backlog=1, **options)
        # The number that asyncio takes at once is also the one that it lets wait.
        sock.listen(backlog)
        return server
