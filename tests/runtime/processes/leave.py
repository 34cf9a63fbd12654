"""A program that adds and ends at once, with its thread in the middle of things: `leave.py FILE HOW`."""

from __future__ import annotations

import os
import sys

from remanence.runtime.enrichment import registry
from remanence.runtime.memory import Memory
from tests.runtime.handlers import Echoes, Topics


def main(path: str, how: str) -> None:
    """Add, and end as told: by returning, by an exception, in a child, or with `close`."""
    handlers = registry.ordered([Topics(pause=0.05), Echoes()])
    registry.handlers = lambda: handlers  # type: ignore[assignment]
    registry.laters = dict  # type: ignore[assignment]
    memory = Memory(path, user_id="ana")
    for number in range(40):
        memory.add(f"a {number}", run_id=f"r{number}")
    if how == "fork":
        if os.fork() == 0:
            memory.add("a child", run_id="child")
            memory.flush()
            memory.close()
            os._exit(0)
        os.wait()
    if how == "raise":
        raise SystemExit(7)
    if how == "close":
        memory.close()
    print("end", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
