"""A worker with the small handlers of the tests: `serve.py FILE PAUSE LEASE [SECONDS]` works until it is killed.

Says "ready", waits for a line, prints another one after each step, and a report at the end.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.handler import Handler
from remanence.runtime.memory import Memory
from remanence.runtime.working import Shift
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Outcome
from tests.runtime.handlers import Echoes, Stamps, Topics


class Hesitant:
    """A store that is slow to come back, so that its worker dies between batches more often than by chance."""

    def __init__(self, store: Any, pause: float) -> None:
        self._store = store
        self._pause = pause

    def batch(self, operations: Any, **options: Any) -> Outcome:
        outcome: Outcome = self._store.batch(operations, **options)
        if options.get("actor"):
            time.sleep(self._pause)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def engine_of(path: str, pause: float) -> Engine:
    """The engine of a memory without a thread."""
    engine = Memory(path, background=False, embedder="hash")._engine
    store: Any = Hesitant(engine.store, pause)
    engine.store = store
    return engine


def main(path: str, pause: float, lease: float, seconds: float) -> dict[str, Any]:
    """Work, and say what was done."""
    handlers: list[Handler] = [Topics(), Echoes(), Stamps()]
    engine = engine_of(path, pause)
    shift = Shift(engine, handlers=handlers, laters={}, lease=lease, most_jobs=5, most_turns=8)
    # What the first text makes it load is no part of its work.
    engine.recall(Scope(user_id="nobody")).derive([Draft("I moved to Oslo last week")])
    print("ready", flush=True)
    if not sys.stdin.readline():
        # Whoever started this is gone.
        return {}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if shift.step(stop=lambda: time.monotonic() >= ends):
            print("step", flush=True)
        else:
            time.sleep(0.01)
    tally = shift.tally
    return {"done": tally.done, "lost": tally.lost, "errors": tally.errors}


if __name__ == "__main__":
    file, pause, lease, *rest = sys.argv[1:]
    print(json.dumps(main(file, float(pause), float(lease), float(rest[0]) if rest else 3600.0)), flush=True)
