"""Run rankers over data sets and score what they return.

Systems return units of different sizes: turns, facts, whole episodes. Documents are ranked in the order in which units
bring them; besides, it is measured what a reader finds who takes in units, best first, up to a number of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from remanence.bench.baselines import Ranker, passage
from remanence.bench.datasets import Corpus, Dataset, Question
from remanence.bench.metrics import Floats, newest_first, score_rankings
from remanence.kernels.packing import estimate_tokens

OVERALL = "overall"
BUDGET = 1000
"""Tokens that a reader takes in."""
WITHIN_BUDGET = "recall@1k-tokens"
READ = 10
"""Units whose tokens are counted as what a reader is given."""
ASKED = 60
"""Units asked for: of short turns so many fit into the budget. Measures by rank look at the first of them alone."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that a system returned: what it costs a reader, and the documents that it tells of."""

    tokens: int
    documents: tuple[str, ...]


@runtime_checkable
class ReturnsUnits(Protocol):
    """A ranker whose units are not the documents themselves."""

    units: Sequence[Unit]
    """What the last call of `rank` returned, best first."""


@dataclass(slots=True)
class Run:
    """What one system returned for every question of a data set, and how long it took.

    `rankings[i]` belongs to `dataset.questions[i]`; `build_seconds` is the sum over all corpora.
    """

    system: str
    dataset: Dataset
    rankings: list[list[str]]
    seconds: list[float]
    build_seconds: float
    units: list[Sequence[Unit]] = field(default_factory=list)
    """What was returned for every question; from the documents themselves if left out."""
    scores: dict[str, Floats] = field(init=False)
    scored: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.scored = [at for at, question in enumerate(self.dataset.questions) if question.gold]
        golds = [self.dataset.questions[at].gold for at in self.scored]
        self.scores = score_rankings([self.rankings[at] for at in self.scored], golds)
        self.units = self.units or _document_units(self.dataset, self.rankings)
        within = [recall_within(self.units[at], gold) for at, gold in zip(self.scored, golds, strict=True)]
        self.scores[WITHIN_BUDGET] = np.array(within, np.float64)

    def tokens(self) -> float:
        """Tokens of the first `READ` units, on average over all questions."""
        return float(np.mean([sum(unit.tokens for unit in units[:READ]) for units in self.units]))

    def questions(self) -> list[Question]:
        """The questions that `scores` is about, in its order: those with gold."""
        return [self.dataset.questions[at] for at in self.scored]

    def values(self, metric: str, category: str = OVERALL) -> Floats:
        """One value per question of a category; `overall` is every answerable question that has gold."""
        return self.scores[metric][[_belongs(question, category) for question in self.questions()]]

    def clusters(self, category: str = OVERALL) -> list[str]:
        """The corpus of each question that `values` speaks of."""
        return [question.corpus for question in self.questions() if _belongs(question, category)]

    def categories(self) -> list[str]:
        """`overall`, then the categories that have gold, in the data set's order."""
        return [OVERALL, *dict.fromkeys(question.category for question in self.questions())]

    def summary(self, category: str = OVERALL) -> dict[str, float]:
        """Means over a category."""
        return {metric: float(self.values(metric, category).mean()) for metric in self.scores}

    def newest_first(self) -> tuple[int, float] | None:
        """How many knowledge updates have versions to order, and in which share the newest stands above the older."""
        outcomes = [
            newest_first(ranked, question.newest, question.older)
            for question, ranked in zip(self.dataset.questions, self.rankings, strict=True)
            if question.newest is not None
        ]
        return (len(outcomes), float(np.mean(outcomes))) if outcomes else None


def run(dataset: Dataset, ranker: Ranker, *, depth: int = ASKED) -> Run:
    """Build the ranker on each corpus in turn and ask it that corpus's questions."""
    asked: dict[str, list[int]] = {}
    for at, question in enumerate(dataset.questions):
        asked.setdefault(question.corpus, []).append(at)
    rankings: list[list[str]] = [[] for _ in dataset.questions]
    units: list[Sequence[Unit]] = [() for _ in dataset.questions]
    seconds = [0.0] * len(dataset.questions)
    building = 0.0
    for corpus in dataset.corpora:
        building += _timed_build(ranker, corpus)
        for at in asked.get(corpus.id, ()):
            start = time.perf_counter()
            rankings[at] = ranker.rank(dataset.questions[at], depth)
            seconds[at] = time.perf_counter() - start
            if isinstance(ranker, ReturnsUnits):
                units[at] = tuple(ranker.units)
    return Run(ranker.name, dataset, rankings, seconds, building, units if isinstance(ranker, ReturnsUnits) else [])


def run_all(dataset: Dataset, rankers: Iterable[Ranker], *, depth: int = ASKED) -> list[Run]:
    """`run` for several rankers."""
    return [run(dataset, ranker, depth=depth) for ranker in rankers]


def recall_within(units: Sequence[Unit], gold: AbstractSet[str], budget: int = BUDGET) -> float:
    """The share of the gold documents in the units, best first, that fit into `budget` tokens together.

    The first unit that does not fit ends the reading; what it says up to there is not counted.
    """
    seen: set[str] = set()
    for unit in units:
        budget -= unit.tokens
        if budget < 0:
            break
        seen.update(unit.documents)
    return len(seen & gold) / len(gold)


def best(runs: Sequence[Run], metric: str, category: str = OVERALL) -> Run:
    """The run with the highest mean; the first among equals."""
    return max(runs, key=lambda one: float(one.values(metric, category).mean()))


def _timed_build(ranker: Ranker, corpus: Corpus) -> float:
    start = time.perf_counter()
    ranker.build(corpus)
    return time.perf_counter() - start


def _belongs(question: Question, category: str) -> bool:
    return question.answerable if category == OVERALL else question.category == category


def _document_units(dataset: Dataset, rankings: Sequence[Sequence[str]]) -> list[Sequence[Unit]]:
    costs = {
        corpus.id: {document.id: estimate_tokens(passage(document)) for document in corpus.documents}
        for corpus in dataset.corpora
    }
    return [
        tuple(Unit(costs[question.corpus].get(identity, 0), (identity,)) for identity in ranked)
        for question, ranked in zip(dataset.questions, rankings, strict=True)
    ]
