"""From what people say to claims: who, what, since when, by rules for English.

Turns of other languages match no template and give nothing. The work is linear in the length of a turn.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from remanence.kernels.claims import corrections, elicited
from remanence.kernels.claims.events import doings, main_clause, tells
from remanence.kernels.claims.model import Act, Claim, Utterance
from remanence.kernels.claims.ontology import ATTRIBUTES, attribute
from remanence.kernels.claims.patterns import FIELDS
from remanence.kernels.claims.reading import Reading, Sentence, read
from remanence.kernels.claims.templates import Rule, compile_fields
from remanence.kernels.claims.times import Time, coming, spell
from remanence.kernels.claims.values import clean

_HYPOTHETICAL = re.compile(
    r"\b(?:if|unless|would|could|might|may|should|wish|wishes|wished|almost|nearly|dream|dreams|dreamed|imagine|pretend"
    r"|supposed|thought|think|thinks|guess|insists?|insisted|says?|said|claims?|claimed|asks?|asked|wonders?|wondered"
    r"|wants?|wanted|never|refused?|offered|tried|trying|whether|as\s(?:a\s(?:child|kid|student|teenager|boy|girl))"
    r"|at\s(?:six|seven|eight|nine|ten|twelve|fifteen|sixteen|school)|years\sago|used\sto|hope|hopes|hoping|suppose"
    r"|apparently|supposedly|allegedly|keeps?|how|what\sif|why|whose|when\sI\swas)\b|['’]d\b|n['’]t\b|\bnot\b",
    re.IGNORECASE,
)
_OWN = ("not", "n't", "n’t", "never")
_LIST = re.compile(r"(?:,\s(?:and\s)?|\sand\s)(?P<v>[a-z][\w'’-]*(?:\s[a-z][\w'’-]*){0,2}?)(?=,|\sand\s|\s*$|\s*[.!;])")
_CONFIDENCE: dict[Act, float] = {"state": 0.9, "change": 0.95, "end": 0.95, "correct": 0.95}
_UNSURE = 0.3
_NOBODY_NAMED = 0.1
_REPLY = 0.85
_STRICT = frozenset(
    {"likes", "dislikes", "fears", "eats", "goal", "owns"}
    | {known.key for known in ATTRIBUTES.values() if known.dated and not known.day}
)
"""What is claimed only of people who are known: words that merely look like names are too many in these idioms."""
_NO_ARTICLE = frozenset({"hobby", "exam"})
_WITH_ARTICLE = re.compile(r"(?:an?|my|his|her|our|their|your)\s|the\s(?!exam\b|test\b)", re.IGNORECASE)
_LISTED = frozenset({"allergy", "hobby", "speaks", "instrument", "pet"})


@cache
def _index() -> tuple[tuple[Rule, ...], dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """All rules, and by trigger word the numbers of those for one sentence and of those that run over several."""
    rules = tuple(compile_fields(FIELDS))
    single: dict[str, list[int]] = {}
    wide: dict[str, list[int]] = {}
    for i, rule in enumerate(rules):
        for word in rule.triggers:
            (wide if rule.wide else single).setdefault(word, []).append(i)
    return rules, {word: tuple(ids) for word, ids in single.items()}, {word: tuple(ids) for word, ids in wide.items()}


_FAVOURITES = {"food": "food", "dish": "food", "band": "band", "hobby": "hobby"}


@dataclass(slots=True)
class _Found:
    claim: Claim
    weight: int
    value_span: tuple[int, int]


def extract(utterance: Utterance, before: Sequence[Utterance] = (), people: Collection[str] = ()) -> list[Claim]:
    """The claims of a turn, in order of their spans.

    Args:
        utterance: The turn.
        before: The turns before it, oldest first; four are enough. A question answered here, the person asked about,
            names of relatives and what a correction corrects are looked up there.
        people: Names of those who take part; others are recognised by their capitals.

    A correction of something said longer ago has attribute "": it is about whatever the speaker said to be `old`. So
    is the end of something of an unknown sort ("Bella passed away"), whose `value` is what is gone.
    """
    if not utterance.text.strip():
        return []
    reading = read(utterance, before, people)
    corrected = corrections.find(reading, _claims_before)
    if corrected:
        return corrected
    found: list[_Found] = []
    rules, single, wide = _index()
    for i, sentence in enumerate(reading.sentences):
        candidates: set[int] = set()
        for word in sentence.words:
            candidates.update(single.get(word, ()))
        for ahead in reading.sentences[i : i + 3]:
            for word in ahead.words & wide.keys():
                candidates.update(wide[word])
        if sentence.revoked:
            continue
        for which in sorted(candidates):
            one = _match(reading, rules[which], i, sentence)
            if one is not None:
                found += one
        found += _doings(reading, sentence)
    claims = _settled(found)
    answered = _answer(reading, claims)
    return sorted([*claims, *answered], key=lambda claim: (claim.start, claim.end, claim.attribute))


def _claims_before(reading: Reading) -> list[Claim]:
    """What the same speaker said in the turns before, newest last; a correction may be about it."""
    claims: list[Claim] = []
    for i, turn in enumerate(reading.before):
        if turn.speaker == reading.utterance.speaker:
            claims += extract(turn, reading.before[max(0, i - 1) : i], reading.people)
    return claims


def _match(reading: Reading, rule: Rule, i: int, sentence: Sentence) -> list[_Found] | None:
    if sentence.question and not rule.asks:
        return None
    end = sentence.end
    if rule.wide:
        end = reading.sentences[min(i + 2, len(reading.sentences) - 1)].end
    at = sentence.start
    for _ in range(3):
        match = rule.pattern.search(reading.masked, at, end)
        if match is None:
            return None
        claims = _claims(reading, rule, sentence, match)
        if claims:
            return claims
        at = match.start() + 1
    return None


def _claims(reading: Reading, rule: Rule, sentence: Sentence, match: re.Match[str]) -> list[_Found]:
    groups = match.groupdict()
    start, end = match.span()
    value_at = match.span("v") if groups.get("v") is not None else (end, end)
    if not rule.bold and _hypothetical(reading, rule, sentence, match):
        return []
    if any(low < start and end < high for low, high in reading.quotes):
        return []
    if rule.attribute in ("likes", "dislikes") and _in_side_clause(reading, sentence, start):
        return []
    subject = _subject(reading, rule, match)
    if not subject:
        return []
    key = rule.attribute
    if key in _STRICT and rule.slots and not reading.knows(subject):
        return []
    if groups.get("what"):
        key = _FAVOURITES.get(groups["what"], key + groups["what"].replace(" ", "_"))
    known = ATTRIBUTES.get(key)
    person = known is not None and known.person
    when = _time(reading, sentence.start, start, end, _end_after(reading, sentence, end))
    act: Act = rule.act
    value = ""
    if rule.kind == "d":
        when = _ahead(reading, sentence, start, end)
        if when is None:
            return []
        value, end = _day(rule.attribute, when), max(end, when.stop)
    elif groups.get("v") is not None:
        raw = groups["v"]
        value = clean(raw, rule.kind, opens=_opens(reading.text, value_at[0]), person=person)
        if not value or (person and (value == subject or not reading.may_be(value))):
            return []
        if rule.attribute in _NO_ARTICLE and _WITH_ARTICLE.match(raw):
            return []
        if rule.kind == "p":
            value = reading.without_address(value)
        if rule.kind in "yo" and (at := raw.find(value)) >= 0:
            value_at = value_at[0] + at, value_at[0] + at + len(value)
            end = value_at[1]
    elif act != "end":
        return []
    old = groups.get("old")
    if old is not None:
        opens = _opens(reading.text, match.start("old"))
        old = clean(old, _old_kind(rule), opens=opens, person=person) or None
        if subject == old:
            return []
    dated = known is not None and known.dated
    valid_from, valid_to = (None, None) if rule.kind == "d" else _validity(act, dated, when)
    unnamed = not (rule.slots or reading.topic or rule.bold)
    confidence = _CONFIDENCE[act] - _UNSURE * rule.unsure - _NOBODY_NAMED * unnamed
    claim = Claim(
        subject, key, value, act, start, max(end, value_at[1]), rule.polarity, valid_from, valid_to, old,
        round(confidence, 2),
    )  # fmt: skip
    weight = rule.weight + 2 * (act != "state") + 3 * (old is not None)
    found = [_Found(claim, weight, value_at)]
    if groups.get("kind"):
        kind = clean(groups["kind"], "l", opens=False, person=False) or groups["kind"]
        span = match.span("kind")
        beast = Claim(value, "kind", kind.lower() if kind[0].islower() else kind, "state", start, claim.end,
                      confidence=claim.confidence)  # fmt: skip
        if act != "end":
            found.append(_Found(beast, weight, span))
    if rule.attribute in _LISTED and groups.get("v") is not None and rule.kind in "pwni":
        found += _listed(reading, rule, claim, weight, value_at[1], sentence.end)
    return found


def _doings(reading: Reading, sentence: Sentence) -> list[_Found]:
    """Events and activities of a sentence, for what no template knows."""
    if not tells(sentence):
        return []
    found = []
    for doing in doings(reading, sentence):
        if _doubted(reading, sentence.start, doing.begin) or any(a < doing.start < b for a, b in reading.quotes):
            continue
        when = _time(reading, sentence.start, doing.start, doing.end, sentence.end)
        dates: tuple[datetime | None, datetime | None] = (None, None)
        if doing.attribute == "event" and when is not None:
            dates = _validity("state", True, when)
        claim = Claim(
            doing.who, doing.attribute, doing.value, "state", doing.start, doing.end, True, *dates, None,
            0.6 if when is not None else 0.5,
        )  # fmt: skip
        found.append(_Found(claim, 0, (doing.begin, doing.end)))
    return found


def _doubted(reading: Reading, low: int, high: int) -> bool:
    low = _clause_start(reading.masked, low, high)
    return _HYPOTHETICAL.search(reading.masked, low, high) is not None


_CLAUSE_STARTS = re.compile(r",?\s(?:but|and\snow|so)\s(?:now\s)?|;\s|\s[-–—]+\s|\bnow,?\s(?=I\b)", re.IGNORECASE)


def _clause_start(text: str, low: int, high: int) -> int:
    """Where the clause that holds `high` begins: doubts before "but" do not reach over it."""
    for match in _CLAUSE_STARTS.finditer(text, low, high):
        low = match.end()
    return low


def _listed(reading: Reading, rule: Rule, claim: Claim, weight: int, at: int, end: int) -> list[_Found]:
    """Further items of an enumeration: "nuts, soy and milk". Only where it is closed by "and"."""
    items: list[tuple[str, int, int]] = []
    last = ""
    while match := _LIST.match(reading.masked, at, end):
        last = match[0]
        items.append((match["v"], match.start("v"), match.end("v")))
        at = match.end()
    if not items or "and" not in last.split(items[-1][0])[0]:
        return []
    found = []
    for raw, low, high in items:
        value = clean(raw, "p", opens=False, person=False)
        if not value or _NOT_ITEMS.match(value):
            return []
        found.append(_Found(_copy(claim, value, high), weight, (low, high)))
    return found


_NOT_ITEMS = re.compile(
    r"(?:it|they|he|she|we|i|you|that|this|so|is|am|are|have|has|had|was|can|could|will|my)\b", re.IGNORECASE
)


def _copy(claim: Claim, value: str, end: int) -> Claim:
    return Claim(
        claim.subject, claim.attribute, value, claim.act, claim.start, max(end, claim.end), claim.polarity,
        claim.valid_from, claim.valid_to, None, claim.confidence,
    )  # fmt: skip


_SUPPORT = re.compile(
    r"\b(?:because|cause|since|that|know|think|as|though|although|while|now|guess|still)\s$", re.IGNORECASE
)


def _in_side_clause(reading: Reading, sentence: Sentence, start: int) -> bool:
    """Whether "I love" stands in a relative clause ("the things I love")."""
    before = reading.masked[sentence.start : start]
    return not (main_clause(before) or _SUPPORT.search(before[-20:]))


def _old_kind(rule: Rule) -> str:
    return "p" if rule.kind == "j" else rule.kind


def _opens(text: str, at: int) -> bool:
    """Whether a sentence begins at `at`, so that a capital there means nothing."""
    before = text[max(0, at - 3) : at].rstrip()
    return not before or before[-1] in ".!?:\n"


def _hypothetical(reading: Reading, rule: Rule, sentence: Sentence, match: re.Match[str]) -> bool:
    """Whether words before or in the match say that it is not so: "if", "would", "nearly", "my mother thinks"."""
    text = reading.masked
    start, end = match.span()
    low = _clause_start(text, min(sentence.start, start), start)
    own = [match.span(name) for name in ("v", "old") if name in match.re.groupindex and match[name] is not None]
    for doubt in _HYPOTHETICAL.finditer(text, low, end):
        if any(a <= doubt.start() < b for a, b in own):
            continue
        if doubt.start() >= start and (doubt[0].lower() in rule.template.lower() or doubt[0] in _OWN):
            continue  # the template's own
        return True
    return False


def _subject(reading: Reading, rule: Rule, match: re.Match[str]) -> str:
    """Whom the match is about: of its subject slots, one that names somebody before one that is a pronoun."""
    if not rule.slots:
        return reading.topic or reading.speaker
    first = ""
    for i in range(len(rule.slots)):
        slot = match[f"s{i}"]
        if slot is None:
            continue
        if rule.slots[i] == "I" and slot.lower() in ("my", "our", "me", "us", "her", "him", "them"):
            return ""
        name = reading.whose(slot, match.start(f"s{i}"), acts=rule.slots[i] == "I")
        if not name:
            return ""
        if slot[0].isupper() and slot not in ("I", "We", "He", "She", "They", "My", "Our", "Her", "His", "Their"):
            return name
        first = first or name
    return first or reading.topic or reading.speaker


def _end_after(reading: Reading, sentence: Sentence, end: int) -> int:
    """The end of the sentence in which a match that began in `sentence` ends."""
    if end <= sentence.end:
        return sentence.end
    return next((one.end for one in reading.sentences if one.start < end <= one.end), end)


def _time(reading: Reading, low: int, start: int, end: int, high: int) -> Time | None:
    """The time expression that dates a match: inside it, else after it before `high`, else before it from `low` on."""
    real = [time for time in reading.times if time.kind not in ("present", "recent")]
    for begin, stop in ((start, end), (end, high), (low, start)):
        for time in real:
            if begin <= time.begin < stop:
                return time
    return None


def _ahead(reading: Reading, sentence: Sentence, start: int, end: int) -> Time | None:
    """A day to come named in or after the match."""
    for time in reading.times:
        if start <= time.begin < max(end, sentence.end) and time.stop <= max(end, sentence.end):
            moved = coming(time, reading.utterance.at)
            if moved.end - moved.start <= timedelta(days=1) and moved.kind not in ("present", "recent"):
                return moved
    return None


def _day(key: str, when: Time) -> str:
    """The value of a claim that is a day; a birthday comes every year."""
    return spell(when.start) if key != "birthday" or not when.recurs else spell(when.start).rpartition(" ")[0]


def _validity(act: Act, dated: bool, when: Time | None) -> tuple[datetime | None, datetime | None]:
    """`valid_from` and `valid_to` of a claim with that time expression."""
    if when is None or act == "correct":
        return None, None
    start = when.start if when.start.year > 1 else None
    end = when.end if when.end.year < 9999 else None
    if dated:
        return start, start + timedelta(days=1) if start and when.kind == "since" else end
    if when.kind in ("until", "before"):
        return None, end
    if act == "end":
        return None, start
    if act == "change" or when.kind in ("since", "from", "after"):
        return start, None
    return None, None


def _settled(found: Sequence[_Found]) -> list[Claim]:
    """One reading of each statement: heavier templates win where two speak of the same attribute or words."""
    open_ends = [one for one in found if (one.claim.act, one.claim.value) == ("end", "")]
    over = {id(end) for end in open_ends if any(_succeeds(other.claim, end.claim) for other in found)}
    found = [one for one in found if id(one) not in over]
    order = sorted(range(len(found)), key=lambda i: (-found[i].weight, i))
    kept: list[_Found] = []
    for i in order:
        one = found[i]
        if not any(_clash(one, other) for other in kept):
            kept.append(one)
    return [one.claim for one in kept]


def _succeeds(later: Claim, over: Claim) -> bool:
    """Whether a claim says what there is instead of what another one ends without a name: "I quit, I'm a nurse now"."""
    return (
        later.act in ("state", "change")
        and later.polarity
        and (later.subject, later.attribute) == (over.subject, over.attribute)
        and later.start >= over.end
        and not attribute(over.attribute).many
    )


def _clash(one: _Found, other: _Found) -> bool:
    a, b = one.claim, other.claim
    if "event" in (a.attribute, b.attribute) or "activity" in (a.attribute, b.attribute):
        return a.start < b.end and b.start < a.end
    same_words = one.value_span[0] < other.value_span[1] and other.value_span[0] < one.value_span[1]
    if same_words:
        return True
    if a.value and a.value == b.old:
        return True
    if a.subject == b.subject and a.attribute == b.attribute:
        return not attribute(a.attribute).many or a.value == b.value or a.value == b.old
    return False


def _answer(reading: Reading, claims: Sequence[Claim]) -> list[Claim]:
    """The claim of a short reply to a question of the turn before."""
    if not reading.before or len(reading.text) > 160:
        return []
    question = reading.before[-1]
    if question.speaker == reading.utterance.speaker:
        return []
    want = elicited.asked(question.text)
    if want is None or any(claim.attribute == want.attribute for claim in claims):
        return []
    person = attribute(want.attribute).person
    got = elicited.reply(reading.text, reading.masked, want, person=person)
    if got is None:
        return []
    value, start, end = got
    return [Claim(reading.speaker, want.attribute, value, "state", start, end, confidence=_REPLY)]
