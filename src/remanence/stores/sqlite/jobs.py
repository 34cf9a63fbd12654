"""Rows of the outbox in SQLite, and which scopes have something to do.

The index over `ready` leads with the scope, so that a lease takes the first row of one scope however many jobs wait in
the store.
"""

from __future__ import annotations

import sqlite3
from bisect import insort
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from remanence.core.scope import FIELDS, Scope
from remanence.stores.relational.columns import JOB, Row, job_from
from remanence.stores.relational.rows import Held, JobRows
from remanence.stores.sqlite.codec import TEXTS, bounded, chunks, pack, pack_optional, scope_from, unpack
from remanence.substrates.records.operations import Job, Jobs

if TYPE_CHECKING:
    from remanence.stores.sqlite.transaction import Transaction

_COLUMNS = f"{', '.join(JOB)}, sid"
# In these words, so that the index of the few that do not wait serves.
_NOT_WAITING = "state <> 'waiting'"
_MANY_QUEUES = 1024
"""Scopes with jobs up to which each is looked at by itself; beyond, one pass over all jobs is faster."""


class SqliteJobRows(JobRows[int]):
    """Asks and writes what `JobRows` says."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def waiting(self, key: int, kind: str, name: str) -> str | None:
        """The first job of a kind that waits under a name."""
        query = "SELECT min(id) FROM jobs WHERE sid = ? AND kind = ? AND key = ? AND state = 'waiting'"
        (id,) = self._tx.execute(query, (key, pack(kind), pack(name))).fetchone()
        return None if id is None else str(id)

    def add(self, key: int, id: str, kind: str, name: str | None, payload: str | None, due: int) -> None:
        """A job that waits."""
        tx = self._tx
        tx.execute(
            "INSERT INTO jobs(id, sid, kind, key, payload, change, state, attempts, created_at, due, ready, error) "
            "VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0, ?, ?, ?, '')",
            (id, key, pack(kind), pack_optional(name), payload, tx.change, tx.now, due, due),
        )

    def take(self, kinds: tuple[str, ...] | None, limit: int, worker: str, until: int) -> list[Job]:
        """Lease the jobs that have been ready for the longest."""
        query = (
            "UPDATE jobs SET state = 'leased', attempts = attempts + 1, worker = ?, leased_until = ?, ready = ? "
            f"WHERE id = ? RETURNING {_COLUMNS}"
        )
        held_by = pack(worker)
        ids = self._first_ready(kinds, bounded(limit))
        return [self._job(self._tx.execute(query, (held_by, until, until, id)).fetchall()[0]) for id in ids]

    def extend(self, ids: Sequence[str], worker: str, until: int) -> Set[str]:
        """Move the end of those leases that the worker holds."""
        held = {id for id in ids if self.held(id, worker) is not None}
        self._tx.connection.executemany(
            "UPDATE jobs SET leased_until = ?1, ready = ?1 WHERE id = ?2", [(until, id) for id in held]
        )
        return held

    def held(self, id: str, worker: str) -> Held[int] | None:
        """A job if the worker holds it."""
        if not id.isascii():
            return None
        query = "SELECT sid, due, payload FROM jobs WHERE id = ? AND worker = ? AND leased_until > ?"
        row = self._tx.execute(query, (id, pack(worker), self._tx.now)).fetchone()
        return None if row is None or not self._tx.covers(row[0]) else Held(*row)

    def drop(self, key: int, id: str) -> None:
        """Remove a job."""
        self._tx.execute("DELETE FROM jobs WHERE id = ?", (id,))

    def free(self, key: int, id: str, state: str, due: int, ready: int | None, error: str, payload: str | None) -> None:
        """Take a job from its worker."""
        self._tx.execute(
            "UPDATE jobs SET state = ?, due = ?, ready = ?, worker = NULL, leased_until = NULL, error = ?, payload = ? "
            "WHERE id = ?",
            (state, due, ready, pack(error), payload, id),
        )

    def requeue(self, ids: Sequence[str] | None) -> int:
        """Make jobs wait."""
        now = self._tx.now
        where, values = self._tx.covered("sid")
        update = f"UPDATE jobs SET state = 'waiting', attempts = 0, due = ?, ready = ? WHERE {where} AND state"
        if ids is None:
            return self._tx.execute(f"{update} = 'dead' AND {_NOT_WAITING}", (now, now, *values)).rowcount
        return sum(
            self._tx.execute(
                f"{update} IN ('dead', 'waiting') AND id IN ({marks})", (now, now, *values, *part)
            ).rowcount
            for marks, part in chunks(_possible(ids))
        )

    def discard(self, ids: Sequence[str]) -> int:
        """Remove jobs that nobody holds."""
        where, values = self._tx.covered("sid")
        delete = f"DELETE FROM jobs WHERE {where} AND (leased_until IS NULL OR leased_until <= ?) AND id IN"
        return sum(
            self._tx.execute(f"{delete} ({marks})", (*values, self._tx.now, *part)).rowcount
            for marks, part in chunks(_possible(ids))
        )

    def count(self, wanted: Jobs) -> dict[tuple[str, str], int]:
        """How many of the wanted jobs there are of each kind in each state."""
        where, parameters = self._wanted(wanted)
        query = f"SELECT kind, state, count(*) FROM jobs WHERE {where} GROUP BY kind, state"
        return {(unpack(kind), state): number for kind, state, number in self._tx.execute(query, parameters)}

    def find(self, wanted: Jobs) -> list[Job]:
        """The wanted jobs, by id."""
        where, parameters = self._wanted(wanted)
        query = f"SELECT {_COLUMNS} FROM jobs WHERE {where} ORDER BY id LIMIT ?"
        rows = self._tx.execute(query, (*parameters, bounded(wanted.limit))).fetchall()
        return [self._job(row) for row in rows]

    def drop_covered(self) -> None:
        """Remove all covered jobs."""
        where, values = self._tx.covered("sid")
        self._tx.execute(f"DELETE FROM jobs WHERE {where}", values)

    def telling(self) -> list[int]:
        """Scopes whose jobs have errors to tell."""
        return [sid for (sid,) in self._tx.execute("SELECT DISTINCT sid FROM jobs WHERE error <> ''").fetchall()]

    def hush(self, key: int) -> None:
        """Empty the errors of one scope's jobs."""
        self._tx.execute("UPDATE jobs SET error = '' WHERE sid = ? AND error <> ''", (key,))

    def quoting(self) -> list[tuple[str, Any, str | None]]:
        """Jobs that have a key or a payload."""
        query = "SELECT id, key, payload FROM jobs WHERE key IS NOT NULL OR payload IS NOT NULL"
        return self._tx.execute(query).fetchall()

    def rewrite(self, id: str, name: Any, payload: str | None) -> None:
        """Set the key and the payload of a job."""
        self._tx.execute("UPDATE jobs SET key = ?, payload = ? WHERE id = ?", (name, payload, id))

    def _job(self, row: Row) -> Job:
        return job_from(row, self._tx.scope_of(row[-1]), TEXTS)

    def _wanted(self, wanted: Jobs) -> tuple[str, tuple[Any, ...]]:
        """The condition that a job is wanted, with its parameters."""
        where, parameters = self._tx.covered("sid")
        conditions = [where]
        for column, values in (("state", wanted.states), ("kind", wanted.kinds)):
            if values is not None:
                conditions.append(f"{column} IN ({','.join('?' * len(values))})")
                parameters += tuple(map(pack, values))
        if wanted.states is not None and "waiting" not in wanted.states:
            conditions.append(_NOT_WAITING)
        if wanted.after is not None:
            conditions.append("id > ?")
            parameters += (pack(wanted.after),)
        return " AND ".join(conditions), parameters

    def _first_ready(self, kinds: tuple[str, ...] | None, limit: int) -> list[str]:
        """Ids of the jobs that can be leased, those first that have been ready for the longest."""
        ready, values = _ready(self._tx.now, kinds)
        query = f"SELECT ready, id FROM jobs WHERE sid = ? AND {ready} ORDER BY ready, id LIMIT ?"
        found: list[tuple[int, str]] = []
        for head, sid in self._heads():
            if len(found) >= limit and head > found[-1][0]:
                break
            for row in self._tx.execute(query, (sid, *values, limit)):
                insort(found, row)
            del found[limit:]
        return [id for _, id in found]

    def _heads(self) -> list[tuple[int, int]]:
        """`(ready, sid)` of the covered scopes with jobs that can be leased, by their first job."""
        if self._tx.only_scope is not None:
            return [(0, self._tx.only_scope)]
        where, values = self._tx.covered("s.sid")
        first = "SELECT min(ready) FROM jobs WHERE sid = s.sid AND ready <= ?"
        query = (
            f"SELECT head, sid FROM (SELECT ({first}) AS head, s.sid FROM scopes s WHERE {where}) "
            "WHERE head IS NOT NULL"
        )
        return sorted(self._tx.execute(query, (self._tx.now, *values)).fetchall())


def finish(tx: Transaction) -> None:
    """At the end of a batch: tell its jobs their change, and keep its time and newest id where the change does not."""
    if not tx.worked:
        return
    if tx.change is None:
        tx.execute("UPDATE work SET at = ?, last_id = max(last_id, ?)", (tx.now, tx.newest_id))
        return
    tx.keep_newest_id()
    tx.connection.executemany("UPDATE jobs SET change = ? WHERE id = ?", [(tx.change, id) for id in tx.unnamed])


def due(
    connection: sqlite3.Connection,
    now: int,
    limit: int,
    kinds: Sequence[str] | None = None,
    *,
    many: int = _MANY_QUEUES,
) -> list[Scope]:
    """Scopes of jobs that are ready, by the job that has been so for the longest."""
    # From one scope to the next over the index; a queue may hold a hundred thousand jobs, of which the first matters.
    sids = [
        sid
        for (sid,) in connection.execute(
            "WITH RECURSIVE queue(sid) AS (SELECT min(sid) FROM jobs WHERE ready IS NOT NULL UNION ALL "
            "SELECT (SELECT min(sid) FROM jobs WHERE sid > queue.sid AND ready IS NOT NULL) FROM queue "
            "WHERE queue.sid IS NOT NULL) SELECT sid FROM queue WHERE sid IS NOT NULL LIMIT ?",
            (many + 1,),
        )
    ]
    ready, values = _ready(now, kinds)
    if len(sids) > many:
        first = f"SELECT min(ready) AS head, sid FROM jobs INDEXED BY jobs_ready WHERE {ready} GROUP BY sid"
        (last,) = connection.execute(
            f"SELECT max(head) FROM (SELECT head FROM ({first}) ORDER BY head LIMIT ?)", (*values, limit)
        ).fetchone()
        sids = [sid for _, sid in connection.execute(f"{first} HAVING head <= ?", (*values, last))]
    query = f"SELECT ready, id, sid FROM jobs WHERE sid = ? AND {ready} ORDER BY ready, id LIMIT 1"
    heads = sorted(row for sid in sids for row in connection.execute(query, (sid, *values)))
    scope = f"SELECT {', '.join(FIELDS)} FROM scopes WHERE sid = ?"
    return [scope_from(connection.execute(scope, (sid,)).fetchone()) for _, _, sid in heads[:limit]]


def _ready(now: int, kinds: Sequence[str] | None) -> tuple[str, tuple[Any, ...]]:
    """The condition that a job can be leased and is of one of the kinds, with its parameters."""
    if kinds is None:
        return "ready <= ?", (now,)
    return f"ready <= ? AND kind IN ({','.join('?' * len(kinds))})", (now, *map(pack, kinds))


def _possible(ids: Sequence[str]) -> list[str]:
    """Those ids that can occur at all; the others could not even be passed to SQLite."""
    return [id for id in ids if id.isascii()]
