"""LangGraph stores to put to the test: how to make them, how to let time pass for them, and how to open them again."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from remanence.compat.langgraph import RemanenceStore
from remanence.core.clock import SteppingClock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@contextmanager
def in_memory(*, index: Any = None, ttl: Any = None) -> Iterator[BaseStore]:
    yield InMemoryStore(index=index)


@contextmanager
def sqlite(*, index: Any = None, ttl: Any = None) -> Iterator[BaseStore]:
    with SqliteStore.from_conn_string(":memory:", index=index, ttl=ttl) as store:
        store.setup()
        yield store


def sqlite_advance(store: BaseStore, time: timedelta) -> None:
    """The store asks SQLite for the time, so its own times are moved back instead."""
    assert isinstance(store, SqliteStore)
    connection: sqlite3.Connection = store.conn
    back = f"-{time.total_seconds()} seconds"
    for column in ("created_at", "updated_at", "expires_at"):
        connection.execute(f"UPDATE store SET {column} = datetime({column}, ?)", (back,))


class Stepped:
    """Our store, on a file of its own or in memory, with a clock under control."""

    def __init__(self, *, file: bool, kind: type[RemanenceStore] = RemanenceStore) -> None:
        self._file = file
        self._kind = kind
        self._clocks: dict[int, SteppingClock] = {}

    @contextmanager
    def __call__(self, *, index: Any = None, ttl: Any = None) -> Iterator[BaseStore]:
        clock = SteppingClock(START)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.db" if self._file else ":memory:"
            with self._kind(path, index=index, ttl=ttl, clock=clock) as store:
                self._clocks[id(store)] = clock
                yield store

    def advance(self, store: BaseStore, time: timedelta) -> None:
        self._clocks[id(store)].current += time

    @contextmanager
    def reopen(self, store: BaseStore) -> Iterator[BaseStore]:
        assert isinstance(store, RemanenceStore)
        path = store._engine.store.path  # type: ignore[attr-defined]
        store.close()
        with RemanenceStore(path, clock=self._clocks[id(store)]) as again:
            yield again
