"""What the routes stand on: one memory, its keys, and threads in which its verbs run."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.responses import Response

from remanence.core.clock import Clock, parse_time, utc_now
from remanence.core.errors import InvalidInput, NotFound, StoreError, StoreUncertain
from remanence.core.scope import Scope
from remanence.runtime.engine import open_store
from remanence.runtime.memory import Memory
from remanence.server.access import ANY, PERMIT, Permit, Principal, guard
from remanence.server.errors import BadRequest, Forbidden, Overloaded, TimedOut, Unauthenticated
from remanence.server.idempotency import Answer, InProgress, Requests, Ticket
from remanence.server.keys import Keys
from remanence.server.lanes import Lane
from remanence.server.limits import Buckets
from remanence.server.metrics import Metrics
from remanence.server.places import is_database, server_tables
from remanence.server.settings import Settings
from remanence.substrates.records.model import View
from remanence.substrates.records.port import Surveyable, Tally

__all__ = ["ACTOR", "Call", "Service", "Work", "encoded", "found_or_missing", "service_of"]

T = TypeVar("T")

ACTOR: Final = ""
"""Author of changes that no request made; those of a request carry the name of its key."""
_KEY_LENGTH: Final = 255
_PATIENCE: Final = timedelta(minutes=2)
_WAIT: Final = 5.0
"""Seconds for which a key, or a note of a request, is waited for."""
_DOOR: Final = 4
"""Threads in which keys are looked up that lie in a database."""
_PAUSE: Final = 0.02
"""Seconds after which a request is looked at again that another one like it is working on."""
LOG: Final = logging.getLogger("remanence.server")

Work = Callable[["Call"], Any]
"""A verb to run: from what is known of the call to its answer, which JSON can hold."""


class Call:
    """One request as a verb needs it: the memory, and the ids that it may use."""

    __slots__ = ("filters", "ids", "memory", "principal", "request_id", "service")

    def __init__(
        self,
        service: Service,
        principal: Principal,
        ids: Mapping[str, object],
        filters: Mapping[str, Any] | None,
        request_id: str,
    ) -> None:
        self.service = service
        self.memory = service.memory
        self.principal = principal
        self.request_id = request_id
        # `Ids` of the verbs, completed by those that the key is bound to.
        self.ids: dict[str, Any]
        self.ids, self.filters = principal.narrow(ids, filters)


class Service:
    """Everything behind the routes of one application. `memory`: an open one, which the caller closes."""

    def __init__(
        self, settings: Settings, memory: Memory | None = None, *, clock: Clock = utc_now, keys: Keys | None = None
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.buckets = Buckets(settings.rate, settings.burst)
        self._given = memory
        self._clock = clock
        self._memory: Memory | None = None
        self._opening = threading.Lock()
        self._keys = keys
        self._quick = Lane("quick", settings.threads, settings.queue)
        # One thread is left to others, for whom it would be a long time.
        self._slow = Lane("slow", settings.threads, settings.queue, share=max(1, settings.threads - 1))
        place = settings.requests_place
        # Each thread of the lanes may hold a key or note a request, while others at the door look keys up.
        self._tables = {
            address: server_tables(address, timeout=_WAIT, pool_size=2 * settings.threads + _DOOR)
            for address in {settings.keys, place}
            if address is not None and is_database(address)
        }
        self._door = Lane("door", _DOOR, settings.queue)
        self._requests = Requests(
            place if place is None else self._tables.get(place, place),
            clock=clock,
            patience=timedelta(seconds=settings.timeout) + _PATIENCE,
        )
        self._public: set[tuple[str, str]] = set()
        self._public_folders: list[str] = []
        self._large: set[str] = set()

    @property
    def memory(self) -> Memory:
        """The memory; opened with the first call, and once whoever calls at the same time."""
        if self._memory is None:
            with self._opening:
                if self._memory is None:
                    self._memory = self._opened()
        return self._memory

    def _opened(self) -> Memory:
        settings = self.settings
        if self._given is not None:
            guard(self._given.store)
            return self._given
        return Memory(
            store=guard(open_store(settings.path, self._clock)),
            clock=self._clock,
            embedder=settings.embedder,
            language=settings.language,
            llm=settings.llm,
            actor=ACTOR,
            background=settings.background,
        )

    @property
    def keys(self) -> Keys:
        """The keys. Raises `InvalidInput` for a store in memory without a file of them."""
        if self._keys is None:
            place = self.settings.keys_place
            # A caller waits while a change of the keys is written, but not for ever: then nobody is let in.
            self._keys = Keys(self._tables.get(place, place), clock=self._clock, timeout=_WAIT)
        return self._keys

    async def at_the_door(self, work: Callable[[], T]) -> T:
        """Look at keys: at once where they lie in a file, in a thread where they lie in a database.

        Raises `Overloaded` when enough callers wait at the door already.
        """
        if not is_database(self.settings.keys or self.settings.path):
            return work()
        with self._counted():
            return await asyncio.wrap_future(self._door.run("", work))

    def is_open(self) -> bool:
        """Whether callers on this machine need no key: told so, or not told otherwise while no key was ever made."""
        settings = self.settings
        if settings.auth is None:
            return not settings.has_keys or not self.keys.exist()
        return settings.auth is False

    def public(self, path: str, *methods: str) -> None:
        """Let everybody read a path, or with a `/` at its end all below it. For what holds nothing of anybody."""
        if path.endswith("/") and len(path) > 1:
            self._public_folders.append(path)
        self._public.update((method, path) for method in (methods or ("GET", "HEAD")))

    def is_public(self, method: str, path: str) -> bool:
        """Whether a request needs no key."""
        if (method, path) in self._public:
            return True
        return method in ("GET", "HEAD") and any(path.startswith(folder) for folder in self._public_folders)

    def large(self, path: str) -> None:
        """Let a path take bodies as large as imports, which its route has to read in portions."""
        self._large.add(path)

    def is_large(self, path: str) -> bool:
        """Whether a path takes large bodies."""
        return path in self._large

    def principal(self, request: Request, right: str) -> Principal:
        """Who sent a request, with the right to it. Raises `Unauthenticated`, `Forbidden`."""
        principal: Principal | None = getattr(request.state, "principal", None)
        if principal is None:
            raise Unauthenticated("a valid key is needed")
        principal.require(right)
        return principal

    def now(self) -> datetime:
        """The time."""
        return parse_time(self._clock()).astimezone(UTC)

    def places(self, principal: Principal, ids: Mapping[str, str]) -> list[Scope]:
        """Scopes that hold something, as far as a principal and a call reach, in order.

        Raises `InvalidInput` for a store that cannot tell.
        """
        if not isinstance(self.memory.store, Surveyable):
            raise InvalidInput("this store cannot list its scopes")
        wanted = [
            place
            for place in self.memory.store.scopes()
            if principal.covers(place) and all(getattr(place, name) == value for name, value in ids.items())
        ]
        return sorted(wanted, key=lambda place: tuple(place.items()))

    def tallies(self, principal: Principal, ids: Mapping[str, str]) -> list[Tally]:
        """How many memories hold now in each of `places`, counted in one go. Errors as `places`."""
        if not isinstance(self.memory.store, Surveyable):
            raise InvalidInput("this store cannot list its scopes")
        return [
            tally
            for tally in self.memory.store.tallies(View(self.now()))
            if principal.covers(tally.scope) and all(getattr(tally.scope, name) == value for name, value in ids.items())
        ]

    def everywhere(self, request: Request) -> Principal:
        """Who sent a request, with the right to look after the whole store. Errors as `principal`."""
        principal = self.principal(request, "admin")
        if not principal.everywhere:
            raise Forbidden("this takes a key that is not bound to a scope")
        return principal

    async def call(
        self,
        request: Request,
        right: str,
        work: Work,
        ids: Mapping[str, object] | None = None,
        *,
        filters: Mapping[str, Any] | None = None,
        once: bool = False,
        status: int = 200,
        seconds: float | None = None,
        slow: bool = False,
    ) -> Response:
        """Run a verb in a thread and answer with what it returns, as JSON.

        Args:
            request: whose request.
            right: what it takes.
            work: the verb.
            ids: the scope ids that the request names.
            filters: the filter that it names, which may hold such ids too.
            once: whether an `Idempotency-Key` is honoured.
            status: of the answer.
            seconds: how long it may take; as the settings say if left out.
            slow: whether it may take long, so that quick ones must not queue behind it.

        Raises:
            RemanenceError: what the verb, the key and the limits of the server raise.

        """
        principal = self.principal(request, right)
        call = Call(self, principal, ids or {}, filters, request.state.request_id)
        key = request.headers.get("idempotency-key") if once else None
        if key is not None and not (0 < len(key) <= _KEY_LENGTH and key.isprintable()):
            raise BadRequest(f"Idempotency-Key must be up to {_KEY_LENGTH} printable characters")
        if key is None:
            writes = right not in ("read", ANY)
            body = await self.run(principal, lambda: encoded(work(call)), seconds, writes=writes, slow=slow)
            return Response(body, status, media_type="application/json")
        sent = await request.body()
        left, pause = seconds or self.settings.timeout, _PAUSE
        while True:
            try:
                answer = await self.run(
                    principal,
                    lambda: self._once(call, work, request, key, sent, status),
                    seconds,
                    writes=True,
                    slow=slow,
                )
                return Response(answer.body, answer.status, media_type="application/json")
            except InProgress:
                # Whoever works on it, here or on another host, has the answer soon; no thread waits for that.
                if left < pause:
                    raise
                await asyncio.sleep(pause)
                left, pause = left - pause, min(2 * pause, 1.0)

    async def run(
        self,
        principal: Principal | None,
        work: Callable[[], T],
        seconds: float | None = None,
        *,
        writes: bool = False,
        slow: bool = False,
    ) -> T:
        """Run something in a thread when it is the turn of `principal`; None: of those who need no key.

        Args:
            principal: whose turn it takes, and by whose leave it is written.
            work: what to run.
            seconds: how long it may take; as the settings say if left out.
            writes: whether it may write for the principal.
            slow: as in `call`.

        Raises:
            Overloaded: enough requests wait already.
            TimedOut: it took too long; it goes on, but begins no further write. If it waits still, it is not begun.

        """
        lane = self._slow if slow else self._quick
        key_id = None if principal is None else principal.key_id
        # A reader's counts of uses are the server's own bookkeeping, and so is what it works out before it answers.
        permit = Permit(principal, None if key_id is None else self.keys) if writes and principal is not None else None
        patience = seconds or self.settings.timeout
        with self._counted():
            running = lane.run(key_id or "", partial(_under, permit, work), alone=permit is None and not slow)
            future = asyncio.wrap_future(running)
            future.add_done_callback(_heard)
            try:
                done, _ = await asyncio.wait((future,), timeout=patience)
                if done:
                    return future.result()
            finally:
                # For whoever gave up waiting, or left: what has not begun does not begin any more.
                dropped = running.cancel()
        if permit is not None:
            permit.over = True
        self.metrics.refused("time")
        raise TimedOut(
            f"the request waited {patience:g} s for its turn; nothing of it was done"
            if dropped
            else f"the request took more than {patience:g} s; it may have been done in part"
        )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A block that counts what is refused for want of room."""
        try:
            yield
        except Overloaded:
            self.metrics.refused("room")
            raise

    def close(self) -> None:
        """Let running requests end, and close what was opened here."""
        self._door.close()
        self._quick.close()
        self._slow.close()
        if self._memory is not None and self._given is None:
            # It was handed to the memory, which leaves it to us.
            with closing(self._memory.store):
                self._memory.close()
        self._memory = None
        if self._keys is not None:
            self._keys.close()
        self._requests.close()
        for tables in self._tables.values():
            tables.close()

    def _once(self, call: Call, work: Work, request: Request, key: str, sent: bytes, status: int) -> Answer:
        whose = call.principal.key_id or ""
        where = f"{request.method} {request.url.path}?{request.url.query}"
        ticket = self._requests.begin(whose, where, key, [sent])
        if isinstance(ticket, Answer):
            return ticket
        try:
            answer = Answer(status, encoded(work(call)))
        except StoreUncertain:
            # It may have been done: for as long as the ticket lasts, it is not done again.
            raise
        except BaseException:
            self._finish(ticket, None, call)
            raise
        self._finish(ticket, answer, call)
        return answer

    def _finish(self, ticket: Ticket, answer: Answer | None, call: Call) -> None:
        """Keep how a request ended. What it did is done, so that its caller hears of that whatever happens here."""
        try:
            self._requests.finish(ticket, answer)
        except StoreError as error:
            LOG.warning("request %s: its answer could not be kept for a repetition: %s", call.request_id, error)


def _heard(future: asyncio.Future[Any]) -> None:
    """Take note of how something ended, of which nobody asks any more; asyncio would complain."""
    if not future.cancelled():
        future.exception()


def _under(permit: Permit | None, work: Callable[[], T]) -> T:
    """Run something by leave of a permit."""
    token = PERMIT.set(permit)
    try:
        return work()
    finally:
        PERMIT.reset(token)


def encoded(value: Any) -> bytes:
    """An answer as JSON. Half a surrogate pair, which UTF-8 cannot hold, stands as an escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def service_of(request: Request) -> Service:
    """The service of the application that a request came to."""
    found: Service = request.app.state.service
    return found


def found_or_missing(item: T | None, memory_id: str) -> T:
    """A memory that is there. Raises `NotFound`, in the same words for what never was and what others have."""
    if item is None:
        raise NotFound(f"there is no memory {memory_id!r} in this scope")
    return item
