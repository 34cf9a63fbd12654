"""The contract of record mechanisms: write items, read hits, and what a card may claim beyond that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from remanence.core.mechanism import Mechanism
from remanence.substrates.records.model import Record

ABILITIES = ("update", "forget", "consolidate", "feedback", "reinforce")
"""What `Card.can` may claim; each one switches on its protocol below and the rules for it.

`reinforce` has no verb of its own: it says that reading is a use, and that a use changes what is found later. Without
it a read leaves no trace.
"""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to remember: a message, a sentence, a document. `at` None means the `now` of the write.

    `session` groups items that belong together in time; `meta` holds JSON values.
    """

    text: str
    speaker: str | None = None
    role: str | None = None
    at: datetime | None = None
    session: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """Something remembered: higher `score` is better, and `channels` say which signals it came from.

    `record` is there when the mechanism keeps its memories in a record store. `sources` are the ids, as `write` gave
    them, of the items that it rests on: its own id where it is one of them.
    """

    id: str
    text: str
    score: float
    channels: Mapping[str, float] = field(default_factory=dict)
    record: Record | None = None
    sources: tuple[str, ...] = ()


@runtime_checkable
class RecordMechanism(Mechanism, Protocol):
    """A way to keep and find plaintext. Times are arguments: nothing inside reads a clock."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        """Remember items; their ids in the same order. An id is never used twice, not even after forgetting.

        A mechanism that distils what it is given returns, for each item, the id of what now stands for it.
        """
        ...

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """At most `k` distinct memories for a query, best first; ties in a fixed order. Fewer when fewer are there."""
        ...


@runtime_checkable
class CanUpdate(RecordMechanism, Protocol):
    """Claims `update`."""

    def update(self, id: str, text: str, *, now: datetime) -> None:
        """Replace what is remembered under `id`; later reads show the new text. Errors: `NotFound`."""
        ...


@runtime_checkable
class CanForget(RecordMechanism, Protocol):
    """Claims `forget`."""

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        """Let go of memories, for good: also a restored state does not bring them back. How many were there."""
        ...


@runtime_checkable
class CanConsolidate(RecordMechanism, Protocol):
    """Claims `consolidate`."""

    def consolidate(self, *, now: datetime) -> list[str]:
        """Do the work that the method does between conversations; ids of the memories that it made or changed."""
        ...


@runtime_checkable
class CanLearn(RecordMechanism, Protocol):
    """Claims `feedback`."""

    def feedback(self, ids: Sequence[str], reward: float, *, now: datetime) -> None:
        """Tell how well it went with the memories `ids` (of hits); a higher reward is better. Errors: `NotFound`."""
        ...
