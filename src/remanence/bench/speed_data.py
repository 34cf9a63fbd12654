"""Conversations of any length for measuring speed: the size and shape of real chat, no meaning.

Fitted to what LoCoMo's turns look like: 23 words and 125 characters on average (log-normal), sessions of 25 turns, two
speakers, and word frequencies by the Zipf–Mandelbrot law (B. Mandelbrot, 1953) over 30,000 words, so that posting
lists, word pieces and stems have realistic lengths. Every session has a topic whose words return; turns mention
people, places and dates. Quality must not be measured on it.

Turn i depends on `seed` and i alone: a shorter stream is the beginning of a longer one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from remanence.bench.datasets import Document
from remanence.core.errors import InvalidInput
from remanence.stores.embedders.static import DEFAULT_TABLE

VOCABULARY = 30_000
SESSION_TURNS = 25

_BLOCK_SESSIONS = 160  # generated at once: 4,000 turns, about 2 MB
_BLOCK = _BLOCK_SESSIONS * SESSION_TURNS
_START = datetime(2020, 1, 6, 18, 30, tzinfo=UTC)
_ZIPF_SHIFT, _ZIPF_POWER = 5.0, 1.2
_LENGTH_MEDIAN, _LENGTH_SPREAD, _SHORTEST, _LONGEST = 20.0, 0.57, 3, 90
_TOPIC_WORDS, _TOPIC_SHARE = 40, 0.12
_NAME_SHARE, _DATE_SHARE = 0.35, 0.2  # turns that mention a person or place, a date

_COMMON = (
    "i you it and to a the that my for of me so your is was with have in been we what how on like can but make about "
    "keep up this be do they are out all got some last them just see any help us good going people had time way from "
    "get there work an made when new at much sure something did here always one those know fun no together looks "
    "doing other has hard such feel having too more anything who nice must their hear go being as into take week "
    "since these even by need off others right were think really love great thanks wow hey yeah cool day will not"
).split()
_FUNCTION = frozenset(_COMMON)
_PEOPLE = (
    "Ana Bruno Chiara Dmitri Elena Farid Greta Hassan Ingrid Jonas Keiko Liam Mateus Nadia Oskar Priya Quentin Rosa "
    "Samuel Tomoko Ulrich Vera Wanda Xavier Yusuf Zoe Amara Benoit Carmen Diego Esther Felix Gwen Henrik Irene Jorge "
    "Katya Leo Maya Nils Olga Pablo Ravi Sofia Theo Uma Viktor Willa Ximena Yara Aisha Boris Clara Dario Emil Fatima"
).split()
_PLACES = (
    "Lisbon Oslo Bergen Kyoto Lima Dakar Tallinn Porto Ghent Austin Quito Hanoi Leeds Turin Perth Accra Riga Malmö "
    "Basel Split Cork Nantes Izmir Tunis Davao Salta Busan Pune Bath Utrecht"
).split()
_MONTHS = "January February March April May June July August September October November December".split()
_RELATIVE = (
    "yesterday|last week|next Friday|two days ago|this weekend|tomorrow morning|last summer|next month|on Tuesday"
).split("|")

Ids = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SpeedQuery:
    """A question made from a stored turn, and that turn's id."""

    text: str
    source: str


def turns(count: int, *, seed: int = 0, start: int = 0) -> Iterator[Document]:
    """Turns `start` to `start + count` of one endless conversation, made block by block.

    Ids are `t0`, `t1`, …; sessions `s0`, `s1`, …; times rise.
    """
    if count < 0 or start < 0:
        raise InvalidInput(f"turns {start} to {start + count}: start and count must not be negative")
    block, skip = divmod(start, _BLOCK)
    while count > 0:
        documents = _block(block, seed)[skip : skip + count]
        yield from documents
        count -= len(documents)
        block, skip = block + 1, 0


def queries(count: int, *, among: int, seed: int = 0) -> list[SpeedQuery]:
    """`count` questions about turns drawn from the first `among` turns of the same seed.

    A question names the speaker and three to five content words of its turn, ten words in all, as people ask. The name
    makes it touch half of all turns, as the questions of LoCoMo do.
    """
    if count < 1 or among < 1:
        raise InvalidInput(f"{count} queries among {among} turns: both must be at least 1")
    rng = np.random.default_rng([seed, 1])
    # Drawing from a few dozen blocks spares making a million turns for a hundred questions.
    blocks = np.unique(rng.integers(0, -(-among // _BLOCK), 32))
    pools = {int(block): list(islice(_block(int(block), seed), among - int(block) * _BLOCK)) for block in blocks}
    names = list(pools)
    made: list[SpeedQuery] = []
    for _ in range(count):
        pool = pools[names[int(rng.integers(len(names)))]]
        made.append(_question(pool[int(rng.integers(len(pool)))], rng))
    return made


def scopes(count: int, per_scope: int, *, seed: int = 0) -> Iterator[tuple[str, list[Document]]]:
    """`count` users with `per_scope` turns each: consecutive stretches of one stream, so no two are alike."""
    for number in range(count):
        yield f"user-{number}", list(turns(per_scope, seed=seed, start=number * per_scope))


def _question(turn: Document, rng: np.random.Generator) -> SpeedQuery:
    words = list(dict.fromkeys(re.findall(r"\w+", turn.text.lower())))
    content = [word for word in words if word not in _FUNCTION] or words
    at = rng.choice(len(content), min(len(content), int(rng.integers(3, 6))), replace=False)
    chosen = " ".join(content[position] for position in sorted(at.tolist()))
    frame = ("What did {0} say about {1}?", "When did {0} mention {1}?", "Does {0} remember {1} and what came of it?")
    return SpeedQuery(frame[int(rng.integers(3))].format(turn.speaker, chosen), turn.id)


def _block(number: int, seed: int) -> list[Document]:
    rng = np.random.default_rng([seed, 0, number])
    words = _words()
    wanted = rng.lognormal(np.log(_LENGTH_MEDIAN), _LENGTH_SPREAD, _BLOCK)
    lengths: Ids = np.rint(np.clip(wanted, _SHORTEST, _LONGEST)).astype(np.intp)
    stops = lengths.cumsum()
    starts = stops - lengths
    tokens = words.take(_draw(rng, lengths, stops))
    # Where a turn speaks of somebody or of a date, the phrase stands in place of an ordinary word.
    for share, phrases in ((_NAME_SHARE, _named()), (_DATE_SHARE, _dates())):
        chosen = np.flatnonzero(rng.random(_BLOCK) < share)
        at = starts[chosen] + (rng.random(len(chosen)) * lengths[chosen]).astype(np.intp)
        tokens[at] = phrases.take(rng.integers(0, len(phrases), len(chosen)))
    listed = tokens.tolist()
    endings = np.array([".", "!", "?", ".", "..."], dtype=object).take(rng.integers(0, 5, _BLOCK)).tolist()
    pair = _PEOPLE[seed % len(_PEOPLE)], _PEOPLE[(seed + 1) % len(_PEOPLE)]
    gaps = rng.integers(20, 90, _BLOCK).tolist()
    documents: list[Document] = []
    first = number * _BLOCK
    for turn, (begin, end) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        session, place = divmod(first + turn, SESSION_TURNS)
        if place == 0:
            moment = _START + timedelta(days=session // 4, hours=session % 4 * 3)
        moment += timedelta(seconds=gaps[turn])
        text = " ".join(listed[begin:end])
        documents.append(
            Document(
                id=f"t{first + turn}",
                text=f"{text[0].upper()}{text[1:]}{endings[turn]}",
                speaker=pair[turn & 1],
                session=f"s{session}",
                event_at=moment,
            )
        )
    return documents


def _draw(rng: np.random.Generator, lengths: Ids, stops: Ids) -> Ids:
    """Word ranks of every token of a block: by the law of the whole language, some by the session's topic."""
    count = int(stops[-1])
    ranks = np.searchsorted(_cumulative(), rng.random(count))
    topics = rng.integers(len(_COMMON), VOCABULARY, (_BLOCK_SESSIONS, _TOPIC_WORDS))
    sessions = np.repeat(np.arange(_BLOCK) // SESSION_TURNS, lengths)
    on_topic = np.flatnonzero(rng.random(count) < _TOPIC_SHARE)
    ranks[on_topic] = topics[sessions[on_topic], rng.integers(0, _TOPIC_WORDS, len(on_topic))]
    return ranks.astype(np.intp)


@functools.cache
def _cumulative() -> NDArray[np.float64]:
    weights = (np.arange(1, VOCABULARY + 1) + _ZIPF_SHIFT) ** -_ZIPF_POWER
    cumulative: NDArray[np.float64] = (weights / weights.sum()).cumsum()
    cumulative[-1] = 1.0
    return cumulative


@functools.cache
def _words() -> NDArray[np.object_]:
    """Words by falling frequency: talk's commonest, then the shipped embedder's (in its order), then inflections."""
    pieces = (DEFAULT_TABLE / "vocab.txt").read_text(encoding="utf-8").split("\n")
    listed = dict.fromkeys([*_COMMON, *(piece for piece in pieces if re.fullmatch("[a-z]{2,18}", piece))])
    base = [word for word in listed if len(word) > 3 and not word.endswith(("s", "ing", "ed", "ly"))]
    inflected = (f"{word}{ending}" for ending in ("s", "ing", "ed", "ly") for word in base)
    words = list(islice(dict.fromkeys([*listed, *inflected]), VOCABULARY))
    return np.array(words, dtype=object)


@functools.cache
def _named() -> NDArray[np.object_]:
    return np.array([*_PEOPLE, *(f"in {place}" for place in _PLACES)], dtype=object)


@functools.cache
def _dates() -> NDArray[np.object_]:
    days = [f"on {day} {month}" for month in _MONTHS for day in range(1, 29, 3)]
    return np.array([*days, *_RELATIVE * 6], dtype=object)
