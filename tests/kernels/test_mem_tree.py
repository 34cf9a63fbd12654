"""MemTree: after any insertions and deletions it is a B+-tree over time, and one change costs one path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.mem_tree import Key, MemTree, Node, Stored, browse, homes, refresh

FANOUTS = st.integers(3, 10)
TIMES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=60)
Change = tuple[bool, int]


def keys(times: Sequence[tuple[int, int]], first: int = 0) -> list[Key]:
    return [Key(start, start + length, f"f{first + at:03}") for at, (start, length) in enumerate(times)]


def leaves(of: Sequence[Key]) -> list[Node]:
    return [Node.leaf(key, key.id) for key in of]


def joined(nodes: list[Node]) -> list[str]:
    """A summary from which one can read what it was made of."""
    return ["(" + " ".join(child.summary for child in node.children) + ")" for node in nodes]


def order(tree: MemTree) -> list[Key]:
    return [leaf.low for leaf in tree.leaves()]


def truthful(tree: MemTree) -> bool:
    """Whether every summary is what its children's make."""
    return all(node.summary == joined([node])[0] for node in tree.nodes())


@given(FANOUTS, TIMES, TIMES, st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=60))
def test_after_any_changes_it_is_the_tree_of_what_is_left(
    fanout: int, built: list[tuple[int, int]], added: list[tuple[int, int]], changes: list[Change]
) -> None:
    there = set(keys(built))
    tree = MemTree.bulk_build(fanout, leaves(sorted(there)))
    waiting = keys(added, 100)
    for insert, pick in changes:
        if insert and waiting:
            key = waiting.pop(pick % len(waiting))
            tree.insert(Node.leaf(key, key.id))
            there.add(key)
        elif there:
            key = sorted(there)[pick % len(there)]
            tree.delete(key.id)
            there.remove(key)
        tree.check_invariants()
        assert order(tree) == sorted(there) == order(MemTree.bulk_build(fanout, leaves(sorted(there))))
        assert len(tree) == len(there)
    tree.refresh(joined)
    assert truthful(tree)
    assert not tree.dirty()


@given(FANOUTS, TIMES)
def test_one_insertion_renews_no_more_than_its_path_and_what_it_splits(
    fanout: int, times: list[tuple[int, int]]
) -> None:
    tree = MemTree(fanout)
    for key in keys(times):
        splits = tree.splits
        tree.insert(Node.leaf(key, key.id))
        renewed = tree.refresh(joined)
        assert 1 <= renewed <= tree.height + tree.splits - splits
        assert truthful(tree)


def test_two_thousand_facts_cost_a_small_part_of_what_rewriting_a_profile_costs() -> None:
    tree = MemTree(10)
    read = 0

    def counted(nodes: list[Node]) -> list[str]:
        nonlocal read
        read += sum(len(node.children) for node in nodes)
        return ["x"] * len(nodes)

    renewed = 0
    for at in range(2000):
        tree.insert(Node.leaf(Key(at * 7919 % 2000, 2000, f"f{at}")))
        renewed += tree.refresh(counted)
    tree.check_invariants()
    # Nodes have at least 5 children, the root 2.
    assert tree.height <= 1 + math.log(2000 / 2, 5)
    assert renewed < 2000 * (tree.height + 1)
    assert read < 0.05 * sum(range(2001))


@given(FANOUTS, TIMES)
def test_a_bulk_build_is_full_from_the_left(fanout: int, times: list[tuple[int, int]]) -> None:
    tree = MemTree.bulk_build(fanout, leaves(keys(times)[::-1]))
    tree.check_invariants()
    assert order(tree) == sorted(keys(times))
    lowest = [node for node in tree.nodes() if node.level == 1]
    assert all(len(node.children) == fanout for node in lowest[:-2])
    assert len(lowest) == math.ceil(len(times) / fanout)
    assert tree.splits == 0


def test_no_group_of_one_is_left_over() -> None:
    tree = MemTree.bulk_build(3, leaves(keys([(at, 0) for at in range(7)])))
    assert [len(node.children) for node in tree.nodes() if node.level == 1] == [3, 2, 2]


def test_an_interval_reaches_to_the_latest_end_below_not_to_that_of_the_last_leaf() -> None:
    tree = MemTree.bulk_build(3, leaves([Key(0, 50, "long"), Key(1, 2, "short"), Key(3, 4, "last")]))
    assert tree.root is not None
    assert (tree.root.start, tree.root.end, tree.root.count) == (0, 50, 3)


class NoSplit(MemTree):
    """Forgets to split."""

    def _split(self, node: Node) -> None:
        pass


class NoFill(MemTree):
    """Leaves nodes that get too small as they are."""

    def _fill(self, node: Node, above: Node) -> None:
        pass


class LastEnd(Node):
    """Takes the end of the last child for the end of all."""

    def measure(self) -> None:
        super().measure()
        self.end = self.children[-1].end


@pytest.mark.parametrize("wrong", [NoSplit, NoFill])
def test_wrong_trees_are_told_by_the_invariants(wrong: type[MemTree]) -> None:
    def used(kind: type[MemTree]) -> MemTree:
        tree = kind.bulk_build(3, leaves(keys([(at, 0) for at in range(9)])))
        tree.insert(Node.leaf(Key(7, 7, "x")))
        tree.delete("f000")
        tree.delete("f001")
        return tree

    used(MemTree).check_invariants()
    with pytest.raises(InvalidInput, match="a node of level"):
        used(wrong).check_invariants()


def test_a_wrong_interval_is_told_by_the_invariants() -> None:
    tree = MemTree(3)
    below = leaves([Key(0, 50, "long"), Key(1, 2, "short")])
    tree.root = LastEnd.over(below)
    tree._leaves = {leaf.name: leaf for leaf in below}
    below[0].after, below[1].before = below[1], below[0]
    with pytest.raises(InvalidInput, match="interval"):
        tree.check_invariants()


def test_a_summary_that_is_out_of_date_above_a_clean_one_is_told_too() -> None:
    tree = MemTree.bulk_build(3, leaves(keys([(at, 0) for at in range(9)])))
    tree.refresh(joined)
    tree.leaf("f000").parent.dirty = True  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="dirty"):
        tree.check_invariants()


def test_what_is_asked_wrongly_is_refused() -> None:
    tree = MemTree.bulk_build(3, leaves(keys([(0, 0)])))
    with pytest.raises(InvalidInput, match="2"):
        MemTree(2)
    with pytest.raises(InvalidInput, match="already"):
        tree.insert(Node.leaf(Key(5, 5, "f000")))
    with pytest.raises(InvalidInput, match="'gone'"):
        tree.delete("gone")
    with pytest.raises(InvalidInput, match="width"):
        browse([], lambda nodes: np.zeros(len(nodes)), 0)


# What is left of a tree.


@given(FANOUTS, TIMES, st.sets(st.integers(0, 59), max_size=6))
def test_without_some_paths_it_is_joined_again_from_what_is_left(
    fanout: int, times: list[tuple[int, int]], picks: set[int]
) -> None:
    every = keys(times)
    tree = MemTree.bulk_build(fanout, leaves(every))
    tree.refresh(joined)
    gone = {every[pick].id for pick in picks if pick < len(every)}
    closed: set[int] = set()
    for id in gone:
        node: Node | None = tree.leaf(id)
        while node is not None:
            closed.add(id_of(node))
            node = node.parent
    stored = [
        Stored(f"n{id_of(node)}", node.level, node.summary, tuple(name_of(child) for child in node.children))
        for node in tree.nodes()
        if id_of(node) not in closed
    ]
    left = [key for key in every if key.id not in gone]
    again = MemTree.restore(fanout, stored[::-1], leaves(left), {key.id for key in left})
    again.check_invariants()
    assert order(again) == sorted(left)
    clean = {node.name for node in again.nodes() if not node.dirty}
    assert clean <= {one.name for one in stored}
    again.refresh(joined)
    assert truthful(again)
    if not gone:
        assert clean == {one.name for one in stored}


def id_of(node: Node) -> int:
    return id(node)


def name_of(node: Node) -> str:
    return f"n{id_of(node)}" if node.level else node.name


def test_to_lose_one_leaf_of_many_costs_about_one_path() -> None:
    every = keys([(at, 0) for at in range(500)])
    tree = MemTree.bulk_build(8, leaves(every))
    tree.refresh(joined)
    path = []
    node = tree.leaf("f250").parent
    while node is not None:
        path.append(node)
        node = node.parent
    stored = [
        Stored(name_of(one), one.level, one.summary, tuple(map(name_of, one.children)))
        for one in tree.nodes()
        if one not in path
    ]
    left = [key for key in every if key.id != "f250"]
    again = MemTree.restore(8, stored, leaves(left), {key.id for key in left})
    again.check_invariants()
    # At each level the node that is made again and one beside it, and a root where it got higher: 9 of 75.
    assert len(again.dirty()) <= 2 * again.height + 1


def test_leaves_that_came_meanwhile_are_inserted_and_others_are_left_out() -> None:
    every = keys([(at, 0) for at in range(9)])
    tree = MemTree.bulk_build(3, leaves(every))
    stored = [Stored(name_of(node), node.level, "s", tuple(map(name_of, node.children))) for node in tree.nodes()]
    new = Key(4, 4, "new")
    wanted = {key.id for key in (*every, new)} - {"f000", "f001"}
    again = MemTree.restore(3, stored, leaves([*every, new]), wanted)
    again.check_invariants()
    assert [key.id for key in order(again)] == ["f002", "f003", "f004", "new", "f005", "f006", "f007", "f008"]


def test_a_tree_that_was_written_down_in_part_is_put_in_order() -> None:
    every = keys([(at, 0) for at in range(6)])
    ids = [key.id for key in every]
    stored = [
        Stored("a", 1, "s", (ids[0], ids[2])),
        Stored("b", 1, "s", (ids[1], ids[3])),
        Stored("c", 1, "s", (ids[3], ids[4], ids[5])),
        Stored("d", 2, "s", ("a", "lost")),
    ]
    again = MemTree.restore(3, stored, leaves(every), set(ids))
    again.check_invariants()
    assert order(again) == every


# Looking from the top.


def of_words(*wanted: str) -> Callable[[list[Node]], NDArray[np.float64]]:
    return lambda nodes: np.array([float(sum(word in node.summary for word in wanted)) for node in nodes])


@given(FANOUTS, TIMES)
def test_a_beam_that_is_wide_enough_reaches_every_leaf(fanout: int, times: list[tuple[int, int]]) -> None:
    tree = MemTree.bulk_build(fanout, leaves(keys(times)))
    tree.refresh(joined)
    roots = [tree.root] if tree.root else []
    assert browse(roots, of_words("f000"), 100) == tree.leaves()


def test_a_narrow_beam_follows_what_scores_best_over_all_trees() -> None:
    forest = {name: MemTree.bulk_build(3, [Node.leaf(Key(at, at, f"{name}{at}"), f"{name}{at}") for at in range(9)])
              for name in "abc"}  # fmt: skip
    refresh(forest.values(), joined)
    roots = [tree.root for tree in forest.values() if tree.root]
    assert [leaf.name for leaf in browse(roots, of_words("b7"), 1)] == ["b6", "b7", "b8"]
    two = {leaf.name for leaf in browse(roots, of_words("a1", "c4"), 2)}
    assert two == {"a0", "a1", "a2", "c3", "c4", "c5"}


def test_a_leaf_of_several_trees_is_reached_once_and_known_to_be_in_all() -> None:
    every = [(key.id, key) for key in keys([(at, 0) for at in range(4)])]
    forest = {name: MemTree.bulk_build(3, leaves([key for _, key in every])) for name in "ab"}
    refresh(forest.values(), joined)
    roots = [tree.root for tree in forest.values() if tree.root]
    assert [leaf.name for leaf in browse(roots, of_words(), 10)] == [id for id, _ in every]
    assert homes(forest) == {id: ["a", "b"] for id, _ in every}


def test_levels_of_several_trees_are_summed_up_together_from_below() -> None:
    forest = [MemTree.bulk_build(3, leaves(keys([(at, 0) for at in range(size)]))) for size in (9, 2, 30)]
    asked: list[int] = []

    def seen(nodes: list[Node]) -> list[str]:
        asked.append(nodes[0].level)
        assert len({node.level for node in nodes}) == 1
        assert all(child.summary for node in nodes for child in node.children)
        return joined(nodes)

    assert refresh(forest, seen) == sum(len(tree.nodes()) for tree in forest)
    assert asked == [1, 2, 3, 4]
    assert refresh(forest, seen) == 0
