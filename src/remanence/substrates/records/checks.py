"""What every store checks before it touches anything, so that all of them refuse the same batches in the same words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple, get_args

from remanence.core.clock import to_micros
from remanence.core.errors import InvalidInput, InvalidTime, ScopeRequired
from remanence.core.ids import is_ulid, ulid_millis
from remanence.core.scope import Scope
from remanence.substrates.records.filters import compile_filter
from remanence.substrates.records.model import Draft, Edge, Record, Source, Vector, View, check_draft, meta_json
from remanence.substrates.records.operations import (
    MAX_PAYLOAD,
    NEVER,
    Adopt,
    Changes,
    Close,
    Count,
    Discard,
    Edges,
    Embed,
    Enqueue,
    Erase,
    Find,
    Get,
    History,
    Jobs,
    JobState,
    Lease,
    Link,
    Lookup,
    Operation,
    Pending,
    Put,
    Receipts,
    Reindex,
    Renew,
    Requeue,
    Restore,
    Revise,
    Scan,
    Settle,
    Spaces,
    Touch,
    Unlink,
    WorkOperation,
    WriteOperation,
)
from remanence.substrates.records.outbox import MAX_SECONDS

_WRITES: tuple[type, ...] = (*get_args(WriteOperation), *get_args(WorkOperation))
_JOB_STATES: tuple[str, ...] = get_args(JobState)
_OUTCOMES = ("done", "retry", "dead")
_FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST = to_micros(datetime.max.replace(tzinfo=UTC))


class Times(NamedTuple):
    """The times of a draft once its defaults are filled in, in UTC."""

    event_at: datetime
    valid_from: datetime
    valid_to: datetime | None


def writes(operations: Sequence[Operation]) -> bool:
    """Whether a batch holds any operation that writes or works; exactly then it reads the clock, once, before all."""
    return any(isinstance(operation, _WRITES) for operation in operations)


def check_batch(operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> list[str]:
    """Refuse a malformed batch before it has any effect.

    Returns one string per operation: the canonical JSON of its draft's metadata or of its payload, `""` where there is
    neither. Raises `InvalidInput` and its children, naming the value; what depends on the store's content is not
    checked here.
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
            _string("id", id)
            _draft(draft)
            _count("expected_version", expected)
            return check_draft(draft)
        case Close(id, at, expected):
            _string("id", id)
            if at is not None:
                _moment("at", at)
            _count("expected_version", expected)
        case Restore(id, version, expected):
            _string("id", id)
            _whole("version", version)
            _count("expected_version", expected)
        case Link(edge) | Unlink(edge):
            _edge(edge)
        case Embed(id, version, vector):
            _string("id", id)
            _whole("version", version)
            _vector(vector)
        case Reindex(id, version, terms):
            _string("id", id)
            _whole("version", version)
            _strings("terms", terms)
        case Touch(ids, at, strength, utility):
            _strings("ids", ids)
            _moment("at", at)
            for name, value in (("strength", strength), ("utility", utility)):
                if value is not None:
                    _finite(name, value)
        case Erase(ids, reason):
            _strings("ids", ids or ())
            _string("reason", reason)
        case Enqueue() | Settle():
            return _payload(operation, scope)
        case Adopt():
            return _adoption(operation, scope)
        case _ if not _working(operation) and not _reading(operation):
            names = ", ".join(known.__name__ for known in get_args(Operation))
            raise InvalidInput(f"{operation!r} is no operation; use one of {names}")
    return ""


def check_due(limit: object, kinds: object) -> None:
    """Refuse malformed arguments of `RecordStore.due`."""
    _whole("limit", limit)
    if kinds is not None:
        _strings("kinds", kinds)


def _payload(operation: Enqueue | Settle, scope: Scope) -> str:
    """Check an operation that may carry a payload; its canonical JSON, `""` for none."""
    if operation.due is not None:
        _moment("due", operation.due)
    if isinstance(operation, Enqueue):
        _name("kind of a job", operation.kind)
        if operation.key is not None:
            _name("key of a job", operation.key)
        if operation.scope is not None and not scope.covers(operation.scope):
            raise InvalidInput(f"the job's scope ({operation.scope}) is not covered by the batch's ({scope})")
    else:
        _string("id", operation.id)
        _name("worker", operation.worker)
        _string("error", operation.error)
        if operation.outcome not in _OUTCOMES:
            raise InvalidInput(f"outcome {operation.outcome!r} is none of {', '.join(_OUTCOMES)}")
        if operation.payload is None:
            return ""
        return meta_json(operation.payload, "the payload of a job", MAX_PAYLOAD)
    return meta_json(operation.payload, "the payload of a job", MAX_PAYLOAD)


def check_adopted(versions: Sequence[Record], now: datetime) -> None:
    """Refuse a record that comes from after `now`, the store's time: what is written later would precede it."""
    last = versions[-1].closed_at or versions[-1].recorded_at
    if last > now or ulid_millis(versions[0].id) > to_micros(now) // 1000:
        raise InvalidInput(f"record {versions[0].id} was written or closed after {now}, the time of this store; wait")


def _adoption(operation: Adopt, scope: Scope) -> str:
    """Check what does not depend on the store; the metadata of the versions as a JSON list of their canonical JSON."""
    versions, terms, vectors = operation.versions, operation.terms, operation.vectors
    if not versions or any(type(record) is not Record for record in versions):
        raise InvalidInput(f"versions {versions!r} must be the records of one history, oldest first")
    if len(terms) != len(versions) or len(vectors) != len(versions):
        raise InvalidInput(f"{len(versions)} versions need as many terms and vectors, not {len(terms)}, {len(vectors)}")
    first = versions[0]
    if not is_ulid(first.id):
        raise InvalidInput(f"id {first.id!r} is not a ULID (26 characters of Crockford base 32)")
    if not scope.covers(first.scope):
        raise InvalidInput(f"the record's scope ({first.scope}) is not covered by the batch's ({scope})")
    metas = []
    for record, stream, vector in zip(versions, terms, vectors, strict=True):
        draft = Draft(
            text=record.text, kind=record.kind, event_at=record.event_at, zone=record.zone,
            valid_from=record.valid_from, valid_to=record.valid_to, speaker=record.speaker, role=record.role,
            language=record.language, sources=record.sources, meta=record.meta, terms=stream, vector=vector,
            state=record.state, origin=record.origin, trust=record.trust,
        )  # fmt: skip
        _draft(draft)
        metas.append(check_draft(draft))
        _version_times(record)
        _usage(record)
    for one, other in pairwise(versions):
        shared = ("id", "scope", "hits", "last_hit", "strength", "utility")
        if any(getattr(one, name) != getattr(other, name) for name in shared):
            raise InvalidInput(f"versions {one.version} and {other.version} are not of one record {one.id}")
        if one.version >= other.version or one.closed_at is None or one.closed_at > other.recorded_at:
            raise InvalidInput(f"version {one.version} of {one.id} was not closed before {other.version} was written")
    if len({v.space for v in vectors if v}) < len({(v.space, len(v.data)) for v in vectors if v}):
        raise InvalidInput("the vectors of the versions have different dimensions in one space")
    return json.dumps(metas)


def _version_times(record: Record) -> None:
    _whole("version", record.version)
    for name in ("event_at", "valid_from", "recorded_at"):
        _moment(name, getattr(record, name))
    if record.version < 1 or (record.closed_at is None) is not (record.ended_at is None):
        raise InvalidInput(f"version {record.version} of {record.id} is closed by halves, or numbered below 1")
    if record.closed_at is not None and record.ended_at is not None:
        _moment("closed_at", record.closed_at)
        _moment("ended_at", record.ended_at)
        if record.closed_at < record.recorded_at or record.ended_at < record.valid_from:
            raise InvalidInput(f"version {record.version} of {record.id} ends before it begins")


def _usage(record: Record) -> None:
    _whole("hits", record.hits)
    if record.last_hit is not None:
        _moment("last_hit", record.last_hit)
    _finite("strength", record.strength)
    _finite("utility", record.utility)


def _working(operation: Operation) -> bool:
    """Check an operation on jobs that carries no payload; False when it is none."""
    match operation:
        case Lease(worker, kinds, limit, seconds):
            _name("worker", worker)
            _strings("kinds", kinds or ())
            _whole("limit", limit)
            _seconds(seconds)
        case Renew(worker, ids, seconds):
            _name("worker", worker)
            _strings("ids", ids)
            _seconds(seconds)
        case Requeue(ids):
            _strings("ids", ids or ())
        case Discard(ids):
            _strings("ids", ids)
        case Jobs(states, kinds, limit, after):
            _strings("states", states or ())
            for state in states or ():
                if state not in _JOB_STATES:
                    raise InvalidInput(f"state {state!r} is none of {', '.join(_JOB_STATES)}")
            _strings("kinds", kinds or ())
            _whole("limit", limit)
            _string("after", after or "")
        case _:
            return False
    return True


def _reading(operation: Operation) -> bool:
    """Check a reading operation; False when it is none."""
    match operation:
        case Get(ids, view):
            _strings("ids", ids)
            _view(view)
        case Find():
            _view(operation.view)
            _strings("kinds", operation.kinds or ())
            _count("limit", operation.limit)
            _string("after", operation.after or "")
            _flag("derived", operation.derived)
            compile_filter(operation.where)
        case Count(view, kinds, derived):
            _view(view)
            _strings("kinds", kinds or ())
            _flag("derived", derived)
        case History(id):
            _string("id", id)
        case Edges(ids, types):
            _strings("ids", ids or ())
            _strings("types", types or ())
        case Changes(since, change, id, limit, until):
            _count("since", since)
            _string("change", change or "")
            _string("id", id or "")
            _count("limit", limit)
            _count("until", until)
        case Scan(after, space, vectors_after):
            _count("after", after)
            _string("space", space or "")
            _count("vectors_after", vectors_after)
        case Lookup(terms):
            _strings("terms", terms)
        case Pending(space, limit):
            _string("space", space)
            _count("limit", limit)
        case Spaces() | Receipts():
            pass
        case _:
            return False
    return True


def _draft(draft: object) -> None:
    if not isinstance(draft, Draft):
        raise InvalidInput(f"{draft!r} is no Draft")
    _string("kind", draft.kind)
    _strings("terms", draft.terms)
    meta: object = draft.meta
    if not isinstance(meta, Mapping):
        raise InvalidInput(f"metadata must be a mapping, not {type(meta).__name__} {meta!r}")
    for name in ("event_at", "valid_from", "valid_to"):
        moment = getattr(draft, name)
        if moment is not None:
            _moment(name, moment)
    for source in draft.sources:
        if not isinstance(source, Source):
            raise InvalidInput(f"source {source!r} must be a Source(record id, start, end)")
        _string("source", source.id)
        _count("start of a source", source.start)
        _count("end of a source", source.end)
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


def _strings(name: str, values: object) -> None:
    if isinstance(values, str) or not isinstance(values, Sequence) or any(not isinstance(v, str) for v in values):
        raise InvalidInput(f"{name} {values!r} must be a tuple of strings")


def _count(name: str, value: object) -> None:
    if value is not None:
        _whole(name, value)


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < NEVER:
        raise InvalidInput(f"{name} {value!r} must be a whole number from 0 up")


def _flag(name: str, value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"{name} {value!r} must be True, False or None")


def _seconds(value: object) -> None:
    _finite("seconds", value)
    if not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
        raise InvalidInput(f"seconds {value!r} must be above 0 and at most {MAX_SECONDS:.0f}, a year")


def _finite(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise InvalidInput(f"{name} {value!r} is not a finite number")


def _edge(edge: object) -> None:
    if not isinstance(edge, Edge):
        raise InvalidInput(f"{edge!r} is no Edge")
    _string("source", edge.source)
    _string("target", edge.target)
    _name("edge type", edge.type)
    _finite("edge weight", edge.weight)


def _vector(vector: object) -> None:
    if not isinstance(vector, Vector):
        raise InvalidInput(f"{vector!r} is no Vector")
    _name("embedding space", vector.space)
    data: object = vector.data
    if not isinstance(data, bytes) or not data:
        raise InvalidInput(f"vector data of {vector.space!r} must be bytes, one per dimension")
    _finite("vector scale", vector.scale)
