"""`python -m remanence.bench.postgres_speed`: searches of many tenants of one PostgreSQL store.

    fill     makes the tenants, by `Memory.add_many`, each with as many memories
    measure  lets clients ask random tenants, and writes how long the answers took

A tenant's sessions are written in turn with those of others, so that its rows lie spread over the tables as they do
where everybody talks at once. Tenants are drawn uniformly, which makes a search of a fresh process mostly one that has
to load its tenant's index first, and by Zipf's law, as some are busier than others; once with room for the indexes of
all tenants, once for those of some. Clients are threads of one process with one `Memory`. They ask again as soon as
they have their answer, or, where there are several, also paced: each a few times per second. Flat out, several clients
wait for each other's Python, so that their latency says what `per_second` says already.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import remanence
from remanence.bench import speed_data
from remanence.bench.metrics import Latency, latency
from remanence.bench.results import Hardware, hardware
from remanence.core.errors import InvalidInput, RemanenceError, StoreError
from remanence.core.scope import Scope
from remanence.runtime.memory import Memory
from remanence.substrates.records.operations import Operation, Outcome, Scan
from remanence.substrates.records.port import RecordStore

SCHEMA = 1
DRAWS = ("uniform", "zipf")
TENANTS, EACH, SEARCHES = 1_000, 1_000, 2_000
CLIENTS, BUDGETS = (1, 4), (2048, 128)
PACE = 5.0
"""Searches per second and client of the paced rounds."""
_GROUP = 50
"""Tenants that write in turn: as many as fit into memory easily."""
_QUESTIONS = 500
_MIB = 1024**2
_PACED = 500
"""Searches of a paced round, at most: it takes as long as it takes."""


@dataclass(frozen=True, slots=True)
class Round:
    """Searches of one kind from a fresh `Memory`; a search is `cold` if it had to load an index, else `warm`.

    `pace`: searches per second of each client; None: flat out. Per search: `client_ms`, CPU time of the asking process;
    `server_ms`, time in which the server ran statements; `server_blocks` of 8 KiB that it looked at; `transactions`.
    """

    draw: str
    clients: int
    pace: float | None
    index_mib: int
    per_second: float
    cold_share: float
    searches: Latency
    cold: Latency | None
    warm: Latency | None
    client_ms: float
    server_ms: float
    server_blocks: float
    transactions: float


@dataclass(frozen=True, slots=True)
class PostgresSpeed:
    """All that was measured; times in milliseconds."""

    version: str
    seed: int
    hardware: Hardware
    postgres: str
    settings: dict[str, str]
    tenants: int
    memories: int
    kinds: dict[str, int]
    database_mib: int
    rounds: tuple[Round, ...]


class _Watched:
    """A store that notes, for each thread, whether an index was loaded from its beginning."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._here = threading.local()

    def was_cold(self) -> bool:
        """Whether this thread has loaded an index since it last asked."""
        cold = getattr(self._here, "cold", False)
        self._here.cold = False
        return cold

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        if any(isinstance(operation, Scan) and not operation.after for operation in operations):
            self._here.cold = True
        return self._store.batch(operations, scope=scope, actor=actor, why=why)

    def position(self) -> int:
        return self._store.position()

    def due(self, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Scope]:
        return self._store.due(limit, kinds)

    def close(self) -> None:
        self._store.close()


def tenants_of(draw: str, tenants: int, count: int, seed: int) -> NDArray[np.intp]:
    """Which tenants ask, [count]: each as likely as the other, or the n-th busiest 1/n times as likely as the first."""
    if draw not in DRAWS:
        raise InvalidInput(f"there is no draw {draw!r}; choose one of {', '.join(DRAWS)}")
    rng = np.random.default_rng([seed, DRAWS.index(draw)])
    shares = 1 / np.arange(1, tenants + 1) if draw == "zipf" else np.ones(tenants)
    drawn: NDArray[np.intp] = rng.permutation(tenants)[rng.choice(tenants, count, p=shares / shares.sum())]
    return drawn


def fill(url: str, tenants: int, each: int, *, seed: int = 0, enrich: bool = False, say: Callable[[str], None]) -> None:
    """Write `each` turns for every one of `tenants`, session by session in turn."""
    from remanence.stores.postgres import PostgresStore

    if tenants < 1 or each < 1:
        raise InvalidInput(f"{tenants} tenants with {each} memories each: there must be at least one of both")
    with PostgresStore(url, durable=False) as store, _Server(url) as server:
        if store.position():
            raise InvalidInput(f"{store.name} is not empty; name another schema (?schema=…)")
        with Memory(store=store, background=False, enrich=enrich) as memory:
            for first in range(0, tenants, _GROUP):
                begun = time.perf_counter()
                group = range(first, min(first + _GROUP, tenants))
                # Every session is committed by itself, since those of one batch have no id in common.
                memory.add_many(_sessions(group, each, seed), batch_size=len(group) * speed_data.SESSION_TURNS)
                if enrich:
                    for tenant in group:
                        memory.work(user_id=user(tenant))
                pace = len(group) * each / (time.perf_counter() - begun)
                say(f"{group.stop:,} tenants, {pace:,.0f} memories per second")
        server.settle()


def _sessions(tenants: Sequence[int], each: int, seed: int) -> Iterator[dict[str, Any]]:
    stretches = [list(speed_data.turns(each, seed=seed, start=tenant * each)) for tenant in tenants]
    for start in range(0, each, speed_data.SESSION_TURNS):
        for tenant, turns in zip(tenants, stretches, strict=True):
            for turn in turns[start : start + speed_data.SESSION_TURNS]:
                yield {
                    "user_id": user(tenant),
                    "session_id": turn.session,
                    "name": turn.speaker,
                    "content": turn.text,
                    "timestamp": turn.event_at,
                }


def user(tenant: int) -> str:
    """The id of a tenant."""
    return f"user-{tenant}"


def measure(
    url: str,
    *,
    searches: int = SEARCHES,
    clients: Sequence[int] = CLIENTS,
    budgets: Sequence[int] = BUDGETS,
    pace: float = PACE,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> PostgresSpeed:
    """Measure what `fill` has made. `budgets`: MiB that the indexes in use may take."""
    if searches < 1 or pace <= 0 or not clients or min(clients) < 1:
        raise InvalidInput(f"{searches} searches by {list(clients)} clients, {pace:g} per second: all must be above 0")
    with _Server(url) as server:
        tenants, kinds = server.content()
        if not tenants:
            raise InvalidInput(f"{server.name} holds no tenants; run `fill` first")
        turns = [query.text for query in speed_data.queries(_QUESTIONS, among=kinds["turn"], seed=seed)]
        rounds = []
        ways = [(number, paced) for number in clients for paced in ((None, pace) if number > 1 else (None,))]
        for budget in budgets:
            for draw in DRAWS:
                for number, paced in ways:
                    say(f"{draw}, {number} clients, {budget} MiB for indexes")
                    plan = _Plan(draw, number, paced, budget, tenants, searches, seed)
                    rounds.append(_round(server, plan, turns))
                    say(_line(rounds[-1]))
        return PostgresSpeed(
            version=remanence.__version__,
            seed=seed,
            hardware=hardware(),
            postgres=server.setting("server_version"),
            settings={name: server.setting(name) for name in ("shared_buffers", "max_connections", "jit")},
            tenants=tenants,
            memories=sum(kinds.values()),
            kinds=kinds,
            database_mib=server.size() // _MIB,
            rounds=tuple(rounds),
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    draw: str
    clients: int
    pace: float | None
    budget: int
    tenants: int
    searches: int
    seed: int


def _round(server: _Server, plan: _Plan, questions: Sequence[str]) -> Round:
    from remanence.stores.postgres import PostgresStore

    clients, pace = plan.clients, plan.pace
    count = plan.searches if pace is None else min(plan.searches, _PACED)
    drawn = iter(tenants_of(plan.draw, plan.tenants, count, plan.seed).tolist())
    lock = threading.Lock()
    cold: list[float] = []
    warm: list[float] = []
    failed: list[RemanenceError] = []
    store = _Watched(PostgresStore(server.url, pool_size=clients))

    def client(number: int) -> None:
        due = begun if pace is None else begun + number / (clients * pace)
        try:
            for question in islice(cycle(questions), number * len(questions) // clients, None):
                with lock:
                    tenant = next(drawn, None)
                if tenant is None:
                    return
                time.sleep(max(0.0, due - time.perf_counter()))
                asked = time.perf_counter()
                memory.search(question, user_id=user(tenant))
                answered = time.perf_counter()
                (cold if store.was_cold() else warm).append(answered - asked)
                due = max(answered, due + (0.0 if pace is None else 1 / pace))
        except RemanenceError as error:
            failed.append(error)

    before = server.counters()
    with Memory(store=store, index_bytes=plan.budget * _MIB, background=False) as memory:
        # Tables of the embedder, connections and plans are there when the first one asks.
        _together(clients, lambda _: [memory.search(question, user_id="nobody") for question in questions[:10]])
        begun, processor = time.perf_counter(), time.process_time()
        _together(clients, client)
        spent, worked = time.perf_counter() - begun, time.process_time() - processor
    store.close()
    if failed:
        raise failed[0]
    after = server.counters()
    ran, blocks, transactions = ((after[at] - before[at]) / count for at in range(3))
    return Round(
        draw=plan.draw,
        clients=clients,
        pace=pace,
        index_mib=plan.budget,
        per_second=count / spent,
        cold_share=len(cold) / count,
        searches=latency([*cold, *warm]),
        cold=latency(cold) if cold else None,
        warm=latency(warm) if warm else None,
        client_ms=worked * 1000 / count,
        server_ms=ran,
        server_blocks=blocks,
        transactions=transactions,
    )


def _together(clients: int, act: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=act, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Server:
    """A connection beside those of the store, which sees all of its rows and what the server counts."""

    def __init__(self, url: str) -> None:
        import psycopg

        from remanence.stores.postgres.pool import Address
        from remanence.stores.postgres.schema import EVERYWHERE

        address = Address(url)
        self.url, self.name = url, address.name
        self._schema = address.schema
        try:
            self._connection = psycopg.connect(address.conninfo, autocommit=True)
        except psycopg.Error as error:
            raise StoreError(f"{address.name} cannot be reached: {error}") from error
        self._ask("SELECT set_config('remanence.scope', %s, false)", EVERYWHERE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def content(self) -> tuple[int, dict[str, int]]:
        """How many users have memories, and how many memories there are of each kind."""
        if not self._ask("SELECT to_regclass(%s) IS NOT NULL", f"{self._schema}.versions")[0][0]:
            return 0, {}
        tenants = self._ask(f"SELECT count(DISTINCT user_id) FROM {self._schema}.scopes")[0][0]
        return tenants, dict(self._ask(f"SELECT kind, count(*) FROM {self._schema}.versions GROUP BY kind ORDER BY 1"))

    def settle(self) -> None:
        """What the server does by itself some time after so many writes: tidy the tables, and count what they hold."""
        for (table,) in self._ask("SELECT tablename FROM pg_tables WHERE schemaname = %s", self._schema):
            self._ask(f"VACUUM (ANALYZE) {self._schema}.{table}")

    def setting(self, name: str) -> str:
        """A setting of the server."""
        return str(self._ask("SELECT current_setting(%s)", name)[0][0])

    def size(self) -> int:
        """Bytes of the store's tables and indexes."""
        query = (
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = %s::regnamespace"
        )
        return int(self._ask(query, self._schema)[0][0])

    def counters(self) -> tuple[float, float, float]:
        """Milliseconds in statements, blocks and transactions so far, of connections that were closed."""
        deadline = time.monotonic() + 10
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        while self._ask(others)[0][0] and time.monotonic() < deadline:
            time.sleep(0.05)
        query = (
            "SELECT active_time, blks_hit + blks_read, xact_commit FROM pg_stat_database "
            "WHERE datname = current_database()"
        )
        ((ran, blocks, transactions),) = self._ask(query)
        return float(ran), float(blocks), float(transactions)

    def _ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def save(measured: PostgresSpeed, path: Path) -> None:
    """Write the measurement as JSON; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"schema": SCHEMA, **asdict(measured)}
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def render(measured: PostgresSpeed) -> str:
    """A Markdown table, a row for each round."""
    lines = [
        f"{measured.tenants:,} tenants, {measured.memories:,} memories, {measured.database_mib:,} MiB, "
        f"PostgreSQL {measured.postgres}",
        "",
        "| draw | clients | pace | MiB for indexes | cold | p50 / p95 / p99, ms | cold p50 / p95 | warm p50 / p95 | "
        "per second | client + server, ms |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *(_line(one) for one in measured.rounds)])


def _line(one: Round) -> str:
    def pair(times: Latency | None) -> str:
        return "–" if times is None else f"{times.p50:.1f} / {times.p95:.1f}"

    times = f"{one.searches.p50:.1f} / {one.searches.p95:.1f} / {one.searches.p99:.1f}"
    pace = "flat out" if one.pace is None else f"{one.pace:g}/s each"
    cells = (one.draw, one.clients, pace, one.index_mib, f"{one.cold_share:.0%}", times, pair(one.cold), pair(one.warm),
             f"{one.per_second:.0f}", f"{one.client_ms:.1f} + {one.server_ms:.1f}")  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 when something is missing or makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m remanence.bench.postgres_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("fill", "measure"))
    parser.add_argument("url", help="postgresql://user@host/database?schema=name")
    parser.add_argument("--tenants", type=int, default=TENANTS, help="for fill; default: %(default)s")
    parser.add_argument("--each", type=int, default=EACH, help="memories of each, for fill; default: %(default)s")
    parser.add_argument("--enrich", action="store_true", help="for fill: derive facts, episodes and the like too")
    parser.add_argument("--searches", type=int, default=SEARCHES, help="of each round; default: %(default)s")
    parser.add_argument("--clients", type=int, action="append", help="may be repeated; default: 1 and 4")
    parser.add_argument("--index-mib", type=int, action="append", help="may be repeated; default: 2048 and 128")
    parser.add_argument("--pace", type=float, default=PACE, help="of each of several clients, per second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "fill":
            fill(chosen.url, chosen.tenants, chosen.each, seed=chosen.seed, enrich=chosen.enrich, say=_say)
            return 0
        measured = measure(
            chosen.url,
            searches=chosen.searches,
            clients=chosen.clients or CLIENTS,
            budgets=chosen.index_mib or BUDGETS,
            pace=chosen.pace,
            seed=chosen.seed,
            say=_say,
        )
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.out is not None:
        save(measured, chosen.out)
    print(render(measured))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
