"""Gates that a generated scenario has to pass before anything measured on it means anything.

Each gate takes `Case`s, the common form of questions, and raises `ScenarioInconsistent`, naming the question, where the
scenario fails it:

    leak         a question or an id gives the answer away, or evidence lies after the question is asked
    solvable     a symbolic solver finds the answer from the evidence, and not without any part of a minimal set
    unique       going through the whole world gives exactly this answer; no two questions read alike
    shortcut     guessing without looking (majority, most recent, most frequent) does no better than chance
    hardness     plain BM25 does not find all evidence within a budget of tokens
    balance      questions keep to the plan, answers vary, evidence is spread over the whole stream
    determinism  the same seed gives the same bytes, and a longer scenario begins with the shorter one
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.bm25 import idf, length_norms, saturate
from remanence.kernels.packing import estimate_tokens
from remanence.scenarios.model import ScenarioInconsistent
from remanence.scenarios.phrases import says

K1, B = 1.2, 0.75
"""The usual settings of BM25; no stemming, no stop words."""

TELLING = ("answer", "gold", "evidence", "correct", "truth")
"""Words that no id may contain."""

ERRORS_ABOVE_CHANCE = 3
SMALLEST_P = 0.05

_OPAQUE = re.compile(r"(?:[.:/-]?[A-Za-z]{0,2}(?:[0-9]+|[0-9a-f]{8,}))+")


@dataclass(frozen=True, slots=True)
class Case:
    """One question as the gates see it.

    Attributes:
        kind: What it asks for; answers of one kind compete with each other.
        answers: The right items, none where the right answer is that there is none. In order if order was asked.
        evidence: Ids of the documents that the answer rests on; empty where there is no answer.
        aliases: Other ways to say an answer.
        needed: Groups of documents of which the answer needs one each, such as all that state the same fact; so every
            choice of one per group is a sufficient set. Empty: each document of `evidence` is needed.
        asked_at: When it is asked; None: after everything.
    """

    id: str
    text: str
    kind: str
    answers: tuple[str, ...]
    evidence: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    needed: tuple[tuple[str, ...], ...] = ()
    asked_at: datetime | None = None

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """`needed`, or each document of `evidence` by itself."""
        return self.needed or tuple((name,) for name in self.evidence)

    def proven_by(self, documents: Collection[str]) -> bool:
        """Whether these documents hold one of each group."""
        return all(any(name in documents for name in group) for group in self.groups())


Solver = Callable[[Case, frozenset[str]], tuple[str, ...]]
"""The answer to a case from these documents alone; empty where they do not answer it."""


def _fail(case: Case, what: str) -> NoReturn:
    raise ScenarioInconsistent(f"{case.id} {case.text!r}: {what}")


def leak(cases: Iterable[Case], times: Mapping[str, datetime] | None = None) -> None:
    """No answer or alias stands in its question as whole words, ids are opaque, no evidence comes after the question.

    An id is opaque if it is made of numbers or hashes, each after at most two letters. `times` says when
    each document was written; without it the order of time is not checked.
    """
    for case in cases:
        for said in (*case.answers, *case.aliases):
            if says(case.text, said):
                _fail(case, f"the question contains its answer {said!r}")
        for name in (case.id, *case.evidence):
            telling = [word for word in TELLING if word in name.casefold()]
            if telling or not _OPAQUE.fullmatch(name):
                _fail(case, f"the id {name!r} is not opaque; use a letter and a number")
        if case.asked_at is not None and times is not None:
            for name in case.evidence:
                if times[name] > case.asked_at:
                    _fail(case, f"its evidence {name} of {times[name]} comes after it is asked, at {case.asked_at}")


def solvable(cases: Iterable[Case], solve: Solver) -> None:
    """The solver finds the answer from all evidence and from a minimal set, and not with one part of it removed.

    Two minimal sets are tried: the first and the last document of each group of `Case.needed`. A solver that knows
    the answer from nothing is caught too, since an answered case has at least one piece of evidence.
    """
    for case in cases:
        if case.answers and not case.evidence:
            _fail(case, f"it has the answer {case.answers} and no evidence")
        if not {name for group in case.groups() for name in group} <= set(case.evidence):
            _fail(case, f"it needs {case.groups()}, which is not part of its evidence {case.evidence}")
        minimal = [frozenset(group[end] for group in case.groups()) for end in (0, -1)]
        for chosen in dict.fromkeys((frozenset(case.evidence), *minimal)):
            found = solve(case, chosen)
            if found != case.answers:
                _fail(case, f"from {sorted(chosen)} follows {found}, not {case.answers}")
        for chosen in dict.fromkeys(minimal):
            for part in sorted(chosen):
                rest = chosen - {part}
                if not case.proven_by(rest) and solve(case, rest) == case.answers:
                    _fail(case, f"{part} is not needed: {case.answers} follows from {sorted(rest)}")


def unique(cases: Sequence[Case], brute_force: Callable[[Case], tuple[str, ...]]) -> None:
    """Going through the whole world gives exactly the answer of each case; no two ask the same, whatever the case."""
    asked: dict[str, str] = {}
    for case in cases:
        found = brute_force(case)
        if found != case.answers:
            _fail(case, f"the world says {found}, not {case.answers}")
        other = asked.setdefault(case.text.casefold(), case.id)
        if other != case.id:
            _fail(case, f"{other} asks the same")


def shortcut(cases: Sequence[Case], stated: Sequence[tuple[str, str]], chance: Mapping[str, float]) -> dict[str, float]:
    """Share of one-item answers that each guess gets right without looking; at most chance + 3 standard errors.

    The guesses per kind: the `majority` answer of all other cases, the `recent` value (stated last) and the `frequent`
    value (stated most often). `stated` are (kind, value) pairs in order of time; `chance` is the accuracy of a blind
    guess by kind. The standard error is sqrt(c (1 - c) / n) for mean chance c.

    Errors: `ScenarioInconsistent`, naming the guess and a question that it gets right; `InvalidInput` for a kind
    without a chance.
    """
    single = [case for case in cases if len(case.answers) == 1]
    missing = {case.kind for case in single} - chance.keys()
    if missing:
        raise InvalidInput(f"no chance is given for {', '.join(sorted(missing))}; say how often a blind guess is right")
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for case in single:
        answers[case.kind][case.answers[0]] += 1
    recent = dict(stated)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for kind, value in stated:
        counts[kind][value] += 1
    frequent = {kind: values.most_common(1)[0][0] for kind, values in counts.items()}
    guesses: dict[str, Callable[[Case], str | None]] = {
        "majority": lambda case: _majority(answers[case.kind] - Counter(case.answers)),
        "recent": lambda case: recent.get(case.kind),
        "frequent": lambda case: frequent.get(case.kind),
    }
    shares: dict[str, float] = {}
    if not single:
        return shares
    expected = sum(chance[case.kind] for case in single) / len(single)
    bound = expected + ERRORS_ABOVE_CHANCE * math.sqrt(expected * (1 - expected) / len(single))
    for name, guess in guesses.items():
        right = [case for case in single if guess(case) == case.answers[0]]
        shares[name] = len(right) / len(single)
        if shares[name] > bound:
            _fail(right[0], f"guessing the {name} value is right for {shares[name]:.3f} of such, above {bound:.3f}")
    return shares


def _majority(answers: Counter[str]) -> str | None:
    return max(sorted(answers), key=lambda answer: answers[answer]) if answers else None


class PlainBm25:
    """BM25 over whole words: what a scenario must withstand. Ties keep the order of the documents.

    Args:
        texts: The documents.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._analyzer = Analyzer("none")
        counts = [Counter(self._analyzer.terms(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], np.float64)
        norms = length_norms(lengths, K1, B)
        postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, count in enumerate(counts):
            for term, tf in count.items():
                postings[term].append((row, tf))
        self._size = len(texts)
        self._shares: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        for term, pairs in postings.items():
            rows, tfs = np.array(pairs, np.int64).T
            self._shares[term] = rows, saturate(tfs, norms[rows], idf(len(texts), len(rows)), K1)

    def scores(self, query: str) -> NDArray[np.float64]:
        """[documents]"""
        scores = np.zeros(self._size)
        for term in dict.fromkeys(self._analyzer.terms(query)):
            if term in self._shares:
                rows, shares = self._shares[term]
                scores[rows] += shares
        return scores

    def rank(self, query: str) -> list[int]:
        """Rows of all documents, best first."""
        order: list[int] = np.argsort(-self.scores(query), kind="stable").tolist()
        return order


def recall_all(cases: Iterable[Case], documents: Mapping[str, str], budget: int = 1000) -> float:
    """The share of answered cases of which plain BM25 finds all evidence within `budget` tokens.

    Whole documents are taken, best first, until one no longer fits; one of each group of `Case.needed` is enough.
    Errors: `InvalidInput` if no case has evidence.
    """
    found = _found(cases, documents, budget)
    if not found:
        raise InvalidInput("no case has evidence; there is nothing to find")
    return sum(found.values()) / len(found)


def hardness(cases: Sequence[Case], documents: Mapping[str, str], *, budget: int = 1000, bound: float = 0.75) -> float:
    """`recall_all`, which must not be above `bound`; else the message names a question that was found."""
    found = _found(cases, documents, budget)
    reached = sum(found.values()) / max(len(found), 1)
    if reached > bound:
        case = next(case for case in cases if found.get(case.id))
        _fail(case, f"plain BM25 solves {reached:.3f} of such within {budget} tokens, more than {bound}")
    return reached


def _found(cases: Iterable[Case], documents: Mapping[str, str], budget: int) -> dict[str, bool]:
    names = list(documents)
    costs = [estimate_tokens(text) for text in documents.values()]
    index = PlainBm25(list(documents.values()))
    found: dict[str, bool] = {}
    for case in cases:
        if not case.evidence:
            continue
        taken: set[str] = set()
        left = budget
        for row in index.rank(case.text):
            if costs[row] > left:
                break
            left -= costs[row]
            taken.add(names[row])
        found[case.id] = case.proven_by(taken)
    return found


def balance(
    cases: Sequence[Case],
    documents: Sequence[str],
    *,
    plan: Mapping[str, float] | None = None,
    unanswerable: tuple[float, float] = (0.15, 0.25),
    tolerance: float = 0.1,
    most: float = 0.2,
) -> float:
    """Kinds keep to the plan, no answer is frequent, evidence is spread evenly. Returns the p-value of the last.

    Args:
        cases: The questions.
        documents: Ids of all documents in order of time.
        plan: Planned share of each kind; the count may deviate by `tolerance` of itself, and by one. None: no plan.
        unanswerable: Least and greatest share of cases without an answer, which is what always abstaining gains.
        tolerance: See `plan`.
        most: No item may answer more than this share of the answered cases.

    Positions of the documents that are evidence, each taken once, are compared with the even spread by a
    Kolmogorov-Smirnov test; p must be above 0.05.
    """
    kinds = Counter(case.kind for case in cases)
    for kind, share in (plan or {}).items():
        planned = share * len(cases)
        if abs(kinds[kind] - planned) > tolerance * planned + 1:
            case = next((case for case in cases if case.kind == kind), cases[0])
            _fail(case, f"{kinds[kind]} questions of kind {kind!r} instead of {planned:.1f}")
    answered = [case for case in cases if case.evidence]
    silent = 1 - len(answered) / len(cases)
    if not unanswerable[0] <= silent <= unanswerable[1]:
        case = next((case for case in cases if not case.evidence), cases[0])
        _fail(
            case,
            f"{silent:.1%} of the questions have no answer instead of {unanswerable[0]:.0%} to {unanswerable[1]:.0%}",
        )
    items = Counter(item for case in answered for item in set(case.answers))
    for item, count in items.most_common(1):
        if count > most * len(answered):
            case = next(case for case in answered if item in case.answers)
            _fail(case, f"{item!r} answers {count} of {len(answered)} questions; it may answer {most:.0%}")
    place = {name: (row + 0.5) / len(documents) for row, name in enumerate(documents)}
    used = dict.fromkeys(name for case in cases for name in case.evidence)
    p = spread([place[name] for name in used])
    if p <= SMALLEST_P:
        case = next(case for case in cases if case.evidence)
        _fail(case, f"its evidence and that of the others is unevenly spread over the documents (p = {p:.4f})")
    return p


def spread(positions: Sequence[float]) -> float:
    """p-value of a Kolmogorov-Smirnov test of positions in [0, 1] against the uniform distribution; 1 for none.

    p = 2 sum over k of (-1)^(k-1) exp(-2 k² z²), z = (sqrt(n) + 0.12 + 0.11 / sqrt(n)) D, where D is the greatest
    distance between the distribution functions (M. A. Stephens, 1970).
    """
    n = len(positions)
    if n == 0:
        return 1.0
    ordered = sorted(positions)
    distance = max(max((i + 1) / n - x, x - i / n) for i, x in enumerate(ordered))
    z = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    if z < 0.2:  # the series converges slowly, and to 1 within 1e-12
        return 1.0
    return min(1.0, max(0.0, 2 * math.fsum((-1) ** (k - 1) * math.exp(-2 * (k * z) ** 2) for k in range(1, 101))))


def digest(thing: object) -> str:
    """SHA-256 of what a plain dataclass or container prints, which holds no address and no set."""
    return hashlib.sha256(repr(thing).encode()).hexdigest()


def determinism(make: Callable[[int], Sequence[object]], short: int, long: int, *, expected: str | None = None) -> str:
    """The digest of `make(short)`, the documents of a scenario of that size.

    Two calls must agree with each other and, where it is given, with the `expected` digest (of another process or
    version); `make(long)` must begin with `make(short)`. Errors: `ScenarioInconsistent`, naming the document.
    """
    one, two, more = make(short), make(short), make(long)
    for what, other in (("a second time", two), (f"at size {long}", more[: len(one)])):
        for row, item in enumerate(one):
            if row >= len(other) or digest(item) != digest(other[row]):
                raise ScenarioInconsistent(f"document {row} of a scenario of size {short} comes out different {what}")
    if len(two) != len(one):
        raise ScenarioInconsistent(f"document {len(one)} of a scenario of size {short} is there only a second time")
    found = digest(one)
    if expected is not None and found != expected:
        raise ScenarioInconsistent(f"a scenario of size {short} has the digest {found}, not {expected}")
    return found
