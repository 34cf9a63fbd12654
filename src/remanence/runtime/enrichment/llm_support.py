"""What of a model's answer the turns bear out: the rest is dropped and counted by reason.

A fact is kept when its turn was among those to be read, its quote stands in that turn, its value in the quote, its
subject is somebody who is spoken of there, and the words are no attempt to instruct the model. Dates that the turn does
not give are left out. What is kept says nothing that is not in the turns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import Any, Final

from remanence.core.clock import parse_time
from remanence.core.errors import InvalidTime
from remanence.kernels.claims.model import Claim
from remanence.kernels.claims.ontology import ATTRIBUTES, FAVOURITE
from remanence.kernels.timex import TimeSpan, resolve
from remanence.kernels.truth import matter, value_key

__all__ = ["CONFIDENCE", "Kept", "Line", "check", "merged", "suspicious"]

CONFIDENCE: Final = 0.7
"""Of a claim that only a model has read; both together are surer than either."""
_FAR_BACK: Final = timedelta(days=366 * 120)
_FAR_AHEAD: Final = timedelta(days=366 * 20)
_FIRST_PERSON: Final = frozenset({"i", "me", "my", "myself", "speaker", "the speaker", "user", "the user"})
_RELATION: Final = re.compile(r"^(?P<whose>.+?)['’]s (?P<who>[\w' -]+)$")
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")
_ARTICLES: Final = frozenset("a an the my our his her their your some".split())
_INJECTION: Final = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override|bypass|stop\ following)\b [^.!?\n]{0,40}
      \b(?:instructions?|prompts?|rules?|guidelines|directives|everything\ (?:above|before)|(?:the|all)\ above)\b
    | \b(?:system|developer)\ (?:prompt|message|instruction)s?\b | <\|?/?(?:im_start|im_end|system|assistant)\|?>
    | \[/?INST\] | ^\s*(?:system|assistant)\s*: | \byou\ are\ now\b | \bnew\ instructions?\b
    | \b(?:add|insert|append|output|return|respond\ with|reply\ with|emit|write)\b [^.!?\n]{0,40}
      \b(?:facts?|json|memor(?:y|ies)|entr(?:y|ies)|the\ list)\b
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One turn as a model was shown it. `asked`: it was to be read; else it stands there as context."""

    id: str
    text: str
    at: datetime
    speaker: str
    asked: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A claim that holds, and the turn before it whose words name the subject, if its own turn does not.

    `place`: the span of the name in that turn; None when it is its speaker's.
    """

    claim: Claim
    named_in: str | None = None
    place: tuple[int, int] | None = None


def check(facts: Sequence[Mapping[str, Any]], lines: Sequence[Line]) -> tuple[dict[str, list[Kept]], dict[str, int]]:
    """Claims by turn (every turn that was asked about is there), and how many facts were dropped for which reason."""
    kept: dict[str, list[Kept]] = {line.id: [] for line in lines if line.asked}
    dropped: dict[str, int] = {}
    for fact in facts:
        number = int(fact["turn"])
        line = lines[number - 1] if 1 <= number <= len(lines) else None
        found = "turn" if line is None or not line.asked else _checked(fact, line, lines[: number - 1])
        if isinstance(found, str):
            dropped[found] = dropped.get(found, 0) + 1
        elif line is not None and found not in kept[line.id]:
            kept[line.id].append(found)
    return kept, dropped


def merged(rules: Sequence[Claim], model: Sequence[Claim]) -> list[Claim]:
    """What a turn claims according to both: nothing that the rules found is lost.

    Where both say the same, or one says more of the same, the rules' reading stands, since its dates are resolved, and
    is believed more. Where they read the same words about a single-valued matter differently, the surer one stands.
    """
    result = list(rules)
    for claim in model:
        place = next((i for i, rule in enumerate(result) if _alike(rule, claim)), None)
        if place is None:
            result.append(claim)
            continue
        rule = result[place]
        if value_key(rule.value) == value_key(claim.value) or _part(rule.value, claim.value):
            surer = 1 - (1 - rule.confidence) * (1 - claim.confidence)
            since = rule.valid_from or claim.valid_from
            result[place] = replace(rule, confidence=round(max(rule.confidence, surer), 4), valid_from=since)
        elif rule.confidence <= claim.confidence:
            result[place] = claim
    return sorted(result, key=lambda claim: (claim.start, claim.end, claim.subject, claim.attribute, claim.value))


def suspicious(text: str) -> int | None:
    """Where a text begins to address the model instead of telling something; None if it does not."""
    found = _INJECTION.search(text)
    return None if found is None else _sentence_start(text, found.start())


def _alike(rule: Claim, claim: Claim) -> bool:
    if matter(rule.subject, rule.attribute) != matter(claim.subject, claim.attribute):
        return False
    same = value_key(rule.value) == value_key(claim.value)
    if rule.polarity != claim.polarity or rule.act != claim.act:
        return same
    many = ATTRIBUTES[rule.attribute].many if rule.attribute in ATTRIBUTES else not rule.attribute.startswith(FAVOURITE)
    overlap = rule.start < claim.end and claim.start < rule.end
    return same or (overlap and (not many or _part(rule.value, claim.value)))


def _part(one: str, other: str) -> bool:
    """Whether the words of one value are among the other's."""
    few, many = sorted((set(value_key(one).split()), set(value_key(other).split())), key=len)
    return bool(few) and few <= many


def _checked(fact: Mapping[str, Any], line: Line, before: Sequence[Line]) -> Kept | str:
    span = _find(fact["quote"], line.text)
    if span is None:
        return "quote"
    start, end = span
    begins = suspicious(line.text)
    if begins is not None and end > begins:
        return "instruction"
    attribute = _attribute(fact["attribute"])
    if not attribute:
        return "attribute"
    quote = line.text[start:end]
    value = _value(fact["value"], quote)
    if value is None or (not value and fact["act"] != "end"):
        return "value"
    old = _value(fact["old"], line.text) if fact["old"] else None
    named = _subject(fact["subject"], line, before)
    if named is None:
        return "subject"
    subject, named_in, place = named
    claim = Claim(
        subject, attribute, value, fact["act"], start, end, fact["polarity"], _date(fact["valid_from"], line), None,
        old or None, CONFIDENCE,
    )  # fmt: skip
    return Kept(claim, named_in, place)


def _find(quote: str, text: str) -> tuple[int, int] | None:
    """Where words stand in a text, whatever their case, spacing and quotation marks."""
    plain, places = _plain(text)
    wanted = _plain(quote)[0].strip(" .,;:!?\"'…")
    if not wanted:
        return None
    for found in re.finditer(re.escape(wanted), plain):
        low, high = found.span()
        if (low == 0 or not (plain[low - 1].isalnum() and wanted[0].isalnum())) and (
            high == len(plain) or not (plain[high].isalnum() and wanted[-1].isalnum())
        ):
            return places[low], places[high - 1] + 1
    return None


def _plain(text: str) -> tuple[str, list[int]]:
    """A text in one spelling, and the place in the text of each of its characters."""
    plain: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for form in unicodedata.normalize("NFKC", char).casefold():
            form = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"}.get(form, form)
            if form.isspace():
                if plain and plain[-1] == " ":
                    continue
                form = " "
            plain.append(form)
            places.append(place)
    return "".join(plain), places


def _value(value: str, quote: str) -> str | None:
    """A value as the quote spells it, without article; its words may be apart from each other. None: not there."""
    words = _WORD.findall(_plain(value)[0])
    while len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    if not words:
        return "" if not value.strip() else None
    if (span := _find(" ".join(words), quote) or _find(value, quote)) is not None:
        found = quote[span[0] : span[1]]
        first = _WORD.match(found)
        rest = found[first.end() :].strip() if first is not None else ""
        return rest if first is not None and rest and first[0].casefold() in _ARTICLES else found
    spoken = [(_plain(match[0])[0], match[0]) for match in _WORD.finditer(quote)]
    kept: list[str] = []
    at = 0
    for word in words:
        while at < len(spoken) and spoken[at][0] != word:
            at += 1
        if at == len(spoken):
            return None
        kept.append(spoken[at][1])
        at += 1
    return " ".join(kept)


def _attribute(key: str) -> str:
    """A key as facts have it, `` for what is none."""
    folded = re.sub(r"[^a-z0-9]+", "_", unicodedata.normalize("NFKD", key).casefold()).strip("_")
    return folded if _KEY.fullmatch(folded) else ""


def _subject(subject: str, line: Line, before: Sequence[Line]) -> tuple[str, str | None, tuple[int, int] | None] | None:
    """Whom a fact is about, and where that is said if not in its own turn; None for somebody nobody speaks of."""
    name = " ".join(subject.split()).strip(".,;:!?\"'")
    if not name or len(name) > 80:
        return None
    folded = name.casefold()
    if folded in _FIRST_PERSON or folded == line.speaker.casefold():
        return (line.speaker, None, None) if line.speaker else None
    if (relation := _RELATION.match(name)) is not None:
        whose = line.speaker if relation["whose"].casefold() in _FIRST_PERSON else relation["whose"]
        if _find(relation["who"], line.text) is None:
            return None
        if whose.casefold() == line.speaker.casefold() or _find(whose, line.text) is not None:
            return f"{whose}'s {relation['who']}", None, None
        return None
    if (span := _find(name, line.text)) is not None:
        return line.text[span[0] : span[1]], None, None
    for other in reversed(before):
        if other.speaker and folded == other.speaker.casefold():
            return other.speaker, other.id, None
        if (span := _find(name, other.text)) is not None:
            return other.text[span[0] : span[1]], other.id, span
    return None


def _date(value: str | None, line: Line) -> datetime | None:
    """A date that the turn's words give; None for one that they do not, or that no life reaches."""
    if not value:
        return None
    try:
        moment = parse_time(value).astimezone(UTC)
    except InvalidTime:
        return None
    if not -_FAR_BACK <= moment - line.at <= _FAR_AHEAD:
        return None
    spans = resolve(line.text, line.at)
    if any(_within(moment, span) for span in spans):
        return moment
    return moment if not spans and str(moment.year) in line.text else None


def _within(moment: datetime, span: TimeSpan) -> bool:
    """Whether a date is one that a time expression means, give or take the day that models differ by at its edges."""
    day = timedelta(days=1)
    if span.start.year == MINYEAR or span.end.year == MAXYEAR:
        # "Since May" is open on one side, and means its other one.
        return min(abs(moment - span.start), abs(moment - span.end)) <= day
    return moment + day >= span.start and moment - day < span.end


def _sentence_start(text: str, at: int) -> int:
    ends = [match.end() for match in re.finditer(r"[.!?\n]\s*", text[:at])]
    return ends[-1] if ends else 0
