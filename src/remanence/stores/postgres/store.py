"""The record store in one schema of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from remanence.core.clock import Clock, utc_now
from remanence.core.ids import RandomBits
from remanence.core.scope import Scope
from remanence.stores.postgres import faults, jobs, maintenance, nearest, reading, scanning, writing
from remanence.stores.postgres.asking import Asked, TooMuch, at_once
from remanence.stores.postgres.codec import EVERYWHERE, Key, key_of
from remanence.stores.postgres.maintenance import StoreInfo
from remanence.stores.postgres.pool import MARK, READING, Address, Pool, can_pipeline, transaction, trying
from remanence.stores.postgres.schema import Connection
from remanence.stores.postgres.transaction import NOWHERE, STANDING, Cache, Standing, Transaction
from remanence.stores.postgres.verify import VerificationReport
from remanence.stores.relational.dispatch import WRITING, answers
from remanence.stores.relational.store import RelationalStore, erased_ids
from remanence.substrates.records.checks import check_batch, check_due, writes
from remanence.substrates.records.model import Vector, View
from remanence.substrates.records.operations import (
    Changes,
    Count,
    Edges,
    Find,
    Get,
    History,
    Lease,
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

T = TypeVar("T")

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

_ATTEMPTS = 3
"""How often a batch is asked in one round trip before it gets a transaction of its own."""
_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
_STANDING = f"SELECT {STANDING}, (SELECT at FROM work) FROM state"


class PostgresStore(RelationalStore[Cache]):
    """A `RecordStore` in a schema that many threads, processes and machines share.

    The constructor connects to nothing; the first batch makes the schema, or brings it up to date.

    Args:
        url: `postgresql://user:password@host/database`, with any setting of libpq, `?schema=name`, and
            `?pool_mode=transaction` behind a pooler of transactions.
        clock: read once per writing batch.
        random_bits: feeds the identifiers (None: the operating system).
        schema: where the tables are, instead of the address's `schema`; "remanence" if neither says.
        pool_size: most connections that this object opens.
        busy_timeout: seconds to wait for a connection or for other writers before `StoreBusy`.
        statement_timeout: seconds after which the server stops a statement (`StoreBusy`); None: never.
        durable: False survives the death of a process, but a crash of the server may lose the newest batches.

    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock = utc_now,
        random_bits: RandomBits | None = None,
        schema: str | None = None,
        pool_size: int = 8,
        busy_timeout: float = 30.0,
        statement_timeout: float | None = 300.0,
        durable: bool = True,
    ) -> None:
        super().__init__(clock, random_bits, busy_timeout, Cache)
        self._address = Address(url, schema)
        self._pool = Pool(
            self._address,
            size=pool_size,
            timeout=busy_timeout,
            statement_timeout=statement_timeout,
            durable=durable,
        )

    @property
    def name(self) -> str:
        """Where the store is, without user and password."""
        return self._address.name

    @property
    def address(self) -> str:
        """What opens this store from anywhere, user and password included: for those who connect, not for logs."""
        return self._address.url

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        """Run `operations` in order, atomically, under `scope`; see `RecordStore`."""
        self._pool.check_open()
        metas = check_batch(operations, scope=scope, actor=actor, why=why)
        if not writes(operations):
            return self._trying(lambda connection, told: self._read(connection, told, operations, scope))
        if all(isinstance(operation, Lease) for operation in operations):
            return self._trying(lambda connection, told: self._take_jobs(connection, told, operations, scope))

        def act(connection: Connection, told: list[bool]) -> Outcome:
            return self._write(connection, told, operations, metas, scope, actor, why)

        return self._trying(act, writing=True)

    def position(self) -> int:
        """Last journal position of the whole store, whichever process wrote it."""

        def act(connection: Connection, told: list[bool]) -> int:
            return self._standing(connection).seq

        return self._trying(act)

    def due(self, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Scope]:
        """Scopes that hold jobs which could be leased now; see `RecordStore`."""
        self._pool.check_open()
        check_due(limit, kinds)
        return self._everywhere(lambda tx, at: jobs.due(tx, max(self._reading(), at), limit, kinds))

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that holds a record, for those who look after the whole store."""
        return self._everywhere(lambda tx, at: maintenance.scopes(tx))

    def tallies(self, view: View) -> tuple[Tally, ...]:
        """How many records a view shows, by scope; see `Surveyable`."""
        return self._everywhere(lambda tx, at: maintenance.tallies(tx, view))

    @property
    def place(self) -> str:
        """The database and schema, without user and password."""
        return self.name

    def nearest(self, space: str, vector: Vector, k: int, *, scope: Scope, exact: bool = False) -> list[nearest.Near]:
        """The k versions whose vectors have the largest inner product with `vector`, found by the server's machine.

        All versions of the scope that have a vector in the space are candidates, closed ones included. Where the space
        has an index (`index_space`) and the scope is large, the index chooses; `exact` makes it look at all.
        """
        self._pool.check_open()

        def act(connection: Connection, told: list[bool]) -> list[nearest.Near]:
            with transaction(self._pool, connection, READING, told):
                tx, _ = self._begin(connection, scope, key_of(scope))
                return nearest.nearest(tx, space, vector, k, exact=exact)

        return self._trying(act)

    def index_space(self, space: str) -> None:
        """Build an index of all vectors in a space, for `nearest`, and keep it up to date from now on.

        Needs a login that owns the schema, and the extension pgvector on the server. Other writers wait meanwhile.
        """
        self._as_owner(lambda connection: nearest.index_space(connection, self._address.schema, space))

    def close(self) -> None:
        """Close the connections. Idempotent; later use raises `StoreClosed`."""
        self._pool.close()

    def clear_residue(self) -> bool:
        """Rewrite the tables without the dead rows that an erasure left in them; whether that succeeded.

        Each table is locked while it is rewritten. Needs a login that owns the schema. Transactions that began before
        are waited for as long as `busy_timeout`. What the server keeps elsewhere (its log of changes, replicas,
        backups) is for its keeper to let go of.
        """
        return self._as_owner(lambda connection: maintenance.rewrite(connection, self._address.schema, self._timeout))

    @property
    def residue_cleared(self) -> bool:
        """Whether the tables were rewritten since the last erasure."""

        def act(connection: Connection, told: list[bool]) -> bool:
            return not self._state(connection, "residue")[0]

        return self._trying(act)

    def verify_erasure(self, erased: Receipt | Iterable[str], phrases: Sequence[str] = ()) -> VerificationReport:
        """Search all tables for what was erased: see `verify.verify_erasure`."""
        from remanence.stores.postgres.verify import search

        ids = erased_ids(erased)
        return self._everywhere(lambda tx, at: search(tx, self.name, self._address.schema, ids, phrases))

    def check(self) -> list[str]:
        """What is wrong with the store, in sentences; an empty list when all is well. Reads all of it."""
        return self._everywhere(lambda tx, at: maintenance.check(tx))

    def info(self) -> StoreInfo:
        """Sizes and counts of the whole store."""
        return self._everywhere(lambda tx, at: maintenance.info(tx, self.name, self._address.schema))

    def _trying(self, act: Callable[[Connection, list[bool]], T], *, writing: bool = False) -> T:
        """Run a transaction on a connection of the pool; see `trying`."""

        def borrowing(committing: list[bool]) -> T:
            with self._pool.lend(writing=writing) as connection:
                return act(connection, committing)

        return trying(self._pool, borrowing)

    def _read(
        self, connection: Connection, committing: list[bool], operations: Sequence[Operation], scope: Scope
    ) -> Outcome:
        asked = [(read, operation) for operation in operations if isinstance(read := _OTHERS[type(operation)], Asked)]
        if len(asked) == len(operations) and can_pipeline():
            outcome = self._read_at_once(connection, asked, scope)
            if outcome is not None:
                return outcome
        with transaction(self._pool, connection, READING, committing):
            tx, _ = self._begin(connection, scope, key_of(scope))
            results = [_OTHERS[type(operation)](tx, operation) for operation in operations]
        self._learn(tx)
        return Outcome(None, tx.seq, tuple(results))

    def _read_at_once(
        self, connection: Connection, asked: Sequence[tuple[Asked[Any, Any], Operation]], scope: Scope
    ) -> Outcome | None:
        """What can be answered in one round trip; None where it cannot."""
        scans = [operation for _, operation in asked if isinstance(operation, Scan) and operation.after]
        if len(scans) == len(asked):
            # Before every search an index asks whether there is anything new, and mostly there is not.
            standing = self._standing(connection)
            quiet = [scanning.nothing_new(standing, operation) for operation in scans]
            if all(quiet):
                return Outcome(None, standing.seq, tuple(quiet))
        cache = self._cache
        for _ in range(_ATTEMPTS):
            tx = Transaction(connection, scope, cache, NOWHERE)
            try:
                standing, results = at_once(self._pool, connection, tx, asked)
            except TooMuch:
                return None
            cache = self._cache_of(standing.epoch)
            self._learn(tx)
            if results is not None:
                return Outcome(None, standing.seq, tuple(results))
        return None

    def _take_jobs(
        self, connection: Connection, committing: list[bool], operations: Sequence[Operation], scope: Scope
    ) -> Outcome:
        with transaction(self._pool, connection, _WRITING, committing):
            tx, at = self._begin(connection, scope, key_of(scope))
            tx.begin_writing(self._ids, max(self._reading(), at), "", "")
            results = [_OTHERS[type(operation)](tx, operation) for operation in operations]
            if tx.worked:
                # Last of all, and held until the commit alone: who holds it waits for no job.
                tx.execute("UPDATE work SET at = greatest(at, %s)", (tx.now,))
        return Outcome(None, tx.seq, tuple(results))

    def _write(
        self,
        connection: Connection,
        committing: list[bool],
        operations: Sequence[Operation],
        metas: Sequence[str],
        scope: Scope,
        actor: str,
        why: str,
    ) -> Outcome:
        with transaction(self._pool, connection, _WRITING, committing):
            self._principal(connection, key_of(scope))
            connection.execute(b"SELECT one FROM state FOR UPDATE")
            # Asked for again now that no other writer is left: what the locking statement saw may be out of date.
            tx, at = self._begin(connection, scope, None)
            self._begin_writing(tx, operations, at, tx.standing.last_id, actor, why)
            writing.look_ahead(tx, operations)
            results = answers(tx, operations, metas, _OTHERS)
            tx.finish()
        if not tx.erased:
            self._learn(tx)
        return Outcome(tx.change, tx.seq, results)

    def _everywhere(self, act: Callable[[Transaction, int], T]) -> T:
        """Read the whole store, as those do who look after it."""

        def reading_all(connection: Connection, committing: list[bool]) -> T:
            with transaction(self._pool, connection, READING, committing):
                tx, at = self._begin(connection, _NOBODY, EVERYWHERE)
                return act(tx, at)

        return self._trying(reading_all)

    def _begin(self, connection: Connection, scope: Scope, principal: Key | None) -> tuple[Transaction, int]:
        """The batch, and the newest time that the store stands at. `principal` None: it is set already."""
        if principal is not None:
            self._principal(connection, principal)
        *standing, worked = connection.execute(_STANDING.encode()).fetchall()[0]
        where = Standing(*standing)
        return Transaction(connection, scope, self._cache_of(where.epoch), where), max(where.at, worked)

    def _principal(self, connection: Connection, key: Key) -> None:
        """Name the principal of the statements that follow, and look whose session they go to."""
        query = f"SELECT set_config('remanence.scope', %s::text[]::text, true), {MARK}"
        self._pool.check_session(connection.execute(query.encode(), ([*key],)).fetchall()[0][1])

    def _standing(self, connection: Connection) -> Standing:
        """Where the store stands, which any principal may read."""
        return Standing(*self._state(connection, STANDING))

    def _state(self, connection: Connection, columns: str) -> list[Any]:
        with self._pool.alone(connection):
            cursor = connection.execute(f"SELECT {MARK}, {columns} FROM state".encode())
        mark, *values = cursor.fetchall()[0]
        self._pool.check_session(mark)
        return values

    def _learn(self, tx: Transaction) -> None:
        """Keep what a transaction that went well found out, unless something was erased since."""
        cache = self._cache
        if cache.epoch == tx.epoch:
            cache.learn(tx.found)

    def _as_owner(self, act: Callable[[Connection], T]) -> T:
        from psycopg import Error

        try:
            connection = self._pool.owner()
            try:
                return act(connection)
            finally:
                connection.close()
        except Error as error:
            raise faults.translate(error, self.name, self._timeout) from error


_NOBODY = Scope(user_id="-")
"""Stands for the scope where the principal covers all."""
