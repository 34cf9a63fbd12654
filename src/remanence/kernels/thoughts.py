"""Triples (head, relation, tail) that were said over time: which of them stand, which go together, what follows.

    contradiction  a relation with one value keeps the newest; a denial ends what it denies
    continuation   a relation with many values keeps each, and those that stand together are one thought
    conclusion     (a, relation, person b) and (b, relation', c) say something about a's relation

The relations are those of `claims.ontology`; triples of any other relation stand as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.claims.extract import extract
from remanence.kernels.claims.model import Utterance
from remanence.kernels.claims.ontology import ATTRIBUTES, attribute
from remanence.kernels.names import name_key
from remanence.kernels.summaries import details, sentences

_DOINGS = frozenset({"event", "activity"})
_SAYS, _MORE = 3, 2
"""Words with a meaning that it takes to say something; that a sentence has besides its thoughts when it says more."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Triple:
    """A statement, said at `at`. `denied`: it is not so, or no longer; `tail` may then be empty (whatever it was).

    `old` is the tail that it names as replaced. A correction of unknown relation ("") corrects whatever was `old`.
    """

    id: str
    head: str
    relation: str
    tail: str
    at: datetime
    denied: bool = False
    old: str | None = None


class Drawn(NamedTuple):
    """A thought as it is drawn from `start:end` of a text: its words, and what `Triple` says of it."""

    start: int
    end: int
    text: str
    head: str
    relation: str
    tail: str
    denied: bool
    old: str | None


class Joined(NamedTuple):
    """A thought made of others: its words, its relation, and the ids of the triples that it rests on."""

    text: str
    relation: str
    parts: tuple[str, ...]


@dataclass(slots=True)
class Settled:
    """What became of triples: ids that `stand`, in order of time, those `displaced` by others, and what is `merged`."""

    stand: list[str] = field(default_factory=list)
    displaced: list[str] = field(default_factory=list)
    merged: list[Joined] = field(default_factory=list)


def draw(utterance: Utterance, before: Sequence[Utterance] = (), people: Collection[str] = ()) -> list[Drawn]:
    """The thoughts that rules draw from a turn, in order; see `claims.extract.extract` for what `before` and `people`
    are. Claims of doings are left out: they are half a sentence, and the whole one says it better."""
    drawn = []
    for claim in extract(utterance, before, people):
        known = ATTRIBUTES.get(claim.attribute)
        if claim.attribute in _DOINGS or (known is None and (claim.attribute or not claim.old)):
            continue
        ended = claim.act == "end"
        text = f"{claim.subject}: {utterance.text[claim.start : claim.end]}"
        if known is not None and claim.value and not ended:
            text = known.sentence(claim.subject, claim.value, polarity=claim.polarity)
            if claim.valid_from is not None:
                text += f" (from {claim.valid_from.date().isoformat()})"
        triple = (claim.subject, claim.attribute, claim.value, ended or not claim.polarity, claim.old)
        drawn.append(Drawn(claim.start, claim.end, text, *triple))
    return drawn


def remainder(text: str, drawn: Sequence[Drawn], analyzer: Analyzer) -> tuple[list[Span], list[Span]]:
    """Sentences that no thought was drawn from, and those that say more than the thoughts that were."""
    free, more = [], []
    for start, end in sentences(text):
        inside = [one for one in drawn if start < one.end and one.start < end]
        left = "".join(
            " " if any(one.start <= at < one.end for one in inside) else text[at] for at in range(start, end)
        )
        if not inside:
            free.append((start, end))
        elif meaning(left, analyzer) >= _MORE:
            more.append((start, end))
    return free, more


def meaning(text: str, analyzer: Analyzer) -> int:
    """How many words of a text have a meaning."""
    return sum(not is_stopword(term) for term in analyzer.terms(text))


def idle(text: str, analyzer: Analyzer) -> bool:
    """Whether a text concludes nothing: it asks, or it says next to nothing, and about nobody."""
    return text.rstrip().endswith("?") or (meaning(text, analyzer) < _SAYS and not details(text))


def found_by(text: str, relation: str) -> str:
    """A thought with the name of its relation, which its words may leave out ("works as a baker" is about a job)."""
    return f"{text} ({attribute(relation).label})" if relation else text


def settle(triples: Iterable[Triple]) -> Settled:
    """Sort out contradictions and continuations. The order of triples of one time counts, else only their times."""
    groups: dict[tuple[str, str], list[Triple]] = defaultdict(list)
    settled = Settled()
    for triple in sorted(triples, key=lambda one: one.at):
        head, relation = name_key(triple.head), triple.relation
        if not relation and triple.old:
            relation = _relation_of(head, triple.old, groups)
        groups[head, relation if relation in ATTRIBUTES else triple.id].append(triple)
    for (_, relation), group in groups.items():
        known = ATTRIBUTES.get(relation)
        if known is None:
            settled.stand += [one.id for one in group]
            continue
        stand = _many(group) if known.many else _one(group)
        ids = {one.id for one in stand}
        settled.stand += [one.id for one in group if one.id in ids]
        settled.displaced += [one.id for one in group if one.id not in ids]
        held = [one for one in stand if not one.denied]
        if known.many and not known.dated and len(held) > 1:
            text = known.sentence(held[-1].head, listed([one.tail for one in held]))
            settled.merged.append(Joined(text, relation, tuple(one.id for one in held)))
    return settled


def conclusions(triples: Sequence[Triple]) -> list[Joined]:
    """What follows from two of the triples, all of which stand: "Ana's coach Bo lives in Oslo".

    One for each triple whose tail is a person and each relation of that person; what leads back is left out.
    """
    about: dict[str, dict[str, list[Triple]]] = defaultdict(lambda: defaultdict(list))
    for one in triples:
        if not one.denied and one.relation in ATTRIBUTES:
            about[name_key(one.head)][one.relation].append(one)
    found = []
    for first in triples:
        known = ATTRIBUTES.get(first.relation)
        if known is None or not known.person or first.denied:
            continue
        back = name_key(first.head)
        for relation, seconds in about.get(name_key(first.tail), {}).items():
            seconds = [one for one in seconds if name_key(one.tail) != back]
            if seconds and name_key(first.tail) != back:
                subject = f"{first.head}'s {known.label} {first.tail}"
                text = attribute(relation).sentence(subject, listed([one.tail for one in seconds]))
                found.append(Joined(text, relation, (first.id, *(one.id for one in seconds))))
    return found


def listed(tails: Sequence[str]) -> str:
    """Tails as an enumeration: "nuts, soy and milk"."""
    return tails[0] if len(tails) == 1 else f"{', '.join(tails[:-1])} and {tails[-1]}"


def _relation_of(head: str, old: str, groups: dict[tuple[str, str], list[Triple]]) -> str:
    """The relation under which `old` was last said of a head."""
    said = [
        (one.at, relation)
        for (of, relation), group in groups.items()
        if of == head
        for one in group
        if name_key(one.tail) == name_key(old)
    ]
    return max(said)[1] if said else ""


def _one(group: Sequence[Triple]) -> list[Triple]:
    """The one triple that stands where a head has one value at a time, in order of time."""
    stands: Triple | None = None
    for one in group:
        if stands is None or not one.denied or stands.denied or not one.tail or _same(one, stands):
            stands = one
    return [] if stands is None else [stands]


def _many(group: Sequence[Triple]) -> list[Triple]:
    """The triples that stand where a head has any number of values: the newest of each tail."""
    stands: dict[str, Triple] = {}
    for one in group:
        if one.old:
            stands.pop(name_key(one.old), None)
        if one.denied and not one.tail:
            stands.clear()
        # What is said again takes its place among the newest.
        stands.pop(name_key(one.tail), None)
        stands[name_key(one.tail)] = one
    return list(stands.values())


def _same(one: Triple, other: Triple) -> bool:
    return name_key(one.tail) == name_key(other.tail)
