"""Run rankers over data sets and score what they return."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from remanence.bench.baselines import Ranker
from remanence.bench.datasets import Corpus, Dataset, Question
from remanence.bench.metrics import DEPTH, Floats, newest_first, score_rankings

OVERALL = "overall"


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
    scores: dict[str, Floats] = field(init=False)
    scored: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.scored = [at for at, question in enumerate(self.dataset.questions) if question.gold]
        self.scores = score_rankings(
            [self.rankings[at] for at in self.scored], [self.dataset.questions[at].gold for at in self.scored]
        )

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


def run(dataset: Dataset, ranker: Ranker, *, depth: int = DEPTH) -> Run:
    """Build the ranker on each corpus in turn and ask it that corpus's questions."""
    asked: dict[str, list[int]] = {}
    for at, question in enumerate(dataset.questions):
        asked.setdefault(question.corpus, []).append(at)
    rankings: list[list[str]] = [[] for _ in dataset.questions]
    seconds = [0.0] * len(dataset.questions)
    building = 0.0
    for corpus in dataset.corpora:
        building += _timed_build(ranker, corpus)
        for at in asked.get(corpus.id, ()):
            start = time.perf_counter()
            rankings[at] = ranker.rank(dataset.questions[at], depth)
            seconds[at] = time.perf_counter() - start
    return Run(ranker.name, dataset, rankings, seconds, building)


def run_all(dataset: Dataset, rankers: Iterable[Ranker], *, depth: int = DEPTH) -> list[Run]:
    """`run` for several rankers."""
    return [run(dataset, ranker, depth=depth) for ranker in rankers]


def best(runs: Sequence[Run], metric: str, category: str = OVERALL) -> Run:
    """The run with the highest mean; the first among equals."""
    return max(runs, key=lambda one: float(one.values(metric, category).mean()))


def _timed_build(ranker: Ranker, corpus: Corpus) -> float:
    start = time.perf_counter()
    ranker.build(corpus)
    return time.perf_counter() - start


def _belongs(question: Question, category: str) -> bool:
    return question.answerable if category == OVERALL else question.category == category
