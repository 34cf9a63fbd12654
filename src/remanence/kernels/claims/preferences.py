"""What somebody likes or means to do, cut out of a free sentence: "dogs, especially Labradors", "get into politics".

Precision comes first: whatever points elsewhere ("the vibe", "them", "how you did it") is no preference to keep.
"""

from __future__ import annotations

import re

from remanence.kernels.claims import lexicon

_QUALIFIERS = (
    r"especially|particularly|specifically|like|such\sas|including|except|but\snot|but\sonly|with|without|for|in|and|or"
    r"|mostly|mainly|ideally|preferably|not|both|as|from|on|focusing|featuring|due|while|if|when|provided|combined"
    r"|along|only|rather|instead|though|despite"
)
_CLAUSE_OPENERS = (
    r"it|that|this|they|i|we|he|she|you|there|am|is|are|was|can|will|have|has|had|just|now|then|how|what|would|feel|get"
    r"|gives?|makes?|brings?|my|really|always|don['’]t|think|hope|want|believe|helps?"
)
_NEXT_CLAUSE = re.compile(
    rf",\s(?!(?:{_QUALIFIERS})\b)"
    r"|,?\s(?:because|since|so|cause|'cause|although)\b|,?\sbut\s(?!not\b|only\b)|\s[-–—]+\s|–|—"
    rf"|,?\s(?:and|as|when|while)\s(?=(?:{_CLAUSE_OPENERS})\b)"
    r"|\s(?:it['’]s|they['’]re|you['’]re|i['’]m|i['’]ve|we['’]re)\b",
    re.IGNORECASE,
)
_FINITE = re.compile(
    r"\b(?:is|are|was|were|am|does|did|has|have|had|will|would|can|could|i|we|he|she|it|they|you|me|us|him|them)\b"
    r"|['’](?:re|ll|ve|d|m)\b",
    re.IGNORECASE,
)
_ADJECTIVE = re.compile(r"\b(?:a|an)\s[a-z]+$")
_ADJECTIVE_TOO = re.compile(r"[a-z]+\s[a-z]+")
_ENUMERATION = re.compile(r"(?:,\s[^,]{1,40}){0,6},?\s(?:and|or)\s[^,]{1,40}$")
_RELATIVE = re.compile(r",\s|\s(?:that|which|who|where)\s")
_ARTICLE = re.compile(r"^(?:an?|the|some|all|both)\s+")
_TAIL = re.compile(
    r"(?:\s+(?:these\s+days|at\s+the\s+moment|right\s+now|now|too|also|as\s+well|again|though|yet|lately|a\s+lot"
    r"|so\s+much|very\s+much|the\s+most|most|please|actually|really|obviously|of\s+course|anyway|then|already|just|so"
    r"|and|or|but|of|for|with|to|in|on|at|the|a|an|is|are|as|about|what|how|when|lol|tho|dude|haha|unless"
    r"|if|especially|man|bro|see))+$",
    re.IGNORECASE,
)
_MOST_WORDS = 24


def preference(raw: str) -> str:
    """What is liked, in the words after "I like": a noun phrase or gerund with its qualifiers; empty for none."""
    value = _first_clause(raw)
    words = value.split()
    if not words or len(words) > _MOST_WORDS:
        return ""
    first = words[0].lower()
    if first in lexicon.POINTING or first in lexicon.EMPTY or (len(words) == 1 and first in lexicon.BARE):
        return ""
    if first == "the" and len(words) < 4 and words[-1].lower() not in lexicon.OUTDOORS and words[-1][0].islower():
        return ""
    if first == "the" and (lexicon.REMARKED & {word.lower() for word in words[1:3]} or _RELATIVE.search(value)):
        return ""
    if _FINITE.search(_RELATIVE.split(value)[0]):
        return ""
    if len(words) > 1 and first.endswith("s") and words[1].lower() in ("a", "the", "to", "like"):
        return ""
    if (len(words) == 1 and (len(first) < 3 or first in lexicon.VAGUE)) or (first == "to" and len(words) < 3):
        return ""
    return _ARTICLE.sub("", _ARTICLE.sub("", value))


def aim(raw: str) -> str:
    """What is meant to be done, in the words after "I plan to": an infinitive with some content; empty for none."""
    value = _first_clause(raw)
    words = [word.lower() for word in value.split()]
    if not words or len(words) > _MOST_WORDS or words[0] in lexicon.BARE or words[0] in lexicon.POINTING:
        return ""
    first = words[0]
    if not first.isalpha() or first.endswith("ing") or (first.endswith("s") and not first.endswith("ss")):
        return ""
    return "" if lexicon.NO_AIM.issuperset(words) else value


def _first_clause(raw: str) -> str:
    value = " ".join(raw.split())
    for cut in _NEXT_CLAUSE.finditer(value):
        if cut[0].startswith(",") and _goes_on(value, cut):
            continue
        value = value[: cut.start()]
        break
    return _TAIL.sub("", value.strip(" ,-–—'"))


def _goes_on(value: str, cut: re.Match[str]) -> bool:
    """Whether a comma does not end the phrase: "a safe, inviting place", "running, cycling and yoga"."""
    if _ADJECTIVE.search(value, 0, cut.start()) and _ADJECTIVE_TOO.match(value, cut.end()):
        return True
    return _ENUMERATION.match(value, cut.start()) is not None and not _FINITE.search(value, cut.start())
