"""`python -m remanence.bench.peers`: the same turns with the same vectors in other embedded stores, where installed.

LanceDB is asked by hybrid search (its full-text index and its vectors, fused by its own RRF reranker), Chroma by vector
search; both filtered to one user, as a memory of many users has to. All embed with the static embedder, and the time
for that is part of every figure. None of them has an approximate index here: all search exactly.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from remanence.bench import speed, speed_data
from remanence.bench.datasets import Document
from remanence.bench.metrics import Latency, latency
from remanence.core.errors import MissingExtra, RemanenceError
from remanence.runtime.memory import Memory
from remanence.stores.embedders.static import StaticEmbedder

SIZES = (10_000, 100_000)
QUERIES = 100
SINGLE_ADDS = 50
USER = "ana"

_BATCH = 5_000


class Peer(Protocol):
    """A store that turns can be put into and found in."""

    name: str

    def add_many(self, turns: Sequence[Document]) -> None:
        """Store many turns, embedded here, so that they can be found."""
        ...

    def add(self, turn: Document) -> None:
        """Store one turn durably."""
        ...

    def search(self, query: str) -> int:
        """Find ten turns; how many were found."""
        ...

    def finish(self) -> None:
        """Build what searching needs once all turns are there."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """One store with so many records."""

    name: str
    records: int
    add_per_second: float
    add: Latency
    search: Latency


class Remanence:
    """This library, by its public calls."""

    name = "remanence"

    def __init__(self, folder: Path) -> None:
        self._memory = Memory(folder / "remanence.db", user_id=USER)

    def add_many(self, turns: Sequence[Document]) -> None:
        """See `Peer`."""
        self._memory.add_many([_message(turn) for turn in turns])

    def add(self, turn: Document) -> None:
        """See `Peer`."""
        self._memory.add([_message(turn)])

    def search(self, query: str) -> int:
        """See `Peer`."""
        return len(self._memory.search(query, limit=10)["results"])

    def finish(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """See `Peer`."""
        self._memory.close()


class LanceDb:
    """LanceDB: a table with a full-text index, hybrid search with its RRF reranker."""

    name = "lancedb"

    def __init__(self, folder: Path) -> None:
        self._embedder = StaticEmbedder()
        self._database: Any = importlib.import_module("lancedb").connect(str(folder / "lance"))
        self._reranker: Any = importlib.import_module("lancedb.rerankers").RRFReranker()
        self._table: Any = None

    def _rows(self, turns: Sequence[Document]) -> list[dict[str, Any]]:
        vectors = self._embedder.embed([turn.text for turn in turns])
        return [
            {"id": turn.id, "user": USER, "text": turn.text, "vector": vector}
            for turn, vector in zip(turns, vectors, strict=True)
        ]

    def add_many(self, turns: Sequence[Document]) -> None:
        """See `Peer`."""
        for start in range(0, len(turns), _BATCH):
            rows = self._rows(turns[start : start + _BATCH])
            if self._table is None:
                self._table = self._database.create_table("turns", data=rows)
            else:
                self._table.add(rows)

    def finish(self) -> None:
        """The full-text index, which hybrid search needs, and an index on the user."""
        index = importlib.import_module("lancedb.index")
        for column, config in (("text", index.FTS()), ("user", index.Bitmap())):
            self._table.create_index(column, config=config)

    def add(self, turn: Document) -> None:
        """See `Peer`."""
        self._table.add(self._rows([turn]))

    def search(self, query: str) -> int:
        """See `Peer`."""
        vector = self._embedder.embed([query], kind="query")[0]
        asked = self._table.search(query_type="hybrid").vector(vector).text(query)
        return len(asked.where(f"user = '{USER}'").rerank(self._reranker).limit(10).to_list())

    def close(self) -> None:
        """Nothing to close."""


class Chroma:
    """Chroma: a persistent collection, vector search filtered by metadata."""

    name = "chroma"

    def __init__(self, folder: Path) -> None:
        self._embedder = StaticEmbedder()
        chroma: Any = importlib.import_module("chromadb")
        settings = chroma.config.Settings(anonymized_telemetry=False)
        client = chroma.PersistentClient(path=str(folder / "chroma"), settings=settings)
        self._turns = client.create_collection("turns", embedding_function=None, metadata={"hnsw:space": "cosine"})

    def add_many(self, turns: Sequence[Document]) -> None:
        """See `Peer`."""
        for start in range(0, len(turns), _BATCH):
            part = turns[start : start + _BATCH]
            texts = [turn.text for turn in part]
            self._turns.add(
                ids=[turn.id for turn in part],
                documents=texts,
                embeddings=self._embedder.embed(texts),
                metadatas=[{"user": USER}] * len(part),
            )

    def finish(self) -> None:
        """Nothing to do."""

    def add(self, turn: Document) -> None:
        """See `Peer`."""
        self.add_many([turn])

    def search(self, query: str) -> int:
        """See `Peer`."""
        vector = self._embedder.embed([query], kind="query")
        return len(self._turns.query(query_embeddings=vector, n_results=10, where={"user": USER})["ids"][0])

    def close(self) -> None:
        """Nothing to close."""


_KINDS: Mapping[str, tuple[str, type[Remanence] | type[LanceDb] | type[Chroma]]] = {
    "remanence": ("remanence", Remanence),
    "lancedb": ("lancedb", LanceDb),
    "chroma": ("chromadb", Chroma),
}


def installed() -> list[str]:
    """Names of the stores that can be measured here."""
    return [name for name, (module, _) in _KINDS.items() if importlib.util.find_spec(module) is not None]


def run(sizes: Sequence[int] = SIZES, names: Sequence[str] | None = None, *, seed: int = 0) -> Iterator[Measured]:
    """Measure each store at each size, one after the other, this library first.

    Raises `MissingExtra` for a store that is not installed.
    """
    chosen = installed() if names is None else names
    for name in chosen:
        if name not in installed():
            raise MissingExtra(f"{name} is not installed; install it or measure {', '.join(installed())}")
    for size in sizes:
        turns = list(speed_data.turns(size, seed=seed))
        for name in chosen:
            with tempfile.TemporaryDirectory(prefix="remanence-peers-") as folder:
                yield _measure(_KINDS[name][1](Path(folder)), turns, seed)


def _measure(peer: Peer, turns: Sequence[Document], seed: int) -> Measured:
    began = time.perf_counter()
    peer.add_many(turns)
    peer.finish()
    seconds = time.perf_counter() - began
    queries = [query.text for query in speed_data.queries(QUERIES + 1, among=len(turns), seed=seed)]
    if peer.search(queries[-1]) != min(10, len(turns)):
        raise RemanenceError(f"{peer.name} found fewer turns than there are; its figures would mean nothing")
    searches = [_timed(peer.search, query) for query in queries[:QUERIES]]
    # Turns of another seed, with ids that are not taken.
    extra = [
        Document(f"x{turn.id}", turn.text, event_at=turn.event_at) for turn in speed_data.turns(SINGLE_ADDS, seed=1)
    ]
    adds = [_timed(peer.add, turn) for turn in extra]
    peer.close()
    return Measured(peer.name, len(turns), len(turns) / seconds, latency(adds), latency(searches))


def render(found: Sequence[Measured]) -> str:
    """Markdown: each store's figures, and how many times slower than this library it is."""
    lines = [
        "| records | store | `search` p50 / p95, ms | bulk add, turns/s | one add, ms | slower: search, bulk, add |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    own = {one.records: one for one in found if one.name == Remanence.name}
    for one in found:
        base = own.get(one.records)
        ratios = "–" if base is None or base is one else (
            f"{one.search.p50 / base.search.p50:.1f}×, {base.add_per_second / one.add_per_second:.1f}×, "
            f"{one.add.p50 / base.add.p50:.1f}×"
        )  # fmt: skip
        lines.append(
            f"| {one.records:,} | {one.name} | {one.search.p50:.1f} / {one.search.p95:.1f} | {one.add_per_second:,.0f} "
            f"| {one.add.p50:.2f} | {ratios} |"
        )
    return "\n".join(lines) + "\n"


def _message(turn: Document) -> dict[str, Any]:
    return {"name": turn.speaker, "content": turn.text, "timestamp": turn.event_at, "session_id": turn.session}


def _timed(call: Any, argument: Any) -> float:
    began = time.perf_counter()
    call(argument)
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for a store that is not installed."""
    parser = argparse.ArgumentParser(prog="python -m remanence.bench.peers", description=__doc__)
    parser.add_argument("--sizes", default="10k,100k", help="records (default: %(default)s)")
    parser.add_argument("--store", action="append", choices=list(_KINDS), help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    try:
        sizes = [speed.size_of(size) for size in chosen.sizes.split(",") if size]
        print(render(list(run(sizes, chosen.store, seed=chosen.seed))))
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
