"""Taking a change back: from its journal entries to the operations that bring the state before it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.model import Edge
from remanence.substrates.records.operations import (
    Changes,
    Close,
    JournalEntry,
    Link,
    Outcome,
    Restore,
    Unlink,
    WriteOperation,
)
from remanence.substrates.records.port import RecordStore

_LINKS = ("link", "unlink")


def undo(store: RecordStore, change: str, *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
    """Take back what `change` did within `scope`, as one new change, which can itself be undone.

    Nothing is rewritten: a record that the change opened is retracted, one that it altered gets a new version with the
    earlier content, links come back with their earlier weight. What was erased since stays erased.

    Raises:
        NotFound: no such change in this scope.
        InvalidInput: the change holds an erasure, which cannot be undone.
        Conflict: a later change touched the same record or link; undo that one first.

    """
    (since,) = store.batch([Changes(change=change, limit=1)], scope=scope).results
    if not since:
        raise NotFound(f"there is no change {change} in scope {scope}; see the history of a record for its changes")
    (entries,) = store.batch([Changes(since=since[0].seq - 1)], scope=scope).results
    operations = inverse(entries, change)
    return store.batch(operations, scope=scope, actor=actor, why=why or f"undo {change}")


def inverse(entries: Iterable[JournalEntry], change: str) -> list[WriteOperation]:
    """The operations that undo `change`, last effect first.

    `entries`: the journal in order, from the first entry of the change to its present end. Errors as `undo`.
    """
    mine: dict[tuple[str, ...], list[JournalEntry]] = {}
    for entry in entries:
        if entry.op == "erase":
            if entry.change == change:
                raise InvalidInput(f"change {change} erased records; an erasure cannot be undone")
            continue
        touched = _subject(entry)
        if entry.change == change:
            mine.setdefault(touched, []).append(entry)
        elif touched in mine:
            what = f"the link {' → '.join(touched[:2])}" if entry.op in _LINKS else f"record {entry.id}"
            raise Conflict(f"{what} was changed since by {entry.change} ({entry.op}); undo that change first")
    operations: list[WriteOperation] = []
    for own in reversed(mine.values()):
        operations += _link_back(own) if own[0].op in _LINKS else _record_back(own)
    return operations


def _subject(entry: JournalEntry) -> tuple[str, ...]:
    """What an entry changed: one link, or one record."""
    if entry.op in _LINKS:
        return (entry.detail["source"], entry.detail["target"], entry.detail["type"])
    return (entry.id,)


def _record_back(entries: Sequence[JournalEntry]) -> list[WriteOperation]:
    """From what one change did to one record, in order: only where it started from and where it ended matter."""
    first, last = entries[0], entries[-1]
    match first.op:
        case "put":
            before = None
        case "close":
            before = first.detail["version"]
        case _:
            before = first.detail["previous"]
    if before is not None:
        return [Restore(last.id, before, expected_version=last.version)]
    return [] if last.op == "close" else [Close(last.id, expected_version=last.version)]


def _link_back(entries: Sequence[JournalEntry]) -> list[WriteOperation]:
    first = entries[0]
    weight = first.detail["weight" if first.op == "unlink" else "previous"]
    source, target, type = _subject(first)
    return [Unlink(Edge(source, target, type)) if weight is None else Link(Edge(source, target, type, weight))]
