"""A part of the graph of entities and facts that fits on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, zip_longest
from typing import Any, Final

from remanence.kernels.claims.answers import Known
from remanence.kernels.claims.ontology import attribute
from remanence.kernels.names import name_key
from remanence.kernels.truth import LONG_AGO
from remanence.substrates.records.model import Record

__all__ = ["picture"]

_VALUE: Final = "value:"
"""What the keys of nodes begin with that are values, such as a job, and no names."""
_HUBS: Final = 3
"""One node in so many is chosen for its own facts, the others because they are neighbours of those."""


@dataclass(slots=True)
class _Node:
    key: str
    name: str
    entity: bool
    memory_id: str | None = None
    mentions: int = 0
    neighbours: dict[str, None] = field(default_factory=dict)
    facts: int = 0

    @property
    def rank(self) -> tuple[int, int, str]:
        """Sorts what most is known of first."""
        return -self.facts, -self.mentions, self.key


def picture(facts: Sequence[Known], entities: Sequence[Record], *, around: str | None, limit: int) -> dict[str, Any]:
    """At most `limit` nodes and all facts between them.

    Args:
        facts: those that hold.
        entities: records of kind "entity".
        around: a name or the key of a node: it and its neighbours; None: the nodes with most facts and theirs.
        limit: how many nodes.

    Returns:
        `nodes` (`key`, `name`, `kind` "entity" or "value", `memory_id`, `mentions`, `facts`, `hidden`), `edges` (`id`
        of the fact, `source`, `target`, `label`, `memory`, `since`, `until`, `status`), `count` of all of them, and
        `centre`, the key that `around` means, None where it means nothing here.

    """
    nodes, edges = _all(facts, entities)
    centre = None if around is None else _centre(nodes, around)
    chosen: list[str] = []
    if around is None:
        chosen = _strongest(nodes, limit)
    elif centre is not None:
        chosen = _nearest(nodes, centre, limit)
    shown = set(chosen)
    between = [edge for edge in edges if edge["source"] in shown and edge["target"] in shown]
    drawn: dict[str, int] = dict.fromkeys(chosen, 0)
    for edge in between:
        for key in {edge["source"], edge["target"]}:
            drawn[key] += 1
    return {
        "nodes": [_row(nodes[key], nodes[key].facts - drawn[key]) for key in chosen],
        "edges": between,
        "count": {"nodes": len(nodes), "facts": len(edges)},
        "centre": centre,
    }


def _all(facts: Sequence[Known], entities: Sequence[Record]) -> tuple[dict[str, _Node], list[dict[str, Any]]]:
    nodes: dict[str, _Node] = {}
    for record in entities:
        name = str(record.meta.get("name") or record.text.partition("\n")[0])
        key = str(record.meta.get("key") or name_key(name) or name)
        node = nodes.setdefault(key, _Node(key, name, True, record.id))
        node.mentions += len(record.sources)
    for fact in facts:
        _named(nodes, fact.subject)
    edges = []
    for fact in sorted(facts, key=lambda fact: (fact.valid_from, fact.id)):
        source = _named(nodes, fact.subject)
        target = _valued(nodes, fact.value)
        for node, other in ((source, target), (target, source)):
            node.neighbours[other.key] = None
        for node in {source.key: source, target.key: target}.values():
            node.facts += 1
        meant = attribute(fact.attribute)
        edges.append(
            {
                "id": fact.id,
                "source": source.key,
                "target": target.key,
                "label": meant.label if fact.polarity else f"not {meant.label}",
                "memory": meant.sentence(fact.subject, fact.value, polarity=fact.polarity),
                "since": _stamp(fact.valid_from),
                "until": _stamp(fact.valid_to),
                "status": fact.status,
            }
        )
    return nodes, edges


def _named(nodes: dict[str, _Node], name: str) -> _Node:
    key = name_key(name) or name
    return nodes.setdefault(key, _Node(key, name, True))


def _valued(nodes: dict[str, _Node], value: str) -> _Node:
    """A value that is the name of somebody or something known is that; others are nodes of their own."""
    key = name_key(value)
    if key in nodes:
        return nodes[key]
    key = _VALUE + value.casefold()
    return nodes.setdefault(key, _Node(key, value, False))


def _centre(nodes: dict[str, _Node], around: str) -> str | None:
    for key in (around, name_key(around), _VALUE + around.casefold()):
        if key in nodes:
            return key
    return None


def _strongest(nodes: dict[str, _Node], limit: int) -> list[str]:
    ranked = sorted(nodes.values(), key=lambda node: node.rank)
    chosen = dict.fromkeys(node.key for node in ranked[: max(1, limit // _HUBS)] if node.facts)
    # Each in turn brings a neighbour, names before mere values, so that none of them fills the picture alone.
    near = [sorted(nodes[hub].neighbours, key=lambda key: (not nodes[key].entity, nodes[key].rank)) for hub in chosen]
    turns = (key for row in zip_longest(*near) for key in row if key is not None)
    for key in chain(turns, (node.key for node in ranked)):
        if len(chosen) >= limit:
            break
        chosen[key] = None
    return list(chosen)


def _nearest(nodes: dict[str, _Node], centre: str, limit: int) -> list[str]:
    near = sorted((key for key in nodes[centre].neighbours if key != centre), key=lambda key: nodes[key].rank)
    return [centre, *near[: limit - 1]]


def _row(node: _Node, hidden: int) -> dict[str, Any]:
    return {
        "key": node.key,
        "name": node.name,
        "kind": "entity" if node.entity else "value",
        "memory_id": node.memory_id,
        "mentions": node.mentions,
        "facts": node.facts,
        "hidden": hidden,
    }


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None or moment == LONG_AGO else moment.isoformat()
