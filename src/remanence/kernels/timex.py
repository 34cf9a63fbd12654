"""Time expressions in English and Chinese text, resolved to intervals of UTC.

What an expression means follows from `now`, in whose zone days begin and end:

- Weeks run from Monday. ``last week`` is the week before this one, ``last weekend`` the one in it, ``last Friday`` the
  latest Friday before today, ``next Friday`` the one of next week, ``this`` anything the one of the current unit.
- A weekday, month, day, season or holiday without a year is the latest that has begun (``on Friday`` may be today).
- ``two weeks ago`` is the seven days around that day, ``two months ago`` that calendar month, ``a couple of`` means 1
  to 3 and ``a few`` 2 to 5 units. ``the past week`` and ``the last two weeks`` end now, as does ``recently`` (30 days).
- ``the week before 6 July`` is the seven days before it, ``the weekend before`` it the last one over by then.
- ``before``, ``until``, ``after`` and ``since`` give intervals that are open on one side.
- ``07/05/2023`` is ambiguous and read as 7 May unless told otherwise; ``07.05.2023`` is always 7 May and ``2023-05-07``
  too. ``early``, ``mid`` and ``late`` cut months at the 10th and 20th, years after April and August.
- Seasons are the northern ones, winter from December on.
"""

from __future__ import annotations

import re
from datetime import datetime

from remanence.kernels import timex_chinese
from remanence.kernels.timex_calendar import Period, TimeSpan, to_utc
from remanence.kernels.timex_english import Reader
from remanence.kernels.timex_words import TRIGGERS

__all__ = ["TimeSpan", "asks_for_time", "mentions_time", "naive_resolve", "resolve"]

_WORDS = re.compile(r"[a-z]+")
_DIGIT = re.compile(r"\d")
_QUESTION = re.compile(
    r"""
    \b when (?: ['’]s \b | \s+ (?: did|does|do|is|was|were|are|will|would|has|have|had|should|can|could|might ) \b )
    | \b (?: since|until|till|by ) \s+ when \b | \b when \s* (?: \? | $ ) | ^ \W* when \b [^,]* \? \s* $
    | \b (?: what|which ) \s+ (?: exact \s+ )?
      (?: date|day|time|year|month|week|weekend|weekday|season|decade|century )s? \b
    | \b what \s+ (?: is|was|are|were ) \s+ the \s+ (?: exact \s+ )? (?: date|day|time|year|month|duration ) \b
    | \b how \s+ (?: long|recently|soon|late|early ) \b
      (?! \s+ (?: is|are|was|were ) \s+ (?: the|a|an|my|your|his|her|its ) \b )
    | \b how \s+ much \s+ (?: more \s+ )? time \b
    | \b how \s+ many \s+ (?: more \s+ )? (?: minute|hour|day|night|week|weekend|month|year|decade )s? \b
      (?! \s+ (?: a|per|of ) \b )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CHINESE_QUESTION = re.compile(
    "什么时候|什么时间|什么日期|何时|几时|啥时候|哪一?[天年日周]|哪个(?:月|星期|季节)|几[月号点]|(?:星期|周|礼拜)几"
    "|多久|多长时间|[几多]少?(?:个月|天|个?星期|年|个?小时)"
)


def resolve(text: str, now: datetime, *, day_first: bool = True) -> list[TimeSpan]:
    """The time expressions of `text`, from left to right, none overlapping another.

    Never raises on a text; dates that do not exist and years outside 1 to 9999 are passed over.

    Args:
        text: English, Chinese or both.
        now: The moment that relative expressions start from; its zone decides where days begin (none means UTC).
        day_first: Whether ``07/05/2023`` is the 7th of May.
    """
    if not mentions_time(text):
        return []
    return _resolved(text, now, day_first=day_first, thorough=False)


def mentions_time(text: str) -> bool:
    """Whether `text` holds a word or a digit that every time expression has; a cheap test that spares `resolve`."""
    if _DIGIT.search(text) or not TRIGGERS.isdisjoint(_WORDS.findall(text.lower())):
        return True
    return not text.isascii() and timex_chinese.TRIGGERS.search(text) is not None


def naive_resolve(text: str, now: datetime, *, day_first: bool = True) -> list[TimeSpan]:
    """`resolve` trying every word of every text, without the tests that spare most of them the reading."""
    return _resolved(text, now, day_first=day_first, thorough=True)


def _resolved(text: str, now: datetime, *, day_first: bool, thorough: bool) -> list[TimeSpan]:
    local = now.replace(tzinfo=None)
    found = list(Reader(text, local, day_first=day_first, thorough=thorough))
    if not text.isascii():
        found += timex_chinese.read(text, local)
        found.sort(key=lambda item: (item[1], -item[2]))
    spans: list[TimeSpan] = []
    end_of_last = 0
    for period, begin, end in found:
        if begin < end_of_last:
            continue
        span = _span(period, text, begin, end, now)
        if span.start < span.end:
            spans.append(span)
            end_of_last = end
    return spans


def asks_for_time(text: str) -> bool:
    """Whether a question wants a date, a time or a duration: ``When did…``, ``how long ago``, 什么时候."""
    return _QUESTION.search(text) is not None or (not text.isascii() and _CHINESE_QUESTION.search(text) is not None)


def _span(period: Period, text: str, begin: int, end: int, now: datetime) -> TimeSpan:
    start, stop = to_utc(period.start, now.tzinfo), to_utc(period.end, now.tzinfo)
    return TimeSpan(start, stop, text[begin:end], begin, end, period.kind)
