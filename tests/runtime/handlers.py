"""Handlers that are small enough to be right, and what they ought to have made: for tests of the outbox.

`Topics` keeps one record for each first word of turns, made of all turns that begin with it: a job that is lost, done
twice or done on something old shows in its text. `Echoes` makes one record per turn, and reads what `Topics` plans.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment import registry
from remanence.runtime.enrichment.handler import Batch, Handler, Later, Refined
from remanence.runtime.memory import Memory
from remanence.substrates.records.model import Record, Source, View
from remanence.substrates.records.operations import Close, Find, Put, Revise, WriteOperation

ANA = Scope(user_id="ana")


@dataclass
class Topics:
    """One record per first word; `pause` seconds between reading and answering."""

    pause: float = 0.0
    name: ClassVar[str] = "topics"
    after: ClassVar[tuple[str, ...]] = ()
    batches: list[Batch] = field(default_factory=list)

    def derive(self, batch: Batch) -> list[WriteOperation]:
        self.batches.append(batch)
        found: Sequence[Record]
        (found,) = batch.read([Find(View(batch.now), kinds=("topic",), limit=None)])
        said: dict[str, dict[str, str]] = {record.meta["key"]: dict(record.meta["said"]) for record in found}
        before = {key: dict(some) for key, some in said.items()}
        touched = {turn.id for turn in batch.turns} | set(batch.gone)
        for some in said.values():
            for id in touched & some.keys():
                del some[id]
        for turn in batch.turns:
            if turn.kind == "turn":
                said.setdefault(turn.text.split()[0], {})[turn.id] = turn.text
        time.sleep(self.pause)
        made: list[WriteOperation] = []
        records = {record.meta["key"]: record for record in found}
        for key, some in said.items():
            if some == before.get(key):
                continue
            if not some:
                made.append(Close(records[key].id, expected_version=records[key].version))
                continue
            draft = batch.draft(
                f"{key}: " + " | ".join(some[id] for id in sorted(some)),
                kind="topic",
                sources=[Source(id, 0, len(some[id])) for id in sorted(some)],
                scope=batch.home,
                meta={"key": key, "said": some},
            )
            old = records.get(key)
            made.append(Put(draft) if old is None else Revise(old.id, draft, expected_version=old.version))
        return made


@dataclass
class Echoes:
    """One record per turn, in capitals."""

    name: ClassVar[str] = "echoes"
    after: ClassVar[tuple[str, ...]] = ("topics",)
    planned: list[int] = field(default_factory=list)

    def derive(self, batch: Batch) -> list[WriteOperation]:
        self.planned.append(len(batch.planned))
        found: Sequence[Record]
        (found,) = batch.read([Find(View(batch.now), kinds=("echo",), limit=None)])
        old = {record.sources[0].id: record for record in found if record.sources}
        made: list[WriteOperation] = []
        for turn in batch.turns:
            if turn.kind != "turn":
                continue
            draft = batch.draft(
                turn.text.upper(), kind="echo", sources=[Source(turn.id, 0, len(turn.text))], event_at=turn.event_at
            )
            if turn.id not in old:
                made.append(Put(draft))
            elif old[turn.id].text != draft.text:
                made.append(Revise(old[turn.id].id, draft, expected_version=old[turn.id].version))
        made += [Close(old[id].id, expected_version=old[id].version) for id in batch.gone if id in old]
        return made


@dataclass
class Stamps:
    """One more record per turn whenever it is asked: how often a job had an effect can be counted."""

    name: ClassVar[str] = "stamps"
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        return [
            Put(batch.draft(f"stamp on {turn.text}", kind="stamp", sources=[Source(turn.id, 0, 1)]))
            for turn in batch.turns
        ]


@dataclass
class Fails:
    """Raises while `words` are not None, in every batch or in those with a turn that holds `on`."""

    words: str | None = "no"
    on: str = ""
    calls: int = 0
    name: ClassVar[str] = "fails"
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        self.calls += 1
        if self.words is not None and (not self.on or any(self.on in turn.text for turn in batch.turns)):
            raise ValueError(self.words)
        return []


@dataclass
class Returns:
    """Returns what it is told to."""

    operations: list[WriteOperation]
    name: ClassVar[str] = "returns"
    after: ClassVar[tuple[str, ...]] = ()

    def derive(self, batch: Batch) -> list[WriteOperation]:
        return list(self.operations)


@dataclass
class Slow:
    """Costly work: one summary per leaf scope, made anew each time; raises `error` if there is one."""

    error: Exception | None = None
    able: bool = True
    rounds: int = 1
    calls: int = 0
    name: ClassVar[str] = "slow"
    pause: ClassVar[timedelta] = timedelta(seconds=30)

    def wanted(self, engine: Engine) -> bool:
        return self.able

    def refine(self, batch: Batch) -> Refined:
        self.calls += 1
        if self.error is not None:
            raise self.error
        found: Sequence[Record]
        (found,) = batch.read([Find(View(batch.now), kinds=("turn",), limit=None)])
        draft = batch.draft(
            f"{len(found)} turns, part {self.calls}",
            kind="gist",
            sources=[Source(record.id, 0, len(record.text)) for record in found],
        )
        return Refined([Put(draft)], more=self.calls < self.rounds)


def install(monkeypatch: pytest.MonkeyPatch, *handlers: Handler, laters: Iterable[Later] = ()) -> None:
    """Let these be all the handlers there are."""
    monkeypatch.setattr(registry, "handlers", lambda: registry.ordered(handlers))
    monkeypatch.setattr(registry, "laters", lambda: {later.name: later for later in laters})


def derived(engine: Engine, scope: Scope) -> list[tuple[Any, ...]]:
    """What is derived in a scope, as content: without ids and system times."""
    texts = {record.id: record.text for record in everything(engine, scope)}
    return sorted(
        (
            record.kind,
            record.text,
            str(record.scope),
            record.origin,
            tuple(texts[source.id] for source in record.sources),
            record.trust,
        )
        for record in everything(engine, scope)
        if record.derived and record.closed_at is None
    )


def everything(engine: Engine, scope: Scope) -> Sequence[Record]:
    """The newest version of every record."""
    found: Sequence[Record]
    (found,) = engine.read([Find(View(engine.now()), limit=None, closed=True)], scope)
    return found


def expected(turns: Iterable[tuple[str, Scope]]) -> list[tuple[Any, ...]]:
    """What `Topics` and `Echoes` have to make of turns, given in the order of their ids."""
    turns = list(turns)
    rows: list[tuple[Any, ...]] = [
        ("echo", text.upper(), str(scope), "derived:echoes", (text,), 1.0) for text, scope in turns
    ]
    topics: dict[tuple[str, Scope], list[str]] = {}
    for text, scope in turns:
        topics.setdefault((text.split()[0], registry.home_of(scope)), []).append(text)
    rows += [
        ("topic", f"{key}: {' | '.join(texts)}", str(home), "derived:topics", tuple(texts), 1.0)
        for (key, home), texts in topics.items()
    ]
    return sorted(rows)


def engine_of(memory: Memory) -> Engine:
    """The engine behind a memory."""
    return memory._engine


def right(memory: Memory, scope: Scope = ANA) -> None:
    """Check that what is derived is what `Topics` and `Echoes` have to make of the turns that there are."""
    engine = engine_of(memory)
    found = [row for row in derived(engine, scope) if row[0] in ("topic", "echo")]
    assert found == expected(turns_of(engine, scope))
    assert found


def later(clock: SteppingClock, seconds: float) -> None:
    """Let time go by."""
    clock.current += timedelta(seconds=seconds)


def turns_of(engine: Engine, scope: Scope) -> list[tuple[str, Scope]]:
    """The open turns of a scope, in the order of their ids."""
    return [(r.text, r.scope) for r in everything(engine, scope) if r.kind == "turn" and r.closed_at is None]
