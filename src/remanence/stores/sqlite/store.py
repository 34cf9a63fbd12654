"""The record store in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from remanence.core.clock import Clock, utc_now
from remanence.core.ids import RandomBits
from remanence.core.scope import Scope
from remanence.stores.relational.dispatch import WRITING, answers
from remanence.stores.relational.store import RelationalStore
from remanence.stores.sqlite import jobs, maintenance, reading, residue, scanning, schema
from remanence.stores.sqlite.connection import Connections, transaction
from remanence.stores.sqlite.maintenance import StoreInfo
from remanence.stores.sqlite.transaction import Cache, Transaction
from remanence.stores.sqlite.turns import Batch, copied
from remanence.substrates.records.checks import check_batch, check_due, writes
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import (
    Changes,
    Count,
    Edges,
    Erase,
    Find,
    Get,
    History,
    Lookup,
    Operation,
    Outcome,
    Pending,
    Receipt,
    Receipts,
    Scan,
    Spaces,
)
from remanence.substrates.records.port import Tally

if TYPE_CHECKING:
    from remanence.stores.sqlite.verify import VerificationReport

_OTHERS: dict[type, Callable[[Transaction, Any], Any]] = {
    **WRITING,
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


_STATE = (
    "SELECT ifnull(c.last, 0), max(ifnull(c.at, w.at), w.at), max(ifnull(c.last_id, ''), w.last_id), "
    "(SELECT ifnull(max(seq), 0) FROM receipts) "
    "FROM work w LEFT JOIN changes c ON c.first = (SELECT max(first) FROM changes)"
)


class _Last(NamedTuple):
    """Where the store stands: last journal position, newest time and id, and the position of the last erasure."""

    seq: int
    at: int
    id: str
    epoch: int


class SqliteStore(RelationalStore[Cache]):
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
        super().__init__(clock, random_bits, busy_timeout, Cache)
        self.path = Path(path)
        self._connections = Connections(self.path, timeout=busy_timeout, durable=durable)

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
        alone = any(type(operation) is Erase for operation in operations)
        return self._connections.turns.write(Batch(operations, metas, scope, actor, why, alone), self._commit)

    def position(self) -> int:
        """Last journal position of the whole store, whichever process wrote it."""
        with self._connections.lend() as connection:
            return int(connection.execute("SELECT ifnull(max(seq), 0) FROM journal").fetchone()[0])

    def due(self, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Scope]:
        """Scopes that hold jobs which could be leased now; see `RecordStore`."""
        self._connections.check_open()
        check_due(limit, kinds)
        with self._connections.lend() as connection, transaction(connection, "BEGIN"):
            last = _Last(*connection.execute(_STATE).fetchone())
            return jobs.due(connection, max(self._reading(), last.at), limit, kinds)

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that holds a record, for those who look after the whole store."""
        with self._connections.lend() as connection:
            return maintenance.scopes(connection)

    def tallies(self, view: View) -> tuple[Tally, ...]:
        """How many records a view shows, by scope; see `Surveyable`."""
        with self._connections.lend() as connection, transaction(connection, "BEGIN"):
            return reading.tallies(connection, view)

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def close(self) -> None:
        """Close the file. Idempotent; later use raises `StoreClosed`."""
        self._connections.close()

    def clear_residue(self) -> bool:
        """Wipe erased bytes that an erasure had to leave in the file because other processes were reading it.

        Answer: whether no such bytes are left. Waits for readers as long as `busy_timeout`.
        """
        with self._connections.turns.hold(), self._connections.lend(writing=True) as connection:
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

    def verify_erasure(self, erased: Receipt | Iterable[str], phrases: Sequence[str] = ()) -> VerificationReport:
        """Search the files for what was erased: see `verify.verify_erasure`."""
        from remanence.stores.sqlite.verify import verify_erasure

        return verify_erasure(self.path, erased, phrases)

    def backup(self, target: str | Path) -> None:
        """Copy the store, as it is now, to a new file while others go on reading and writing."""
        with self._connections.lend() as connection:
            maintenance.backup(connection, self.path, Path(target))

    def info(self) -> StoreInfo:
        """Sizes and counts of the whole store."""
        with self._connections.lend() as connection, transaction(connection, "BEGIN"):
            return maintenance.info(connection, self.path)

    def _commit(self, group: Sequence[Batch]) -> None:
        """Commit batches in one transaction. One that is refused leaves no trace in it and fails none of the others."""
        began = ended = False
        try:
            with self._connections.lend(writing=True) as connection:
                with transaction(connection, "BEGIN IMMEDIATE", self._timeout):
                    began = True
                    written = [(batch, self._write(connection, batch, len(group) > 1)) for batch in group]
                    ended = True
                for batch, done in written:
                    if done is not None:
                        self._conclude(connection, batch, *done)
        except Exception as error:
            if began and not ended and len(group) > 1:
                # SQLite has undone all of them. Whichever it stumbled over, by itself it can harm no other.
                for batch in group:
                    batch.error = None
                    self._commit([batch])
                return
            for batch in group:
                if not batch.done:
                    batch.error = error if len(group) == 1 else copied(error)

    def _write(
        self, connection: sqlite3.Connection, batch: Batch, shared: bool
    ) -> tuple[Transaction, Cache, tuple[Any, ...]] | None:
        """Do what a batch says, within a transaction that it may share; None for one that was refused there."""
        if shared:
            connection.execute("SAVEPOINT batch")
        try:
            tx, cache, last = self._begin(connection, batch.scope)
            self._begin_writing(tx, batch.operations, last.at, last.id, batch.actor, batch.why)
            results = answers(tx, batch.operations, batch.metas, _OTHERS)
            tx.flush()
            jobs.finish(tx)
        except sqlite3.Error:
            raise
        except Exception as error:
            if not shared:
                raise
            connection.execute("ROLLBACK TO batch")
            connection.execute("RELEASE batch")
            batch.error = error
            return None
        if shared:
            connection.execute("RELEASE batch")
        return tx, cache, results

    def _conclude(
        self, connection: sqlite3.Connection, batch: Batch, tx: Transaction, cache: Cache, results: tuple[Any, ...]
    ) -> None:
        """After the commit."""
        if tx.erased:
            residue.clear(connection, patience=self._timeout)
        else:
            cache.learn(tx.found)
        batch.outcome = Outcome(tx.change, tx.seq, results)

    def _begin(self, connection: sqlite3.Connection, scope: Scope) -> tuple[Transaction, Cache, _Last]:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        schema.refuse_newer(self.path, version)
        last = _Last(*connection.execute(_STATE).fetchone())
        cache = self._cache_of(last.epoch)
        return Transaction(connection, scope, cache, last.seq), cache, last
