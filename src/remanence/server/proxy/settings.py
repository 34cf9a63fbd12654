"""What the proxy is told when it starts: which service it stands in front of, and what it may add and keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from remanence.core.errors import InvalidInput
from remanence.server.settings import is_loopback

__all__ = ["LEAST_BUDGET", "MODES", "Upstream"]

MODES: Final = {
    "off": (False, False),
    "read": (True, False),
    "write": (False, True),
    "readwrite": (True, True),
}
"""What `X-Memory-Mode` may say: whether to recall, and whether to store."""
LEAST_BUDGET: Final = 64
"""Tokens below which no memory fits between the fences of a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The service behind the proxy.

    Args:
        base_url: its address up to and including the version, as for OpenAI's client.
        key: sent to it as `Authorization: Bearer`; None: callers bring their own.
        timeout: seconds until a whole answer, or the beginning of a stream, must be there, and until the next piece.
        connect_timeout: seconds until it must be reached.
        max_body: bytes of a request.
        mode: what happens to requests that do not say it; one of `MODES`.
        budget: tokens of recalled memories in a prompt, unless the request says it.
        max_budget: what a request may ask for.
        strict: refuse requests from which nobody can tell whose memory is meant, instead of passing them on as they
            are.
        recall_timeout: seconds after which a request goes on without its memories.
        store_timeout: seconds after which an answer goes out while its turn is still being stored.

    Raises:
        InvalidInput: an address or a number that cannot be used.

    """

    base_url: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 600.0
    connect_timeout: float = 10.0
    max_body: int = 32 * 1024**2
    mode: str = "readwrite"
    budget: int = 800
    max_budget: int = 8_000
    strict: bool = False
    recall_timeout: float = 2.0
    store_timeout: float = 10.0

    def __post_init__(self) -> None:
        try:
            address = urlsplit(self.base_url)
            address.port  # noqa: B018
        except ValueError as error:
            raise InvalidInput(f"upstream is no address: {error}") from error
        if address.scheme not in ("http", "https") or not address.hostname or address.query or address.fragment:
            raise InvalidInput("upstream must be an address up to its version, such as https://api.openai.com/v1")
        if address.username is not None or address.password is not None:
            raise InvalidInput("upstream must not hold a password; give it as the upstream's key")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key.strip()):
            raise InvalidInput("the upstream's key must be printable ASCII")
        for name in ("timeout", "connect_timeout", "recall_timeout", "store_timeout"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name}={getattr(self, name)!r} must be above 0 seconds")
        if self.mode not in MODES:
            raise InvalidInput(f"mode={self.mode!r} must be one of {', '.join(MODES)}")
        if not LEAST_BUDGET <= self.budget <= self.max_budget:
            raise InvalidInput(
                f"budget={self.budget!r} must be from {LEAST_BUDGET} to max_budget={self.max_budget!r} tokens"
            )
        if self.max_body < 1024:
            raise InvalidInput(f"max_body={self.max_body!r} must be at least 1024 bytes")

    @property
    def is_local(self) -> bool:
        """Whether the service runs on this machine, so that no proxy of the environment lies between."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_encrypted(self) -> bool:
        """Whether it is reached over TLS."""
        return urlsplit(self.base_url).scheme == "https"

    def url(self, path: str, query: str = "") -> str:
        """The address of one of its routes."""
        return f"{self.base_url.rstrip('/')}/{path}" + (f"?{query}" if query else "")
