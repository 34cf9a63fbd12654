"""How a server listens: the socket, and connections that nobody can hold open by saying nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from remanence.core.errors import StoreError

__all__ = ["PATIENCE", "Connection", "address_of", "bound", "options"]

PATIENCE: Final = 30.0
"""Seconds in which the head of a request has to come, from the connection or its first byte on."""
_HEAD: Final = 64 * 1024


class Connection(H11Protocol):
    """Closes a connection on which no request comes, and one that goes on sending what nobody reads any more.

    uvicorn waits for ever for a head, be it one byte of it, so that a thousand silent callers would be all that a
    process can hold. Between two requests its own limit holds, and for a body that of the gate.
    """

    patience = PATIENCE
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting while there is no request that is worked on."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE:
            # A byte more is no reason to wait longer.
            if self._waiting is None:
                self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.patience, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def options() -> dict[str, Any]:
    """How uvicorn is started, whatever it serves."""
    return {
        "http": Connection,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 10,
        "timeout_keep_alive": 75,
        "h11_max_incomplete_event_size": _HEAD,
        "ws": "none",
    }


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, IPv4 where a name has both. Raises `StoreError` where nobody can listen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        # With its protocol named, asyncio sends what is written on its connections at once.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StoreError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Where it listens, as an address of the web."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
