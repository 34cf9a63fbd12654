"""What an MCP server is told when it starts: which tools, over what, for whose memories, and where these lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from remanence.core.errors import InvalidInput, ScopeRequired
from remanence.runtime.arguments import ids_of
from remanence.server.settings import Settings

__all__ = ["DEFAULT_TOKENS", "MOST_TOKENS", "PORT", "PROFILES", "TRANSPORTS", "Options"]

PROFILES: Final = ("main", "official")
TRANSPORTS: Final = ("stdio", "http")
PORT: Final = 8378
FILE: Final = "memory.jsonl"
DEFAULT_TOKENS: Final = {"main": 2_000, "official": 6_000}
LEAST_TOKENS: Final = 400
"""The fence, a cursor and the names of fields leave room for something then."""
MOST_TOKENS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one server. Nothing is opened by making them.

    Args:
        profile: "main" or "official".
        transport: "stdio" or "http".
        settings: where the memory lies, where to listen, who may ask, and limits; as for the REST server.
        ids: whose memories the main profile serves. Tools may name more ids, and no others.
        memory_file: the JSON lines of the official profile; `memory.jsonl` in `$REMANENCE_DIR` or in the working
            directory if left out.
        max_tokens: tokens of an answer for which a call names no budget.

    """

    profile: str = "main"
    transport: str = "stdio"
    settings: Settings = field(default_factory=lambda: Settings(port=PORT))
    ids: Mapping[str, str] = field(default_factory=dict)
    memory_file: str | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise InvalidInput(f"profile={self.profile!r} must be one of {', '.join(PROFILES)}")
        if self.transport not in TRANSPORTS:
            raise InvalidInput(f"transport={self.transport!r} must be one of {', '.join(TRANSPORTS)}")
        if self.max_tokens is not None and not LEAST_TOKENS <= self.max_tokens <= MOST_TOKENS:
            raise InvalidInput(f"max_tokens={self.max_tokens!r} must be from {LEAST_TOKENS} to {MOST_TOKENS:,}")
        if self.settings.workers != 1:
            raise InvalidInput(f"workers={self.settings.workers!r}: an MCP server is one process; start several")
        if self.profile == "main" and self.transport == "stdio" and not ids_of(self.ids):
            raise ScopeRequired("whose memories? An MCP server is started for a user, an agent, a run or an app")

    @property
    def tokens(self) -> int:
        """Tokens of an answer for which a call names no budget."""
        return self.max_tokens or DEFAULT_TOKENS[self.profile]

    @property
    def graph_file(self) -> Path:
        """The file of the official profile."""
        if self.memory_file:
            return Path(self.memory_file).expanduser().absolute()
        return (Path(os.environ.get("REMANENCE_DIR") or ".").expanduser() / FILE).absolute()

    def location(self) -> str:
        """Where the data lies, for people."""
        return str(self.graph_file) if self.profile == "official" else self.settings.location()
