"""What a night's sleep would merge and abstract: pure functions of what is in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from remanence.core.clock import from_micros
from remanence.core.ids import is_ulid, ulid_millis
from remanence.core.scope import Scope
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.duplicates import Statement, depends_on_context, group, says_nothing
from remanence.runtime.enrichment.handler import home_of
from remanence.runtime.hygiene import MERGED_INTO, NOTES, Rewrite
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.operations import Close, Edge, Link, Operation, Put, Revise

__all__ = ["Plan", "World", "created", "expiry_key", "merging", "noting", "repeated"]

EVIDENCE: Final = "evidence"
"""Key of the metadata that says for how many statements a memory stands."""

_SHOWN: Final = 80
_NO_STATEMENT: Final = frozenset(("entity", "episode", "summary"))


@dataclass(slots=True)
class World:
    """The open records of a scope in their newest versions, and which of them were merged into which."""

    scope: Scope
    records: dict[str, Record]
    merged: dict[str, str]
    now: datetime
    unwanted: frozenset[str] = frozenset()
    """Keys of notes that a user has deleted."""
    groups: dict[bool, list[list[tuple[str, Statement]]]] = field(default_factory=dict)
    """What says the same, across sessions or within each, once somebody has asked. States do not matter to it."""

    def after(self, plan: Plan) -> World:
        """The world once a plan was carried out, as far as later plans look at it."""
        records = dict(self.records)
        merged = dict(self.merged)
        for record, changes in plan.rewrites:
            records[record.id] = replace(record, version=record.version + 1, recorded_at=self.now, **changes)
        for id in plan.closed:
            records.pop(id, None)
            merged.pop(id, None)
        for edge in plan.links:
            merged[edge.source] = edge.target
        return World(self.scope, records, merged, self.now, self.unwanted, self.groups)


@dataclass(slots=True)
class Plan:
    """What one step would do: new versions with other fields, links, closings, and notes; `rows` tells it to people."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)
    links: list[Edge] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    notes: list[tuple[Record | None, Draft]] = field(default_factory=list)

    def others(self, drafts: Sequence[Draft], world: World) -> list[Operation]:
        """The operations besides the rewrites; `drafts` are those of the notes, with terms and vectors."""
        operations: list[Operation] = [Link(edge) for edge in self.links]
        operations += [Close(id, expected_version=world.records[id].version) for id in self.closed]
        for (old, _), draft in zip(self.notes, drafts, strict=True):
            operations.append(Put(draft) if old is None else Revise(old.id, draft, expected_version=old.version))
        return operations


def created(record: Record) -> datetime:
    """When the first version was recorded, to the millisecond."""
    if record.version == 1 or not is_ulid(record.id):
        return record.recorded_at
    return min(from_micros(ulid_millis(record.id) * 1000), record.recorded_at)


# Merging


def merging(world: World, *, across_runs: bool) -> Plan:
    """Repetitions, each to be put away in favour of the earliest memory that says the same (see `kernels.duplicates`).

    What was merged before takes part in the comparison and stays where it is, so that doing it again changes nothing.
    """
    plan = Plan()
    told: dict[str, int] = {}
    for survivor, id, reason in _repetitions(world, across_runs=across_runs):
        record, into = world.records[id], world.records[survivor]
        plan.rewrites.append(Rewrite(record, {"state": "merged"}))
        plan.links.append(Edge(id, survivor, MERGED_INTO))
        plan.rows.append({"id": id, "into": survivor, "why": reason, "memory": _short(record.text)})
        told[survivor] = told.get(survivor, evidence(into)) + evidence(record)
    for survivor, count in told.items():
        into = world.records[survivor]
        plan.rewrites.append(Rewrite(into, {"meta": {**into.meta, EVIDENCE: count}}))
    return plan


def repeated(world: World, *, across_runs: bool = True) -> tuple[int, int]:
    """How many memories repeat another one that is visible too, and how many there are to compare."""
    comparable = sum(_comparable(record) and not record.hidden for record in world.records.values())
    return len(_repetitions(world, across_runs=across_runs)), comparable


def evidence(record: Record) -> int:
    """For how many statements a memory stands."""
    count = record.meta.get(EVIDENCE)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 1


def expiry_key(record: Record) -> str:
    """What tells memories apart that are to end at different times."""
    ends = [record.valid_to.isoformat() if record.valid_to else ""]
    ends += [str(record.meta.get(key, "")) for key in ("ttl", "expires_at")]
    return "|".join(ends)


def _repetitions(world: World, *, across_runs: bool) -> list[tuple[str, str, str]]:
    """`(survivor, repetition, why)`."""
    found = []
    for members in _groups(world, across_runs=across_runs):
        visible = [(id, statement) for id, statement in members if _mergeable(world.records.get(id))]
        for id, statement in visible[1:]:
            survivor, kept = visible[0]
            found.append((survivor, id, _why(kept, statement)))
    return sorted(found, key=lambda row: row[1])


def _groups(world: World, *, across_runs: bool) -> list[list[tuple[str, Statement]]]:
    """Statements that say the same, two and more of them, oldest first."""
    known = world.groups.get(across_runs)
    if known is not None:
        return known
    records = [record for record in world.records.values() if _comparable(record)]
    claims = _claims(world)
    place = {record.id: index for index, record in enumerate(records)}
    statements: list[Statement] = []
    last: dict[Scope, str] = {}
    for record in records:
        stated = claims.get(record.id, {})
        before = last.get(record.scope)
        last[record.scope] = record.id
        statements.append(
            Statement(
                record.text,
                record.event_at,
                _voice(record, across_runs=across_runs),
                frozenset(stated),
                bool(stated) and _spent(record.text, stated.values()),
                record.kind == "turn" and depends_on_context(record.text),
                None if before is None else place[before],
            )
        )
    groups: dict[int, list[int]] = {}
    for index, first in enumerate(group(statements)):
        groups.setdefault(first, []).append(index)
    found = []
    for members in groups.values():
        if len(members) > 1:
            members.sort(key=lambda index: (statements[index].at, index))
            found.append([(records[index].id, statements[index]) for index in members])
    world.groups[across_runs] = found
    return found


def _mergeable(record: Record | None) -> bool:
    return record is not None and not record.hidden and record.state != "frozen"


def _comparable(record: Record) -> bool:
    """Whether a memory takes part in the comparison: what was said or written, put away since or not."""
    return not record.derived and record.trust > 0 and record.kind not in _NO_STATEMENT


def _voice(record: Record, *, across_runs: bool) -> str:
    place = home_of(record.scope) if across_runs else record.scope
    return repr((str(place), record.kind, record.role, record.speaker, record.trust, expiry_key(record)))


def _claims(world: World) -> dict[str, dict[str, tuple[int, int] | None]]:
    """For each record what it claims, with the span that says so; None where words date it, so that more is said."""
    found: dict[str, dict[str, tuple[int, int] | None]] = {}
    for fact in world.records.values():
        if fact.kind != "fact" or not fact.derived:
            continue
        for id, span, act, polarity in _said(fact):
            stated = found.setdefault(id, {})
            stated[f"{fact.id} {act} {polarity}"] = span
            if act == "change":
                # Whoever says that it became so says that it is so.
                stated[f"{fact.id} state {polarity}"] = span
    return found


def _said(fact: Record) -> Iterator[tuple[str, tuple[int, int] | None, str, bool]]:
    """`(record, span, act, polarity)` of what a fact rests on; no span where words date it."""
    rows = fact.meta.get("said")
    if not isinstance(rows, list):
        for source in fact.sources:
            yield source.id, (source.start, source.end), "state", True
        return
    for row in rows:
        id, start, end, act, _, since, until, *rest = row
        dated = since is not None or until is not None
        yield str(id), None if dated else (int(start), int(end)), str(act), bool(rest[3]) if len(rest) > 3 else True


def _spent(text: str, spans: Iterable[tuple[int, int] | None]) -> bool:
    """Whether nothing is said outside of these spans."""
    rest = list(text)
    for span in spans:
        if span is None:
            return False
        rest[span[0] : span[1]] = " " * len(rest[span[0] : span[1]])
    return says_nothing("".join(rest))


def _why(kept: Statement, other: Statement) -> str:
    if kept.text == other.text:
        return "the same words"
    return "the same claim" if other.spent and other.claims <= kept.claims else "the same but for its form"


# Notes


def noting(world: World, *, episodes: int) -> Plan:
    """Notes of what was said in at least `episodes` episodes: one per subject and attribute, resting on those words.

    Notes that nothing bears out any more are closed; those that a user deleted are not written again.
    """
    plan = Plan()
    old = {
        record.meta.get("key"): record
        for record in world.records.values()
        if record.kind == "note" and record.origin == NOTES
    }
    wanted = _notes(world, episodes)
    for key, draft in wanted.items():
        if key in world.unwanted and key not in old:
            continue
        note = old.pop(key, None)
        if note is not None and _same(note, draft):
            continue
        plan.notes.append((note, draft))
        plan.rows.append(
            {
                "id": None if note is None else note.id,
                "event": "ADD" if note is None else "UPDATE",
                "memory": draft.text,
                "sources": len(draft.sources),
            }
        )
    for record in old.values():
        plan.closed.append(record.id)
        plan.rows.append({"id": record.id, "event": "DELETE", "memory": record.text, "sources": len(record.sources)})
    return plan


def _notes(world: World, episodes: int) -> dict[str, Draft]:
    episode_of = _episodes(world)
    topics: dict[str, list[tuple[Record, list[Source], set[str]]]] = {}
    places: dict[str, Scope] = {}
    for fact in world.records.values():
        if fact.kind != "fact" or not fact.derived or fact.hidden or fact.meta.get("status") != "held":
            continue
        if not fact.meta.get("value"):
            # That nothing is true of something any more is not worth a note.
            continue
        sources = [source for source in fact.sources if _believed(world.records.get(source.id))]
        seen = {episode_of.get(source.id) or _occasion(world.records[source.id]) for source in sources}
        if len(seen) < episodes:
            continue
        meta = fact.meta
        home = home_of(fact.scope)
        # Whoever sleeps within one session writes there.
        place = home if world.scope.covers(home) else fact.scope
        key = "|".join((str(place), str(meta["subject"]), str(meta["attribute"]), str(meta.get("polarity", True))))
        places[key] = place
        topics.setdefault(key, []).append((fact, sources, seen))
    return {key: _note(key, places[key], members) for key, members in sorted(topics.items())}


def _note(key: str, place: Scope, members: list[tuple[Record, list[Source], set[str]]]) -> Draft:
    members = sorted(members, key=lambda member: (member[0].event_at, str(member[0].meta["value"])))
    facts = [fact for fact, _, _ in members]
    first = facts[0]
    meant = attribute(str(first.meta["attribute"]))
    values = list(dict.fromkeys(str(fact.meta["value"]) for fact in facts))
    sources = sorted({source for _, some, _ in members for source in some})
    return Draft(
        text=meant.sentence(
            str(first.meta["subject"]), _listed(values), polarity=bool(first.meta.get("polarity", True))
        ),
        kind="note",
        scope=place,
        event_at=max(fact.event_at for fact in facts),
        valid_from=min(fact.valid_from for fact in facts),
        sources=tuple(sources),
        meta={
            "key": key,
            "subject": first.meta["subject"],
            "attribute": first.meta["attribute"],
            "values": values,
            "facts": [fact.id for fact in facts],
            EVIDENCE: len({source.id for source in sources}),
            "episodes": len(set().union(*(seen for _, _, seen in members))),
        },
        origin=NOTES,
        trust=min(fact.trust for fact in facts),
    )


def _episodes(world: World) -> Mapping[str, str]:
    return {
        source.id: record.id
        for record in world.records.values()
        if record.kind == "episode" and record.derived
        for source in record.sources
    }


def _occasion(record: Record) -> str:
    """When no episodes are known: the session, or the day."""
    return record.scope.run_id or record.event_at.date().isoformat()


def _believed(record: Record | None) -> bool:
    return record is not None and record.trust > 0 and record.state != "expired"


def _same(note: Record, draft: Draft) -> bool:
    return (note.text, note.sources, dict(note.meta), note.trust, note.event_at, note.valid_from) == (
        draft.text, draft.sources, dict(draft.meta), draft.trust, draft.event_at, draft.valid_from,
    )  # fmt: skip


def _listed(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
