"""Does a forest of time-ordered trees find what happened before, after and between, where flat search of facts fails?

Several people tell of dated events, in any order, over several sessions, and chat. What happens to one of them happens
to others as well, in another place or on another day. Questions ask what somebody did right before or after an event,
and how long it was between two; the evidence is the anchor and the event next to it in time, which shares nothing with
the question but the person. The baselines rank the same facts (texts with speaker and dates spelt out) and may show as
many of them: BM25, dense search, their fusion, and "window", dense search where a fact brings along those that were
told right before and after it.

Two more arms say where it comes from. "direct" is the same forest that does not browse beside an anchor. "sorted" has
no trees and sorts all facts of whom a question names at every read; it finds what the forest finds, for which the
forest looks at one path. `costs` counts what insertions and deletions renew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from remanence.core.card import Evidence
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.names import name_key
from remanence.mechanisms.records.mem_forest import NODE, USER, MemForest, Step
from remanence.scenarios.dialogues import Turn
from remanence.scenarios.dice import Dice
from remanence.scenarios.values import CARS, CITIES, COMPANIES, WOMEN
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.families.canonical_facts import FACT
from remanence.substrates.records.mechanism import Item
from remanence.substrates.records.model import Record
from remanence.witnesses.records.recall import Baselines

K = 5
START = datetime(2024, 1, 20, 18, tzinfo=UTC)
PEOPLE = 4
SESSIONS = 8
TOLD = 3
"""Events that each person tells of in a session."""
CHAT = (
    "I slept badly again.|The weather is awful today.|Have you had lunch yet?|My phone is nearly out of battery.|"
    "That made me laugh.|I am so tired this week.|Shall we go for a walk later?|The coffee here is getting worse.|"
    "I can hear the neighbours again.|Let me think about it.|You look well!|What a long day."
).split("|")
EVENTS = (
    ("moved to {v}", "moving to {v}", CITIES),
    ("bought a {v}", "buying the {v}", CARS),
    ("started a job at {v}", "starting the job at {v}", COMPANIES),
    ("took a trip to {v}", "the trip to {v}", CITIES),
    ("gave a talk in {v}", "giving the talk in {v}", CITIES),
    ("quit {v}", "quitting {v}", COMPANIES),
    ("crashed a {v}", "crashing the {v}", CARS),
)
_ANCHOR = re.compile(r"\b(?:before|after) (.+)\?$")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the ids of the turns that answer it."""

    text: str
    gold: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lives:
    """What was told, and what is asked about it."""

    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]

    @classmethod
    def of(cls, seed: int) -> Lives:
        """The lives of a seed."""
        dice = Dice("mem_forest", seed)
        people = dice.shuffled(WOMEN)[:PEOPLE]
        shared = {id(values): dice.shuffled(values)[:12] for _, _, values in EVENTS}
        kinds = [(did, doing, value) for did, doing, values in EVENTS for value in shared[id(values)]]
        told: list[tuple[int, str, str]] = []
        lives: dict[str, list[tuple[int, str, int]]] = {}
        for person in people:
            days = dice.shuffled(range(30 * SESSIONS))[: TOLD * SESSIONS]
            for day, (did, doing, value) in zip(days, dice.shuffled(kinds), strict=False):
                # Told in a session after the day, soon or late.
                session = dice.between(day // 30, SESSIONS - 1)
                when = START + timedelta(days=day - 20)
                lives.setdefault(person, []).append((day, doing.format(v=value), len(told)))
                told.append((session, person, f"I {did.format(v=value)} on {when.day} {when:%B %Y}."))
        chat = [(session, person, dice.pick(CHAT)) for session in range(SESSIONS) for person in people for _ in "ab"]
        order = sorted(dice.shuffled(range(len(told) + len(chat))), key=lambda at: [*told, *chat][at][0])
        turns: list[Turn] = []
        id_of: dict[int, str] = {}
        for at in order:
            session, person, text = [*told, *chat][at]
            id_of[at] = f"t{len(turns)}"
            moment = START + timedelta(days=30 * session + 10, minutes=len(turns))
            turns.append(Turn(id_of[at], f"s{session}", person, text, moment))
        questions = []
        for person, events in lives.items():
            events.sort()
            for side, step in (("before", -1), ("after", 1)):
                for at in dice.shuffled(range(1, len(events) - 1))[:5]:
                    gold = frozenset(id_of[events[there][2]] for there in (at, at + step))
                    questions.append(Question(f"What did {person} do right {side} {events[at][1]}?", gold))
            for _ in range(2):
                one, other = sorted(dice.shuffled(events)[:2])
                text = f"How many days passed for {person} between {one[1]} and {other[1]}?"
                questions.append(Question(text, frozenset((id_of[one[2]], id_of[other[2]]))))
        return cls(tuple(turns), tuple(questions))


class Direct(MemForest):
    """The same forest, every question looked up as it stands."""

    def plan(self, query: str) -> list[Step]:
        """One step."""
        return [Step(query, "direct")]


def witness(seed: int) -> Evidence:
    """Mean recall@5 of the evidence, beside the best of the four flat searches."""
    found = measure(seed)
    return Evidence(f"recall@{K}", found["forest"], max(found[name] for name in ("bm25", "dense", "rrf", "window")))


def measure(seed: int, k: int = K) -> dict[str, float]:
    """Mean recall@k by arm."""
    lives = Lives.of(seed)
    embedder, analyzer = StaticEmbedder(), Analyzer()
    forest = MemForest(scope=Scope(user_id="witness"), embedder=embedder, analyzer=analyzer)
    turn_of = _tell(forest, lives.turns)
    direct = Direct(store=forest.store, scope=forest.scope, embedder=embedder, analyzer=analyzer)
    now = lives.turns[-1].at
    facts = list(forest.current(now).of(FACT).values())
    ids = [[turn_of[source.id] for source in fact.sources] for fact in facts]
    baselines = Baselines([Turn(fact.id, "", "", fact.text, fact.event_at) for fact in facts], analyzer, embedder)
    shares: dict[str, list[float]] = {}
    for question in lives.questions:
        ranked: dict[str, Sequence[Collection[str]]] = {
            name: [ids[row] for row in rows[:k]] for name, rows in baselines.rank(question.text)
        }
        dense = dict(baselines.rank(question.text))["dense"]
        near = dict.fromkeys(row + step for row in dense for step in (0, -1, 1) if 0 <= row + step < len(facts))
        ranked["window"] = [ids[row] for row in list(near)[:k]]
        ranked["sorted"] = [ids[row] for row in _sorted(question.text, facts, baselines)[:k]]
        for name, one in (("forest", forest), ("direct", direct)):
            ranked[name] = [[turn_of[id] for id in hit.sources] for hit in one.read(question.text, k, now=now)]
        for name, shown in ranked.items():
            found = question.gold & {id for group in shown for id in group}
            shares.setdefault(name, []).append(len(found) / len(question.gold))
    return {name: float(np.mean(values)) for name, values in shares.items()}


class Counting(MemForest):
    """A forest that says what its last work renewed."""

    renewed: tuple[str, ...] = ()

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        """As ever."""
        self.renewed = tuple(super().work(now, flush=flush))
        return list(self.renewed)


def costs(seed: int, *, turns: int | None = None) -> dict[str, float]:
    """What an insertion costs where one user tells all turns, one by one.

    Summaries renewed in the tree of what the user says ("renewed") and texts that they are made from ("read"), beside
    the texts of a profile that is written anew each time ("profile"); and how high the tree got ("height").
    """
    told = Lives.of(seed).turns[:turns]
    forest = Counting(scope=Scope(user_id="witness"), embedder=StaticEmbedder())
    renewed = read = profile = 0
    for count, turn in enumerate(told, 1):
        forest.write([Item(turn.text, role="user", at=turn.at, session=turn.session)], now=turn.at)
        nodes = [forest.current(turn.at).get(id) for id in forest.renewed]
        fresh = [node for node in nodes if node is not None and node.kind == NODE and node.meta["tree"] == USER]
        renewed += len(fresh)
        read += sum(len(node.sources) for node in fresh)
        profile += count
    total, height = len(told), forest.forest(told[-1].at)[USER].height
    return {"renewed": renewed / total, "read": read / total, "profile": profile / total, "height": height}


def _tell(forest: MemForest, turns: Sequence[Turn]) -> dict[str, str]:
    """Tell session by session; the turn that each record id stands for."""
    turn_of: dict[str, str] = {}
    for session in dict.fromkeys(turn.session for turn in turns):
        said = [turn for turn in turns if turn.session == session]
        items = [Item(turn.text, speaker=turn.speaker, at=turn.at, session=session) for turn in said]
        turn_of.update(zip(forest.write(items, now=said[-1].at), (turn.id for turn in said), strict=True))
    return turn_of


def _sorted(query: str, facts: Sequence[Record], baselines: Baselines) -> list[int]:
    """From the fact nearest to the anchor on, those of the person named in order of time, and the dense ranking."""
    anchor = _ANCHOR.search(query)
    dense = dict(baselines.rank(query))["dense"]
    if anchor is None:
        return dense
    person = query.split()[2]
    own = sorted(
        (row for row, fact in enumerate(facts) if name_key(person) in fact.meta["entities"]),
        key=lambda row: (facts[row].event_at, facts[row].id),
    )
    first = next(row for row in dict(baselines.rank(f"{person} {anchor[1]}"))["dense"] if row in own)
    at = own.index(first)
    beside = own[at + 1 : at + 4] if " after " in query else own[max(at - 3, 0) : at][::-1]
    order = [row for pair in zip([first, *beside], dense, strict=False) for row in pair]
    return list(dict.fromkeys([*order, *dense]))
