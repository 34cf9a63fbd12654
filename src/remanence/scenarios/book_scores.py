"""Exact scores of answers to a book's questions: set F1, simple recall, chronological awareness. No judge.

Source: A. Huet, Z. Ben Houidi, D. Rossi, "Episodic Memories Generation and Evaluation Benchmark for Large Language
Models" (ICLR 2025) and its published scoring. There a language model matches items; here an item matches when it is
the same after `canonical`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations

from remanence.core.errors import InvalidInput
from remanence.scenarios.book_questions import BINS, BookQuestion
from remanence.scenarios.dates import MONTHS

_MONTH = "|".join(MONTHS)
_DATES = (
    re.compile(rf"(?P<m>{_MONTH}) (?P<d>\d{{1,2}}) (?P<y>\d{{4}})", re.IGNORECASE),
    re.compile(rf"(?P<d>\d{{1,2}}) (?P<m>{_MONTH}) (?P<y>\d{{4}})", re.IGNORECASE),
    re.compile(r"(?P<y>\d{4}) (?P<m>\d\d) (?P<d>\d\d)"),
)
_SIGNS = re.compile(r"[^\w']+")


def canonical(item: str) -> str:
    """An item without case, signs and surplus spaces; a date in any usual spelling as "2024-03-07".

    Only whole items are read as dates: "March 07, 2024", "7 March 2024", "2024-03-07".
    """
    words = _SIGNS.sub(" ", item).strip()
    for pattern in _DATES:
        match = pattern.fullmatch(words)
        if match:
            month = match["m"] if match["m"].isdigit() else str(MONTHS.index(match["m"].capitalize()) + 1)
            try:
                return date(int(match["y"]), int(month), int(match["d"])).isoformat()
            except ValueError:  # no such day: then it is no date and matches none
                break
    return words.casefold()


def f1(matched: float, gold: int, predicted: int, *, harsh: bool = False) -> float:
    """F1 from the sum of matching scores and the numbers of distinct gold and predicted items.

    recall = matched / gold; precision = matched / predicted, or, where not `harsh` and there is gold,
    matched / min(predicted, gold): answers may say more than they were asked. 1 when both are empty, 0 when one is.
    """
    if gold == 0 or predicted == 0:
        return float(gold == predicted)
    recall = matched / gold
    precision = matched / (predicted if harsh else min(predicted, gold))
    return 2 * precision * recall / (precision + recall) if matched else 0.0


def answer_f1(gold: Iterable[str], predicted: Iterable[str], *, harsh: bool = False) -> float:
    """F1 of an answer; items are deduplicated on both sides first. An empty answer says that there is none."""
    wanted, given = set(map(canonical, gold)), set(map(canonical, predicted))
    return f1(len(wanted & given), len(wanted), len(given), harsh=harsh)


def match_in_order(gold: Sequence[str], predicted: Sequence[str]) -> list[int]:
    """For each predicted item the first index of an equal gold item that no earlier prediction took; others dropped."""
    free: defaultdict[str, list[int]] = defaultdict(list)
    for index, item in reversed(list(enumerate(gold))):
        free[canonical(item)].append(index)
    return [free[item].pop() for item in map(canonical, predicted) if free[item]]


def kendall_tau(order: Sequence[int]) -> float:
    """Kendall's tau between distinct numbers as they stand and their ascending order: 1 in order, -1 reversed.

    (concordant - discordant) / pairs. Raises `InvalidInput` for repeated numbers or fewer than two.
    """
    if len(order) < 2 or len(set(order)) < len(order):
        raise InvalidInput(f"tau needs two or more distinct numbers, not {list(order)}")
    pairs = len(order) * (len(order) - 1) // 2
    return sum(1 if one < two else -1 for one, two in combinations(order, 2)) / pairs


@dataclass(frozen=True, slots=True)
class BookScores:
    """How well a book was remembered; every score lies in 0 … 1 (`tau` in -1 … 1), None where nothing was asked.

    `bins` is the mean lenient F1 of the "all" questions by number of matching chapters, `simple_recall` the unweighted
    mean over these. `latest` is the mean lenient F1 of "latest" questions with two or more matching chapters. Of
    "chronological" questions with two or more gold items, `complete` is the share whose items were all given, and
    `tau` the mean tau over these (None if there are none). `chronological` is the mean of `latest` and of
    `complete` * max(0, `tau`).
    """

    bins: Mapping[str, float]
    simple_recall: float | None
    latest: float | None
    complete: float | None
    tau: float | None
    chronological: float | None


def score(questions: Iterable[BookQuestion], answers: Mapping[str, Sequence[str]]) -> BookScores:
    """The scores of `answers` (question id to items, in order where order was asked).

    Errors: `InvalidInput`, naming the question, where an answer is missing; "there is none" is the empty list.
    """
    bins: defaultdict[str, list[float]] = defaultdict(list)
    latest: list[float] = []
    taus: list[float] = []
    listed = 0
    for question in questions:
        if question.id not in answers:
            raise InvalidInput(f"no answer to {question.id} {question.text!r}; give an empty list if there is none")
        given = answers[question.id]
        if question.get == "all":
            bins[question.bin].append(answer_f1(question.items, given))
        elif question.get == "latest" and question.matching > 1:
            latest.append(answer_f1(question.items, given))
        elif question.get == "chronological" and len(question.items) > 1:
            listed += 1
            order = match_in_order(question.items, given)
            if len(order) == len(question.items):
                taus.append(kendall_tau(order))
    means = {name: _mean(bins[name]) for name in BINS if bins[name]}
    complete = len(taus) / listed if listed else None
    last = _mean(latest) if latest else None
    tau = _mean(taus) if taus else None
    chronological = None
    if last is not None and complete is not None:
        chronological = (last + complete * max(0.0, tau or 0.0)) / 2
    return BookScores(means, _mean(list(means.values())) if means else None, last, complete, tau, chronological)


def recall_ceiling(questions: Iterable[BookQuestion], k: int) -> float:
    """The best mean recall of chapters that `k` chapters can reach: the mean of min(k, n) / n.

    Questions without gold chapters do not count. Errors: `InvalidInput` if none is left.
    """
    sizes = [len(question.chapters) for question in questions if question.chapters]
    if not sizes:
        raise InvalidInput("no question has gold chapters; recall has no ceiling")
    return _mean([min(k, size) / size for size in sizes])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
