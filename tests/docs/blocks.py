"""Reading Markdown: its fenced blocks, and what each of them is expected to print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

EXPECT = "<!-- expect -->"
_FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<language>[^`]*)$")


@dataclass(frozen=True)
class Block:
    """One fenced block: the line of its fence (from 1), its language and text, and whether EXPECT stands above it."""

    line: int
    language: str
    text: str
    expect: bool = False

    def commands(self) -> list[tuple[str, list[str]]]:
        """A console block as (command, printed lines); a command continues after a backslash at the end of a line."""
        found: list[tuple[str, list[str]]] = []
        unfinished = False
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif not found:
                raise ValueError(f"line {self.line}: a console block starts with a line that starts with '$ '")
            elif unfinished:
                found[-1] = (found[-1][0].removesuffix("\\") + line.strip().removeprefix("> "), [])
            else:
                found[-1][1].append(line)
            unfinished = line.endswith("\\") and not found[-1][1]
        return found


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a document in order; an unclosed fence is an error."""
    start, marks, indent, language, lines, above, expect = 0, "", 0, "", [""], "", False
    for number, line in enumerate(markdown.splitlines(), start=1):
        fence = _FENCE.match(line)
        if marks:
            if fence and fence["marks"].startswith(marks) and not fence["language"].strip():
                yield Block(start, language, "".join(f"{text[indent:]}\n" for text in lines), expect)
                marks = ""
            else:
                lines.append(line)
        elif fence:
            start, marks, indent = number, fence["marks"], len(fence["indent"])
            language, lines, expect = fence["language"].strip(), [], above == EXPECT
        above = line.strip() or above
    if marks:
        raise ValueError(f"line {start}: the block is never closed")


def missing(expected: list[str], printed: str) -> str | None:
    """The first expected line that was not printed after the one before it; None when all were.

    Runs of blanks count as one, and `…` or `...` stands for any text, as in a time or an id.
    """
    lines = iter(" ".join(line.split()) for line in printed.splitlines())
    for line in expected:
        parts = [re.escape(" ".join(part.split())) for part in re.split(r"…|\.\.\.", line)]
        pattern = re.compile(r"\s*.*?\s*".join(parts))
        if line.strip() and not any(pattern.fullmatch(other) for other in lines):
            return line
    return None


def anchors(markdown: str) -> set[str]:
    """What a link after `#` may name: the headings, as the usual renderers turn them into identifiers."""
    titles = re.findall(r"^#{1,6} +(.+?) *#*$", markdown, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
