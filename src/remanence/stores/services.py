"""What clients of OpenAI-compatible services share: where a service is, what its refusals mean, how long to wait."""

from __future__ import annotations

import os
from collections.abc import Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from remanence.core.errors import InvalidInput

__all__ = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "Service", "hint_of", "retry_after", "service_of"]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
FIRST_PAUSE_S: Final = 0.5
"""Before the second attempt; doubled before each further one."""
LONGEST_PAUSE_S: Final = 30.0
_HINTS: Final = {
    401: "check api_key or OPENAI_API_KEY",
    403: "check what the API key may do",
    404: "check the model name and base_url, which ends in /v1 at most services",
    413: "the request is too long; send less at once",
}


class Service(NamedTuple):
    """Where a service is, up to and including the version, and the key that opens it, if it wants one."""

    address: str
    key: str


def service_of(base_url: str | None, api_key: str | None, *, timeout: float) -> Service:
    """The service that a caller names, or else `$OPENAI_BASE_URL` or OpenAI's own, with `$OPENAI_API_KEY`.

    Raises `InvalidInput` for what is no address, for a key that no header can carry, and for a `timeout` of no time.
    """
    address = (base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidInput(f"base_url={address!r} is no http(s) address; pass one like {DEFAULT_BASE_URL!r}")
    # Neither is shown in the message, for both may hold a secret.
    if "@" in parts.netloc:
        raise InvalidInput("base_url holds a user name or password; pass a key as api_key instead")
    key = (api_key if api_key is not None else os.environ.get("OPENAI_API_KEY", "")).strip()
    if not (key.isascii() and key.isprintable()):
        raise InvalidInput("the API key holds characters that no HTTP header can carry; check api_key")
    if not timeout > 0:
        raise InvalidInput(f"timeout={timeout} must be more than 0 seconds")
    return Service(address, key)


def hint_of(status: int) -> str:
    """What to do about an HTTP status that was answered, for the usual mistakes; empty for others."""
    return _HINTS.get(status, "redirects are not followed; pass the final base_url" if status < 400 else "")


def retry_after(headers: Mapping[str, str] | Message) -> float | None:
    """Seconds that a service asks to wait; None if it does not say.

    A date is compared with the answer's own Date, so no clock of this machine takes part.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, pause.total_seconds())
