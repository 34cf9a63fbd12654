"""Dropping everything that was derived, and deriving it again from what was said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from remanence.core.errors import Conflict, NotFound
from remanence.core.scope import Scope
from remanence.runtime.adding import Progress
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment import registry
from remanence.runtime.files import batched
from remanence.runtime.outbox import ENRICH, WORKER
from remanence.runtime.working import drain
from remanence.substrates.records.model import DERIVED, Record, View, is_derived
from remanence.substrates.records.operations import (
    NEVER,
    Changes,
    Columns,
    Enqueue,
    Erase,
    Find,
    Job,
    Jobs,
    JournalEntry,
    Operation,
    Scan,
)

__all__ = ["rebuild_derived"]

_PAGE: Final = 1000
_ATTEMPTS: Final = 10
_PAUSE: Final = 0.05
_REASON: Final = "derived anew"


def rebuild_derived(
    engine: Engine, scope: Scope, progress: Progress | None = None, *, ahead: Callable[[], object] | None = None
) -> int:
    """Drop what was derived in a scope and derive it anew from the raw records; from how many.

    `ahead` is called once the work is noted down, and may get others to do of it what they can.

    The content is the same again, ids and system times aside. Others may go on writing, and working on jobs: what is
    dropped and the jobs that bring it back are one transaction, so a crash leaves work to do and no gap.

    What stays: what a model was paid for (of a `Later`), what a user closed, and what raw records name as sources,
    since a conclusion would go with its premises. Handlers find these and build on them.

    Errors: `StoreError`; the rest of the work stays in the outbox.
    """
    jobs, total = _begin(engine, scope)
    if ahead is not None:
        ahead()
    done = 0

    def count(turns: int) -> None:
        if progress is not None:
            progress(min(done + turns, total), total)

    while _unfinished(engine, scope, jobs):
        report = drain(engine, scope, on_turns=count)
        done += report["turns"]
        if not report["done"]:
            # Some other worker has them.
            time.sleep(_PAUSE)
    engine.indexes.clear()
    return total


def _begin(engine: Engine, scope: Scope) -> tuple[list[str], int]:
    """Drop what is derived and enqueue what makes it anew; the jobs, and the number of raw records."""
    for _ in range(_ATTEMPTS):
        columns: Columns
        (columns,) = engine.read([Scan()], scope)
        newest: dict[str, int] = {}
        for row, id in enumerate(columns.ids):
            if id not in newest or columns.versions[row] > columns.versions[newest[id]]:
                newest[id] = row
        raw = [row for row in newest.values() if not is_derived(columns.origins[row])]
        leaves = [columns.scopes[place] for place in np.unique(columns.scope_of[raw]).tolist()] if raw else []
        stay = _cited(engine, scope) | _closed_by_users(engine, scope, columns, newest)
        kept = {f"{DERIVED}{name}" for name in registry.laters()}
        gone = [
            id
            for id, row in newest.items()
            if is_derived(columns.origins[row]) and columns.origins[row] not in kept and id not in stay
        ]
        operations: list[Operation] = [Erase(tuple(gone), _REASON)] if gone else []
        operations += [Enqueue(ENRICH, payload={"all": True}, scope=leaf) for leaf in leaves]
        if not operations:
            return [], 0
        try:
            results = engine.store.batch(operations, scope=scope, actor=WORKER, why=_REASON).results
        except NotFound:
            # One of them was erased since they were listed.
            continue
        engine.indexes.clear()
        return list(results[len(operations) - len(leaves) :]), len(raw)
    raise Conflict(f"what is derived in {scope} was erased by others {_ATTEMPTS} times in a row; try again")


def _cited(engine: Engine, scope: Scope) -> set[str]:
    """Ids that raw records name as sources."""
    found: set[str] = set()
    after: str | None = None
    while True:
        page: Sequence[Record]
        (page,) = engine.read([Find(View(engine.now()), limit=_PAGE, after=after, closed=True)], scope)
        found.update(source.id for record in page if not record.derived for source in record.sources)
        if len(page) < _PAGE:
            return found
        after = page[-1].id


def _closed_by_users(engine: Engine, scope: Scope, columns: Columns, newest: dict[str, int]) -> set[str]:
    """Ids of derived records that somebody else than a worker has closed."""
    closed = [id for id, row in newest.items() if is_derived(columns.origins[row]) and columns.closed_at[row] != NEVER]
    found: set[str] = set()
    for ids in batched(closed, _PAGE):
        histories: Sequence[Sequence[JournalEntry]] = engine.read([Changes(id=id) for id in ids], scope)
        found.update(id for id, entries in zip(ids, histories, strict=True) if entries and entries[-1].actor != WORKER)
    return found


def _unfinished(engine: Engine, scope: Scope, jobs: Sequence[str]) -> bool:
    """Whether one of the jobs still waits, or is being worked on."""
    if not jobs:
        return False
    left = set(jobs)
    after: str | None = None
    while True:
        page: Sequence[Job]
        (page,) = engine.read([Jobs(("waiting", "leased"), (ENRICH,), _PAGE, after)], scope)
        if any(job.id in left for job in page):
            return True
        if len(page) < _PAGE:
            return False
        after = page[-1].id
