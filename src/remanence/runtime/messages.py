"""From what applications call messages to what is stored: one text with its speaker and its time.

A message is a string, or a mapping with `role` and `content` (a string or OpenAI's content parts) and, where known,
`name` and `timestamp`, or a list of these. What is not a memory comes back with a reason instead of a text: empty
messages, system messages (they instruct, and come with every request), and memories that `context` put into a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidInput, InvalidTime
from remanence.substrates.records.model import MAX_TEXT

__all__ = ["FENCE", "Message", "parse_message", "parse_messages", "read_time"]

FENCE: Final = ("<recalled-memory>", "</recalled-memory>")
"""What `context` puts around recalled memories; text between the two is never stored again."""
INSTRUCTING: Final = frozenset({"system", "developer"})

_FENCED = re.compile(re.escape(FENCE[0]) + r".*?(?:" + re.escape(FENCE[1]) + r"|\Z)", re.DOTALL)
_TEXT_PARTS: Final = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_NOUN: Final = re.compile(r"^input_|^output_|_url$")


@dataclass(frozen=True, slots=True)
class Message:
    """One message to store, or the `reason` why there is nothing to store."""

    text: str
    role: str | None
    speaker: str | None
    at: datetime | None
    zone: str | None
    reason: str | None = None


def parse_messages(messages: object, *, role: str = "user") -> list[Message]:
    """All messages in order, one per item. `role` is that of plain strings.

    Raises:
        InvalidInput: not messages, or a single string or mapping without any text.
        InvalidTime: a timestamp that cannot be read.

    """
    if isinstance(messages, str | Mapping):
        message = parse_message(messages, role=role)
        if message.reason is not None and not INSTRUCTING & {message.role}:
            raise InvalidInput(f"there is nothing to remember: {message.reason}")
        return [message]
    if not isinstance(messages, Sequence) or isinstance(messages, bytes | bytearray):
        raise InvalidInput(
            f"messages must be a string, a mapping with 'role' and 'content', or a list of these, not {_kind(messages)}"
        )
    return [parse_message(message, role=role, where=f"message {at}: ") for at, message in enumerate(messages)]


def parse_message(message: object, *, role: str = "user", where: str = "") -> Message:
    """One message. `where` goes before the text of errors, which are those of `parse_messages`."""
    if isinstance(message, str):
        message = {"role": role, "content": message}
    if not isinstance(message, Mapping):
        raise InvalidInput(f"{where}a message is a string or a mapping with 'role' and 'content', not {_kind(message)}")
    if "content" not in message:
        raise InvalidInput(
            f"{where}a message needs 'content'; this one has {', '.join(map(repr, message)) or 'no keys'}"
        )
    text = _content(message["content"], where)
    speaker = _word(message.get("name"), "name", where)
    said_by = _word(message.get("role"), "role", where) or (None if speaker else role)
    at, zone = _timestamp(message.get("timestamp"), where)
    stripped = _FENCED.sub("", text) if FENCE[0] in text else text
    reason = None
    if said_by in INSTRUCTING:
        reason = f"{said_by} messages are instructions, not memories"
    elif not stripped.strip():
        reason = "it only repeats recalled memories" if stripped != text else "it has no text"
    elif len(stripped) > MAX_TEXT:
        raise InvalidInput(f"{where}text has {len(stripped):,} characters; the limit is {MAX_TEXT:,}, split it")
    return Message(stripped, said_by, speaker, at, zone, reason)


def read_time(value: object) -> tuple[datetime, str | None]:
    """A time in UTC, and the zone in which it was given when that was another one. Raises `InvalidTime`."""
    moment = parse_time(value)
    zone = getattr(moment.tzinfo, "key", None)
    if zone is None and moment.utcoffset() != timedelta(0):
        zone = moment.strftime("%z")
        zone = f"{zone[:3]}:{zone[3:5]}"
    return moment.astimezone(UTC), None if zone == "UTC" else zone


def _timestamp(value: object, where: str) -> tuple[datetime | None, str | None]:
    if value is None:
        return None, None
    try:
        return read_time(value)
    except InvalidTime as error:
        raise InvalidTime(f"{where}{error}") from error


def _content(content: object, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        raise InvalidInput(f"{where}content must be a string or a list of content parts, not {_kind(content)}")
    return "\n".join(_part(part, f"{where}content part {at}: ") for at, part in enumerate(content))


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str) or not kind:
        raise InvalidInput(f"{where}must be a string or a mapping with a 'type', not {_kind(part)}")
    if kind in _TEXT_PARTS:
        text: Any = part.get(_TEXT_PARTS[kind])
        if not isinstance(text, str):
            raise InvalidInput(f"{where}type {kind!r} needs {_TEXT_PARTS[kind]!r} as a string, not {_kind(text)}")
        return text
    # What cannot be kept as text leaves a trace that it was there.
    return f"[{_NOUN.sub('', kind)}]"


def _word(value: object, name: str, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{where}{name} must be a string, not {_kind(value)}")
    return value or None


def _kind(value: object) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 80 else shown[:77] + '...'}"
