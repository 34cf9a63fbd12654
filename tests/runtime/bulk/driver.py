"""A program that imports a file in parts and says so after each: `driver.py STORE FILE`."""

from __future__ import annotations

import sys

from remanence.runtime.memory import Memory


def main(store: str, file: str) -> None:
    """Print the number of messages after each part, and wait to be told to go on."""

    def tell(done: int, _: int | None) -> None:
        print(done, flush=True)
        sys.stdin.readline()

    with Memory(store, embedder="hash") as memory, memory.bulk() as bulk:
        bulk.import_(file, size=50, progress=tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
