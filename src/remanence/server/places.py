"""Where a server keeps what is its own: in files beside a file, or in the database that is the store."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

__all__ = ["is_database", "server_tables"]

_DATABASES: Final = ("postgresql://", "postgres://")


def is_database(place: str | Path | None) -> bool:
    """Whether a place is the address of a database."""
    return isinstance(place, str) and place.startswith(_DATABASES)


def server_tables(address: str, *, timeout: float, pool_size: int = 4) -> Any:
    """The `ServerTables` of a database: a `KeyRows` and a `RequestRows`.

    Raises `InvalidInput` for an address that cannot be read, `MissingExtra` without the extra `postgres`.
    """
    # By name: whoever keeps memories in a file loads no driver for a server.
    tables = importlib.import_module("remanence.stores.postgres.server_tables")
    return tables.ServerTables(address, timeout=timeout, pool_size=pool_size)
