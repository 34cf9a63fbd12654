"""Whose turn it is to write: one thread of a process at a time, which does along what the others wait to write.

A commit waits for the disk, and that wait is the same for one batch and for twenty. So a thread leaves what it wants
done in a queue before it waits for its turn; when that comes, the thread before it has mostly done it already.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from remanence.core.errors import StoreBusy, StoreUncertain
from remanence.core.scope import Scope
from remanence.substrates.records.operations import Operation, Outcome

__all__ = ["MOST", "Batch", "Turns", "copied"]

MOST: Final = 256
"""Operations that are committed together, unless one batch alone has more: nobody waits long for what others add."""


@dataclass(eq=False, slots=True)
class Batch:
    """A batch to write, and what came of it: an outcome or an error once it is done."""

    operations: Sequence[Operation]
    metas: Sequence[str]
    scope: Scope
    actor: str
    why: str
    alone: bool
    """Whether it must not share a transaction."""
    outcome: Outcome | None = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether it was committed, or refused."""
        return self.outcome is not None or self.error is not None


class Turns:
    """The queue of one store in one process. Thread-safe. `timeout`: seconds to wait for a turn."""

    def __init__(self, name: str, timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._writer = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: deque[Batch] = deque()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """A block in which no other thread writes. Raises `StoreBusy`."""
        if not self._writer.acquire(timeout=self._timeout):
            raise StoreBusy(
                f"other threads wrote to {self._name} for more than {self._timeout:g} s; nothing was kept, try again"
            )
        try:
            yield
        finally:
            self._writer.release()

    def write(self, batch: Batch, commit: Callable[[Sequence[Batch]], None]) -> Outcome:
        """Have a batch committed, by this thread or by another.

        `commit` gets batches to commit together, in the order in which they came, and gives each an outcome or an
        error. Raises the batch's error, and `StoreBusy`, after which it will not be written.
        """
        with self._lock:
            self._waiting.append(batch)
        try:
            with self.hold():
                while not batch.done:
                    self._run(commit)
        except StoreBusy:
            if self._withdraw(batch):
                raise
            # Another thread took it along in the last moment, and has the turn until it is done.
            with self._writer:
                pass
        except BaseException:
            self._withdraw(batch)
            raise
        if batch.error is not None:
            raise batch.error
        assert batch.outcome is not None, "a batch that is done has an outcome or an error"
        return batch.outcome

    def acquire(self, timeout: float) -> bool:
        """Take the turn for as long as no batch may begin; whether it came within `timeout` seconds."""
        return self._writer.acquire(timeout=timeout)

    def release(self) -> None:
        """Give back what `acquire` took."""
        self._writer.release()

    def _run(self, commit: Callable[[Sequence[Batch]], None]) -> None:
        taken = self._take()
        try:
            commit(taken)
        finally:
            for batch in taken:
                if not batch.done:
                    batch.error = StoreUncertain(
                        f"the thread that wrote to {self._name} for this one was interrupted; it was kept whole or not "
                        "at all, look before you try again"
                    )

    def _take(self) -> list[Batch]:
        """The batches that come next: as many as may share a transaction."""
        with self._lock:
            taken = [self._waiting.popleft()]
            size = len(taken[0].operations)
            while self._waiting and not taken[0].alone and not self._waiting[0].alone:
                size += len(self._waiting[0].operations)
                if size > MOST:
                    break
                taken.append(self._waiting.popleft())
            return taken

    def _withdraw(self, batch: Batch) -> bool:
        """Take a batch out of the queue; whether it was still there."""
        with self._lock:
            if batch not in self._waiting:
                return False
            self._waiting.remove(batch)
            return True


def copied(error: Exception) -> Exception:
    """An error like another, for a thread of its own: raising adds to an error where it was raised."""
    made = copy.copy(error)
    made.__cause__ = error.__cause__
    return made
