"""Answers within a budget of tokens, and cursors for what did not fit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from remanence.core.errors import InvalidInput
from remanence.kernels.packing import estimate_tokens

__all__ = ["FRAME", "Fitted", "clean", "cursor", "cut", "data_tokens", "digest", "position"]

FRAME: Final = 96
"""Tokens that an answer takes besides its rows: the fence, a cursor, the names of fields."""
_CHARACTERS: Final = 8
"""Most characters of a text per token of its budget; blanks cost nothing and must not be endless."""
_UNPAIRED: Final = re.compile(r"[\ud800-\udfff]")
_CURSOR: Final = re.compile(r"([0-9A-Za-z:]{1,40})\.([0-9a-f]{12})")

Fitted = tuple[str, bool]
"""A text, and whether it was cut."""


def clean(text: str) -> str:
    """Text that UTF-8 can carry: half a surrogate pair becomes U+FFFD."""
    return _UNPAIRED.sub("\ufffd", text)


def data_tokens(value: Any) -> int:
    """Tokens of a value as JSON; the same for every way of laying it out."""
    return estimate_tokens(json.dumps(value, ensure_ascii=False))


def cut(text: str, budget: int) -> Fitted:
    """The beginning of a text that takes at most `budget` tokens as JSON, at least one character."""
    size = max(1, min(len(text), budget * _CHARACTERS))
    while size > 1 and data_tokens(text[:size]) > budget:
        size = size * 2 // 3
    return text[:size], size < len(text)


def digest(*about: object) -> str:
    """Twelve hexadecimal digits for what a cursor belongs to."""
    text = json.dumps(about, ensure_ascii=True, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]


def cursor(at: str | int, about: str) -> str:
    """Where to go on. `about` is a `digest` of everything that the place depends on."""
    return f"{at}.{about}"


def position(found: str | None, about: str, why: str = "it belongs to another question") -> str | None:
    """The place that a cursor stands for; None without one. Raises `InvalidInput` for one of something else."""
    if found is None:
        return None
    parts = _CURSOR.fullmatch(found)
    if parts is None:
        raise InvalidInput(f"cursor={found[:60]!r} is no cursor; pass the next_cursor of the answer before")
    if parts[2] != about:
        raise InvalidInput(f"cursor={found!r} does not fit: {why}; ask again without it")
    return parts[1]


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} in a cursor")
