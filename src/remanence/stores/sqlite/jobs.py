"""The outbox: the working operations, `Jobs`, and which scopes have something to do.

One column, `ready`, says when a job can be leased: when it is due, or when its lease runs out; NULL for a dead one. Its
index leads with the scope, so that a lease takes the first row of one scope however many jobs wait in the store.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import insort
from collections.abc import Collection, Sequence
from typing import Any

from remanence.core.clock import from_micros, to_micros
from remanence.core.scope import FIELDS, Scope
from remanence.stores.sqlite.codec import Row, pack, pack_optional, scope_from, unpack, unpack_optional
from remanence.stores.sqlite.transaction import Transaction, bounded, chunks
from remanence.substrates.records.model import meta_json
from remanence.substrates.records.operations import Discard, Enqueue, Job, Jobs, Lease, Renew, Requeue, Settle
from remanence.substrates.records.outbox import MAX_ERROR, lease_end, may_have_read, names_any, not_held, without_ids
from remanence.substrates.records.packing import moment

_COLUMNS = "id, sid, kind, key, payload, change, state, attempts, created_at, due, worker, leased_until, error"
# In these words, so that the index of the few that do not wait serves.
_NOT_WAITING = "state <> 'waiting'"
_MANY_QUEUES = 1024
"""Scopes with jobs up to which each is looked at by itself; beyond, one pass over all jobs is faster."""


def enqueue(tx: Transaction, operation: Enqueue, payload: str) -> str:
    """Add a job, or answer the one with the same key that waits."""
    sid = tx.sid_of(operation.scope or tx.scope)
    kind, key = pack(operation.kind), pack_optional(operation.key)
    if key is not None:
        query = "SELECT min(id) FROM jobs WHERE sid = ? AND kind = ? AND key = ? AND state = 'waiting'"
        (waiting,) = tx.execute(query, (sid, kind, key)).fetchone()
        if waiting is not None:
            return str(waiting)
    id = tx.draw()
    due = tx.now if operation.due is None else to_micros(operation.due)
    tx.execute(
        "INSERT INTO jobs(id, sid, kind, key, payload, change, state, attempts, created_at, due, ready, error) "
        "VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0, ?, ?, ?, '')",
        (id, sid, kind, key, None if payload == "{}" else payload, tx.change, tx.now, due, due),
    )
    tx.worked = True
    if tx.change is None:
        tx.unnamed.append(id)
    return id


def lease(tx: Transaction, operation: Lease) -> tuple[Job, ...]:
    """Hand out the jobs that have been ready for the longest."""
    until = to_micros(lease_end(tx.moment, operation.seconds))
    query = (
        "UPDATE jobs SET state = 'leased', attempts = attempts + 1, worker = ?, leased_until = ?, ready = ? "
        f"WHERE id = ? RETURNING {_COLUMNS}"
    )
    worker = pack(operation.worker)
    ids = _first_ready(tx, operation.kinds, bounded(operation.limit)) if operation.limit else []
    rows = [tx.execute(query, (worker, until, until, id)).fetchall()[0] for id in ids]
    tx.worked = tx.worked or bool(rows)
    return tuple([_job(row, tx.scope_of(row[1])) for row in rows])


def renew(tx: Transaction, operation: Renew) -> tuple[str, ...]:
    """Move the end of leases that the worker still holds."""
    until = to_micros(lease_end(tx.moment, operation.seconds))
    held = [id for id in dict.fromkeys(operation.ids) if _held(tx, id, operation.worker) is not None]
    tx.connection.executemany(
        "UPDATE jobs SET leased_until = ?1, ready = ?1 WHERE id = ?2", [(until, id) for id in held]
    )
    tx.worked = tx.worked or bool(held)
    return tuple(held)


def settle(tx: Transaction, operation: Settle, payload: str) -> bool:
    """End a lease, or raise `Conflict`. `payload`: the canonical JSON of the operation's own, empty for none."""
    held = _held(tx, operation.id, operation.worker)
    if held is None:
        raise not_held(operation.id, operation.worker)
    tx.worked = True
    if operation.outcome == "done":
        tx.execute("DELETE FROM jobs WHERE id = ?", (operation.id,))
        return True
    due, kept = held
    if operation.outcome == "retry":
        due = tx.now if operation.due is None else to_micros(operation.due)
    state, ready = ("waiting", due) if operation.outcome == "retry" else ("dead", None)
    if payload:
        kept = None if payload == "{}" else payload
    tx.execute(
        "UPDATE jobs SET state = ?, due = ?, ready = ?, worker = NULL, leased_until = NULL, error = ?, payload = ? "
        "WHERE id = ?",
        (state, due, ready, pack(operation.error[:MAX_ERROR]), kept, operation.id),
    )
    return True


def requeue(tx: Transaction, operation: Requeue) -> int:
    """Make dead or waiting jobs due."""
    where, values = tx.covered("sid")
    update = f"UPDATE jobs SET state = 'waiting', attempts = 0, due = ?, ready = ? WHERE {where} AND state"
    if operation.ids is None:
        changed = tx.execute(f"{update} = 'dead' AND {_NOT_WAITING}", (tx.now, tx.now, *values)).rowcount
    else:
        changed = sum(
            tx.execute(f"{update} IN ('dead', 'waiting') AND id IN ({marks})", (tx.now, tx.now, *values, *ids)).rowcount
            for marks, ids in chunks(_distinct(operation.ids))
        )
    tx.worked = tx.worked or changed > 0
    return changed


def discard(tx: Transaction, operation: Discard) -> int:
    """Remove jobs that are not leased, or whose lease ran out."""
    where, values = tx.covered("sid")
    free = "(leased_until IS NULL OR leased_until <= ?)"
    gone = sum(
        tx.execute(f"DELETE FROM jobs WHERE {where} AND {free} AND id IN ({marks})", (*values, tx.now, *ids)).rowcount
        for marks, ids in chunks(_distinct(operation.ids))
    )
    tx.worked = tx.worked or gone > 0
    return gone


def jobs(tx: Transaction, operation: Jobs) -> Any:
    """Jobs by id, or how many there are of each kind in each state."""
    where, parameters = tx.covered("sid")
    conditions = [where]
    for column, wanted in (("state", operation.states), ("kind", operation.kinds)):
        if wanted is not None:
            conditions.append(f"{column} IN ({','.join('?' * len(wanted))})")
            parameters += tuple(map(pack, wanted))
    if operation.states is not None and "waiting" not in operation.states:
        conditions.append(_NOT_WAITING)
    if operation.after is not None:
        conditions.append("id > ?")
        parameters += (pack(operation.after),)
    source = f"FROM jobs WHERE {' AND '.join(conditions)}"
    if operation.limit == 0:
        counts = tx.execute(f"SELECT kind, state, count(*) {source} GROUP BY kind, state", parameters)
        return {(unpack(kind), state): number for kind, state, number in counts}
    query = f"SELECT {_COLUMNS} {source} ORDER BY id LIMIT ?"
    rows = tx.execute(query, (*parameters, bounded(operation.limit))).fetchall()
    return tuple([_job(row, tx.scope_of(row[1])) for row in rows])


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


def forget(tx: Transaction, gone: Collection[str], places: Collection[int], *, whole: bool) -> None:
    """Take out of jobs what an erasure destroys: `gone` are the ids, `places` the numbers of the scopes they lay in.

    `whole`: the batch's scope is erased altogether, and its jobs with it.
    """
    if whole:
        where, values = tx.covered("sid")
        tx.execute(f"DELETE FROM jobs WHERE {where}", values)
    telling = [sid for (sid,) in tx.execute("SELECT DISTINCT sid FROM jobs WHERE error <> ''").fetchall()]
    scopes = [tx.scope_of(sid) for sid in places]
    for sid in telling:
        if tx.covers(sid) or any(may_have_read(tx.scope_of(sid), scope) for scope in scopes):
            tx.execute("UPDATE jobs SET error = '' WHERE sid = ? AND error <> ''", (sid,))
    rows = tx.execute("SELECT id, key, payload FROM jobs WHERE key IS NOT NULL OR payload IS NOT NULL").fetchall()
    for id, column, payload in rows:
        key = unpack_optional(column)
        if names_any((key, payload), gone):
            cut = "{}" if payload is None else meta_json(without_ids(json.loads(payload), gone))
            values = (None if names_any((key,), gone) else column, None if cut == "{}" else cut, id)
            tx.execute("UPDATE jobs SET key = ?, payload = ? WHERE id = ?", values)


def _first_ready(tx: Transaction, kinds: tuple[str, ...] | None, limit: int) -> list[str]:
    """Ids of the jobs that can be leased, those first that have been ready for the longest."""
    ready, values = _ready(tx.now, kinds)
    query = f"SELECT ready, id FROM jobs WHERE sid = ? AND {ready} ORDER BY ready, id LIMIT ?"
    found: list[tuple[int, str]] = []
    for head, sid in _heads(tx):
        if len(found) >= limit and head > found[-1][0]:
            break
        for row in tx.execute(query, (sid, *values, limit)):
            insort(found, row)
        del found[limit:]
    return [id for _, id in found]


def _ready(now: int, kinds: Sequence[str] | None) -> tuple[str, tuple[Any, ...]]:
    """The condition that a job can be leased and is of one of the kinds, with its parameters."""
    if kinds is None:
        return "ready <= ?", (now,)
    return f"ready <= ? AND kind IN ({','.join('?' * len(kinds))})", (now, *map(pack, kinds))


def _heads(tx: Transaction) -> list[tuple[int, int]]:
    """`(ready, sid)` of the covered scopes with jobs that can be leased, by their first job."""
    if tx.only_scope is not None:
        return [(0, tx.only_scope)]
    where, values = tx.covered("s.sid")
    first = "SELECT min(ready) FROM jobs WHERE sid = s.sid AND ready <= ?"
    query = (
        f"SELECT head, sid FROM (SELECT ({first}) AS head, s.sid FROM scopes s WHERE {where}) WHERE head IS NOT NULL"
    )
    return sorted(tx.execute(query, (tx.now, *values)).fetchall())


def _held(tx: Transaction, id: str, worker: str) -> tuple[int, str | None] | None:
    """When a job was due, and its payload, if the worker holds it."""
    if not id.isascii():
        return None
    query = "SELECT due, payload, sid FROM jobs WHERE id = ? AND worker = ? AND leased_until > ?"
    row = tx.execute(query, (id, pack(worker), tx.now)).fetchone()
    return None if row is None or not tx.covers(row[2]) else (row[0], row[1])


def _distinct(ids: tuple[str, ...]) -> list[str]:
    """Distinct ids that can occur at all; the others could not even be passed to SQLite."""
    return [id for id in dict.fromkeys(ids) if id.isascii()]


def _job(row: Row, scope: Scope) -> Job:
    id, _, kind, key, payload, change, state, attempts, created_at, due_at, worker, leased_until, error = row
    return Job(
        id=id,
        scope=scope,
        kind=unpack(kind),
        key=unpack_optional(key),
        payload={} if payload is None else json.loads(payload),
        change=change,
        state=state,
        attempts=attempts,
        created_at=from_micros(created_at),
        due=from_micros(due_at),
        worker=unpack_optional(worker),
        leased_until=moment(leased_until),
        error=unpack(error),
    )
