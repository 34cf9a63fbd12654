from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import remanence
from remanence.bench import graph_speed
from remanence.bench.results import hardware
from remanence.core.errors import InvalidInput


def test_a_run_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results" / "graph.json"
    sizes = ["--nodes", "300", "--edges", "2000", "--queries", "3", "--seed", "4"]
    assert graph_speed.main([*sizes, "--out", str(path)]) == 0
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["schema"], data["version"], data["seed"]) == (graph_speed.SCHEMA, remanence.__version__, 4)
    assert (data["nodes"], data["edges"]) == (300, 2000)
    assert data["hardware"]["cores"] == hardware().cores
    assert set(data["build"]) == set(data["prepare"]) == {"random", "hubs"}
    rows = {(one["graph"], one["reset"], one["solver"]): one for one in data["timings"]}
    assert len(rows) == len(data["timings"]) == 8
    for one in rows.values():
        assert one["latency"]["calls"] == 3
        assert 0 < one["latency"]["p50"] <= one["latency"]["p95"]
        assert one["error"] <= graph_speed.TOLERANCE
    table = capsys.readouterr().out
    assert "300 nodes, 2000 edges" in table
    assert all(f"| {graph} | {reset} | {solver} |" in table for graph, reset, solver in rows)


def test_graphs_and_questions_depend_on_their_seed_alone() -> None:
    for kind in graph_speed.GRAPHS:
        one, same, other = (graph_speed.graph_of(kind, 200, 900, seed) for seed in (1, 1, 2))
        assert one.weights.tolist() == same.weights.tolist() != other.weights.tolist()
    for kind in graph_speed.RESETS:
        masses = graph_speed.reset_of(kind, 200, 5)
        assert masses.tolist() == graph_speed.reset_of(kind, 200, 5).tolist()
        assert masses.min() >= 0
        assert np.count_nonzero(masses) <= 5 + 40


def test_hubs_have_far_more_edges_than_nodes_of_the_random_graph() -> None:
    greatest = [np.diff(graph_speed.graph_of(kind, 1000, 5000).indptr).max() for kind in ("random", "hubs")]
    assert greatest[1] > 3 * greatest[0]


def test_what_cannot_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert graph_speed.main(["--nodes", "0"]) == 2
    assert "0 nodes" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="0 queries"):
        graph_speed.run(10, 10, 0)
    with pytest.raises(InvalidInput, match="no graph 'tree'"):
        graph_speed.graph_of("tree", 10, 10)
    with pytest.raises(InvalidInput, match="no reset 'all'"):
        graph_speed.reset_of("all", 10, 0)
