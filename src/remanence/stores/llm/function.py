"""Any function from messages to text as a language model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from remanence.core.errors import InvalidInput, LLMError, LLMMalformed, LLMUnavailable
from remanence.stores.llm.structured import Mode, Request, answer_by_schema, check_messages
from remanence.substrates.chat import Message, Reply, Schema, Usage

__all__ = ["CallableChat"]


class CallableChat:
    """`fn(list of messages)` gives the answer's text, or a `Reply`; JSON is asked for in words, read and checked.

    Args:
        fn: called from whatever thread asks; its exceptions arrive as `LLMUnavailable` with the cause attached.
        name: what the model is called where answers are kept; another one whenever the function answers otherwise.
        repairs: how often an answer that does not fit its schema is sent back with what is wrong with it.

    """

    def __init__(self, fn: Callable[[list[Message]], str | Reply], name: str, *, repairs: int = 1) -> None:
        if not name:
            raise InvalidInput("a callable model needs a name: it tells its answers from those of other models")
        if repairs < 0:
            raise InvalidInput(f"repairs={repairs} must be at least 0")
        self._fn = fn
        self._name = name
        self._repairs = repairs

    def __repr__(self) -> str:
        return f"CallableChat({self._name!r})"

    @property
    def name(self) -> str:
        """`callable:` and the name that was given."""
        return f"callable:{self._name}"

    @property
    def mode(self) -> str:
        """A function takes words only."""
        return "prompt"

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.0,
        timeout: float | None = None,
    ) -> Reply:
        """See `ChatModel.complete`; limits, temperature and timeout are the function's own business."""
        check_messages(messages)
        if schema is None:
            return self._call(messages)
        return answer_by_schema(
            self,
            messages,
            schema,
            repairs=self._repairs,
            max_tokens=max_tokens,
            temperature=temperature,
            timeout=timeout,
            origin=f"model {self._name!r}",
        )

    def ask_for_json(self, request: Request) -> Reply:
        """One answer to messages that say in words what is wanted."""
        return self._call(request.in_mode("prompt").messages)

    def fits(self, mode: Mode) -> None:
        """There is nothing to remember."""

    def ignored(self, mode: Mode) -> None:
        """There is no other way to ask."""

    def _call(self, messages: Sequence[Message]) -> Reply:
        started = time.perf_counter()
        try:
            answer = self._fn([dict(message) for message in messages])
        except LLMError:
            raise
        except Exception as error:
            raise LLMUnavailable(f"model {self._name!r} failed: {type(error).__name__}: {error}") from error
        if isinstance(answer, Reply):
            return answer
        if not isinstance(answer, str):
            raise LLMMalformed(f"model {self._name!r} returned {type(answer).__name__}; return the text or a Reply")
        return Reply(answer, usage=Usage(ms=round((time.perf_counter() - started) * 1000, 3)), model=self._name)
