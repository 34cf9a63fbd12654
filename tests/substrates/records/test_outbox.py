"""What stores share about jobs: ends of leases, and what an erasure takes out of them."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remanence.core.ids import encode
from remanence.core.scope import Scope
from remanence.substrates.records.outbox import MAX_SECONDS, lease_end, may_have_read, names_any, without_ids

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID, OTHER = encode(1 << 100), encode(1 << 101)


def test_a_lease_ends_after_its_seconds_and_within_the_calendar() -> None:
    assert lease_end(NOON, 1.5) == NOON + timedelta(seconds=1.5)
    last = datetime.max.replace(tzinfo=UTC)
    for now in (last, last - timedelta(seconds=MAX_SECONDS)):
        assert lease_end(now, MAX_SECONDS) == last


@pytest.mark.parametrize(
    ("job", "record", "may"),
    [
        ({"user_id": "a"}, {"user_id": "a"}, True), ({"user_id": "a"}, {"user_id": "a", "run_id": "r"}, True),
        ({"user_id": "a", "run_id": "r"}, {"user_id": "a", "run_id": "other"}, True),
        ({"user_id": "a", "run_id": "r"}, {"user_id": "a"}, True), ({"user_id": "a"}, {"user_id": "b"}, False),
        ({"run_id": "r"}, {"run_id": "r", "user_id": "a"}, True), ({"run_id": "r"}, {"run_id": "other"}, False),
        ({"user_id": "a", "agent_id": "x"}, {"user_id": "a"}, False), ({"user_id": "a"}, {"agent_id": "x"}, False),
        ({"user_id": "a", "run_id": "r"}, {"run_id": "r"}, False),
    ],
)  # fmt: skip
def test_what_work_may_have_read(job: dict[str, str], record: dict[str, str], may: bool) -> None:
    assert may_have_read(Scope(**job), Scope(**record)) is may


def test_ids_are_found_wherever_they_stand() -> None:
    assert names_any((None, f"about {ID}!"), {ID})
    assert names_any((json.dumps({"x": [ID]}),), {ID, OTHER})
    assert not names_any((OTHER, "", None, ID[:-1]), {ID})
    assert not names_any((ID,), ())


def test_payloads_lose_what_names_an_id_and_keep_the_rest() -> None:
    payload = {"ids": [ID, OTHER, [f"re {ID}", 1]], ID: 1, "one": ID, "n": {"x": ID, "y": [{}]}, "k": OTHER, "z": None}
    wanted: dict[str, Any] = {"ids": [OTHER, [1]], "n": {"y": [{}]}, "k": OTHER, "z": None}
    assert without_ids(payload, {ID}) == wanted
    assert without_ids(payload, ()) == payload


def test_nothing_of_an_id_is_left_in_any_payload() -> None:
    rng = random.Random(5)
    ids = [encode(rng.getrandbits(127)) for _ in range(4)]

    def grow(depth: int) -> Any:
        kind = rng.randrange(5 if depth else 3)
        if kind < 3:
            return rng.choice([*ids, f"about {rng.choice(ids)}", 1, "x", None, True])
        if kind == 3:
            return [grow(depth - 1) for _ in range(rng.randrange(4))]
        return {rng.choice([*ids, "a", "b", "c"]): grow(depth - 1) for _ in range(rng.randrange(4))}

    for _ in range(300):
        payload = {"a": grow(4), rng.choice(ids): grow(3), "b": grow(3)}
        gone = set(rng.sample(ids, rng.randrange(5)))
        left = without_ids(payload, gone)
        assert not names_any((json.dumps(left),), gone)
        assert without_ids(left, gone) == left
