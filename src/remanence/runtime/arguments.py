"""Reading what callers pass: whom a call is about, how many results it wants, and which time it asks about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidFilter, InvalidInput
from remanence.core.scope import FIELDS, SYNONYMS, Scope
from remanence.substrates.records.filters import split_scope
from remanence.substrates.records.model import View

__all__ = [
    "SCOPE_KEYS",
    "Ids",
    "Time",
    "ids_of",
    "kinds_of",
    "limit_of",
    "memory_id_of",
    "moment_of",
    "scope_of",
    "view_of",
    "whom",
]

SCOPE_KEYS = frozenset((*FIELDS, *SYNONYMS))

Time = datetime | str | int | float
"""A datetime, an ISO 8601 string, or Unix seconds (milliseconds above 10^11); without a zone it is taken as UTC."""


class Ids(TypedDict, total=False):
    """Whom a memory belongs to: at least one, in any combination. Integers are taken as strings."""

    user_id: str | int | None
    agent_id: str | int | None
    run_id: str | int | None
    app_id: str | int | None
    session_id: str | int | None
    """Synonym of `run_id`."""
    project_id: str | int | None
    """Synonym of `app_id`."""


def ids_of(values: Mapping[str, object]) -> dict[str, str]:
    """Scope ids under their own names, without those that are None. Errors as `Scope.of`; may be empty."""
    given = {name: value for name, value in values.items() if value is not None}
    return dict(Scope.of(given).items()) if given else {}


def scope_of(
    verb: str, defaults: Mapping[str, str], ids: Mapping[str, object], filters: Mapping[str, Any] | None = None
) -> tuple[Scope, dict[str, Any]]:
    """The scope of a call and what its filter asks besides.

    Ids given at the top level and inside `filters` must agree; both go before the defaults of the constructor.

    Raises:
        ScopeRequired: no id at all.
        InvalidInput: an unknown argument, a contradiction, or an id that no scope can have.

    """
    for name in ids:
        if name not in SCOPE_KEYS:
            raise InvalidInput(f"{verb}() has no argument {name!r}; scope ids are {', '.join(sorted(SCOPE_KEYS))}")
    named = ids_of(ids)
    inside, rest = ({}, {}) if filters is None else split_scope(filters)
    for name, value in ids_of(inside).items():
        if named.setdefault(name, value) != value:
            raise InvalidInput(f"{name}={named[name]!r} contradicts {name}={value!r} inside filters; give one of them")
    return Scope(**{**defaults, **named}), rest


def whom(
    verb: str, defaults: Mapping[str, str], ids: Mapping[str, object], filters: Mapping[str, Any] | None = None
) -> Scope:
    """The scope of a call whose `filters` may name scope ids and nothing else. Errors as `scope_of`."""
    scope, rest = scope_of(verb, defaults, ids, filters)
    if rest:
        raise InvalidFilter(f"filters of {verb}() may only hold scope ids, not {', '.join(map(repr, rest))}")
    return scope


def limit_of(limit: object, top_k: object, default: int) -> int:
    """How many results: `limit` and `top_k` are two names for one thing."""
    if limit is not None and top_k is not None and limit != top_k:
        raise InvalidInput(f"limit={limit!r} contradicts top_k={top_k!r}: they are synonyms")
    wanted = limit if limit is not None else top_k
    if wanted is None:
        return default
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted < 2**31:
        raise InvalidInput(f"limit={wanted!r} must be a whole number from 0 up")
    return wanted


def kinds_of(kinds: object) -> tuple[str, ...] | None:
    """Kinds of records as a tuple; one may be given as a string."""
    if kinds is None:
        return None
    found = (kinds,) if isinstance(kinds, str) else tuple(kinds) if isinstance(kinds, Iterable) else (kinds,)
    if not all(isinstance(kind, str) and kind for kind in found):
        raise InvalidInput(f"kinds={kinds!r} must be words such as 'turn' or 'fact'")
    return found


def memory_id_of(memory_id: object) -> str:
    """The id of a memory. Raises `InvalidInput` for anything but a string."""
    if not isinstance(memory_id, str) or not memory_id:
        raise InvalidInput(f"memory_id={memory_id!r} must be the 'id' of a result")
    return memory_id


def moment_of(value: Time | None) -> datetime | None:
    """A time in UTC; None stays None. Raises `InvalidTime`."""
    return None if value is None else parse_time(value).astimezone(UTC)


def view_of(now: datetime, as_of: Time | None, known_at: Time | None) -> View:
    """Which versions a call may see: what is true now unless it asks about another time. Raises `InvalidTime`."""
    return View(now, moment_of(as_of), moment_of(known_at))
