"""The port between messages and language models: text, or JSON that fits a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["ChatModel", "Message", "Reply", "Schema", "Usage"]

Message = Mapping[str, str]
"""One message: `{"role": "system" | "user" | "assistant", "content": text}`."""
Schema = Mapping[str, Any]
"""A JSON schema, of the part of the standard that `remanence.stores.llm.schema` knows."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer cost, all attempts and repairs included. Tokens are 0 where the service does not count them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    ms: float = 0.0
    calls: int = 1

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        """The cost of both."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.ms + other.ms,
            self.calls + other.calls,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    `data` is the JSON that was asked for by schema, None without one. `finish_reason` is the service's word, "length"
    when the answer was cut off: then `data` holds what was complete. `model` is the model that the service names.
    """

    text: str
    data: Any = None
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    finish_reason: str | None = None


class ChatModel(Protocol):
    """A language model behind some service or function."""

    @property
    def name(self) -> str:
        """Which model this is, as in "openai:gpt-4o-mini": two of one name give interchangeable answers. No secrets."""
        ...

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        timeout: float | None = None,
    ) -> Reply:
        """Answer a conversation. With `schema`, `Reply.data` is JSON that fits it.

        Args:
            messages: in order; the last one is answered.
            schema: what the JSON must look like; an object at its root.
            max_tokens: where the answer is cut off.
            temperature: 0 for the likeliest answer; models that take none are asked without.
            timeout: seconds without an answer before an attempt is given up; None: as the model was made.

        Raises:
            LLMUnavailable: not reached, too slow or overloaded, after all retries.
            LLMRejected: refused as it is.
            LLMMalformed: no JSON that fits, after all repairs.
            BudgetExceeded: the day's budget is spent.

        """
        ...
