"""Parts of a question: whom it is about, which noun names an attribute, and what the words at its end mean."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from remanence.kernels import timex
from remanence.kernels.claims.ontology import ATTRIBUTES
from remanence.kernels.claims.questions_words import (
    NO_SUBJECT,
    NOUNS,
    PRONOUNS,
    RELATIONS,
    SELF,
    YOU,
    favourite_key,
    singular,
)

Mode = Literal["now", "then", "before", "still", "all", "count", "count_ever", "when", "how_long"]
Spans = tuple[tuple[datetime, datetime], ...]

CAPITAL = 0.98
LOWER_CASE = 0.35
PRONOUN = 0.5
UNLISTED = 0.4
_LONGEST_NOUN = 6
_POSSESSIVE = re.compile(r"'s |(?<=s)' ")
_OWNED = re.compile(r"(my|our|your|his|her|their|the user's) (.+)", re.IGNORECASE)
_OF = re.compile(r"the ([a-z -]{2,24}?) of (.+)", re.IGNORECASE)
_APPOSITION = re.compile(r"(?:my|our) ([a-z -]{2,24}) ([A-Z][\w-]+)")
_PREFIX = re.compile(
    r"(?:(?P<old>previous|former|old|last|ex|earlier|prior)|current|present|new|newest|latest|own|actual) "
)
_FAVOURITE = re.compile(
    r"(?:all[- ]time |absolute |personal )?favourite (?:(?:kind|type|sort|style|genre)s? of )?([a-z][a-z' -]*?)"
    r"(?= (?:on|in|before|at|during|as|back|now|currently|these|right|last|when|around|of|so|any|anymore|called|named|"
    r"still|to|from|for|about|with|that|who|which)\b|$)"
)
_FILLER = re.compile(
    r"\b(?:now|currently|these days|at the moment|right now|nowadays|today|at present|presently|again|exactly|"
    r"actually|any ?more|please|as well|too|so far|in total|altogether|by the way|for now|at this point|lately|"
    r"in general|usually|normally|for me|of all time|called|named|overall|to date|then|set|scheduled|planned|still)\b"
)
_BEFORE = re.compile(
    r"(?:(?:right|just|immediately) )?before(?: (?:becoming|switching to|changing to|moving (?:in )?to|moving in with|"
    r"joining|starting (?:at|with)|getting|buying|it (?:became|was)|(?:he|she|they|i|we|it) (?:moved to|joined|became|"
    r"switched to|changed to|got|bought|adopted|met|started (?:reading|watching|learning|at)|was|were)))? (?P<v>.+)",
    re.IGNORECASE,
)
_THAT = frozenset({"that", "then", "this", "it"})
_SOMEBODY = ("i ", "he ", "she ", "they ", "we ", "it ", "you ")
_AROUND_TIME = re.compile(
    r"\b(?:back|around|about|sometime|of|the|as|during|in|on|at|by|for|over|within|early|late)\b|[ ,.]+"
)
_ARTICLE = re.compile(r"(?:a|an|the|some|any|my|his|her|their|our) ")
_ENDING = re.compile(
    r"(?: (?:now|currently|these days|at the moment|right now|nowadays|today|at present|any ?more|still|as well|too|"
    r"so far|in the mornings?))+$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence that may ask something. `lower` has the offsets of `text`; `called` is who is addressed by name."""

    text: str
    lower: str
    now: datetime
    people: Collection[str]
    called: str

    def part(self, span: tuple[int, int]) -> str:
        """The characters of a span of a match on `lower`, as written."""
        return self.text[span[0] : span[1]].strip()


class Person(NamedTuple):
    """Whom a question is about and how sure that is."""

    path: tuple[str, ...]
    trust: float


class Phrase(NamedTuple):
    """A noun phrase like "Ana's sister's former job on Monday", taken apart."""

    path: tuple[str, ...]
    attribute: str
    rest: str
    former: bool
    many: bool
    trust: float


class Tail(NamedTuple):
    """What the words at the end of a question say about its time."""

    mode: Mode
    spans: Spans = ()
    values: tuple[str, ...] = ()


def person(clause: Clause, text: str) -> Person | None:
    """Whom "Ana", "my sister" or "Ana's brother's boss" means; None where it names nobody."""
    segments = _segments(text)
    found = _owner(clause, segments[0])
    if found is None:
        return None
    steps = []
    for segment in segments[1:]:
        step = RELATIONS.get(segment.lower())
        if step is None:
            return None
        steps.append(step)
    return Person((*found.path, *steps), found.trust)


def phrase(clause: Clause, text: str) -> Phrase | None:
    """What "Ana's sister's job on Monday" asks for; None where there is no owner or no noun."""
    segments = _segments(text)
    if len(segments) < 2:
        return None
    found = _owner(clause, segments[0])
    if found is None:
        return None
    steps: list[str] = []
    for segment in segments[1:-1]:
        step = RELATIONS.get(segment.lower()) or NOUNS.get(segment.lower())
        if step is None:
            return None
        steps.append(step)
    last = segments[-1]
    noun = _noun(last)
    if noun is None:
        return None
    key, size, former, many, trust = noun
    if key == "name" and steps:  # "my dog's name" asks for the dog, not for its name's bearer
        key = steps.pop()
    if any(not _is_person(step) for step in steps):
        return None
    return Phrase((*found.path, *steps), key, last[size:].strip(), former, many, found.trust * trust)


def noun_key(noun: str) -> str:
    """The attribute that a bare noun like "hobbies" or "kind of phone" names; empty for none."""
    noun = re.sub(r"^(?:(?:kind|type|sort|make|brand)s? of |different |other )", "", noun.lower().strip())
    return NOUNS.get(noun) or RELATIONS.get(noun) or ""


def tail(clause: Clause, text: str) -> Tail | None:
    """What the end of a question says about time: nothing, a time, or "before" a value; None: not understood."""
    text = text.strip(" ,")
    if not text:
        return Tail("now")
    before = _BEFORE.fullmatch(text)
    if before is not None:
        spans = _times(clause, text)
        if spans:
            return Tail("then", spans)
        if before["v"].lower() in _THAT or before["v"].lower().startswith(_SOMEBODY):
            return Tail("before")
        return Tail("before", values=(value_of(before["v"]),))
    if text.lower() in ("before", "previously", "formerly", "originally", "in the past", "earlier"):
        return Tail("before")
    lower = text.lower()
    if not _FILLER.sub("", lower).strip(" ,"):
        return Tail("now")
    spans = _times(clause, text) or (_times(clause, f"in {text}") if text.isdecimal() else ())
    return Tail("then", spans) if spans else None


def split_time(clause: Clause, text: str) -> tuple[str, Spans]:
    """A value and the time that follows it: "Oslo in March 2023"."""
    if not timex.mentions_time(text):
        return text, ()
    found = timex.resolve(text, clause.now)
    if not found or found[-1].end_char < len(text.rstrip()):
        return text, ()
    head = re.sub(
        r" (?:in|on|at|during|as of|back in)$", "", text[: found[-1].begin_char].rstrip(), flags=re.IGNORECASE
    )
    if not head or found[-1].begin_char == 0:
        return text, ()
    return head, ((found[-1].start, found[-1].end),)


def value_of(text: str) -> str:
    """A value as claims have it: without article, quotation marks and words like "now" behind it."""
    text = _ENDING.sub("", text.strip(" ?!.,;:\"'"))
    article = _ARTICLE.match(text)
    return text[article.end() :] if article else text


def _segments(text: str) -> list[str]:
    text = text.replace("kids' school", "kids school").replace("children's school", "kids school")
    of = _OF.fullmatch(text)
    if of is not None and of[1].lower() in RELATIONS:
        return [*_segments(of[2]), of[1]]
    segments = _POSSESSIVE.split(text)
    apposed = _APPOSITION.fullmatch(segments[0])
    if apposed is not None and apposed[1] in RELATIONS:  # "my sister Freya"
        return [apposed[2], *segments[1:]]
    owned = _OWNED.match(segments[0])
    if owned is not None:
        return [owned[1], owned[2], *segments[1:]]
    return segments


def _owner(clause: Clause, text: str) -> Person | None:
    lower = text.lower().strip()
    if lower in YOU:
        return Person((clause.called or "you",), 1.0)
    lower = lower.removesuffix("'s")
    if lower in SELF:
        return Person((SELF[lower],), 1.0)
    if lower in PRONOUNS:
        return Person((PRONOUNS[lower],), PRONOUN)
    words = text.split()
    if not 1 <= len(words) <= 4 or words[-1].endswith("'s") or any(word.lower() in NO_SUBJECT for word in words):
        return None
    if all(
        word[0].isupper() for word in words if word not in ("van", "von", "de", "der", "da", "di", "la", "bin", "al")
    ):
        return Person((text,), CAPITAL) if words[0][0].isupper() else None
    known = next((name for name in clause.people if name.lower() in (lower, lower.title())), None)
    known = known or next((name for name in clause.people if name.lower().partition(" ")[0] == lower), None)
    if known is not None:
        return Person((known,), CAPITAL)
    # Somebody who types no capitals at all still means people by their names.
    if len(words) == 1 and lower.isalpha() and not lower.endswith("s") and clause.text[1:] == clause.lower[1:]:
        return Person((text,), LOWER_CASE)
    return None


def _noun(text: str) -> tuple[str, int, bool, bool, float] | None:
    """The attribute at the beginning of a text: its key, where it ends, whether the former one, whether all of them."""
    lower = text.lower()
    start, former = 0, False
    while prefix := _PREFIX.match(lower, start):
        start = prefix.end()
        former = former or prefix["old"] is not None
    favourite = _FAVOURITE.match(lower, start)
    if favourite is not None:
        thing = favourite[1].strip()
        return favourite_key(thing), favourite.end(), former, singular(thing) != thing, 1.0
    words = lower[start:].split(" ")
    for count in range(min(_LONGEST_NOUN, len(words)), 0, -1):
        noun = " ".join(words[:count])
        key = RELATIONS.get(noun) or NOUNS.get(noun, "")
        if key:
            return key, start + len(noun), former, noun.endswith(("s", "children")), 1.0
    noun = " ".join(words)
    if len(words) <= 3 and not NO_SUBJECT.intersection(words) and re.fullmatch(r"[a-z][a-z -]{2,40}", noun):
        return noun.replace(" ", "_").replace("-", "_"), len(lower), former, False, UNLISTED
    return None


def _is_person(key: str) -> bool:
    return key in ATTRIBUTES and ATTRIBUTES[key].person


def _times(clause: Clause, text: str) -> Spans:
    """The times of a text that consists of nothing else."""
    if not timex.mentions_time(text):
        return ()
    found = timex.resolve(text, clause.now)
    left, at = [], 0
    for span in found:
        left.append(text[at : span.begin_char])
        at = span.end_char
    left.append(text[at:])
    if not found or _AROUND_TIME.sub("", " ".join(left).lower()):
        return ()
    return tuple((span.start, span.end) for span in found)
