"""Asking the upstream, and naming what goes wrong with it."""

from __future__ import annotations

import asyncio
import logging
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from remanence.server.errors import HttpError
from remanence.server.proxy.settings import Upstream

__all__ = ["BadUpstream", "Client", "SlowUpstream", "translated"]

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


class Client:
    """Connections to one upstream, opened when they are needed."""

    def __init__(self, settings: Upstream) -> None:
        self.settings = settings
        self._client: httpx.AsyncClient | None = None

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
                request = client.build_request(method, url, headers=headers, content=body)
                response = await client.send(request, stream=True)
        except (TimeoutError, httpx.HTTPError) as error:
            raise translated(error, self.settings) from error
        if response.is_redirect:
            await response.aclose()
            # Followed, it would carry the key elsewhere; passed on, callers would go past the proxy.
            raise BadUpstream("the upstream redirects; whoever runs the proxy has to set its final address")
        return response

    async def close(self) -> None:
        """Close all connections."""
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
