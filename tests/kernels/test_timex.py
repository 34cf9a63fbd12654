from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.kernels.timex import TimeSpan, asks_for_time, mentions_time, naive_resolve, resolve
from remanence.kernels.timex_calendar import easter, unit_at, weekday_before, weekday_from, weekend_before
from remanence.kernels.timex_words import LONGEST_APPROACH, STARTERS, TRIGGERS

NOW = datetime(2023, 7, 19, 15, 30, tzinfo=UTC)  # a Wednesday


def brief(moment: datetime) -> str:
    if moment.year in (1, 9999):
        return "-"
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}" + (f"T{moment:%H:%M}" if (moment.hour, moment.minute) != (0, 0) else "")


def described(span: TimeSpan) -> str:
    return f"{span.text}: {brief(span.start)} {brief(span.end)} {span.kind}"


ENGLISH = """
I saw [today]: 2023-07-19 2023-07-20 day
I went [yesterday].: 2023-07-18 2023-07-19 day
[yesterday morning]: 2023-07-18 2023-07-19 day
[the day before yesterday]: 2023-07-17 2023-07-18 day
[the day after tomorrow]: 2023-07-21 2023-07-22 day
[last night]: 2023-07-18 2023-07-19T06:00 day
[tonight]: 2023-07-19 2023-07-20 day
[this morning]: 2023-07-19 2023-07-20 day
[last week]: 2023-07-10 2023-07-17 week
[this week]: 2023-07-17 2023-07-24 week
[next week]'s plan: 2023-07-24 2023-07-31 week
[the week before last]: 2023-07-03 2023-07-10 week
[last weekend]: 2023-07-15 2023-07-17 weekend
[this past weekend]: 2023-07-15 2023-07-17 weekend
[this weekend]: 2023-07-22 2023-07-24 weekend
[last month]: 2023-06-01 2023-07-01 month
[next month]: 2023-08-01 2023-09-01 month
[last year]: 2022-01-01 2023-01-01 year
[last quarter]: 2023-04-01 2023-07-01 quarter
[last summer]: 2022-06-01 2022-09-01 season
[this summer]: 2023-06-01 2023-09-01 season
[last winter]: 2022-12-01 2023-03-01 season
[next winter]: 2023-12-01 2024-03-01 season
in [the fall]: 2022-09-01 2022-12-01 season
[summer of 2022]: 2022-06-01 2022-09-01 season
[summer 2021]: 2021-06-01 2021-09-01 season
[3 days ago]: 2023-07-16 2023-07-17 day
[two weeks ago]: 2023-07-02 2023-07-09 week
[a week ago]: 2023-07-09 2023-07-16 week
[a month ago]: 2023-06-01 2023-07-01 month
[half a year ago]: 2023-01-01 2023-02-01 month
[10 years ago]: 2013-01-01 2014-01-01 year
[a couple of days ago]: 2023-07-16 2023-07-19 range
[a few months ago]: 2023-02-01 2023-06-01 range
[2-3 days ago]: 2023-07-16 2023-07-18 range
[two or three weeks ago]: 2023-06-25 2023-07-09 range
[two hours ago]: 2023-07-19T13:00 2023-07-19T14:00 hour
[two Fridays ago]: 2023-07-07 2023-07-08 day
[two weekends ago]: 2023-07-08 2023-07-10 weekend
[two months from now]: 2023-09-01 2023-10-01 month
[the last three days]: 2023-07-16 2023-07-19T15:30 range
[the past week]: 2023-07-12 2023-07-19T15:30 range
over [the last few months]: 2023-02-19 2023-07-19T15:30 range
[next two weeks]: 2023-07-19T15:30 2023-08-03 range
in [May]: 2023-05-01 2023-06-01 month
in [August]: 2022-08-01 2022-09-01 month
[last July]: 2022-07-01 2022-08-01 month
[this October]: 2023-10-01 2023-11-01 month
in [May 2023]: 2023-05-01 2023-06-01 month
[May, 2019]: 2019-05-01 2019-06-01 month
[the month of May]: 2023-05-01 2023-06-01 month
on [7 May 2023]: 2023-05-07 2023-05-08 day
[May 7th, 2023]: 2023-05-07 2023-05-08 day
[Sept. 3, 2022]: 2022-09-03 2022-09-04 day
[7th of May]: 2023-05-07 2023-05-08 day
[21 December]: 2022-12-21 2022-12-22 day
[23January, 2022]: 2022-01-23 2022-01-24 day
[7-May-2023]: 2023-05-07 2023-05-08 day
May I come on [May 7]?: 2023-05-07 2023-05-08 day
[Feb 29]: 2020-02-29 2020-03-01 day
on [the 7th]: 2023-07-07 2023-07-08 day
on [the 25th], I: 2023-06-25 2023-06-26 day
[2023-05-07]: 2023-05-07 2023-05-08 day
[2023-05-07T10:00:00Z]: 2023-05-07 2023-05-08 day
[07/05/2023]: 2023-05-07 2023-05-08 day
[05/13/2023]: 2023-05-13 2023-05-14 day
[07.05.2023]: 2023-05-07 2023-05-08 day
[7/5/23]: 2023-05-07 2023-05-08 day
[2023-05]: 2023-05-01 2023-06-01 month
[last Friday]: 2023-07-14 2023-07-15 day
[last Wednesday]: 2023-07-12 2023-07-13 day
on [Friday]: 2023-07-14 2023-07-15 day
on [Wednesday]: 2023-07-19 2023-07-20 day
[this Friday]: 2023-07-21 2023-07-22 day
[next Friday]: 2023-07-28 2023-07-29 day
[this coming Friday]: 2023-07-21 2023-07-22 day
on [Mon]: 2023-07-17 2023-07-18 day
[Friday, 7 July 2023]: 2023-07-07 2023-07-08 day
[first weekend of August 2023]: 2023-08-05 2023-08-07 weekend
[the first week of May]: 2023-05-01 2023-05-08 week
[last week of June]: 2023-06-24 2023-07-01 week
[the second Monday of May 2023]: 2023-05-08 2023-05-09 day
[last Friday of the month]: 2023-07-28 2023-07-29 day
[second half of September 2022]: 2022-09-16 2022-10-01 range
[second quarter of 2022]: 2022-04-01 2022-07-01 quarter
[the week before 6 July 2023]: 2023-06-29 2023-07-06 week
[the Friday before 15 July]: 2023-07-14 2023-07-15 day
[The sunday before 25 May 2023]: 2023-05-21 2023-05-22 day
[the weekend before 17 July 2023]: 2023-07-15 2023-07-17 weekend
[two weekends before 17 July 2023]: 2023-07-08 2023-07-10 weekend
[The week of 23 August 2022]: 2022-08-22 2022-08-29 week
[the weekend of 24 June 2022]: 2022-06-25 2022-06-27 weekend
[two weeks before August 11, 2022]: 2022-07-25 2022-08-01 week
[a few days after Christmas 2022]: 2022-12-27 2022-12-31 range
[the month before July 2023]: 2023-06-01 2023-07-01 month
[the year before 2022]: 2021-01-01 2022-01-01 year
[the Monday after last weekend]: 2023-07-17 2023-07-18 day
[last weekend before April 10, 2023]: 2023-04-08 2023-04-10 weekend
[mid-June]: 2023-06-11 2023-06-21 range
[early March]: 2023-03-01 2023-03-11 range
[late March 2022]: 2022-03-21 2022-04-01 range
[early 2022]: 2022-01-01 2022-05-01 range
[the beginning of November 2022]: 2022-11-01 2022-11-11 range
[the end of the year]: 2023-09-01 2024-01-01 range
[earlier this year]: 2023-01-01 2023-07-19T15:30 range
in [2022]: 2022-01-01 2023-01-01 year
[since 2016]: 2016-01-01 - since
[since last week]: 2023-07-10 - since
[from 2019 on]: 2019-01-01 - since
[before 2020]: - 2020-01-01 before
[until May 2022]: - 2022-06-01 until
[by July 10, 2022]: - 2022-07-11 until
[after yesterday]: 2023-07-19 - after
[between May and July 2023]: 2023-05-01 2023-08-01 range
[between November and January 2023]: 2022-11-01 2023-02-01 range
[from 28 May to 3 June]: 2023-05-28 2023-06-04 range
[May to July 2023]: 2023-05-01 2023-08-01 range
[May 5-10, 2022]: 2022-05-05 2022-05-11 range
[5-10 May]: 2023-05-05 2023-05-11 range
[between the 5th and the 10th of May]: 2023-05-05 2023-05-11 range
[from Monday to Friday]: 2023-07-10 2023-07-15 range
[from 2019 to 2021]: 2019-01-01 2022-01-01 range
[from June 2022 until now]: 2022-06-01 2023-07-19T15:30 range
in [the 1990s]: 1990-01-01 2000-01-01 decade
[the '90s]: 1990-01-01 2000-01-01 decade
[Q1 2023]: 2023-01-01 2023-04-01 quarter
on [Christmas]: 2022-12-25 2022-12-26 day
[last Thanksgiving]: 2022-11-24 2022-11-25 day
[New Year's Eve 2022]: 2022-12-31 2023-01-01 day
[Easter 2023]: 2023-04-09 2023-04-10 day
[recently]: 2023-06-19 2023-07-19T15:30 recent
[the other day]: 2023-07-12 2023-07-19 recent
[currently]: 2023-07-19 2023-07-20 present
[right now]: 2023-07-19 2023-07-20 present
"""

CHINESE = """
我[昨天]去了: 2023-07-18 2023-07-19 day
[大前天]: 2023-07-16 2023-07-17 day
[昨晚]: 2023-07-18 2023-07-19T06:00 day
[今天早上]: 2023-07-19 2023-07-20 day
[上周]: 2023-07-10 2023-07-17 week
[上周五]: 2023-07-14 2023-07-15 day
[下下周三晚上]: 2023-08-02 2023-08-03 day
[上周末]: 2023-07-15 2023-07-17 weekend
[上个月]: 2023-06-01 2023-07-01 month
[上个月5号]: 2023-06-05 2023-06-06 day
[去年]: 2022-01-01 2023-01-01 year
[去年夏天]: 2022-06-01 2022-09-01 season
[去年5月7日]: 2022-05-07 2022-05-08 day
[前年年底]: 2021-09-01 2022-01-01 range
[三天前]: 2023-07-16 2023-07-17 day
[几天前]: 2023-07-14 2023-07-18 range
[两个星期以前]: 2023-07-02 2023-07-09 week
[半年前]: 2023-01-01 2023-02-01 month
[最近三天]: 2023-07-16 2023-07-19T15:30 range
[2023年5月7日]: 2023-05-07 2023-05-08 day
[二〇二二年十月]: 2022-10-01 2022-11-01 month
[07月15日]: 2023-07-15 2023-07-16 day
[十二月二十五日]: 2022-12-25 2022-12-26 day
[9月份]: 2022-09-01 2022-10-01 month
[周三]: 2023-07-19 2023-07-20 day
[5月7日之前]: - 2023-05-07 before
[5月7日以后]: 2023-05-08 - after
[去年以来]: 2022-01-01 - since
[3月到5月]: 2023-03-01 2023-06-01 range
[最近]: 2023-06-19 2023-07-19T15:30 recent
[目前]: 2023-07-19 2023-07-20 present
"""

NOTHING = """
May went home|I may 5 things|June said so|Will may come by May|every Friday|on Fridays|spring cleaning|fall asleep
he sat in the sun
second to none|the last one|a few people|2022|in the year 0|99999 days ago|9999 years ago|10000 weeks ago
2023-02-30|2023-13-45|0 May|version 1.2.2023.4|192.168.1.1|a/07/05/2023|the 7th floor|on the 7th floor
before|after the|between and|from to|next|this|ago|days ago|since|the the the|mid|week|a week|in a week or so|at|q
每周三|13月5日|2月30日|99月99日|四周|一下周围|出现在|然后天黑|晚上周杰伦|这月亮
"""


@pytest.mark.parametrize("line", [line for line in (ENGLISH + CHINESE).split("\n") if line])
def test_table(line: str) -> None:
    marked, expected = line.rsplit(": ", 1)
    begin = marked.index("[")
    wanted = marked[begin + 1 : marked.index("]")]
    text = marked.replace("[", "").replace("]", "")
    spans = resolve(text, NOW)
    assert [described(span) for span in spans] == [f"{wanted}: {expected}"]
    assert (spans[0].begin_char, spans[0].end_char) == (begin, begin + len(wanted))
    assert naive_resolve(text, NOW) == spans


@pytest.mark.parametrize("text", [part for line in NOTHING.split("\n") for part in line.split("|") if part])
def test_what_is_no_time(text: str) -> None:
    assert [described(span) for span in naive_resolve(text, NOW)] == []


def test_several_expressions_in_order() -> None:
    text = "Since last week I ran twice: on 3 July, 2023 and yesterday (not in May)."
    assert [span.text for span in resolve(text, NOW)] == ["Since last week", "3 July, 2023", "yesterday", "May"]
    mixed = "昨天 I met Ana, 上周 Bob, in May 2020 no one"
    assert [span.text for span in resolve(mixed, NOW)] == ["昨天", "上周", "May 2020"]


def test_day_first_or_month_first() -> None:
    for text, first, second in [("07/05/2023", "2023-05-07", "2023-07-05"), ("13/05/2023", "2023-05-13", "2023-05-13")]:
        assert brief(resolve(text, NOW)[0].start) == first
        assert brief(resolve(text, NOW, day_first=False)[0].start) == second
    assert brief(resolve("07.05.2023", NOW, day_first=False)[0].start) == "2023-05-07"


def test_days_begin_in_the_zone_of_now() -> None:
    oslo = ZoneInfo("Europe/Oslo")
    late = datetime(2023, 7, 19, 23, 30, tzinfo=UTC).astimezone(oslo)  # already the 20th there
    (span,) = resolve("today", late)
    assert (span.start, span.end) == (datetime(2023, 7, 19, 22, tzinfo=UTC), datetime(2023, 7, 20, 22, tzinfo=UTC))
    (west,) = resolve("today", datetime(2023, 7, 19, 1, tzinfo=UTC).astimezone(timezone(timedelta(hours=-8))))
    assert brief(west.start) == "2023-07-18T08:00"
    assert span.start.tzinfo is UTC


def test_days_of_a_clock_change_have_23_and_25_hours() -> None:
    now = datetime(2023, 12, 1, tzinfo=ZoneInfo("Europe/Oslo"))
    for text, hours in [("26 March 2023", 23), ("29 October 2023", 25), ("27 March 2023", 24)]:
        (span,) = resolve(text, now)
        assert span.end - span.start == timedelta(hours=hours), text


def test_a_midnight_that_does_not_exist() -> None:
    now = datetime(2018, 12, 1, tzinfo=ZoneInfo("America/Sao_Paulo"))  # clocks went from 0:00 to 1:00 on 4 November
    before, after = (resolve(text, now)[0] for text in ("3 November 2018", "4 November 2018"))
    assert before.end == after.start == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert after.end - after.start == timedelta(hours=23)


def test_a_time_without_zone_counts_as_utc() -> None:
    assert resolve("yesterday", NOW.replace(tzinfo=None)) == resolve("yesterday", NOW)


def test_ends_of_the_calendar() -> None:
    for now in (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
    ):
        for line in (ENGLISH + CHINESE).split("\n"):
            for span in resolve(line.replace("[", "").replace("]", ""), now):
                assert span.start < span.end


WORDS = sorted(STARTERS | set("of and to before following preceding on in or s said person".split()))
SEPARATORS = st.sampled_from([" ", " ", " ", " ", ", ", "-", "", "/", ". ", "'"])
NUMBERS = st.sampled_from(["1", "3", "7th", "12", "31", "2022", "2023", "1990s", "90", "99999", "05", "2023-05-07"])


@settings(max_examples=700)
@given(
    st.lists(st.tuples(st.sampled_from(WORDS) | NUMBERS, SEPARATORS), max_size=14),
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)),
)
def test_fast_form_equals_naive_form(pieces: list[tuple[str, str]], now: datetime) -> None:
    text = "".join(word + gap for word, gap in pieces)
    spans = resolve(text, now.replace(tzinfo=UTC))
    assert spans == naive_resolve(text, now.replace(tzinfo=UTC))
    for before, after in itertools.pairwise(spans):
        assert before.end_char <= after.begin_char
    assert all(span.start < span.end and text[span.begin_char : span.end_char] == span.text for span in spans)


@settings(max_examples=200)
@given(st.text(max_size=80) | st.text(alphabet="0123456789年月日号天前上下周去今昨 一二三十到-/.", max_size=30))
def test_any_text_is_read(text: str) -> None:
    assert resolve(text, NOW) == naive_resolve(text, NOW)


def test_every_trigger_starts_an_expression_or_ends_one() -> None:
    assert TRIGGERS < STARTERS
    assert LONGEST_APPROACH >= 8
    assert not mentions_time("Will you come to my birthday with Ana and the dog?")
    assert all(mentions_time(text) for text in ("see you monday", "at 3", "我昨天去了"))


def test_long_texts_take_linear_time() -> None:
    for unit in (
        "before ",
        "the ",
        "a few days after ",
        "1-",
        "2023-05-07 ",
        "the day before ",
        "from may to ",
        "十",
        "上周",
    ):
        resolve(unit * (30_000 // len(unit)), NOW)
    assert resolve("1" * 1_000_000 + " yesterday", NOW)[0].text == "yesterday"


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("When did Ana move?", True),
        ("when's the party", True),
        ("Ana left. When?", True),
        ("When Jon has lost his job?", True),
        ("Since when does she paint?", True),
        ("What date is the wedding?", True),
        ("Which year was it?", True),
        ("what was the exact date of the trip", True),
        ("How long ago did we meet?", True),
        ("How many weeks passed between the two?", True),
        ("How much time is left?", True),
        ("When she was in Oslo, what did Ana buy?", False),
        ("What did Ana do when she was in Oslo?", False),
        ("How many times did she call?", False),
        ("How long is the table?", False),
        ("Where does Ana live?", False),
        ("Who came yesterday?", False),
        ("我什么时候去的？", True),
        ("他是哪一年出生的", True),
        ("你多久以前来过", True),
        ("这是什么", False),
        ("", False),
    ],
)
def test_asks_for_time(text: str, asks: bool) -> None:
    assert asks_for_time(text) is asks


def test_calendar() -> None:
    assert [f"{easter(year).start:%m-%d}" for year in (2000, 2016, 2019, 2024, 2038)] == [
        "04-23", "03-27", "04-21", "03-31", "04-25",
    ]  # fmt: skip
    moment = datetime(2023, 1, 1, 12)
    for weekday in range(7):
        before, after = weekday_before(moment, weekday), weekday_from(moment, weekday)
        assert before.start.weekday() == after.start.weekday() == weekday
        assert before.end <= moment <= after.start
        assert after.start - before.start == timedelta(days=7) if weekday != 6 else timedelta(days=14)
    assert weekend_before(moment).end <= moment < unit_at(moment, "weekend").end
    assert unit_at(moment, "week").start == datetime(2022, 12, 26)
