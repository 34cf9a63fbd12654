"""The forms of questions about claims. Rules are found by a word that each of them needs, so few are ever tried."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.ontology import attribute as described
from remanence.kernels.claims.questions_nouns import noun_questions
from remanence.kernels.claims.questions_parts import Clause, Mode, person, split_time, tail, value_of
from remanence.kernels.claims.questions_when import happened, lay_between
from remanence.kernels.claims.questions_words import ANYTHING, SEVERAL, VERBS, Verb

Form = Literal["wh", "yes_no", "count", "when", "how_long", "between"]

SURE = 0.95
FAIR = 0.7
LOOSE = 0.4
_AUX = r"(?: (?:do|does|did|is|are|am|was|were|has|have|had|will|would))?(?: not)?"
_WHO = r" (?P<n>[^?,;:]{1,60}?)"
_ADVERBS = (
    r"(?P<adv>(?: (?:currently|now|still|usually|normally|typically|also|mostly|really|first|actually|used to|use to|"
    r"originally|previously|formerly|last|been|ever|mainly|most recently|just|recently|finally|already))*)"
)
_WHEN = r"(?:when(?: was it that)?|since when|how long ago|(?:in |on )?(?:what|which) (?:day|date|month|year|week))"
_REST = r"(?P<tail>(?: .{1,120})?)$"
_VALUE = r" (?P<v>.{1,100})$"
_PLURAL = re.compile(
    r"(?:\w+ )?(?:which|what) (?:\S+ ){0,3}?(?!series\b)\w+[^\Ws]s (?:has|have|did|do|does|is|are|am|was|were) $"
)
_PREPOSITIONS = ("for ", "in ", "into ", "to ", "with ", "on ", "at ", "from ", "about ", "of ", "by ")
_FORMER = re.compile(r"used to|use to|previously|formerly|originally")
_PAST = re.compile(r"\b(?:did|was|were|had)\b")
_WORD = re.compile(r"[a-z][a-z'-]+")
_PREPOSED = re.compile(r"(?:back )?(?:in|on|during|as of|at) [^,?]{2,40}, (?=[a-z])")
_NAMED = re.compile(
    r"^what (?:is|was) the (?:name of the )?(city|town|company|firm|car|phone|instrument|language|book|series|show|"
    r"school|place|university|college) (?:that |which |where )?(?=\S+ (?!of\b))",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"(?P<between>(?:how many|what (?:is|was) the number of) (?:days?|weeks?|months?)\b.{1,40}\bbetween\b)"
    r"|(?P<when>when\b|since when\b|how long ago\b|how many (?:days|weeks|months|years) ago\b|"
    r"(?:in |on )?(?:what|which) (?:day|date|month|year|week)\b(?! of)(?= (?:did|do|does|was|were|have|has|had)\b))"
    r"|(?P<count>(?:(?:in|to|for|at|on|of) )?how many\b)"
    r"|(?P<how_long>(?:for )?how long\b|how much time\b)"
    r"|(?P<yes_no>(?:is|are|am|was|were|do|does|did|has|have|had)\b)|(?P<wh>.)"
)


class Rule(NamedTuple):
    """A form of question about the attribute of a verb."""

    verb: Verb
    pattern: str


def read_clause(clause: Clause) -> list[Ask]:
    """The readings of one sentence, in no order."""
    said = _PREPOSED.match(clause.lower)
    if said is not None:  # "In May, where did I live?"
        clause = _worded(clause, f"{clause.text[said.end() :]} {clause.text[: said.end() - 2]}")
    clause = _worded(clause, _NAMED.sub(r"which \1 ", clause.text))
    opening = _OPENING.match(clause.lower)
    form = opening.lastgroup if opening else None
    if form is None:
        return []
    if form == "between":
        return list(lay_between(clause))
    found = list(_verb_questions(clause, form))
    if not found or max(ask.confidence for ask in found) < FAIR:
        found += noun_questions(clause, form)
    if form == "when" or (form == "yes_no" and clause.lower.startswith(("did", "ha"))):
        found += happened(clause, LOOSE if found else FAIR)
    return found


def _worded(clause: Clause, text: str) -> Clause:
    return clause if text == clause.text else replace(clause, text=text, lower=text.lower())


def _verb_questions(clause: Clause, form: str) -> Iterator[Ask]:
    rules = _rules()[form]
    tried: set[int] = set()
    for word in _WORD.findall(clause.lower):
        for rule in rules.get(word, ()):
            if id(rule) in tried:
                continue
            tried.add(id(rule))
            match = _compiled(rule.pattern).match(clause.lower)
            if match is not None:
                yield from _READERS[form](clause, rule.verb, match)


def _subject(clause: Clause, verb: Verb, match: re.Match[str]) -> tuple[tuple[str, ...], float] | None:
    who = person(clause, clause.part(match.span("n")))
    if who is None:
        return None
    if verb.kin:
        return (who.path[:-1], who.trust) if who.path[-1] == "child" else None
    return who.path, who.trust


def _topic(match: re.Match[str]) -> str:
    topic = match.groupdict().get("topic") or ""
    return re.sub(r"^(?:(?:kind|type|sort|style|genre)s? of |different |other )", "", topic).strip()


def _read_wh(clause: Clause, verb: Verb, match: re.Match[str]) -> Iterator[Ask]:
    subject = _subject(clause, verb, match)
    when = tail(clause, clause.part(match.span("tail")))
    if subject is None or when is None:
        return
    path, trust = subject
    key = verb.key
    known = described(key)
    mode: Mode = when.mode
    values = when.values
    trust *= SURE
    if mode == "now" and _FORMER.search(match["adv"]):
        mode = "before"
    elif mode == "now" and (key in SEVERAL or _PLURAL.match(match[0][: match.start("n")])):
        mode = "all"
    elif mode == "now" and not known.static and _PAST.search(match[0][: match.start("n")]):
        # "Where did Ana live?" may ask for the former value or for the one that was told in the past.
        yield Ask(path, key, "now", (), (), trust * 0.5)
        mode, trust = "before", trust * 0.6
    topic = _topic(match)
    if topic and mode in ("all", "now"):
        mode, values = "all", (topic,)
    yield Ask(path, key, mode, values, when.spans, trust)


def _read_yes_no(clause: Clause, verb: Verb, match: re.Match[str]) -> Iterator[Ask]:
    subject = _subject(clause, verb, match)
    if subject is None:
        return
    path, trust = subject
    said, spans = split_time(clause, clause.part(match.span("v")))
    value = value_of(said)
    if not value or not _plausible(clause, verb, said, match["adv"]):
        return
    if spans and "still" not in match["adv"]:
        yield Ask(path, verb.key, "then", (value,), spans, trust * FAIR)
    elif "still" in match["adv"]:
        yield Ask(path, verb.key, "still", (value_of(clause.part(match.span("v"))),), (), trust * SURE)
    elif "ever" in match["adv"] or match["aux"] in ("did", "has", "have", "had", "was", "were"):
        yield Ask(path, verb.key, "when", (value,), (), trust * (LOOSE if verb.loose else FAIR))
    else:
        yield Ask(path, verb.key, "still", (value,), (), trust * (LOOSE if verb.loose else FAIR))


def _read_count(clause: Clause, verb: Verb, match: re.Match[str]) -> Iterator[Ask]:
    subject = _subject(clause, verb, match)
    when = tail(clause, clause.part(match.span("tail")))
    if subject is None or when is None or when.mode != "now":
        return
    path, trust = subject
    ever = not described(verb.key).many or "so far" in match["tail"] or "ever" in match["adv"]
    yield Ask(path, verb.key, "count_ever" if ever else "count", (), (), trust * SURE)


def _read_when(clause: Clause, verb: Verb, match: re.Match[str]) -> Iterator[Ask]:
    subject = _subject(clause, verb, match)
    if subject is None:
        return
    path, trust = subject
    said = clause.part(match.span("v"))
    value = value_of(said)
    if value and _plausible(clause, verb, said, ""):
        yield Ask(path, verb.key, "when", (value,), (), trust * (LOOSE if verb.loose else SURE))


def _read_how_long(clause: Clause, verb: Verb, match: re.Match[str]) -> Iterator[Ask]:
    subject = _subject(clause, verb, match)
    if subject is None:
        return
    path, trust = subject
    said = clause.part(match.span("v")) if match["v"] else ""
    when = tail(clause, said)
    if when is not None and when.mode == "now":
        yield Ask(path, verb.key, "how_long", (), (), trust * (LOOSE if verb.loose else FAIR))
        return
    value = value_of(said)
    yield Ask(path, verb.key, "how_long", (value,), (), trust * (LOOSE if verb.loose else SURE))


def _plausible(clause: Clause, verb: Verb, said: str, adverbs: str) -> bool:
    """Whether what follows the verb can be a value of its attribute."""
    if said.lower().startswith(_PREPOSITIONS):
        return False
    if not verb.proper or "still" in adverbs or clause.text[1:] == clause.lower[1:]:
        return True
    return any(word[0].isupper() or word[0].isdigit() for word in said.split())


_READERS = {
    "wh": _read_wh,
    "yes_no": _read_yes_no,
    "count": _read_count,
    "when": _read_when,
    "how_long": _read_how_long,
}


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # All at once would hold up the first question of a process; one by one, none of them is noticed.
    return re.compile(pattern)


@functools.cache
def _rules() -> dict[str, dict[str, list[Rule]]]:
    """All rules by form and by a word that the question must hold."""
    found: dict[str, dict[str, list[Rule]]] = {form: {} for form in _READERS}
    for verb in VERBS:
        for form, pattern, needs in _patterns(verb):
            rule = Rule(verb, pattern)
            for word in sorted(set(_WORD.findall(re.sub(r"\(\?[:=!]|\\.", " ", needs)))):
                found[form].setdefault(word, []).append(rule)
    return found


def _patterns(verb: Verb) -> Iterator[tuple[Form, str, str]]:
    forms = f" (?P<form>{verb.forms})"
    after = f"(?: (?:{verb.after}))" if verb.after else ""
    trail = f"(?: (?:{verb.trail}))" + ("" if verb.needs_trail else "?") if verb.trail else ""
    in_front = f"(?:(?:{verb.before_wh}) )?" if verb.before_wh else ""
    optional = f"{after}?" if after else ""
    words = []
    if verb.things:
        words.append(f"(?:which|what) (?:different |other )?(?:{verb.things})")
    if verb.asks:
        words.append(f"(?:{verb.asks})(?: else| exactly)?")
    wh = f"{in_front}(?:{'|'.join(words)})"
    if verb.things == ANYTHING:
        helped = "(?= (?:do|does|did|has|have|is|are|am|was|were) )"
        wh = f"(?:(?:which|what) (?:different |other )?{verb.things}{helped}|what)"
    if words:
        yield "wh", f"{wh}{_AUX}{_WHO}{_ADVERBS}{forms}{optional}{trail}{_REST}", verb.forms
    if verb.things and verb.things != ANYTHING:
        many = f"{in_front}how many (?:different |other |new |distinct )?(?:{verb.things})"
        yield "count", f"{many}{_AUX}{_WHO}{_ADVERBS}{forms}{optional}{_REST}", verb.forms
    if verb.needs_trail:
        return
    aux = "(?P<aux>do|does|did|is|are|am|was|were|has|have|had)(?: not)?"
    yield "yes_no", f"{aux}{_WHO}{_ADVERBS}{forms}{after}{_VALUE}", verb.forms
    begun = "|".join(filter(None, (verb.began, verb.ended)))
    starts = "(?:(?:start|started|stop|stopped|begin|began|quit)(?: to)? )?"
    when = f"{_WHEN}{_AUX}{_WHO}{_ADVERBS}"
    yield "when", f"{when} {starts}(?:{verb.forms}){after}{_VALUE}", verb.forms
    if begun:
        yield "when", f"{when} (?:{begun}){_VALUE}", begun
        yield "yes_no", f"{aux}{_WHO}{_ADVERBS} (?:{begun}){_VALUE}", begun
    long = f"(?:for )?how (?:long|much time){_AUX}{_WHO}{_ADVERBS}{forms}"
    yield "how_long", f"{long}(?:{after} (?P<v>.{{1,100}}))?$", verb.forms
