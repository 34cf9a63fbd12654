"""Personalized PageRank: where a walker is found that follows edges and now and then starts anew.

With A the weighted adjacency, W = A with each row divided by its sum, p the reset distribution and d the probability of
following an edge, the ranks r are the solution of

    r = (1 - d) p + d Wᵀ r

(T. Haveliwala, "Topic-Sensitive PageRank", WWW 2002; HippoRAG takes d = 0.5). A node without edges sends its walker
back to the reset; this only scales the solution, since r is then proportional to (I - d Wᵀ)⁻¹ p.

An undirected graph makes the walk reversible: with D the row sums, (D - d A) z = (1 - d) p is symmetric and positive
definite, and r = D z. Conjugate gradients preconditioned with D solve it in about half the steps that power iteration
takes. As long as the search direction touches few edges only these are walked; then every multiplication gathers from
slices of nodes of like degree, padded to a rectangle (sliced ELLPACK: A. Monakov et al., HiPEAC 2010).

The known eigenvector is taken out where the dense steps start: within a connected component the error never has a sum,
because no mass leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remanence.core.errors import InvalidInput

Floats = NDArray[np.float64]
Nodes = NDArray[np.intp]

LEAST_TOLERANCE = 1e-14
"""What float64 can still promise of numbers that sum to 1."""

_LIGHTEST = 1e-100
"""Edges lighter than this share of the heaviest are dropped: squares of their inverse must not overflow."""
_SLICE, _SLACK, _WIDE = 1 << 15, 0.8, 64
"""Entries of a slice (it stays in the cache), the share of its widest row that its narrowest fills, rows from which
adding up down the columns is faster than along the rows."""
_SPARSE = 16
"""Walking single edges pays while they are fewer than one in so many: each costs more than ten times as much."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A weighted graph in compressed rows: the edges of node i are at `indptr[i]:indptr[i + 1]`. Make it with `of`.

    An undirected edge stands in both rows, a self loop once. What queries need is worked out at the first one and kept.
    """

    indptr: Nodes
    """[n + 1]"""
    indices: Nodes
    """[nnz] targets, ascending in each row and without repetition"""
    weights: Floats
    """[nnz] greater than 0"""
    directed: bool = False

    @classmethod
    def of(
        cls,
        nodes: int,
        sources: ArrayLike,
        targets: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        directed: bool = False,
    ) -> Graph:
        """A graph of `nodes` nodes from m edges `sources[e]` -> `targets[e]` of `weights[e]` (default: 1).

        Parallel edges are summed; in an undirected graph a -> b and b -> a are parallel. A self loop counts, once, as a
        step that stays. Edges of weight 0 are left out. Raises `InvalidInput` for no nodes, columns of unlike length,
        nodes out of range and weights that are negative or not finite.
        """
        if nodes < 1:
            raise InvalidInput(f"a graph of {nodes} nodes has no ranks; give at least one node")
        one, other = _column(sources, "sources", nodes), _column(targets, "targets", nodes)
        weight = np.ones(len(one)) if weights is None else np.asarray(weights, dtype=np.float64)
        if len(one) != len(other) or weight.shape != one.shape:
            raise InvalidInput(
                f"{len(one)} sources, {len(other)} targets, weights of shape {weight.shape}; give one of each per edge"
            )
        bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
        if len(bad):
            raise InvalidInput(f"edge {bad[0]} has weight {weight[bad[0]]}; weights are finite and at least 0")
        heaviest = weight.max(initial=0.0)
        if heaviest > np.finfo(np.float64).max / (2 * len(weight) + 1):
            raise InvalidInput(f"weights up to {heaviest} may add up to more than a float holds; scale them down")
        kept = weight > heaviest * _LIGHTEST
        one, other, weight = one[kept], other[kept], weight[kept]
        if not directed:
            there = one != other
            one, other = np.concatenate([one, other[there]]), np.concatenate([other, one[there]])
            weight = np.concatenate([weight, weight[there]])
        keys, place = np.unique(one * nodes + other, return_inverse=True)
        rows, columns = np.divmod(keys, nodes)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=nodes))])
        return cls(indptr, columns, _sums(place, weight, len(keys)), directed)

    @property
    def nodes(self) -> int:
        """How many nodes it has."""
        return len(self.indptr) - 1

    @cached_property
    def rows(self) -> Nodes:
        """[nnz] the source of each stored edge."""
        return np.repeat(np.arange(self.nodes), np.diff(self.indptr))

    @cached_property
    def degrees(self) -> Floats:
        """[n] the sum of the weights of each node's edges; 0 for a dangling node."""
        return _sums(self.rows, self.weights, self.nodes)

    @cached_property
    def components(self) -> Nodes:
        """[n] the smallest node that each is connected with, along edges of either direction."""
        label = np.arange(self.nodes)
        while True:
            low = label.copy()
            one, other = label[self.rows], label[self.indices]
            # Whole trees are hooked onto smaller ones, then flattened: few rounds also for long paths.
            np.minimum.at(low, one, other)
            np.minimum.at(low, other, one)
            while not np.array_equal(low, low[low]):
                low = low[low]
            if np.array_equal(low, label):
                return label
            label = low

    @cached_property
    def _layout(self) -> _Layout:
        return _Layout.of(self)


def _column(values: ArrayLike, name: str, nodes: int) -> Nodes:
    column = np.asarray(values)
    if column.size == 0:
        return np.zeros(0, np.intp)
    if column.ndim != 1 or column.dtype.kind not in "iu":
        raise InvalidInput(f"{name} has shape {column.shape} and type {column.dtype}; give a flat list of node numbers")
    bad = np.flatnonzero((column < 0) | (column >= nodes))
    if len(bad):
        raise InvalidInput(f"{name}[{bad[0]}] is {column[bad[0]]}; nodes are numbered from 0 to {nodes - 1}")
    return column.astype(np.intp)


@dataclass(frozen=True, slots=True)
class _Slice:
    """Nodes `low` to `high` of the order: neighbours and weights as [width, rows], or [rows, width] where rows are few.

    Padding points at the entry behind the last node, which is always 0. Without `weights` every one is 1.
    """

    low: int
    high: int
    neighbours: Nodes
    weights: Floats | None
    axis: int


@dataclass(frozen=True, eq=False)
class _Layout:
    """A graph as the solver wants it: nodes by falling number of neighbours, weights scaled to at most 1.

    Directed graphs are stored as Wᵀ, undirected ones as A.
    """

    graph: Graph
    order: Nodes
    rank: Nodes
    counts: Nodes
    """[n] edges that leave each node, in the graph's own order"""
    weights: Floats
    """[nnz] of the graph's edges, scaled"""
    slices: tuple[_Slice, ...]
    degrees: Floats
    inverse: Floats
    """[n] 1 / degrees, 0 where there are none; like `degrees` in the order of the layout"""
    labels: Nodes
    volumes: Floats
    """[components] the sum of the degrees; 1 where it is 0"""
    reach: float
    """The greatest over nodes i of sqrt(sum over j of A_ij² / degree_j)."""

    @classmethod
    def of(cls, graph: Graph) -> _Layout:
        counts = np.diff(graph.indptr)
        weights, indptr, indices = graph.weights / graph.weights.max(initial=0.0), graph.indptr, graph.indices
        degrees = _sums(graph.rows, weights, graph.nodes)
        inverse = np.divide(1.0, degrees, out=np.zeros(graph.nodes), where=degrees > 0)
        incoming, edges = counts, np.arange(len(indices))
        if graph.directed:
            weights = weights * inverse[graph.rows]
            edges = np.argsort(indices, kind="stable")
            incoming = np.bincount(indices, minlength=graph.nodes)
            indptr = np.concatenate([[0], np.cumsum(incoming)])
            indices = graph.rows[edges]
        order = np.argsort(-incoming, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(graph.nodes)
        sorted_edges = _ranges(indptr[order], incoming[order])
        squares = _sums(graph.rows, weights**2 * inverse[graph.indices], graph.nodes)
        labels = np.unique(graph.components[order], return_inverse=True)[1]
        volumes = _sums(labels, degrees[order], 0)
        return cls(
            graph,
            order,
            rank,
            counts,
            weights,
            tuple(_sliced(incoming[order], rank[indices[sorted_edges]], weights[edges[sorted_edges]])),
            degrees[order],
            inverse[order],
            labels,
            np.where(volumes > 0, volumes, 1.0),
            float(np.sqrt(squares.max())),
        )

    def multiply_few(self, x: Floats) -> Floats | None:
        """What `multiply` gives, edge by edge; None if too many edges leave the nodes where `x` is not 0."""
        rows = np.flatnonzero(x != 0)
        nodes = self.order[rows]
        counts = self.counts[nodes]
        if counts.sum() * _SPARSE >= len(self.weights):
            return None
        edges = _ranges(self.graph.indptr[nodes], counts)
        flows = np.repeat(x[rows], counts) * self.weights[edges]
        return _sums(self.rank[self.graph.indices[edges]], flows, len(self.order))

    def multiply(self, x: Floats) -> Floats:
        """A x, or Wᵀ x for a directed graph; `x` [n + 1] ends with a 0. Result [n]."""
        out = np.zeros(len(self.order))
        scratch = np.empty(max((part.neighbours.size for part in self.slices), default=0))
        for part in self.slices:
            gathered = scratch[: part.neighbours.size].reshape(part.neighbours.shape)
            # Every index is in range; any mode but "raise" spares numpy a copy of the result.
            np.take(x, part.neighbours, out=gathered, mode="clip")
            if part.weights is not None:
                np.multiply(gathered, part.weights, out=gathered)
            np.add.reduce(gathered, axis=part.axis, out=out[part.low : part.high])
        return out

    def mean(self, x: Floats) -> Floats:
        """[n] the sum of `x` [n] over each node's component, divided by the sum of the degrees there."""
        found: Floats = (_sums(self.labels, x, len(self.volumes)) / self.volumes)[self.labels]
        return found


def _sums(places: Nodes, values: Floats, least: int) -> Floats:
    """[at least `least`] the sum of the `values` at each place."""
    found: Floats = np.bincount(places, values, minlength=least).astype(np.float64, copy=False)
    return found


def _ranges(starts: Nodes, counts: Nodes) -> Nodes:
    """`starts[0], starts[0] + 1, …` for `counts[0]` numbers, then the same from `starts[1]`, and so on."""
    before = np.cumsum(counts) - counts
    found: Nodes = np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
    return found


def _sliced(counts: Nodes, neighbours: Nodes, weights: Floats) -> Iterator[_Slice]:
    """Slices of rows with falling `counts`, whose entries follow each other in `neighbours` and `weights`."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    unweighted = bool((weights == 1.0).all())
    low, filled = 0, int(np.count_nonzero(counts))
    while low < filled:
        width = int(counts[low])
        like = int(np.searchsorted(-counts, -width * _SLACK, side="right"))
        high = min(max(low + 1, min(like, low + _SLICE // width)), filled)
        taken = np.arange(width) < counts[low:high, None]
        near = np.full(taken.shape, len(counts))
        near[taken] = neighbours[ends[low] : ends[high]]
        heavy = np.zeros(taken.shape)
        heavy[taken] = weights[ends[low] : ends[high]]
        wide = high - low >= _WIDE
        if wide:
            near, heavy = np.ascontiguousarray(near.T), np.ascontiguousarray(heavy.T)
        yield _Slice(low, high, near, None if unweighted else heavy, 0 if wide else 1)
        low = high


def personalized_pagerank(graph: Graph, reset: ArrayLike, damping: float = 0.5, tolerance: float = 1e-9) -> Floats:
    """Ranks [n] that sum to 1, for a `reset` [n] of non-negative masses, and `damping` in [0, 1) for following an edge.

    No rank is further than `tolerance` from the exact one. For an undirected graph the bound is

        |error_i| <= d / (1 - d) · sqrt(sum over j of A_ij² / degree_j) · sqrt(sum over j of residual_j² / degree_j)

    by Cauchy-Schwarz, since a last step of power iteration follows and the eigenvalues of W lie in [-1, 1]. A directed
    graph takes power iteration. Nodes that the reset does not reach have rank 0. Raises `InvalidInput` for a reset of
    another length, with negative or infinite masses or none at all, and for settings out of range.
    """
    masses = _checked(graph, reset, damping, tolerance)
    layout = graph._layout
    start = masses[layout.order]
    ranks = _series(layout, start, damping, tolerance) if graph.directed else _solve(layout, start, damping, tolerance)
    found = np.empty_like(ranks)
    found[layout.order] = ranks
    return found


def _solve(layout: _Layout, start: Floats, damping: float, tolerance: float) -> Floats:
    """Ranks of an undirected graph, in the order of the layout, by preconditioned conjugate gradients."""
    degrees, inverse = layout.degrees, layout.inverse
    # Mass on nodes without edges goes round and round through the reset, which makes all masses heavier alike.
    start = start / (1 - damping * start[degrees == 0].sum())
    solution, residual = np.zeros_like(start), (1 - damping) * start
    direction = np.zeros(len(start) + 1)
    along = direction[:-1]
    np.multiply(residual, inverse, out=along)
    size = _dot(residual, along)
    enough = (tolerance * (1 - damping) / (damping * layout.reach)) ** 2 if damping * layout.reach else np.inf
    sparse, spare = True, np.empty_like(start)
    while size > enough:
        image = layout.multiply_few(direction) if sparse else layout.multiply(direction)
        if image is None:
            sparse = False
            mean = layout.mean(residual)
            solution += mean / (1 - damping)
            residual -= mean * degrees
            np.multiply(residual, inverse, out=along)
            size = _dot(residual, along)
            continue
        image *= -damping
        image += np.multiply(degrees, along, out=spare)
        step = size / _dot(along, image)
        solution += np.multiply(step, along, out=spare)
        image *= step
        residual -= image
        np.multiply(residual, inverse, out=spare)
        before, size = size, _dot(residual, spare)
        along *= size / before
        along += spare
    # One step of power iteration costs nothing here: the residual is what it would add. Nor does the sum.
    ranks = degrees * (solution + damping / (1 - damping) * layout.mean(residual)) + residual
    # No rank is lower than what the reset alone gives; the search directions do not know that.
    return np.maximum(ranks, (1 - damping) * start)


def _dot(one: Floats, other: Floats) -> float:
    # BLAS would split this among threads, and wait milliseconds for a core that is busy.
    return float(np.einsum("i,i->", one, other))


def _series(layout: _Layout, start: Floats, damping: float, tolerance: float) -> Floats:
    """Ranks of a directed graph, in the order of the layout: the sum of (d Wᵀ)ᵏ p, scaled to sum to 1."""
    term = np.append((1 - damping) * start, 0.0)
    total = term.copy()
    # The scaling may double the error, and divides it by a sum that can be as small as 1 - d.
    while term.sum() * damping > tolerance * (1 - damping) ** 2 / 2:
        moved = layout.multiply_few(term)
        term[:-1] = damping * (layout.multiply(term) if moved is None else moved)
        total += term
    found: Floats = total[:-1] / total.sum()
    return found


def power_pagerank(graph: Graph, reset: ArrayLike, damping: float = 0.5, tolerance: float = 1e-9) -> Floats:
    """What `personalized_pagerank` gives, by plain power iteration: as many steps as the sum of errors needs."""
    masses = _checked(graph, reset, damping, tolerance)
    ranks, before = masses, np.inf
    shares = graph.weights / graph.degrees[graph.rows]
    while True:
        following = _step(graph, shares, ranks, masses, damping)
        change = float(np.abs(following - ranks).sum())
        # In exact arithmetic every change is at most d times the one before.
        if change * damping <= tolerance * (1 - damping) or change >= before:
            return following
        ranks, before = following, change


def _step(graph: Graph, shares: Floats, ranks: Floats, masses: Floats, damping: float) -> Floats:
    """The right side of the equation, for nodes without edges as well; `shares` [nnz] are the entries of W."""
    moved = _sums(graph.indices, ranks[graph.rows] * shares, graph.nodes)
    moved += ranks[graph.degrees == 0].sum() * masses
    return (1 - damping) * masses + damping * moved


def naive_pagerank(graph: Graph, reset: ArrayLike, damping: float = 0.5) -> Floats:
    """What `personalized_pagerank` gives, by solving the dense linear system: cubic in the number of nodes."""
    masses = _checked(graph, reset, damping, LEAST_TOLERANCE)
    walk = np.zeros((graph.nodes, graph.nodes))
    for source in range(graph.nodes):
        edges = range(int(graph.indptr[source]), int(graph.indptr[source + 1]))
        total = sum(float(graph.weights[edge]) for edge in edges)
        for edge in edges:
            walk[source, graph.indices[edge]] = graph.weights[edge] / total
        if not edges:
            walk[source] = masses
    found: Floats = np.linalg.solve(np.eye(graph.nodes) - damping * walk.T, (1 - damping) * masses).astype(np.float64)
    return found


def error_bound(graph: Graph, ranks: Floats, reset: ArrayLike, damping: float = 0.5) -> float:
    """How far any of `ranks` [n] can be from the exact one: |residual|₁ / (1 - d), the residual by plain arithmetic.

    Holds because Wᵀ keeps the sum of absolute values or lowers it. It looks at the sum of all errors, so that it is
    looser than what `personalized_pagerank` promises.
    """
    masses = _checked(graph, reset, damping, LEAST_TOLERANCE)
    shares = graph.weights / graph.degrees[graph.rows]
    return float(np.abs(_step(graph, shares, ranks, masses, damping) - ranks).sum()) / (1 - damping)


def _checked(graph: Graph, reset: ArrayLike, damping: float, tolerance: float) -> Floats:
    """The reset as a distribution [n]."""
    masses = np.asarray(reset, dtype=np.float64)
    if masses.shape != (graph.nodes,):
        raise InvalidInput(f"a reset of shape {masses.shape} does not fit {graph.nodes} nodes; give one mass per node")
    bad = np.flatnonzero(~(np.isfinite(masses) & (masses >= 0)))
    if len(bad):
        raise InvalidInput(f"reset[{bad[0]}] is {masses[bad[0]]}; masses are finite and at least 0")
    if not masses.any():
        raise InvalidInput("the reset is 0 everywhere, so the walk starts nowhere; give at least one node a mass")
    if not 0 <= damping < 1:
        raise InvalidInput(
            f"damping {damping} is not in [0, 1); it is the probability of following an edge, such as 0.5"
        )
    if not tolerance >= LEAST_TOLERANCE:
        raise InvalidInput(f"tolerance {tolerance} is below {LEAST_TOLERANCE}, which float64 cannot promise; raise it")
    # Divided first by the greatest: the sum of very large or very small masses must neither overflow nor vanish.
    masses = masses / masses.max()
    found: Floats = masses / masses.sum()
    return found
