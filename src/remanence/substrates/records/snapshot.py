"""The state of a mechanism that keeps its memories in a record store, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Record, Source, View
from remanence.substrates.records.operations import Find, Put
from remanence.substrates.records.port import RecordStore


def take(store: RecordStore, scope: Scope, now: datetime) -> dict[str, Any]:
    """What the scope holds and `now` shows. What was closed or erased is not in it: forgotten stays forgotten."""
    (records,) = store.batch([Find(View(now), limit=None)], scope=scope).results
    return {"records": [_plain(record) for record in records]}


def put_back(
    store: RecordStore, scope: Scope, state: Mapping[str, Any], derive: Callable[[Sequence[Draft]], Sequence[Draft]]
) -> None:
    """Write the records of `take` into a store that does not have them, under their ids. `derive` adds what is not
    kept because it follows from the text: terms and vectors."""
    drafts = []
    for row in state["records"]:
        fields = dict(row)
        fields["scope"] = Scope(**fields["scope"])
        fields["sources"] = tuple(Source(*source) for source in fields["sources"])
        for name in ("event_at", "valid_from", "valid_to"):
            fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
        drafts.append(Draft(**fields))
    store.batch([Put(draft) for draft in derive(drafts)], scope=scope)


def _plain(record: Record) -> dict[str, Any]:
    return {
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
    }
