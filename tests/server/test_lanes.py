"""Whose turn it is: callers take turns, the longest line makes room, and nobody holds all threads for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

import pytest

from remanence.server.errors import Overloaded
from remanence.server.lanes import Lane
from tests.server.conftest import ALL, Serve, remember

PATIENCE = 60.0


class Held:
    """A lane whose threads are busy until they are let go, and the order in which the rest was done."""

    def __init__(self, threads: int = 1, queue: int = 100, share: int | None = None) -> None:
        self.lane = Lane("test", threads, queue, share)
        self.done: list[str] = []
        self._gate = threading.Event()
        self._begun = threading.Semaphore(0)
        self.holding: list[Future[Any]] = []

    def hold(self, whose: str = "holder") -> None:
        """Keep one thread busy."""
        self.holding.append(self.lane.run(whose, self._wait))
        assert self._begun.acquire(timeout=PATIENCE)

    def ask(self, whose: str, name: str) -> Future[None]:
        return self.lane.run(whose, lambda: self.done.append(name))

    def let_go(self) -> None:
        self._gate.set()

    def _wait(self) -> None:
        self._begun.release()
        assert self._gate.wait(PATIENCE)


@pytest.fixture
def held() -> Iterator[Callable[..., Held]]:
    made: list[Held] = []

    def new(**given: Any) -> Held:
        made.append(Held(**given))
        return made[-1]

    yield new
    for one in made:
        one.let_go()
        one.lane.close()


def test_callers_take_turns(held: Callable[..., Held]) -> None:
    busy = held()
    busy.hold()
    asked = [busy.ask("a", f"a{number}") for number in range(4)]
    asked += [busy.ask("b", f"b{number}") for number in range(2)]
    asked += [busy.ask("c", "c0")]
    busy.let_go()
    for one in asked:
        one.result(PATIENCE)
    assert busy.done == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    assert busy.lane.waiting == 0


def test_the_longest_line_makes_room(held: Callable[..., Held]) -> None:
    busy = held(queue=4)
    busy.hold()
    many = [busy.ask("a", f"a{number}") for number in range(4)]
    with pytest.raises(Overloaded):
        busy.ask("a", "a4")
    few = [busy.ask("b", "b0")]
    with pytest.raises(Overloaded):
        many[3].result(PATIENCE)
    few.append(busy.ask("b", "b1"))
    with pytest.raises(Overloaded):
        many[2].result(PATIENCE)
    with pytest.raises(Overloaded, match="come back"):
        busy.ask("b", "b2")  # as many as the other has by now
    few.append(busy.ask("c", "c0"))
    with pytest.raises(Overloaded):
        (many + few)[1].result(PATIENCE)
    assert busy.lane.waiting == 5
    busy.let_go()
    for one in (many[0], *few):
        one.result(PATIENCE)
    assert busy.done == ["a0", "b0", "c0", "b1"]


def test_without_a_queue_only_threads_count(held: Callable[..., Held]) -> None:
    busy = held(queue=0)
    busy.hold()
    with pytest.raises(Overloaded):
        busy.ask("b", "b0")
    busy.let_go()
    busy.holding[0].result(PATIENCE)
    busy.ask("b", "b0").result(PATIENCE)


def test_nobody_holds_more_than_their_share(held: Callable[..., Held]) -> None:
    busy = held(threads=3, share=2)
    busy.hold("a")
    busy.hold("a")
    third = busy.ask("a", "a2")
    busy.ask("b", "b0").result(PATIENCE)
    assert not third.done()
    assert busy.done == ["b0"]
    busy.let_go()
    third.result(PATIENCE)


def test_what_is_cancelled_is_not_begun_and_takes_no_room(held: Callable[..., Held]) -> None:
    busy = held(queue=2)
    busy.hold()
    first, second = busy.ask("a", "a0"), busy.ask("a", "a1")
    assert first.cancel()
    assert busy.lane.waiting == 2
    third = busy.ask("a", "a2")
    busy.let_go()
    second.result(PATIENCE)
    third.result(PATIENCE)
    assert busy.done == ["a1", "a2"]
    assert not busy.holding[0].cancel()


def test_what_was_cancelled_makes_no_line_longer(held: Callable[..., Held]) -> None:
    busy = held(queue=2)
    busy.hold()
    assert all(busy.ask("a", "gone").cancel() for _ in range(2))
    busy.ask("b", "b0")
    last = busy.ask("b", "b1")
    busy.ask("c", "c0")
    with pytest.raises(Overloaded):
        last.result(PATIENCE)
    assert busy.lane.waiting == 3


def test_what_is_raised_reaches_who_waits_and_the_thread_goes_on(held: Callable[..., Held]) -> None:
    lane = held().lane

    def broken() -> None:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        lane.run("a", broken).result(PATIENCE)
    assert lane.run("a", lambda: 3, alone=True).result(PATIENCE) == 3


def test_a_closed_lane_ends_what_runs_drops_what_waits_and_opens_again(held: Callable[..., Held]) -> None:
    busy = held()
    busy.hold()
    waits = busy.ask("a", "a0")
    closing = threading.Thread(target=busy.lane.close)
    closing.start()
    with pytest.raises(CancelledError):
        waits.result(PATIENCE)
    assert closing.is_alive()
    busy.let_go()
    closing.join(PATIENCE)
    assert busy.holding[0].done()
    busy.ask("a", "a1").result(PATIENCE)
    assert busy.done == ["a1"]


def test_nothing_is_lost_among_many(held: Callable[..., Held]) -> None:
    """Each request is done once, by no more threads than a share, whoever else comes and goes."""
    lane = Lane("test", 4, 10_000, share=3)
    lock = threading.Lock()
    running: dict[str, int] = {}
    most: dict[str, int] = {}
    done: list[tuple[str, int]] = []

    def work(whose: str, number: int) -> None:
        with lock:
            running[whose] = running.get(whose, 0) + 1
            most[whose] = max(most.get(whose, 0), running[whose])
        time.sleep(0)
        with lock:
            running[whose] -= 1
            done.append((whose, number))

    asked = [
        (whose, number, lane.run(whose, partial(work, whose, number), alone=number % 50 == 0))
        for number in range(500)
        for whose in "abc"
    ]
    gone = {(whose, number) for whose, number, future in asked if number % 7 == 0 and future.cancel()}
    for whose, number, future in asked:
        if (whose, number) not in gone:
            future.result(PATIENCE)
    lane.close()
    assert sorted(done) == sorted({(whose, number) for whose, number, _ in asked} - gone)
    assert max(most.values()) <= 3
    assert lane.waiting == 0


def slowed(served: Any, monkeypatch: pytest.MonkeyPatch, verb: str) -> tuple[threading.Event, list[str]]:
    """Let a verb of the memory wait for an event; and the users for whom it was called, in order."""
    gate = threading.Event()
    called: list[str] = []
    real = getattr(served.service.memory, verb)

    def slow(*args: Any, **given: Any) -> Any:
        called.append(given["user_id"])
        assert gate.wait(PATIENCE)
        return real(*args, **given)

    monkeypatch.setattr(served.service.memory, verb, slow)
    return gate, called


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_key_with_a_hundred_requests_waits_behind_itself(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(threads=1, queue=100)
    ana, bob = served.key({"user_id": "ana"}), served.key({"user_id": "bob"})
    remember(served, ana, "x")
    gate, called = slowed(served, monkeypatch, "search")
    body = {"json": {"query": "x"}}

    async def go() -> list[int]:
        hasty = [asyncio.ensure_future(served.asking("POST", "/api/v1/search", ana, **body)) for _ in range(100)]
        await until(lambda: served.service._quick.waiting == 100)
        other = asyncio.ensure_future(served.asking("POST", "/api/v1/search", bob, **body))
        await until(lambda: served.service._quick.waiting == 101)
        gate.set()
        return [answer.status_code for answer in await asyncio.gather(other, *hasty)]

    assert served.loop.run_until_complete(go()) == [200] * 101
    assert called.index("bob") <= 2


def test_a_full_queue_is_no_reason_to_refuse_somebody_else(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(threads=1, queue=3)
    ana, bob = served.key({"user_id": "ana"}), served.key({"user_id": "bob"})
    gate, _ = slowed(served, monkeypatch, "search")
    body = {"json": {"query": "x"}}

    async def go() -> tuple[list[int], int]:
        hasty = [asyncio.ensure_future(served.asking("POST", "/api/v1/search", ana, **body)) for _ in range(6)]
        await until(lambda: sum(one.done() for one in hasty) == 2)
        other = asyncio.ensure_future(served.asking("POST", "/api/v1/search", bob, **body))
        await until(lambda: sum(one.done() for one in hasty) == 3)
        gate.set()
        return sorted([answer.status_code for answer in await asyncio.gather(*hasty)]), (await other).status_code

    assert served.loop.run_until_complete(go()) == ([200] * 3 + [503] * 3, 200)
    assert 'remanence_requests_refused_total{reason="room"} 3.0' in served.get("/metrics", served.key(None, *ALL)).text


def test_one_key_cannot_hold_every_thread_that_takes_long(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(threads=2)
    ana, bob = served.key({"user_id": "ana"}, *ALL), served.key({"user_id": "bob"}, *ALL)
    remember(served, bob, "x")
    real = served.service.memory.erase
    gate = threading.Event()
    monkeypatch.setattr(
        served.service.memory,
        "erase",
        lambda *args, **given: gate.wait(PATIENCE) and {} if given["user_id"] == "ana" else real(*args, **given),
    )
    body = {"json": {"everything": True}}

    async def go() -> int:
        long = [asyncio.ensure_future(served.asking("POST", "/api/v1/erase", ana, **body)) for _ in range(4)]
        await until(lambda: served.service._slow.waiting == 4)
        try:
            async with asyncio.timeout(PATIENCE / 2):
                return (await served.asking("POST", "/api/v1/erase", bob, **body)).status_code
        finally:
            gate.set()
            await asyncio.gather(*long)

    assert served.loop.run_until_complete(go()) == 200


def test_a_request_that_waited_too_long_is_never_begun(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(threads=1)
    ana = served.key({"user_id": "ana"})
    remember(served, ana, "before")
    monkeypatch.setattr(served.service, "settings", served.settings.replaced(timeout=0.3))
    gate, called = slowed(served, monkeypatch, "add")
    body = {"json": {"messages": "late"}}

    async def go() -> list[str]:
        asked = [asyncio.ensure_future(served.asking("POST", "/api/v1/memories", ana, **body)) for _ in range(3)]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {504}
        return sorted(answer.json()["detail"] for answer in answers)

    details = served.loop.run_until_complete(go())
    gate.set()
    served.service._quick.close()
    monkeypatch.setattr(served.service, "settings", served.settings)
    assert called == ["ana"]
    assert details == [
        "the request took more than 0.3 s; it may have been done in part",
        *["the request waited 0.3 s for its turn; nothing of it was done"] * 2,
    ]
    assert [item["memory"] for item in served.get("/api/v1/memories", ana).json()["results"]] == ["before"]
