"""Rules S80 to S93: the outbox. What is enqueued is worked off exactly once, whoever dies on the way."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

from remanence.conformance.rules import rule
from remanence.conformance.stage import ANA, BOB, NOW, START, Stage, day, expect, one, put, raises, refused, same
from remanence.conformance.store_promises import ADVERSARIAL, NOWHERE
from remanence.core.clock import SteppingClock
from remanence.core.errors import Conflict, InvalidInput, NotFound, StoreClosed
from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Source
from remanence.substrates.records.operations import (
    MAX_PAYLOAD,
    Changes,
    Close,
    Count,
    Discard,
    Enqueue,
    Erase,
    Find,
    Job,
    Jobs,
    Lease,
    Operation,
    Put,
    Renew,
    Requeue,
    Settle,
    Spaces,
)
from remanence.substrates.records.outbox import MAX_ERROR, MAX_SECONDS
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.undo import undo

RUN = Scope(user_id="ana", run_id="r1")


class Hands:
    """A clock whose hands are moved by the rule."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """What the hands show."""
        return self.now

    def move(self, **by: float) -> None:
        """Forward, or backwards."""
        self.now += timedelta(**by)


@rule("S80")
def jobs_are_of_their_batch(stage: Stage) -> None:
    """A job stands or falls with its batch, knows its change, and is no change itself: nothing is journaled for it."""
    store = stage.store()
    failing: list[Operation] = [Put(Draft("x")), Enqueue("enrich"), Close(NOWHERE)]
    raises(NotFound, lambda: store.batch(failing, scope=ANA), "a batch whose last write fails")
    same((one(store, Jobs()), store.due()), ((), []), "jobs of a failed batch")
    behind = store.batch([Put(Draft("x")), Enqueue("enrich", {"n": [1, 2.5, None]}, scope=RUN)], scope=ANA)
    before = store.batch([Enqueue("enrich"), Enqueue("sleep"), Put(Draft("y"))], scope=ANA)
    position = store.position()
    alone = store.batch([Enqueue("enrich")], scope=ANA)
    same((alone.change, alone.seq, store.position()), (None, position, position), "a batch of one job")
    found = one(store, Jobs())
    ids = [behind.results[1], *before.results[:2], alone.results[0]]
    same([job.id for job in found], ids, "ids of jobs, by age")
    same([job.change for job in found], [behind.change, before.change, before.change, None], "changes of jobs")
    first = found[0]
    same(
        (first.scope, first.kind, first.key, dict(first.payload), first.state, first.attempts, first.error),
        (RUN, "enrich", None, {"n": [1, 2.5, None]}, "waiting", 0, ""),
        "a new job",
    )
    at = one(store, Changes(change=behind.change))[0].at
    same((first.created_at, first.due, first.worker, first.leased_until), (at, at, None, None), "its times")
    entries = [entry.op for entry in one(store, Changes())]
    same((entries, one(store, Spaces()), one(store, Count(NOW))), (["put", "put"], (), 2), "all else")
    undo(store, before.change or "", scope=ANA)
    same([job.id for job in one(store, Jobs())], ids, "jobs after their change was undone")


@rule("S81")
def a_lease_is_exclusive(stage: Stage) -> None:
    """A leased job is nobody else's until its lease runs out, and each lease counts as an attempt."""
    hands = Hands()
    store = stage.store(hands)
    ids = [one(store, Enqueue("enrich", {"n": number})) for number in range(3)]
    first = _lease(store, "a", 2)
    same([job.id for job in first], ids[:2], "jobs of the first lease")
    for job in first:
        same((job.state, job.worker, job.attempts), ("leased", "a", 1), "a leased job")
        same(job.leased_until, START + timedelta(seconds=60), "end of a lease")
    hands.move(seconds=59)
    same([job.id for job in _lease(store, "b", 9)], ids[2:], "what is left for another worker")
    same(_lease(store, "a", 9), (), "what is left for anyone")
    same(store.due(), [], "scopes with something to do while all is leased")
    same([dict(job.payload) for job in one(store, Jobs())], [{"n": 0}, {"n": 1}, {"n": 2}], "payloads")
    same(_lease(store, "c", 0), (), "a lease of none")
    hands.move(seconds=1)
    same([(job.id, job.attempts) for job in _lease(store, "a", 9)], [(id, 2) for id in ids[:2]], "leased again")


@rule("S82")
def a_lease_that_ran_out_is_handed_over(stage: Stage) -> None:
    """Renew holds a lease on. One that ran out is nobody's, whether or not somebody else has taken it since."""
    hands = Hands()
    store = stage.store(hands)
    id = one(store, Enqueue("enrich"))
    _lease(store, "a", 1)
    hands.move(seconds=50)
    same(one(store, Renew("a", (id, id, NOWHERE), 60)), (id,), "renewed")
    hands.move(seconds=50)
    same((_lease(store, "b", 1), store.due()), ((), []), "a renewed lease to another worker")
    hands.move(seconds=10)
    same(store.due(), [ANA], "scopes with something to do when a lease ran out")
    (job,) = _lease(store, "b", 1)
    same((job.id, job.worker, job.attempts), (id, "b", 2), "the job in other hands")
    same(one(store, Renew("a", (id,), 60)), (), "renewed by who lost it")
    settlements: list[Any] = [Settle(id, "a", outcome) for outcome in ("done", "retry", "dead")]
    refused(store, settlements, Conflict, "settled by who lost it")
    same(one(store, Jobs()), (job,), "the job after that")
    hands.move(seconds=60)
    same(one(store, Renew("b", (id,), 60)), (), "renewed when it ran out, though nobody else took it")
    refused(store, [Settle(id, "b"), Settle(id, "b", "dead")], Conflict, "settled when it ran out")
    _lease(store, "b", 1)
    hands.move(seconds=59)
    same(one(store, Settle(id, "b")), True, "settled in time")
    same(one(store, Jobs()), (), "jobs after the last was done")
    refused(store, [Settle(id, "b"), Settle(NOWHERE, "b")], Conflict, "a job that is gone")


@rule("S83")
def effects_happen_once(stage: Stage) -> None:
    """What a worker writes and its Settle are one: without the lease the whole batch is undone, first or last in it."""
    hands = Hands()
    store = stage.store(hands)
    source = put(store, "source")
    id = one(store, Enqueue("enrich"))
    fact = Put(Draft("fact", kind="fact", sources=(Source(source, 0, 3),), origin="derived:facts"))
    _lease(store, "a", 1)
    hands.move(minutes=2)
    _lease(store, "b", 1)
    for batch in ([fact, Settle(id, "a")], [Settle(id, "a"), fact], [fact, Enqueue("more"), Settle(id, "a", "retry")]):
        position = store.position()
        raises(Conflict, lambda batch=batch: store.batch(batch, scope=ANA), "effects of who lost the lease")  # type: ignore[misc]
        same((store.position(), len(one(store, Jobs()))), (position, 1), "after effects that were refused")
    store.batch([fact, Settle(id, "b")], scope=ANA)
    raises(Conflict, lambda: store.batch([fact, Settle(id, "b")], scope=ANA), "the same effects again")
    same([record.text for record in one(store, Find(NOW, ("fact",)))], ["fact"], "effects")


@rule("S84")
def a_lease_ends_in_one_of_three_ways(stage: Stage) -> None:
    """done removes the job, retry lets it wait until it is due again, dead sets it aside; errors and payloads stay."""
    hands = Hands()
    store = stage.store(hands)
    ids = [one(store, Enqueue("enrich", {"n": number})) for number in range(4)]
    _lease(store, "w", 9)
    later = START + timedelta(hours=1)
    store.batch(
        [
            Settle(ids[0], "w"),
            Settle(ids[1], "w", "retry", "no answer", later, {"done": ["x"]}),
            Settle(ids[2], "w", "dead", "x" * (MAX_ERROR + 9)),
            Settle(ids[3], "w", "retry", payload={}),
        ],
        scope=ANA,
    )
    waiting, dead, again = one(store, Jobs())
    same(
        (waiting.id, waiting.state, waiting.error, waiting.due, dict(waiting.payload), waiting.attempts),
        (ids[1], "waiting", "no answer", later, {"done": ["x"]}, 1),
        "a job that is tried again later",
    )
    same((dead.id, dead.state, dead.error, dict(dead.payload)), (ids[2], "dead", "x" * MAX_ERROR, {"n": 2}), "dead")
    same((again.id, again.state, again.due, dict(again.payload)), (ids[3], "waiting", START, {}), "tried at once")
    for job in (waiting, dead, again):
        same((job.worker, job.leased_until), (None, None), "nobody's")
    same([job.id for job in _lease(store, "w", 9)], [ids[3]], "what can be leased before it is due")
    one(store, Settle(ids[3], "w"))
    same(store.due(), [], "scopes with something to do before it is due")
    hands.now = later
    (job,) = _lease(store, "w", 9)
    same((job.id, job.attempts, job.error), (ids[1], 2, "no answer"), "what can be leased once it is due")


@rule("S85")
def keys_bring_together_what_waits(stage: Stage) -> None:
    """With a key, a waiting job of the same scope, kind and key is answered as it is; a leased or dead one is not."""
    store = stage.store(Hands())
    first = one(store, Enqueue("sleep", {"n": 1}, key="k", due=day(1)))
    same(one(store, Enqueue("sleep", {"n": 2}, key="k")), first, "the same key while it waits")
    (job,) = one(store, Jobs())
    same((dict(job.payload), job.due), ({"n": 1}, day(1)), "the job that waits")
    others = [
        one(store, Enqueue("sleep", key="K")),
        one(store, Enqueue("sleep2", key="k")),
        one(store, Enqueue("sleep")),
        one(store, Enqueue("sleep")),
        one(store, Enqueue("sleep", key="k", scope=RUN)),
        one(store, Enqueue("sleep", key="k"), BOB),
        one(store, Enqueue("sleep", key="k "), ANA),
        one(store, Enqueue("sleep", key="k"), Scope(user_id="ana", agent_id="k")),
    ]
    same(len({first, *others}), 1 + len(others), "different jobs")
    refused(store, [Enqueue("sleep", key="")], InvalidInput, "an empty key")
    one(store, Requeue((first,)))
    leased = {job.id for job in _lease(store, "w", 99)}
    expect(first in leased, "the job was not leased")
    second = one(store, Enqueue("sleep", key="k"))
    expect(second not in leased, "a leased job was answered to Enqueue; what it does may come too early")
    same(one(store, Enqueue("sleep", key="k")), second, "the second one while it waits")
    store.batch([Settle(first, "w", "retry")], scope=ANA)
    same(one(store, Enqueue("sleep", key="k")), first, "two that wait: the older one")
    _lease(store, "w", 99)
    store.batch([Settle(first, "w", "dead"), Settle(second, "w", "dead")], scope=ANA)
    expect(one(store, Enqueue("sleep", key="k")) not in (first, second), "a dead job was answered to Enqueue")


@rule("S86")
def the_longest_waiting_comes_first(stage: Stage) -> None:
    """Jobs are leased in the order in which they became ready, then by age; due() names each scope once, likewise."""
    hands = Hands()
    store = stage.store(hands)
    hands.move(days=10)
    moments = {"c": day(3), "a": day(1), "later": day(11), "d": day(3), "b": day(2)}
    for name, due in moments.items():
        one(store, Enqueue(f"kind_{name}", due=due, scope=Scope(user_id="ana", run_id=name)))
    one(store, Enqueue("kind_a", due=day(5)), BOB)
    one(store, Enqueue("kind_a", due=day(4), scope=Scope(user_id="ana", run_id="a")))
    runs = [Scope(user_id="ana", run_id=name) for name in "abcd"]
    same(store.due(), [*runs, BOB], "scopes with something to do")
    same((store.due(2), store.due(0)), (runs[:2], []), "the first of them")
    two = ("kind_b", "kind_a", "kind_later")
    same((store.due(kinds=two), store.due(2, two)), ([*runs[:2], BOB], runs[:2]), "scopes with something of some kinds")
    same((store.due(kinds=()), store.due(kinds=["kind_x"])), ([], []), "scopes with something of no kind")
    same(one(store, Lease("w", ("kind_x",), 9)), (), "of a kind that is not there")
    same(one(store, Lease("w", (), 9)), (), "of no kind")
    same([job.kind for job in one(store, Lease("w", ("kind_b", "kind_d"), 9))], ["kind_b", "kind_d"], "of two kinds")
    same([job.kind for job in one(store, Lease("w", None, 2))], ["kind_a", "kind_c"], "the first two of the others")
    same([(job.kind, job.due) for job in _lease(store, "w", 9)], [("kind_a", day(4))], "the last one that is due")
    same(store.due(), [BOB], "scopes with something left")
    hands.now = day(12)
    put(store, "first there", Scope(user_id="bob", run_id="a"))
    both = [one(store, Enqueue("twin", scope=Scope(user_id="bob", run_id=name)), BOB) for name in "ba"]
    same([job.id for job in one(store, Lease("w", ("twin",), 1), BOB)], both[:1], "of two that became ready at once")
    # Leases that ran out at one moment come by age, then what became due after it.
    again = [day(3), day(1), day(3), day(2), day(4), day(11)]
    same([job.due for job in _lease(store, "w", 9)], again, "all of them, a day later")


@rule("S87")
def jobs_are_only_of_their_scope(stage: Stage) -> None:
    """No working operation reaches a job outside the batch's scope, however alike the ids are."""
    store = stage.store(Hands())
    scopes = [Scope(user_id=value) for value in ADVERSARIAL]
    ids = {scope: one(store, Enqueue("enrich", key="k"), scope) for scope in scopes}
    same(set(store.due(len(scopes))), set(scopes), "scopes with something to do")
    for scope, id in ids.items():
        same([job.id for job in one(store, Jobs(), scope)], [id], f"jobs seen from {scope}")
        same([job.id for job in one(store, Lease("w", None, 9), scope)], [id], f"jobs leased from {scope}")
        same(one(store, Jobs(limit=0), scope), {("enrich", "leased"): 1}, f"counts seen from {scope}")
    theirs = ids[Scope(user_id="ana2")]
    state = one(store, Jobs(), Scope(user_id="ana2"))
    for scope in (ANA, BOB, Scope(user_id="ana2", run_id="r"), Scope(agent_id="ana2")):
        refused(store, [Settle(theirs, "w"), Settle(theirs, "w", "dead")], Conflict, "a job of another", scope)
        same(one(store, Renew("w", (theirs,), 9), scope), (), f"renewed from {scope}")
        blank = [one(store, operation, scope) for operation in (Discard((theirs,)), Requeue((theirs,)))]
        same(blank, [0, 0], f"discarded and requeued from {scope}")
    refused(store, [Enqueue("x", scope=BOB)], InvalidInput, "a job for another scope")
    same(one(store, Jobs(), Scope(user_id="ana2")), state, "the job after all that")
    store.batch([Settle(theirs, "w", "dead")], scope=Scope(user_id="ana2"))
    same((one(store, Requeue()), one(store, Requeue(), BOB)), (0, 0), "dead jobs of others")
    same(one(store, Requeue(), Scope(user_id="ana2")), 1, "dead jobs of one's own")
    inner = one(store, Enqueue("enrich", scope=RUN))
    same([job.id for job in _lease(store, "w", 9)], [inner], "what a wider scope leases of a narrower one")


@rule("S88")
def the_dead_are_looked_after(stage: Stage) -> None:
    """Requeue makes dead and waiting jobs due with no attempts, Discard removes what nobody holds, Jobs counts."""
    hands = Hands()
    store = stage.store(hands)
    ids = [one(store, Enqueue(f"kind_{number % 2}")) for number in range(5)]
    later = one(store, Enqueue("kind_0", due=day(9)))
    _lease(store, "w", 3)
    store.batch([Settle(id, "w", "dead", "why") for id in ids[:2]], scope=ANA)
    counts = {("kind_0", "dead"): 1, ("kind_1", "dead"): 1, ("kind_0", "leased"): 1}
    counts |= {("kind_1", "waiting"): 1, ("kind_0", "waiting"): 2}
    same(one(store, Jobs(limit=0)), counts, "counts")
    same(one(store, Jobs(("dead",), ("kind_1",), 0)), {("kind_1", "dead"): 1}, "counts of some")
    same([job.id for job in one(store, Jobs(("dead", "leased")))], ids[:3], "jobs in two states")
    same([job.id for job in one(store, Jobs(None, ("kind_0",), 2, ids[0]))], [ids[2], ids[4]], "a page of one kind")
    same((one(store, Jobs(())), one(store, Jobs((), limit=0))), ((), {}), "jobs in no state")
    same(one(store, Requeue((ids[1], ids[2], later, later, NOWHERE))), 2, "requeued: one dead, one waiting")
    job = next(job for job in one(store, Jobs()) if job.id == ids[1])
    same((job.state, job.attempts, job.due), ("waiting", 0, START), "a job brought back")
    same(one(store, Discard((ids[0], ids[2], ids[3], ids[3], NOWHERE))), 2, "discarded: one dead, one waiting")
    same([job.id for job in one(store, Jobs())], [ids[1], ids[2], ids[4], later], "what is left")
    same(one(store, Requeue()), 0, "dead ones left")
    hands.move(seconds=60)
    same(one(store, Discard((ids[2],))), 1, "a leased one whose lease ran out")
    refused(store, [Settle(ids[2], "w")], Conflict, "a discarded job")
    expect(one(store, Enqueue("kind_0")) > later, "ids of jobs do not increase")


@rule("S89")
def work_goes_on_when_the_clock_runs_backwards(stage: Stage) -> None:
    """Leases and due times follow the store's time, which never runs backwards, with journaled batches and without."""
    hands = Hands()
    store = stage.store(hands)
    id = one(store, Enqueue("enrich"))
    hands.move(days=-3)
    same(store.due(), [ANA], "scopes with something to do after the clock was set back")
    (job,) = _lease(store, "a", 1)
    same((job.id, job.leased_until), (id, START + timedelta(seconds=60)), "leased after the clock was set back")
    hands.now = START + timedelta(seconds=61)
    same([job.worker for job in _lease(store, "b", 1)], ["b"], "leased when the lease ran out")
    hands.move(seconds=-30)
    same(_lease(store, "c", 1), (), "leased twice after the clock was set back")
    same(one(store, Settle(id, "b", "retry")), True, "settled after the clock was set back")
    (job,) = one(store, Jobs())
    same(job.due, START + timedelta(seconds=61), "when it is due again")
    second = put(store, "x")
    expect(one(store, Enqueue("enrich")) > second > id, "ids do not increase while the clock runs backwards")
    written = store.batch([Put(Draft("y"))], scope=ANA).results[0]
    expect(written.recorded_at >= job.due, "records are dated before jobs that precede them")
    for taken in _lease(store, "d", 9):
        one(store, Settle(taken.id, "d", "dead"))
    hands.move(days=4)
    expect(one(store, Requeue()), "nothing was dead")
    hands.move(days=-4)
    same(store.due(), [ANA], "scopes with something to do when requeued jobs lie ahead of the clock")


@rule("S90")
def erasing_reaches_the_outbox(stage: Stage) -> None:
    """Erasing empties errors that may quote what goes and takes its ids out of jobs; a whole scope loses its jobs."""
    store = stage.store(Hands())
    secret, kept = put(store, "secret", RUN), put(store, "kept", RUN)
    other = Scope(user_id="ana", run_id="r2")
    payload = {"ids": [secret, kept, [secret]], secret: 1, "deep": {"id": secret, "n": 1}, "about": kept}
    told = store.batch(
        [Enqueue("a", payload, key=f"about {secret}", scope=RUN), Enqueue("b", scope=other), Enqueue("c")], scope=ANA
    ).results
    theirs = one(store, Enqueue("d", {"id": kept}), BOB)
    for scope in (ANA, BOB):
        for job in one(store, Lease("w", None, 9), scope):
            one(store, Settle(job.id, "w", "dead", "cannot read 'secret'"), scope)
    one(store, Erase((secret,)), RUN)
    jobs = one(store, Jobs())
    same([(job.id, job.state, job.error) for job in jobs], [(id, "dead", "") for id in told], "jobs of the same person")
    same(jobs[0].key, None, "a key that named what was erased")
    cut = {"ids": [kept, []], "deep": {"n": 1}, "about": kept}
    same(dict(jobs[0].payload), cut, "a payload that named what was erased")
    (foreign,) = one(store, Jobs(), BOB)
    same(
        (foreign.id, foreign.error, dict(foreign.payload)), (theirs, "cannot read 'secret'", {"id": kept}), "of others"
    )
    one(store, Requeue())
    (leased,) = one(store, Lease("w", ("a",)))
    one(store, Erase(None), RUN)
    same([job.id for job in one(store, Jobs())], list(told[1:]), "jobs after their scope was erased")
    refused(store, [Settle(leased.id, "w")], Conflict, "a job that was erased while somebody held it")
    one(store, Erase(None))
    same((one(store, Jobs()), [job.id for job in one(store, Jobs(), BOB)]), ((), [theirs]), "jobs after all was erased")
    one_agent, other_agent = (Scope(user_id="ana", agent_id=name) for name in "xy")
    agents = [put(store, "secret", one_agent) for _ in range(2)]
    told = one(store, Enqueue("e"), other_agent)
    _lease(store, "w", 1)
    one(store, Settle(told, "w", "dead", "why"))
    for id, scope, left in ((agents[0], one_agent, "why"), (agents[1], ANA, "")):
        one(store, Erase((id,)), scope)
        same(one(store, Jobs())[0].error, left, f"the error of another agent's job after erasing from {scope}")


@rule("S91")
def malformed_work_has_no_effect(stage: Stage) -> None:
    """Working operations that make no sense are refused with InvalidInput, and their whole batch with them."""
    store = stage.store()
    bad: list[Any] = [
        Enqueue(""),
        Enqueue(None),  # type: ignore[arg-type]
        Enqueue("x", {"x": float("nan")}),
        Enqueue("x", {1: 2}),  # type: ignore[dict-item]
        Enqueue("x", ["x"]),  # type: ignore[arg-type]
        Enqueue("x", None),  # type: ignore[arg-type]
        Enqueue("x", {"x": "y" * MAX_PAYLOAD}),
        Enqueue("x", key=7),  # type: ignore[arg-type]
        Enqueue("x", due=datetime(2026, 1, 1)),
        Enqueue("x", scope=BOB),
        Lease(""),
        Lease("w", "x"),  # type: ignore[arg-type]
        Lease("w", limit=-1),
        Lease("w", limit=None),  # type: ignore[arg-type]
        Lease("w", seconds=0),
        Lease("w", seconds=float("inf")),
        Lease("w", seconds=float("nan")),
        Lease("w", seconds=1e12),
        Renew("w", "x"),  # type: ignore[arg-type]
        Renew("", ()),
        Renew("w", (), -1),
        Settle("x", ""),
        Settle("x", "w", "lost"),  # type: ignore[arg-type]
        Settle("x", "w", error=None),  # type: ignore[arg-type]
        Settle("x", "w", due=datetime(2026, 1, 1)),
        Settle("x", "w", payload={"x": {1, 2}}),
        Requeue("x"),  # type: ignore[arg-type]
        Discard(None),  # type: ignore[arg-type]
        Jobs(("asleep",)),  # type: ignore[arg-type]
        Jobs(limit=-1),
        Jobs(after=1),  # type: ignore[arg-type]
    ]
    for operation in bad:
        raises(InvalidInput, lambda op=operation: store.batch([Put(Draft("x")), op], scope=ANA), f"{operation!r}")  # type: ignore[misc]
    raises(InvalidInput, lambda: store.due(-1), "due(-1)")
    raises(InvalidInput, lambda: store.due(kinds="x"), "due of a string of kinds")
    same((store.position(), one(store, Jobs()), store.due()), (0, (), []), "the store after that")
    one(store, Enqueue("x" * 200, {"x": "y" * (MAX_PAYLOAD - 8)}, key="\ud800 é"))
    (job,) = _lease(store, "\ud800", 1, seconds=1e-6)
    same((job.key, job.worker, len(job.payload["x"])), ("\ud800 é", "\ud800", MAX_PAYLOAD - 8), "what is odd but well")
    store.close()
    raises(StoreClosed, store.due, "due of a closed store")


@rule("S92")
def work_outlives_a_restart(stage: Stage) -> None:
    """Jobs, leases, ids and the time of work are there after a restart."""
    hands = Hands()
    store = stage.store(hands)
    hands.move(days=9)
    store.batch([Enqueue("a", {"n": 1}, "k"), Enqueue("b"), Enqueue("c", due=day(9999)), Enqueue("d")], scope=ANA)
    leased = one(store, Lease("w", ("a", "d"), 2, MAX_SECONDS))
    one(store, Settle(leased[1].id, "w", "dead", "why"))
    before = one(store, Jobs())
    store = stage.reopened(store)
    same(one(store, Jobs()), before, "jobs after a restart")
    same(store.due(), [ANA], "scopes with something to do after a restart")
    same([job.kind for job in _lease(store, "v", 9)], ["b"], "what can be leased")
    expect(one(store, Enqueue("e")) > max(job.id for job in before), "ids of jobs do not increase over a restart")
    same(one(store, Settle(leased[0].id, "w")), True, "settled by the worker that outlived it")


@rule("S93")
def threads_share_the_work(stage: Stage) -> None:
    """Workers in several threads never get the same job, and all jobs are done once."""
    store = stage.store(SteppingClock(START))
    store.batch([Enqueue("enrich", {"n": number}) for number in range(60)], scope=ANA)
    failures: list[str] = []

    def work(name: str) -> None:
        try:
            while jobs := _lease(store, name, 2):
                for job in jobs:
                    effect = Put(Draft(f"effect {job.payload['n']}"))
                    store.batch([effect, Settle(job.id, name)], scope=ANA)
        except Exception as error:
            failures.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(failures, [], "what went wrong in the threads")
    texts = sorted(record.text for record in one(store, Find(NOW, limit=None)))
    same(texts, sorted(f"effect {number}" for number in range(60)), "effects")
    same(one(store, Jobs(limit=0)), {}, "jobs left")


def _lease(store: RecordStore, worker: str, limit: int, *, seconds: float = 60) -> tuple[Job, ...]:
    leased: tuple[Job, ...] = one(store, Lease(worker, None, limit, seconds))
    return leased
