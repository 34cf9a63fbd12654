"""Units through the memory itself: the outbox, erasing, deleting and deriving everything anew."""

from __future__ import annotations

from typing import Any

from remanence.core.scope import Scope
from remanence.runtime import rederiving, working
from remanence.runtime.memory import Memory
from remanence.scenarios.dialogues import generate
from remanence.substrates.records.model import Record, View
from remanence.substrates.records.operations import Edge, Edges, Find
from tests.runtime.enrichment.house import KINDS

ANA = Scope(user_id="ana")


def content(memory: Memory) -> list[Any]:
    engine = memory._engine
    records: tuple[Record, ...]
    edges: tuple[Edge, ...]
    asked = Find(View(engine.now()), kinds=KINDS, limit=None, closed=True)
    records, edges = engine.read([asked, Edges(None, ("mentions", "spoken_by", "alias"))], ANA)
    keys = {record.id: record.meta.get("key") for record in records}
    return sorted(
        [
            *(repr((one.kind, one.text, one.event_at, one.sources, sorted(one.meta.items()))) for one in records),
            *(repr((keys.get(one.source, one.source), keys.get(one.target), one.type)) for one in edges),
        ]
    )


def test_what_was_worked_out_turn_by_turn_is_what_a_rebuild_makes() -> None:
    with Memory(":memory:", background=False) as memory:
        for turn in generate(3, sessions=3, people=3, hardness="hard").turns:
            memory.add(turn.text, user_id="ana", session_id=turn.session, speaker=turn.speaker, timestamp=turn.at)
        engine = memory._engine
        working.drain(engine, ANA)
        (turns,) = engine.read([Find(View(engine.now()), kinds=("turn",), limit=None)], ANA)
        before = content(memory)
        rederiving.rebuild_derived(engine, ANA)
        assert content(memory) == before
        memory.erase(turns[12].id, user_id="ana")
        memory.delete(turns[20].id, user_id="ana")
        working.drain(engine, ANA)
        after = content(memory)
        assert after != before
        assert not any(turns[12].text in line for line in after)
        rederiving.rebuild_derived(engine, ANA)
        assert content(memory) == after
