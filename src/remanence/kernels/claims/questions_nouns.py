"""Questions that name the attribute with a noun: "What is my sister's job?", "Is Karl still Ana's boss?"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.ontology import attribute as described
from remanence.kernels.claims.questions_parts import (
    CAPITAL,
    Clause,
    Mode,
    Phrase,
    noun_key,
    person,
    phrase,
    tail,
    value_of,
)
from remanence.kernels.claims.questions_words import SEVERAL, favourite_key

_SURE = 0.95
_FAIR = 0.7
_WEAK = 0.45
_BE = r"(?:is|was|are|were|am)"
_WHOSE = re.compile(
    rf"(?:what|who|which|where|how much|when) (?:exactly )?(?P<be>{_BE}) "
    r"(?:the (?:names?|day|date|time) of )?(?P<np>.{3,160})$"
)
_EMBEDDED = re.compile(rf"(?:what|who|which|where|when) (?P<np>.{{3,120}}?) (?P<be>{_BE})(?: called| named)?$")
_FAVOURITE = re.compile(
    rf"(?:which|what) (?P<noun>[a-z][a-z' -]{{1,40}}?) (?P<be>{_BE}) (?P<n>.{{1,60}}?)"
    r"(?:'s|(?<=s)'|(?<=my)) favourite(?P<tail> .*)?$"
)
_BEST = re.compile(
    r"(?:which|what) (?P<noun>[a-z][a-z' -]{1,40}?) (?:do|does|did) (?P<n>.{1,60}?) (?:like|love|enjoy) "
    r"(?:best|most|the most)(?P<tail> .*)?$"
)
_HAS = re.compile(
    r"(?:which|what) (?P<noun>[a-z][a-z' -]{1,40}?) (?P<aux>do|does|did|has|have) (?P<n>.{1,60}?)"
    r"(?: (?:currently|now))? (?:have|own|has|got|keep)(?P<tail> .*)?$"
)
_HOW_MANY = re.compile(
    r"how many (?:different |other )?(?P<noun>[a-z][a-z' -]{1,40}?) (?P<aux>do|does|did|has|have) (?P<n>.{1,60}?)"
    r"(?: (?:currently|now))? (?:have|own|has|had|got|keep)(?P<tail> .*)?$"
)
_DEALS = re.compile(
    r"(?:where|which destination|what destination) (?P<be>is|was|are) (?P<np>.{3,80}?) (?:going|headed|taking)(?: to)?"
    r"(?P<tail> .*)?$"
)
_AGE = re.compile(
    rf"how (?P<what>old|tall) (?P<be>{_BE}) (?P<n>.{{1,60}}?)(?P<tail> (?:now|on|in|at|these|currently).*)?$"
)
_BORN = re.compile(r"(?:when|(?:on |in )?(?:what|which) (?:day|date|year)) (?:was|were) (?P<n>.{1,60}?) born$")
_DAY = re.compile(
    rf"(?:(?:for|on|at) )?(?:when|(?:which|what) (?:day|date|time|month)) (?:{_BE}|do|does|did|has) (?P<np>.{{3,80}}?)"
    r"(?: (?:been )?(?:set|set for|scheduled|scheduled for|planned|booked|leave|leaves|leaving|due|"
    r"happening|taking place|take place|again|on))?$"
)
_DO = re.compile(r"what (?:do|does) (?P<n>.{1,60}?) do$")
_HAD = re.compile(
    r"how long (?:have|has) (?P<n>.{1,60}?) (?:had|owned|been having) (?:(?:a|an|the|my|his|her|their|our) )?"
    r"(?P<noun>[a-z' -]{2,40})$"
)
_WHO = re.compile(r"who (?:is|are|am|was) (?P<n>.{1,60})$")
_SAID = re.compile(
    r"what (?:(?:did|have|has) (?:i|we) (?:say|said|tell|told|mention|mentioned)(?: (?:you|to you))?"
    r"|do (?:you|we) know|have (?:i|we) (?:said|told you)) about (?P<np>.{2,80})$"
)
_ABOUT = re.compile(r"(?:tell me )?about (?P<np>.{2,80})$")
_STILL_VALUE = re.compile(rf"{_BE} (?P<v>.{{1,80}}?) still (?:one of |among )?(?P<np>.{{3,120}})$")
_VALUE_IS = re.compile(
    rf"{_BE} (?P<v>.{{1,80}}?) (?P<np>(?:my|our|your|his|her|their|[\w-]{{1,30}}'s|[\w-]{{1,30}}s') .{{2,80}})$"
)
_STILL_NOUN = re.compile(
    rf"{_BE} (?P<np>.{{3,80}}?) still (?:called |named |going to |headed to |set for |on )?(?P<v>.{{1,80}})$"
)
_KIDS_SCHOOL = re.compile(
    r"(?:do|does) (?P<n>.{1,60}?)(?:'s|(?<=my)) (?:kids|children) (?:still )?(?:go to|attend) (?P<v>.{2,80})$"
)
_HAVE = re.compile(
    r"(?:do|does) (?P<n>.{1,60}?) (?:still )?(?:have|own|has|got|keep) "
    r"(?:(?:a|an|any|some|the) )?(?P<noun>[a-z' -]{2,40})$"
)
_STATES = {
    "diet": r"vegan|vegetarian|pescatarian|gluten[- ]free|keto",
    "marital_status": r"married|single|engaged|divorced|widowed|in a relationship",
}
_IS = re.compile(
    rf"{_BE} (?P<n>.{{1,60}}?) (?:still |currently |now )?(?:an? )?"
    rf"(?:(?P<diet>{_STATES['diet']})|(?P<marital_status>{_STATES['marital_status']}))$"
)


def noun_questions(clause: Clause, form: str) -> list[Ask]:
    """The readings of a sentence of this form by its nouns."""
    return list(_READERS[form](clause))


def _wh(clause: Clause) -> Iterator[Ask]:
    lower = clause.lower
    for pattern in (_FAVOURITE, _BEST):
        match = pattern.match(lower)
        if match is not None:
            yield from _favourite(clause, match)
            return
    for pattern in (_DEALS, _WHOSE, _EMBEDDED):
        match = pattern.match(lower)
        found = phrase(clause, clause.part(match.span("np"))) if match is not None else None
        if match is not None and found is not None:
            more = match.groupdict().get("tail") or ""
            if not (pattern is _DEALS and found.attribute != "trip"):
                yield from _value(clause, found, f"{found.rest} {more}", past=match["be"] in ("was", "were"))
                return
    match = _HAS.match(lower)
    if match is not None:
        yield from _has(clause, match, count=False)
        return
    match = _DO.match(lower)
    if match is not None:
        who = person(clause, clause.part(match.span("n")))
        if who is not None:
            yield Ask(who.path, "job", "now", (), (), who.trust * _WEAK)
        return
    match = _AGE.match(lower)
    if match is not None:
        yield from _simple(clause, match, "age" if match["what"] == "old" else "height")
        return
    match = _SAID.match(lower) or _ABOUT.match(lower)
    if match is not None:
        yield from _about(clause, clause.part(match.span("np")))
        return
    match = _WHO.match(lower)
    who = person(clause, clause.part(match.span("n"))) if match is not None else None
    if who is not None:
        if who.path == ("user",):
            yield Ask(who.path, "name", "now", (), (), _FAIR)
        elif len(who.path) > 1:
            yield Ask(who.path[:-1], who.path[-1], "now", (), (), who.trust * _SURE)
        else:
            yield Ask(who.path, "", "all", (), (), who.trust * _WEAK)
        return
    match = _DAY.match(lower)
    if match is not None:
        yield from _day(clause, match)


def _when(clause: Clause) -> Iterator[Ask]:
    match = _BORN.match(clause.lower)
    who = person(clause, clause.part(match.span("n"))) if match is not None else None
    if who is not None:
        yield Ask(who.path, "birthday", "now", (), (), who.trust * _SURE)
        return
    match = _DAY.match(clause.lower)
    if match is not None:
        yield from _day(clause, match)


def _day(clause: Clause, match: re.Match[str]) -> Iterator[Ask]:
    found = phrase(clause, clause.part(match.span("np")))
    if found is not None and (described(found.attribute).day or found.attribute == "birthday"):
        yield from _value(clause, found, found.rest, past=False)


def _count(clause: Clause) -> Iterator[Ask]:
    match = _HOW_MANY.match(clause.lower)
    if match is not None:
        yield from _has(clause, match, count=True)


def _yes_no(clause: Clause) -> Iterator[Ask]:
    lower = clause.lower
    match = _KIDS_SCHOOL.match(lower)
    if match is not None:
        who = person(clause, clause.part(match.span("n")))
        if who is not None:
            yield Ask(who.path, "school", "still", (value_of(clause.part(match.span("v"))),), (), who.trust * _SURE)
        return
    match = _IS.match(lower)
    if match is not None:
        who = person(clause, clause.part(match.span("n")))
        if who is not None and match.lastgroup is not None:
            yield Ask(who.path, match.lastgroup, "still", (match[match.lastgroup],), (), who.trust * _FAIR)
        return
    match = _STILL_NOUN.match(lower)
    found = phrase(clause, clause.part(match.span("np"))) if match is not None else None
    if match is not None and found is not None and not found.rest:
        value = value_of(clause.part(match.span("v")))
        yield Ask(found.path, found.attribute, "still", (value,), (), found.trust * _SURE)
        return
    for pattern, sure in ((_STILL_VALUE, _SURE), (_VALUE_IS, _WEAK)):
        match = pattern.match(lower)
        found = phrase(clause, clause.part(match.span("np"))) if match is not None else None
        if match is None or found is None:
            continue
        when = tail(clause, found.rest)
        if when is not None and when.mode == "now":
            value = value_of(clause.part(match.span("v")))
            yield Ask(found.path, found.attribute, "still", (value,), (), found.trust * sure)
        return
    match = _HAVE.match(lower)
    if match is not None:
        key = noun_key(match["noun"])
        who = person(clause, clause.part(match.span("n")))
        if who is not None and key:
            yield Ask(who.path, key, "all" if described(key).many else "now", (), (), who.trust * _FAIR)


def _how_long(clause: Clause) -> Iterator[Ask]:
    match = _HAD.match(clause.lower)
    if match is not None:
        key = noun_key(match["noun"])
        who = person(clause, clause.part(match.span("n")))
        if who is not None and key:
            yield Ask(who.path, key, "how_long", (), (), who.trust * _FAIR)


_READERS = {"wh": _wh, "when": _when, "count": _count, "yes_no": _yes_no, "how_long": _how_long}


def _value(clause: Clause, found: Phrase, rest: str, *, past: bool) -> Iterator[Ask]:
    when = tail(clause, rest)
    if when is None:
        return
    known = described(found.attribute)
    mode: Mode = when.mode
    trust = found.trust * _SURE
    if mode == "now" and found.former:
        mode = "before"
    elif mode == "now" and (found.many or found.attribute in SEVERAL) and known.many:
        mode = "all"
    elif mode == "now" and past and not known.static and not known.dated:
        yield Ask(found.path, found.attribute, "now", (), (), trust * 0.5)
        mode, trust = "before", trust * 0.6
    yield Ask(found.path, found.attribute, mode, when.values, when.spans, trust)


def _favourite(clause: Clause, match: re.Match[str]) -> Iterator[Ask]:
    who = person(clause, clause.part(match.span("n")))
    when = tail(clause, clause.part(match.span("tail")) if match["tail"] else "")
    if who is None or when is None:
        return
    yield Ask(who.path, favourite_key(match["noun"]), when.mode, when.values, when.spans, who.trust * _SURE)


def _has(clause: Clause, match: re.Match[str], *, count: bool) -> Iterator[Ask]:
    key = noun_key(match["noun"])
    who = person(clause, clause.part(match.span("n")))
    more = clause.part(match.span("tail")) if match["tail"] else ""
    when = tail(clause, more)
    if not key or who is None or when is None:
        return
    mode: Mode = when.mode
    if mode == "now" and count:
        mode = "count_ever" if not described(key).many or "so far" in more.lower() else "count"
    elif mode == "now" and (key in SEVERAL or (match["noun"].endswith("s") and described(key).many)):
        mode = "all"
    yield Ask(who.path, key, mode, when.values, when.spans, who.trust * _SURE)


def _simple(clause: Clause, match: re.Match[str], key: str) -> Iterator[Ask]:
    who = person(clause, clause.part(match.span("n")))
    when = tail(clause, clause.part(match.span("tail")) if match["tail"] else "")
    if who is not None and when is not None:
        yield Ask(who.path, key, when.mode, when.values, when.spans, who.trust * _SURE)


def _about(clause: Clause, text: str) -> Iterator[Ask]:
    found = phrase(clause, text)
    if found is not None and not found.rest:
        mode: Mode = "all" if described(found.attribute).many else "now"
        yield Ask(found.path, found.attribute, mode, (), (), found.trust * _FAIR)
        return
    who = person(clause, text)
    if who is not None and who.trust >= CAPITAL:
        yield Ask(who.path, "", "all", (), (), who.trust * _WEAK)
