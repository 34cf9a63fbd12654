"""Where the items of a LangGraph store live: namespaces and keys as scopes, so that no prefix can leak.

    ("users", "ana", "notes", "2025"), "k"   user_id="users"   agent_id="ana"  run_id="2.notes.2025.k"
    ("users", "ana"), "prefs"                user_id="users"   agent_id="ana"  run_id="0.prefs"
    ("config",), "k"                         user_id="config"  agent_id="."    run_id="0.k"

All of a store has one `app_id`, "langgraph". The first two labels are scope columns of their own, which are compared as
whole strings and which lead every key: `("tenant", "acme")` and `("tenant", "acme-corp")` have nothing in
common. Deeper labels and the key share the last column; the number before them says how many of its parts are labels,
which themselves hold no period.
"""

from __future__ import annotations

from collections.abc import Sequence

from remanence.core.scope import Scope

__all__ = ["Address", "address_of", "item_scope", "prefix_scope"]

_ALONE = "."
"""Stands where a namespace has no second label; no label can be that."""

Address = tuple[tuple[str, ...], str]
"""A namespace and a key."""


def item_scope(app_id: str, namespace: Sequence[str], key: str) -> Scope:
    """Where one item lives. Labels must have been checked; raises `InvalidInput` for what no scope can hold."""
    first, rest = namespace[0], namespace[1:]
    deeper = rest[1:]
    return Scope(
        app_id=app_id,
        user_id=first,
        agent_id=rest[0] if rest else _ALONE,
        run_id=".".join((str(len(deeper)), *deeper, key)),
    )


def prefix_scope(app_id: str, prefix: Sequence[str]) -> Scope:
    """The narrowest scope that covers a namespace and all below it; from the third label on it covers more."""
    return Scope(app_id=app_id, user_id=prefix[0] if prefix else None, agent_id=prefix[1] if len(prefix) > 1 else None)


def address_of(scope: Scope) -> Address | None:
    """The namespace and key whose item lives in a scope; None for a scope that no item has."""
    if scope.user_id is None or scope.agent_id is None or scope.run_id is None:
        return None
    count, dot, rest = scope.run_id.partition(".")
    if not dot or not count.isdecimal():
        return None
    parts = rest.split(".", int(count))
    if len(parts) != int(count) + 1:
        return None
    labels = () if scope.agent_id == _ALONE else (scope.agent_id,)
    return (scope.user_id, *labels, *parts[:-1]), parts[-1]
