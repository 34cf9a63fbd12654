"""Vocabulary of English time expressions."""

from __future__ import annotations

import re
from collections.abc import Callable

from remanence.kernels import timex_calendar as cal
from remanence.kernels.timex_calendar import Period

MONTH_NAMES = "january february march april may june july august september october november december".split()
MONTHS = {name: number for number, name in enumerate(MONTH_NAMES, 1)}
SHORT_MONTHS = {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
WEEKDAYS = {
    name: number for number, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())
}
SHORT_WEEKDAYS = {
    "mon": 0,
    "tue": 1,
    "tues": 1,
    "wed": 2,
    "thu": 3,
    "thur": 3,
    "thurs": 3,
    "fri": 4,
    "sat": 5,
    "sun": 6,
}
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
UNITS = {
    "minute": "minute", "min": "minute", "hour": "hour", "hr": "hour", "day": "day", "night": "day", "week": "week",
    "wk": "week", "fortnight": "fortnight", "weekend": "weekend", "month": "month", "quarter": "quarter",
    "year": "year", "yr": "year", "decade": "decade",
}  # fmt: skip
UNITS |= {f"{word}s": unit for word, unit in UNITS.items()}
NUMBERS = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split(), 1
    )
} | {"a": 1, "an": 1, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}
FRACTIONS = {
    ("half", "a", "year"): (6, "month"),
    ("a", "year", "and", "a", "half"): (18, "month"),
    ("a", "month", "and", "a", "half"): (6, "week"),
    ("half", "an", "hour"): (30, "minute"),
}
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1, "final": -1, "1st": 1}
SUFFIXES = frozenset({"st", "nd", "rd", "th"})
DAY_PARTS = frozenset({"morning", "afternoon", "evening", "night", "noon", "lunchtime"})
DAY_WORDS = {"today": 0, "yesterday": -1, "tomorrow": 1, "tonight": 0}
PAST, THIS, NEXT = {"last", "past", "previous"}, {"this", "current"}, {"next", "coming", "upcoming"}
PARTS = {"early": "early", "late": "late", "mid": "mid", "beginning": "early", "start": "early", "middle": "mid",
          "end": "late"}  # fmt: skip
BOUNDS = {"before": "before", "after": "after", "since": "since", "until": "until", "till": "until", "by": "until"}
PRESENT = frozenset({"currently", "nowadays", "presently"})
RECENT = frozenset({"recently", "lately"})
MONTH_CUES = frozenset(
    "in since until till during from early late mid of this last next between through around about past beginning "
    "end start middle throughout".split()
)
YEAR_CUES = MONTH_CUES | {"before", "after", "by", "year", "circa", "and", "to"}
SEASON_CUES = frozenset("in during over since until till before after by throughout this".split())
HOLIDAY_CUES = frozenset("on at in during over since until before after by around for".split())
NOT_COUNTED = frozenset("at in for with and but so because when where while i we he she they it you to".split())
NAMES_OF_PEOPLE = frozenset({"may", "march", "april", "june", "august"})
COMMON_WORDS = frozenset({"may", "march"})

TOKEN = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")
ISO = re.compile(
    r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z\b|[+-]\d{2}:?\d{2})?)?"
)
NUMERIC = re.compile(r"(\d{1,2})(?:([.-])(\d{1,2})\2(\d{4})|/(\d{1,2})/(\d{4}|\d{2}))(?![./]?\d)")
YEAR_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])(?![\d-])")
MONTH_YEAR = re.compile(r"(0?[1-9]|1[0-2])/(\d{4})(?![\d/])")

HOLIDAYS: dict[tuple[str, ...], Callable[[int], Period]] = {
    ("christmas", "eve"): lambda year: cal.day(year, 12, 24),
    ("christmas", "day"): lambda year: cal.day(year, 12, 25),
    ("christmas",): lambda year: cal.day(year, 12, 25),
    ("boxing", "day"): lambda year: cal.day(year, 12, 26),
    ("new", "year", "s", "eve"): lambda year: cal.day(year, 12, 31),
    ("new", "year", "s", "day"): lambda year: cal.day(year, 1, 1),
    ("new", "year", "s"): lambda year: cal.day(year, 1, 1),
    ("valentine", "s", "day"): lambda year: cal.day(year, 2, 14),
    ("valentines", "day"): lambda year: cal.day(year, 2, 14),
    ("easter",): cal.easter,
    ("mother", "s", "day"): lambda year: _nth_weekday(year, 5, 6, 2),
    ("memorial", "day"): lambda year: _nth_weekday(year, 5, 0, -1),
    ("father", "s", "day"): lambda year: _nth_weekday(year, 6, 6, 3),
    ("independence", "day"): lambda year: cal.day(year, 7, 4),
    ("labor", "day"): lambda year: _nth_weekday(year, 9, 0, 1),
    ("halloween",): lambda year: cal.day(year, 10, 31),
    ("thanksgiving",): lambda year: _nth_weekday(year, 11, 3, 4),
}
HOLIDAY_STARTS = frozenset(words[0] for words in HOLIDAYS)

TRIGGERS: frozenset[str] = frozenset(
    {*MONTHS, *WEEKDAYS, *SHORT_WEEKDAYS, *SEASONS, *UNITS, *DAY_WORDS, *DAY_PARTS, *PRESENT, *RECENT,
     *HOLIDAY_STARTS, *(f"{name}s" for name in WEEKDAYS), "ago", "moment", "now"}
)  # fmt: skip
"""Every expression holds one of these words or a digit; a text without either holds no expression."""

STARTERS: frozenset[str] = TRIGGERS | frozenset(
    {*BOUNDS, *PAST, *THIS, *NEXT, *ORDINALS, *PARTS, *NUMBERS, *SHORT_MONTHS, "prior", "up", "from", "starting",
     "between", "the", "couple", "few", "several", "half", "earlier", "later", "right", "these", "at", "other", "very",
     "q", "'", "’"}
)  # fmt: skip
"""Every expression begins with one of these words or with a digit."""

LONGEST_APPROACH = 8
"""Every expression that does not begin with a trigger or a digit has one before this many words."""


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> Period:
    found = cal.nth_within(cal.month(year, month), "weekday", nth, weekday)
    if found is None:
        raise ValueError(f"month {month} of {year} has no weekday {weekday} number {nth}")
    return found
