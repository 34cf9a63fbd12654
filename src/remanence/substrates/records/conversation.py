"""What conversation adds to retrieval: marked token streams, questions taken apart, who speaks, and when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from remanence.core.clock import to_micros
from remanence.kernels.analyzer import Analyzer, is_stopword
from remanence.kernels.claims.known import NOTHING_KNOWN, Verdict
from remanence.kernels.dense import top
from remanence.substrates.records.channels import Floats, Rows
from remanence.substrates.records.scope_index import ASKS, DATED, ScopeIndex

_QUESTION_MARKS = ("?", "？", "؟", "\u037e")
"""The last is the Greek one. It is not told from a semicolon in normalised text, and code ends in semicolons too."""
_FIRST_PERSON = r"\b(i|me|my|mine|we|our|i'm|i've|i'd)\b"
_PRESENT = (
    r"\b(current(ly)?|now|latest|(most )?recent(ly)?|so far|still|these days|today|my|how (many|much|often|long)"
    r"|(do|does|am|is|are|have|has) (i|my|we|our|you))\b|现在|目前|如今|最近|最新"
)
_SEVERAL = (
    r"\bin (what|which) (order|ways)\b|\bthe order (in which|of|that)\b|\bchronolog|\bsequence of\b"
    r"|\b(days|weeks|months|years|hours|time|long)\b.*\b(between|pass(ed)?|elapsed|since|before|after|ago|when)\b"
    r"|\b(which|who)\b.*\bfirst\b|^(which|what) (\w+ )?(?!is|was|does|has)\w+s\b|\bhow (many|much|often)\b"
)
_ELSEWHERE = 0.25
"""Logits that each further turn of one session loses where an answer has to be put together from several."""
_HEAD = 100
"""Rows that are looked at for that."""
_SURE = 0.5
"""How surely the known facts have to answer for their words to be shown first."""
_SCRAP = 2
"""Letters of a term beside digits that is no word yet."""
_CONTENDERS = 3
_WITHIN_REACH = 2.0
"""Logits by which an older turn may lead and still be overtaken."""
_WEEK = timedelta(days=7) // timedelta(microseconds=1)


def token_streams(texts: Sequence[str], analyzer: Analyzer) -> list[tuple[str, ...]]:
    """The terms of each text in order, with the markers that an index reads back (`ASKS`, `DATED`)."""
    from remanence.kernels.timex import mentions_time  # Its words and calendars are no part of loading this.

    streams = []
    for text, terms in zip(texts, analyzer.terms_many(texts), strict=True):
        if text.rstrip()[-1:] in _QUESTION_MARKS:
            terms.append(ASKS)
        if mentions_time(text):
            terms.append(DATED)
        streams.append(tuple(terms))
    return streams


@dataclass(frozen=True, slots=True)
class Question:
    """A question, taken apart against a scope."""

    terms: tuple[str, ...]
    """What to look for: its words without stop words and speakers' names, unless nothing else is left."""
    stops: tuple[str, ...]
    """Its stop words."""
    speakers: tuple[int, ...]
    """Codes of the speakers that it names."""
    about_user: bool
    """Whether it speaks in the first person."""
    asks_when: bool
    asks_present: bool
    """Whether it asks how things stand, rather than what happened."""
    asks_several: bool
    """Whether its answer has to be put together: an order, a length of time, a number, a list."""
    spans: tuple[tuple[int, int], ...]
    """Times that it mentions, in microseconds, half-open."""
    answers: tuple[tuple[str, float], ...] = ()
    """Turns that hold the answer by the facts that are known, and how surely."""
    outdated: tuple[tuple[str, float], ...] = ()
    """Turns that speak of what is asked, and hold no longer."""
    sure: float = 0.0
    """How surely the known facts answer."""


def take_apart(
    text: str, index: ScopeIndex, analyzer: Analyzer, now: datetime, verdict: Verdict = NOTHING_KNOWN
) -> Question:
    """Which words to look for, whom and which times a question is about. Relative times count from `now`."""
    from remanence.kernels.timex import asks_for_time, resolve

    terms = list(dict.fromkeys(analyzer.terms(text)))
    mentioned: set[str] = set()
    speakers = []
    for code, name in enumerate(index.speakers):
        called = speaker_terms(name, analyzer)
        whole = called or id_terms(name, analyzer)
        if whole and (not called.isdisjoint(terms) or whole.issubset(terms)):
            speakers.append(code)
            mentioned |= whole
    words = [term for term in terms if not is_stopword(term)]
    wanted = [term for term in words if term not in mentioned] or words or terms
    return Question(
        terms=tuple(wanted),
        stops=tuple(term for term in terms if is_stopword(term) and term not in wanted),
        speakers=tuple(speakers),
        about_user=re.search(_FIRST_PERSON, text, re.IGNORECASE) is not None,
        asks_when=asks_for_time(text),
        asks_present=re.search(_PRESENT, text, re.IGNORECASE) is not None,
        asks_several=re.search(_SEVERAL, text, re.IGNORECASE) is not None,
        spans=tuple((to_micros(span.start), to_micros(span.end)) for span in resolve(text, now)),
        answers=verdict.answers,
        outdated=verdict.outdated,
        sure=verdict.sure,
    )


def signs(verdict: Verdict) -> tuple[float, float]:
    """How surely the known facts answer, and how clearly they were asked for something that was never said."""
    return verdict.sure, 0.0 if verdict.answers else verdict.understood


def placed(index: ScopeIndex, turns: Sequence[tuple[str, float]], visible: NDArray[np.bool_] | None = None) -> Floats:
    """Weights by row [n + 1], of the version that is visible; what is not named weighs nothing."""
    weights = np.zeros(len(index) + 1, np.float32)
    rows = index.rows([id for id, _ in turns], visible)
    np.maximum.at(weights, rows, np.array([weight for _, weight in turns], np.float32))
    # The last place is that of row -1, "no such turn".
    weights[-1] = 0
    return weights


@lru_cache(maxsize=1 << 15)
def speaker_terms(name: str, analyzer: Analyzer) -> frozenset[str]:
    """The words by any of which a speaker is called in a question.

    Numbers call nobody, nor do the scraps between the digits of an id: "the last 7 days" is not about user 7, and
    "the AC" is not about 5f3ab2c4-0242-ac13.
    """
    terms = analyzer.terms(name)
    least = _SCRAP + 1 if any(map(_is_number, terms)) else 1
    return frozenset(t for t in terms if not (is_stopword(t) or _is_number(t) or (t.isascii() and len(t) < least)))


@lru_cache(maxsize=1 << 15)
def id_terms(name: str, analyzer: Analyzer) -> frozenset[str]:
    """The terms that all have to be there to call a speaker by an id without words ("R2D2"); none for a mere number,
    and for what is no id.
    """
    terms = frozenset(analyzer.terms(name))
    numbers = sum(map(_is_number, terms))
    return terms if 0 < numbers < len(terms) else frozenset()


def _is_number(term: str) -> bool:
    return term[:1].isdecimal()


def candidates(
    index: ScopeIndex, words: Floats, meaning: Floats, answers: Floats, visible: NDArray[np.bool_] | None, *,
    whole: int, pool: int,
) -> Rows:  # fmt: skip
    """Rows worth a closer look, ascending: all visible ones of a scope of up to `whole` rows, else the `pool` best by
    words [n + 1] and by meaning [n + 1] and their neighbours, and those that hold the answer [n + 1]."""
    if len(index) <= whole:
        return np.arange(len(index)) if visible is None else np.flatnonzero(visible)
    best = np.concatenate([top(words[:-1], pool, above=0), top(meaning[:-1], pool)])
    # The last place is that of row -1, "no neighbour".
    wanted = np.zeros(len(index) + 1, bool)
    for rows in index.neighbours(best).values():
        wanted[rows] = True
    wanted |= answers > 0
    found = np.flatnonzero(wanted[:-1])
    return found if visible is None else found[visible[found]]


def arranged(index: ScopeIndex, rows: Rows, logits: NDArray[np.float64], question: Question) -> list[int]:
    """The order in which to show the best rows (given best first)."""
    spread = list(range(len(rows)))
    if question.asks_several:
        head = spread_out(index.session[rows[:_HEAD]], logits[:_HEAD])
        spread[: len(head)] = head
    order = [spread[place] for place in current_first(index, rows[spread], logits[spread], question)]
    return known_first(index, rows, order, question) if question.answers else order


def known_first(index: ScopeIndex, rows: Rows, order: list[int], question: Question) -> list[int]:
    """The order with what is surely known first, and nothing that holds no longer above what answers."""
    answers, outdated = ({id for id, _ in turns} for turns in (question.answers, question.outdated))
    ids = [index.ids[row] for row in rows.tolist()]
    if question.sure >= _SURE:
        # However well something else repeats the question's words.
        order = sorted(order, key=lambda place: ids[place] != question.answers[0][0])
    first = next((at for at, place in enumerate(order) if ids[place] in answers), 0)
    above = [place for place in order[:first] if ids[place] in outdated]
    if not above:
        return order
    return [*(place for place in order[:first] if place not in above), order[first], *above, *order[first + 1 :]]


def spread_out(sessions: NDArray[np.int32], logits: NDArray[np.float64]) -> list[int]:
    """Rows (given best first) picked one by one, with what each further one of the same session loses.

    What is counted, compared or put in order was said at different times: further turns of a session that is there
    already tell less that is new than the first of another. Measured on five sets, see docs/design/recall.md.
    """
    order: list[int] = []
    left = list(range(len(logits)))
    worth = logits.astype(np.float64, copy=True)
    while left:
        best = max(left, key=lambda place: (worth[place], -place))
        order.append(best)
        left.remove(best)
        worth[sessions == sessions[best]] -= _ELSEWHERE
    return order


def current_first(index: ScopeIndex, rows: Rows, logits: NDArray[np.float64], question: Question) -> list[int]:
    """The order in which to show the best rows (given best first): what is asked in the present tense is answered by
    the newer of two statements on the same matter.

    Only among the first three, by the same speaker, from different sessions and nearly equal in score: an update says
    again what it replaces. Measured on the knowledge-update questions of LongMemEval, see docs/design/recall.md.
    """
    order: list[int] = []
    contenders = min(_CONTENDERS, len(rows)) if question.asks_present else 0
    vectors = index.codes[rows[:contenders]].astype(np.float32) * index.scales[rows[:contenders], None]
    for newer in range(contenders):
        place = len(order)
        for at, older in enumerate(order):
            if (
                index.event_at[rows[newer]] > index.event_at[rows[older]]
                and index.speaker[rows[newer]] == index.speaker[rows[older]]
                and index.session[rows[newer]] != index.session[rows[older]]
                and logits[older] - logits[newer] <= _WITHIN_REACH
                and float(vectors[newer] @ vectors[older]) >= index.alike
            ):
                place = at
                break
        order.insert(place, newer)
    return order + list(range(contenders, len(rows)))


def speaker_match(index: ScopeIndex, question: Question, rows: Rows) -> Floats:
    """1 where a row is by whom the question is about, -1 where it is by somebody else, 0 if it names nobody."""
    if question.speakers and len(question.speakers) < len(index.speakers):
        named = np.zeros(len(index.speakers), bool)
        named[list(question.speakers)] = True
        match = named[index.speaker[rows]]
    elif question.about_user and not question.speakers and index.is_user[rows].any():
        match = index.is_user[rows]
    else:
        return np.zeros(len(rows), np.float32)
    return np.where(match, np.float32(1), np.float32(-1))


def time_match(event_at: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> Floats:
    """How near each event is to the nearest mentioned span: 1 within it, then exp(-weeks away); 0 without spans."""
    best = np.zeros(len(event_at), np.float32)
    for start, end in spans:
        # In floating point, since open spans reach to the ends of the calendar.
        away = np.maximum(np.maximum(float(start) - event_at, event_at - float(end)), 0.0)
        best = np.maximum(best, np.exp(-away / _WEEK).astype(np.float32))
    return best
