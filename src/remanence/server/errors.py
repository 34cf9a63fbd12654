"""What a caller is told when something cannot be done: one shape of body, one status per kind of error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from remanence.core import errors

__all__ = [
    "BadRequest",
    "Forbidden",
    "HttpError",
    "Overloaded",
    "TimedOut",
    "TooLarge",
    "TooMany",
    "Unauthenticated",
    "UnsupportedMediaType",
    "body_of",
    "describe",
]


class HttpError(errors.RemanenceError):
    """An error of the server itself, with the status that it answers."""

    status = 400
    type = "bad_request"
    param: str | None = None
    retry_after: float | None = None


class BadRequest(HttpError):
    """A request that cannot be read."""


class Unauthenticated(HttpError):
    """No key, or none that is valid now; which of the two is not told."""

    status = 401
    type = "unauthenticated"


class Forbidden(HttpError):
    """A valid key that does not reach so far; whether there is anything is not told."""

    status = 403
    type = "forbidden"


class TooLarge(HttpError):
    """More bytes than a request may have."""

    status = 413
    type = "too_large"


class UnsupportedMediaType(HttpError):
    """A body in another form than JSON in UTF-8."""

    status = 415
    type = "unsupported_media_type"


class TooMany(HttpError):
    """More requests than a key may make."""

    status = 429
    type = "rate_limited"


class Overloaded(HttpError):
    """All threads are busy and enough requests wait already."""

    status = 503
    type = "overloaded"
    retry_after = 1.0


class TimedOut(HttpError):
    """The request took too long; it begins no further write."""

    status = 504
    type = "timeout"


# Subclasses stand before their bases. A text of None: what went wrong in a store names files of this machine, so the
# caller is told the kind alone and the log the rest.
_TABLE: Final[tuple[tuple[type[errors.RemanenceError], int, str, str | None], ...]] = (
    (errors.ScopeRequired, 400, "scope_required", ""),
    (errors.InvalidTime, 400, "invalid_time", ""),
    (errors.InvalidFilter, 400, "invalid_filter", ""),
    (errors.InvalidInput, 400, "invalid_input", ""),
    (errors.ImportFormatError, 400, "import_format", ""),
    (errors.NotFound, 404, "not_found", ""),
    (errors.Conflict, 409, "conflict", ""),
    (errors.StoreBusy, 503, "store_busy", "the store is busy with another writer; try again"),
    (errors.StoreReadOnly, 503, "store_read_only", "the store cannot be written at present"),
    (errors.StoreFull, 507, "store_full", "the store's disk is full; nothing was stored"),
    (
        errors.StoreCorrupt,
        503,
        "store_corrupt",
        "the store's file is damaged; whoever runs the server has to see to it",
    ),
    (errors.StoreVersionError, 503, "store_version", "the store was written by a newer version"),
    (errors.StoreClosed, 503, "store_closed", "the server is ending"),
    (
        errors.StoreUncertain,
        503,
        "store_uncertain",
        "the connection to the store was lost at the last moment: all of it was stored, or nothing; look before "
        "sending it again",
    ),
    (errors.StoreError, 503, "store_error", "the store could not do it; nothing was stored"),
    (errors.EmbeddingSpaceMismatch, 409, "embedding_space_mismatch", ""),
    (errors.EmbeddingError, 503, "embedding_error", "the embedder failed"),
    (errors.BudgetExceeded, 429, "budget_exceeded", ""),
    (errors.LLMUnavailable, 503, "llm_unavailable", "the language model cannot be reached"),
    (errors.LLMError, 502, "llm_error", "the language model did not serve"),
    (errors.SpreadError, 503, "spread_error", "the workers that were to do it did not; what was done stays done"),
    (errors.MissingExtra, 501, "missing_extra", ""),
    (errors.RemanenceError, 500, "internal", None),
)
_RETRY: Final = {"store_busy": 1.0, "store_error": 5.0, "llm_unavailable": 5.0}
_PARAM: Final = re.compile(r"^([a-z_]{2,24})=")


def describe(error: errors.RemanenceError) -> tuple[int, dict[str, Any], float | None]:
    """Status, the part of the body that says what is wrong, and the seconds after which to try again."""
    if isinstance(error, HttpError):
        return error.status, {"type": error.type, "message": str(error), "param": error.param}, error.retry_after
    _, status, name, text = next(row for row in _TABLE if isinstance(error, row[0]))
    message = str(error) if text == "" else text or "something went wrong; the log of the server says what"
    # Messages name the argument first: "limit=-1 must be a whole number".
    named = _PARAM.match(message)
    retry = getattr(error, "retry_after", None) or _RETRY.get(name)
    return status, {"type": name, "message": message, "param": named and named[1]}, retry


def body_of(detail: Mapping[str, Any], request_id: str) -> bytes:
    """The body of an error; `detail` beside it is where mem0's clients look for the message."""
    shown = {"type": detail["type"], "message": detail["message"], "param": detail.get("param")}
    return json.dumps({"error": {**shown, "request_id": request_id}, "detail": detail["message"]}).encode("ascii")
