"""What rests on something that is no longer true: conclusions are marked, and drop out of what holds now.

A conclusion names the memories that it was drawn from. It stands as long as they do. Whether a premise still stands is
looked up anew each time, so the outcome does not depend on the order of jobs, and a conclusion whose premise comes back
(because what had ended it was undone) is restored, by a revision that everybody can see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from remanence.core.ids import is_ulid, ulid_millis
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.truth import value_key
from remanence.runtime.changing import as_draft
from remanence.runtime.enrichment.book import Book, Fact, book_of
from remanence.runtime.enrichment.handler import Batch, newest_versions
from remanence.runtime.maintenance import histories
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.operations import Close, Put, Receipts, Revise, WriteOperation

__all__ = ["HANDLER", "STALE", "Dependents", "consequences"]

STALE: Final = "stale"
"""Value of the metadata key `status` of what rests on something untrue; `stale_because` names the premises."""
_MARKS: Final = ("status", "stale_because", "stale_from")
_MOMENT: Final = timedelta(microseconds=1)


class Dependents:
    """The handler of what users concluded from turns and facts."""

    name: ClassVar[str] = "dependents"
    after: ClassVar[tuple[str, ...]] = ("facts",)

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """Revisions of the conclusions whose premises have changed with the batch."""
        return consequences(batch, book_of(batch.engine, batch.home), batch.planned)


HANDLER: Final = Dependents()


@dataclass(frozen=True, slots=True)
class _Standing:
    """A fact after the writes that are planned."""

    subject: str
    value: str
    attribute: str
    turns: frozenset[str]
    """Records that state it."""
    open: bool
    until: datetime | None
    ended_by: str
    """Record that says that it is over, or that it was never so."""


def consequences(batch: Batch, book: Book, planned: Sequence[WriteOperation]) -> list[WriteOperation]:
    """The revisions of conclusions that follow from a batch and from writes on facts that are planned with it."""
    if not book.resting:
        return []
    view = _After(batch, book, planned)
    waiting = dict.fromkeys(view.moved)
    done: dict[str, Record | Draft] = {}
    written: list[WriteOperation] = []
    own = [turn for turn in batch.turns if turn.id in book.resting]
    while waiting or own:
        found = {record.id: record for record in own}
        for premise in waiting:
            found.update({record.id: record for record in book.dependents(premise)})
        waiting, own = {}, []
        for id in sorted(found):
            if id in done:
                continue
            draft = view.judged(found[id])
            if draft is not None:
                done[id] = draft
                view.stale[id] = draft.meta.get("status") == STALE
                written.append(Revise(id, draft, expected_version=found[id].version))
                waiting[id] = None
    return written


class _After:
    """How premises stand once the planned writes are there."""

    def __init__(self, batch: Batch, book: Book, planned: Sequence[WriteOperation]) -> None:
        self.batch = batch
        self.book = book
        self.stale: dict[str, bool] = {}
        """Whether a conclusion is stale, for those that this batch decides on."""
        self._facts: dict[str, _Standing] = {}
        self._by_turn: dict[str, dict[str, None]] = {}
        self._turns: dict[str, Record | None] = {turn.id: turn for turn in batch.turns}
        self._turns.update(dict.fromkeys(batch.gone))
        self._lost = self._erased() if batch.gone or batch.turns else {}
        self._plan(planned)
        turns = {turn for standing in self._facts.values() for turn in standing.turns}
        self.moved = [*sorted({*self._facts, *turns, *batch.gone, *batch.changed, *(t.id for t in batch.turns)})]

    def _plan(self, planned: Sequence[WriteOperation]) -> None:
        for operation in planned:
            match operation:
                case Put(draft) if draft.id is not None and _is_fact(draft):
                    self._set(draft.id, _standing(draft.meta, draft.valid_to, open=True))
                case Revise(id, draft) if _is_fact(draft):
                    self._set(id, _standing(draft.meta, draft.valid_to, open=True))
                case Close(id) if id in self._facts or id in self.book.facts:
                    self._set(id, replace(self.fact(id), open=False))

    def _set(self, id: str, standing: _Standing) -> None:
        before = self.book.facts.get(id)
        turns = standing.turns if before is None else standing.turns | _stating(before)
        self._facts[id] = replace(standing, turns=turns)
        for turn in turns:
            self._by_turn.setdefault(turn, {})[id] = None

    def fact(self, id: str) -> _Standing:
        """A fact as it will be."""
        if id in self._facts:
            return self._facts[id]
        fact = self.book.facts[id]
        record = fact.record
        until = record.valid_to if fact.open else record.ended_at
        standing = _standing(record.meta, until, open=fact.open)
        return replace(standing, turns=_stating(fact))

    def judged(self, record: Record) -> Draft | None:
        """A conclusion as it has to be, marked or unmarked; None if it is so already."""
        broken: dict[str, datetime | None] = {}
        for premise in dict.fromkeys(source.id for source in record.sources):
            broken.update(self._broken(premise, record))
        broken.update(dict.fromkeys(self._lost.get(record.id, ())))
        meta = {name: value for name, value in record.meta.items() if name not in _MARKS}
        original = record.meta.get("stale_from", _iso(record.valid_to))
        ends = datetime.fromisoformat(original) if original else None
        marked = "stale_because" in record.meta
        if not broken:
            if not marked:
                return None
            return replace(as_draft(record), meta=meta, valid_to=ends)
        moments = [until for until in broken.values() if until is not None]
        until = max(min(moments, default=record.valid_from), record.valid_from + _MOMENT)
        if len(moments) < len(broken):
            until = record.valid_from + _MOMENT
        if ends is not None:
            until = min(until, ends)
        meta |= {"status": STALE, "stale_because": sorted(broken), "stale_from": original}
        if dict(record.meta) == meta and record.valid_to == until:
            return None
        return replace(as_draft(record), meta=meta, valid_to=until)

    def _broken(self, premise: str, dependent: Record) -> Iterable[tuple[str, datetime | None]]:
        """What of a premise no longer stands, and since when; None: it never did, or is gone."""
        if premise in self._facts or premise in self.book.facts:
            standing = self.fact(premise)
            if not standing.open or _ended_since(standing, dependent):
                yield premise, standing.until if standing.open else None
            elif premise in self.book.facts and self._otherwise(premise, standing, dependent):
                yield premise, None
            return
        conclusion = self.book.resting.get(premise)
        if conclusion is not None:
            stale = self.stale.get(premise, "stale_because" in conclusion.meta)
            if stale or conclusion.closed_at is not None:
                yield premise, None if conclusion.closed_at is not None else conclusion.valid_to
            return
        turn = self._turn(premise)
        if turn is None or turn.closed_at is not None:
            yield premise, None
            return
        facts = self._resting_on(premise, dependent)
        ended = [(id, one.until if one.open else None) for id, one in facts.items() if _over(one, dependent)]
        if facts and ended and (len(ended) == len(facts) or _mentioned(dependent, facts)):
            yield from ((premise, until) for _, until in ended[:1])
        elif self._reworded(turn, dependent) and not any(not _over(one, dependent) for one in facts.values()):
            yield premise, None

    def _resting_on(self, turn: str, dependent: Record) -> dict[str, _Standing]:
        """The facts of a turn that a conclusion can have been drawn from."""
        ids = dict.fromkeys(fact.record.id for fact in self.book.about(turn))
        ids.update(self._by_turn.get(turn, {}))
        stated = {id: one for id in ids if turn in (one := self.fact(id)).turns}
        # What was read otherwise before, and is no more, was no fact of the turn.
        stated = {id: one for id, one in stated.items() if one.open or one.ended_by}
        lasting = {id: one for id, one in stated.items() if not _happened(one)}
        named = {value_key(one.value) for one in lasting.values()}
        # What only describes whom or what another fact names is no premise of its own ("Boris, the hamster").
        main = {id: one for id, one in lasting.items() if value_key(one.subject) not in named}
        return _mentioned(dependent, lasting) or main or lasting or stated

    def _turn(self, id: str) -> Record | None:
        if id not in self._turns:
            found = newest_versions(self.batch.engine, [id], self.batch.home)
            self._turns[id] = found[0] if found else None
        return self._turns[id]

    def _reworded(self, turn: Record, dependent: Record) -> bool:
        """Whether a turn has other words than when the conclusion was drawn."""
        then = None if turn.version == 1 else self._then(turn.id, dependent)
        return then is not None and then.text != turn.text

    def _otherwise(self, fact: str, standing: _Standing, dependent: Record) -> bool:
        """Whether a fact says something else than when the conclusion was drawn, and not just more or less of it."""
        record = self.book.facts[fact].record
        if record.version == 1 and standing.value == record.meta["value"]:
            return False
        then = self._then(fact, dependent)
        if then is None or "value" not in then.meta:
            return False
        one, other = (set(value_key(value).split()) for value in (str(then.meta["value"]), standing.value))
        return not (one <= other or other <= one)

    def _then(self, id: str, dependent: Record) -> Record | None:
        """A record as it was when a conclusion was drawn."""
        if not is_ulid(dependent.id):
            return None
        drawn = ulid_millis(dependent.id)
        versions = [one for some in histories(self.batch.engine, [id], self.batch.home) for one in some]
        then = [one for one in versions if one.recorded_at.timestamp() * 1000 < drawn + 1]
        return then[-1] if then else None

    def _erased(self) -> dict[str, list[str]]:
        """Premises that an erasure took from conclusions of the batch."""
        own = {turn.id for turn in self.batch.turns if turn.id in self.book.resting}
        if not own:
            return {}
        (receipts,) = self.batch.read([Receipts()])
        return {id: sorted(receipt.ids) for receipt in receipts for id in receipt.kept if id in own}


def _is_fact(draft: Draft) -> bool:
    return draft.kind == "fact" and "said" in draft.meta


def _standing(meta: Mapping[str, Any], until: datetime | None, *, open: bool) -> _Standing:
    turns = frozenset(row[0] for row in meta["said"] if row[3] != "end" and row[7])
    return _Standing(
        str(meta["subject"]),
        str(meta["value"]),
        str(meta["attribute"]),
        turns,
        open,
        until,
        str(meta.get("ended_by", "")),
    )


def _stating(fact: Fact) -> frozenset[str]:
    return frozenset(one.record for one in fact.said if one.claim.act != "end" and one.claim.value)


def _ended_since(standing: _Standing, dependent: Record) -> bool:
    """Whether a fact ended by what was said after the conclusion was drawn; what had ended before was no premise."""
    return standing.until is not None and standing.ended_by > dependent.id


def _over(standing: _Standing, dependent: Record) -> bool:
    return not standing.open or _ended_since(standing, dependent)


def _happened(standing: _Standing) -> bool:
    """Whether it is a happening: that stays true, whatever becomes of what else the turn says."""
    kind = attribute(standing.attribute)
    return kind.dated and not kind.day


def _mentioned(dependent: Record, facts: Mapping[str, _Standing]) -> dict[str, _Standing]:
    """Those facts whose value, or else whose matter, a conclusion mentions."""
    words = set(value_key(dependent.text).split())
    by_value = {id: one for id, one in facts.items() if (own := set(value_key(one.value).split())) and own <= words}
    if by_value:
        return by_value
    return {id: one for id, one in facts.items() if set(value_key(attribute(one.attribute).label).split()) <= words}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
