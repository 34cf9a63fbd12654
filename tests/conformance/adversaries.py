"""Stores that are wrong on purpose, each in one plausible way, and the rule that has to notice."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from remanence.conformance.stage import NOW, Reopen, StoreFactory
from remanence.core.scope import Scope
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import (
    Close,
    Count,
    Erase,
    Find,
    Get,
    History,
    Operation,
    Outcome,
    Put,
    Reindex,
    Revise,
    Scan,
    Touch,
)
from remanence.substrates.records.port import Tally
from remanence.substrates.records.reference import MemoryStore
from remanence.substrates.records.state import State, Version


@dataclass(frozen=True, slots=True)
class _Prefixes(Scope):
    """Covers every scope whose ids begin with its own."""

    def covers(self, other: Scope) -> bool:
        return all((getattr(other, name) or "").startswith(value) for name, value in self.items())


class PrefixMatchingScope(MemoryStore):
    """`user_id LIKE 'ana%'`: a reader of `ana` sees `ana2`."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        placed = [
            replace(op, draft=replace(op.draft, scope=op.draft.scope or scope)) if isinstance(op, Put) else op
            for op in operations
        ]
        return super().batch(placed, scope=_Prefixes(**dict(scope.items())), actor=actor, why=why)


class Remapped(MemoryStore):
    """Scope ids changed on the way in, so that different ones fall together."""

    @staticmethod
    def change(value: str) -> str:
        """The id that is used instead."""
        return value

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if isinstance(scope, Scope):
            scope = Scope(**{name: type(self).change(value) for name, value in scope.items()})
        return super().batch(operations, scope=scope, actor=actor, why=why)


class FoldsCase(Remapped):
    """A column that compares without regard to case."""

    @staticmethod
    def change(value: str) -> str:
        """Without case."""
        return value.casefold()


class NormalisesUnicode(Remapped):
    """A database that composes accents."""

    @staticmethod
    def change(value: str) -> str:
        """Composed form."""
        return unicodedata.normalize("NFC", value)


class TrimsSpaces(Remapped):
    """A form field that strips what it is given."""

    @staticmethod
    def change(value: str) -> str:
        """Without spaces at the ends."""
        return value.strip(" ") or value


class LosesUpdates(MemoryStore):
    """The last writer wins: versions that the caller expects are not compared."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        blind = [replace(op, expected_version=None) if isinstance(op, Revise) else op for op in operations]
        return super().batch(blind, scope=scope, actor=actor, why=why)


class ReusesIds(MemoryStore):
    """A free list: the id of an erased record goes to the next one."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        free = sorted(self._state.retired)
        self._state.retired.clear()
        recycled = [
            replace(op, draft=replace(op.draft, id=free.pop())) if isinstance(op, Put) and free else op
            for op in operations
        ]
        return super().batch(recycled, scope=scope, actor=actor, why=why)


class OverwritesVersions(MemoryStore):
    """UPDATE instead of INSERT: a revision takes the old version's place."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        for operation in operations:
            if isinstance(operation, Revise):
                self._state.records[operation.id] = self._state.records[operation.id][-1:]
        return outcome


class HalfApplies(MemoryStore):
    """Every operation commits on its own."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcomes = [super(HalfApplies, self).batch([op], scope=scope, actor=actor, why=why) for op in operations]
        changes = [outcome.change for outcome in outcomes if outcome.change is not None]
        results = tuple(outcome.results[0] for outcome in outcomes)
        return Outcome(changes[0] if changes else None, self.position(), results)


class KeepsCountersOfFailedBatches(MemoryStore):
    """Numbers come from a sequence outside the transaction: a failed batch uses up term integers."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        try:
            return super().batch(operations, scope=scope, actor=actor, why=why)
        except Exception:
            self._state.terms_seq += 1
            raise


class TrustsTheClock(MemoryStore):
    """Times are what the clock reads, also when it was set back."""

    def _moment(self, state: State) -> datetime:
        return self._clock()


class TalliesWhatIsDerived(MemoryStore):
    """Counts what workers made along with what was said."""

    def tallies(self, view: View) -> tuple[Tally, ...]:
        found = []
        for tally in super().tallies(view):
            (shown,) = self.batch([Find(view, limit=None)], scope=tally.scope).results
            found.append(tally._replace(memories=sum(record.scope == tally.scope for record in shown)))
        return tuple(found)


class ForgetsScopesWithoutMemories(MemoryStore):
    """Names only scopes that hold something now."""

    def scopes(self) -> tuple[Scope, ...]:
        return tuple(tally.scope for tally in super().tallies(NOW) if tally.memories)


class KeepsJournalOfErased(MemoryStore):
    """Erasing removes the rows and leaves the journal as it was."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        before = self._state
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if any(isinstance(operation, Erase) for operation in operations):
            self._state.journal = [*before.journal, self._state.journal[-1]]
        return outcome


class KeepsVocabularyOfErased(MemoryStore):
    """Erasing removes the rows and leaves their words in the index."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        before = self._state
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if any(isinstance(operation, Erase) for operation in operations):
            self._state.terms = before.terms
        return outcome


class ErasesByClosing(MemoryStore):
    """A soft delete that calls itself an erasure."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        before = self._state.copy()
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        receipts = [result for op, result in zip(operations, outcome.results, strict=True) if isinstance(op, Erase)]
        for id in (id for receipt in receipts for id in receipt.ids if id in before.records):
            self._state.records[id] = before.records[id]
            self._state.terms |= before.terms
        return outcome


class ErasesWithoutLineage(MemoryStore):
    """Only what was asked for goes; what was derived from it stays."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if not any(isinstance(operation, Erase) for operation in operations):
            return super().batch(operations, scope=scope, actor=actor, why=why)
        sources = {}
        for id, versions in self._state.records.items():
            sources[id] = [version.record.sources for version in versions]
            self._state.records[id] = tuple(_with_sources(version, ()) for version in versions)
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        for id, versions in self._state.records.items():
            pairs = zip(versions, sources.get(id, [()] * len(versions)), strict=True)
            self._state.records[id] = tuple(_with_sources(version, kept) for version, kept in pairs)
        return outcome


class FollowsLineageByRecord(MemoryStore):
    """A corrected fact survives the erasure of its first source, and so does its first wording."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if any(isinstance(operation, Erase) for operation in operations):
            for id, versions in self._state.records.items():
                union = tuple(source for version in versions for source in version.record.sources)
                self._state.records[id] = tuple(_with_sources(version, union) for version in versions)
        return super().batch(operations, scope=scope, actor=actor, why=why)


class LeaksById(MemoryStore):
    """By-id reads forget to ask whose record it is."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        for operation in operations:
            if isinstance(operation, History) and operation.id in self._state.records:
                scope = self._state.records[operation.id][0].record.scope
        return super().batch(operations, scope=scope, actor=actor, why=why)


class LeaksThroughSources(MemoryStore):
    """Lets a draft rest on a record of another scope, which tells that it exists."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        bare = [
            replace(op, draft=replace(op.draft, sources=()))
            if isinstance(op, Put) and all(source.id in self._state.records for source in op.draft.sources)
            else op
            for op in operations
        ]
        return super().batch(bare, scope=scope, actor=actor, why=why)


class QuotesTheErased(MemoryStore):
    """A receipt that says what it erased."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        texts = " ".join(version.record.text for versions in self._state.records.values() for version in versions)
        telling = [
            replace(op, reason=op.reason + f" ({texts})") if isinstance(op, Erase) and texts else op
            for op in operations
        ]
        return super().batch(telling, scope=scope, actor=actor, why=why)


class Rewritten(MemoryStore):
    """One kind of operation is asked in another way than the caller meant."""

    def rewrite(self, operation: Any) -> Any:
        """The operation that is run instead."""
        return operation

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        return super().batch([self.rewrite(op) for op in operations], scope=scope, actor=actor, why=why)


class IgnoresSystemTime(Rewritten):
    """`known_at` is accepted and has no effect."""

    def rewrite(self, operation: Any) -> Any:
        """Without `known_at`."""
        if isinstance(operation, Get | Find | Count):
            return replace(operation, view=View(operation.view.now, operation.view.as_of))
        return operation


class ShowsOneTooMany(Rewritten):
    """`<=` where `<` was meant: pages overlap by one record."""

    def rewrite(self, operation: Any) -> Any:
        """A page that begins with the record it should begin after."""
        if isinstance(operation, Find) and operation.after is not None and not operation.newest_first:
            return replace(operation, after=operation.after[:-1] + chr(ord(operation.after[-1]) - 1))
        return operation


class StripsText(Rewritten):
    """Text is trimmed before it is kept."""

    def rewrite(self, operation: Any) -> Any:
        """With spaces and NULs at the ends removed."""
        if isinstance(operation, Put):
            trimmed = operation.draft.text.strip(" \n\x00") or operation.draft.text
            return replace(operation, draft=replace(operation.draft, text=trimmed))
        return operation


class RetractsOnEveryClose(Rewritten):
    """The end of validity that a caller gives is thrown away."""

    def rewrite(self, operation: Any) -> Any:
        """Without `at`."""
        return replace(operation, at=None) if isinstance(operation, Close) else operation


class CountsUsesTwice(Rewritten):
    """Ids that are named twice are counted twice."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        for operation in operations:
            if isinstance(operation, Touch) and len(set(operation.ids)) < len(operation.ids):
                super().batch([operation], scope=scope, actor=actor, why=why)
        return super().batch(operations, scope=scope, actor=actor, why=why)


class HidesErasures(MemoryStore):
    """A scan that never tells its reader to start over."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        quiet = tuple(
            replace(result, erased=False) if isinstance(op, Scan) else result
            for op, result in zip(operations, outcome.results, strict=True)
        )
        return replace(outcome, results=quiet)


class IgnoresReindexing(Rewritten):
    """Says that the terms were replaced, and leaves them as they were."""

    def rewrite(self, operation: Any) -> Any:
        """With the terms that are there already."""
        if isinstance(operation, Reindex):
            for version in self._state.records.get(operation.id, ()):
                if version.record.version == operation.version:
                    return replace(operation, terms=version.record.terms)
        return operation


class ReindexesBehindTheReadersBacks(MemoryStore):
    """Replaces terms without a word to those who have read the old ones."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        erasures = [entry.seq for entry in self._state.journal if entry.op == "erase"]
        told = tuple(
            replace(result, erased=0 < op.after < max(erasures, default=0)) if isinstance(op, Scan) else result
            for op, result in zip(operations, outcome.results, strict=True)
        )
        return replace(outcome, results=told)


class ErasesOnlyPresentTerms(MemoryStore):
    """Erasing looks for unused words among the terms that the records have now, not among those they once had."""

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        before = self._state
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if any(isinstance(operation, Erase) for operation in operations):
            used = {term for versions in before.records.values() for one in versions for term in one.record.terms}
            self._state.terms |= {term: number for term, number in before.terms.items() if term not in used}
        return outcome


class SharesMetadata(MemoryStore):
    """Answers hand out the store's own objects."""

    shared: dict[str, Any]

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        outcome = super().batch(operations, scope=scope, actor=actor, why=why)
        if not hasattr(self, "shared"):
            self.shared = {}
        results = [
            tuple(replace(record, meta=self.shared.setdefault(record.id, record.meta)) for record in result)
            if isinstance(op, History)
            else result
            for op, result in zip(operations, outcome.results, strict=True)
        ]
        return replace(outcome, results=tuple(results))


def forgets(store: Any) -> MemoryStore:
    """A restart that finds nothing."""
    store.close()
    return MemoryStore()


def remembers(store: Any) -> MemoryStore:
    """A restart that finds everything."""
    again = MemoryStore(clock=lambda: NOW.now)
    again._state = store._state.copy()
    store.close()
    return again


def _with_sources(version: Version, sources: Any) -> Version:
    return replace(version, record=replace(version.record, sources=sources))


ADVERSARIES: tuple[tuple[StoreFactory, Reopen | None, str], ...] = (
    (HalfApplies, None, "S01"),
    (KeepsCountersOfFailedBatches, None, "S01"),
    (ReusesIds, None, "S05"),
    (TrustsTheClock, None, "S06"),
    (PrefixMatchingScope, None, "S07"),
    (FoldsCase, None, "S07"),
    (NormalisesUnicode, None, "S07"),
    (TrimsSpaces, None, "S07"),
    (LeaksById, None, "S08"),
    (LeaksThroughSources, None, "S08"),
    (MemoryStore, forgets, "S12"),
    (StripsText, None, "S21"),
    (SharesMetadata, None, "S21"),
    (OverwritesVersions, None, "S24"),
    (LosesUpdates, None, "S27"),
    (RetractsOnEveryClose, None, "S29"),
    (CountsUsesTwice, None, "S34"),
    (IgnoresReindexing, None, "S35"),
    (ReindexesBehindTheReadersBacks, None, "S35"),
    (IgnoresSystemTime, None, "S40"),
    (ShowsOneTooMany, None, "S43"),
    (ErasesByClosing, None, "S60"),
    (KeepsJournalOfErased, None, "S60"),
    (KeepsVocabularyOfErased, None, "S60"),
    (QuotesTheErased, None, "S61"),
    (ErasesWithoutLineage, None, "S62"),
    (FollowsLineageByRecord, None, "S63"),
    (HidesErasures, None, "S67"),
    (ErasesOnlyPresentTerms, None, "S71"),
    (TalliesWhatIsDerived, None, "S54"),
    (ForgetsScopesWithoutMemories, None, "S54"),
)

__all__ = ["ADVERSARIES", "remembers"]
