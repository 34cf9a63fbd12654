"""The record store in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple, Self

from remanence.core.clock import Clock, parse_time, to_micros, utc_now
from remanence.core.ids import RandomBits, os_bits
from remanence.core.scope import Scope
from remanence.stores.sqlite import erasing, maintenance, reading, residue, scanning, schema, writing
from remanence.stores.sqlite.connection import Connections, transaction
from remanence.stores.sqlite.ids import IdSource
from remanence.stores.sqlite.maintenance import StoreInfo
from remanence.stores.sqlite.transaction import Cache, Transaction
from remanence.substrates.records.checks import check_batch, writes
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Count,
    Edges,
    Embed,
    Erase,
    Find,
    Get,
    History,
    Link,
    Lookup,
    Operation,
    Outcome,
    Pending,
    Put,
    Receipts,
    Reindex,
    Restore,
    Revise,
    Scan,
    Spaces,
    Touch,
    Unlink,
)

# Put and Revise are not here: they take the canonical JSON of their draft's metadata besides.
_OTHERS: dict[type, Callable[[Transaction, Any], Any]] = {
    Close: writing.close,
    Restore: writing.restore,
    Link: writing.link,
    Unlink: writing.unlink,
    Embed: writing.embed,
    Reindex: writing.reindex,
    Touch: writing.touch,
    Erase: erasing.erase,
    Get: reading.get,
    Find: reading.find,
    Count: reading.count,
    History: reading.history,
    Edges: reading.edges,
    Changes: reading.changes,
    Scan: scanning.scan,
    Lookup: reading.lookup,
    Pending: reading.pending,
    Spaces: reading.spaces,
    Receipts: reading.receipts,
}


_STATE = "SELECT last, at, last_id, (SELECT ifnull(max(seq), 0) FROM receipts) FROM changes ORDER BY first DESC LIMIT 1"


class _Last(NamedTuple):
    """Where the journal stands: last position, time and id, and the position of the last erasure."""

    seq: int = 0
    at: int = -(1 << 63)
    id: str = ""
    epoch: int = 0


class SqliteStore:
    """A `RecordStore` in one file that many threads and processes share.

    The constructor touches nothing; the first batch opens the file, or makes it and the folders above it.
    `clock` is read once per writing batch and `random_bits` feeds the identifiers (None: the operating system).
    `busy_timeout`: seconds to wait for other writers before `StoreBusy`. `durable=False` survives the death of a
    process but may lose the newest batches in a power cut.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock = utc_now,
        random_bits: RandomBits | None = None,
        busy_timeout: float = 30.0,
        durable: bool = True,
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._ids = IdSource(random_bits or os_bits)
        self._timeout = busy_timeout
        self._connections = Connections(self.path, timeout=busy_timeout, durable=durable)
        self._cache = Cache(0)

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        """Run `operations` in order, atomically, under `scope`; see `RecordStore`."""
        self._connections.check_open()
        metas = check_batch(operations, scope=scope, actor=actor, why=why)
        if not writes(operations):
            with self._connections.lend() as connection, transaction(connection, "BEGIN"):
                tx, cache, _ = self._begin(connection, scope)
                results = [_OTHERS[type(operation)](tx, operation) for operation in operations]
            cache.learn(tx.found)
            return Outcome(None, tx.seq, tuple(results))
        with self._connections.lend(writing=True) as connection:
            with transaction(connection, "BEGIN IMMEDIATE"):
                tx, cache, last = self._begin(connection, scope)
                self._ids.follow(last.id)
                reading = to_micros(parse_time(self._clock()).astimezone(UTC))
                tx.begin_writing(self._ids, max(reading, last.at), actor, why)
                results = [_answer(tx, operation, meta) for operation, meta in zip(operations, metas, strict=True)]
                tx.flush()
            if tx.erased:
                residue.clear(connection, patience=self._timeout)
            else:
                cache.learn(tx.found)
        return Outcome(tx.change, tx.seq, tuple(results))

    def position(self) -> int:
        """Last journal position of the whole store, whichever process wrote it."""
        with self._connections.lend() as connection:
            return int(connection.execute("SELECT ifnull(max(seq), 0) FROM journal").fetchone()[0])

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that holds a record, for those who look after the whole store."""
        with self._connections.lend() as connection:
            return maintenance.scopes(connection)

    def close(self) -> None:
        """Close the file. Idempotent; later use raises `StoreClosed`."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def clear_residue(self) -> bool:
        """Wipe erased bytes that an erasure had to leave in the file because other processes were reading it.

        Answer: whether no such bytes are left. Waits for readers as long as `busy_timeout`.
        """
        with self._connections.lend(writing=True) as connection:
            return residue.clear(connection, patience=self._timeout)

    @property
    def residue_cleared(self) -> bool:
        """Whether the store's files hold no bytes of what was erased; False until `clear_residue` has succeeded."""
        with self._connections.lend() as connection:
            return residue.cleared(connection)

    def check(self) -> list[str]:
        """What is wrong with the file, in sentences; an empty list when all is well. Reads the whole file."""
        with self._connections.lend() as connection, transaction(connection, "BEGIN"):
            return maintenance.check(connection)

    def backup(self, target: str | Path) -> None:
        """Copy the store, as it is now, to a new file while others go on reading and writing."""
        with self._connections.lend() as connection:
            maintenance.backup(connection, self.path, Path(target))

    def info(self) -> StoreInfo:
        """Sizes and counts of the whole store."""
        with self._connections.lend() as connection, transaction(connection, "BEGIN"):
            return maintenance.info(connection, self.path)

    def _begin(self, connection: sqlite3.Connection, scope: Scope) -> tuple[Transaction, Cache, _Last]:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        schema.refuse_newer(self.path, version)
        row = connection.execute(_STATE).fetchone()
        last = _Last(*row) if row else _Last()
        cache = self._cache
        if cache.epoch != last.epoch:
            cache = Cache(last.epoch)
            if last.epoch > self._cache.epoch:
                self._cache = cache
        return Transaction(connection, scope, cache, last.seq), cache, last


def _answer(tx: Transaction, operation: Operation, meta: str) -> Any:
    if type(operation) is Put:
        return writing.put(tx, operation, meta)
    # All other operations look at rows, so those that wait have to be written first.
    tx.flush()
    if type(operation) is Revise:
        return writing.revise(tx, operation, meta)
    return _OTHERS[type(operation)](tx, operation)
