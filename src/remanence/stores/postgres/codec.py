"""Between Python values and PostgreSQL columns, without loss.

PostgreSQL's text holds neither NUL nor lone surrogates. Such a character is written as U+001A and its four hexadecimal
digits, and so is U+001A itself, which makes the form unambiguous. All other text stays as it is, for psql to read and
for whole-string comparison to work on.

The four ids of a scope lead every key. An id that is left out is kept as the empty string (an id itself is never
empty), so that no key column is ever NULL. An index entry has at most 2,704 bytes, so an id that takes more than
`KEY_BYTES` in UTF-8 stands in keys as U+001A, `#` and its hash; `scopes.ids` has it in full.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from remanence.core.scope import FIELDS, Scope
from remanence.stores.relational.columns import KEY_FROM, RECORD, Texts

Key = tuple[str, str, str, str]
"""The four scope columns as they stand in a row."""

KEY = ", ".join(FIELDS)
KEY_BYTES = 512
"""Longest text that stands in a key column as it is."""
EVERYWHERE: Key = ("", "", "", "")
"""The principal that covers every scope."""

RECORD_COLUMNS = f"{RECORD}, {', '.join(f'v.{name}' for name in FIELDS)}"
RECORDS = (
    "versions v LEFT JOIN usage u ON u.app_id = v.app_id AND u.user_id = v.user_id AND u.agent_id = v.agent_id "
    "AND u.run_id = v.run_id AND u.id = v.id"
)
KEY_AT = slice(KEY_FROM, KEY_FROM + len(FIELDS))
"""Where the scope columns stand in a row of `RECORD_COLUMNS`."""

_MARK = "\x1a"
_ODD = re.compile("[\x00\x1a\ud800-\udfff]")
_PACKED = re.compile("\x1a([0-9a-f]{4})")


def pack(text: str) -> str:
    """The column value of a string."""
    return _ODD.sub(lambda match: f"{_MARK}{ord(match[0]):04x}", text) if _ODD.search(text) else text


def pack_optional(text: str | None) -> str | None:
    """The column value of a string or None."""
    return None if text is None else pack(text)


def unpack(column: str) -> str:
    """Inverse of `pack`."""
    return _PACKED.sub(lambda match: chr(int(match[1], 16)), column) if _MARK in column else column


def unpack_optional(column: str | None) -> str | None:
    """Inverse of `pack_optional`."""
    return None if column is None else unpack(column)


TEXTS = Texts(pack, pack_optional, unpack, unpack_optional)


def keyed(text: str) -> str:
    """What stands for a string in a key column: its column value, or a hash of it where that is too long."""
    packed = pack(text)
    data = packed.encode()
    return packed if len(data) <= KEY_BYTES else f"{_MARK}#{hashlib.blake2b(data, digest_size=32).hexdigest()}"


def is_hashed(column: str) -> bool:
    """Whether a key column holds a hash in place of its text."""
    return column.startswith(_MARK + "#")


def key_of(scope: Scope) -> Key:
    """The scope columns of a row that lives under just this scope; of a principal, those that it is confined to."""
    app_id, user_id, agent_id, run_id = (keyed(getattr(scope, name) or "") for name in FIELDS)
    return app_id, user_id, agent_id, run_id


def key_from(columns: Iterable[str]) -> Key:
    """The scope columns of a row as a key."""
    app_id, user_id, agent_id, run_id = columns
    return app_id, user_id, agent_id, run_id


def scope_from(columns: Iterable[str]) -> Scope:
    """The scope of a row whose columns hold no hash."""
    return Scope(*(unpack(value) or None for value in columns))


def digest(text: str) -> bytes:
    """What a string of any length is found by, where a key of its own is too long for an index."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def before_ids(after: str) -> str:
    """A column value that lies between the same ids as a caller's string does, in the order of code points."""
    return "".join("\x01" if char == "\x00" else "\uffff" if "\ud800" <= char <= "\udfff" else char for char in after)
