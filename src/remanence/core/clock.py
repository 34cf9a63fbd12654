"""Clocks. Everything below the runtime takes its time as an argument; only this file reads the wall clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from remanence.core.errors import InvalidTime

Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """The wall clock, as an aware UTC datetime."""
    return datetime.now(UTC)


class SteppingClock:
    """A deterministic clock for tests and scenarios: each reading is `step` after the one before."""

    def __init__(self, start: datetime, step: timedelta = timedelta(microseconds=1)) -> None:
        self.current = start
        self.step = step

    def __call__(self) -> datetime:
        """Return the current reading and move on by one step."""
        reading = self.current
        self.current = reading + self.step
        return reading


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact for years 1 to 9999. Naive datetimes are refused."""
    if moment.utcoffset() is None:
        raise InvalidTime(f"{moment.isoformat()} has no time zone; attach one, for example tzinfo=datetime.UTC")
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Inverse of `to_micros`, in UTC."""
    return EPOCH + timedelta(microseconds=micros)


def parse_time(value: object) -> datetime:
    """Read a moment from a datetime, an ISO 8601 string, a date, or Unix seconds (milliseconds above 10^11).

    A value without a zone is taken as UTC. Raises `InvalidTime` naming the value when it cannot be read or lies
    outside the years 1 to 9999 once it is moved to UTC.
    """
    try:
        moment = _read(value)
        if moment.utcoffset() is None:
            moment = moment.replace(tzinfo=UTC)
        moment.astimezone(UTC)
    except (OverflowError, OSError) as error:
        raise InvalidTime(f"time {value!r} lies outside the years 1 to 9999 in UTC") from error
    return moment


def _read(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, bool) or value is None:
        raise InvalidTime(f"{value!r} is not a time; pass a datetime, an ISO 8601 string or Unix seconds")
    if isinstance(value, int | float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidTime(f"{value!r} is not a time; pass finite Unix seconds")
        seconds = value / 1000 if abs(value) > 1e11 else value
        return EPOCH + timedelta(seconds=seconds)
    text = value.isoformat() if hasattr(value, "isoformat") else value
    if not isinstance(text, str):
        raise InvalidTime(f"{value!r} is not a time; pass a datetime, an ISO 8601 string or Unix seconds")
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidTime(f"{text!r} is not an ISO 8601 time like 2026-01-31 or 2026-01-31T09:30:00+01:00") from error
