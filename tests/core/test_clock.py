from __future__ import annotations

import math
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.clock import EPOCH, SteppingClock, from_micros, parse_time, to_micros, utc_now
from remanence.core.errors import InvalidTime

OSLO = timezone(timedelta(hours=1))
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


class Undecided(tzinfo):
    """A zone that does not say how far from UTC it is: Python calls such a moment naive."""

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "?"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 31, 9, 30, tzinfo=OSLO), datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        (datetime(2026, 1, 31, 9, 30), datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        (datetime(2026, 1, 31, 9, 30, tzinfo=Undecided()), datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 2026-01-31T09:30 \n", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00+01:00", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31 09:30:00.123456-05:30", datetime(2026, 1, 31, 15, 0, 0, 123456, tzinfo=UTC)),
        ("20260131T093000Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        (0, EPOCH),
        (1_767_225_600, datetime(2026, 1, 1, tzinfo=UTC)),
        (1_767_225_600.25, datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        (1_767_225_600_250, datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        (1_767_225_600_250.0, datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (100_000_000_000, datetime(5138, 11, 16, 9, 46, 40, tzinfo=UTC)),  # still seconds
        (100_000_000_001, datetime(1973, 3, 3, 9, 46, 40, 1000, tzinfo=UTC)),  # already milliseconds
        ("0001-01-01", FIRST),
        ("9999-12-31T23:59:59.999999Z", LAST),
        (datetime.max, LAST),
        ("0001-01-01T01:00+01:00", FIRST),
    ],
)
def test_times_that_can_be_read(value: object, expected: datetime) -> None:
    moment = parse_time(value)
    assert moment.utcoffset() is not None
    assert moment.astimezone(UTC) == expected


def test_the_zone_of_the_caller_is_kept() -> None:
    assert parse_time("2026-01-31T09:30+05:45").utcoffset() == timedelta(hours=5, minutes=45)
    assert parse_time(datetime(2026, 1, 31, tzinfo=OSLO)).tzinfo is OSLO


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, math.nan, math.inf, -math.inf, "", "   ", "yesterday", "31.01.2026", "2026-13-01",
        "2026-02-30", "2026-01-31T25:00", "1767225600", "12:30", time(12, 30), b"2026-01-31", Decimal(1), [2026, 1, 31],
        object(), 1j, "2026-01-31\x00", "\ud800", "٢٠٢٦-٠١-٣١",
    ],
)  # fmt: skip
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(InvalidTime) as caught:
        parse_time(value)
    message = str(caught.value)
    assert "is not a" in message
    assert repr(value) in message or repr(str(value)) in message


@pytest.mark.parametrize(
    "value",
    ["0001-01-01T00:00+01:00", "9999-12-31T23:30-01:00", datetime.min.replace(tzinfo=OSLO), 1e300, -1e300, 10**400,
     10**16, -(10**15), sys.float_info.max],
)  # fmt: skip
def test_times_beyond_the_calendar(value: object) -> None:
    with pytest.raises(InvalidTime, match="outside the years 1 to 9999 in UTC"):
        parse_time(value)


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_an_iso_string_means_what_the_datetime_meant(moment: datetime) -> None:
    try:
        expected = parse_time(moment)
    except InvalidTime:
        with pytest.raises(InvalidTime):
            parse_time(moment.isoformat())
    else:
        assert to_micros(parse_time(moment.isoformat())) == to_micros(expected)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.booleans(), st.none(), st.dates(), st.times()))
def test_any_value_is_a_time_or_a_typed_error(value: object) -> None:
    try:
        moment = parse_time(value)
    except InvalidTime:
        return
    assert FIRST <= moment.astimezone(UTC) <= LAST


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_exact(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@pytest.mark.parametrize(
    ("moment", "micros"),
    [
        (EPOCH, 0),
        (EPOCH - timedelta(microseconds=1), -1),
        (datetime(1970, 1, 1, 1, tzinfo=OSLO), 0),
        (FIRST, -62_135_596_800_000_000),
        (LAST, 253_402_300_799_999_999),
    ],
)
def test_microseconds_since_1970(moment: datetime, micros: int) -> None:
    assert to_micros(moment) == micros
    assert from_micros(micros) == moment


@pytest.mark.parametrize("zone", [None, Undecided()])
def test_a_moment_without_a_zone_has_no_place_on_the_axis(zone: tzinfo | None) -> None:
    with pytest.raises(InvalidTime, match=r"2026-01-01T00:00:00 has no time zone; attach one"):
        to_micros(datetime(2026, 1, 1, tzinfo=zone))


def test_stepping_clock() -> None:
    clock = SteppingClock(EPOCH, timedelta(seconds=2))
    assert [clock() for _ in range(3)] == [EPOCH, EPOCH + timedelta(seconds=2), EPOCH + timedelta(seconds=4)]
    assert clock.current == EPOCH + timedelta(seconds=6)
    default = SteppingClock(EPOCH)
    assert default() < default()


def test_the_wall_clock_is_aware() -> None:
    before = datetime.now(UTC)
    moment = utc_now()
    assert moment.tzinfo is UTC
    assert before <= moment <= datetime.now(UTC)


def test_nobody_else_in_core_reads_a_clock() -> None:
    package = Path(sys.modules["remanence.core.clock"].__file__ or "").parent
    readers = [path.name for path in package.glob("*.py") if ".now(" in path.read_text(encoding="utf-8")]
    assert readers == ["clock.py"]
