"""The outbox: what is still to be worked out, committed with the words that it is about.

Nothing here runs anything; `runtime.working` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypedDict

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.substrates.records.model import Draft, is_derived
from remanence.substrates.records.operations import Discard, Enqueue, Job, Jobs, JobState, Requeue

__all__ = [
    "ENRICH",
    "LEDGER",
    "WORKER",
    "JobRow",
    "discard_jobs",
    "follow",
    "job_counts",
    "jobs",
    "note",
    "retry_jobs",
    "spread",
]

ENRICH: Final = "enrich"
"""Kind of the jobs that derive what follows from a change; `enrich:<name>` are those of one handler."""
LEDGER: Final = "bulk"
"""Kind of the lines that say that bulk work was planned (see `runtime.bulk.ledger`): kept, and no work to be done."""
WORKER: Final = "worker"
"""Actor under which workers write."""
STATES: Final[tuple[JobState, ...]] = ("waiting", "leased", "dead")


class JobRow(TypedDict, total=False):
    """One job. Times are ISO 8601 strings in UTC."""

    id: str
    kind: str
    state: str
    attempts: int
    created_at: str
    due: str
    leased_until: str | None
    worker: str | None
    change: str | None
    error: str
    user_id: str | None
    agent_id: str | None
    run_id: str | None
    app_id: str | None


def note(engine: Engine, drafts: Iterable[Draft], scope: Scope) -> list[Enqueue]:
    """The jobs to commit in one batch with new drafts: one for each leaf scope that gets something raw."""
    return follow(engine, (draft.scope or scope for draft in drafts if not is_derived(draft.origin)))


def follow(engine: Engine, scopes: Iterable[Scope]) -> list[Enqueue]:
    """The jobs to commit in one batch with changes to records of these leaf scopes."""
    return [Enqueue(ENRICH, scope=scope) for scope in dict.fromkeys(scopes)] if engine.enrich else []


def spread(engine: Engine, homes: Iterable[Scope] = ()) -> list[Enqueue]:
    """The job to commit with a change of which only the scope of its batch is known: an undo, an erasure.

    `homes`: home scopes in which something was erased.
    """
    named = [dict(home.items()) for home in dict.fromkeys(homes)]
    return [Enqueue(ENRICH, payload={"wide": True, "homes": named})] if engine.enrich else []


def jobs(
    engine: Engine,
    scope: Scope,
    *,
    states: Sequence[str] | str | None = None,
    kinds: Sequence[str] | str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[JobRow]:
    """Jobs of a scope, oldest first. `states`: of "waiting", "leased" and "dead"; `after`: the id to go on from."""
    if limit < 1:
        raise InvalidInput(f"limit={limit!r} must be a whole number of at least 1")
    rows: list[JobRow] = []
    while True:
        found: Sequence[Job]
        (found,) = engine.read([Jobs(_states(states), _words(kinds), limit, after)], scope)
        rows += [_row(job) for job in found if job.kind != LEDGER]
        if len(found) < limit or len(rows) >= limit:
            return rows[:limit]
        after = found[-1].id


def job_counts(engine: Engine, scope: Scope) -> dict[str, int]:
    """How many jobs of a scope are in each state."""
    found: Mapping[tuple[str, str], int]
    (found,) = engine.read([Jobs(limit=0)], scope)
    return {
        name: sum(count for (kind, state), count in found.items() if state == name and kind != LEDGER)
        for name in STATES
    }


def retry_jobs(engine: Engine, scope: Scope, ids: Sequence[str] | str | None = None) -> int:
    """Let jobs be due at once with their attempts forgotten, all dead ones if `ids` is None; how many."""
    outcome = engine.write([Requeue(_words(ids))], scope)
    return int(outcome.results[0])


def discard_jobs(engine: Engine, scope: Scope, ids: Sequence[str] | str) -> int:
    """Remove jobs that no worker holds; how many. What they were to derive stays missing until `rebuild`."""
    wanted = _words(ids) or ()
    return int(engine.write([Discard(wanted)], scope).results[0])


def _states(states: Sequence[str] | str | None) -> tuple[JobState, ...] | None:
    wanted = _words(states)
    if wanted is None:
        return None
    for state in wanted:
        if state not in STATES:
            raise InvalidInput(f"{state!r} is no state of a job; they are {', '.join(STATES)}")
    return tuple(state for state in STATES if state in wanted)


def _words(words: Sequence[str] | str | None) -> tuple[str, ...] | None:
    return None if words is None else (words,) if isinstance(words, str) else tuple(words)


def _row(job: Job) -> JobRow:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "attempts": job.attempts,
        "created_at": job.created_at.isoformat(),
        "due": job.due.isoformat(),
        "leased_until": None if job.leased_until is None else job.leased_until.isoformat(),
        "worker": job.worker,
        "change": job.change,
        "error": job.error,
        "user_id": job.scope.user_id,
        "agent_id": job.scope.agent_id,
        "run_id": job.scope.run_id,
        "app_id": job.scope.app_id,
    }
