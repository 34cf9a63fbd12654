"""Threads in which requests are worked on, and whose turn it is."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from remanence.server.errors import Overloaded

__all__ = ["PATIENCE", "Lane"]

T = TypeVar("T")

PATIENCE: Final = 0.05
"""Seconds for which a search waits for the one before it."""
_FULL: Final = "too many requests wait already; come back in a moment"


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """What waits: the work, whether it goes alone, and what tells how it ended."""

    work: Callable[[], Any]
    alone: bool
    future: Future[Any]


class Lane:
    """Threads for one sort of request. `queue`: how many may wait; `share`: how many threads one caller may hold.

    Callers take turns (round robin, RFC 970): a thousand requests of one caller wait behind each other, and what
    somebody else asks comes next. When the queue is full, the last request of the longest line has to go, which may be
    the new one.

    Python runs one thread at a time, and those that take turns within a search only slow each other down. So what
    computes goes alone, unless the one before it takes longer than `PATIENCE`; what waits for the disk does not.
    """

    def __init__(self, name: str, threads: int, queue: int, share: int | None = None) -> None:
        self._name = name
        self._threads = threads
        self._room = threads + queue
        self._share = threads if share is None else share
        self._pool: ThreadPoolExecutor | None = None
        self._turn = threading.Semaphore()
        self._lock = threading.Lock()
        # Callers with something waiting, the next one first.
        self._lines: OrderedDict[str, deque[_Request]] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Requests that wait or are worked on."""
        return self._waiting

    def run(self, whose: str, work: Callable[[], T], *, alone: bool = False) -> Future[T]:
        """Let something be done in a thread when it is the caller's turn; until then it can be cancelled.

        Raises `Overloaded` when enough wait already, and the future does when it had to make room for others.
        """
        future: Future[T] = Future()
        request = _Request(work, alone, future)
        with self._lock:
            dropped = self._dropped(whose) if self._waiting >= self._room else None
            self._lines.setdefault(whose, deque()).append(request)
            self._waiting += 1
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=f"remanence-{self._name}")
            pool = self._pool
        future.add_done_callback(partial(self._left, whose, request))
        if dropped is not None and dropped.future.set_running_or_notify_cancel():
            dropped.future.set_exception(Overloaded(_FULL))
        pool.submit(self._serve)
        return future

    def close(self) -> None:
        """Let what runs end; what waits is cancelled."""
        with self._lock:
            pool, self._pool = self._pool, None
            left = [request for line in self._lines.values() for request in line]
            self._lines.clear()
        for request in left:
            request.future.cancel()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _dropped(self, whose: str) -> _Request:
        """The request that goes so that another one of `whose` may come."""
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=whose)
        line = self._lines.get(longest, ())
        if len(line) <= len(self._lines.get(whose, ())) + 1:
            raise Overloaded(_FULL)
        return self._lines[longest].pop()

    def _serve(self) -> None:
        """Work on what waits, until there is nothing that may be begun."""
        whose = None
        while (turn := self._next(whose)) is not None:
            whose, request = turn
            if request.future.set_running_or_notify_cancel():
                self._work(request)

    def _next(self, served: str | None) -> tuple[str, _Request] | None:
        """Whose turn it is, now that `served` holds one thread less."""
        with self._lock:
            if served is not None:
                self._held[served] -= 1
                if not self._held[served]:
                    del self._held[served]
            whose = next((name for name in self._lines if self._held[name] < self._share), None)
            if whose is None:
                return None
            line = self._lines.pop(whose)
            request = line.popleft()
            if line:
                self._lines[whose] = line
            self._held[whose] += 1
            return whose, request

    def _work(self, request: _Request) -> None:
        try:
            outcome = self._outcome(request)
        except BaseException as error:
            # Whoever waits for it hears of it, whatever it is.
            request.future.set_exception(error)
        else:
            request.future.set_result(outcome)

    def _outcome(self, request: _Request) -> Any:
        """What the work returns. The next one's turn has come before anybody is told."""
        first = request.alone and self._turn.acquire(timeout=PATIENCE)
        try:
            return request.work()
        finally:
            if first:
                self._turn.release()

    def _left(self, whose: str, request: _Request, future: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1
            line = self._lines.get(whose)
            if line is not None and future.cancelled() and request in line:
                line.remove(request)
                if not line:
                    del self._lines[whose]
