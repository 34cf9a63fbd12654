"""Embedding anew and rebuilding in parts, each derived from its texts by whoever has room.

With a database that every machine reaches, a worker reads the texts of its part and writes what it made. With a file
it is the driver that reads and writes, and workers only compute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from remanence.core.errors import SpreadError
from remanence.core.scope import Scope
from remanence.runtime.adding import Progress
from remanence.runtime.bulk import ledger
from remanence.runtime.bulk.ledger import REBUILD, Run
from remanence.runtime.bulk.spread import Spread, words
from remanence.runtime.bulk.tools import Made, Recipe, tools_of
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.handler import home_of
from remanence.runtime.files import batched
from remanence.runtime.maintenance import histories, versions_of
from remanence.runtime.rederiving import rebuild_derived
from remanence.runtime.working import Shift, WorkReport, drain
from remanence.substrates.records.model import Record, is_derived
from remanence.substrates.records.operations import Columns, Embed, Job, Operation, Reindex, Scan

__all__ = ["rebuild", "reembed", "work"]

Wanted = Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class _Part:
    """Versions that are derived together; with a run, as one of its parts."""

    scope: Scope
    wanted: Wanted
    run: Run | None = None
    job: Job | None = None

    @property
    def count(self) -> int:
        """How many versions."""
        return sum(map(len, self.wanted.values()))


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a part: versions written, and the ids of those that failed with the reason."""

    count: int
    failed: Mapping[str, str]


def reembed(
    engine: Engine, spread: Spread, recipe: Recipe, scopes: Sequence[Scope], size: int, progress: Progress | None
) -> dict[str, Any]:
    """See `Bulk.reembed`. A vector that is there is done, so nothing else has to be written down."""
    parts: list[_Part] = []
    for scope in scopes:
        columns: Columns
        (columns,) = engine.read([Scan(space=recipe.space)], scope)
        parts += _cut(scope, versions_of(columns, np.flatnonzero(columns.scales == 0).tolist()), size)
    return _carry_out(engine, spread, recipe, parts, "embedded", progress)


def rebuild(
    engine: Engine,
    spread: Spread,
    recipe: Recipe,
    scopes: Sequence[Scope],
    size: int,
    progress: Progress | None,
    *,
    derived: bool,
) -> dict[str, Any]:
    """See `Bulk.rebuild`. Parts are drawn by a hash of the id, so they need not name what may be erased meanwhile."""
    anew = derived and engine.enrich
    name = hashlib.sha256(f"{engine.analyzer.fingerprint} {recipe.space} {anew}".encode()).hexdigest()[:24]
    runs: list[Run] = []
    parts: list[_Part] = []
    before = 0
    for scope in scopes:
        columns: Columns
        (columns,) = engine.read([Scan()], scope)
        # What is worked out anew gets its terms and vectors with that.
        rows = (row for row, origin in enumerate(columns.origins) if not (anew and is_derived(origin)))
        wanted = versions_of(columns, rows)
        ledger.drop(engine, scope, REBUILD, but=f"{REBUILD}{name}")
        shares = max(1, -(-len(wanted) // size))
        run = ledger.begin(engine, scope, f"{REBUILD}{name}", {"shares": shares}, [{}] * shares, again=False)
        left = ledger.left(engine, run)
        drawn: dict[int, dict[str, frozenset[int]]] = {number: {} for number in range(run.plan["shares"])}
        for id, versions in wanted.items():
            drawn[_share(id, run.plan["shares"])][id] = frozenset(versions)
        before += sum(len(share) for number, share in drawn.items() if number not in left)
        parts += [_Part(scope, drawn[number], run, job) for number, job in left.items()]
        runs.append(run)
    report = _carry_out(engine, spread, recipe, parts, "rebuilt", progress)
    engine.indexes.clear()
    for scope in scopes if anew else ():
        rebuild_derived(engine, scope, ahead=partial(work, engine, spread, recipe, scope))
    for run in runs:
        if not ledger.failures(engine, run) and not ledger.left(engine, run):
            ledger.end(engine, run)
    return {**report, "before": before}


def work(engine: Engine, spread: Spread, recipe: Recipe, scope: Scope | None = None) -> WorkReport:
    """See `Bulk.work`. Leases keep two workers out of one home scope, so each is given to one of them."""
    total = WorkReport(done=0, retried=0, dead=0, lost=0, turns=0, seconds=0.0, left=False)
    if recipe.address is None:
        return drain(engine, scope)
    told = spread.put(recipe)
    seen: set[Scope] = set()
    while True:
        homes = [home for home in dict.fromkeys(map(home_of, Shift(engine).waiting(scope))) if home not in seen]
        if not homes:
            break
        seen.update(homes)
        running = [spread.start(_work_there, told, home) for home in homes]
        while running:
            ticket = spread.first(running)
            running.remove(ticket)
            try:
                _add(total, spread.result(ticket))
            except SpreadError:
                # Whoever died at it had leased its jobs: they are due again when the leases run out.
                total["left"] = True
    return total


def _carry_out(
    engine: Engine, spread: Spread, recipe: Recipe, parts: Sequence[_Part], verb: str, progress: Progress | None
) -> dict[str, Any]:
    """Derive parts, several at once, in whatever order they get done."""
    there = recipe.address is not None
    told = spread.put(recipe)
    total, done = sum(part.count for part in parts), 0
    failed: list[dict[str, Any]] = []
    ahead = iter(parts)
    running: dict[Any, tuple[_Part, list[Record]]] = {}
    more = True
    while more or running:
        while more and len(running) < _ahead(spread):
            part = next(ahead, None)
            if part is None:
                more = False
            elif there:
                running[spread.start(_derive_there, told, part)] = (part, [])
            else:
                records = _records(engine, part)
                texts = [record.text for record in records]
                running[spread.start(_derive, told, texts, part.run is not None)] = (part, records)
        if not running:
            break
        ticket = spread.first(list(running))
        part, records = running.pop(ticket)
        try:
            answer = spread.result(ticket)
            outcome: _Done = answer if there else _write(engine, part, records, answer)
        except SpreadError as error:
            outcome = _give_up(engine, part, error)
        done += outcome.count
        failed += [{"id": id, "reason": reason} for id, reason in outcome.failed.items()]
        if progress is not None:
            progress(done, total)
    return {verb: done, "failed": failed}


def _derive(recipe: Recipe, texts: Sequence[str], terms: bool) -> Made:
    """A task: what follows from some texts; `terms`: not their vectors alone."""
    tools = tools_of(recipe)
    return tools.make(texts) if terms else tools.embed(texts)


def _derive_there(recipe: Recipe, part: _Part) -> _Done:
    """A task: read the texts of a part, and write what follows from them."""
    engine = tools_of(recipe).engine
    records = _records(engine, part)
    return _write(engine, part, records, _derive(recipe, [record.text for record in records], part.run is not None))


def _work_there(recipe: Recipe, home: Scope) -> WorkReport:
    """A task: do what is due in one home scope."""
    return drain(tools_of(recipe).engine, home)


def _write(engine: Engine, part: _Part, records: Sequence[Record], made: Made) -> _Done:
    """Write what was derived; with a run, in one transaction with the end of the part's job."""
    operations: list[Operation] = []
    failed: dict[str, str] = {}
    for at, record in enumerate(records):
        terms, vector = made.terms[at] if made.terms else None, made.vectors[at]
        if terms is not None and terms != record.terms:
            operations.append(Reindex(record.id, record.version, terms))
        if vector is not None:
            operations.append(Embed(record.id, record.version, vector))
        if reason := made.refused.get(at) or made.bare.get(at):
            failed[record.id] = reason
    count = len(records) - len(failed)
    if part.run is None or part.job is None:
        if operations:
            engine.write(operations, part.scope)
        return _Done(count, failed)
    told = next((reason for reason in failed.values()), "")
    ledger.commit(engine, part.run, part.job, operations, failed=told)
    return _Done(count, failed)


def _give_up(engine: Engine, part: _Part, error: SpreadError) -> _Done:
    if part.run is not None and part.job is not None:
        ledger.commit(engine, part.run, part.job, [], failed=words(error))
    return _Done(0, dict.fromkeys(part.wanted, str(error)))


def _records(engine: Engine, part: _Part) -> list[Record]:
    """The wanted versions that are still there."""
    return [
        record
        for ids in batched(part.wanted, 256)
        for versions in histories(engine, ids, part.scope)
        for record in versions
        if record.version in part.wanted[record.id]
    ]


def _cut(scope: Scope, wanted: Mapping[str, Iterable[int]], size: int) -> Iterator[_Part]:
    for ids in batched(wanted, size):
        yield _Part(scope, {id: frozenset(wanted[id]) for id in ids})


def _share(id: str, shares: int) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big") % shares


def _ahead(spread: Spread) -> int:
    return 2 * spread.slots + 1 if spread.apart else 1


def _add(total: WorkReport, one: WorkReport) -> None:
    for name in ("done", "retried", "dead", "lost", "turns", "seconds"):
        total[name] += one[name]
    total["left"] = total["left"] or one["left"]
