"""Mechanisms that are wrong on purpose, each as real projects have been, and the rule that has to notice."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from remanence.core.card import Card, Evidence
from remanence.core.scope import Scope
from remanence.substrates.records.base import TURN, RecordMemory, whole
from remanence.substrates.records.mechanism import Hit, Item
from remanence.substrates.records.model import Draft, Record
from remanence.substrates.records.operations import Put
from remanence.substrates.records.reference import MemoryStore

CARD = Card(
    slug="right",
    substrate="records",
    title="What the others are wrong copies of",
    paper="",
    claim="finds what was written",
    can=frozenset({"update", "forget", "consolidate"}),
)


class Right(RecordMemory):
    """Keeps a note beside each turn, and finds both by their vectors."""

    card: ClassVar[Card] = CARD

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        turns = self.open_turns("note", now)
        return self.keep([self.note(turn) for turn in turns], now) if turns else []

    def note(self, turn: Record) -> Draft:
        return Draft(f"noted: {turn.text}", kind="note", sources=whole(turn), event_at=turn.event_at)

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return self.hits(self.nearest(query, k, kinds=(TURN, "note")), k, now=now) if query.strip() else []


def claiming(*abilities: str, **fields: Any) -> Card:
    return replace(CARD, can=frozenset(abilities), **fields)


class NeedsArguments(Right):
    """Cannot be made without being told where to write."""

    def __init__(self, path: str) -> None:
        super().__init__()


class Placeholder(Right):
    """`save` writes a placeholder (MemOS's LoRAMemory)."""

    def state(self) -> dict[str, Any]:
        return {"placeholder": "Placeholder"}

    def restore(self, state: Mapping[str, Any]) -> None:
        return None


class Objects(Right):
    """The state holds live objects."""

    def state(self) -> dict[str, Any]:
        return {**super().state(), "scope": self.scope}


class Aliased(Right):
    """The state is what the mechanism goes on writing to."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.log: list[str] = []

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        self.log += [item.text for item in items]
        return super().write(items, now=now)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "log": self.log}


class Amnesiac(Right):
    """Acknowledges and keeps nothing."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        return [f"{at}" for at, _ in enumerate(items)]


SHARED = MemoryStore()


class Shared(Right):
    """One store for all instances, at the level of the module."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{**arguments, "store": arguments.get("store") or SHARED})


class Moody(Right):
    """Breaks ties, and everything else, by chance."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        hits = [replace(hit, score=hit.score + random.random() / 10) for hit in super().read(query, 2 * k, now=now)]
        return sorted(hits, key=lambda hit: -hit.score)[:k]


def fails(seed: int) -> Evidence:
    return Evidence("recall", 0.5, 0.5)


class Unproven(Right):
    """Its witness shows no more than its baseline does."""

    witness = staticmethod(fails)


def wavers(seed: int) -> Evidence:
    return Evidence("recall", 1 + time.perf_counter(), 0.5)


class Wavering(Right):
    """Its witness measures something else each time."""

    witness = staticmethod(wavers)


class Buffering(Right):
    """What waits in a buffer is not found (as where only finished episodes are searched)."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return self.hits(self.nearest(query, k, kinds=("note",)), k, now=now) if query.strip() else []

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        return super().work(now, flush=flush) if flush or len(self.open_turns("note", now)) > 25 else []


class Zombie(Right):
    """Hides what is forgotten, and saves it."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.hidden: set[str] = set()

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        fresh = set(ids) - self.hidden
        self.hidden |= fresh
        return len(fresh)

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return [hit for hit in super().read(query, k, now=now) if not self.hidden & set(hit.sources)]


class Positions(Right):
    """Ids are places in a list, which move (A-MEM's public code)."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        super().write(items, now=now)
        current = list(self.current(now).of(TURN))
        return [f"{at}" for at in range(len(current) - len(items), len(current))]

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        current = list(self.current(now).of(TURN))
        return super().forget([current[int(id)] for id in ids if int(id) < len(current)], now=now)


class Sidecar(Right):
    """Notes live in the instance, outside of the store."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.notes: list[str] = []

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        self.notes += [turn.id for turn in self.current(now).of(TURN).values() if turn.id not in self.notes]
        return []

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return [hit for hit in super().read(query, k, now=now) if hit.id in self.notes]


class Deaf(Right):
    """Looks at the store once, and never again."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        if not hasattr(self, "known"):
            self.known = set(self.current(now).of(TURN))
        return [hit for hit in super().read(query, k, now=now) if self.known & set(hit.sources)]


class StoreClock(Right):
    """Orders by when the store wrote something down, not by when it happened."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        hits = super().read(query, k, now=now)
        return [replace(hit, score=hit.score - hit.record.recorded_at.year) for hit in hits if hit.record]


class Scopeless(Right):
    """Puts everybody's memories into one scope."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{**arguments, "scope": Scope(app_id="all")})


class Overflowing(Right):
    """Gives neighbours on top of the k that were asked for."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return super().read(query, k + 1 if k else 0, now=now)


class Eager(Right):
    """Answers a blank question with something."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return super().read(query.strip() or "cat", k, now=now)


class AsciiOnly(Right):
    """Drops what it cannot spell."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        kept = [item for item in items if item.text.isascii()]
        return super().write(kept, now=now)


class HalfKept(Right):
    """Writes item by item, so that a bad one leaves the others before it behind."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        return [id for item in items for id in super(HalfKept, self).write([item], now=now)]


class Restless(Right):
    """A read writes down that it was."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        hits = super().read(query, k, now=now)
        self.touch([hit.id for hit in hits], now)
        return hits


class Indifferent(Right):
    """Claims that use strengthens, and counts none."""

    card: ClassVar[Card] = claiming("reinforce")


class Sourceless(Right):
    """Does not say what its hits rest on."""

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return [replace(hit, sources=()) for hit in super().read(query, k, now=now)]


class StaleNotes(Right):
    """Updates a turn and leaves what was made of it as it was."""

    def update(self, id: str, text: str, *, now: datetime) -> None:
        (old,) = self.get([id])
        if old is None:
            raise KeyError(id)
        self.revise({id: replace(self.redrafted(old), text=text)}, now)


class Unrooted(Right):
    """What is derived does not say from what, so that it stays behind."""

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        known = {note.text for note in self.current(now).of("note").values()}
        fresh = [turn for turn in self.current(now).of(TURN).values() if f"noted: {turn.text}" not in known]
        return self.keep([replace(self.note(turn), sources=()) for turn in fresh], now) if fresh else []


class ModelFirst(Right):
    """Asks the model before anything is kept, and fails with it."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        if self.llm is not None:
            self.llm.complete([{"role": "user", "content": "hello"}])
        return super().write(items, now=now)


class Trusting(Right):
    """Lets the model say which turn is meant, and closes it."""

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        turns = [turn.id for turn in self.current(now).of(TURN).values()]
        schema = {"type": "object", "properties": {"drop": {"type": "boolean"}}, "required": ["drop"]}
        answer = self.ask("Which may go?", {"turns": turns}, schema)
        if answer and answer["drop"]:
            self.close(turns[:1])
        return super().work(now, flush=flush)


class DerivedFirst(Right):
    """Keeps what it makes of the words before the words themselves."""

    def write(self, items: Sequence[Item], *, now: datetime) -> list[str]:
        self.commit([Put(Draft("about to write", kind="log"))])
        return super().write(items, now=now)


class Doubling(Right):
    """Consolidating again makes everything again."""

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        turns = list(self.current(now).of(TURN).values()) if flush else self.open_turns("note", now)
        return self.keep([self.note(turn) for turn in turns], now) if turns else []


class Unlearning(Right):
    """Takes feedback and forgets it."""

    card: ClassVar[Card] = claiming("feedback")

    def feedback(self, ids: Sequence[str], reward: float, *, now: datetime) -> None:
        return None


class Boasting(Right):
    """Claims a verb that it does not have."""

    card: ClassVar[Card] = claiming("feedback")


class Returning(Right):
    """What was forgotten is derived again from the turn that is left."""

    def forget(self, ids: Sequence[str], *, now: datetime) -> int:
        held = [record.id for record in self.get(ids) if record is not None]
        self.close([*held, *self.current(now).dependents(held)])
        self.work(now)
        return len(held)


ADVERSARIES: list[tuple[type[Any], str]] = [
    (NeedsArguments, "G01"),
    (Placeholder, "G02"),
    (Objects, "G03"),
    (Aliased, "G04"),
    (Amnesiac, "G05"),
    (Shared, "G06"),
    (Moody, "G07"),
    (Unproven, "G08"),
    (Wavering, "G09"),
    (Buffering, "R01"),
    (Amnesiac, "R01"),
    (Zombie, "R02"),
    (Positions, "R03"),
    (Sidecar, "R05"),
    (Deaf, "R06"),
    (StoreClock, "R07"),
    (Scopeless, "R08"),
    (Overflowing, "R09"),
    (Eager, "R10"),
    (AsciiOnly, "R11"),
    (HalfKept, "R12"),
    (Restless, "R13"),
    (Indifferent, "R14"),
    (Sourceless, "R15"),
    (StaleNotes, "R16"),
    (Unrooted, "R17"),
    (ModelFirst, "R18"),
    (Trusting, "R19"),
    (DerivedFirst, "R20"),
    (Doubling, "R21"),
    (Unlearning, "R22"),
    (Boasting, "R23"),
    (Returning, "R24"),
]
"""Each wrong mechanism, and the rule that finds it."""
