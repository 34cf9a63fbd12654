"""Workers that share an outbox.

`work.py share PATH NAME` says that it is ready, waits for a line, leases jobs until none is left and prints which ones;
each job's effect is one record, written with its settlement. It says as well when it holds its first ones, and goes on
after another line. `work.py die PATH NAME LEASE` prints a line after its
first lease and then waits to be killed, its effects not yet written; `work.py die PATH NAME EFFECT` is killed in the
middle of the batch that would write them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from remanence.stores.sqlite import SqliteStore, jobs
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Job, Lease, Operation, Put, Settle


def effects(job: Job, worker: str) -> list[Operation]:
    """What a job does, and its end."""
    return [Put(Draft(f"effect of {job.payload['n']}", scope=job.scope)), Settle(job.id, worker)]


def share(path: Path, name: str) -> None:
    """Work until nothing is left."""
    store = SqliteStore(path, durable=False)
    store.position()
    print("ready", flush=True)
    sys.stdin.readline()
    done: list[int] = []
    while scopes := store.due():
        for scope in scopes:
            leased = store.batch([Lease(name, None, 2)], scope=scope).results[0]
            if leased and not done:
                print("holding", flush=True)
                sys.stdin.readline()
            for job in leased:
                store.batch(effects(job, name), scope=scope)
                done.append(job.payload["n"])
    print(json.dumps(done))


def die(path: Path, name: str, where: str) -> None:
    """Take one job and come to nothing."""
    store = SqliteStore(path)
    (scope, *_) = store.due()
    (job,) = store.batch([Lease(name, None, 1, 1.0)], scope=scope).results[0]
    if where == "EFFECT":
        # Everything is written and nothing committed.
        jobs.finish = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        store.batch(effects(job, name), scope=scope)
    print(json.dumps(job.id), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    if sys.argv[1] == "share":
        share(Path(sys.argv[2]), sys.argv[3])
    else:
        die(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
