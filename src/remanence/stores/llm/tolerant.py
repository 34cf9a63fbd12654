"""Reading the JSON that language models write: fenced, wrapped in talk, with trailing commas, or cut off.

What is valid JSON is read as such. Otherwise the reader forgives comments, single and typographic quotes, bare keys,
Python's words for constants, missing and trailing commas and line breaks in strings. Of a text that breaks off it keeps
what is complete: every finished element, but no half of a string or number, and no key whose value is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["NoJSON", "parse"]

MAX_DEPTH: Final = 100
_THOUGHTS: Final = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE: Final = re.compile(r"```[a-zA-Z0-9_-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_BLANK: Final = re.compile(r"(?:\s|\ufeff|//[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))+", re.DOTALL)
_UNFINISHED: Final = re.compile(r"(?:[eE][-+]?)?")
"""What may stand between a number and the end of a text that broke off within it."""
_NUMBER: Final = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WORD: Final = re.compile(r"[^\W\d][\w.$-]*")
_WORDS: Final[dict[str, Any]] = {
    "true": True, "false": False, "null": None, "none": None, "undefined": None, "nan": None, "infinity": None,
}  # fmt: skip
_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_MISSING: Final = object()


class NoJSON(ValueError):
    """The text holds no JSON object or array, not even a broken one."""


def parse(text: str) -> tuple[Any, bool]:
    """The first object or array of a text that can be read, and whether it had to be completed because it breaks off.

    NaN and infinities, which JSON does not have, are read as null.

    Raises:
        NoJSON: there is none; the message says how the text begins.

    """
    for candidate in _candidates(text):
        try:
            value = json.loads(candidate, parse_constant=_null)
            if isinstance(value, dict | list):
                return value, False
        except (ValueError, RecursionError):
            pass
        for start in _starts(candidate):
            reader = _Reader(candidate, start)
            try:
                value = reader.value(0)
            except _BrokenError:
                continue
            # Braces in running text, as in "fill in {name}", are no answer.
            if value is not _MISSING and (value or reader.closed_well):
                return value, reader.cut
    shown = text.strip()[:60]
    raise NoJSON(f"no JSON in the answer, which begins {shown!r}" if shown else "the answer is empty")


def _null(_: str) -> None:
    return None


def _candidates(text: str) -> Iterator[str]:
    """Where to look: in the text without thoughts, in fenced blocks of it, and at last in all of it."""
    spoken = _THOUGHTS.sub("", text).strip()
    yield spoken
    for block in _FENCE.finditer(spoken):
        if "{" in block[1] or "[" in block[1]:
            yield block[1].strip()
    if spoken != text.strip():
        yield text.strip()


def _starts(text: str) -> Iterator[int]:
    """Where an object may begin, and after those where an array may."""
    found = [match.start() for match in re.finditer(r"[{\[]", text)][:64]
    # In "[1] Ana says … {…}" the object is meant; in "[{…}]" the array.
    first = [at for at in found if text[at] == "{" or re.match(r"\[\s*[{\[]", text[at : at + 40])]
    yield from first
    yield from (at for at in found if at not in first)


class _BrokenError(Exception):
    """This is no JSON, also not a forgivable one."""


class _Reader:
    """A recursive descent over one text; `cut` once it has met the text's end inside of something."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.cut = False
        self.closed_well = False

    def value(self, depth: int) -> Any:
        """The value that begins here; `_MISSING` when the text ends before it is complete."""
        if depth > MAX_DEPTH:
            raise _BrokenError
        char = self._peek()
        if not char:
            self.cut = True
            return _MISSING
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char in _QUOTES:
            return self._string()
        if number := _NUMBER.match(self.text, self.at):
            return self._number(number)
        if word := _WORD.match(self.text, self.at):
            return self._constant(word)
        raise _BrokenError

    def _peek(self) -> str:
        """The next character that means something, `` at the end."""
        if blank := _BLANK.match(self.text, self.at):
            self.at = blank.end()
        return self.text[self.at : self.at + 1]

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        found: dict[str, Any] = {}
        while True:
            char = self._peek()
            if char == ",":
                self.at += 1
                continue
            if char in ("}", ""):
                self._close(char)
                return found
            key = self._key(char)
            if key is _MISSING:
                continue
            if self._peek() not in (":", "="):
                if self._peek():
                    raise _BrokenError
                self.cut = True
                continue
            self.at += 1
            value = self.value(depth + 1)
            if value is not _MISSING:
                found[key] = value

    def _array(self, depth: int) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while True:
            char = self._peek()
            if char == ",":
                self.at += 1
                continue
            if char in ("]", ""):
                self._close(char)
                return found
            value = self.value(depth + 1)
            # Half of an object is not an element; what encloses the cut is kept as far as it is complete.
            if value is not _MISSING and not (self.cut and isinstance(value, dict)):
                found.append(value)

    def _close(self, char: str) -> None:
        self.at += len(char)
        self.cut = self.cut or not char
        self.closed_well = bool(char)

    def _key(self, char: str) -> Any:
        if char in _QUOTES:
            return self._string()
        if word := _WORD.match(self.text, self.at):
            self.at = word.end()
            return word[0]
        raise _BrokenError

    def _string(self) -> Any:
        quote = self.text[self.at]
        closing = _QUOTES[quote]
        at = self.at + 1
        parts: list[str] = []
        while at < len(self.text):
            char = self.text[at]
            if char == "\\":
                part, at = self._escape(at)
                parts.append(part)
            elif char == closing and (quote == '"' or self._ends(at)):
                self.at = at + 1
                return "".join(parts)
            else:
                parts.append(char)
                at += 1
        self.at, self.cut = len(self.text), True
        return _MISSING

    def _ends(self, at: int) -> bool:
        """Whether a single quote ends its string; in `'it's'` the first one does not."""
        rest = self.text[at + 1 : at + 80].lstrip()
        return not rest or rest[0] in ",:=]}" or rest.startswith(("//", "/*", "#"))

    def _escape(self, at: int) -> tuple[str, int]:
        char = self.text[at + 1 : at + 2]
        if char == "u":
            if found := re.compile(r"\\u([0-9a-fA-F]{4})").match(self.text, at):
                code = int(found[1], 16)
                low = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(self.text, found.end())
                if 0xD800 <= code < 0xDC00 and low:
                    return chr(0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00), low.end()
                return chr(code), found.end()
            return "u", at + 2
        if char == "\n":
            return "", at + 2
        return _ESCAPES.get(char, char), at + 2

    def _number(self, found: re.Match[str]) -> Any:
        self.at = found.end()
        if _UNFINISHED.fullmatch(self.text, self.at):
            self.cut = True
            return _MISSING
        if re.match(r"[^\W\d_]", self.text[self.at]):
            raise _BrokenError
        digits = found[0].replace("_", "")
        if re.fullmatch(r"[-+]?\d{1,4000}", digits):
            return int(digits)
        number = float(digits)
        return None if number in (float("inf"), float("-inf")) else number

    def _constant(self, found: re.Match[str]) -> Any:
        word = found[0].lower()
        if word in _WORDS:
            self.at = found.end()
            return _WORDS[word]
        if found.end() == len(self.text) and any(known.startswith(word) for known in _WORDS):
            self.at, self.cut = len(self.text), True
            return _MISSING
        raise _BrokenError
