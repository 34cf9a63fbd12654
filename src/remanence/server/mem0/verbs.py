"""What the routes of both of mem0's interfaces do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request
from fastapi.responses import Response

from remanence.core.errors import InvalidInput, NotFound
from remanence.server.api.memories import bounded
from remanence.server.mem0 import shapes
from remanence.server.service import Call, found_or_missing, service_of

__all__ = [
    "EntityId", "EntityType", "Id", "Page", "PageSize", "add", "delete", "delete_all", "delete_entity", "entities",
    "get", "history", "page", "search", "update",
]  # fmt: skip

Id = Annotated[str, Path(max_length=100)]
EntityType = Annotated[str, Path(description=f"One of {', '.join(shapes.ENTITIES)}.", max_length=20)]
EntityId = Annotated[str, Path(max_length=512)]
Page = Annotated[int, Query(ge=1, le=10_000)]
PageSize = Annotated[int, Query(ge=1, le=1000)]
Ids = Mapping[str, Any]

_TOP_K: Final = 10


async def add(request: Request, body: shapes.AddIn, *, event: bool = False) -> Response:
    """Remember messages; with `event` in the shape of a task that has been done."""

    def work(call: Call) -> Any:
        call.principal.check_messages(body.messages)
        found = call.memory.add(body.messages, **body.arguments(), **call.ids)
        if not event:
            return {"results": found["results"], "change": found["change"]}
        return {
            "message": "Memories are stored and searchable",
            "status": "SUCCEEDED",
            "event_id": found["change"],
            "results": found["results"],
        }

    return await service_of(request).call(request, "write", work, body.whose(), once=True)


async def search(request: Request, body: shapes.SearchIn) -> Response:
    """Find memories."""
    wanted = body.top_k if body.top_k is not None else body.limit
    limit = bounded(request, wanted, _TOP_K)

    def work(call: Call) -> Any:
        found = call.memory.search(
            body.query,
            limit=limit,
            filters=call.filters,
            threshold=body.threshold,
            explain=body.explain,
            **call.ids,
        )
        return {"results": found["results"], "answerable": found["answerable"]}

    return await service_of(request).call(request, "read", work, body.whose(), filters=body.filters)


async def page(request: Request, ids: Ids, filters: Mapping[str, Any] | None, number: int, size: int) -> Response:
    """A numbered page of memories."""
    size = bounded(request, size, size)

    def work(call: Call) -> Any:
        # Numbers instead of cursors: what stands before the page has to be passed over.
        skip, edge = (number - 1) * size, None
        while skip:
            before = call.memory.get_all(limit=min(skip, 1000), page=edge, filters=call.filters, **call.ids)
            skip -= len(before["results"])
            edge = before["next"]
            if edge is None:
                return shapes.one_page([], _total(call), number, size, request.url.path)
        found = call.memory.get_all(limit=size, page=edge, filters=call.filters, **call.ids)
        total = _total(call) if not call.filters else (number - 1) * size + len(found["results"])
        total += 1 if call.filters and found["next"] else 0
        return shapes.one_page(found["results"], total, number, size, request.url.path)

    return await service_of(request).call(request, "read", work, ids, filters=filters)


def _total(call: Call) -> int:
    return int(call.memory.stats(**call.ids)["memories"])


async def get(request: Request, memory_id: str, ids: Ids) -> Response:
    """One memory."""

    def work(call: Call) -> Any:
        return found_or_missing(call.memory.get(memory_id, **shapes.located(call, memory_id)), memory_id)

    return await service_of(request).call(request, "read", work, ids)


async def update(request: Request, memory_id: str, body: shapes.UpdateIn, ids: Ids) -> Response:
    """Change a memory."""

    def work(call: Call) -> Any:
        return call.memory.update(memory_id, **body.arguments(), **shapes.located(call, memory_id))

    return await service_of(request).call(request, "write", work, {**ids, **body.whose()}, once=True)


async def delete(request: Request, memory_id: str, ids: Ids) -> Response:
    """Let go of a memory."""

    def work(call: Call) -> Any:
        return call.memory.delete(memory_id, **shapes.located(call, memory_id))

    return await service_of(request).call(request, "write", work, ids, once=True)


async def delete_all(request: Request, ids: Ids) -> Response:
    """Let go of all memories of a scope."""
    return await service_of(request).call(request, "write", lambda call: call.memory.delete_all(**call.ids), ids)


async def history(request: Request, memory_id: str, ids: Ids, *, wrapped: bool) -> Response:
    """Every change of one memory."""

    def work(call: Call) -> Any:
        rows = call.memory.history(memory_id, **shapes.located(call, memory_id))
        return {"results": rows} if wrapped else rows

    return await service_of(request).call(request, "read", work, ids)


async def entities(request: Request, number: int, size: int, *, wrapped: bool) -> Response:
    """A page of users, agents, apps and runs."""
    size = bounded(request, size, size)

    def work(call: Call) -> Any:
        found = shapes.entities(call)
        rows = found[(number - 1) * size : number * size]
        return shapes.one_page(rows, len(found), number, size, request.url.path) if wrapped else rows

    return await service_of(request).call(request, "admin", work, slow=True)


async def delete_entity(request: Request, kind: str, name: str) -> Response:
    """Let go of all memories of a user, agent, app or run."""
    field = shapes.ENTITIES.get(kind.removesuffix("s"))
    if field is None:
        raise InvalidInput(f"there is no entity {kind!r}; there are {', '.join(shapes.ENTITIES)}")

    def work(call: Call) -> Any:
        found = call.memory.delete_all(**call.ids)
        if not found["count"]:
            raise NotFound(f"{kind} {name!r} has no memories in this scope")
        return {**found, "message": "Entity deleted successfully!"}

    return await service_of(request).call(request, "write", work, {field: name})
