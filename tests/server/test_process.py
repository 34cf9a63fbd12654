"""Real servers: what they say when they start, what they refuse, and what happens when callers or servers go."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from remanence.server.keys import Keys
from tests.architecture.tree import PACKAGE

pytestmark = pytest.mark.loopback

START = "import sys; from remanence.cli import main; main(sys.argv[1:])"


@dataclass
class Running:
    process: subprocess.Popen[str]
    address: str
    said: list[str]

    def post(self, path: str, token: str, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.address}{path}", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.address}{path}", headers=headers, timeout=60)


Begin = Callable[..., Running]


def command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", START, *words]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    started: list[subprocess.Popen[str]] = []

    def new(*words: str) -> Running:
        process = subprocess.Popen(
            command(["serve", "--port", "0", "--path", str(tmp_path / "m.db"), "--embedder", "hash", *words]),
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "REMANENCE_BACKGROUND": "0"},
        )
        started.append(process)
        said: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith("model"):
                break
        found = re.search(r"http://\S+", "\n".join(said))
        assert found, said
        return Running(process, found[0], said)

    yield new
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "m.db.keys")


def test_it_says_where_and_for_whom(begin: Begin, keys: Keys, tmp_path: Path) -> None:
    running = begin()
    assert running.said[0] == f"memory   {(tmp_path / 'm.db').resolve()}"
    assert "until the first key" in running.said[2]
    assert running.get("/api/v1/whoami").json()["name"] == "local"
    _, token = keys.create("desk", {"user_id": "ana"})
    assert running.get("/api/v1/whoami").status_code == 401, "from the first key on, also in a running server"
    assert running.get("/api/v1/whoami", token).json()["scope"] == {"user_id": "ana"}
    answer = running.get("/api/v1/health")
    assert "server" not in answer.headers
    assert "1 valid key in" in begin().said[2]


def test_a_public_address_takes_a_key_that_is_valid(tmp_path: Path, keys: Keys) -> None:
    words = ["serve", "--host", "0.0.0.0", "--port", "0", "--path", str(tmp_path / "m.db")]
    key, _ = keys.create("desk", None)
    keys.revoke(key.id)
    for more in ([], ["--auth"], ["--no-auth"]):
        ended = subprocess.run(
            command([*words, *more]),
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        )
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: 0.0.0.0 can be reached from other machines")
        assert ended.stderr.count("\n") == 1


def refused(*words: str) -> str:
    """What a server says that does not start."""
    ended = subprocess.run(
        command(["serve", "--port", "0", "--embedder", "hash", *words]),
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1, "one line, and no address before it"
    return ended.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_be_served_is_found_at_the_start(tmp_path: Path, workers: str) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("This is no store.")
    (tmp_path / "keys").write_text("These are no keys.")
    path = ("--workers", workers, "--path", str(tmp_path / "m.db"))
    assert f"error: {letter} is not a Remanence store" in refused("--workers", workers, "--path", str(letter))
    assert "error: unknown embedder 'nope'" in refused(*path, "--embedder", "nope")
    assert "cannot be used" in refused(*path, "--keys", str(tmp_path / "keys"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"error: cannot listen on 127.0.0.1:{port}: " in refused(*path, "--port", port)


def test_a_store_in_memory_is_served(begin: Begin) -> None:
    running = begin("--path", ":memory:")
    assert "no place for keys" in running.said[2]
    body = {"messages": "gone soon", "user_id": "ana"}
    answer = httpx.post(f"{running.address}/api/v1/memories", json=body, timeout=60)
    assert answer.status_code == 201


def test_two_servers_on_one_file(begin: Begin, keys: Keys) -> None:
    _, token = keys.create("desk", {"user_id": "ana"})
    servers = [begin(), begin()]
    texts = [[f"server {number} said {count}" for count in range(15)] for number in range(2)]
    refused: list[str] = []

    def write(number: int) -> None:
        for text in texts[number]:
            answer = servers[number].post("/api/v1/memories", token, messages=text)
            if answer.status_code != 201:
                refused.append(answer.text)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    for server in servers:
        listed = server.get("/api/v1/memories", token).json()
        assert sorted(row["memory"] for row in listed["results"]) == sorted(texts[0] + texts[1])
    servers[0].post("/api/v1/memories", token, messages="the azalea is blue")
    found = servers[1].post("/api/v1/search", token, query="azalea").json()["results"]
    assert found[0]["memory"] == "the azalea is blue", "what one was told the other finds"


def test_what_was_acknowledged_survives_kill_9(begin: Begin, keys: Keys) -> None:
    _, token = keys.create("desk", {"user_id": "ana"})
    running = begin()
    done: list[str] = []

    def write() -> None:
        for number in range(1000):
            try:
                answer = running.post("/api/v1/memories", token, messages=f"number {number}")
            except httpx.HTTPError:
                return
            done.append(answer.json()["results"][0]["id"])

    thread = threading.Thread(target=write)
    thread.start()
    while len(done) < 10:
        time.sleep(0.01)
    running.process.send_signal(signal.SIGKILL)
    thread.join()
    listed = begin().get("/api/v1/memories?limit=1000", token).json()["results"]
    assert set(done) <= {row["id"] for row in listed}


def test_it_ends_when_told(begin: Begin) -> None:
    running = begin()
    assert running.get("/api/v1/health").status_code == 200
    running.process.terminate()
    assert running.process.wait(60) in (0, -signal.SIGTERM)


def test_a_key_revoked_elsewhere_ends_here_at_once(begin: Begin, keys: Keys, tmp_path: Path) -> None:
    key, token = keys.create("desk", {"user_id": "ana"})
    running = begin()
    stop, after, revoked = threading.Event(), [], threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            late = revoked.is_set()
            answer = running.post("/api/v1/memories", token, messages=f"number {number}")
            number += 1
            if late and answer.status_code == 201:
                after.append(number)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    keys.revoke(key.id)
    revoked.set()
    _, reader = keys.create("reader", {"user_id": "ana"}, ["read"])
    count = running.get("/api/v1/memories", reader).json()["count"]
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert after == []
    assert running.get("/api/v1/memories", reader).json()["count"] == count, "nothing is written after the revocation"


def raw(address: str, data: bytes, *, close_after: float | None = None) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        found = b""
        try:
            connection.sendall(data)
            if close_after is not None:
                time.sleep(close_after)
                return found
            while portion := connection.recv(1 << 16):
                found += portion
        except (BrokenPipeError, ConnectionResetError):
            # Whoever sends more than is read is cut off, be it while sending.
            pass
        return found


def test_callers_who_misbehave(begin: Begin, keys: Keys) -> None:
    _, token = keys.create("desk", {"user_id": "ana"})
    running = begin("--timeout", "2")
    head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n"
    json_head = f"POST /api/v1/memories HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        f"GET /api/v1/whoami HTTP/1.1\r\n{head}X-A: b\r\n\tc\r\nConnection: close\r\n\r\n".encode(),
        f"{json_head}Content-Length: 10\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n".encode(),
        f"{json_head}Content-Length: 99999999999\r\nConnection: close\r\n\r\n".encode(),
        f"{json_head}Content-Length: 100\r\nConnection: close\r\n\r\n{{".encode(),
        f"GET /api/v1/memories/%ff%fe%00 HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode(),
        f"GET /api/v1/memories?user_id=%ff HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode("latin-1"),
    ):
        answer = raw(running.address, data)
        assert b" 500 " not in answer[:20], data
    for pause in (0.0, 0.05):
        raw(running.address, f'{json_head}Content-Length: 100\r\n\r\n{{"messages":'.encode(), close_after=pause)
        raw(running.address, f"GET /api/v1/export HTTP/1.1\r\n{head}\r\n".encode(), close_after=pause)
    assert running.get("/api/v1/memories", token).json()["count"] == 0
    assert running.process.poll() is None


def test_several_processes_share_an_address(begin: Begin, keys: Keys) -> None:
    _, token = keys.create("desk", {"user_id": "ana"})
    running = begin("--workers", "2")
    address = running.address
    assert not address.endswith(":0"), "it says which port was free"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{address}/api/v1/health", timeout=5)
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        headers = {"Authorization": f"Bearer {token}"}
        for number in range(8):
            body = {"messages": f"n {number}"}
            answer = httpx.post(f"{address}/api/v1/memories", json=body, headers=headers, timeout=60)
            assert answer.status_code == 201
            listed = httpx.get(f"{address}/api/v1/memories", headers=headers, timeout=60).json()
            assert listed["count"] == number + 1, "whichever process answers"
    finally:
        running.process.terminate()
        running.process.wait(60)


def test_the_command_line_of_keys(tmp_path: Path) -> None:
    def run(*words: str, status: int = 0) -> str:
        ended = subprocess.run(
            command(["keys", *words, "--path", str(tmp_path / "m.db")]),
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        )
        assert ended.returncode == status, ended.stderr
        return ended.stdout

    token = run("create", "--name", "desk", "--user", "ana", "--right", "read").strip()
    assert Keys(tmp_path / "m.db.keys").verify(token) is not None
    made = json.loads(run("create", "--name", "root", "--everything", "--right", "admin", "--days", "1", "--json"))
    assert made["key"].startswith(f"rmk_{made['id']}_")
    listed = run("list")
    assert "user_id=ana" in listed
    assert token.split("_")[2] not in listed
    run("create", "--name", "x", status=2)
    run("create", "--name", "x", "--user", "ana", "--everything", status=2)
    run("create", "--name", "x", "--user", "ana", "--days", "nan", status=2)
    run("revoke", "nobody", status=1)
    assert made["id"] in run("revoke", made["key"])
    assert [row["state"] for row in json.loads(run("list", "--json"))] == ["valid", "revoked"]
