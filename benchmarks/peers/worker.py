"""`python -m benchmarks.peers.worker SYSTEM FOLDER TASK JSON`: one measurement of one system, in a process of its own.

Prints JSON lines; the last one is the result. Runs inside the system's own environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.systems import SYSTEMS, CannotError, System
from remanence.bench import speed_data
from remanence.bench.datasets import Document, Question, load
from remanence.bench.metrics import latency, recall_at
from remanence.bench.runner import OVERALL

USER = "ana"
K = 10
FLOOR_BYTES = 512
FIRST = 10
"""Turns that a store holds before several processes use it."""
MARKERS = [f"zorvex{number:02d}quill" for number in range(10)]

Task = Callable[[str, Path, Mapping[str, Any]], dict[str, Any]]


def opened(name: str, folder: Path, *, strong: bool = False) -> System:
    """The system over its files in `folder`, made if need be."""
    system: System = SYSTEMS[name](folder, strong=strong)
    return system


def say(data: Any) -> None:
    """One JSON line to whoever started this process, at once."""
    print(json.dumps(data), flush=True)


def timed(call: Callable[[Any], Any], arguments: Sequence[Any]) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for argument in arguments:
        began = time.perf_counter()
        call(argument)
        seconds.append(time.perf_counter() - began)
    return seconds


def describe(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Versions of what is installed here."""
    del name, folder, asked
    listed = {one.name: one.version for one in metadata.distributions()}
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        overwrites = bool(database.execute("PRAGMA secure_delete").fetchone()[0])
    return {
        "python": sys.version.split()[0],
        "sqlite": sqlite3.sqlite_version,
        "sqlite_overwrites_deleted": overwrites,
        "packages": dict(sorted(listed.items())),
    }


def speed(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Many turns, then questions, then single turns."""
    count, seed = asked["records"], asked["seed"]
    turns = list(speed_data.turns(count, seed=seed))
    system = opened(name, folder)
    began = time.perf_counter()
    system.add_many(turns, USER)
    loaded = time.perf_counter()
    system.prepare()
    prepared = time.perf_counter()
    queries = speed_data.queries(asked["queries"] + 1, among=count, seed=seed)
    if len(system.search(queries[-1].text, USER, K)) != min(K, count):
        raise RuntimeError(f"the search after loading found fewer than {K} turns; its times would mean nothing")
    searches = timed(lambda query: system.search(query.text, USER, K), queries[:-1])
    more = list(speed_data.turns(asked["adds"], seed=seed, start=count))
    adds, floor = [], []
    with (folder.parent / f"{folder.name}-fsync").open("ab", buffering=0) as plain:
        for turn in more:
            adds += timed(lambda turn: system.add(turn, USER), [turn])
            plain.write(bytes(FLOOR_BYTES))
            floor += timed(os.fsync, [plain.fileno()])
    stored = len(system.keys(USER))
    system.close()
    if stored != count + len(more):
        raise RuntimeError(f"{count + len(more)} turns were added and {stored} are there")
    return {
        "bulk_per_second": count / (loaded - began),
        "prepare_seconds": prepared - loaded,
        "search": asdict(latency(searches)),
        "add": asdict(latency(adds)),
        "fsync": asdict(latency(floor)),
        "disk_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }


def fresh(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A process that opens the store that `speed` left and asks: first answer, and the most memory it ever held."""
    queries = speed_data.queries(21, among=asked["records"], seed=asked["seed"])
    began = time.perf_counter()
    system = opened(name, folder)
    system.search(queries[0].text, USER, K)
    answered = time.perf_counter() - began
    for query in queries[1:]:
        system.search(query.text, USER, K)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    system.close()
    return {"first_answer_ms": answered * 1000, "peak_rss_bytes": peak * 1024}


def quality(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence recall on LoCoMo, one user per conversation, all in one store."""
    dataset = load("locomo", asked["data"])
    system = opened(name, folder)
    began = time.perf_counter()
    for corpus in dataset.corpora:
        system.add_many(corpus.documents, corpus.id)
    loaded = time.perf_counter()
    system.prepare()
    system.settle()
    settled = time.perf_counter()
    questions = [question for question in dataset.questions if question.answerable and question.gold]
    if asked["questions"]:
        questions = questions[: asked["questions"]]
    found: dict[str, list[str]] = {}

    def ask(question: Question) -> None:
        found[question.id] = system.search(question.text, question.corpus, K)

    ask(questions[0])
    seconds = timed(ask, questions)
    system.close()
    recalls = [recall_at(found[question.id], question.gold, K) for question in questions]
    return {
        "data": dataset.fingerprint(),
        "category": OVERALL,
        "turns": sum(len(corpus.documents) for corpus in dataset.corpora),
        "questions": len(questions),
        "recall@10": sum(recalls) / len(recalls),
        "bulk_seconds": loaded - began,
        "settle_seconds": settled - loaded,
        "search": asdict(latency(seconds)),
    }


def setup(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A small store that is ready to be searched, with marked turns in it if asked."""
    turns = list(speed_data.turns(FIRST, seed=asked["seed"]))
    marked = [Document(f"m{at}", f"My locker word is {word}", speaker="Ana") for at, word in enumerate(MARKERS)]
    system = opened(name, folder)
    system.add_many(turns, USER)
    if asked.get("marked"):
        system.add_many([*speed_data.turns(290, seed=asked["seed"], start=FIRST), *marked], USER)
    system.prepare()
    system.close()
    return {"stored": len(turns)}


def adder(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Add turn after turn once told to go, saying of each that it was acknowledged or what was raised."""
    turns = list(speed_data.turns(asked["adds"], seed=asked["seed"], start=asked["start"]))
    system = opened(name, folder)
    say({"ready": True})
    sys.stdin.readline()
    limit = time.perf_counter() + asked["seconds"]
    for turn in turns:
        if time.perf_counter() > limit:
            break
        try:
            system.add(turn, USER)
        except Exception as error:
            say({"failed": turn.id, "error": f"{type(error).__name__}: {error}"})
        else:
            say({"acknowledged": turn.id})
    system.close()
    return {"done": True}


def few(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Add some turns, and do nothing else; for counting what an add asks of the system."""
    system = opened(name, folder)
    for turn in speed_data.turns(asked["adds"], seed=asked["seed"], start=asked["start"]):
        system.add(turn, USER)
    system.close()
    return {"done": True}


def one_by_one(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Add one turn for each line that comes in."""
    turns = speed_data.turns(asked["adds"], seed=asked["seed"], start=asked["start"])
    system = opened(name, folder)
    say({"ready": True})
    for turn, _ in zip(turns, sys.stdin, strict=False):
        system.add(turn, USER)
        say({"acknowledged": turn.id, "text": turn.text})
    return {"done": True}


def reader(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """For each `{"acknowledged", "text"}` that comes in: do its own words find that turn, and is it listed?"""
    system = opened(name, folder, strong=asked["strong"])
    system.search("what did they say", USER, K)
    say({"ready": True})
    for line in sys.stdin:
        turn = json.loads(line)
        found = turn["acknowledged"] in system.search(turn["text"], USER, K)
        say({"found": found, "listed": turn["acknowledged"] in system.keys(USER)})
    return {"done": True}


def lister(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """All keys that a fresh process finds, and whether a search still finds the last acknowledged turn."""
    system = opened(name, folder)
    keys = sorted(system.keys(USER))
    last, searched = asked.get("last"), None
    if last is not None:
        text = next(speed_data.turns(1, seed=asked["seed"], start=int(last[1:]))).text
        searched = last in system.search(text, USER, K)
    system.close()
    return {"keys": keys, "searched": searched}


def delete(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Delete the marked turns, or purge them."""
    keys = [f"m{at}" for at in range(len(MARKERS))]
    system = opened(name, folder)
    if asked["purge"]:
        system.purge(keys, USER)
        return {"done": True}
    system.delete(keys, USER)
    left = set(keys) & system.keys(USER)
    system.close()
    if left:
        raise RuntimeError(f"{len(left)} deleted turns are still listed")
    return {"done": True}


def versions(name: str, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """How many of the marked texts the system itself still shows in older versions."""
    del asked
    return {"kept": opened(name, folder).kept(MARKERS)}


TASKS: Mapping[str, Task] = {
    task.__name__: task
    for task in (describe, speed, fresh, quality, setup, adder, few, one_by_one, reader, lister, delete, versions)
}


def reasons(error: BaseException) -> Iterator[str]:
    """What was raised, and what that came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield f"{type(seen).__name__}: {seen}"
        seen = seen.__cause__


def main(arguments: Sequence[str]) -> int:
    """Run one task; what it raises is its result."""
    name, folder, task, asked = arguments
    try:
        say({"result": TASKS[task](name, Path(folder), json.loads(asked))})
    except CannotError as error:
        say({"cannot": str(error)})
    except Exception as error:
        say({"error": " ← ".join(reasons(error))})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
