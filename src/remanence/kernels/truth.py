"""What holds since when, given all that was said about one matter.

`settle` is a pure function of a set of statements: their order of arrival does not matter, because they are read in
the order in which they were said. Reading one paints its value over the time that it claims ("since May", "until
2019", or from now on), so that a later statement wins wherever two of them overlap and an earlier one keeps the rest:
nothing is overwritten, intervals are closed. What is corrected was never true; the statement that it rests on is taken
out and the remaining ones are read anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

from remanence.kernels.claims.ontology import Attribute
from remanence.kernels.names import name_key
from remanence.kernels.truth_line import LONG_AGO, Entry, Line, Said, Stretch, begin, spoken, value_key

__all__ = ["LONG_AGO", "Held", "Said", "Status", "combined", "family", "matter", "settle", "value_key"]

Status = Literal["held", "superseded", "ended", "retracted"]

REPEATED: Final = 0.5
"""What a further statement of the same weighs, as a share of its own confidence: people repeat themselves."""
SUREST: Final = 0.99

_OPPOSITE: Final = {"likes": "dislikes", "dislikes": "likes"}


@dataclass(frozen=True, slots=True)
class Held:
    """A value and the interval in which it held, `valid_from <= t < valid_to` (None: still).

    `said` are the claims that state it, in the order in which they were said; `noted` further ones that state no value
    of their own and belong here (an end, a bare retraction). `ended_by` says that it is over, `replaced_by` is the
    position in the result of what took its place. What was never true is "retracted", and its interval is empty.
    """

    subject: str
    attribute: str
    value: str
    polarity: bool
    valid_from: datetime
    valid_to: datetime | None
    status: Status
    confidence: float
    said: tuple[Said, ...]
    replaced_by: int | None = None
    ended_by: Said | None = None
    noted: tuple[Said, ...] = ()


def settle(said: Iterable[Said], attribute: Attribute) -> list[Held]:
    """What holds when, according to all that was said about one attribute of one subject, in order of time.

    Claims of opposite attributes (likes, dislikes) belong together; give them in one call. Every claim given is in
    `said` or `noted` of at least one result, so that the results alone are enough to settle again with more.
    """
    heard = sorted(set(said), key=spoken)
    entries, withdrawn = _revised([Entry(one, place, place) for place, one in enumerate(heard)], attribute)
    return _results(_read(entries, attribute), withdrawn)


@lru_cache(maxsize=4096)
def family(attribute: str) -> tuple[str, ...]:
    """The attributes whose claims are settled together with those of this one, itself included, sorted."""
    other = _OPPOSITE.get(attribute)
    return (attribute,) if other is None else tuple(sorted((attribute, other)))


def matter(subject: str, attribute: str) -> str:
    """The key under which claims meet: the subject without case and accents, and the attribute."""
    return f"{name_key(subject) or subject.casefold().strip()}|{attribute}"


def combined(said: Sequence[Said]) -> float:
    """Confidence in what several claims state: the best one's, raised by each further record that says the same."""
    best: dict[str, float] = {}
    for one in said:
        best[one.record] = max(best.get(one.record, 0.0), one.claim.confidence)
    first, *others = sorted(best.values(), reverse=True) or [0.0]
    doubt = 1.0 - first
    for other in others:
        doubt *= 1.0 - REPEATED * other
    return round(max(first, min(SUREST, 1.0 - doubt)), 6)


@dataclass(frozen=True, slots=True)
class _Withdrawn:
    """What a correction or a cancelled plan took out."""

    stretch: Stretch
    by: Said


def _revised(entries: Sequence[Entry], attribute: Attribute) -> tuple[list[Entry], list[_Withdrawn]]:
    """Entries as they are to be read, after corrections and changes of plan, and what those took out."""
    live: list[Entry] = []
    withdrawn: list[_Withdrawn] = []
    horizon = datetime.min.replace(tzinfo=UTC)
    for entry in entries:
        if entry.claim.act == "correct":
            live = _corrected(live, entry, attribute, withdrawn)
        elif entry.said.at < horizon:
            live = _replanned(live, entry, attribute, withdrawn)
        else:
            live.append(entry)
        horizon = max(horizon, entry.start or horizon)
    return live, withdrawn


def _corrected(live: list[Entry], entry: Entry, attribute: Attribute, withdrawn: list[_Withdrawn]) -> list[Entry]:
    """Entries without those that `entry` takes back, and with what it puts in their place."""
    claim = entry.claim
    target = _read(live, attribute).mistaken(entry)
    if target is None:
        if claim.value:
            return [*live, entry]
        withdrawn.append(_Withdrawn(_unheard(entry), entry.said))
        return live
    withdrawn.append(_Withdrawn(target, entry.said))
    live = _without(live, target)
    if claim.value and claim.polarity:
        first = min(one.place for one in target.said)
        live.append(replace(entry, place=first, since=claim.valid_from or target.start))
        live.sort(key=lambda one: one.place)
    elif claim.value and value_key(claim.value) != target.key:
        live.append(entry)
    return live


def _replanned(live: list[Entry], entry: Entry, attribute: Attribute, withdrawn: list[_Withdrawn]) -> list[Entry]:
    """Entries after one that may move or call off what was announced."""
    claim = entry.claim
    plan = _read(live, attribute).planned(entry)
    if plan is None:
        return [*live, entry]
    others = _without(live, plan)
    if claim.polarity and claim.act != "end" and value_key(claim.value) == plan.key and not attribute.dated:
        # The same at another date: what was said of it before still speaks for it.
        moved = [replace(one, since=entry.start) for one in plan.said]
        return sorted([*others, *moved, entry], key=lambda one: one.place)
    withdrawn.append(_Withdrawn(plan, entry.said))
    return others if claim.act == "end" else [*others, entry]


def _read(entries: Iterable[Entry], attribute: Attribute) -> Line:
    line = Line(attribute)
    for entry in entries:
        line.read(entry)
    return line


def _without(entries: Iterable[Entry], stretch: Stretch) -> list[Entry]:
    gone = {entry.place for entry in stretch.said}
    return [entry for entry in entries if entry.place not in gone]


def _unheard(entry: Entry) -> Stretch:
    """A retraction of what nobody has said yet; it is kept for when that arrives."""
    claim = entry.claim
    at = entry.said.at
    return Stretch(claim.attribute, value_key(claim.old or ""), claim.old or "", True, at, None, [entry], dated=False)


def _results(line: Line, withdrawn: Sequence[_Withdrawn]) -> list[Held]:
    begin(line)
    stretches = [*line.order]
    for gone in withdrawn:
        stretch = gone.stretch
        stretch.never, stretch.end, stretch.ended_by = True, stretch.start, gone.by
        takes_over = (one for one in line.order if any(entry.said == gone.by for entry in one.said))
        stretch.successor = next(takes_over, None)
        stretches.append(stretch)
    stretches.sort(key=lambda one: (one.start, min(entry.place for entry in one.said), one.key, one.polarity))
    stated = {entry.said for one in line.order for entry in one.said}
    at = {id(one): place for place, one in enumerate(stretches)}
    found: list[Held] = []
    for one in stretches:
        said = sorted({entry.said: entry for entry in one.said}.values(), key=lambda entry: entry.place)
        noted = [*one.noted]
        if one.never and one.ended_by is not None and one.ended_by not in stated:
            noted.append(one.ended_by)
        claims = tuple(sorted((entry.said for entry in said), key=spoken))
        found.append(
            Held(
                subject=claims[0].claim.subject,
                attribute=one.attribute,
                value=one.value,
                polarity=one.polarity,
                valid_from=one.start,
                valid_to=one.end,
                status=_status(one, line.event),
                confidence=combined(claims),
                said=claims,
                replaced_by=None if one.successor is None else at.get(id(one.successor)),
                ended_by=one.ended_by,
                noted=tuple(sorted(set(noted) - set(claims), key=spoken)),
            )
        )
    return found


def _status(one: Stretch, event: bool) -> Status:
    if one.never:
        return "retracted"
    if one.end is None or event:
        return "held"
    if one.successor is not None:
        return "superseded" if one.successor.polarity else "ended"
    if one.ended_by is not None:
        return "ended"
    return "ended" if one.end <= max(entry.said.at for entry in one.said) else "held"
