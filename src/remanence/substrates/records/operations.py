"""All that can be asked of a record store: a closed union of frozen values, answered one by one.

Writing:  Put  Revise  Close  Restore  Adopt  Link  Unlink  Embed  Reindex  Touch  Erase
Working:  Enqueue  Lease  Renew  Settle  Requeue  Discard   (the outbox; not journaled, so `undo` passes it by)
Reading:  Get  Find  Count  History  Edges  Changes  Scan  Lookup  Pending  Spaces  Receipts  Jobs

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

JournalOp = Literal["put", "revise", "close", "restore", "adopt", "link", "unlink", "reindex", "erase"]


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
class Adopt:
    """Write a record of another store with its identity: all `versions` as they are, oldest first, and its counters.

    Both times of each version stay, so that every view shows it as it did there; what is journaled here is that it
    came. `terms` and `vectors` are those of the versions (what `Record.terms` says is passed over). Sources have to
    exist, here or among the records that the same batch adopts. Answer: `Written` of the newest version.
    Errors: `Conflict` (the id is or was in use), `NotFound` (a source), `InvalidInput` (versions that contradict each
    other, that lie after the store's time, or outside the batch's scope).
    """

    versions: tuple[Record, ...]
    terms: tuple[tuple[str, ...], ...]
    vectors: tuple[Vector | None, ...]


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

    Lineage: what a worker derived (`Record.derived`, of the newest version) goes as a whole when any of its versions
    rests on something that goes: it is made again from what is left. Other records with sources go, version by version,
    when all of the sources go; when some survive they stay and lose the others as sources.
    Cannot be undone. Answer: `Receipt`. Unknown ids are `NotFound`.
    """

    ids: tuple[str, ...] | None
    reason: str = ""


JobState = Literal["waiting", "leased", "dead"]


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Put work into the outbox, in the same transaction as what it is about. Answer: the job's id.

    The job remembers the change of its own batch (`Job.change`), so that its worker finds what was written; a batch
    that only enqueues makes no change. `payload` is JSON of at most `MAX_PAYLOAD` bytes and holds ids and settings,
    never text. With a `key`, a waiting job of the same scope, kind and key is answered as it is, instead of a second
    one: its change, payload and `due` stay those of the first. `scope` None means the scope of the batch.
    """

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    due: datetime | None = None
    """Not before this; at once when None."""
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Take jobs for `seconds`: waiting ones that are due, and leased ones whose lease ran out. Those come first that
    have been ready for the longest, then the older ones. Each lease counts as an attempt.

    Answer: `tuple[Job, ...]` in that order. `seconds` is at most a year.
    """

    worker: str
    """A name that no two workers share, be they threads of one process."""
    kinds: tuple[str, ...] | None = None
    limit: int = 1
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Renew:
    """Hold leases for `seconds` from now on. Answer: ids still held; the leases of the others ran out."""

    worker: str
    ids: tuple[str, ...]
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Settle:
    """End a lease. Answer: True. `Conflict` when `worker` does not hold it (any more), be it that the lease ran out,
    that it went to somebody else, or that there is no such job: then the whole batch is undone, so that what the worker
    wrote in it happens once or not at all.

    `outcome` "done" removes the job; "retry" makes it wait until `due` (None: it may be leased at once); "dead" sets it
    aside with its error for a person to look at. `payload` replaces the job's own (how far it came). Of `error` the
    first `outbox.MAX_ERROR` characters are kept.
    """

    id: str
    worker: str
    outcome: Literal["done", "retry", "dead"] = "done"
    error: str = ""
    due: datetime | None = None
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Let dead or waiting jobs be due at once, with their attempts forgotten; None: all dead ones. Answer: how many."""

    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove jobs that nobody holds (any more). Answer: how many."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs by id (so by age). Answer: `tuple[Job, ...]`; with `limit=0` a mapping from `(kind, state)` to counts."""

    states: tuple[JobState, ...] | None = None
    kinds: tuple[str, ...] | None = None
    limit: int = 100
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work in the outbox."""

    id: str
    scope: Scope
    kind: str
    key: str | None
    payload: Mapping[str, Any]
    change: str | None
    """Change of the batch that enqueued it; None when that wrote nothing else."""
    state: JobState
    attempts: int
    created_at: datetime
    due: datetime
    worker: str | None
    leased_until: datetime | None
    error: str
    """What the last attempt said; erasing anything that the work may have read empties it."""


@dataclass(frozen=True, slots=True)
class Get:
    """Versions by id that `view` shows, in order of `ids`. Answer: `tuple[Record | None, ...]`."""

    ids: tuple[str, ...]
    view: View


@dataclass(frozen=True, slots=True)
class Find:
    """Records that `view` shows, by id (so by creation). Answer: `tuple[Record, ...]`.

    `where` is a predicate in the operator language of `filters.py`; `kinds` None means all; `after` is the id to
    continue from (exclusive); `newest_first` turns the order around. `closed` adds the newest version of every record
    that the view does not show: what is over, deleted or known too late.
    """

    view: View
    kinds: tuple[str, ...] | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = 100
    after: str | None = None
    newest_first: bool = False
    closed: bool = False
    derived: bool | None = None
    """False leaves out what was derived from other records, True all else."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many records `view` shows. Answer: int."""

    view: View
    kinds: tuple[str, ...] | None = None
    derived: bool | None = None
    """As in `Find`."""


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
    """Journal entries with `since < seq <= until`, oldest first; of one change or one record when given.

    Answer: `tuple[JournalEntry, ...]`.
    """

    since: int = 0
    change: str | None = None
    id: str | None = None
    limit: int | None = None
    until: int | None = None


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


WriteOperation = Put | Revise | Close | Restore | Adopt | Link | Unlink | Embed | Reindex | Touch | Erase
WorkOperation = Enqueue | Lease | Renew | Settle | Requeue | Discard
ReadOperation = Get | Find | Count | History | Edges | Changes | Scan | Lookup | Pending | Spaces | Receipts | Jobs
Operation = WriteOperation | WorkOperation | ReadOperation


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
    """Ids that went because of what their sources were."""
    kept: tuple[str, ...]
    """Records that lost a source, or a version, but stay."""
    counts: Mapping[str, int]
    """Rows destroyed by kind of row: versions, vectors, edges, usage, journal, terms."""
    again: tuple[str, ...] = ()
    """Surviving records, not derived themselves, on which destroyed derived ones rested too: what they can be made
    from again."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of the journal. `version` is the version written, closed or reindexed; 0 for edges, erasures.

    `detail` holds what undo needs and never any text of a record: `{"previous": 1}` for a revision (version closed),
    the edge for links, `{"open": true}` for an adopted version, the receipt id for erasures.
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
    origins: list[str | None]
    hidden: NDArray[np.bool_]
    """Whether the version's state or trust puts it away (`is_hidden`)."""
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


MAX_PAYLOAD = 64 * 1024
"""Bytes of JSON that a job may carry."""

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
    "MAX_PAYLOAD",
    "NEVER",
    "Adopt",
    "Changes",
    "Close",
    "Columns",
    "Count",
    "Discard",
    "Draft",
    "Edge",
    "Edges",
    "Embed",
    "Enqueue",
    "Erase",
    "Find",
    "Get",
    "History",
    "Job",
    "JobState",
    "Jobs",
    "JournalEntry",
    "JournalOp",
    "Lease",
    "Link",
    "Lookup",
    "Operation",
    "Outcome",
    "Pending",
    "Put",
    "ReadOperation",
    "Receipt",
    "Receipts",
    "Record",
    "Reindex",
    "Renew",
    "Requeue",
    "Restore",
    "Revise",
    "Scan",
    "Settle",
    "Source",
    "Spaces",
    "Touch",
    "Unlink",
    "Vector",
    "View",
    "WorkOperation",
    "WriteOperation",
    "Written",
]  # fmt: skip
