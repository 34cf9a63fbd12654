"""The universe of the book and the events drawn from it.

An event is a date, a place, a main character (entity), what happened (content) and one detail of it. Each field of an
event is drawn from its hundred values by a censored geometric law, so that values recur, a few of them often:

    P(k) = p (1 - p)^k / (1 - (1 - p)^100),  p = 0.1,  k = 0 … 99

Source: A. Huet, Z. Ben Houidi, D. Rossi, "Episodic Memories Generation and Evaluation Benchmark for Large Language
Models" (ICLR 2025).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import accumulate, count, repeat
from typing import Literal, get_args

from remanence.scenarios.book_words import CONTENTS, FIRST_MEN, FIRST_WOMEN, LAST, PHRASES, PLACES
from remanence.scenarios.dates import MONTHS
from remanence.scenarios.dice import Dice

Field = Literal["date", "place", "entity", "content"]
FIELDS: tuple[Field, ...] = get_args(Field)

SIZE = 100
DETAILS = 30
P = 0.1
FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2026, 12, 31)
"""Dates lie in [FIRST_DAY, LAST_DAY)."""

_CUMULATIVE = tuple(1 - rest for rest in accumulate(repeat(1 - P, SIZE), float.__mul__))


@dataclass(frozen=True, slots=True)
class Event:
    """What one chapter is about."""

    date: date
    place: str
    entity: str
    content: str
    detail: str

    def value(self, field: Field) -> str:
        """The field as the book prints it ("March 07, 2024")."""
        return print_date(self.date) if field == "date" else str(getattr(self, field))


@dataclass(frozen=True, slots=True)
class Universe:
    """A hundred values per field, commonest first, and thirty details per content."""

    dates: tuple[date, ...]
    places: tuple[str, ...]
    entities: tuple[str, ...]
    contents: tuple[str, ...]
    details: dict[str, tuple[str, ...]]

    def values(self, field: Field) -> tuple[str, ...]:
        """All values of a field as the book prints them, commonest first."""
        if field == "date":
            return tuple(map(print_date, self.dates))
        return {"place": self.places, "entity": self.entities, "content": self.contents}[field]


def print_date(day: date) -> str:
    """ "March 07, 2024", in English whatever the locale."""
    return f"{MONTHS[day.month - 1]} {day.day:02d}, {day.year}"


def read_date(text: str) -> date:
    """The day that `print_date` printed. Raises `ValueError` for anything else."""
    month, day, year = text.replace(",", "").split()
    return date(int(year), MONTHS.index(month) + 1, int(day))


@cache
def universe(seed: int = 0) -> Universe:
    """The universe of a seed: distinct dates, names of which many share a first or a last part, shuffled lists."""
    days = Dice(seed, "book", "dates").shuffled(range((LAST_DAY - FIRST_DAY).days))[:SIZE]
    dice = Dice(seed, "book", "entities")
    names: dict[str, None] = {}
    while len(names) < SIZE:
        names[f"{dice.pick(FIRST_WOMEN + FIRST_MEN)} {dice.pick(LAST)}"] = None
    contents = tuple(Dice(seed, "book", "contents").shuffled(CONTENTS))
    return Universe(
        dates=tuple(FIRST_DAY + timedelta(days=day) for day in days),
        places=tuple(Dice(seed, "book", "places").shuffled(PLACES)),
        entities=tuple(names),
        contents=contents,
        details={
            content: tuple(Dice(seed, "book", "details", content).shuffled(PHRASES[content])[:DETAILS])
            for content in contents
        },
    )


def draw(dice: Dice) -> int:
    """An index from the censored geometric law: draws beyond the last value are drawn again."""
    k = SIZE
    while k >= SIZE:
        k = bisect_right(_CUMULATIVE, dice.random())
    return k


def draw_event(world: Universe, seed: int, index: int) -> Event:
    """The `index`-th candidate, from dice of its own. Date, entity, place and content are drawn in this order."""
    dice = Dice(seed, "book", "event", index)
    day, entity, place = world.dates[draw(dice)], world.entities[draw(dice)], world.places[draw(dice)]
    content = world.contents[draw(dice)]
    return Event(day, place, entity, content, dice.pick(world.details[content]))


def events(world: Universe, seed: int) -> Iterator[Event]:
    """The events of a book, without an end: candidates whose (date, entity), then (date, place) are new.

    A candidate refused for its place still blocks its (date, entity), as when a long list is filtered twice. So no
    one is in two places on a date, no place has two events on a date, and the events of one entity have distinct
    dates. The frequent pairs are used up in time: 200 events take some 400 candidates, 700 some 10,000.
    """
    entities: set[tuple[date, str]] = set()
    places: set[tuple[date, str]] = set()
    for index in count():
        event = draw_event(world, seed, index)
        if (event.date, event.entity) in entities:
            continue
        entities.add((event.date, event.entity))
        if (event.date, event.place) not in places:
            places.add((event.date, event.place))
            yield event


def events_naive(world: Universe, seed: int, wanted: int, candidates: int) -> list[Event]:
    """`events`, by filtering a list of `candidates` twice; fewer than `wanted` if the list was too short."""
    drawn = [draw_event(world, seed, index) for index in range(candidates)]
    by_entity = {(event.date, event.entity): event for event in reversed(drawn)}
    kept = [event for event in drawn if by_entity[event.date, event.entity] is event]
    by_place = {(event.date, event.place): event for event in reversed(kept)}
    return [event for event in kept if by_place[event.date, event.place] is event][:wanted]
