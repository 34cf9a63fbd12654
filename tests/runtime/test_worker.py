"""Who does the jobs: a thread behind a memory, or processes of their own; and what they survive."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import StoreBusy
from remanence.core.scope import Scope
from remanence.runtime import worker
from remanence.runtime.memory import Memory
from remanence.runtime.outbox import jobs
from remanence.runtime.rederiving import rebuild_derived
from remanence.runtime.worker import Background, work
from remanence.runtime.working import Shift, drain
from remanence.substrates.records.operations import Jobs
from tests.runtime.handlers import (
    ANA,
    Echoes,
    Fails,
    Stamps,
    Topics,
    derived,
    engine_of,
    expected,
    install,
    right,
    turns_of,
)
from tests.support.waiting import eventually

BO = Scope(user_id="bo")
ROOT = Path(__file__).parents[2]
PROCESSES = Path(__file__).with_name("processes")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

Open = Callable[..., Memory]


@pytest.fixture
def open_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens memories with a thread, over one file."""
    monkeypatch.delenv(worker.VARIABLE)
    made: list[Memory] = []

    def new(path: object = None, **options: Any) -> Memory:
        made.append(Memory(str(path or tmp_path / "one.db"), embedder="hash", **options))
        return made[-1]

    yield new
    for memory in made:
        memory.close()


def thread_of(memory: Memory) -> Background:
    found = engine_of(memory).worker
    assert found is not None
    return found


def no_jobs(memory: Memory, scope: Scope = ANA) -> bool:
    # Not by a verb: whoever calls one keeps the thread waiting.
    (left,) = memory.store.batch([Jobs()], scope=scope).results
    return not left


# The thread


def test_what_is_added_is_worked_out_without_being_asked_for(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    memory = open_()
    memory.add("cats purr", user_id="ana")
    memory.add(["cats meow", "dogs bark"], user_id="ana", run_id="r1")
    # It counts what it did a moment after it is done.
    eventually(lambda: thread_of(memory).status()["done"] >= 2)
    assert no_jobs(memory)
    right(memory)
    status = thread_of(memory).status()
    assert (status["running"], status["done"], status["last_error"]) == (True, 2, "")


def test_nothing_runs_before_something_is_written(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics())
    memory = open_()
    memory.search("cats", user_id="ana")
    assert thread_of(memory).status()["running"] is False
    memory.add("cats purr", user_id="ana")
    assert thread_of(memory).status()["running"] is True
    memory.close()
    assert thread_of(memory).status()["running"] is False
    assert not [thread for thread in threading.enumerate() if thread.name == "remanence-worker"]


def test_it_can_be_switched_off(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_of(open_(background=False)).worker is None
    assert engine_of(open_(enrich=False)).worker is None
    monkeypatch.setenv(worker.VARIABLE, "0")
    assert engine_of(open_()).worker is None


def test_it_keeps_out_of_the_way_but_not_for_ever(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics()
    install(monkeypatch, topics, Echoes())
    # Long enough for a machine that is busy with something else.
    monkeypatch.setattr(worker, "QUIET", 0.5)
    monkeypatch.setattr(worker, "PATIENCE", 1.0)
    memory = open_()
    started = time.monotonic()
    memory.add("cats purr", user_id="ana")
    while not topics.batches and time.monotonic() - started < 60:
        memory.get_all(user_id="ana")
        time.sleep(0.002)
    assert 0.4 < time.monotonic() - started < 59
    eventually(lambda: no_jobs(memory))
    # From before the call on, which may take long itself.
    started = time.monotonic()
    memory.add("cats meow", user_id="ana")
    eventually(lambda: len(topics.batches) == 2)
    assert time.monotonic() - started > 0.2


@pytest.mark.parametrize(("computed", "patience"), [(0.0, 2.0), (0.1, 2.0), (0.5, 4.5)])
def test_of_a_processor_that_others_wait_for_it_takes_a_tenth(
    open_: Open, monkeypatch: pytest.MonkeyPatch, computed: float, patience: float
) -> None:
    thread = thread_of(open_())
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        thread.foreground()

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    thread.foreground()
    thread._took = computed
    assert thread._quiet()
    monkeypatch.undo()
    assert now[0] - 100.0 == pytest.approx(patience, abs=0.06)


def test_flush_waits_for_what_the_thread_is_at(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(pause=0.2)
    install(monkeypatch, topics, Echoes())
    memory = open_()
    memory.add("cats purr", user_id="ana")
    eventually(lambda: bool(topics.batches))
    memory.flush()
    right(memory)
    assert no_jobs(memory)


def test_what_goes_wrong_can_be_seen(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes(), Fails("out of tune"))
    memory = open_()
    memory.add("cats purr", user_id="ana")
    eventually(lambda: thread_of(memory).status()["last_error"] == "fails: ValueError: out of tune")
    right(memory)
    assert [row["kind"] for row in jobs(engine_of(memory), ANA)] == ["enrich:fails"]


def test_it_outlives_trouble_with_the_store(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    monkeypatch.setattr(worker, "_LONGEST_PAUSE", 0.05)
    trouble = [True, True, True]
    step = Shift.step

    def sometimes(self: Shift, *args: Any, **options: Any) -> bool:
        if trouble:
            trouble.pop()
            raise StoreBusy("busy")
        return step(self, *args, **options)

    monkeypatch.setattr(Shift, "step", sometimes)
    memory = open_()
    memory.add("cats purr", user_id="ana")
    eventually(lambda: not trouble and no_jobs(memory))
    assert thread_of(memory).status()["last_error"] == "StoreBusy: busy"
    right(memory)


def test_a_memory_that_is_forgotten_takes_its_thread_along(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Fails(None))
    memory = Memory(":memory:", embedder="hash")
    memory.add("cats purr", user_id="ana")
    while not no_jobs(memory):
        time.sleep(0.01)
    gone = weakref.ref(engine_of(memory))
    del memory
    # The thread may hold it at the very moment of one collection.
    eventually(lambda: gc.collect() >= 0 and gone() is None)
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "remanence-worker"])


def test_close_does_not_wait_for_all_that_is_left(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(pause=0.03)
    install(monkeypatch, topics, Echoes())
    memory = open_()
    for number in range(40):
        memory.add(f"a {number}", user_id="ana", run_id=f"r{number}")
    eventually(lambda: bool(topics.batches))
    started = time.monotonic()
    memory.close()
    assert time.monotonic() - started < 20
    again = open_(background=False)
    drain(engine_of(again))
    right(again)


@pytest.mark.parametrize("how", ["return", "raise", "close", pytest.param("fork", marks=needs_fork)])
def test_a_program_ends_although_there_is_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = tmp_path / "one.db"
    started = time.monotonic()
    with start("leave.py", path, how, switched_on=True) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (7 if how == "raise" else 0, "")
    assert out.strip() == ("" if how == "raise" else "end")
    assert time.monotonic() - started < 30
    install(monkeypatch, Topics(), Echoes())
    memory = Memory(path, embedder="hash", background=False)
    drain(engine_of(memory))
    right(memory)
    assert len(turns_of(engine_of(memory), ANA)) == (41 if how == "fork" else 40)
    memory.close()


# Processes


def start(script: str, *arguments: object, switched_on: bool = False) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    if switched_on:
        del environment[worker.VARIABLE]
    return subprocess.Popen(
        [sys.executable, str(PROCESSES / script), *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def busy(path: Path, count: int, seed: int) -> None:
    """Add, change and delete, in several runs and homes."""
    rng = random.Random(seed)
    memory = Memory(path, embedder="hash", background=False)
    ids: list[str] = []
    for number in range(count):
        size = rng.choice((1, 1, 2, 5))
        ids += [
            row["id"]
            for row in memory.add(
                [f"{rng.choice('abc')} {number}-{part}" for part in range(size)],
                user_id="ana",
                run_id=rng.choice((None, "r1", "r2")),
                agent_id=rng.choice((None, "a1")),
            )["results"]
        ]
        if ids and rng.random() < 0.2:
            memory.update(ids.pop(rng.randrange(len(ids))), f"{rng.choice('abc')} new", user_id="ana")
        if ids and rng.random() < 0.2:
            memory.delete(ids.pop(rng.randrange(len(ids))), user_id="ana")
    memory.close()


def go(process: subprocess.Popen[str]) -> None:
    """Let a worker begin once it is ready."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def test_workers_may_be_killed_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.db"
    busy(path, 15, seed=5)
    rng = random.Random(11)
    kills = 0
    memory = Memory(path, embedder="hash", background=False)
    for number in range(60):
        memory.add([f"b {number}"] * 2, user_id="bo", run_id=f"r{number % 3}")
    # The next ones start up while the first one works, so that each is killed at work.
    ready = [start("serve.py", path, 0.03, 0.1) for _ in range(2)]
    while (kills < 6 or not derived(engine_of(memory), BO)) and not (no_jobs(memory) and no_jobs(memory, BO)):
        at_work = ready.pop(0)
        go(at_work)
        ready.append(start("serve.py", path, 0.03, 0.1))
        # However busy the machine, each has done something, and is at something else when it is killed.
        assert at_work.stdout is not None
        assert at_work.stdout.readline() == "step\n"
        time.sleep(rng.uniform(0.0, 0.3))
        at_work.send_signal(signal.SIGKILL)
        at_work.communicate()
        kills += 1
    for process in ready:
        process.kill()
        process.communicate()
    assert derived(engine_of(memory), BO), "they did not get to work"
    time.sleep(0.2)
    install(monkeypatch, Topics(), Echoes(), Stamps())
    drain(engine_of(memory))
    right(memory)
    assert no_jobs(memory)
    assert kills >= 3
    stamps = Counter(row[4] for row in derived(engine_of(memory), BO) if row[0] == "stamp")
    assert stamps == Counter((text,) for text, _ in turns_of(engine_of(memory), BO)), "an effect is missing, or double"
    assert memory.store.check() == []  # type: ignore[attr-defined]
    histories = [
        memory.history(item["id"], user_id="ana") for item in memory.get_all(user_id="ana", kinds="echo")["results"]
    ]
    assert all(len(rows) <= 2 for rows in histories), "an echo is put once, and revised only with its turn"
    memory.close()


def test_two_workers_share_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.db"
    busy(path, 50, seed=6)
    memory = Memory(path, embedder="hash", background=False)
    count = len(engine_of(memory).read([Jobs(limit=10_000)], ANA)[0])
    pair = [start("serve.py", path, 0.002, 5.0, 2.5) for _ in range(2)]
    for process in pair:
        go(process)
    busy(path, 30, seed=7)
    reports = []
    for process in pair:
        out, err = process.communicate(timeout=60)
        assert err == ""
        reports.append(json.loads(out.splitlines()[-1]))
    # On a busy machine they may not have got through.
    install(monkeypatch, Topics(), Echoes())
    rest = drain(engine_of(memory))["done"]
    assert sum(report["done"] for report in reports) + rest >= count + 30
    assert any(report["done"] for report in reports)
    assert [report["errors"] for report in reports] == [[], []]
    assert no_jobs(memory)
    right(memory)
    memory.close()


def test_work_ends_when_told_and_when_nothing_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    memory = Memory(tmp_path / "one.db", embedder="hash", background=False)
    memory.add("cats purr", user_id="ana")
    assert work(engine_of(memory), once=True)["done"] == 1
    started = time.monotonic()
    assert work(engine_of(memory), seconds=0.2, poll=0.01)["done"] == 0
    assert 0.15 < time.monotonic() - started < 20
    stop = threading.Event()
    report: list[Any] = []
    thread = threading.Thread(target=lambda: report.append(work(engine_of(memory), poll=0.01, stop=stop)))
    thread.start()
    memory.add("cats meow", user_id="ana")
    eventually(lambda: no_jobs(memory))
    stop.set()
    thread.join(60)
    assert report[0]["done"] == 1
    right(memory)
    memory.close()


def test_work_goes_on_when_the_store_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    memory = Memory(tmp_path / "one.db", embedder="hash", background=False)
    memory.add("cats purr", user_id="ana")
    trouble = [True, True]
    step = Shift.step

    def sometimes(self: Shift, *args: Any, **options: Any) -> bool:
        if trouble:
            trouble.pop()
            raise StoreBusy("busy")
        return step(self, *args, **options)

    monkeypatch.setattr(Shift, "step", sometimes)
    with pytest.raises(StoreBusy):
        work(engine_of(memory), once=True)
    said: list[str] = []
    stop = threading.Event()
    report: list[Any] = []

    def until_stopped() -> None:
        report.append(work(engine_of(memory), poll=0.01, stop=stop, tell=said.append))

    thread = threading.Thread(target=until_stopped)
    thread.start()
    eventually(lambda: no_jobs(memory))
    stop.set()
    thread.join(60)
    assert report[0]["done"] == 1
    assert said == ["busy"]
    memory.close()


# Deriving anew


def test_everything_derived_can_be_dropped_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.db"
    busy(path, 40, seed=8)
    install(monkeypatch, Topics(), Echoes())
    memory = Memory(path, embedder="hash", background=False)
    engine = engine_of(memory)
    drain(engine)
    before = derived(engine, ANA)
    seen: list[tuple[int, int | None]] = []
    count = rebuild_derived(engine, ANA, lambda done, total: seen.append((done, total)))
    assert derived(engine, ANA) == before == expected(turns_of(engine, ANA))
    assert no_jobs(memory)
    assert seen[-1] == (min(count, seen[-1][0]), count)
    items = memory.get_all(user_id="ana", kinds="echo")["results"]
    assert all(len(memory.history(item["id"], user_id="ana")) == 1 for item in items[:5])
    memory.close()


def test_what_a_user_did_outlives_deriving_anew(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    engine = engine_of(memory)
    memory.add(["cats purr", "dogs bark"], user_id="ana")
    drain(engine)
    topics = {item["memory"]: item["id"] for item in memory.get_all(user_id="ana", kinds="topic")["results"]}
    echoes = {item["memory"]: item["id"] for item in memory.get_all(user_id="ana", kinds="echo")["results"]}
    memory.delete(topics["cats: cats purr"], user_id="ana")
    memory.update(echoes["DOGS BARK"], "Dogs do bark", user_id="ana")
    drain(engine)
    rebuild_derived(engine, ANA)
    deleted = memory.history(topics["cats: cats purr"], user_id="ana")
    assert deleted[-1]["event"] == "DELETE"
    kept = memory.get(echoes["DOGS BARK"], user_id="ana")
    assert kept is not None
    assert kept["memory"] == "Dogs do bark"


def test_deriving_anew_while_others_write_and_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.db"
    busy(path, 20, seed=9)
    install(monkeypatch, Topics(), Echoes())
    memory, other = (Memory(path, embedder="hash", background=False) for _ in range(2))
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            other.add(f"{'abc'[number % 3]} w{number}", user_id="ana", run_id="r1")
            time.sleep(0.005)

    def serve() -> None:
        shift = Shift(engine_of(other))
        while not over.is_set():
            shift.step()
            time.sleep(0.002)

    threads = [threading.Thread(target=write), threading.Thread(target=serve)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        rebuild_derived(engine_of(memory), ANA)
    over.set()
    for thread in threads:
        thread.join()
    drain(engine_of(memory))
    right(memory)
    assert no_jobs(memory)
    for one in (memory, other):
        one.close()
