"""Questions put to the other speaker and replies that make no sense without them.

"What is the name of your coach, Goran?" / "Easy one: Birgit."
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from remanence.kernels.claims.values import clean
from remanence.kernels.claims.words import KIN

_KIN = "|".join(sorted(map(re.escape, KIN), key=len, reverse=True))
_WH = r"(?:what|which|what['’]s|where|who|who['’]s|how)\b"
_ASKS: tuple[tuple[str, str, str], ...] = (
    ("home_city", "n", r"(?:which|what) (?:city|town|place) (?:do|are) you (?:live|living)"),
    ("home_city", "n", r"where (?:do you live|are you (?:living|based))"),
    ("hometown", "n", r"(?:which|what) (?:town|city|place|country) were you born"),
    ("hometown", "n", r"where (?:were you born|are you from|did you grow up|do you come from)"),
    ("job", "j", r"what do you do (?:for a living|for work)|what(?:['’]s| is) your (?:job|profession|occupation)"),
    ("employer", "n", r"(?:which|what) company (?:do|are) you (?:work|working)|who do you work for|where do you work"),
    ("employer", "n", r"(?:who|what) is your employer"),
    ("car", "n", r"(?:which|what)(?: kind of)? car do you (?:drive|have|own)"),
    ("commute", "p", r"how do you (?:get|go|commute) to (?:work|the office)"),
    ("rent", "q", r"how much (?:rent do you pay|is your rent)|what(?:['’]s| is) your rent"),
    ("school", "n", r"(?:which|what) school do (?:your|the) (?:kids|children)"),
    ("phone", "n", r"(?:which|what) phone do you (?:use|have)"),
    ("pet", "n", r"what(?:['’]s| is) (?:the name of your|your) (?:pet|dog|cat)(?:['’]s name)?(?: called)?"),
    ("run_time", "q", r"(?:what(?:['’]s| is)) your best time over ten"),
    ("injury", "p", r"(?:which|what) injury (?:are you dealing|do you have)"),
    ("trip", "n", r"where is your next (?:trip|holiday|vacation)|(?:which|what) destination did you pick"),
    ("volunteer", "p", r"where do you volunteer"),
    ("food", "p", r"(?:what(?:['’]s| is)|which) your (?:favourite|favorite) (?:food|dish)"),
    ("food", "p", r"(?:which|what) (?:dish|food) do you like best"),
    ("drink", "p", r"what do you drink in the morning|what(?:['’]s| is) your morning drink"),
    ("instrument", "p", r"(?:which|what) instrument (?:do|are) you (?:play|playing|learn)"),
    ("language", "n", r"(?:which|what) language are you learning"),
    ("book", "t", r"(?:which|what) book are you reading|what are you reading"),
    ("series", "t", r"(?:which|what) (?:series|show) are you watching|what are you watching"),
    ("band", "t", r"(?:which|what) band is your (?:favourite|favorite)"),
    ("band", "t", r"what(?:['’]s| is) your (?:favourite|favorite) band"),
    ("allergy", "p", r"(?:what are you|are you) allergic to"),
    ("hobby", "p", r"(?:which|what) hobbies do you have|what are your hobbies|what(?:['’]s| is) your hobby"),
    ("age", "q", r"how old are you"),
    ("name", "n", r"what(?:['’]s| is) your (?:full )?name\b"),
)
_PATTERNS = tuple((key, kind, re.compile(rf"\b(?:{pattern})", re.IGNORECASE)) for key, kind, pattern in _ASKS)
_RELATIVE = re.compile(
    rf"\b(?:what(?:['’]s| is) (?:the name of your|your) (?P<a>{_KIN})(?:['’]s name)?(?: called)?|who(?:['’]s| is) your "
    rf"(?P<b>{_KIN}))\b",
    re.IGNORECASE,
)
_FAVOURITE = re.compile(r"\b(?:what(?:['’]s| is)|which is) your favou?rite (?P<what>[a-z]+(?: [a-z]+)?)", re.IGNORECASE)
_CUE = re.compile(r"\b(?:your?|the\s(?:kids|children))\b", re.IGNORECASE)
_FIELDS = frozenset({"food", "dish", "band"})
_LEAD = re.compile(
    r"^(?:(?:easy one|hm+|well|oh|ah|um|uh|right|so|okay|ok|yes|yeah|sure|haha|ha|let me think|honestly|actually)"
    r"[,:.!…]*\s+|(?:that (?:would be|is|was)|that['’]s|it['’]s|it is|its|they['’]re|definitely|probably|mostly"
    r"|mainly|currently|i['’]d say|i would say|just|at the moment|right now)[,:]?\s+){1,4}",
    re.IGNORECASE,
)
_PIECE = re.compile(r"(?P<v>[^.,;:!?…\n]{1,60}|\d+:\d\d)(?=[.,;:!?…]|\s*$)")
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_TIME = re.compile(r"\d+:\d\d")
_VERBS = re.compile(
    r"\b(?:i|you|he|she|we|they|is|are|was|were|am|do|does|did|have|has|had|will|would|can|could|let|hold|tell|ask"
    r"|know|think|guess|later|never|not|no|why|what|who|how|when|that|this|somebody|someone|me|i['’]ll|i['’]m|it)\b"
    r"|['’](?:ll|ve|re|m)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question wants to know of the one spoken to."""

    attribute: str
    kind: str


def asked(text: str) -> Asked | None:
    """What the last question of `text` asks of its addressee ("you", "your"); None where it asks nothing known."""
    if "?" not in text or len(text) > 400 or not _CUE.search(text):
        return None
    if match := _RELATIVE.search(text):
        return Asked(KIN[(match["a"] or match["b"]).lower()], "n")
    for key, kind, pattern in _PATTERNS:
        if pattern.search(text):
            return Asked(key, kind)
    if match := _FAVOURITE.search(text):
        what = match["what"].lower().removesuffix(" called").split(" of ")[0].strip()
        if what.split()[0] not in _FIELDS:
            return Asked("favourite_" + what.replace(" ", "_"), "p")
    return None


def reply(text: str, masked: str, want: Asked, *, person: bool) -> tuple[str, int, int] | None:
    """The value that a short reply gives and its span; None for evasions and whole sentences."""
    lead = _LEAD.match(text)
    begin = lead.end() if lead else 0
    if want.kind == "q":
        clock = _TIME.match(text, begin)
        if clock:
            return clock[0], clock.start(), clock.end()
    piece = _PIECE.match(text, begin)
    if piece is None:
        return None
    raw = piece["v"].rstrip()
    end = begin + len(raw)
    if "\x01" in masked[begin:end] and want.kind not in "tnq":
        return None
    bare = raw if want.kind == "t" else _ARTICLE.sub("", raw)
    verb = _VERBS.search(bare)
    if verb is not None and (want.kind != "t" or verb[0] == bare):
        return None
    if len(raw.split()) > 7 or (want.kind == "t" and not _titled(bare)):
        return None
    if want.kind == "n" and not (bare[:1].isupper() or bare[:2] == "iP"):
        return None
    if want.kind == "n" and sum(word[0].islower() for word in bare.split()) > 1:
        return None
    kind = "p" if want.kind == "j" else want.kind
    if kind == "q" and not any(char.isdigit() for char in raw):
        return None
    value = clean(bare, kind, opens=begin == 0 or lead is not None or raw is not bare, person=person)
    return (value, begin, end) if value else None


def _titled(text: str) -> bool:
    words = text.split()
    return words[0][0].isupper() and words[-1][0].isupper() and 2 * sum(w[0].isupper() for w in words) > len(words) - 1
