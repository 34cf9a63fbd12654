"""What undo makes of journal entries; its effect on stores is rules S68 to S70 and S72 of the store contract."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, InvalidInput
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Edge, View
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Edges,
    Enqueue,
    Erase,
    Find,
    Jobs,
    JournalEntry,
    JournalOp,
    Link,
    Operation,
    Put,
    Restore,
    Revise,
    Settle,
    Unlink,
)
from remanence.substrates.records.reference import MemoryStore
from remanence.substrates.records.undo import inverse, undo

ANA = Scope(user_id="ana")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = View(NOON + timedelta(days=365))
AB = {"source": "a", "target": "b", "type": "t"}


def entry(op: JournalOp, version: int, detail: dict[str, Any], *, id: str = "r", change: str = "c") -> JournalEntry:
    return JournalEntry(
        seq=version, change=change, at=NOON, actor="", why="", scope=ANA, op=op, id=id, version=version, detail=detail
    )


def put(id: str = "r") -> JournalEntry:
    return entry("put", 1, {}, id=id)


def revise(version: int, change: str = "c") -> JournalEntry:
    return entry("revise", version, {"previous": version - 1}, change=change)


def restore(version: int, origin: int, previous: int | None, change: str = "c") -> JournalEntry:
    return entry("restore", version, {"from": origin, "previous": previous}, change=change)


def close(version: int, change: str = "c") -> JournalEntry:
    return entry("close", version, {"version": version}, change=change)


def link(weight: float, previous: float | None, change: str = "c") -> JournalEntry:
    return entry("link", 0, {**AB, "weight": weight, "previous": previous}, id="a", change=change)


def unlink(weight: float, change: str = "c") -> JournalEntry:
    return entry("unlink", 0, {**AB, "weight": weight}, id="a", change=change)


def reindex(version: int, change: str = "c") -> JournalEntry:
    return entry("reindex", version, {}, change=change)


@pytest.mark.parametrize(
    ("entries", "operations"),
    [
        ([], []),
        ([put()], [Close("r", expected_version=1)]),
        ([revise(2)], [Restore("r", 1, expected_version=2)]),
        ([close(3)], [Restore("r", 3, expected_version=3)]),
        ([restore(4, 1, 3)], [Restore("r", 3, expected_version=4)]),
        ([restore(4, 1, None)], [Close("r", expected_version=4)]),
        ([put(), revise(2)], [Close("r", expected_version=2)]),
        ([put(), revise(2), close(2)], []),
        ([revise(4), revise(5), close(5)], [Restore("r", 3, expected_version=5)]),
        ([put("x"), put("y")], [Close("y", expected_version=1), Close("x", expected_version=1)]),
        ([link(1.0, None)], [Unlink(Edge("a", "b", "t"))]),
        ([link(1.0, 0.5)], [Link(Edge("a", "b", "t", 0.5))]),
        ([unlink(0.25)], [Link(Edge("a", "b", "t", 0.25))]),
        ([unlink(0.25), link(3.0, None)], [Link(Edge("a", "b", "t", 0.25))]),
        ([link(3.0, None), unlink(3.0)], [Unlink(Edge("a", "b", "t"))]),
        # later changes to other things, and later ones that were taken back
        ([put("x"), revise(7, "other")], [Close("x", expected_version=1)]),
        ([revise(2), revise(3, "d"), restore(4, 2, 3, "e")], [Restore("r", 1, expected_version=4)]),
        ([restore(5, 2, 4), revise(6, "d"), restore(7, 5, 6, "e")], [Restore("r", 4, expected_version=7)]),
        ([revise(2), close(2, "d"), restore(3, 2, None, "e")], [Restore("r", 1, expected_version=3)]),
        ([link(1.0, None), link(2.0, 1.0, "d"), link(1.0, 2.0, "e")], [Unlink(Edge("a", "b", "t"))]),
        # derived terms, in the change itself and since
        ([reindex(1), revise(2), reindex(2, "d")], [Restore("r", 1, expected_version=2)]),
        ([put(), reindex(1, "d"), reindex(1)], [Close("r", expected_version=1)]),
        ([close(2), reindex(1), reindex(2, "d")], [Restore("r", 2, expected_version=2)]),
    ],
)
def test_inverse(entries: list[JournalEntry], operations: list[Operation]) -> None:
    assert inverse(entries, "c") == operations


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([revise(2), revise(3, "d")], "record r was changed since by d (revise)"),
        ([revise(2), close(2, "d")], "record r was changed since by d (close)"),
        ([close(2), restore(3, 2, None, "d"), close(3, "e")], "by e (close)"),
        # d still stands, e was taken back by f: d is what must be undone first
        ([revise(2), revise(3, "d"), revise(4, "e"), restore(5, 3, 4, "f")], "by d (revise)"),
        ([revise(2), restore(3, 1, 2, "d")], "by d (restore)"),
        ([link(1.0, None), link(2.0, 1.0, "d")], "the link a → b was changed since by d (link)"),
        ([link(1.0, None), unlink(1.0, "d")], "the link a → b was changed since by d (unlink)"),
    ],
)
def test_what_still_stands_in_the_way_is_named(entries: list[JournalEntry], message: str) -> None:
    with pytest.raises(Conflict) as caught:
        inverse(entries, "c")
    assert message in str(caught.value)


def test_an_erasure_cannot_be_undone() -> None:
    with pytest.raises(InvalidInput, match="an erasure cannot be undone"):
        inverse([put(), entry("erase", 0, {}, id="c")], "c")
    assert inverse([put(), entry("erase", 0, {}, id="d", change="d")], "c") == [Close("r", expected_version=1)]


def test_a_reindexing_cannot_be_undone() -> None:
    with pytest.raises(InvalidInput, match=r"only derived search terms anew.*`rebuild`"):
        inverse([reindex(1), reindex(2), revise(3, "d")], "c")
    assert inverse([put("x"), reindex(1)], "d") == []


def test_undo_says_what_it_undid() -> None:
    store = MemoryStore(clock=SteppingClock(NOON))
    change = store.batch([Put(Draft("x"))], scope=ANA).change
    undo(store, change or "", scope=ANA, actor="ana")
    last = store.batch([Changes()], scope=ANA).results[0][-1]
    assert (last.actor, last.why, last.op) == ("ana", f"undo {change}", "close")


def test_what_was_erased_since_stays_erased() -> None:
    store = MemoryStore(clock=SteppingClock(NOON))
    outcome = store.batch([Put(Draft("goes")), Put(Draft("stays"))], scope=ANA)
    store.batch([Erase((outcome.results[0].id,))], scope=ANA)
    assert outcome.change is not None
    back = undo(store, outcome.change, scope=ANA)
    assert [written.id for written in back.results] == [outcome.results[1].id]


def test_closing_what_was_reopened() -> None:
    """A close, its undoing and the undoing of that leave the record as the close left it."""
    reopened = [close(2), restore(3, 2, None, "d"), close(3, "e")]
    assert inverse(reopened, "c", {("r", 3)}) == [Restore("r", 2, expected_version=3)]
    revised_between = [close(2), restore(3, 2, None, "d"), revise(4, "e"), close(4, "f")]
    with pytest.raises(Conflict, match=r"by f \(close\)"):
        inverse(revised_between, "c", {("r", 4)})
    revised_and_back = [*revised_between[:3], restore(5, 3, 4, "f"), close(5, "g")]
    assert inverse(revised_and_back, "c", {("r", 5)}) == [Restore("r", 2, expected_version=5)]


@pytest.mark.parametrize("seed", range(40))
def test_a_whole_life_can_be_undone_step_by_step(seed: int) -> None:
    """Whatever happened, undoing the changes newest first shows every earlier state again."""
    rng = random.Random(seed)
    store = MemoryStore(clock=SteppingClock(NOON), random_bits=random.Random(seed).getrandbits)
    ids: list[str] = []

    def seen() -> object:
        found, edges = store.batch([Find(NOW, limit=None), Edges()], scope=ANA).results
        return [(record.id, record.text, record.meta, record.valid_from) for record in found], edges

    def step() -> list[Operation]:
        operations: list[Operation] = []
        open_ids = [record.id for record in store.batch([Find(NOW, limit=None)], scope=ANA).results[0]]
        for id in rng.sample(ids, min(len(ids), rng.randrange(3))):
            if id in open_ids:
                changes: list[Operation] = [Revise(id, Draft(f"{rng.random()}")), Close(id), Restore(id, 1)]
                operations.append(rng.choice(changes))
            else:
                operations.append(Restore(id, 1))
        if len(ids) > 1:
            source, target = rng.sample(ids, 2)
            edge = Edge(source, target, rng.choice("tu"), rng.choice([1.0, 2.0]))
            operations.append(Link(edge) if rng.random() < 0.7 else Unlink(edge))
        if not ids or rng.random() < 0.4:
            operations.append(Put(Draft(f"{rng.random()}", meta={"n": rng.randrange(3)})))
        return operations

    done: list[tuple[object, str]] = []
    for _ in range(15):
        before, operations = seen(), step()
        outcome = store.batch(operations, scope=ANA)
        ids += [result.id for op, result in zip(operations, outcome.results, strict=True) if isinstance(op, Put)]
        if outcome.change is not None:
            done.append((before, outcome.change))
    for before, change in reversed(done):
        undo(store, change, scope=ANA)
        assert seen() == before


def test_work_that_follows_stands_or_falls_with_the_undoing() -> None:
    store = MemoryStore()
    outcome = store.batch([Put(Draft("x"))], scope=ANA)
    undone = undo(store, outcome.change or "", scope=ANA, also=[Enqueue("enrich"), Enqueue("sleep")])
    jobs = store.batch([Jobs()], scope=ANA).results[0]
    assert [(job.kind, job.change) for job in jobs] == [("enrich", undone.change), ("sleep", undone.change)]
    assert [type(result).__name__ for result in undone.results] == ["Written", "str", "str"]
    store.batch([Put(Draft("y"))], scope=ANA)
    with pytest.raises(Conflict):
        undo(store, undone.change or "", scope=ANA, also=[Settle(jobs[0].id, "nobody")])
    assert store.batch([Jobs()], scope=ANA).results[0] == jobs
