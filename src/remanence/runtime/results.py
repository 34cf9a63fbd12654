"""What the verbs return: plain dictionaries in the shape that the field knows from mem0, with more in them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from remanence.core.clock import from_micros
from remanence.core.ids import is_ulid, ulid_millis
from remanence.core.scope import FIELDS
from remanence.kernels.claims.known import Known
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Record
from remanence.substrates.records.operations import JournalEntry, Receipt

__all__ = [
    "EVENTS",
    "AddResult",
    "AddRow",
    "Change",
    "HistoryRow",
    "Item",
    "ManyResult",
    "Page",
    "ReceiptDict",
    "SearchResult",
    "Usage",
    "changes_of",
    "history_row",
    "hit_item",
    "item",
    "milliseconds",
    "receipt_dict",
    "stamp",
    "text_hash",
]  # fmt: skip

EVENTS = {
    "put": "ADD", "adopt": "ADOPT", "revise": "UPDATE", "close": "DELETE", "restore": "RESTORE", "link": "LINK",
    "unlink": "UNLINK", "reindex": "REINDEX", "erase": "ERASE",
}  # fmt: skip
"""Names of journal operations as callers see them."""
MOST_EVENTS = 1000
"""Events of one change that are listed."""


class Item(TypedDict, total=False):
    """One memory. Times are ISO 8601 strings in UTC; `zone` is the caller's own zone where it was another one."""

    id: str
    memory: str
    score: float
    hash: str
    metadata: dict[str, Any]
    created_at: str
    updated_at: str
    event_at: str
    zone: str | None
    valid_from: str
    valid_to: str | None
    user_id: str | None
    agent_id: str | None
    run_id: str | None
    app_id: str | None
    actor_id: str | None
    """The speaker's name, under mem0's key for it."""
    speaker: str | None
    role: str | None
    language: str | None
    kind: str
    state: str
    version: int
    sources: list[dict[str, Any]]
    hits: int
    channels: dict[str, float]
    origin: str | None
    trust: float
    superseded: bool
    """Whether it speaks of what was asked, and holds no longer by a later word on the same matter."""
    facts: list[dict[str, Any]]
    """What it states by the facts that are known: `id`, `memory`, `status`, `since`, `until`."""


class AddRow(TypedDict, total=False):
    """What became of one message: event "ADD", or "NONE" with a `reason`."""

    id: str
    memory: str
    event: str
    version: int
    searchable: bool
    reason: str


class Usage(TypedDict, total=False):
    """What a call took."""

    ms: float


class AddResult(TypedDict, total=False):
    """Answer to `add`, `update` and `delete`; `change` is what `undo` takes, None when nothing was written."""

    results: list[AddRow]
    change: str | None
    degraded: list[str]
    usage: Usage
    message: str


class ManyResult(TypedDict, total=False):
    """Answer to `add_many`: ids in the order of the items (None where `skipped` says why), and what was committed."""

    ids: list[str | None]
    count: int
    skipped: list[dict[str, Any]]
    changes: list[str]
    degraded: list[str]
    usage: Usage


class SearchResult(TypedDict, total=False):
    """Answer to `search`: `answerable`, the probability that any result answers; `degraded`, what did not work."""

    results: list[Item]
    answerable: float
    degraded: list[str]
    usage: Usage


class Page(TypedDict):
    """Answer to `get_all`: pass `next` as `page` to go on; None at the end."""

    results: list[Item]
    next: str | None


class HistoryRow(TypedDict):
    """One change of one memory."""

    id: str
    memory_id: str
    event: str
    old_memory: str | None
    new_memory: str | None
    version: int
    change: str
    created_at: str
    updated_at: str
    valid_from: str | None
    valid_to: str | None
    is_deleted: bool
    actor_id: str | None
    role: str | None
    actor: str
    why: str


class Change(TypedDict):
    """One change of the store, as `changes` lists it."""

    change: str
    at: str
    actor: str
    why: str
    count: int
    events: list[dict[str, Any]]


class ReceiptDict(TypedDict):
    """Proof of an erasure: ids, counts, time and reason, but no text."""

    id: str
    scope: dict[str, str]
    at: str
    actor: str
    reason: str
    ids: list[str]
    derived: list[str]
    kept: list[str]
    counts: dict[str, int]


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC."""
    return moment.isoformat()


def text_hash(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def item(record: Record, known_at: datetime | None = None) -> Item:
    """A record in the shape of the field, as it was known at a time; None: as it is known now."""
    scope = record.scope
    return {
        "id": record.id,
        "memory": record.text,
        "hash": text_hash(record.text),
        "metadata": dict(record.meta),
        "created_at": stamp(_created(record)),
        "updated_at": stamp(record.recorded_at),
        "event_at": stamp(record.event_at),
        "zone": record.zone,
        "valid_from": stamp(record.valid_from),
        "valid_to": None if (end := _ends(record, known_at)) is None else stamp(end),
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "run_id": scope.run_id,
        "app_id": scope.app_id,
        "actor_id": record.speaker,
        "speaker": record.speaker,
        "role": record.role,
        "language": record.language,
        "kind": record.kind,
        "state": record.state,
        "version": record.version,
        "sources": [source._asdict() for source in record.sources],
        "hits": record.hits,
        "origin": record.origin,
        "trust": record.trust,
    }


def hit_item(
    hit: Hit, record: Record, *, known_at: datetime | None, explain: bool, facts: Sequence[Known] = (), outdated: bool
) -> Item:
    """A search result, with the facts that it states."""
    from remanence.kernels.claims.ontology import attribute

    found = item(record, known_at)
    found["score"] = hit.score
    found["superseded"] = outdated
    found["facts"] = [
        {
            "id": fact.id,
            "memory": attribute(fact.attribute).sentence(fact.subject, fact.value, polarity=fact.polarity),
            "status": fact.status,
            "since": stamp(fact.valid_from),
            "until": None if fact.valid_to is None else stamp(fact.valid_to),
        }
        for fact in facts
    ]
    if explain:
        found["channels"] = dict(hit.channels)
    return found


def history_row(entry: JournalEntry, versions: Mapping[int, Record]) -> HistoryRow:
    """A journal entry of one record beside the texts before and after it; `versions` by number."""
    # A version that an erasure destroyed has no text to show.
    before = versions.get(entry.version if entry.op == "close" else entry.detail.get("previous") or 0)
    after = None if entry.op == "close" else versions.get(entry.version)
    about = after or before
    first = min(versions.values(), key=lambda record: record.version)
    return {
        "id": f"{entry.change}-{entry.seq}",
        "memory_id": entry.id,
        "event": EVENTS[entry.op],
        "old_memory": None if before is None else before.text,
        "new_memory": None if after is None else after.text,
        "version": entry.version,
        "change": entry.change,
        "created_at": stamp(_created(first)),
        "updated_at": stamp(entry.at),
        "valid_from": None if about is None else stamp(about.valid_from),
        "valid_to": None if about is None or (end := _ends(about, None)) is None else stamp(end),
        "is_deleted": entry.op == "close",
        "actor_id": None if about is None else about.speaker,
        "role": None if about is None else about.role,
        "actor": entry.actor,
        "why": entry.why,
    }


def changes_of(entries: Sequence[JournalEntry]) -> list[Change]:
    """Journal entries grouped by change, newest change first, each with its first `MOST_EVENTS`."""
    found: dict[str, Change] = {}
    for entry in entries:
        change = found.get(entry.change)
        if change is None:
            change = found[entry.change] = {
                "change": entry.change, "at": stamp(entry.at), "actor": entry.actor, "why": entry.why, "count": 0,
                "events": [],
            }  # fmt: skip
        change["count"] += 1
        if change["count"] <= MOST_EVENTS:
            change["events"].append({"event": EVENTS[entry.op], "id": entry.id, "version": entry.version})
    return list(reversed(found.values()))


def receipt_dict(receipt: Receipt) -> ReceiptDict:
    """A receipt as plain data."""
    return {
        "id": receipt.id,
        "scope": {name: value for name in FIELDS if (value := getattr(receipt.scope, name)) is not None},
        "at": stamp(receipt.at),
        "actor": receipt.actor,
        "reason": receipt.reason,
        "ids": list(receipt.ids),
        "derived": list(receipt.derived),
        "kept": list(receipt.kept),
        "counts": dict(receipt.counts),
    }


def _created(record: Record) -> datetime:
    """When the first version was recorded; later versions know it from their id, to the millisecond."""
    if record.version == 1 or not is_ulid(record.id):
        return record.recorded_at
    return from_micros(ulid_millis(record.id) * 1000)


def _ends(record: Record, known_at: datetime | None) -> datetime | None:
    """When a version stopped being true: its own end or that of its closing, if known by then, whichever is earlier."""
    closing_known = record.closed_at is not None and (known_at is None or record.closed_at <= known_at)
    moments = [record.valid_to, record.ended_at if closing_known else None]
    return min((moment for moment in moments if moment is not None), default=None)


def milliseconds(started: float) -> float:
    """Time since `started`, a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 3)
