"""What a generated conversation is made of: turns, the facts behind them, questions with exact gold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from remanence.core.errors import RemanenceError

Hardness = Literal["easy", "medium", "hard"]
HARDNESS: tuple[Hardness, ...] = get_args(Hardness)

Category = Literal[
    "single",
    "update",
    "contradiction",
    "correction",
    "previous",
    "as_of",
    "multi_hop",
    "temporal",
    "interval",
    "negation",
    "multi_value",
    "count",
    "unanswerable",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)

Mode = Literal["now", "then", "before", "still", "values", "count", "count_ever", "when", "days", "unknown"]

UNKNOWN = "not stated"
"""The answer to a question that the conversation does not answer."""


class ScenarioInconsistent(RemanenceError):
    """A generated scenario contradicts itself; its message names the seed and the question or fact."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `at` is aware UTC; ids and session names say nothing about the content."""

    id: str
    session: str
    speaker: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was said and how long it was true: `valid_from <= t < valid_to` (None: still true).

    `turn` states it first; `restated` are later turns that say it again; `ended_by` is the turn that says that it is
    over (a successor, a denial or a correction). A slip of the tongue that was corrected later was never true: its
    interval is empty (`valid_from == valid_to`). A happening lasts for its day. `value` occurs in each of its turns,
    except where it is a date ("14 June 2024"), which the turn may give relative to its own day ("a week from today").
    """

    subject: str
    attribute: str
    value: str
    valid_from: datetime
    valid_to: datetime | None
    turn: str
    restated: tuple[str, ...] = ()
    ended_by: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """The question in symbols, for checkers and readers that are given the facts; never for a system under test.

    `path` starts with a person; each further step is a relation ("partner") to follow. `mode` says what is asked of
    `attribute`: its value `now`, `then` (at `Question.as_of`) or `before` it became `values[0]`; whether `values[0]`
    `still` holds; all `values`; how many hold (`count`) or ever held (`count_ever`); `when` `values[0]` happened; how
    many `days` lie between the two happenings of `pairs`; or `unknown`: nothing was ever said about it.
    """

    path: tuple[str, ...]
    attribute: str
    mode: Mode
    values: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One question, its exact answer and the turns that prove it.

    `gold` are all turns that state what the answer rests on, in order of time. `forbidden` are turns that look like
    evidence and are none: superseded or retracted statements, hypotheticals, hearsay, echoes of the question. A good
    ranking has no forbidden turn above the best gold turn. `as_of` is set where the question names a day in the past;
    `now` is when it is asked, after the last turn.
    """

    id: str
    text: str
    answer: str
    gold: tuple[str, ...]
    category: Category
    as_of: datetime | None
    now: datetime
    forbidden: tuple[str, ...]
    probe: Probe


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A whole conversation. `people` are those who speak, `others` those who are only spoken of."""

    people: tuple[str, ...]
    others: tuple[str, ...]
    turns: tuple[Turn, ...]
    facts: tuple[Fact, ...]
    questions: tuple[Question, ...]
    seed: int
    hardness: Hardness
