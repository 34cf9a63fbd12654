"""MemTree: a B+-tree of things ordered by time whose inner nodes are summaries of what lies below them.

Leaves are ordered by (start, end, id). An inner node has from ceil(k/2) to k children (the root fewer), the interval
that they span, how many leaves lie below it, and a summary made of its children's. A change marks the nodes on one path
to the root as dirty, and those that it splits off:

    summaries per insertion <= height + splits = O(log_k n),   against n for a profile that is written anew

`MemTree` changes in place; `naive_leaves` and `naive_bounds` say in plain words what it must look like. The structure
and its costs are those of MemForest (2026); splitting, borrowing and merging are Bayer and McCreight's (1972).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

__all__ = ["Key", "MemTree", "Node", "Stored", "browse", "homes", "naive_bounds", "naive_leaves", "refresh"]

LEAST: Final = 3
"""The smallest fan-out: of two, nodes might have a single child, and a level might be no shorter than the one below."""


class Key(NamedTuple):
    """Where a leaf stands: the interval that it is about, in any one unit of time, and its id."""

    start: int
    end: int
    id: str


@dataclass(slots=True, eq=False)
class Node:
    """A leaf (level 0) or the root of a subtree. `name` is the caller's own, `low` the key of the first leaf."""

    level: int
    low: Key
    end: int
    summary: str = ""
    name: str = ""
    children: list[Node] = field(default_factory=list, repr=False)
    parent: Node | None = field(default=None, repr=False)
    dirty: bool = False
    count: int = 1
    before: Node | None = field(default=None, repr=False)
    """The leaf before this leaf; None for the first one and for inner nodes."""
    after: Node | None = field(default=None, repr=False)

    @property
    def start(self) -> int:
        """Where its interval begins."""
        return self.low.start

    @classmethod
    def leaf(cls, key: Key, summary: str = "") -> Node:
        """A leaf, whose summary is what it says itself."""
        return cls(0, key, key.end, summary, key.id)

    @classmethod
    def over(cls, children: Sequence[Node], summary: str = "", name: str = "") -> Node:
        """A node over children of one level, dirty unless it comes with a summary."""
        node = cls(children[0].level + 1, children[0].low, children[0].end, summary, name, list(children))
        node.dirty = not summary
        for child in children:
            child.parent = node
        node.measure()
        return node

    @property
    def root(self) -> Node:
        """The topmost node above it, or itself."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def measure(self) -> None:
        """Take low, end and count from the children."""
        self.low = self.children[0].low
        self.end = max(child.end for child in self.children)
        self.count = sum(child.count for child in self.children)

    def leaves(self) -> Iterator[Node]:
        """The leaves below, in order; a leaf itself."""
        if not self.level:
            yield self
        for child in self.children:
            yield from child.leaves()

    def nodes(self) -> Iterator[Node]:
        """The inner nodes of the subtree, each before those below it."""
        if self.level:
            yield self
            for child in self.children:
                yield from child.nodes()


class Stored(NamedTuple):
    """A node as it is kept outside: its name, and those of its children in order."""

    name: str
    level: int
    summary: str
    children: tuple[str, ...]


class MemTree:
    """One tree. `fanout` (k) is the most children that a node has.

    Errors: `InvalidInput` for a fan-out below 3, an id that is there already, and an id that is not there.
    """

    def __init__(self, fanout: int) -> None:
        if fanout < LEAST:
            raise InvalidInput(f"fanout={fanout} must be at least {LEAST}")
        self.fanout = fanout
        self.root: Node | None = None
        self.splits = 0
        """How many nodes were split so far."""
        self._leaves: dict[str, Node] = {}

    @classmethod
    def bulk_build(cls, fanout: int, leaves: Iterable[Node]) -> MemTree:
        """A tree over leaves, in any order, filled from the left; the last two nodes of a level share what is left."""
        tree = cls(fanout)
        row = sorted(leaves, key=lambda leaf: leaf.low)
        for leaf in row:
            tree._know(leaf)
        _chain(row)
        while row and (len(row) > 1 or not row[0].level):
            row = [Node.over(children) for children in tree._buckets(row)]
        tree.root = row[0] if row else None
        return tree

    @classmethod
    def join(cls, fanout: int, fragments: Iterable[Node]) -> MemTree:
        """A tree of what is left of one: intact subtrees in any order, leaves among them. Only nodes where fragments
        meet become dirty. Where the fragments do not lie side by side in time, it is built anew."""
        tree = cls(fanout)
        parts = sorted(fragments, key=lambda part: (-part.level, part.low))
        leaves = sorted((leaf for part in parts for leaf in part.leaves()), key=lambda leaf: leaf.low)
        for part in parts:
            part.parent = None
            for leaf in part.leaves():
                tree._know(leaf)
            tree._attach(part)
        found = [] if tree.root is None else list(tree.root.leaves())
        if found != leaves:
            return cls.bulk_build(fanout, leaves)
        _chain(found)
        return tree

    @classmethod
    def restore(cls, fanout: int, stored: Iterable[Stored], known: Iterable[Node], wanted: Collection[str]) -> MemTree:
        """The tree that was stored as far as it still holds, with the leaves that are `wanted`.

        Args:
            fanout: k.
            stored: what is left of its nodes.
            known: the leaves that there may be; those of them that are wanted but not yet in the tree are inserted.
            wanted: ids of leaves; others are deleted.
        """
        by_name = {leaf.name: leaf for leaf in known}
        for one in sorted(stored, key=lambda one: (one.level, one.name)):
            children = [by_name.get(name) for name in one.children]
            below = [child for child in children if child is not None]
            whole = len(below) == len(children) and all(child.level == one.level - 1 for child in below)
            # A node that was not written down completely is left out, and its children find their places anew.
            if below and whole and all(child.parent is None for child in below):
                by_name[one.name] = Node.over(below, one.summary, one.name)
        parts = [node for node in by_name.values() if node.parent is None and (node.level or node.name in wanted)]
        tree = cls.join(fanout, parts)
        for id in [leaf.name for leaf in tree.leaves() if leaf.name not in wanted]:
            tree.delete(id)
        return tree

    def __len__(self) -> int:
        return len(self._leaves)

    def __contains__(self, id: str) -> bool:
        return id in self._leaves

    @property
    def height(self) -> int:
        """Levels of inner nodes."""
        return 0 if self.root is None else self.root.level

    def leaves(self) -> list[Node]:
        """All leaves in order, along the chain."""
        found = []
        leaf = next(self.root.leaves(), None) if self.root else None
        while leaf is not None:
            found.append(leaf)
            leaf = leaf.after
        return found

    def leaf(self, id: str) -> Node:
        """The leaf of this id."""
        if id not in self._leaves:
            raise InvalidInput(f"no leaf {id!r} in this tree of {len(self)}")
        return self._leaves[id]

    def nodes(self) -> list[Node]:
        """All inner nodes, the root first."""
        return [] if self.root is None else list(self.root.nodes())

    def dirty(self) -> list[Node]:
        """Inner nodes whose summaries are out of date."""
        found: list[Node] = []
        waiting = [self.root] if self.root and self.root.dirty else []
        while waiting:
            node = waiting.pop()
            found.append(node)
            # Above a dirty node all are dirty, so there is nothing to find below a clean one.
            waiting += [child for child in node.children if child.dirty]
        return found

    def insert(self, leaf: Node) -> None:
        """Put a leaf in its place, below the parent of its left neighbour; nodes that overflow are split in half."""
        self._know(leaf)
        self._attach(leaf)
        before, after = _beside(leaf, -1), _beside(leaf, +1)
        leaf.before, leaf.after = before, after
        if before is not None:
            before.after = leaf
        if after is not None:
            after.before = leaf

    def delete(self, id: str) -> None:
        """Take a leaf out; a node that gets too small borrows from its neighbour or is merged with it."""
        leaf = self.leaf(id)
        del self._leaves[id]
        if leaf.before is not None:
            leaf.before.after = leaf.after
        if leaf.after is not None:
            leaf.after.before = leaf.before
        node = leaf.parent
        leaf.parent = leaf.before = leaf.after = None
        if node is not None:
            node.children.remove(leaf)
            self._settle(node)

    def refresh(self, summarise: Callable[[list[Node]], Sequence[str]]) -> int:
        """`refresh` of this tree alone."""
        return refresh([self], summarise)

    def check_invariants(self) -> None:
        """Raise `InvalidInput` with what is wrong, if the tree is not what it must be."""
        leaves = [] if self.root is None else naive_leaves(self.root)
        if self.leaves() != leaves or [leaf.before for leaf in leaves[1:]] != leaves[:-1]:
            raise InvalidInput("the chain of leaves is not the order of the tree")
        if [leaf.low for leaf in leaves] != sorted(leaf.low for leaf in leaves):
            raise InvalidInput("the leaves are not in order of time")
        if {leaf.low.id: leaf for leaf in leaves} != self._leaves:
            raise InvalidInput("the leaves are not those that are known by id")
        if self.root is not None and self.root.parent is not None:
            raise InvalidInput("the root has a parent")
        for node in self.nodes():
            least = (2 if node.level > 1 else 1) if node is self.root else self._least
            if not least <= len(node.children) <= self.fanout:
                raise InvalidInput(f"a node of level {node.level} has {len(node.children)} children, not {least} to k")
            if any(child.parent is not node or child.level != node.level - 1 for child in node.children):
                raise InvalidInput(f"a child of a node of level {node.level} has another parent or level")
            if (node.start, node.end, node.count) != naive_bounds(node):
                raise InvalidInput(f"a node of level {node.level} has not the interval or the count of its leaves")
            if not node.dirty and any(child.dirty for child in node.children):
                raise InvalidInput(f"a clean node of level {node.level} has a dirty child")

    @property
    def _least(self) -> int:
        return (self.fanout + 1) // 2

    def _know(self, leaf: Node) -> None:
        if leaf.low.id in self._leaves:
            raise InvalidInput(f"leaf {leaf.low.id!r} is in this tree already")
        self._leaves[leaf.low.id] = leaf

    def _buckets(self, row: Sequence[Node]) -> list[Sequence[Node]]:
        """Groups of k from the left; if less than ceil(k/2) would be left, the last two groups are of one size."""
        ends = list(range(self.fanout, len(row), self.fanout))
        if ends and len(row) - ends[-1] < self._least:
            before = ends[-2] if len(ends) > 1 else 0
            ends[-1] = before + (len(row) - before + 1) // 2
        return [row[start:end] for start, end in zip([0, *ends], [*ends, len(row)], strict=True)]

    def _attach(self, part: Node) -> None:
        """Put a subtree that is no higher than the tree where its first leaf belongs."""
        if self.root is None:
            self.root = part if part.level else Node.over([part])
            return
        if part.level == self.root.level:
            self.root = Node.over(sorted((self.root, part), key=lambda node: node.low))
            for node in list(self.root.children):
                # The first may have been merged with the second, or moved up to be the root.
                if node.parent is not None:
                    self._settle(node, touched=False)
            return
        node = self.root
        while node.level > part.level + 1:
            node = node.children[max(_place(node, part.low) - 1, 0)]
        node.children.insert(_place(node, part.low), part)
        part.parent = node
        self._settle(node)
        if part.level and part.parent is not None:
            self._settle(part, touched=False)

    def _settle(self, node: Node, *, touched: bool = True) -> None:
        """After its children changed: mend a node and those above it, and mark what changed as dirty."""
        at: Node | None = node
        while at is not None:
            above = at.parent
            if touched:
                at.dirty = True
                if at.children:
                    at.measure()
            if len(at.children) > self.fanout:
                self._split(at)
                touched = True
            elif above is None:
                self._shorten(at)
            elif len(at.children) < self._least:
                self._fill(at, above)
                touched = True
            elif not touched:
                return
            at = at.parent if at.parent is not None else above

    def _split(self, node: Node) -> None:
        self.splits += 1
        half = (len(node.children) + 1) // 2
        right = Node.over(node.children[half:])
        del node.children[half:]
        node.measure()
        above = node.parent
        if above is None:
            self.root = Node.over([node, right])
        else:
            above.children.insert(above.children.index(node) + 1, right)
            right.parent = above

    def _fill(self, node: Node, above: Node) -> None:
        """Even out a node that is too small with its neighbour, or merge the two."""
        if len(above.children) < 2:
            # What is alone below the root becomes the root when that is reached.
            return
        at = above.children.index(node)
        left, right = (node, above.children[1]) if at == 0 else (above.children[at - 1], node)
        together = left.children + right.children
        half = len(together) if len(together) <= self.fanout else (len(together) + 1) // 2
        left.children, right.children = together[:half], together[half:]
        kept = [one for one in (left, right) if one.children]
        if right not in kept:
            above.children.remove(right)
            right.parent = None
        for one in kept:
            one.dirty = True
            one.measure()
            for child in one.children:
                child.parent = one

    def _shorten(self, root: Node) -> None:
        if not root.children:
            self.root = None
        while self.root is not None and self.root.level > 1 and len(self.root.children) == 1:
            self.root = self.root.children[0]
            self.root.parent = None


def refresh(trees: Iterable[MemTree], summarise: Callable[[list[Node]], Sequence[str]]) -> int:
    """Renew the summaries of all dirty nodes, level by level from below, those of one level together; how many.

    `summarise` gets nodes whose children all have their summaries, and gives one text for each.
    """
    levels: dict[int, list[Node]] = {}
    for tree in trees:
        for node in tree.dirty():
            levels.setdefault(node.level, []).append(node)
    for _, nodes in sorted(levels.items()):
        for node, summary in zip(nodes, summarise(nodes), strict=True):
            node.summary, node.dirty = summary, False
    return sum(map(len, levels.values()))


def browse(roots: Iterable[Node], score: Callable[[list[Node]], NDArray[np.float64]], width: int) -> list[Node]:
    """Leaves found from the top: of the nodes that are open at once, in all trees, only the `width` best by `score` are
    looked into; a beam search. Each leaf once by its name, in the order in which it was reached."""
    if width < 1:
        raise InvalidInput(f"width={width} must be at least 1")
    found: dict[str, Node] = {}
    waiting = list(roots)
    while waiting:
        if len(waiting) > width:
            best = np.argsort(-score(waiting), kind="stable")[:width]
            waiting = [waiting[at] for at in sorted(best.tolist())]
        below = [child for node in waiting for child in node.children]
        for leaf in below:
            if not leaf.level:
                found.setdefault(leaf.name, leaf)
        waiting = [node for node in below if node.level]
    return list(found.values())


def homes(forest: Mapping[str, MemTree]) -> dict[str, list[str]]:
    """For each leaf, by name, the trees that it is in."""
    found: dict[str, list[str]] = {}
    for key, tree in forest.items():
        for leaf in tree.leaves():
            found.setdefault(leaf.name, []).append(key)
    return found


def naive_leaves(node: Node) -> list[Node]:
    """The leaves below a node, by going down."""
    return [node] if not node.level else [leaf for child in node.children for leaf in naive_leaves(child)]


def naive_bounds(node: Node) -> tuple[int, int, int]:
    """Start, end and count of a node, from its leaves alone."""
    leaves = naive_leaves(node)
    return min(leaf.start for leaf in leaves), max(leaf.end for leaf in leaves), len(leaves)


def _place(node: Node, key: Key) -> int:
    """How many children begin at or before a key."""
    return bisect_right([child.low for child in node.children], key)


def _beside(leaf: Node, step: int) -> Node | None:
    """The leaf before (-1) or after (+1) by way of the tree."""
    node = leaf
    while (above := node.parent) is not None:
        siblings = above.children
        at = bisect_left([child.low for child in siblings], node.low) + step
        if 0 <= at < len(siblings):
            node = siblings[at]
            while node.level:
                node = node.children[0 if step > 0 else -1]
            return node
        node = above
    return None


def _chain(row: Sequence[Node]) -> None:
    before: Node | None = None
    for leaf in row:
        leaf.before, leaf.after = before, None
        if before is not None:
            before.after = leaf
        before = leaf
