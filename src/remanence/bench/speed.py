"""`remanence bench speed`: how fast the memory is on this machine, beside what the machine itself can do.

Conversations come from `speed_data`. Every figure that has a floor is printed with the floor, measured in the same run:
a durable `add` beside an append and `fsync` of as many bytes, a scan of all vectors beside a plain sum over an array of
their size. Search is exact at every size, so its recall of the nearest vectors is 1.0 by construction.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import remanence
from remanence.bench import speed_data
from remanence.bench.datasets import Document
from remanence.bench.engine import BATCH, wire
from remanence.bench.metrics import Latency, latency
from remanence.bench.results import Hardware, hardware, rounded
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.dense import scan
from remanence.kernels.quantize import quantize
from remanence.runtime.memory import Memory
from remanence.stores.embedders.static import StaticEmbedder
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Put

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SCOPES, PER_SCOPE = 1_000, 1_000
QUERIES = 200
SINGLE_ADDS = 200
USER = "ana"

_SPLIT_TURNS = 20_000
_WARM = 2_000
_PORTION = 50_000
_SAMPLED_SCOPES = 100
_OPENINGS = 3
_REPEATS = 20
_SCHEMA = 1
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Split:
    """Microseconds per turn of what writing consists of, on the first turns of the stream."""

    turns: int
    analyse: float
    embed: float
    commit: float


@dataclass(frozen=True, slots=True)
class Scan:
    """Milliseconds of one pass over all vectors, and of a plain sum over as many bytes."""

    ms: float
    floor_ms: float
    bytes: int

    @property
    def factor(self) -> float:
        """How many times the floor the scan takes."""
        return self.ms / self.floor_ms


@dataclass(frozen=True, slots=True)
class Opening:
    """Milliseconds that a fresh process needs: for imports, for its first answer, and both; median of several."""

    import_ms: float
    first_query_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class OneScope:
    """All figures of one memory of `records` turns.

    `add_per_second`: turns by `Memory.add_many`, all included. `fsync`: an append of `append_bytes` and `fsync`, taking
    turns with the single adds. `after_add`: search right after an add. `resident_bytes`: growth of a fresh process
    over one that opened an empty store, per record; None where the system does not say.
    """

    records: int
    add_per_second: float
    split: Split
    single_add: Latency
    fsync: Latency
    append_bytes: int
    opening: Opening
    search: Latency
    after_add: Latency
    scan: Scan
    disk_bytes: float
    index_bytes: float
    resident_bytes: float | None


@dataclass(frozen=True, slots=True)
class ManyScopes:
    """Figures of one file with many memories; `cold` is the first search of a memory, `warm` the next ones."""

    scopes: int
    records: int
    add_per_second: float
    disk_bytes: float
    cold: Latency
    warm: Latency


@dataclass(frozen=True, slots=True)
class Speed:
    """A whole run on one machine."""

    version: str
    seed: int
    embedder: str
    hardware: Hardware
    one_scope: tuple[OneScope, ...]
    many_scopes: ManyScopes | None


def run(
    sizes: Sequence[int] = SIZES,
    *,
    scopes: int = SCOPES,
    seed: int = 0,
    folder: Path | None = None,
    report: Report | None = None,
) -> Speed:
    """Measure memories of the given sizes, and `scopes` memories of a thousand turns in one file (0: not).

    The files go to `folder`, which decides which disk is measured; a temporary folder if left out. `report` is called
    with a line of progress at each step.
    """
    if any(size < 1 for size in sizes) or scopes < 0:
        raise InvalidInput(f"sizes {list(sizes)} and {scopes} scopes: a memory to measure has at least one record")
    say = report or (lambda _: None)
    with tempfile.TemporaryDirectory(prefix="remanence-speed-", dir=folder) as place:
        measured = []
        for size in sizes:
            say(f"{size:,} records in one memory")
            measured.append(one_scope(size, Path(place) / f"{size}.db", seed=seed, report=say))
            for path in Path(place).iterdir():
                path.unlink()
        if scopes:
            say(f"{scopes:,} memories of {PER_SCOPE:,} records")
        many = many_scopes(scopes, Path(place) / "scopes.db", seed=seed, per_scope=PER_SCOPE) if scopes else None
    return Speed(remanence.__version__, seed, StaticEmbedder().space.key, hardware(), tuple(measured), many)


def one_scope(records: int, path: Path, *, seed: int = 0, report: Report | None = None) -> OneScope:
    """Measure one memory of `records` turns in a new file at `path`."""
    say = report or (lambda _: None)
    split = _split(min(records, _SPLIT_TURNS), path.with_name(f"split-{path.name}"), seed)
    with _memory(path) as memory:
        seconds = _fill(memory, speed_data.turns(records, seed=seed), say)
    disk = _size(path) / records
    queries = [query.text for query in speed_data.queries(2 * QUERIES, among=records, seed=seed)]
    say("  opening it in fresh processes")
    opening, resident = _opening(path, queries[0], records)
    say("  searching")
    engine = wire(SqliteStore(path), StaticEmbedder())
    index = engine.index(Scope(user_id=USER), engine.embedder.space)
    index_bytes = index.nbytes / len(index)
    scanned = _scan(index.codes, index.scales, queries[0])
    engine.close(close_store=True)
    with _memory(path) as memory:
        memory.search(queries[0])
        search = _timed(memory.search, queries[-QUERIES:])
        say("  adding one by one")
        single, fsync, size, after = _single_adds(memory, path, queries[:SINGLE_ADDS])
    return OneScope(
        records=records,
        add_per_second=records / seconds,
        split=split,
        single_add=single,
        fsync=fsync,
        append_bytes=size,
        opening=opening,
        search=search,
        after_add=after,
        scan=scanned,
        disk_bytes=disk,
        index_bytes=index_bytes,
        resident_bytes=resident,
    )


def many_scopes(scopes: int, path: Path, *, per_scope: int = PER_SCOPE, seed: int = 0) -> ManyScopes:
    """Measure one file with many memories; searches go to some of them, evenly spread."""
    seconds = 0.0
    with _memory(path) as memory:
        for user, documents in speed_data.scopes(scopes, per_scope, seed=seed):
            items = _items(documents)
            begun = time.perf_counter()
            memory.add_many(items, user_id=user)
            seconds += time.perf_counter() - begun
    disk = _size(path) / (scopes * per_scope)
    queries = [query.text for query in speed_data.queries(5 * _SAMPLED_SCOPES, among=scopes * per_scope, seed=seed)]
    cold: list[float] = []
    warm: list[float] = []
    with _memory(path) as memory:
        memory.search(queries[0], user_id="user-0")
        for sample in range(_SAMPLED_SCOPES):
            user = f"user-{sample * scopes // _SAMPLED_SCOPES}"
            for at, query in enumerate(queries[5 * sample : 5 * sample + 5]):
                begun = time.perf_counter()
                memory.search(query, user_id=user)
                (warm if at else cold).append(time.perf_counter() - begun)
    return ManyScopes(scopes, scopes * per_scope, scopes * per_scope / seconds, disk, latency(cold), latency(warm))


def size_of(text: str) -> int:
    """A number of records: "500", "10k", "1m". Raises `InvalidInput`."""
    number, unit = (text[:-1], text[-1:].lower()) if text[-1:].isalpha() else (text, "")
    if not number.isdecimal() or unit not in _UNITS:
        raise InvalidInput(f"{text!r} is no number of records; write it as 500, 10k or 1m")
    return int(number) * _UNITS[unit]


def save(speed: Speed, path: Path) -> None:
    """Write a run as JSON."""
    data = {"schema": _SCHEMA, **asdict(speed)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(data), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> Speed:
    """Read what `save` wrote. Raises `ImportFormatError`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != _SCHEMA:
            raise ImportFormatError(f"{path.name} is no speed result of schema {_SCHEMA}; measure again")
        return Speed(
            **{
                **data,
                "hardware": Hardware(**data["hardware"]),
                "one_scope": tuple(_one_scope(one) for one in data["one_scope"]),
                "many_scopes": None if data["many_scopes"] is None else _many_scopes(data["many_scopes"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ImportFormatError):
            raise
        raise ImportFormatError(f"{path.name} is no speed result: {error}; measure again") from error


def render(speed: Speed) -> str:
    """Markdown: one table of times and sizes by number of records, and what stands behind the floors."""
    columns = speed.one_scope
    rows: list[tuple[str, Callable[[OneScope], str]]] = [
        ("`search`, p50 / p95 / p99, ms", lambda one: _percentiles(one.search)),
        ("`search` right after an `add`, p50, ms", lambda one: f"{one.after_add.p50:.1f}"),
        ("`add_many`, turns per second", lambda one: f"{one.add_per_second:,.0f}"),
        ("analyse / embed / commit, µs per turn", lambda one: " / ".join(
            f"{part:.0f}" for part in (one.split.analyse, one.split.embed, one.split.commit))),
        ("one durable `add`, p50 / p95, ms", lambda one: f"{one.single_add.p50:.2f} / {one.single_add.p95:.2f}"),
        ("append + `fsync` of as many bytes, p50 / p95, ms", lambda one: f"{one.fsync.p50:.2f} / {one.fsync.p95:.2f}"),
        ("fresh process: imports + first answer, ms",
         lambda one: f"{one.opening.import_ms:.0f} + {one.opening.first_query_ms:.0f}"),
        ("scan of all vectors / sum over as many bytes, ms",
         lambda one: f"{one.scan.ms:.2f} / {one.scan.floor_ms:.2f} = {one.scan.factor:.1f}×"),
        ("bytes per record on disk", lambda one: f"{one.disk_bytes:,.0f}"),
        ("bytes per record in memory, counted / as the process grew", lambda one: f"{one.index_bytes:,.0f} / "
         + ("–" if one.resident_bytes is None else f"{one.resident_bytes:,.0f}")),
    ]  # fmt: skip
    lines = ["| records in one memory | " + " | ".join(f"{one.records:,}" for one in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    lines += [f"| {name} | " + " | ".join(cell(one) for one in columns) + " |" for name, cell in rows]
    machine = speed.hardware
    text = (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.system}, Python {machine.python}, "
        f"NumPy {machine.numpy}; version {speed.version}, seed {speed.seed}.\n\n" + "\n".join(lines)
    )
    many = speed.many_scopes
    if many is not None:
        text += (
            f"\n\n{many.scopes:,} memories of {many.records // many.scopes:,} records in one file: "
            f"{many.add_per_second:,.0f} turns per second in, {many.disk_bytes:,.0f} bytes per record on disk; the "
            f"first search of a memory takes {many.cold.p50:.1f} ms (p95 {many.cold.p95:.1f}), the next ones "
            f"{many.warm.p50:.1f} ms (p95 {many.warm.p95:.1f})."
        )
    return text + "\n"


@contextmanager
def _memory(path: Path) -> Iterator[Memory]:
    memory = Memory(path, user_id=USER)
    try:
        yield memory
    finally:
        memory.close()


def _items(documents: Iterable[Document]) -> list[dict[str, Any]]:
    return [
        {"name": one.speaker, "content": one.text, "timestamp": one.event_at, "session_id": one.session}
        for one in documents
    ]


def _fill(memory: Memory, documents: Iterable[Document], say: Report) -> float:
    """Seconds that `add_many` takes for all documents; making them is not counted."""
    seconds, done = 0.0, 0
    source = iter(documents)
    while items := _items(islice(source, _PORTION)):
        begun = time.perf_counter()
        memory.add_many(items)
        seconds += time.perf_counter() - begun
        done += len(items)
        say(f"  {done:,} stored, {done / seconds:,.0f} per second")
    return seconds


def _split(turns: int, path: Path, seed: int) -> Split:
    """Time the parts of writing one by one, batch by batch."""
    whole, parts = Scope(user_id=USER), np.zeros(3)
    source = speed_data.turns(turns, seed=seed)
    engine = wire(SqliteStore(path), StaticEmbedder())
    recall = engine.recall(whole)
    # What a process reads once, whatever it stores, is no part of the speed of storing.
    recall.derive([Draft(one.text) for one in speed_data.turns(_WARM, seed=seed + 1)])
    while documents := list(islice(source, BATCH)):
        texts = [one.text for one in documents]
        marks = [time.perf_counter()]
        terms = recall.analyse(texts)
        marks.append(time.perf_counter())
        vectors = recall.embed(texts)
        marks.append(time.perf_counter())
        scopes = [Scope(user_id=USER, run_id=one.session) for one in documents]
        engine.write(
            [
                Put(Draft(one.text, scope=own, event_at=one.event_at, speaker=one.speaker, terms=stream, vector=vector))
                for one, own, stream, vector in zip(documents, scopes, terms, vectors, strict=True)
            ],
            whole,
        )
        marks.append(time.perf_counter())
        parts += np.diff(marks)
    engine.close(close_store=True)
    return Split(turns, *(parts / turns * 1e6).tolist())


def _opening(path: Path, query: str, records: int) -> tuple[Opening, float | None]:
    """Times of fresh processes that open the file, and the bytes per record that they hold beyond an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.db"
        with _memory(empty) as memory:
            memory.add("Nothing much")
        before = _fresh(empty, query)["resident_bytes"]
    runs = [_fresh(path, query) for _ in range(_OPENINGS)]
    imports, firsts = ([run[key] for run in runs] for key in ("import_ms", "first_query_ms"))
    totals = [one + other for one, other in zip(imports, firsts, strict=True)]
    opening = Opening(float(np.median(imports)), float(np.median(firsts)), float(np.median(totals)))
    after = runs[0]["resident_bytes"]
    return opening, None if before is None or after is None else (after - before) / records


def _fresh(path: Path, *queries: str) -> dict[str, Any]:
    """What `probe` says of one fresh process."""
    command = [sys.executable, "-m", "remanence.bench.probe", str(path), USER, *queries]
    root = str(Path(remanence.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # An installed package is compiled; what runs from a checkout is compiled by the first of these processes.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the probe of a fresh process failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _single_adds(memory: Memory, path: Path, queries: Sequence[str]) -> tuple[Latency, Latency, int, Latency]:
    """Adds of one turn each, appends with `fsync` of as many bytes in between, that size, and searches after adds."""
    turns = list(speed_data.turns(len(queries) + 1, seed=1))
    log = path.with_name(path.name + "-wal")
    items = _items(turns)
    size_before = log.stat().st_size if log.exists() else 0
    memory.add(items[-1:])
    # What one add appends to the log, counted on a log that it does not start anew.
    grown = log.stat().st_size
    memory.add(_items(speed_data.turns(1, seed=2)))
    size = max(log.stat().st_size - grown, grown - size_before, 1)
    payload = np.random.default_rng(0).bytes(size)
    adds: list[float] = []
    syncs: list[float] = []
    searches: list[float] = []
    with path.with_name(f"sync-{path.name}").open("wb", buffering=0) as file:
        for item, query in zip(items, queries, strict=False):
            begun = time.perf_counter()
            memory.add([item])
            added = time.perf_counter()
            memory.search(query)
            searched = time.perf_counter()
            file.write(payload)
            os.fsync(file.fileno())
            syncs.append(time.perf_counter() - searched)
            adds.append(added - begun)
            searches.append(searched - added)
    return latency(adds), latency(syncs), size, latency(searches)


def _scan(codes: NDArray[np.int8], scales: NDArray[np.float32], query: str) -> Scan:
    """The dense scan beside the fastest plain pass over an array of the same size."""
    vectors, query_scales = quantize(StaticEmbedder().embed([query], kind="query"))
    other = np.zeros(codes.nbytes // 8, np.int64)
    other += np.arange(len(other))
    scans = _timed(lambda _: scan(codes, scales, vectors[0], float(query_scales[0])), range(_REPEATS))
    sums = _timed(lambda _: other.sum(), range(_REPEATS))
    return Scan(scans.p50, sums.p50, codes.nbytes)


def _timed(call: Callable[[Any], object], arguments: Iterable[Any]) -> Latency:
    seconds = []
    for argument in arguments:
        begun = time.perf_counter()
        call(argument)
        seconds.append(time.perf_counter() - begun)
    return latency(seconds)


def _size(path: Path) -> int:
    """Bytes of a closed store: its file, and what a checkpoint may have left beside it."""
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


def _percentiles(times: Latency) -> str:
    return f"{times.p50:.1f} / {times.p95:.1f} / {times.p99:.1f}"


def _one_scope(data: dict[str, Any]) -> OneScope:
    kinds = {
        "split": Split, "single_add": Latency, "fsync": Latency, "opening": Opening, "search": Latency,
        "after_add": Latency, "scan": Scan,
    }  # fmt: skip
    return OneScope(**{**data, **{name: kind(**data[name]) for name, kind in kinds.items()}})


def _many_scopes(data: dict[str, Any]) -> ManyScopes:
    return ManyScopes(**{**data, "cold": Latency(**data["cold"]), "warm": Latency(**data["warm"])})
