"""The current records of a scope, in process: loaded at first use, moved forward by the journal.

For mechanisms that need all of their notes, facts or episodes at hand. Uses (`Touch`) are not journaled: counters are
as they were when the record was last written; ask the store for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from remanence.core.clock import EPOCH
from remanence.core.scope import Scope
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Changes, Find, Get
from remanence.substrates.records.port import RecordStore

_RELOADS = frozenset({"erase", "reindex"})
_MOVES = frozenset({"put", "revise", "close", "restore", "adopt"})


class Current:
    """Open records by kind and id, in order of creation, and which records rest on which."""

    def __init__(self, store: RecordStore, scope: Scope) -> None:
        self._store = store
        self._scope = scope
        self._kinds: dict[str, dict[str, Record]] = {}
        self._records: dict[str, Record] = {}
        self._citing: dict[str, dict[str, None]] = {}
        self._seq: int | None = None
        self._now = EPOCH

    def of(self, kind: str) -> Mapping[str, Record]:
        """Records of a kind by id. Do not write to it."""
        return self._kinds.get(kind, {})

    def get(self, id: str) -> Record | None:
        """One record."""
        return self._records.get(id)

    def citing(self, id: str) -> list[str]:
        """Ids of the records that name this one as a source."""
        return list(self._citing.get(id, ()))

    def dependents(self, ids: Iterable[str]) -> list[str]:
        """Ids of all that rests on these, directly or through others, each once."""
        found: dict[str, None] = {}
        waiting = list(ids)
        while waiting:
            for id in self._citing.get(waiting.pop(), ()):
                if id not in found:
                    found[id] = None
                    waiting.append(id)
        return list(found)

    def refresh(self, now: datetime) -> None:
        """Catch up with what was written to the store, by whomever, as seen from `now`."""
        self._now = max(self._now, now)
        if self._seq is None:
            self._load()
        if self._seq == self._store.position():
            return
        outcome = self._store.batch([Changes(since=self._seq or 0)], scope=self._scope)
        (entries,) = outcome.results
        if any(entry.op in _RELOADS for entry in entries):
            self._load()
            return
        ids = tuple(dict.fromkeys(entry.id for entry in entries if entry.op in _MOVES))
        if ids:
            (records,) = self._store.batch([Get(ids, View(self._now))], scope=self._scope).results
            for id, record in zip(ids, records, strict=True):
                self._remove(id)
                if record is not None and record.closed_at is None:
                    self._add(record)
        self._seq = outcome.seq

    def _load(self) -> None:
        outcome = self._store.batch([Find(View(self._now), limit=None)], scope=self._scope)
        self._kinds.clear()
        self._records.clear()
        self._citing.clear()
        for record in outcome.results[0]:
            if record.closed_at is None:
                self._add(record)
        self._seq = outcome.seq

    def _add(self, record: Record) -> None:
        known = self._kinds.setdefault(record.kind, {})
        last = next(reversed(known), "")
        known[record.id] = record
        if record.id < last:
            # A record that was revised or came back takes its old place again.
            self._kinds[record.kind] = dict(sorted(known.items()))
        self._records[record.id] = record
        for source in record.sources:
            self._citing.setdefault(source.id, {})[record.id] = None

    def _remove(self, id: str) -> None:
        record = self._records.pop(id, None)
        if record is None:
            return
        del self._kinds[record.kind][id]
        for source in record.sources:
            self._citing.get(source.id, {}).pop(id, None)
