"""What one fresh process needs to open a store and answer: run as `python -m remanence.bench.probe FILE USER QUERY …`.

Prints JSON: milliseconds for importing, for the first query (opening, loading the embedder and the index, searching)
and for the further queries, and the bytes that the process then holds. Imports nothing itself that it is to time.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def resident() -> int | None:
    """Bytes of memory that this process holds; None where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else None


def main(arguments: list[str]) -> None:
    """Time the first answer of this process, and the ones after it."""
    path, user, *queries = arguments
    started = time.perf_counter()
    from remanence import Memory

    imported = time.perf_counter()
    memory = Memory(path, user_id=user)
    memory.search(queries[0])
    answered = time.perf_counter()
    later: list[float] = []
    for query in queries[1:]:
        begun = time.perf_counter()
        memory.search(query)
        later.append((time.perf_counter() - begun) * 1000)
    held = resident()
    memory.close()
    print(
        json.dumps(
            {
                "import_ms": (imported - started) * 1000,
                "first_query_ms": (answered - imported) * 1000,
                "later_ms": later,
                "resident_bytes": held,
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
