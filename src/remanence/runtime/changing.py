"""The verbs that change what is remembered: update, delete, delete_all, undo. None of them overwrites anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.runtime import outbox
from remanence.runtime.adding import derive
from remanence.runtime.arguments import Time, memory_id_of, moment_of
from remanence.runtime.engine import Engine
from remanence.runtime.merged import with_merged
from remanence.runtime.messages import read_time
from remanence.runtime.results import EVENTS, AddResult, AddRow, milliseconds
from remanence.substrates.records.model import Draft, Record, is_derived
from remanence.substrates.records.operations import NEVER, Changes, Close, Columns, History, Revise, Scan
from remanence.substrates.records.undo import undo as take_back

__all__ = ["as_draft", "delete", "delete_all", "one_text", "undo", "update"]

_ATTEMPTS: Final = 10
"""How often a change is tried anew when another writer was faster."""


def update(
    engine: Engine,
    memory_id: str,
    scope: Scope,
    *,
    text: str | None,
    metadata: Mapping[str, Any] | None,
    timestamp: Time | None,
    valid_from: Time | None,
    valid_to: Time | None,
    expected_version: int | None,
    correction: bool,
) -> AddResult:
    """Open a new version. See `Memory.update`."""
    started = time.perf_counter()
    changes = _changes(text, metadata, timestamp, valid_from, valid_to)
    for _ in range(_ATTEMPTS):
        old = _open_version(engine, memory_id, scope)
        draft = as_draft(old)
        if old.derived:
            # Whoever changes what a worker has derived makes it their own word, which no rebuild may drop.
            draft = replace(draft, origin=None)
        if text is not None and not correction:
            # Something new is true from now on, or from when the caller says.
            draft = replace(draft, event_at=None, zone=None, valid_from=None, valid_to=None)
        (draft,), degraded = derive(engine, [replace(draft, **changes)], scope)
        seen = old.version if expected_version is None else expected_version
        revise = Revise(memory_id, draft, expected_version=seen)
        try:
            outcome = engine.write([revise, *outbox.follow(engine, [old.scope])], scope)
        except Conflict:
            if expected_version is not None:
                raise
            continue
        if draft.vector is None:
            engine.note_unembedded([scope])
        row: AddRow = {
            "id": memory_id,
            "memory": draft.text,
            "event": "UPDATE",
            "version": outcome.results[0].version,
            "searchable": True,
        }
        result: AddResult = {
            "message": "Memory updated successfully!",
            "results": [row],
            "change": outcome.change,
            "usage": {"ms": milliseconds(started)},
        }
        if degraded:
            result["degraded"] = degraded
        return result
    raise Conflict(f"memory {memory_id} was changed by others {_ATTEMPTS} times in a row; try again")


def one_text(text: str | None, data: str | None) -> str | None:
    """`text` and `data` are two names for one thing."""
    if text is not None and data is not None and text != data:
        raise InvalidInput("text and data are synonyms and say different things; give one of them")
    return text if text is not None else data


def delete(engine: Engine, memory_id: str, scope: Scope, *, at: Time | None, expected_version: int | None) -> AddResult:
    """Close a memory. See `Memory.delete`."""
    started = time.perf_counter()
    end = moment_of(at)
    place = _newest_version(engine, memory_id, scope).scope
    # Whoever lets go of what stands for repetitions means these too.
    twins = [Close(id, end) for id in with_merged(engine, [memory_id], scope) if id != memory_id]
    follow = outbox.follow(engine, [place]) if not twins else outbox.spread(engine)
    outcome = engine.write([Close(memory_id, end, expected_version), *twins, *follow], scope)
    return {
        "message": "Memory deleted successfully!",
        "results": [{"id": memory_id, "event": "DELETE", "version": outcome.results[0].version}],
        "change": outcome.change,
        "usage": {"ms": milliseconds(started)},
    }


def delete_all(engine: Engine, scope: Scope) -> dict[str, Any]:
    """Close every memory of a scope. See `Memory.delete_all`."""
    for _ in range(_ATTEMPTS):
        (columns,) = engine.read([Scan()], scope)
        ids = _open_ids(columns)
        try:
            closes = [Close(id) for id in ids]
            outcome = engine.write([*closes, *outbox.follow(engine, _places(columns))], scope) if ids else None
        except NotFound:
            # One of them was closed or erased since it was listed.
            continue
        return {
            "message": "Memories deleted successfully!",
            "count": sum(not is_derived(columns.origins[row]) for row in np.flatnonzero(columns.closed_at == NEVER)),
            "change": None if outcome is None else outcome.change,
        }
    raise Conflict(f"the memories of {scope} were changed by others {_ATTEMPTS} times in a row; try again")


def undo(engine: Engine, change: str | Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Take a change back. See `Memory.undo`."""
    asked = change.get("change") if isinstance(change, Mapping) else change
    if not isinstance(asked, str) or not asked:
        raise InvalidInput(f"{asked!r} is no change; pass the 'change' of a result, of a history row or of changes()")
    outcome = take_back(engine.store, asked, scope=scope, actor=engine.actor, also=outbox.spread(engine))
    engine.saw(outcome.results)
    entries = engine.read([Changes(change=outcome.change)], scope)[0] if outcome.change is not None else ()
    return {
        "undone": asked,
        "change": outcome.change,
        "results": [{"id": entry.id, "event": EVENTS[entry.op], "version": entry.version} for entry in entries],
    }


def _changes(
    text: object,
    metadata: Mapping[str, Any] | None,
    timestamp: Time | None,
    valid_from: Time | None,
    valid_to: Time | None,
) -> dict[str, Any]:
    """The fields of a draft that the caller sets."""
    if text is not None and (not isinstance(text, str) or not text.strip()):
        raise InvalidInput(f"text must be a string that is not empty, not {text!r}; delete() removes a memory")
    changes: dict[str, Any] = {}
    if text is not None:
        # New words come from the caller; the sources of the old ones do not vouch for them.
        changes.update(text=text, sources=())
    if metadata is not None:
        changes["meta"] = metadata
    if timestamp is not None:
        changes["event_at"], changes["zone"] = read_time(timestamp)
    if valid_from is not None:
        changes["valid_from"] = moment_of(valid_from)
    if valid_to is not None:
        changes["valid_to"] = moment_of(valid_to)
    if not changes:
        raise InvalidInput("update() has nothing to change: pass text, metadata, timestamp, valid_from or valid_to")
    return changes


def _newest_version(engine: Engine, memory_id: str, scope: Scope) -> Record:
    (versions,) = engine.read([History(memory_id_of(memory_id))], scope)
    newest: Record = versions[-1]
    return newest


def _open_version(engine: Engine, memory_id: str, scope: Scope) -> Record:
    newest = _newest_version(engine, memory_id, scope)
    if newest.closed_at is not None:
        raise NotFound(f"memory {memory_id} was deleted; undo that change first, or add the memory anew")
    return newest


def as_draft(record: Record) -> Draft:
    """A version as a draft of the next one: all that the caller gave, without what follows from the text."""
    return Draft(
        text=record.text,
        kind=record.kind,
        scope=record.scope,
        event_at=record.event_at,
        zone=record.zone,
        valid_from=record.valid_from,
        valid_to=record.valid_to,
        speaker=record.speaker,
        role=record.role,
        language=record.language,
        sources=record.sources,
        meta=record.meta,
        state=record.state,
        origin=record.origin,
        trust=record.trust,
    )


def _open_ids(columns: Columns) -> list[str]:
    """Ids of what was said and is not closed, also where its validity has ended. What was derived follows by itself."""
    rows = np.flatnonzero(columns.closed_at == NEVER).tolist()
    return [columns.ids[row] for row in rows if not is_derived(columns.origins[row])]


def _places(columns: Columns) -> list[Scope]:
    """Scopes of what is not closed."""
    return [columns.scopes[place] for place in np.unique(columns.scope_of[columns.closed_at == NEVER]).tolist()]
