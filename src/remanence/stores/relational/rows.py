"""The port of row operations: what the operations of a store ask of its tables, without saying how.

A back end implements the three classes over its transaction, with its own SQL and nothing else. No method decides
anything: what is refused, what closes what, and what goes to the journal is decided by those who call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Generic, NamedTuple

from remanence.stores.relational.columns import Row
from remanence.stores.relational.transaction import K, Space
from remanence.substrates.records.model import Edge, Vector, is_derived
from remanence.substrates.records.operations import Job, Jobs, Receipt


class Current(NamedTuple, Generic[K]):
    """What has to be known of an open version in order to close it."""

    key: K
    seq: int
    version: int
    valid_from: int


class VersionRows(ABC, Generic[K]):
    """Versions of records, and the vectors, edges and counters that hang on them. Times are microseconds."""

    @abstractmethod
    def open_version(self, id: str) -> Current[K] | None:
        """The open version of a record; only its newest one can be open."""

    @abstractmethod
    def kept(self, id: str, version: int) -> Row | None:
        """A version's journal position and its `columns.KEPT`."""

    @abstractmethod
    def indexed(self, id: str, version: int) -> tuple[int, bytes] | None:
        """A version's journal position and term stream."""

    @abstractmethod
    def newest(self, key: K, id: str) -> int:
        """The highest version number that a record ever had, erased ones included."""

    @abstractmethod
    def shut(self, seq: int, ended_at: int, closed_seq: int) -> None:
        """Close the version of a journal position now."""

    @abstractmethod
    def copy_vectors(self, key: K, earlier: int, seq: int) -> None:
        """Give a version the vectors of an earlier one."""

    @abstractmethod
    def copy_lineage(self, key: K, earlier: int, seq: int) -> None:
        """Let a version rest on what an earlier one rests on."""

    @abstractmethod
    def embed(self, key: K, space: Space, seq: int, vector: Vector) -> None:
        """Keep a vector that comes after its version, at the next position of late ones, instead of any earlier one."""

    @abstractmethod
    def set_terms(self, key: K, id: str, version: int, stream: bytes) -> None:
        """Replace a version's term stream."""

    @abstractmethod
    def note_reindexed(self, seq: int) -> None:
        """Remember the journal position of the last reindexing."""

    @abstractmethod
    def weight(self, source: K, edge: Edge) -> float | None:
        """The weight of an edge; None when there is none. `source` is the key of the end that it starts from."""

    @abstractmethod
    def set_edge(self, source: K, target: K, edge: Edge, weight: float) -> None:
        """Add an edge or change its weight."""

    @abstractmethod
    def drop_edge(self, source: K, edge: Edge) -> None:
        """Remove an edge."""

    @abstractmethod
    def count_use(self, owned: Sequence[tuple[K, str]], at: int, strength: float | None, utility: float | None) -> None:
        """One hit more for each record, the later of its last hit and `at`, and the values that are not None."""


class Held(NamedTuple, Generic[K]):
    """What has to be known of a leased job in order to end its lease; the payload is the column's JSON."""

    key: K
    due: int
    payload: str | None


class JobRows(ABC, Generic[K]):
    """The outbox. Times are microseconds; texts are as the caller gave them.

    One column, `ready`, says when a job can be leased: when it is due, or when its lease runs out; None for a dead one.
    All methods but those for erasures see covered jobs alone.
    """

    @abstractmethod
    def waiting(self, key: K, kind: str, name: str) -> str | None:
        """The first job of a kind that waits under a name in just this scope."""

    @abstractmethod
    def add(self, key: K, id: str, kind: str, name: str | None, payload: str | None, due: int) -> None:
        """A job that waits, made now by this batch's change."""

    @abstractmethod
    def take(self, kinds: tuple[str, ...] | None, limit: int, worker: str, until: int) -> list[Job]:
        """Lease the jobs that have been ready for the longest, each once more attempted, in that order."""

    @abstractmethod
    def extend(self, ids: Sequence[str], worker: str, until: int) -> Set[str]:
        """Move the end of those leases that the worker holds; which they are."""

    @abstractmethod
    def held(self, id: str, worker: str) -> Held[K] | None:
        """A job if the worker holds it."""

    @abstractmethod
    def drop(self, key: K, id: str) -> None:
        """Remove a job."""

    @abstractmethod
    def free(self, key: K, id: str, state: str, due: int, ready: int | None, error: str, payload: str | None) -> None:
        """Take a job from its worker, and set what else is given."""

    @abstractmethod
    def requeue(self, ids: Sequence[str] | None) -> int:
        """Make dead and waiting ones of some jobs, or all dead ones, wait, unattempted and due now; how many."""

    @abstractmethod
    def discard(self, ids: Sequence[str]) -> int:
        """Remove jobs that nobody holds; how many."""

    @abstractmethod
    def count(self, wanted: Jobs) -> dict[tuple[str, str], int]:
        """How many of the wanted jobs there are of each kind in each state."""

    @abstractmethod
    def find(self, wanted: Jobs) -> list[Job]:
        """The wanted jobs, by id, as many as are wanted."""

    @abstractmethod
    def drop_covered(self) -> None:
        """Remove all jobs that the batch's scope covers."""

    @abstractmethod
    def telling(self) -> list[K]:
        """Keys of the scopes, anywhere, whose jobs have errors to tell."""

    @abstractmethod
    def hush(self, key: K) -> None:
        """Empty the errors of one scope's jobs."""

    @abstractmethod
    def quoting(self) -> list[tuple[str, Any, str | None]]:
        """Id, packed key and payload of every job, anywhere, that has a key or a payload."""

    @abstractmethod
    def rewrite(self, id: str, name: Any, payload: str | None) -> None:
        """Set the packed key and the payload of a job."""


class Version(NamedTuple, Generic[K]):
    """A version that an erasure touches; `sources` is the column's JSON."""

    key: K
    seq: int
    id: str
    version: int
    closed_seq: int | None
    sources: str | None
    terms: bytes
    origin: str | None

    @property
    def derived(self) -> bool:
        """Whether a worker made it."""
        return is_derived(self.origin)


class Lineage(NamedTuple, Generic[K]):
    """What an erasure reaches: records that go, versions that go, and versions that lose a source but stay."""

    gone: dict[str, K]
    """Id to the key of its scope."""
    doomed: dict[int, Version[K]]
    staying: dict[int, Version[K]]

    @property
    def halves(self) -> list[Version[K]]:
        """Versions that go of records that stay."""
        return [version for version in self.doomed.values() if version.id not in self.gone]


class ErasureRows(ABC, Generic[K]):
    """Rows as an erasure sees them: of all scopes, except for `covered`. What is deleted is counted in rows."""

    @abstractmethod
    def covered(self) -> dict[str, K]:
        """Every record that the batch's scope covers, with the key of its scope."""

    @abstractmethod
    def versions_of(self, ids: Collection[str]) -> list[Version[K]]:
        """All versions of records."""

    @abstractmethod
    def versions_at(self, seqs: Collection[int]) -> list[Version[K]]:
        """The versions of journal positions."""

    @abstractmethod
    def resting_on(self, ids: Collection[str]) -> set[int]:
        """Journal positions of the versions that rest on records."""

    @abstractmethod
    def newest_origins(self, ids: Collection[str]) -> Iterable[tuple[str, str | None]]:
        """Records with the origin of their newest version."""

    @abstractmethod
    def reindexed(self) -> int:
        """Journal position of the last reindexing."""

    @abstractmethod
    def vocabulary(self) -> list[int]:
        """The integers of all terms, in order."""

    @abstractmethod
    def streams(self) -> Iterator[list[bytes]]:
        """The term streams of all versions, in portions."""

    @abstractmethod
    def drop_versions(self, doomed: Collection[Version[K]]) -> int:
        """Delete versions."""

    @abstractmethod
    def drop_vectors(self, doomed: Collection[Version[K]]) -> int:
        """Delete the vectors of versions."""

    @abstractmethod
    def drop_edges(self, gone: Mapping[str, K]) -> int:
        """Delete edges that start from or lead to records."""

    @abstractmethod
    def drop_usage(self, gone: Mapping[str, K]) -> int:
        """Delete the counters of records."""

    @abstractmethod
    def drop_entries(self, lineage: Lineage[K]) -> int:
        """Delete journal entries that speak of what goes."""

    @abstractmethod
    def drop_terms(self, tids: Sequence[int]) -> int:
        """Delete terms."""

    @abstractmethod
    def drop_lineage(self, lineage: Lineage[K], links: Set[tuple[K, str, int]]) -> None:
        """Delete all links to records that go, and the links of the versions that go: key, source, journal position."""

    @abstractmethod
    def set_sources(self, columns: Sequence[tuple[str | None, Version[K]]]) -> None:
        """Replace the packed sources of versions."""

    @abstractmethod
    def set_floors(self, lineage: Lineage[K]) -> None:
        """Forget the highest version numbers of records that go; keep those of the others whose versions go."""

    @abstractmethod
    def drop_spaces(self) -> None:
        """Forget embedding spaces that no vector is left of."""

    @abstractmethod
    def drop_scopes(self, erasing: K) -> None:
        """Forget scopes that no record, journal entry, receipt or job names, except the one that erases."""

    @abstractmethod
    def add_receipt(self, seq: int, key: K, receipt: Receipt, gone: Collection[str]) -> None:
        """Keep the receipt, refuse the ids that went from now on, and note that their bytes may be left."""
