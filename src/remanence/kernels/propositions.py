"""Elementary discourse units by rules: sentences that can be understood alone.

What was said in the first and second person names its speaker and listener ("I lent you my canoe", said by Ana to Bo →
"Ana lent Bo Ana's canoe"). Nothing else is changed and nothing left out: every name and number of a text is in one of
its units.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from remanence.kernels.analyzer import is_stopword
from remanence.kernels.names import names
from remanence.kernels.openie import extract, phrase_key, pieces

__all__ = ["Unit", "arguments", "covers", "in_third_person", "stands_on", "units"]

_FIRST = re.compile(
    r"\b(?:I(?P<is>['’]m| am)|I(?P<has>['’]ve| have)|I(?P<will>['’]ll)|I(?P<would>['’]d)"
    r"|(?P<own>[Mm]y)|(?P<mine>[Mm]ine)|(?P<self>[Mm]yself)|(?P<bare>I|[Mm]e))\b"
)
_SECOND = re.compile(
    r"\b(?:[Yy]ou(?P<is>['’]re| are)|[Yy]ou(?P<has>['’]ve| have)|[Yy]ou(?P<will>['’]ll)|[Yy]ou(?P<would>['’]d)"
    r"|(?P<own>[Yy]our)|(?P<mine>[Yy]ours)|(?P<self>[Yy]ourself)|(?P<bare>[Yy]ou))\b"
)
_AFTER = {"is": " is", "has": " has", "will": " will", "would": " would", "own": "'s", "mine": "'s"}


class Unit(NamedTuple):
    """A statement that stands alone, and where it was said: characters `start:end` of its text."""

    text: str
    start: int
    end: int
    arguments: tuple[str, ...]


def units(text: str, speaker: str | None = None, listener: str | None = None) -> list[Unit]:
    """The units of a text, in order; at least one unless the text is empty."""
    found = []
    for start, end in pieces(text) or [(0, len(text))] * bool(text):
        told = in_third_person(text[start:end], speaker, listener)
        found.append(Unit(told, start, end, arguments(told)))
    return found


def in_third_person(sentence: str, speaker: str | None, listener: str | None = None) -> str:
    """A sentence with names in place of "I" and "you", where these are known."""
    for pattern, name in ((_FIRST, speaker), (_SECOND, listener)):
        if name:
            sentence = pattern.sub(partial(_named, name), sentence)
    return sentence


def _named(name: str, match: re.Match[str]) -> str:
    return name + _AFTER.get(match.lastgroup or "", "")


def arguments(sentence: str) -> tuple[str, ...]:
    """What a statement is about: names, dates and noun phrases with a determiner, each once."""
    # Without a line break or colon nothing is taken for a topic.
    return extract(f"\n{sentence}").entities


def covers(texts: Sequence[str], sentence: str) -> bool:
    """Whether texts say what a sentence says: each of its names and numbers, and half of its other words that mean
    something."""
    there = {word for text in texts for word in phrase_key(text).split()}
    words = phrase_key(sentence).split()
    named = {word for name in names(sentence) for word in phrase_key(name).split()}
    needed = {word for word in words if word in named or any(map(str.isdigit, word))}
    others = {word for word in words if not is_stopword(word)} - needed
    return needed <= there and 2 * len(others & there) >= len(others)


def stands_on(text: str, ground: str) -> bool:
    """Whether at least half of a text's words are words of `ground`: told otherwise, perhaps, but no other story."""
    there = set(phrase_key(ground).split())
    words = phrase_key(text).split()
    return bool(words) and 2 * sum(word in there for word in words) >= len(words)
