"""Chinese time expressions: 昨天, 上周五, 上个月, 去年夏天, 三天前, 2024年5月7日, 5月7日之前, 5月到7月."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from remanence.kernels import timex_calendar as cal
from remanence.kernels.timex_calendar import DAY, WEEK, Period

_DIGITS = {c: n for n, c in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2}
_NUMBER = r"\d{1,4}|[一二两三四五六七八九十]{1,4}"
_WEEKDAYS = {**{c: n for n, c in enumerate("一二三四五六")}, "日": 6, "天": 6}
_SEASONS = {"春": 3, "夏": 6, "秋": 9, "冬": 12}
_STEPS = {"大前": -3, "前": -2, "昨": -1, "今": 0, "明": 1, "后": 2, "大后": 3, "去": -1,
          "上上": -2, "上": -1, "这": 0, "本": 0, "下": 1, "下下": 2}  # fmt: skip
_UNITS = {"天": "day", "日": "day", "周": "week", "星期": "week", "礼拜": "week", "月": "month", "年": "year",
          "小时": "hour", "分钟": "minute"}  # fmt: skip
_PARTS = {"初": "early", "上旬": "early", "中旬": "mid", "底": "late", "末": "late", "下旬": "late"}
_PART = "(?P<part>年?初|上旬|中旬|年?底|年?末|下旬)?"
_OF_DAY = "(?:早上|早晨|上午|中午|下午|傍晚|晚上|夜里|凌晨)?"
_MONTH_DAY = rf"(?P<month>{_NUMBER})月(?:份)?(?:(?P<day>{_NUMBER})[日号]|{_PART})"
_BEFORE, _AFTER, _SINCE = ("之前", "以前", "前"), ("之后", "以后", "后"), ("以来", "起", "开始")

_Rule = Callable[[re.Match[str], datetime], Period]


def _number(text: str) -> int:
    """Value of a numeral in digits or in Chinese up to 99."""
    if text[0].isdecimal():
        return int(text)
    tens, ten, ones = text.rpartition("十")
    if ten:
        return (_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[ones] if ones else 0)
    if len(text) > 1:
        raise ValueError(f"{text!r} is no number below 100")
    return _DIGITS[text]


def _year_number(text: str) -> int:
    return int(text) if text[0].isdecimal() else int("".join(str(_DIGITS[c]) for c in text))


def _parted(period: Period, part: str | None) -> Period:
    return cal.part(period, _PARTS[part.removeprefix("年")]) if part else period


def _month_day(match: re.Match[str], year: int) -> Period:
    month = _number(match["month"])
    if not 1 <= month <= 12:
        raise ValueError(f"{match['month']!r} is no month")
    if match["day"]:
        return cal.day(year, month, _number(match["day"]))
    return _parted(cal.month(year, month), match["part"])


def _in_year(match: re.Match[str], now: datetime) -> Period:
    if match["year"] in ("去", "今", "明", "前", "后", "大前", "大后"):
        year = now.year + _STEPS[match["year"]]
    else:
        year = _year_number(match["year"])
    if match["month"]:
        return _month_day(match, year)
    if match["season"]:
        return cal.season(year, _SEASONS[match["season"]])
    return _parted(cal.year_of(year), match["yearpart"])


def _yearless(match: re.Match[str], now: datetime) -> Period:
    for year in (now.year, now.year - 1, now.year - 2, now.year - 3, now.year - 4):
        try:
            period = _month_day(match, year)
        except ValueError:  # 29 February in another year, or no date at all
            continue
        if period.start <= now:
            return period
    raise ValueError(f"{match[0]!r} is no date")


def _week(match: re.Match[str], now: datetime) -> Period:
    step, day = _STEPS[match["step"]], match["weekday"]
    if day == "末":
        return cal.unit_at(now, "weekend", step)
    week = cal.unit_at(now, "week", step)
    if not day:
        return week
    start = week.start + _WEEKDAYS[day] * DAY
    return Period(start, start + DAY, "day")


def _month_step(match: re.Match[str], now: datetime) -> Period:
    month = cal.unit_at(now, "month", _STEPS[match["step"]])
    if match["day"]:
        return cal.day(month.start.year, month.start.month, _number(match["day"]))
    return _parted(month, match["part"])


def _ago(match: re.Match[str], now: datetime) -> Period:
    low = high = 0
    if match["count"] in ("几", "数", "好几"):
        low, high = 2, 5
    else:
        low = high = _number(match["count"])
    unit, today = _UNITS[match["unit"]], cal.midnight(now)
    sign = -1 if match["side"] in _BEFORE else 1
    early, late = sorted((sign * low, sign * high))
    if unit in ("hour", "minute"):
        size = timedelta(**{f"{unit}s": 1})
        slack = timedelta(minutes=30 if unit == "hour" else 5)
        return Period(now + early * size - slack, now + late * size + slack, "hour")
    if unit == "week":
        return Period(today + early * WEEK - 3 * DAY, today + late * WEEK + 4 * DAY, "week" if low == high else "range")
    first, last = cal.unit_at(now, unit, early), cal.unit_at(now, unit, late)
    return Period(first.start, last.end, first.kind if low == high else "range")


def _rolling(match: re.Match[str], now: datetime) -> Period:
    count = 5 if match["count"] in ("几", "数", "好几") else _number(match["count"])
    return Period(cal.midnight(cal.shifted(now, _UNITS[match["unit"]], -count)), now, "range")


def _day_step(match: re.Match[str], now: datetime) -> Period:
    day = cal.unit_at(now, "day", _STEPS[match["step"]])
    return (
        Period(day.start, day.end + timedelta(hours=6), "day") if match["night"] and _STEPS[match["step"]] < 0 else day
    )


def _weekday(match: re.Match[str], now: datetime) -> Period:
    return cal.weekday_before(cal.midnight(now) + DAY, _WEEKDAYS[match["weekday"]])


_COUNT = rf"(?P<count>好几|几|数|{_NUMBER})个?(?P<unit>天|日|周|星期|礼拜|月|年|小时|分钟)"
_RULES: tuple[tuple[str, _Rule], ...] = (
    (
        r"(?P<year>\d{4}|[一二][零〇一二三四五六七八九]{3}|去|今|明|大?前|大?后)年的?"
        rf"(?:{_MONTH_DAY}|(?P<season>[春夏秋冬])[天季]|(?P<yearpart>年?初|年?底|年?末))?",
        _in_year,
    ),
    (rf"(?:过去|最近|近)的?这?{_COUNT}", _rolling),
    (rf"{_COUNT}(?P<side>之前|以前|前|之后|以后|后)", _ago),
    (r"半年(?:之前|以前|前)", lambda match, now: cal.unit_at(now, "month", -6)),
    (
        rf"(?<![晚早])(?P<step>上上|上|这|本|下下|下)个?(?:周(?![围边到密全转岁旋])|星期|礼拜)(?P<weekday>[一二三四五六日天末])?{_OF_DAY}",
        _week,
    ),
    (
        rf"(?<![晚早])(?P<step>上上|上|这|本|下下|下)个?月(?![亮饼球光色])(?:(?P<day>{_NUMBER})[日号]|{_PART})",
        _month_step,
    ),
    (rf"(?<![然之以最目今])(?P<step>大前|前|昨|今|明|大后|后)(?:(?P<night>晚|夜)|[天日早]){_OF_DAY}", _day_step),
    (_MONTH_DAY, _yearless),
    (rf"(?<!每)(?<!每个)(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天]){_OF_DAY}", _weekday),
    ("最近|近来|近期|近日", lambda match, now: Period(cal.midnight(now) - 30 * DAY, now, "recent")),
    (
        "目前|(?<![出发呈表])现在|当前|如今|眼下",
        lambda match, now: Period(*_edges(cal.unit_at(now, "day")), "present"),
    ),
)
_STARTS = re.compile(r"\d+|[一二两三四五六七八九十〇零]+|[几数好半大前昨今明后去上这本下周星礼最近过目现当如眼]")
TRIGGERS = re.compile(r"[年月日号天周期拜晚早夜前后近现目当如眼时钟]")
"""Every expression holds one of these characters."""


@functools.cache
def _compiled_rules() -> tuple[tuple[re.Pattern[str], _Rule], ...]:
    # On first need: most programs never meet Chinese.
    return tuple((re.compile(pattern), rule) for pattern, rule in _RULES)


def _edges(period: Period) -> tuple[datetime, datetime]:
    return period.start, period.end


def read(text: str, now: datetime) -> Iterator[tuple[Period, int, int]]:
    """Period, first and last character of each expression, from left to right.

    Args:
        text: Any text.
        now: Local time without a zone.
    """
    position = 0
    while start := _STARTS.search(text, position):
        found = _at(text, start.start(), now)
        if found is None:
            position = start.end()
            continue
        period, end = found
        if text[end : end + 1] in ("到", "至", "-", "—", "~", "～"):
            last = _at(text, end + 1, now)
            if last is not None and period.start < last[0].start:
                period, end = Period(period.start, last[0].end, "range"), last[1]
        for kind, words in (("before", _BEFORE), ("after", _AFTER), ("since", _SINCE)):
            word = next((word for word in words if text.startswith(word, end)), "")
            if word:
                begin, close = {
                    "before": (datetime.min, period.start),
                    "after": (period.end, datetime.max),
                    "since": (period.start, datetime.max),
                }[kind]
                period, end = Period(begin, close, kind), end + len(word)
                break
        yield period, start.start(), end
        position = end


def _at(text: str, position: int, now: datetime) -> tuple[Period, int] | None:
    for pattern, rule in _compiled_rules():
        match = pattern.match(text, position)
        if match is None:
            continue
        try:
            return rule(match, now), match.end()
        except (ValueError, OverflowError, KeyError):  # a numeral or a date that does not exist
            continue
    return None
