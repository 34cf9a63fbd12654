"""`python -m remanence.bench.graph_speed`: milliseconds of one personalized PageRank on generated graphs.

Two graphs of a size: `random`, whose edges join any two nodes, and `hubs`, where a few nodes have most of them. Two
resets: `few` nodes, as HippoRAG starts from, and `spread`, a little mass on every fifth node beside those few, as
HippoRAG 2 starts from. Beside `personalized_pagerank`, plain power iteration runs on the same questions, to the same
tolerance; how far the first question's ranks are from those of a far longer power iteration is written next to the
times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import remanence
from remanence.bench.metrics import Latency, latency
from remanence.bench.results import Hardware, hardware
from remanence.core.errors import InvalidInput, RemanenceError
from remanence.kernels.pagerank import Floats, Graph, personalized_pagerank, power_pagerank

SCHEMA = 1
GRAPHS, RESETS = ("random", "hubs"), ("few", "spread")
DAMPING, TOLERANCE = 0.5, 1e-9
SEEDS_OF_A_QUESTION = 5

_SOLVERS: dict[str, Callable[[Graph, Floats, float, float], Floats]] = {
    "power": power_pagerank,
    "gradients": personalized_pagerank,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """One solver on the questions of one kind to one graph; `error` is the greatest of any rank, on the first one."""

    graph: str
    reset: str
    solver: str
    latency: Latency
    error: float


@dataclass(frozen=True, slots=True)
class GraphSpeed:
    """All that was measured; times in milliseconds. `prepare` is what the first query of a graph spends beforehand."""

    version: str
    seed: int
    hardware: Hardware
    nodes: int
    edges: int
    damping: float
    tolerance: float
    build: dict[str, float]
    prepare: dict[str, float]
    timings: tuple[Timing, ...]


def graph_of(kind: str, nodes: int, edges: int, seed: int = 0) -> Graph:
    """A graph of `nodes` nodes and about as many `edges` (parallel ones are summed), weights from 0.5 to 3."""
    if kind not in GRAPHS:
        raise InvalidInput(f"there is no graph {kind!r}; choose one of {', '.join(GRAPHS)}")
    if nodes < 1 or edges < 0:
        raise InvalidInput(f"{nodes} nodes and {edges} edges make no graph; give at least one node")
    rng = np.random.default_rng(seed)
    share = (np.arange(nodes) + 10.0) ** (-0.6 if kind == "hubs" else 0.0)
    ends = rng.permutation(nodes)[rng.choice(nodes, (2, edges), p=share / share.sum())]
    return Graph.of(nodes, ends[0], ends[1], rng.uniform(0.5, 3.0, edges))


def reset_of(kind: str, nodes: int, seed: int) -> Floats:
    """The reset of one question [nodes]."""
    if kind not in RESETS:
        raise InvalidInput(f"there is no reset {kind!r}; choose one of {', '.join(RESETS)}")
    rng = np.random.default_rng(seed)
    masses = np.zeros(nodes)
    masses[rng.integers(0, nodes, SEEDS_OF_A_QUESTION)] = 1 - rng.random(SEEDS_OF_A_QUESTION)
    if kind == "spread":
        masses[rng.integers(0, 5) :: 5] += 0.05
    return masses


def run(nodes: int, edges: int, queries: int, seed: int = 0) -> GraphSpeed:
    """Measure `queries` questions of each kind to each graph, the solvers taking turns."""
    if queries < 1:
        raise InvalidInput(f"{queries} queries take no time; ask at least one")
    build, prepare, timings = {}, {}, []
    for kind in GRAPHS:
        began = time.perf_counter()
        graph = graph_of(kind, nodes, edges, seed)
        build[kind] = (time.perf_counter() - began) * 1000
        first = reset_of("few", nodes, seed)
        began = time.perf_counter()
        personalized_pagerank(graph, first, DAMPING, TOLERANCE)
        prepare[kind] = (time.perf_counter() - began) * 1000
        for reset in RESETS:
            seconds: dict[str, list[float]] = {solver: [] for solver in _SOLVERS}
            errors: dict[str, float] = {}
            for query in range(queries):
                masses = reset_of(reset, nodes, seed + query)
                exact = power_pagerank(graph, masses, DAMPING, 1e-13) if query == 0 else None
                for solver, solve in _SOLVERS.items():
                    began = time.perf_counter()
                    ranks = solve(graph, masses, DAMPING, TOLERANCE)
                    seconds[solver].append(time.perf_counter() - began)
                    if exact is not None:
                        errors[solver] = float(np.abs(ranks - exact).max())
            timings += [Timing(kind, reset, solver, latency(seconds[solver]), errors[solver]) for solver in _SOLVERS]
    return GraphSpeed(
        version=remanence.__version__,
        seed=seed,
        hardware=hardware(),
        nodes=nodes,
        edges=edges,
        damping=DAMPING,
        tolerance=TOLERANCE,
        build=build,
        prepare=prepare,
        timings=tuple(timings),
    )


def save(measured: GraphSpeed, path: Path) -> None:
    """Write the measurement as JSON; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"schema": SCHEMA, **asdict(measured)}
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def render(measured: GraphSpeed) -> str:
    """A Markdown table: median and 95th percentile in milliseconds, and the error."""
    lines = [
        f"{measured.nodes} nodes, {measured.edges} edges, damping {measured.damping}, tolerance {measured.tolerance:g}",
        "",
        "| graph | reset | solver | median ms | p95 ms | greatest error |",
        "|---|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {one.graph} | {one.reset} | {one.solver} | {one.latency.p50:.1f} | {one.latency.p95:.1f} |"
        f" {one.error:.0e} |"
        for one in measured.timings
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for sizes that make no graph."""
    parser = argparse.ArgumentParser(
        prog="python -m remanence.bench.graph_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--edges", type=int, default=1_000_000, help="undirected ones; default: %(default)s")
    parser.add_argument("--queries", type=int, default=30, help="of each kind; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    chosen = parser.parse_args(arguments)
    try:
        measured = run(chosen.nodes, chosen.edges, chosen.queries, chosen.seed)
    except RemanenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.out is not None:
        save(measured, chosen.out)
    print(render(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
