"""What all verbs share: the store, the embedder, the indexes, the time, and the reads that still have to be counted."""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from remanence.core.clock import Clock, parse_time
from remanence.core.errors import InvalidInput, StoreReadOnly
from remanence.core.scope import FIELDS, Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.echoes import HandedOut
from remanence.runtime.resilience import Breaker
from remanence.runtime.truth import TruthCache
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import Embedder, EmbeddingSpace
from remanence.substrates.records.operations import Operation, Outcome, Touch, Written
from remanence.substrates.records.port import Inspectable, RecordStore
from remanence.substrates.records.scope_index import IndexCache, ScopeIndex

if TYPE_CHECKING:
    from remanence.kernels.related import RelatedTerms
    from remanence.mechanisms.records.recall import Recall, Truth
    from remanence.runtime.enrichment.budget import Limits
    from remanence.runtime.worker import Background
    from remanence.substrates.chat import ChatModel

__all__ = ["Engine", "open_store", "shared"]

FILE: Final = "remanence.db"
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
MOST_USES: Final = 1_000
"""Reads that wait for being counted; beyond that one scope's are written down without waiting for another write."""


def open_store(path: str | os.PathLike[str] | None, clock: Clock) -> RecordStore:
    """The store that a path stands for; nothing is opened yet.

    None: `remanence.db` in `$REMANENCE_DIR`, or in the working directory. A folder: `remanence.db` in it.
    `":memory:"`: a store that lives as long as this process. `postgresql://…`: a schema of that database.

    Raises:
        InvalidInput: an address that cannot be read, or that of another kind of database or place.
        MissingExtra: an address of PostgreSQL, and the extra `postgres` is not installed.

    """
    if path is None:
        return SqliteStore(Path(os.environ.get("REMANENCE_DIR") or ".") / FILE, clock=clock)
    name = os.fspath(path)
    if name == ":memory:":
        from remanence.substrates.records.reference import MemoryStore

        return MemoryStore(clock=clock)
    if name.startswith(("postgresql://", "postgres://")):
        # By name: whoever keeps memories in a file loads no driver for a server.
        postgres = importlib.import_module("remanence.stores.postgres")
        store: RecordStore = postgres.PostgresStore(name, clock=clock)
        return store
    if foreign := _ADDRESS.match(name):
        # As a path it would become a folder of that name.
        raise InvalidInput(
            f"nothing keeps memories at {foreign[0]}…; give a file, a postgresql:// address, or :memory: "
            "(for a file of such a name write ./ in front of it)"
        )
    file = Path(name).expanduser()
    return SqliteStore(file / FILE if file.is_dir() or name.endswith(("/", os.sep)) else file, clock=clock)


class Use(NamedTuple):
    """Memories that a search returned, still to be counted."""

    scope: Scope
    touch: Touch


class Engine:
    """Everything behind a `Memory`. Thread-safe; nothing is read or written before first use."""

    def __init__(
        self,
        store: RecordStore,
        *,
        embedder: Embedder,
        analyzer: Analyzer,
        clock: Clock,
        defaults: Mapping[str, str],
        actor: str,
        index_bytes: int,
        enrich: bool = True,
        llm: ChatModel | None = None,
        llm_limits: Limits | None = None,
    ) -> None:
        self.store = store
        self.embedder = embedder
        self.analyzer = analyzer
        self.defaults = dict(defaults)
        self.actor = actor
        self.indexes = IndexCache(store, index_bytes)
        self.enrich = enrich
        self.llm = llm
        self.llm_limits = llm_limits
        self.worker: Background | None = None
        self.handed_out = HandedOut()
        self.truth = TruthCache(self)
        self._clock = clock
        self._lock = threading.Lock()
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._uses: deque[Use] = deque()
        self._unembedded: dict[Scope, None] = {}
        self.breaker = Breaker(self.now)

    @property
    def place(self) -> str:
        """Where the store lies, for people: its file, or the database without user and password."""
        return self.store.place if isinstance(self.store, Inspectable) else ":memory:"

    def now(self) -> datetime:
        """The time, never before what this engine has written: a clock that was set back must not hide a deletion."""
        reading = parse_time(self._clock()).astimezone(UTC)
        with self._lock:
            return max(reading, self._latest)

    def recall(self, scope: Scope, embedder: Embedder | None = None, truth: Truth | None = None) -> Recall:
        """The recall mechanism over one scope; `truth` is what the facts known there say to a question."""
        from remanence.mechanisms.records.recall import Recall  # With the first text or question, and not before.

        self._foreground()
        return Recall(
            store=self.store,
            scope=scope,
            embedder=embedder or self.embedder,
            analyzer=self.analyzer,
            indexes=self.indexes,
            related=related_words(self.embedder, self.analyzer),
            truth=truth,
        )

    def index(self, scope: Scope, space: EmbeddingSpace) -> ScopeIndex:
        """The index of a scope, up to date."""
        self._foreground()
        return self.indexes.get(scope, space.key, space.dim)

    def read(self, operations: Sequence[Operation], scope: Scope) -> tuple[Any, ...]:
        """The answers to reading operations, from one moment of the store."""
        self._foreground()
        return self.store.batch(operations, scope=scope).results

    def write(self, operations: Sequence[Operation], scope: Scope, *, why: str = "", wide: bool = False) -> Outcome:
        """Run a writing batch; reads that wait for being counted ride along in its transaction where they can.

        `wide`: every operation carries its scope itself, so that the batch may run under one that covers more.
        """
        self._foreground()
        under, uses = self._take_uses(scope, wide)
        try:
            outcome = self.store.batch(
                [*operations, *(use.touch for use in uses)], scope=under, actor=self.actor, why=why
            )
        except BaseException:
            self._give_back(uses)
            raise
        self.saw(outcome.results)
        if self.worker is not None:
            self.worker.wrote(operations)
        return outcome

    def saw(self, results: Sequence[object]) -> None:
        """Take note of when writes were recorded."""
        times = [result.recorded_at for result in results if isinstance(result, Written)]
        if times:
            with self._lock:
                self._latest = max(self._latest, *times)

    def count_use(self, scope: Scope, ids: Sequence[str], at: datetime) -> None:
        """Remember that a search returned these; the next write counts it, so that reading stays reading."""
        if not ids:
            return
        with self._lock:
            self._uses.append(Use(scope, Touch(tuple(ids), at)))
            crowded = len(self._uses) > MOST_USES
            fullest = Counter(use.scope for use in self._uses).most_common(1)[0][0] if crowded else None
        if fullest is not None:
            self.flush_uses(fullest)

    def flush_uses(self, only: Scope | None = None) -> int:
        """Count the reads that wait, of one scope or of all; how many memories were counted."""
        with self._lock:
            taken: dict[Scope, list[Touch]] = {}
            for use in self._uses:
                if only in (None, use.scope):
                    taken.setdefault(use.scope, []).append(use.touch)
            self._uses = deque(use for use in self._uses if use.scope not in taken)
        counted = 0
        for scope, touches in taken.items():
            try:
                counted += sum(self.store.batch(touches, scope=scope, actor=self.actor).results)
            except StoreReadOnly:
                # Whoever may not write cannot count either; that must not stop them from reading.
                return counted
        return counted

    def unembedded(self) -> list[Scope]:
        """Scopes to which this engine added without vectors; each is named once."""
        with self._lock:
            found, self._unembedded = self._unembedded, {}
        return list(found)

    def note_unembedded(self, scopes: Iterable[Scope]) -> None:
        """Remember where vectors are missing, for `flush`."""
        with self._lock:
            self._unembedded.update(dict.fromkeys(scopes))

    def close(self, *, close_store: bool) -> None:
        """Count what waits to be counted, and close the store."""
        if self.worker is not None:
            self.worker.stop()
        try:
            self.flush_uses()
        finally:
            self.indexes.clear()
            if close_store:
                self.store.close()

    def _foreground(self) -> None:
        """Somebody waits for an answer: work in the background is put off."""
        if self.worker is not None:
            self.worker.foreground()

    def _take_uses(self, scope: Scope, wide: bool) -> tuple[Scope, list[Use]]:
        """The reads that can be counted in a batch of `scope`, and the scope that the batch then needs."""
        with self._lock:
            if not self._uses:
                return scope, []
            under, riding = scope, []
            for _ in range(len(self._uses)):
                use = self._uses.popleft()
                both = shared(under, use.scope) if wide else (under if under.covers(use.scope) else None)
                if both is None:
                    self._uses.append(use)
                else:
                    under = both
                    riding.append(use)
            return under, riding

    def _give_back(self, uses: Sequence[Use]) -> None:
        with self._lock:
            self._uses.extendleft(reversed(uses))


_RELATED: dict[tuple[str, str], RelatedTerms] = {}
_RELATED_LOCK = threading.Lock()


def related_words(embedder: Embedder, analyzer: Analyzer) -> RelatedTerms | None:
    """Related words, for embedders that have vectors of single words; one table for all that would make the same."""
    words = getattr(embedder, "words", None)
    if words is None:
        return None
    from remanence.kernels.related import RelatedTerms

    made = RelatedTerms(words, analyzer, ready=getattr(embedder, "relatives", None))
    with _RELATED_LOCK:
        return _RELATED.setdefault((embedder.space.key, analyzer.fingerprint), made)


def shared(one: Scope, other: Scope) -> Scope | None:
    """The narrowest scope that covers both; None when they have no id in common."""
    ids = {name: getattr(one, name) for name in FIELDS if getattr(one, name) == getattr(other, name)}
    ids = {name: value for name, value in ids.items() if value is not None}
    return Scope(**ids) if ids else None
