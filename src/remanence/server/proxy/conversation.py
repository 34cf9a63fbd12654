"""A chat request as memory sees it: what is asked, what is new, what stands in the prompt anyway.

Recalled memories go behind the words of the last user message, into the same message. Providers keep the computed
prefix of a prompt, and bill less for it, as long as it begins the same: a block in the system prompt, or before the
question, changes with every turn all that stands behind it. Behind the question it changes nothing that will ever be a
prefix: the next request begins with the same messages, the question among them, without the block. A message of its own
would serve as well, but many templates refuse two user messages in a row, or a system message that is not the first.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from remanence.core.errors import InvalidInput
from remanence.runtime.messages import parse_message
from remanence.server.errors import BadRequest

__all__ = ["Conversation", "read_body"]

_MOST_SAID: Final = 400
"""Messages of a prompt that are kept from being recalled into it a second time."""
_MOST_QUERY: Final = 4_000
"""Characters of a question that are looked up: of a pasted document, its beginning and its end."""
_SPOKEN: Final = ("user", "assistant")
_WORDS: Final = ("text", "input_text")


def read_body(body: bytes) -> dict[str, Any]:
    """A request as JSON. Raises `BadRequest` for anything but an object in UTF-8."""
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number, parse_float=_float)
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error
    except ValueError as error:
        raise BadRequest(f"the body is no JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise BadRequest("the body must be a JSON object")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


class Conversation:
    """The messages of one request. They are not changed.

    `asked` is the text of the last user message; empty without one. `new` are the indices of the user messages that no
    earlier request can have held: those since the assistant last spoke; none while it is still working with tools on
    what was asked. `names[i]` identifies the conversation up to and with the user message `i`.
    """

    def __init__(self, messages: Sequence[Mapping[str, Any]], seed: str = "") -> None:
        self.messages = messages
        self.texts = [_text(message) for message in messages]
        users = [at for at, message in enumerate(messages) if message.get("role") == "user"]
        self.last: int | None = users[-1] if users else None
        self.asked = "" if self.last is None else self.texts[self.last]
        self.continues = self.last is not None and any(map(_works, messages[self.last + 1 :]))
        self.new = [] if self.continues else list(self._since_answer())
        self.names = dict(self._names(seed))

    @classmethod
    def of(cls, body: Mapping[str, Any], seed: str = "") -> Conversation | None:
        """The conversation of a request; None if its messages are not what a chat consists of."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            return None
        return cls(messages, seed)

    @property
    def name(self) -> str:
        """Identifies the conversation up to the last user message."""
        return "" if self.last is None else self.names[self.last]

    @property
    def query(self) -> str:
        """What to look up."""
        text = "" if self.last is None else _text(_worded(self.messages[self.last])).strip()
        half = _MOST_QUERY // 2
        return text if len(text) <= _MOST_QUERY else f"{text[:half]}\n{text[-half:]}"

    def said(self) -> list[str]:
        """What stands in the prompt already."""
        spoken = [
            text
            for message, text in zip(self.messages, self.texts, strict=True)
            if message.get("role") in _SPOKEN and text.strip()
        ]
        return list(dict.fromkeys(spoken[-_MOST_SAID:]))

    def after(self, user: int) -> Iterator[int]:
        """The messages in which the assistant spoke between a user message and the next one."""
        for at in range(user + 1, len(self.messages)):
            if self.messages[at].get("role") == "user":
                return
            if self.messages[at].get("role") == "assistant" and self.texts[at].strip():
                yield at

    def with_block(self, block: str) -> list[Mapping[str, Any]]:
        """The messages with recalled memories behind the last question; all before it is the same objects."""
        if self.last is None:
            return list(self.messages)
        message = self.messages[self.last]
        content = message.get("content")
        if isinstance(content, str):
            content = f"{content}\n\n{block}"
        elif isinstance(content, list):
            content = [*content, {"type": "text", "text": block}]
        else:
            return list(self.messages)
        found = list(self.messages)
        found[self.last] = {**message, "content": content}
        return found

    def _since_answer(self) -> Iterator[int]:
        first = 0
        if self.last is not None:
            for at in range(self.last, -1, -1):
                if self.messages[at].get("role") == "assistant":
                    first = at + 1
                    break
            for at in range(first, self.last + 1):
                if self.messages[at].get("role") == "user":
                    yield at

    def _names(self, seed: str) -> Iterator[tuple[int, str]]:
        # System prompts are left out: many tell the time.
        sofar = hashlib.sha256(seed.encode("utf-8", "surrogatepass"))
        for at, (message, text) in enumerate(zip(self.messages, self.texts, strict=True)):
            if message.get("role") in _SPOKEN:
                spoken = f"{message['role']}\x00{len(text)}\x00{text}"
                sofar.update(spoken.encode("utf-8", "surrogatepass"))
                if message["role"] == "user":
                    yield at, sofar.copy().hexdigest()


def _works(message: Mapping[str, Any]) -> bool:
    """Whether a message belongs to the assistant's work with tools."""
    return message.get("role") in ("tool", "function") or bool(
        message.get("role") == "assistant" and (message.get("tool_calls") or message.get("function_call"))
    )


def _worded(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message without its pictures, sounds and files, whose names in brackets nobody said."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    said = [part for part in content if not isinstance(part, dict) or part.get("type") in _WORDS]
    return {**message, "content": said}


def _text(message: Mapping[str, Any]) -> str:
    """The words of a message as they would be stored; empty for what cannot be."""
    try:
        return parse_message({"role": "user", "content": message.get("content")}).text
    except InvalidInput:
        # Content in a form that memory does not know is the upstream's to judge.
        return ""
