"""Rules S01 to S19: what `RecordStore` promises for every batch, whatever is in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

from remanence.conformance.rules import rule
from remanence.conformance.stage import ANA, BOB, NOW, START, Stage, day, expect, one, put, raises, refused, same
from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, InvalidInput, NotFound, StoreClosed
from remanence.core.ids import is_ulid, ulid_millis
from remanence.core.scope import MAX_LENGTH, Scope
from remanence.substrates.records.model import Draft, Edge, Source, Vector, View
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Count,
    Edges,
    Embed,
    Erase,
    Find,
    Get,
    History,
    Link,
    Lookup,
    Operation,
    Pending,
    Put,
    Receipts,
    Reindex,
    Restore,
    Revise,
    Scan,
    Spaces,
    Touch,
    Unlink,
    Written,
)
from remanence.substrates.records.port import RecordStore

NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
"""A well-formed id that no store of these rules gives out: its time is 2016."""

ADVERSARIAL = (
    "ana", "ana2", "an", "Ana", "ANA", "ana%", "a%", "%", "_", "an_", "a.na", ".", "..", "*", "ana ", " ana", "ana/x",
    "'", "''", '"', "ana' OR '1'='1", "\\", "ana\\%", "[a]na", "a?a", "é", "e\u0301", "İ", "i̇", "ß", "ss", "ﬁ", "fi",
    "👩‍👩‍👧", "👩", "\u200dana", "ana\n", "\t", "null", "None", "0", "00", "ана",
    "x" * MAX_LENGTH, "x" * (MAX_LENGTH - 1),
)  # fmt: skip
"""Ids that must be told apart: prefixes, patterns, quotes, twins under normalisation or case folding, the longest."""


@rule("S01")
def atomic(stage: Stage) -> None:
    """A batch that fails leaves no trace: no record, version, edge, vector, counter, term or journal entry."""
    store = stage.store()
    kept = put(store, "before", terms=("before",), vector=Vector("space", b"\x01\x02", 0.5))
    before = _everything(store, [kept])
    vector = Vector("space", b"\x03\x04", 0.5)
    writes: list[Operation] = [
        Put(Draft("half", terms=("half",), vector=vector)),
        Revise(kept, Draft("half", terms=("half",))),
        Restore(kept, 1),
        Link(Edge(kept, kept, "half")),
        Touch((kept,), day(1), strength=3.0),
        Embed(kept, 1, vector),
        Reindex(kept, 1, ("half",)),
        Close(kept),
        Erase((kept,)),
    ]
    for number in range(1, len(writes) + 1):
        failing = [*writes[:number], Close(NOWHERE)]
        raises(NotFound, lambda failing=failing: store.batch(failing, scope=ANA), "a batch whose last write fails")  # type: ignore[misc]
        same(_everything(store, [kept]), before, f"after a failed batch of {[type(op).__name__ for op in failing]}")
    put(store, "after", terms=("after",))
    same(one(store, Lookup(("before", "half", "after"))), (1, None, 2), "term integers after failed batches")


@rule("S02")
def reads_see_earlier_writes_of_the_batch(stage: Stage) -> None:
    """Reads in a batch see the writes before them, and not those behind them."""
    store = stage.store()
    results = store.batch(
        [Count(NOW), Put(Draft("one")), Count(NOW), Put(Draft("two")), Find(NOW), Changes()], scope=ANA
    ).results
    same((results[0], results[2]), (0, 1), "counts around a put")
    same([record.text for record in results[4]], ["one", "two"], "found behind two puts")
    same([entry.op for entry in results[5]], ["put", "put"], "journal seen from inside the batch")


@rule("S03")
def later_batches_see_earlier_ones(stage: Stage) -> None:
    """A later batch sees all earlier ones, and every operation gets its result in order."""
    store = stage.store()
    texts = [f"text {number}" for number in range(20)]
    ids = []
    for text in texts:
        outcome = store.batch([Put(Draft(text)), Count(NOW)], scope=ANA)
        written, count = outcome.results
        expect(isinstance(written, Written), f"Put answered {written!r}")
        ids.append(written.id)
        same(count, len(ids), "records after so many puts")
        same(store.position(), outcome.seq, "position after a batch")
    same([record.text for record in one(store, Get(tuple(ids), NOW))], texts, "texts by id")
    same(store.batch([], scope=ANA).results, (), "results of the empty batch")


@rule("S04")
def ids_increase(stage: Stage) -> None:
    """Ids are ULIDs given by the store, carry its time, and increase over batches and scopes."""
    store = stage.store(SteppingClock(START, timedelta(microseconds=400)))
    ids: list[str] = []
    for number in range(12):
        scope = (ANA, BOB, Scope(app_id="a", run_id="r"))[number % 3]
        outcome = store.batch([Put(Draft("a")), Put(Draft("b"))], scope=scope)
        ids += [outcome.change or "", *(written.id for written in outcome.results)]
    expect(all(is_ulid(id) for id in ids), f"not all are ULIDs: {ids}")
    expect(all(a < b for a, b in pairwise(ids)), f"ids do not increase: {ids}")
    start = int(START.timestamp() * 1000)
    expect(all(start <= ulid_millis(id) <= start + 5 for id in ids), "ids do not carry the time of their batch")


@rule("S05")
def ids_are_never_reused(stage: Stage) -> None:
    """Ids are never reused, not even after an erasure: neither given out again nor accepted again."""
    store = stage.store(SteppingClock(START, timedelta(0)))
    used = {put(store, "first"), put(store, "second")}
    for _ in range(3):
        one(store, Erase(None))
        new = {put(store, "again"), put(store, "and again")}
        expect(not new & used, f"ids {new & used} were given out twice")
        used |= new
        for id in sorted(used):
            refused(store, [Put(Draft("x", id=id))], Conflict, "an id that was used before")
            refused(store, [Put(Draft("x", id=id))], Conflict, "an id that was used before, elsewhere", BOB)


@rule("S06")
def time_never_runs_backwards(stage: Stage) -> None:
    """System time never runs backwards within a store, whatever the clock does; one batch has one time."""
    readings = [day(1), day(0), day(0.5), day(2), day(-400), day(2), day(3)]
    store = stage.store(_clock(readings))
    id = put(store, "0")
    times = [one(store, History(id))[0].recorded_at]
    for number in range(1, len(readings)):
        outcome = store.batch([Revise(id, Draft(str(number))), Put(Draft("other"))], scope=ANA)
        times.append(outcome.results[0].recorded_at)
        same(outcome.results[1].recorded_at, times[-1], "two writes of one batch")
    same(times, [day(1), day(1), day(1), day(2), day(2), day(2), day(3)], "system times")
    versions = one(store, History(id))
    same([version.recorded_at for version in versions], times, "recorded_at of the versions")
    same([version.closed_at for version in versions], [*times[1:], None], "closed_at of the versions")
    journal = [entry.at for entry in one(store, Changes())]
    same(journal, sorted(journal), "times in the journal")
    ids = [entry.id for entry in one(store, Changes()) if entry.op == "put"]
    expect(all(a < b for a, b in pairwise(ids)), f"ids do not increase under a clock that runs backwards: {ids}")


@rule("S07")
def scopes_are_whole_strings(stage: Stage) -> None:
    """Scope ids are compared as whole strings: no prefixes, patterns, case folding or normalisation."""
    store = stage.store()
    for name in ("user_id", "agent_id", "run_id", "app_id"):
        scopes = [Scope(**{name: value}) for value in ADVERSARIAL]
        ids = {scope: put(store, repr(scope), scope) for scope in scopes}
        for scope in scopes:
            found = one(store, Find(NOW), scope)
            same([record.text for record in found], [repr(scope)], f"found under {scope}")
            same(one(store, Count(NOW), scope), 1, f"count under {scope}")
            same(found[0].scope, scope, "scope of the record")
            same(one(store, Scan(), scope).ids, [ids[scope]], f"scanned under {scope}")
            same([entry.id for entry in one(store, Changes(), scope)], [ids[scope]], f"journal under {scope}")
    for position, value in enumerate(ADVERSARIAL[: len(ADVERSARIAL) // 2]):
        receipt = one(store, Erase(None), Scope(user_id=value))
        same(len(receipt.ids), 1, f"erased under user_id {value!r}")
        alive = sum(one(store, Count(NOW), Scope(user_id=other)) for other in ADVERSARIAL)
        same(alive, len(ADVERSARIAL) - position - 1, f"records left after erasing user_id {value!r}")


@rule("S08")
def nothing_outside_the_scope(stage: Stage) -> None:
    """Nothing outside the batch's scope can be seen, counted, linked or changed, by id neither."""
    store = stage.store()
    vector = Vector("space", b"\x01\x02", 0.5)
    theirs = put(store, "secret", BOB, terms=("secret",), vector=vector)
    other = put(store, "another", BOB)
    one(store, Link(Edge(theirs, other, "knows")), BOB)
    erased = put(store, "gone", BOB)
    one(store, Erase((erased,)), BOB)
    mine = put(store, "mine")
    before = _everything(store, [theirs, other], BOB)
    change = one(store, Changes(), BOB)[0].change
    for scope in (ANA, Scope(user_id="ana", run_id="r"), Scope(user_id="bob", run_id="r"), Scope(agent_id="bob")):
        blank: list[tuple[Operation, object]] = [
            (Get((theirs, other), NOW), (None, None)),
            (Edges(), ()),
            (Edges((theirs,)), ()),
            (Changes(change=change), ()),
            (Changes(id=theirs), ()),
            (Unlink(Edge(theirs, other, "knows")), False),
            (Embed(theirs, 1, vector), False),
            (Reindex(theirs, 1, ("mine",)), False),
            (Touch((theirs,), day(1)), 0),
            (Spaces(), ()),
            (Receipts(), ()),
            (Pending("elsewhere", 10), () if scope != ANA else one(store, Get((mine,), NOW))),
            (Count(NOW), int(scope == ANA)),
        ]
        for operation, wanted in blank:
            same(one(store, operation, scope), wanted, f"{type(operation).__name__} under {scope}")
        forbidden: list[Operation] = [
            History(theirs),
            Revise(theirs, Draft("x")),
            Close(theirs),
            Restore(theirs, 1),
            Erase((theirs,)),
            Link(Edge(theirs, other, "owns")),
            Put(Draft("x", sources=(Source(theirs, 0, 1),))),
        ]
        refused(store, forbidden, NotFound, f"under {scope}", scope)
        expect(theirs not in one(store, Scan(space="space"), scope).ids, f"Scan under {scope} shows a foreign record")
    for edge in (Edge(mine, theirs, "knows"), Edge(theirs, mine, "knows")):
        refused(store, [Link(edge)], NotFound, "a link with one end outside")
    same(_everything(store, [theirs, other], BOB), before, "the other scope after all that")


@rule("S09")
def wider_scopes_cover_narrower_ones(stage: Stage) -> None:
    """A scope covers the records that agree with it on the ids it sets, and a draft's own scope is where it lives."""
    store = stage.store()
    run = Scope(user_id="ana", run_id="r1")
    app = Scope(app_id="shop", user_id="ana", run_id="r1")
    places = [ANA, run, app, Scope(user_id="ana", run_id="r2"), BOB, Scope(user_id="bob", run_id="r1")]
    for place in places:
        put(store, str(place), place)
    for reader in (*places, Scope(run_id="r1"), Scope(app_id="shop"), Scope(agent_id="x")):
        wanted = [str(place) for place in places if reader.covers(place)]
        same([record.text for record in one(store, Find(NOW), reader)], wanted, f"covered by {reader}")
    id = one(store, Put(Draft("inside", scope=run)), ANA).id
    same(one(store, History(id))[0].scope, run, "scope of a record whose draft named it")
    same(one(store, Get((id,), NOW), Scope(user_id="ana", run_id="r2")), (None,), "seen from a sibling")
    refused(store, [Put(Draft("x", scope=BOB)), Put(Draft("x", scope=Scope(run_id="r1")))], InvalidInput, "draft scope")


@rule("S10")
def malformed_batches_have_no_effect(stage: Stage) -> None:
    """A malformed operation is refused with InvalidInput before its batch has any effect, a clock reading included."""
    readings: list[datetime] = []

    def clock() -> datetime:
        readings.append(START)
        return START

    store = stage.store(clock)
    id = put(store, "here")
    naive = datetime(2026, 1, 1)
    before, read = store.position(), len(readings)
    bad: list[Operation] = [
        Put(Draft("")),
        Put(Draft("x", id="not a ulid")),
        Put(Draft("x", meta={"x": float("nan")})),
        Put(Draft("x", valid_from=day(1), valid_to=day(0))),
        Put(Draft("x", event_at=naive)),
        Put(Draft("x", sources=(Source(id, 3, 1),))),
        Revise(id, Draft("")),
        Close(id, at=naive),
        Link(Edge(id, id, "")),
        Link(Edge(id, id, "x", float("nan"))),
        Embed(id, 1, Vector("space", b"", 1.0)),
        Embed(id, None, Vector("space", b"x", 1.0)),  # type: ignore[arg-type]
        Reindex(id, 1, "word"),  # type: ignore[arg-type]
        Reindex(id, 1, ("word", b"word")),  # type: ignore[arg-type]
        Reindex(id, None, ("word",)),  # type: ignore[arg-type]
        Touch((id,), naive),
        Touch((id,), day(1), strength=float("inf")),
        Get((id,), View(naive)),
        Find(NOW, where={"text": {"like": "x"}}),
        Find(NOW, limit=-1),
        Changes(limit=-1),
        Changes(until=-1),
        Scan(after=-1),
        "Put",  # type: ignore[list-item]
    ]
    for operation in bad:
        raises(InvalidInput, lambda op=operation: store.batch([Put(Draft("x")), op], scope=ANA), f"{operation!r}")  # type: ignore[misc]
    raises(InvalidInput, lambda: store.batch([Put(Draft("x"))], scope=None), "a batch without a scope")  # type: ignore[arg-type]
    same((store.position(), one(store, Count(NOW))), (before, 1), "position and count after refused batches")
    same(len(readings), read, "clock readings of refused batches")


@rule("S11")
def closed_stores_say_so(stage: Stage) -> None:
    """close is idempotent, and every later use raises StoreClosed."""
    store = stage.store()
    put(store, "x")
    store.close()
    store.close()
    raises(StoreClosed, lambda: store.batch([], scope=ANA), "a batch on a closed store")
    raises(StoreClosed, store.position, "position of a closed store")


@rule("S12")
def durable(stage: Stage) -> None:
    """What a batch wrote is there after a restart, and numbers, ids and time go on from where they were."""
    store = stage.store()
    first = put(store, "one", terms=("one",), vector=Vector("space", b"\x01\x02", 0.5), meta={"a": [1]})
    second = put(store, "two", terms=("two",), sources=(Source(first, 0, 3),))
    one(store, Revise(first, Draft("uno", terms=("uno",))))
    one(store, Link(Edge(first, second, "next", 0.5)))
    one(store, Touch((first,), day(2), strength=2.0))
    one(store, Embed(second, 1, Vector("space", b"\x03\x04", 0.25)))
    before = _everything(store, [first, second])
    store = stage.reopened(store)
    same(_everything(store, [first, second]), before, "the store after a restart")
    newest = put(store, "three", terms=("three",))
    expect(newest > second, "ids do not increase over a restart")
    same(one(store, Lookup(("one", "three"))), (1, 4), "term integers go on")
    expect(one(store, History(newest))[0].recorded_at >= day(0), "time ran backwards over a restart")


@rule("S13")
def threads_lose_nothing(stage: Stage) -> None:
    """Batches from several threads neither get lost nor mix, and see what their thread wrote before."""
    store = stage.store(SteppingClock(START, timedelta(milliseconds=1)))
    failures: list[str] = []

    def work(name: str) -> None:
        scope = Scope(user_id="ana", run_id=name)
        try:
            for number in range(15):
                outcome = store.batch([Put(Draft(f"{name} {number} a")), Put(Draft(f"{name} {number} b"))], scope=scope)
                change = one(store, Changes(change=outcome.change), scope)
                if [entry.id for entry in change] != [written.id for written in outcome.results]:
                    failures.append(f"change {outcome.change} holds {change}")
                if one(store, Count(NOW), scope) != 2 * number + 2:
                    failures.append(f"{name} does not see its own writes")
        except Exception as error:
            failures.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(failures, [], "what went wrong in the threads")
    same(one(store, Count(NOW)), 4 * 15 * 2, "records of all threads")
    same([entry.seq for entry in one(store, Changes())], list(range(1, 4 * 15 * 2 + 1)), "journal positions")


@rule("S14")
def the_journal_numbers_every_change(stage: Stage) -> None:
    """Each journaled operation gets the next position, from 1; what is not journaled moves nothing."""
    store = stage.store()
    same((store.position(), store.batch([Count(NOW)], scope=ANA).change), (0, None), "an empty store")
    a, b = put(store, "a"), put(store, "b")
    steps: list[tuple[Operation, int, tuple[str, str, int, dict[str, object]] | None]] = [
        (Revise(a, Draft("a2")), 1, ("revise", a, 2, {"previous": 1})),
        (Close(a), 1, ("close", a, 2, {"version": 2})),
        (Restore(a, 1), 1, ("restore", a, 3, {"from": 1, "previous": None})),
        (Restore(a, 2), 1, ("restore", a, 4, {"from": 2, "previous": 3})),
        (Link(Edge(a, b, "t", 2)), 1, ("link", a, 0, _edge(a, b, 2.0) | {"previous": None})),
        (Link(Edge(a, b, "t", 2)), 0, None),
        (Link(Edge(a, b, "t", 3)), 1, ("link", a, 0, _edge(a, b, 3.0) | {"previous": 2.0})),
        (Unlink(Edge(a, b, "t", 9)), 1, ("unlink", a, 0, _edge(a, b, 3.0))),
        (Unlink(Edge(a, b, "t")), 0, None),
        (Touch((a,), day(1)), 0, None),
        (Embed(a, 4, Vector("space", b"\x01", 1.0)), 0, None),
        (Reindex(a, 2, ("x",)), 1, ("reindex", a, 2, {})),
        (Reindex(a, 2, ("x",)), 0, None),
        (Reindex(a, 9, ("x",)), 0, None),
        (Scan(), 0, None),
    ]
    for operation, moved, wanted in steps:
        start = store.position()
        outcome = store.batch([operation], scope=ANA, actor="tester", why="a reason")
        same((outcome.seq, store.position()), (start + moved,) * 2, f"position after {operation!r}")
        expect((outcome.change is None) == (moved == 0), f"change of {operation!r} is {outcome.change!r}")
        if wanted is not None:
            (entry,) = one(store, Changes(since=start))
            same((entry.op, entry.id, entry.version, dict(entry.detail)), wanted, f"journal entry of {operation!r}")
            same((entry.seq, entry.change), (start + 1, outcome.change), "position and change of the entry")
            same((entry.actor, entry.why, entry.scope), ("tester", "a reason", ANA), "who, why and where")
    outcome = store.batch([Erase((b,))], scope=ANA)
    (entry,) = one(store, Changes(change=outcome.change))
    receipt = outcome.results[0].id
    same((entry.op, entry.id, entry.version, dict(entry.detail)), ("erase", receipt, 0, {}), "entry of an erasure")
    same(receipt, outcome.change, "id of the receipt")


@rule("S15")
def links_are_journaled_where_both_ends_are_seen(stage: Stage) -> None:
    """A link's journal entry lies in what the scopes of its ends share, so whoever sees the edge sees the entry."""
    store = stage.store()
    one_run, other_run = Scope(user_id="ana", run_id="1"), Scope(user_id="ana", run_id="2")
    a, b, c = put(store, "a", one_run), put(store, "b", other_run), put(store, "c", one_run)
    start = store.position()
    store.batch([Link(Edge(a, b, "t")), Link(Edge(a, c, "t"))], scope=ANA)
    for scope, edges in ((ANA, [(a, b), (a, c)]), (one_run, [(a, c)]), (other_run, [])):
        same([edge[:2] for edge in one(store, Edges(), scope)], sorted(edges), f"edges under {scope}")
        seen = [(entry.detail["source"], entry.detail["target"]) for entry in one(store, Changes(since=start), scope)]
        same(seen, edges, f"link entries under {scope}")


def _everything(store: RecordStore, ids: list[str], scope: Scope = ANA) -> object:
    """All that a scope can learn, in a form that compares."""
    columns = one(store, Scan(space="space"), scope)
    arrays = (columns.terms.tolist(), columns.scales.tolist(), columns.closed, columns.embedded, columns.vectors_seq)
    reads: list[Operation] = [
        Find(NOW, limit=None),
        Edges(),
        Changes(),
        Spaces(),
        Receipts(),
        Pending("space"),
        Pending("other"),
    ]
    answers = store.batch([*reads, *(History(id) for id in ids), Lookup(("half", "secret", "one"))], scope=scope)
    return (answers.results, store.position(), columns.ids, arrays)


def _edge(source: str, target: str, weight: float) -> dict[str, object]:
    return {"source": source, "target": target, "type": "t", "weight": weight}


def _clock(readings: list[datetime]) -> Callable[[], datetime]:
    left = iter(readings)
    return lambda: next(left)
