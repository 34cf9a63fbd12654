"""Moving a store into another one: whole histories first, then what happened meanwhile, then a comparison of both.

Records are adopted with their identity, every version with both of its times, terms and vectors. The source may be
written all the while: what its journal says since the beginning is done again in the target, until nothing is new.
Which position that was is a job in the target until both are the same: whoever is killed goes on from there when run
again. Where records differ in the end, be it that the source was written after a migration that was complete, all that
the journal says of them is done again. Nothing is written to the source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.runtime.adding import Progress
from remanence.runtime.engine import shared
from remanence.runtime.files import batched
from remanence.runtime.maintenance import territories
from remanence.runtime.outbox import ENRICH
from remanence.runtime.replaying import Replay, histories
from remanence.substrates.records.model import Edge, Record, Vector
from remanence.substrates.records.operations import (
    Adopt,
    Changes,
    Columns,
    Edges,
    Embed,
    Enqueue,
    Erase,
    Job,
    Jobs,
    Lease,
    Link,
    Operation,
    Receipt,
    Receipts,
    Renew,
    Scan,
    Settle,
    Spaces,
    Touch,
    Unlink,
)
from remanence.substrates.records.port import RecordStore

__all__ = ["JOB", "migrate"]

JOB: Final = "migrate"
"""Kind, key and worker of the job in the target that says how far a migration came."""
PORTION: Final = 128
"""Records adopted in one transaction."""
ROUNDS: Final = 8
"""Times that what happened meanwhile is done again before the comparison says that the source does not come to rest."""
MOST_USES: Final = 64
"""Uses of one record that are counted again one by one, where it was used while it was moved."""
_HOLD = 3600.0


@dataclass(slots=True)
class _Task:
    """The part of a migration that is about one scope."""

    source: RecordStore
    target: RecordStore
    scope: Scope
    job: str = ""
    since: int = 0
    """Journal position of the source from which on its changes have to be done again."""
    there: set[str] = field(default_factory=set)
    adopted: int = 0
    replayed: int = 0

    def settle(self, outcome: str = "retry") -> list[Operation]:
        """What writes down how far it came, and goes on holding the job."""
        payload = {"since": self.since}
        if outcome == "done":
            return [Settle(self.job, JOB)]
        return [Settle(self.job, JOB, "retry", payload=payload), Lease(JOB, (JOB,), 1, _HOLD)]


def migrate(source: RecordStore, target: RecordStore, *, progress: Progress | None = None) -> dict[str, Any]:
    """Bring all that `source` holds into `target`, and compare.

    Answer: `adopted` records, `replayed` changes, `jobs` taken over, `receipts_left` (of erasures in the source, which
    stay there, as its journal does), `scopes`: of each what was compared and how both stores differ; and `verified`,
    whether they do not.

    Raises:
        InvalidInput: the stores are the same, or one cannot list its scopes.
        Conflict: an id of the source is taken in the target by another record, or was erased there.

    """
    if source is target:
        raise InvalidInput("source and target of a migration are the same store")
    tasks: dict[Scope, _Task] = {}
    report: dict[str, Any] = {"verified": True, "scopes": []}
    for _ in range(ROUNDS):
        position = source.position()
        places = _places(source)
        new = [scope for scope in [*places, *_emptied(source, target, places)] if scope not in tasks]
        _copy_all([tasks.setdefault(scope, _begin(source, target, scope)) for scope in new], progress)
        for task in tasks.values():
            _catch_up(task)
        compared = [(task, *_compare(task)) for task in tasks.values()]
        scopes = [line for _, lines, _ in compared for line in lines]
        report = {"verified": all(not line["differences"] for line in scopes), "scopes": scopes}
        followed = sum(_follow(task, differing) for task, _, differing in compared)
        if source.position() == position and not followed:
            break
    moved = 0
    for task in tasks.values():
        jobs = _jobs(task)
        moved += len(jobs)
        task.target.batch([*jobs, *(task.settle("done") if report["verified"] else [])], scope=task.scope, why=JOB)
    receipts = {receipt.id for scope in tasks for receipt in source.batch([Receipts()], scope=scope).results[0]}
    return {
        "verified": report["verified"],
        "adopted": sum(task.adopted for task in tasks.values()),
        "replayed": sum(task.replayed for task in tasks.values()),
        "jobs": moved,
        "receipts_left": len(receipts),
        "scopes": report["scopes"],
    }


def _places(store: RecordStore) -> list[Scope]:
    """Scopes of one id each that cover every record, and every link between two records."""
    places = territories(store)
    listing: Callable[[], Iterable[Scope]] = store.scopes  # type: ignore[attr-defined]
    within: dict[Scope, set[Scope]] = {}
    for scope in listing():
        home = next(place for place in places if place.covers(scope))
        for part in _parts(scope):
            within.setdefault(part, set()).add(home)
    return list(dict.fromkeys([*places, *(scope for scope, homes in within.items() if len(homes) > 1)]))


def _emptied(source: RecordStore, target: RecordStore, places: Sequence[Scope]) -> list[Scope]:
    """Scopes of one id each in which the target still holds what the source has erased altogether."""
    territories(target)
    listing: Callable[[], Iterable[Scope]] = target.scopes  # type: ignore[attr-defined]
    left = [scope for scope in listing() if not any(place.covers(scope) for place in places)]
    return list(dict.fromkeys(_parts(scope)[0] for scope in left if _receipts(source, [scope])))


def _parts(scope: Scope) -> list[Scope]:
    """The scopes of one id each that cover a scope."""
    return [Scope(**{name: value}) for name, value in scope.items()]


def _receipts(store: RecordStore, scopes: Iterable[Scope]) -> list[Receipt]:
    """Of all erasures that may have been about something in these scopes, under whichever of their ids."""
    found: dict[str, Receipt] = {}
    for place in dict.fromkeys(part for scope in scopes for part in _parts(scope)):
        found.update((receipt.id, receipt) for receipt in store.batch([Receipts()], scope=place).results[0])
    return list(found.values())


def _copy_all(tasks: Sequence[_Task], progress: Progress | None) -> None:
    """Adopt every record of some scopes."""
    wanted: list[tuple[_Task, list[str]]] = []
    for task in tasks:
        columns: Columns
        (columns,) = task.source.batch([Scan()], scope=task.scope).results
        wanted.append((task, sorted(set(columns.ids))))
    total, done = sum(len(ids) for _, ids in wanted), 0
    for task, ids in wanted:
        # An earlier run, or a task before, may have brought some of them already.
        (columns,) = task.target.batch([Scan()], scope=task.scope).results
        task.there = set(columns.ids)
        missing = [id for id in ids if id not in task.there]
        vectors = _vectors(task.source, task.scope) if missing else {}
        done += len(ids) - len(missing)
        for portion in batched(missing, PORTION):
            _copy(task, portion, vectors)
            done += len(portion)
            if progress is not None:
                progress(done, total)


def _begin(source: RecordStore, target: RecordStore, scope: Scope) -> _Task:
    """Go on where an earlier run was stopped, or begin. A run that was killed still holds the job, under our name."""
    task = _Task(source, target, scope)
    position = source.position()
    enqueue = Enqueue(JOB, {"since": position}, JOB)
    held: Sequence[Job]
    (held,) = target.batch([Jobs(("leased",), (JOB,))], scope=scope).results
    if held:
        (renewed,) = target.batch([Renew(JOB, tuple(job.id for job in held), _HOLD)], scope=scope).results
        held = [job for job in held if job.id in renewed]
    if not held:
        (waiting,) = target.batch([Jobs(("waiting", "leased"), (JOB,))], scope=scope).results
        operations: list[Operation] = [] if waiting else [enqueue]
        held = target.batch([*operations, Lease(JOB, (JOB,), 1, _HOLD)], scope=scope).results[-1]
    job = held[0]
    task.job, task.since = job.id, int(job.payload["since"])
    _require_another(task)
    return task


def _require_another(task: _Task) -> None:
    """Raise `InvalidInput` where what was just written into the target stands in the source: two ways to one store."""
    here, there = (
        [job for job in store.batch([Jobs(("leased",), (JOB,))], scope=task.scope).results[0] if job.id == task.job]
        for store in (task.source, task.target)
    )
    # A copy of a store has a job of that id too, but not held until the same moment.
    if here == there:
        task.target.batch(task.settle("done"), scope=task.scope)
        raise InvalidInput("source and target of a migration are the same store")


def _vectors(store: RecordStore, scope: Scope) -> dict[str, dict[tuple[str, int], Vector]]:
    """All vectors of a scope, by space and then by record and version."""
    found: dict[str, dict[tuple[str, int], Vector]] = {}
    (spaces,) = store.batch([Spaces()], scope=scope).results
    for space, _ in spaces:
        columns: Columns
        (columns,) = store.batch([Scan(space=space)], scope=scope).results
        known = found[space] = {}
        if columns.vectors is None:
            continue
        # A scale of 0 is what a zero vector has as well as none at all; neither says anything.
        for row in columns.scales.nonzero()[0].tolist():
            place = (columns.ids[row], int(columns.versions[row]))
            known[place] = Vector(space, columns.vectors[row].tobytes(), float(columns.scales[row]))
    return found


def _copy(task: _Task, portion: Sequence[str], vectors: Mapping[str, Mapping[tuple[str, int], Vector]]) -> None:
    """Adopt some records and what they rest on, and go on holding the job."""
    groups: dict[Scope, dict[str, Adopt]] = {}
    for versions in _closed_group(task, [id for id in portion if id not in task.there]):
        under = task.scope
        for place in (versions[0].scope, *_source_scopes(task, versions)):
            both = shared(under, place)
            if both is None:
                raise InvalidInput(f"record {versions[0].id} rests on one with which it shares no scope id")
            under = both
        main = next(iter(vectors), "")
        own = tuple(vectors[main].get((one.id, one.version)) if main else None for one in versions)
        groups.setdefault(under, {})[versions[0].id] = Adopt(versions, tuple(one.terms for one in versions), own)
    # A wider scope than the task's own is needed where sources lie outside of it.
    inside = groups.pop(task.scope, {})
    for under, adoptions in groups.items():
        task.target.batch([*adoptions.values()], scope=under, why=JOB)
    task.target.batch([*inside.values(), *task.settle()], scope=task.scope, why=JOB)
    new = {*inside, *(id for adoptions in groups.values() for id in adoptions)}
    task.there |= new
    task.adopted += len(new)


def _closed_group(task: _Task, ids: Iterable[str]) -> list[tuple[Record, ...]]:
    """The histories of records and, before them, of all that they rest on and the target does not have."""
    found: dict[str, tuple[Record, ...]] = {}
    wanted = list(dict.fromkeys(ids))
    while wanted:
        read = histories(task.source, wanted, task.scope)
        found.update((versions[0].id, versions) for versions in read)
        resting = {source.id for versions in read for one in versions for source in one.sources}
        wanted = sorted(id for id in resting - found.keys() - task.there if histories(task.source, [id], task.scope))
    return list(found.values())


def _source_scopes(task: _Task, versions: Sequence[Record]) -> list[Scope]:
    """Scopes of those sources that lie outside of the task's scope; found under ever wider scopes of the record."""
    outside: list[Scope] = []
    for id in {source.id for one in versions for source in one.sources} - task.there:
        for wide in _parts(versions[0].scope):
            if found := histories(task.source, [id], wide):
                if not task.scope.covers(found[0][0].scope):
                    outside.append(found[0][0].scope)
                break
    return outside


def _catch_up(task: _Task) -> None:
    """Do in the target what the source did since: changes of records and links, late vectors, uses."""
    outcome = task.source.batch([Changes(since=task.since)], scope=task.scope)
    replay = Replay(task.source, task.target, task.scope)
    for entry in outcome.results[0]:
        task.replayed += replay.act(entry)
    _links(task)
    operations: list[Operation] = []
    had = _vectors(task.target, task.scope)
    for space, vectors in _vectors(task.source, task.scope).items():
        known = had.get(space, {})
        operations += [Embed(*place, vector) for place, vector in vectors.items() if known.get(place) != vector]
    for part in batched(operations, PORTION):
        task.target.batch(part, scope=task.scope, why=JOB)
    if task.since != outcome.seq:
        task.since = outcome.seq
        task.target.batch(task.settle(), scope=task.scope, why=JOB)


def _links(task: _Task) -> None:
    """Make the edges of the target those of the source, where it does not have them of its own; edges to records of
    other scopes are of those."""
    own = set(task.source.batch([Edges()], scope=task.scope).results[0])
    had = set(task.target.batch([Edges()], scope=task.scope).results[0])
    operations: list[Operation] = [Link(edge) for edge in sorted(own - had)]
    there = {(edge.source, edge.target, edge.type) for edge in own}
    surplus = {place: edge for edge in had if (place := (edge.source, edge.target, edge.type)) not in there}
    for id in sorted({edge.source for edge in surplus.values()}):
        for entry in task.source.batch([Changes(id=id)], scope=task.scope).results[0]:
            if entry.op == "unlink":
                place = (entry.detail["source"], entry.detail["target"], entry.detail["type"])
                operations += [Unlink(surplus.pop(place))] if place in surplus else []
    for part in batched(operations, PORTION):
        task.target.batch(part, scope=task.scope, why=JOB)


def _follow(task: _Task, ids: Sequence[str]) -> int:
    """Do again in the target all that was ever done in the source to records that differ; how many changes that were.

    What the target has already is passed over. What only the target has stays, and so do records that it has changed in
    its own way.
    """
    if not ids:
        return 0
    replay, followed = Replay(task.source, task.target, task.scope), 0
    kept = {versions[0].id: versions for versions in histories(task.source, ids, task.scope)}
    theirs = {versions[0].id: versions for versions in histories(task.target, ids, task.scope)}
    for id, versions in kept.items():
        here, there = ({(one.version, one.text) for one in own} for own in (versions, theirs.get(id, ())))
        for entry in task.source.batch([Changes(id=id)], scope=task.scope).results[0] if there <= here else ():
            if entry.op not in ("link", "unlink"):
                followed += replay.act(entry)
    # Erasures last: a record that lost its sources stays only where what it was changed into is there.
    surplus: dict[Scope, set[str]] = {}
    for id in theirs.keys() - kept.keys():
        surplus.setdefault(theirs[id][0].scope, set()).add(id)
    for scope, own in surplus.items():
        for receipt in _receipts(task.source, [scope]):
            erased = sorted(own.intersection((*receipt.ids, *receipt.derived)))
            # Some may have gone with what they were derived from.
            if left := tuple([versions[0].id for versions in histories(task.target, erased, scope)]):
                task.target.batch([Erase(left, receipt.reason)], scope=scope, actor=receipt.actor, why=JOB)
                followed += 1
    task.replayed += followed
    return followed


def _uses(task: _Task, source: Mapping[str, Record], target: Mapping[str, Record]) -> None:
    """Count again what was used while it was moved: a touch counts one use, so there is one for each."""
    for id, record in source.items():
        missing = record.hits - target[id].hits if id in target else 0
        if record.last_hit is not None and 0 < missing <= MOST_USES:
            touch = Touch((id,), record.last_hit, strength=record.strength, utility=record.utility)
            task.target.batch([touch] * missing, scope=task.scope, why=JOB)


def _jobs(task: _Task) -> list[Operation]:
    """What is still to be worked out in the source, for the target's outbox: with the changes that it has there."""
    waiting: Sequence[Job]
    (waiting,) = task.source.batch([Jobs(("waiting", "leased"), limit=1_000_000)], scope=task.scope).results
    had: Sequence[Job]
    (had,) = task.target.batch([Jobs(limit=1_000_000)], scope=task.scope).results
    known = {_job_key(job.scope, job.kind, job.key, job.payload) for job in had}
    operations: list[Operation] = []
    for job in waiting:
        payload = dict(job.payload)
        if job.kind == ENRICH and not payload.get("wide"):
            changes = payload.get("changes") or ([] if job.change is None else [job.change])
            payload["changes"] = _their_changes(task, changes)
        key = _job_key(job.scope, job.kind, job.key, payload)
        if job.kind != JOB and key not in known:
            known.add(key)
            operations.append(Enqueue(job.kind, payload, job.key, job.due, job.scope))
    return operations


def _their_changes(task: _Task, changes: Iterable[str]) -> list[str]:
    """The changes of the target that brought what some changes of the source had written."""
    parts = [task.source.batch([Changes(change=change)], scope=task.scope).results[0] for change in changes]
    found: dict[str, None] = {}
    for id in dict.fromkeys(entry.id for part in parts for entry in part):
        (theirs,) = task.target.batch([Changes(id=id)], scope=task.scope).results
        found.update((entry.change, None) for entry in theirs)
    return list(found)


def _job_key(
    scope: Scope, kind: str, key: str | None, payload: Mapping[str, Any]
) -> tuple[Scope, str, str | None, str]:
    return scope, kind, key, json.dumps(payload, sort_keys=True)


def _compare(task: _Task) -> tuple[list[dict[str, Any]], list[str]]:
    """What both stores hold in each scope that the task's covers: counts, and hashes of the content; and which records
    differ."""
    here, there = (_Content.of(store, task.scope) for store in (task.source, task.target))
    _uses(task, here.newest, there.newest)
    lines = []
    for scope in sorted({*here.counts, *there.counts}, key=str):
        one, other = here.counts.get(scope, {}), there.counts.get(scope, {})
        names = sorted({*one, *other} - {"recorded"})
        differing = [name for name in names if one.get(name) != other.get(name)]
        differences = [f"{name}: {one.get(name, 0)} here, {other.get(name, 0)} there" for name in differing]
        lines.append(
            {
                "scope": dict(scope.items()),
                **{name: one.get(name, 0) for name in ("records", "versions", "edges", "vectors")},
                "content": one.get("content", ""),
                "times": one.get("recorded") == other.get("recorded"),
                "differences": differences,
            }
        )
    differing = [id for id in {**here.hashes, **there.hashes} if here.hashes.get(id) != there.hashes.get(id)]
    return lines, sorted(differing)


@dataclass(slots=True)
class _Content:
    """What a store holds, by leaf scope: counts and hashes by name, and the newest version and hash of each record."""

    counts: dict[Scope, dict[str, Any]]
    newest: dict[str, Record]
    hashes: dict[str, bytes]

    @classmethod
    def of(cls, store: RecordStore, scope: Scope) -> _Content:
        """Read it, a portion at a time."""
        columns: Columns
        (columns,) = store.batch([Scan()], scope=scope).results
        ids = sorted(set(columns.ids))
        counts: dict[Scope, dict[str, Any]] = {}
        digests: dict[Scope, dict[str, Any]] = {}
        newest: dict[str, Record] = {}
        own: dict[str, bytes] = {}
        places: dict[str, Scope] = {}
        for portion in batched(ids, PORTION):
            for versions in histories(store, portion, scope):
                leaf = versions[0].scope
                newest[versions[0].id], places[versions[0].id] = versions[-1], leaf
                line = counts.setdefault(leaf, {"records": 0, "versions": 0, "edges": 0, "vectors": 0})
                line["records"] += 1
                line["versions"] += len(versions)
                hashes = digests.setdefault(leaf, {"content": hashlib.sha256(), "recorded": hashlib.sha256()})
                text = b"".join(_line(one) for one in versions)
                own[versions[0].id] = hashlib.sha256(text).digest()
                hashes["content"].update(text)
                for one in versions:
                    hashes["recorded"].update(f"{one.id} {one.recorded_at} {one.closed_at}\n".encode())
        edges: Sequence[Edge]
        (edges,) = store.batch([Edges()], scope=scope).results
        for edge in edges:
            if edge.source in places:
                counts[places[edge.source]]["edges"] += 1
                digests[places[edge.source]]["content"].update(repr(tuple(edge)).encode("utf-8", "surrogatepass"))
        for space, vectors in sorted(_vectors(store, scope).items()):
            for place, vector in sorted(vectors.items()):
                home = places.get(place[0])
                if home is None:
                    # Its record came since the others were read; the next comparison sees both.
                    continue
                counts[home]["vectors"] += 1
                digests[home]["content"].update(repr((space, place, vector.data, vector.scale)).encode())
        for leaf, hashes in digests.items():
            counts[leaf].update({name: digest.hexdigest() for name, digest in hashes.items()})
        return cls(counts, newest, own)


def _line(record: Record) -> bytes:
    """All of a version but the times at which a store recorded it: a change that was done again has its own."""
    moments = (record.event_at, record.valid_from, record.valid_to, record.ended_at)
    times = [None if one is None else one.isoformat() for one in moments]
    parts = [
        record.id, record.version, record.kind, record.text, dict(record.scope.items()), record.zone, record.speaker,
        record.role, record.language, [list(source) for source in record.sources], dict(record.meta),
        list(record.terms), record.state, record.origin, record.trust, times,
    ]  # fmt: skip
    return json.dumps(parts, sort_keys=True).encode() + b"\n"
