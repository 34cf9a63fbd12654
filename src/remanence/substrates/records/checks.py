"""What every store checks before it touches anything, so that all of them refuse the same batches in the same words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, get_args

from remanence.core.clock import to_micros
from remanence.core.errors import InvalidInput, InvalidTime, ScopeRequired
from remanence.core.ids import is_ulid
from remanence.core.scope import Scope
from remanence.substrates.records.filters import compile_filter
from remanence.substrates.records.model import Draft, Edge, Vector, View, check_draft
from remanence.substrates.records.operations import (
    NEVER,
    Changes,
    Close,
    Count,
    Embed,
    Erase,
    Find,
    Get,
    Link,
    Operation,
    Pending,
    Put,
    Restore,
    Revise,
    Scan,
    Touch,
    Unlink,
    WriteOperation,
)

_KNOWN: tuple[type, ...] = get_args(Operation)
_WRITES: tuple[type, ...] = get_args(WriteOperation)
_FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST = to_micros(datetime.max.replace(tzinfo=UTC))


class Times(NamedTuple):
    """The times of a draft once its defaults are filled in, in UTC."""

    event_at: datetime
    valid_from: datetime
    valid_to: datetime | None


def writes(operations: Sequence[Operation]) -> bool:
    """Whether a batch holds any writing operation; exactly then it reads the clock, once, before its first one."""
    return any(isinstance(operation, _WRITES) for operation in operations)


def check_batch(operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> list[str]:
    """Refuse a malformed batch before it has any effect.

    Returns one string per operation: the canonical JSON of its draft's metadata, `""` where there is no draft.
    Raises `InvalidInput` and its children, naming the value; what depends on the store's content is not checked here.
    """
    if not isinstance(scope, Scope):
        raise ScopeRequired(f"scope {scope!r} is no Scope; every batch runs under one")
    _string("actor", actor)
    _string("why", why)
    return [_check(operation, scope) for operation in operations]


def resolve(draft: Draft, now: datetime) -> Times:
    """Fill in the times that a draft leaves out: `event_at` from `now`, `valid_from` from `event_at`.

    Raises `InvalidInput` when the validity would end before it begins.
    """
    event_at = now if draft.event_at is None else draft.event_at.astimezone(UTC)
    valid_from = event_at if draft.valid_from is None else draft.valid_from.astimezone(UTC)
    valid_to = None if draft.valid_to is None else draft.valid_to.astimezone(UTC)
    if valid_to is not None and valid_to <= valid_from:
        raise InvalidInput(f"valid_to {valid_to} is not after {valid_from}, where validity begins; give valid_from too")
    return Times(event_at, valid_from, valid_to)


def ending(valid_from: datetime, at: datetime | None) -> datetime:
    """`ended_at` of a version that is closed from event time `at` on: never before it began; None retracts it."""
    return valid_from if at is None else max(at.astimezone(UTC), valid_from)


def _check(operation: Operation, scope: Scope) -> str:
    match operation:
        case Put(draft):
            _draft(draft)
            if draft.id is not None and not is_ulid(draft.id):
                raise InvalidInput(f"id {draft.id!r} is not a ULID (26 characters of Crockford base 32); leave it out")
            if draft.scope is not None and not scope.covers(draft.scope):
                raise InvalidInput(f"the draft's scope ({draft.scope}) is not covered by the batch's ({scope})")
            return check_draft(draft)
        case Revise(id, draft, expected):
            _id(id)
            _draft(draft)
            _count("expected_version", expected)
            return check_draft(draft)
        case Close(id, at, expected):
            _id(id)
            if at is not None:
                _moment("at", at)
            _count("expected_version", expected)
        case Restore(id, version, expected):
            _id(id)
            _count("version", version)
            _count("expected_version", expected)
        case Link(edge) | Unlink(edge):
            _edge(edge)
        case Embed(id, version, vector):
            _id(id)
            _count("version", version)
            _vector(vector)
        case Touch(ids, at, strength, utility):
            _ids(ids)
            _moment("at", at)
            for name, value in (("strength", strength), ("utility", utility)):
                if value is not None:
                    _finite(name, value)
        case Erase(ids, reason):
            _ids(() if ids is None else ids)
            _string("reason", reason)
        case Get(ids, view):
            _ids(ids)
            _view(view)
        case Find():
            _view(operation.view)
            _count("limit", operation.limit)
            compile_filter(operation.where)
        case Count(view):
            _view(view)
        case Changes(since, _, _, limit):
            _count("since", since)
            _count("limit", limit)
        case Pending(_, limit):
            _count("limit", limit)
        case Scan(after, _, vectors_after):
            _count("after", after)
            _count("vectors_after", vectors_after)
        case _:
            if not isinstance(operation, _KNOWN):
                names = ", ".join(known.__name__ for known in _KNOWN)
                raise InvalidInput(f"{operation!r} is no operation; use one of {names}")
    return ""


def _draft(draft: object) -> None:
    if not isinstance(draft, Draft):
        raise InvalidInput(f"{draft!r} is no Draft")
    for term in draft.terms:
        if not isinstance(term, str):
            raise InvalidInput(f"term {term!r} must be a string")
    for name in ("event_at", "valid_from", "valid_to"):
        moment = getattr(draft, name)
        if moment is not None:
            _moment(name, moment)
    for source in draft.sources:
        if len(source) != 3:
            raise InvalidInput(f"source {source!r} must be (record id, start, end)")
    if draft.vector is not None:
        _vector(draft.vector)


def _moment(name: str, moment: object) -> None:
    if not isinstance(moment, datetime):
        raise InvalidTime(f"{name} {moment!r} is no datetime; read it with parse_time first")
    micros = to_micros(moment)
    if not _FIRST <= micros <= _LAST:
        raise InvalidTime(f"{name} {moment.isoformat()} lies outside the years 1 to 9999 in UTC")


def _view(view: object) -> None:
    if not isinstance(view, View):
        raise InvalidInput(f"view {view!r} is no View")
    for name in ("now", "as_of", "known_at"):
        moment = getattr(view, name)
        if moment is not None:
            _moment(name, moment)


def _string(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidInput(f"{name} {value!r} must be a string")


def _name(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{name} {value!r} must be a string that is not empty")


def _id(id: object) -> None:
    _string("id", id)


def _ids(ids: object) -> None:
    if isinstance(ids, str) or not isinstance(ids, Sequence):
        raise InvalidInput(f"ids {ids!r} must be a tuple of strings")
    for id in ids:
        _id(id)


def _count(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < NEVER):
        raise InvalidInput(f"{name} {value!r} must be a whole number from 0 up")


def _finite(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise InvalidInput(f"{name} {value!r} is not a finite number")


def _edge(edge: Edge) -> None:
    _id(edge.source)
    _id(edge.target)
    _name("edge type", edge.type)
    _finite("edge weight", edge.weight)


def _vector(vector: Vector) -> None:
    _name("embedding space", vector.space)
    data: object = vector.data
    if not isinstance(data, bytes) or not data:
        raise InvalidInput(f"vector data of {vector.space!r} must be bytes, one per dimension")
    _finite("vector scale", vector.scale)
