"""The outbox: the working operations, `Jobs`, and which scopes have something to do.

One column, `ready`, says when a job can be leased: when it is due, or when its lease runs out; NULL for a dead one.
A batch that only leases does not wait for batches that write: it takes rows that nobody else has locked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from remanence.core.clock import from_micros, to_micros
from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import KEY, Key, Row, before_ids, pack, pack_optional, unpack, unpack_optional
from remanence.stores.postgres.transaction import Transaction
from remanence.substrates.records.model import meta_json
from remanence.substrates.records.operations import Discard, Enqueue, Job, Jobs, Lease, Renew, Requeue, Settle
from remanence.substrates.records.outbox import MAX_ERROR, lease_end, may_have_read, names_any, not_held, without_ids
from remanence.substrates.records.packing import moment

_OWN = ", ".join(f"j.{name}" for name in FIELDS)
_COLUMNS = (
    f"j.id, {_OWN}, j.kind, j.key, j.payload, j.change, j.state, j.attempts, j.created_at, j.due, j.worker, "
    "j.leased_until, j.error"
)


def enqueue(tx: Transaction, operation: Enqueue, payload: str) -> str:
    """Add a job, or answer the one with the same key that waits."""
    key = tx.place(operation.scope or tx.scope)
    kind, name = pack(operation.kind), pack_optional(operation.key)
    if name is not None:
        # Locked, since a lease that is under way would begin before what this batch writes can be read.
        row = tx.execute(
            f"SELECT id FROM jobs WHERE ({KEY}) = (%s, %s, %s, %s) AND kind = %s AND key = %s AND state = 'waiting' "
            "ORDER BY id LIMIT 1 FOR UPDATE",
            (*key, kind, name),
        ).fetchone()
        if row is not None:
            return str(row[0])
    id = tx.draw()
    due = tx.now if operation.due is None else to_micros(operation.due)
    tx.execute(
        f"INSERT INTO jobs({KEY}, id, kind, key, payload, change, state, attempts, created_at, due, ready, error) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting', 0, %s, %s, %s, '')",
        (*key, id, kind, name, None if payload == "{}" else payload, tx.change, tx.now, due, due),
    )
    tx.worked = True
    if tx.change is None:
        tx.unnamed.append(id)
    return id


def lease(tx: Transaction, operation: Lease) -> tuple[Job, ...]:
    """Hand out the jobs that have been ready for the longest."""
    if not operation.limit:
        return ()
    until = to_micros(lease_end(tx.moment, operation.seconds))
    where, values = tx.covered("r")
    ready, times = _ready(tx.now, operation.kinds, "r")
    same = " AND ".join(f"j.{name} = f.{name}" for name in FIELDS)
    # Materialized: a plan that ran the choice again for each row would lock more than it updates.
    rows = tx.execute(
        f"WITH f AS MATERIALIZED (SELECT {KEY}, id, ready FROM jobs r WHERE {where} AND {ready} ORDER BY ready, id "
        "LIMIT %s FOR UPDATE SKIP LOCKED) UPDATE jobs j SET state = 'leased', attempts = j.attempts + 1, worker = %s, "
        f"leased_until = %s, ready = %s FROM f WHERE {same} AND j.id = f.id RETURNING f.ready, {_COLUMNS}",
        (*values, *times, operation.limit, pack(operation.worker), until, until),
    ).fetchall()
    tx.worked = tx.worked or bool(rows)
    return tuple([_job(tx, row[1:]) for row in sorted(rows, key=lambda row: row[:2])])


def renew(tx: Transaction, operation: Renew) -> tuple[str, ...]:
    """Move the end of leases that the worker still holds."""
    until = to_micros(lease_end(tx.moment, operation.seconds))
    where, values = tx.covered("j")
    ids = [*dict.fromkeys(map(pack, operation.ids))]
    rows = tx.execute(
        f"UPDATE jobs j SET leased_until = %s, ready = %s WHERE {where} AND j.id = ANY(%s::text[]) AND j.worker = %s "
        "AND j.leased_until > %s RETURNING j.id",
        (until, until, *values, ids, pack(operation.worker), tx.now),
    ).fetchall()
    held = {id for (id,) in rows}
    tx.worked = tx.worked or bool(held)
    return tuple([id for id in dict.fromkeys(operation.ids) if id in held])


def settle(tx: Transaction, operation: Settle, payload: str) -> bool:
    """End a lease, or raise `Conflict`. `payload`: the canonical JSON of the operation's own, empty for none."""
    where, values = tx.covered("j")
    held = tx.execute(
        f"SELECT {_OWN}, j.due, j.payload FROM jobs j WHERE {where} AND j.id = %s AND j.worker = %s "
        "AND j.leased_until > %s FOR UPDATE",
        (*values, pack(operation.id), pack(operation.worker), tx.now),
    ).fetchone()
    if held is None:
        raise not_held(operation.id, operation.worker)
    tx.worked = True
    *key, due, kept = held
    if operation.outcome == "done":
        tx.execute(f"DELETE FROM jobs WHERE ({KEY}) = (%s, %s, %s, %s) AND id = %s", (*key, operation.id))
        return True
    if operation.outcome == "retry":
        due = tx.now if operation.due is None else to_micros(operation.due)
    state, ready = ("waiting", due) if operation.outcome == "retry" else ("dead", None)
    if payload:
        kept = None if payload == "{}" else payload
    tx.execute(
        "UPDATE jobs SET state = %s, due = %s, ready = %s, worker = NULL, leased_until = NULL, error = %s, "
        f"payload = %s WHERE ({KEY}) = (%s, %s, %s, %s) AND id = %s",
        (state, due, ready, pack(operation.error[:MAX_ERROR]), kept, *key, operation.id),
    )
    return True


def requeue(tx: Transaction, operation: Requeue) -> int:
    """Make dead or waiting jobs due."""
    where, values = tx.covered("j")
    update = f"UPDATE jobs j SET state = 'waiting', attempts = 0, due = %s, ready = %s WHERE {where} AND j.state"
    if operation.ids is None:
        changed = tx.execute(f"{update} = 'dead'", (tx.now, tx.now, *values)).rowcount
    else:
        ids = [*dict.fromkeys(map(pack, operation.ids))]
        query = f"{update} IN ('dead', 'waiting') AND j.id = ANY(%s::text[])"
        changed = tx.execute(query, (tx.now, tx.now, *values, ids)).rowcount
    tx.worked = tx.worked or changed > 0
    return changed


def discard(tx: Transaction, operation: Discard) -> int:
    """Remove jobs that are not leased, or whose lease ran out."""
    where, values = tx.covered("j")
    query = (
        f"DELETE FROM jobs j WHERE {where} AND (j.leased_until IS NULL OR j.leased_until <= %s) "
        "AND j.id = ANY(%s::text[])"
    )
    gone = tx.execute(query, (*values, tx.now, [*dict.fromkeys(map(pack, operation.ids))])).rowcount
    tx.worked = tx.worked or gone > 0
    return gone


def jobs(tx: Transaction, operation: Jobs) -> Any:
    """Jobs by id, or how many there are of each kind in each state."""
    where, values = tx.covered("j")
    conditions, parameters = [where], [*values]
    more: list[Any] = []
    for column, wanted in (("state", operation.states), ("kind", operation.kinds)):
        if wanted is not None:
            conditions.append(f"j.{column} = ANY(%s::text[])")
            more.append([*map(pack, wanted)])
    if operation.after is not None:
        conditions.append("j.id > %s")
        more.append(before_ids(operation.after))
    source = f"FROM jobs j WHERE {' AND '.join(conditions)}"
    if operation.limit == 0:
        counts = tx.execute(f"SELECT j.kind, j.state, count(*) {source} GROUP BY j.kind, j.state", (*parameters, *more))
        return {(unpack(kind), state): number for kind, state, number in counts}
    query = f"SELECT {_COLUMNS} {source} ORDER BY j.id LIMIT %s"
    rows = tx.execute(query, (*parameters, *more, operation.limit)).fetchall()
    return tuple([_job(tx, row) for row in rows])


def due(tx: Transaction, now: int, limit: int, kinds: Sequence[str] | None = None) -> list[Scope]:
    """Scopes of jobs that are ready, by the job that has been so for the longest; `tx` looks everywhere."""
    ready, times = _ready(now, kinds, "j")
    head = f"SELECT DISTINCT ON ({_OWN}) {_OWN}, j.ready, j.id FROM jobs j WHERE {ready} ORDER BY {_OWN}, j.ready, j.id"
    query = f"SELECT {KEY} FROM ({head}) h ORDER BY ready, id LIMIT %s"
    return [tx.scope_of(key) for key in tx.execute(query, (*times, limit)).fetchall()]


def covered_ids(tx: Transaction) -> list[str]:
    """Ids of all jobs that the batch's scope covers."""
    where, values = tx.covered("j")
    return [id for (id,) in tx.execute(f"SELECT j.id FROM jobs j WHERE {where}", values)]


def forget(tx: Transaction, gone: Collection[str], places: Collection[Key], jobs_gone: list[str]) -> None:
    """Take out of jobs what an erasure destroys: `gone` are the ids, `places` the scopes they lay in.

    `jobs_gone`: jobs that go as a whole, with their scope. `tx` looks everywhere.
    """
    tx.execute("DELETE FROM jobs WHERE id = ANY(%s::text[])", (jobs_gone,))
    scopes = [tx.scope_of(key) for key in places]
    for place in tx.execute(f"SELECT DISTINCT {KEY} FROM jobs WHERE error <> ''").fetchall():
        scope = tx.scope_of(place)
        if tx.covers(place) or any(may_have_read(scope, other) for other in scopes):
            tx.execute(f"UPDATE jobs SET error = '' WHERE ({KEY}) = (%s, %s, %s, %s) AND error <> ''", place)
    rows = tx.execute("SELECT id, key, payload FROM jobs WHERE key IS NOT NULL OR payload IS NOT NULL").fetchall()
    for id, column, payload in rows:
        key = unpack_optional(column)
        if names_any((key, payload), gone):
            cut = "{}" if payload is None else meta_json(without_ids(json.loads(payload), gone))
            values = (None if names_any((key,), gone) else column, None if cut == "{}" else cut, id)
            tx.execute("UPDATE jobs SET key = %s, payload = %s WHERE id = %s", values)


def _ready(now: int, kinds: Sequence[str] | None, of: str) -> tuple[str, tuple[Any, ...]]:
    """The condition that a job can be leased and is of one of the kinds, with its parameters."""
    if kinds is None:
        return f"{of}.ready <= %s", (now,)
    return f"{of}.ready <= %s AND {of}.kind = ANY(%s::text[])", (now, [*map(pack, kinds)])


def _job(tx: Transaction, row: Row) -> Job:
    id, _, _, _, _, kind, key, payload, change, state, attempts, created_at, due_at, worker, leased_until, error = row
    return Job(
        id=id,
        scope=tx.scope_of(row[1:5]),
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
