"""What `/api/v1` takes: the arguments of `Memory`'s verbs, as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StrictFloat, StrictInt, StrictStr

from remanence.server.limits import LONGEST_QUERY

__all__ = [
    "AddIn", "AddManyIn", "ContextIn", "EraseIn", "Id", "IdsIn", "JobsIn", "ListIn", "MemoriesIn", "QuarantineIn",
    "Question", "Scope", "SearchIn", "SleepIn", "Time", "UpdateIn", "VerifyIn", "WorkIn", "scope_query",
]  # fmt: skip

Id = StrictStr | StrictInt
Time = Annotated[
    StrictStr | StrictInt | StrictFloat,
    Field(description="ISO 8601 (UTC without a zone), or Unix seconds (milliseconds above 10^11)."),
]
Filters = Annotated[
    dict[str, Any], Field(description="Conditions on fields and metadata, with the operators of mem0 or LangGraph.")
]
Metadata = Annotated[dict[str, Any], Field(description="JSON values kept with each memory and open to filters.")]
Question = Annotated[StrictStr, Field(max_length=LONGEST_QUERY)]
Words = StrictStr | list[StrictStr]
Limit = Annotated[int | None, Field(ge=0, le=2**31 - 1, description="How many at most.")]


class Model(BaseModel):
    """A body in which an unknown field is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class Scope(Model):
    """Whom it is about: at least one id, unless the key is bound to one."""

    user_id: Id | None = None
    agent_id: Id | None = None
    run_id: Id | None = None
    app_id: Id | None = None
    session_id: Annotated[Id | None, Field(description="Synonym of `run_id`.")] = None
    project_id: Annotated[Id | None, Field(description="Synonym of `app_id`.")] = None

    def whose(self) -> dict[str, Any]:
        """The ids that are given."""
        names = ("user_id", "agent_id", "run_id", "app_id", "session_id", "project_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def given(self, *without: str) -> dict[str, Any]:
        """The other fields that are given, for a verb."""
        return {
            name: value
            for name in self.model_fields_set
            if name not in Scope.model_fields and name not in without and (value := getattr(self, name)) is not None
        }


class AddIn(Scope):
    """Messages to remember, word for word."""

    messages: StrictStr | dict[str, Any] | list[Any]
    metadata: Metadata | None = None
    timestamp: Time | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None
    kind: StrictStr = "turn"
    speaker: StrictStr | None = None
    role: StrictStr = "user"
    language: StrictStr | None = None
    based_on: Annotated[Words | None, Field(description="Ids of memories that this one is concluded from.")] = None
    origin: StrictStr | None = None
    trust: Annotated[float | None, Field(ge=0, le=1)] = None
    infer: Annotated[StrictBool, Field(description="Accepted for mem0's sake; nothing is inferred on the way in.")] = (
        True
    )


class AddManyIn(Scope):
    """Many messages, each with ids, time and metadata of its own where it has them."""

    items: Annotated[list[Any], Field(max_length=10_000)]
    metadata: Metadata | None = None
    kind: StrictStr = "turn"
    language: StrictStr | None = None


class SearchIn(Scope):
    """A question or some words."""

    query: Question
    limit: Limit = None
    top_k: Limit = None
    filters: Filters | None = None
    threshold: FiniteFloat | None = None
    as_of: Time | None = None
    known_at: Time | None = None
    kinds: Words | None = None
    explain: StrictBool = False
    rerank: StrictBool = False


class ContextIn(Scope):
    """What a prompt is about, and how much room there is."""

    query: Question
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 800
    limit: Limit = None
    top_k: Limit = None
    filters: Filters | None = None
    as_of: Time | None = None
    known_at: Time | None = None
    kinds: Words | None = None
    neighbours: Annotated[int, Field(ge=0, le=2)] = 1


class ListIn(Scope):
    """A page of memories."""

    limit: Limit = None
    cursor: Annotated[StrictStr | None, Field(description="`next` or `previous` of another page.")] = None
    filters: Filters | None = None
    kinds: Words | None = None
    as_of: Time | None = None
    known_at: Time | None = None
    newest_first: StrictBool = False


class UpdateIn(Scope):
    """What becomes of a memory."""

    text: StrictStr | None = None
    metadata: Metadata | None = None
    timestamp: Time | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None
    expected_version: StrictInt | None = None
    correction: StrictBool = False


class EraseIn(Scope):
    """What to destroy: `ids`, or with `everything` all that the scope covers."""

    ids: Annotated[list[StrictStr] | None, Field(max_length=10_000)] = None
    everything: StrictBool = False
    reason: Annotated[StrictStr, Field(max_length=1000)] = ""


class VerifyIn(Model):
    """Words that must be gone, and ids of memories that were erased."""

    phrases: Annotated[list[StrictStr], Field(max_length=100)] = []
    ids: Annotated[list[StrictStr], Field(max_length=10_000)] = []


class MemoriesIn(Scope):
    """Some memories, by id."""

    ids: Annotated[list[StrictStr], Field(min_length=1, max_length=10_000)]
    reason: StrictStr = ""


class QuarantineIn(Scope):
    """Memories that are not to be believed, or are again: by id, origin, source or filter."""

    ids: Annotated[list[StrictStr] | None, Field(max_length=10_000)] = None
    origin: StrictStr | None = None
    source: StrictStr | None = None
    reason: StrictStr = ""
    filters: Filters | None = None


class SleepIn(Scope):
    """How to consolidate; see `Memory.sleep`."""

    dry_run: StrictBool = False
    duplicates: StrictBool = True
    ttl: StrictBool = True
    forget: Literal["off", "archive", "close"] = "off"
    abstract: StrictBool = True
    across_runs: StrictBool = True
    kinds: list[StrictStr] = ["turn"]
    keep: Literal["facts", "held", "nothing"] = "facts"
    episodes: Annotated[int, Field(ge=1, le=1000)] = 2
    scale: Annotated[float, Field(gt=0, le=1e6)] = 30.0
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    archived_days: Annotated[float, Field(ge=0, le=1e6)] = 90.0
    seed: StrictInt | None = None


class JobsIn(Scope):
    """Some jobs, by id; all dead ones if none are named."""

    ids: Annotated[list[StrictStr] | None, Field(max_length=10_000)] = None


class WorkIn(Scope):
    """How long to work."""

    seconds: Annotated[float, Field(gt=0, le=30)] = 5.0


class IdsIn(Scope):
    """Scope ids alone."""


def scope_query(
    user_id: Annotated[str | None, Query()] = None,
    agent_id: Annotated[str | None, Query()] = None,
    run_id: Annotated[str | None, Query()] = None,
    app_id: Annotated[str | None, Query()] = None,
    session_id: Annotated[str | None, Query(description="Synonym of `run_id`.")] = None,
    project_id: Annotated[str | None, Query(description="Synonym of `app_id`.")] = None,
) -> dict[str, str]:
    """Whom a request is about, from its query string."""
    given = {
        "user_id": user_id, "agent_id": agent_id, "run_id": run_id, "app_id": app_id, "session_id": session_id,
        "project_id": project_id,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}
