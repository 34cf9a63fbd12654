"""A change of one store done again in another that holds its records, so that doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from remanence.core.errors import NotFound
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Edge, Record
from remanence.substrates.records.operations import (
    Adopt,
    Close,
    Erase,
    History,
    JournalEntry,
    Link,
    Operation,
    Receipt,
    Receipts,
    Reindex,
    Restore,
    Revise,
    Unlink,
)
from remanence.substrates.records.port import RecordStore

__all__ = ["Replay", "histories"]

WHY = "migrate"


def histories(store: RecordStore, ids: Sequence[str], scope: Scope) -> list[tuple[Record, ...]]:
    """All versions of each record that a store holds in a scope; the others are left out."""
    if not ids:
        return []
    try:
        return list(store.batch([History(id) for id in ids], scope=scope).results)
    except NotFound:
        if len(ids) == 1:
            return []
        half = len(ids) // 2
        return histories(store, ids[:half], scope) + histories(store, ids[half:], scope)


class Replay:
    """Does again in `target`, one after the other, what the journal of `source` says about a scope.

    Versions keep their numbers, texts and validity; the time of recording is that of the target. What is there already
    is passed over.
    """

    def __init__(self, source: RecordStore, target: RecordStore, scope: Scope) -> None:
        self.source = source
        self.target = target
        self.scope = scope

    def act(self, entry: JournalEntry) -> bool:
        """Do what an entry says; whether anything had to be done."""
        operations = self._erasure(entry) if entry.op == "erase" else self._operations(entry)
        if operations:
            self.target.batch(operations, scope=self.scope, actor=entry.actor, why=entry.why or WHY)
        return bool(operations)

    def _operations(self, entry: JournalEntry) -> list[Operation]:
        if entry.op in ("link", "unlink"):
            return self._link(entry)
        here = self._versions(self.source, entry.id)
        there = self._versions(self.target, entry.id)
        own = here.get(entry.version)
        if own is None:
            # It was destroyed since; the entry of the erasure says so.
            return []
        if not there:
            versions = tuple(here.values())
            return [Adopt(versions, tuple(one.terms for one in versions), (None,) * len(versions))]
        known = there.get(entry.version)
        match entry.op:
            case "revise" if entry.version == max(there) + 1:
                return [Revise(entry.id, _draft(own), entry.detail["previous"])]
            case "restore" if entry.version == max(there) + 1 and entry.detail["from"] in there:
                return [Restore(entry.id, entry.detail["from"])]
            case "close" if known is not None and known.closed_at is None:
                at = None if own.ended_at == own.valid_from else own.ended_at
                return [Close(entry.id, at, entry.version)]
            case "reindex" if known is not None and known.terms != own.terms:
                return [Reindex(entry.id, entry.version, own.terms)]
            case _:
                return []

    def _link(self, entry: JournalEntry) -> list[Operation]:
        source, target, type = (entry.detail[name] for name in ("source", "target", "type"))
        if entry.op == "unlink":
            return [Unlink(Edge(source, target, type))]
        if not (self._versions(self.target, source) and self._versions(self.target, target)):
            return []
        return [Link(Edge(source, target, type, entry.detail["weight"]))]

    def _erasure(self, entry: JournalEntry) -> list[Operation]:
        """Destroy what an erasure destroyed that still is in the target, derived records named by themselves."""
        receipts: Sequence[Receipt]
        (receipts,) = self.source.batch([Receipts()], scope=self.scope).results
        receipt = next(one for one in receipts if one.id == entry.change)
        left = [id for id in (*receipt.ids, *receipt.derived) if self._versions(self.target, id)]
        return [Erase(tuple(left), receipt.reason)] if left else []

    def _versions(self, store: RecordStore, id: str) -> dict[int, Record]:
        found = histories(store, [id], self.scope)
        return {record.version: record for record in found[0]} if found else {}


def _draft(record: Record) -> Draft:
    """A version as it was written."""
    return Draft(
        text=record.text,
        kind=record.kind,
        event_at=record.event_at,
        zone=record.zone,
        valid_from=record.valid_from,
        valid_to=record.valid_to,
        speaker=record.speaker,
        role=record.role,
        language=record.language,
        sources=record.sources,
        meta=record.meta,
        terms=record.terms,
        state=record.state,
        origin=record.origin,
        trust=record.trust,
    )
