"""The memory for clients of the Model Context Protocol, over standard input and output or over HTTP.

Two profiles: "main" offers the verbs of `Memory` as tools; "official" offers the nine tools of the protocol's own
memory server, on the same JSON lines. Nothing heavy is loaded with this package; `serve` loads it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Final

from remanence.core.errors import MissingExtra
from remanence.server.mcp.options import PROFILES, TRANSPORTS, Options

__all__ = ["PROFILES", "TRANSPORTS", "Options", "require_extra", "serve"]

NEEDED: Final = ("mcp", "uvicorn", "fastapi", "prometheus_client", "opentelemetry")


def require_extra() -> None:
    """Raise `MissingExtra` when a package of the extra `server` is not installed."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"an MCP server needs the package {name}: pip install 'remanence[server]'")


def serve(options: Options, tell: Callable[[str], None]) -> None:
    """Serve until the client leaves, or over HTTP until told to end.

    Args:
        options: what to serve, to whom.
        tell: takes one line about where the data lies and where the server listens. Over stdio it must not write to
            standard output, which belongs to the protocol.

    Raises:
        MissingExtra: the extra `server` is not installed.
        InvalidInput: options that cannot be used, such as a public address without keys.

    """
    require_extra()
    from remanence.server.mcp.run import run

    run(options, tell)
