"""Results as files that can be committed, and the tables made from them.

One JSON file per (data set, system). It says what was measured on what, by which version, with which seed and on which
kind of machine; nothing in it names a folder, a user or a host.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import remanence
from remanence.bench.metrics import Interval, Latency, cluster_bootstrap, latency, paired_bootstrap
from remanence.bench.runner import OVERALL, WITHIN_BUDGET, Run, best
from remanence.core.errors import ImportFormatError, InvalidInput

SCHEMA = 2
COMPARED = ("recall@1", "recall@5", "recall@10", "recall@20", "ndcg@10", WITHIN_BUDGET)
RESAMPLES = 10_000

_BASELINES = ("bm25", "bm25-stemmed", "dense", "rrf")

_Part = TypeVar("_Part", "Hardware", "Latency", "Footprint", "Gain", "Result")


@dataclass(frozen=True, slots=True)
class Hardware:
    """The kind of machine, without anything that identifies one."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    numpy: str


@dataclass(frozen=True, slots=True)
class Gain:
    """How far a system stands above the best baseline on one metric, with 95 % intervals.

    `low` and `high` come from drawing questions again; `corpus_low` and `corpus_high` from drawing whole corpora, and
    are None when the data set has only one.
    """

    baseline: str
    mean: float
    low: float
    high: float
    corpus_low: float | None
    corpus_high: float | None


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes per record that a system holds in memory and on disk; None where it was not measured."""

    memory: float | None
    disk: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """One system on one data set. Shares are between 0 and 1, times in milliseconds unless the name says otherwise.

    `learnt_on`: the system's weights were learnt on these very questions, so that `metrics` and `gains` flatter it.
    `cross_validated` then holds what weights learnt without the question's fold reach, where that was measured.
    """

    system: str
    dataset: str
    title: str
    fingerprint: str
    notes: str
    version: str
    seed: int
    embedder: str | None
    hardware: Hardware
    corpora: int
    documents: int
    questions: dict[str, int]
    learnt_on: bool
    metrics: dict[str, dict[str, float]]
    cross_validated: dict[str, float]
    gains: dict[str, Gain]
    tokens: float
    """Tokens of the first ten things returned, on average."""
    newest_first: float | None
    updates: int
    latency: Latency
    build_seconds: float
    bytes_per_record: Footprint

    @property
    def filename(self) -> str:
        """The name of its file in the results folder."""
        return f"{self.dataset}-{self.system}.json"


def from_run(
    run: Run,
    *,
    baselines: Sequence[Run] = (),
    seed: int,
    hardware: Hardware,
    embedder: str | None = None,
    footprint: Footprint | None = None,
    learnt_on: bool = False,
    cross_validated: Mapping[str, float] | None = None,
) -> Result:
    """Summarise a run; with `baselines` (runs of the same data set), compare it with the best of them per metric."""
    for other in baselines:
        if other.dataset is not run.dataset:
            raise InvalidInput(f"{other.system} ran on another data set than {run.system}; run both on the same one")
    categories = run.categories()
    updates = run.newest_first()
    return Result(
        system=run.system,
        dataset=run.dataset.name,
        title=run.dataset.title,
        fingerprint=run.dataset.fingerprint(),
        notes=run.dataset.notes,
        version=remanence.__version__,
        seed=seed,
        embedder=embedder,
        hardware=hardware,
        corpora=len(run.dataset.corpora),
        documents=sum(len(corpus.documents) for corpus in run.dataset.corpora),
        questions={category: len(run.clusters(category)) for category in categories},
        learnt_on=learnt_on,
        metrics={category: run.summary(category) for category in categories},
        cross_validated=dict(cross_validated or {}),
        gains={metric: _gain(run, best(baselines, metric), metric, seed) for metric in COMPARED if baselines},
        tokens=run.tokens(),
        newest_first=updates[1] if updates else None,
        updates=updates[0] if updates else 0,
        latency=latency(run.seconds),
        build_seconds=run.build_seconds,
        bytes_per_record=footprint or Footprint(None, None),
    )


def hardware() -> Hardware:
    """Describe this machine."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        memory = 0.0
    return Hardware(
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_gib=round(memory, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        numpy=np.__version__,
    )


def rounded(value: Any, form: str = ".6f") -> Any:
    """What is written to a file of results, its numbers as the format says: digits behind the point, or that count."""
    if isinstance(value, float):
        return float(format(value, form))
    if isinstance(value, Mapping):
        return {name: rounded(part, form) for name, part in value.items()}
    return [rounded(part, form) for part in value] if isinstance(value, list | tuple) else value


def write(result: Result, folder: Path) -> Path:
    """Write a result to its file under `folder` (made if need be), replacing an older one. Keys keep their order."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / result.filename
    data = {"schema": SCHEMA, **rounded(asdict(result))}
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Result:
    """Read one result. Raises `ImportFormatError` for a file of another schema or with keys missing or unknown."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ImportFormatError(
            f"{path.name} is not valid JSON ({error}); write it again with remanence bench"
        ) from error
    if not isinstance(data, dict) or data.pop("schema", None) != SCHEMA:
        raise ImportFormatError(f"{path.name} is no benchmark result of schema {SCHEMA}; run the benchmark again")
    data["hardware"] = _build(Hardware, data.get("hardware"), path)
    data["latency"] = _build(Latency, data.get("latency"), path)
    data["bytes_per_record"] = _build(Footprint, data.get("bytes_per_record"), path)
    data["gains"] = {metric: _build(Gain, gain, path) for metric, gain in (data.get("gains") or {}).items()}
    return _build(Result, data, path)


def read_all(folder: Path) -> list[Result]:
    """All results under `folder`, by data set, baselines first."""
    return sorted((read(path) for path in folder.glob("*-*.json")), key=lambda one: (one.dataset, _place(one.system)))


def overview(results: Sequence[Result], metric: str) -> str:
    """Markdown: one table over all systems and data sets of one metric; the best of each set is marked."""
    sets = sorted({one.dataset for one in results})
    systems = sorted({one.system for one in results}, key=_place)
    found = {(one.system, one.dataset): round(one.cross_validated.get(metric, one.metrics[OVERALL][metric]), 3)
             for one in results}  # fmt: skip
    best = {name: max(value for (_, dataset), value in found.items() if dataset == name) for name in sets}
    rows = [
        [f"`{system}`", *(_cell(found[system, name], best[name]) if (system, name) in found else "–" for name in sets)]
        for system in systems
    ]
    return _markdown([metric, *sets], rows)


def render(results: Sequence[Result], *, brief: bool = False) -> str:
    """Markdown: one table per data set, then recall by category. The same results give the same text in any order.

    `brief` leaves the tables of data sets alone: no intervals, no categories, no sizes.
    """
    ordered = sorted(results, key=lambda one: (one.dataset, _place(one.system)))
    sections = []
    for name in dict.fromkeys(one.dataset for one in ordered):
        group = [one for one in ordered if one.dataset == name]
        further = () if brief else (_gains(group), _split(group), _sizes(group))
        sections.append("\n\n".join(part for part in (_heading(group), _table(group), *further) if part))
    return "\n\n".join(sections) + "\n"


def _gain(run: Run, baseline: Run, metric: str, seed: int) -> Gain:
    ours, theirs = run.values(metric), baseline.values(metric)
    clusters = run.clusters()
    drawn = paired_bootstrap(ours, theirs, rng=np.random.default_rng([seed, 0]), resamples=RESAMPLES)
    whole: Interval | None = None
    if len(set(clusters)) > 1:
        rng = np.random.default_rng([seed, 1])
        whole = cluster_bootstrap(ours, theirs, clusters, rng=rng, resamples=RESAMPLES)
    corpus_low, corpus_high = (whole.low, whole.high) if whole else (None, None)
    return Gain(baseline.system, drawn.mean, drawn.low, drawn.high, corpus_low, corpus_high)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _build(kind: type[_Part], data: Any, path: Path) -> _Part:
    names = {one.name for one in fields(kind)}
    if not isinstance(data, dict) or set(data) != names:
        given = set(data) if isinstance(data, dict) else set()
        raise ImportFormatError(
            f"{path.name}: {kind.__name__} lacks {sorted(names - given)} and has unknown {sorted(given - names)}; "
            "run the benchmark again"
        )
    return kind(**data)


def _place(system: str) -> tuple[int, str]:
    return (_BASELINES.index(system) if system in _BASELINES else len(_BASELINES), system)


def _heading(group: Sequence[Result]) -> str:
    first = group[0]
    corpora = "one corpus" if first.corpora == 1 else f"{first.corpora:,} corpora"
    size = f"{first.questions[OVERALL]:,} questions over {first.documents:,} documents in {corpora}"
    data = ", ".join(f"`{fingerprint}`" for fingerprint in dict.fromkeys(one.fingerprint for one in group))
    return f"### {first.title}\n\n{size} (data {data}). {first.notes}"


def _table(group: Sequence[Result]) -> str:
    columns = [*COMPARED, "mrr"]
    # The best figure is marked; one that was learnt on its own questions competes with its cross-validated form.
    best = {
        column: max(round(one.cross_validated.get(column, one.metrics[OVERALL][column]), 3) for one in group)
        for column in columns
    }
    ordering = any(one.newest_first is not None for one in group)
    newest_column = ["newest first"] if ordering else []
    head = ["system", *columns, *newest_column, "tokens", "p50 ms", "p95 ms", "p99 ms", "build s"]
    rows = []
    for one in group:
        found = one.metrics[OVERALL]
        cells = [_cell(found[name], best[name], marked=name not in one.cross_validated) for name in columns]
        newest = ["–" if one.newest_first is None else f"{one.newest_first:.0%} of {one.updates}"] if ordering else []
        times = [f"{value:.2f}" for value in (one.latency.p50, one.latency.p95, one.latency.p99)]
        rows.append([_name(one), *cells, *newest, f"{one.tokens:.0f}", *times, f"{one.build_seconds:.1f}"])
        if one.cross_validated:
            held_out = one.cross_validated
            cells = [_cell(held_out[name], best[name]) if name in held_out else "–" for name in columns]
            blank = ["–"] * (len(head) - 1 - len(cells))
            rows.append([f"`{one.system}`, cross-validated", *cells, *blank])
    return _markdown(head, rows)


def _gains(group: Sequence[Result]) -> str:
    rows = [
        [_name(one), metric, f"`{gain.baseline}`", f"{gain.mean:+.3f}", _range(gain.low, gain.high),
         _range(gain.corpus_low, gain.corpus_high)]
        for one in group
        for metric, gain in one.gains.items()
    ]  # fmt: skip
    head = ["system", "metric", "best baseline", "difference", "95 % over questions", "95 % over corpora"]
    return _markdown(head, rows) if rows else ""


def _sizes(group: Sequence[Result]) -> str:
    lines = [
        f"`{one.system}` holds {one.bytes_per_record.memory:,.0f} bytes per record in memory"
        + ("" if one.bytes_per_record.disk is None else f" and {one.bytes_per_record.disk:,.0f} on disk")
        for one in group
        if one.bytes_per_record.memory is not None
    ]
    return ". ".join(lines) + "." if lines else ""


def _name(one: Result) -> str:
    return f"`{one.system}`, development" if one.learnt_on else f"`{one.system}`"


def _split(group: Sequence[Result]) -> str:
    categories = [category for category in group[0].questions if category != OVERALL]
    if len(categories) < 2:
        return ""
    head = ["recall@5 / recall@10", *(f"{name} ({group[0].questions[name]})" for name in categories)]
    rows = [
        [
            _name(one),
            *(f"{one.metrics[name]['recall@5']:.3f} / {one.metrics[name]['recall@10']:.3f}" for name in categories),
        ]
        for one in group
    ]
    return _markdown(head, rows)


def _cell(value: float, best: float, *, marked: bool = True) -> str:
    return f"**{value:.3f}**" if marked and round(value, 3) == best else f"{value:.3f}"


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:+.3f} … {high:+.3f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
