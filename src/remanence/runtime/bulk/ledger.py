"""How far bulk work came, kept in the store: a job for each part that is left, and a line that the work was planned.

The jobs of a run are held by all of its drivers and workers under one name, for days. A part's writes and the end of
its job are one transaction, so the part is there once or not at all, however often somebody was at it; whoever comes
later goes on with the jobs that are left. A part that failed is a dead job, which the next run tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from remanence.core.errors import Conflict, StoreUncertain
from remanence.core.ids import os_bits
from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.outbox import LEDGER
from remanence.substrates.records.operations import (
    Changes,
    Discard,
    Enqueue,
    Job,
    Jobs,
    JournalEntry,
    Lease,
    Operation,
    Outcome,
    Renew,
    Requeue,
    Settle,
)

__all__ = ["REBUILD", "Run", "begin", "commit", "drop", "end", "failures", "left", "written"]

REBUILD: Final = "rebuild-"
"""What the names of runs that rebuild begin with."""
HOLD: Final = 7 * 86400.0
"""Seconds for which a run holds its parts; whoever goes on with the run holds them anew."""
_KEPT: Final = datetime(9999, 1, 1, tzinfo=UTC)
_ALL: Final = 10_000_000
_TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Run:
    """One run in one place. `plan` is what its first driver wrote down; `line` the job that says so."""

    place: Scope
    line: str
    plan: Mapping[str, Any]
    fresh: bool
    """Whether this driver planned it."""
    driver: str = ""
    """Tells what this driver and its workers write from what others write of the same run."""

    @property
    def name(self) -> str:
        """Kind of the jobs of its parts, and the worker that holds them."""
        return f"bulk:{self.plan['run']}:{self.plan['by']}"


def begin(
    engine: Engine, place: Scope, run: str, plan: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], *, again: bool
) -> Run:
    """Plan a run, or go on with one of this name; `again`: anew, if the one before is complete.

    Of drivers that plan at the same time one is heard: the line has a key, and names its planner.
    """
    known = _line(engine, place, run)
    if known is not None and again and not _jobs(engine, known):
        engine.write([Discard((known.line,))], place)
        known = None
    if known is None:
        by = f"{os_bits(48):012x}"
        full = {**plan, "run": run, "by": by, "parts": len(parts)}
        mine = Run(place, "", full, True)
        operations: list[Operation] = [Enqueue(LEDGER, full, run, _KEPT)]
        operations += [Enqueue(mine.name, {**part, "part": number}) for number, part in enumerate(parts)]
        created = engine.write(operations, place).results[1:]
        known = _line(engine, place, run)
        if known is None or known.plan["by"] != by:
            engine.write([Discard(tuple(created))], place)
        else:
            known = Run(place, known.line, known.plan, True)
    if known is None:
        raise Conflict(f"the plan of {run} in {place} was removed by somebody else; try again")
    _hold(engine, known)
    return replace(known, driver=f"{os_bits(48):012x}")


def left(engine: Engine, run: Run) -> dict[int, Job]:
    """The parts that are still to be done, by number."""
    return {int(job.payload["part"]): job for job in _jobs(engine, run) if job.state != "dead"}


def failures(engine: Engine, run: Run) -> list[Job]:
    """The parts that failed, in part or altogether."""
    return [job for job in _jobs(engine, run) if job.state == "dead"]


def commit(
    engine: Engine, run: Run, job: Job, operations: Sequence[Operation], *, failed: str = "", only: Sequence[int] = ()
) -> Outcome | None:
    """Write what a part is about and end its job, in one transaction; None when that was done before.

    `failed` sets the job aside with its payload; of the part is left what stands at the places `only`, or all of it.
    """
    payload = {**job.payload, "only": list(only)} if only else job.payload
    settle = Settle(job.id, run.name, "dead", failed, payload=payload) if failed else Settle(job.id, run.name)
    lost: Exception | None = None
    for _ in range(_TRIES):
        try:
            return engine.write([*operations, settle], run.place, why=_why(run, job))
        except StoreUncertain as error:
            lost = error
        except Conflict as error:
            lost = error
            if all(other.id != job.id for other in _jobs(engine, run) if other.state != "dead"):
                return None
            _hold(engine, run)
    raise Conflict(f"part {job.payload['part']} of {run.plan['run']} cannot be ended: {lost}") from lost


def written(engine: Engine, run: Run, jobs: Sequence[Job], since: int) -> dict[str, list[JournalEntry]]:
    """What this driver's workers wrote of some parts after a position of the journal, by change.

    A worker may have died after its commit, so that nobody was told; the journal knows.
    """
    wanted = {_why(run, job) for job in jobs}
    found: dict[str, list[JournalEntry]] = {}
    entries: Sequence[JournalEntry]
    (entries,) = engine.read([Changes(since=since)], run.place)
    for entry in entries:
        if entry.why in wanted:
            found.setdefault(entry.change, []).append(entry)
    return found


def end(engine: Engine, run: Run) -> None:
    """Forget a run that is complete, so that the next one of its name begins anew."""
    engine.write([Discard((run.line,))], run.place)


def drop(engine: Engine, place: Scope, runs: str, but: str = "") -> None:
    """Give up what was planned in a place under names that begin with `runs`, except for one: other work undoes it."""
    for run in _lines(engine, place):
        if run.plan["run"].startswith(runs) and run.plan["run"] != but:
            for job in _jobs(engine, run):
                if job.state == "leased":
                    engine.write([Settle(job.id, run.name)], place)
            waiting = [job.id for job in _jobs(engine, run)]
            engine.write([Discard((run.line, *waiting))], place)


def _why(run: Run, job: Job) -> str:
    return f"{run.plan['run']}, part {job.payload['part']}, by {run.driver}"


def _lines(engine: Engine, place: Scope) -> list[Run]:
    (jobs,) = engine.read([Jobs(kinds=(LEDGER,), limit=_ALL)], place)
    return [Run(place, job.id, job.payload, False) for job in jobs if job.scope == place]


def _line(engine: Engine, place: Scope, run: str) -> Run | None:
    return next((line for line in _lines(engine, place) if line.plan["run"] == run), None)


def _jobs(engine: Engine, run: Run) -> Sequence[Job]:
    found: Sequence[Job]
    (found,) = engine.read([Jobs(kinds=(run.name,), limit=_ALL)], run.place)
    return found


def _hold(engine: Engine, run: Run) -> None:
    """Hold all parts that are left, those that failed among them."""
    jobs = _jobs(engine, run)
    dead = tuple(job.id for job in jobs if job.state == "dead")
    held = tuple(job.id for job in jobs if job.state == "leased")
    operations: list[Operation] = [Requeue(dead)] if dead else []
    operations += [Renew(run.name, held, HOLD)] if held else []
    if jobs:
        engine.write([*operations, Lease(run.name, (run.name,), _ALL, HOLD)], run.place)
