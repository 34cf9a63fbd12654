"""Whom a memory belongs to. A scope is structural: it leads every key of every store and is never metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remanence.core.errors import InvalidInput, ScopeRequired

FIELDS = ("app_id", "user_id", "agent_id", "run_id")
SYNONYMS = {"session_id": "run_id", "project_id": "app_id"}
MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Scope:
    """Up to four ids; those left out are open.

    Written with a record, a scope says exactly where it lives. Used to read, it covers every record whose scope
    agrees on the ids that are set: `Scope(user_id="ana")` covers all of Ana's runs and agents, and nobody else's.
    Ids are compared as whole strings: no prefixes, no patterns, no case folding, no Unicode normalisation.
    """

    app_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None

    def __post_init__(self) -> None:
        empty = True
        for name in FIELDS:
            value = getattr(self, name)
            if value is None:
                continue
            empty = False
            if not isinstance(value, str):
                raise InvalidInput(f"{name} must be a string, not {type(value).__name__} {value!r}")
            if not value:
                raise InvalidInput(f"{name} is empty; leave it out or give it a value")
            if len(value) > MAX_LENGTH:
                raise InvalidInput(f"{name} has {len(value)} characters; the limit is {MAX_LENGTH}")
            if "\x00" in value or not _encodable(value):
                raise InvalidInput(f"{name} {value!r} holds a NUL or a lone surrogate, which no store can keep")
        if empty:
            raise ScopeRequired("a scope is required: pass user_id, agent_id, run_id (session_id) or app_id")

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Scope:
        """A scope from a mapping that may use synonyms (`session_id`, `project_id`) and integer ids."""
        found: dict[str, str] = {}
        for key, value in values.items():
            name = SYNONYMS.get(key, key)
            if name not in FIELDS:
                raise InvalidInput(f"{key!r} is not a scope id; use one of {', '.join((*FIELDS, *SYNONYMS))}")
            if value is None:
                continue
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if not isinstance(value, str):
                raise InvalidInput(f"{key} must be a string or an integer, not {type(value).__name__} {value!r}")
            if found.get(name, value) != value:
                raise InvalidInput(f"{key}={value!r} contradicts {name}={found[name]!r}: they are synonyms")
            found[name] = value
        return cls(**found)

    def items(self) -> Iterator[tuple[str, str]]:
        """The ids that are set, in key order."""
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def covers(self, other: Scope) -> bool:
        """Whether a record written under `other` is visible to this scope."""
        return (
            (self.user_id is None or self.user_id == other.user_id)
            and (self.run_id is None or self.run_id == other.run_id)
            and (self.agent_id is None or self.agent_id == other.agent_id)
            and (self.app_id is None or self.app_id == other.app_id)
        )

    def __str__(self) -> str:
        return " ".join(f"{name}={value!r}" for name, value in self.items())


def _encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
