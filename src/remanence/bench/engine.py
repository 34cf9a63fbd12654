"""The system under test: the recall engine over a real store on disk, wired as `Memory` wires it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from remanence.bench.corpora import OWNER, drafts
from remanence.bench.datasets import Corpus, Question
from remanence.bench.results import Footprint
from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.fusion import Profile
from remanence.runtime.engine import Engine
from remanence.runtime.rederiving import rebuild_derived
from remanence.runtime.vectors import attach
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.model import Draft, View
from remanence.substrates.records.operations import Put
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore

NAME = "recall"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""When questions are asked that do not say when."""
BATCH = 1000
"""Documents per transaction, as `Memory.add_many` has it."""
INDEX_BYTES = 2 * 1024**3

SCOPE = Scope(user_id=OWNER)


class RecallRanker:
    """`recall` as a ranker: one store per corpus, in a folder that goes with it.

    `disk=False` keeps the store in memory instead, with the same answers. `profiles` replaces the weights that ship.
    Call `close` when done, or use it as a context manager.
    """

    def __init__(
        self, embedder: Embedder, *, disk: bool = True, profiles: Mapping[str, Profile] | None = None, name: str = NAME
    ) -> None:
        self.name = name
        self._embedder = embedder
        self._profiles = profiles
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._disk = disk
        self._engine: Engine | None = None
        self._documents: dict[str, str] = {}
        self._records = 0
        self._bytes = {"memory": 0, "disk": 0}

    def __enter__(self) -> RecallRanker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def build(self, corpus: Corpus) -> None:
        """Store a corpus as a new memory, and load its index."""
        self.close()
        engine = self._open()
        written = fill(engine, drafts(corpus))
        self._documents = {id: document.id for id, document in zip(written, corpus.documents, strict=True)}
        if not self._embedder.inline:
            attach(engine, SCOPE)
        index = engine.index(SCOPE, self._embedder.space)
        self._records += len(index)
        self._bytes["memory"] += index.nbytes

    def rank(self, question: Question, k: int) -> list[str]:
        """The ids of the `k` best documents."""
        if self._engine is None:
            raise RuntimeError("rank() comes after build()")
        view = View(now=question.now or NOW)
        verdict = self._engine.truth.verdict(question.text, SCOPE, view)
        recall = self._engine.recall(SCOPE, truth=lambda *_: verdict)
        recall.profiles = self._profiles
        hits = recall.search(question.text, k, view=view)
        return [self._documents[hit.id] for hit in hits]

    def footprint(self) -> Footprint:
        """Bytes per record over all corpora so far: of the indexes, and of the files after the stores were closed."""
        self.close()
        records = max(self._records, 1)
        disk = self._bytes["disk"] / records if self._disk else None
        return Footprint(memory=self._bytes["memory"] / records, disk=disk)

    def close(self) -> None:
        """Close the store and remove its folder."""
        if self._engine is not None:
            self._engine.close(close_store=True)
            self._engine = None
        if self._folder is not None:
            self._bytes["disk"] += sum(path.stat().st_size for path in Path(self._folder.name).iterdir())
            self._folder.cleanup()
            self._folder = None

    def _open(self) -> Engine:
        store: RecordStore = MemoryStore(clock=SteppingClock(NOW))
        if self._disk:
            self._folder = tempfile.TemporaryDirectory(prefix="remanence-bench-")
            store = SqliteStore(Path(self._folder.name) / "remanence.db", clock=SteppingClock(NOW))
        self._engine = wire(store, self._embedder)
        return self._engine


def fill(engine: Engine, listed: Sequence[Draft]) -> list[str]:
    """Store drafts and work out the facts of what was said in them; their ids in order."""
    recall = engine.recall(SCOPE)
    written: list[str] = []
    for start in range(0, len(listed), BATCH):
        puts = [Put(draft) for draft in recall.derive(listed[start : start + BATCH])]
        written += [row.id for row in engine.write(puts, SCOPE).results]
    if any(draft.kind == "turn" for draft in listed):
        rebuild_derived(engine, SCOPE)
    return written


def wire(store: RecordStore, embedder: Embedder) -> Engine:
    """Store, embedder and the default parts between them, put together as `Memory` does it."""
    return Engine(
        store,
        embedder=embedder,
        analyzer=Analyzer(),
        clock=SteppingClock(NOW),
        defaults={},
        actor="",
        index_bytes=INDEX_BYTES,
    )
