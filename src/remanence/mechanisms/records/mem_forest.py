"""MemForest: facts in time-ordered trees, one for each session, entity and scene, whose inner nodes are summaries.

    node = (summary, interval, count, children)     summary(node) = f(summaries of its at most k children)
    insert: a leaf by (start, end, id); anew are only the summaries on its path: <= height + splits = O(log_k N)
    trees(q) = top 10 by cos(q, root) + top 10 by votes of the 30 facts nearest to q + the user's
    read: beam search from these roots down to facts, sorted by cosine

`_grow` is the insertion, `browse` of `kernels.mem_tree` the search. What a tree is made of lies in the store as records
of its nodes, each resting on its children. To forget a fact closes the nodes above it; the subtrees that are left are
joined again, so that this too costs one path.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import filterfalse, zip_longest
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Card
from remanence.core.clock import from_micros, to_micros
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.dense import top
from remanence.kernels.mem_tree import Key, MemTree, Node, Stored, browse, homes, refresh
from remanence.kernels.names import name_key, names
from remanence.kernels.scene_router import assign
from remanence.kernels.summaries import Passage, bounded, passages
from remanence.substrates.chat import ChatModel
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.base import Scored
from remanence.substrates.records.families.canonical_facts import FACT, FactMemory, entities, until
from remanence.substrates.records.families.distilling import TEXT, fields
from remanence.substrates.records.mechanism import Hit
from remanence.substrates.records.model import Draft, Record, Source
from remanence.substrates.records.port import RecordStore

CARD = Card(
    slug="mem_forest",
    substrate="records",
    title="MemForest",
    paper="mem_forest",
    claim="finds what happened before, after and between more often than flat search for as many facts, "
    "and renews one path of summaries per insertion",
    idea="Puts facts into time-ordered B+-trees per session, entity and scene; an insertion summarises one path anew.",
    equation="summaries per insertion <= height + splits = O(log_k N);  trees(q) = top(cos(q, root)) + top(votes)",
    source="Concyclics/MemForest",
    can=frozenset({"update", "forget", "consolidate"}),
    deviations=(
        "without a model a fact is what a turn says, with its speaker and its dates, and summaries are its sentences",
        "without a model facts are the same only where nothing but form differs; a model is asked about those near",
        "of the fields of a fact text, time and entities are kept; all facts are of one domain",
        "the facts that voted are candidates beside those that the beam reached, and so are more where k is more",
        "before and after are browsed too: the facts beside the anchor in the tree of whom the question names",
        "groups of a bulk build have at least ceil(k/2) members, as after insertions",
        "the tree `user` holds what the role user says; entities are names by spelling and the speaker",
    ),
)

NODE: Final = "node"
USER: Final = "user:"
FANOUT: Final = {"session": 3, "user": 10, "entity": 8, "scene": 10}
ACTIVE: Final = (3, 2)
"""Facts, and sessions that they come from, from which an entity has a tree."""
TREES: Final = 10
VOTERS: Final = 30
BESIDE: Final = 3
"""Facts before or after an anchor."""
Seen = dict[str, list[Passage]]
"""Sentences of lines that were taken apart already."""
SUMMARY: Final = fields(summary=TEXT)
PLAN: Final = fields(
    steps={
        "type": "array",
        "items": fields(text=TEXT, browse={"type": "string", "enum": ["direct", "anchor", "before", "after"]}),
    }
)
_SUM_UP: Final = (
    "Sum up these parts, which are in order of time, in at most 200 words. Keep all numbers and names. Write a change "
    "as old → new."
)
_PLAN: Final = (
    "Say how to look up a question in a memory ordered by time: direct for what it asks about itself; anchor for each "
    "of two events whose distance is asked for; before or after with the event beside which the answer lies."
)
_BETWEEN: Final = re.compile(r"\bbetween\s+(.+?)\s+and\s+(.+?)[\s?.!]*$", re.IGNORECASE)
_BESIDE: Final = re.compile(r"\b(before|after)\s+(.+?)[\s?.!]*$", re.IGNORECASE)


class Step(NamedTuple):
    """One way to look: a text to be near to, and how to browse from there."""

    text: str
    browse: str


class MemForest(FactMemory):
    """`width`: nodes that are looked into at once (10; 3 is the paper's lightweight reading). `summary`: tokens of a
    summary made without a model. `planner`: let a model say how to browse, where there is one."""

    card: ClassVar[Card] = CARD

    def __init__(
        self,
        *,
        store: RecordStore | None = None,
        scope: Scope | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        llm: ChatModel | None = None,
        width: int = 10,
        summary: int = 250,
        planner: bool = False,
    ) -> None:
        super().__init__(store=store, scope=scope, embedder=embedder, analyzer=analyzer, llm=llm)
        self.width, self.summary, self.planner = width, summary, planner
        self._clean: dict[str, tuple[object, MemTree]] = {}

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """Facts of new turns, and the trees that they belong to."""
        return [*self.learn_facts(now), *self._grow(now)]

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        """Facts by cosine; where a question is about the order of events, the steps of its plan in turns."""
        if not query.strip() or k <= 0:
            return []
        found = [self._follow(step, query, k, now) for step in self.plan(query)]
        if len(found) == 1:
            return self.hits(found[0], k, now=now)
        order = dict.fromkeys(one[0] for row in zip_longest(*found) for one in row if one is not None)
        return self.hits([(id, 1 / (1 + place)) for place, id in enumerate(order)], k, now=now)

    def plan(self, query: str) -> list[Step]:
        """How to look a question up; the question itself comes last."""
        direct = Step(query, "direct")
        if self.planner and (answer := self.ask(_PLAN, {"question": query}, PLAN)) is not None:
            steps = [Step(one["text"], one["browse"]) for one in answer["steps"] if one["text"].strip()]
            return [*(step for step in steps if step.browse != "direct"), direct]
        found = _BETWEEN.search(query) or _BESIDE.search(query)
        if found is None:
            return [direct]
        about = " ".join(names(query[: found.start()]))
        parts = [(found[1], "anchor"), (found[2], "anchor")] if found.re is _BETWEEN else [(found[2], found[1].lower())]
        return [*(Step(f"{about} {text}".strip(), browse) for text, browse in parts), direct]

    def _follow(self, step: Step, query: str, k: int, now: datetime) -> list[Scored]:
        vector = self.embed_query(step.text)
        found = self._near(vector, k, now)
        if step.browse not in ("before", "after") or not found:
            return found
        forest = self.forest(now)
        named = [forest[key] for name in names(query) if (key := f"entity:{name_key(name)}") in forest]
        trees = [*named, *([forest[USER]] if USER in forest else []), *forest.values()]
        tree, anchor = next((tree, one) for tree in trees for one in found if one[0] in tree)
        beside, leaf = [anchor], tree.leaf(anchor[0])
        while len(beside) <= BESIDE and (following := leaf.before if step.browse == "before" else leaf.after):
            leaf = following
            beside.append((leaf.name, anchor[1]))
        return beside

    def _near(self, vector: NDArray[np.float32], k: int, now: datetime) -> list[Scored]:
        """Facts that trees recall from both ends, by cosine."""
        forest, (places, vectors) = self.forest(now), self.cached("forest:vectors", lambda: self._vectors(now))
        facts = list(self.current(now).of(FACT))

        def score(nodes: Sequence[Node]) -> NDArray[np.float64]:
            return (vectors[[places.get(node.name, -1) for node in nodes]] @ vector).astype(np.float64)

        voters = [facts[at] for at in top(vectors[: len(facts)] @ vector, max(VOTERS, k)).tolist()]
        trees_of = self.cached("forest:trees", lambda: homes(forest))
        votes = Counter(key for id in voters[:VOTERS] for key in trees_of[id])
        roots = {key: tree.root for key, tree in forest.items() if tree.root is not None}
        best = top(score(list(roots.values())), TREES).tolist() if roots else []
        recalled = dict.fromkeys([*(list(roots)[at] for at in best), *(key for key, _ in votes.most_common(TREES))])
        recalled.update(dict.fromkeys({USER} & roots.keys()))
        leaves = browse([roots[key] for key in recalled], score, self.width)
        ids = list(dict.fromkeys([*voters, *(leaf.name for leaf in leaves)]))
        cosines = (vectors[[places[id] for id in ids]] @ vector).tolist()
        return sorted(zip(ids, cosines, strict=True), key=lambda pair: (-pair[1], pair[0]))

    def _vectors(self, now: datetime) -> tuple[dict[str, int], NDArray[np.float32]]:
        """Rows by id, and the vectors of facts, then nodes, then zeros for what has none."""
        current = self.current(now)
        ids = [*current.of(FACT), *current.of(NODE)]
        return {id: row for row, id in enumerate(ids)}, np.pad(self.vectors_of(ids), ((0, 1), (0, 0)))

    # Trees

    def forest(self, now: datetime) -> dict[str, MemTree]:
        """All trees by name ("session:…", "entity:…", "scene:…", "user:"), as the store has them and with every fact in
        its place; what is not summed up yet is dirty."""
        return self.cached("forest", lambda: self._plant(now))

    def _plant(self, now: datetime) -> dict[str, MemTree]:
        current = self.current(now)
        facts = current.of(FACT)
        stored: dict[str, list[Record]] = defaultdict(list)
        for node in current.of(NODE).values():
            stored[node.meta["tree"]].append(node)
        known: dict[str, list[int]] = defaultdict(list)
        for key in stored:
            if key.startswith("scene:"):
                for source in (source for node in stored[key] for source in node.sources if source.id in facts):
                    known[source.id].append(int(key.removeprefix("scene:")))
        ids = list(facts)
        days = [one.event_at.timestamp() / 86_400 for one in facts.values()]
        scenes = assign(self.vectors_of(ids), days, [known[id] for id in ids]) if ids else []
        forest: dict[str, MemTree] = {}
        clean: dict[str, tuple[object, MemTree]] = {}
        for key, members in _members(facts, scenes).items():
            made_of = members, [(node.id, node.version) for node in stored[key]]
            before, tree = self._clean.get(key, (None, None))
            if tree is None or before != made_of:
                tree = _tree(FANOUT[key.partition(":")[0]], stored[key], facts, members)
            forest[key] = tree
            if not tree.dirty():
                clean[key] = made_of, tree
        self._clean = clean
        return forest

    def _grow(self, now: datetime) -> list[str]:
        """Renew what is dirty, level by level over all trees, and let go of nodes that are in no tree any more."""
        forest = self.forest(now)
        root_of = {id(tree.root): key for key, tree in forest.items()}
        changed: list[str] = []
        seen: Seen = {}
        refresh(forest.values(), partial(self._write_nodes, now, root_of, changed, seen))
        named = {node.name for tree in forest.values() for node in tree.nodes()}
        self.close([id for id in self.current(now).of(NODE) if id not in named])
        return changed

    def _write_nodes(
        self, now: datetime, keys: Mapping[int, str], changed: list[str], seen: Seen, nodes: list[Node]
    ) -> list[str]:
        """Sum up nodes of one level and write them down; their summaries."""
        texts = [self._sum_up(node, seen) for node in nodes]
        drafts = [_node(node, text, keys[id(node.root)]) for node, text in zip(nodes, texts, strict=True)]
        pairs = list(zip(nodes, drafts, strict=True))
        self.revise({node.name: draft for node, draft in pairs if node.name}, now)
        new = [node for node in nodes if not node.name]
        for node, made in zip(new, self.keep([draft for node, draft in pairs if not node.name], now), strict=True):
            node.name = made
        changed += [node.name for node in nodes]
        return texts

    def _sum_up(self, node: Node, seen: Seen) -> str:
        """By a model, or sentences of the children that keep names and numbers, in order of time."""
        parts = [child.summary for child in node.children]
        answer = self.ask(_SUM_UP, {"parts": parts}, SUMMARY)
        if answer is not None and answer["summary"].strip():
            return str(answer["summary"].strip())
        items = []
        for line in dict.fromkeys(line for part in parts for line in part.split("\n")):
            if line not in seen:
                seen[line] = passages("", line, lambda text: filterfalse(is_stopword, self.analyzer.terms(text)))
            items += seen[line]
        fits = sum(item.cost for item in items) <= self.summary
        kept = "\n".join(item.text for item in (items if fits else bounded(items, self.summary, keep=True)))
        return kept or parts[0].strip()[: 4 * self.summary] or parts[0]


def _members(facts: Mapping[str, Record], scenes: Sequence[Sequence[int]]) -> dict[str, list[str]]:
    """Which facts belong to which trees. An entity has one when it was mentioned often, and in several sessions."""
    found: dict[str, list[str]] = defaultdict(list)
    for fact, numbers in zip(facts.values(), scenes, strict=True):
        keys = [*(f"session:{one}" for one in fact.meta["sessions"]), *(f"scene:{number}" for number in numbers)]
        for key in [*keys, *([USER] if fact.meta["user"] else [])]:
            found[key].append(fact.id)
    for entity, mentions in entities(facts.values(), *ACTIVE).items():
        found[f"entity:{entity}"] = [fact.id for fact in mentions]
    return found


def _tree(fanout: int, nodes: Sequence[Record], facts: Mapping[str, Record], members: Sequence[str]) -> MemTree:
    stored = [Stored(one.id, one.meta["level"], one.text, tuple(source.id for source in one.sources)) for one in nodes]
    held = dict.fromkeys([*members, *(id for one in stored for id in one.children if id in facts)])
    leaves = [
        Node.leaf(Key(to_micros(facts[id].event_at), to_micros(until(facts[id])), id), facts[id].text) for id in held
    ]
    return MemTree.restore(fanout, stored, leaves, frozenset(members)) if stored else MemTree.bulk_build(fanout, leaves)


def _node(node: Node, text: str, tree: str) -> Draft:
    end = from_micros(node.end).isoformat()
    return Draft(
        text,
        kind=NODE,
        event_at=from_micros(node.start),
        sources=tuple(Source(child.name, 0, len(child.summary)) for child in node.children),
        meta={"tree": tree, "level": node.level, "count": node.count, "until": end},
    )
