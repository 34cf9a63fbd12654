"""Questions about a book: a cue (some fields of an event) and a trace to recall (another field), answered exactly.

Thirty-six templates; thirty ask for all that matches the cue, three for the latest, three for all in order of time.
Cues are taken from chapters; cues that match no chapter are made by exchanging fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from remanence.scenarios.book_text import Chapter
from remanence.scenarios.book_world import FIELDS, Field, Universe
from remanence.scenarios.dice import Dice
from remanence.scenarios.model import ScenarioInconsistent

Trace = Literal["Times", "Spaces", "Entities", "Event contents", "Other entities", "Full event details"]
Get = Literal["all", "latest", "chronological"]
Cue = tuple[tuple[Field, str], ...]

BINS = ("0", "1", "2", "3-5", "6+")
ASKED_CHAPTERS = 200
PER_BIN = 5
UNUSED = 20
"""So many values of each field must be left that no event uses, for questions about what never happened."""

_TRACED: dict[Trace, Field] = {"Times": "date", "Spaces": "place", "Entities": "entity", "Event contents": "content"}


@dataclass(frozen=True, slots=True)
class Template:
    """How a question of one kind is put. `text` has a slot for each field of the cue."""

    cue: tuple[Field, ...]
    trace: Trace
    get: Get
    text: str


def _all(cue: str, *asked: tuple[Trace, str]) -> tuple[Template, ...]:
    fields: dict[str, Field] = {"t": "date", "s": "place", "e": "entity", "c": "content"}
    return tuple(Template(tuple(fields[letter] for letter in cue), trace, "all", text) for trace, text in asked)


TEMPLATES: tuple[Template, ...] = (
    *_all(
        "t",
        ("Spaces", "Which places were the scene of something on {date}? Name each of them."),
        ("Entities", "Who were the main characters of the events on {date}? Name each of them."),
        ("Event contents", "What kinds of events took place on {date}? Name each of them."),
    ),
    *_all(
        "s",
        ("Times", "On which dates did something take place at {place}? Give every date."),
        ("Entities", "Which main characters had an event at {place}? Name each of them."),
        ("Event contents", "What kinds of events has {place} seen? Name each of them."),
    ),
    *_all(
        "e",
        ("Times", "On which dates was {entity} the main character of an event? Give every date."),
        ("Spaces", "At which places was {entity} the main character of an event? Name each of them."),
        ("Event contents", "In what kinds of events was {entity} the main character? Name each of them."),
    ),
    *_all(
        "c",
        ("Times", "On which dates did a {content} take place? Give every date."),
        ("Spaces", "Which places have held a {content}? Name each of them."),
        ("Entities", "Who was ever the main character of a {content}? Name each of them."),
    ),
    *_all(
        "ts",
        ("Entities", "Who was the main character of what took place at {place} on {date}?"),
        ("Event contents", "What kind of event took place at {place} on {date}?"),
    ),
    *_all(
        "te",
        ("Spaces", "At which place was {entity} the main character on {date}?"),
        ("Event contents", "In what kind of event was {entity} the main character on {date}?"),
    ),
    *_all(
        "tc",
        ("Spaces", "Which places held a {content} on {date}? Name each of them."),
        ("Entities", "Who were the main characters of a {content} on {date}? Name each of them."),
    ),
    *_all(
        "se",
        ("Times", "On which dates was {entity} the main character at {place}? Give every date."),
        ("Event contents", "In what kinds of events at {place} was {entity} the main character? Name each of them."),
    ),
    *_all(
        "sc",
        ("Times", "On which dates did {place} hold a {content}? Give every date."),
        ("Entities", "Who were the main characters of a {content} at {place}? Name each of them."),
    ),
    *_all(
        "ec",
        ("Times", "On which dates was {entity} the main character of a {content}? Give every date."),
        ("Spaces", "At which places was {entity} the main character of a {content}? Name each of them."),
    ),
    *_all("tse", ("Event contents", "In what kind of event at {place} was {entity} the main character on {date}?")),
    *_all("tsc", ("Entities", "Who was the main character of the {content} at {place} on {date}?")),
    *_all("tec", ("Spaces", "At which place was {entity} the main character of a {content} on {date}?")),
    *_all("sec", ("Times", "On which dates was {entity} the main character of a {content} at {place}?")),
    *_all(
        "tsec",
        ("Other entities", "Who else was there when {entity} had the {content} at {place} on {date}?"),
        ("Full event details", "What exactly did {entity} do during the {content} at {place} on {date}?"),
    ),
    Template(("entity",), "Times", "latest", "When was {entity} last the main character of an event?"),
    Template(("entity",), "Spaces", "latest", "Where was {entity} last the main character of an event?"),
    Template(("entity",), "Event contents", "latest", "What was the last event with {entity} as its main character?"),
    Template(
        ("entity",), "Times", "chronological",
        "List, earliest first, the dates on which {entity} was the main character of an event.",
    ),
    Template(
        ("entity",), "Spaces", "chronological",
        "List, in order of time, the places where {entity} was the main character of an event.",
    ),
    Template(
        ("entity",), "Event contents", "chronological",
        "List, in order of time, the events that had {entity} as their main character.",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BookQuestion:
    """One question with its exact answer.

    `chapters` are those that the answer rests on: all that match the cue, by number (get "all") or by date
    ("chronological"), or the one with the latest date. `items` are what they say: distinct and sorted for "all", in
    the order of `chapters` and with repetitions otherwise; dates as the book prints them. `matching` counts the
    chapters that match the cue, whatever is asked of them; `bin` is its class.
    """

    id: str
    text: str
    template: int
    cue: Cue
    trace: Trace
    get: Get
    chapters: tuple[int, ...]
    items: tuple[str, ...]
    matching: int
    bin: str


def bin_of(matching: int) -> str:
    """The class of a number of matching chapters: 0, 1, 2, 3-5 or 6+."""
    return BINS[sum(matching >= least for least in (1, 2, 3, 6))]


def traced(chapter: Chapter, trace: Trace) -> tuple[str, ...]:
    """What one chapter contributes to an answer. Of the full event that is the detail: all else stands in the cue."""
    if trace == "Other entities":
        return chapter.post_entities
    if trace == "Full event details":
        return (chapter.event.detail,)
    return (chapter.event.value(_TRACED[trace]),)


def answer(matching: Iterable[Chapter], trace: Trace, get: Get) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The chapters that the answer rests on, and its items, for the chapters that match a cue."""
    if get == "all":
        chosen = sorted(matching, key=lambda chapter: chapter.number)
        items = sorted({item for chapter in chosen for item in traced(chapter, trace)})
    else:
        chosen = sorted(matching, key=lambda chapter: chapter.event.date)
        chosen = chosen[-1:] if get == "latest" else chosen
        items = [item for chapter in chosen for item in traced(chapter, trace)]
    return tuple(chapter.number for chapter in chosen), tuple(items)


def answer_naive(chapters: Sequence[Chapter], question: BookQuestion) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The answer to a question by going through the whole book."""
    matching = [
        chapter for chapter in chapters if all(chapter.event.value(field) == value for field, value in question.cue)
    ]
    return answer(matching, question.trace, question.get)


def ask(chapters: Sequence[Chapter], world: Universe, seed: int) -> tuple[BookQuestion, ...]:
    """The questions about a book, in an order that tells nothing.

    All templates are filled in from up to `ASKED_CHAPTERS` chapters, once as they are and once with exchanged fields;
    of each template and bin the first `PER_BIN` questions by the alphabet of their cues are kept, as the published
    selection does. Who else was there is asked only where somebody was.

    Raises `ScenarioInconsistent` if fewer than `UNUSED` values of a field are left unused.
    """
    index = _index(chapters)
    found: dict[str, BookQuestion] = {}
    for chapter in Dice(seed, "book", "asked").shuffled(chapters)[:ASKED_CHAPTERS]:
        values = {field: chapter.event.value(field) for field in FIELDS}
        found.update((question.text, question) for question in _fill(values, index) if question.items)
    for values in _exchanged(chapters, world, seed):
        found.update((question.text, question) for question in _fill(values, index) if not question.matching)
    groups: defaultdict[tuple[int, str], list[BookQuestion]] = defaultdict(list)
    for question in found.values():
        groups[question.template, question.bin].append(question)
    chosen = [question for key in sorted(groups) for question in sorted(groups[key], key=lambda one: one.cue)[:PER_BIN]]
    mixed = Dice(seed, "book", "order").shuffled(chosen)
    return tuple(replace(question, id=f"q{number:04d}") for number, question in enumerate(mixed, start=1))


_Index = dict[Cue, list[Chapter]]


def _index(chapters: Sequence[Chapter]) -> _Index:
    cues = dict.fromkeys(template.cue for template in TEMPLATES)
    index: defaultdict[Cue, list[Chapter]] = defaultdict(list)
    for chapter in chapters:
        values = {field: chapter.event.value(field) for field in FIELDS}
        for fields in cues:
            index[tuple((field, values[field]) for field in fields)].append(chapter)
    return dict(index)


def _fill(values: dict[Field, str], index: _Index) -> Iterable[BookQuestion]:
    for number, template in enumerate(TEMPLATES):
        cue = tuple((field, values[field]) for field in template.cue)
        matching = index.get(cue, [])
        proof, items = answer(matching, template.trace, template.get)
        text = template.text.format(**values)
        size = len(matching)
        yield BookQuestion("", text, number, cue, template.trace, template.get, proof, items, size, bin_of(size))


def _exchanged(chapters: Sequence[Chapter], world: Universe, seed: int) -> Iterable[dict[Field, str]]:
    """Events of chapters with one to four fields exchanged: half of them for values of other chapters, half for new."""
    used = {field: sorted({chapter.event.value(field) for chapter in chapters}) for field in FIELDS}
    fresh = {field: [value for value in world.values(field) if value not in set(used[field])] for field in FIELDS}
    for field in FIELDS:
        if len(fresh[field]) < UNUSED:
            raise ScenarioInconsistent(
                f"book of seed {seed}: only {len(fresh[field])} values of {field} are unused, {UNUSED} are needed for "
                "questions without an answer; write fewer chapters"
            )
    dice = Dice(seed, "book", "empty")
    for chapter in dice.shuffled(chapters)[:ASKED_CHAPTERS]:
        values = {field: chapter.event.value(field) for field in FIELDS}
        existing = dice.chance(0.5)
        for field in dice.shuffled(FIELDS)[: dice.between(1, len(FIELDS))]:
            others = [value for value in used[field] if value != values[field]] if existing else []
            values[field] = dice.pick(others or fresh[field])
        yield values
