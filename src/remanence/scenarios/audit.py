"""An independent check of a finished dialogue.

The generator answers from the state it simulated. Here every answer and its evidence are derived again from the
table of facts alone, the table is compared with the words of the turns, and the gates are applied.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NoReturn

from remanence.scenarios.attributes import ATTRIBUTES, HAPPENINGS
from remanence.scenarios.dates import days_in, midnight, spell
from remanence.scenarios.model import UNKNOWN, Dialogue, Fact, Probe, Question, ScenarioInconsistent, Turn
from remanence.scenarios.phrases import says

FOREVER = datetime.max.replace(tzinfo=UTC)


def audit(dialogue: Dialogue) -> None:
    """Check that a dialogue agrees with itself.

    Turns are in order of time with unique ids; every fact is said by its turns, with its date where it has one;
    single-valued attributes have one value at a time; each question's answer and gold follow from the facts, its
    forbidden turns are no evidence, its text is unique and does not contain the answer, and removing the gold of a
    `single` question removes the answer from the conversation.

    Raises `ScenarioInconsistent`, naming the seed and what is wrong.
    """
    _Audit(dialogue).run()


class _Audit:
    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.turns: dict[str, Turn] = {turn.id: turn for turn in dialogue.turns}
        self.table: defaultdict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in dialogue.facts:
            self.table[fact.subject, fact.attribute].append(fact)

    def fail(self, what: str) -> NoReturn:
        raise ScenarioInconsistent(f"dialogue of seed {self.dialogue.seed} ({self.dialogue.hardness}): {what}")

    def run(self) -> None:
        turns = self.dialogue.turns
        if len(self.turns) != len(turns):
            self.fail("two turns share an id")
        for one, two in pairwise(turns):
            if two.at <= one.at:
                self.fail(f"turn {two.id} does not come after {one.id}")
        for turn in turns:
            if not turn.text.strip() or turn.speaker not in self.dialogue.people:
                self.fail(f"turn {turn.id} is empty or has an unknown speaker {turn.speaker!r}")
        for facts in self.table.values():
            self.check_facts(facts)
        texts = [question.text for question in self.dialogue.questions]
        if len(set(texts)) != len(texts):
            self.fail("two questions have the same text")
        for question in self.dialogue.questions:
            self.check_question(question)

    # Facts against the words

    def check_facts(self, facts: list[Fact]) -> None:
        for fact in facts:
            for name in said_in(fact):
                turn = self.turns.get(name) or self.fail(f"{fact} rests on an unknown turn")
                told = days_in(turn.text, turn.at.date())
                if fact.attribute in HAPPENINGS and HAPPENINGS[fact.attribute].ahead:
                    if fact.value not in map(spell, told):
                        self.fail(f"turn {name} does not say {fact.value!r}: {turn.text!r}")
                elif not says(turn.text, fact.value):
                    self.fail(f"turn {name} does not say {fact.value!r}: {turn.text!r}")
            if fact.ended_by is not None and fact.ended_by not in self.turns:
                self.fail(f"{fact} is ended by an unknown turn")
            if (fact.ended_by is None) != (fact.valid_to is None) and not self.is_event(fact):
                self.fail(f"{fact} has an end without a turn that says so, or the other way round")
            if not self.begins_as_said(fact, facts):
                self.fail(f"{fact} does not begin when its turn says")
        if not self.is_many(facts[0].attribute) and not self.is_event(facts[0]):
            spans = sorted((fact.valid_from, fact.valid_to or FOREVER) for fact in facts if not is_slip(fact))
            for (_, end), (start, _) in pairwise(spans):
                if start < end:
                    self.fail(f"{facts[0].subject} has two values of {facts[0].attribute} at once")

    def begins_as_said(self, fact: Fact, facts: list[Fact]) -> bool:
        turn = self.turns[fact.turn]
        told = {midnight(day) for day in days_in(turn.text, turn.at.date())}
        if self.is_event(fact):
            return fact.valid_from in told and fact.valid_to == fact.valid_from + timedelta(days=1)
        corrected = {other.valid_from for other in facts if is_slip(other) and other.ended_by == fact.turn}
        return fact.valid_from == turn.at or fact.valid_from in told | corrected

    @staticmethod
    def is_event(fact: Fact) -> bool:
        return fact.attribute in HAPPENINGS and not HAPPENINGS[fact.attribute].ahead

    @staticmethod
    def is_many(attribute: str) -> bool:
        return attribute in ATTRIBUTES and ATTRIBUTES[attribute].many

    # Questions against the facts

    def check_question(self, question: Question) -> None:
        answer, proof = self.solve(question)
        if question.answer != answer:
            self.fail(f"{question.id} {question.text!r}: the facts say {answer!r}, not {question.answer!r}")
        if set(question.gold) != proof:
            self.fail(f"{question.id} {question.text!r}: the evidence is {sorted(proof)}, not {question.gold}")
        if proof & set(question.forbidden) or not set(question.forbidden) <= self.turns.keys():
            self.fail(f"{question.id} {question.text!r}: forbidden turns are evidence or unknown")
        if says(question.text, question.answer):
            self.fail(f"{question.id} {question.text!r} contains its answer")
        if question.now <= self.dialogue.turns[-1].at or (question.as_of and question.as_of >= question.now):
            self.fail(f"{question.id} is asked at a time that does not fit")
        if question.as_of and spell(question.as_of.date()) not in question.text:
            self.fail(f"{question.id} {question.text!r} does not name its day")
        if question.probe.path[0] not in question.text:
            self.fail(f"{question.id} {question.text!r} does not name {question.probe.path[0]}")
        if question.category == "single":
            rest = [turn.id for turn in self.dialogue.turns if turn.id not in proof and says(turn.text, answer)]
            if rest:
                self.fail(f"{question.id} {question.text!r} can be answered from {rest} without its gold")
        if question.category == "unanswerable" and (question.answer != UNKNOWN or question.gold):
            self.fail(f"{question.id} claims to be unanswerable but has an answer or evidence")

    def rows(self, subject: str, attribute: str) -> list[Fact]:
        return [fact for fact in self.table.get((subject, attribute), []) if not is_slip(fact)]

    def holding(self, subject: str, attribute: str, at: datetime) -> list[Fact]:
        return [
            fact
            for fact in self.rows(subject, attribute)
            if fact.valid_from <= at and (fact.valid_to is None or at < fact.valid_to)
        ]

    def the(self, question: Question, facts: list[Fact]) -> Fact:
        if len(facts) != 1:
            self.fail(f"{question.id} {question.text!r}: {len(facts)} facts apply where one should")
        return facts[0]

    def solve(self, question: Question) -> tuple[str, set[str]]:
        """Answer and evidence by scanning the table."""
        probe, now = question.probe, question.now
        subject, proof = probe.path[0], set[str]()
        for relation in probe.path[1:]:
            step = self.the(question, self.holding(subject, relation, now))
            proof.update(said_in(step))
            subject = step.value
        if probe.mode in ("now", "then"):
            fact = self.the(question, self.holding(subject, probe.attribute, question.as_of or now))
            return fact.value, proof.union(said_in(fact))
        if probe.mode == "before":
            rows = sorted(self.rows(subject, probe.attribute), key=lambda fact: fact.valid_from)
            later = self.the(question, [fact for fact in rows if fact.value == probe.values[0]])
            at = rows.index(later)
            if at == 0:
                self.fail(f"{question.id} {question.text!r}: nothing came before")
            former = rows[at - 1]
            return former.value, proof.union(said_in(former), said_in(later))
        if probe.mode == "when":
            fact = self.the(question, [f for f in self.rows(subject, probe.attribute) if f.value == probe.values[0]])
            return spell(fact.valid_from.date()), proof.union(said_in(fact))
        if probe.mode == "days":
            return self.solve_days(question, probe)
        if probe.mode == "still":
            return self.solve_still(probe, now)
        if probe.mode == "unknown":
            if self.table.get((subject, probe.attribute)):
                self.fail(f"{question.id} {question.text!r}: something was said about it")
            return UNKNOWN, set()
        facts = self.rows(subject, probe.attribute)
        if probe.mode != "count_ever":
            facts = self.holding(subject, probe.attribute, now)
        values = {fact.value for fact in facts}
        proof.update(*(said_in(fact) for fact in facts))
        return (", ".join(sorted(values)) if probe.mode == "values" else str(len(values))), proof

    def solve_days(self, question: Question, probe: Probe) -> tuple[str, set[str]]:
        days: list[date] = []
        proof: set[str] = set()
        for attribute, value in probe.pairs:
            rows = [fact for fact in self.rows(probe.path[0], attribute) if fact.value == value]
            fact = self.the(question, rows)
            days.append(fact.valid_from.date())
            proof.update(said_in(fact))
        return str(abs((days[1] - days[0]).days)), proof

    def solve_still(self, probe: Probe, now: datetime) -> tuple[str, set[str]]:
        subject, attribute, value = probe.path[0], probe.attribute, probe.values[0]
        held = self.holding(subject, attribute, now)
        for fact in held:
            if fact.value == value:
                return "yes", set(said_in(fact))
        over = [fact for fact in self.rows(subject, attribute) if fact.value == value]
        proof = {fact.ended_by for fact in over[-1:] if fact.ended_by}
        if not self.is_many(attribute):
            proof.update(*(said_in(fact) for fact in held))
        return "no", proof


def said_in(fact: Fact) -> tuple[str, ...]:
    """All turns that state the fact."""
    return (fact.turn, *fact.restated)


def is_slip(fact: Fact) -> bool:
    """Whether the fact was said by mistake and never true."""
    return fact.valid_to == fact.valid_from
