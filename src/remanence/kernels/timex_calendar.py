"""Calendar arithmetic under time expressions: periods of local time and how to step between them.

A `Period` is half-open and in local time without a zone; `to_utc` gives it one. Weeks are ISO weeks (Monday first),
seasons are the meteorological ones of the northern hemisphere (winter of a year begins in its December).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
ALWAYS = (datetime.min, datetime.max)
"""Ends of an interval that is open on one side."""


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of local time: `start` inclusive, `end` exclusive, and what sort of expression named it."""

    start: datetime
    end: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A time expression in a text, resolved.

    Attributes:
        start: Aware UTC, inclusive; `datetime.min` (UTC) where the interval is open.
        end: Aware UTC, exclusive; `datetime.max` (UTC) where the interval is open.
        text: The expression as written, `text[begin_char:end_char]` of the whole.
        begin_char: Offset of the first character.
        end_char: Offset after the last character.
        kind: ``day``, ``week``, ``weekend``, ``month``, ``quarter``, ``season``, ``year``, ``decade``, ``hour``, or
            ``range`` (between two dates, or several units), ``before``, ``until``, ``after``, ``since``, and the vague
            ``recent`` and ``present``.
    """

    start: datetime
    end: datetime
    text: str
    begin_char: int
    end_char: int
    kind: str


def to_utc(local: datetime, zone: tzinfo | None) -> datetime:
    """The instant at which a clock in `zone` first shows `local`; clock changes at midnight included.

    Instants that UTC cannot represent, at the ends of the calendar, become its first or last one.
    """
    if local in ALWAYS:
        return local.replace(tzinfo=UTC)
    try:
        return local.replace(tzinfo=zone or UTC).astimezone(UTC)
    except OverflowError:
        return ALWAYS[local.year > 5000].replace(tzinfo=UTC)


def midnight(moment: datetime) -> datetime:
    """The beginning of the day of `moment`."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def day(year: int, month: int, number: int) -> Period:
    """One day. ValueError: no such day."""
    start = datetime(year, month, number)
    return Period(start, start + DAY, "day")


def month(year: int, number: int) -> Period:
    """One month; numbers beyond 1..12 run into other years. ValueError: out of the calendar."""
    year, index = year + (number - 1) // 12, (number - 1) % 12
    return Period(datetime(year, index + 1, 1), datetime(year + (index == 11), (index + 1) % 12 + 1, 1), "month")


def months(year: int, first: int, count: int, kind: str) -> Period:
    """`count` months from month `first` of `year` on."""
    return Period(month(year, first).start, month(year, first + count - 1).end, kind)


def season(year: int, first_month: int) -> Period:
    """Three months from `first_month` on: 3 spring, 6 summer, 9 autumn, 12 winter."""
    return months(year, first_month, 3, "season")


def quarter(year: int, number: int) -> Period:
    """Quarter 1..4 of a year, or beyond."""
    return months(year, 3 * number - 2, 3, "quarter")


def year_of(number: int) -> Period:
    """One year."""
    return months(number, 1, 12, "year")


def decade(first: int) -> Period:
    """Ten years from `first` on."""
    return months(first, 1, 120, "decade")


def unit_at(moment: datetime, unit: str, offset: int = 0) -> Period:
    """The calendar unit that holds `moment`, or the one `offset` units later.

    Args:
        moment: Local time.
        unit: ``day``, ``week``, ``weekend`` (of the week that holds `moment`), ``month``, ``quarter``, ``year`` or
            ``decade``.
        offset: May be negative.
    """
    today = midnight(moment)
    if unit == "month":
        return month(today.year, today.month + offset)
    if unit == "quarter":
        return quarter(today.year, (today.month + 2) // 3 + offset)
    if unit == "year":
        return year_of(today.year + offset)
    if unit == "decade":
        return decade(today.year - today.year % 10 + 10 * offset)
    if unit == "day":
        start = today + offset * DAY
        return Period(start, start + DAY, "day")
    monday = today - today.weekday() * DAY + offset * WEEK
    if unit == "weekend":
        return Period(monday + 5 * DAY, monday + WEEK, "weekend")
    return Period(monday, monday + WEEK, "week")


def shifted(moment: datetime, unit: str, count: int) -> datetime:
    """`moment` moved by `count` units; the day of the month is kept, or the last one there is."""
    if unit in ("month", "quarter", "year", "decade"):
        target = month(moment.year, moment.month + count * {"month": 1, "quarter": 3, "year": 12, "decade": 120}[unit])
        last = (target.end - DAY).day
        return moment.replace(year=target.start.year, month=target.start.month, day=min(moment.day, last))
    return moment + count * {"hour": timedelta(hours=1), "day": DAY}.get(unit, WEEK)


def weekday_before(moment: datetime, weekday: int) -> Period:
    """The last day that is `weekday` (Monday 0) and over by `moment`."""
    start = midnight(moment) - ((midnight(moment).weekday() - weekday - 1) % 7 + 1) * DAY
    return Period(start, start + DAY, "day")


def weekday_from(moment: datetime, weekday: int) -> Period:
    """The first `weekday` that begins at `moment` or later."""
    first = midnight(moment) + (midnight(moment) != moment) * DAY
    start = first + ((weekday - first.weekday()) % 7) * DAY
    return Period(start, start + DAY, "day")


def weekend_before(moment: datetime) -> Period:
    """The last weekend that is over by `moment`."""
    sunday = weekday_before(moment, 6)
    return Period(sunday.start - DAY, sunday.end, "weekend")


def weekend_from(moment: datetime) -> Period:
    """The first weekend that begins at `moment` or later."""
    saturday = weekday_from(moment, 5)
    return Period(saturday.start, saturday.end + DAY, "weekend")


def part(period: Period, which: str) -> Period:
    """The ``early``, ``mid`` or ``late`` third of a period, to whole days (months: the 1st to 10th, to 20th, to last;
    years: four months each).
    """
    if period.kind == "year":
        return months(period.start.year, {"early": 1, "mid": 5, "late": 9}[which], 4, "range")
    days = (period.end - period.start) // DAY
    cuts = (0, 10, 20, days) if period.kind == "month" else (0, days // 3, 2 * days // 3, days)
    index = ("early", "mid", "late").index(which)
    return Period(period.start + cuts[index] * DAY, period.start + cuts[index + 1] * DAY, "range")


def half(period: Period, second: bool) -> Period:
    """The first or second half of a period, to whole days (of a year: to whole months)."""
    if period.kind == "year":
        return months(period.start.year, 7 if second else 1, 6, "range")
    middle = period.start + (period.end - period.start) // DAY // 2 * DAY
    return replace(period, start=middle, kind="range") if second else replace(period, end=middle, kind="range")


def nth_within(period: Period, unit: str, nth: int, weekday: int = 0) -> Period | None:
    """The `nth` (from 1; -1 the last) unit that begins within a period; None where there are fewer.

    A day, week or month is counted from the period's beginning (the first week of a month is its days 1 to 7, the last
    week its last seven), a weekend by its Saturday, a ``weekday`` by itself.
    """
    if unit in ("month", "quarter"):
        size = 1 if unit == "month" else 3
        total = (period.end.year - period.start.year) * 12 + period.end.month - period.start.month
        index = nth - 1 if nth > 0 else total // size + nth
        found = months(period.start.year, period.start.month + index * size, size, unit)
    elif unit in ("day", "week"):
        size_of = DAY if unit == "day" else WEEK
        start = period.start + (nth - 1) * size_of if nth > 0 else period.end + nth * size_of
        found = Period(start, start + size_of, unit)
    else:
        weekday = 5 if unit == "weekend" else weekday
        if nth > 0:
            start = weekday_from(period.start, weekday).start + (nth - 1) * WEEK
        else:
            start = weekday_before(period.end, weekday).start + (nth + 1) * WEEK
        found = Period(
            start, start + (2 * DAY if unit == "weekend" else DAY), "weekend" if unit == "weekend" else "day"
        )
    return found if period.start <= found.start < period.end else None


def easter(year: int) -> Period:
    """Western Easter Sunday by the anonymous Gregorian computus (Meeus, Astronomical Algorithms, 1991, ch. 8)."""
    golden = year % 19
    century, within = divmod(year, 100)
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    letter = (32 + 2 * (century % 4) + 2 * (within // 4) - epact - within % 4) % 7
    correction = (golden + 11 * epact + 22 * letter) // 451
    month_number, day_index = divmod(epact + letter - 7 * correction + 114, 31)
    return day(year, month_number, day_index + 1)
