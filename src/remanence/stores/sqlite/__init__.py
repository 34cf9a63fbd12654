"""The default record store: one SQLite file for many threads and processes."""

from __future__ import annotations

from remanence.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
