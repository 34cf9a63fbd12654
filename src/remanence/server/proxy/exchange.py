"""One request from its first byte to its last: recall, ask the upstream, pass its answer on, store the turn."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from remanence.core.clock import Clock
from remanence.server.access import Permit
from remanence.server.errors import BadRequest, HttpError, TooLarge, UnsupportedMediaType
from remanence.server.proxy.conversation import Conversation, read_body
from remanence.server.proxy.counting import Counters
from remanence.server.proxy.events import Transcript, with_field
from remanence.server.proxy.headers import Wish, downstream, mentions_key, read_wish, refused, to_upstream
from remanence.server.proxy.relay import CLIENT, Relay
from remanence.server.proxy.remembering import NOTHING, Plan, Recalled, Remembering, Stored
from remanence.server.proxy.settings import MODES, Upstream
from remanence.server.proxy.upstream import Client

__all__ = ["Desk", "Exchange", "plain"]

LOG: Final = logging.getLogger("remanence.server.proxy")

_PERSONS: Final = ("user_id", "run_id")
_LONGEST_MODEL: Final = 200
_LEFT: Final = 499
"""Status of answers that nobody waits for; for the metrics."""


class SlowBody(HttpError):
    """A body that did not come in time."""

    status = 408
    type = "timeout"


class Desk:
    """What all exchanges share."""

    def __init__(
        self,
        remembering: Remembering,
        client: Client,
        readers: Executor,
        writers: Executor,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self.remembering = remembering
        self.client = client
        self.settings: Upstream = client.settings
        self.readers = readers
        self.writers = writers
        self.clock = clock
        self.counters = counters


class Exchange:
    """One request for a chat completion. `permit`: whose it is, and the leave to write."""

    def __init__(self, desk: Desk, request: Request, permit: Permit) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._request = request
        self._permit = permit
        self._headers: list[tuple[bytes, bytes]] = request.scope["headers"]
        self._plan: Plan | None = None
        self._recalled = NOTHING
        self._degraded: list[str] = []

    async def run(self) -> Response:
        """The answer. Raises `RemanenceError` for what the proxy itself refuses, before anything is sent."""
        wish = read_wish(self._headers, self._settings)
        try:
            body = await self._body()
        except ClientDisconnect:
            return self._left()
        gone = asyncio.ensure_future(_gone(self._request))
        handed_over = False
        try:
            work = asyncio.ensure_future(self._answer(wish, body, gone))
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    # Nothing was delivered, so nothing was said; the client may well ask again.
                    return self._left()
                response = work.result()
            finally:
                await _ended(work)
            handed_over = isinstance(response, Relay)
            return response
        finally:
            if not handed_over:
                await _ended(gone)

    def _left(self) -> Response:
        self._desk.counters.ended("left")
        return Response(status_code=_LEFT)

    async def _answer(self, wish: Wish, body: bytes, gone: asyncio.Task[None]) -> Response:
        sent = body
        if wish.mode != "off":
            parsed = await asyncio.to_thread(read_body, body)
            self._plan = await asyncio.to_thread(self._planned, wish, parsed)
            self._recalled = await self._recall()
            if self._plan is not None and self._recalled.block:
                block = self._recalled.block
                messages = self._plan.conversation.with_block(block)
                sent = await asyncio.to_thread(_encoded, {**parsed, "messages": messages})
                self._desk.counters.recalled(len(self._recalled.ids))
        url = self._settings.url("chat/completions", _query(self._request))
        upward = to_upstream(self._headers, self._settings, keyed=_keyed(self._permit), body=True)
        upstream = await self._desk.client.ask("POST", url, upward, sent)
        kind = upstream.headers.get("content-type", "").partition(";")[0].strip().lower()
        if upstream.is_success and kind == "text/event-stream" and not self._desk.client.undecoded(upstream):
            headers = [*self._downward(upstream), (b"x-accel-buffering", b"no")]
            return Relay(upstream, self._settings, headers, self._field(), gone, self._streamed)
        return await self._whole(upstream)

    async def _whole(self, upstream: httpx.Response) -> Response:
        """An answer that is no stream, or an error."""
        body = await _read(upstream, self._desk.client)
        headers = self._downward(upstream)
        if not upstream.is_success:
            self._desk.counters.answered_error(upstream.status_code)
            return _raw(upstream.status_code, body, headers)
        talk = Transcript()
        if talk.take(body, whole=True) and talk.begun:
            # Shielded: what is being stored is stored, also when the caller leaves in this moment.
            stored = await asyncio.shield(asyncio.ensure_future(self._keep(talk, None)))
            if (field := self._field(stored)) is not None:
                body = with_field(body, "memory", field)
            if stored is not None:
                state = str(len(stored.ids)) if stored.state == "stored" else stored.state
                headers.append((b"x-memory-stored", state.encode("ascii")))
        self._desk.counters.ended("answered")
        return _raw(upstream.status_code, body, headers)

    async def _body(self) -> bytes:
        """The body, read in portions and only as far as it may go."""
        kind = self._request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            # A web page of anybody may send other types to this machine without asking.
            raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
        if self._request.headers.get("content-encoding", "identity").lower() != "identity":
            raise BadRequest("send the body without Content-Encoding")
        most, found = self._settings.max_body, bytearray()
        try:
            async with asyncio.timeout(self._settings.timeout):
                async for piece in self._request.stream():
                    found += piece
                    if len(found) > most:
                        raise TooLarge(f"a request may have {most:,} bytes here")
        except TimeoutError as error:
            raise SlowBody("the body did not come in time") from error
        return bytes(found)

    def _planned(self, wish: Wish, body: dict[str, Any]) -> Plan | None:
        """What to recall and to store; None: nothing, nobody knows whose it would be."""
        settings, principal = self._settings, self._permit.principal
        asked: dict[str, object] = dict(wish.ids)
        user = body.get("user")
        if user is not None and "user_id" not in asked:
            if isinstance(user, bool) or not isinstance(user, str | int):
                raise refused("user must be a string", "user")
            asked["user_id"] = user
        ids, _ = principal.narrow(asked)
        reads, writes = MODES[wish.mode or settings.mode]
        # Without a person, an agent's or an app's memories of everybody would go into anybody's prompt.
        if not any(name in ids for name in _PERSONS):
            if settings.strict:
                raise refused("say whose memory it is: `user`, X-Memory-User or X-Memory-Session", "user")
            return None
        if wish.mode is None:
            reads, writes = reads and principal.may("read"), writes and principal.may("write")
        for wanted, right in ((reads, "read"), (writes, "write")):
            if wanted:
                principal.require(right)
        conversation = Conversation.of(body, seed=json.dumps(ids, sort_keys=True))
        if conversation is None or not (reads or writes):
            return None
        model = body.get("model")
        # The session says where a turn is kept; what is recalled comes from all sessions of the same user.
        wide = {
            name: value
            for name, value in ids.items()
            if name != "run_id" or "user_id" not in ids or "run_id" in principal.ids
        }
        return Plan(
            conversation,
            settings.budget if wish.budget is None else wish.budget,
            self._desk.clock(),
            model[:_LONGEST_MODEL] if isinstance(model, str) else None,
            wide if reads else None,
            ids if writes else None,
        )

    async def _recall(self) -> Recalled:
        """Memories, or none: without them a conversation goes on."""
        plan = self._plan
        if plan is None or plan.reads is None:
            return NOTHING
        work = asyncio.get_running_loop().run_in_executor(self._desk.readers, self._desk.remembering.recall, plan)
        if not await _within(work, self._settings.recall_timeout):
            work.cancel()
            LOG.warning("recalling took more than %g s; the request goes on without", self._settings.recall_timeout)
            return self._without("recall-timeout")
        try:
            found = work.result()
        except Exception as error:
            LOG.warning("recalling failed; the request goes on without: %s", type(error).__name__, exc_info=error)
            return self._without("recall-failed")
        for reason in found.degraded:
            LOG.warning("recalling worked in part: %s", reason)
        if found.degraded:
            self._without("recall-partial")
        return found

    def _without(self, reason: str) -> Recalled:
        self._degraded.append(reason)
        self._desk.counters.degraded(reason)
        return NOTHING

    async def _streamed(self, talk: Transcript, incomplete: str | None) -> Stored | None:
        """Store a turn whose answer was a stream. See `relay.Keep`."""
        if incomplete is None:
            self._desk.counters.ended("streamed")
        else:
            self._desk.counters.broke_off("client" if incomplete == CLIENT else "upstream")
        return await self._keep(talk, incomplete)

    async def _keep(self, talk: Transcript, incomplete: str | None) -> Stored | None:
        """Store the turn. See `relay.Keep`."""
        plan = self._plan
        if plan is None or plan.writes is None or not talk.begun:
            return None
        if incomplete is not None and not talk.text.strip():
            # As good as no answer at all: the client will ask again.
            return None
        more = {"finish_reason": talk.finish_reason} if talk.finish_reason not in (None, "stop") else {}
        if incomplete is not None:
            more["incomplete"] = incomplete
        answer = None if talk.several else talk.text
        store = partial(self._desk.remembering.store, plan, self._permit, answer, **more)
        work = asyncio.get_running_loop().run_in_executor(self._desk.writers, store)
        if await _within(work, self._settings.store_timeout):
            stored: Stored = work.result()
        else:
            LOG.warning("storing a turn takes more than %g s; it goes on", self._settings.store_timeout)
            stored = Stored("pending")
        self._desk.counters.stored(stored)
        return stored

    def _downward(self, upstream: httpx.Response) -> list[tuple[bytes, bytes]]:
        """Headers of the answer: the upstream's, and what memory did."""
        found = _passed_on(self._desk, upstream, self._request)
        plan = self._plan
        mode = next(
            name
            for name, acts in MODES.items()
            if acts == (plan is not None and plan.reads is not None, plan is not None and plan.writes is not None)
        )
        found.append((b"x-memory-mode", mode.encode("ascii")))
        if plan is not None and plan.reads is not None:
            found.append((b"x-memory-ids", ",".join(self._recalled.ids).encode("ascii")))
            found.append((b"x-memory-tokens", str(self._recalled.tokens).encode("ascii")))
        if self._degraded:
            found.append((b"x-memory-degraded", ",".join(self._degraded).encode("ascii")))
        return found

    def _field(self, stored: Stored | None = None) -> dict[str, Any] | None:
        """The extension field of an answer; None where memory had no part in it."""
        if self._plan is None:
            return None
        found: dict[str, Any] = {"ids": self._recalled.ids, "tokens": self._recalled.tokens}
        return found if stored is None else {**found, "stored": stored.ids, "state": stored.state}


async def plain(desk: Desk, request: Request, permit: Permit, path: str) -> Response:
    """What the upstream answers to a GET of one of its routes. Raises `RemanenceError`."""
    headers = to_upstream(request.scope["headers"], desk.settings, keyed=_keyed(permit), body=False)
    upstream = await desk.client.ask("GET", desk.settings.url(path, _query(request)), headers)
    body = await _read(upstream, desk.client)
    return _raw(upstream.status_code, body, _passed_on(desk, upstream, request))


def _passed_on(desk: Desk, upstream: httpx.Response, request: Request) -> list[tuple[bytes, bytes]]:
    """The headers of the upstream that go to the caller."""
    found = downstream(upstream.headers.raw, renamed_request_id=_has_id(request))
    if left := desk.client.undecoded(upstream):
        found.append((b"content-encoding", left))
    return found


async def _read(upstream: httpx.Response, client: Client) -> bytes:
    """A whole answer. Some services repeat the key that they refuse: the server's own is taken out of errors."""
    body, settings = await client.read(upstream), client.settings
    if upstream.is_success or settings.key is None:
        return body
    return body.replace(settings.key.encode("ascii"), b"[key]")


def _keyed(permit: Permit) -> bool:
    return permit.principal.key_id is not None


def _has_id(request: Request) -> bool:
    """Whether the server around gives the answer an id."""
    return getattr(request.state, "request_id", None) is not None


def _encoded(body: dict[str, Any]) -> bytes:
    # Escapes keep halves of surrogate pairs, which UTF-8 cannot hold, as they came.
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")


def _query(request: Request) -> str:
    query = str(request.url.query)
    return "" if mentions_key(query.encode("utf-8", "replace")) else query


def _raw(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> Response:
    response = Response(body, status)
    response.raw_headers = [*headers, (b"content-length", str(len(body)).encode("ascii"))]
    return response


async def _gone(request: Request) -> None:
    """Ends when the caller leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _ended(work: asyncio.Future[Any]) -> None:
    """Cancel a task, and wait until it is over."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()


async def _within(work: asyncio.Future[Any], seconds: float) -> bool:
    """Whether something ends in time. It goes on in any case, and how it ends is taken note of."""
    try:
        await asyncio.wait({work}, timeout=seconds)
    finally:
        if not work.done():
            work.add_done_callback(_heard)
    return work.done()


def _heard(work: asyncio.Future[Any]) -> None:
    """Take note of how something ended that nobody waits for any more; asyncio would complain otherwise."""
    if not work.cancelled() and (error := work.exception()) is not None:
        LOG.warning("what had taken too long failed: %s", type(error).__name__, exc_info=error)
