"""Stores whose outbox, or whose care for origin and trust, is wrong on purpose, and the rule that has to notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from remanence.conformance.stage import Reopen, StoreFactory
from remanence.core.clock import EPOCH
from remanence.core.scope import Scope
from remanence.substrates.records.operations import (
    Adopt,
    Count,
    Enqueue,
    Erase,
    Find,
    Job,
    Lease,
    Operation,
    Outcome,
    Restore,
    Scan,
    Settle,
)
from remanence.substrates.records.reference import MemoryStore
from remanence.substrates.records.state import State
from tests.conformance.adversaries import Rewritten, remembers


def _has(operations: Sequence[Operation], kind: type) -> bool:
    return any(isinstance(operation, kind) for operation in operations)


class Tampering(MemoryStore):
    """Changes jobs behind its own back before a batch that has an operation of some kind."""

    before: type = Lease

    def tamper(self, job: Job) -> Job:
        """The job as the batch finds it."""
        return job

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if _has(operations, self.before):
            for id, queued in self._state.jobs.items():
                self._state.jobs[id] = queued._replace(job=self.tamper(queued.job))
        return super().batch(operations, scope=scope, actor=actor, why=why)


class EnqueuesOutsideTheTransaction(MemoryStore):
    """The queue is another system: what is put into it stays there when the batch fails."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        try:
            return super().batch(operations, scope=scope, actor=actor, why=why)
        except Exception:
            jobs = [operation for operation in operations if isinstance(operation, Enqueue)]
            super().batch(jobs, scope=scope, actor=actor, why=why)
            raise


class NamesNoEarlyChange(MemoryStore):
    """A job that stands before the writes of its batch never learns their change."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if operations and isinstance(operations[0], Enqueue):
            queued = self._state.jobs[outcome.results[0]]
            self._state.jobs[queued.job.id] = queued._replace(job=replace(queued.job, change=None))
        return outcome


class LeasesTwice(Tampering):
    """A SELECT that forgets to look whether a job is leased."""

    def tamper(self, job: Job) -> Job:
        """As if its lease had run out."""
        return job if job.leased_until is None else replace(job, leased_until=EPOCH)


class CountsNoAttempts(Tampering):
    """Every attempt is the first one, so that nothing is ever given up."""

    def tamper(self, job: Job) -> Job:
        """With no attempts."""
        return replace(job, attempts=0)


class LeasesForEver(Tampering):
    """A worker that died keeps its jobs."""

    def tamper(self, job: Job) -> Job:
        """Leased for a hundred years."""
        until = job.leased_until
        return job if until is None or until.year > 2100 else replace(job, leased_until=until + timedelta(days=36500))


class ForgivesLateWorkers(Tampering):
    """A lease that ran out stands as long as nobody else asks for the job."""

    before = Settle

    def tamper(self, job: Job) -> Job:
        """Leased till the end of days."""
        return job if job.leased_until is None else replace(job, leased_until=datetime.max.replace(tzinfo=UTC))


class SettlesForAnyone(Rewritten):
    """Whoever says that a job is done is believed."""

    def rewrite(self, operation: Any) -> Any:
        """In the name of the worker that holds the job."""
        queued = self._state.jobs.get(operation.id) if isinstance(operation, Settle) else None
        return (
            operation if queued is None or queued.job.worker is None else replace(operation, worker=queued.job.worker)
        )


class SettlesAfterwards(MemoryStore):
    """First the effects are committed, then the job is settled."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        effects = [operation for operation in operations if not isinstance(operation, Settle)]
        outcome = super().batch(effects, scope=scope, actor=actor, why=why)
        settled = super().batch([op for op in operations if isinstance(op, Settle)], scope=scope)
        answers = {True: iter(settled.results), False: iter(outcome.results)}
        return replace(outcome, results=tuple(next(answers[isinstance(op, Settle)]) for op in operations))


class IgnoresDueTimes(Tampering):
    """A job that is to be tried again later is tried again at once."""

    def tamper(self, job: Job) -> Job:
        """Due since for ever."""
        return replace(job, due=EPOCH) if job.state == "waiting" else job


class TakesTheLeasedForWaiting(MemoryStore):
    """A key that is being worked on swallows what is enqueued meanwhile."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        leased = {id: queued for id, queued in self._state.jobs.items() if queued.job.state == "leased"}
        if not _has(operations, Enqueue):
            return super().batch(operations, scope=scope, actor=actor, why=why)
        for id, queued in leased.items():
            self._state.jobs[id] = queued._replace(job=replace(queued.job, state="waiting"))
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        self._state.jobs |= leased
        return outcome


class LastInFirstOut(MemoryStore):
    """The queue is a stack."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if len(operations) != 1 or not isinstance(operations[0], Lease):
            return super().batch(operations, scope=scope, actor=actor, why=why)
        kept = self._state.copy()
        every = super().batch([replace(operations[0], limit=1000)], scope=scope)
        taken = every.results[0][::-1][: operations[0].limit]
        kept.jobs |= {job.id: self._state.jobs[job.id] for job in taken}
        self._state = kept
        return replace(every, results=(tuple(taken),))


@dataclass(frozen=True, slots=True)
class _Everybody(Scope):
    """Covers every scope."""

    def covers(self, other: Scope) -> bool:
        return True


class OneQueueForAll(MemoryStore):
    """Jobs belong to nobody: whoever asks gets whatever waits."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if len(operations) == 1 and isinstance(operations[0], Lease):
            scope = _Everybody(**dict(scope.items()))
        return super().batch(operations, scope=scope, actor=actor, why=why)


class ForgetsTheTimeOfWork(MemoryStore):
    """Only journaled batches are remembered to have happened: jobs of other batches lie in the future."""

    def _moment(self, state: State) -> Any:
        state.worked = None
        return super()._moment(state)


class KeepsErrorsOfErased(MemoryStore):
    """Erasing reaches the records and not what workers said about them."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        errors = {id: queued.job.error for id, queued in self._state.jobs.items()}
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if _has(operations, Erase):
            for id, queued in self._state.jobs.items():
                self._state.jobs[id] = queued._replace(job=replace(queued.job, error=errors[id]))
        return outcome


class KeepsPayloadsOfErased(MemoryStore):
    """Erasing leaves the ids of what it erased in the outbox."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        payloads = {id: queued.payload for id, queued in self._state.jobs.items()}
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if _has(operations, Erase):
            for id, queued in self._state.jobs.items():
                self._state.jobs[id] = queued._replace(payload=payloads[id])
        return outcome


class ForgetsWhereRestoredRecordsComeFrom(MemoryStore):
    """A restored version is trusted like something new."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        for id in (operation.id for operation in operations if isinstance(operation, Restore)):
            *earlier, last = self._state.records[id]
            fresh = replace(last, record=replace(last.record, origin=None, trust=1.0))
            self._state.records[id] = (*earlier, fresh)
        return outcome


class KeepsDerivedThatHasOtherSources(MemoryStore):
    """A summary of ten turns outlives the erasure of one of them, with its words."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        origins = {}
        if _has(operations, Erase):
            for id, versions in self._state.records.items():
                origins[id] = [version.record.origin for version in versions]
                bare = [replace(version, record=replace(version.record, origin=None)) for version in versions]
                self._state.records[id] = tuple(bare)
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        for id in origins.keys() & self._state.records.keys():
            versions, old = self._state.records[id], origins[id][-len(self._state.records[id]) :]
            named = [
                replace(version, record=replace(version.record, origin=origin))
                for version, origin in zip(versions, old, strict=True)
            ]
            self._state.records[id] = tuple(named)
        return outcome


class ForgetsWhatToDeriveFrom(MemoryStore):
    """A receipt that does not tell what has lost its facts without need."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        results = tuple(
            replace(result, again=()) if isinstance(operation, Erase) else result
            for operation, result in zip(operations, outcome.results, strict=True)
        )
        return replace(outcome, results=results)


class CountsTheDerivedToo(Rewritten):
    """Whether derived records are wanted is asked of Find alone."""

    def rewrite(self, operation: Any) -> Any:
        """Without `derived`."""
        return replace(operation, derived=None) if isinstance(operation, Count) else operation


class DatesAdoptedRecordsToday(Rewritten):
    """An import that loses when things were learnt."""

    def rewrite(self, operation: Any) -> Any:
        """With the newest version alone, as if it were written first now."""
        if isinstance(operation, Adopt):
            newest = replace(operation.versions[-1], version=1)
            return replace(operation, versions=(newest,), terms=operation.terms[-1:], vectors=operation.vectors[-1:])
        return operation


class ShowsOnlyWhatHolds(Rewritten):
    """What is over is left out, also when it is asked for."""

    def rewrite(self, operation: Any) -> Any:
        """Without what is over."""
        return replace(operation, closed=False) if isinstance(operation, Find) else operation


class HidesByStateAlone(MemoryStore):
    """Quarantine is forgotten where indexes look."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        results = tuple(
            replace(result, hidden=np.zeros_like(result.hidden)) if isinstance(operation, Scan) else result
            for operation, result in zip(operations, outcome.results, strict=True)
        )
        return replace(outcome, results=results)


def drops_leases(store: Any) -> MemoryStore:
    """A restart after which nobody holds anything."""
    again = remembers(store)
    for id, queued in again._state.jobs.items():
        if queued.job.state == "leased":
            idle = replace(queued.job, state="waiting", worker=None, leased_until=None)
            again._state.jobs[id] = queued._replace(job=idle)
    return again


WORKING_ADVERSARIES: tuple[tuple[StoreFactory, Reopen | None, str], ...] = (
    (ForgetsWhereRestoredRecordsComeFrom, None, "S36"),
    (DatesAdoptedRecordsToday, None, "S37"),
    (ShowsOnlyWhatHolds, None, "S51"),
    (HidesByStateAlone, None, "S52"),
    (CountsTheDerivedToo, None, "S53"),
    (KeepsDerivedThatHasOtherSources, None, "S73"),
    (ForgetsWhatToDeriveFrom, None, "S73"),
    (EnqueuesOutsideTheTransaction, None, "S80"),
    (NamesNoEarlyChange, None, "S80"),
    (LeasesTwice, None, "S81"),
    (CountsNoAttempts, None, "S81"),
    (LeasesForEver, None, "S82"),
    (ForgivesLateWorkers, None, "S82"),
    (SettlesForAnyone, None, "S82"),
    (SettlesForAnyone, None, "S83"),
    (SettlesAfterwards, None, "S83"),
    (IgnoresDueTimes, None, "S84"),
    (TakesTheLeasedForWaiting, None, "S85"),
    (LastInFirstOut, None, "S86"),
    (OneQueueForAll, None, "S87"),
    (ForgetsTheTimeOfWork, None, "S89"),
    (KeepsErrorsOfErased, None, "S90"),
    (KeepsPayloadsOfErased, None, "S90"),
    (MemoryStore, drops_leases, "S92"),
)

__all__ = ["WORKING_ADVERSARIES"]
