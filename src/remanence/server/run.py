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
from remanence.server.listening import address_of, bound, options
from remanence.server.service import Service
from remanence.server.settings import ENVIRONMENT, Settings, is_loopback

__all__ = ["banner", "check", "create_app", "from_environment", "listen"]

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
    if not settings.has_keys:
        return "anybody on this machine; a store in memory has no place for keys"
    with closing(Keys(settings.keys_place)) as keys:
        if settings.auth or keys.exist():
            count = keys.usable()
            return f"{count} valid {'key' if count == 1 else 'keys'} in {keys.place}"
    return "anybody on this machine, until the first key is made with `remanence keys create`"


class _Server(uvicorn.Server):
    """A server that says so once it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def listen(settings: Settings, *, say: Callable[[str], None] | None = None) -> None:
    """Serve until told to end. What cannot be served is an error here. See `remanence.server.serve`."""
    check(settings)
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))
    sys.setswitchinterval(_SWITCH)
    with bound(settings.host, settings.port) as listener:
        several = f" ({settings.workers} processes)" if settings.workers > 1 else ""
        lines = banner(settings, address_of(listener) + several)

        def ready() -> None:
            for line in lines:
                tell(line)

        with closing(Service(settings.replaced(background=settings.background and not several))) as service:
            # What cannot be opened is found now, and not by the first caller.
            service.memory.store.position()
            if not several:
                config = uvicorn.Config(create_app(settings, service=service), **options())
                _Server(config, ready).run(sockets=[listener])
                return
        # Several processes listen on a socket that uvicorn makes, at what is known now to be free.
        host, port = listener.getsockname()[:2]
    os.environ[ENVIRONMENT] = settings.to_json()
    ready()
    uvicorn.run(
        "remanence.server.run:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=settings.workers,
        loop="remanence.server.loop:FairLoop",
        **options(),
    )


def from_environment() -> FastAPI:
    """The application of one process of several, whose settings are in the environment."""
    sys.setswitchinterval(_SWITCH)
    return create_app(Settings.from_environment())
