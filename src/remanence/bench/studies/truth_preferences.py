"""HaluMem's preference updates, told to a memory as dated sentences.

The data (stage 3.2, "preference events") lists per person what was preferred before and after each update, with a
reason, but without dates and without a conversation. Here each is a turn, two days apart from 1 January 2024 on: the
former preference first, if it was not stated yet, then the update. The *plain* rendering is always "I like cats.", "I
used to like cats, but now I like dogs." ("I still like cats." where only the reason changed) and "I no longer like
cats."; the *varied* one goes through several wordings in turn and gives the reason, in the words of the data, every
other time. In a run of its own deletions are done by `Memory.delete` of every turn that states the preference.

After each event the memory is asked what is current, in the words of the kind of preference and in those of the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from remanence import Memory
from remanence.bench.datasets._files import find, read_jsonl
from remanence.bench.studies.truth_dialogues import LIMIT, Clock, everything
from remanence.core.errors import ImportFormatError
from remanence.kernels.truth import value_key
from remanence.runtime.results import Item

FOLDER = "halumem_stage"
FILE = "stage3_2_preference_events.jsonl"
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
_THINGS = {
    "Beverage": "drinks", "Clothing": "clothes", "Food": "food", "Game": "games", "Movie": "movies", "Music": "music",
    "Pet": "pets", "Reading": "books", "Sports": "sports", "Travel": "kinds of travel",
}  # fmt: skip

Manner = Literal["plain", "varied", "deleted"]
"""How updates are said; "deleted": as plain, and deletions are done instead of said."""

_FIRST = (
    "I {verb} {item}.",
    "I really {verb} {item}.",
    "One thing I {verb}: {item}.",
    "Just so you know, I {verb} {item}.",
)
_NEW = (
    "I used to {verb} {item}, but now I {new_verb} {new_item}.",
    "I don't {verb} {item} any more. These days I {new_verb} {new_item}.",
    "My taste has changed: I {new_verb} {new_item} now and no longer {verb} {item}.",
    "There was a time when I {verb}d {item}. By now I {new_verb} {new_item}.",
)
_SAME = ("I still {verb} {item}.", "As ever, I {verb} {item}.")
_LAST = (
    "I no longer {verb} {item}.",
    "I don't {verb} {item} any more.",
    "I used to {verb} {item}, but that is over.",
    "I have stopped {stem}ing {item}.",
)


class Preference(NamedTuple):
    """One liking or disliking: the verb, and what it is about as one says it inside a sentence."""

    verb: str
    item: str


class Event(NamedTuple):
    """One update. `after` is None for a deletion; `reason` says why, in the words of the data."""

    things: str
    before: Preference
    after: Preference | None
    reason: str


@dataclass(slots=True)
class Preferences:
    """Counts of one run over all persons."""

    manner: Manner
    counts: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, float]:
        """Shares of the updates and of the deletions."""
        counts = self.counts
        updates, deletions = max(counts["updates"], 1), max(counts["deletions"], 1)
        found: dict[str, float] = {"updates": counts["updates"], "deletions": counts["deletions"]}
        if self.manner != "deleted":
            found |= {
                name: counts[name] / updates for name in ("current", "asked_first", "former_first", "facts_right")
            }
        found |= {name: counts[name] / deletions for name in ("honoured", "facts_gone", "words_gone")}
        return found


def load(data: Path) -> list[list[Event]]:
    """The events of each person, in order. Raises `ImportFormatError` for a file of another shape."""
    [path] = find(data, FOLDER, FILE)[:1]
    people = []
    for row in read_jsonl(path):
        try:
            people.append([_event(event) for event in row["event_list"]])
        except (KeyError, IndexError, TypeError) as error:
            raise ImportFormatError(
                f"{path.name} has no list of preference events ({error!r}); fetch it again"
            ) from error
    return people


def run(people: Sequence[Sequence[Event]], manner: Manner) -> Preferences:
    """Tell every person's updates to a memory of their own and ask after each."""
    result = Preferences(manner)
    for events in people:
        clock = Clock(START)
        with Memory(":memory:", user_id="bench", clock=clock, background=False) as memory:
            _Person(memory, clock, result).live(events)
    return result


class _Person:
    """One person's preferences as they change, and the memory that is told of them."""

    def __init__(self, memory: Memory, clock: Clock, result: Preferences) -> None:
        self.memory = memory
        self.clock = clock
        self.counts = result.counts
        self.manner = result.manner
        self.said = 0
        self.stated: dict[Preference, list[str]] = {}
        """Turns that state what is preferred now."""

    def live(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.before not in self.stated:
                self.stated[event.before] = [self.say(first_words(event.before, self.form))]
            if event.after is None:
                self._delete(event)
            else:
                self._update(event, event.after)

    @property
    def form(self) -> int:
        """Which wording is next."""
        return self.said if self.manner == "varied" else 0

    def say(self, text: str, reason: str = "") -> str:
        """Tell the memory something; the id of the turn."""
        if self.form % 2:
            text = f"{text} {reason}".rstrip()
        self.said += 1
        self.clock.now += timedelta(days=1)
        id = self.memory.add(text, timestamp=self.clock.now.isoformat())["results"][0]["id"]
        self.memory.flush()
        self.clock.now += timedelta(hours=1)
        return id

    def ask(self, query: str) -> list[str]:
        """The ids of the results, best first."""
        return [item["id"] for item in self.memory.search(query, limit=LIMIT)["results"]]

    def _update(self, event: Event, after: Preference) -> None:
        before = event.before
        turn = self.say(new_words(before, after, self.form), event.reason)
        stale = [] if after == before else self.stated.pop(before)
        self.stated.setdefault(after, []).append(turn)
        good = set(self.stated[after])
        found = self.ask(f"What {event.things} do I {after.verb}?")
        rank = next((place for place, id in enumerate(found) if id in good), LIMIT)
        self.counts["updates"] += 1
        self.counts["current"] += rank < LIMIT and not set(stale) & set(found[:rank])
        self.counts["asked_first"] += self.ask(f"Do I {after.verb} {after.item}?")[:1] in [[id] for id in good]
        self.counts["former_first"] += self.ask(f"Do I still {before.verb} {before.item}?")[:1] == [turn]
        held = self._held()
        self.counts["facts_right"] += _key(after) in held and (after == before or _key(before) not in held)

    def _delete(self, event: Event) -> None:
        before = event.before
        stale = self.stated.pop(before)
        self.counts["deletions"] += 1
        asked = (f"Do I still {before.verb} {before.item}?", f"What {event.things} do I {before.verb}?")
        if self.manner != "deleted":
            self.say(last_words(before, self.form), event.reason)
            words_gone = all(not set(self.ask(query)[:1]) & set(stale) for query in asked)
        else:
            for id in stale:
                self.memory.delete(id)
            self.memory.flush()
            words_gone = all(not set(self.ask(query)) & set(stale) for query in asked)
        facts_gone = _key(before) not in self._held() and not any(
            set(stale) & {source["id"] for source in item["sources"]}
            for item in self._facts()
            if self.manner == "deleted"
        )
        self.counts["words_gone"] += words_gone
        self.counts["facts_gone"] += facts_gone
        self.counts["honoured"] += words_gone and facts_gone

    def _facts(self) -> list[Item]:
        return everything(self.memory, "fact")

    def _held(self) -> set[tuple[str, str]]:
        """What is believed to be liked and disliked now."""
        found = set()
        for item in self._facts():
            meta = item["metadata"]
            if meta["attribute"] in ("likes", "dislikes"):
                likes = (meta["attribute"] == "likes") == bool(meta["polarity"])
                found.add(("like" if likes else "dislike", value_key(meta["value"])))
        return found


def first_words(preference: Preference, form: int = 0) -> str:
    """How a preference is stated for the first time."""
    return _FIRST[form % len(_FIRST)].format(verb=preference.verb, item=preference.item)


def new_words(before: Preference, after: Preference, form: int = 0) -> str:
    """How an update is said."""
    if after == before:
        return _SAME[form % len(_SAME)].format(verb=after.verb, item=after.item)
    words = _NEW[form % len(_NEW)]
    return words.format(verb=before.verb, item=before.item, new_verb=after.verb, new_item=after.item)


def last_words(preference: Preference, form: int = 0) -> str:
    """How a deletion is said."""
    verb = preference.verb
    return _LAST[form % len(_LAST)].format(verb=verb, item=preference.item, stem=verb.removesuffix("e"))


def _event(event: dict[str, Any]) -> Event:
    before = _preference(event["before_preference"])
    after = None if event["update_direction"] == "Delete" else _preference(event["after_preference"])
    point = (event["before_preference"] if after is None else event["after_preference"])["memory_points"][0]
    reason = event["update_reason"] if after is None else point["reason"]
    return Event(_THINGS[event["type_to_update"].split(" ")[0]], before, after, " ".join(reason.split()))


def _preference(found: dict[str, Any]) -> Preference:
    point = found["memory_points"][0]
    item = " ".join(point["specific_item"].split()).rstrip(".").removeprefix(f"{point['type'].capitalize()}s ")
    if not item[1:2].isupper():
        item = item[0].lower() + item[1:]
    return Preference(point["type"], item)


def _key(preference: Preference) -> tuple[str, str]:
    return preference.verb, value_key(preference.item)
