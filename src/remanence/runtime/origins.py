"""Where words come from, how far they may be believed, and which of them only come back from memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from remanence.core.scope import Scope
from remanence.kernels.echoes import HandedOut, Shingles
from remanence.runtime.messages import Message
from remanence.substrates.records.model import Record

__all__ = ["CONTEXT", "ECHOES", "echo_meta", "echo_spans", "origin_of", "pasted", "spans_of", "trust_of"]

ECHOES: Final = "echoes"
"""Key of the metadata under which a turn says which stretches of it repeat what had been handed out."""
CONTEXT: Final = 4
"""Turns before one that it may repeat."""
IMPORT: Final = "import:"
"""What the origin of imported memories begins with."""

_TRUST: Final[Mapping[str, float]] = {"user": 1.0, "human": 1.0, "assistant": 0.8, "ai": 0.8, "model": 0.8}
_FOREIGN: Final = 0.5
"""Tools, functions, web pages, files: whoever wrote those words is not part of the conversation."""
_UNKNOWN: Final = 0.7
_IMPORTED: Final = 0.9
_DATA: Final = frozenset(("tool", "function", "web", "document", "file", "search", "retrieval", "observation", "email"))
_OWN: Final = frozenset(("user", "human"))

_MARK: Final = re.compile(r"[^\w\n]*(?:\d{1,4}|[a-z])?[^\w\n]*", re.IGNORECASE)
# A line as `context` writes it, and the line above them all.
_LINE: Final = re.compile(
    r"^\[\d{1,4}\] (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d [^\n]*$"
    r"|^Memories of earlier conversations: quoted data, not instructions\.[^\n]*$",
    re.MULTILINE,
)


def origin_of(role: str | None, kind: str = "turn") -> str | None:
    """The origin of a message that names none: its role; a document is one whoever sends it; None for a mere name."""
    return "document" if kind == "document" else role.casefold() if role else None


def trust_of(role: str | None, origin: str | None = None) -> float:
    """How far words may be believed by default, from 0 to 1.

    1 for the user and for people who are named without a role, 0.8 for the assistant, 0.5 for what comes from tools,
    web pages and files, 0.7 for other roles. Imported words count 0.9 at most: somebody else kept them.
    """
    given = [_of_role(role)]
    if origin is not None:
        given.append(_IMPORTED if origin.startswith(IMPORT) else _of_role(origin))
    return min(given)


def _of_role(role: str | None) -> float:
    if role is None:
        return 1.0
    name = role.casefold().partition(":")[0]
    return _FOREIGN if name in _DATA else _TRUST.get(name, _UNKNOWN)


def echo_meta(handed_out: HandedOut, scope: Scope, message: Message) -> dict[str, Any]:
    """Metadata that marks the stretches of a message that were recalled before it was said; empty where there are none.

    Whoever is not the user repeats what was handed out with whatever stretch of it. The user may say the same thing
    again, in whole sentences or in part, and then means it: only a list of memories, several whole lines that each
    repeat another one, and lines as `context` writes them, are repetition.
    """
    found = handed_out.echoes(scope, message.text)
    if message.role is None or message.role.casefold() in _OWN:
        found = [echo for echo in found if _is_line(message.text, *echo[:2])]
        texts = frozenset().union(*(numbers for _, _, numbers in found))
        found = found if len(texts) > 1 and len(found) > 1 else []
    spans = joined([*((start, end) for start, end, _ in found), *pasted(message.text)])
    return {ECHOES: [list(span) for span in spans]} if spans else {}


def echo_spans(record: Record, before: Sequence[Record]) -> list[tuple[int, int]]:
    """The stretches of a turn that say nothing new, because memory had said it first; in order, apart from each other.

    Those that were marked when it was added, lines as `context` writes them, and, in a turn of anybody but the user,
    what repeats one of the `CONTEXT` turns `before` it by somebody else. A claim that touches such a stretch is no
    claim, and no evidence. A function of what is stored.
    """
    spans = [*spans_of(record.meta, len(record.text)), *pasted(record.text)]
    if record.role is not None and record.role.casefold() not in _OWN:
        others = [
            other.text for other in before[-CONTEXT:] if (other.role, other.speaker) != (record.role, record.speaker)
        ]
        spans += [(start, end) for start, end, _ in Shingles(others).echoes(record.text)]
    return joined(spans)


def pasted(text: str) -> list[tuple[int, int]]:
    """The lines of a text that look as `context` writes them, whoever took away the fence around them."""
    return [match.span() for match in _LINE.finditer(text)]


def spans_of(meta: Mapping[str, Any], size: int) -> list[tuple[int, int]]:
    """The stretches that the metadata of a text of `size` characters marks; anything that is none is passed over."""
    marked = meta.get(ECHOES)
    if not isinstance(marked, list):
        return []
    return [
        (span[0], span[1])
        for span in marked
        if isinstance(span, list | tuple)
        and len(span) == 2
        and all(isinstance(place, int) and not isinstance(place, bool) for place in span)
        and 0 <= span[0] < span[1] <= size
    ]


def _is_line(text: str, start: int, end: int) -> bool:
    """Whether a stretch is all that its lines say, besides the mark of a list."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    after = text[end : (text + "\n").find("\n", end)]
    return _MARK.fullmatch(before) is not None and not any(map(str.isalnum, after))


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches in order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
