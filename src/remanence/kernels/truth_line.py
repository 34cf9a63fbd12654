"""The time line of one matter, painted by one statement after the other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from remanence.kernels.claims.model import Claim
from remanence.kernels.claims.ontology import Attribute

__all__ = ["LONG_AGO", "Entry", "Line", "Said", "Stretch", "begin", "spoken", "value_key"]

LONG_AGO: Final = datetime(1900, 1, 1, tzinfo=UTC)
"""Beginning of what was so before something else, nobody said since when."""
OLD_NEWS: Final = timedelta(days=180)
"""A change dated further back than this tells of the past if another value was heard to hold since."""

_MOMENT: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}\b)")
_WORDS: Final = re.compile(r"\w+(?:[.:'/+#-]+\w+)*[+#]*")
_ARTICLES: Final = frozenset("a an the my our your his her its their some".split())


@dataclass(frozen=True, slots=True)
class Said:
    """A claim and where it stands. `order` decides between what was said at the same time: the order of ingestion."""

    record: str
    at: datetime
    order: str
    claim: Claim


def value_key(value: str) -> str:
    """What two spellings of one value have in common: no case, articles, punctuation or thousands separators."""
    text = unicodedata.normalize("NFKC", value).casefold().replace("’", "'")
    words = _WORDS.findall(_THOUSANDS.sub("", text))
    kept = [word.removesuffix("'s") for word in words if word not in _ARTICLES]
    return " ".join(kept or words) or text.strip()


def _shifted(moment: datetime, by: timedelta) -> datetime:
    """A moment later or earlier; at the ends of the calendar, that end."""
    try:
        return moment + by
    except OverflowError:
        return moment


def spoken(one: Said) -> tuple[object, ...]:
    """Sort key: when it was said. The later parts only make it a total order."""
    claim = one.claim
    rest = (claim.end, claim.attribute, claim.act, claim.value, claim.polarity, claim.old or "", claim.subject)
    dates = tuple("" if moment is None else moment.isoformat() for moment in (claim.valid_from, claim.valid_to))
    return (one.at, one.order, one.record, claim.start, *rest, *dates, claim.confidence)


@dataclass(frozen=True, slots=True)
class Entry:
    """A claim at its place among the others. `since` takes the place of the claim's own beginning."""

    said: Said
    place: int
    """When it counts as said: a correction counts in the place of what it corrects."""
    heard: int
    """When it was said."""
    since: datetime | None = None

    @property
    def claim(self) -> Claim:
        """What it says."""
        return self.said.claim

    @property
    def start(self) -> datetime | None:
        """When that began, if words say so."""
        return self.since or self.claim.valid_from

    @property
    def ahead(self) -> bool:
        """Whether it announces what is yet to come."""
        return self.start is not None and self.start > self.said.at


@dataclass(slots=True, eq=False)
class Stretch:
    """A value over an interval, while the line is being painted."""

    attribute: str
    key: str
    value: str
    polarity: bool
    start: datetime
    end: datetime | None
    said: list[Entry]
    dated: bool
    announced: bool = False
    unbegun: bool = False
    """Whether it began before `end`, nobody knows when."""
    successor: Stretch | None = None
    ended_by: Said | None = None
    noted: list[Said] = field(default_factory=list)
    never: bool = False

    @property
    def heard(self) -> int:
        """When it was said last."""
        return max(entry.heard for entry in self.said)

    def covers(self, moment: datetime) -> bool:
        """Whether it holds at a moment."""
        return self.start <= moment and (self.end is None or moment < self.end)


class Line:
    """The time line of one attribute. Statements are read in the order in which they were made."""

    def __init__(self, attribute: Attribute) -> None:
        self.attribute = attribute
        self.event = attribute.dated and not attribute.day
        self.by_key: dict[str, list[Stretch]] = {}
        self.order: list[Stretch] = []

    # What stands on it

    def positive(self) -> list[Stretch]:
        """All that says that something is so, and was not taken back."""
        return [stretch for stretch in self.order if stretch.polarity and not stretch.never]

    def named(self, value: str, attribute: str) -> list[Stretch]:
        """Positive stretches of a value: of that very one, or else of the only one that its words could mean."""
        key = value_key(value)
        exact = [one for one in self.by_key.get(key, ()) if one.polarity and one.attribute == attribute]
        if exact or not key:
            return exact
        words = set(key.split())
        alike = [
            one
            for one in self.positive()
            if one.attribute == attribute and (words <= (own := set(one.key.split())) or own <= words) and one.key
        ]
        return alike if len({one.key for one in alike}) == 1 else []

    def mistaken(self, entry: Entry) -> Stretch | None:
        """What a correction takes back: the value that it names, else the one heard last."""
        claim = entry.claim
        wrong = claim.old if claim.old or claim.polarity else claim.value
        right = value_key(claim.value) if claim.polarity else None
        found = self.named(wrong, claim.attribute) if wrong else []
        if not wrong:
            found = [one for one in self.positive() if one.attribute == claim.attribute and one.key != right]
        return max(found, key=lambda one: (one.heard, one.start), default=None)

    def planned(self, entry: Entry) -> Stretch | None:
        """The announcement that an entry moves or calls off."""
        claim, at = entry.claim, entry.said.at
        plans = [
            one for one in self.positive() if one.start > at and one.announced and one.attribute == claim.attribute
        ]
        if claim.act == "end" or not claim.polarity:
            if not claim.value and self.event:
                return max(plans, key=lambda one: one.heard, default=None)
            same = [one for one in self.named(claim.value, claim.attribute) if one in plans]
            return max(same, key=lambda one: one.heard, default=None)
        same = [one for one in plans if one.key == value_key(claim.value) and entry.ahead and one.start != entry.start]
        if self.event:
            if claim.act != "change":
                return None
            named = [one for one in self.named(claim.old or "", claim.attribute) if one in plans]
            return max(named or same or plans, key=lambda one: one.heard, default=None)
        if same:
            return max(same, key=lambda one: one.heard)
        sooner = [one for one in plans if not self.attribute.many and entry.ahead and (entry.start or at) <= one.start]
        return max(sooner, key=lambda one: one.heard, default=None)

    # Reading

    def read(self, entry: Entry) -> None:
        """Paint what an entry says over what was said before it."""
        claim, at = entry.claim, entry.said.at
        past = claim.valid_to is not None and claim.valid_from is None and entry.since is None and claim.valid_to <= at
        if claim.act == "end" or (past and claim.polarity and not self.event):
            self._end(entry)
        elif claim.polarity:
            made = self._state(entry)
            if claim.act == "change" and claim.old and not self.event:
                self._leave(entry, made)
        else:
            self._deny(entry)

    def _state(self, entry: Entry) -> Stretch:
        claim, at = entry.claim, entry.said.at
        key = value_key(claim.value)
        rivals = self._rivals(claim.attribute, key)
        start, end = entry.start, claim.valid_to
        if self.event:
            if start is not None and end is None:
                end = _shifted(start, _DAY)
            return self._happen(entry, key, start, end)
        if start is None:
            start = self._after(rivals, at)
        if end is not None and end <= start:
            end = None
        if end is None:
            ends = [one.start for one in rivals if one.announced and one.start > max(at, start)]
            if self._tells_of_the_past(entry, start, rivals):
                ends += [one.start for one in rivals if one.start > start]
            end = min(ends, default=None)
        made = self._join(entry, key, start, end, polarity=True)
        if len(made.said) == 1:
            made.announced = entry.ahead
        for rival in rivals:
            self._cut(rival, made, start, end)
        if end is not None and made.successor is None:
            made.successor = next((one for one in rivals if one.start == end), None)
        return made

    def _tells_of_the_past(self, entry: Entry, start: datetime, rivals: Sequence[Stretch]) -> bool:
        """Whether a change is an old story: another value, which it does not name as left, was heard to hold since."""
        claim = entry.claim
        if claim.act != "change" or self.attribute.many or entry.said.at - start <= OLD_NEWS:
            return False
        since = [one for one in rivals if one.polarity and one.start > start]
        left = self.named(claim.old, claim.attribute) if claim.old else []
        return bool(since) and not any(one in left for one in since)

    def _deny(self, entry: Entry) -> None:
        claim = entry.claim
        key = value_key(claim.value)
        rivals = [one for one in self.by_key.get(key, ()) if one.polarity and one.attribute == claim.attribute]
        rivals = rivals or self.named(claim.value, claim.attribute)
        start = entry.start or self._after(rivals, entry.said.at)
        end = claim.valid_to if claim.valid_to is not None and claim.valid_to > start else None
        made = self._join(entry, key, start, end, polarity=False)
        for rival in rivals:
            if self.event:
                rival.never, rival.successor, rival.ended_by = True, made, entry.said
            else:
                self._cut(rival, made, start, end)

    def _end(self, entry: Entry) -> None:
        claim, at = entry.claim, entry.said.at
        spanned = claim.valid_from is not None and claim.valid_to is not None and bool(claim.value)
        if spanned and claim.valid_from is not None:
            self._join(entry, value_key(claim.value), claim.valid_from, claim.valid_to, polarity=True)
        moment = claim.valid_to or claim.valid_from
        if claim.value:
            known = self.named(claim.value, claim.attribute)
        else:
            known = [one for one in self.positive() if one.attribute == claim.attribute]
        targets = [one for one in known if one.end is None or one.end > (moment or at)]
        targets = [one for one in targets if not self.event and not (one.announced and one.start > at)]
        when = moment or self._after(targets, at)
        for target in targets:
            if target.start < when:
                target.end = when
            else:
                target.start, target.end, target.unbegun = _shifted(when, -_MOMENT), when, True
            target.successor, target.ended_by = None, entry.said
        if targets:
            for target in targets:
                target.noted.append(entry.said)
        elif spanned:
            return
        elif not claim.value:
            self._join(entry, "", when, None, polarity=False)
        elif known:
            max(known, key=lambda one: one.start).noted.append(entry.said)
        else:
            # What else held then had begun before, so this was over by that time.
            holding = [] if self.attribute.many else [one for one in self.positive() if one.covers(when)]
            self._add(self._gone(entry, claim.value, min([when, *(one.start for one in holding)])))

    def _leave(self, entry: Entry, made: Stretch) -> None:
        """Close what a change names as left, or learn that it held until then."""
        claim = entry.claim
        old = value_key(claim.old or "")
        if not old or old == made.key:
            return
        left = self.named(claim.old or "", claim.attribute)
        for one in left:
            if one is not made and (one.end is None or one.end > made.start):
                self._cut(one, made, made.start, None)
        if not left:
            gone = self._gone(entry, claim.old or "", made.start)
            gone.successor = made
            self._add(gone)

    def _happen(self, entry: Entry, key: str, start: datetime | None, end: datetime | None) -> Stretch:
        """A happening; without a date it is the one of that name that is known already."""
        for one in reversed(self.by_key.get(key, ())):
            if one.never or not one.polarity or one.attribute != entry.claim.attribute:
                continue
            if start is None or not one.dated or (end is not None and one.covers(start)):
                one.said.append(entry)
                if start is not None and not one.dated:
                    one.start, one.end, one.dated = start, end, True
                return one
        made = self._new(entry, key, start or entry.said.at, end, polarity=True)
        made.announced = entry.ahead
        return self._add(made)

    # Painting

    def _rivals(self, attribute: str, key: str) -> list[Stretch]:
        """What cannot hold beside a value: its denial, its opposite, and any other value where there is but one."""
        same = self.by_key.get(key, ())
        found = [one for one in same if not one.never and (not one.polarity or one.attribute != attribute)]
        found = [one for one in found if one.polarity or one.attribute == attribute]
        found += [one for one in self.by_key.get("", ()) if not one.polarity and key]
        if not self.attribute.many:
            found += [one for one in self.positive() if one.key != key]
        return found

    def _after(self, rivals: Sequence[Stretch], at: datetime) -> datetime:
        """The time of an undated claim: when it was said, but after what was said before it at the same moment."""
        return max([at, *(_shifted(one.start, _MOMENT) for one in rivals if one.start >= at and not one.announced)])

    def _cut(self, old: Stretch, new: Stretch, start: datetime, end: datetime | None) -> None:
        """Take `start:end` out of a stretch."""
        if (old.end is not None and old.end <= start) or (end is not None and old.start >= end):
            return
        rest = end is not None and (old.end is None or old.end > end)
        if old.start < start:
            if rest and end is not None:
                tail = replace(old, start=end, said=list(old.said), noted=[], unbegun=False, announced=True)
                self._add(tail)
            old.end, old.successor, old.ended_by = start, new, new.said[-1].said
        elif rest and end is not None:
            old.start, old.announced = end, True
        elif old.dated:
            old.end, old.never, old.successor, old.ended_by = old.start, True, new, new.said[-1].said
        else:
            # It was heard after it had changed already: then it held before that, nobody said since when.
            old.end, old.unbegun, old.successor, old.ended_by = start, True, new, new.said[-1].said
            old.start = _shifted(start, -_MOMENT)

    def _join(self, entry: Entry, key: str, start: datetime, end: datetime | None, *, polarity: bool) -> Stretch:
        """The stretch of a value over an interval: a new one, or one that it touches, made longer."""
        touching = [
            one
            for one in self.by_key.get(key, ())
            if one.polarity == polarity and one.attribute == entry.claim.attribute and not one.never
            if (one.end is None or start <= one.end) and (end is None or one.start <= end)
        ]
        if not touching:
            return self._add(self._new(entry, key, start, end, polarity=polarity))
        first, *others = touching
        first.said.append(entry)
        for other in others:
            self._absorb(first, other)
        dated = entry.start is not None
        if start < first.start or first.unbegun:
            first.start, first.dated = min(start, first.start), dated
            first.announced = first.announced and entry.ahead
        first.unbegun = False
        if first.end is not None and (end is None or end > first.end):
            first.end, first.successor, first.ended_by = end, None, None
        return first

    def _absorb(self, into: Stretch, other: Stretch) -> None:
        into.said += [entry for entry in other.said if entry not in into.said]
        into.noted += [one for one in other.noted if one not in into.noted]
        into.start = min(into.start, other.start)
        if into.end is not None and (other.end is None or other.end > into.end):
            into.end, into.successor, into.ended_by = other.end, other.successor, other.ended_by
        self.order.remove(other)
        self.by_key[other.key].remove(other)
        for one in self.order:
            if one.successor is other:
                one.successor = into

    def _new(self, entry: Entry, key: str, start: datetime, end: datetime | None, *, polarity: bool) -> Stretch:
        claim = entry.claim
        dated = entry.start is not None
        return Stretch(claim.attribute, key, claim.value, polarity, start, end, [entry], dated=dated)

    def _gone(self, entry: Entry, value: str, end: datetime) -> Stretch:
        """Something known only by its end."""
        made = self._new(entry, value_key(value), _shifted(end, -_MOMENT), end, polarity=True)
        made.value, made.dated, made.unbegun, made.ended_by = value, False, True, entry.said
        return made

    def _add(self, stretch: Stretch) -> Stretch:
        self.order.append(stretch)
        self.by_key.setdefault(stretch.key, []).append(stretch)
        return stretch


def begin(line: Line) -> None:
    """Let what began nobody knows when begin where the value before it ended."""
    waiting = sorted(
        (one for one in line.order if one.unbegun and not one.never), key=lambda one: (one.end or LONG_AGO, -one.heard)
    )
    for one in waiting:
        assert one.end is not None
        others = line.order if not line.attribute.many else line.by_key[one.key]
        before = [
            one.end if other.end is None else other.end
            for other in others
            if other is not one and other.polarity and not other.never and other.start < one.end
        ]
        one.start = max([min(LONG_AGO, _shifted(one.end, -_MOMENT)), *before])
        if one.start >= one.end:
            one.start, one.never = one.end, True
    if not line.attribute.many:
        _part(line)
    for one in line.order:
        if one.end is not None and one.end <= one.start:
            one.never = True
        if one.never:
            one.end = one.start


def _part(line: Line) -> None:
    """Let nothing overlap where one value holds at a time; corrections of what is long over can leave that."""
    stretches = sorted(line.positive(), key=lambda one: (one.start, one.heard))
    for place, one in enumerate(stretches):
        for other in stretches[place + 1 :]:
            if one.end is not None and one.end <= other.start:
                break
            if one.heard <= other.heard:
                one.end, one.successor, one.ended_by = other.start, other, other.said[-1].said
            elif one.end is None or (other.end is not None and other.end <= one.end):
                other.end, other.successor, other.ended_by = other.start, one, one.said[-1].said
            else:
                other.start = one.end
