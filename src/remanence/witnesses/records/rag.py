"""Do answers follow the passages when these are exchanged, and does summing per token help where an answer needs two?

A generator that knows nothing but how to read is trained, by counting, on the passages of some people: which word of a
passage is the answer, by the word before it, by what is asked, and by whether the person asked about is named. It then
answers about other people, whose passages it never saw. The baseline has learnt those people's answers by heart, as
the weights of a model would have. Then every passage gets another value, and nobody is trained again.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from remanence.core.card import Evidence
from remanence.core.scope import Scope
from remanence.mechanisms.records.rag import Rag
from remanence.scenarios.dice import Dice
from remanence.scenarios.values import CITIES, INSTRUMENTS, LANGUAGES, MEN, WOMEN
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.records.mechanism import Hit, Item

NOW = datetime(2026, 3, 1, tzinfo=UTC)
K = 10
PEOPLE = 30
"""Asked about; as many others are there to train the generator."""
PAIRS = 60
"""Questions that need two passages."""
BEAM = 3
"""Tokens of each passage and step that may be part of an answer of RAG-Sequence."""
SLOTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "lives": ("{who} lives in {value} these days.", "where does {who} live", CITIES),
    "plays": ("On weekends {who} plays the {value} with friends.", "what instrument does {who} play", INSTRUMENTS),
    "learns": ("Lessons in {value} are what {who} takes now.", "what language does {who} learn", LANGUAGES),
}
_WORDS = re.compile(r"\w+")


def witness(seed: int) -> Evidence:
    """The share of answers that follow the exchanged passages, beside that of answers learnt by heart."""
    found = measure(seed)
    return Evidence("answers that follow the new passages", found["sequence"], found["by_heart"])


def measure(seed: int, *, k: int = K) -> dict[str, float]:
    """Shares of right answers.

    "before" and "by_heart_before" are of the passages that were learnt by heart, "sequence", "by_heart" and "hard" (the
    nearest passage alone) after they were exchanged. "two_sequence" and "two_token" are of questions that need two
    passages; "two_sequence_log" and "two_token_log" what the right answer's log probability is on the average. One
    passage must explain the whole answer of RAG-Sequence: it takes a word that is often said for the half that the
    passage does not tell. If nothing were said more often than anything else, the answers of both would be alike, their
    log probabilities would not.
    """
    dice = Dice("rag", seed)
    people = dice.shuffled([*WOMEN, *MEN])
    world, other, trained = (World.of(dice, people[i : i + PEOPLE]) for i in (0, 0, PEOPLE))
    other.differ_from(world, dice)
    generator = Generator(tuple(value for _, _, values in SLOTS.values() for value in values if " " not in value))
    school = _memory(trained)
    for clauses, answers in (*trained.single(), *trained.double(dice)):
        generator.learn(clauses, answers, _find(school, clauses, k))
    memory = _memory(world)
    heart = dict(world.single())
    found = {
        "before": _share(memory, generator, world, k),
        "by_heart_before": float(np.mean([heart[clauses] == answers for clauses, answers in world.single()])),
    }
    for hit in list(memory.current(NOW).of("turn").values()):
        memory.update(hit.id, other.passages[world.passages.index(hit.text)], now=NOW)
    found["sequence"] = _share(memory, generator, other, k)
    found["hard"] = _share(memory, generator, other, 1)
    found["by_heart"] = float(np.mean([heart[clauses] == answers for clauses, answers in other.single()]))
    return {**found, **_two(memory, generator, other.double(dice), k)}


Question = tuple[str, ...]
Case = tuple[Question, tuple[str, ...]]
"""The clauses of a question, and the answer to each."""


@dataclass
class World:
    """People, and one value for each of their slots."""

    values: dict[tuple[str, str], str]

    @classmethod
    def of(cls, dice: Dice, people: Sequence[str]) -> World:
        """Values drawn by chance."""
        return cls({(who, slot): _value(dice, slot) for who in people for slot in SLOTS})

    @property
    def passages(self) -> list[str]:
        """One for each value."""
        return [SLOTS[slot][0].format(who=who, value=value) for (who, slot), value in self.values.items()]

    def differ_from(self, world: World, dice: Dice) -> None:
        """Draw again what is as in another world."""
        for key, value in world.values.items():
            while self.values[key] == value:
                self.values[key] = _value(dice, key[1])

    def single(self) -> list[Case]:
        """A question about each value."""
        return [((_clause(*key),), (value,)) for key, value in self.values.items()]

    def double(self, dice: Dice) -> list[Case]:
        """Questions about two values of different people."""
        keys = list(self.values)
        cases: list[Case] = []
        while len(cases) < PAIRS:
            one, two = dice.pick(keys), dice.pick(keys)
            if one[0] != two[0] and one[1] != two[1]:
                cases.append(((_clause(*one), _clause(*two)), (self.values[one], self.values[two])))
        return cases


@dataclass
class Generator:
    """p(y_i | x, z): copies a word of the passage or, as far as none fits, says what is often said. All from counts.

    A word is judged by the word before it, by which words ask, and by whether the passage names the person asked about.
    """

    vocabulary: tuple[str, ...]
    _answered: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    _seen: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    _said: Counter[str] = field(default_factory=Counter)

    def learn(self, clauses: Question, answers: Sequence[str], hits: Sequence[Hit]) -> None:
        """Count one question with its answer and the passages that were found for it."""
        self._said.update(answers)
        for clause, answer in zip(clauses, answers, strict=True):
            for hit in hits:
                for sign, word in self._signs(clause, hit.text):
                    self._seen[sign] += 1
                    self._answered[sign] += word == answer

    def log_probs(self, clause: str, passage: str) -> NDArray[np.float64]:
        """[v] log p(y_i | x, z) over the vocabulary."""
        at = {word: i for i, word in enumerate(self.vocabulary)}
        copied = np.zeros(len(self.vocabulary))
        for sign, word in self._signs(clause, passage):
            if word in at:
                copied[at[word]] += self._answered[sign] / (self._seen[sign] + 1)
        copied /= max(1.0, copied.sum())
        said = np.array([self._said[word] + 0.1 for word in self.vocabulary])
        found: NDArray[np.float64] = np.log(copied + (1 - copied.sum()) * said / said.sum())
        return found

    @staticmethod
    def _signs(clause: str, passage: str) -> list[tuple[tuple[str, str, bool], str]]:
        words, asked = _WORDS.findall(passage), _WORDS.findall(clause)
        names = {word for word in asked if word[0].isupper()}
        kind = " ".join(word for word in asked if word not in names)
        named = not names.isdisjoint(words)
        return [((before, kind, named), word) for before, word in pairwise(words)]


def _two(memory: Rag, generator: Generator, cases: Sequence[Case], k: int) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    at = {word: i for i, word in enumerate(generator.vocabulary)}
    for clauses, answers in cases:
        hits = _find(memory, clauses, k)
        tables = [np.array([generator.log_probs(clause, hit.text) for hit in hits]) for clause in clauses]
        gold = np.stack([table[:, at[answer]] for table, answer in zip(tables, answers, strict=True)], axis=1)
        likely = [sorted({int(i) for row in table for i in np.argsort(-row, kind="stable")[:BEAM]}) for table in tables]
        hypotheses = {
            pair: sum(table[:, i] for table, i in zip(tables, pair, strict=True)) for pair in product(*likely)
        }
        best = memory.decode(hits, hypotheses)[0][0]
        mixed = [int(memory.next_token(hits, table).argmax()) for table in tables]
        right = tuple(at[answer] for answer in answers)
        totals["two_sequence"] += best == right
        totals["two_token"] += tuple(mixed) == right
        totals["two_sequence_log"] += memory.sequence_log_prob(hits, gold)
        totals["two_token_log"] += memory.token_log_prob(hits, gold)
    return {name: total / len(cases) for name, total in totals.items()}


def _share(memory: Rag, generator: Generator, world: World, k: int) -> float:
    """The share of questions about one value that are answered as the world has it."""
    right = 0
    for clauses, answers in world.single():
        hits = _find(memory, clauses, k)
        table = np.array([generator.log_probs(clauses[0], hit.text) for hit in hits])
        right += generator.vocabulary[int(memory.next_token(hits, table).argmax())] == answers[0]
    return right / len(world.values)


def _memory(world: World) -> Rag:
    memory = Rag(scope=Scope(app_id="witness"), embedder=StaticEmbedder())
    memory.write([Item(passage) for passage in world.passages], now=NOW)
    return memory


def _find(memory: Rag, clauses: Question, k: int) -> list[Hit]:
    return memory.read(" and ".join(clauses) + "?", k, now=NOW)


def _clause(who: str, slot: str) -> str:
    return SLOTS[slot][1].format(who=who)


def _value(dice: Dice, slot: str) -> str:
    return dice.pick([value for value in SLOTS[slot][2] if " " not in value])
