"""Slips of the tongue put right: "I said Oslo, I meant Bergen", "scratch that, it's Tuesday", "not X but Y"."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from remanence.kernels.claims.model import Claim
from remanence.kernels.claims.ontology import ATTRIBUTES
from remanence.kernels.claims.reading import Reading
from remanence.kernels.claims.values import clean
from remanence.kernels.claims.words import KIN

_V = r"(?P<v>[^.,;:!?\n]{1,60}?)"
_OLD = r"(?P<old>[^.,;:!?\n]{1,60}?)"
_WHOSE = r"(?P<who>[Mm]y|[Hh]is|[Hh]er|[Tt]heir|[A-ZÀ-Þ][\w-]+['’]s)\s(?P<label>[a-z][a-z' ’]{1,40}?)"
_STOP = r"(?=\s*(?:[.,;:!?…\n]|$))"
_IS = r"(?:it\sis|it['’]s|it\swas|is|that['’]s)"
_FORMS: tuple[str, ...] = (
    rf"\b[Aa]bout\s{_WHOSE}:\sI\ssaid\s{_OLD},\s(?:but\s)?{_IS}\s(?:actually\s)?{_V}{_STOP}",
    rf"\bI\sgot\s{_WHOSE}\swrong[.,:;]\s(?:[Ii]t\sis|[Ii]t['’]s)\s{_V},\snot\s{_OLD}{_STOP}",
    rf"\bI\ssaid\s{_OLD}\s?(?:before|earlier)?,\s(?:but\s)?I\smeant\s(?:to\ssay\s)?{_V}{_STOP}",
    rf"\b[Ss]cratch\s{_OLD},\sI\s(?:mixed|got)\sthat\s(?:up|wrong)[.!]\s{_V}\sis\s(?:right|correct){_STOP}",
    rf"\bdid\sI\ssay\s{_OLD}\?(?:\s[^.!?\n]{{1,60}}[.!])?\s{_V},\sof\scourse{_STOP}",
    rf"\bwhen\sI\ssaid\s{_OLD}[.!]\s{_V},\s(?:obviously|of\scourse){_STOP}",
    rf"\b[Ff]orget\s{_OLD},\s[^.!?\n]{{1,60}}?,?\sI\smeant\s{_V}{_STOP}",
    rf"\bI\smeant\s(?:to\ssay\s)?{_V},\snot\s{_OLD}{_STOP}",
    rf"\b(?:[Ss]orry|[Cc]orrection|[Ww]ait|[Oo]ops|[Nn]o)[,:.!]\s(?:it['’]s\s|it\sis\s)?not\s{_OLD}(?:\sbut|,\sbut|,|;|\s[-–—])\s"
    rf"(?:it['’]s\s)?{_V}{_STOP}",
    rf"\b(?:I\smisspoke|my\smistake|my\sbad|[Cc]orrection)[,:.!]\s(?:it['’]s\s|it\sis\s)?{_V},\snot\s{_OLD}{_STOP}",
    rf"\b(?:I\s(?:actually\s)?meant\s(?:to\ssay\s)?|(?:^|[.!?,]\s)[Mm]ake\sthat\s|[Cc]orrection:\s(?:it['’]s\s)?"
    rf"|[Ss]cratch\sthat[,.!:]\s(?:it['’]s\s|it\sis\s)?){_V}{_STOP}",
)
_PATTERNS = tuple(re.compile(form) for form in _FORMS)
_CUE = re.compile(
    r"\b(?:meant|scratch|got|said|say|forget|correction|misspoke|mistake|bad|not|make\sthat)\b", re.IGNORECASE
)
_NOT_VALUES = re.compile(
    r"^(?:it|that|this|to|what|well|everything|nothing|every|by|for|the\sworld|so|no|business|a\slot|i|you|we|they|he|she)\b",
    re.IGNORECASE,
)
_LABELS: dict[str, str] = {
    "city": "home_city", "town of birth": "hometown", "employer": "employer", "company": "employer", "job": "job",
    "kids' school": "school", "kids’ school": "school", "way to work": "commute", "commute": "commute",
    "favourite food": "food", "favorite food": "food", "morning drink": "drink", "language lessons": "language",
    "favourite band": "band", "favorite band": "band", "allergies": "allergy", "allergy": "allergy",
    "hobbies": "hobby", "best time over ten kilometres": "run_time", "next trip": "trip", "trip": "trip",
    "volunteering": "volunteer", "e-mail address": "email", "address": "address",
}  # fmt: skip
_LONGEST = 400


def find(reading: Reading, claims_before: Callable[[Reading], Sequence[Claim]]) -> list[Claim]:
    """The correction in a turn, if it is one; `claims_before` gives what it may be about."""
    text = reading.text
    if len(text) > _LONGEST or not _CUE.search(text):
        return []
    for pattern in _PATTERNS:
        match = pattern.search(text)
        if match is None:
            continue
        groups = match.groupdict()
        old = _value(groups.get("old"), "")
        value = _value(groups["v"], old)
        if not value or _is_no_value(value) or _is_no_value(old):
            continue
        subject = reading.whose(groups["who"], match.start("who")) if groups.get("who") else ""
        attribute = _attribute(groups.get("label"))
        if not (attribute and old):
            earlier = _earlier(claims_before(reading), old)
            if earlier is None and not old:
                continue
            if earlier is not None:
                attribute = attribute or earlier.attribute
                old = old or earlier.value
                subject = subject or earlier.subject
        subject = subject or reading.topic or reading.speaker
        start, end = match.span()
        return [Claim(subject, attribute, value, "correct", start, end, old=old, confidence=0.95 if attribute else 0.8)]
    return []


def _is_no_value(words: str) -> bool:
    """Whether the words only point ("it", "what I said"); names may begin with any word ("Nothing Phone 2")."""
    return _NOT_VALUES.match(words) is not None and not words[-1].isdigit() and words == words.lower()


def _earlier(claims: Sequence[Claim], old: str) -> Claim | None:
    """The latest claim whose value was `old`, or the latest at all where none is named."""
    for claim in reversed(claims):
        if claim.value and (not old or claim.value.casefold() == old.casefold()):
            return claim
    return None


def _attribute(label: str | None) -> str:
    if label is None:
        return ""
    label = label.strip()
    key = _LABELS.get(label) or KIN.get(label) or label.replace(" ", "_")
    return key if key in ATTRIBUTES or key.startswith("favourite_") else ""


def _value(raw: str | None, old: str) -> str:
    """The value as said; a capital that only opens its sentence goes where `old` has none."""
    if raw is None:
        return ""
    value = clean(raw, "w", opens=False, person=False)
    if old and value and old[0].islower() and value[0].isupper() and not value[1:2].isupper():
        value = value[0].lower() + value[1:]
    return value
