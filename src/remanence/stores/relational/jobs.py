"""What the working operations do: jobs are made, leased, settled and made due again; an erasure cuts them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from remanence.core.clock import to_micros
from remanence.stores.relational.transaction import K, Transaction
from remanence.substrates.records.model import meta_json
from remanence.substrates.records.operations import Discard, Enqueue, Job, Jobs, Lease, Renew, Requeue, Settle
from remanence.substrates.records.outbox import MAX_ERROR, lease_end, may_have_read, names_any, not_held, without_ids


def enqueue(tx: Transaction[K], operation: Enqueue, payload: str) -> str:
    """Add a job, or answer the one with the same key that waits."""
    rows = tx.jobs
    key = tx.place(operation.scope or tx.scope)
    if operation.key is not None:
        waiting = rows.waiting(key, operation.kind, operation.key)
        if waiting is not None:
            return waiting
    id = tx.draw()
    due = tx.now if operation.due is None else to_micros(operation.due)
    rows.add(key, id, operation.kind, operation.key, _column(payload), due)
    tx.worked = True
    if tx.change is None:
        tx.unnamed.append(id)
    return id


def lease(tx: Transaction[K], operation: Lease) -> tuple[Job, ...]:
    """Hand out the jobs that have been ready for the longest."""
    if not operation.limit:
        return ()
    until = to_micros(lease_end(tx.moment, operation.seconds))
    taken = tx.jobs.take(operation.kinds, operation.limit, operation.worker, until)
    tx.worked = tx.worked or bool(taken)
    return tuple(taken)


def renew(tx: Transaction[K], operation: Renew) -> tuple[str, ...]:
    """Move the end of leases that the worker still holds."""
    ids = [*dict.fromkeys(operation.ids)]
    held = tx.jobs.extend(ids, operation.worker, to_micros(lease_end(tx.moment, operation.seconds)))
    tx.worked = tx.worked or bool(held)
    return tuple([id for id in ids if id in held])


def settle(tx: Transaction[K], operation: Settle, payload: str) -> bool:
    """End a lease, or raise `Conflict`. `payload`: the canonical JSON of the operation's own, empty for none."""
    rows = tx.jobs
    held = rows.held(operation.id, operation.worker)
    if held is None:
        raise not_held(operation.id, operation.worker)
    tx.worked = True
    if operation.outcome == "done":
        rows.drop(held.key, operation.id)
        return True
    key, due, kept = held
    if operation.outcome == "retry":
        due = tx.now if operation.due is None else to_micros(operation.due)
    state, ready = ("waiting", due) if operation.outcome == "retry" else ("dead", None)
    if payload:
        kept = _column(payload)
    rows.free(key, operation.id, state, due, ready, operation.error[:MAX_ERROR], kept)
    return True


def requeue(tx: Transaction[K], operation: Requeue) -> int:
    """Make dead or waiting jobs due."""
    changed = tx.jobs.requeue(None if operation.ids is None else [*dict.fromkeys(operation.ids)])
    tx.worked = tx.worked or changed > 0
    return changed


def discard(tx: Transaction[K], operation: Discard) -> int:
    """Remove jobs that are not leased, or whose lease ran out."""
    gone = tx.jobs.discard([*dict.fromkeys(operation.ids)])
    tx.worked = tx.worked or gone > 0
    return gone


def jobs(tx: Transaction[K], operation: Jobs) -> Any:
    """Jobs by id, or how many there are of each kind in each state."""
    return tx.jobs.count(operation) if operation.limit == 0 else tuple(tx.jobs.find(operation))


def forget(tx: Transaction[K], gone: Collection[str], places: Collection[K]) -> None:
    """Take out of jobs what an erasure destroys: `gone` are the ids, `places` the keys of the scopes they lay in."""
    rows = tx.jobs
    scopes = [tx.scope_of(place) for place in places]
    for key in rows.telling():
        if tx.covers(key) or any(may_have_read(tx.scope_of(key), scope) for scope in scopes):
            rows.hush(key)
    for id, column, payload in rows.quoting():
        name = tx.texts.unpack_optional(column)
        if names_any((name, payload), gone):
            cut = "{}" if payload is None else meta_json(without_ids(json.loads(payload), gone))
            rows.rewrite(id, None if names_any((name,), gone) else column, _column(cut))


def _column(payload: str) -> str | None:
    """The column of a payload's canonical JSON."""
    return None if payload == "{}" else payload
