"""The text of a chapter, written from frames, and the reader that gets the event back from it.

One sentence, one frame. Event frames say what happened that day; near misses mention dates, places, people and events
in passing, in frames of their own, so that whoever parses sentences is never in doubt and whoever counts words is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from remanence.scenarios.book_frames import (
    ASIDES,
    BY_STYLE,
    COMPANY,
    DETAIL,
    FACTS,
    FILLERS,
    NEAR_MISSES,
    STYLES,
)
from remanence.scenarios.book_words import FIRST_WOMEN, OTHER_FIRST, OTHER_LAST
from remanence.scenarios.book_world import FIELDS, Event, Field, Universe, draw, read_date
from remanence.scenarios.dates import MONTHS
from remanence.scenarios.dice import Dice

PARAGRAPHS = 10
COMPANIONS = 3
"""A chapter has 1 to PARAGRAPHS paragraphs and up to COMPANIONS people besides its main character."""

_STRIDE = 7919  # prime, so that walking round the grid of names by it meets each name once


@dataclass(frozen=True, slots=True)
class Mention:
    """A value that a chapter mentions without its being part of the event."""

    field: Field
    value: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """One event, told. `placed` is the number of the paragraph (from 1) that alone states each field of the event.

    The detail, "<first name> <detail>", stands in the paragraph of the content. `post_entities` are the people who
    were there besides the entity; each name occurs once in the whole book.
    """

    number: int
    style: str
    paragraphs: tuple[str, ...]
    event: Event
    post_entities: tuple[str, ...]
    placed: dict[Field, int]
    near_misses: tuple[Mention, ...]

    @property
    def text(self) -> str:
        """The heading and the paragraphs."""
        return "\n\n".join((f"Chapter {self.number}", *self.paragraphs))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a chapter states about its event; None where it does not."""

    event: Event | None
    post_entities: tuple[str, ...]
    found: dict[Field, tuple[int, str]]
    """Per field the paragraph (from 1) and the value as printed."""


def companion_name(seed: int, chapter: int, position: int) -> str:
    """The `position`-th companion of the `chapter`-th chapter: a name that no one else in the book has."""
    grid = len(OTHER_FIRST) * len(OTHER_LAST)
    place = ((COMPANIONS * chapter + position) * _STRIDE + Dice(seed, "book", "company").below(grid)) % grid
    return f"{OTHER_FIRST[place % len(OTHER_FIRST)]} {OTHER_LAST[place // len(OTHER_FIRST)]}"


def mentions(world: Universe, seed: int, index: int, event: Event, wanted: int) -> tuple[Mention, ...]:
    """Values of other events, their field drawn evenly and their value by the law of the events.

    The chapter's own values are never among them, nor people with its main character's first name.
    """
    dice = Dice(seed, "book", "near", index)
    first = event.entity.split()[0]
    found: list[Mention] = []
    while len(found) < wanted:
        field = dice.pick(FIELDS)
        value = world.values(field)[draw(dice)]
        if value != event.value(field) and not (field == "entity" and value.split()[0] == first):
            found.append(Mention(field, value))
    return tuple(found)


def write_chapter(world: Universe, seed: int, index: int, event: Event, near_misses: int) -> Chapter:
    """The `index`-th chapter of a book (from 0), from dice of its own."""
    plan = Dice(seed, "book", "plan", index)
    size = plan.between(1, PARAGRAPHS)
    placed: dict[Field, int] = {field: plan.between(1, size) for field in FIELDS}
    style = plan.pick(STYLES)
    company = tuple(companion_name(seed, index, i) for i in range(plan.between(0, COMPANIONS)))
    missed = mentions(world, seed, index, event, near_misses)
    paragraphs = _Writer(Dice(seed, "book", "text", index), event, style).write(size, placed, company, missed)
    return Chapter(index + 1, style, paragraphs, event, company, placed, missed)


class _Writer:
    def __init__(self, dice: Dice, event: Event, style: str) -> None:
        self.dice = dice
        self.event = event
        self.first = event.entity.split()[0]
        self.pronoun = "She" if self.first in FIRST_WOMEN else "He"
        self.fillers = iter(dice.shuffled((*FILLERS, *BY_STYLE[style])))
        self.asides = iter(dice.shuffled(ASIDES))

    def write(
        self, size: int, placed: dict[Field, int], company: Sequence[str], missed: Sequence[Mention]
    ) -> tuple[str, ...]:
        dice = self.dice
        # A block is a list of sentences that stay together; the detail follows what it is a detail of.
        blocks: list[list[list[str]]] = [[[next(self.fillers)] for _ in range(dice.between(3, 5))] for _ in range(size)]
        for field in FIELDS:
            said = [dice.pick(FACTS[field]).format(self.event.value(field))]
            if field == "content":
                said.append(dice.pick(DETAIL).format(f"{self.first} {self.event.detail}"))
            blocks[placed[field] - 1].append(said)
        for sentence in (*self._passing(missed), *self._present(company)):
            dice.pick(blocks).append([sentence])
        return tuple(self._paragraph(number, block, placed["entity"]) for number, block in enumerate(blocks, start=1))

    def _passing(self, missed: Sequence[Mention]) -> Iterator[str]:
        frames = {field: self.dice.shuffled(NEAR_MISSES[field]) for field in FIELDS}
        for i, mention in enumerate(missed):
            options = frames[mention.field]
            yield options[i % len(options)].format(mention.value)

    def _present(self, company: Sequence[str]) -> Iterator[str]:
        for frame, name in zip(self.dice.shuffled(COMPANY), company, strict=False):
            yield frame.format(name)

    def _paragraph(self, number: int, blocks: list[list[str]], introduced: int) -> str:
        """The blocks in a random order; once the full name has been said, a sentence about its bearer."""
        sentences = [sentence for block in self.dice.shuffled(blocks) for sentence in block]
        if number >= introduced and self.dice.chance(0.7):
            earliest = 0
            if number == introduced:
                earliest = next(i for i, sentence in enumerate(sentences) if self.event.entity in sentence) + 1
            who = self.first if self.dice.chance(0.5) else self.pronoun
            sentences.insert(self.dice.between(earliest, len(sentences)), next(self.asides).format(who))
        return " ".join(sentences)


_NAME = r"[A-Z]\w+ [A-Z]\w+"
_SLOTS: dict[Field, str] = {
    "date": rf"(?:{'|'.join(MONTHS)}) \d\d, \d{{4}}",
    "place": r"[A-Z].+",
    "entity": _NAME,
    "content": r"[A-Z].+",
}
_END = re.compile(r"(?<=[.!?]) ")


def _reader(frames: Sequence[str], slot: str) -> re.Pattern[str]:
    """One pattern for all frames, the longest first: a bare "{}." would take in what the others say more closely."""
    ordered = sorted(frames, key=len, reverse=True)
    return re.compile("|".join(re.escape(frame).replace(r"\{\}", f"({slot})") for frame in ordered))


_FACT_READERS = {field: _reader(FACTS[field], _SLOTS[field]) for field in FIELDS}
_DETAIL_READER = _reader(DETAIL, r"[A-Z]\w+ [a-z].+")
_COMPANY_READER = _reader(COMPANY, _NAME)


def _slot(pattern: re.Pattern[str], sentence: str) -> str | None:
    match = pattern.fullmatch(sentence)
    return next(group for group in match.groups() if group is not None) if match else None


def read_chapter(paragraphs: Sequence[str], world: Universe) -> Reading:
    """The event that the text of a chapter states, by its frames alone.

    `world` only says which phrases are details at all ("She frowned at the ceiling" is none).
    """
    details = frozenset(detail for options in world.details.values() for detail in options)
    found: dict[Field, tuple[int, str]] = {}
    detail: str | None = None
    company: list[str] = []
    for number, paragraph in enumerate(paragraphs, start=1):
        for sentence in _END.split(paragraph):
            for field, pattern in _FACT_READERS.items():
                value = _slot(pattern, sentence)
                if value is not None:
                    found[field] = number, value
            said = _slot(_DETAIL_READER, sentence)
            if said is not None and said.partition(" ")[2] in details:
                detail = said.partition(" ")[2]
            present = _slot(_COMPANY_READER, sentence)
            if present is not None:
                company.append(present)
    event = None
    if len(found) == len(FIELDS) and detail is not None:
        day, place, entity, content = (found[field][1] for field in FIELDS)
        event = Event(read_date(day), place, entity, content, detail)
    return Reading(event, tuple(company), found)


def says_once(chapter: Chapter, field: Field) -> bool:
    """Whether the value of a field, in whatever case, occurs in the paragraph that it belongs to and nowhere else."""
    value = chapter.event.value(field).casefold()
    counts = [paragraph.casefold().count(value) for paragraph in chapter.paragraphs]
    return counts[chapter.placed[field] - 1] == 1 and sum(counts) == 1
