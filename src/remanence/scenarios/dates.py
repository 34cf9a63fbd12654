"""Saying a day the way people say it, and reading it back.

Only expressions with one reading are produced: "last Friday" is said only when the most recent Friday lies in the
calendar week before the speaker's, "this coming Friday" only when it is the next one.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from remanence.scenarios.dice import Dice

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen",
)  # fmt: skip
_ORDINALS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def midnight(day: date) -> datetime:
    """The start of a day, aware UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def spell(day: date) -> str:
    """The unambiguous form of a day that answers use: "3 May 2024"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def past_phrase(today: date, ago: int, dice: Dice) -> str:
    """A phrase for the day `ago` (1 to 14) days before `today`."""
    day = today - timedelta(days=ago)
    options = [f"on {day.day} {MONTHS[day.month - 1]}", f"on the {_ordinal(day.day)} of {MONTHS[day.month - 1]}"]
    if ago == 1:
        options += ["yesterday", "yesterday"]
    if ago == 7:
        options += ["a week ago today", "exactly a week ago"]
    if ago == 14:
        options += ["exactly two weeks ago", "two weeks ago today"]
    if ago == 2:
        options.append("the day before yesterday")
    if 2 <= ago <= 9:
        options.append(f"{NUMBERS[ago]} days ago")
    if ago < 7 and today.weekday() < day.weekday():
        options += [f"last {DAYS[day.weekday()]}", f"last {DAYS[day.weekday()]}"]
    elif ago < 7:
        options.append(f"this past {DAYS[day.weekday()]}")
    return dice.pick(options)


def future_phrase(today: date, ahead: int, dice: Dice) -> str:
    """A phrase for the day `ahead` (1 to 40) days after `today`."""
    day = today + timedelta(days=ahead)
    options = [f"on {day.day} {MONTHS[day.month - 1]}", f"on the {_ordinal(day.day)} of {MONTHS[day.month - 1]}"]
    if ahead == 1:
        options += ["tomorrow", "tomorrow"]
    if ahead == 2:
        options.append("the day after tomorrow")
    if ahead == 7:
        options += ["a week from today", "in exactly a week"]
    if ahead == 14:
        options += ["two weeks from today", "in exactly two weeks"]
    if 2 <= ahead < 7:
        options += [f"this coming {DAYS[day.weekday()]}", f"this coming {DAYS[day.weekday()]}"]
    if 2 <= ahead <= 14:
        options.append(f"in {NUMBERS[ahead]} days")
    return dice.pick(options)


def _ordinal(day: int) -> str:
    return f"{day}{_ORDINALS.get(day, 'th')}"


_MONTH = "|".join(MONTHS)
_DAY = "|".join(DAYS)
_NUMBER = "|".join(NUMBERS)
_PATTERN = re.compile(
    rf"(?P<abs>\b(?:on|since) (?:the )?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m>{_MONTH}))"
    r"|(?P<before>\bthe day before yesterday)|(?P<after>\bthe day after tomorrow)"
    r"|(?P<yesterday>\byesterday)|(?P<tomorrow>\btomorrow)"
    rf"|\b(?:last|this past) (?P<last>{_DAY})|\bthis coming (?P<next>{_DAY})"
    rf"|\b(?P<ago>{_NUMBER}) days ago|\bin (?P<in>{_NUMBER}) days"
    r"|(?P<week_ago>\b(?:a week ago today|exactly a week ago))"
    r"|(?P<weeks_ago>\b(?:exactly two weeks ago|two weeks ago today))"
    r"|(?P<week_on>\b(?:a week from today|in exactly a week))"
    r"|(?P<weeks_on>\b(?:two weeks from today|in exactly two weeks))",
    re.IGNORECASE,
)
_SHIFTS = {"before": -2, "after": 2, "yesterday": -1, "tomorrow": 1, "week_ago": -7, "weeks_ago": -14, "week_on": 7,
           "weeks_on": 14}  # fmt: skip


def days_in(text: str, today: date) -> list[date]:
    """The days that the expressions in a text stand for when it is said on `today`, in order of appearance.

    A day and month without a year is the one nearest to `today`.
    """
    return [_resolve(match, today) for match in _PATTERN.finditer(text)]


def _resolve(match: re.Match[str], today: date) -> date:
    for name, shift in _SHIFTS.items():
        if match[name]:
            return today + timedelta(days=shift)
    if match["last"]:
        back = (today.weekday() - DAYS.index(match["last"].capitalize())) % 7 or 7
        return today - timedelta(days=back)
    if match["next"]:
        on = (DAYS.index(match["next"].capitalize()) - today.weekday()) % 7 or 7
        return today + timedelta(days=on)
    if match["ago"]:
        return today - timedelta(days=NUMBERS.index(match["ago"].lower()))
    if match["in"]:
        return today + timedelta(days=NUMBERS.index(match["in"].lower()))
    month = [name.lower() for name in MONTHS].index(match["m"].lower()) + 1
    candidates = []
    for year in (today.year - 1, today.year, today.year + 1):
        try:
            candidates.append(date(year, month, int(match["d"])))
        except ValueError:  # 29 February of a year that has none
            continue
    return min(candidates, key=lambda day: abs((day - today).days))
