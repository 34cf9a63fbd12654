"""English time expressions that stand alone: dates, ``last Friday``, ``two weeks ago``, ``mid-March``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from remanence.kernels import timex_calendar as cal
from remanence.kernels.timex_calendar import DAY, WEEK, Period
from remanence.kernels.timex_words import (
    COMMON_WORDS,
    DAY_PARTS,
    DAY_WORDS,
    FRACTIONS,
    HOLIDAY_CUES,
    HOLIDAY_STARTS,
    HOLIDAYS,
    ISO,
    MONTH_CUES,
    MONTH_YEAR,
    MONTHS,
    NAMES_OF_PEOPLE,
    NEXT,
    NOT_COUNTED,
    NUMBERS,
    NUMERIC,
    ORDINALS,
    PARTS,
    PAST,
    PRESENT,
    RECENT,
    SEASON_CUES,
    SEASONS,
    SHORT_MONTHS,
    SHORT_WEEKDAYS,
    SUFFIXES,
    THIS,
    TOKEN,
    UNITS,
    WEEKDAYS,
    YEAR_CUES,
    YEAR_MONTH,
)


class Found(NamedTuple):
    """A reading: its period, the token after it, and the same expression in another year if it names none."""

    period: Period
    after: int
    in_year: Callable[[int], Period] | None = None


class BaseReader:
    """Reads the expressions of one text.

    Args:
        text: Any text.
        now: Local time without a zone.
        day_first: Whether ``07/05/2023`` is the 7th of May.
        thorough: Try to read an expression at every word, not only where one can begin.
    """

    def __init__(self, text: str, now: datetime, *, day_first: bool, thorough: bool = False) -> None:
        self.thorough = thorough
        self.text = text
        self.now = now
        self.today = cal.midnight(now)
        self.slash_day_first = day_first
        self.begins: list[int] = []
        self.ends: list[int] = []
        self.words: list[str] = []
        for match in TOKEN.finditer(text):
            self.begins.append(match.start())
            self.ends.append(match.end())
            self.words.append(match[0].lower())
        self.words += [""] * 12  # so that looking ahead needs no bounds
        self.size = len(self.begins)

    def base(self, i: int, *, ranged: bool = False, cued: bool = False) -> Found | None:
        """`ranged`: the place calls for a time, so bare years count; `cued`: so do ambiguous month names."""
        word = self.words[i]
        if not word:
            return None
        if word == "the":
            article = self.words[i + 1] not in ("the", "a", "an")
            return self.base(i + 1, ranged=ranged, cued=cued) if article else None
        if word[0].isdecimal():
            return self._numeric(i) or self.day_first(i) or self._year(i, ranged) or self._counted(i)
        found = self._day_word(i) or self._nth(i) or self._relative(i) or self._part(i)
        if found:
            return found
        if word in MONTHS or word in SHORT_MONTHS:
            return self.month(i, cued=cued)
        if word in SEASONS:
            return self._season(i)
        if word in WEEKDAYS or word in SHORT_WEEKDAYS:
            return self._weekday(i)
        return self._counted(i) or self._holiday(i) or self._year(i, ranged)

    def _day_word(self, i: int) -> Found | None:
        word = self.words[i]
        if word in DAY_WORDS:
            after = i + 1 + (self.words[i + 1] in DAY_PARTS)
            return Found(cal.unit_at(self.now, "day", DAY_WORDS[word]), after)
        if word in RECENT:
            return Found(Period(self.today - 30 * DAY, self.now, "recent"), i + 1)
        if word == "other" and self.words[i + 1] == "day" and self.words[max(i - 1, 0)] == "the":
            return Found(Period(self.today - WEEK, self.today, "recent"), i + 2)
        today = Period(self.today, self.today + DAY, "present")
        if word in PRESENT:
            return Found(today, i + 1)
        if self.words[i : i + 2] in (["right", "now"], ["these", "days"]):
            return Found(today, i + 2)
        if self.words[i : i + 3] == ["at", "the", "moment"]:
            return Found(today, i + 3)
        if word in ("earlier", "later"):
            unit = UNITS.get(self.words[i + 2]) if self.words[i + 1] in THIS else None
            if self.words[i + 1] == "today":
                return Found(cal.unit_at(self.now, "day"), i + 2)
            if unit in ("week", "month", "year"):
                whole = cal.unit_at(self.now, unit)
                begin, end = (whole.start, self.now) if word == "earlier" else (self.now, whole.end)
                return Found(Period(begin, end, "range"), i + 3)
        return None

    def _relative(self, i: int) -> Found | None:
        """``last``, ``this`` and ``next`` with a unit, a count of units, a weekday, month, season or holiday."""
        word, j = self.words[i], i + 1
        if word == "this" and self.words[j] in ("past", "coming"):
            word, j = self.words[j], j + 1
        step = -1 if word in PAST else 0 if word in THIS else 1 if word in NEXT else None
        if step is None:
            return None
        what = self.words[j]
        if what in DAY_PARTS and step <= 0:
            if step < 0 and what in ("night", "evening"):
                return Found(Period(self.today - DAY, self.today + timedelta(hours=6), "day"), j + 1)
            return Found(cal.unit_at(self.now, "day"), j + 1) if step == 0 else None
        unit = UNITS.get(what)
        if unit in ("week", "weekend", "month", "quarter", "year", "decade"):
            if word == "past" and unit != "weekend":
                return Found(Period(cal.midnight(cal.shifted(self.now, unit, -1)), self.now, "range"), j + 1)
            return Found(cal.unit_at(self.now, unit, step), j + 1)
        if what in WEEKDAYS or what in SHORT_WEEKDAYS:
            return self._relative_weekday(j, step, word)
        if what in MONTHS or what in SEASONS:
            of_year = self._of_year(what)
            return Found(self._nearest(of_year, step), j + 1)
        holiday = self._holiday_name(j)
        if holiday:
            return Found(self._nearest(holiday[0], step), holiday[1])
        counted = self.count(j)
        if counted is None or step == 0 or what in ("a", "an"):
            return None
        unit = UNITS.get(self.words[counted[2]])
        return Found(self._rolling(unit, step * counted[1]), counted[2] + 1) if unit else None

    def _relative_weekday(self, i: int, step: int, word: str) -> Found:
        number = {**SHORT_WEEKDAYS, **WEEKDAYS}[self.words[i]]
        after = i + 1 + (self.words[i + 1] in DAY_PARTS)
        if step < 0:
            return Found(cal.weekday_before(self.today, number), after)
        if word in ("coming", "upcoming"):
            return Found(cal.weekday_from(self.today + DAY, number), after)
        start = cal.unit_at(self.now, "week", step).start + number * DAY
        return Found(Period(start, start + DAY, "day"), after)

    def _rolling(self, unit: str, count: int) -> Period:
        """The last or next `count` units up to or from now."""
        if unit == "weekend":
            ends = cal.unit_at(self.now, unit, count), cal.unit_at(self.now, unit, -1 if count < 0 else 1)
            return Period(min(end.start for end in ends), max(end.end for end in ends), "range")
        if unit in ("minute", "hour"):
            edge = self.now + count * timedelta(**{f"{unit}s": 1})
        else:
            edge = cal.midnight(_moved(self.now, unit, count)) + (DAY if count > 0 else 0 * DAY)
        return Period(min(edge, self.now), max(edge, self.now), "range")

    def _counted(self, i: int) -> Found | None:
        """``three days ago``, ``a couple of weeks back``, ``two months from now``, ``two Fridays ago``."""
        for words, (number, unit) in FRACTIONS.items():
            if self.words[i : i + len(words) + 1] == [*words, "ago"]:
                return Found(around(self.now, unit, -number, -number), i + len(words) + 1)
        counted = self.count(i)
        if counted is None:
            return None
        low, high, j = counted
        unit = UNITS.get(self.words[j], "")
        sign = -1 if self.words[j + 1] in ("ago", "back") else 0
        after = j + 2
        if self.words[j + 1] == "from" and self.words[j + 2] in ("now", "today"):
            sign, after = 1, j + 3
        if sign == 0:
            return None
        if not unit:
            weekday = WEEKDAYS.get(self.words[j].removesuffix("s"))
            if weekday is None or sign > 0:
                return None
            start = cal.weekday_before(self.today, weekday).start - (high - 1) * WEEK
            return Found(Period(start, start + DAY, "day"), after)
        if unit == "weekend":
            ends = cal.unit_at(self.now, unit, sign * low), cal.unit_at(self.now, unit, sign * high)
            kind = "weekend" if low == high else "range"
            return Found(Period(min(e.start for e in ends), max(e.end for e in ends), kind), after)
        return Found(around(self.now, unit, sign * low, sign * high), after)

    def count(self, i: int) -> tuple[int, int, int] | None:
        """Least and greatest count, and the token after it: ``a few`` is 2 to 5, ``a couple of`` 1 to 3."""
        j = i + (self.words[i] == "a" and self.words[i + 1] in ("couple", "few"))
        if self.words[j] == "couple":
            return 1, 3, j + 1 + (self.words[j + 1] == "of")
        if self.words[j] in ("few", "several"):
            return 2, 5, j + 1
        low = self._small_number(i)
        if low is None:
            return None
        if self.words[i + 1] in ("or", "to", "-", "–"):
            high = self._small_number(i + 2)
            if high is not None and high > low:
                return low, high, i + 3
        return low, low, i + 1

    def _small_number(self, i: int) -> int | None:
        word = self.words[i]
        if word[:1].isdecimal() and len(word) <= 4:
            return int(word)
        return NUMBERS.get(word)

    def _nth(self, i: int) -> Found | None:
        """``first weekend of August 2023``, ``last Friday of the month``, ``second half of 2022``."""
        nth, j = ORDINALS.get(self.words[i]), i + 1
        if nth is None or self.words[i + 2] not in ("of", "in"):
            return None
        what, j = self.words[j], i + 3
        unit = "half" if what == "half" else "weekday" if what in WEEKDAYS else UNITS.get(what)
        if unit is None or unit not in ("half", "weekday", "day", "week", "weekend", "month", "quarter"):
            return None
        whole = self._whole(j)
        if whole is None:
            return None
        if unit == "half":
            return Found(cal.half(whole.period, nth in (2, -1)), whole.after) if nth in (1, 2, -1) else None
        period = cal.nth_within(whole.period, unit, nth, WEEKDAYS.get(what, 0))
        return Found(period, whole.after) if period else None

    def _part(self, i: int) -> Found | None:
        """``early March``, ``mid-June 2022``, ``the end of the year``."""
        which, j = PARTS.get(self.words[i]), i + 1
        if which is None:
            return None
        if self.words[j] == "-":
            j += 1
        if self.words[j] in ("of", "in"):
            j += 1
        elif self.words[i] not in ("early", "late", "mid"):
            return None
        whole = self._whole(j)
        return Found(cal.part(whole.period, which), whole.after) if whole else None

    def _whole(self, i: int) -> Found | None:
        """A month, season, quarter, year or decade that something is a part of; ``the month`` is the current one."""
        j = i + (self.words[i] in ("the", "this"))
        unit = UNITS.get(self.words[j])
        if j > i and unit in ("month", "quarter", "year", "week"):
            return Found(cal.unit_at(self.now, unit), j + 1)
        whole = self.base(j, ranged=True, cued=True)
        return whole if whole and whole.period.kind in ("month", "season", "quarter", "year", "decade") else None

    def _nearest(self, of_year: Callable[[int], Period], step: int = 0, *, latest: bool = False) -> Period:
        """The yearly period that is last over (-1), of this year (0) or next to begin (1); or the `latest` begun."""
        year = self.now.year
        around = [of_year(y) for y in (year - 2, year - 1, year, year + 1, year + 2)]
        if latest:
            return max((p for p in around if p.start <= self.now), key=lambda p: p.start)
        if step < 0:
            return max((p for p in around if p.end <= self.today), key=lambda p: p.start)
        if step > 0:
            return min((p for p in around if p.start > self.now), key=lambda p: p.start)
        # A winter is this winter until spring is well under way.
        return of_year(
            year - 1 if around[2].start.month == 12 and around[2].kind == "season" and self.now.month < 5 else year
        )

    def _of_year(self, name: str) -> Callable[[int], Period]:
        if name in SEASONS:
            return lambda year: cal.season(year, SEASONS[name])
        return lambda year: cal.month(year, MONTHS[name])

    def month_number(self, i: int) -> int:
        """1 to 12 for the month name at token `i`."""
        return MONTHS.get(self.words[i]) or SHORT_MONTHS[self.words[i]]

    def month(self, i: int, *, cued: bool) -> Found | None:
        """``May``, ``May 2023``, ``May 7``, ``May 7th, 2023``."""
        word, number = self.words[i], self.month_number(i)
        previous = self.words[i - 1] if i else ""
        plain = word in COMMON_WORDS and self.text[self.begins[i]].islower()
        j = i + 1 + (self.words[i + 1] == "." and word not in MONTHS)
        day = self.day_number(j + (self.words[j] == "the"))
        if day and (not plain or previous == "on" or self.year_after(day[1])[0] or day[1] - j > 1):
            year, after = self.year_after(day[1])
            return self.dated(number, day[0], year, after)
        year, after = self.year_after(j)
        if year:
            return Found(cal.month(year, number), after)
        if word not in MONTHS or (word in NAMES_OF_PEOPLE and not cued and previous not in MONTH_CUES):
            return None
        of_year = self._of_year(word)
        return Found(self._nearest(of_year, latest=True), i + 1, of_year)

    def day_first(self, i: int) -> Found | None:
        """``7 May``, ``7th of May, 2023``, ``23January``, ``7-May-2023``; ``on the 7th``."""
        number = self.day_number(i)
        if number is None:
            return None
        day, j = number
        suffixed = j > i + 1
        if self.words[j] in ("of", "-", "`"):
            j += 1
        word = self.words[j]
        if word in MONTHS or word in SHORT_MONTHS:
            k = j + 1 + (self.words[j + 1] in (".", "-") and self.words[j + 2][:1].isdecimal())
            year, after = self.year_after(k)
            if not year:
                after = j + 1
            loose = word in COMMON_WORDS and self.text[self.begins[j]].islower()
            if loose and not (year or suffixed or j > i + 1):
                return None
            return self.dated(self.month_number(j), day, year, after)
        on_the = self.words[i - 1] == "the" and self.words[i - 2] == "on" if i >= 2 else False
        following = self.words[j]
        if not suffixed or not on_the or (following.isalpha() and following not in NOT_COUNTED):
            return None
        start = self.today.replace(day=1)
        for back in range(3):
            length = cal.month(start.year, start.month - back)
            if length.start + (day - 1) * DAY < min(length.end, self.today + DAY):
                return Found(Period(length.start + (day - 1) * DAY, length.start + day * DAY, "day"), j)
        return None

    def dated(self, month: int, day: int, year: int, after: int) -> Found:
        """A day; without a year (0) the last one that is not in the future."""
        if year:
            return Found(cal.day(year, month, day), after)
        if (month, day) == (2, 29):
            leap = next(y for y in range(self.now.year, self.now.year - 9, -1) if _is_past_leap(y, self.today))
            return Found(cal.day(leap, 2, 29), after, lambda y: cal.day(y, 2, 29))
        return Found(
            self._nearest(lambda y: cal.day(y, month, day), latest=True), after, lambda y: cal.day(y, month, day)
        )

    def day_number(self, i: int) -> tuple[int, int] | None:
        """A day of the month and the token after it and its suffix."""
        word = self.words[i]
        if not (word[:1].isdecimal() and len(word) <= 2 and 1 <= int(word) <= 31):
            return None
        suffixed = self.words[i + 1] in SUFFIXES and self.begins[i + 1] == self.ends[i]
        return int(word), i + 1 + suffixed

    def year_after(self, i: int) -> tuple[int, int]:
        """The year that follows, behind a comma, full stop or ``of``, and the token after it; (0, i) if none does."""
        j = i + (self.words[i] in (",", ".", "of"))
        word = self.words[j]
        if word[:1].isdecimal() and len(word) == 4 and 1000 <= int(word) <= 2999:
            unit_follows = self.words[j + 1] == "s" and self.begins[j + 1] == self.ends[j]
            return (0, i) if unit_follows else (int(word), j + 1)
        short = self.words[j + 1]
        if word in ("'", "’") and short[:1].isdecimal() and len(short) == 2 and self.words[j + 2] != "s":
            return (1900 if int(short) >= 70 else 2000) + int(short), j + 2
        return 0, i

    def _weekday(self, i: int) -> Found | None:
        word, previous = self.words[i], self.words[i - 1] if i else ""
        if word in SHORT_WEEKDAYS and previous != "on" and self.words[i + 1] not in (",", "."):
            return None
        if previous in ("every", "each"):
            return None
        j = i + 1 + (self.words[i + 1] in DAY_PARTS)
        comma = j + (self.words[j] in (",", ".")) + (self.words[j + 1] == "the")
        dated = self._numeric(comma) or self.day_first(comma)
        if dated is None and (self.words[comma] in MONTHS or self.words[comma] in SHORT_MONTHS):
            dated = self.month(comma, cued=False)
        if dated is not None and dated.period.kind == "day":
            return dated
        if word in SHORT_WEEKDAYS and previous != "on":
            return None
        return Found(cal.weekday_before(self.today + DAY, {**SHORT_WEEKDAYS, **WEEKDAYS}[word]), j)

    def _season(self, i: int) -> Found | None:
        year, after = self.year_after(i + 1)
        of_year = self._of_year(self.words[i])
        if year:
            return Found(of_year(year), after)
        before = i - 1 - (self.words[i - 1] == "the") if i else -1
        if before < 0 or self.words[before] not in SEASON_CUES:
            return None
        return Found(self._nearest(of_year, latest=True), i + 1, of_year)

    def _holiday_name(self, i: int) -> tuple[Callable[[int], Period], int] | None:
        if self.words[i] not in HOLIDAY_STARTS:
            return None
        for words, of_year in HOLIDAYS.items():
            j = i
            for word in words:
                j += self.words[j] in ("'", "’")
                if self.words[j] != word:
                    break
                j += 1
            else:
                return of_year, j
        return None

    def _holiday(self, i: int) -> Found | None:
        named = self._holiday_name(i)
        if named is None:
            return None
        of_year, j = named
        year, after = self.year_after(j)
        if year:
            return Found(of_year(year), after)
        if i == 0 or self.words[i - 1] not in HOLIDAY_CUES:
            return None
        return Found(self._nearest(of_year, latest=True), j, of_year)

    def _year(self, i: int, ranged: bool) -> Found | None:
        """``2022``, ``the 1990s``, ``the '90s``, ``Q2 2023``; a bare year needs a preposition before it."""
        word, j = self.words[i], i + 1
        if word == "q" and self.words[j] in ("1", "2", "3", "4") and self.begins[j] == self.ends[i]:
            number = int(self.words[j])
            year, after = self.year_after(j + 1)
            if year:
                return Found(cal.quarter(year, number), after)
            return Found(self._nearest(lambda y: cal.quarter(y, number), latest=True), j + 1)
        if word in ("'", "’") and self.words[j][:1].isdecimal():
            word, j = self.words[j], j + 1
        if not word[0].isdecimal() or len(word) not in (2, 4):
            return None
        apostrophe = self.words[j] in ("'", "’") and j < self.size and self.begins[j] == self.ends[j - 1]
        plural = j + apostrophe
        if self.words[plural] == "s" and self.begins[plural] == self.ends[plural - 1] and word[-1] == "0":
            if len(word) == 2:
                return Found(cal.decade(1900 + int(word)), plural + 1) if int(word) >= 50 else None
            return Found(cal.decade(int(word)), plural + 1)
        if len(word) != 4 or not 1900 <= int(word) <= 2099 or j > i + 1:
            return None
        if not ranged and (i == 0 or self.words[i - 1] not in YEAR_CUES):
            return None
        return Found(cal.year_of(int(word)), j)

    def _numeric(self, i: int) -> Found | None:
        if i >= self.size or not self.words[i][0].isdecimal():
            return None
        begin = self.begins[i]
        if begin and (self.text[begin - 1].isalnum() or self.text[begin - 1] in "./-_"):
            return None
        if match := ISO.match(self.text, begin):
            period = cal.day(int(match[1]), int(match[3]), int(match[4]))
        elif match := NUMERIC.match(self.text, begin):
            first, second = int(match[1]), int(match[3] or match[5])
            year = int(match[4] or match[6])
            if year < 100:
                year += 1900 if year >= 70 else 2000
            day_first = match[2] == "." or first > 12 or (self.slash_day_first and second <= 12)
            period = cal.day(year, second, first) if day_first else cal.day(year, first, second)
        elif match := YEAR_MONTH.match(self.text, begin):
            period = cal.month(int(match[1]), int(match[2]))
        elif match := MONTH_YEAR.match(self.text, begin):
            period = cal.month(int(match[2]), int(match[1]))
        else:
            return None
        after = i
        while after < self.size and self.begins[after] < match.end():
            after += 1
        return Found(period, after)


def _moved(moment: datetime, unit: str, count: int) -> datetime:
    return cal.shifted(moment, "week", 2 * count) if unit == "fortnight" else cal.shifted(moment, unit, count)


def around(now: datetime, unit: str, low: int, high: int) -> Period:
    """`low` to `high` units from `now` (negative: ago), as loosely as the unit says it."""
    early, late = min(low, high), max(low, high)
    if unit == "minute":
        slack = timedelta(minutes=5)
        return Period(now + early * timedelta(minutes=1) - slack, now + late * timedelta(minutes=1) + slack, "hour")
    if unit == "hour":
        slack = timedelta(minutes=30)
        return Period(now + early * timedelta(hours=1) - slack, now + late * timedelta(hours=1) + slack, "hour")
    if unit in ("week", "fortnight"):
        size = 2 * WEEK if unit == "fortnight" else WEEK
        today = cal.midnight(now)
        return Period(today + early * size - 3 * DAY, today + late * size + 4 * DAY, "week" if low == high else "range")
    first, last = cal.unit_at(now, unit, early), cal.unit_at(now, unit, late)
    return Period(first.start, last.end, first.kind if low == high else "range")


def _is_past_leap(year: int, today: datetime) -> bool:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return leap and datetime(year, 2, 29) <= today
