"""Recalled words that come back: which stretches of a text repeat what was handed out, so that a memory does not feed
on itself.

Texts are compared by shingles of words; "you" counts as "I" and "your" as "my", because whoever repeats what somebody
said of themselves turns them around.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.kernels.analyzer import fold

__all__ = ["LEAST", "WIDTH", "Echo", "HandedOut", "Shingles", "naive_echoes"]

WIDTH = 5
"""Words of a shingle."""
LEAST = 3
"""Words of the shortest text that can be repeated; below, everybody says the same."""
MOST_WORDS = 400
"""Words of a text that are remembered; what is longer is no sentence that comes back."""
_MOST_CHARACTERS = 40 * MOST_WORDS
MOST_TEXTS = 64
"""Texts handed out that are remembered for each scope."""
MOST_SCOPES = 64

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_TURNED = {
    "you": "i", "me": "i", "your": "my", "yours": "my", "mine": "my", "are": "am", "were": "was", "yourself": "myself",
    "you're": "i am", "i'm": "i am", "you've": "i have", "i've": "i have", "you'll": "i will", "i'll": "i will",
    "you'd": "i would", "i'd": "i would", "don't": "do not", "aren't": "am not", "weren't": "was not",
    "wasn't": "was not", "doesn't": "does not", "didn't": "did not", "isn't": "is not", "can't": "can not",
    "cannot": "can not", "won't": "will not",
}  # fmt: skip

Echo = tuple[int, int, frozenset[int]]
"""A stretch `start:end` of characters, and the numbers of the texts that it repeats."""
Words = list[tuple[str, int, int]]


class Shingles:
    """The shingles of some texts, numbered in the order in which they came."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: OrderedDict[int, tuple[tuple[str, ...], ...]] = OrderedDict()
        self._number_of: dict[tuple[tuple[str, ...], ...], int] = {}
        self._index: dict[tuple[str, ...], set[int]] = {}
        self._next = 0
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        """Take in a text; one that is there already counts as the newest."""
        shingles = _shingles(tuple(word for word, _, _ in _words(text[:_MOST_CHARACTERS])[:MOST_WORDS]))
        if not shingles:
            return
        number = self._number_of.get(shingles)
        if number is not None:
            self._texts.move_to_end(number)
            return
        number, self._next = self._next, self._next + 1
        self._texts[number] = shingles
        self._number_of[shingles] = number
        for shingle in shingles:
            self._index.setdefault(shingle, set()).add(number)

    def drop_oldest(self) -> None:
        """Forget the text that has been here longest."""
        number, shingles = self._texts.popitem(last=False)
        del self._number_of[shingles]
        for shingle in set(shingles):
            self._index[shingle].discard(number)
            if not self._index[shingle]:
                del self._index[shingle]

    def echoes(self, text: str, least: int = LEAST) -> list[Echo]:
        """The stretches of `text` that repeat these texts, from left to right, apart from each other.

        A stretch is a run of words of which each lies in a shingle that a text has too (a text shorter than a shingle
        is one as a whole), of at least `least` words.

        Raises:
            InvalidInput: `least` is below `LEAST`.
        """
        if least < LEAST:
            raise InvalidInput(f"least={least} words repeat nothing; give {LEAST} or more")
        if not self._texts:
            return []
        words = _words(text)
        covered: list[set[int]] = [set() for _ in words]
        plain = tuple(word for word, _, _ in words)
        for width in range(LEAST, WIDTH + 1):
            for at in range(len(plain) - width + 1):
                numbers = self._index.get(plain[at : at + width])
                if numbers:
                    for place in range(at, at + width):
                        covered[place] |= numbers
        found: list[Echo] = []
        begin = 0
        for at in range(len(words) + 1):
            if at == len(words) or not covered[at]:
                if at - begin >= least:
                    numbers = set().union(*covered[begin:at])
                    found.append((words[begin][1], words[at - 1][2], frozenset(numbers)))
                begin = at + 1
        return found


def naive_echoes(text: str, known: Sequence[str], least: int = LEAST) -> list[tuple[int, int]]:
    """The stretches that `Shingles.echoes` finds, every run of words against every text."""
    words = _words(text)
    plain = [word for word, _, _ in words]
    covered = [False] * len(words)
    for other in known:
        theirs = [word for word, _, _ in _words(other)]
        width = min(WIDTH, len(theirs))
        if width < LEAST:
            continue
        for at in range(len(plain) - width + 1):
            if any(plain[at : at + width] == theirs[to : to + width] for to in range(len(theirs) - width + 1)):
                covered[at : at + width] = [True] * width
    found, begin = [], 0
    for at in range(len(words) + 1):
        if at == len(words) or not covered[at]:
            if at - begin >= least:
                found.append((words[begin][1], words[at - 1][2]))
            begin = at + 1
    return found


class HandedOut:
    """The texts that were handed out last, by scope. Thread-safe, and bounded in both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scopes: OrderedDict[Scope, _Kept] = OrderedDict()

    def note(self, scope: Scope, texts: Iterable[str]) -> None:
        """Remember what a search in a scope found."""
        with self._lock:
            kept = self._scopes.setdefault(scope, _Kept())
            self._scopes.move_to_end(scope)
            kept.note(texts)
            if len(self._scopes) > MOST_SCOPES:
                self._scopes.popitem(last=False)

    def echoes(self, scope: Scope, text: str) -> list[Echo]:
        """The stretches of a text that repeat what was handed out in this scope, one around it or one within it.

        From the scope with the longest stretches where several have some.
        """
        with self._lock:
            found = [
                kept.shingles().echoes(text)
                for other, kept in self._scopes.items()
                if other.covers(scope) or scope.covers(other)
            ]
        return max(found, key=lambda echoes: sum(end - start for start, end, _ in echoes), default=[])

    def clear(self) -> None:
        """Forget all of it, as after an erasure."""
        with self._lock:
            self._scopes.clear()


class _Kept:
    """The newest texts of one scope. They are taken apart when somebody asks: searches are many, questions few."""

    def __init__(self) -> None:
        self._shingles = Shingles()
        self._waiting: OrderedDict[str, None] = OrderedDict()

    def note(self, texts: Iterable[str]) -> None:
        """Remember texts; one that waits already counts as the newest."""
        for text in texts:
            text = text[:_MOST_CHARACTERS]
            self._waiting[text] = None
            self._waiting.move_to_end(text)
            if len(self._waiting) > MOST_TEXTS:
                self._waiting.popitem(last=False)

    def shingles(self) -> Shingles:
        """All that is remembered."""
        while self._waiting:
            text, _ = self._waiting.popitem(last=False)
            self._shingles.add(text)
            if len(self._shingles) > MOST_TEXTS:
                self._shingles.drop_oldest()
        return self._shingles


def _words(text: str) -> Words:
    """Words as they are compared, each with the place of the word that it comes from."""
    return [(part, match.start(), match.end()) for match in _WORD.finditer(text) for part in _turned(match[0])]


@lru_cache(maxsize=1 << 14)
def _turned(word: str) -> tuple[str, ...]:
    """The words that a word is compared as."""
    folded = fold(word)
    return tuple(_TURNED.get(folded, folded).split())


def _shingles(words: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    if len(words) < LEAST:
        return ()
    width = min(WIDTH, len(words))
    return tuple(words[at : at + width] for at in range(len(words) - width + 1))
