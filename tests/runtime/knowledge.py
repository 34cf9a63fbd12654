"""A small world for tests of what is worked out from turns: an engine, its facts, and a worker with given handlers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.runtime import adding, changing, working
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment import dependents, facts
from remanence.runtime.enrichment.book import Fact, fact_of
from remanence.runtime.enrichment.handler import Batch, home_of
from remanence.runtime.gathering import after_erasure
from remanence.stores.embedders import as_embedder
from remanence.substrates.records.model import Draft, Record, Source, View
from remanence.substrates.records.operations import Edges, Enqueue, Erase, Find, History, Put, Receipt, WriteOperation
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = START + 100 * DAY
ANA = Scope(user_id="Ana")


class World:
    """Ana's memory. `work` runs the handlers of facts and of what depends on them, and nothing else."""

    def __init__(self, store: RecordStore | None = None, *, enrich: bool = True) -> None:
        self.clock = SteppingClock(NOW, timedelta(milliseconds=5))
        self.engine = Engine(
            MemoryStore(clock=self.clock) if store is None else store,
            embedder=as_embedder("hash"),
            analyzer=Analyzer(),
            clock=self.clock,
            defaults={},
            actor="me",
            index_bytes=1 << 26,
            enrich=enrich,
        )

    def say(self, text: str, day: float = 0, *, scope: Scope = ANA, speaker: str | None = None, **common: Any) -> str:
        """Ana says something on a day; its id."""
        common = {"timestamp": START + day * DAY, "speaker": speaker, **common}
        added = adding.add(self.engine, text, scope, adding.Common(**common))
        return added["results"][0]["id"]

    def tell(self, *texts: str, scope: Scope = ANA) -> list[str]:
        """Ana says one thing a day, and all of it is worked out; ids."""
        ids = [self.say(text, day, scope=scope) for day, text in enumerate(texts)]
        self.work()
        return ids

    def conclude(self, text: str, *premises: str, day: float = 0) -> str:
        """A conclusion of Ana's; its id."""
        sources = tuple(Source(id, 0, len(self.newest(id).text)) for id in premises)
        draft = Draft(text, kind="conclusion", event_at=START + day * DAY, sources=sources)
        outcome = self.engine.write([Put(draft), Enqueue("enrich")], ANA)
        written: str = outcome.results[0].id
        return written

    def work(self) -> None:
        """Do all jobs; none may fail."""
        shift = working.Shift(self.engine, handlers=[facts.HANDLER, dependents.HANDLER], laters={})
        while shift.step():
            pass
        assert not shift.tally.errors
        assert not shift.tally.retried + shift.tally.dead

    def batch(self, ids: Sequence[str], *, gone: Sequence[str] = (), changed: Sequence[str] = ()) -> Batch:
        """A batch over turns of one leaf scope."""
        turns = [self.newest(id) for id in sorted(ids)]
        leaf = turns[0].scope if turns else ANA
        now = self.engine.now()
        return Batch(self.engine, leaf, home_of(leaf), turns, list(gone), list(changed), now, "facts")

    def derive(self, ids: Sequence[str], **others: Sequence[str]) -> list[WriteOperation]:
        """What working on turns again would write; it is written, too."""
        batch = self.batch(ids, **others)
        operations = facts.HANDLER.derive(batch)
        batch.planned.extend(operations)
        operations += dependents.HANDLER.derive(batch)
        if operations:
            self.engine.write(operations, batch.home)
        return operations

    def erase(self, *ids: str) -> Receipt:
        """Erase, with the work that follows from it."""
        after = after_erasure(self.engine, ids, ANA)
        receipt: Receipt = self.engine.write([Erase(ids), *after], ANA).results[0]
        self.work()
        return receipt

    def update(self, id: str, text: str | None = None, *, correction: bool = False, **others: Any) -> None:
        """A user's update, and what follows from it."""
        nothing = dict.fromkeys(("metadata", "timestamp", "valid_from", "valid_to", "expected_version"))
        changing.update(self.engine, id, ANA, text=text, correction=correction, **{**nothing, **others})
        self.follow(id)

    def delete(self, id: str) -> str:
        """A user's deletion, and what follows from it; the change."""
        change = changing.delete(self.engine, id, ANA, at=None, expected_version=None)["change"]
        self.follow(id)
        assert change is not None
        return change

    def undo(self, change: str, *ids: str) -> None:
        """Take a change of some records back, and what follows from that."""
        changing.undo(self.engine, change, ANA)
        self.follow(*ids)

    def follow(self, *ids: str) -> None:
        """See to it that changes of records are worked on, whether or not the verb noted them down."""
        self.engine.write([Enqueue("enrich", {"ids": list(ids), "altered": list(ids)})], ANA)
        self.work()

    def newest(self, id: str) -> Record:
        """The newest version of a record."""
        record: Record = self.versions(id)[-1]
        return record

    def versions(self, id: str) -> tuple[Record, ...]:
        """All versions of a record."""
        found: tuple[Record, ...] = self.engine.read([History(id)], ANA)[0]
        return found

    def facts(self) -> list[Fact]:
        """All facts in the newest version, closed ones included, in the order in which they became true."""
        (found,) = self.engine.read([Find(View(self.engine.now()), kinds=("fact",), limit=None, closed=True)], ANA)
        read = [fact for record in found if (fact := fact_of(record)) is not None]
        return sorted(read, key=lambda fact: (fact.record.valid_from, fact.record.text))

    def rows(self) -> list[tuple[str, float | None, str]]:
        """Text, last day and status of the facts that are believed."""
        return [
            (record.text, None if record.valid_to is None else _days(record.valid_to), record.meta["status"])
            for fact in self.facts()
            if (record := fact.record).closed_at is None
        ]

    def current(self, as_of: datetime | None = None) -> list[str]:
        """Texts of the facts that the default view shows."""
        (found,) = self.engine.read([Find(View(self.engine.now(), as_of), kinds=("fact",), limit=None)], ANA)
        return sorted(record.text for record in found)

    def fact(self, text: str) -> Fact:
        """The open fact that says something."""
        return next(fact for fact in self.facts() if fact.record.text == text and fact.open)

    def supersedes(self) -> set[tuple[str, str]]:
        """Texts of facts and of those whose place they took."""
        edges = self.engine.read([Edges(types=("supersedes",))], ANA)[0]
        return {(self.newest(edge.source).text, self.newest(edge.target).text) for edge in edges}


def _days(moment: datetime) -> float:
    return round((moment - START) / DAY, 3)


def shown(world: World) -> list[tuple[Any, ...]]:
    """What facts say, without their ids and versions: what must not depend on how turns were cut into jobs."""
    rows = []
    for fact in world.facts():
        record = fact.record
        if record.closed_at is not None and not fact.said:
            continue
        said = sorted([world.newest(row[0]).text, *row[1:]] for row in record.meta["said"])
        sources = sorted((world.newest(source.id).text, source.start, source.end) for source in record.sources)
        meta = {name: record.meta[name] for name in ("value", "attribute", "status", "confidence", "evidence")}
        rows.append(
            (
                record.text, record.event_at, record.valid_from, record.valid_to, record.closed_at is None,
                record.trust, str(sources), str(said), str(meta),
            )
        )  # fmt: skip
    return sorted(rows, key=str)
