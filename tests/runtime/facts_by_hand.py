"""Facts as the handler of facts keeps them, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from remanence.kernels.claims.ontology import attribute
from remanence.runtime.memory import Memory
from remanence.runtime.results import AddResult
from remanence.substrates.records.model import Draft, Record, Source, View
from remanence.substrates.records.operations import Find, Put


def engine_of(memory: Memory) -> Any:
    return memory._engine


def only_id(added: AddResult) -> str:
    (row,) = added["results"]
    return row["id"]


def records(memory: Memory, *, user: str = "ana") -> dict[str, Record]:
    """The newest versions of all open records, by id."""
    engine = engine_of(memory)
    scope = memory._whom("test", {"user_id": user}, None)
    (found,) = engine.read([Find(View(engine.now()), limit=None, closed=True)], scope)
    return {record.id: record for record in found if record.closed_at is None}


def fact(
    memory: Memory,
    subject: str,
    key: str,
    value: str,
    said: Sequence[tuple[str, str]],
    *,
    act: str = "state",
    status: str = "held",
    polarity: bool = True,
    since: str | None = None,
    at: datetime | None = None,
    user: str = "ana",
) -> str:
    """Keep a fact; `said` are ids of records with the words in them that say so. Its id."""
    engine = engine_of(memory)
    there = records(memory, user=user)
    rows: list[list[Any]] = []
    sources = []
    for id, words in said:
        start = there[id].text.index(words)
        sources.append(Source(id, start, start + len(words)))
        rows.append([id, start, start + len(words), act, there[id].event_at.isoformat(), since, None, value, None, 0.9,
                     polarity])  # fmt: skip
    meant = attribute(key)
    draft = Draft(
        (meant.render if polarity else meant.deny).format(subject=subject, value=value),
        kind="fact",
        scope=there[said[0][0]].scope,
        event_at=at or there[said[0][0]].event_at,
        sources=tuple(sources),
        meta={"subject": subject, "attribute": key, "value": value, "key": f"{subject.casefold()}|{key}",
              "polarity": polarity, "status": status, "confidence": 0.9, "evidence": len(rows), "said": rows},
        terms=("fact",),
        origin="derived:facts",
    )  # fmt: skip
    scope = memory._whom("test", {"user_id": user}, None)
    outcome = engine.write([Put(draft)], scope)
    return str(outcome.results[0].id)
