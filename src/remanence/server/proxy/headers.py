"""Headers: what a request says of memory, what of it the upstream may see, and what of its answer the caller sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from remanence.server.errors import BadRequest
from remanence.server.proxy.settings import LEAST_BUDGET, MODES, Upstream

__all__ = ["Wish", "downstream", "mentions_key", "read_wish", "refused", "to_upstream"]

Raw = Sequence[tuple[bytes, bytes]]

_IDS: Final = {
    b"x-memory-user": "user_id",
    b"x-memory-agent": "agent_id",
    b"x-memory-session": "run_id",
    b"x-memory-app": "app_id",
}
_OURS: Final = b"x-memory-"
_UPSTREAM_KEY: Final = b"x-upstream-key"
_KEY_MARK: Final = b"rmk_"
"""Beginning of the keys of this server."""

# RFC 9110, 7.6.1: these speak of one connection only.
_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"trailers", b"transfer-encoding", b"upgrade", b"http2-settings")
)  # fmt: skip
_FRAMING: Final = frozenset((b"content-length", b"content-encoding"))
_CREDENTIALS: Final = frozenset((b"authorization", b"x-api-key", b"api-key"))
# The address of the caller, and what speaks of this server, is not for the upstream.
_NOT_UP: Final = frozenset(
    (b"host", b"cookie", b"accept-encoding", b"expect", b"origin", b"referer", b"forwarded", b"via", b"x-real-ip",
     b"idempotency-key", b"content-type", _UPSTREAM_KEY)
)  # fmt: skip
# Under the server's own key nobody chooses on whose account it runs.
_ACCOUNT: Final = frozenset((b"openai-organization", b"openai-project"))
# What the upstream says of its own address must not be taken as said of this one.
_NOT_DOWN: Final = frozenset(
    (b"set-cookie", b"server", b"date", b"strict-transport-security", b"alt-svc", b"x-content-type-options",
     b"content-security-policy", b"nel", b"report-to", b"location", b"via")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What the headers of a request say of memory; None where they do not."""

    mode: str | None
    budget: int | None
    ids: dict[str, str]


def refused(message: str, param: str) -> BadRequest:
    """The error for a request whose `param` cannot be used."""
    error = BadRequest(message)
    error.param = param
    return error


def read_wish(headers: Raw, settings: Upstream) -> Wish:
    """What `X-Memory-*` says.

    Raises:
        BadRequest: such a header that is unknown, stands there twice, is not UTF-8, or has a value that it cannot have.

    """
    found: dict[bytes, str] = {}
    for name, value in headers:
        if not name.startswith(_OURS):
            continue
        shown = name.decode("latin-1")
        if name not in _IDS and name not in (b"x-memory-mode", b"x-memory-budget"):
            raise refused(
                f"{shown[:80]} is no header of this proxy; see User, Agent, Session, App, Mode, Budget", shown
            )
        if name in found:
            raise refused(f"{shown} stands there twice, and nobody can say which of them is meant", shown)
        try:
            found[name] = value.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            # Taken as Latin-1, two callers could share one name.
            raise refused(f"{shown} must be UTF-8", shown) from error
        if not found[name]:
            raise refused(f"{shown} is empty; leave it out or give it a value", shown)
    mode = found.get(b"x-memory-mode")
    if mode is not None and mode.lower() not in MODES:
        raise refused(f"X-Memory-Mode {mode[:40]!r} must be one of {', '.join(MODES)}", "x-memory-mode")
    return Wish(
        mode and mode.lower(),
        _budget(found.get(b"x-memory-budget"), settings),
        {own: found[name] for name, own in _IDS.items() if name in found},
    )


def _budget(value: str | None, settings: Upstream) -> int | None:
    if value is None:
        return None
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
    if number != 0 and not LEAST_BUDGET <= number <= settings.max_budget:
        raise refused(
            f"X-Memory-Budget {value[:40]!r} must be 0 or from {LEAST_BUDGET} to {settings.max_budget} tokens",
            "x-memory-budget",
        )
    return number


def mentions_key(value: bytes) -> bool:
    """Whether something holds what looks like a key of this server, which no other service may see."""
    return _KEY_MARK in value.lower()


def to_upstream(headers: Raw, settings: Upstream, *, keyed: bool, body: bool) -> list[tuple[bytes, bytes]]:
    """The headers that go to the upstream.

    Its key is the server's own; else what the caller gave in `X-Upstream-Key`; else the caller's `Authorization`,
    unless the caller showed that (`keyed`) to this server, for which alone it is then meant.
    """
    own = settings.key
    dropped = _HOP | _FRAMING | _NOT_UP | _named(headers)
    if own is not None:
        dropped |= _CREDENTIALS | _ACCOUNT
    brought = next((value.strip() for name, value in headers if name == _UPSTREAM_KEY), b"")
    if keyed or brought:
        dropped |= _CREDENTIALS
    found = [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith((_OURS, b"x-forwarded-")) and not mentions_key(value)
    ]
    key = own.encode("ascii") if own is not None else brought
    if key and not (own is None and mentions_key(key)):
        found.append((b"authorization", b"Bearer " + key))
    if body:
        found.append((b"content-type", b"application/json"))
    # Events are passed on as they come, and compressed ones would not be.
    return [*found, (b"accept-encoding", b"identity")]


def downstream(headers: Raw, *, renamed_request_id: bool) -> list[tuple[bytes, bytes]]:
    """The headers of the upstream's answer that go to the caller.

    `renamed_request_id`: this server gives its answers an id of its own, so that of the upstream gets another name.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = _HOP | _FRAMING | _NOT_DOWN | _named(lowered)
    return [
        (b"x-upstream-request-id" if renamed_request_id and name == b"x-request-id" else name, value)
        for name, value in lowered
        if name not in dropped and not name.startswith((_OURS, b"access-control-"))
    ]


def _named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that `Connection` declares to be of this connection only."""
    return frozenset(
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    )
