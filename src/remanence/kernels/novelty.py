"""What of the things said is news, and what news does to what is known already.

A `Statement` is one thing said, in words and, where rules or a model could tell, as subject, attribute and value. A
`Notebook` holds statements and takes in further ones:

    known(s)  =  the newest statement on the same matter gives the same value, or
                 max cosine(s, K) >= threshold with no other number, date, name or negation        (nothing new)
    news(s)   =  everything else: a matter never heard of, and above all another value of a known one

That is the novelty filter of predict-calibrate (Nemori, 2025), and, with the relation between the two statements told
apart, the choice among add, update and delete of HiMem (2026) and Mem0 (2025). Cosine alone cannot decide: "Ana lives
in Oslo" is nearer to "Ana lives in Bergen" than to most paraphrases of itself. Where both statements are read as
subject, attribute and value of a listed attribute, that decides alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Claim, Utterance
from remanence.kernels.claims.ontology import ATTRIBUTES, FAVOURITE, attribute
from remanence.kernels.duplicates import canonical, differs
from remanence.kernels.growing import Growing
from remanence.kernels.truth import family, matter, value_key

Relation = Literal["independent", "same", "extends", "contradicts"]
"""Of a new statement to an older one: HiMem's independent, extendable and contradictory, and plain repetition."""
Span = tuple[str, int, int]
"""Characters `start:end` of the turn of this id."""

CONTEXT: Final = 4
"""Turns before a turn in which its claims may be read."""
WINDOW: Final = 20
"""Turns among whose speakers names are known."""
THRESHOLD: Final = 0.85
"""Cosine from which two statements in free words may be one and the same."""
_FREE: Final = frozenset({"event", "activity"})
_SLOTS: Final = frozenset({"polarity", "number", "date", "name"})
_LONGEST: Final = 1000
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing said. `spans` is where; `at` when it was said last. `holds` False: that it is not, or no longer, so.

    `attribute` "" means that only the words are known. `old` is the value that it takes back or replaces by name.
    """

    text: str
    at: datetime
    spans: tuple[Span, ...] = ()
    subject: str = ""
    attribute: str = ""
    value: str = ""
    holds: bool = True
    old: str = ""

    @property
    def free(self) -> bool:
        """Whether it can be compared by its words only."""
        known = self.attribute in ATTRIBUTES or self.attribute.startswith(FAVOURITE)
        return not known or self.attribute in _FREE

    @property
    def matter(self) -> str:
        """Whom and what it is about; opposite attributes (likes, dislikes) are about the same thing."""
        return matter(self.subject, family(self.attribute)[0])

    @property
    def many(self) -> bool:
        """Whether several values may hold at once."""
        return attribute(self.attribute).many


def read(utterances: Sequence[Utterance], first: int = 0) -> list[list[Statement]]:
    """What each utterance from position `first` on states, by rules for English; earlier ones are context.

    The same whether a conversation is read at once or in parts, if `WINDOW` utterances go before each part. A
    correction of something said longer ago has no attribute; it is found again by the value that it takes back.
    """
    found: list[list[Statement]] = []
    for place, utterance in enumerate(utterances[first:], first):
        near = utterances[max(0, place - WINDOW) : place + 1]
        people = tuple(dict.fromkeys(one.speaker for one in near if one.speaker))
        context = utterances[max(0, place - CONTEXT) : place]
        claims = [claim for claim in extract(utterance, context, people) if len(claim.value) <= _LONGEST]
        needed = _needed(claims, utterance, context, people)
        found.append([stated(claim, utterance, givers) for claim, givers in zip(claims, needed, strict=True)])
    return found


def _needed(
    claims: Sequence[Claim], utterance: Utterance, context: Sequence[Utterance], people: Sequence[str]
) -> list[Sequence[Utterance]]:
    """For each claim, how much of the context it takes to read it: the last few utterances, or none."""
    needed: list[Sequence[Utterance]] = [context] * len(claims)
    missing = set(range(len(claims)))
    for start in range(len(context), -1, -1):
        if not missing:
            break
        read_so = extract(utterance, context[start:], people)
        for place in sorted(missing):
            if claims[place] in read_so:
                needed[place] = context[start:]
                missing.discard(place)
    return needed


def stated(claim: Claim, utterance: Utterance, context: Sequence[Utterance] = ()) -> Statement:
    """A claim as a statement: a sentence that can be understood alone.

    Of the utterances before that it took to read it, the first is a source as well: it gives a name ("she"), asks the
    question, or says what is taken back. So is the last that names whom or what the utterance itself does not.
    """
    spans = [(utterance.id, claim.start, claim.end)]
    spans += [(one.id, 0, len(one.text)) for one in context[:1]]
    own = f"{utterance.speaker or utterance.role or ''} {utterance.text}".casefold()
    for part in (claim.subject, claim.value, claim.old or ""):
        if part.casefold() not in own:
            giver = next((one for one in reversed(context) if part.casefold() in one.text.casefold()), None)
            if giver is not None:
                spans.append((giver.id, 0, len(giver.text)))
    holds = claim.polarity and claim.act != "end"
    who = f"The {claim.subject}" if claim.subject in ("user", "assistant") else claim.subject
    if claim.attribute and claim.value:
        text = attribute(claim.attribute).sentence(who, claim.value, polarity=holds)
    else:
        said = utterance.text[claim.start : claim.end].strip() or utterance.text.strip()
        text = f"{who}: {said}"
    return Statement(
        text,
        utterance.at,
        tuple(dict.fromkeys(spans)),
        claim.subject,
        claim.attribute,
        claim.value,
        holds,
        claim.old or "",
    )


def relation(new: Statement, old: Statement, cosine: float = 0.0, threshold: float = THRESHOLD) -> Relation:
    """What a statement does to an older one. `cosine` of their vectors counts where one of them is in free words."""
    if new.free or old.free:
        return _of_words(new, old, cosine, threshold)
    if new.matter != old.matter:
        return "independent"
    mine, theirs = value_key(new.value), value_key(old.value)
    if new.old and new.holds and old.holds and value_key(new.old) == theirs != mine:
        return "contradicts"
    opposed = new.attribute != old.attribute
    if mine == theirs:
        return "same" if (new.holds == old.holds) != opposed else "contradicts"
    if not new.value:
        # "I quit my job" is about whichever value holds.
        return "contradicts" if old.holds and not new.holds else "independent"
    if not (new.holds and old.holds) or opposed:
        return "independent"
    if set(mine.split()) > set(theirs.split()):
        return "extends"
    return "independent" if new.many else "contradicts"


def _of_words(new: Statement, old: Statement, cosine: float, threshold: float) -> Relation:
    if cosine < threshold:
        return "independent"
    odd = differs(new.text, old.text, new.at, old.at)
    if odd is None:
        return "same"
    if odd in _SLOTS:
        more = set(canonical(new.text)) > set(canonical(old.text)) and odd != "polarity"
        return "extends" if more else "contradicts" if odd == "polarity" else "independent"
    return "extends" if set(canonical(new.text)) > set(canonical(old.text)) else "same"


@dataclass(slots=True, eq=False)
class Entry:
    """A statement in a notebook. `id` is its record, None while it has none; `live` False: it has been superseded.

    `changed` says that it is not as its record has it.
    """

    statement: Statement
    id: str | None = None
    live: bool = True
    changed: bool = False
    spans: dict[Span, None] = field(default_factory=dict)
    """All that it rests on: where it was said, and what superseded it."""
    first: datetime | None = None
    """When it was said first."""


class Notebook:
    """Statements by what they are about.

    Args:
        dim: Of the vectors.
        threshold: Cosine from which free words may mean the same.
        edits: Whether news changes old entries (extends or supersedes them) or only joins them.

    Raises:
        InvalidInput: `threshold` is not in (0, 1].

    """

    def __init__(self, dim: int, *, threshold: float = THRESHOLD, edits: bool = True) -> None:
        if not 0 < threshold <= 1:
            raise InvalidInput(f"threshold {threshold!r} must be above 0 and at most 1")
        self.threshold = threshold
        self.edits = edits
        self.entries: list[Entry] = []
        self._vectors: Growing[np.float32] = Growing(np.float32, dim)
        self._matters: dict[str, list[int]] = {}
        self._values: dict[tuple[str, str], list[int]] = {}
        self._free: list[int] = []
        self._said: dict[Span, list[int]] = {}
        self._place: dict[int, int] = {}

    def add(self, entry: Entry, vector: Vector) -> Entry:
        """Write down an entry as it is."""
        place = len(self.entries)
        self.entries.append(entry)
        self._place[id(entry)] = place
        entry.first = entry.first or entry.statement.at
        self._vectors.extend(vector[None, :])
        entry.spans.update(dict.fromkeys(entry.statement.spans))
        for span in entry.spans:
            self._said.setdefault(span, []).append(place)
        if entry.statement.free:
            self._free.append(place)
        else:
            self._matters.setdefault(entry.statement.matter, []).append(place)
        subject, value = matter(entry.statement.subject, ""), value_key(entry.statement.value)
        self._values.setdefault((subject, value), []).append(place)
        return entry

    def predicted(self, new: Statement, vector: Vector, until: int | None = None) -> Entry | None:
        """The entry from which a statement was to be expected; None for news.

        `until`: only the first so many entries count, what was known before. The newest entry on a matter of one
        value decides, not any that ever said so: who moves back to Oslo is news.
        """
        until = len(self.entries) if until is None else until
        new = self.named(new)
        for entry, cosine in self._near(new, vector, until):
            if relation(new, entry.statement, cosine, self.threshold) == "same":
                return entry
        return None

    def take(self, new: Statement, vector: Vector, until: int | None = None) -> list[Entry]:
        """Take in a statement; the entries that it touched, the one that now says it first.

        A repetition supports its entry. With `edits`, what extends an entry rewrites it, and what contradicts one puts
        it away, or is itself put away if it is the older one.
        """
        until = len(self.entries) if until is None else until
        new = self.named(new)
        for place in (place for span in new.spans for place in self._said.get(span, ())):
            if _says(self.entries[place].statement, new):
                return [self.entries[place]]
        near = self._near(new, vector, until)
        beside = [(entry, relation(new, entry.statement, cosine, self.threshold)) for entry, cosine in near]
        same = next((entry for entry, how in beside if how == "same" and entry.live), None)
        if same is not None:
            self._rest(same, new.spans)
            same.statement = replace(
                same.statement, at=max(same.statement.at, new.at), spans=(*same.statement.spans, *new.spans)
            )
            same.changed = True
            return [same]
        if not self.edits:
            return [self.add(Entry(new), vector)]
        return self._edit(new, vector, [(entry, how) for entry, how in beside if entry.live])

    def _edit(self, new: Statement, vector: Vector, beside: Sequence[tuple[Entry, Relation]]) -> list[Entry]:
        extended = next((entry for entry, how in beside if how == "extends" and entry.statement.at <= new.at), None)
        if extended is not None:
            self._rest(extended, new.spans)
            extended.statement = replace(new, spans=tuple(extended.spans))
            extended.changed = True
            return [extended]
        mine = self.add(Entry(new), vector)
        touched = [mine]
        for entry, how in beside:
            if how != "contradicts":
                continue
            older, newer = (entry, mine) if entry.statement.at <= new.at else (mine, entry)
            older.live = False
            older.changed = True
            self._rest(older, newer.statement.spans)
            touched.append(entry)
        return touched

    def _rest(self, entry: Entry, spans: Iterable[Span]) -> None:
        """Let an entry rest on further spans."""
        place = self._place[id(entry)]
        for span in spans:
            if span not in entry.spans:
                entry.spans[span] = None
                self._said.setdefault(span, []).append(place)

    def named(self, new: Statement) -> Statement:
        """A statement that only names the value that it ends or takes back, with the attribute of the newest entry of
        that value, on which it then rests too; others as they are."""
        if new.attribute or not new.subject:
            return new
        key = matter(new.subject, ""), value_key(new.old or new.value)
        found = [self.entries[place] for place in self._newest(self._values.get(key, ()))]
        # What was put away counts too: perhaps by these very words, when they were read before.
        for entry in sorted(found, key=lambda entry: not entry.live):
            known = entry.statement.attribute
            if known:
                text = attribute(known).sentence(new.subject, new.value, polarity=new.holds) if new.value else new.text
                spans = tuple(dict.fromkeys((*new.spans, *entry.statement.spans)))
                return replace(new, attribute=known, text=text, spans=spans)
        return new

    def _near(self, new: Statement, vector: Vector, until: int) -> list[tuple[Entry, float]]:
        """The entries that a statement may bear upon, the newest first, with their cosines."""
        if new.free:
            cosines = self._vectors.view[:until] @ vector
            places = np.flatnonzero(cosines >= self.threshold).tolist()
            return [(self.entries[place], float(cosines[place])) for place in self._newest(places)]
        places = [place for place in self._matters.get(new.matter, ()) if place < until]
        free = [place for place in self._free if place < until]
        if not self.edits:
            if new.many:
                places = [place for place in places if _value(self.entries[place].statement) == _value(new)]
            places = self._newest(places)[:1]
        near = [(self.entries[place], 0.0) for place in self._newest(places)]
        if free:
            cosines = self._vectors.view[free] @ vector
            close = [free[i] for i in np.flatnonzero(cosines >= self.threshold).tolist()]
            near += [(self.entries[place], float(self._vectors.view[place] @ vector)) for place in self._newest(close)]
        return near

    def _newest(self, places: Iterable[int]) -> list[int]:
        return sorted(places, key=lambda place: (self.entries[place].statement.at, place), reverse=True)


def naive_known(
    new: Statement, vector: Vector, known: Sequence[Statement], vectors: NDArray[np.float32], threshold: float
) -> bool:
    """Whether a statement was to be expected from `known` [n] with `vectors` [n, dim]: one after the other.

    The readable form of `Notebook.predicted` without edits.
    """
    newest: Statement | None = None
    for old, row in zip(known, vectors, strict=True):
        if new.free or old.free:
            cosine = math.fsum(float(a) * float(b) for a, b in zip(vector, row, strict=True))
            if cosine >= threshold and relation(new, old, cosine, threshold) == "same":
                return True
        elif (
            old.matter == new.matter
            and (not new.many or _value(old) == _value(new))
            and (newest is None or old.at >= newest.at)
        ):
            newest = old
    return newest is not None and relation(new, newest) == "same"


def _value(statement: Statement) -> str:
    return value_key(statement.value)


def _says(one: Statement, other: Statement) -> bool:
    """Whether two statements of the same words were read alike."""
    if one.free or other.free:
        return one.text == other.text
    return (one.attribute, _value(one), one.holds) == (other.attribute, _value(other), other.holds)
