"""Rows of the outbox in PostgreSQL, and which scopes have something to do.

A batch that only leases does not wait for batches that write: it takes rows that nobody else has locked.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import KEY, TEXTS, Key, before_ids, key_from, pack, pack_optional, unpack
from remanence.stores.relational.columns import JOB, Row, job_from
from remanence.stores.relational.rows import Held, JobRows
from remanence.substrates.records.operations import Job, Jobs

if TYPE_CHECKING:
    from remanence.stores.postgres.transaction import Transaction

_OWN = ", ".join(f"j.{name}" for name in FIELDS)
_COLUMNS = f"{', '.join(f'j.{name}' for name in JOB)}, {_OWN}"
_JUST = f"({KEY}) = (%s, %s, %s, %s)"


class PostgresJobRows(JobRows[Key]):
    """Asks and writes what `JobRows` says."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def waiting(self, key: Key, kind: str, name: str) -> str | None:
        """The first job of a kind that waits under a name."""
        # Locked, since a lease that is under way would begin before what this batch writes can be read.
        row = self._tx.execute(
            f"SELECT id FROM jobs WHERE {_JUST} AND kind = %s AND key = %s AND state = 'waiting' "
            "ORDER BY id LIMIT 1 FOR UPDATE",
            (*key, pack(kind), pack(name)),
        ).fetchone()
        return None if row is None else str(row[0])

    def add(self, key: Key, id: str, kind: str, name: str | None, payload: str | None, due: int) -> None:
        """A job that waits."""
        tx = self._tx
        tx.execute(
            f"INSERT INTO jobs({KEY}, id, kind, key, payload, change, state, attempts, created_at, due, ready, error) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting', 0, %s, %s, %s, '')",
            (*key, id, pack(kind), pack_optional(name), payload, tx.change, tx.now, due, due),
        )

    def take(self, kinds: tuple[str, ...] | None, limit: int, worker: str, until: int) -> list[Job]:
        """Lease the jobs that have been ready for the longest, of those that nobody else has locked."""
        where, values = self._tx.covered("r")
        ready, times = _ready(self._tx.now, kinds, "r")
        same = " AND ".join(f"j.{name} = f.{name}" for name in FIELDS)
        # Materialized: a plan that ran the choice again for each row would lock more than it updates.
        rows = self._tx.execute(
            f"WITH f AS MATERIALIZED (SELECT {KEY}, id, ready FROM jobs r WHERE {where} AND {ready} ORDER BY ready, id "
            "LIMIT %s FOR UPDATE SKIP LOCKED) UPDATE jobs j SET state = 'leased', attempts = j.attempts + 1, "
            f"worker = %s, leased_until = %s, ready = %s FROM f WHERE {same} AND j.id = f.id "
            f"RETURNING f.ready, {_COLUMNS}",
            (*values, *times, limit, pack(worker), until, until),
        ).fetchall()
        return [self._job(row[1:]) for row in sorted(rows, key=lambda row: row[:2])]

    def extend(self, ids: Sequence[str], worker: str, until: int) -> Set[str]:
        """Move the end of those leases that the worker holds."""
        where, values = self._tx.covered("j")
        rows = self._tx.execute(
            f"UPDATE jobs j SET leased_until = %s, ready = %s WHERE {where} AND j.id = ANY(%s::text[]) "
            "AND j.worker = %s AND j.leased_until > %s RETURNING j.id",
            (until, until, *values, [*map(pack, ids)], pack(worker), self._tx.now),
        ).fetchall()
        return {id for (id,) in rows}

    def held(self, id: str, worker: str) -> Held[Key] | None:
        """A job if the worker holds it."""
        where, values = self._tx.covered("j")
        row = self._tx.execute(
            f"SELECT {_OWN}, j.due, j.payload FROM jobs j WHERE {where} AND j.id = %s AND j.worker = %s "
            "AND j.leased_until > %s FOR UPDATE",
            (*values, pack(id), pack(worker), self._tx.now),
        ).fetchone()
        return None if row is None else Held(key_from(row[:4]), row[4], row[5])

    def drop(self, key: Key, id: str) -> None:
        """Remove a job."""
        self._tx.execute(f"DELETE FROM jobs WHERE {_JUST} AND id = %s", (*key, id))

    def free(self, key: Key, id: str, state: str, due: int, ready: int | None, error: str, payload: str | None) -> None:
        """Take a job from its worker."""
        self._tx.execute(
            "UPDATE jobs SET state = %s, due = %s, ready = %s, worker = NULL, leased_until = NULL, error = %s, "
            f"payload = %s WHERE {_JUST} AND id = %s",
            (state, due, ready, pack(error), payload, *key, id),
        )

    def requeue(self, ids: Sequence[str] | None) -> int:
        """Make jobs wait."""
        where, values = self._tx.covered("j")
        update = f"UPDATE jobs j SET state = 'waiting', attempts = 0, due = %s, ready = %s WHERE {where} AND j.state"
        parameters = (self._tx.now, self._tx.now, *values)
        if ids is None:
            return self._tx.execute(f"{update} = 'dead'", parameters).rowcount
        query = f"{update} IN ('dead', 'waiting') AND j.id = ANY(%s::text[])"
        return self._tx.execute(query, (*parameters, [*map(pack, ids)])).rowcount

    def discard(self, ids: Sequence[str]) -> int:
        """Remove jobs that nobody holds."""
        where, values = self._tx.covered("j")
        query = (
            f"DELETE FROM jobs j WHERE {where} AND (j.leased_until IS NULL OR j.leased_until <= %s) "
            "AND j.id = ANY(%s::text[])"
        )
        return self._tx.execute(query, (*values, self._tx.now, [*map(pack, ids)])).rowcount

    def count(self, wanted: Jobs) -> dict[tuple[str, str], int]:
        """How many of the wanted jobs there are of each kind in each state."""
        where, parameters = self._wanted(wanted)
        query = f"SELECT j.kind, j.state, count(*) FROM jobs j WHERE {where} GROUP BY j.kind, j.state"
        return {(unpack(kind), state): number for kind, state, number in self._tx.execute(query, parameters)}

    def find(self, wanted: Jobs) -> list[Job]:
        """The wanted jobs, by id."""
        where, parameters = self._wanted(wanted)
        query = f"SELECT {_COLUMNS} FROM jobs j WHERE {where} ORDER BY j.id LIMIT %s"
        return [self._job(row) for row in self._tx.execute(query, (*parameters, wanted.limit)).fetchall()]

    def drop_covered(self) -> None:
        """Remove all covered jobs."""
        where, values = self._tx.covered("j")
        self._tx.execute(f"DELETE FROM jobs j WHERE {where}", values)

    def telling(self) -> list[Key]:
        """Scopes whose jobs have errors to tell."""
        rows = self._tx.execute(f"SELECT DISTINCT {KEY} FROM jobs WHERE error <> ''").fetchall()
        return [*map(key_from, rows)]

    def hush(self, key: Key) -> None:
        """Empty the errors of one scope's jobs."""
        self._tx.execute(f"UPDATE jobs SET error = '' WHERE {_JUST} AND error <> ''", key)

    def quoting(self) -> list[tuple[str, Any, str | None]]:
        """Jobs that have a key or a payload."""
        query = "SELECT id, key, payload FROM jobs WHERE key IS NOT NULL OR payload IS NOT NULL"
        return [(id, name, payload) for id, name, payload in self._tx.execute(query).fetchall()]

    def rewrite(self, id: str, name: Any, payload: str | None) -> None:
        """Set the key and the payload of a job."""
        self._tx.execute("UPDATE jobs SET key = %s, payload = %s WHERE id = %s", (name, payload, id))

    def _job(self, row: Row) -> Job:
        return job_from(row, self._tx.scope_of(key_from(row[len(JOB) :])), TEXTS)

    def _wanted(self, wanted: Jobs) -> tuple[str, tuple[Any, ...]]:
        """The condition that a job is wanted, with its parameters."""
        where, parameters = self._tx.covered("j")
        conditions, more = [where], list[Any]()
        for column, values in (("state", wanted.states), ("kind", wanted.kinds)):
            if values is not None:
                conditions.append(f"j.{column} = ANY(%s::text[])")
                more.append([*map(pack, values)])
        if wanted.after is not None:
            conditions.append("j.id > %s")
            more.append(before_ids(wanted.after))
        return " AND ".join(conditions), (*parameters, *more)


def due(tx: Transaction, now: int, limit: int, kinds: Sequence[str] | None = None) -> list[Scope]:
    """Scopes of jobs that are ready, by the job that has been so for the longest; `tx` looks everywhere."""
    ready, times = _ready(now, kinds, "j")
    head = f"SELECT DISTINCT ON ({_OWN}) {_OWN}, j.ready, j.id FROM jobs j WHERE {ready} ORDER BY {_OWN}, j.ready, j.id"
    query = f"SELECT {KEY} FROM ({head}) h ORDER BY ready, id LIMIT %s"
    return [tx.scope_of(key_from(row)) for row in tx.execute(query, (*times, limit)).fetchall()]


def _ready(now: int, kinds: Sequence[str] | None, of: str) -> tuple[str, tuple[Any, ...]]:
    """The condition that a job can be leased and is of one of the kinds, with its parameters."""
    if kinds is None:
        return f"{of}.ready <= %s", (now,)
    return f"{of}.ready <= %s AND {of}.kind = ANY(%s::text[])", (now, [*map(pack, kinds)])
