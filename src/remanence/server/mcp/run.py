"""One MCP server as a process: over standard input and output, or over HTTP behind the gate of the REST server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

from remanence.core.errors import InvalidInput, ScopeRequired
from remanence.server import listening
from remanence.server.access import Principal
from remanence.server.errors import Unauthenticated
from remanence.server.gate import Gate
from remanence.server.keys import RIGHTS
from remanence.server.listening import address_of, bound
from remanence.server.mcp import main, official, wire
from remanence.server.mcp.graph_file import GraphFile
from remanence.server.mcp.options import Options
from remanence.server.mcp.tools import Toolbox
from remanence.server.service import Service
from remanence.server.settings import is_loopback

if TYPE_CHECKING:
    from mcp.server.lowlevel.server import Server

__all__ = ["PATH", "http_app", "run"]

PATH: Final = "/mcp"
GRACE: Final = 3
"""Seconds that calls have to end when the server is told to. Whoever listens for changes would do so for ever."""
LOCAL: Final = Principal(None, "mcp", {}, frozenset(RIGHTS))
"""Whoever started a server over stdio is its one client."""


def run(options: Options, tell: Callable[[str], None]) -> None:
    """See `remanence.server.mcp.serve`."""
    service = Service(options.settings)
    if options.transport == "stdio":
        _stdio(options, service, tell)
        return
    try:
        _http(options, service, tell)
    finally:
        service.close()


def box_of(options: Options, service: Service) -> Toolbox:
    """The toolbox that the options name."""
    if options.profile == "official":
        return official.toolbox(GraphFile(options.graph_file), options.tokens, language=options.settings.language)
    return main.toolbox(service, options.ids, options.tokens)


def http_app(options: Options, service: Service) -> Any:
    """The ASGI application: the protocol at `/mcp`, behind the gate that wants keys.

    Every request stands for itself, so that no session can be taken over or be left open.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    server = wire.server(box_of(options, service), service, _sender, subscriptions=False)
    settings = options.settings
    local = is_loopback(settings.host)
    names = [f"{name}:*" for name in ("127.0.0.1", "localhost", "[::1]", settings.host)]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=settings.max_body,
        host=settings.host,
        transport_security=TransportSecuritySettings(
            # Elsewhere, names are whatever stands in front; there it is the key that keeps strangers' pages out.
            enable_dns_rebinding_protection=local,
            allowed_hosts=names,
            allowed_origins=[f"http://{name}" for name in names],
        ),
    )
    return Gate(app, service)


def _stdio(options: Options, service: Service, tell: Callable[[str], None]) -> None:
    import anyio

    server = wire.server(box_of(options, service), service, lambda _: LOCAL, subscriptions=True)
    tell(_banner(options))
    anyio.run(_speak, server, service)


async def _speak(server: Server[dict[str, Any]], service: Service) -> None:
    from mcp.server.stdio import stdio_server

    # The library turns away what writes to the descriptor. What is printed waits in a buffer, which would be emptied
    # once the descriptor is the client's again.
    async with stdio_server() as (incoming, outgoing):
        with redirect_stdout(sys.stderr):
            try:
                await server.run(incoming, outgoing, server.create_initialization_options())
            finally:
                service.close()


def _http(options: Options, service: Service, tell: Callable[[str], None]) -> None:
    import uvicorn

    settings = options.settings
    if not is_loopback(settings.host) and not (service.keys.exist() and service.keys.usable()):
        raise InvalidInput(
            f"{settings.host} can be reached from other machines, and there are no usable keys; make one with "
            "`remanence keys create`, or listen on 127.0.0.1"
        )
    if service.is_open() and options.profile == "main" and not options.ids:
        raise ScopeRequired("whose memories? Without keys an MCP server is started for a user, agent, run or app")
    with bound(settings.host, settings.port) as listener:
        if options.profile == "main":
            # What cannot be opened is found now, and not by the first caller.
            service.memory.store.position()
        listener.listen()
        keys = "no keys are asked for" if service.is_open() else "a key is needed"
        tell(f"{_banner(options)} at {address_of(listener)}{PATH}; {keys}")
        given = listening.options() | {"timeout_graceful_shutdown": GRACE}
        config = uvicorn.Config(http_app(options, service), lifespan="on", **given)
        uvicorn.Server(config).run(sockets=[listener])


def _banner(options: Options) -> str:
    if options.profile == "official":
        return f"remanence mcp: knowledge graph in {options.location()}"
    whose = " ".join(f"{name}={value!r}" for name, value in options.ids.items()) or "whatever the key reaches"
    return f"remanence mcp: memories of {whose} in {options.location()}"


def _sender(request: Any) -> Principal:
    """Who sent a message over HTTP, as the gate has found out."""
    state = getattr(request, "scope", {}).get("state", {})
    principal = state.get("principal")
    if not isinstance(principal, Principal):
        raise Unauthenticated("a valid key is needed")
    return principal
