"""Statements that say the same thing again, and those that only look as if they did.

Two statements are the same when nothing but form tells them apart: case, punctuation, articles, contractions, fillers
("by the way", "really"), where a clause stands, numbers as words. A different number, date, name, negation, preposition
or any other word makes another statement, however alike they look: "the flight leaves at 9:15" and "… at 9:45". So does
a relative time on another day ("I ran five kilometres yesterday").

Nor is everything that is said twice a repetition. "Blue", "green", "blue" ends with blue, so a value is news when it
comes back after another one; and a reply means what its question makes of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from remanence.kernels.analyzer import fold
from remanence.kernels.names import names
from remanence.kernels.timex import mentions_time, resolve

__all__ = [
    "Statement",
    "canonical",
    "depends_on_context",
    "differs",
    "frames",
    "group",
    "naive_group",
    "says_nothing",
]

LISTED = 5
"""Different words in one place of otherwise equal statements from which they are taken for a list ("Ana likes …"), in
which one does not replace another."""
SHORT = 4
"""Words below which a reply says nothing by itself."""

_LONGEST_FRAME = 40
_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*%?|[^\W\d_]+(?:'[^\W\d_]+)*|[^\W_]+")
_CONTRACTIONS = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "ain't": "is not",
    "i'm": "i am", "let's": "let us",
}  # fmt: skip
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"))
_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
_FILLERS = frozenset(
    "a an the well actually really just so oh ah hey hi hello please btw fyi again also too basically honestly anyway "
    "very quite totally absolutely definitely currently now still simply indeed by_the_way as_i_said as_i_mentioned "
    "like_i_said you_know i_mean just_so_you_know for_the_record to_be_clear once_again as_mentioned note_that "
    "remember_that do_not_forget_that in_fact".split()
)
_PHRASES = sorted((tuple(one.split("_")) for one in _FILLERS if "_" in one), key=len, reverse=True)
_OPENERS = frozenset(phrase[0] for phrase in _PHRASES)
_NEGATIONS = frozenset("not no never none neither nor nobody nothing without hardly".split())
_AUXILIARIES = frozenset("do does did".split())
"""They come with a negation."""
_UNMASKED = _NEGATIONS | _AUXILIARIES
_REPLIES = frozenset(
    "yes yeah yep yup no nope nah ok okay sure thanks thank right exactly agreed great cool nice wow haha lol true "
    "maybe perhaps same me because and but then".split()
)
_POINTERS = frozenset(
    "it its this that these those he she they him her them his their there one ones such other another".split()
)


@dataclass(frozen=True, slots=True)
class Statement:
    """Something said.

    Attributes:
        text: The words.
        at: When; relative times are counted from here.
        voice: Who says it, and in what capacity; what another voice says is no repetition.
        claims: What it claims, by any names of claims, where that is known.
        spent: Whether it says nothing besides its claims.
        bound: Whether its words depend on what was said before them.
        follows: Index of the statement right before it in the same conversation, if any.
    """

    text: str
    at: datetime
    voice: str = ""
    claims: frozenset[str] = frozenset()
    spent: bool = False
    bound: bool = False
    follows: int | None = None


Key = tuple[object, ...]
Frame = tuple[bool, Key]


@lru_cache(maxsize=16)
def canonical(text: str) -> tuple[str, ...]:
    """The words of a text without what is only form; all of its words where nothing else would be left."""
    words = [word for token in _TOKEN.findall(fold(text)) for word in _plain(token)]
    said = words if _OPENERS.isdisjoint(words) else _without_phrases(words)
    return tuple([_NUMBERS.get(word, word) for word in said if word not in _FILLERS] or words)


def _without_phrases(words: list[str]) -> list[str]:
    kept: list[str] = []
    at = 0
    while at < len(words):
        phrase = next((one for one in _PHRASES if tuple(words[at : at + len(one)]) == one), None) if (
            words[at] in _OPENERS
        ) else None  # fmt: skip
        if phrase is None:
            kept.append(words[at])
        at += len(phrase or (1,))
    return kept


def depends_on_context(text: str) -> bool:
    """Whether a turn of a conversation means something only together with the turns around it.

    Short replies and what points to something else do, and questions, which are half of their answers.
    """
    words = canonical(text)
    return len(words) < SHORT or words[0] in _REPLIES or not _POINTERS.isdisjoint(words) or _asks(text)


def says_nothing(text: str) -> bool:
    """Whether a text is made of fillers, short replies and connecting words."""
    words = canonical(text)
    return not words or all(word in _FILLERS or word in _REPLIES for word in words)


def differs(one: str, other: str, at: datetime, other_at: datetime) -> str | None:
    """What makes two texts different statements; None where they say the same.

    Returns:
        "polarity", "number", "date", "name", "order", "mood" (one of them asks), or "wording".
    """
    mine, theirs = canonical(one), canonical(other)
    odd = set(mine) ^ set(theirs)
    if odd & _NEGATIONS:
        return "polarity"
    if _times(one, at) != _times(other, other_at):
        return "date"
    if any(word[0].isdigit() for word in odd):
        return "number"
    named = {part for name in (*names(one), *names(other)) for part in canonical(name)}
    if odd & named:
        return "name"
    if odd or sorted(mine) != sorted(theirs):
        return "wording"
    if _turned(mine) != _turned(theirs):
        return "order"
    return "mood" if _asks(one) != _asks(other) else None


def frames(words: tuple[str, ...]) -> list[Frame]:
    """The patterns of which a statement is one case: without its negations and with its numbers open, which nothing
    but a change can fill differently (True), and with any one word open, which a list does as well (False).
    """
    masked = tuple("#" if word[0].isdigit() else word for word in words if word not in _UNMASKED)
    found: list[Frame] = [(True, _turned(masked))]
    if SHORT <= len(words) <= _LONGEST_FRAME:
        # Beginning behind the open place, so that it does not matter which clause comes first.
        found += [(False, (*words[at + 1 :], *words[:at])) for at in range(len(words))]
    else:
        found += [(False, (at, *words[:at], *words[at + 1 :])) for at in range(len(words)) if len(words) < SHORT]
    return found


def group(statements: Sequence[Statement], *, news: bool = True) -> list[int]:
    """For each statement the index of the one that it repeats: the first of its kind, itself if it is that.

    Deterministic, and the same for every order in which statements of different times are given. A statement is
    repeated by an equal one of the same voice, unless another value was said in between (see `frames`), or unless both
    claim something and not the same; then neither equal words nor what was said in between count, but the claims. A
    statement that says nothing besides claims that an earlier one makes too repeats it in other words. One that is
    `bound` repeats only what stands right before it: it was sent twice. Without `news` it does not matter what was said
    in between.
    """
    words = [canonical(statement.text) for statement in statements]
    contents = [_content(some, statement) for some, statement in zip(words, statements, strict=True)]
    often = Counter(contents)
    # Words that occur once repeat nothing, at whatever time they were said.
    read = [
        _Read(some, content, statement, timed=often[content] > 1)
        for some, content, statement in zip(words, contents, statements, strict=True)
    ]
    # Only frames of words that come again are ever asked for, and as many values as make a list are enough to know one.
    asked = {frame for one in read if often[one.content] > 1 for frame in one.frames}
    values: dict[Frame, tuple[Key, ...]] = {}
    for one in read:
        for frame in asked.intersection(one.frames):
            known = values.get(frame, ())
            if len(known) < LISTED and one.value not in known:
                values[frame] = (*known, one.value)
    out = list(range(len(read)))
    holder: dict[Key, int] = {}
    last: dict[Frame, Key] = {}
    claimed: dict[tuple[str, str], list[int]] = {}
    for index in _in_time(statements):
        one, statement = read[index], statements[index]
        found = holder.get(one.key)
        if found is not None:
            held = statements[found].claims
            if statement.claims and held:
                found = found if statement.claims == held else None
            elif news and any(
                last[frame] != one.value for frame in one.frames if frame[0] or len(values[frame]) < LISTED
            ):
                found = None
        if statement.bound and not (found is not None and _sent_twice(statements, out, index, found)):
            found = None
        if found is None and statement.spent and statement.claims:
            found = next(
                (
                    other
                    for other in claimed.get((statement.voice, min(statement.claims)), ())
                    if statement.claims <= statements[other].claims
                ),
                None,
            )
        last.update(dict.fromkeys(asked.intersection(one.frames), one.value))
        if found is not None:
            out[index] = found
            continue
        holder[one.key] = index
        for claim in statement.claims:
            claimed.setdefault((statement.voice, claim), []).append(index)
    return out


def naive_group(statements: Sequence[Statement], *, news: bool = True) -> list[int]:
    """`group`, each statement against every one before it."""
    order = _in_time(statements)
    read = []
    for statement in statements:
        words = canonical(statement.text)
        read.append(_Read(words, _content(words, statement), statement))
    out = list(range(len(statements)))
    for place, index in enumerate(order):
        me, mine = statements[index], read[index]
        before = order[:place]
        heads = [other for other in before if out[other] == other and statements[other].voice == me.voice]
        same = [other for other in heads if read[other].key == mine.key]
        found = same[-1] if same else None
        if found is not None and me.claims and statements[found].claims:
            found = found if me.claims == statements[found].claims else None
        elif found is not None and news:
            for strict, frame in mine.frames:
                rivals = {one.value for one in read if (strict, frame) in one.frames}
                filled = [read[other].value for other in before if (strict, frame) in read[other].frames]
                if (strict or len(rivals) < LISTED) and filled[-1] != mine.value:
                    found = None
                    break
        if me.bound and not (found is not None and _sent_twice(statements, out, index, found)):
            found = None
        if found is None and me.spent and me.claims:
            found = next((other for other in heads if me.claims <= statements[other].claims), None)
        out[index] = index if found is None else found
    return out


class _Read:
    """A statement as it is compared."""

    __slots__ = ("content", "frames", "key", "value")

    def __init__(
        self, words: tuple[str, ...], content: tuple[str, ...], statement: Statement, *, timed: bool = True
    ) -> None:
        self.content = content
        self.value: Key = (content, _times(statement.text, statement.at) if timed else ())
        self.key: Key = (statement.voice, self.value, _asks(statement.text))
        self.frames = frames(words) if words else []


def _content(words: tuple[str, ...], statement: Statement) -> tuple[str, ...]:
    """The words as they are compared; what has none at all is compared by its characters."""
    return _turned(words) or (statement.text,)


@lru_cache(maxsize=1 << 14)
def _plain(token: str) -> tuple[str, ...]:
    """The words of a token."""
    if token in _CONTRACTIONS:
        return tuple(_CONTRACTIONS[token].split())
    for ending, words in _ENDINGS:
        if token.endswith(ending):
            return tuple((token.removesuffix(ending) + words).split())
    # 1,000 is 1000, but 3,5 stays: what a comma means depends on the country.
    return (re.sub(r",(?=\d{3}\b)", "", token) if token[0].isdigit() else token,)


def _turned(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words from the place on that makes them smallest, so that it does not matter which clause comes first."""
    if len(words) < SHORT or len(words) > _LONGEST_FRAME:
        return words
    return min(words[at:] + words[:at] for at in range(len(words)))


def _times(text: str, at: datetime) -> tuple[tuple[datetime, datetime], ...]:
    if not mentions_time(text):
        return ()
    return tuple(sorted((one.start, one.end) for one in resolve(text, at) if one.kind not in ("present", "recent")))


def _asks(text: str) -> bool:
    return text.rstrip(" \"')”’").endswith(("?", "？"))


def _in_time(statements: Sequence[Statement]) -> list[int]:
    return sorted(range(len(statements)), key=lambda index: (statements[index].at, index))


def _sent_twice(statements: Sequence[Statement], out: Sequence[int], index: int, found: int) -> bool:
    before = statements[index].follows
    return before is not None and out[before] == found
