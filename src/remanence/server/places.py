"""Where a server keeps what is its own: in files beside a file, or in the database that is the store."""

from __future__ import annotations

import importlib
import sqlite3
from pathlib import Path
from typing import Any, Final

from remanence.core.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly

__all__ = ["file_failure", "is_busy", "is_database", "server_tables"]

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


def is_busy(error: Exception) -> bool:
    """Whether SQLite gave up since others were using a file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def file_failure(path: str | Path | None, error: Exception, *, timeout: float) -> StoreError | None:
    """What SQLite could not do with a file through no fault of the file; None for anything else.

    `timeout`: seconds for which others were waited for.
    """
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY:
            return StoreBusy(f"{path} was in use for more than {timeout:g} s; try again")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no room left to write {path}; free space on the disk and try again")
        case sqlite3.SQLITE_READONLY:
            return StoreReadOnly(f"{path} or its folder cannot be written; change the permissions")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(f"{path} cannot be opened: {error}; check the permissions, and how many files are open")
    return None
