"""What every request passes before any route sees it: an id, a key, a bucket, and limits on what it sends.

Plain ASGI, because a layer of Starlette's middleware costs more than the routes behind it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate, trace

from remanence.core.errors import RemanenceError
from remanence.core.ids import os_bits
from remanence.server.access import OPEN, Principal
from remanence.server.errors import BadRequest, TimedOut, TooLarge, TooMany, Unauthenticated, body_of, describe
from remanence.server.settings import is_loopback

if TYPE_CHECKING:
    from remanence.server.service import Service

__all__ = ["Gate", "request_id", "token_of"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG: Final = logging.getLogger("remanence.server")
TRACER: Final = trace.get_tracer("remanence.server")

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_SCHEMES: Final = ("bearer ", "token ")
_FORWARDED: Final = frozenset(
    (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
)
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def token_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The key that a request carries: `Authorization: Bearer` or `Token`, or `X-API-Key`. None unless it is just one.

    Two different ones are none: nobody can say which of them was meant.
    """
    found: set[str] = set()
    for name, value in headers:
        if name == b"x-api-key":
            found.add(value.decode("latin-1").strip())
        elif name == b"authorization":
            text = value.decode("latin-1").strip()
            scheme = next((scheme for scheme in _SCHEMES if text[: len(scheme)].lower() == scheme), None)
            found.add(text[len(scheme) :].strip() if scheme else "")
    return found.pop() if len(found) == 1 else None


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: App, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"this server does not speak {scope['type']}")
        answer = _Answer(scope, send, request_id(scope["headers"]))
        metrics = self._service.metrics
        metrics.began()
        started = time.perf_counter()
        try:
            with self._span(scope) as span:
                await self._guarded(scope, receive, answer)
                route = getattr(scope.get("route"), "path", "unmatched")
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.response.status_code", answer.status)
                span.set_attribute("http.route", route)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            metrics.ended(method, route, answer.status, time.perf_counter() - started)

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        state = scope.setdefault("state", {})
        state["request_id"] = answer.request_id
        try:
            state["principal"] = await self._admit(scope)
            body = _Body(scope, receive, self._service)
            await self._app(scope, body, answer)
        except RemanenceError as error:
            await answer.fail(error)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except Exception as error:
            # The caller learns the id alone; what the error says may hold words of somebody's memory.
            LOG.error("request %s failed: %s", answer.request_id, type(error).__name__, exc_info=error)
            await answer.fail(RemanenceError())

    async def _admit(self, scope: Scope) -> Principal | None:
        """Who asks; None where anybody may. Raises `Unauthenticated`, `TooMany`, and what looking at keys raises."""
        service = self._service
        if service.is_public(scope["method"], scope["path"]):
            return None
        principal = await service.at_the_door(lambda: self._principal(scope))
        wait = service.buckets.take(principal.key_id or "")
        if wait > 0:
            service.metrics.refused("rate")
            error = TooMany("this key asks too often; wait as long as Retry-After says")
            error.retry_after = wait
            raise error
        return principal

    def _principal(self, scope: Scope) -> Principal:
        service = self._service
        headers = scope["headers"]
        if service.is_open() and _local(scope):
            return OPEN
        token = token_of(headers)
        key = None if token is None or not service.settings.has_keys else service.keys.verify(token)
        if key is None:
            service.metrics.refused("key")
            raise Unauthenticated("a valid key is needed: Authorization: Bearer …, or X-API-Key: …")
        return Principal.of(key)

    def _span(self, scope: Scope) -> Any:
        parent = None
        if any(name == b"traceparent" for name, _ in scope["headers"]):
            parent = propagate.extract({n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]})
        return TRACER.start_as_current_span("request", context=parent, kind=trace.SpanKind.SERVER)


def _local(scope: Scope) -> bool:
    """Whether a request comes from this machine, not through a proxy or a web page that borrows its address.

    A browser says with `Origin` whose page sends what it sends to another address. The page of a stranger cannot read
    an answer, but it need not: it could send forms and files, which browsers let pass unasked.
    """
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return False
    host = None
    for name, value in scope["headers"]:
        if name in _FORWARDED:
            return False
        if name == b"origin" and not _loopback(value.decode("latin-1").partition("://")[2]):
            return False
        if name == b"host":
            host = value.decode("latin-1")
    return host is not None and _loopback(host)


def _loopback(host: str) -> bool:
    """Whether a host, with its port or without, is this machine."""
    return is_loopback(host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0])


class _Body:
    """The incoming side: no more bytes than allowed, and none that come too late."""

    __slots__ = ("_deadline", "_left", "_most", "_receive")

    def __init__(self, scope: Scope, receive: Receive, service: Service) -> None:
        settings = service.settings
        large = service.is_large(scope["path"])
        self._receive = receive
        self._most = settings.max_import if large else settings.max_body
        self._left = self._most
        # A large file may take long, as long as it keeps coming.
        self._deadline = None if large else time.monotonic() + settings.timeout
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > self._most):
                raise TooLarge(f"a body may have {self._most:,} bytes here")
            if name == b"content-encoding" and value.lower() != b"identity":
                raise BadRequest(f"Content-Encoding {value.decode('latin-1')[:40]!r} is not read here; send it plain")

    async def __call__(self) -> Message:
        if self._deadline is None:
            message = await self._receive()
        else:
            try:
                async with asyncio.timeout(max(0.001, self._deadline - time.monotonic())):
                    message = await self._receive()
            except TimeoutError as error:
                raise TimedOut("the body did not come in time") from error
        if message["type"] == "http.request":
            if not message.get("more_body", False):
                # What is waited for from here on is that the caller leaves.
                self._deadline = None
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise TooLarge(f"a body may have {self._most:,} bytes here")
        return message


class _Answer:
    """The outgoing side: it adds headers, and knows whether an answer has begun."""

    __slots__ = ("_begun", "_scope", "_send", "request_id", "status")

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._begun = False
        self.request_id = request_id
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode("ascii")),
                (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
            ]
        await self._send(message)

    async def fail(self, error: RemanenceError) -> None:
        """Answer with an error; an answer that has begun is broken off instead."""
        status, detail, retry = describe(error)
        if status >= 500:
            LOG.warning("request %s: %s", self.request_id, error)
        if self._begun:
            raise ConnectionAbortedError("the answer broke off") from error
        headers = [(b"content-type", b"application/json")]
        if retry is not None:
            headers.append((b"retry-after", str(max(1, round(retry))).encode()))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        body = body_of(detail, self.request_id)
        headers.append((b"content-length", str(len(body)).encode()))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The caller's `X-Request-ID` if it is a plain word, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return f"{os_bits(96):024x}"
