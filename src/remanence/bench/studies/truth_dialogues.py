"""Generated conversations whose truth is known, told to a memory turn by turn and then asked about.

People change their minds, correct slips, deny, and gossip; every question has exact gold turns and turns that only
seem to be evidence. Beside the questions: conclusions that rest on what was said, of which some lose their premise
later; and the facts that the memory holds in the end, against those of the simulation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from remanence import Memory
from remanence.kernels.claims.answers import alike
from remanence.kernels.names import name_key
from remanence.kernels.truth import value_key
from remanence.runtime.results import Item
from remanence.scenarios.attributes import HAPPENINGS
from remanence.scenarios.dialogues import Dialogue, Fact, Hardness, Question, generate
from remanence.scenarios.phrases import says

USER = "bench"
LIMIT = 10
CURRENT = ("update", "contradiction", "correction")
"""Categories that ask for a value that replaced another."""
_MOMENT = timedelta(seconds=1)


class Clock:
    """A clock that is set by hand: conversations take place at their own time."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time it was set to."""
        return self.now


@dataclass(slots=True)
class Answers:
    """How the questions of one kind went; counts."""

    asked: int = 0
    first: int = 0
    """The first result is a gold turn."""
    says: int = 0
    """The first result holds the answer word for word."""
    found: int = 0
    """A gold turn is among the results."""
    misled: int = 0
    """A forbidden turn stands above every gold turn."""
    answerable: list[float] = field(default_factory=list)

    def note(self, question: Question, turns: Sequence[str], first_text: str, answerable: float) -> None:
        """Count one question and the turns that were found for it, best first."""
        gold = next((rank for rank, turn in enumerate(turns) if turn in question.gold), len(turns))
        self.asked += 1
        self.first += gold == 0 and bool(turns)
        self.says += bool(first_text) and says(first_text, question.answer)
        self.found += gold < len(turns)
        self.misled += bool(question.gold) and any(turn in question.forbidden for turn in turns[:gold])
        self.answerable.append(answerable)

    def figures(self) -> dict[str, float]:
        """Shares of the questions asked."""
        count = max(self.asked, 1)
        return {
            "questions": self.asked,
            "first": self.first / count,
            "says": self.says / count,
            "found": self.found / count,
            "misled": self.misled / count,
            "answerable": float(np.mean(self.answerable)) if self.answerable else 0.0,
        }


@dataclass(slots=True)
class Tally:
    """What was counted over all dialogues."""

    answers: defaultdict[str, Answers] = field(default_factory=lambda: defaultdict(Answers))
    as_of: Answers = field(default_factory=Answers)
    """Questions about a day in the past, put to `search(..., as_of=…)`."""
    counts: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, Any]:
        """Everything as shares, by name."""
        counts = self.counts
        current = [one for name, one in self.answers.items() if name in CURRENT]
        answered = [p for name, one in self.answers.items() if name != "unanswerable" for p in one.answerable]
        unanswerable = self.answers["unanswerable"].answerable if "unanswerable" in self.answers else []
        return {
            "categories": {name: one.figures() for name, one in sorted(self.answers.items())},
            "current_first": _share(sum(one.first for one in current), sum(one.asked for one in current)),
            "as_of_words": self.answers["as_of"].figures()["first"] if "as_of" in self.answers else 0.0,
            "as_of_argument": self.as_of.figures()["first"],
            "abstention_auroc": auroc(answered, unanswerable),
            "abstention_at_half": _share(
                sum(p >= 0.5 for p in answered) + sum(p < 0.5 for p in unanswerable), len(answered) + len(unanswerable)
            ),
            "dependents": {
                "stale": counts["stale"],
                "flagged": _share(counts["flagged"], counts["stale"]),
                "sound": counts["sound"],
                "false": _share(counts["false"], counts["sound"]),
                "seen_before": _share(counts["seen_before"], counts["stale"] + counts["sound"]),
            },
            "facts": {
                "known": counts["facts"],
                "without_span": counts["without_span"],
                "duplicates": _share(counts["duplicates"], counts["facts"]),
                "current_recall": _share(counts["gold_held"], counts["gold"]),
                "current_precision": _share(counts["right"], counts["judged"]),
            },
            "turns": counts["turns"],
        }


def tell(seed: int, hardness: Hardness, sessions: int, people: int, tally: Tally, *, enrich: bool = True) -> None:
    """One dialogue from beginning to end, its questions, and the state it leaves."""
    dialogue = generate(seed, sessions=sessions, people=people, hardness=hardness)
    clock = Clock(dialogue.turns[0].at)
    memory = Memory(":memory:", user_id=USER, clock=clock, background=False, enrich=enrich)
    with memory:
        turns = _Told(memory, clock, dialogue, tally, conclusions=enrich)
        turns.tell()
        clock.now = dialogue.questions[0].now if dialogue.questions else dialogue.turns[-1].at
        _ask(memory, dialogue, turns.names, tally)
        if enrich:
            turns.judge_conclusions()
            memory.sleep()
            _judge_facts(memory, dialogue, tally)


class _Told:
    """A dialogue on its way into a memory, with conclusions drawn from it at the end of each session."""

    def __init__(self, memory: Memory, clock: Clock, dialogue: Dialogue, tally: Tally, *, conclusions: bool) -> None:
        self.memory = memory
        self.clock = clock
        self.dialogue = dialogue
        self.tally = tally
        self.conclusions = conclusions
        self.ids: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.drawn: list[tuple[str, Fact, datetime]] = []

    def tell(self) -> None:
        sessions: dict[str, list[Any]] = {}
        for turn in self.dialogue.turns:
            sessions.setdefault(turn.session, []).append(turn)
        for session, turns in sessions.items():
            self.clock.now = turns[-1].at + _MOMENT
            added = self.memory.add(
                [
                    {"role": "user", "name": turn.speaker, "content": turn.text, "timestamp": turn.at.isoformat()}
                    for turn in turns
                ],
                run_id=session,
            )
            for turn, row in zip(turns, added["results"], strict=True):
                if "id" in row:
                    self.ids[turn.id] = row["id"]
                    self.names[row["id"]] = turn.id
            self.tally.counts["turns"] += len(turns)
            self.memory.flush()
            if self.conclusions:
                self._conclude({turn.id for turn in turns}, session)

    def _conclude(self, turns: set[str], session: str) -> None:
        """A conclusion from each fact first stated in this session and not over by its end."""
        for fact in self.dialogue.facts:
            if fact.turn not in turns or fact.attribute in HAPPENINGS or fact.ended_by in turns:
                continue
            if fact.turn not in self.ids:
                continue
            self.clock.now += _MOMENT
            added = self.memory.add(
                f"So plan number {len(self.drawn)} stands.",
                kind="conclusion",
                based_on=[self.ids[fact.turn]],
                run_id=session,
            )
            self.drawn.append((added["results"][0]["id"], fact, self.clock.now))
        self.memory.flush()

    def judge_conclusions(self) -> None:
        """Which conclusions have left the default view, and which should have."""
        counts = self.tally.counts
        self.clock.now += _MOMENT
        seen = {item["id"] for item in everything(self.memory, "conclusion")}
        for id, fact, at in self.drawn:
            over = fact.valid_to is not None
            counts["stale" if over else "sound"] += 1
            if id not in seen:
                counts["flagged" if over else "false"] += 1
            counts["seen_before"] += self.memory.get(id, as_of=at.isoformat()) is not None


def everything(memory: Memory, kind: str) -> list[Item]:
    """All memories of a kind in the default view."""
    found: list[Item] = []
    page: str | None = None
    while True:
        answer = memory.get_all(kinds=[kind], limit=500, page=page)
        found += answer["results"]
        page = answer["next"]
        if page is None:
            return found


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """How often a positive scores above a negative, ties counting half; 0.5 where one side is empty."""
    if not positive or not negative:
        return 0.5
    above = np.subtract.outer(np.asarray(positive), np.asarray(negative))
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def _ask(memory: Memory, dialogue: Dialogue, names: dict[str, str], tally: Tally) -> None:
    for question in dialogue.questions:
        found = memory.search(question.text, limit=LIMIT)
        _note(tally.answers[question.category], question, found["results"], found["answerable"], names)
        if question.as_of is not None:
            found = memory.search(question.text, limit=LIMIT, as_of=question.as_of.isoformat())
            _note(tally.as_of, question, found["results"], found["answerable"], names)


def _note(
    answers: Answers, question: Question, results: Sequence[Item], answerable: float, names: dict[str, str]
) -> None:
    turns = [names.get(item["id"], "") for item in results]
    answers.note(question, turns, results[0]["memory"] if results else "", answerable)


def _judge_facts(memory: Memory, dialogue: Dialogue, tally: Tally) -> None:
    """The facts held in the end against those that hold in the simulation."""
    counts = tally.counts
    held: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    seen: Counter[tuple[str, str, str, bool]] = Counter()
    for item in everything(memory, "fact"):
        meta = item["metadata"]
        counts["facts"] += 1
        counts["without_span"] += not any(source["start"] < source["end"] for source in item["sources"])
        subject, attribute, value = name_key(meta["subject"]), meta["attribute"], meta["value"]
        seen[subject, attribute, value_key(value), meta["polarity"]] += 1
        if meta["polarity"]:
            held[subject, attribute].append(value)
    counts["duplicates"] += sum(count - 1 for count in seen.values())
    true = _holding(dialogue)
    for (subject, attribute), values in true.items():
        counts["gold"] += len(values)
        counts["gold_held"] += sum(_among(value, held[subject, attribute]) for value in values)
    for key in {(name_key(fact.subject), fact.attribute) for fact in dialogue.facts}:
        if key[1] not in HAPPENINGS:
            counts["judged"] += len(held[key])
            counts["right"] += sum(_among(value, true.get(key, ())) for value in held[key])


def _holding(dialogue: Dialogue) -> dict[tuple[str, str], list[str]]:
    true: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for fact in dialogue.facts:
        if fact.valid_to is None and fact.attribute not in HAPPENINGS:
            true[name_key(fact.subject), fact.attribute].append(fact.value)
    return true


def _among(value: str, values: Iterable[str]) -> bool:
    return any(alike(value, other) >= 0.8 for other in values)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
