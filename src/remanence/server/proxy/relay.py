"""Passing on a stream of events while it comes, and storing the turn when it ends, however it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import anyio
import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from remanence.server.proxy.events import DONE, Splitter, Transcript, data_of, error_event, marked
from remanence.server.proxy.remembering import Stored
from remanence.server.proxy.settings import Upstream
from remanence.server.proxy.upstream import SlowUpstream, translated

__all__ = ["CLIENT", "UPSTREAM", "Keep", "Relay"]

LOG: Final = logging.getLogger("remanence.server.proxy")

CLIENT: Final = "the client left"
UPSTREAM: Final = "the upstream broke off"

_DRAIN: Final = 1.0

Keep = Callable[[Transcript, str | None], Awaitable[Stored | None]]
"""Stores the turn with what was said so far, and why it is not whole; None: there is nothing to store."""


class Relay(Response):
    """A streamed answer. What was sent to the caller is what is stored.

    Args:
        upstream: the beginning of the answer; closed in the end.
        settings: of the upstream.
        headers: of the answer to the caller.
        field: what stands under `memory` in the first event; None: no event is changed.
        gone: ends when the caller leaves.
        keep: stores the turn.

    """

    def __init__(
        self,
        upstream: httpx.Response,
        settings: Upstream,
        headers: list[tuple[bytes, bytes]],
        field: dict[str, Any] | None,
        gone: asyncio.Task[None],
        keep: Keep,
    ) -> None:
        super().__init__(status_code=upstream.status_code)
        self.raw_headers = headers
        self._upstream = upstream
        self._settings = settings
        self._field = field
        self._gone = gone
        self._keep = keep
        self._transcript = Transcript()
        self._kept = False
        self._sent = False
        # Cancelled by asyncio in the wrong moment, the library would leave its connection open.
        self._scope = anyio.CancelScope()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        pump = asyncio.ensure_future(self._pumped(send))
        try:
            await asyncio.wait({pump, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if self._sent:
                # Servers count a caller who has everything as gone; the connection to the upstream is still read out.
                await asyncio.wait({pump})
            if pump.done():
                try:
                    pump.result()
                except OSError as error:
                    # Some servers say so when one writes to a caller who has left.
                    LOG.info("an answer could not be sent on: %s", error)
        finally:
            self._scope.cancel()
            self._gone.cancel()
            # Also when the server ends in the middle, what was said is stored before it does.
            await asyncio.shield(self._end(pump))

    async def _end(self, pump: asyncio.Future[None]) -> None:
        await asyncio.wait({pump})
        await self._upstream.aclose()
        await self._store(CLIENT)

    async def _pumped(self, send: Send) -> None:
        with self._scope:
            await self._pump(send)

    async def _pump(self, send: Send) -> None:
        async def out(body: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        talk = self._transcript
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    data = data_of(event)
                    if data.strip() == DONE:
                        talk.take(data)
                        await self._finished(out)
                        await out(event)
                        self._sent = True
                        await out(b"", more=False)
                        await _drained(events)
                        return
                    await out(self._marked(event, data))
                    talk.take(data)
            await self._finished(out)
            if not talk.finished and not talk.failed:
                await out(error_event("the upstream broke off in the middle of its answer", "upstream_broke_off"))
        except (TimeoutError, httpx.HTTPError) as error:
            told = translated(error, self._settings)
            await self._finished(out)
            if not talk.finished:
                code = "upstream_timeout" if isinstance(told, SlowUpstream) else "upstream_broke_off"
                await out(error_event(str(told), code))
        await out(b"", more=False)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        splitter = Splitter()
        async for data in self._upstream.aiter_bytes():
            for event in splitter.feed(data):
                yield event
        rest = splitter.rest()
        data = data_of(rest).strip()
        # Some services end without the last blank line. A piece of an event is no event.
        if data == DONE or (data and Transcript().take(data)):
            yield rest.rstrip() + b"\n\n"

    def _marked(self, event: bytes, data: bytes) -> bytes:
        """The event, the first with the extension field."""
        if self._field is None or not data or not Transcript().take(data):
            return event
        found = marked(event, "memory", self._field)
        if found != event:
            self._field = None
        return found

    async def _finished(self, out: Callable[[bytes], Awaitable[None]]) -> None:
        """Store before the end is sent, so that whoever has seen the end can rely on it; say so if that failed."""
        whole = self._transcript.finished and not self._transcript.failed
        stored = await self._store(None if whole else UPSTREAM)
        if stored is not None and stored.state != "stored":
            # A comment, which every client of the protocol passes over.
            await out(f": memory {stored.state}\n\n".encode("ascii"))

    async def _store(self, incomplete: str | None) -> Stored | None:
        if self._kept:
            return None
        self._kept = True
        if self._transcript.finished and not self._transcript.failed:
            # Who left after the last word has heard it all.
            incomplete = None
        if incomplete is not None:
            LOG.info("%s in the middle of an answer; what was delivered is stored", incomplete)
        return await self._keep(self._transcript, incomplete)


async def _drained(events: AsyncGenerator[bytes, None]) -> None:
    """Read what follows the end, so that the connection can serve another request."""
    try:
        with anyio.move_on_after(_DRAIN):
            async for _ in events:
                continue
    except httpx.HTTPError as error:
        LOG.debug("the upstream broke its connection off after the end: %s", type(error).__name__)
