"""How often a job was tried, and which of its attempts count against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from remanence.substrates.records.operations import Job

__all__ = ["Tries"]


@dataclass(frozen=True, slots=True)
class Tries:
    """What became of a job's earlier attempts. The store counts leases; this is kept in the job's payload beside."""

    free: int = 0
    """Leases that ended well: given back, put off, or with progress."""
    failed: int = 0
    """Those that ended with an error."""

    @classmethod
    def of(cls, job: Job) -> Self:
        """Those of a job that was just leased."""
        free, failed = job.payload.get("tries", (0, 0))
        # Whoever requeues a job forgets its attempts, and so does this.
        return cls(free, failed) if free + failed < job.attempts else cls()

    def losses(self, job: Job) -> int:
        """Earlier leases that nobody ended."""
        return job.attempts - 1 - self.free - self.failed

    @property
    def payload(self) -> dict[str, Any]:
        """As part of the job's payload."""
        return {"tries": [self.free, self.failed]}

    def excused(self) -> Self:
        """One more lease that ended well."""
        return replace(self, free=self.free + 1)

    def failing(self) -> Self:
        """One more that failed."""
        return replace(self, failed=self.failed + 1)
