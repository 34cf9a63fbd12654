"""From jobs to what they are about: the records that a change wrote, by leaf scope, in bounded portions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.handler import Batch, around, home_of, newest_versions, speaks
from remanence.runtime.files import batched
from remanence.runtime.outbox import ENRICH, spread
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import (
    Changes,
    Enqueue,
    Find,
    History,
    Job,
    JournalEntry,
    Receipt,
    Receipts,
)

__all__ = ["FOLLOWERS", "Portion", "after_erasure", "batch_of", "portions", "scattered"]

FOLLOWERS: Final = 4
"""Turns behind a changed one that are looked at again, because it may have been the context in which they were read."""
_RECORD_OPS: Final = frozenset(("put", "adopt", "revise", "close", "restore"))
_IDS_PER_JOB: Final = 1000
_MOST_CONTEXTS: Final = 200
"""Erased records whose neighbours are looked at; whoever erases more erases conversations."""


@dataclass(slots=True)
class Portion:
    """Jobs of one kind and leaf scope that are done together, and the records that they are about."""

    jobs: list[Job]
    ids: dict[str, bool] = field(default_factory=dict)
    """Ids, and whether the record existed before the change."""
    rest: Mapping[str, Any] | None = None
    """How far a job has come by this portion, where it has more than one."""

    @property
    def payload(self) -> dict[str, Any]:
        """This portion as the payload of a job of its own."""
        receipt = self.jobs[0].payload
        if "receipt" in receipt:
            return {name: receipt[name] for name in ("receipt", "under")}
        return {"ids": list(self.ids), "altered": [id for id, altered in self.ids.items() if altered]}


def portions(engine: Engine, leaf: Scope, jobs: Sequence[Job], most: int) -> Iterator[Portion]:
    """What jobs of one leaf scope are about, up to `most` records at a time; a job with more comes alone."""
    waiting = Portion([])
    for job, ids in zip(jobs, _about(engine, leaf, jobs, most), strict=True):
        if "receipt" in job.payload:
            yield Portion([job], ids)
            continue
        after = job.payload.get("after", "")
        left = {id: ids[id] for id in sorted(ids) if id > after}
        if waiting.jobs and len(waiting.ids) + len(left) > most:
            yield waiting
            waiting = Portion([])
        if len(left) > most:
            ids = dict(list(left.items())[:most])
            yield Portion([job], ids, {"after": list(ids)[-1]})
        else:
            waiting.jobs.append(job)
            for id, altered in left.items():
                waiting.ids[id] = waiting.ids.get(id, False) or altered
    if waiting.jobs:
        yield waiting


def batch_of(engine: Engine, leaf: Scope, portion: Portion) -> Batch:
    """A portion as handlers see it, from its records' newest versions."""
    records = {record.id: record for record in newest_versions(engine, sorted(portion.ids), leaf)}
    raw = [record for record in records.values() if not record.derived]
    batch = Batch(
        engine=engine,
        scope=leaf,
        home=home_of(leaf),
        turns=(),
        gone=[id for id in portion.ids if id not in records] + [record.id for record in raw if not speaks(record)],
        changed=[record.id for record in records.values() if record.derived],
        now=engine.now(),
    )
    turns = {record.id: record for record in raw if speaks(record)}
    for record in raw:
        if portion.ids[record.id]:
            for follower in batch.following(record, FOLLOWERS):
                turns.setdefault(follower.id, follower)
    batch.admit(turns[id] for id in sorted(turns))
    return batch


def after_erasure(engine: Engine, ids: Sequence[str], scope: Scope) -> list[Enqueue]:
    """The jobs to commit behind the erasure of these ids in one batch. Errors: `NotFound`, as of the erasure.

    What rested on the erased words goes with them. What they had ended, what they were the context of, and what has
    other sources besides is derived anew.
    """
    if not engine.enrich:
        return []
    histories: Sequence[Sequence[Record]] = engine.read([History(id) for id in dict.fromkeys(ids)], scope)
    erased = [versions[-1] for versions in histories if not versions[-1].derived]
    followers: dict[Scope, dict[str, None]] = {}
    for record in erased[:_MOST_CONTEXTS]:
        near = [other.id for other in around(engine, record, FOLLOWERS, newest_first=False)]
        followers.setdefault(record.scope, {}).update(dict.fromkeys(id for id in near if id not in ids))
    follow = [Enqueue(ENRICH, scope=leaf, payload={"ids": list(some)}) for leaf, some in followers.items() if some]
    return [*spread(engine, (home_of(record.scope) for record in erased)), *follow]


def scattered(engine: Engine, job: Job) -> list[Enqueue]:
    """The jobs that a job on a wide scope stands for: one for each leaf scope that its change touched, and those for
    what lost a source to an erasure, or lost what had been derived from it.
    """
    if job.change is None:
        return []
    entries: Sequence[JournalEntry]
    entries, receipts = engine.read([Changes(change=job.change), Receipts()], job.scope)
    leaves = dict.fromkeys(entry.scope for entry in entries if entry.op in _RECORD_OPS)
    found = [Enqueue(ENRICH, scope=leaf, payload={"changes": [job.change]}) for leaf in leaves]
    homes = [Scope(**ids) for ids in job.payload.get("homes", ())]
    # Erased ids stand in the receipt and nowhere else.
    under = {"receipt": job.change, "under": dict(job.scope.items())}
    found += [Enqueue(ENRICH, scope=home, payload=under) for home in homes]
    kept: dict[Scope, list[str]] = {}
    ids = [id for one in receipts if one.id == job.change for id in (*one.kept, *one.again)]
    for record in newest_versions(engine, list(dict.fromkeys(ids)), job.scope):
        kept.setdefault(record.scope, []).append(record.id)
    for leaf, some in kept.items():
        found += [Enqueue(ENRICH, scope=leaf, payload={"ids": part}) for part in batched(some, _IDS_PER_JOB)]
    return found


def _about(engine: Engine, leaf: Scope, jobs: Sequence[Job], most: int) -> Iterator[dict[str, bool]]:
    """For each job, the ids that it is about, and whether the record was altered and not just put there."""
    changes = [_changes(job) for job in jobs]
    wanted = list(dict.fromkeys(change for some in changes for change in some))
    answers = engine.read([Changes(change=change) for change in wanted], leaf) if wanted else ()
    entries: dict[str, Sequence[JournalEntry]] = dict(zip(wanted, answers, strict=True))
    for job, some in zip(jobs, changes, strict=True):
        if job.payload.get("all"):
            # One more than a portion holds, so that the job knows whether it is through.
            yield {record.id: False for record in _everything(engine, leaf, job.payload.get("after"), most + 1)}
            continue
        if "receipt" in job.payload:
            yield dict.fromkeys(_erased(engine, job.payload), False)
            continue
        altered = frozenset(job.payload.get("altered", ()))
        ids = {id: id in altered for id in job.payload.get("ids", ())}
        for change in some:
            for entry in entries[change]:
                if entry.scope == leaf and entry.op in _RECORD_OPS:
                    ids[entry.id] = ids.get(entry.id, False) or entry.op not in ("put", "adopt")
        yield ids


def _changes(job: Job) -> Sequence[str]:
    if job.payload.keys() & {"ids", "all", "receipt"}:
        return ()
    given: Sequence[str] | None = job.payload.get("changes")
    return given if given is not None else () if job.change is None else (job.change,)


def _erased(engine: Engine, payload: Mapping[str, Any]) -> list[str]:
    """Ids on the receipt that a job names."""
    receipts: Sequence[Receipt]
    (receipts,) = engine.read([Receipts()], Scope(**payload["under"]))
    return [id for receipt in receipts if receipt.id == payload["receipt"] for id in (*receipt.ids, *receipt.derived)]


def _everything(engine: Engine, leaf: Scope, after: str | None, most: int) -> list[Record]:
    """The next open raw records of exactly this scope, also those whose validity has ended."""
    found: list[Record] = []
    while len(found) < most:
        page: Sequence[Record]
        (page,) = engine.read([Find(View(engine.now()), limit=most, after=after, closed=True)], leaf)
        found += [record for record in page if record.scope == leaf and speaks(record)]
        if len(page) < most:
            break
        after = page[-1].id
    return found[:most]
