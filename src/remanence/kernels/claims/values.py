"""From the words that a pattern caught to a value: trimmed, without article, and refused where it is none."""

from __future__ import annotations

import re

from remanence.kernels.claims import lexicon
from remanence.kernels.claims.preferences import aim, preference
from remanence.kernels.claims.words import NOT_PEOPLE, is_trade

VERBATIM = frozenset("qmsvkuarfc")
"""Types of values that their pattern describes wholly."""

_ARTICLES = re.compile(
    r"^(?:[Aa]n?|[Tt]he|[Mm]y|[Oo]ur|[Hh]is|[Hh]er|[Tt]heir|[Yy]our|[Ss]ome|[Tt]his|[Tt]hat|these|those|any)\s+(?![A-Z])"
    r"|^(?:an?|the|my|our|his|her|their|your|some|this|that|these|those|any)\s+"
)
_TAIL = re.compile(
    r"(?:\s+(?:these\s+days|at\s+the\s+moment|right\s+now|now|too|also|as\s+well|again|though|yet|lately|a\s+lot"
    r"|so\s+much|very\s+much|the\s+most|most|please|actually|really|obviously|of\s+course|anyway|then|already"
    r"|all\s+day|just|so|and|or|but|of|for|with|to|in|on|at|the|a|an|is|are|as))+$",
    re.IGNORECASE,
)
_PLAIN_WORD = re.compile(r"^\w[a-z]+(?:\s[a-z]|$)")
_LETTER = re.compile(r"[^\W\d_]")


def clean(raw: str, kind: str, *, opens: bool, person: bool) -> str:
    """The value in the words `raw`; empty where they are none. `opens`: they stand at the start of a sentence."""
    value = " ".join(raw.replace("\x01", " ").split()).strip(" ,;:-–—'\"“”")
    if kind in "nt":
        return _name(value, kind, person=person)
    if kind == "y":
        return preference(raw)
    if kind == "o":
        return aim(raw)
    if kind in VERBATIM:
        return value.rstrip(".,:")
    if kind in "pjwhigx":
        value = _TAIL.sub("", value)
        for _ in range(2):
            value = _ARTICLES.sub("", value)
    if not value:
        return ""
    if opens and _PLAIN_WORD.match(value):
        value = value[0].lower() + value[1:]
    words = value.lower().split()
    if len(words) == 1 and (words[0] in lexicon.BARE or len(value) < 2):
        return ""
    named = len(words) > 1 and value[0].isupper()
    if (words[0] in lexicon.EMPTY - lexicon.MAY_OPEN and not named) or words[-1] in ("one", "ones"):
        return ""
    return value if _LETTER.search(value) and _is_kind(value, words, kind) else ""


def _is_kind(value: str, words: list[str], kind: str) -> bool:
    last = words[-1]
    if kind == "j":
        return is_trade(value)
    if kind == "i":
        return last in lexicon.INSTRUMENTS
    if kind == "g":
        return words[0] not in lexicon.NOT_PASTIMES and len(words) < 4 and lexicon.NOT_IN_PASTIMES.isdisjoint(words)
    if kind == "h":
        return last not in lexicon.NOT_TAKEN_UP
    if kind == "x":
        return lexicon.HURT.search(value) is not None and (len(words) == 1 or last in lexicon.INJURIES)
    if kind == "b":
        return last in lexicon.BODY
    if kind == "p":
        return len(words) < 6 and "i" not in words and "you" not in words
    return True


def _name(value: str, kind: str, *, person: bool) -> str:
    for ending in ("'s", "’s"):
        value = value.removesuffix(ending)
    words = value.strip(" .,'’").split()
    while words and kind == "n" and words[0].lower() in (NOT_PEOPLE if person else lexicon.DISCOURSE):
        del words[0]
    if not words or (kind == "n" and not _LETTER.search(words[0] + words[-1])):
        return ""
    if len(words) == 1 and (words[0].lower() in NOT_PEOPLE or words[0].lower() in lexicon.EMPTY):
        return ""
    if person and (len(words) > 3 or words[0][0].isdigit()):
        return ""
    return " ".join(words)
