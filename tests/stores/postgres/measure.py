"""How fast one add is, and what the index of vectors finds: `python -m tests.stores.postgres.measure`.

Searches of many tenants are measured by `python -m remanence.bench.postgres_speed`. This starts a server of its own,
with the settings that a server has by default (every commit waits for the disk), or uses the one that
`REMANENCE_TEST_PG` names. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from remanence import __version__
from remanence.core.clock import utc_now
from remanence.core.ids import os_bits
from remanence.core.scope import Scope
from remanence.kernels.quantize import quantize
from remanence.stores.postgres import PostgresStore
from remanence.substrates.records.model import Draft, Vector
from remanence.substrates.records.operations import Put
from tests.stores.postgres.server import Schemas, serve

CENTRES = 200


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def near(store: PostgresStore, count: int, dim: int) -> dict[str, Any]:
    """Recall and time of `nearest` with an index, beside the exact search, in a large and in a thin scope."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CENTRES, dim))

    def some(number: int) -> list[Vector]:
        rows = centres[rng.integers(0, CENTRES, number)] + 0.8 * rng.normal(size=(number, dim))
        codes, scales = quantize((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
        return [Vector(f"m:{dim}", code.tobytes(), float(scale)) for code, scale in zip(codes, scales, strict=True)]

    everywhere = Scope(app_id="m")
    scopes = [Scope(app_id="m", user_id="large"), Scope(app_id="m", user_id="thin")]
    begun = time.perf_counter()
    for start in range(0, count, 500):
        vectors = some(500)
        drafts = [Draft("x", scope=scopes[(start + row) % 20 == 0], vector=one) for row, one in enumerate(vectors)]
        store.batch([Put(draft) for draft in drafts], scope=everywhere)
    writing = time.perf_counter() - begun
    build = timed(lambda: store.index_space(f"m:{dim}"))
    found: dict[str, Any] = {"vectors": count, "dim": dim}
    found |= {"writes_per_s": round(count / writing), "build_s": round(build, 1)}
    for scope in (everywhere, *scopes):
        hits, times = 0, {"exact": [0.0], "index": [0.0]}
        for question in some(50):
            ids: dict[str, set[str]] = {}
            for way in times:
                begun = time.perf_counter()
                got = store.nearest(f"m:{dim}", question, 10, scope=scope, exact=way == "exact")
                times[way].append(time.perf_counter() - begun)
                ids[way] = {one.id for one in got}
            hits += len(ids["exact"] & ids["index"])
        found[str(scope)] = {"recall@10": hits / 500} | {way: percentiles(spent[1:]) for way, spent in times.items()}
    return found


def adds(store: PostgresStore, number: int) -> dict[str, float]:
    """Batches of one memory each, for one user after the other."""
    scopes = [Scope(user_id=f"user {user}") for user in range(20)]
    put = Put(Draft("one more", terms=("one", "more")))
    return percentiles([timed(partial(store.batch, [put], scope=scopes[at % 20])) for at in range(number)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=40_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--adds", type=int, default=300)
    chosen = parser.parse_args()
    server = serve()
    if server.can_restart:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            server.execute(f"ALTER SYSTEM RESET {setting}")
        server.execute("SELECT pg_reload_conf()")
    with Schemas(server, durable=True) as schemas:
        stores = [schemas(clock=utc_now, random_bits=os_bits) for _ in range(2)]
        ((version,),) = server.execute("SHOW server_version")
        report = {
            "remanence": __version__,
            "postgres": version,
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
            "add": adds(stores[0], chosen.adds),
            "nearest": near(stores[1], chosen.vectors, chosen.dim),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
