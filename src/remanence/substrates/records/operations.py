"""All that can be asked of a record store: a closed union of frozen values, answered one by one.

Writing:  Put  Revise  Close  Restore  Link  Unlink  Embed  Reindex  Touch  Erase
Reading:  Get  Find  Count  History  Edges  Changes  Scan  Lookup  Pending  Spaces  Receipts

Every operation runs under the scope of its batch: what the scope does not cover does not exist for it, by-id
operations included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.substrates.records.model import Draft, Edge, Record, Source, Vector, View

JournalOp = Literal["put", "revise", "close", "restore", "link", "unlink", "reindex", "erase"]


@dataclass(frozen=True, slots=True)
class Put:
    """Remember something new. Answer: `Written`."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Revise:
    """Replace the current version by `draft`: the old one is closed, a new one opened; nothing is overwritten.

    The old version ends, in event time, where the new one's `valid_from` begins (default: the time of recording);
    a `valid_from` at or before the old version's retracts the old one altogether (a correction).
    `draft.id` and `draft.scope` are ignored: identity and scope never change. Answer: `Written`.
    Errors: `NotFound` (no open version), `Conflict` (`expected_version` is not the current one).
    """

    id: str
    draft: Draft
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """End a record without a successor. `at` None retracts the open version for all event times (delete); else it
    ends at `at`. Versions that an update had closed before stay visible `as_of` their own time.

    Answer: `Written` of the closed version. Errors as `Revise`.
    """

    id: str
    at: datetime | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Write a new version with the content and validity of an earlier one; an open version is retracted first.

    Answer: `Written`. Errors: `NotFound` (no such record or version).
    """

    id: str
    version: int
    expected_version: int | None = None
    """The newest version, open or closed, that the caller has seen."""


@dataclass(frozen=True, slots=True)
class Link:
    """Add an edge or replace its weight. Both ends must be covered. Answer: True if it is new or changed."""

    edge: Edge


@dataclass(frozen=True, slots=True)
class Unlink:
    """Remove an edge (its weight is ignored). Answer: True if it existed."""

    edge: Edge


@dataclass(frozen=True, slots=True)
class Embed:
    """Attach the vector of one version, replacing that version's vector in the same space. Derived: not journaled,
    but `Scan` reports it. Answer: True, or False when the version no longer exists."""

    id: str
    version: int
    vector: Vector


@dataclass(frozen=True, slots=True)
class Reindex:
    """Replace the analysed terms of one version, open or closed, as another analyser cuts its text. Nothing else of it
    changes and no version is made.

    Journaled where the terms differ from those before, so that every index starts over (`Columns.erased`); `undo`
    passes it by, because terms follow from the text. Vocabulary that nothing uses any more stays until the next
    erasure, which takes all of it. Answer: True, or False when there is no such version.
    """

    id: str
    version: int
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Touch:
    """Count a use of each id at time `at`; set `strength` or `utility` when given. Unknown ids are passed over.
    Not journaled. Answer: number of records touched."""

    ids: tuple[str, ...]
    at: datetime
    strength: float | None = None
    utility: float | None = None


@dataclass(frozen=True, slots=True)
class Erase:
    """Destroy records and all that rests on them alone: every version, vector, edge, counter, journal payload and
    vocabulary entry. `ids` None means everything the scope covers.

    Lineage: a derived record goes when all its sources go; when some survive it stays and loses the others as sources.
    Cannot be undone. Answer: `Receipt`. Unknown ids are `NotFound`.
    """

    ids: tuple[str, ...] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Get:
    """Versions by id that `view` shows, in order of `ids`. Answer: `tuple[Record | None, ...]`."""

    ids: tuple[str, ...]
    view: View


@dataclass(frozen=True, slots=True)
class Find:
    """Records that `view` shows, by id (so by creation). Answer: `tuple[Record, ...]`.

    `where` is a predicate in the operator language of `filters.py`; `kinds` None means all; `after` is the id to
    continue from (exclusive); `newest_first` turns the order around.
    """

    view: View
    kinds: tuple[str, ...] | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = 100
    after: str | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """How many records `view` shows. Answer: int."""

    view: View
    kinds: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Every version of one record, oldest first, closed ones included. Answer: `tuple[Record, ...]`; `NotFound`."""

    id: str


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges that touch any of `ids` (None: all covered), optionally of given types, sorted.

    Answer: `tuple[Edge, ...]`.
    """

    ids: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """Journal entries with `seq > since`, oldest first; of one change or one record when given.

    Answer: `tuple[JournalEntry, ...]`.
    """

    since: int = 0
    change: str | None = None
    id: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """Everything an in-process index needs since journal position `after`, as columns. Answer: `Columns`.

    `space` names the embedding space whose vectors are wanted (None: no vectors).
    """

    after: int = 0
    space: str | None = None
    vectors_after: int = 0


@dataclass(frozen=True, slots=True)
class Lookup:
    """Store-wide integers of analysed terms. Answer: `tuple[int | None, ...]`; None: the term occurs nowhere."""

    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """Open versions without a vector in `space`, oldest first. Answer: `tuple[Record, ...]`."""

    space: str
    limit: int = 256


@dataclass(frozen=True, slots=True)
class Spaces:
    """Embedding spaces in use and how many vectors each holds within the scope.

    Answer: `tuple[tuple[str, int], ...]`.
    """


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts of earlier erasures whose scope this scope covers. Answer: `tuple[Receipt, ...]`, oldest first."""


WriteOperation = Put | Revise | Close | Restore | Link | Unlink | Embed | Reindex | Touch | Erase
ReadOperation = Get | Find | Count | History | Edges | Changes | Scan | Lookup | Pending | Spaces | Receipts
Operation = WriteOperation | ReadOperation


@dataclass(frozen=True, slots=True)
class Written:
    """What a write did: which version now stands, and when it was recorded."""

    id: str
    version: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of an erasure: what, how much, when and why, but no text."""

    id: str
    scope: Scope
    at: datetime
    actor: str
    reason: str
    ids: tuple[str, ...]
    derived: tuple[str, ...]
    """Ids that went because all their sources went."""
    kept: tuple[str, ...]
    """Derived records that lost a source but stay, supported by others."""
    counts: Mapping[str, int]
    """Rows destroyed by kind of row: versions, vectors, edges, usage, journal, terms."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal. `version` is the version written, closed or reindexed; 0 for edges, erasures.

    `detail` holds what undo needs and never any text of a record: `{"previous": 1}` for a revision (version closed),
    the edge for links, the receipt id for erasures.
    """

    seq: int
    change: str
    at: datetime
    actor: str
    why: str
    scope: Scope
    op: JournalOp
    id: str
    version: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """Versions as columns, in journal order; row i of every array is one version. Times: microseconds since 1970.

    Versions opened after `Scan.after` are listed in full. `closed` repeats closings after it (also of listed rows).
    `erased` is True when an erasure or a reindexing lies after `Scan.after`: the reader must start over from 0.
    """

    seq: int
    """Last journal position contained; the next scan starts here."""
    vectors_seq: int
    """Position in the stream of late vectors (`Embed`); pass it as `Scan.vectors_after`."""
    erased: bool
    """Whether an erasure or a reindexing lies after `Scan.after`, which is not 0."""
    ids: list[str]
    versions: NDArray[np.int32]
    kinds: list[str]
    scopes: list[Scope]
    """Distinct scopes; `scope_of[i]` indexes it."""
    scope_of: NDArray[np.int32]
    speakers: list[str | None]
    roles: list[str | None]
    event_at: NDArray[np.int64]
    valid_from: NDArray[np.int64]
    valid_to: NDArray[np.int64]
    """`NEVER` where open."""
    recorded_at: NDArray[np.int64]
    closed_at: NDArray[np.int64]
    ended_at: NDArray[np.int64]
    terms: NDArray[np.int32]
    """Concatenated term integers (see `Lookup`), in text order."""
    term_offsets: NDArray[np.int64]
    """[n + 1]; terms of row i are `terms[term_offsets[i]:term_offsets[i + 1]]`."""
    vectors: NDArray[np.int8] | None
    """[n, dim]; zero rows where there is no vector yet. None when no row has one."""
    scales: NDArray[np.float32]
    """[n]; 0 where there is no vector."""
    closed: list[tuple[str, int, int, int]]
    """`(id, version, closed_at, ended_at)`."""
    embedded: list[tuple[str, int, bytes, float]]
    """`(id, version, data, scale)` of vectors attached after `Scan.vectors_after` to versions not listed here."""


NEVER = 2**63 - 1
"""Microseconds value that stands for 'not closed' or 'no end'."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answer to a batch: one result per operation in order, and the change under which the writes were journaled."""

    change: str | None
    """Id of the change (for undo); None when nothing was journaled."""
    seq: int
    """Last journal position of the store at the time of the batch."""
    results: tuple[Any, ...]


__all__ = [
    "NEVER", "Changes", "Close", "Columns", "Count", "Draft", "Edge", "Edges", "Embed", "Erase", "Find", "Get",
    "History", "JournalEntry", "JournalOp", "Link", "Lookup", "Operation", "Outcome", "Pending", "Put", "ReadOperation",
    "Receipt", "Receipts", "Record", "Reindex", "Restore", "Revise", "Scan", "Source", "Spaces", "Touch", "Unlink",
    "Vector", "View", "WriteOperation", "Written",
]  # fmt: skip
