"""Doing the jobs of the outbox: lease them, derive what follows, write it together with the end of the jobs.

The writes of a job and its end are one transaction, so whatever happens to a worker, a job's effects are there once or
not at all. Jobs of one home scope (see `home_of`) are worked on by one worker at a time, so what a handler has read is
still so when its writes arrive; the store's leases see to that, between threads and between processes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

from remanence.core.errors import BudgetExceeded, Conflict, InvalidInput, LLMUnavailable, NotFound, StoreError
from remanence.core.ids import RandomBits, UlidFactory, os_bits
from remanence.core.scope import Scope
from remanence.runtime.adding import derive
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment import registry
from remanence.runtime.enrichment.handler import Batch, Handler, Later, home_of
from remanence.runtime.gathering import Portion, batch_of, portions, scattered
from remanence.runtime.outbox import ENRICH, WORKER
from remanence.runtime.tries import Tries
from remanence.substrates.records.model import DERIVED, Draft
from remanence.substrates.records.operations import (
    Enqueue,
    Job,
    Jobs,
    Lease,
    Operation,
    Put,
    Renew,
    Revise,
    Settle,
    WriteOperation,
)

__all__ = ["LEASE", "Shift", "Tally", "WorkReport", "drain"]

LEASE: Final = 60.0
"""Seconds for which jobs are held; they are renewed while their worker lives, and others' to take when it died."""
LONGEST: Final = 600.0
"""Seconds after which nobody believes any more that a worker gets on with what it holds."""
JOBS_PER_LEASE: Final = 64
TURNS_PER_STEP: Final = 500
MOST_FAILURES: Final = 8
"""Attempts that may fail before a job is dead."""
MOST_LOSSES: Final = 16
"""Workers that may die over a job before it is dead. They may have died of something else, hence more."""
_SUSPICIOUS: Final = 2
"""Workers that died over a job before it is taken alone."""
_BACKOFF: Final = 2.0
_LONGEST_BACKOFF: Final = 3600.0
_ANEW: Final = 4
"""How often a job is worked out anew because somebody changed meanwhile what it had read."""
_LEASED: Final = Jobs(states=("leased",), limit=1000)
_PLACES: Final = 100
_PATIENCE: Final = 0.02
_SHOWN: Final = 200
"""Characters of an error that are kept."""


class WorkReport(TypedDict):
    """What was done with jobs. `left`: whether something that is due had to be left, for want of time."""

    done: int
    retried: int
    dead: int
    lost: int
    turns: int
    seconds: float
    left: bool


@dataclass(slots=True)
class Tally:
    """What became of jobs: ended, put off after an error, set aside as dead, or done by somebody else in the end."""

    done: int = 0
    retried: int = 0
    dead: int = 0
    lost: int = 0
    turns: int = 0
    errors: list[str] = field(default_factory=list)


def never() -> bool:
    """Work is not to stop."""
    return False


class Shift:
    """One worker at work on one store. For one thread at a time.

    `handlers` and `laters` replace those that the registry finds; `random_bits` spreads the times of retries.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        handlers: Sequence[Handler] | None = None,
        laters: Mapping[str, Later] | None = None,
        random_bits: RandomBits = os_bits,
        lease: float = LEASE,
        most_jobs: int = JOBS_PER_LEASE,
        most_turns: int = TURNS_PER_STEP,
    ) -> None:
        self.name = f"{os.getpid()}-{UlidFactory(engine.now, random_bits)()}"
        self.tally = Tally()
        self.blocked = False
        """Whether the last step met a home scope that another worker is busy with."""
        self._engine = engine
        self._handlers = registry.handlers() if handlers is None else registry.ordered(handlers)
        self._laters = registry.laters() if laters is None else dict(laters)
        self._random_bits = random_bits
        self._lease = lease
        self._span = timedelta(seconds=lease)
        self._most_jobs = most_jobs
        self._most_turns = most_turns
        self._held: dict[str, Job] = {}

    def step(self, scope: Scope | None = None, stop: Callable[[], bool] = never, most: int | None = None) -> bool:
        """Take some due jobs of a scope, or of the whole store, and work on them; whether there were any to work on.

        `stop` is asked between portions; jobs that were taken and not begun go back. `most`: jobs to take at once.
        Errors: `StoreError` when the store cannot be read or written; the jobs stay.
        """
        self.blocked = False
        worked = False
        for home in dict.fromkeys(home_of(place) for place in self.waiting(scope)):
            if worked and stop():
                break
            worked = (
                self._work_on(home, stop, self._most_jobs if most is None else min(most, self._most_jobs)) or worked
            )
            if most is not None and worked:
                break
        return worked

    def _kinds(self) -> tuple[str, ...]:
        own = [f"{ENRICH}:{handler.name}" for handler in self._handlers]
        later = [f"{ENRICH}:{name}" for name, one in self._laters.items() if one.wanted(self._engine)]
        return (ENRICH, *own, *later)

    def waiting(self, scope: Scope | None = None) -> list[Scope]:
        """Leaf scopes with jobs that this worker could take now, within a scope or anywhere; not all if many."""
        kinds = self._kinds()
        places = self._engine.store.due(_PLACES, kinds)
        if scope is None:
            return places
        mine = [place for place in places if scope.covers(place)]
        if mine or len(places) < _PLACES:
            return mine
        found: Sequence[Job]
        (found,) = self._read([Jobs(("waiting", "leased"), kinds, limit=1000)], scope)
        now = self._engine.now()
        return [job.scope for job in found if (job.leased_until or job.due) <= now]

    def _work_on(self, home: Scope, stop: Callable[[], bool], most: int) -> bool:
        # Looking first keeps two workers from taking what they would have to give back.
        (others,) = self._read([_LEASED], home)
        if home in self._busy(others, self._engine.now()):
            self.blocked = True
            return False
        taking = Lease(self.name, self._kinds(), most, self._lease)
        taken: Sequence[Job]
        taken, leased = self._store([taking, _LEASED], home)
        if not taken:
            return False
        self._held = {job.id: job for job in taken}
        # The scope of a home may cover other homes (a user's agents); each is left alone if somebody else works there.
        busy = self._busy(leased, max(job.leased_until for job in taken if job.leased_until) - self._span)
        try:
            with self._keeping(home):
                for job in [job for job in taken if home_of(job.scope) in busy]:
                    self.blocked = True
                    self._give_back([job], home)
                self._isolate_suspects(home)
                for number, (leaf, kind, jobs) in enumerate(self._groups()):
                    if number and stop():
                        break
                    self._group(leaf, kind, jobs, home, stop)
        finally:
            self._give_back(list(self._held.values()), home)
        return not all(home_of(job.scope) in busy for job in taken)

    def _busy(self, leased: Sequence[Job], now: datetime) -> set[Scope]:
        """Home scopes in which other workers hold jobs. A lease that ran out is none: its worker can end nothing."""
        return {
            home_of(job.scope)
            for job in leased
            if job.worker != self.name and job.leased_until is not None and job.leased_until > now
        }

    def _isolate_suspects(self, home: Scope) -> None:
        """A job over which workers died is worked on alone, so that no others are blamed; in the end it is dead."""
        for job in list(self._held.values()):
            losses = Tries.of(job).losses(job)
            if losses >= MOST_LOSSES:
                self._end(job, home, "dead", f"{losses} workers ended while they were at it")
        worst = max(self._held.values(), key=lambda job: Tries.of(job).losses(job), default=None)
        if worst is not None and Tries.of(worst).losses(worst) >= _SUSPICIOUS:
            self._give_back([job for job in self._held.values() if job is not worst], home)

    def _groups(self) -> list[tuple[Scope, str, list[Job]]]:
        groups: dict[tuple[Scope, str], list[Job]] = {}
        for job in self._held.values():
            groups.setdefault((job.scope, job.kind), []).append(job)
        return [(leaf, kind, jobs) for (leaf, kind), jobs in groups.items()]

    def _group(self, leaf: Scope, kind: str, jobs: list[Job], home: Scope, stop: Callable[[], bool]) -> None:
        wide = [job for job in jobs if job.payload.get("wide")]
        later = self._laters.get(kind.partition(":")[2])
        try:
            if later is not None:
                for job in jobs:
                    self._refine(later, job, home)
                return
            for job in wide:
                self._finish([job], scattered(self._engine, job), home)
            rest = [job for job in jobs if job not in wide]
            for number, portion in enumerate(portions(self._engine, leaf, rest, self._most_turns)):
                if number and stop():
                    return
                self._portion(leaf, kind, portion, home)
        except StoreError:
            raise
        except Exception as error:
            left = [job for job in jobs if job.id in self._held]
            if len(left) == 1:
                self._fail(left[0], error, home)
            else:
                for job in left:
                    self._group(leaf, kind, [job], home, stop)

    def _portion(self, leaf: Scope, kind: str, portion: Portion, home: Scope) -> None:
        only = kind.partition(":")[2]
        handlers = [handler for handler in self._handlers if only in ("", handler.name)]
        for attempt in range(_ANEW):
            batch = batch_of(self._engine, leaf, portion)
            made, failures = self._derive(handlers, batch)
            if only and failures:
                raise failures[only]
            operations = [operation for some in made.values() for operation in some]
            follow: list[Operation] = [
                Enqueue(f"{ENRICH}:{name}", payload=portion.payload, due=self._later(1), scope=leaf)
                for name in failures
            ]
            if only:
                # What rests on this handler's records has not seen them yet.
                behind = [handler.name for handler in self._handlers if only in handler.after and operations]
                follow += [Enqueue(f"{ENRICH}:{name}", payload=portion.payload, scope=leaf) for name in behind]
            elif batch.turns and portion.rest is None:
                follow += [
                    Enqueue(f"{ENRICH}:{name}", key=name, due=batch.now + later.pause, scope=leaf)
                    for name, later in self._laters.items()
                    if later.wanted(self._engine)
                ]
            try:
                self._finish(portion.jobs, [*operations, *follow], home, portion.rest, why=kind)
            except (Conflict, NotFound) as error:
                # Somebody changed what was read, or somebody else has taken the jobs over.
                if not self._still_held(portion.jobs, home):
                    return
                if attempt + 1 == _ANEW:
                    self._divide(leaf, portion, made, error, home, only)
            except InvalidInput as error:
                self._divide(leaf, portion, made, error, home, only)
                return
            else:
                self.tally.turns += len(batch.turns)
                self.tally.errors += [f"{name}: {_words(error)}" for name, error in failures.items()]
                return

    def _derive(
        self, handlers: Sequence[Handler], batch: Batch
    ) -> tuple[dict[str, list[WriteOperation]], dict[str, Exception]]:
        """What each handler wants written, and the errors of those that could not say."""
        made: dict[str, list[WriteOperation]] = {}
        failures: dict[str, Exception] = {}
        for handler in handlers:
            batch.handler = handler.name
            try:
                operations = handler.derive(batch)
                _check(handler.name, operations)
            except StoreError:
                raise
            except Exception as error:
                failures[handler.name] = error
            else:
                batch.planned += operations
                made[handler.name] = operations
        return self._with_terms(made, batch.scope), failures

    def _with_terms(self, made: Mapping[str, list[WriteOperation]], leaf: Scope) -> dict[str, list[WriteOperation]]:
        """Attach terms and vectors to all drafts, in one go."""
        bare = [_draft_of(operation) for some in made.values() for operation in some]
        drafts = [draft for draft in bare if draft is not None]
        if not drafts:
            return dict(made)
        ready = iter(derive(self._engine, drafts, leaf)[0])
        result: dict[str, list[WriteOperation]] = {}
        for name, some in made.items():
            result[name] = []
            for operation in some:
                if isinstance(operation, Put | Revise):
                    draft = next(ready)
                    if draft.vector is None:
                        self._engine.note_unembedded([draft.scope or leaf])
                    operation = replace(operation, draft=draft)
                result[name].append(operation)
        return result

    def _divide(
        self,
        leaf: Scope,
        portion: Portion,
        made: Mapping[str, list[WriteOperation]],
        error: Exception,
        home: Scope,
        only: str,
    ) -> None:
        """The store refuses what several handlers want: each gets a job of its own, so that one does not stop all."""
        names = [name for name, operations in made.items() if operations]
        if only or not names:
            raise error
        each = [Enqueue(f"{ENRICH}:{name}", payload=portion.payload, scope=leaf) for name in names]
        self._finish(portion.jobs, each, home, portion.rest)
        self.tally.errors.append(_words(error))

    def _refine(self, later: Later, job: Job, home: Scope) -> None:
        """Work on a job of a `Later`. Errors are the job's, not those of other jobs."""
        try:
            for attempt in range(_ANEW):
                batch = batch_of(self._engine, job.scope, Portion([job]))
                batch.handler = later.name
                refined = later.refine(batch)
                made = list(refined.operations)
                _check(later.name, made)
                operations: list[Operation] = [*self._with_terms({later.name: made}, job.scope)[later.name]]
                if refined.more:
                    operations.append(Enqueue(job.kind, key=later.name, scope=job.scope))
                try:
                    self._finish([job], operations, home, why=job.kind)
                except (Conflict, NotFound):
                    if not self._still_held([job], home):
                        return
                    if attempt + 1 == _ANEW:
                        raise
                else:
                    return
        except StoreError:
            raise
        except Exception as error:
            self._fail(job, error, home)

    def _finish(
        self,
        jobs: Sequence[Job],
        operations: Sequence[Operation],
        home: Scope,
        rest: Mapping[str, Any] | None = None,
        why: str = "",
    ) -> None:
        """Write, and end the jobs or note how far they came, in one transaction. Raises `Conflict` as `Settle` does."""
        settles = [
            Settle(job.id, self.name)
            if rest is None
            else Settle(job.id, self.name, "retry", payload={**job.payload, **rest, **Tries(job.attempts).payload})
            for job in jobs
        ]
        outcome = self._engine.store.batch([*operations, *settles], scope=home, actor=WORKER, why=why)
        self._engine.saw(outcome.results)
        for job in jobs:
            self._held.pop(job.id, None)
        self.tally.done += len(jobs) if rest is None else 0

    def _fail(self, job: Job, error: Exception, home: Scope) -> None:
        """Put a job off, or set it aside if that has happened too often."""
        tries = Tries.of(job)
        now = self._engine.now()
        match error:
            case BudgetExceeded():
                due, tries = error.until or self._later(MOST_FAILURES), tries.excused()
            case LLMUnavailable():
                # A service may be down for a day; that is nothing to say against the job.
                pause = self._later(job.attempts)
                due = max(pause, now + timedelta(seconds=error.retry_after or 0))
                tries = tries.excused()
            case _:
                tries = tries.failing()
                due = self._later(tries.failed)
        words = _words(error)
        self.tally.errors.append(f"{job.kind}: {words}")
        if tries.failed >= MOST_FAILURES:
            self._end(job, home, "dead", words, tries=tries)
        else:
            self._end(job, home, "retry", words, due, tries)

    def _end(
        self,
        job: Job,
        home: Scope,
        outcome: Any,
        error: str = "",
        due: datetime | None = None,
        tries: Tries | None = None,
    ) -> None:
        payload = None if tries is None else {**job.payload, **tries.payload}
        try:
            self._store([Settle(job.id, self.name, outcome, error, due, payload)], home)
        except Conflict:
            self.tally.lost += 1
        else:
            self.tally.dead += outcome == "dead"
            self.tally.retried += outcome == "retry" and error != ""
        self._held.pop(job.id, None)

    def _give_back(self, jobs: Sequence[Job], home: Scope) -> None:
        """Let others take what was taken and not begun; it does not count as an attempt."""
        if not jobs:
            return
        payloads = [{**job.payload, **Tries.of(job).excused().payload} for job in jobs]
        settles = [
            Settle(job.id, self.name, "retry", job.error, payload=payload)
            for job, payload in zip(jobs, payloads, strict=True)
        ]
        try:
            self._store(settles, home)
        except Conflict:
            if len(jobs) > 1:
                for job in jobs:
                    self._give_back([job], home)
                return
            self.tally.lost += 1
        for job in jobs:
            self._held.pop(job.id, None)

    def _still_held(self, jobs: Sequence[Job], home: Scope) -> bool:
        """Whether all jobs are still this worker's; those that are not are counted as done by others."""
        (held,) = self._store([Renew(self.name, tuple(job.id for job in jobs), self._lease)], home)
        gone = [job for job in jobs if job.id not in held]
        for job in gone:
            self._held.pop(job.id, None)
        self.tally.lost += len(gone)
        return not gone

    @contextmanager
    def _keeping(self, home: Scope) -> Iterator[None]:
        """Renew the leases now and then while the block runs, but not for ever: a handler may hang."""
        over = threading.Event()
        beats = int(LONGEST / self._lease * 3)

        def renew() -> None:
            for _ in range(beats):
                if over.wait(self._lease / 3):
                    return
                try:
                    self._store([Renew(self.name, tuple(self._held), self._lease)], home)
                except StoreError as error:
                    # The next beat tries again; if none gets through, the end of the job will be refused.
                    self.tally.errors.append(_words(error))

        beat = threading.Timer(self._lease / 3, renew)
        beat.daemon = True
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.cancel()

    def _later(self, failures: int) -> datetime:
        """When to try again: exponentially later, and not when all others do."""
        pause = min(_LONGEST_BACKOFF, _BACKOFF * 2.0 ** min(failures - 1, 20))
        spread = 0.5 + self._random_bits(32) / 2**33
        return self._engine.now() + timedelta(seconds=pause * spread)

    def _read(self, operations: Sequence[Operation], scope: Scope) -> tuple[Any, ...]:
        return self._engine.store.batch(operations, scope=scope).results

    def _store(self, operations: Sequence[Operation], scope: Scope) -> tuple[Any, ...]:
        return self._engine.store.batch(operations, scope=scope, actor=WORKER).results


def drain(
    engine: Engine,
    scope: Scope | None = None,
    *,
    seconds: float | None = None,
    limit: int | None = None,
    on_turns: Callable[[int], None] | None = None,
) -> WorkReport:
    """Do what is due, here and now, in a scope or in the whole store.

    Args:
        engine: whose store, embedder and clock.
        scope: only jobs that this covers, and those of their home scopes.
        seconds: begin nothing after that long.
        limit: end after about so many jobs.
        on_turns: called with the turns done so far.

    Raises:
        InvalidInput: `seconds` or `limit` cannot be used.
        StoreError: the store cannot be read or written; the jobs stay where they are.

    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"limit={limit!r} must be a whole number of at least 1")
    if seconds is not None and not seconds >= 0:
        raise InvalidInput(f"seconds={seconds!r} must be a number of seconds")
    started = time.monotonic()
    shift = Shift(engine)
    tally = shift.tally
    waited = 0.0

    def out_of_time() -> bool:
        return seconds is not None and time.monotonic() - started >= seconds

    left = False
    with nullcontext() if engine.worker is None else engine.worker.aside(LEASE if seconds is None else seconds):
        while True:
            settled = tally.done + tally.retried + tally.dead
            if out_of_time() or (limit is not None and settled >= limit):
                left = bool(shift.waiting(scope))
                break
            if shift.step(scope, out_of_time, None if limit is None else limit - settled):
                waited = 0.0
                if on_turns is not None:
                    on_turns(tally.turns)
            elif shift.blocked and waited < LEASE * 2:
                # Another worker is at it; when it died, its leases run out.
                waited += _PATIENCE
                time.sleep(_PATIENCE)
            else:
                left = shift.blocked
                break
    return {
        "done": tally.done,
        "retried": tally.retried,
        "dead": tally.dead,
        "lost": tally.lost,
        "turns": tally.turns,
        "seconds": round(time.monotonic() - started, 3),
        "left": left,
    }


def _check(name: str, operations: Sequence[WriteOperation]) -> None:
    """Refuse what would be no derived record of this handler, or would rest on nothing."""
    for operation in operations:
        if not isinstance(operation, Put):
            continue
        draft = operation.draft
        if draft.origin != f"{DERIVED}{name}":
            raise InvalidInput(f"handler {name!r} put a {draft.kind} of origin {draft.origin!r}; use Batch.draft")
        if not draft.sources:
            raise InvalidInput(f"handler {name!r} put a {draft.kind} without sources")


def _draft_of(operation: WriteOperation) -> Draft | None:
    return operation.draft if isinstance(operation, Put | Revise) else None


def _words(error: Exception) -> str:
    """An error in one line, short enough not to carry much of a text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]
