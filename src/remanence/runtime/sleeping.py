"""Sleep: what was said twice becomes one, what was meant for a time ends, what nobody asks for fades, and what comes
back again and again becomes a note. Nothing is overwritten or destroyed; each step is one change that can be undone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.kernels.forgetting import THRESHOLD
from remanence.runtime.adding import derive
from remanence.runtime.arguments import Time, kinds_of, memory_id_of, moment_of
from remanence.runtime.consolidation import Plan, World, merging, noting, repeated
from remanence.runtime.engine import Engine
from remanence.runtime.fading import FORGET, KEEP, Forget, Keep, closing, expiring, fading, waking
from remanence.runtime.hygiene import MERGED_INTO, NOTES, Rewrite, everything, rewrite
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Changes, Edge, Edges, Find, JournalEntry, Operation, Unlink

__all__ = ["activate", "archive", "freeze", "sleep", "unfreeze"]

WHY: Final = "sleep"
_ATTEMPTS: Final = 10
_OFTEN: Final = 2


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    plan: Callable[[World], Plan]


def sleep(
    engine: Engine,
    scope: Scope,
    *,
    dry_run: bool = False,
    duplicates: bool = True,
    ttl: bool = True,
    forget: Forget = "off",
    abstract: bool = True,
    across_runs: bool = True,
    kinds: Sequence[str] | str = ("turn",),
    keep: Keep = "facts",
    scale: float = 30.0,
    threshold: float = THRESHOLD,
    seed: int | None = None,
    archived_days: float = 90.0,
    episodes: int = _OFTEN,
    now: Time | None = None,
) -> dict[str, Any]:
    """Consolidate a scope. Doing it again at the same time changes nothing; `dry_run` tells what it would do.

    Steps, each one change with its own id:

    - "expire": what its metadata gave an end (`ttl`, `expires_at`) gets the state "expired";
    - "merge": what says again what the same voice had said gets the state "merged", a link `merged_into` what stands
      for it, and that one the number of statements as `evidence` in its metadata;
    - "wake": what a search found in the archive gets the state "activated";
    - "archive": what the forgetting curve lets go gets the state "archived";
    - "close": what has been in the archive for `archived_days` is deleted, if `forget` is "close";
    - "note": what was said in several episodes becomes a note that rests on those words.

    What is put away is found by a filter on its state. Frozen memories are left alone, and so are facts and all else
    that workers derive: it follows.

    Args:
        engine: whose store.
        scope: within which.
        dry_run: write nothing.
        duplicates: whether to merge.
        ttl: whether to let expire.
        forget: "archive", "close" (for good after a second period; `undo` still brings it back) or "off".
        abstract: whether to write notes.
        across_runs: whether what was said in one session can repeat what was said in another.
        kinds: kinds of memories that may fade.
        keep: what must not fade: the sources of all "facts", of those "held" now, or of "nothing". The sources of
            instructions, conclusions and notes count with both.
        scale: days that a memory without any use lasts, by the unit of the curve: at 30 half of it is left after 21
            days and a tenth after 69.
        threshold: what is left when it is let go.
        seed: let chance decide, by what is left, instead of the threshold.
        archived_days: how long something stays in the archive before it is closed.
        episodes: in how many episodes something must have been said to become a note.
        now: the time to sleep at; that of the engine's clock if left out.

    Returns:
        `steps` (each with `step`, `count`, `change` and `rows`), `duplicates` (share `before` and `after`, and of
        how many memories), `unread` (what has an end that cannot be read), `dry_run` and `at`.

    Raises:
        InvalidInput: a setting that is none.
        Conflict: others wrote faster than this could plan; the steps that were done are in the journal.

    """
    _check(forget, keep, scale, threshold, archived_days, episodes, seed)
    faders = kinds_of(kinds) or ()
    moment = engine.now() if now is None else moment_of(now) or engine.now()
    engine.flush_uses()
    unread: list[dict[str, Any]] = []

    def expire(world: World) -> Plan:
        plan, unread[:] = expiring(world)
        return plan

    steps: list[_Step] = []
    if ttl:
        steps.append(_Step("expire", expire))
    if duplicates:
        steps.append(_Step("merge", lambda world: merging(world, across_runs=across_runs)))
    if forget != "off":
        steps.append(_Step("wake", waking))
        steps.append(
            _Step(
                "archive",
                lambda world: fading(world, kinds=faders, scale=scale, threshold=threshold, seed=seed, keep=keep),
            )
        )
    if forget == "close":
        steps.append(_Step("close", lambda world: closing(world, after=timedelta(days=archived_days))))
    if abstract:
        steps.append(_Step("note", lambda world: noting(world, episodes=episodes)))

    world = _world(engine, scope, moment)
    before = repeated(world, across_runs=across_runs)
    done = []
    for step in steps:
        plan, change, world = _carried_out(engine, scope, step, world, dry_run=dry_run)
        done.append({"step": step.name, "count": len(plan.rows), "change": change, "rows": plan.rows})
    after = repeated(world, across_runs=across_runs)
    return {
        "dry_run": dry_run,
        "at": moment.isoformat(),
        "steps": done,
        "duplicates": {"before": _share(*before), "after": _share(*after), "memories": before[1]},
        "unread": unread,
    }


def archive(engine: Engine, ids: str | Iterable[str], scope: Scope, *, reason: str = "") -> dict[str, Any]:
    """Put memories into the archive: no search finds them unless it asks for their state. See `_moved`."""
    return _moved(engine, ids, scope, "archived", ("generated", "activated"), reason)


def activate(engine: Engine, ids: str | Iterable[str], scope: Scope, *, reason: str = "") -> dict[str, Any]:
    """Bring memories back that were archived, merged or expired. What was merged stands for itself again."""
    return _moved(engine, ids, scope, "activated", ("archived", "merged", "expired"), reason)


def freeze(engine: Engine, ids: str | Iterable[str], scope: Scope, *, reason: str = "") -> dict[str, Any]:
    """Let no sleep touch memories until `unfreeze`."""
    return _moved(engine, ids, scope, "frozen", ("generated", "activated"), reason)


def unfreeze(engine: Engine, ids: str | Iterable[str], scope: Scope, *, reason: str = "") -> dict[str, Any]:
    """Treat frozen memories as any others again."""
    return _moved(engine, ids, scope, "activated", ("frozen",), reason)


def _moved(
    engine: Engine, ids: str | Iterable[str], scope: Scope, state: str, earlier: Sequence[str], reason: str
) -> dict[str, Any]:
    """Give memories another state, as one change; those that have it already are left alone.

    Returns `results` (ids) and `change`. Raises `NotFound` for ids that are not there, and `InvalidInput` for those in
    a state from which there is no way.
    """
    asked = tuple(dict.fromkeys(map(memory_id_of, (ids,) if isinstance(ids, str) else ids)))
    for _ in range(_ATTEMPTS):
        world = _world(engine, scope, engine.now())
        rewrites, unlinks = [], []
        for id in asked:
            record = world.records.get(id)
            if record is None:
                raise NotFound(f"there is no open memory {id} in this scope")
            if record.state == state:
                continue
            if record.state not in earlier:
                raise InvalidInput(f"memory {id} is {record.state}; only what is {' or '.join(earlier)} can be {state}")
            rewrites.append(Rewrite(record, {"state": state}))
            if id in world.merged:
                unlinks.append(Unlink(Edge(id, world.merged[id], MERGED_INTO)))
        try:
            outcome = rewrite(engine, scope, rewrites, also=unlinks, why=reason)
        except Conflict:
            continue
        moved = [record.id for record, _ in rewrites]
        return {"results": moved, "change": None if outcome is None else outcome.change}
    raise Conflict(f"the memories of {scope} were changed by others {_ATTEMPTS} times in a row; try again")


def _carried_out(
    engine: Engine, scope: Scope, step: _Step, world: World, *, dry_run: bool
) -> tuple[Plan, str | None, World]:
    """The plan of a step, the change that carried it out, and the world after it."""
    for _ in range(_ATTEMPTS):
        plan = step.plan(world)
        if dry_run:
            return plan, None, world.after(plan)
        drafts, _degraded = derive(engine, [draft for _, draft in plan.notes], scope)
        try:
            outcome = rewrite(engine, scope, plan.rewrites, also=plan.others(drafts, world), why=f"{WHY}: {step.name}")
        except Conflict:
            world = _world(engine, scope, world.now)
            continue
        return plan, None if outcome is None else outcome.change, world.after(plan)
    raise Conflict(f"the memories of {scope} were changed by others {_ATTEMPTS} times in a row; try again")


def _world(engine: Engine, scope: Scope, now: datetime) -> World:
    records = everything(engine, scope, now)
    edges: Sequence[Edge]
    notes: Sequence[Record]
    operations: list[Operation] = [
        Edges(types=(MERGED_INTO,)),
        Find(View(now), ("note",), {"origin": NOTES}, None, closed=True),
    ]
    edges, notes = engine.read(operations, scope)
    return World(
        scope,
        {record.id: record for record in records},
        {edge.source: edge.target for edge in edges},
        now,
        _unwanted(engine, scope, [note for note in notes if note.closed_at is not None]),
    )


def _unwanted(engine: Engine, scope: Scope, closed: Sequence[Record]) -> frozenset[str]:
    """Keys of the notes that were closed by somebody else than sleep and undo."""
    if not closed:
        return frozenset()
    journals: Sequence[Sequence[JournalEntry]] = engine.read([Changes(id=note.id) for note in closed], scope)
    return frozenset(
        str(note.meta.get("key"))
        for note, entries in zip(closed, journals, strict=True)
        if entries and not entries[-1].why.startswith((WHY, "undo"))
    )


def _share(some: int, of: int) -> float:
    return round(some / of, 4) if of else 0.0


def _check(
    forget: object, keep: object, scale: object, threshold: object, days: object, episodes: object, seed: object
) -> None:
    if forget not in FORGET:
        raise InvalidInput(f"forget={forget!r} must be one of {', '.join(FORGET)}")
    if keep not in KEEP:
        raise InvalidInput(f"keep={keep!r} must be one of {', '.join(KEEP)}")
    for name, value, most in (("scale", scale, math.inf), ("threshold", threshold, 1.0)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < most:
            raise InvalidInput(f"{name}={value!r} must be a number above 0{'' if most == math.inf else ' and below 1'}")
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days < 1e6:
        raise InvalidInput(f"archived_days={days!r} must be a number of days from 0 up")
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 1:
        raise InvalidInput(f"episodes={episodes!r} must be a whole number from 1 up")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise InvalidInput(f"seed={seed!r} must be a whole number")
