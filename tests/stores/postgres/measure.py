"""How fast the PostgreSQL store is, and what its index of vectors finds: `python -m tests.stores.postgres.measure`.

Starts a server of its own, with the settings that a server has by default (every commit waits for the disk), or uses
the one that `REMANENCE_TEST_PG` names. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from remanence import __version__
from remanence.core.clock import utc_now
from remanence.core.ids import os_bits
from remanence.core.scope import Scope
from remanence.kernels.quantize import quantize
from remanence.mechanisms.records.recall import Recall
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.postgres import PostgresStore
from remanence.substrates.records.model import Draft, Vector
from remanence.substrates.records.operations import Put
from remanence.substrates.records.scope_index import IndexCache
from tests.stores.postgres.server import Schemas, serve

WORDS = [f"word{number}" for number in range(5000)]
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


def tenants(store: PostgresStore, number: int, each: int) -> dict[str, Any]:
    """Adds of one memory, and searches of tenants chosen at random: the first of each loads its index."""
    rng = random.Random(0)
    embedder = StaticEmbedder()
    cache = IndexCache(store, 1 << 30)
    scopes = [Scope(user_id=f"tenant {tenant}") for tenant in range(number)]

    def recall(scope: Scope) -> Recall:
        return Recall(store=store, scope=scope, embedder=embedder, indexes=cache)

    begun = time.perf_counter()
    for scope in scopes:
        mechanism = recall(scope)
        texts = [" ".join(rng.choices(WORDS, k=12)) for _ in range(each)]
        terms = mechanism.analyse(texts)
        vectors = mechanism.embed(texts)
        parts = zip(texts, terms, vectors, strict=True)
        store.batch([Put(Draft(text, terms=stream, vector=vector)) for text, stream, vector in parts], scope=scope)
    filled = time.perf_counter() - begun
    adds = [
        timed(lambda: store.batch([Put(Draft("one more", terms=("one", "more")))], scope=rng.choice(scopes)))
        for _ in range(300)
    ]

    def search() -> None:
        recall(rng.choice(scopes)).read(" ".join(rng.choices(WORDS, k=5)), 10, now=utc_now())

    first = [timed(search) for _ in range(100)]
    rng.seed(0)
    rng.choices(WORDS)
    rest = [timed(search) for _ in range(max(1000, 3 * number))]
    return {
        "tenants": number,
        "memories_each": each,
        "filled_per_s": round(number * each / filled),
        "add": percentiles(adds),
        "first searches": percentiles(first),
        "searches": percentiles(rest[len(rest) // 2 :]),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=40_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--each", type=int, default=1000)
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
            "tenants": tenants(stores[0], chosen.tenants, chosen.each),
            "nearest": near(stores[1], chosen.vectors, chosen.dim),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
