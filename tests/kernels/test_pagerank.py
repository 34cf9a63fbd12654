from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput
from remanence.kernels import pagerank
from remanence.kernels.pagerank import (
    Floats,
    Graph,
    error_bound,
    naive_pagerank,
    personalized_pagerank,
    power_pagerank,
)


def _random(nodes: int, edges: int, seed: int, *, directed: bool = False, hubs: float = 0.0) -> Graph:
    """Random ends, the first nodes likelier than the others by `hubs`; parallel edges and self loops among them."""
    rng = np.random.default_rng(seed)
    share = (np.arange(nodes) + 2.0) ** -hubs
    share /= share.sum()
    ends = rng.permutation(nodes)[rng.choice(nodes, (2, edges), p=share)]
    return Graph.of(nodes, ends[0], ends[1], rng.uniform(0.1, 4.0, edges), directed=directed)


def _reset(nodes: int, seed: int, few: int = 0) -> Floats:
    """Masses on `few` nodes, or small ones on all with some great ones among them."""
    rng = np.random.default_rng(seed)
    masses = np.zeros(nodes) if few else 0.05 * rng.random(nodes)
    masses[rng.choice(nodes, min(nodes, few or 3), replace=False)] += rng.random(min(nodes, few or 3)) + 0.1
    return masses


@given(st.integers(1, 40), st.integers(0, 120), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.5, 0.85, 0.99]))
@pytest.mark.parametrize("directed", [False, True])
def test_equals_the_dense_solve(directed: bool, nodes: int, edges: int, seed: int, damping: float) -> None:
    graph = _random(nodes, edges, seed, directed=directed)
    reset = _reset(nodes, seed, few=seed % 3)
    exact = naive_pagerank(graph, reset, damping)
    found = personalized_pagerank(graph, reset, damping)
    assert np.abs(found - exact).max() <= 1.1e-9
    assert np.abs(personalized_pagerank(graph, reset, damping, 1e-13) - exact).max() <= 1e-12
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-8)


@given(st.integers(1, 30), st.integers(0, 80), st.integers(0, 10_000), st.booleans())
def test_power_iteration_equals_the_dense_solve(nodes: int, edges: int, seed: int, directed: bool) -> None:
    graph = _random(nodes, edges, seed, directed=directed)
    reset = _reset(nodes, seed)
    exact = naive_pagerank(graph, reset, 0.7)
    found = power_pagerank(graph, reset, 0.7)
    assert np.abs(found - exact).sum() <= 1.1e-9
    assert np.abs(found - exact).max() <= error_bound(graph, found, reset, 0.7) + 1e-15


@pytest.mark.parametrize("hubs", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("few", [0, 1, 5])
@pytest.mark.parametrize("damping", [0.5, 0.85])
def test_equals_the_dense_solve_on_a_graph_of_many_slices(hubs: float, few: int, damping: float) -> None:
    graph = _random(600, 12_000, seed=3, hubs=hubs)
    assert len(graph._layout.slices) >= 5
    reset = _reset(600, 4, few=few)
    exact = naive_pagerank(graph, reset, damping)
    for tolerance in (1e-4, 1e-6, 1e-9, 1e-12):
        assert np.abs(personalized_pagerank(graph, reset, damping, tolerance) - exact).max() <= tolerance
    assert np.abs(personalized_pagerank(graph, reset, damping) - exact).max() <= 1e-8


@pytest.mark.parametrize("few", [0, 2])
@pytest.mark.parametrize("hubs", [0.0, 0.6])
def test_a_large_graph_stays_within_its_tolerance(few: int, hubs: float) -> None:
    graph = _random(20_000, 200_000, seed=5, hubs=hubs)
    reset = _reset(20_000, 6, few=few)
    near = power_pagerank(graph, reset, tolerance=1e-13)
    assert error_bound(graph, near, reset) < 1e-12
    for tolerance in (1e-7, 1e-9, 1e-11):
        found = personalized_pagerank(graph, reset, tolerance=tolerance)
        assert np.abs(found - near).max() <= tolerance
        assert found.sum() == pytest.approx(1, abs=1e-12)
    assert error_bound(graph, personalized_pagerank(graph, reset, tolerance=1e-13), reset) <= 1e-8


def test_the_bound_is_not_met_by_stopping_earlier() -> None:
    """A solver that took the tolerance for one of the residual in a looser norm would stop too early here."""
    graph = _random(600, 1500, seed=3, hubs=1.0)
    reset = _reset(600, 4, few=1)
    exact = naive_pagerank(graph, reset, 0.95)
    errors = [np.abs(personalized_pagerank(graph, reset, 0.95, 10.0**-k) - exact).max() * 10.0**k for k in range(3, 13)]
    assert max(errors) <= 1
    # The bound is no idle one: the error comes within two orders of it.
    assert max(errors) > 0.01


def test_without_following_edges_the_walk_stays_at_the_reset() -> None:
    graph = _random(30, 60, seed=1)
    reset = _reset(30, 2)
    assert personalized_pagerank(graph, reset, 0.0).tolist() == pytest.approx((reset / reset.sum()).tolist(), abs=1e-15)
    near = personalized_pagerank(graph, reset, 1e-9)
    assert np.abs(near - reset / reset.sum()).max() <= 2e-9


def test_all_mass_stays_in_the_component_of_the_reset() -> None:
    left, right = _random(20, 60, seed=1), _random(15, 40, seed=2)
    graph = Graph.of(
        36,  # the last one is alone
        np.concatenate([left.rows, right.rows + 20]),
        np.concatenate([left.indices, right.indices + 20]),
        np.concatenate([left.weights, right.weights]),
    )
    reset = np.zeros(36)
    reset[22] = 5.0
    found = personalized_pagerank(graph, reset)
    assert found[:20].tolist() == [0.0] * 20
    assert found[35] == 0
    assert found[20:35].sum() == pytest.approx(1, abs=1e-14)
    reset[3] = 15.0
    found = personalized_pagerank(graph, reset)
    assert found[:20].sum() == pytest.approx(0.75, abs=1e-14)


@pytest.mark.parametrize("factor", [2.0, 1e-150, 1e150])
def test_the_scale_of_weights_and_of_the_reset_changes_nothing(factor: float) -> None:
    graph = _random(50, 200, seed=7)
    scaled = Graph.of(50, graph.rows, graph.indices, graph.weights * factor, directed=True)
    same = Graph.of(50, graph.rows, graph.indices, graph.weights, directed=True)
    reset = _reset(50, 8)
    assert np.abs(personalized_pagerank(scaled, reset) - personalized_pagerank(same, reset)).max() <= 1e-15
    undirected = Graph(graph.indptr, graph.indices, graph.weights * factor)
    assert np.abs(personalized_pagerank(undirected, reset) - personalized_pagerank(graph, reset)).max() <= 1e-15
    assert np.abs(personalized_pagerank(graph, reset * factor) - personalized_pagerank(graph, reset)).max() <= 1e-15


def test_often_followed_edges_lead_to_the_shares_of_the_degrees() -> None:
    graph = _random(40, 300, seed=9)
    assert len(set(graph.components.tolist())) == 1
    shares = graph.degrees / graph.degrees.sum()
    reset = np.ones(40)
    far, near = (np.abs(personalized_pagerank(graph, reset, damping) - shares).max() for damping in (0.5, 0.9999))
    assert near < 1e-4 < far
    # The walk itself, without resets, is a wrong variant that the reset must not be: it forgets where it began.
    assert np.abs(personalized_pagerank(graph, reset, 0.0) - shares).max() > far


def test_by_hand() -> None:
    """Two nodes and an edge, all resets at the first: r0 = 1/2 + r1/2 and r1 = r0/2."""
    found = personalized_pagerank(Graph.of(2, [0], [1]), [1.0, 0.0], 0.5)
    assert found.tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-9)
    # With a loop of weight 3 at the second, it stays there three times out of four: r1 = r0/2 + 3/8 r1.
    found = personalized_pagerank(Graph.of(2, [0, 1], [1, 1], [1.0, 3.0]), [1.0, 0.0], 0.5)
    r1 = 0.5 / (1 - 3 / 8) / (1 + 0.5 / (1 - 3 / 8))
    assert found.tolist() == pytest.approx([1 - r1, r1], abs=1e-9)


def test_weights_are_divided_by_the_row_that_the_walker_leaves() -> None:
    """Dividing by the row of arrival instead is the usual mistake; it does not keep the mass."""
    graph = Graph.of(4, [0, 0, 0], [1, 2, 3], [1.0, 2.0, 5.0])
    found = personalized_pagerank(graph, [1.0, 0, 0, 0], 0.5)
    assert (found[1:] / found[0]).tolist() == pytest.approx([1 / 16, 2 / 16, 5 / 16], abs=1e-8)


def test_a_walker_in_a_dead_end_starts_anew() -> None:
    graph = Graph.of(3, [0], [1], directed=True)
    found = personalized_pagerank(graph, [0.5, 0.0, 0.5], 0.5)
    assert found.tolist() == pytest.approx(naive_pagerank(graph, [0.5, 0.0, 0.5], 0.5).tolist(), abs=1e-9)
    # r = p (1 - d + d (r1 + r2)) plus what arrives at 1, so that nodes 0 and 2 are alike.
    assert found[0] == pytest.approx(found[2])
    assert found[1] == pytest.approx(found[0] / 2)


def test_one_node() -> None:
    for graph in (Graph.of(1, [], []), Graph.of(1, [0, 0], [0, 0]), Graph.of(1, [0], [0], [0.0])):
        assert personalized_pagerank(graph, [3.0]).tolist() == [1.0]
        assert naive_pagerank(graph, [3.0]).tolist() == pytest.approx([1.0])
        assert power_pagerank(graph, [3.0]).tolist() == pytest.approx([1.0])


def test_parallel_edges_are_one_edge_of_their_sum() -> None:
    many = Graph.of(3, [0, 1, 0, 2, 1], [1, 0, 1, 2, 2], [1.0, 2.0, 0.5, 4.0, 0.0])
    assert many.rows.tolist() == [0, 1, 2]
    assert many.indices.tolist() == [1, 0, 2]
    assert many.weights.tolist() == [3.5, 3.5, 4.0]
    assert many.degrees.tolist() == [3.5, 3.5, 4.0]
    one_way = Graph.of(3, [0, 1, 0, 2, 1], [1, 0, 1, 2, 2], [1.0, 2.0, 0.5, 4.0, 0.0], directed=True)
    assert one_way.weights.tolist() == [1.5, 2.0, 4.0]


def _reached(graph: Graph) -> list[int]:
    """The smallest node that each is connected with, by walking."""
    near: list[set[int]] = [set() for _ in range(graph.nodes)]
    for one, other in zip(graph.rows.tolist(), graph.indices.tolist(), strict=True):
        near[one].add(other)
        near[other].add(one)
    label = [-1] * graph.nodes
    for start in range(graph.nodes):
        stack = [start] if label[start] < 0 else []
        while stack:
            node = stack.pop()
            if label[node] < 0:
                label[node] = start
                stack.extend(near[node])
    return label


@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 10_000), st.booleans())
def test_components_equal_a_walk(nodes: int, edges: int, seed: int, directed: bool) -> None:
    graph = _random(nodes, edges, seed, directed=directed)
    assert graph.components.tolist() == _reached(graph)


def test_components_of_long_paths() -> None:
    order = np.random.default_rng(1).permutation(5000)
    graph = Graph.of(5001, order[:-1], order[1:])
    assert graph.components.tolist() == [0] * 5000 + [5000]


def test_multiplying_few_edges_and_all_edges_gives_the_same() -> None:
    for directed in (False, True):
        graph = _random(500, 9000, seed=11, directed=directed, hubs=0.5)
        layout = graph._layout
        x = np.zeros(501)
        x[[3, 77, 200]] = 1.0, -2.0, 0.5
        few = layout.multiply_few(x)
        assert few is not None
        assert layout.multiply(x) == pytest.approx(few, abs=1e-14)
        x[:-1] = 1.0
        assert layout.multiply_few(x) is None


def test_equal_weights_are_left_out_of_the_slices() -> None:
    ends = np.random.default_rng(2).integers(0, 300, (2, 3000))
    ends = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)
    graph = Graph.of(300, ends[0], ends[1], np.full(ends.shape[1], 0.3))
    assert all(part.weights is None for part in graph._layout.slices)
    reset = _reset(300, 1)
    assert np.abs(personalized_pagerank(graph, reset) - naive_pagerank(graph, reset)).max() <= 1e-9


def test_very_unlike_weights() -> None:
    graph = Graph.of(5, [0, 1, 2, 3], [1, 2, 3, 4], [1e-60, 1e30, 1.0, 1e-30])
    reset = [1.0, 0.0, 0.0, 0.0, 2.0]
    assert np.abs(personalized_pagerank(graph, reset, 0.5, 1e-12) - naive_pagerank(graph, reset)).max() <= 1e-12


def test_equals_networkx() -> None:
    networkx = pytest.importorskip("networkx")
    pytest.importorskip("scipy")
    graph = _random(60, 150, seed=13)
    theirs = networkx.Graph()
    theirs.add_nodes_from(range(60))
    for one, other, weight in zip(graph.rows, graph.indices, graph.weights, strict=True):
        theirs.add_edge(int(one), int(other), weight=float(weight))
    reset = _reset(60, 14)
    want = networkx.pagerank(theirs, 0.5, dict(enumerate(reset)), tol=1e-14, weight="weight")
    found = personalized_pagerank(graph, reset)
    assert max(abs(found[node] - rank) for node, rank in want.items()) <= 1e-8


def test_edges_that_cannot_be_used() -> None:
    with pytest.raises(InvalidInput, match="a graph of 0 nodes"):
        Graph.of(0, [], [])
    with pytest.raises(InvalidInput, match=r"2 sources, 1 targets"):
        Graph.of(3, [0, 1], [1])
    with pytest.raises(InvalidInput, match=r"weights of shape \(2,\)"):
        Graph.of(3, [0], [1], [1.0, 1.0])
    with pytest.raises(InvalidInput, match=r"targets\[1\] is 3"):
        Graph.of(3, [0, 1], [1, 3])
    with pytest.raises(InvalidInput, match=r"sources\[0\] is -1"):
        Graph.of(3, [-1], [1])
    with pytest.raises(InvalidInput, match="float64"):
        Graph.of(3, [0.5], [1])
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(InvalidInput, match=f"edge 1 has weight {weight}"):
            Graph.of(3, [0, 1], [1, 2], [1.0, weight])
    with pytest.raises(InvalidInput, match="more than a float holds"):
        Graph.of(3, [0, 1], [1, 2], [1.5e308, 1.5e308])


def test_questions_that_cannot_be_answered() -> None:
    graph = Graph.of(3, [0], [1])
    for solve in (personalized_pagerank, power_pagerank, naive_pagerank):
        with pytest.raises(InvalidInput, match=r"shape \(2,\) does not fit 3 nodes"):
            solve(graph, [1.0, 0.0])
        with pytest.raises(InvalidInput, match=r"reset\[1\] is -1.0"):
            solve(graph, [1.0, -1.0, 0.0])
        with pytest.raises(InvalidInput, match=r"reset\[2\] is nan"):
            solve(graph, [1.0, 0.0, math.nan])
        with pytest.raises(InvalidInput, match="0 everywhere"):
            solve(graph, [0.0, 0.0, 0.0])
        for damping in (-0.1, 1.0, math.nan):
            with pytest.raises(InvalidInput, match=f"damping {damping}"):
                solve(graph, [1.0, 0.0, 0.0], damping)
    for tolerance in (0.0, math.nan):
        with pytest.raises(InvalidInput, match=f"tolerance {tolerance}"):
            personalized_pagerank(graph, [1.0, 0.0, 0.0], 0.5, tolerance)


def test_a_wrong_layout_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding that pointed at a real node would add its mass; the comparison with the dense solve must see it."""
    graph = _random(100, 700, seed=17)
    reset = _reset(100, 18)
    exact = naive_pagerank(graph, reset)
    for part in graph._layout.slices:
        if part.weights is not None:
            part.weights[part.neighbours == 100] = 1.0
            part.neighbours[part.neighbours == 100] = 0
    assert np.abs(personalized_pagerank(graph, reset) - exact).max() > 1e-6
    monkeypatch.setattr(pagerank, "_SLACK", 1.0)
    again = Graph(graph.indptr, graph.indices, graph.weights)
    assert np.abs(personalized_pagerank(again, reset) - exact).max() <= 1e-9


def test_the_bound_counts_neighbours_of_a_hub() -> None:
    """Tiny residuals on ten thousand leaves add up at their hub."""
    graph = Graph.of(10_001, np.zeros(10_000, np.intp), np.arange(1, 10_001))
    reset = np.append(0.0, np.ones(10_000))
    assert personalized_pagerank(graph, reset, 0.5, 0.01)[0] == pytest.approx(1 / 3, abs=0.01)


def test_the_bound_counts_how_slowly_errors_die_out() -> None:
    """Two nodes that hardly exchange anything: a residual of a hundredth stands for an error of a third."""
    graph = Graph.of(2, [0, 0, 1], [0, 1, 1], [1.0, 1e-3, 1.0])
    exact = naive_pagerank(graph, [1.0, 0.0], 0.99)
    assert np.abs(personalized_pagerank(graph, [1.0, 0.0], 0.99, 0.02) - exact).max() <= 0.02


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
def test_rough_ranks_are_a_distribution_as_well(tolerance: float) -> None:
    small = _random(60, 90, seed=21)
    graph = Graph.of(
        4000,
        np.concatenate([small.rows, np.arange(60, 3999)]),
        np.concatenate([small.indices, np.arange(61, 4000)]),
    )
    reset = np.zeros(4000)
    reset[small.rows[:2]] = 1.0
    found = personalized_pagerank(graph, reset, 0.9, tolerance)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-12 + 60 * tolerance * 1e-3)
    assert found[60:].max() == 0
    assert (found >= 0.1 * reset / reset.sum() - 1e-15).all()


@pytest.mark.parametrize(("seed", "damping", "tolerance"), [(639, 0.9, 0.1), (5752, 0.99, 0.01)])
def test_no_rank_is_negative(seed: int, damping: float, tolerance: float) -> None:
    """Conjugate gradients alone go below 0 on these graphs."""
    rng = np.random.default_rng(seed)
    nodes, edges = int(rng.integers(2, 60)), int(rng.integers(1, 100))
    ends = rng.integers(0, nodes, edges), rng.integers(0, nodes, edges)
    graph = Graph.of(nodes, *ends, 10.0 ** rng.uniform(-3, 3, edges))
    reset = np.zeros(nodes)
    reset[rng.integers(0, nodes)] = 1.0
    found = personalized_pagerank(graph, reset, damping, tolerance)
    assert (found >= (1 - damping) * reset - 1e-15).all()
    assert np.abs(found - naive_pagerank(graph, reset, damping)).max() <= tolerance
