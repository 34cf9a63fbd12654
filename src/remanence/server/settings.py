"""What a server is told when it starts: where the memory lies, where to listen, who may ask, and how much."""

from __future__ import annotations

import ipaddress
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from remanence.core.errors import InvalidInput
from remanence.runtime.engine import FILE
from remanence.server.places import is_database

__all__ = ["ENVIRONMENT", "Settings", "is_loopback"]

ENVIRONMENT: Final = "REMANENCE_SERVER"
"""Settings as one JSON object, for servers started by name: `uvicorn --factory remanence.server:create_app`."""
_KEYS_SUFFIX: Final = ".keys"
_REQUESTS_SUFFIX: Final = ".requests"
_LONGEST: Final = 7 * 24 * 3600.0
"""Seconds; what takes longer has been forgotten."""


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one server. Nothing is opened or checked against the outside by making them.

    Args:
        path: the store: a file, a folder, or the address of a database; as `Memory(path)`.
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        auth: whether callers need a key. None: yes, but for callers on this machine while no key was ever made.
            False is refused for addresses that others can reach.
        keys: where keys lie: a file, or the address of a database. If left out, in a file beside the store, or in the
            database that is the store.
        embedder: as for `Memory`.
        language: as for `Memory`.
        llm: as for `Memory`.
        background: whether this server works out facts and the like by itself.
        max_body: bytes of a request, except imports.
        max_import: bytes of a file to import.
        max_results: how many memories one answer may hold.
        rate: requests per second that one key may make on average; 0 sets no limit.
        burst: requests that may come at once.
        timeout: seconds that a request may take.
        import_timeout: seconds that storing an imported file may take.
        threads: requests that are worked on at the same time.
        queue: requests that may wait for a thread before others are told to come back.
        workers: processes that listen on the one address; each has its own indexes and rate limits.
        upstream: address of the service that the OpenAI-compatible proxy speaks to; None switches it off.
        upstream_key: key for that service; the caller's own is passed on if left out.

    """

    path: str | None = None
    host: str = "127.0.0.1"
    port: int = 8377
    auth: bool | None = None
    keys: str | None = None
    embedder: str = "static"
    language: str = "auto"
    llm: str | None = None
    background: bool = True
    max_body: int = 4 * 1024**2
    max_import: int = 1024**3
    max_results: int = 1_000
    rate: float = 500.0
    burst: int = 1_000
    timeout: float = 60.0
    import_timeout: float = 3600.0
    threads: int = 4
    queue: int = 256
    workers: int = 1
    upstream: str | None = None
    upstream_key: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_body", 1024), ("max_import", 1024), ("max_results", 1), ("burst", 1), ("threads", 1),
                            ("queue", 0), ("workers", 1)):  # fmt: skip
            if getattr(self, name) < least:
                raise InvalidInput(f"{name}={getattr(self, name)!r} must be at least {least}")
        if not 0 <= self.port <= 65535:
            raise InvalidInput(f"port={self.port!r} must be from 0 to 65535")
        if not 0 <= self.rate < math.inf:
            raise InvalidInput(f"rate={self.rate!r} must be a number of 0 or more; 0 sets no limit")
        for name in ("timeout", "import_timeout"):
            if not 0 < getattr(self, name) <= _LONGEST:
                raise InvalidInput(f"{name}={getattr(self, name)!r} must be above 0, and {_LONGEST:,} s at most")
        if self.auth is False and not is_loopback(self.host):
            raise InvalidInput(
                f"{self.host} can be reached from other machines, and there callers need keys: leave auth on, or "
                "listen on 127.0.0.1"
            )
        if self.path == ":memory:" and self.workers > 1:
            raise InvalidInput("a store in memory lives in one process; set workers=1 or name a file")
        if self.auth is True and not self.has_keys:
            raise InvalidInput("a store in memory has no folder for keys; name a file with keys, or leave auth off")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Settings from `$REMANENCE_SERVER`, a JSON object; the defaults if it is not set. Raises `InvalidInput`."""
        text = (os.environ if environ is None else environ).get(ENVIRONMENT)
        if not text:
            return cls()
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"${ENVIRONMENT} is no JSON: {error}") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not values.keys() <= known:
            raise InvalidInput(f"${ENVIRONMENT} must be a JSON object with some of {', '.join(sorted(known))}")
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidInput(f"${ENVIRONMENT} holds a value of the wrong type: {error}") from error

    def to_json(self) -> str:
        """The settings as `from_environment` reads them."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @property
    def store_file(self) -> Path | None:
        """The file of the store; None for a database or a store in memory."""
        if self.path is None:
            return Path(os.environ.get("REMANENCE_DIR") or ".") / FILE
        if self.path == ":memory:" or is_database(self.path):
            return None
        file = Path(self.path).expanduser()
        return file / FILE if file.is_dir() or self.path.endswith(("/", os.sep)) else file

    @property
    def has_keys(self) -> bool:
        """Whether there is a place for keys; a store in memory alone has none."""
        return self.keys is not None or self.path != ":memory:"

    @property
    def keys_place(self) -> str:
        """Where keys lie: a file, or the address of a database. Raises `InvalidInput` for a store in memory alone."""
        if self.keys is not None:
            return self.keys if is_database(self.keys) else str(Path(self.keys).expanduser())
        place = self._beside(_KEYS_SUFFIX)
        if place is None:
            raise InvalidInput("a store in memory has no folder for keys; name a file with keys")
        return place

    @property
    def requests_place(self) -> str | None:
        """What knows which requests were answered already: a file, or a database; None: kept in memory."""
        return self._beside(_REQUESTS_SUFFIX)

    def location(self) -> str:
        """Where the memories lie, without the password that an address may hold."""
        if self.path is not None and is_database(self.path):
            scheme, _, rest = self.path.partition("://")
            return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
        return ":memory:" if self.store_file is None else str(self.store_file.resolve())

    def replaced(self, **values: Any) -> Self:
        """The same settings with others in place of some."""
        return type(self)(**{**{field.name: getattr(self, field.name) for field in fields(self)}, **values})

    def _beside(self, suffix: str) -> str | None:
        """A file beside the store, or the address of the database that it is; None for a store in memory."""
        file = self.store_file
        if file is not None:
            return str(file.with_name(file.name + suffix))
        return self.path if is_database(self.path) else None
