"""The verbs that read: search, get, get_all, history, changes, receipts, stats."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.clock import from_micros
from remanence.core.errors import InvalidInput, NotFound, StoreError
from remanence.core.ids import is_ulid
from remanence.core.scope import Scope
from remanence.kernels.claims.known import Verdict
from remanence.runtime.arguments import memory_id_of
from remanence.runtime.engine import Engine
from remanence.runtime.outbox import WORKER
from remanence.runtime.resilience import Resilient
from remanence.runtime.results import (
    Change,
    HistoryRow,
    Item,
    Page,
    ReceiptDict,
    SearchResult,
    changes_of,
    history_row,
    hit_item,
    item,
    milliseconds,
    receipt_dict,
    stamp,
)
from remanence.runtime.vectors import LateVectors
from remanence.substrates.embedding import EmbeddingSpace
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Record, Source, View
from remanence.substrates.records.operations import (
    NEVER,
    Changes,
    Columns,
    Count,
    Edges,
    Find,
    Get,
    History,
    JournalEntry,
    Operation,
    Receipt,
    Receipts,
    Scan,
    Spaces,
)

__all__ = ["Found", "changes", "find", "get", "get_all", "history", "receipts", "search", "stats", "whole"]

_RECORD_OPS = frozenset(("put", "revise", "close", "restore"))
_FIRST_LOOK = 256


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. Every hit carries its record."""

    hits: list[Hit]
    answerable: float
    degraded: list[str]
    space: EmbeddingSpace
    """The space of the index that was searched."""
    verdict: Verdict
    """What the known facts say to the question."""


def find(
    engine: Engine,
    late: LateVectors,
    query: object,
    k: int,
    scope: Scope,
    view: View,
    *,
    where: Mapping[str, Any],
    kinds: tuple[str, ...] | None,
    explain: bool = False,
) -> Found:
    """The k best memories for a query, counted as used. Raises what `Memory.search` raises."""
    if not isinstance(query, str):
        raise InvalidInput(f"the query must be a string, not {type(query).__name__}")
    if not query.strip():
        raise InvalidInput("the query is empty; say what to look for, or list memories with get_all()")
    embedder = Resilient(engine.embedder, engine.breaker)
    verdict = engine.truth.verdict(query, scope, view)
    recall = engine.recall(scope, embedder, lambda *_: verdict)

    def look() -> list[Hit]:
        # The estimate whether anything answers looks at the two best, however few are wanted.
        return recall.search(query, max(k, 2), view=view, where=where or None, kinds=kinds, explain=explain)

    hits = look()
    degraded: list[str] = []
    if embedder.reason is None and late.behind(scope, embedder.space):
        degraded = late.catch_up(scope, embedder)
        hits = look()
    answerable = recall.answerable(hits, verdict)
    if embedder.reason is not None and not degraded:
        degraded.append(f"words were searched and meaning was not: {embedder.reason}")
    hits = hits[:k]
    engine.handed_out.note(scope, [hit.text for hit in hits])
    try:
        engine.count_use(scope, [hit.id for hit in hits], view.now)
    except StoreError as error:
        degraded.append(f"uses could not be counted: {error}")
    return Found(hits, answerable, degraded, embedder.space, verdict)


def search(
    engine: Engine,
    late: LateVectors,
    query: str,
    k: int,
    scope: Scope,
    view: View,
    *,
    where: Mapping[str, Any],
    kinds: tuple[str, ...] | None,
    threshold: object,
    explain: bool,
) -> SearchResult:
    """Ranked memories. See `Memory.search`."""
    started = time.perf_counter()
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, int | float) or math.isnan(threshold)
    ):
        raise InvalidInput(f"threshold={threshold!r} must be a probability between 0 and 1")
    found = find(engine, late, query, k, scope, view, where=where, kinds=kinds, explain=explain)
    outdated = {turn for turn, _ in found.verdict.outdated}
    stated = engine.truth.stated_by([hit.id for hit in found.hits], scope, view)
    result: SearchResult = {
        "results": [
            hit_item(
                hit,
                record_of(hit),
                known_at=view.known_at,
                explain=explain,
                facts=facts,
                outdated=hit.id in outdated,
            )
            for hit, facts in zip(found.hits, stated, strict=True)
            if threshold is None or hit.score >= threshold
        ],
        "answerable": found.answerable,
        "usage": {"ms": milliseconds(started)},
    }
    if found.degraded:
        result["degraded"] = found.degraded
    return result


def record_of(hit: Hit) -> Record:
    """The record of a hit from a record store."""
    if hit.record is None:
        raise AssertionError(f"hit {hit.id} came without its record")
    return hit.record


def get(engine: Engine, memory_id: str, scope: Scope, view: View) -> Item | None:
    """One memory, None if the view shows none. See `Memory.get`."""
    ((record,),) = engine.read([Get((memory_id,), view)], scope)
    return None if record is None else item(record, view.known_at)


def whole(engine: Engine, ids: Sequence[str] | str | None, scope: Scope) -> tuple[Source, ...]:
    """The whole texts of memories as sources of another one. Raises `NotFound` for what is not there now."""
    wanted = () if ids is None else (ids,) if isinstance(ids, str) else tuple(dict.fromkeys(ids))
    if not wanted:
        return ()
    records: tuple[Record | None, ...]
    (records,) = engine.read([Get(tuple(memory_id_of(id) for id in wanted), View(engine.now()))], scope)
    found: list[Source] = []
    for id, record in zip(wanted, records, strict=True):
        if record is None:
            raise NotFound(f"nothing can rest on {id}: there is no such memory in {scope}, or it holds no longer")
        found.append(Source(id, 0, len(record.text)))
    return tuple(found)


def get_all(
    engine: Engine,
    limit: int,
    scope: Scope,
    view: View,
    *,
    where: Mapping[str, Any],
    kinds: tuple[str, ...] | None,
    page: str | None,
    newest_first: bool,
) -> Page:
    """A page of memories. See `Memory.get_all`."""
    if page is not None and not is_ulid(page):
        raise InvalidInput(f"page={page!r} is no page; pass the 'next' of the page before")
    # Whoever names kinds wants all of these kinds; else what was said, and not what was worked out from it.
    operation = Find(view, kinds, where, limit + 1, page, newest_first, derived=None if kinds else False)
    records: tuple[Record, ...]
    (records,) = engine.read([operation], scope)
    shown = records[:limit]
    return {
        "results": [item(record, view.known_at) for record in shown],
        "next": shown[-1].id if shown and len(records) > limit else None,
    }


def history(engine: Engine, memory_id: str, scope: Scope) -> list[HistoryRow]:
    """Every change of one memory. See `Memory.history`."""
    versions: tuple[Record, ...]
    entries: tuple[JournalEntry, ...]
    memory_id = memory_id_of(memory_id)
    versions, entries = engine.read([History(memory_id), Changes(id=memory_id)], scope)
    by_number = {record.version: record for record in versions}
    return [history_row(entry, by_number) for entry in entries if entry.op in _RECORD_OPS]


def changes(
    engine: Engine, scope: Scope, limit: int, *, derived: bool = True, before: str | None = None
) -> list[Change]:
    """The newest changes, newest first. See `Memory.changes`."""
    end = engine.store.position()
    if before is not None:
        first: Sequence[JournalEntry]
        (first,) = engine.read([Changes(change=before, limit=1)], scope)
        if not first:
            raise NotFound(f"before={before!r} is no change of this scope; begin again without it")
        end = first[0].seq - 1
    rows: list[JournalEntry] = []
    span = max(_FIRST_LOOK, limit)
    while limit and end:
        since = max(0, end - span)
        (entries,) = engine.read([Changes(since=since, until=end)], scope)
        rows = [*(entry for entry in entries if derived or entry.actor != WORKER), *rows]
        found = changes_of(rows)
        # The oldest change in the window may have begun before it, so it counts only when the window is all there is.
        if since == 0 or len(found) > limit:
            return found[:limit]
        end, span = since, span * 8
    return []


def receipts(
    engine: Engine, scope: Scope, limit: int, *, after: str | None = None, receipt_id: str | None = None
) -> list[ReceiptDict]:
    """Receipts of erasures within the scope, oldest first. See `Memory.receipts`."""
    found: Sequence[Receipt]
    (found,) = engine.read([Receipts()], scope)
    if receipt_id is not None:
        found = [receipt for receipt in found if receipt.id == receipt_id]
    if after is not None:
        place = next((place for place, receipt in enumerate(found, 1) if receipt.id == after), None)
        if place is None:
            raise NotFound(f"after={after!r} is no receipt of this scope; begin again without it")
        found = found[place:]
    return [receipt_dict(receipt) for receipt in found[:limit]]


def stats(engine: Engine, scope: Scope) -> dict[str, Any]:
    """Counts of one scope. See `Memory.stats`."""
    columns: Columns
    operations: list[Operation] = [Count(View(engine.now()), derived=False), Scan(), Spaces(), Edges(), Receipts()]
    shown, columns, spaces, edges, receipts = engine.read(operations, scope)
    is_open = columns.closed_at == NEVER
    events = columns.event_at[is_open]
    kinds = Counter(columns.kinds[row] for row in np.flatnonzero(is_open).tolist())
    return {
        "scope": dict(scope.items()),
        "memories": shown,
        "records": len(set(columns.ids)),
        "versions": len(columns.ids),
        "open": int(is_open.sum()),
        "kinds": dict(sorted(kinds.items())),
        "speakers": len({name for name in columns.speakers if name}),
        "sessions": len({place.run_id for place in columns.scopes if place.run_id is not None}),
        "edges": len(edges),
        "vectors": dict(spaces),
        "embedder": engine.embedder.space.key,
        "first_event_at": stamp(from_micros(int(events.min()))) if len(events) else None,
        "last_event_at": stamp(from_micros(int(events.max()))) if len(events) else None,
        "erasures": len(receipts),
        "store": engine.place,
        "indexes": {"scopes": len(engine.indexes), "bytes": engine.indexes.nbytes},
    }
