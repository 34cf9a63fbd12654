"""What is known about the matter of a question: the turns that answer it, and those that no longer hold.

A `Ledger` holds the facts of one scope, found by subject and attribute; `answer` follows the path of an `Ask` through
it and picks the facts that its mode wants. Nothing here reads text or a clock, and equal ledgers give equal verdicts
whatever the order in which they were filled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from remanence.kernels.claims.known import NOTHING_KNOWN, Known, Verdict
from remanence.kernels.claims.model import Ask
from remanence.kernels.claims.ontology import ATTRIBUTES
from remanence.kernels.claims.ontology import attribute as described
from remanence.kernels.claims.questions_words import RELATIONS, canonical
from remanence.kernels.names import name_key

__all__ = ["NOTHING_KNOWN", "Known", "Ledger", "Verdict", "alike", "answer"]

NEVER_TRUE = "retracted"
OLDER = 0.9
"""What each older statement of a fact weighs of the next newer one."""
BESIDES = 0.7
"""What further facts that hold beside the newest one weigh of it, where one was asked for."""
HOP = 0.3
"""What the turns weigh that only lead to the person asked about."""
CONTEXT = 0.6
"""What the turns weigh that set the scene of an answer: the successor in "before it", the current value in "no"."""
GUESS = 0.4
"""How far what is first known of a matter is trusted for the time before it was said."""
PRONOUN = 0.6
"""How far the only person known with an attribute is trusted to be the "she" of a question."""
MANY = 64
"""At most so many facts answer one question."""
_OPPOSITES = {"likes": "dislikes", "dislikes": "likes"}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_SELF = ("user", "i", "me", "myself")
_PRONOUNS = frozenset({"he", "she", "they", "him", "her", "them", "it"})
_ARTICLES = frozenset({"a", "an", "the", "my", "his", "her", "their", "our", "your", "some"})


class Ledger:
    """Facts by subject and attribute. Names match without case and accents; a first name matches a full name that no
    other subject shares. `me` are the names that "I" stands for: facts on them and on "user" are the same subject's.
    """

    def __init__(self, known: Iterable[Known] = (), me: Collection[str] = ()) -> None:
        self._me = frozenset((*_SELF, *(name_key(name) for name in me)))
        self._facts: dict[str, Known] = {}
        self._of: dict[str, dict[str, dict[str, Known]]] = {}
        self._by_first: dict[str, set[str]] = {}
        self._people: tuple[str, ...] | None = None
        for fact in known:
            self.put(fact)

    def __len__(self) -> int:
        return len(self._facts)

    def put(self, fact: Known) -> None:
        """Add a fact, or replace the one of the same id."""
        self.drop(fact.id)
        key = self._key(fact.subject)
        self._facts[fact.id] = fact
        self._of.setdefault(key, {}).setdefault(canonical(fact.attribute), {})[fact.id] = fact
        self._people = None
        first, _, rest = key.partition(" ")
        if rest not in RELATIONS:
            self._by_first.setdefault(first, set()).add(key)

    def drop(self, fact_id: str) -> None:
        """Forget a fact; one that is not there is no error."""
        fact = self._facts.pop(fact_id, None)
        if fact is None:
            return
        self._people = None
        key = self._key(fact.subject)
        attributes = self._of[key]
        alike = attributes[canonical(fact.attribute)]
        del alike[fact_id]
        if not alike:
            del attributes[canonical(fact.attribute)]
        if not attributes:
            del self._of[key]
            first = key.partition(" ")[0]
            namesakes = self._by_first.get(first, set())
            namesakes.discard(key)
            if not namesakes:
                self._by_first.pop(first, None)

    @property
    def people(self) -> tuple[str, ...]:
        """The subjects as written, sorted; what `read_question` takes as names."""
        if self._people is None:
            shown: dict[str, str] = {}
            for fact in self._facts.values():
                key = self._key(fact.subject)
                shown[key] = min(shown.get(key, fact.subject), fact.subject)
            self._people = tuple(sorted(shown.values()))
        return self._people

    def subject(self, name: str, attribute: str = "") -> tuple[str, float]:
        """The subject that a name or pronoun stands for and how sure that is; ("", 0) for nobody known."""
        key = self._key(name)
        if key in self._of:
            return key, 1.0
        if key in _PRONOUNS:
            fitting = [other for other, facts in self._of.items() if other != "user" and canonical(attribute) in facts]
            return (fitting[0], PRONOUN) if len(fitting) == 1 else ("", 0.0)
        first, _, rest = key.partition(" ")
        if rest in RELATIONS:
            return "", 0.0
        alike = [other for other in self._by_first.get(first, ()) if not rest or " " not in other]
        return (alike[0], 0.9) if len(alike) == 1 else ("", 0.0)

    def facts(self, subject: str, attribute: str = "") -> list[Known]:
        """The facts of a subject (a key from `subject`) on one attribute, or on all, in order of time."""
        attributes = self._of.get(subject, {})
        if attribute:
            return sorted(attributes.get(canonical(attribute), {}).values(), key=_when)
        return sorted((fact for facts in attributes.values() for fact in facts.values()), key=_when)

    def naming(self, name: str) -> list[Known]:
        """The facts whose value is that name: what somebody is to others. Looks at all facts."""
        wanted = name_key(name)
        return sorted((fact for fact in self._facts.values() if name_key(fact.value) == wanted), key=_when)

    def _key(self, name: str) -> str:
        key = name_key(name)
        if key in self._me:
            return "user"
        owner, _, rest = key.partition(" ")
        if rest:  # "my wife", "Ana's wife": nobody's name, but what they are to somebody
            relation = RELATIONS.get(rest)
            if owner in ("my", "our") or (relation and owner in self._me):
                return f"user {relation or rest}"
            return f"{owner} {relation}" if relation else key
        return "assistant" if key == "you" else key


def answer(
    asks: Sequence[Ask], known: Sequence[Known] | Ledger, now: datetime, as_of: datetime | None = None
) -> Verdict:
    """What is known on the first of the readings that something is known on.

    Args:
        asks: Readings of the question, best first.
        known: The facts, as a ledger or as they come (then "user" means only the subject "user").
        now: When it is asked; aware UTC.
        as_of: The moment whose truth is wanted instead; what became true later then counts as unknown.
    """
    if not asks:
        return NOTHING_KNOWN
    ledger = known if isinstance(known, Ledger) else Ledger(known)
    understood = max(
        (ask.confidence for ask in asks if ask.attribute in ATTRIBUTES and ask.attribute != "event"), default=0.0
    )
    left_behind: Verdict | None = None
    for ask in asks:
        verdict = _Reply(ledger, ask, as_of or now, past=as_of is not None).verdict(understood)
        if verdict.answers:
            return verdict
        if verdict.outdated and left_behind is None:
            left_behind = verdict
    return left_behind or Verdict(understood=understood)


class _Reply:
    """One reading, answered."""

    def __init__(self, ledger: Ledger, ask: Ask, moment: datetime, *, past: bool) -> None:
        self.ledger = ledger
        self.ask = ask
        self.moment = moment
        self.past = past
        self.weights: dict[str, float] = {}
        self.stale: dict[str, float] = {}
        self.path: list[str] = []
        self.value = ""
        self.trust = ask.confidence

    def verdict(self, understood: float) -> Verdict:
        subject, hops = self._walk()
        if subject:
            facts = self._facts(subject)
            if self.past:
                facts = [fact for fact in facts if fact.valid_from <= self.moment]
            self._fill(facts)
        if not self.weights and not self.ask.attribute and len(self.ask.path) == 1:
            self._introduce(self.ask.path[0])
        if not self.weights and not self.stale:
            return NOTHING_KNOWN
        sure = max(self.weights.values(), default=0.0)
        if self.weights:
            for fact in hops:
                self._add(fact, HOP * sure, stale=False)
            self.path[:0] = [fact.id for fact in hops]
        outdated = {turn: weight for turn, weight in self.stale.items() if turn not in self.weights}
        return Verdict(
            _ranked(self.weights), _ranked(outdated), tuple(dict.fromkeys(self.path)), self.value, sure, understood
        )

    # Whom it is about

    def _walk(self) -> tuple[str, list[Known]]:
        """The subject at the end of the path, and the facts that led there."""
        first, *steps = self.ask.path
        subject, trust = self.ledger.subject(first, steps[0] if steps else self.ask.attribute)
        self.trust *= trust
        hops: list[Known] = []
        name = first
        for i, step in enumerate(steps):
            name = f"{name} {step}"
            facts = _true(self.ledger.facts(subject, step)) if subject else []
            moment = self.moment
            if self.ask.mode == "then" and self.ask.spans:
                moment = min(moment, _middle(self.ask.spans[0]))
            here = _holding(facts, moment) or _holding(facts, self.moment)
            if here:
                hops.append(here[0])
                for fact in facts:
                    if fact not in here:
                        self._add(fact, HOP * self.trust, stale=True)
                self.trust *= here[0].confidence
                wanted = self.ask.attribute if i + 1 == len(steps) else steps[i + 1]
                next_subject, trust = self.ledger.subject(here[0].value, wanted)
                if next_subject:
                    self.trust *= trust
                    subject = next_subject
                    continue
            # People without a name are known by what they are to somebody: "Ana's brother".
            subject, trust = self.ledger.subject(name)
            if not subject:
                return "", []
            self.trust *= trust
        return subject, hops

    def _introduce(self, name: str) -> None:
        """What somebody is to others, for a question about a person of whom nothing else is known."""
        self.trust = self.ask.confidence
        for fact in _true(self.ledger.naming(name)):
            self._answer(fact, CONTEXT)

    # What is asked of them

    def _facts(self, subject: str) -> list[Known]:
        facts = self.ledger.facts(subject, self.ask.attribute)
        opposite = _OPPOSITES.get(self.ask.attribute) if self.ask.mode == "still" else None
        if opposite:  # to hate something is an answer to whether one likes it
            facts += [replace(fact, polarity=not fact.polarity) for fact in self.ledger.facts(subject, opposite)]
            facts.sort(key=_when)
        return facts

    def _fill(self, facts: list[Known]) -> None:
        true = _true(facts)
        mode = self.ask.mode
        if mode == "then":
            self._then(true)
        elif mode == "before":
            self._before(true)
        elif mode == "still":
            self._still(facts)
        elif mode == "when" or (mode == "how_long" and not any("|" in value for value in self.ask.values)):
            self._when(true)
        elif mode == "how_long":
            self._between(true)
        elif mode == "count_ever":
            self._all([fact for fact in reversed(true) if fact.polarity])
        else:
            self._now(true, every=mode in ("all", "count"))
        if self.weights:
            for fact in facts:
                if fact.id not in self.path:
                    self._add(fact, self.trust, stale=True)

    def _now(self, true: list[Known], *, every: bool) -> None:
        here = _holding(true, self.moment)
        positive = [fact for fact in here if fact.polarity]
        if every and described(self.ask.attribute).many:
            self._all(positive)
        elif every:  # "Which books has she read?": one at a time, so those of before are asked for as well
            self._all([fact for fact in reversed(true) if fact.polarity])
        elif positive:
            self._answer(positive[0])
            self.value = positive[0].value
            # Which of several that hold is meant cannot be known; only a successor closes its predecessor.
            for fact in positive[1:MANY]:
                self._answer(fact, BESIDES)
        if not self.weights:
            self._over(true, here)

    def _over(self, true: list[Known], here: list[Known]) -> None:
        """Nothing holds any more: the words that say so."""
        for fact in here:
            self._answer(fact, CONTEXT)
        ended = [fact for fact in reversed(true) if fact.status == "ended" and fact.id not in self.path]
        for fact in ended[:1]:
            self._end(fact)
        if self.weights:
            self.value = "none"
            return
        lasted = [fact for fact in reversed(true) if fact.status == "held" and fact.polarity]
        for fact in lasted[:1]:  # a day that has gone by is no less the day of the appointment
            self._answer(fact, BESIDES)
            self.value = fact.value

    def _all(self, facts: list[Known]) -> None:
        chosen = facts
        if self.ask.values:  # "Which music do I like?": those that name the topic first, the others less surely
            topic = _words(self.ask.values[0])
            chosen = [fact for fact in facts if topic & _words(fact.value)]
            if not chosen:
                self.trust *= GUESS
                chosen = facts
        others = [fact for fact in facts if fact not in chosen]
        for i, fact in enumerate(chosen[:MANY]):
            self._answer(fact, OLDER ** min(i, 6))
        for fact in others[: MANY - len(chosen)]:
            self._answer(fact, GUESS * OLDER**6)
        values = {_words(fact.value): fact.value for fact in reversed(chosen)}
        if self.ask.mode in ("count", "count_ever"):
            self.value = str(len(values))
        else:
            self.value = ", ".join(sorted(values.values()))

    def _then(self, true: list[Known]) -> None:
        if not self.ask.spans:
            self._now(true, every=False)
            return
        start, end = self.ask.spans[0]
        if start.year <= 1:
            start = end - timedelta(microseconds=1)
        elif end.year >= 9999:
            end = max(start + timedelta(microseconds=1), self.moment)
        lasting = [(_overlap(fact, start, end), fact) for fact in true]
        found = sorted((pair for pair in lasting if pair[0] > timedelta()), key=lambda pair: (pair[0], _when(pair[1])))
        positive = [fact for _, fact in reversed(found) if fact.polarity]
        if positive:
            self.value = positive[0].value
            self._answer(positive[0])
            for fact in positive[1:MANY]:
                self._answer(fact, BESIDES)
        elif true and true[0].valid_from >= end and true[0].polarity:
            self.value = true[0].value
            self._answer(true[0], GUESS)

    def _before(self, true: list[Known]) -> None:
        told = [fact for fact in true if fact.polarity]
        if self.ask.values:
            later = self._best(list(reversed(told)), self.ask.values[0])
        else:
            here = _holding(told, self.moment)
            later = here[0] if here else None
            if later is None and told:
                self._answer(told[-1])
                self.value = told[-1].value
                return
        if later is None:
            return
        former = [fact for fact in told if _when(fact) < _when(later) and _words(fact.value) != _words(later.value)]
        if former:
            self._answer(former[-1])
            self._answer(later, CONTEXT)
            self.value = former[-1].value

    def _still(self, facts: list[Known]) -> None:
        if not self.ask.values:
            self._now(_true(facts), every=False)
            return
        wanted = self.ask.values[0]
        here = _holding(_true(facts), self.moment)
        over = self._best([fact for fact in reversed(facts) if fact not in here and fact.polarity], wanted)
        found = self._best(here, wanted)
        # What has ended is meant where its words are met better: "cats" that are over by "cats with long hair".
        if found is not None and (over is None or alike(wanted, found.value) >= alike(wanted, over.value)):
            self._answer(found)
            self.value = "yes" if found.polarity else "no"
            return
        if over is not None:
            self._end(over)
            self.value = "no"
        replaced = over is not None and over.status in ("superseded", NEVER_TRUE)
        current = next((fact for fact in here if fact.polarity), None)
        if current is not None and (replaced or not described(self.ask.attribute).many):
            self._answer(current, GUESS if over is None else CONTEXT)
            self.value = "no"

    def _when(self, true: list[Known]) -> None:
        facts = [fact for fact in reversed(true) if fact.polarity]
        if self.ask.values:
            scored = [(max(alike(wanted, fact.value) for wanted in self.ask.values), fact) for fact in facts]
            best = max((score for score, _ in scored), default=0.0)
            facts = [fact for score, fact in scored if score == best > 0]
            self.trust *= best**0.5
        for i, fact in enumerate(facts[:MANY]):
            self._answer(fact, OLDER ** min(i, 6), oldest_first=True)
        if facts:
            self.value = _day(facts[0].valid_from)

    def _between(self, true: list[Known]) -> None:
        found: list[Known] = []
        for wanted in self.ask.values:
            attribute, _, value = wanted.partition("|")
            facts = [fact for fact in reversed(true) if fact.polarity and fact.attribute == attribute]
            fact = self._best(facts, value) if value else next(iter(facts), None)
            if fact is None:
                continue
            found.append(fact)
            self._answer(fact)
        if len(found) == 2:
            self.value = str(abs((found[1].valid_from.date() - found[0].valid_from.date()).days))

    # Writing it down

    def _best(self, facts: list[Known], wanted: str) -> Known | None:
        """The first of those facts whose value is most like what is wanted."""
        best = max(facts, key=lambda fact: alike(wanted, fact.value), default=None)
        return best if best is not None and alike(wanted, best.value) > 0 else None

    def _end(self, fact: Known) -> None:
        """Answer with the turn that says that the fact is over."""
        turn = fact.ended_by or (fact.sources[-1] if fact.status == "ended" and len(fact.sources) > 1 else "")
        if turn:
            self._note(turn, self.trust * fact.confidence)
        for other in fact.sources:
            if other != turn:
                self.stale[other] = max(self.stale.get(other, 0.0), self.trust)
        self.path.append(fact.id)

    def _answer(self, fact: Known, weight: float = 1.0, *, oldest_first: bool = False) -> None:
        self.path.append(fact.id)
        self._add(fact, weight * self.trust * fact.confidence, stale=False, oldest_first=oldest_first)

    def _add(self, fact: Known, weight: float, *, stale: bool, oldest_first: bool = False) -> None:
        turns = [turn for turn in fact.sources if turn != fact.ended_by] or list(fact.sources)
        for i, turn in enumerate(turns if oldest_first else reversed(turns)):
            if stale:
                self.stale[turn] = max(self.stale.get(turn, 0.0), weight)
            else:
                self._note(turn, weight * OLDER ** min(i, 6))

    def _note(self, turn: str, weight: float) -> None:
        self.weights[turn] = max(self.weights.get(turn, 0.0), min(1.0, weight))


def alike(wanted: str, value: str) -> float:
    """How well a value is what was asked for: 1 the same words, 0.8 all words of one in the other, 0.5 half of them."""
    one, two = _words(wanted), _words(value)
    if one == two:
        return 1.0
    common = len(one & two)
    if not common or max(map(len, one & two)) < 3:
        return 0.0
    if common == min(len(one), len(two)):
        return 0.8
    return 0.5 if 2 * common >= len(one | two) else 0.0


@lru_cache(maxsize=1 << 14)
def _words(value: str) -> frozenset[str]:
    words = [word for word in name_key(value).split() if word not in _ARTICLES]
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word for word in words)


def _true(facts: Iterable[Known]) -> list[Known]:
    """Without what was never true."""
    return [fact for fact in facts if fact.status != NEVER_TRUE]


def _holding(facts: Sequence[Known], moment: datetime) -> list[Known]:
    """What holds at a moment, the newest first; what is only announced counts where nothing else does."""
    here = [fact for fact in reversed(facts) if fact.valid_to is None or moment < fact.valid_to]
    begun = [fact for fact in here if fact.valid_from <= moment]
    return begun or here


def _when(fact: Known) -> tuple[datetime, int, str]:
    return fact.valid_from, fact.order, fact.id


def _middle(span: tuple[datetime, datetime]) -> datetime:
    start, end = span
    return (
        end - timedelta(microseconds=1) if start.year <= 1 else start if end.year >= 9999 else start + (end - start) / 2
    )


def _day(moment: datetime) -> str:
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def _overlap(fact: Known, start: datetime, end: datetime) -> timedelta:
    return min(fact.valid_to or end, end) - max(fact.valid_from, start)


def _ranked(weights: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(weights.items(), key=lambda pair: -pair[1]))
