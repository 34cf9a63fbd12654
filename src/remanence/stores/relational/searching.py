"""How what was erased is searched for: in which forms and fragments, and many of them in one pass over bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

WORDS = 4
"""Length of the fragments of a phrase that are searched for, in words."""
LETTERS = 12
"""Length of the fragments of a phrase that has fewer words, in characters."""
FRAGMENTS = 256
"""Most fragments of one phrase; of a longer phrase as many are taken, evenly spread."""
MARK = "last_id"
"""The column of the highest id given out so far, which may have been that of a record: below it none is given again."""

_KEY = 8
_HASH_BITS = 20
_HASH_FACTOR = 0x9E3779B97F4A7C15
_ULID = re.compile(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where something that was erased still is."""

    kind: Literal["id", "phrase", "fragment"]
    what: str
    """The id, the phrase, or the part of a phrase."""
    place: str
    """`table.column`, or the name of the file."""
    offset: int | None = None
    """Byte in the file."""
    form: str | None = None
    """How the text is encoded there."""


class Meaning(NamedTuple):
    """What finding a byte string means: a phrase or a fragment of one, and how it was encoded."""

    kind: Literal["phrase", "fragment"]
    what: str
    form: str


def report_dict(
    clean: bool,
    findings: Sequence[Finding],
    ids: int,
    phrases: int,
    residue_cleared: bool,
    searched: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """A report as plain data. `searched`: the bytes searched, under the back end's name for what it holds."""
    return {
        "clean": clean,
        "findings": [asdict(finding) for finding in findings],
        "ids": ids,
        "phrases": phrases,
        **searched,
        "residue_cleared": residue_cleared,
    }


def meanings(phrases: Sequence[str], forms: Callable[[str], Mapping[str, bytes]]) -> dict[bytes, Meaning]:
    """What is searched for, and what each finding means. `forms`: the encodings that a back end could hold."""
    found: dict[bytes, Meaning] = {}
    for phrase in phrases:
        for form, data in forms(phrase).items():
            found[data] = Meaning("phrase", phrase, form)
    for phrase in phrases:
        for piece in fragments(phrase):
            for form, data in forms(piece).items():
                found.setdefault(data, Meaning("fragment", piece, form))
    return found


class Ids:
    """Ids to be found among all those that stand in a byte string."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._wanted = {id.encode("utf-8", "surrogatepass") for id in ids}

    def find(self, table: str, column: str, value: bytes) -> Iterator[Finding]:
        """One finding for each id in a value of a table, in order."""
        if column != MARK:
            for id in sorted(self._wanted.intersection(_ULID.findall(value))):
                yield Finding("id", id.decode(), f"{table}.{column}")


def fragments(phrase: str) -> list[str]:
    """Pieces of a phrase by which a copy is recognised that was torn apart: four words, or twelve letters, each."""
    words = [match.span() for match in re.finditer(r"\S+", phrase)]
    if len(words) > WORDS:
        pieces = [phrase[first[0] : last[1]] for first, last in zip(words, words[WORDS - 1 :], strict=False)]
    elif len(words) < WORDS and len(phrase) > LETTERS:
        pieces = [phrase[start : start + LETTERS] for start in range(len(phrase) - LETTERS + 1)]
    else:
        return []
    step = max(1, -(-len(pieces) // FRAGMENTS))
    return list(dict.fromkeys(pieces[::step]))


def forms(text: str) -> dict[str, bytes]:
    """The encodings of a text that a file could hold, equal ones once."""
    encoded = {
        "utf-8": text.encode("utf-8", "surrogatepass"),
        "utf-16-le": text.encode("utf-16-le", "surrogatepass"),
        "utf-16-be": text.encode("utf-16-be", "surrogatepass"),
        "json": json.dumps(text)[1:-1].encode(),
        "json-utf-8": json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"),
    }
    return {name: data for name, data in encoded.items() if next(n for n, d in encoded.items() if d == data) == name}


class Needles:
    """Many byte strings, searched for in one pass; those of fewer than eight bytes are searched one by one."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        distinct = [needle for needle in dict.fromkeys(needles) if needle]
        self.longest = max(map(len, distinct), default=0)
        self._short = [needle for needle in distinct if len(needle) < _KEY]
        self._by_key: dict[bytes, list[bytes]] = {}
        for needle in distinct:
            if len(needle) >= _KEY:
                self._by_key.setdefault(needle[:_KEY], []).append(needle)
        keys = np.frombuffer(b"".join(self._by_key), dtype=np.uint64)
        self._marked = np.zeros(1 << _HASH_BITS, dtype=np.bool_)
        self._marked[self._hash(keys)] = True

    def find(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Every `(offset, needle)` in `data`, in no particular order."""
        for needle in self._short:
            at = data.find(needle)
            while at >= 0:
                yield at, needle
                at = data.find(needle, at + 1)
        if not self._by_key:
            return
        for shift in range(min(_KEY, max(0, len(data) - _KEY + 1))):
            keys = np.frombuffer(data, dtype=np.uint64, offset=shift, count=(len(data) - shift) // _KEY)
            for place in np.flatnonzero(self._marked[self._hash(keys)]):
                at = int(place) * _KEY + shift
                for needle in self._by_key.get(data[at : at + _KEY], ()):
                    if data.startswith(needle, at):
                        yield at, needle

    @staticmethod
    def _hash(keys: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return (keys * np.uint64(_HASH_FACTOR)) >> np.uint64(64 - _HASH_BITS)


def find_naive(data: bytes, needles: Iterable[bytes]) -> set[tuple[int, bytes]]:
    """What `Needles.find` answers, by looking for one needle after the other."""
    return {
        (at, needle)
        for needle in needles
        if needle
        for at in range(len(data) - len(needle) + 1)
        if data.startswith(needle, at)
    }
