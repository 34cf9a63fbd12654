"""The facts of one home scope as the store has them, kept in memory in step with the journal."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from remanence.core.clock import to_micros
from remanence.core.ids import is_ulid, ulid_millis
from remanence.core.scope import Scope
from remanence.kernels.claims.model import Claim
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.truth import Said, family, matter, value_key
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.following import Follower, Followers
from remanence.substrates.records.model import Record

__all__ = ["ORIGIN", "Book", "Fact", "book_of", "fact_of", "group_of", "mark_of", "row_of", "said_of"]

ORIGIN: Final = "derived:facts"
_WITH_SOURCES: Final = ("fact", "conclusion", "note")
_SELF: Final = frozenset(("user", "assistant"))


@dataclass(frozen=True, slots=True)
class Fact:
    """The newest version of a fact, read back into what it was made of."""

    record: Record
    group: str
    said: tuple[Said, ...]
    """Claims that state it or were noted with it, without those whose source is gone."""
    edited: datetime | None
    """When a user gave it other words or times, if one did."""

    @property
    def open(self) -> bool:
        """Whether it is believed."""
        return self.record.closed_at is None

    @property
    def retracted(self) -> bool:
        """Whether it was taken back because what was said so demands."""
        return bool(self.record.meta["status"] == "retracted")

    @property
    def deleted(self) -> bool:
        """Whether a user deleted it."""
        return not self.open and not self.retracted

    @property
    def value(self) -> str:
        """What it says of the attribute, also where a user's words say it."""
        value = str(self.record.meta["value"])
        return value if self.edited is None else _value_in(self.record, value)

    @property
    def decided(self) -> datetime | None:
        """When a user deleted or edited it, if one did."""
        return self.record.closed_at if self.deleted else self.edited

    def older(self, said: Said) -> bool:
        """Whether a claim came in before a user's decision on this fact."""
        decided = self.decided
        return decided is not None and (not is_ulid(said.order) or ulid_millis(said.order) * 1000 <= to_micros(decided))

    def overrules(self, said: Said) -> bool:
        """Whether a user's decision on this fact settles what an older claim of the same value says."""
        claim, meta = said.claim, self.record.meta
        if not self.older(said) or (claim.attribute, claim.polarity) != (meta["attribute"], meta["polarity"]):
            return False
        values = {meta["value"], *(own.claim.value for own in self.said if self.older(own))}
        return value_key(claim.value) in {value_key(value) for value in values}


def group_of(subject: str, key: str) -> str:
    """The key under which claims are settled together."""
    return matter(subject, family(key)[0])


def mark_of(text: str, valid_from: datetime, valid_to: datetime | None) -> str:
    """A fingerprint of what was written, by which a change of somebody else's shows."""
    stamp = f"{to_micros(valid_from)}|{'' if valid_to is None else to_micros(valid_to)}|{text}"
    return hashlib.sha256(stamp.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def row_of(said: Said) -> list[Any]:
    """A claim as it is kept in a fact's metadata."""
    claim = said.claim
    return [
        said.record,
        claim.start,
        claim.end,
        claim.act,
        said.at.isoformat(),
        None if claim.valid_from is None else claim.valid_from.isoformat(),
        None if claim.valid_to is None else claim.valid_to.isoformat(),
        claim.value,
        claim.old,
        claim.confidence,
        claim.polarity,
    ]


def said_of(row: Sequence[Any], subject: str, key: str) -> Said:
    """Inverse of `row_of`, for a claim on an attribute of a subject."""
    record, start, end, act, at, valid_from, valid_to, value, old, confidence, polarity = row
    claim = Claim(
        subject,
        key,
        value,
        act,
        start,
        end,
        polarity,
        _moment(valid_from),
        _moment(valid_to),
        old,
        confidence,
    )
    return Said(record, datetime.fromisoformat(at).astimezone(UTC), record, claim)


def fact_of(record: Record) -> Fact | None:
    """A fact record read back; None for what somebody else made, or gave other metadata."""
    meta = record.meta
    if record.kind != "fact" or not {"subject", "attribute", "value", "key", "status", "said", "mark"} <= meta.keys():
        return None
    subject, key = meta["subject"], meta["attribute"]
    edited = _moment(meta.get("edited"))
    if edited is None and mark_of(record.text, record.valid_from, record.valid_to) != meta["mark"]:
        edited = record.recorded_at
    sources = {source.id for source in record.sources}
    said = [said_of(row, subject, key) for row in meta["said"]]
    if edited is None:
        # An erasure takes the sources, and with them goes what they said.
        said = [one for one in said if one.record in sources or _states_nothing(one.claim)]
    return Fact(record, group_of(subject, key), tuple(said), edited)


def _states_nothing(claim: Claim) -> bool:
    return claim.act == "end" or (claim.act == "correct" and (not claim.value or not claim.polarity))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _value_in(record: Record, otherwise: str) -> str:
    """The value in a text that a user wrote, if it follows the form of the attribute; else all of the text."""
    kind = attribute(str(record.meta["attribute"]))
    found = _form(kind.render if record.meta["polarity"] else kind.deny).fullmatch(record.text.strip())
    if found is not None:
        return found["value"]
    return otherwise if otherwise and otherwise.casefold() in record.text.casefold() else record.text


@lru_cache(maxsize=512)
def _form(template: str) -> re.Pattern[str]:
    parts = re.escape(template).replace(r"\{subject\}", r".+?").replace(r"\{value\}", r"(?P<value>.+?)")
    return re.compile(rf"{parts}\.?", re.IGNORECASE | re.DOTALL)


class Book(Follower):
    """Facts by matter, by turn and by id, and what rests on other memories by premise."""

    def __init__(self, engine: Engine, home: Scope) -> None:
        super().__init__(engine, home)
        self.clear()

    def kinds(self) -> tuple[str, ...]:
        """Facts, and what users conclude."""
        return _WITH_SOURCES

    def clear(self) -> None:
        """Know nothing."""
        self.facts: dict[str, Fact] = {}
        self.resting: dict[str, Record] = {}
        self._groups: dict[str, dict[str, None]] = {}
        self._values: dict[str, dict[str, None]] = {}
        self._turns: dict[str, dict[str, None]] = {}
        self._premises: dict[str, dict[str, None]] = {}
        self._names: dict[str, list[tuple[str, str]]] = {}

    def group(self, key: str) -> list[Fact]:
        """The facts of one matter, by id."""
        return [self.facts[id] for id in sorted(self._groups.get(key, ()))]

    def valued(self, key: str) -> list[Fact]:
        """The facts of a value (see `value_key`) of anything, by id."""
        return [self.facts[id] for id in sorted(self._values.get(key, ()))]

    def about(self, turn: str) -> list[Fact]:
        """The facts that rest on what a record says, or that it ended, by id."""
        return [self.facts[id] for id in sorted(self._turns.get(turn, ()))]

    def dependents(self, premise: str) -> list[Record]:
        """What rests on a record and is believed, by id."""
        found = (self.resting[id] for id in sorted(self._premises.get(premise, ())))
        return [record for record in found if record.closed_at is None]

    def names(self) -> Iterator[tuple[str, str]]:
        """Names of people, each with the id of the record that spoke of them first."""
        return chain.from_iterable(self._names.values())

    def take(self, records: Sequence[Record]) -> None:
        """Take in what these have become."""
        for record in records:
            if record.kind not in _WITH_SOURCES:
                continue
            self._drop(record.id)
            fact = fact_of(record)
            if fact is not None:
                self._add(fact)
            elif record.sources or "stale_because" in record.meta:
                self.resting[record.id] = record
                for source in record.sources:
                    self._premises.setdefault(source.id, {})[record.id] = None

    def _add(self, fact: Fact) -> None:
        id = fact.record.id
        self.facts[id] = fact
        self._groups.setdefault(fact.group, {})[id] = None
        self._values.setdefault(value_key(fact.value), {})[id] = None
        for turn in _touching(fact):
            self._turns.setdefault(turn, {})[id] = None
        first = min((one.order for one in fact.said), default=None)
        if first is not None:
            named = names_in(fact.record.meta["subject"], fact.record.meta["attribute"], fact.value)
            self._names[id] = [(name, first) for name in named]

    def _drop(self, id: str) -> None:
        fact = self.facts.pop(id, None)
        if fact is not None:
            self._groups[fact.group].pop(id)
            self._values[value_key(fact.value)].pop(id)
            for turn in _touching(fact):
                self._turns[turn].pop(id, None)
            self._names.pop(id, None)
        record = self.resting.pop(id, None)
        if record is not None:
            for source in record.sources:
                self._premises[source.id].pop(id, None)


def _touching(fact: Fact) -> set[str]:
    rows: Iterable[Any] = fact.record.meta["said"]
    ended_by: Mapping[str, Any] | str | None = fact.record.meta.get("ended_by")
    return {row[0] for row in rows} | ({ended_by} if isinstance(ended_by, str) else set())


def names_in(subject: str, key: str, value: str) -> Iterator[str]:
    """The names of people in a fact."""
    if subject not in _SELF and "'" not in subject:
        yield subject
    if attribute(key).person and value[:1].isupper():
        yield value


_BOOKS: Final = Followers(Book)


def book_of(engine: Engine, home: Scope) -> Book:
    """The book of a home scope, up to date. One worker at a time uses it (see `working`)."""
    return _BOOKS.of(engine, home)


def ghost(said: Said, of: Fact) -> Said:
    """A claim that a user's decision settled: it still closes what came before it, and becomes no fact again."""
    return replace(said, claim=replace(said.claim, value=f"{of.record.id} {said.claim.value}", old=None))
