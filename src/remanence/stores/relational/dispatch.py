"""Which function answers which operation. Each gets the transaction and the operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from remanence.stores.relational import erasing, jobs, writing
from remanence.stores.relational.transaction import Transaction
from remanence.substrates.records.operations import (
    Adopt,
    Close,
    Discard,
    Embed,
    Enqueue,
    Erase,
    Jobs,
    Lease,
    Link,
    Operation,
    Put,
    Reindex,
    Renew,
    Requeue,
    Restore,
    Revise,
    Settle,
    Touch,
    Unlink,
)

WITH_JSON: dict[type, Callable[[Any, Any, str], Any]] = {
    Put: writing.put,
    Revise: writing.revise,
    Adopt: writing.adopt,
    Enqueue: jobs.enqueue,
    Settle: jobs.settle,
}
"""These take the canonical JSON of their draft's metadata, or of their payload, besides."""
WRITING: dict[type, Callable[[Any, Any], Any]] = {
    Close: writing.close,
    Restore: writing.restore,
    Link: writing.link,
    Unlink: writing.unlink,
    Embed: writing.embed,
    Reindex: writing.reindex,
    Touch: writing.touch,
    Erase: erasing.erase,
    Lease: jobs.lease,
    Renew: jobs.renew,
    Requeue: jobs.requeue,
    Discard: jobs.discard,
    Jobs: jobs.jobs,
}
"""All others that do not only read records, which every back end asks for in its own way."""
_BLIND = (Put, Adopt, Enqueue)
"""Operations that look at no row which may still wait to be written."""


def answers(
    tx: Transaction[Any],
    operations: Sequence[Operation],
    metas: Iterable[str],
    others: Mapping[type, Callable[[Any, Any], Any]],
) -> tuple[Any, ...]:
    """Answers to the operations of a batch that writes, in order.

    `metas`: what `check_batch` has returned. `others`: who answers what is not in `WITH_JSON`.
    """
    found = []
    for operation, meta in zip(operations, metas, strict=True):
        kind = type(operation)
        if kind not in _BLIND:
            # The others look at rows, so those that wait have to be written first.
            tx.flush()
        act = WITH_JSON.get(kind)
        found.append(others[kind](tx, operation) if act is None else act(tx, operation, meta))
    return tuple(found)
