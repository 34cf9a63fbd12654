"""Asking the upstream, and naming what goes wrong with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypeVar, cast

import anyio
import httpx

from remanence.server.errors import HttpError
from remanence.server.proxy.settings import Upstream

__all__ = ["BadUpstream", "Client", "SlowUpstream", "translated"]

T = TypeVar("T")

LOG: Final = logging.getLogger("remanence.server.proxy")


class BadUpstream(HttpError):
    """The upstream cannot be reached, or what it sends is no answer."""

    status = 502
    type = "upstream_error"


class SlowUpstream(HttpError):
    """The upstream took too long."""

    status = 504
    type = "upstream_timeout"


def translated(error: Exception, settings: Upstream) -> HttpError:
    """What a caller is told of a failure on the way to the upstream. The address is for the log only."""
    LOG.warning("the upstream %s failed: %s: %s", settings.base_url, type(error).__name__, error)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return SlowUpstream(f"the upstream did not answer within {settings.timeout:g} s")
    if isinstance(error, httpx.ConnectError):
        return BadUpstream("the upstream cannot be reached")
    return BadUpstream(f"the connection to the upstream broke off ({type(error).__name__})")


class _Apart:
    """Work of the library's, each piece in a task of its own that asyncio never cancels.

    Cancelled by asyncio, the library may leave a connection half opened or half closed; that counts as in use, and
    stays open, for as long as this process lives. It is safe against a scope of anyio's, but not before a request has
    `begun`.
    """

    def __init__(self, running: set[asyncio.Task[Any]], *, begun: bool = True) -> None:
        self._running = running
        self._begun = begun
        self._left = False
        self._scope = anyio.CancelScope()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns. Whoever waits for it may be cancelled."""
        task = _started(self._running, self._carried(work))
        try:
            # Without a result the scope has ended, for somebody who waits no more.
            return cast(T, await asyncio.shield(task))
        except asyncio.CancelledError:
            self._left = True
            if self._begun:
                self._scope.cancel()
            _ = _started(self._running, _cleared(task))
            raise

    async def trace(self, name: str, info: object) -> None:
        """Takes the library's news of how far it is with a request."""
        if name == "http11.send_request_headers.started":
            self._begun = True
            if self._left:
                self._scope.cancel()

    async def _carried(self, work: Coroutine[Any, Any, T]) -> T | None:
        with self._scope:
            return await work
        return None


def _started(running: set[asyncio.Task[Any]], work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that is held on to while it runs; asyncio itself would let go of it."""
    task = asyncio.ensure_future(work)
    running.add(task)
    task.add_done_callback(running.discard)
    return task


async def _cleared(task: asyncio.Task[Any]) -> None:
    """Close an answer that nobody waits for any more."""
    await asyncio.wait({task})
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        LOG.debug("an answer that nobody waits for failed: %s", type(error).__name__)
    elif isinstance(answer := task.result(), httpx.Response):
        await answer.aclose()


class _Closing(httpx.AsyncByteStream):
    """An answer whose closing goes on when whoever closes it is cancelled."""

    def __init__(self, inner: httpx.AsyncByteStream, running: set[asyncio.Task[Any]]) -> None:
        self._inner = inner
        self._running = running

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._inner)

    async def aclose(self) -> None:
        await asyncio.shield(_started(self._running, self._inner.aclose()))


class Client:
    """Connections to one upstream, opened when they are needed."""

    def __init__(self, settings: Upstream) -> None:
        self.settings = settings
        self._client: httpx.AsyncClient | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def ask(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes | None = None
    ) -> httpx.Response:
        """The beginning of an answer; whoever asked reads and closes it.

        Raises:
            BadUpstream: not reached, or an answer that is none, such as a redirect.
            SlowUpstream: nothing came in time.

        """
        client = self._connected()
        try:
            async with asyncio.timeout(self.settings.timeout):
                apart = _Apart(self._running, begun=False)
                traced = {"trace": apart.trace}
                request = client.build_request(method, url, headers=headers, content=body, extensions=traced)
                response = await apart.do(self._sent(client, request))
        except (TimeoutError, httpx.HTTPError) as error:
            raise translated(error, self.settings) from error
        if response.has_redirect_location:
            await response.aclose()
            # Followed, it would carry the key elsewhere; passed on, callers would go past the proxy.
            raise BadUpstream("the upstream redirects; whoever runs the proxy has to set its final address")
        return response

    async def read(self, response: httpx.Response) -> bytes:
        """The whole of an answer, which is closed then. Raises `BadUpstream` and `SlowUpstream`."""
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await _Apart(self._running).do(response.aread())
        except (TimeoutError, httpx.HTTPError) as error:
            raise translated(error, self.settings) from error
        finally:
            await response.aclose()

    async def _sent(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        response = await client.send(request, stream=True)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Closing(response.stream, self._running)
        return response

    def undecoded(self, response: httpx.Response) -> bytes:
        """The encodings of an answer that cannot be taken off here, as `Content-Encoding` names them; mostly none."""
        named = response.headers.get("content-encoding", "").split(",")
        known = {name.strip() for name in self._connected().headers["accept-encoding"].split(",")} | {"", "identity"}
        return ", ".join(name.strip() for name in named if name.strip().lower() not in known).encode("latin-1")

    async def close(self) -> None:
        """Close all connections."""
        if self._running:
            await asyncio.wait(self._running, timeout=self.settings.connect_timeout)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            settings = self.settings
            # Cookies of one caller's answer must not go out with the request of another.
            jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                cookies=jar,
                follow_redirects=False,
                # Reading the certificates of all authorities takes long, and without TLS nobody shows any.
                verify=settings.is_encrypted,
                trust_env=not settings.is_local,
            )
        return self._client
