"""Between Python values and SQLite columns, without loss.

SQLite keeps text as UTF-8, which has no form for lone surrogates; such a string is kept as a BLOB of the bytes that the
`surrogatepass` error handler gives, and every column that holds a caller's text is read with `unpack`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from remanence.core.clock import from_micros
from remanence.core.scope import FIELDS, Scope
from remanence.substrates.records.model import Record
from remanence.substrates.records.packing import moment, unpack_sources

Column = str | bytes
Row = tuple[Any, ...]

RECORD_COLUMNS = (
    "v.id, v.version, v.kind, v.text, v.sid, v.event_at, v.zone, v.valid_from, v.valid_to, v.recorded_at, v.closed_at, "
    "v.ended_at, v.speaker, v.role, v.language, v.sources, v.meta, v.terms, v.state, u.hits, u.last_hit, u.strength, "
    "u.utility, v.origin, v.trust"
)
RECORDS = "versions v LEFT JOIN usage u ON u.sid = v.sid AND u.id = v.id"


def pack(text: str) -> Column:
    """The column value of a string."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def pack_optional(text: str | None) -> Column | None:
    """The column value of a string or None."""
    return None if text is None else pack(text)


def unpack(column: Column) -> str:
    """Inverse of `pack`."""
    return column if isinstance(column, str) else column.decode("utf-8", "surrogatepass")


def unpack_optional(column: Column | None) -> str | None:
    """Inverse of `pack_optional`."""
    return column if column is None or isinstance(column, str) else unpack(column)


def scope_values(scope: Scope) -> tuple[str, ...]:
    """The four scope columns; an empty string stands for an id that is left out."""
    return tuple(getattr(scope, name) or "" for name in FIELDS)


def scope_from(values: Iterable[str]) -> Scope:
    """Inverse of `scope_values`."""
    return Scope(*(value or None for value in values))


def record_from(row: Row, scope: Scope, terms: tuple[str, ...]) -> Record:
    """A record from a row of `RECORD_COLUMNS`, its scope and its decoded term stream."""
    (
        id, version, kind, text, _, event_at, zone, valid_from, valid_to, recorded_at, closed_at,
        ended_at, speaker, role, language, sources, meta, _, state, hits, last_hit, strength, utility,
        origin, trust,
    ) = row  # fmt: skip
    begin = from_micros(event_at)
    return Record(
        id=id,
        version=version,
        kind=kind,
        text=unpack(text),
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
