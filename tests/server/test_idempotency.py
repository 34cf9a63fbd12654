"""Requests with an `Idempotency-Key`: done once, on whichever host, and answered alike each time."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import Conflict, StoreBusy, StoreUncertain
from remanence.server.idempotency import Answer, InProgress, Requests, Ticket
from remanence.server.settings import Settings
from tests.server.conftest import ALL, Now, Serve, Served, over_all_stores, remember
from tests.stores.postgres.server import serve as server

pytestmark = over_all_stores

V = "/api/v1"


def kept(store: str) -> list[tuple[Any, ...]]:
    """All that is kept of requests."""
    if store.startswith("postgresql://"):
        return server().execute(f"SELECT * FROM {store.rpartition('=')[2]}.server_requests")
    with closing(sqlite3.connect(f"{store}.requests")) as raw:
        return raw.execute("SELECT * FROM requests").fetchall()


def bytes_kept(store: str) -> bytes:
    """The same as bytes, and in a file whatever else lies in it."""
    files = [] if store.startswith("postgresql://") else Path(store).parent.glob(f"{Path(store).name}.requests*")
    rows = [value if isinstance(value, bytes) else str(value).encode() for row in kept(store) for value in row]
    return b"".join([*rows, *(path.read_bytes() for path in files)])


def once(served: Served, token: str, key: str, **body: Any) -> Any:
    return served.ask("POST", f"{V}/memories", token, json=body, headers={"Idempotency-Key": key})


@contextmanager
def impatient(served: Served) -> Iterator[None]:
    """Let nothing take more than a second, but for the requests of the block alone."""
    before = served.settings.timeout
    object.__setattr__(served.settings, "timeout", 1.0)
    try:
        yield
    finally:
        object.__setattr__(served.settings, "timeout", before)


def test_a_repeated_request_is_done_once(served: Served, ana: str, store: str) -> None:
    first, again = (once(served, ana, "k1", messages="the azalea is blue") for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content) == (201, first.content)
    assert served.get(f"{V}/memories", ana).json()["count"] == 1
    assert once(served, ana, "k1", messages="another").status_code == 409
    assert once(served, ana, "k2", messages="the azalea is blue").json() != first.json()
    data = bytes_kept(store)
    assert len(data) > 100
    for trace in (b"azalea", b"k1", first.json()["results"][0]["id"].encode()):
        assert trace not in data, "no words are kept that an erasure would have to find"


def test_keys_of_requests_belong_to_the_caller_and_the_route(served: Served, ana: str) -> None:
    bob = served.key({"user_id": "bob"}, *ALL)
    mine, his = once(served, ana, "k", messages="same").json(), once(served, bob, "k", messages="same").json()
    assert mine["results"][0]["id"] != his["results"][0]["id"]
    headers = {"Idempotency-Key": "k"}
    id = mine["results"][0]["id"]
    for _ in range(2):
        assert served.ask("DELETE", f"{V}/memories/{id}", ana, headers=headers).status_code == 200
    assert served.ask("DELETE", f"{V}/memories/{id}", ana).status_code == 404
    for bad in ("", "x" * 256):
        assert once(served, ana, bad, messages="x").status_code == 400


def test_a_request_that_failed_may_be_sent_again(served: Served, ana: str) -> None:
    assert once(served, ana, "k", messages="x", timestamp="never").status_code == 400
    assert once(served, ana, "k", messages="x").status_code == 201


def test_on_one_host_they_wait_for_the_first(served: Served, ana: str) -> None:
    async def all_at_once() -> list[Any]:
        body = {"json": {"messages": "x"}, "headers": {"Idempotency-Key": "k"}}
        return await asyncio.gather(*(served.asking("POST", f"{V}/memories", ana, **body) for _ in range(6)))

    remember(served, ana, "first")
    answers = served.loop.run_until_complete(all_at_once())
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert served.get(f"{V}/memories", ana).json()["count"] == 2


def test_on_two_hosts_it_is_done_once(serve: Serve) -> None:
    hosts = [serve(), serve()]
    ana = hosts[0].key({"user_id": "ana"}, *ALL)

    async def all_at_once(number: int) -> list[Any]:
        body = {"json": {"messages": f"number {number}"}, "headers": {"Idempotency-Key": f"k{number}"}}
        return await asyncio.gather(
            *(host.asking("POST", f"{V}/memories", ana, **body) for host in hosts for _ in range(2))
        )

    for number in range(5):
        answers = hosts[0].loop.run_until_complete(all_at_once(number))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
    for host in hosts:
        assert host.get(f"{V}/memories", ana).json()["count"] == 5
    other = once(hosts[1], ana, "k0", messages="another")
    assert (other.status_code, other.json()["error"]["type"]) == (409, "conflict")


def test_whoever_waits_too_long_is_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served, other = serve(), serve()
    ana = served.key({"user_id": "ana"}, *ALL)
    # Both have opened their files once there is something to wait for.
    for one in (served, other):
        remember(one, ana, "before")
    inside, finish = threading.Event(), threading.Event()
    add = served.service.memory.add

    def slow(*args: Any, **given: Any) -> Any:
        inside.set()
        assert finish.wait(30)
        return add(*args, **given)

    monkeypatch.setattr(served.service.memory, "add", slow)

    async def both() -> tuple[Any, Any, Any]:
        body = {"json": {"messages": "x"}, "headers": {"Idempotency-Key": "k"}}
        first = asyncio.ensure_future(served.asking("POST", f"{V}/memories", ana, **body))
        await asyncio.to_thread(inside.wait, 30)
        with impatient(other):
            late = await other.asking("POST", f"{V}/memories", ana, **body)
        finish.set()
        done = await first
        return late, done, await other.asking("POST", f"{V}/memories", ana, **body)

    late, done, again = served.loop.run_until_complete(both())
    assert (late.status_code, late.json()["error"]["type"], late.headers["retry-after"]) == (409, "in_progress", "1")
    assert (done.status_code, done.content) == (again.status_code, again.content) == (201, done.content)


def test_what_may_have_been_done_is_not_done_again(served: Served, ana: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(served, ana, "before")
    memory, add = served.service.memory, served.service.memory.add

    def uncertain(*args: Any, **given: Any) -> Any:
        add(*args, **given)
        raise StoreUncertain("lost at the last moment")

    monkeypatch.setattr(memory, "add", uncertain)
    answer = once(served, ana, "k", messages="x")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "store_uncertain")
    assert "nothing was stored" not in answer.text
    monkeypatch.setattr(memory, "add", add)
    with impatient(served):
        assert once(served, ana, "k", messages="x").json()["error"]["type"] == "in_progress"
    assert served.get(f"{V}/memories", ana).json()["count"] == 2


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    served: Served, ana: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(*_: object) -> None:
        raise StoreBusy("in use")

    monkeypatch.setattr(Requests, "finish", busy)
    with caplog.at_level(logging.WARNING, "remanence.server"):
        assert once(served, ana, "k", messages="the azalea").status_code == 201
        assert once(served, ana, "k2", messages="x", timestamp="never").status_code == 400
    assert caplog.text.count("could not be kept") == 2
    assert "azalea" not in caplog.text


@pytest.fixture
def another(store: str, clock: Now) -> Iterator[Callable[[], Requests]]:
    opened: list[Requests] = []

    def new() -> Requests:
        opened.append(Requests(Settings(path=store).requests_place, clock=clock, patience=timedelta(minutes=5)))
        return opened[-1]

    yield new
    for requests in opened:
        requests.close()


def test_the_life_of_a_ticket(another: Callable[[], Requests], clock: Now, store: str) -> None:
    requests, other = another(), another()
    ticket = requests.begin("ana", "POST /x", "k", [b"body"])
    assert isinstance(ticket, Ticket)
    with pytest.raises(InProgress):
        other.begin("ana", "POST /x", "k", [b"body"])
    with pytest.raises(Conflict):
        other.begin("ana", "POST /x", "k", [b"another body"])
    clock.current += timedelta(minutes=6)
    with pytest.raises(Conflict):
        other.begin("ana", "POST /x", "k", [b"another body"])
    taken = other.begin("ana", "POST /x", "k", [b"body"])
    assert isinstance(taken, Ticket), "whoever held it has died"
    requests.finish(ticket, None)
    other.finish(taken, Answer(201, b"\x00answer"))
    requests.finish(ticket, Answer(201, b"of the dead"))
    assert requests.begin("ana", "POST /x", "k", [b"body"]) == Answer(201, b"\x00answer")
    clock.current += timedelta(days=2)
    left = requests.begin("ana", "POST /x", "k", [b"other"])
    assert isinstance(left, Ticket)
    requests.finish(left, None)
    assert [row[-1] for row in kept(store)] == []
    assert isinstance(other.begin("ana", "POST /x", "k", [b"yet another"]), Ticket)


def test_what_is_old_is_gone(another: Callable[[], Requests], clock: Now, store: str) -> None:
    requests = another()
    for number in range(3):
        requests.begin("ana", "POST /x", f"k{number}", [b"body"])
    assert len(kept(store)) == 3
    clock.current += timedelta(hours=25)
    requests.begin("ana", "POST /x", "new", [b"body"])
    assert len(kept(store)) == 1
    for number in range(3):
        assert isinstance(requests.begin("ana", "POST /x", f"k{number}", [b"another body"]), Ticket)


def test_many_who_begin_at_once_are_let_in_one_by_one(another: Callable[[], Requests]) -> None:
    requests = [another() for _ in range(4)]
    for number in range(10):
        found: list[object] = []

        def begin(one: Requests, key: str = f"k{number}", found: list[object] = found) -> None:
            try:
                found.append(one.begin("ana", "POST /x", key, [b"body"]))
            except InProgress as error:
                found.append(error)

        threads = [threading.Thread(target=begin, args=(one,)) for one in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(isinstance(one, Ticket) for one in found) == 1
        assert sum(isinstance(one, InProgress) for one in found) == 3
