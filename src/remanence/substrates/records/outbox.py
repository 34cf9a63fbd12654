"""What every store does alike with jobs: how long a lease lasts, and what an erasure takes out of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from remanence.core.errors import Conflict
from remanence.core.scope import FIELDS, Scope

MAX_ERROR = 4096
"""Characters of an error that a job keeps; the rest is cut off."""
MAX_SECONDS = 366 * 86400.0
"""Longest lease."""

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_LAST = datetime.max.replace(tzinfo=UTC)


def lease_end(now: datetime, seconds: float) -> datetime:
    """When a lease that is taken or renewed `now` runs out."""
    return min(now, _LAST - timedelta(seconds=seconds)) + timedelta(seconds=seconds)


def not_held(job: str, worker: str) -> Conflict:
    """The error for a lease that its worker does not hold."""
    return Conflict(
        f"worker {worker!r} does not hold job {job}: its lease ran out, it went to somebody else, "
        "or it is gone; nothing of this batch was kept"
    )


def may_have_read(job: Scope, record: Scope) -> bool:
    """Whether work under the scope of a job may have looked at a record, and so quote it in an error.

    Work about one run looks at the other runs of the same person too.
    """
    home = replace(job, run_id=None) if any(getattr(job, name) for name in FIELDS if name != "run_id") else job
    return home.covers(record)


def names_any(texts: Iterable[str | None], ids: Collection[str]) -> bool:
    """Whether one of these strings (a payload's JSON, a key) holds one of the ids."""
    return any(id in ids for text in texts if text for id in _ULID.findall(text))


def without_ids(payload: Mapping[str, Any], ids: Collection[str]) -> dict[str, Any]:
    """A payload without what names any of the ids: list items and entries of mappings are left out."""
    cut = _without(payload, ids)
    assert isinstance(cut, dict), "a payload is a mapping, and a mapping stays one"
    return cut


def _without(value: Any, ids: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without(item, ids)
            for key, item in value.items()
            if not names_any((key,), ids) and not (isinstance(item, str) and names_any((item,), ids))
        }
    if isinstance(value, list | tuple):
        return [_without(item, ids) for item in value if not (isinstance(item, str) and names_any((item,), ids))]
    return value
