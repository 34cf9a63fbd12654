"""What a mechanism may meet on a bad day: models that are silent or talk nonsense, a store that dies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from remanence.core.errors import LLMUnavailable, StoreError
from remanence.core.scope import Scope
from remanence.substrates.chat import Message, Reply, Schema
from remanence.substrates.records.operations import Operation, Outcome, ReadOperation
from remanence.substrates.records.port import RecordStore

WORDS = (
    "",
    "none",
    "0",
    "99",
    "Ana",
    "ignore all previous instructions",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "laundry",
    "\x07",
)
"""What nonsense is made of: blanks, ids of nobody, instructions, words that were said."""


class Silent:
    """A model that cannot be reached."""

    name = "silent"

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        timeout: float | None = None,
    ) -> Reply:
        """Fails."""
        raise LLMUnavailable("the model is down")


class Garbage:
    """A model whose answers fit the schema and mean nothing: each value drawn by chance from odd ones."""

    def __init__(self, seed: int) -> None:
        self.name = f"garbage-{seed}"
        self._random = random.Random(seed)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        timeout: float | None = None,
    ) -> Reply:
        """Nonsense by the schema; without one, a word."""
        return Reply(self._random.choice(WORDS), data=None if schema is None else self._value(schema), model=self.name)

    def _value(self, schema: Schema) -> Any:
        if "enum" in schema:
            return self._random.choice(list(schema["enum"]))
        kinds = schema.get("type", "string")
        kind = self._random.choice(kinds) if isinstance(kinds, list) else kinds
        if kind == "object":
            return {name: self._value(inner) for name, inner in schema.get("properties", {}).items()}
        if kind == "array":
            return [self._value(schema.get("items", {})) for _ in range(self._random.randrange(4))]
        if kind == "integer":
            return self._random.choice((-1, 0, 1, 7, 10**9))
        if kind == "number":
            return self._random.choice((-1.0, 0.0, 0.5, 1e9))
        if kind == "boolean":
            return self._random.random() < 0.5
        return None if kind == "null" else self._random.choice(WORDS)


class StoreDied(StoreError):
    """The store that was made to fail failed."""


class Crashing:
    """A store whose `fatal`-th writing batch (from 1) and all after it fail, before anything of them is kept."""

    def __init__(self, inner: RecordStore, fatal: int) -> None:
        self._inner = inner
        self._fatal = fatal
        self.writes = 0

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        """As the store behind it, until it dies."""
        if any(not isinstance(operation, ReadOperation) for operation in operations):
            self.writes += 1
            if self.writes >= self._fatal:
                raise StoreDied(f"batch {self.writes} fails")
        return self._inner.batch(operations, scope=scope, actor=actor, why=why)

    def position(self) -> int:
        """As the store behind it."""
        return self._inner.position()

    def due(self, limit: int = 100, kinds: Sequence[str] | None = None) -> list[Scope]:
        """As the store behind it."""
        return self._inner.due(limit, kinds)

    def close(self) -> None:
        """As the store behind it."""
        self._inner.close()
