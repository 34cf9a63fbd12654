"""Questions about things that happened once: when they did, and how much time lay between two of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.questions_parts import Clause, person, value_of

_SURE = 0.95
_EVENT = 0.7
_ASKED = (
    r"(?:when(?: was it that)?|(?:in |on )?(?:what|which) (?:exact )?(?:day|date|month|year|week)|how long ago|"
    r"how many (?:days|weeks|months|years) ago|(?P<yes>did|has|have|had)) "
)
_HELPED = r"(?:(?:did|does|do|was|is|has|have|had) )?"
_WHO = _HELPED + r"(?P<n>[^?,;:]{1,60}?) (?:(?:last|first|ever|finally|recently|actually) )?"
_THE = r"(?:the |an? |my |his |her |their )?"
_V = r"(?P<v>.{1,80}?)"
_HAPPENINGS: tuple[tuple[str, str, str], ...] = (
    ("concert", rf"(?:go|went|gone|been) to (?:a concert|{_THE}{_V} (?:concert|gig))$",
     rf"{_THE}{_V} (?:concert|gig)$"),
    ("concert", rf"(?:see|saw|seen|watch) {_V} (?:live|in concert|perform live)$", rf"seeing {_V} live$"),
    ("race", rf"(?:run|ran) (?:a (?:half[- ])?marathon|{_THE}{_V} (?:half[- ])?marathon)$",
     rf"{_THE}{_V} (?:half[- ])?marathon$"),
    ("exam", rf"(?:pass|passed) (?:an exam|the exam in (?P<w>.{{1,80}})|{_THE}{_V} exam)$", rf"{_THE}{_V} exam$"),
    ("purchase", rf"(?:(?:buy|bought|purchase|purchased) {_V}|(?:get|got) the (?P<w>.{{1,80}}))$",
     rf"the purchase of {_V}$|buying {_V.replace('<v>', '<w>')}$"),
    ("hike", rf"(?:climb|climbed) {_V}$", rf"(?:the climb of|climbing) {_V}$"),
    ("dinner", rf"(?:cook|cooked) {_V}(?: for (?:guests|dinner|everyone|friends|the (?:whole )?family))?$",
     rf"(?:the dinner with|cooking) {_V}$"),
)  # fmt: skip
_WHEN = tuple((key, re.compile(_ASKED + _WHO + verb)) for key, verb, _ in _HAPPENINGS)
_NOUN = tuple((key, re.compile(noun)) for key, _, noun in _HAPPENINGS)
_ANY = re.compile(_ASKED + r"(?:did |has |have |had |was )(?P<n>[^?,;:]{1,60}?) (?P<v>[a-z]{2,}\b.{2,100})$")
_VAGUE = frozenset({"it", "that", "this", "there", "one", "them", "him", "her"})
_GOING = re.compile(r"^(?:go(?:ing)? (?:to|on|for)|attend|visit|go|take|have|do|make) ")
_BETWEEN = re.compile(
    r"(?:how many|what (?:is|was) the number of) (?:days?|weeks?|months?)"
    r"(?: (?:passed|went by|elapsed|lay|were there|are there|had passed|have passed|is it))?"
    r"(?: for (?P<n>[^?,;:]{1,60}?))? between (?P<both>.{5,200})$"
)


def happened(clause: Clause, trust: float) -> list[Ask]:
    """Readings of "When did Ana climb Etna?" and "Did Ana climb Etna?"; any other verb gives an "event"."""
    found = []
    for key, pattern in _WHEN:
        match = pattern.match(clause.lower)
        if match is None:
            continue
        who = person(clause, clause.part(match.span("n")))
        if who is None:
            continue
        values = _values(clause, match)
        if values and values[0].lower() in _VAGUE:
            continue
        found.append(Ask(who.path, key, "when", values, (), who.trust * min(_SURE, trust + 0.2)))
        break
    match = _ANY.match(clause.lower) if not clause.lower.startswith(("did", "ha")) else None
    if match is not None:
        # The shortest person is the right one: what follows a name in "did Ana …" is the verb.
        who = person(clause, clause.part(match.span("n")))
        if who is not None:
            value = _GOING.sub("", clause.part(match.span("v")))
            found.append(Ask(who.path, "event", "when", (value_of(value),), (), who.trust * _EVENT))
    return found


def lay_between(clause: Clause) -> Iterator[Ask]:
    """The reading of "How many days passed between the climb of Etna and the Oslo half marathon?"."""
    match = _BETWEEN.match(clause.lower)
    if match is None:
        return
    named = clause.part(match.span("n")) if match["n"] else clause.called or "I"
    who = person(clause, named)
    if who is None:
        return
    both = clause.part(match.span("both"))
    lower = both.lower()
    at = lower.find(" and ")
    while at >= 0:
        one, two = _noun(both[:at]), _noun(both[at + 5 :])
        if one and two:
            yield Ask(who.path, "", "how_long", (one, two), (), who.trust * _SURE)
            return
        at = lower.find(" and ", at + 1)


def _noun(text: str) -> str:
    lower = text.lower()
    for key, pattern in _NOUN:
        match = pattern.match(lower)
        if match is not None:
            group = "w" if match.groupdict().get("w") else "v"
            return f"{key}|{value_of(text[match.start(group) : match.end(group)])}"
    return ""


def _values(clause: Clause, match: re.Match[str]) -> tuple[str, ...]:
    for group in ("v", "w"):
        if match.groupdict().get(group):
            return (value_of(clause.part(match.span(group))),)
    return ()
