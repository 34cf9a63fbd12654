from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.clock import EPOCH, SteppingClock, utc_now
from remanence.core.errors import InvalidInput
from remanence.core.ids import RandomBits, UlidFactory, decode, encode, is_ulid, ulid_floor, ulid_millis

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
START = datetime(2026, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def naive_encode(value: int) -> str:
    """Base 32, digit by digit, padded to 26."""
    digits = []
    for _ in range(26):
        value, digit = divmod(value, 32)
        digits.append(ALPHABET[digit])
    assert value == 0
    return "".join(reversed(digits))


def naive_decode(text: str) -> int:
    value = 0
    for character in text:
        value = value * 32 + ALPHABET.index(character)
    return value


def frozen() -> datetime:
    return START


def extremes(seed: int) -> RandomBits:
    """Mostly no bits or all: a factory that draws afresh within a millisecond, or steps by nothing, falls back."""
    rng = random.Random(seed)
    return lambda count: rng.choice((0, (1 << count) - 1, rng.getrandbits(count)))


class Readings:
    """A clock that shows the given milliseconds after `START`, one per reading."""

    def __init__(self, *millis: int) -> None:
        self.millis: Iterator[int] = iter(millis)

    def __call__(self) -> datetime:
        return START + next(self.millis) * MILLISECOND


@given(st.integers(0, 2**128 - 1))
def test_encode_is_base_32(value: int) -> None:
    assert encode(value) == naive_encode(value)
    assert naive_decode(encode(value)) == decode(encode(value)) == value
    assert is_ulid(encode(value))


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_text_order_is_numeric_order(one: int, other: int) -> None:
    assert (encode(one) < encode(other)) == (one < other)


def test_extremes() -> None:
    assert encode(0) == "0" * 26
    assert encode(2**128 - 1) == "7" + "Z" * 25


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 25,
        "0" * 27,
        "0" * 26 + "\n",
        "8" + "0" * 25,  # 129 bits
        "0" * 25 + "I",
        "0" * 25 + "L",
        "0" * 25 + "O",
        "0" * 25 + "U",
        "0" * 25 + "a",
        "0" * 25 + "٣",  # an Arabic digit is a digit too
        "0" * 25 + "\x00",
        "0" * 25 + "\ud800",
        None,
        0,
        b"0" * 26,
    ],
)
def test_what_is_no_ulid(text: object) -> None:
    assert not is_ulid(text)
    for read in (ulid_millis, decode):
        with pytest.raises(InvalidInput, match="is not a ULID"):
            read(text)  # type: ignore[arg-type]


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_an_id_carries_its_millisecond(moment: datetime) -> None:
    ulid = UlidFactory(lambda: moment, random.Random(0).getrandbits)()
    assert ulid_millis(ulid) == (moment - EPOCH) // MILLISECOND
    assert ulid_floor(moment) <= ulid
    assert ulid_floor(moment + MILLISECOND) > ulid


def test_the_floor_has_no_random_part() -> None:
    assert ulid_floor(START).endswith("0" * 16)
    assert ulid_millis(ulid_floor(START)) == 1_767_225_600_000


def test_before_1970_everything_counts_as_1970() -> None:
    long_ago = datetime(1583, 1, 1, tzinfo=UTC)
    assert ulid_floor(long_ago) == "0" * 26
    assert ulid_millis(UlidFactory(lambda: long_ago)()) == 0


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(0, 3))
def test_ids_increase_whatever_the_clock_does(millis: list[int], seed: int) -> None:
    factory = UlidFactory(Readings(*millis), extremes(seed))
    ids = [factory() for _ in millis]
    assert ids == sorted(set(ids))
    assert all(map(is_ulid, ids))


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 20)), max_size=12))
def test_many_at_once_increase_too(batches: list[tuple[int, int]]) -> None:
    factory = UlidFactory(Readings(*(millis for millis, _ in batches)), extremes(0))
    ids = []
    for _, count in batches:
        given_out = factory.many(count)
        assert len(given_out) == count
        ids += given_out
    assert ids == sorted(set(ids))


def test_many_reads_the_clock_once() -> None:
    clock = SteppingClock(START, timedelta(seconds=1))
    ids = UlidFactory(clock).many(5)
    assert clock.current == START + timedelta(seconds=1)
    assert {ulid_millis(ulid) for ulid in ids} == {ulid_millis(ulid_floor(START))}


def test_factories_of_the_same_millisecond_stay_apart() -> None:
    # As two processes that share a file: the same clock, other random bits. Steps of one would soon collide.
    ids = [ulid for seed in range(20) for ulid in _draw(UlidFactory(frozen, random.Random(seed).getrandbits), 50)]
    assert len(set(ids)) == len(ids)
    one = UlidFactory(frozen, random.Random(1).getrandbits)
    steps = [naive_decode(second) - naive_decode(first) for first, second in pairwise(_draw(one, 50))]
    assert len(set(steps)) > 40


def test_the_same_bits_give_the_same_ids() -> None:
    one, other = (UlidFactory(frozen, random.Random(7).getrandbits) for _ in range(2))
    assert _draw(one, 5) == _draw(other, 5)


def test_by_default_ids_are_random_and_of_now() -> None:
    before = utc_now()
    ids = [UlidFactory()() for _ in range(100)]
    after = utc_now()
    assert len({ulid[10:] for ulid in ids}) == 100
    assert ulid_floor(before) <= min(ids) <= max(ids) < ulid_floor(after + MILLISECOND)
    # All 80 bits are in use: each of the 16 random characters takes many values.
    assert all(len({ulid[place] for ulid in ids}) > 10 for place in range(10, 26))


def test_threads_share_a_factory() -> None:
    rng = random.Random(0)

    def bits(count: int) -> int:
        time.sleep(0)  # lets another thread run in the middle of an id
        return rng.getrandbits(count)

    factory = UlidFactory(frozen, bits)
    found: list[list[str]] = [[] for _ in range(8)]
    gate = threading.Barrier(len(found))

    def work(mine: list[str]) -> None:
        gate.wait()
        for count in range(60):
            mine.append(factory())
            mine.extend(factory.many(count % 3))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in found)
    ids = [ulid for mine in found for ulid in mine]
    assert len(ids) == 8 * 120
    assert len(set(ids)) == len(ids)


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        UlidFactory(lambda: datetime(2026, 1, 1))()


def _draw(factory: UlidFactory, count: int) -> list[str]:
    return [factory() for _ in range(count)]


def test_a_factory_stays_above_ids_from_elsewhere() -> None:
    factory = UlidFactory(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda bits: 0)
    first = factory()
    other = UlidFactory(lambda: datetime(2027, 1, 1, tzinfo=UTC), lambda bits: 7)()
    factory.follow(other)
    assert factory() > other
    factory.follow(first)
    assert factory() > other
