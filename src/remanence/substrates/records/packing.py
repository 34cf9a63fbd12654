"""How stores with columns write down sources, journal details and term streams, the same way in each of them."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from remanence.core.clock import from_micros, to_micros
from remanence.substrates.records.model import Source


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


def micros(moment: datetime | None) -> int | None:
    """Inverse of `moment`."""
    return None if moment is None else to_micros(moment)
