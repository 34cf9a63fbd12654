"""The state of a mechanism that keeps its memories in a record store, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Edge, Record, Source, View
from remanence.substrates.records.operations import Edges, Find, Link, Put, Touch
from remanence.substrates.records.port import RecordStore


def take(store: RecordStore, scope: Scope, now: datetime) -> dict[str, Any]:
    """What the scope holds and `now` shows: records, how they were used, and the edges between them. What was closed or
    erased is not in it: forgotten stays forgotten."""
    records, edges = store.batch([Find(View(now), limit=None), Edges()], scope=scope).results
    # Seen from before a correction, the version that it replaced is true even when the record was forgotten since.
    records = [record for record in records if record.closed_at is None]
    held = {record.id for record in records}
    return {
        "now": now.isoformat(),
        "records": [_plain(record) for record in records],
        "edges": [list(edge) for edge in edges if edge.source in held and edge.target in held],
    }


def put_back(
    store: RecordStore, scope: Scope, state: Mapping[str, Any], derive: Callable[[Sequence[Draft]], Sequence[Draft]]
) -> datetime:
    """Write the records of `take` into a store that does not have them, under their ids; the time of the state.

    `derive` adds what is not kept because it follows from the text: terms and vectors. Sources that are not in the
    state any more are left out.
    """
    drafts = []
    placed: set[str] = set()
    for row in _sources_first(state["records"]):
        fields = {name: value for name, value in row.items() if name != "use"}
        fields["scope"] = Scope(**fields["scope"])
        fields["sources"] = tuple(Source(*source) for source in fields["sources"] if source[0] in placed)
        for name in ("event_at", "valid_from", "valid_to"):
            fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
        drafts.append(Draft(**fields))
        placed.add(row["id"])
    edges = [Link(Edge(*edge)) for edge in state.get("edges", ())]
    store.batch([*(Put(draft) for draft in derive(drafts)), *_uses(state["records"]), *edges], scope=scope)
    return datetime.fromisoformat(state["now"])


def _sources_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows in an order in which they can be written: a revised record may rest on others younger than itself."""
    by_id = {row["id"]: row for row in rows}
    ordered: dict[str, Mapping[str, Any]] = {}
    opened: set[str] = set()
    waiting = list(reversed(by_id))
    while waiting:
        id = waiting[-1]
        if id in opened:
            ordered.setdefault(waiting.pop(), by_id[id])
        else:
            opened.add(id)
            waiting += [source[0] for source in by_id[id]["sources"] if source[0] in by_id and source[0] not in opened]
    return list(ordered.values())


def _uses(rows: Sequence[Mapping[str, Any]]) -> Iterator[Touch]:
    """What gives records the counters that they had: a touch counts one use, so there is one for each."""
    used = [(row["id"], *row["use"]) for row in rows if row.get("use")]
    for count in range(1, max((hits for _, hits, *_ in used), default=0)):
        for at, ids in _by_time((id, at) for id, hits, at, *_ in used if hits > count):
            yield Touch(ids, at)
    for id, _, at, strength, utility in used:
        yield Touch((id,), datetime.fromisoformat(at), strength=strength, utility=utility)


def _by_time(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[datetime, tuple[str, ...]]]:
    groups: dict[str, list[str]] = {}
    for id, at in pairs:
        groups.setdefault(at, []).append(id)
    for at, ids in groups.items():
        yield datetime.fromisoformat(at), tuple(ids)


def _plain(record: Record) -> dict[str, Any]:
    last = record.last_hit
    return {
        "use": None if last is None else [record.hits, last.isoformat(), record.strength, record.utility],
        "id": record.id,
        "kind": record.kind,
        "text": record.text,
        "scope": asdict(record.scope),
        "event_at": record.event_at.isoformat(),
        "zone": record.zone,
        "valid_from": record.valid_from.isoformat(),
        "valid_to": None if record.valid_to is None else record.valid_to.isoformat(),
        "speaker": record.speaker,
        "role": record.role,
        "language": record.language,
        "sources": [list(source) for source in record.sources],
        "meta": dict(record.meta),
        "state": record.state,
        "origin": record.origin,
        "trust": record.trust,
    }
