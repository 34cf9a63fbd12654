"""What a record store is: one atomic method over a closed union of operations, and what it promises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from remanence.core.scope import Scope
from remanence.substrates.records.model import View
from remanence.substrates.records.operations import Operation, Outcome, Receipt

__all__ = ["Inspectable", "RecordStore", "Surveyable", "Tally", "Verification"]


class RecordStore(Protocol):
    """A place where records are kept.

    Promises, held by the store tests on every back end:

    - a batch is atomic: all of its writes are durable when it returns, or none when it raises;
    - reads in a batch see the writes before them; a later batch, from any process, sees all earlier ones;
    - ids are ULIDs given by the store, increasing, never reused, not even after an erasure;
    - system time never runs backwards within a store, whatever the clock does, for leases and due times neither;
    - a job is held by at most one worker at a time, and by none whose lease ran out;
    - nothing outside the batch's scope can be seen, counted, linked or changed.
    """

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        """Run `operations` in order, atomically, under `scope`. `actor` and `why` go to the journal.

        Errors: `InvalidInput` (a malformed operation), `NotFound`, `Conflict`, and the `StoreError` family.
        """
        ...

    def position(self) -> int:
        """Last journal position of the whole store: a cheap check whether anything changed, in any process."""
        ...

    def due(self, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Scope]:
        """Scopes that hold jobs (of these kinds) which could be leased now, in the order in which `Lease` would take
        them. Each is named once; of several ids in a scope none is left out, so it is the scope to lease under."""
        ...

    def close(self) -> None:
        """Release what is held open. Idempotent; later use raises `StoreClosed`."""
        ...


class Tally(NamedTuple):
    """What a view shows of one scope that holds a record."""

    scope: Scope
    memories: int
    """Records that are not derived."""
    first: str | None
    """The lowest id among them; None where there is none."""
    changed: datetime | None
    """When the newest of the versions shown was recorded."""


@runtime_checkable
class Surveyable(Protocol):
    """A store that can say whose records it holds, to those who look after the whole of it."""

    def scopes(self) -> Sequence[Scope]:
        """Every scope that holds a record, open or closed, each once."""
        ...

    def tallies(self, view: View) -> Sequence[Tally]:
        """One for each of `scopes`, counted in one go."""
        ...


class Verification(Protocol):
    """What a search for erased words and ids looked at and found."""

    @property
    def clean(self) -> bool:
        """Whether nothing of what was erased is left."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """`clean`, `findings`, `ids` and `phrases` (how many were looked for), `residue_cleared`, and the sizes of what
        was searched under a name of the store's own.
        """
        ...


@runtime_checkable
class Inspectable(Protocol):
    """A store that lies somewhere, where it can be examined."""

    @property
    def place(self) -> str:
        """Where it lies, for people: a file, or a database without user and password."""
        ...

    def check(self) -> list[str]:
        """What is wrong with it, in sentences; an empty list when all is well. Reads all of it."""
        ...

    def verify_erasure(self, erased: Receipt | Iterable[str], phrases: Sequence[str] = ()) -> Verification:
        """Search all of it for what a receipt or its ids say was erased, and for `phrases`."""
        ...
