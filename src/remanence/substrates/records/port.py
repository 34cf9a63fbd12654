"""What a record store is: one atomic method over a closed union of operations, and what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remanence.core.scope import Scope
from remanence.substrates.records.operations import Operation, Outcome


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
