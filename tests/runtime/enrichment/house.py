"""A house of turns to derive from: an engine without an outbox, and jobs cut as a test likes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.entities import HANDLER as ENTITIES
from remanence.runtime.enrichment.episodes import HANDLER as EPISODES
from remanence.runtime.enrichment.handler import Batch, Handler, home_of, newest_versions, speaks
from remanence.runtime.enrichment.instructions import HANDLER as INSTRUCTIONS
from remanence.runtime.enrichment.summaries import HANDLER as SUMMARIES
from remanence.stores.embedders.static import StaticEmbedder
from remanence.substrates.embedding import Embedder
from remanence.substrates.records.model import Draft, Record, View
from remanence.substrates.records.operations import Close, Edge, Edges, Erase, Find, Put, Revise, WriteOperation
from remanence.substrates.records.reference import MemoryStore

START: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
HANDLERS: Final[tuple[Handler, ...]] = (EPISODES, SUMMARIES, ENTITIES, INSTRUCTIONS)
ANA: Final = Scope(user_id="ana")
KINDS: Final = ("episode", "summary", "entity", "instruction")


@dataclass
class House:
    """Turns of one home scope, and what the handlers made of them. `written` counts their writes."""

    embedder: Embedder = field(default_factory=StaticEmbedder)
    handlers: Sequence[Handler] = HANDLERS
    written: int = 0
    store: Any = None

    def __post_init__(self) -> None:
        clock = SteppingClock(START + timedelta(days=400), timedelta(microseconds=10))
        self.engine = Engine(
            self.store or MemoryStore(clock=clock),
            embedder=self.embedder,
            analyzer=Analyzer(),
            clock=clock,
            defaults={},
            actor="",
            index_bytes=1 << 20,
        )

    def say(self, *lines: str, session: str | None = "s1", at: datetime = START, **draft: Any) -> list[str]:
        """Store turns "Name: text" (or without a name), a minute apart; their ids. Nothing is derived."""
        scope = Scope(user_id="ana", run_id=session)
        drafts = []
        for number, line in enumerate(lines):
            name, colon, text = line.partition(": ")
            known = bool(colon) and name.isalpha() and name[0].isupper()
            drafts.append(
                Draft(
                    text=text if known else line,
                    speaker=name if known else None,
                    scope=scope,
                    event_at=at + number * timedelta(minutes=1),
                    **{"role": "user", **draft},
                )
            )
        return [written.id for written in self.engine.write([Put(one) for one in drafts], ANA).results]

    def derive(self, ids: Iterable[str] = (), gone: Sequence[str] = (), changed: Sequence[str] = ()) -> int:
        """One job per leaf scope over the turns `ids` (as a worker would run it); the number of writes."""
        turns = [turn for turn in newest_versions(self.engine, list(ids), ANA) if speaks(turn)]
        scopes = list(dict.fromkeys(turn.scope for turn in turns)) or [Scope(user_id="ana", run_id="s1")]
        count = 0
        for scope in scopes:
            mine = sorted((turn for turn in turns if turn.scope == scope), key=lambda turn: turn.id)
            batch = Batch(self.engine, scope, home_of(scope), mine, gone, changed, self.engine.now())
            for handler in self.handlers:
                batch.handler = handler.name
                operations = handler.derive(batch)
                _check(operations, f"derived:{handler.name}")
                batch.planned.extend(operations)
            if batch.planned:
                self.engine.write(batch.planned, batch.home)
            count += len(batch.planned)
        self.written += count
        return count

    def derived(self, *kinds: str, closed: bool = False) -> list[Record]:
        """Derived records in the default view."""
        asked = Find(View(self.engine.now()), kinds=kinds or KINDS, limit=None, closed=closed)
        return [record for record in self.engine.read([asked], ANA)[0] if record.derived]

    def edges(self, *types: str) -> set[tuple[str, str, str]]:
        """Edges as `(source, target, type)`, entities by key and turns by id."""
        edges: Sequence[Edge] = self.engine.read([Edges(None, types or None)], ANA)[0]
        keys = {record.id: record.meta["key"] for record in self.derived("entity")}
        return {(keys.get(edge.source, edge.source), keys[edge.target], edge.type) for edge in edges}

    def content(self, ids: Sequence[str] = ()) -> list[str]:
        """What is derived, without ids of derived records and with turns by number: equal contents, equal memories."""
        lines = [
            repr(
                (
                    record.kind, record.text, str(record.scope), str(record.event_at), str(record.valid_from),
                    str(record.valid_to), record.sources, sorted(record.meta.items()), record.trust,
                )
            )
            for record in self.derived(closed=True)
        ]  # fmt: skip
        lines += [repr(edge) for edge in self.edges()]
        number = {id: f"turn {position}" for position, id in enumerate(ids)}
        return sorted(re.sub(r"[0-9A-Z]{26}", lambda match: number.get(match[0], match[0]), line) for line in lines)

    def delete(self, id: str) -> None:
        """As a user does who deletes a turn; nothing is derived."""
        self.engine.write([Close(id)], ANA)

    def erase(self, id: str) -> None:
        """As a user does who erases a turn."""
        self.engine.write([Erase((id,))], ANA)

    def edit(self, id: str, text: str) -> None:
        """As a user does who corrects a turn."""
        (old,) = newest_versions(self.engine, [id], ANA)
        draft = Draft(text=text, kind=old.kind, event_at=old.event_at, speaker=old.speaker, role=old.role)
        self.engine.write([Revise(id, draft)], ANA)


def shuffled_jobs(ids: Sequence[str], seed: int) -> list[list[str]]:
    """`ids` cut into jobs of odd sizes that come in any order."""
    dice = random.Random(seed)
    jobs, at = [], 0
    while at < len(ids):
        size = dice.randint(1, 9)
        jobs.append(list(ids[at : at + size]))
        at += size
    dice.shuffle(jobs)
    return jobs


def _check(operations: Sequence[WriteOperation], origin: str) -> None:
    for operation in operations:
        if isinstance(operation, Put | Revise):
            assert operation.draft.origin == origin
            assert operation.draft.sources
