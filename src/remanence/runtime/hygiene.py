"""Keeping memory clean: words that only come back, whom to believe, and what must be set aside with all that rests on
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from remanence.core.errors import Conflict, InvalidInput, NotFound, StoreError
from remanence.core.scope import Scope
from remanence.runtime import origins, outbox
from remanence.runtime.adding import derive
from remanence.runtime.arguments import memory_id_of
from remanence.runtime.changing import as_draft
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.handler import Batch
from remanence.runtime.merged import MERGED_INTO, with_merged
from remanence.runtime.origins import echo_meta, origin_of, trust_of
from remanence.substrates.records.filters import compile_filter
from remanence.substrates.records.model import DERIVED, Record, View
from remanence.substrates.records.operations import Edge, Edges, Find, Operation, Outcome, Revise, Unlink

__all__ = [
    "MERGED_INTO",
    "Rewrite",
    "echo_meta",
    "echo_spans",
    "everything",
    "origin_of",
    "quarantine",
    "release",
    "rewrite",
    "trust_of",
    "with_merged",
]

QUARANTINE: Final = "quarantine"
"""Key of the metadata under which a memory in quarantine keeps its trust and the reason."""
NOTES: Final = f"{DERIVED}sleep"
"""Origin of the notes that sleep writes."""
_PATIENCE: Final = 10.0
"""Seconds after which no further job is begun."""
_ATTEMPTS: Final = 10


class Rewrite(NamedTuple):
    """A new version of a record with some fields changed."""

    record: Record
    changes: Mapping[str, Any]


def rewrite(
    engine: Engine,
    scope: Scope,
    rewrites: Sequence[Rewrite],
    *,
    also: Sequence[Operation] = (),
    why: str,
) -> Outcome | None:
    """Write new versions of records, and other operations, as one change; None where there is nothing to write.

    What is derived from raw records among them is looked at again by a job of the same transaction.

    Raises:
        Conflict: somebody was faster; nothing was written.

    """
    if not rewrites and not also:
        return None
    drafts = [
        replace(as_draft(record), **{"origin": record.origin, "trust": record.trust, **changes})
        for record, changes in rewrites
    ]
    drafts, _ = derive(engine, drafts, scope)
    operations: list[Operation] = [
        Revise(record.id, draft, expected_version=record.version)
        for (record, _), draft in zip(rewrites, drafts, strict=True)
    ]
    leaves = [record.scope for record, _ in rewrites if not record.derived]
    try:
        outcome = engine.write([*operations, *also, *outbox.follow(engine, leaves)], scope, why=why)
    except NotFound as error:
        raise Conflict(f"a memory was deleted meanwhile: {error}") from error
    engine.note_unembedded(
        record.scope for (record, _), draft in zip(rewrites, drafts, strict=True) if draft.vector is None
    )
    return outcome


def everything(engine: Engine, scope: Scope, now: datetime) -> list[Record]:
    """The newest version of every record of a scope that is not closed, also where its validity has ended; by id."""
    found: Sequence[Record]
    (found,) = engine.read([Find(View(now), limit=None, closed=True)], scope)
    return [record for record in found if record.closed_at is None]


def echo_spans(batch: Batch, record: Record) -> list[tuple[int, int]]:
    """`origins.echo_spans` of a turn of a batch."""
    return origins.echo_spans(record, batch.before(record, origins.CONTEXT))


def quarantine(
    engine: Engine,
    scope: Scope,
    *,
    ids: str | Iterable[str] | None = None,
    origin: str | None = None,
    source: str | None = None,
    where: Mapping[str, Any] | None = None,
    reason: str = "",
) -> dict[str, Any]:
    """Believe memories no longer, and nothing that rests on them alone, until `release`.

    They stay as they are, with trust 0: no search finds them unless it asks for their trust, and nothing is derived
    from them. What was merged into one of them and comes from elsewhere stands for itself again. One change, which
    `undo` takes back.

    Args:
        engine: whose store.
        scope: within which.
        ids: which ones.
        origin: all of this origin, such as "tool" or "import:mem0"; "import:*" for all that begins so.
        source: all whose metadata names this `source`.
        where: all that this filter admits. Of several selections a memory has to meet each.
        reason: kept with each memory.

    Returns:
        `quarantined` (ids), `derived` (ids of what rests on them alone, and follows by itself), `supported` (ids of
        what rests on them and on something else, and stays), `restored` (ids that stand for themselves again), and
        `change`, None where there was nothing to do.

    Raises:
        InvalidInput: no selection at all.
        NotFound: one of the ids is not in this scope.

    """
    asked = _selection(ids, origin, source, where)
    if not isinstance(reason, str):
        raise InvalidInput(f"reason={reason!r} must be a string")
    for _ in range(_ATTEMPTS):
        records = everything(engine, scope, engine.now())
        chosen = [record for record in _chosen(records, asked) if record.trust > 0]
        tainted, partly = _resting(records, {record.id for record in chosen})
        by_id = {record.id: record for record in records}
        # What workers look after, they take back themselves, right below: an undo must not meet their changes.
        along = [by_id[id] for id in tainted if not engine.enrich or by_id[id].origin == NOTES]
        along = [record for record in along if record.trust > 0]
        gone = {record.id for record in (*chosen, *along)}
        edges: Sequence[Edge]
        (edges,) = engine.read([Edges(types=(MERGED_INTO,))], scope)
        back = [edge for edge in edges if edge.target in gone and edge.source in by_id and edge.source not in gone]
        rewrites = [
            Rewrite(
                record,
                {"trust": 0.0, "meta": {**record.meta, QUARANTINE: {"trust": record.trust, "reason": reason}}},
            )
            for record in (*chosen, *along)
        ]
        alone = [by_id[edge.source] for edge in back if by_id[edge.source].state == "merged"]
        rewrites += [Rewrite(record, {"state": "activated"}) for record in alone]
        try:
            outcome = rewrite(
                engine, scope, rewrites, also=[Unlink(edge) for edge in back], why=f"quarantine: {reason}".rstrip(": ")
            )
        except Conflict:
            continue
        result = {
            "quarantined": [record.id for record in chosen],
            "derived": tainted,
            "supported": partly,
            "restored": [record.id for record in alone],
            "change": None if outcome is None else outcome.change,
        }
        return _followed(engine, scope, result)
    raise Conflict(f"the memories of {scope} were changed by others {_ATTEMPTS} times in a row; try again")


def release(
    engine: Engine,
    scope: Scope,
    *,
    ids: str | Iterable[str] | None = None,
    origin: str | None = None,
    source: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Believe memories again that were in quarantine, and what rests on them; arguments and errors as `quarantine`.

    Returns:
        `released` (ids) and `change`.

    """
    asked = _selection(ids, origin, source, where)
    for _ in range(_ATTEMPTS):
        records = everything(engine, scope, engine.now())
        held = {record.id for record in records if record.trust <= 0}
        chosen = [record for record in _chosen(records, asked) if record.id in held]
        free = {record.id for record in chosen}
        for record in records:
            # What went along comes back as soon as anything that it rests on is believed.
            if record.id in held and record.sources and QUARANTINE in record.meta:
                needed = {one.id for one in record.sources}
                if needed & free or not needed <= held:
                    free.add(record.id)
        rewrites = []
        for record in records:
            if record.id in free:
                meta = {key: value for key, value in record.meta.items() if key != QUARANTINE}
                rewrites.append(Rewrite(record, {"trust": _earlier_trust(record), "meta": meta}))
        try:
            outcome = rewrite(engine, scope, rewrites, why="release")
        except Conflict:
            continue
        result = {
            "released": [record.id for record, _ in rewrites],
            "change": None if outcome is None else outcome.change,
        }
        return _followed(engine, scope, result)
    raise Conflict(f"the memories of {scope} were changed by others {_ATTEMPTS} times in a row; try again")


def _followed(engine: Engine, scope: Scope, result: dict[str, Any]) -> dict[str, Any]:
    """Let what is derived follow at once, and not only when a worker comes by."""
    if engine.enrich and result["change"] is not None:
        from remanence.runtime import working  # It runs handlers, of which some look into this module's neighbours.

        try:
            working.drain(engine, scope, seconds=_PATIENCE)
        except StoreError as error:
            result["degraded"] = [f"what is derived follows later, with the next worker: {error}"]
    engine.truth.clear()
    return result


class _Selection(NamedTuple):
    ids: tuple[str, ...] | None
    where: Mapping[str, Any]
    beginning: str | None
    """What the origin begins with."""


def _selection(
    ids: str | Iterable[str] | None, origin: str | None, source: str | None, where: Mapping[str, Any] | None
) -> _Selection:
    if ids is None and origin is None and source is None and not where:
        raise InvalidInput("name what is meant: ids, an origin, a source or a filter")
    for name, value in (("origin", origin), ("source", source)):
        if value is not None and not _is_word(value):
            raise InvalidInput(f"{name}={value!r} must be a string that is not empty")
    conditions = [] if where is None else [where]
    beginning = origin[:-1] if origin is not None and origin.endswith("*") else None
    if origin is not None and beginning is None:
        conditions.append({"origin": origin})
    if source is not None:
        conditions.append({"meta.source": source})
    named = None if ids is None else tuple(map(memory_id_of, (ids,) if isinstance(ids, str) else ids))
    return _Selection(named, {"AND": conditions} if conditions else {}, beginning)


def _chosen(records: Sequence[Record], asked: _Selection) -> list[Record]:
    admits = compile_filter(asked.where)
    if asked.ids is not None:
        there = {record.id for record in records}
        for id in asked.ids:
            if id not in there:
                raise NotFound(f"there is no open memory {id} in this scope")
    return [
        record
        for record in records
        if (asked.ids is None or record.id in asked.ids)
        and (asked.beginning is None or (record.origin or "").startswith(asked.beginning))
        and admits(record)
    ]


def _resting(records: Sequence[Record], chosen: Iterable[str]) -> tuple[list[str], list[str]]:
    """Ids of records all of whose sources are `chosen`, or believed no longer before, or rest on those alone; and ids
    of those with other sources besides.
    """
    first = set(chosen)
    gone = first | {record.id for record in records if record.trust <= 0}
    resting = [record for record in records if record.sources]
    while True:
        more = {record.id for record in resting if all(one.id in gone for one in record.sources)} - gone
        if not more:
            break
        gone |= more
    partly = [
        record.id for record in resting if record.id not in gone and any(one.id in gone for one in record.sources)
    ]
    return sorted(gone - first), partly


def _earlier_trust(record: Record) -> float:
    kept = record.meta.get(QUARANTINE)
    trust = kept.get("trust") if isinstance(kept, Mapping) else None
    if isinstance(trust, bool) or not isinstance(trust, int | float) or not 0 < trust <= 1:
        return trust_of(record.role, record.origin)
    return float(trust)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value)
