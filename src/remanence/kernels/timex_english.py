"""English time expressions: a recursive-descent reader over the words of a text.

The grammar, longest reading first (`resolve` in `timex` states how each reading is resolved)::

    expression = bound | range | anchored | base
    bound      = (before | after | since | until | by | from … on) (anchored | base)
    range      = [between | from] base (and | to | until | -) base      also "5-10 May", "May 5 to 10, 2023"
    anchored   = [the] (unit | weekday | count units) (before | after | of) (anchored | base) | unit before last
    base       = date | day word | (last | this | next) what | count units ago | nth unit of base
               | (early | mid | late) base | weekday | month | season | year | decade | quarter | holiday
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from remanence.kernels import timex_calendar as cal
from remanence.kernels.timex_base import BaseReader, Found, around
from remanence.kernels.timex_calendar import DAY, WEEK, Period
from remanence.kernels.timex_words import (
    BOUNDS,
    LONGEST_APPROACH,
    MONTHS,
    NAMES_OF_PEOPLE,
    SHORT_MONTHS,
    STARTERS,
    TRIGGERS,
    UNITS,
    WEEKDAYS,
)


class Reader(BaseReader):
    """Iterates over the expressions of one text."""

    def __iter__(self) -> Iterator[tuple[Period, int, int]]:
        """Period, first and last character of each expression, from left to right."""
        i = 0
        while i < self.size:
            found = self._expression(i) if self.thorough or self._may_begin(i) else None
            if found is None:
                i += 1
                continue
            yield found.period, self.begins[i], self.ends[found.after - 1]
            i = found.after

    def _may_begin(self, i: int) -> bool:
        word = self.words[i]
        if word[0].isdecimal():
            return True
        if word not in STARTERS:
            return False
        # "the", "a", "from", … open an expression only if one of the words that none lacks is near.
        return word in TRIGGERS or any(
            ahead in TRIGGERS or ahead[:1].isdecimal() for ahead in self.words[i + 1 : i + LONGEST_APPROACH]
        )

    def _expression(self, i: int) -> Found | None:
        for rule in (self._bound, self._range, self._anchored, self.base):
            try:
                found = rule(i)
            except (ValueError, OverflowError):  # no such day, or outside the calendar: not a date after all
                continue
            if found is not None:
                return found
        return None

    def _bound(self, i: int) -> Found | None:
        kind, j = BOUNDS.get(self.words[i], ""), i + 1
        if self.words[i] in ("prior", "up") and self.words[j] == "to":
            kind, j = {"prior": "before", "up": "until"}[self.words[i]], j + 1
        elif self.words[i] in ("from", "starting") and (target := self._anchored(j) or self.base(j)):
            if self.words[target.after] in ("on", "onward", "onwards"):
                return Found(Period(target.period.start, datetime.max, "since"), target.after + 1)
            return None
        if not kind:
            return None
        if self.words[i] == "by" and self.words[j] in NAMES_OF_PEOPLE and not self.month(j, cued=False):
            return None
        target = self._anchored(j) or self.base(j)
        if target is None or target.period.kind in ("recent", "present"):
            return None
        start, end = target.period.start, target.period.end
        start, end = {
            "before": (datetime.min, start),
            "until": (datetime.min, end),
            "after": (end, datetime.max),
            "since": (start, datetime.max),
        }[kind]
        return Found(Period(start, end, kind), target.after)

    def _range(self, i: int) -> Found | None:
        opening = self.words[i] if self.words[i] in ("between", "from") else ""
        j = i + 1 if opening else i
        joins = {"between": {"and", "-", "–"}, "from": {"to", "until", "till", "through", "thru", "-", "–", "and"}}.get(
            opening, {"to", "through", "thru", "until", "-", "–"}
        )
        found = self._day_range(j, joins)
        if found is not None:
            return found
        bare_months = self.words[j] in MONTHS and self.words[j + 1] in joins and self.words[j + 2] in MONTHS
        first = self.base(j, ranged=True, cued=bare_months)
        if first is None or self.words[first.after] not in joins:
            return None
        if opening == "from" and self.words[first.after + 1] in ("now", "today") and first.period.start < self.now:
            return Found(Period(first.period.start, self.now, "range"), first.after + 2)
        if not opening and first.period.kind not in ("day", "month", "year", "quarter"):
            return None
        last = self.base(first.after + 1, ranged=True, cued=bare_months)
        if last is None or (not opening and last.period.kind != first.period.kind):
            return None
        return self._joined(first, last)

    def _day_range(self, i: int, joins: set[str]) -> Found | None:
        """``5-10 May 2023``, ``the 5th to the 10th of May``, ``May 5 to 10, 2023``."""
        j = i + (self.words[i] == "the")
        if number := self.day_number(j):
            k = number[1]
            if self.words[k] not in joins:
                return None
            last = self.day_first(k + 1 + (self.words[k + 1] == "the"))
            if last is None:
                return None
            begin, day = last.period.start.replace(day=number[0]), number[0]
            if begin >= last.period.start:
                return None
            return Found(Period(begin, last.period.end, "range"), last.after, _ranged_in_year(last.in_year, day))
        if self.words[i] not in MONTHS and self.words[i] not in SHORT_MONTHS:
            return None
        number = self.day_number(i + 1 + (self.words[i + 1] == "."))
        if number is None or self.words[number[1]] not in joins:
            return None
        second = self.day_number(number[1] + 1)
        if second is None:
            return None
        year, after = self.year_after(second[1])
        last = self.dated(self.month_number(i), second[0], year, after)
        begin = last.period.start.replace(day=number[0])
        if begin >= last.period.start:
            return None
        return Found(Period(begin, last.period.end, "range"), after, _ranged_in_year(last.in_year, number[0]))

    def _joined(self, first: Found, last: Found) -> Found | None:
        a, b = first.period, last.period
        if first.in_year:
            a = first.in_year(b.start.year)
            if a.start >= b.start:
                a = first.in_year(b.start.year - 1)
        elif last.in_year:
            b = last.in_year(a.start.year)
            if b.start <= a.start:
                b = last.in_year(a.start.year + 1)
        elif timedelta() <= a.start - b.start < WEEK:  # weekdays: the latest Friday may precede the latest Monday
            a = Period(a.start - WEEK, a.end - WEEK, a.kind)
        return Found(Period(a.start, b.end, "range"), last.after) if a.start < b.start else None

    def _anchored(self, i: int, depth: int = 0) -> Found | None:
        if depth > 3:
            return None
        j = i + (self.words[i] == "the")
        nearest = self.words[j] in ("first", "last", "next", "very") and self.words[j + 1] in {*UNITS, *WEEKDAYS}
        if nearest and self.words[j + 2] in ("before", "after", "following", "prior"):
            j += 1
        word = self.words[j]
        counted = self.count(j)
        if counted and counted[2] > j:
            low, high, k = counted
            unit = UNITS.get(self.words[k])
            if unit is None:
                return None
            side, k = self._side(k + 1)
            target = (self._anchored(k, depth + 1) or self.base(k, ranged=True)) if side else None
            return Found(_counted_from(target.period, unit, low, high, side), target.after) if target else None
        if word in WEEKDAYS:
            side, k = self._side(j + 1)
            target = (self._anchored(k, depth + 1) or self.base(k, ranged=True)) if side else None
            if target is None:
                return None
            if side < 0:
                return Found(cal.weekday_before(target.period.start, WEEKDAYS[word]), target.after)
            return Found(cal.weekday_from(target.period.end, WEEKDAYS[word]), target.after)
        unit = UNITS.get(word)
        if unit not in ("day", "week", "weekend", "month", "quarter", "year", "decade"):
            return None
        if self.words[j + 1 : j + 3] == ["before", "last"]:
            return Found(cal.unit_at(self.now, unit, -2), j + 3)
        if self.words[j + 1] == "of" and unit in ("week", "weekend", "month"):
            target = self.base(j + 2, ranged=True, cued=True)
            if target is None or target.period.kind != ("month" if unit == "month" else "day"):
                return None
            return target if unit == "month" else Found(cal.unit_at(target.period.start, unit), target.after)
        side, k = self._side(j + 1)
        target = (self._anchored(k, depth + 1) or self.base(k, ranged=True)) if side else None
        return Found(_next_to(target.period, unit, side), target.after) if target else None

    def _side(self, i: int) -> tuple[int, int]:
        """-1 for before, 1 for after, 0 for neither; and the token after the word."""
        word = self.words[i]
        if word in ("before", "preceding"):
            return -1, i + 1
        if word in ("after", "following"):
            return 1, i + 1
        if word == "prior" and self.words[i + 1] == "to":
            return -1, i + 2
        if self.words[i : i + 3] == ["leading", "up", "to"]:
            return -1, i + 3
        return 0, i


def _counted_from(anchor: Period, unit: str, low: int, high: int, side: int) -> Period:
    """``two weeks before`` a period, ``a few days after`` it."""
    origin = anchor.start if side < 0 else anchor.end - DAY
    if unit == "weekend":
        nearest = cal.weekend_before(anchor.start) if side < 0 else cal.weekend_from(anchor.end)
        shift = side * (high - 1) * WEEK
        return Period(nearest.start + shift, nearest.end + shift, "weekend")
    return around(origin, unit, side * low, side * high)


def _next_to(anchor: Period, unit: str, side: int) -> Period:
    """The unit before or after a period: calendar units beside units as long, else the same length adjoining."""
    if unit == "weekend":
        return cal.weekend_before(anchor.start) if side < 0 else cal.weekend_from(anchor.end)
    if unit == anchor.kind or unit == "day":
        inside = anchor.start if side < 0 else anchor.end - DAY
        return cal.unit_at(inside, unit, side)
    if side < 0:
        return Period(cal.shifted(anchor.start, unit, -1), anchor.start, "range" if unit != "week" else "week")
    return Period(anchor.end, cal.shifted(anchor.end, unit, 1), "range" if unit != "week" else "week")


def _ranged_in_year(in_year: Callable[[int], Period] | None, day: int) -> Callable[[int], Period] | None:
    if in_year is None:
        return None
    return lambda year: Period(in_year(year).start.replace(day=day), in_year(year).end, "range")
