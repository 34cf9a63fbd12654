"""Servers on PostgreSQL on bad days, and several of them on one store."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from remanence.runtime.memory import Memory
from remanence.server import service as service_module
from remanence.server.app import create_app
from remanence.server.keys import Keys
from remanence.server.service import Service
from remanence.server.settings import Settings
from remanence.stores.postgres import PostgresStore
from remanence.stores.postgres.schema import ROLE, SERVER_ROLE
from tests.architecture.tree import PACKAGE
from tests.server.conftest import ALL, Now, Serve, Served, remember
from tests.server.stores import address
from tests.stores.postgres.server import Server
from tests.stores.postgres.server import serve as postgres

V = "/api/v1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """A schema of PostgreSQL, in place of the file of other tests."""
    with address("postgres", tmp_path) as found:
        yield found


@pytest.fixture
def server() -> Server:
    found = postgres()
    if not found.can_restart:
        pytest.skip("the server of REMANENCE_TEST_PG is not ours to change")
    return found


def schema_of(store: str) -> str:
    return store.rpartition("=")[2]


def refused(answer: httpx.Response, type: str, retry: str) -> None:
    """It is a 503 in the one shape of errors, with a time to come back, and tells nothing of the database."""
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, retry), answer.text
    error = answer.json()["error"]
    assert error.keys() == {"type", "message", "param", "request_id"}
    assert error["type"] == type
    assert not re.search(r"postgres|remanence_|schema|/tmp|role|relation|azalea", answer.text), answer.text


def test_a_database_that_is_restarted(served: Served, ana: str, server: Server) -> None:
    remember(served, ana, "the azalea is blue")
    again = {"json": {"messages": "the azalea is red"}, "headers": {"Idempotency-Key": "k"}}
    server.stop()
    try:
        for _ in range(2):
            refused(served.post(f"{V}/search", ana, query="azalea"), "store_error", "5")
            refused(served.ask("POST", f"{V}/memories", ana, **again), "store_error", "5")
            refused(served.get(f"{V}/health"), "store_error", "5")
    finally:
        server.start()
    first, second = (served.ask("POST", f"{V}/memories", ana, **again) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content) == (201, first.content)
    found = served.post(f"{V}/search", ana, query="azalea").json()["results"]
    assert sorted(row["memory"] for row in found) == ["the azalea is blue", "the azalea is red"]
    assert served.get(f"{V}/health").status_code == 200
    served.revoke(ana)
    assert served.get(f"{V}/memories", ana).status_code == 401


def test_a_database_that_goes_while_callers_write(served: Served, ana: str, server: Server) -> None:
    remember(served, ana, "before")

    async def write() -> list[httpx.Response]:
        async def one(number: int) -> httpx.Response:
            return await served.asking("POST", f"{V}/memories", ana, json={"messages": f"number {number}"})

        begun = [asyncio.ensure_future(one(number)) for number in range(40)]
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.stop)
        try:
            return await asyncio.gather(*begun)
        finally:
            await asyncio.to_thread(server.start)

    answers = served.loop.run_until_complete(write())
    done = {answer.json()["results"][0]["id"] for answer in answers if answer.status_code == 201}
    failed = [answer.json()["error"]["type"] for answer in answers if answer.status_code != 201]
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert set(failed) <= {"store_error", "store_uncertain", "store_busy"}
    kept = {row["id"] for row in served.get(f"{V}/memories", ana, limit=1000).json()["results"]}
    assert done <= kept, "what was acknowledged is there"
    assert len(kept) - 1 - len(done) <= failed.count("store_uncertain"), "and nothing that was said not to be stored"
    assert remember(served, ana, "after") not in kept


@dataclass
class Narrow:
    """A server whose store has one connection, and the store."""

    served: Served
    store: PostgresStore


@pytest.fixture
def narrow(store: str, clock: Now) -> Iterator[Narrow]:
    settings = Settings(path=store, embedder="hash", background=False, rate=0.0)
    with (
        PostgresStore(store, clock=clock, pool_size=1) as one,
        Memory(store=one, clock=clock, embedder="hash", background=False) as memory,
        closing(Keys(settings.keys_place, clock=clock)) as keys,
    ):
        made = Service(settings, memory, clock=clock)
        app: FastAPI = create_app(settings, service=made)
        loop = asyncio.new_event_loop()
        yield Narrow(Served(settings, keys, app, loop), one)
        made.close()
        loop.close()


def test_when_all_connections_of_the_store_are_in_use(narrow: Narrow, monkeypatch: pytest.MonkeyPatch) -> None:
    served = narrow.served
    ana = served.key({"user_id": "ana"}, *ALL)
    remember(served, ana, "the azalea is blue")
    pool = narrow.store._pool
    with pool.lend(), monkeypatch.context() as patch:
        patch.setattr(pool, "timeout", 0.3)
        refused(served.post(f"{V}/search", ana, query="azalea"), "store_busy", "1")
        refused(served.post(f"{V}/memories", ana, messages="x"), "store_busy", "1")
    assert served.post(f"{V}/search", ana, query="azalea").json()["results"][0]["memory"] == "the azalea is blue"
    remember(served, ana, "x")
    assert served.get(f"{V}/memories", ana).json()["count"] == 2


def test_more_callers_than_connections_are_all_answered(narrow: Narrow) -> None:
    served = narrow.served
    tokens = [served.key({"user_id": f"user{number}"}, *ALL) for number in range(6)]
    for number, token in enumerate(tokens):
        remember(served, token, f"secret {number}")

    async def everybody() -> list[httpx.Response]:
        sends = [served.asking("POST", f"{V}/search", token, json={"query": "secret"}) for token in tokens * 4]
        return await asyncio.gather(*sends)

    for number, answer in enumerate(served.loop.run_until_complete(everybody())):
        assert answer.status_code == 200, answer.text
        assert [row["memory"] for row in answer.json()["results"]] == [f"secret {number % 6}"]


def test_when_all_connections_for_keys_are_in_use(serve: Serve, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    ana = served.key({"user_id": "ana"}, *ALL)
    remember(served, ana, "x")
    pool = served.service._tables[store]._pool
    with ExitStack() as stack, monkeypatch.context() as patch:
        for _ in range(pool._size):
            stack.enter_context(pool.lend())
        patch.setattr(pool, "timeout", 0.3)
        refused(served.get(f"{V}/whoami", ana), "store_busy", "1")
        assert served.get(f"{V}/health").status_code == 200
    assert served.get(f"{V}/whoami", ana).status_code == 200


def test_a_key_that_is_waited_for_stops_nobody_else(
    serve: Serve, store: str, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    """Looking keys up in the thread that talks to all callers would make everybody wait."""
    monkeypatch.setattr(service_module, "_WAIT", 1.0)
    served = serve()
    ana = served.key({"user_id": "ana"}, *ALL)
    remember(served, ana, "x")

    async def both() -> tuple[list[str], httpx.Response]:
        order = []

        async def one(name: str, path: str, token: str | None) -> httpx.Response:
            answer = await served.asking("GET", f"{V}/{path}", token)
            order.append(name)
            return answer

        locked, healthy = await asyncio.gather(one("locked", "whoami", ana), one("health", "health", None))
        assert healthy.status_code == 200
        return order, locked

    import psycopg

    with psycopg.connect(server.url) as connection:
        connection.execute(f"LOCK {schema_of(store)}.server_keys".encode())
        order, locked = served.loop.run_until_complete(both())
    assert order == ["health", "locked"]
    refused(locked, "store_busy", "1")
    assert served.get(f"{V}/whoami", ana).status_code == 200


@contextmanager
def login(server: Server, *roles: str) -> Iterator[str]:
    """A login that owns nothing and has a few roles; its name."""
    server.execute("CREATE ROLE host LOGIN")
    try:
        server.execute(f"GRANT {', '.join(roles)} TO host")
        yield "host"
    finally:
        server.execute("DROP ROLE host")


def test_a_database_that_takes_no_more_connections(serve: Serve, store: str, server: Server) -> None:
    remember(serve(), serve().key({"user_id": "ana"}), "made by the owner")
    with login(server, ROLE, SERVER_ROLE) as name:
        served = serve(path=store.replace("postgres:@", f"{name}:@"))
        ana = served.key({"user_id": "ana"}, *ALL)
        remember(served, ana, "the azalea is blue")
        server.execute(f"ALTER ROLE {name} CONNECTION LIMIT 0")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", name)
        for _ in range(2):
            refused(served.post(f"{V}/search", ana, query="azalea"), "store_busy", "1")
        server.execute(f"ALTER ROLE {name} CONNECTION LIMIT -1")
        assert served.post(f"{V}/search", ana, query="azalea").json()["results"][0]["memory"] == "the azalea is blue"
        remember(served, ana, "x")
        served.service.close()
        served.keys.close()


def test_a_transaction_that_is_aborted_half_way(served: Served, ana: str, store: str, server: Server) -> None:
    remember(served, ana, "before")
    schema = schema_of(store)
    server.execute(
        f"CREATE FUNCTION {schema}.poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.text LIKE '%%azalea%%' THEN RAISE EXCEPTION 'the azalea is poisonous'; END IF; RETURN NEW; END $$"
    )
    server.execute(
        f"CREATE TRIGGER poison AFTER INSERT ON {schema}.versions FOR EACH ROW EXECUTE FUNCTION {schema}.poison()"
    )
    items = {"json": {"items": ["one", "two", "the azalea", "three"]}, "headers": {"Idempotency-Key": "k"}}
    try:
        refused(served.ask("POST", f"{V}/memories/batch", ana, **items), "store_error", "5")
        assert served.get(f"{V}/memories", ana).json()["count"] == 1
        remember(served, ana, "in between")
    finally:
        server.execute(f"DROP FUNCTION {schema}.poison CASCADE")
    for _ in range(2):
        answer = served.ask("POST", f"{V}/memories/batch", ana, **items)
        assert answer.status_code == 201, "nothing was done, so that the same request is done now"
    assert served.get(f"{V}/memories", ana).json()["count"] == 6


def test_a_replica_is_read_and_not_written(serve: Serve, store: str) -> None:
    primary = serve()
    ana = primary.key({"user_id": "ana"}, *ALL)
    remember(primary, ana, "the azalea is blue")
    url, _, schema = store.rpartition("&schema=")
    replica = serve(path=f"{url}&options=-c%20default_transaction_read_only%3Don&schema={schema}")
    assert replica.post(f"{V}/search", ana, query="azalea").json()["results"][0]["memory"] == "the azalea is blue"
    answer = replica.post(f"{V}/memories", ana, messages="x")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "store_read_only")
    primary.revoke(ana)
    assert replica.post(f"{V}/search", ana, query="azalea").status_code == 401


# Two hosts, each a process of its own


START = "import sys; from remanence.cli import main; main(sys.argv[1:])"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run([sys.executable, "-c", START, *words], capture_output=True, text=True, env=environment)


@dataclass
class Host:
    address: str
    said: list[str]

    def ask(self, method: str, path: str, token: str, *, key: str | None = None, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
        given: dict[str, Any] = {"json": body} if body else {}
        return httpx.request(method, f"{self.address}{V}{path}", headers=headers, timeout=60, **given)


@pytest.fixture
def hosts(store: str, tmp_path: Path) -> Iterator[list[Host]]:
    processes, found = [], []
    for number in range(2):
        folder = tmp_path / f"host{number}"
        folder.mkdir()
        environment = {"PYTHONPATH": str(PACKAGE.parent), "REMANENCE_BACKGROUND": "0", "REMANENCE_DIR": str(folder)}
        words = ["serve", "--port", "0", "--path", store, "--embedder", "hash", "--auth"]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", START, *words],
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | environment,
                cwd=folder,
            )
        )
    try:
        for process in processes:
            assert process.stderr is not None
            said: list[str] = []
            for line in process.stderr:
                said.append(line.rstrip())
                if line.startswith("model"):
                    break
            listening = re.search(r"http://\S+", "\n".join(said))
            assert listening, said
            found.append(Host(listening[0], said))
        yield found
        assert [list((tmp_path / f"host{number}").iterdir()) for number in range(2)] == [[], []], "no host keeps files"
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    found: list[Any] = [None] * len(acts)
    gate = threading.Barrier(len(acts))

    def one(number: int) -> None:
        gate.wait(30)
        found[number] = acts[number]()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.loopback
def test_two_hosts_on_one_database(hosts: list[Host], store: str) -> None:
    one, two = hosts
    made = run("keys", "create", "--name", "desk", "--user", "ana", "--path", store)
    ana = made.stdout.strip()
    reader = run(
        "keys", "create", "--name", "reader", "--user", "ana", "--right", "read", "--path", store
    ).stdout.strip()
    assert "desk" in run("keys", "list", "--path", store).stdout
    assert made.stderr.count("postgres:") == 0
    assert all("0 valid keys in postgresql://" in host.said[2] for host in hosts)

    # The same request to both, at the same time: done once, and answered alike.
    for number in range(6):

        def sent(host: Host, number: int = number) -> Callable[[], httpx.Response]:
            return lambda: host.ask("POST", "/memories", ana, key=f"k{number}", messages=f"number {number}")

        answers = at_once(sent(one), sent(two), sent(one), sent(two))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
    assert [host.ask("GET", "/memories", reader).json()["count"] for host in hosts] == [6, 6]

    # What one was told, the other finds.
    assert one.ask("POST", "/memories", ana, messages="the azalea is blue").status_code == 201
    found = two.ask("POST", "/search", reader, query="azalea").json()["results"]
    assert found[0]["memory"] == "the azalea is blue"

    # A key that is ended while both write with it.
    revoked, stop, late = threading.Event(), threading.Event(), []

    def write(host: Host) -> None:
        number = 0
        while not stop.is_set():
            after = revoked.is_set()
            answer = host.ask("POST", "/memories", ana, messages=f"more {number}")
            number += 1
            assert answer.status_code in (201, 401), answer.text
            if after and answer.status_code == 201:
                late.append(number)

    threads = [threading.Thread(target=write, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    ended = run("keys", "revoke", ana, "--path", store)
    revoked.set()
    assert ended.returncode == 0, ended.stderr
    count = one.ask("GET", "/memories", reader).json()["count"]
    assert [host.ask("GET", "/whoami", ana).status_code for host in hosts] == [401, 401]
    time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    assert late == []
    assert [host.ask("GET", "/memories", reader).json()["count"] for host in hosts] == [count, count]


def test_a_host_whose_login_may_not_see_keys_does_not_start(store: str, serve: Serve, server: Server) -> None:
    serve().key(None)
    with login(server, ROLE) as name:
        ended = run("serve", "--host", "0.0.0.0", "--port", "0", "--path", store.replace("postgres:@", f"{name}:@"))
        assert ended.returncode == 1
        assert f"GRANT {SERVER_ROLE}" in ended.stderr
        assert ended.stderr.count("\n") == 1
