"""Answers of the upstream: server-sent events as they are cut out of a stream, and what the assistant said in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["DONE", "Splitter", "Transcript", "data_of", "error_event", "marked", "with_field"]

DONE: Final = b"[DONE]"
# The first part must not give back half of "\r\n" to make two line ends of it.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_BOM: Final = b"\xef\xbb\xbf"
_LAST_DATA: Final = re.compile(rb"(?s:.*)(?:\A(?:\xef\xbb\xbf)?|[\r\n])data:[^\r\n]*")


class Splitter:
    """Cuts a stream of bytes into server-sent events, each with the blank line that ends it. Nothing is lost."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete now."""
        look_from = max(0, len(self._buffer) - 3)
        self._buffer += data
        found, start = [], 0
        while match := _BLANK_LINE.search(self._buffer, max(look_from, start)):
            found.append(bytes(self._buffer[start : match.end()]))
            start = match.end()
        del self._buffer[:start]
        return found

    def rest(self) -> bytes:
        """What has come of an event that is not complete."""
        return bytes(self._buffer)


def data_of(event: bytes) -> bytes:
    """The data of an event: its `data:` lines, joined; empty for comments."""
    # A stream may begin with a mark that is no part of its first line.
    found = re.split(rb"\r\n|\r|\n", event.removeprefix(_BOM))
    return b"\n".join(line[5:].removeprefix(b" ") for line in found if line.startswith(b"data:"))


def error_event(message: str, code: str) -> bytes:
    """The event by which OpenAI's clients learn that a stream broke off."""
    error = {"message": message, "type": "upstream_error", "param": None, "code": code}
    return f"data: {json.dumps({'error': error})}\n\n".encode("ascii")


def with_field(text: bytes, name: str, value: Any) -> bytes:
    """JSON of a non-empty object with one field more, and not another byte changed.

    Text that does not end with such an object comes back as it is.
    """
    body = text.rstrip()
    if not body.endswith(b"}") or body[:-1].rstrip()[-1:] in (b"{", b""):
        return text
    field = f",{json.dumps(name)}:{json.dumps(value)}}}".encode("ascii")
    return body[:-1] + field + text[len(body) :]


def marked(event: bytes, name: str, value: Any) -> bytes:
    """An event with one field more in its data, as `with_field` adds it; other lines may follow the data."""
    found = _LAST_DATA.match(event)
    return event if found is None else with_field(found[0], name, value) + event[found.end() :]


class Transcript:
    """What the assistant said, from whole answers or from the pieces of a stream.

    `text` is that of the first choice. `failed`: the service said that it failed. `begun`: there is a choice at all.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._choices: set[int] = set()
        self._ended: set[int] = set()
        self._done = False
        self.failed = False
        self.begun = False
        self.finish_reason: str | None = None

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._pieces)

    @property
    def finished(self) -> bool:
        """Whether the service said that it was at the end, of everything or of each choice."""
        return self._done or (self.begun and self._choices == self._ended)

    @property
    def several(self) -> bool:
        """Whether there is more than one choice, so that nobody knows which of them was taken."""
        return len(self._choices) > 1

    def take(self, data: bytes, *, whole: bool = False) -> bool:
        """Read a whole answer, or the data of one event. Whether it is an object of the protocol, and no error."""
        if data.strip() == DONE:
            self._done = True
            return False
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            # Not of this protocol: it is passed on, and says nothing to memory.
            return False
        if not isinstance(found, dict):
            return False
        if found.get("error"):
            self.failed = True
            return False
        choices = found.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._take_choice(choice, "message" if whole else "delta")
        return True

    def _take_choice(self, choice: Mapping[str, Any], key: str) -> None:
        index = choice.get("index", 0)
        number = index if isinstance(index, int) else 0
        self._choices.add(number)
        self.begun = True
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._ended.add(number)
            self.finish_reason = reason
        if number != min(self._choices):
            return
        said = choice.get(key)
        if isinstance(said, dict):
            for name in ("content", "refusal"):
                self._pieces.append(_words(said.get(name)))


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return ""
