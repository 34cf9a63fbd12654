"""A book of episodes with exactly known answers: who did what, where and when, chapter by chapter.

Every chapter tells one event; dates, places, people and kinds of events recur, so that a question has none, one or
many matching chapters. Near misses mention the same values in passing: they mislead whoever counts words.

Source of the design: A. Huet, Z. Ben Houidi, D. Rossi, "Episodic Memories Generation and Evaluation Benchmark for
Large Language Models" (ICLR 2025). Here sentences come from frames instead of a language model, with words of our own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from remanence.core.errors import InvalidInput
from remanence.scenarios.book_questions import BookQuestion, ask
from remanence.scenarios.book_text import Chapter, Mention, Reading, read_chapter, says_once, write_chapter
from remanence.scenarios.book_world import FIELDS, Event, Field, Universe, events, universe

CHAPTERS = range(1, 701)
"""Longer books use up the universe: too few values are left for questions about what never happened."""

NEAR_MISSES = range(41)


@dataclass(frozen=True, slots=True)
class Book:
    """Chapters in the order of reading, and questions about them, asked after the last."""

    chapters: tuple[Chapter, ...]
    questions: tuple[BookQuestion, ...]
    seed: int
    near_misses: int
    ordered: bool


def generate_book(seed: int, *, chapters: int = 200, near_misses: int = 8, ordered: bool = False) -> Book:
    """A book of `chapters` chapters (1 to 700), each with `near_misses` (0 to 40) misleading mentions.

    The order of chapters is not that of time unless `ordered`. The same arguments give the same book everywhere; a
    longer book that is not ordered begins with the chapters of the shorter one (its questions differ). 200 chapters
    hold about 80,000 tokens and give about 690 questions.

    Errors: `InvalidInput` for a number out of range.
    """
    if chapters not in CHAPTERS:
        raise InvalidInput(f"chapters must be {CHAPTERS.start} to {CHAPTERS.stop - 1}, not {chapters}")
    if near_misses not in NEAR_MISSES:
        raise InvalidInput(f"near_misses must be {NEAR_MISSES.start} to {NEAR_MISSES.stop - 1}, not {near_misses}")
    world = universe()
    written = [
        write_chapter(world, seed, index, event, near_misses)
        for index, event in enumerate(islice(events(world, seed), chapters))
    ]
    if ordered:
        by_date = sorted(written, key=lambda chapter: chapter.event.date)
        written = [replace(chapter, number=number) for number, chapter in enumerate(by_date, start=1)]
    return Book(tuple(written), ask(written, world, seed), seed, near_misses, ordered)


__all__ = [
    "FIELDS", "Book", "BookQuestion", "Chapter", "Event", "Field", "Mention", "Reading", "Universe", "generate_book",
    "read_chapter", "says_once", "universe",
]  # fmt: skip
