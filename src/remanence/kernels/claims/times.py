"""When something said in a turn holds: its time expressions, with the day-exact ones that `timex` reads as whole weeks.

"A week ago today" and "in exactly two weeks" name a day, "in ten days" one that is to come. A day and month without
a year is read as past by `timex`; where an announcement calls for the future, `coming` finds the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remanence.kernels.timex import mentions_time, resolve

MASK = "\x01"
"""Stands in for every character of a time expression, so that patterns see where one is but not which."""

_DAY = timedelta(days=1)
_NUMBERS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen".split()
    )
} | {"a": 1, "an": 1}
_COUNT = r"(?P<n>\d{1,3}|" + "|".join(_NUMBERS) + r")"
_EXACT = re.compile(
    rf"(?P<bound>\bsince\s+)?(?:\bexactly\s+{_COUNT.replace('<n>', '<n1>')}\s+(?P<u1>week|day)s?\s+ago\b"
    rf"|\b{_COUNT.replace('<n>', '<n2>')}\s+(?P<u2>week|day)s?\s+ago\s+today\b"
    rf"|\b{_COUNT.replace('<n>', '<n3>')}\s+(?P<u3>week|day)s?\s+from\s+(?:today|now)\b"
    rf"|\bin\s+(?P<sure>exactly\s+)?{_COUNT.replace('<n>', '<n4>')}\s+(?P<u4>week|day|month)s?\b"
    r"(?!\s+(?:ago|earlier|before|after)))",
    re.IGNORECASE,
)
_LEAD = re.compile(r"(?:\b(?:back\s+in|on|in|by|at|during|over|around|this\s+past)\s+)(?:the\s+)?$", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|starting|beginning|effective|as\s+of)\s+(?:on\s+)?$", re.IGNORECASE)
_CUE = re.compile(r"\bago\b|\bfrom\s+(?:today|now)\b|\bin\s+(?:exactly|\d|[a-z]+\s+(?:day|week|month))", re.IGNORECASE)
_YEARLESS = re.compile(r"^(?:the\s+)?(?:\d{1,2}(?:st|nd|rd|th)?(?:\s+of)?\s+[A-Z][a-z]+|[A-Z][a-z]+\s+\d{1,2}\w*)$")
_NAMELIKE = re.compile(r"(?:['’]s)?\s+(?P<word>[A-Z][a-z][\w-]*)")
_PLAIN = re.compile(r"(?:last|this|next|yesterday|today|tomorrow|the\s+day)\b|.*\bago$", re.IGNORECASE)
_LINKED = re.compile(r"\b[A-Z][\w']*\s(?:of|and|for|to|from)\s(?:the\s)?$")
_WORD_BEFORE = re.compile(r"([A-Z][\w']*)\s+$")
_CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december".split()
)


@dataclass(frozen=True, slots=True)
class Time:
    """A time expression `text[begin:stop]` with its preposition: the interval, and `kind` as in `TimeSpan` or "from".

    `yearless`: a day and month without a year. `recurs`: the year was supplied by `coming`.
    """

    start: datetime
    end: datetime
    begin: int
    stop: int
    kind: str
    yearless: bool = False
    recurs: bool = False


def times(text: str, at: datetime, people: frozenset[str] = frozenset()) -> list[Time]:
    """The time expressions of `text` from left to right, none overlapping; names that only look like one left out."""
    if not mentions_time(text):
        return []
    found: list[Time] = []
    exact = [_exact(match, at) for match in _EXACT.finditer(text)] if _CUE.search(text) else []
    found += exact
    for span in resolve(text, at):
        begin, end = span.begin_char, span.end_char
        if any(time.begin < end and begin < time.stop for time in exact):
            continue
        if _in_name(text, begin, end, people):
            continue
        kind = span.kind
        if lead := _FROM.search(text, max(0, begin - 24), begin):
            begin, kind = lead.start(), "from"
        elif not _PLAIN.match(span.text) and (lead := _LEAD.search(text, max(0, begin - 24), begin)):
            begin = lead.start()
        found.append(Time(span.start, span.end, begin, end, kind, _YEARLESS.match(span.text) is not None))
    found.sort(key=lambda time: time.begin)
    return found


def masked(text: str, spans: list[Time]) -> str:
    """`text` with every time expression blotted out, character for character."""
    if not spans:
        return text
    parts: list[str] = []
    at = 0
    for time in spans:
        if time.begin < at:
            continue
        parts += (text[at : time.begin], MASK * (time.stop - time.begin))
        at = time.stop
    parts.append(text[at:])
    return "".join(parts)


def coming(time: Time, at: datetime) -> Time:
    """The same day in the year in which it lies ahead of `at`."""
    if not time.yearless:
        return time
    for year in range(at.year, min(at.year + 9, 9999)):
        try:
            moved = time.start.replace(year=year)
        except ValueError:  # 29 February
            continue
        if moved + (time.end - time.start) > at:
            return Time(moved, moved + (time.end - time.start), time.begin, time.stop, time.kind, recurs=True)
    return time


def spell(day: datetime) -> str:
    """The unambiguous form of a day: "3 May 2024"."""
    return f"{day.day} {day:%B} {day.year}"


def _exact(match: re.Match[str], at: datetime) -> Time:
    which = next(i for i in "1234" if match[f"n{i}"])
    raw = match[f"n{which}"].lower()
    count = int(raw) if raw.isdecimal() else _NUMBERS[raw]
    unit = match[f"u{which}"].lower()
    local = at.replace(hour=0, minute=0, second=0, microsecond=0)
    shift = count * {"day": 1, "week": 7, "month": 30}[unit] * (-1 if which in "12" else 1)
    try:
        day = (local + shift * _DAY).astimezone(UTC)
        width = _DAY if unit == "day" or which != "4" or match["sure"] else 7 * _DAY if unit == "week" else 30 * _DAY
        end = day + width
    except OverflowError:
        day, end = at, at
    if match["bound"]:
        return Time(day, datetime.max.replace(tzinfo=UTC), match.start(), match.end(), "since")
    return Time(day, end, match.start(), match.end(), unit)


def _in_name(text: str, begin: int, end: int, people: frozenset[str]) -> bool:
    """Whether the expression is a part of a name: "Yesterday Machine", "Low Winter Sun", "Peugeot 208"."""
    words = text[begin:end].split()
    if words[0].lower() == "the" and len(words) > 1:
        del words[0]
    first = words[0]
    before = _WORD_BEFORE.search(text, max(0, begin - 30), begin)
    if first[0].isdigit():
        # A bare number after a capitalised word is a model ("Peugeot 208"); dates have a month or separators.
        return len(words) == 1 and first.isdigit() and before is not None and before[1].lower() not in _CALENDAR
    if not first[0].isupper():
        return False
    if first.lower() not in _CALENDAR and _LINKED.search(text, max(0, begin - 30), begin):
        return True
    if before is not None and first.lower() not in _CALENDAR and before[1] not in people and before[1] != "I":
        return True
    after = _NAMELIKE.match(text, end)
    if after is None or len(words) > 1 or first.lower() in _CALENDAR:
        return first.lower() == "may" and begin == 0 and len(words) == 1
    return after["word"] not in people
