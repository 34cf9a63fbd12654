"""Whether some evidence answers a question, told without a model, and a gate that learns when not to trust an answer.

Three things are looked at, after the audit of D-Mem (2026); the first is also HiMem's test of sufficiency (2026):

- *relevance*: how near the evidence is, whether it names whom the question names, and holds something of the kind that
  is asked for (a name, a time, a number);
- *faithfulness*: whether the answer stands in the evidence, and nothing in it says otherwise;
- *completeness*: how many of the words of the question that matter have been met.

`Gate` makes one probability of them, that the answer is wrong, by logistic regression:

    p(wrong | x) = 1 / (1 + exp(-(w · x + b))),    ask further where p(wrong) > 1 - threshold

so threshold 0 trusts every answer, 1 none, and what lies between is chosen on questions whose answers are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.clock import EPOCH
from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.claims.questions import read_question
from remanence.kernels.names import name_key, names
from remanence.kernels.novelty import Statement
from remanence.kernels.timex import asks_for_time, mentions_time
from remanence.kernels.truth import family, matter

Kind = Literal["name", "time", "number", "any"]

RELEVANT: Final = 0.45
"""Cosine from which evidence may be about a question."""
_WHO = re.compile(
    r"\b(?:who|whom|whose|where|which (?:city|town|country|company|person)|called|name of)\b", re.IGNORECASE
)
_MANY = re.compile(r"\bhow (?:many|much|old|far|tall|often|long)\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|once|twice)\b", re.IGNORECASE
)


class Answerable(NamedTuple):
    """What speaks for an answer, each from 0 to 1. `features` of a gate, in this order."""

    relevance: float
    """The greatest cosine."""
    named: float
    """Share of the names of the question that the best text has."""
    typed: float
    """Whether such a text holds something of the kind that is asked for."""
    stated: float
    """Whether the very matter is stated: 1 it is, 0 it is not, 0.5 the question could not be read."""
    grounded: float
    """Whether the answer stands in the evidence."""
    unrivalled: float
    """Whether nothing else is said of the same matter."""
    complete: float
    """Share of the words of the question that matter which the best text has."""


FEATURES: Final = len(Answerable._fields)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of evidence: its text, its cosine with the question, and the values that it states by matter."""

    text: str
    cosine: float
    states: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, read: what kind of thing it asks for, whom it names, its words, and the matters it may be about."""

    text: str
    kind: Kind
    named: frozenset[str]
    words: frozenset[str]
    matters: frozenset[str]


def ask(question: str, now: datetime, analyzer: Analyzer, people: Collection[str] = ()) -> Asked:
    """Read a question. `people` are names that are known; names count without case and accents."""
    lower = {name_key(name) for name in people}
    words = question.replace("'s", " ").replace("’s", " ").split()
    named = {name_key(name) for name in names(question)} | {key for word in words if (key := name_key(word)) in lower}
    terms = [term for term in analyzer.terms(question) if not is_stopword(term)]
    matters = {
        matter(one.path[0], family(one.attribute)[0])
        for one in read_question(question, now, people)
        if len(one.path) == 1 and one.attribute and one.attribute not in ("event", "activity")
    }
    named.discard("")
    return Asked(question, kind_of(question), frozenset(named), frozenset(terms), frozenset(matters))


def kind_of(question: str) -> Kind:
    """What an answer has to hold: a name for "who" and "where", a time, a number, or anything."""
    if _MANY.search(question):
        return "number"
    if asks_for_time(question):
        return "time"
    return "name" if _WHO.search(question) else "any"


def look(asked: Asked, passages: Sequence[Passage], analyzer: Analyzer, answer: str = "") -> Answerable:
    """What speaks for an answer (or, without one, for there being one) in some evidence; all 0 where there is none.

    Names, kind and words have to come together in one passage; the best one counts.
    """
    if not passages:
        return Answerable(*([0.0] * FEATURES))
    best = (0.0, 0.0, 0.0)
    for passage in passages:
        named = _share(asked.named, partial(_within, name_key(passage.text)))
        complete = _share(asked.words, set(analyzer.terms(passage.text)).__contains__)
        best = max(best, (named, float(holds(asked, passage.text)), complete))
    values = {value for passage in passages for key, value in passage.states if key in asked.matters}
    stated = 0.5 if not asked.matters else float(bool(values))
    key = name_key(answer)
    grounded = bool(key) and any(_within(name_key(passage.text), key) for passage in passages)
    return Answerable(
        max(0.0, *(passage.cosine for passage in passages)),
        best[0],
        best[1],
        stated,
        float(grounded),
        float(len(values) <= 1),
        best[2],
    )


def holds(asked: Asked, text: str) -> bool:
    """Whether a text holds something of the kind that is asked for, besides what the question names itself."""
    if asked.kind == "name":
        return any(name_key(name) not in asked.named for name in names(text))
    if asked.kind == "time":
        return mentions_time(text)
    return asked.kind != "number" or _NUMBER.search(text) is not None


def sufficient(seen: Answerable, threshold: float = RELEVANT) -> bool:
    """Whether the evidence answers the question: the matter is stated; or, where the question could not be read as one,
    a near text names all that it names and holds something of the kind."""
    if seen.stated != 0.5:
        return seen.stated > 0.5
    return seen.relevance >= threshold and seen.named == 1 and seen.typed == 1


@dataclass(frozen=True, slots=True)
class Gate:
    """How likely an answer is wrong. `weights` [FEATURES], `bias`; `threshold` in 0..1 as in the module."""

    weights: tuple[float, ...]
    bias: float
    threshold: float

    def wrong(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """p(wrong) of each line of `features` [n, FEATURES]; result [n]."""
        scores = np.clip(features @ np.array(self.weights) + self.bias, -500, 500)
        found: NDArray[np.float64] = 1 / (1 + np.exp(-scores))
        return found

    def chance(self, seen: Answerable) -> float:
        """p(wrong) of one answer."""
        return float(self.wrong(array([seen]))[0])

    def distrusts(self, wrong: float) -> bool:
        """Whether to ask further. With threshold 0 never, with 1 always."""
        return bool(self.threshold >= 1 or wrong > 1 - self.threshold)


def fitted(
    features: NDArray[np.float64],
    wrong: Sequence[bool],
    *,
    recall: float = 0.9,
    strength: float = 1.0,
    rounds: int = 50,
) -> Gate:
    """The gate of some questions with known answers: weights by Newton's method on the penalised likelihood, and the
    smallest threshold that distrusts the share `recall` of the wrong answers.

    Args:
        features: [n, FEATURES]
        wrong: [n], whether each answer was wrong.
        recall: in (0, 1].
        strength: of the penalty strength/2 * |weights|²; the bias is free.
        rounds: of Newton's method at most.

    Raises:
        InvalidInput: shapes that do not fit, no line, or a recall outside (0, 1].

    """
    labels = np.array(wrong, np.float64)
    if features.ndim != 2 or not len(labels) or features.shape[0] != len(labels):
        raise InvalidInput(
            f"features of shape {features.shape} do not fit {len(labels)} labels; give one line for each"
        )
    if not 0 < recall <= 1:
        raise InvalidInput(f"recall={recall} must be above 0 and at most 1")
    design = np.hstack([features, np.ones((len(labels), 1))])
    penalty = np.full(design.shape[1], strength)
    penalty[-1] = 1e-6
    weights = np.zeros(design.shape[1])
    for _ in range(rounds):
        chances = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        gradient = design.T @ (chances - labels) + penalty * weights
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        weights -= np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            break
    gate = Gate(tuple(float(weight) for weight in weights[:-1]), float(weights[-1]), 0.5)
    chances = np.sort(gate.wrong(features)[labels > 0])
    if not len(chances):
        return gate
    least = float(chances[int(np.floor((1 - recall) * len(chances)))])
    return Gate(gate.weights, gate.bias, min(1.0, float(np.nextafter(1 - least, 2))))


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Area under the ROC curve: how often a positive scores higher than a negative, ties by half; 0.5 without either.

    By ranks (H. B. Mann and D. R. Whitney, 1947).
    """
    values, labels = np.array(scores, np.float64), np.array(positive, bool)
    ups, downs = int(labels.sum()), int((~labels).sum())
    if not ups or not downs:
        return 0.5
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    return float((ranks[labels].sum() - ups * (ups + 1) / 2) / (ups * downs))


def naive_auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """`auc`, pair by pair."""
    ups = [score for score, label in zip(scores, positive, strict=True) if label]
    downs = [score for score, label in zip(scores, positive, strict=True) if not label]
    won = sum((up > down) + (up == down) / 2 for up in ups for down in downs)
    return won / (len(ups) * len(downs)) if ups and downs else 0.5


def array(seen: Iterable[Answerable]) -> NDArray[np.float64]:
    """Features of several answers, [n, FEATURES]."""
    return np.array([tuple(one) for one in seen], np.float64).reshape(-1, FEATURES)


def stated_values(stated: Statement | Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """What a statement, or the `meta` of its record, states, for `Passage.states`: its matter and its value."""
    if not isinstance(stated, Statement):
        subject, known, value = (str(stated.get(name, "")) for name in ("subject", "attribute", "value"))
        stated = Statement("", EPOCH, (), subject, known, value, bool(stated.get("holds", True)))
    return ((stated.matter, stated.value),) if stated.attribute and stated.holds else ()


def scanned(
    words: NDArray[np.float64],
    cosines: NDArray[np.float64],
    named: NDArray[np.float64],
    previous: NDArray[np.int64],
    shares: tuple[float, float, float] = (0.45, 0.35, 0.2),
) -> NDArray[np.float64]:
    """How much each turn of a dialogue bears on a question, from 1 to 5: 1 + 4 * (shares · (words, cosine, names)), the
    first two as parts of the greatest; and at least what the turn before or after it has, less one.

    Args:
        words: [n], BM25 scores.
        cosines: [n]; what is negative counts as 0.
        named: [n], share of the names of the question that the turn has.
        previous: [n], place of the turn before in the same session; -1 for none.
        shares: sum to 1.

    """
    parts = np.stack([_of_greatest(words), _of_greatest(np.maximum(cosines, 0)), named])
    own: NDArray[np.float64] = 1 + 4 * (np.array(shares) @ parts)
    scores = own.copy()
    after = np.flatnonzero(previous >= 0)
    before = previous[after]
    np.maximum.at(scores, after, own[before] - 1)
    np.maximum.at(scores, before, own[after] - 1)
    return scores


def naive_scanned(
    words: Sequence[float],
    cosines: Sequence[float],
    named: Sequence[float],
    previous: Sequence[int],
    shares: tuple[float, float, float] = (0.45, 0.35, 0.2),
) -> list[float]:
    """`scanned`, turn by turn."""
    most, nearest = max(words, default=0.0), max(cosines, default=0.0)

    def own(place: int) -> float:
        word = words[place] / most if most > 0 else 0.0
        cosine = max(cosines[place], 0.0) / nearest if nearest > 0 else 0.0
        return 1 + 4 * (shares[0] * word + shares[1] * cosine + shares[2] * named[place])

    found = []
    for place in range(len(words)):
        beside = [other for other in range(len(words)) if previous[other] == place]
        beside += [previous[place]] if previous[place] >= 0 else []
        found.append(max([own(place), *(own(other) - 1 for other in beside)]))
    return found


def _of_greatest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    greatest = values.max(initial=0.0)
    return values / greatest if greatest > 0 else np.zeros_like(values)


def _within(text: str, words: str) -> bool:
    return f" {words} " in f" {text} "


def _share(wanted: Collection[str], has: Callable[[str], bool]) -> float:
    return sum(map(has, wanted)) / len(wanted) if wanted else 1.0
