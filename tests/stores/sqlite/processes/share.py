"""Two threads of one process that write to and read from a file which other processes use at the same time.

`share.py PATH NAME BATCHES` prints `{"ids": …, "revisions": …}`: the ids it was given, and how often it revised the one
record that all processes fight for.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path

from remanence.core.errors import Conflict
from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Changes, Count, Find, Get, Put, Revise, Touch
from tests.stores.sqlite.support import LATER

ALL = Scope(app_id="shared")


class Worker(threading.Thread):
    """Writes batches of several sizes; every second one it looks whether its own writes are there."""

    def __init__(self, store: SqliteStore, name: str, batches: int) -> None:
        super().__init__(name=name)
        self.store = store
        self.batches = batches
        self.scope = Scope(app_id="shared", user_id=name)
        self.ids: list[str] = []
        self.revisions = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for number in range(self.batches):
                self.write(number)
                if number % 4 == 0:
                    self.revise()
        except BaseException as error:
            self.error = error

    def write(self, number: int) -> None:
        rng = random.Random(f"{self.name} {number}")
        drafts = [
            Draft(f"{self.name} {number} {part}", terms=(self.name, f"w{rng.randrange(50)}"))
            for part in range(rng.choice((1, 1, 5)))
        ]
        outcome = self.store.batch([Put(draft) for draft in drafts], scope=self.scope)
        ids = [written.id for written in outcome.results]
        self.ids += ids
        found, count = self.store.batch([Get(tuple(ids), LATER), Count(LATER)], scope=self.scope).results
        assert [record.text for record in found] == [draft.text for draft in drafts], "a write is not seen"
        assert count == len(self.ids), f"{count} records where {len(self.ids)} were written"
        self.store.batch([Touch(tuple(ids), LATER.now)], scope=self.scope)

    def revise(self) -> None:
        """Count up in the shared record, the optimistic way: read, revise what was read, again on conflict."""
        while True:
            (records,) = self.store.batch([Find(LATER, kinds=("counter",))], scope=ALL).results
            (record,) = records
            draft = Draft(str(int(record.text) + 1), kind="counter", valid_from=record.valid_from)
            try:
                self.store.batch([Revise(record.id, draft, record.version)], scope=ALL)
            except Conflict:
                continue
            self.revisions += 1
            return


def main(path: Path, name: str, batches: int) -> None:
    """Run both threads and print what they did."""
    store = SqliteStore(path, durable=False)
    workers = [Worker(store, f"{name}{number}", batches) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for worker in workers:
        if worker.error is not None:
            raise worker.error
    entries = store.batch([Changes()], scope=ALL).results[0]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "the journal has holes"
    store.close()
    ids = [id for worker in workers for id in worker.ids]
    print(json.dumps({"ids": ids, "revisions": sum(worker.revisions for worker in workers)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
