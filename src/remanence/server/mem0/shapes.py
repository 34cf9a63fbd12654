"""What mem0's clients send, and where a memory lies that they name by its id alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, StrictStr

from remanence.core.clock import from_micros
from remanence.core.errors import NotFound, ScopeRequired
from remanence.core.ids import is_ulid, ulid_millis
from remanence.core.scope import Scope as Place
from remanence.runtime.results import EVENTS, stamp
from remanence.server.models import Id, Question, Scope, Time
from remanence.server.service import Call
from remanence.substrates.records.operations import Changes, History, JournalEntry, Operation
from remanence.substrates.records.port import Surveyable, Tally

__all__ = [
    "ENTITIES", "EVENTS", "AddIn", "BatchIn", "BatchOne", "ConfigureIn", "ListIn", "SearchIn", "UpdateIn", "entities",
    "events_of", "located", "one_page", "territories",
]  # fmt: skip

ENTITIES: Final = {"user": "user_id", "agent": "agent_id", "app": "app_id", "run": "run_id"}
"""What mem0 calls an entity, and the id that it is."""


class Lenient(Scope):
    """A body whose further fields are options of mem0's service that have no meaning here."""

    model_config = ConfigDict(extra="ignore")


class AddIn(Lenient):
    """Messages to remember."""

    messages: StrictStr | dict[str, Any] | list[Any]
    metadata: dict[str, Any] | None = None
    timestamp: Time | None = None
    expiration_date: Annotated[Time | None, Field(description="Until when it is true.")] = None
    infer: bool = True

    def arguments(self) -> dict[str, Any]:
        """For `Memory.add`."""
        return {"metadata": self.metadata, "timestamp": self.timestamp, "valid_to": self.expiration_date}


class SearchIn(Lenient):
    """A question."""

    query: Question
    filters: dict[str, Any] | None = None
    top_k: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    limit: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    threshold: FiniteFloat | None = None
    rerank: bool = False
    explain: bool = False


class ListIn(Lenient):
    """Whose memories to list."""

    filters: dict[str, Any] | None = None


class UpdateIn(Lenient):
    """What becomes of a memory; `data` and `memory` are older names of `text`."""

    text: StrictStr | None = None
    data: StrictStr | None = None
    memory: StrictStr | None = None
    metadata: dict[str, Any] | None = None
    timestamp: Time | None = None
    expiration_date: Time | None = None

    def arguments(self) -> dict[str, Any]:
        """For `Memory.update`."""
        text = next((one for one in (self.text, self.data, self.memory) if one is not None), None)
        return {
            "text": text, "metadata": self.metadata, "timestamp": self.timestamp, "valid_to": self.expiration_date
        }  # fmt: skip


class BatchOne(BaseModel):
    """One memory of a batch."""

    model_config = ConfigDict(extra="ignore")
    memory_id: Annotated[StrictStr, Field(max_length=100)]
    text: StrictStr | None = None
    metadata: dict[str, Any] | None = None


class BatchIn(Lenient):
    """Some memories."""

    memories: Annotated[list[BatchOne], Field(min_length=1, max_length=1000)]


class ConfigureIn(BaseModel):
    """A configuration of mem0's server."""

    model_config = ConfigDict(extra="allow")
    version: Id | StrictInt | None = None


def located(call: Call, memory_id: str) -> dict[str, Any]:
    """The ids under which a memory is reached: those of the call or the key, or where it lies if they name none.

    Looking for it takes a look into every scope; a key that is bound to one, or ids in the query, save that. Raises
    `NotFound`.
    """
    if call.ids:
        return call.ids
    for place in territories(call):
        try:
            call.memory.store.batch([History(memory_id)], scope=place)
        except NotFound:
            continue
        return dict(place.items())
    raise NotFound(f"there is no memory {memory_id!r} in this scope")


def events_of(call: Call, change_id: str) -> list[JournalEntry]:
    """What a change did, within reach. Raises `NotFound`."""
    operation: list[Operation] = [Changes(change=change_id)]
    for place in [Place(**call.ids)] if call.ids else territories(call):
        (found,) = call.memory.store.batch(operation, scope=place).results
        if found:
            return list(found)
    raise NotFound(f"there is no event {change_id!r} in this scope")


def entities(call: Call) -> list[dict[str, Any]]:
    """Every user, agent, app and run within reach, by type and name, with how many memories it has, when the first came
    and when the last was changed.
    """
    found: dict[tuple[str, str], list[Tally]] = {}
    for tally in call.service.tallies(call.principal, call.ids):
        for kind, field in ENTITIES.items():
            name = getattr(tally.scope, field)
            if name is not None:
                found.setdefault((kind, name), []).append(tally)
    return [
        {
            "id": name,
            "name": name,
            "type": kind,
            "total_memories": sum(tally.memories for tally in tallies),
            "created_at": _born(min((tally.first for tally in tallies if tally.first), default=None)),
            "updated_at": _latest(tally.changed for tally in tallies),
        }
        for (kind, name), tallies in sorted(found.items())
    ]


def _born(memory_id: str | None) -> str | None:
    """When a memory was made, to the millisecond; None where there is none, or where its id does not tell."""
    return stamp(from_micros(ulid_millis(memory_id) * 1000)) if memory_id and is_ulid(memory_id) else None


def _latest(moments: Iterable[datetime | None]) -> str | None:
    latest = max((moment for moment in moments if moment is not None), default=None)
    return None if latest is None else stamp(latest)


def one_page(rows: list[Any], total: int, page: int, size: int, path: str) -> dict[str, Any]:
    """A page in the shape of mem0's service."""
    more = page * size < total
    return {
        "count": total,
        "next": f"{path}?page={page + 1}&page_size={size}" if more else None,
        "previous": f"{path}?page={page - 1}&page_size={size}" if page > 1 else None,
        "results": rows,
    }


def territories(call: Call) -> Iterable[Place]:
    """Scopes that together cover all within reach. Raises `ScopeRequired` where the store cannot list them."""
    if not isinstance(call.memory.store, Surveyable):
        raise ScopeRequired("name user_id, agent_id, run_id or app_id: this store cannot list its scopes")
    places = call.service.places(call.principal, {})
    return dict.fromkeys(Place(**dict([next(place.items())])) for place in places)
