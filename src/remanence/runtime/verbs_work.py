"""The verbs of `Memory` that see to what is still to be worked out: jobs, and running them here and now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Unpack

from remanence.runtime import outbox, worker
from remanence.runtime.arguments import Ids, limit_of
from remanence.runtime.outbox import JobRow
from remanence.runtime.verbs import Filters, Verbs

if TYPE_CHECKING:
    from remanence.runtime.working import WorkReport

__all__ = ["WorkVerbs"]


class WorkVerbs(Verbs):
    """What was noted down together with the words, and is worked out after them."""

    def work(
        self,
        *,
        seconds: float | None = None,
        limit: int | None = None,
        everywhere: bool = False,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> WorkReport:
        """Do now what a worker would do later: facts, episodes and the like from what was added.

        Args:
            seconds: stop after about so long; until nothing is due if left out.
            limit: stop after so many jobs.
            everywhere: in the whole store instead of one scope, for those who look after it.

        Returns:
            Counts: `done`, `retried`, `dead`, `lost` (another worker was faster), `turns`, `seconds`, and `left`.

        """
        scope = None if everywhere else self._whom("work", ids, filters)
        from remanence.runtime import working

        return working.drain(self._engine, scope, seconds=seconds, limit=limit)

    def jobs(
        self,
        *,
        states: Sequence[str] | None = None,
        limit: int | None = None,
        after: str | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> list[JobRow]:
        """What is still to be worked out in a scope, oldest first; 100 if no limit is given.

        Args:
            states: "waiting", "leased" (somebody is at it) or "dead" (it failed too often; `error` says why).
            limit: how many at most.
            after: only jobs after the one of this id; to go on, that of the last one listed.

        """
        scope = self._whom("jobs", ids, filters)
        return outbox.jobs(self._engine, scope, states=states, limit=limit_of(limit, None, 100), after=after)

    def retry_jobs(
        self, job_ids: Sequence[str] | None = None, *, filters: Filters | None = None, **ids: Unpack[Ids]
    ) -> int:
        """Let these jobs be tried again at once; all dead ones if none are named. Answer: how many."""
        return outbox.retry_jobs(self._engine, self._whom("retry_jobs", ids, filters), job_ids)

    def discard_jobs(self, job_ids: Sequence[str], *, filters: Filters | None = None, **ids: Unpack[Ids]) -> int:
        """Give these jobs up; what they would have worked out is not. Answer: how many nobody was at."""
        return outbox.discard_jobs(self._engine, self._whom("discard_jobs", ids, filters), job_ids)

    def run_worker(
        self,
        *,
        once: bool = False,
        seconds: float | None = None,
        poll: float = 1.0,
        stop: threading.Event | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> WorkReport:
        """Be a worker for the whole store: do what is due, wait for more, until told to end.

        Args:
            once: end when nothing is due.
            seconds: end after about so long.
            poll: seconds between two looks at a store where nothing is due.
            stop: ends it from another thread, after the job at hand.
            tell: called with a line about each piece of work.

        """
        return worker.work(self._engine, once=once, seconds=seconds, poll=poll, stop=stop, tell=tell)
