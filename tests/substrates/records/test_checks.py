"""What is refused before a store is touched, and how times are filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from remanence.core.errors import InvalidFilter, InvalidInput, InvalidTime, ScopeRequired
from remanence.core.scope import Scope
from remanence.substrates.records.checks import check_batch, ending, resolve, writes
from remanence.substrates.records.model import Draft, Edge, Source, Vector, View
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Count,
    Edges,
    Embed,
    Enqueue,
    Erase,
    Find,
    Get,
    History,
    Lease,
    Link,
    Lookup,
    Operation,
    Pending,
    Put,
    Reindex,
    Restore,
    Revise,
    Scan,
    Settle,
    Spaces,
    Touch,
    Unlink,
)

ANA = Scope(user_id="ana")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAIVE = datetime(2026, 1, 1)
TOO_EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
VIEW = View(NOON)


def wrong(**fields: Any) -> Put:
    return Put(Draft(**{"text": "x", **fields}))


@pytest.mark.parametrize(
    ("operation", "error", "message"),
    [
        (wrong(text=""), InvalidInput, "text is empty"),
        (wrong(kind=5), InvalidInput, "kind 5 must be a string"),
        (wrong(meta=[]), InvalidInput, "metadata must be a mapping, not list"),
        (wrong(id="x"), InvalidInput, "'x' is not a ULID"),
        (wrong(id="01arz3ndektsv4rrffq69g5fav"), InvalidInput, "is not a ULID"),
        (
            wrong(scope=Scope(user_id="bob")),
            InvalidInput,
            "(user_id='bob') is not covered by the batch's (user_id='ana')",
        ),
        (wrong(terms=("a", 3)), InvalidInput, "terms ('a', 3) must be a tuple of strings"),
        (wrong(event_at=NAIVE), InvalidTime, "no time zone"),
        (wrong(event_at="2026-01-01"), InvalidTime, "event_at '2026-01-01' is no datetime"),
        (wrong(valid_from=TOO_EARLY), InvalidTime, "lies outside the years 1 to 9999"),
        (wrong(sources=(("a", 0, 1),)), InvalidInput, "must be a Source(record id, start, end)"),
        (wrong(sources=(Source("a", "0", 1),)), InvalidInput, "start of a source '0'"),  # type: ignore[arg-type]
        (wrong(vector=("s", b"x", 1.0)), InvalidInput, "is no Vector"),
        (Link(("a", "b", "t")), InvalidInput, "is no Edge"),  # type: ignore[arg-type]
        (wrong(sources=(Source("a", 2, 1),)), InvalidInput, "span 2:1"),
        (wrong(vector=Vector("", b"x", 1.0)), InvalidInput, "embedding space ''"),
        (wrong(vector=Vector("s", b"", 1.0)), InvalidInput, "must be bytes"),
        (wrong(vector=Vector("s", "x", 1.0)), InvalidInput, "must be bytes"),  # type: ignore[arg-type]
        (wrong(vector=Vector("s", b"x", float("nan"))), InvalidInput, "vector scale nan"),
        (wrong(meta={"x": float("inf")}), InvalidInput, "metadata cannot be kept"),
        (Put("x"), InvalidInput, "'x' is no Draft"),  # type: ignore[arg-type]
        (Revise("a", Draft("")), InvalidInput, "text is empty"),
        (Revise(3, Draft("x")), InvalidInput, "id 3 must be a string"),  # type: ignore[arg-type]
        (Revise("a", Draft("x"), True), InvalidInput, "expected_version True"),
        (Close("a", NAIVE), InvalidTime, "no time zone"),
        (Close("a", expected_version=-1), InvalidInput, "expected_version -1"),
        (Restore("a", 2**63), InvalidInput, "version 9223372036854775808"),
        (Link(Edge("a", "b", "")), InvalidInput, "edge type ''"),
        (Link(Edge("a", "b", "t", 10**400)), InvalidInput, "is not a finite number"),
        (Unlink(Edge("a", "b", "t", float("inf"))), InvalidInput, "edge weight inf"),
        (Embed("a", 1, Vector("s", b"x", True)), InvalidInput, "vector scale True"),
        (Embed("a", None, Vector("s", b"x", 1.0)), InvalidInput, "version None"),  # type: ignore[arg-type]
        (Reindex(3, 1, ()), InvalidInput, "id 3 must be a string"),  # type: ignore[arg-type]
        (Reindex("a", -1, ()), InvalidInput, "version -1"),
        (Reindex("a", None, ()), InvalidInput, "version None"),  # type: ignore[arg-type]
        (Reindex("a", 1, "word"), InvalidInput, "terms 'word' must be a tuple"),  # type: ignore[arg-type]
        (Reindex("a", 1, ("a", 3)), InvalidInput, "terms ('a', 3) must be a tuple of strings"),  # type: ignore[arg-type]
        (Touch("a", NOON), InvalidInput, "ids 'a' must be a tuple of strings"),  # type: ignore[arg-type]
        (Touch((3,), NOON), InvalidInput, "ids (3,) must be a tuple of strings"),  # type: ignore[arg-type]
        (Touch(("a",), NOON, strength="x"), InvalidInput, "strength 'x'"),  # type: ignore[arg-type]
        (Touch(("a",), NAIVE), InvalidTime, "no time zone"),
        (Erase(None, None), InvalidInput, "reason None must be a string"),  # type: ignore[arg-type]
        (Get(("a",), NOON), InvalidInput, "is no View"),  # type: ignore[arg-type]
        (Get(("a",), View(NOON, as_of=NAIVE)), InvalidTime, "no time zone"),
        (Count(View(NAIVE)), InvalidTime, "no time zone"),
        (Find(VIEW, limit=-1), InvalidInput, "limit -1"),
        (Find(VIEW, limit=1.5), InvalidInput, "limit 1.5"),  # type: ignore[arg-type]
        (Find(VIEW, where={"x": {"like": 1}}), InvalidFilter, "unknown operator 'like'"),
        (Changes(since=-1), InvalidInput, "since -1"),
        (Pending("s", -1), InvalidInput, "limit -1"),
        (Scan(after=-1), InvalidInput, "after -1"),
        (Scan(vectors_after=-1), InvalidInput, "vectors_after -1"),
        (History(["x"]), InvalidInput, "id ['x'] must be a string"),  # type: ignore[arg-type]
        (Edges("ab"), InvalidInput, "ids 'ab' must be a tuple of strings"),  # type: ignore[arg-type]
        (Edges(types=(1,)), InvalidInput, "types (1,)"),  # type: ignore[arg-type]
        (Changes(change=7), InvalidInput, "change 7 must be a string"),  # type: ignore[arg-type]
        (Changes(id=7), InvalidInput, "id 7 must be a string"),  # type: ignore[arg-type]
        (Find(VIEW, kinds="turn"), InvalidInput, "kinds 'turn' must be a tuple"),  # type: ignore[arg-type]
        (Find(VIEW, after=7), InvalidInput, "after 7 must be a string"),  # type: ignore[arg-type]
        (Count(VIEW, kinds=(1,)), InvalidInput, "kinds (1,)"),  # type: ignore[arg-type]
        (Lookup("word"), InvalidInput, "terms 'word' must be a tuple"),  # type: ignore[arg-type]
        (Pending(7), InvalidInput, "space 7 must be a string"),  # type: ignore[arg-type]
        (Scan(space=7), InvalidInput, "space 7 must be a string"),  # type: ignore[arg-type]
        (wrong(trust=2), InvalidInput, "trust 2 must be a number from 0 (quarantine) to 1"),
        (wrong(origin=3), InvalidInput, "origin must be a string, not int 3"),
        (Enqueue(""), InvalidInput, "kind of a job '' must be"),
        (Enqueue("x", {"x": object()}), InvalidInput, "the payload of a job cannot be kept as JSON"),
        (Enqueue("x", {"x": "y" * 70_000}), InvalidInput, "the payload of a job takes 70,008 bytes of JSON"),
        (Enqueue("x", scope=Scope(user_id="bob")), InvalidInput, "the job's scope (user_id='bob') is not covered"),
        (Lease("w", seconds=0), InvalidInput, "seconds 0 must be above 0 and at most 31622400, a year"),
        (Settle("x", "w", "gone"), InvalidInput, "outcome 'gone' is none of done, retry, dead"),  # type: ignore[arg-type]
        ("Scan", InvalidInput, "'Scan' is no operation; use one of Put, Revise"),
    ],
)
def test_malformed_operations_are_refused_by_name(operation: Operation, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check_batch([Count(VIEW), operation], scope=ANA)
    assert message in str(caught.value)


def test_batches_need_a_scope_and_strings() -> None:
    with pytest.raises(ScopeRequired, match="is no Scope"):
        check_batch([], scope="ana")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="actor 3 must be a string"):
        check_batch([], scope=ANA, actor=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="why None must be a string"):
        check_batch([], scope=ANA, why=None)  # type: ignore[arg-type]


def test_metadata_comes_back_as_canonical_json_beside_its_operation() -> None:
    operations: list[Operation] = [
        wrong(meta={"b": 1, "a": [True, None]}),
        Spaces(),
        Revise("a", Draft("x")),
        Get((), View(NOON, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))),
    ]
    assert check_batch(operations, scope=ANA) == ['{"a":[true,null],"b":1}', "", "{}", ""]
    work: list[Operation] = [
        Enqueue("x"), Enqueue("x", {"b": 1, "a": 2}), Settle("x", "w"), Settle("x", "w", payload={}), Lease("w"),
    ]  # fmt: skip
    assert check_batch(work, scope=ANA) == ["{}", '{"a":2,"b":1}', "", "{}", ""]


def test_which_batches_write() -> None:
    assert not writes([])
    assert not writes([Get((), VIEW), Scan(), Spaces()])
    for operation in (Embed("a", 1, Vector("s", b"x", 1.0)), Touch((), NOON), Erase(()), wrong(), Lease("w")):
        assert writes([Spaces(), operation])


def test_resolve_fills_in_times_in_utc() -> None:
    oslo = timezone(timedelta(hours=1))
    local = datetime(2026, 1, 1, 9, tzinfo=oslo)
    assert resolve(Draft("x"), NOON) == (NOON, NOON, None)
    times = resolve(Draft("x", event_at=local), NOON)
    assert times.event_at.tzinfo is UTC
    assert (times.event_at, times.valid_from, times.valid_to) == (local, local, None)
    assert resolve(Draft("x", valid_from=local), NOON) == (NOON, local, None)
    assert resolve(Draft("x", valid_from=local, valid_to=NOON), NOON).valid_to == NOON
    for draft in (Draft("x", valid_to=NOON), Draft("x", valid_to=local), Draft("x", event_at=local, valid_to=local)):
        with pytest.raises(InvalidInput, match="give valid_from too"):
            resolve(draft, NOON)


def test_ending() -> None:
    later = NOON + timedelta(days=1)
    assert ending(NOON, None) == NOON
    assert ending(NOON, later) == later
    assert ending(later, NOON) == later
