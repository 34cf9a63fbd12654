"""Between Python values and SQLite columns, without loss.

SQLite keeps text as UTF-8, which has no form for lone surrogates; such a string is kept as a BLOB of the bytes that the
`surrogatepass` error handler gives, and every column that holds a caller's text is read with `unpack`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from remanence.core.scope import FIELDS, Scope
from remanence.stores.relational.columns import RECORD, Texts

Column = str | bytes

RECORD_COLUMNS = f"{RECORD}, v.sid"
RECORDS = "versions v LEFT JOIN usage u ON u.sid = v.sid AND u.id = v.id"

_CHUNKS = (1, 8, 64, 512)
_BOUND = 1 << 62


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


TEXTS = Texts(pack, pack_optional, unpack, unpack_optional)


def scope_values(scope: Scope) -> tuple[str, ...]:
    """The four scope columns; an empty string stands for an id that is left out."""
    return tuple(getattr(scope, name) or "" for name in FIELDS)


def scope_from(values: Iterable[str]) -> Scope:
    """Inverse of `scope_values`."""
    return Scope(*(value or None for value in values))


def chunks(values: Sequence[Any]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Cut values into `(placeholders, values)` for IN lists of few lengths, so that prepared statements are reused.

    The last value is repeated to fill a list, which changes nothing for IN.
    """
    done = 0
    while done < len(values):
        part = tuple(values[done : done + _CHUNKS[-1]])
        done += len(part)
        size = next(size for size in _CHUNKS if size >= len(part))
        yield ",".join("?" * size), part + part[-1:] * (size - len(part))


def bounded(number: int) -> int:
    """A caller's number, cut to what SQLite can hold; positions, versions and limits never come near."""
    return max(-_BOUND, min(number, _BOUND))
