"""Between Python values and SQLite columns, without loss.

SQLite keeps text as UTF-8, which has no form for lone surrogates; such a string is kept as a BLOB of the bytes that the
`surrogatepass` error handler gives, and every column that holds a caller's text is read with `unpack`.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from remanence.core.clock import from_micros
from remanence.core.scope import FIELDS, Scope
from remanence.substrates.records.model import Record, Source

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


def pack_sources(sources: Iterable[Source]) -> str | None:
    """Sources as JSON; None when there are none."""
    spans = [[source.id, source.start, source.end] for source in sources]
    return json.dumps(spans, separators=(",", ":")) if spans else None


def unpack_sources(column: str | None) -> tuple[Source, ...]:
    """Inverse of `pack_sources`."""
    return () if column is None else tuple(Source(*span) for span in json.loads(column))


def pack_detail(detail: Mapping[str, Any]) -> str | None:
    """A journal entry's detail as JSON; None when there is nothing to say."""
    return json.dumps(detail, separators=(",", ":")) if detail else None


@functools.lru_cache(maxsize=4096)
def _integers(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}i")


def pack_terms(terms: list[int]) -> bytes:
    """A term stream as little-endian int32."""
    return _integers(len(terms)).pack(*terms)


def unpack_terms(column: bytes) -> tuple[int, ...]:
    """Inverse of `pack_terms`."""
    return _integers(len(column) // 4).unpack(column)


def moment(micros: int | None) -> datetime | None:
    """An aware UTC datetime, or None."""
    return None if micros is None else from_micros(micros)


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
