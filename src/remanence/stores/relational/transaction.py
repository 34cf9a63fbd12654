"""One batch in progress: what it may see, what it has drawn, and what it has found out.

What is the same for every back end stands here; what has to be asked of, or kept for, tables is abstract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from remanence.core.clock import EPOCH, from_micros
from remanence.core.errors import EmbeddingSpaceMismatch
from remanence.core.scope import Scope
from remanence.stores.relational.columns import Row, Texts
from remanence.substrates.records.id_source import IdSource
from remanence.substrates.records.model import Vector
from remanence.substrates.records.operations import JournalOp
from remanence.substrates.records.packing import pack_detail, pack_terms

if TYPE_CHECKING:
    from remanence.stores.relational.rows import ErasureRows, JobRows, VersionRows

CACHED_TERMS = 1 << 20

K = TypeVar("K")
"""What stands for a scope in the tables of a back end: the key of a scope."""


class Space(NamedTuple):
    """An embedding space: its number, its dimension, and whether the back end keeps an index of its vectors."""

    number: int
    dim: int
    near: bool = False


class Cache(Generic[K]):
    """What one process remembers of committed rows that cannot change before the next erasure.

    `epoch` is the journal position of the newest erasure. A transaction that sees another epoch uses another cache.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.tids: dict[str, int] = {}
        self.terms: dict[int, str] = {}
        self.scopes: dict[K, Scope] = {}

    def learn_words(self, other: Cache[K]) -> None:
        """Take over the words and scopes that a committed transaction found out."""
        if len(self.tids) + len(other.tids) > CACHED_TERMS:
            self.tids, self.terms = {}, {}
        self.tids.update(other.tids)
        self.terms.update(other.terms)
        self.scopes.update(other.scopes)


class Transaction(ABC, Generic[K]):
    """State of one batch inside an open transaction.

    Args:
        scope: the batch's.
        seq: last journal position.
        committed: what the process remembers.
        found: an empty cache of the same epoch, for what this batch finds out.
        texts: how strings stand in columns.

    """

    def __init__(self, scope: Scope, seq: int, committed: Cache[K], found: Cache[K], texts: Texts) -> None:
        self.scope = scope
        self.seq = seq
        """Last journal position, unwritten entries included."""
        self.texts = texts
        self.change: str | None = None
        self.first = 0
        """Journal position of the change's first entry."""
        self.now = 0
        """Microseconds; set for batches that write."""
        self.moment: datetime = EPOCH
        self.actor = ""
        self.why = ""
        self.erased = False
        """Whether this batch destroyed something."""
        self.adopting: frozenset[str] = frozenset()
        """Ids of the records that this batch adopts."""
        self.worked = False
        """Whether this batch made or changed a job."""
        self.unnamed: list[str] = []
        """Jobs of this batch that were made before it had a change."""
        self.newest_id = ""
        """Newest id that this batch drew or took in."""
        self.found = found
        self._remember(committed)
        self._ids: IdSource | None = None
        self._owners: dict[str, K | None] = {}
        """Keys of the scopes of records; None where there is no such record, or it is not covered."""
        self._versions: list[tuple[K, int, str, Row, Sequence[str], Any]] = []
        self._entries: list[tuple[int, K, JournalOp, str, int, str | None, str | None]] = []

    def _remember(self, cache: Cache[K]) -> None:
        # A cache that has grown too large begins new dictionaries: what was found in the old ones stays good.
        self._tids, self._terms = cache.tids, cache.terms

    def begin_writing(self, ids: IdSource, now: int, actor: str, why: str) -> None:
        """Give the batch what only writing needs: ids, the time in microseconds, and who does it for what reason."""
        self._ids = ids
        self.now, self.moment = now, from_micros(now)
        self.actor, self.why = actor, why

    def follow(self, id: str) -> None:
        """Stay above an id that came from elsewhere."""
        assert self._ids is not None, "only batches that write take in ids"
        self._ids.follow(id)
        self.newest_id = max(self.newest_id, id)

    def draw(self) -> str:
        """A new ULID."""
        assert self._ids is not None, "only batches that write draw ids"
        self.newest_id = self._ids.draw(self.now)
        return self.newest_id

    @property
    def epoch(self) -> int:
        """Journal position of the newest erasure."""
        return self.found.epoch

    # The tables, by what is asked of them

    @property
    @abstractmethod
    def rows(self) -> VersionRows[K]:
        """Rows of versions and of what hangs on them."""

    @property
    @abstractmethod
    def jobs(self) -> JobRows[K]:
        """Rows of the outbox."""

    @property
    @abstractmethod
    def erasing(self) -> ErasureRows[K]:
        """Rows as an erasure sees them."""

    @abstractmethod
    def everywhere(self) -> AbstractContextManager[None]:
        """A block that looks beyond the batch's scope, for what is of the whole store: lineage, and jobs that quote."""

    @abstractmethod
    def forget_caches(self) -> None:
        """After an erasure within this batch: rows that caches remember may be gone."""

    @abstractmethod
    def flush(self) -> None:
        """Write what waits, so that queries see it."""

    # Scopes and records

    @abstractmethod
    def scope_of(self, key: K) -> Scope:
        """The scope behind a key."""

    @abstractmethod
    def place(self, scope: Scope) -> K:
        """The key of a scope, which is noted down where it is new."""

    @abstractmethod
    def covers(self, key: K) -> bool:
        """Whether the batch's scope covers the scope behind a key."""

    @abstractmethod
    def owner(self, id: str) -> K | None:
        """The key of a record's scope if it exists and is covered, whatever its versions' state."""

    @abstractmethod
    def learn_owners(self, ids: Iterable[str]) -> None:
        """Look up many records at once, for `owner`, where that saves anything."""

    @abstractmethod
    def taken(self, id: str) -> bool:
        """Whether a record in any scope has or ever had this id."""

    # Terms

    @abstractmethod
    def read_tids(self, terms: Sequence[str]) -> Iterable[tuple[str, int]]:
        """The integers of those terms that occur in the store, each with its term."""

    @abstractmethod
    def read_terms(self, tids: Sequence[int]) -> Iterable[tuple[int, str]]:
        """The terms behind integers, each with its integer."""

    @abstractmethod
    def add_terms(self, terms: Sequence[str]) -> range:
        """Write terms that are new to the store; the integers that they get, never used before."""

    def known_tids(self, terms: Iterable[str]) -> tuple[dict[str, int], list[str]]:
        """The integers of those terms that are known to occur, and the terms that have to be asked for."""
        known, found = self._tids, self.found.tids
        missing = []
        answer = {}
        for term in terms:
            tid = known.get(term) or found.get(term)
            if tid is None:
                missing.append(term)
            else:
                answer[term] = tid
        return answer, missing

    def learn_tids(self, pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Take note of terms and their integers."""
        answer = dict(pairs)
        self.found.tids.update(answer)
        self.found.terms.update(zip(answer.values(), answer, strict=True))
        return answer

    def tids(self, terms: Iterable[str]) -> dict[str, int]:
        """The integers of those terms that occur in the store."""
        answer, missing = self.known_tids(terms)
        if missing:
            answer |= self.learn_tids(self.read_tids(missing))
        return answer

    def unknown_terms(self, tids: Iterable[int]) -> list[int]:
        """Those integers whose terms have to be asked for."""
        known, found = self._terms, self.found.terms
        return [tid for tid in dict.fromkeys(tids) if tid not in known and tid not in found]

    def decode(self, tids: tuple[int, ...]) -> tuple[str, ...]:
        """The terms behind a stream of integers."""
        known, found = self._terms, self.found.terms
        try:
            return tuple(map(known.__getitem__, tids))
        except KeyError:
            if missing := self.unknown_terms(tids):
                found.update(self.read_terms(missing))
        return tuple([known.get(tid) or found[tid] for tid in tids])

    def stream(self, terms: Sequence[str]) -> bytes:
        """A term stream as the column keeps it; terms that are new to the store get integers."""
        tids = self._intern([terms])
        return pack_terms([tids[term] for term in terms])

    def _intern(self, streams: Sequence[Sequence[str]]) -> dict[str, int]:
        """Integers for all terms of the streams; new terms get new ones, in order of appearance."""
        distinct = dict.fromkeys(chain.from_iterable(streams))
        tids = self.tids(distinct)
        new = [term for term in distinct if term not in tids]
        if new:
            tids |= self.learn_tids(zip(new, self.add_terms(new), strict=True))
        return tids

    # Spaces

    @abstractmethod
    def space(self, key: str) -> Space | None:
        """An embedding space; None when the store holds no vector of it."""

    @abstractmethod
    def add_space(self, key: str, dim: int) -> Space:
        """Note down a space that is new."""

    def space_for(self, vector: Vector) -> Space:
        """A vector's space, which is made when it is new. Raises `EmbeddingSpaceMismatch`."""
        dim = len(vector.data)
        space = self.space(vector.space) or self.add_space(vector.space, dim)
        if space.dim != dim:
            raise EmbeddingSpaceMismatch(
                f"the store holds vectors of {space.dim} dimensions in space {vector.space!r}, this one has {dim}; "
                "give the new model its own space with `remanence reembed`"
            )
        return space

    # Writing: rows wait until the next `flush`

    def begin_change(self) -> str:
        """The id of this batch's change, drawn at its first journaled effect."""
        if self.change is None:
            self.change = self.draw()
            self.first = self.seq + 1
        return self.change

    def enter(
        self,
        op: JournalOp,
        key: K,
        id: str,
        version: int,
        other: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Add a line to the journal and return its position; the first one of a batch draws the change's id."""
        if self.change is None:
            self.begin_change()
        self.seq = seq = self.seq + 1
        self._entries.append((seq, key, op, id, version, other, pack_detail(detail) if detail else None))
        return seq

    def add_version(self, key: K, seq: int, id: str, columns: Row, terms: Sequence[str], text: Any) -> None:
        """Keep a version. `columns` are those from its number to its metadata, `text` is packed."""
        self._versions.append((key, seq, id, columns, terms, text))
        self._owners[id] = key

    @abstractmethod
    def add_vector(self, key: K, space: Space, seq: int, vector: Vector) -> None:
        """Keep the vector that came with a version."""

    @abstractmethod
    def add_lineage(self, key: K, source: str, seq: int) -> None:
        """Keep the fact that a version rests on a record."""

    @abstractmethod
    def add_usage(self, key: K, id: str, counters: Row) -> None:
        """Keep the counters that came with a record: hits, time of the last one, strength, utility."""

    def _take_streams(self) -> dict[str, int]:
        """The integers of all terms of the versions that wait; those that are new to the store get integers."""
        return self._intern([terms for _, _, _, _, terms, _ in self._versions])
