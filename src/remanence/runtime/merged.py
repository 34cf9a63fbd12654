"""What stands for what: the links that merging leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.substrates.records.operations import Edge, Edges

__all__ = ["MERGED_INTO", "with_merged"]

MERGED_INTO: Final = "merged_into"
"""Type of the link from a repetition to what stands for it."""


def with_merged(engine: Engine, ids: Iterable[str], scope: Scope) -> list[str]:
    """Ids, and those of all repetitions that were merged into them, directly or through others.

    Whoever deletes or erases what stands for others means these too: nobody sees them any more.
    """
    found = dict.fromkeys(ids)
    edges: Sequence[Edge]
    (edges,) = engine.read([Edges(types=(MERGED_INTO,))], scope)
    merged: dict[str, list[str]] = {}
    for edge in edges:
        merged.setdefault(edge.target, []).append(edge.source)
    ahead = list(found)
    while ahead:
        for id in merged.get(ahead.pop(), ()):
            if id not in found:
                found[id] = None
                ahead.append(id)
    return list(found)
