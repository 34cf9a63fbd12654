"""What follows from words is derived once, however they are cut into jobs, and in whatever order those run."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from remanence.core.clock import utc_now
from remanence.core.scope import Scope
from remanence.runtime import working
from remanence.runtime.memory import Memory
from remanence.runtime.outbox import job_counts, jobs
from remanence.runtime.working import Shift, drain
from remanence.substrates.records.model import Draft, Source
from remanence.substrates.records.operations import Enqueue, Jobs, Lease, Put
from tests.runtime.handlers import (
    ANA,
    Echoes,
    Fails,
    Topics,
    derived,
    engine_of,
    everything,
    install,
    right,
)

AGENT = Scope(user_id="ana", agent_id="a1")

Make = Callable[..., Memory]


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    found = Topics()
    install(monkeypatch, found, Echoes())
    return found


class Seeing(Echoes):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Any] = []

    def derive(self, batch: Any) -> Any:
        self.batches.append(batch)
        return super().derive(batch)


def scopes_of(memory: Memory, scope: Scope = ANA) -> list[Scope]:
    found = engine_of(memory).read([Jobs()], scope)[0]
    return [job.scope for job in found]


def test_a_job_is_done_once(memory: Memory, topics: Topics) -> None:
    memory.add("cats purr", user_id="ana")
    memory.add(["cats meow", "dogs bark"], user_id="ana", run_id="r1")
    memory.add("cats scratch", user_id="ana", agent_id="a1")
    report = drain(engine_of(memory))
    assert (report["done"], report["turns"], report["left"]) == (3, 4, False)
    right(memory)
    seq = engine_of(memory).store.position()
    assert drain(engine_of(memory))["done"] == 0
    assert engine_of(memory).store.position() == seq


def test_derived_records_say_what_they_rest_on(memory: Memory, topics: Topics) -> None:
    engine = engine_of(memory)
    engine.write([Put(Draft("cats lie", trust=0.25)), Enqueue("enrich"), Put(Draft("cats purr"))], ANA)
    drain(engine)
    (topic,) = (row for row in derived(engine, ANA) if row[0] == "topic")
    assert topic[3:] == ("derived:topics", ("cats lie", "cats purr"), 0.25)
    (row, *_) = memory.history(memory.get_all(user_id="ana", kinds="topic")["results"][0]["id"], user_id="ana")
    assert row["actor"] == "worker"
    (record,) = (record for record in everything(engine, ANA) if record.kind == "topic")
    assert "lie" in record.terms
    assert record.sources == (Source(record.sources[0].id, 0, 8), Source(record.sources[1].id, 0, 9))


@pytest.mark.parametrize("seed", range(4))
def test_neither_the_cut_nor_the_order_of_jobs_matters(make: Make, topics: Topics, seed: int) -> None:
    rng = random.Random(seed)
    memory = make()
    engine = engine_of(memory)
    words = [f"{rng.choice('abc')} {number}" for number in range(40)]
    ids: list[str] = []
    while words:
        size = rng.choice((1, 1, 3, 9))
        some, words = words[:size], words[size:]
        run = rng.choice((None, "r1", "r2"))
        ids += [row["id"] for row in memory.add(some, user_id="ana", run_id=run)["results"]]
        if rng.random() < 0.3:
            memory.update(ids.pop(rng.randrange(len(ids))), f"{rng.choice('abc')} new", user_id="ana")
        if rng.random() < 0.3:
            memory.delete(ids.pop(rng.randrange(len(ids))), user_id="ana")
        if rng.random() < 0.4:
            Shift(engine, most_jobs=rng.choice((1, 2, 5)), most_turns=rng.choice((1, 4, 100))).step()
    shift = Shift(engine, most_jobs=3, most_turns=2)
    while shift.step():
        pass
    assert scopes_of(memory) == []
    right(memory)


def test_many_small_jobs_share_one_batch(memory: Memory, topics: Topics) -> None:
    for number in range(50):
        memory.add(f"a {number}", user_id="ana")
    assert drain(engine_of(memory))["done"] == 50
    assert [len(batch.turns) for batch in topics.batches] == [50]
    right(memory)


def test_a_huge_change_is_split_and_goes_on_where_it_was(memory: Memory, topics: Topics) -> None:
    engine = engine_of(memory)
    memory.add_many([f"a {number}" for number in range(25)], user_id="ana")
    stops = iter([False, False, True])
    shift = Shift(engine, most_turns=10)
    assert shift.step(stop=lambda: next(stops, True))
    assert [len(batch.turns) for batch in topics.batches] == [10]
    (job,) = engine.read([Jobs()], ANA)[0]
    assert (job.state, len(derived(engine, ANA))) == ("waiting", 11)
    other = Shift(engine, most_turns=10)
    while other.step():
        pass
    assert [len(batch.turns) for batch in topics.batches] == [10, 10, 5]
    assert (other.tally.done, other.tally.turns) == (1, 15)
    right(memory)


def test_progress_is_no_attempt_that_counts(memory: Memory, topics: Topics) -> None:
    memory.add_many([f"a {number}" for number in range(40)], user_id="ana")
    shift = Shift(engine_of(memory), most_turns=1)
    while shift.step():
        pass
    assert (shift.tally.done, shift.tally.dead) == (1, 0)
    right(memory)


def test_handlers_see_what_follows_a_change_and_what_came_before(memory: Memory, topics: Topics) -> None:
    ids = [memory.add(f"a {number}", user_id="ana", run_id="r1")["results"][0]["id"] for number in range(9)]
    memory.add("b in between", user_id="ana")
    drain(engine_of(memory))
    memory.update(ids[2], "a two", user_id="ana")
    drain(engine_of(memory))
    batch = topics.batches[-1]
    assert [turn.text for turn in batch.turns] == ["a two", "a 3", "a 4", "a 5", "a 6"]
    assert [turn.text for turn in batch.before(batch.turns[0], 5)] == ["a 0", "a 1"]
    assert [turn.text for turn in batch.following(batch.turns[0], 2)] == ["a 3", "a 4"]
    memory.delete(ids[4], user_id="ana")
    drain(engine_of(memory))
    batch = topics.batches[-1]
    assert (batch.gone, [turn.text for turn in batch.turns]) == ([ids[4]], ["a 5", "a 6", "a 7", "a 8"])
    assert [turn.text for turn in batch.before(batch.turns[0], 2)] == ["a two", "a 3"]
    right(memory)


def test_other_homes_of_the_same_user_are_left_alone(memory: Memory, topics: Topics) -> None:
    memory.add("a one", user_id="ana")
    memory.add("a two", user_id="ana", agent_id="a1", run_id="r1")
    drain(engine_of(memory))
    kinds = [(row[1], row[2]) for row in derived(engine_of(memory), ANA) if row[0] == "topic"]
    assert kinds == [("a: a one", str(ANA)), ("a: a two", str(AGENT))]


def test_what_an_erasure_leaves_behind_is_derived_anew(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    echoes = Seeing()
    install(monkeypatch, Topics(), echoes)
    engine = engine_of(memory)
    ids = [memory.add(f"{number % 2} {number}", user_id="ana", run_id="r1")["results"][0]["id"] for number in range(12)]
    drain(engine)
    topics = {item["memory"][0]: item["id"] for item in memory.get_all(user_id="ana", kinds="topic")["results"]}
    echoes.batches.clear()
    receipt = memory.erase([ids[1], ids[3]], user_id="ana")
    assert topics["1"] in receipt["derived"]
    drain(engine)
    right(memory)
    gone = [(batch.scope, set(batch.gone)) for batch in echoes.batches if batch.gone]
    assert gone == [(ANA, {ids[1], ids[3], *receipt["derived"]})]
    # What the lost topic rested on besides, and turns that may have been read with an erased one as context.
    again = {turn.id for batch in echoes.batches for turn in batch.turns}
    assert again == {ids[place] for place in (5, 7, 9, 11, 2, 4, 6)}


def test_handlers_are_told_what_users_did_to_derived_records(memory: Memory, topics: Topics) -> None:
    memory.add("a one", user_id="ana")
    drain(engine_of(memory))
    echo = memory.get_all(user_id="ana", kinds="echo")["results"][0]["id"]
    memory.delete(echo, user_id="ana")
    drain(engine_of(memory))
    assert (topics.batches[-1].changed, topics.batches[-1].gone, topics.batches[-1].turns) == ([echo], [], ())


def test_an_erasure_leaves_no_ids_in_jobs(on_disk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = on_disk()
    fails = Fails(None)
    install(monkeypatch, Topics(), Echoes(), fails)
    ids = [memory.add(f"a number {number}", user_id="ana")["results"][0]["id"] for number in range(3)]
    memory.update(ids[1], "a number one", user_id="ana")
    receipt = memory.erase([ids[1]], user_id="ana")
    assert memory.verify_erasure(receipt, ["a number one", "a number 1"])["clean"]
    fails.words = "no"
    drain(engine_of(memory))
    kinds = [row["kind"] for row in jobs(engine_of(memory), ANA)]
    assert len(kinds) > 1
    assert set(kinds) == {"enrich:fails"}
    assert memory.verify_erasure(receipt, ["a number one", "a number 1"])["clean"]
    assert not any(ids[1] in str(job.payload) for job in engine_of(memory).read([Jobs()], ANA)[0])
    right(memory)


def test_erasing_everything_takes_the_jobs_along(memory: Memory, topics: Topics) -> None:
    memory.add("a one", user_id="ana")
    memory.erase(user_id="ana")
    assert job_counts(engine_of(memory), ANA)["waiting"] == 0


def test_drain_ends_in_time_and_says_what_is_left(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = make()
    now = [0.0]

    class Slow(Topics):
        def derive(self, batch: Any) -> Any:
            now[0] += 0.05
            return super().derive(batch)

    monkeypatch.setattr(working, "time", SimpleNamespace(monotonic=lambda: now[0]))
    install(monkeypatch, Slow())
    for number in range(20):
        memory.add(f"a {number}", user_id=f"u{number}")
    engine = engine_of(memory)
    report = drain(engine, limit=3)
    assert (report["done"], report["left"]) == (3, True)
    report = drain(engine, seconds=0.12)
    assert (report["done"], report["left"]) == (3, True)
    report = drain(engine, Scope(user_id="u19"))
    assert (report["done"], report["left"]) == (1, False)
    assert drain(engine)["done"] == 13


def test_drain_finds_one_user_behind_many(on_disk: Make, topics: Topics) -> None:
    memory = on_disk()
    engine = engine_of(memory)
    puts = [Enqueue("enrich", scope=Scope(app_id="x", user_id=f"u{number}")) for number in range(150)]
    engine.write(puts, Scope(app_id="x"))
    memory.add("a one", user_id="ana")
    assert drain(engine, ANA)["done"] == 1
    right(memory)


def test_five_thousand_jobs_are_no_burden(on_disk: Make, topics: Topics) -> None:
    memory = on_disk()
    engine = engine_of(memory)
    for start in range(0, 5000, 500):
        each = [Enqueue("enrich", scope=Scope(app_id="x", user_id=f"u{start + n}")) for n in range(500)]
        engine.write(each, Scope(app_id="x"))
    place = Scope(app_id="x", user_id="u0")
    best = min(timed(lambda: engine.store.due(100)) for _ in range(5))
    assert best < 1
    best = min(timed(lambda: engine.store.batch([Lease("w", limit=1)], scope=place)) for _ in range(5))
    assert best < 1
    best = min(timed(lambda: memory.add("a", user_id="ana")) for _ in range(5))
    assert best < 1


def timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def test_two_threads_do_everything_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = make(clock=utc_now)
    topics = Topics(pause=0.002)
    install(monkeypatch, topics, Echoes())
    engine = engine_of(memory)
    for number in range(60):
        memory.add(f"{'abc'[number % 3]} {number}", user_id="ana", run_id=f"r{number % 4}")
    shifts = [Shift(engine, most_jobs=4) for _ in range(2)]

    def run(shift: Shift) -> None:
        while shift.step() or shift.blocked:
            time.sleep(0.001)

    threads = [threading.Thread(target=run, args=(shift,)) for shift in shifts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(shift.tally.done for shift in shifts) == 60
    right(memory)
