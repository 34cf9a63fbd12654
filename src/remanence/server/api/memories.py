"""Routes on memories: adding, finding, listing, changing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response

from remanence.core.errors import InvalidInput
from remanence.core.ids import is_ulid
from remanence.core.scope import Scope
from remanence.runtime.arguments import kinds_of, view_of
from remanence.server import answers, models
from remanence.server.errors import BadRequest
from remanence.server.routing import router
from remanence.server.service import Call, found_or_missing, service_of
from remanence.substrates.records.operations import Count

__all__ = ["MEMORIES", "Cursor", "MemoryId", "Whose", "bounded", "one_way", "page_of"]

MEMORIES: Final = router("memories", "/api/v1")
Whose = Annotated[dict[str, str], Depends(models.scope_query)]
MemoryId = Annotated[str, Path(description="The `id` of a memory.", max_length=100)]
Cursor = Annotated[str | None, Query(description="The `next` of the page before.", max_length=100)]
Moment = Annotated[str | None, Query(description="ISO 8601, or Unix seconds.", max_length=64)]

_DEFAULT_PAGE: Final = 100
_SECONDS: Final = re.compile(r"-?\d{9,13}(\.\d+)?")


def bounded(request: Request, limit: int | None, default: int) -> int:
    """How many results a call may have. Raises `BadRequest` beyond what the server allows."""
    most = service_of(request).settings.max_results
    wanted = min(default, most) if limit is None else limit
    if wanted > most:
        raise BadRequest(f"limit={wanted} is more than the {most} that one answer may hold; go page by page")
    return wanted


def limit_in(body: models.SearchIn | models.ContextIn) -> int | None:
    """`limit` and `top_k` are two names for one thing."""
    if body.limit is not None and body.top_k is not None and body.limit != body.top_k:
        raise InvalidInput(f"limit={body.limit} contradicts top_k={body.top_k}: they are synonyms")
    return body.limit if body.limit is not None else body.top_k


def one_way(found: Sequence[Mapping[str, Any]], limit: int, key: str) -> dict[str, Any]:
    """A page of what was read with one more than `limit`; `next` is what to hand in as `cursor` for more."""
    shown = found[:limit]
    return {"next": shown[-1][key] if shown and len(found) > limit else None, "results": shown}


def moment(value: str | None) -> str | float | None:
    """A time from a query string: Unix seconds are told from ISO 8601 by their digits."""
    return float(value) if value is not None and _SECONDS.fullmatch(value) else value


@MEMORIES.post("/memories", summary="Remember messages", status_code=201, response_model=answers.Added)
async def add(request: Request, body: models.AddIn) -> Response:
    """Stores messages word for word; when this answers they are durable, and the next search finds them.

    Honours `Idempotency-Key`. Needs the right "write".
    """

    def work(call: Call) -> Any:
        call.principal.check_messages(body.messages)
        return call.memory.add(body.messages, **body.given("messages"), **call.ids)

    return await service_of(request).call(request, "write", work, body.whose(), once=True, status=201)


@MEMORIES.post("/memories/batch", summary="Remember many messages", status_code=201, response_model=answers.Many)
async def add_many(request: Request, body: models.AddManyIn) -> Response:
    """Stores up to 10,000 items, a thousand per transaction. Honours `Idempotency-Key`. Needs the right "write"."""

    def work(call: Call) -> Any:
        call.principal.check_items(body.items)
        return call.memory.add_many(body.items, **body.given("items"), **call.ids)

    return await service_of(request).call(request, "write", work, body.whose(), once=True, status=201)


@MEMORIES.post("/search", summary="Find memories", response_model=answers.Found)
async def search(request: Request, body: models.SearchIn) -> Response:
    """The memories most likely to answer a query, best first; scores are probabilities. Needs the right "read"."""
    limit = bounded(request, limit_in(body), 10)

    def work(call: Call) -> Any:
        given = body.given("query", "limit", "top_k", "filters")
        return call.memory.search(body.query, limit=limit, filters=call.filters, **given, **call.ids)

    return await service_of(request).call(request, "read", work, body.whose(), filters=body.filters)


@MEMORIES.post("/context", summary="A block of memories for a prompt", response_model=answers.Context)
async def context(request: Request, body: models.ContextIn) -> Response:
    """Memories packed into a budget of tokens, fenced and marked as data. Needs the right "read"."""
    limit = bounded(request, limit_in(body), 20)

    def work(call: Call) -> Any:
        given = body.given("query", "limit", "top_k", "filters")
        block = call.memory.context(body.query, limit=limit, filters=call.filters, **given, **call.ids)
        return {
            "text": str(block),
            "tokens": block.tokens,
            "answerable": block.answerable,
            "citations": list(block.citations),
        }

    return await service_of(request).call(request, "read", work, body.whose(), filters=body.filters)


@MEMORIES.get("/memories", summary="List memories", response_model=answers.Page)
async def list_memories(
    request: Request,
    whose: Whose,
    limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    kinds: Annotated[list[str] | None, Query()] = None,
    as_of: Moment = None,
    known_at: Moment = None,
    newest_first: bool = False,
) -> Response:
    """A page of memories in the order in which they were added. Needs the right "read"."""
    body = models.ListIn(
        limit=limit,
        cursor=cursor,
        kinds=kinds,
        as_of=moment(as_of),
        known_at=moment(known_at),
        newest_first=newest_first,
    )
    return await _page(request, body, whose)


@MEMORIES.post("/memories/list", summary="List memories, with a filter", response_model=answers.Page)
async def list_filtered(request: Request, body: models.ListIn) -> Response:
    """As `GET /memories`, with conditions on fields and metadata. Needs the right "read"."""
    return await _page(request, body, body.whose())


async def _page(request: Request, body: models.ListIn, whose: dict[str, Any]) -> Response:
    limit = bounded(request, body.limit, _DEFAULT_PAGE)
    return await service_of(request).call(
        request, "read", lambda call: page_of(call, body, limit), whose, filters=body.filters
    )


def page_of(call: Call, body: models.ListIn, limit: int) -> dict[str, Any]:
    """One page. A cursor is the id at its edge, after `a.` where the page begins behind it and `b.` where it ends."""
    backwards, edge = _edge(body.cursor)
    found = call.memory.get_all(
        limit=limit,
        page=edge,
        filters=call.filters,
        kinds=body.kinds or None,
        as_of=body.as_of,
        known_at=body.known_at,
        newest_first=body.newest_first is not backwards,
        **call.ids,
    )
    rows, more = found["results"], found["next"] is not None
    if backwards:
        rows.reverse()
    ahead, behind = (True, more) if backwards else (more, edge is not None)
    return {
        "count": None if call.filters else _count(call, body),
        "next": f"a.{rows[-1]['id']}" if rows and ahead else None,
        "previous": f"b.{rows[0]['id']}" if rows and behind else None,
        "results": rows,
    }


def _edge(cursor: str | None) -> tuple[bool, str | None]:
    if cursor is None:
        return False, None
    side, _, edge = cursor.partition(".")
    if side not in ("a", "b") or not is_ulid(edge):
        raise InvalidInput(f"cursor={cursor!r} is none; pass the 'next' or 'previous' of another page")
    return side == "b", edge


def _count(call: Call, body: models.ListIn) -> int:
    kinds = kinds_of(body.kinds or None)
    view = view_of(call.service.now(), body.as_of, body.known_at)
    operation = Count(view, kinds, derived=None if kinds else False)
    (count,) = call.memory.store.batch([operation], scope=Scope(**call.ids)).results
    return int(count)


@MEMORIES.get("/memories/{memory_id}", summary="One memory", response_model=answers.Item)
async def get(
    request: Request, memory_id: MemoryId, whose: Whose, as_of: Moment = None, known_at: Moment = None
) -> Response:
    """One memory, now or at another time. Needs the right "read"."""

    def work(call: Call) -> Any:
        found = call.memory.get(memory_id, as_of=moment(as_of), known_at=moment(known_at), **call.ids)
        return found_or_missing(found, memory_id)

    return await service_of(request).call(request, "read", work, whose)


@MEMORIES.patch("/memories/{memory_id}", summary="Change a memory", response_model=answers.Added)
async def update(request: Request, memory_id: MemoryId, body: models.UpdateIn) -> Response:
    """Opens a new version; the old one stays in the history. Honours `Idempotency-Key`. Needs the right "write"."""

    def work(call: Call) -> Any:
        return call.memory.update(memory_id, **body.given(), **call.ids)

    return await service_of(request).call(request, "write", work, body.whose(), once=True)


@MEMORIES.delete("/memories/{memory_id}", summary="Let go of a memory", response_model=answers.Added)
async def delete(
    request: Request,
    memory_id: MemoryId,
    whose: Whose,
    at: Moment = None,
    expected_version: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """It is found no more, but stays in its history; `erase` destroys. Needs the right "write"."""

    def work(call: Call) -> Any:
        return call.memory.delete(memory_id, at=moment(at), expected_version=expected_version, **call.ids)

    return await service_of(request).call(request, "write", work, whose, once=True)


@MEMORIES.delete("/memories", summary="Let go of every memory of a scope", response_model=answers.Anything)
async def delete_all(request: Request, whose: Whose) -> Response:
    """One change, which `undo` can take back. Needs the right "write"."""
    return await service_of(request).call(
        request, "write", lambda call: call.memory.delete_all(**call.ids), whose, once=True
    )


@MEMORIES.get("/memories/{memory_id}/history", summary="What became of a memory", response_model=answers.History)
async def history(request: Request, memory_id: MemoryId, whose: Whose) -> Response:
    """Every change of one memory, oldest first. Needs the right "read"."""
    return await service_of(request).call(
        request, "read", lambda call: {"results": call.memory.history(memory_id, **call.ids)}, whose
    )


@MEMORIES.get("/memories/{memory_id}/explain", summary="Where a memory comes from", response_model=answers.Anything)
async def explain(request: Request, memory_id: MemoryId, whose: Whose) -> Response:
    """The words it rests on, what rests on it, and every change with its author. Needs the right "read"."""
    # This and what follows may work out first what was added since; searches do not wait behind that.
    return await service_of(request).call(
        request, "read", lambda call: call.memory.explain(memory_id, **call.ids), whose, slow=True
    )


@MEMORIES.get("/changes", summary="The latest changes", response_model=answers.Changes)
async def changes(
    request: Request,
    whose: Whose,
    limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    cursor: Cursor = None,
    derived: bool = False,
) -> Response:
    """Newest first; `derived`: also what was worked out in the background. Needs the right "read"."""
    wanted = bounded(request, limit, 20)

    def work(call: Call) -> Any:
        found = call.memory.changes(limit=wanted + 1, before=cursor, derived=derived, **call.ids)
        return one_way(found, wanted, "change")

    return await service_of(request).call(request, "read", work, whose)


@MEMORIES.post("/changes/{change_id}/undo", summary="Take a change back", response_model=answers.Undone)
async def undo(
    request: Request, change_id: Annotated[str, Path(max_length=100)], body: models.IdsIn | None = None
) -> Response:
    """As a new change, which can itself be undone; erasures cannot. Needs the right "write"."""
    return await service_of(request).call(
        request, "write", lambda call: call.memory.undo(change_id, **call.ids), body.whose() if body else {}, once=True
    )


@MEMORIES.get("/profile", summary="What is known of somebody", response_model=answers.Anything)
async def profile(
    request: Request,
    whose: Whose,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    as_of: Moment = None,
    known_at: Moment = None,
) -> Response:
    """What rarely changes, what holds now, preferences and instructions, with sources. Needs the right "read"."""
    wanted = bounded(request, limit, 50)

    def work(call: Call) -> Any:
        return call.memory.profile(subject, limit=wanted, as_of=moment(as_of), known_at=moment(known_at), **call.ids)

    return await service_of(request).call(request, "read", work, whose, slow=True)


@MEMORIES.get("/timeline", summary="What was true when", response_model=answers.Anything)
async def timeline(
    request: Request,
    whose: Whose,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    attribute: Annotated[str | None, Query(max_length=200)] = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    known_at: Moment = None,
) -> Response:
    """Held, superseded and ended facts, oldest first. Needs the right "read"."""
    wanted = bounded(request, limit, 100)

    def work(call: Call) -> Any:
        return call.memory.timeline(
            subject,
            attribute=attribute,
            since=moment(since),
            until=moment(until),
            limit=wanted,
            known_at=moment(known_at),
            **call.ids,
        )

    return await service_of(request).call(request, "read", work, whose, slow=True)
