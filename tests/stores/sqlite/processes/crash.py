"""Kill writers at random moments and compare what they had acknowledged with what the file holds.

`crash.py FOLDER ROUNDS SEED VARIANT` prints a JSON report. This process forks the writers, so that each costs only
milliseconds. Variants: `right` is the store as it is; `early` acknowledges a batch before it is written; `torn` writes
each operation in a batch of its own. The checker has to find fault with the last two.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import Draft, Vector
from remanence.substrates.records.operations import Erase, Find, Operation, Put, Revise
from tests.stores.sqlite.support import LATER

ANA = Scope(user_id="ana")
ROUNDS_PER_FILE = 20


def write(path: Path, seed: int, variant: str, channel: int) -> None:
    """Write batches until killed. Says `{"erasing": ids}` before an erasure and `{"mark", "ids", "erased"}` after each
    batch."""
    rng = random.Random(seed)
    store = SqliteStore(path)
    old = [record.id for record in store.batch([Find(LATER, limit=60)], scope=ANA).results[0]]
    revisable, erasable = old[::2], old[1::2]
    number = 0
    while True:
        number += 1
        mark, size = f"{seed}-{number}", rng.choice((1, 1, 3, 12))
        revised = rng.sample(revisable, 2) if len(revisable) > 2 and rng.random() < 0.4 else []
        meta = {"mark": mark, "of": size + len(revised)}
        operations: list[Operation] = [
            Put(
                Draft(
                    f"text of {mark} " + "x" * rng.choice((10, 300, 20_000)),
                    meta=meta,
                    terms=("text", f"t{rng.randrange(500)}"),
                    vector=Vector("m:8", bytes(8), 1.0),
                )
            )
            for _ in range(size)
        ]
        operations += [Revise(id, Draft(f"revised by {mark}", meta=meta)) for id in revised]
        erased: list[str] = []
        if len(erasable) > 3 and rng.random() < 0.15:
            erased = [erasable.pop(), erasable.pop()]
            operations = [Erase(tuple(erased))]
            tell(channel, {"erasing": erased})
        if variant == "early":
            tell(channel, {"mark": mark, "size": meta["of"], "erased": erased})
            time.sleep(0.003)
        if variant == "torn":
            results = [store.batch([operation], scope=ANA).results[0] for operation in operations]
        else:
            results = list(store.batch(operations, scope=ANA).results)
        if variant != "early":
            ids = [] if erased else [written.id for written in results]
            tell(channel, {"mark": mark, "size": len(ids), "ids": ids, "erased": erased})


def tell(channel: int, message: dict[str, Any]) -> None:
    """One line, in one piece: shorter than what a pipe takes at once."""
    os.write(channel, json.dumps(message).encode() + b"\n")


def run(path: Path, seed: int, variant: str, batches: int, delay: float) -> list[dict[str, Any]]:
    """Let a writer run for some batches and `delay` seconds more, kill it, and return what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            write(path, seed, variant, writing)
        finally:
            os._exit(70)
    os.close(writing)
    said = b""
    while said.count(b"mark") < batches and select.select([reading], [], [], 20)[0]:
        said += os.read(reading, 1 << 16)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"writer {seed} ended by itself: {status}"
    with os.fdopen(reading, "rb") as rest:
        return [json.loads(line) for line in (said + rest.read()).splitlines()]


class Checker:
    """What one file has to hold, learnt from the acknowledgements of all writers so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.there: set[str] = set()
        self.gone: set[str] = set()

    def faults(self, said: list[dict[str, Any]], prefix: str) -> list[str]:
        """What is wrong after a writer whose marks begin with `prefix` was killed."""
        store = SqliteStore(self.path)
        store.batch([Find(LATER, limit=1)], scope=ANA)
        faults = store.check()
        store.close()
        connection = sqlite3.connect(self.path)
        rows = connection.execute("SELECT id, meta FROM versions").fetchall()
        connection.close()
        held = {id for id, _ in rows}
        marks: dict[str, list[int]] = {}
        for _, meta in rows:
            fields = json.loads(meta)
            marks.setdefault(fields["mark"], []).append(fields["of"])
        for mark, sizes in marks.items():
            if mark.startswith(prefix) and len(sizes) != sizes[0]:
                faults.append(f"batch {mark} is there by halves: {len(sizes)} of {sizes[0]} versions")
        doubtful: set[str] = set()
        for line in said:
            doubtful |= set(line.get("erasing", ()))
            self.there |= set(line.get("ids", ()))
            self.gone |= set(line.get("erased", ()))
            if line.get("size") and line["mark"] not in marks and not line["erased"]:
                faults.append(f"batch {line['mark']} was acknowledged and is missing")
        doubtful -= self.gone
        if doubtful & held not in (set(), doubtful):
            faults.append(f"an erasure was done by halves: {doubtful & held} of {doubtful} are left")
        self.gone |= doubtful - held
        faults += [f"record {id} was acknowledged and is missing" for id in self.there - self.gone - held]
        return faults + [f"record {id} was erased and is back" for id in self.gone & held]


def main(folder: Path, rounds: int, seed: int, variant: str) -> None:
    """Run all rounds and print `{"rounds", "acknowledged", "unsaid", "faults"}`."""
    rng = random.Random(seed)
    acknowledged = 0
    faults: list[str] = []
    checker = Checker(folder / "none")
    for number in range(rounds):
        if number % ROUNDS_PER_FILE == 0:
            checker = Checker(folder / f"{number}.db")
        # The first writer of a file is killed early, most likely while it makes the file.
        batches = 0 if number % ROUNDS_PER_FILE == 0 else rng.randrange(7)
        prefix = f"{seed}{number:05}"
        said = run(checker.path, int(prefix), variant, batches, rng.uniform(0, 0.02))
        acknowledged += sum("mark" in line for line in said)
        faults += [f"round {number}: {fault}" for fault in checker.faults(said, f"{prefix}-")]
    print(json.dumps({"rounds": rounds, "acknowledged": acknowledged, "faults": faults}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
