"""Facts: what turns claim, settled with all that was claimed of the same matter before, and kept up to date.

The claims of a turn stand in the facts that they support or end, so that settling a matter again needs no text. Facts
change by revisions: what is superseded or over gets its end, what was never true is taken back, and what a user
deleted or put into other words stays as the user left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final

from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Claim, Utterance
from remanence.kernels.claims.ontology import Attribute, attribute
from remanence.kernels.truth import Held, Said, family, settle, value_key
from remanence.kernels.truth import matter as matter_key
from remanence.runtime.enrichment import dependents
from remanence.runtime.enrichment.book import Book, Fact, book_of, ghost, group_of, mark_of, names_in, row_of
from remanence.runtime.enrichment.handler import Batch, newest_versions
from remanence.runtime.origins import echo_spans
from remanence.substrates.records.model import Draft, Edge, Record, Source
from remanence.substrates.records.operations import Close, Edges, Link, Put, Revise, Unlink, WriteOperation
from remanence.substrates.records.scope_index import who_speaks

__all__ = ["HANDLER", "SUPERSEDES", "Facts", "apply_claims", "claims_of", "sentence"]

SUPERSEDES: Final = "supersedes"
"""Type of the edge from a fact to the one whose place it took."""
CONTEXT: Final = 4
"""Turns before a turn in which its claims may be read."""
MOST_CLAIMS: Final = 64
"""Claims that a fact keeps; that something was said more often than that makes it no surer."""
LONGEST: Final = 1000
"""Characters of a value; what is longer is no value but a text."""
_SILENT: Final = frozenset(("document", "conclusion", "summary"))
"""Kinds of raw records that are no words of somebody's."""
_ORIGIN_NAME: Final = "facts"


class Facts:
    """The handler of facts."""

    name: ClassVar[str] = _ORIGIN_NAME
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """Facts that follow from the turns of the batch and from what was known."""
        book = book_of(batch.engine, batch.home)
        return _settled(batch, book, _readings(batch, claims_of(batch, book)))


HANDLER: Final = Facts()


def apply_claims(
    batch: Batch, claims_by_record: Mapping[str, Sequence[Claim]], by: str = _ORIGIN_NAME
) -> list[WriteOperation]:
    """The writes that let records claim just this, whatever they were taken to claim before; an empty list: nothing.

    `by` names who read the claims. What depends on facts that change is marked in the same go.
    """
    del by  # Readings of the same words by rules and by a model are merged before they come here.
    book = book_of(batch.engine, batch.home)
    written = _settled(batch, book, claims_by_record)
    return [*written, *dependents.consequences(batch, book, [*batch.planned, *written])]


def claims_of(batch: Batch, book: Book) -> dict[str, list[Claim]]:
    """What each turn of the batch claims, read by rules; turns that may not be believed claim nothing."""
    spoken = _Speech(batch)
    names = sorted(book.names(), key=lambda pair: pair[1])
    people: set[str] = set()
    known = 0
    found: dict[str, list[Claim]] = {}
    for turn in batch.turns:
        while known < len(names) and names[known][1] < turn.id:
            people.add(names[known][0])
            known += 1
        found[turn.id] = []
        if turn.trust <= 0 or turn.kind in _SILENT or turn.sources or turn.id in book.facts:
            continue
        context = spoken.before(turn)
        before = [_utterance(record) for record in context if record.kind not in _SILENT]
        speakers = {one.speaker for one in before if one.speaker}
        claims = extract(_utterance(turn), before, people if speakers <= people else people | speakers)
        if claims:
            echoes = echo_spans(turn, context)
            claims = [claim for claim in claims if not any(s < claim.end and claim.start < e for s, e in echoes)]
        found[turn.id] = claims
        for claim in claims:
            people.update(names_in(claim.subject, claim.attribute, claim.value))
    return found


def sentence(kind: Attribute, subject: str, value: str, *, polarity: bool) -> str:
    """A fact in words."""
    who = f"The {subject}" if subject in ("user", "assistant") else subject
    if not value:
        return f"{who}: nothing is true of {kind.label} any more" if not polarity else f"{who}: {kind.label} unknown"
    return kind.sentence(who, value, polarity=polarity)


def _readings(batch: Batch, claims: dict[str, list[Claim]]) -> Mapping[str, Sequence[Claim]]:
    """Claims, together with what a model has read in the same turns before."""
    from remanence.runtime.enrichment import llm_claims  # It hands its claims to this module.

    merged: Mapping[str, Sequence[Claim]] = llm_claims.with_readings(batch, claims)
    return merged


class _Speech:
    """The turns before a turn; those that the batch has anyway are not read again."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._window: list[Record] = []
        self._places: dict[str, int] = {}
        if len(batch.turns) > 1:
            first = batch.turns[0]
            window = [*batch.before(first, CONTEXT), first, *batch.following(first, len(batch.turns) + CONTEXT)]
            self._window = window
            self._places = {record.id: place for place, record in enumerate(window)}

    def before(self, turn: Record) -> Sequence[Record]:
        place = self._places.get(turn.id)
        if place is None:
            return self._batch.before(turn, CONTEXT)
        return self._window[max(0, place - CONTEXT) : place]


def _utterance(record: Record) -> Utterance:
    speaker = who_speaks(record.speaker, record.role, record.scope) or None
    return Utterance(record.id, record.text, record.event_at, speaker, record.role)


def _settled(batch: Batch, book: Book, claims_by_record: Mapping[str, Sequence[Claim]]) -> list[WriteOperation]:
    """The writes after which facts say what the claims of these records, and all others, amount to."""
    renewed = {*claims_by_record, *batch.gone}
    turns = _records(batch, claims_by_record)
    fresh: dict[str, list[Said]] = {}
    for said in _placed(book, turns, claims_by_record):
        fresh.setdefault(group_of(said.claim.subject, said.claim.attribute), []).append(said)
    touched = {fact.group for record in renewed for fact in book.about(record)}
    touched |= {book.facts[id].group for id in (*batch.changed, *claims_by_record) if id in book.facts}
    matters = []
    for key in sorted(touched | fresh.keys()):
        new = fresh.get(key, [])
        matters.append(_Matter(_concerned(book.group(key), new, renewed, {*batch.changed}), new, renewed))
    return _Writer(batch, turns).write(matters)


def _concerned(facts: list[Fact], fresh: Sequence[Said], renewed: Set[str], changed: Set[str]) -> list[Fact]:
    """The facts of a matter that new or lost claims can change: all, or where many values hold at once and nothing but
    plain statements is at stake, those of the values spoken of. That keeps a matter with thousands of values cheap.
    """
    kind = attribute(family(fresh[0].claim.attribute)[0] if fresh else str(facts[0].record.meta["attribute"]))
    if not kind.many or not all(_plain(one.claim, kind) for one in fresh):
        return facts
    values = {value_key(one.claim.value) for one in fresh}
    values |= {
        value_key(fact.value)
        for fact in facts
        if fact.record.id in changed or any(one.record in renewed for one in fact.said)
    }
    own = [fact for fact in facts if value_key(fact.value) in values]
    plain = all(_plain(one.claim, kind) for fact in own for one in fact.said)
    if not plain or any(fact.decided is not None or not fact.value for fact in facts):
        return facts
    named = {value_key(one.claim.old) for fact in facts for one in fact.said if one.claim.old}
    ended = any("ended_by" in fact.record.meta and fact.record.meta["ended_by"] in renewed for fact in facts)
    return facts if ended or named & values else own


def _plain(claim: Claim, kind: Attribute) -> bool:
    """Whether a claim speaks of no other value than its own."""
    return claim.act == "state" or (claim.act == "change" and not claim.old and not kind.dated)


def _records(batch: Batch, ids: Iterable[str]) -> dict[str, Record]:
    found = {turn.id: turn for turn in batch.turns}
    missing = [id for id in ids if id not in found]
    if missing:
        found.update({record.id: record for record in newest_versions(batch.engine, missing, batch.home)})
    return found


def _placed(book: Book, turns: Mapping[str, Record], claims_by_record: Mapping[str, Sequence[Claim]]) -> Iterator[Said]:
    """Claims with their place in time; those on "whatever that was" get the attribute of what they are about."""
    heard: dict[str, list[Said]] = {}
    for id in sorted(claims_by_record):
        if id not in turns or turns[id].closed_at is not None:
            continue
        for found in claims_by_record[id]:
            if len(found.value) > LONGEST or len(found.old or "") > LONGEST:
                continue
            claim = _dated(found)
            said = Said(id, turns[id].event_at, id, claim)
            if not claim.attribute:
                meant = _meant(book, heard, said, claims_by_record)
                if meant is None:
                    continue
                said = replace(said, claim=replace(claim, subject=meant.subject, attribute=meant.attribute))
            heard.setdefault(value_key(said.claim.value), []).append(said)
            yield said


def _dated(claim: Claim) -> Claim:
    """A claim without times that no interval can have."""
    start, end = claim.valid_from, claim.valid_to
    if start is not None and end is not None and end <= start:
        return replace(claim, valid_from=None, valid_to=None)
    return claim


def _meant(book: Book, heard: Mapping[str, Sequence[Said]], said: Said, renewed: Mapping[str, object]) -> Claim | None:
    """The claim that a correction, or an end of something whose sort is not named, is about: the last of that value."""
    claim = said.claim
    wanted = value_key(claim.old or claim.value)
    before = [
        one
        for fact in book.valued(wanted)
        for one in fact.said
        if one.order < said.order and one.record not in renewed and value_key(one.claim.value) == wanted
    ]
    before += heard.get(wanted, ())
    own = [one for one in before if one.claim.subject == claim.subject] or before
    latest = max(own, key=lambda one: (one.at, one.order, one.claim.start), default=None)
    return None if latest is None else latest.claim


@dataclass(slots=True)
class _Matter:
    """One matter as it stands, and what is claimed of it now."""

    facts: Sequence[Fact]
    fresh: Sequence[Said]
    renewed: set[str]
    held: list[Held] = field(default_factory=list)
    partners: list[Fact | None] = field(default_factory=list)
    idle: list[Fact] = field(default_factory=list)
    """Facts that nothing supports any more."""

    def settle(self) -> None:
        """Settle all claims, and find out which fact each result continues."""
        decided = [fact for fact in self.facts if fact.decided is not None]
        said = dict.fromkeys(self.fresh)
        for fact in self.facts:
            said.update(dict.fromkeys(one for one in fact.said if one.record not in self.renewed))
        heard: dict[Said, None] = {}
        for one in said:
            by = next((fact for fact in decided if (one in fact.said and fact.older(one)) or fact.overrules(one)), None)
            heard.setdefault(one if by is None else ghost(one, by))
        pins = {fact.record.id: fact for fact in decided if fact.open}
        for fact in pins.values():
            heard.setdefault(_pin(fact, [one.at for one in heard if fact.older(one)]))
        if not heard:
            self.idle = [fact for fact in self.facts if fact.open]
            return
        kind = attribute(family(next(iter(heard)).claim.attribute)[0])
        self.held = [_bounded(held) for held in settle(heard, kind)]
        self._pair(pins)

    def _pair(self, pins: Mapping[str, Fact]) -> None:
        ghosts = tuple(fact.record.id for fact in self.facts if fact.decided is not None)
        self.partners = [None] * len(self.held)
        taken: set[str] = set(pins)
        for place, held in enumerate(self.held):
            own = next((one.record for one in held.said if one.record in pins), None)
            self.partners[place] = None if own is None else pins[own]
        by_record: dict[str, dict[str, Fact]] = {}
        for fact in self.facts:
            for one in fact.said:
                by_record.setdefault(one.record, {})[fact.record.id] = fact
        pairs = []
        for place, held in enumerate(self.held):
            if self.partners[place] is not None or _is_ghost(held, ghosts):
                continue
            near = {id: fact for one in (*held.said, *held.noted) for id, fact in by_record.get(one.record, {}).items()}
            for fact in near.values():
                score = _likeness(held, fact)
                if score is not None:
                    pairs.append((*score, place, fact.record.id, fact))
        for *_, place, id, fact in sorted(pairs, key=lambda pair: pair[:-1]):
            if self.partners[place] is None and id not in taken:
                self.partners[place] = fact
                taken.add(id)
        self.idle = [fact for fact in self.facts if fact.open and fact.record.id not in taken]

    def live(self) -> Iterator[tuple[int, Held, Fact | None]]:
        """Results that facts are to say, with the facts that they continue."""
        ghosts = tuple(fact.record.id for fact in self.facts if fact.decided is not None)
        for place, held in enumerate(self.held):
            if self.partners[place] is not None or not _is_ghost(held, ghosts):
                yield place, held, self.partners[place]


def _bounded(held: Held) -> Held:
    """A result with no more claims than are kept: of what was said very often, the first and the last times."""
    if max(len(held.said), len(held.noted)) <= MOST_CLAIMS:
        return held
    said, noted = (
        claims[: MOST_CLAIMS // 2] + claims[MOST_CLAIMS // 2 :][-MOST_CLAIMS // 2 :]
        for claims in (held.said, held.noted)
    )
    return replace(held, said=said, noted=noted)


def _is_ghost(held: Held, ghosts: Sequence[str]) -> bool:
    return any(held.value.startswith(f"{id} ") for id in ghosts)


def _likeness(held: Held, fact: Fact) -> tuple[bool, int, float] | None:
    """How well a result continues a fact, best first in order; None if it does not at all."""
    meta = fact.record.meta
    if fact.decided is not None or (held.attribute, held.polarity) != (meta["attribute"], meta["polarity"]):
        return None
    if held.status != "retracted" and (not fact.open or held.valid_from > fact.record.valid_from):
        # A revision can begin no later: what it replaces would stay true until then.
        return None
    records = {one.record for one in fact.said}
    shared = len({one.record for one in (*held.said, *held.noted)} & records)
    other = value_key(held.value) != value_key(str(meta["value"]))
    if not shared or (other and not _overlap(held.said, fact.said)):
        return None
    return other, -shared, abs((held.valid_from - fact.record.valid_from).total_seconds())


def _overlap(some: Sequence[Said], others: Sequence[Said]) -> bool:
    """Whether any two claims were read in the same words."""
    spans = {one.record: (one.claim.start, one.claim.end) for one in others}
    return any(
        one.record in spans and one.claim.start < spans[one.record][1] and spans[one.record][0] < one.claim.end
        for one in some
    )


def _pin(fact: Fact, before: Sequence[datetime]) -> Said:
    """What a user wrote into a fact, as a claim that comes after all that was heard until then."""
    record = fact.record
    claim = Claim(
        record.meta["subject"],
        record.meta["attribute"],
        fact.value,
        "state",
        0,
        len(record.text),
        record.meta["polarity"],
        record.valid_from,
        None if "ended_by" in record.meta else record.valid_to,
        None,
        1.0,
    )
    return Said(record.id, max([fact.edited or record.recorded_at, *before]), record.id, claim)


class _Writer:
    """Turns settled matters into the fewest writes."""

    def __init__(self, batch: Batch, turns: Mapping[str, Record]) -> None:
        self.batch = batch
        self.turns = dict(turns)
        self.ops: list[WriteOperation] = []
        self.links: list[WriteOperation] = []

    def write(self, matters: Sequence[_Matter]) -> list[WriteOperation]:
        for matter in matters:
            matter.settle()
        self._fetch(matters)
        wanted: set[tuple[str, str]] = set()
        ids = [fact.record.id for matter in matters for fact in matter.facts]
        for matter in matters:
            wanted |= self._matter(matter)
        standing: Sequence[Edge] = ()
        if ids:
            (standing,) = self.batch.read([Edges(tuple(ids), (SUPERSEDES,))])
        there = {(edge.source, edge.target) for edge in standing}
        mine = set(ids)
        for source, target in sorted(there - wanted):
            if source in mine and target in mine:
                self.links.append(Unlink(Edge(source, target, SUPERSEDES)))
        self.links += [Link(Edge(source, target, SUPERSEDES)) for source, target in sorted(wanted - there)]
        return [*self.ops, *self.links]

    def _fetch(self, matters: Sequence[_Matter]) -> None:
        """Read the sources that new or changed facts need, all at once."""
        needed: set[str] = set()
        for matter in matters:
            for _, held, fact in matter.live():
                sources = self._sources(held, "" if fact is None else fact.record.id)
                if fact is None or (fact.open and (sources != fact.record.sources or fact.record.trust < 1)):
                    needed.update(source.id for source in sources)
        missing = sorted(needed - self.turns.keys())
        if missing:
            found = newest_versions(self.batch.engine, missing, self.batch.home)
            self.turns.update({record.id: record for record in found})

    def _matter(self, matter: _Matter) -> set[tuple[str, str]]:
        ids: dict[int, str] = {}
        for place, held, fact in matter.live():
            ids[place] = self._put(held) if fact is None else self._revise(held, fact)
        for fact in matter.idle:
            self._withdraw(fact)
        return {
            (ids[held.replaced_by], ids[place])
            for place, held, _ in matter.live()
            if held.replaced_by is not None and held.replaced_by in ids and ids[held.replaced_by] != ids[place]
        }

    def _put(self, held: Held) -> str:
        id = self.batch.new_id()
        sources = self._sources(held, "")
        first = self.turns.get(sources[0].id)
        draft = self.batch.draft(
            sentence(attribute(held.attribute), held.subject, held.value, polarity=held.polarity),
            kind="fact",
            sources=sources,
            scope=self.batch.scope if first is None else first.scope,
            event_at=held.said[0].at,
            valid_from=held.valid_from,
            valid_to=None if held.status == "retracted" else held.valid_to,
            trust=self._trust(sources),
            id=id,
        )
        draft = replace(draft, meta=_meta(held, draft, {}), origin=f"derived:{_ORIGIN_NAME}")
        self.ops.append(Put(draft))
        if held.status == "retracted":
            self.ops.append(Close(id))
        return id

    def _revise(self, held: Held, fact: Fact) -> str:
        record = fact.record
        if not fact.open:
            return record.id
        sources = self._sources(held, record.id)
        pinned = fact.edited is not None
        if pinned:
            sources = tuple(dict.fromkeys((*record.sources, *sources)))
        text = sentence(attribute(held.attribute), held.subject, held.value, polarity=held.polarity)
        draft = Draft(
            text=record.text if pinned else text,
            kind="fact",
            event_at=record.event_at if pinned else held.said[0].at,
            zone=record.zone,
            valid_from=held.valid_from,
            valid_to=None if held.status == "retracted" else held.valid_to,
            sources=sources,
            state=record.state,
            # What a user wrote stays the user's.
            origin=record.origin if pinned else f"derived:{_ORIGIN_NAME}",
            trust=record.trust if pinned else self._trust(sources, record),
        )
        kept: dict[str, Any] = {}
        if fact.edited is not None:
            rows = [row_of(one) for one in fact.said if one.record not in self.batch.gone]
            kept = {"edited": fact.edited.isoformat(), "said": rows}
        draft = replace(draft, meta=_meta(held, draft, kept, record.id))
        if _differs(draft, record):
            self.ops.append(Revise(record.id, draft, expected_version=record.version))
        if held.status == "retracted":
            self.ops.append(Close(record.id))
        return record.id

    def _withdraw(self, fact: Fact) -> None:
        """Take back a fact that no claim supports any more."""
        record = fact.record
        meta = {**record.meta, "status": "retracted", "said": [], "evidence": 0}
        draft = Draft(
            text=record.text,
            kind="fact",
            event_at=record.event_at,
            zone=record.zone,
            valid_from=record.valid_from,
            valid_to=record.valid_to,
            sources=record.sources,
            meta={name: value for name, value in meta.items() if name != "ended_by"},
            state=record.state,
            origin=record.origin,
            trust=record.trust,
        )
        self.ops += [Revise(record.id, draft, expected_version=record.version), Close(record.id)]

    def _sources(self, held: Held, pin: str) -> tuple[Source, ...]:
        spans = dict.fromkeys(Source(one.record, one.claim.start, one.claim.end) for one in held.said)
        return tuple(span for span in spans if span.id != pin)

    def _trust(self, sources: Sequence[Source], record: Record | None = None) -> float:
        """The least trust among sources; unless one was read for this batch, what it was."""
        read = [self.turns[source.id].trust for source in sources if source.id in self.turns]
        if record is not None and len(read) < len(sources):
            return min([record.trust, *read])
        return min(read, default=1.0)


def _meta(held: Held, draft: Draft, kept: Mapping[str, Any], pin: str = "") -> dict[str, Any]:
    assert draft.valid_from is not None
    rows = [row_of(one) for one in (*held.said, *held.noted) if one.record != pin]
    rows = [row for row in kept.get("said", []) if row not in rows] + rows
    found = {
        "subject": held.subject,
        "attribute": held.attribute,
        "value": held.value,
        "key": matter_key(held.subject, held.attribute),
        "polarity": held.polarity,
        "status": held.status,
        "confidence": held.confidence,
        "evidence": len({one.record for one in held.said}),
        "said": rows,
        "mark": mark_of(draft.text, draft.valid_from, draft.valid_to),
    }
    if held.ended_by is not None:
        found["ended_by"] = held.ended_by.record
    if "edited" in kept:
        found["edited"] = kept["edited"]
    return found


def _differs(draft: Draft, record: Record) -> bool:
    def parts(one: Draft | Record) -> tuple[object, ...]:
        return (one.text, one.event_at, one.valid_from, one.valid_to, tuple(one.sources), one.trust, dict(one.meta))

    return parts(draft) != parts(record)
