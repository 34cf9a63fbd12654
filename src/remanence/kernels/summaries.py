"""Extractive summaries: whole sentences, each with the place where it was said, within a budget of tokens.

What is worth saying is what the text says often, and every name and number. A sentence is worth the weights of its
terms and details, each less by half for every chosen sentence that has it already, and nothing if it adds none, so that
nothing is said twice; the sentence with the most worth per token goes first. That is greedy maximisation of a monotone
submodular function under a budget (H. Lin and J. Bilmes, "Multi-document summarization via budgeted maximization of
submodular functions", 2010).
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from remanence.core.errors import InvalidInput
from remanence.kernels.names import name_key, names
from remanence.kernels.packing import estimate_tokens

DETAIL = 3.0
"""What a name or number is worth; a term that occurs in n sentences is worth log(1 + n)."""
AGAIN = 0.5
"""What is left of it for each chosen sentence that has it already."""
LENGTH = 0.8
"""Worth is divided by the tokens to this power: 1 favours short sentences, 0 long ones."""

# A full stop ends a sentence only before white space, and not behind an initial or a common abbreviation.
_ENDS = re.compile(
    r"(?<!\b[A-Z])(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)[.!?…]+[\"”’')\]]*(?=\s)"
    r"|[。！？]+[」』”]?|\n+"
)
_LEAST = 2
_NUMBERS = re.compile(r"\d+(?:[.,:]\d+)*")


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence and where it stands: characters `start:end` of record `source`.

    `terms` are its terms with meaning; `details` its names and numbers in normal form; `cost` its tokens.
    """

    text: str
    source: str
    start: int
    end: int
    terms: frozenset[str]
    details: frozenset[str]
    cost: int


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of the sentences of a text, without the white space around them."""
    spans, start = [], 0
    for end in [*(match.end() for match in _ENDS.finditer(text)), len(text)]:
        piece = text[start:end]
        if stripped := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            spans.append((first, first + len(stripped)))
        start = end
    return spans


def details(text: str) -> frozenset[str]:
    """The names of a text, as `name_key` gives them, and its numbers."""
    return frozenset(map(name_key, names(text))) | frozenset(_NUMBERS.findall(text))


def passage(
    source: str, text: str, start: int, end: int, terms: Iterable[str], people: Collection[str] = (), prefix: str = ""
) -> Passage:
    """A sentence `text` that stands at `start:end` of record `source`, with its `terms` that have a meaning.

    The names of `people` (as `name_key` gives them) are no news where they speak themselves; one word alone ("Lovely!")
    is none either. `prefix` ("Ana: ") counts as cost only.
    """
    given = frozenset(detail for detail in details(text) if detail not in people)
    meant = frozenset(term for term in terms if term not in people)
    if len(meant) < _LEAST and not given:
        meant = frozenset()
    return Passage(text, source, start, end, meant, given, estimate_tokens(prefix) + estimate_tokens(text))


def passages(
    source: str, text: str, terms: Callable[[str], Iterable[str]], people: Collection[str] = (), prefix: str = ""
) -> list[Passage]:
    """The sentences of a record's text; see `passage`."""
    return [
        passage(source, text[start:end], start, end, terms(text[start:end]), people, prefix)
        for start, end in sentences(text)
    ]


def summarise(items: Sequence[Passage], budget: int, *, keep: bool = False) -> list[int]:
    """Indices of the passages that make up the summary, ascending; together they cost at most `budget` tokens.

    `keep`: names and numbers come before everything else, so that none is missing if the budget suffices (see
    `missing`). Passages without terms and details are never chosen.

    Raises:
        InvalidInput: the budget is negative.
    """
    chosen = _start(items, budget, keep)
    heap = [(-chosen.gain(i), i) for i in range(len(items)) if i not in chosen.indices]
    heapq.heapify(heap)
    while heap:
        # Gains only ever fall, so a passage that is still the best after a new look is the best of all.
        _, index = heapq.heappop(heap)
        if items[index].cost > chosen.left:
            continue
        gain = chosen.gain(index)
        if gain <= 0:
            continue
        if heap and (-gain, index) > heap[0]:
            heapq.heappush(heap, (-gain, index))
        else:
            chosen.take(index)
    return sorted(chosen.indices)


def naive_summarise(items: Sequence[Passage], budget: int, *, keep: bool = False) -> list[int]:
    """`summarise`, looking at every passage each time."""
    chosen = _start(items, budget, keep)
    while True:
        fitting = [i for i in range(len(items)) if i not in chosen.indices and items[i].cost <= chosen.left]
        best = max(fitting, key=lambda i: (chosen.gain(i), -i), default=None)
        if best is None or chosen.gain(best) <= 0:
            return sorted(chosen.indices)
        chosen.take(best)


def missing(items: Sequence[Passage], chosen: Iterable[int]) -> frozenset[str]:
    """Names and numbers that are in the passages but not in the chosen ones."""
    kept = frozenset[str]().union(*(items[i].details for i in chosen))
    return frozenset[str]().union(*(item.details for item in items)) - kept


class RunningSummary:
    """`S_t = f(S_{t-1}, u_t)`: what was said so far in at most `budget` tokens, and after every `every` turns the
    summary so far joins an overview of earlier ones, likewise bounded (HEMA's summary of summaries, 2025).

    `current` and `overview` are passages in order of speech.
    """

    def __init__(self, budget: int = 60, every: int = 100) -> None:
        if budget < 1 or every < 1:
            raise InvalidInput(f"budget={budget} and every={every} must be at least 1")
        self.budget = budget
        self.every = every
        self.current: tuple[Passage, ...] = ()
        self.overview: tuple[Passage, ...] = ()
        self._turns = 0

    def push(self, turn: Sequence[Passage]) -> None:
        """Take in the sentences of the next turn."""
        if self._turns == self.every:
            self.overview = bounded((*self.overview, *self.current), self.budget)
            self.current, self._turns = (), 0
        self.current = bounded((*self.current, *turn), self.budget)
        self._turns += 1

    def passages(self) -> tuple[Passage, ...]:
        """Overview and current summary together: at most twice the budget."""
        return (*self.overview, *self.current)


def bounded(items: Sequence[Passage], budget: int, *, keep: bool = False) -> tuple[Passage, ...]:
    """The passages of the summary of `items`."""
    return tuple(items[i] for i in summarise(items, budget, keep=keep))


class _Choice:
    """Which passages are chosen, and what others would add."""

    def __init__(self, items: Sequence[Passage], budget: int) -> None:
        self.indices: set[int] = set()
        self.left = budget
        self._items = items
        frequency = Counter(term for item in items for term in item.terms)
        self._worth = {term: math.log1p(count) for term, count in frequency.items()}
        self._said: Counter[str] = Counter()
        self._given: Counter[str] = Counter()

    def gain(self, index: int) -> float:
        item = self._items[index]
        if item.terms <= self._said.keys() and item.details <= self._given.keys():
            return 0.0
        worth = math.fsum(self._worth[term] * AGAIN ** self._said[term] for term in item.terms)
        worth += math.fsum(DETAIL * AGAIN ** self._given[detail] for detail in item.details)
        return worth / math.pow(max(item.cost, 1), LENGTH)

    def news(self, index: int) -> float:
        """Names and numbers per token that no chosen passage has."""
        item = self._items[index]
        return sum(not self._given[detail] for detail in item.details) / max(item.cost, 1)

    def take(self, index: int) -> None:
        item = self._items[index]
        self.indices.add(index)
        self.left -= item.cost
        self._said.update(item.terms)
        self._given.update(item.details)


def _start(items: Sequence[Passage], budget: int, keep: bool) -> _Choice:
    if budget < 0:
        raise InvalidInput(f"budget={budget} must be 0 or more tokens")
    chosen = _Choice(items, budget)
    while keep:
        fitting = [i for i in range(len(items)) if i not in chosen.indices and items[i].cost <= chosen.left]
        best = max(fitting, key=lambda i: (chosen.news(i), -i), default=None)
        if best is None or not chosen.news(best):
            break
        chosen.take(best)
    return chosen
