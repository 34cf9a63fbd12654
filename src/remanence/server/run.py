"""Starting a server: what must hold before it listens, and what it says once it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from remanence.core.errors import InvalidInput
from remanence.server.app import create_app
from remanence.server.keys import Keys
from remanence.server.settings import ENVIRONMENT, Settings, is_loopback

__all__ = ["banner", "check", "create_app", "from_environment", "listen", "options"]

_SWITCH: Final = 0.0005
"""Seconds after which Python lets another thread go on: the one that talks to callers must not wait for a search."""


def check(settings: Settings) -> None:
    """Raise `InvalidInput` when a server with these settings would be open to others."""
    if is_loopback(settings.host):
        return
    with closing(Keys(settings.keys_place)) as keys:
        if not keys.usable():
            raise InvalidInput(
                f"{settings.host} can be reached from other machines and there is no valid key in {keys.place}: "
                "make one with `remanence keys create`, or listen on 127.0.0.1"
            )


def banner(settings: Settings, address: str) -> list[str]:
    """What is worth knowing once a server listens, line by line."""
    return [
        f"memory   {settings.location()}",
        f"address  {address}",
        f"callers  {_callers(settings)}",
        f"model    {settings.llm or 'none; facts come from rules'}",
    ]


def _callers(settings: Settings) -> str:
    if settings.auth is False:
        return "anybody on this machine, as told"
    if settings.path != ":memory:" or settings.keys is not None:
        with closing(Keys(settings.keys_place)) as keys:
            if settings.auth or keys.exist():
                count = keys.usable()
                return f"{count} valid {'key' if count == 1 else 'keys'} in {keys.place}"
    return "anybody on this machine, until the first key is made with `remanence keys create`"


def options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is started."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 10,
        "timeout_keep_alive": 75,
        "h11_max_incomplete_event_size": 64 * 1024,
        "ws": "none",
    }


class _Server(uvicorn.Server):
    """A server that says so once it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then tell the address."""
        await super().startup(sockets=sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")


def listen(settings: Settings, *, say: Callable[[str], None] | None = None) -> None:
    """Serve until told to end. See `remanence.server.serve`."""
    check(settings)
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))
    sys.setswitchinterval(_SWITCH)
    if settings.workers > 1:
        os.environ[ENVIRONMENT] = settings.to_json()
        for line in banner(settings, f"http://{settings.host}:{settings.port} ({settings.workers} processes)"):
            tell(line)
        uvicorn.run(
            "remanence.server.run:from_environment",
            factory=True,
            workers=settings.workers,
            loop="remanence.server.loop:FairLoop",
            **options(settings),
        )
        return

    def ready(address: str) -> None:
        for line in banner(settings, address):
            tell(line)

    config = uvicorn.Config(create_app(settings), **options(settings))
    _Server(config, ready).run()


def from_environment() -> FastAPI:
    """The application of one process of several, whose settings are in the environment."""
    sys.setswitchinterval(_SWITCH)
    return create_app(Settings.from_environment())
