"""Taking a change back: from its journal entries to the operations that bring the state before it back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.model import Edge
from remanence.substrates.records.operations import (
    Changes,
    Close,
    History,
    JournalEntry,
    Link,
    Outcome,
    Restore,
    Unlink,
    WorkOperation,
    WriteOperation,
)
from remanence.substrates.records.port import RecordStore

_LINKS = ("link", "unlink")


def undo(
    store: RecordStore,
    change: str,
    *,
    scope: Scope,
    actor: str = "",
    why: str = "",
    also: Sequence[WorkOperation] = (),
) -> Outcome:
    """Take back what `change` did within `scope`, as one new change, which can itself be undone.

    `also` is work that follows from it, such as jobs that derive anew; it stands in the same batch, behind the rest.

    Nothing is rewritten: a record that the change opened is retracted, one that it altered gets a new version with the
    earlier content, links come back with their earlier weight. What was erased since stays erased. Changes can be
    undone one after the other, newest first: a later change that was itself undone does not stand in the way. Neither
    does a reindexing, which has no inverse: terms follow from the text.

    Raises:
        NotFound: no such change in this scope.
        InvalidInput: the change holds an erasure, which cannot be undone, or nothing but reindexings.
        Conflict: a later change altered the same record or link and still stands; undo that one first.

    """
    (first,) = store.batch([Changes(change=change, limit=1)], scope=scope).results
    if not first:
        raise NotFound(f"there is no change {change} in scope {scope}; see the history of a record for its changes")
    (entries,) = store.batch([Changes(since=first[0].seq - 1)], scope=scope).results
    mine = {entry.id for entry in entries if entry.change == change}
    closed = sorted({entry.id for entry in entries if entry.op == "close" and entry.change != change} & mine)
    histories = store.batch([History(id) for id in closed], scope=scope).results
    retracted = {(v.id, v.version) for versions in histories for v in versions if v.ended_at == v.valid_from}
    operations = inverse(entries, change, retracted)
    return store.batch([*operations, *also], scope=scope, actor=actor, why=why or f"undo {change}")


def inverse(
    entries: Iterable[JournalEntry], change: str, retracted: Collection[tuple[str, int]] = ()
) -> list[WriteOperation]:
    """The operations that undo `change`, last effect first.

    `entries`: the journal in order, from the first entry of the change to its present end. `retracted`: (id, version)
    of those versions, among the ones closed since, that hold for no event time any more. Errors as `undo`.
    """
    lives: dict[tuple[str, ...], list[JournalEntry]] = {}
    reindexed = False
    for entry in entries:
        if entry.op == "reindex":
            reindexed = reindexed or entry.change == change
        elif entry.op == "erase":
            if entry.change == change:
                raise InvalidInput(f"change {change} erased records; an erasure cannot be undone")
        elif entry.change == change:
            lives.setdefault(_subject(entry), []).append(entry)
        elif (subject := _subject(entry)) in lives:
            lives[subject].append(entry)
    if reindexed and not lives:
        raise InvalidInput(
            f"change {change} only derived search terms anew, so there is nothing to take back; `rebuild` derives them "
            "again with the present settings"
        )
    operations: list[WriteOperation] = []
    for life in reversed(lives.values()):
        _check_unchanged(life, change, retracted)
        operations += _link_back(life[0]) if life[0].op in _LINKS else _record_back(life)
    return operations


def _check_unchanged(life: Sequence[JournalEntry], change: str, retracted: Collection[tuple[str, int]]) -> None:
    """Raise `Conflict` unless what the change made of a record or link is what stands now."""
    states = list(_states(life, retracted))
    own = sum(entry.change == change for entry in life)
    if states[-1] != states[own - 1]:
        cause = life[states.index(states[-1], own)]
        what = f"the link {' → '.join(_subject(cause)[:2])}" if cause.op in _LINKS else f"record {cause.id}"
        raise Conflict(f"{what} was changed since by {cause.change} ({cause.op}); undo that change first")


def _states(life: Iterable[JournalEntry], retracted: Collection[tuple[str, int]]) -> Iterator[object]:
    """What stands after each entry, such that equal values mean the same content.

    The weight of a link; for an open record the version that its content was first written as. Each closing is a state
    of its own, except for one that merely takes back the reopening of a closed record.
    """
    origin: dict[int, int] = {}
    state: object = None
    reopened: dict[object, object] = {}
    for entry in life:
        match entry.op:
            case "link":
                state = entry.detail["weight"]
            case "unlink":
                state = None
            case "close" if state in reopened and (entry.id, entry.version) in retracted:
                state = reopened[state]
            case "close":
                state = ("closed", entry.seq)
            case "adopt" if not entry.detail["open"]:
                state = ("closed", entry.seq)
            case "restore":
                origin[entry.version] = origin.get(entry.detail["from"], entry.detail["from"])
                if entry.detail["previous"] is None:
                    reopened.setdefault(origin[entry.version], state)
                state = origin[entry.version]
            case _:
                state = entry.version
        yield state


def _subject(entry: JournalEntry) -> tuple[str, ...]:
    """What an entry changed: one link, or one record."""
    if entry.op in _LINKS:
        return (entry.detail["source"], entry.detail["target"], entry.detail["type"])
    return (entry.id,)


def _record_back(life: Sequence[JournalEntry]) -> list[WriteOperation]:
    """Only where a record stood before the change and where it stands now matter, not the steps between."""
    first, last = life[0], life[-1]
    match first.op:
        case "put" | "adopt":
            before = None
        case "close":
            before = first.detail["version"]
        case _:
            before = first.detail["previous"]
    if before is not None:
        return [Restore(last.id, before, expected_version=last.version)]
    over = last.op == "close" or (last.op == "adopt" and not last.detail["open"])
    return [] if over else [Close(last.id, expected_version=last.version)]


def _link_back(first: JournalEntry) -> list[WriteOperation]:
    weight = first.detail["weight" if first.op == "unlink" else "previous"]
    source, target, type = _subject(first)
    return [Unlink(Edge(source, target, type)) if weight is None else Link(Edge(source, target, type, weight))]
