"""Between Python values and columns that every back end names and orders alike; texts are packed as each one must."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from remanence.core.clock import from_micros
from remanence.core.scope import Scope
from remanence.substrates.records.model import Record
from remanence.substrates.records.operations import Job, JournalEntry, Receipt
from remanence.substrates.records.packing import moment, unpack_sources

Row = tuple[Any, ...]

KEPT = (
    "kind, event_at, valid_from, valid_to, state, zone, speaker, role, language, origin, trust, sources, meta, terms, "
    "text"
)
"""What `Restore` takes over from an earlier version."""

RECORD = (
    "v.id, v.version, v.kind, v.text, v.event_at, v.zone, v.valid_from, v.valid_to, v.recorded_at, v.closed_at, "
    "v.ended_at, v.speaker, v.role, v.language, v.sources, v.meta, v.state, v.origin, v.trust, u.hits, u.last_hit, "
    "u.strength, u.utility, v.terms"
)
"""A version and the counters of its record, in the order of `record_from`. The scope's columns come behind."""
TERMS_AT = 23
"""Where the term stream stands in a row of `RECORD`."""
KEY_FROM = 24
"""Where the scope's columns begin behind it."""

JOB = "id kind key payload change state attempts created_at due worker leased_until error".split()
"""Columns of a job in the order of `job_from`. The scope's columns come behind."""


class Texts(NamedTuple):
    """How a back end writes any Python string into a column, and reads it again; `_optional` lets None pass."""

    pack: Callable[[str], Any]
    pack_optional: Callable[[str | None], Any]
    unpack: Callable[[Any], str]
    unpack_optional: Callable[[Any], str | None]


def record_from(row: Row, scope: Scope, terms: tuple[str, ...], texts: Texts) -> Record:
    """A record from a row of `RECORD`, its scope and its decoded term stream."""
    (
        id, version, kind, text, event_at, zone, valid_from, valid_to, recorded_at, closed_at, ended_at, speaker, role,
        language, sources, meta, state, origin, trust, hits, last_hit, strength, utility,
    ) = row[:TERMS_AT]  # fmt: skip
    unpack_optional = texts.unpack_optional
    begin = from_micros(event_at)
    return Record(
        id=id,
        version=version,
        kind=kind,
        text=texts.unpack(text),
        scope=scope,
        event_at=begin,
        zone=unpack_optional(zone),
        valid_from=begin if valid_from == event_at else from_micros(valid_from),
        valid_to=moment(valid_to),
        recorded_at=from_micros(recorded_at),
        closed_at=moment(closed_at),
        ended_at=moment(ended_at),
        speaker=unpack_optional(speaker),
        role=unpack_optional(role),
        language=unpack_optional(language),
        sources=unpack_sources(sources),
        meta={} if meta is None else json.loads(meta),
        terms=terms,
        state=state,
        hits=hits or 0,
        last_hit=moment(last_hit),
        strength=1.0 if strength is None else strength,
        utility=utility or 0.0,
        origin=unpack_optional(origin),
        trust=trust,
    )


def job_from(row: Row, scope: Scope, texts: Texts) -> Job:
    """A job from a row of `JOB` and its scope."""
    id, kind, key, payload, change, state, attempts, created_at, due, worker, leased_until, error = row[: len(JOB)]
    return Job(
        id=id,
        scope=scope,
        kind=texts.unpack(kind),
        key=texts.unpack_optional(key),
        payload={} if payload is None else json.loads(payload),
        change=change,
        state=state,
        attempts=attempts,
        created_at=from_micros(created_at),
        due=from_micros(due),
        worker=texts.unpack_optional(worker),
        leased_until=moment(leased_until),
        error=texts.unpack(error),
    )


def entries_from(rows: Iterable[Row], scope_of: Callable[[Any], Scope], texts: Texts) -> tuple[JournalEntry, ...]:
    """Journal entries from their position, change, time, actor, reason, operation, record, version, detail and key.

    `scope_of`: the scope behind a key.
    """
    unpack = texts.unpack
    return tuple(
        [
            JournalEntry(
                seq=seq,
                change=change,
                at=from_micros(at),
                actor=unpack(actor),
                why=unpack(why),
                scope=scope_of(key),
                op=op,
                id=id,
                version=version,
                detail={} if detail is None else json.loads(detail),
            )
            for seq, change, at, actor, why, op, id, version, detail, key in rows
        ]
    )


def receipt_from(row: Row, parts: Sequence[Sequence[str]], scope: Scope, texts: Texts) -> Receipt:
    """A receipt from its change, time, actor, reason and counts. `parts`: ids asked, derived, kept, and `again`."""
    change, at, actor, reason, counts = row
    asked, derived, kept, again = map(tuple, parts)
    return Receipt(
        id=change,
        scope=scope,
        at=from_micros(at),
        actor=texts.unpack(actor),
        reason=texts.unpack(reason),
        ids=asked,
        derived=derived,
        kept=kept,
        counts=json.loads(counts),
        again=again,
    )
