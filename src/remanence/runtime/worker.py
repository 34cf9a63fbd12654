"""Who works on jobs: a thread behind a `Memory`, which keeps out of the way, or a process of its own."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from remanence.core.errors import StoreClosed, StoreError
from remanence.substrates.records.operations import Enqueue, Operation

if TYPE_CHECKING:
    from remanence.runtime.engine import Engine
    from remanence.runtime.working import WorkReport

__all__ = ["VARIABLE", "Background", "background", "work"]

VARIABLE: Final = "REMANENCE_BACKGROUND"
"""Environment variable that keeps all processes from starting the thread when it is "0"."""
QUIET: Final = 0.05
"""Seconds without any call before the thread begins."""
PATIENCE: Final = 2.0
"""Seconds after which it begins although there are calls."""
WAITING: Final = 9.0
"""How many times as long as its last step computed it waits at least before it begins although there are calls: of a
processor that others wait for it takes a tenth, however slow the machine or large the step."""
POLL: Final = 30.0
"""Seconds between looks at what was put off, or left by other processes."""
JOBS: Final = 64
TURNS: Final = 50
"""Turns per step in the background: few, so that a call that comes meanwhile does not wait for long."""
_LONGEST_PAUSE: Final = 300.0
_AFTER_ERRORS: Final = 2.0
_STOPPING: Final = 10.0
_COUNTED: Final = ("done", "retried", "dead", "lost", "turns")


def background(engine: Engine) -> Background | None:
    """The thread of an engine; None where the environment does not want one. It starts with the first write."""
    return None if os.environ.get(VARIABLE) == "0" else Background(engine)


class Background:
    """Works on jobs while nobody waits for an answer. Thread-safe; nothing runs before the first write.

    The thread dies with the engine, with the process, or by `stop`, at the end of the step it is at; after a fork the
    child starts one of its own when it writes. What goes wrong is told by `status` and tried again later.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine, self._forsaken)
        self._step = threading.Lock()
        self._wake = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ident: int | None = None
        self._last_call = float("-inf")
        self._stopped = False
        self._watched = False
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._error = ""
        self._failures = 0
        self._took = 0.0

    def foreground(self) -> None:
        """Somebody waits for an answer: keep out of the way."""
        if threading.get_ident() != self._ident:
            self._last_call = time.monotonic()

    def wrote(self, operations: Sequence[Operation]) -> None:
        """Something was written; start working if there are jobs in it."""
        self.foreground()
        if self._stopped or not any(type(operation) is Enqueue for operation in operations):
            return
        if self._thread is None:
            self._begin()
        self._wake.set()

    def stop(self) -> None:
        """End the thread at the end of the step it is at. Idempotent."""
        self._stopped = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOPPING)
        atexit.unregister(self.stop)

    @contextmanager
    def aside(self, patience: float) -> Iterator[None]:
        """Keep the thread from beginning a step while the block runs; one that takes longer than `patience` seconds, as
        with a model, is not waited for.
        """
        held = self._step.acquire(timeout=patience)
        try:
            yield
        finally:
            if held:
                self._step.release()

    def status(self) -> dict[str, Any]:
        """What the thread is doing, what it did, and what went wrong last."""
        thread = self._thread
        return {
            "running": thread is not None and thread.is_alive(),
            "working": self._step.locked(),
            **self._counts,
            "last_error": self._error,
        }

    def _begin(self) -> None:
        with self._start:
            if self._thread is not None or self._stopped:
                return
            if not self._watched:
                self._watched = True
                _survive_forks(self)
            # A thread that is killed in the middle of something would be worse than one that is waited for.
            atexit.register(self.stop)
            self._thread = threading.Thread(target=self._run, name="remanence-worker", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._ident = threading.get_ident()
        pause = 0.0
        while not self._stopped:
            self._wake.wait(pause)
            self._wake.clear()
            if self._quiet():
                pause = self._once()
        atexit.unregister(self.stop)

    def _once(self) -> float:
        """One step, and how long to wait for the next one unless something is written."""
        from remanence.runtime.working import Shift

        engine = self._engine()
        if engine is None or self._stopped:
            return 0.0
        # One per step, because it holds on to the engine, which must not be kept alive by this thread.
        shift = Shift(engine, most_jobs=JOBS, most_turns=TURNS)
        begun = time.thread_time()
        try:
            with self._step:
                worked = shift.step(stop=self._interrupted)
        except StoreClosed:
            self._stopped = True
            return 0.0
        except Exception as error:
            # Whatever it is, the jobs are safe in the store, and somebody has to keep trying.
            self._failures += 1
            self._error = f"{type(error).__name__}: {error}"
            return min(_LONGEST_PAUSE, 2.0 ** min(self._failures, 16))
        self._failures = 0
        self._took = time.thread_time() - begun
        for name in _COUNTED:
            self._counts[name] += getattr(shift.tally, name)
        if shift.tally.errors:
            self._error = shift.tally.errors[-1]
            return _AFTER_ERRORS
        return 0.0 if worked else QUIET if shift.blocked else POLL

    def _quiet(self) -> bool:
        """Wait until nobody has called for a moment, but not for ever; False when the thread is to end."""
        begun = time.monotonic()
        patience = max(PATIENCE, WAITING * self._took)
        while not self._stopped:
            now = time.monotonic()
            idle = now - self._last_call
            if idle >= QUIET or now - begun >= patience:
                return True
            time.sleep(min(QUIET - idle, patience - (now - begun)) + 0.001)
        return False

    def _interrupted(self) -> bool:
        return self._stopped or time.monotonic() - self._last_call < QUIET

    def _forsaken(self, _: object) -> None:
        self._stopped = True
        self._wake.set()

    def _hold(self) -> None:
        """Before a fork: let the step end, so that the child inherits no lock that a thread was holding."""
        self._held = self._step.acquire(timeout=_STOPPING)

    def _go_on(self) -> None:
        if self._held:
            self._step.release()

    def _begin_anew(self) -> None:
        """In the child of a fork there is no thread any more."""
        self._step, self._start, self._wake = threading.Lock(), threading.Lock(), threading.Event()
        self._thread = self._ident = None

    _held = False


def _survive_forks(thread: Background) -> None:
    """Handlers of forks cannot be taken back, so they hold on to nothing."""
    known = weakref.ref(thread)

    def call(name: str) -> Callable[[], None]:
        def run() -> None:
            alive = known()
            if alive is not None:
                getattr(alive, name)()

        return run

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=call("_hold"), after_in_parent=call("_go_on"), after_in_child=call("_begin_anew"))


def work(
    engine: Engine,
    *,
    once: bool = False,
    seconds: float | None = None,
    poll: float = 1.0,
    stop: threading.Event | None = None,
    tell: Callable[[str], None] | None = None,
) -> WorkReport:
    """Work on the jobs of the whole store until `stop` is set, `seconds` are over, or with `once` nothing is due.

    Several of these may work on one store, beside threads of other processes. `poll`: seconds between looks at a store
    without work. `tell` is called with what goes wrong; a store that cannot be used at present is tried again.

    Errors: `StoreError` only with `once`.
    """
    from remanence.runtime.working import Shift

    over = stop or threading.Event()
    started = time.monotonic()
    shift = Shift(engine)
    failures = 0

    def ended() -> bool:
        return over.is_set() or (seconds is not None and time.monotonic() - started >= seconds)

    while not ended():
        try:
            worked = shift.step(stop=ended)
        except StoreClosed:
            raise
        except StoreError as error:
            if once:
                raise
            failures += 1
            if tell is not None:
                tell(str(error))
            pause = min(_LONGEST_PAUSE, poll * 2.0 ** min(failures, 16))
        else:
            failures = 0
            for words in shift.tally.errors:
                if tell is not None:
                    tell(words)
            shift.tally.errors.clear()
            if worked:
                continue
            if once and not shift.blocked:
                break
            pause = min(poll, QUIET) if shift.blocked else poll
        left = pause if seconds is None else min(pause, max(0.0, seconds - (time.monotonic() - started)))
        over.wait(left)
    tally = shift.tally
    return {
        "done": tally.done,
        "retried": tally.retried,
        "dead": tally.dead,
        "lost": tally.lost,
        "turns": tally.turns,
        "seconds": round(time.monotonic() - started, 3),
        "left": False,
    }
