"""What a view shows, and the shapes of answers, for back ends that read in their own SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from remanence.stores.relational.columns import Texts
from remanence.substrates.records.model import Edge, View

Condition = tuple[str, tuple[Any, ...]]
"""An SQL condition with its parameters."""


def visible(view: View, of: str, *, mark: str, later: str) -> Condition:
    """`View.shows` as an SQL condition over the `versions` called `of`.

    `mark` stands for a parameter, and `later` is the function that answers the later of two times.
    """
    now, as_of, known_at = view.micros()
    at = now if as_of is None else as_of
    # Without as_of, what lies ahead is judged at its own beginning: its start does not hide it, its end does.
    moment = f"{later}({mark}, {of}.valid_from)" if as_of is None else mark
    conditions = [f"({of}.valid_to IS NULL OR {of}.valid_to > {moment})"]
    values = [at]
    if as_of is not None:
        conditions.append(f"{of}.valid_from <= {mark}")
        values.append(at)
    if known_at is None:
        conditions.append(f"({of}.ended_at IS NULL OR {of}.ended_at > {moment})")
        values.append(at)
    else:
        closed = f"{of}.closed_at IS NULL OR {of}.closed_at > {mark} OR {of}.ended_at > {moment}"
        conditions.append(f"{of}.recorded_at <= {mark} AND ({closed})")
        values += [known_at, known_at, at]
    return " AND ".join(conditions), tuple(values)


def edges_from(
    rows: Iterable[tuple[str, str, Any, float]], types: tuple[str, ...] | None, texts: Texts
) -> tuple[Edge, ...]:
    """Edges of the wanted types (None: of all) from their source, target, packed type and weight, in order."""
    found = (Edge(source, target, texts.unpack(type), weight) for source, target, type, weight in rows)
    return tuple(sorted(edge for edge in found if types is None or edge.type in types))
