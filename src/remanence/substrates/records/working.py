"""What the reference store does with jobs: the working operations and `Jobs`, as plain functions over its state."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from remanence.core.scope import Scope
from remanence.substrates.records.model import meta_json
from remanence.substrates.records.operations import Discard, Enqueue, Job, Jobs, Lease, Renew, Requeue, Settle
from remanence.substrates.records.outbox import MAX_ERROR, lease_end, may_have_read, names_any, not_held, without_ids
from remanence.substrates.records.state import Queued, State


def waiting(state: State, scope: Scope, operation: Enqueue) -> str | None:
    """The oldest waiting job of just this scope, and of the operation's kind and key; None without a key."""
    wanted = (scope, operation.kind, operation.key)
    same = (
        id
        for id, (job, _) in state.jobs.items()
        if operation.key is not None and job.state == "waiting" and (job.scope, job.kind, job.key) == wanted
    )
    return min(same, default=None)


def enqueue(
    state: State, scope: Scope, operation: Enqueue, payload: str, now: datetime, id: str, change: str | None
) -> None:
    """Add a job under a new id."""
    job = Job(
        id=id,
        scope=scope,
        kind=operation.kind,
        key=operation.key,
        payload={},
        change=change,
        state="waiting",
        attempts=0,
        created_at=now,
        due=now if operation.due is None else operation.due.astimezone(UTC),
        worker=None,
        leased_until=None,
        error="",
    )
    _keep(state, Queued(job, payload), now)


def lease(state: State, scope: Scope, operation: Lease, now: datetime) -> tuple[Job, ...]:
    """Hand out the jobs that have been ready for the longest."""
    found = [
        (ready, id)
        for id, queued in _covered(state, scope)
        if operation.kinds is None or queued.job.kind in operation.kinds
        if (ready := ready_at(queued.job)) is not None and ready <= now
    ]
    leased = []
    for _, id in sorted(found)[: operation.limit]:
        queued = state.jobs[id]
        job = replace(
            queued.job,
            state="leased",
            attempts=queued.job.attempts + 1,
            worker=operation.worker,
            leased_until=lease_end(now, operation.seconds),
        )
        _keep(state, queued._replace(job=job), now)
        leased.append(shown(state.jobs[id]))
    return tuple(leased)


def renew(state: State, scope: Scope, operation: Renew, now: datetime) -> tuple[str, ...]:
    """Move the end of leases that the worker still holds."""
    held = []
    for id in dict.fromkeys(operation.ids):
        queued = _held(state, scope, id, operation.worker, now)
        if queued is not None:
            until = lease_end(now, operation.seconds)
            _keep(state, queued._replace(job=replace(queued.job, leased_until=until)), now)
            held.append(id)
    return tuple(held)


def settle(state: State, scope: Scope, operation: Settle, payload: str, now: datetime) -> bool:
    """End a lease, or raise `Conflict`. `payload`: the canonical JSON of the operation's own, empty for none."""
    queued = _held(state, scope, operation.id, operation.worker, now)
    if queued is None:
        raise not_held(operation.id, operation.worker)
    if operation.outcome == "done":
        del state.jobs[operation.id]
        state.worked = now
        return True
    job = replace(
        queued.job,
        state="dead" if operation.outcome == "dead" else "waiting",
        worker=None,
        leased_until=None,
        error=operation.error[:MAX_ERROR],
    )
    if operation.outcome == "retry":
        job = replace(job, due=now if operation.due is None else operation.due.astimezone(UTC))
    _keep(state, Queued(job, payload or queued.payload), now)
    return True


def requeue(state: State, scope: Scope, operation: Requeue, now: datetime) -> int:
    """Make dead or waiting jobs due."""
    wanted = None if operation.ids is None else set(operation.ids)
    changed = 0
    for id, queued in list(_covered(state, scope)):
        job = queued.job
        if job.state == "dead" if wanted is None else job.state in ("dead", "waiting") and id in wanted:
            _keep(state, queued._replace(job=replace(job, state="waiting", attempts=0, due=now)), now)
            changed += 1
    return changed


def discard(state: State, scope: Scope, operation: Discard, now: datetime) -> int:
    """Remove jobs that are not leased, or whose lease ran out."""
    covered = dict(_covered(state, scope))
    gone = 0
    for id in dict.fromkeys(operation.ids):
        job = covered[id].job if id in covered else None
        if job is not None and not (job.leased_until is not None and job.leased_until > now):
            del state.jobs[id]
            state.worked = now
            gone += 1
    return gone


def jobs(state: State, scope: Scope, operation: Jobs) -> Any:
    """Jobs by id, or how many there are of each kind in each state."""
    found = [
        queued
        for id, queued in sorted(_covered(state, scope))
        if operation.states is None or queued.job.state in operation.states
        if operation.kinds is None or queued.job.kind in operation.kinds
        if operation.after is None or id > operation.after
    ]
    if operation.limit == 0:
        return dict(Counter((queued.job.kind, queued.job.state) for queued in found))
    return tuple(shown(queued) for queued in found[: operation.limit])


def due(state: State, now: datetime, limit: int, kinds: Sequence[str] | None) -> list[Scope]:
    """Scopes of jobs that are ready, by the job that has been so for the longest."""
    ready = sorted(
        (at, id)
        for id, queued in state.jobs.items()
        if kinds is None or queued.job.kind in kinds
        if (at := ready_at(queued.job)) is not None and at <= now
    )
    return list(dict.fromkeys(state.jobs[id].job.scope for _, id in ready))[:limit]


def name_change(state: State, ids: Collection[str], change: str) -> None:
    """Tell jobs the change of the batch that made them; some of them may be gone again."""
    for id in ids:
        if id in state.jobs:
            queued = state.jobs[id]
            state.jobs[id] = queued._replace(job=replace(queued.job, change=change))


def forget(state: State, scope: Scope, gone: Collection[str], places: Collection[Scope], *, whole: bool) -> None:
    """Take out of jobs what an erasure under `scope` destroys: `gone` are the ids, `places` the scopes they lay in.

    `whole`: the scope is erased altogether, and its jobs with it.
    """
    for id, queued in list(state.jobs.items()):
        job, payload = queued
        if scope.covers(job.scope) and whole:
            del state.jobs[id]
            continue
        if scope.covers(job.scope) or any(may_have_read(job.scope, place) for place in places):
            job = replace(job, error="")
        if names_any((payload, job.key), gone):
            job = replace(job, key=None if names_any((job.key,), gone) else job.key)
            payload = meta_json(without_ids(json.loads(payload), gone))
        state.jobs[id] = Queued(job, payload)


def ready_at(job: Job) -> datetime | None:
    """When a job can be leased: when it is due, or when its lease runs out; None for a dead one."""
    return {"waiting": job.due, "leased": job.leased_until}.get(job.state)


def shown(queued: Queued) -> Job:
    """A job as it is given to callers, with a payload of its own."""
    return replace(queued.job, payload=json.loads(queued.payload))


def _keep(state: State, queued: Queued, now: datetime) -> None:
    state.jobs[queued.job.id] = queued
    state.worked = now


def _covered(state: State, scope: Scope) -> Iterator[tuple[str, Queued]]:
    return ((id, queued) for id, queued in state.jobs.items() if scope.covers(queued.job.scope))


def _held(state: State, scope: Scope, id: str, worker: str, now: datetime) -> Queued | None:
    queued = state.jobs.get(id)
    if queued is None or not scope.covers(queued.job.scope):
        return None
    until = queued.job.leased_until
    return queued if queued.job.worker == worker and until is not None and until > now else None
