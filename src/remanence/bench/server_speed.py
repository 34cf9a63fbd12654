"""`python -m remanence.bench.server_speed`: what REST costs over the same calls in the process itself.

A server runs in processes of its own on this machine's loopback; sixteen clients with one connection each ask in this
one. Two ways of asking: paced, when each client asks a few times per second and the question is how long an answer
takes; and flat out, when each asks again as soon as it has its answer and the question is how many answers there are.
Beside each stands the same from sixteen threads that call `Memory` directly, over a copy of the same file, with as many
adds and searches, in the same run.

Percentiles of the paced way compare like with like: flat out, the time that sixteen clients wait for two cores counts
as latency, so that p50 says what the throughput says already. Processor time per answer is that of the answering side
alone, on a busy machine the figure to trust. The asking side is one thread that sends requests made beforehand and
parses no body, because it shares the cores with the server that is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import remanence
from remanence.bench import speed_data
from remanence.bench.metrics import Latency, latency
from remanence.bench.results import Hardware, hardware
from remanence.core.errors import RemanenceError
from remanence.runtime.memory import Memory

__all__ = ["ServerSpeed", "Way", "load", "main", "measure", "render"]

CLIENTS = 16
RECORDS = 10_000
PER_SECOND = 5.0
"""Requests per second and client of the paced way."""
_SCHEMA = 2
_USER = "ana"
_WARM = 64


@dataclass(frozen=True, slots=True)
class Way:
    """One way of asking: answers per second, milliseconds until an answer, and of processor time for it.

    `cpu_ms` is that of the server's processes, or of this one where it calls directly; None where the system does not
    tell that of other processes.
    """

    per_second: float
    ms: Latency
    cpu_ms: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """One verb through REST, and in the process itself."""

    rest: Way
    direct: Way


@dataclass(frozen=True, slots=True)
class ServerSpeed:
    """All figures of one run. `paced_*`: each client asks `pace` times per second; the others flat out."""

    version: str
    hardware: Hardware
    clients: int
    records: int
    workers: int
    threads: int
    pace: float
    paced_search: Pair
    search: Pair
    add: Pair


class _Connection:
    """One client of a server: its socket, the request it sends, and what came of the answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self.sent: float | None = None
        self._data = bytearray()
        self._whole: int | None = None

    def send(self, request: bytes, now: float) -> None:
        """Ask."""
        self._data.clear()
        self._whole = None
        self.sent = now
        if self.socket.send(request) != len(request):
            raise RemanenceError("a request did not fit into the socket at once")

    def receive(self) -> bool:
        """Take what has come; whether the answer is whole. Raises `RemanenceError` for any answer but a good one."""
        portion = self.socket.recv(1 << 16)
        if not portion:
            raise RemanenceError("the server closed a connection")
        self._data += portion
        if self._whole is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self._data[:end]).lower()
            if not head.startswith((b"http/1.1 200", b"http/1.1 201")):
                raise RemanenceError(f"the server answered {bytes(self._data[:400])!r}")
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._whole = end + 4 + int(length)
        return len(self._data) >= self._whole


def through_rest(
    address: tuple[str, int],
    requests: Sequence[bytes],
    clients: int,
    pace: float | None,
    cpu: Callable[[], float | None] = lambda: None,
) -> Way:
    """Send requests, each as the next client is free, or as it is due. One thread, so that the server has the cores.

    `cpu` tells the processor time that the server has used so far, in seconds.
    """
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        connections = [_Connection(address) for _ in range(clients)]
        used = cpu()
        started = time.perf_counter()
        for number, connection in enumerate(connections):
            stack.enter_context(connection.socket)
            connection.due = started if pace is None else started + number / (clients * pace)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        times = _asked(iter(requests), connections, selector, pace)
        return _way(times, started, used, cpu())


def _asked(
    waiting: Iterator[bytes],
    connections: Sequence[_Connection],
    selector: selectors.BaseSelector,
    pace: float | None,
) -> list[float]:
    times: list[float] = []
    idle = list(connections)
    while True:
        now = time.perf_counter()
        for connection in [one for one in idle if one.due <= now]:
            idle.remove(connection)
            request = next(waiting, None)
            if request is not None:
                connection.send(request, time.perf_counter())
        if not idle and all(connection.sent is None for connection in connections):
            # The last has its answer: whatever is waited for from here on would count as time that answers took.
            break
        soonest = min((one.due for one in idle), default=None)
        pause = 1.0 if soonest is None else max(0.0, soonest - time.perf_counter())
        for key, _ in selector.select(pause):
            connection = key.data
            if connection.receive():
                ended = time.perf_counter()
                times.append(ended - connection.sent)
                connection.sent = None
                connection.due = ended if pace is None else max(ended, connection.due + 1.0 / pace)
                idle.append(connection)
    return times


def directly(calls: Sequence[Callable[[], object]], clients: int, pace: float | None) -> Way:
    """The same calls from as many threads of this process."""
    waiting = iter(calls)
    lock = threading.Lock()
    times: list[float] = []
    used = time.process_time()
    started = time.perf_counter()

    def client(number: int) -> None:
        due = started if pace is None else started + number / (clients * pace)
        while True:
            with lock:
                call = next(waiting, None)
            if call is None:
                return
            if pace is not None:
                time.sleep(max(0.0, due - time.perf_counter()))
            begun = time.perf_counter()
            call()
            ended = time.perf_counter()
            times.append(ended - begun)
            due = max(ended, due + (0.0 if pace is None else 1.0 / pace))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _way(times, started, used, time.process_time())


def _way(times: list[float], started: float, used: float | None, using: float | None) -> Way:
    seconds = time.perf_counter() - started
    cpu = None if used is None or using is None else 1000 * (using - used) / len(times)
    return Way(len(times) / seconds, latency(times), cpu)


def cpu_seconds(process: int) -> float | None:
    """Processor time that a process and all below it have used, in seconds; None where the system does not tell.

    Read from /proc/PID/stat (proc(5)): 4 is the parent, 14 and 15 the time in user and in kernel mode, in ticks.
    """
    below: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in the second field may hold spaces and brackets.
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            # It has ended since it was listed.
            continue
        number = int(path.parent.name)
        below.setdefault(int(fields[1]), []).append(number)
        ticks[number] = int(fields[11]) + int(fields[12])
    if process not in ticks:
        return None
    found, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        found += ticks[one]
        waiting += below.get(one, [])
    return found / os.sysconf("SC_CLK_TCK")


def measure(
    *,
    records: int = RECORDS,
    clients: int = CLIENTS,
    calls: int = 2_000,
    paced_calls: int = 1_000,
    pace: float = PER_SECOND,
    workers: int = 2,
    threads: int = 4,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ServerSpeed:
    """Measure on this machine. `folder` decides which disk; a temporary folder if left out."""
    with tempfile.TemporaryDirectory(prefix="remanence-server-", dir=folder) as place:
        path, copy = Path(place) / "rest.db", Path(place) / "direct.db"
        say(f"{records:,} records")
        with Memory(path, user_id=_USER, background=False, enrich=False) as memory:
            memory.add_many(
                {"content": turn.text, "name": turn.speaker, "session_id": turn.session, "timestamp": turn.event_at}
                for turn in speed_data.turns(records)
            )
        shutil.copyfile(path, copy)
        queries = [query.text for query in speed_data.queries(calls + _WARM, among=records)]
        texts = [turn.text for turn in speed_data.turns(calls + _WARM, start=records)]
        with _server(path, workers, threads) as (address, token, process):

            def cpu() -> float | None:
                return cpu_seconds(process)

            def asked(route: str, bodies: Sequence[dict[str, Any]]) -> list[bytes]:
                return [_request(address, token, route, body) for body in bodies]

            searches = asked("/api/v1/search", [{"query": query} for query in queries])
            adds = asked("/api/v1/memories", [{"messages": text} for text in texts])
            say("REST")
            for _ in range(2 * workers):
                through_rest(address, searches[:_WARM], clients, None)
            rest = (
                through_rest(address, searches[:paced_calls], clients, pace, cpu),
                through_rest(address, searches[_WARM:], clients, None, cpu),
                through_rest(address, adds[_WARM:], clients, None, cpu),
            )
        say("directly")
        with Memory(copy, user_id=_USER, background=False) as memory:
            direct_searches = [lambda query=query: memory.search(query) for query in queries]
            direct_adds = [lambda text=text: memory.add(text) for text in texts]
            directly(direct_searches[:_WARM], clients, None)
            direct = (
                directly(direct_searches[:paced_calls], clients, pace),
                directly(direct_searches[_WARM:], clients, None),
                directly(direct_adds[_WARM:], clients, None),
            )
    pairs = [Pair(one, other) for one, other in zip(rest, direct, strict=True)]
    return ServerSpeed(remanence.__version__, hardware(), clients, records, workers, threads, pace, *pairs)


@contextmanager
def _server(path: Path, workers: int, threads: int) -> Iterator[tuple[tuple[str, int], str, int]]:
    """A server in processes of its own: its address, a key that reaches what is measured, and its process."""
    command = [sys.executable, "-m", "remanence"]
    made = subprocess.run(
        [*command, "keys", "create", "--name", "bench", "--user", _USER, "--path", str(path), "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    token = str(json.loads(made.stdout)["key"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--rate", "0", "--workers", str(workers), "--threads", str(threads)]
    process = subprocess.Popen([*command, "serve", "--path", str(path), *options], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _answers(("127.0.0.1", port)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RemanenceError("the server did not start; try `remanence serve` by hand")
            time.sleep(0.05)
        yield ("127.0.0.1", port), token, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True


def _request(address: tuple[str, int], token: str, route: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {route} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def load(path: Path) -> ServerSpeed:
    """What `--out` wrote. Raises `RemanenceError` for a file of another layout."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data.pop("schema", None) != _SCHEMA:
        raise RemanenceError(f"{path} is no measurement of this version; measure again with --out {path}")

    def way(found: dict[str, Any]) -> Way:
        return Way(found["per_second"], Latency(**found["ms"]), found["cpu_ms"])

    for name in ("paced_search", "search", "add"):
        data[name] = Pair(way(data[name]["rest"]), way(data[name]["direct"]))
    return ServerSpeed(**{**data, "hardware": Hardware(**data["hardware"])})


def render(found: ServerSpeed) -> str:
    """The figures as a table."""
    lines = [
        f"{found.clients} clients, {found.records:,} records, {found.workers} processes of {found.threads} threads",
        f"{'':24} {'per second':>12} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'CPU ms':>9}",
    ]
    for name, pair in (("search, paced", found.paced_search), ("search", found.search), ("add", found.add)):
        for side, way in (("REST", pair.rest), ("direct", pair.direct)):
            figures = f"{way.per_second:>12,.0f} {way.ms.p50:>9.2f} {way.ms.p95:>9.2f} {way.ms.p99:>9.2f}"
            cpu = "—" if way.cpu_ms is None else f"{way.cpu_ms:.2f}"
            lines.append(f"{f'{name}, {side}':24} {figures} {cpu:>9}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m remanence.bench.server_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="the file to write, such as results/server.json")
    parser.add_argument("--show", type=Path, help="print the table of such a file, and measure nothing")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--pace", type=float, default=PER_SECOND)
    chosen = parser.parse_args(arguments)
    if chosen.show is not None:
        print(render(load(chosen.show)))
        return 0
    found = measure(
        records=chosen.records,
        clients=chosen.clients,
        calls=chosen.calls,
        paced_calls=min(1_000, chosen.calls),
        pace=chosen.pace,
        workers=chosen.workers,
        threads=chosen.threads,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(render(found))
    if chosen.out is not None:
        chosen.out.write_text(json.dumps({"schema": _SCHEMA, **asdict(found)}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
