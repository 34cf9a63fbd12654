"""What `/api/v1` answers, for the published description; answers themselves are the verbs' own dictionaries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Added", "Anything", "Changes", "Context", "Error", "Found", "Health", "History", "Item", "Jobs", "Many", "Page",
    "Receipt", "Receipts", "Undone", "Who",
]  # fmt: skip


class Anything(BaseModel):
    """An answer with more in it than is listed here."""

    model_config = ConfigDict(extra="allow")


class ErrorDetail(BaseModel):
    """What is wrong: a `type` for programs, a `message` for people, and the argument at fault where there is one."""

    type: str
    message: str
    param: str | None
    request_id: str


class Error(BaseModel):
    """Every error has this body. `detail` repeats the message for clients of mem0."""

    error: ErrorDetail
    detail: str


class Item(Anything):
    """One memory. Times are ISO 8601 in UTC."""

    id: str
    memory: str
    metadata: dict[str, Any]
    created_at: str
    updated_at: str
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    app_id: str | None = None
    version: int
    score: float | None = None


class Added(Anything):
    """A row per message (`id`, `memory`, `event`, or the `reason` why it was not kept), and what `undo` takes."""

    results: list[dict[str, Any]]
    change: str | None = None


class Many(Anything):
    """Ids in the order of the items; None where `skipped` says why."""

    ids: list[str | None]
    count: int
    changes: list[str]


class Found(Anything):
    """Memories, best first; `answerable` is the probability that any of them answers."""

    results: list[Item]
    answerable: float


class Context(BaseModel):
    """A block for a prompt, its tokens, and what its numbers stand for."""

    text: str
    tokens: int
    answerable: float
    citations: list[dict[str, Any]]


class Page(BaseModel):
    """One page. `count` is of all pages, null where a filter would have to read everything to know it."""

    count: int | None
    next: str | None
    previous: str | None
    results: list[Item]


class History(BaseModel):
    """Every change of one memory, oldest first."""

    results: list[dict[str, Any]]


class Changes(BaseModel):
    """The latest changes, newest first. `next` goes into `cursor`; null: there is no more."""

    next: str | None
    results: list[dict[str, Any]]


class Undone(Anything):
    """The change that took another one back."""

    undone: str
    change: str | None
    results: list[dict[str, Any]]


class Receipt(Anything):
    """Proof of an erasure: ids, counts, time and reason, but no text."""

    id: str
    ids: list[str]
    derived: list[str]
    counts: dict[str, int]


class Receipts(BaseModel):
    """Receipts, oldest first. `next` goes into `cursor`; null: there is no more."""

    next: str | None
    results: list[Receipt]


class Jobs(BaseModel):
    """What is still to be worked out. `next` goes into `cursor`; null: there is no more."""

    next: str | None
    results: list[dict[str, Any]]


class Who(BaseModel):
    """What the caller's key may do."""

    name: str
    scope: dict[str, str]
    rights: list[str]


class Health(Anything):
    """Whether the server works; callers with a key also see what it can do."""

    status: str
