"""The outbox in a file: across processes and their deaths, in large queues, and after erasures."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from remanence.core.clock import SteppingClock, to_micros
from remanence.core.errors import Conflict
from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore, jobs
from remanence.stores.sqlite.verify import verify_erasure
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Discard, Enqueue, Erase, Jobs, Lease, Put, Requeue, Settle
from tests.stores.sqlite.processes.work import effects
from tests.stores.sqlite.support import ANA, BOB, LATER, START, add, ask, everything, finish, fresh, start

SECRET = "the vault opens with tulips and thunder"
JOBS = 400
needs_kill = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def run(number: int) -> Scope:
    return Scope(user_id="ana", run_id=f"run {number}")


def tell(process: subprocess.Popen[str]) -> None:
    """Let a process go on that waits for a line."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_share_the_work_and_do_each_job_once(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = SqliteStore(path, durable=False)
    store.batch([Enqueue("enrich", {"n": number}, scope=run(number % 7)) for number in range(JOBS)], scope=ANA)
    processes = [start("work.py", "share", path, name, stdin=subprocess.PIPE) for name in "abc"]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        tell(process)
    # However busy the machine, each of them gets some.
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
    for process in processes:
        tell(process)
    done = [finish(process) for process in processes]
    assert sorted(number for numbers in done for number in numbers) == list(range(JOBS))
    assert all(done), "one process did nothing"
    texts = Counter(record.text for record in everything(store))
    assert texts == Counter(f"effect of {number}" for number in range(JOBS))
    assert ask(store, Jobs(limit=0)) == {}
    assert store.check() == []


@needs_kill
@pytest.mark.parametrize("where", ["LEASE", "EFFECT"])
def test_the_job_of_a_killed_worker_comes_back_and_takes_effect_once(tmp_path: Path, where: str) -> None:
    path = tmp_path / "r.db"
    store = SqliteStore(path)
    id = ask(store, Enqueue("enrich", {"n": 1}))
    process = start("work.py", "die", path, "first", where)
    assert process.stdout is not None
    with process.stdout as said:
        if where == "LEASE":
            assert said.readline().strip() == f'"{id}"'
            process.kill()
        assert process.wait(60) == -signal.SIGKILL
    (job,) = ask(store, Jobs())
    assert (job.state, job.worker, job.attempts) == ("leased", "first", 1)
    assert everything(store) == ()
    assert job.leased_until is not None
    deadline = time.monotonic() + 60
    while not (leased := ask(store, Lease("second"))):
        assert time.monotonic() < deadline, "the job never came back"
        time.sleep(0.02)
    (again,) = leased
    assert (again.id, again.worker, again.attempts) == (id, "second", 2)
    store.batch(effects(again, "second"), scope=ANA)
    for late in ("first", "second"):
        with pytest.raises(Conflict):
            store.batch(effects(again, late), scope=ANA)
    assert [record.text for record in everything(store)] == ["effect of 1"]
    assert ask(store, Jobs()) == ()
    assert store.check() == []


def test_many_queues_are_named_in_the_same_order_either_way(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    moments = [5, 3, 3, 8, 1, 3, 30, 3, 9, 1]
    for number, seconds in enumerate(moments):
        due = START.replace(second=seconds)
        ask(store, Enqueue("enrich", due=due, scope=run(number)))
        ask(store, Enqueue("enrich", due=due.replace(second=31), scope=run(number)))
    by_age = sorted(range(len(moments)), key=lambda number: moments[number])
    with closing(sqlite3.connect(path)) as raw:
        for limit in range(12):
            for many in (0, 3, 100):
                for second, among in ((20, by_age[:-1]), (40, by_age)):
                    found = jobs.due(raw, to_micros(START.replace(second=second)), limit, many=many)
                    assert found == [run(number) for number in among][:limit], (limit, many, second)
                    assert jobs.due(raw, to_micros(START.replace(second=second)), limit, ["x"], many=many) == []


def test_what_is_asked_all_the_time_goes_through_the_index(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    store.batch([Enqueue("enrich", key=str(number)) for number in range(300)], scope=ANA)
    steps: list[str] = []
    with store._connections.lend() as connection:
        connection.set_trace_callback(steps.append)
    (job,) = ask(store, Lease("w", ("enrich",)))
    ask(store, Settle(job.id, "w"))
    ask(store, Enqueue("enrich", key="7"))
    store.due()
    ask(store, Jobs(("leased", "dead")))
    ask(store, Requeue())
    with store._connections.lend() as connection:
        connection.set_trace_callback(None)
        asked = [step for step in steps if "jobs" in step]
        assert len(asked) >= 6, "the statements were not traced"
        for step in asked:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {step}")]
            assert not any(line.startswith("SCAN jobs") for line in plan), (step, plan)
            assert not (step.endswith("LIMIT 1") and any("TEMP B-TREE" in line for line in plan)), (step, plan)


def test_nothing_about_what_was_erased_is_left_in_the_outbox(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    inner = run(1)
    (gone,) = add(store, SECRET, scope=inner)
    (kept,) = add(store, "harmless", scope=inner)
    payload = {"ids": [gone, kept], "deep": {gone: 1}}
    told = store.batch([Enqueue("a", payload, f"about {gone}", scope=inner), Enqueue("b", scope=run(2))], scope=ANA)
    for job in ask(store, Lease("w", None, 9)):
        ask(store, Settle(job.id, "w", "retry", f"cannot parse {SECRET!r}"))
    (job,) = ask(store, Lease("w", ("a",)))
    receipt = ask(store, Erase((gone,), "she asked"), inner)
    assert verify_erasure(path, receipt, [SECRET]).clean
    assert [(job.id, job.error) for job in ask(store, Jobs())] == [(id, "") for id in told.results]
    assert ask(store, Jobs())[0].payload == {"ids": [kept], "deep": {}}
    assert store.check() == []
    store.batch([Put(Draft("effect", scope=inner)), Settle(job.id, "w")], scope=ANA)
    assert len(everything(store)) == 2


def test_scopes_that_only_settled_jobs_named_are_forgotten_with_the_next_erasure(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    telling = Scope(user_id="a telling name of somebody")
    store.batch([Enqueue("x"), Enqueue("y")], scope=telling)
    (job,) = ask(store, Lease("w", ("x",)), telling)
    ask(store, Settle(job.id, "w"), telling)
    (gone,) = add(store, SECRET)
    ask(store, Erase((gone,)))
    assert [job.kind for job in ask(store, Jobs(), telling)] == ["y"], "a scope whose jobs wait was forgotten"
    assert store.due() == [telling]
    assert store.check() == []
    ask(store, Discard((ask(store, Jobs(), telling)[0].id,)), telling)
    receipt = ask(store, Erase((add(store, "z")[0],)))
    assert verify_erasure(path, receipt, [telling.user_id or ""]).clean
    assert ask(store, Enqueue("x"), telling)
    assert store.due() == [telling]


def test_other_processes_go_on_from_where_work_without_changes_left_off(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    ahead = fresh(path, clock=SteppingClock(LATER.now), random_bits=lambda bits: (1 << bits) - 2)
    behind = fresh(path, random_bits=lambda bits: 0)
    ids = []
    for _ in range(3):
        for store in (ahead, behind):
            ids.append(ask(store, Enqueue("x"), BOB))
            assert ask(store, Lease("w"), BOB)
    ids += add(behind, "record")
    assert ids == sorted(set(ids))
    assert [job.created_at >= LATER.now for job in ask(behind, Jobs(), BOB)] == [True] * 6
    assert everything(behind)[0].recorded_at >= LATER.now
    assert behind.position() == 1
    # The job's id is drawn after the journal entries of its change were written.
    last = ahead.batch([Put(Draft("x")), Jobs(), Enqueue("x")], scope=ANA).results[2]
    assert add(behind, "y")[0] > last
    assert behind.check() == []
