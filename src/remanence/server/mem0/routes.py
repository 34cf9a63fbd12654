"""The routes of mem0's own server at the root, and those of its hosted service under `/v1`, `/v2` and `/v3`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query, Request
from fastapi.responses import Response

import remanence
from remanence.core.errors import InvalidInput
from remanence.server import answers
from remanence.server.access import ANY
from remanence.server.api.memories import Whose
from remanence.server.mem0 import shapes, verbs
from remanence.server.mem0.shapes import AddIn, BatchIn, ConfigureIn, ListIn, SearchIn, UpdateIn
from remanence.server.mem0.verbs import EntityId, EntityType, Id, Page, PageSize
from remanence.server.routing import router
from remanence.server.service import Call, found_or_missing, service_of

__all__ = ["HOSTED", "SELF_HOSTED"]

SELF_HOSTED: Final = router("mem0 server")
HOSTED: Final = router("mem0 service")
_PROVIDERS: Final = {"llm": ["openai"], "embedder": ["static", "sentence-transformers", "openai"]}


@SELF_HOSTED.post("/memories", response_model=answers.Anything)
async def add(request: Request, body: AddIn) -> Response:
    """Remember messages."""
    return await verbs.add(request, body)


@SELF_HOSTED.get("/memories", response_model=answers.Anything)
async def get_all(
    request: Request, whose: Whose, top_k: Annotated[int, Query(ge=1, le=1000)] = 100, page: Page = 1
) -> Response:
    """Memories in the order in which they were added."""
    return await verbs.page(request, whose, None, page, top_k)


@SELF_HOSTED.get("/memories/{memory_id}", response_model=answers.Item)
async def get(request: Request, memory_id: Id, whose: Whose) -> Response:
    """One memory."""
    return await verbs.get(request, memory_id, whose)


@SELF_HOSTED.put("/memories/{memory_id}", response_model=answers.Anything)
async def update(request: Request, memory_id: Id, body: UpdateIn, whose: Whose) -> Response:
    """Change a memory."""
    return await verbs.update(request, memory_id, body, whose)


@SELF_HOSTED.delete("/memories/{memory_id}", response_model=answers.Anything)
async def delete(request: Request, memory_id: Id, whose: Whose) -> Response:
    """Let go of a memory."""
    return await verbs.delete(request, memory_id, whose)


@SELF_HOSTED.get("/memories/{memory_id}/history", response_model=list[dict[str, Any]])
async def history(request: Request, memory_id: Id, whose: Whose) -> Response:
    """Every change of one memory."""
    return await verbs.history(request, memory_id, whose, wrapped=False)


@SELF_HOSTED.delete("/memories", response_model=answers.Anything)
async def delete_all(request: Request, whose: Whose) -> Response:
    """Let go of all memories of a scope."""
    return await verbs.delete_all(request, whose)


@SELF_HOSTED.post("/search", response_model=answers.Anything)
async def search(request: Request, body: SearchIn) -> Response:
    """Find memories."""
    return await verbs.search(request, body)


@SELF_HOSTED.post("/reset", response_model=answers.Anything)
async def reset(request: Request) -> Response:
    """Let go of everything within the key's reach; `undo` takes it back, scope by scope. Needs the right "admin"."""

    def work(call: Call) -> Any:
        places = [call.ids] if call.ids else [dict(place.items()) for place in shapes.territories(call)]
        done = [call.memory.delete_all(**ids) for ids in places]
        return {
            "message": "All memories reset",
            "count": sum(one["count"] for one in done),
            "changes": [one["change"] for one in done if one["change"]],
        }

    return await service_of(request).call(request, "admin", work, slow=True)


@SELF_HOSTED.get("/configure", response_model=answers.Anything)
async def configuration(request: Request) -> Response:
    """What the server was started with. Needs the right "admin"."""

    def work(call: Call) -> Any:
        settings = call.service.settings
        return {
            "version": remanence.__version__,
            "vector_store": {"provider": "remanence", "config": {}},
            "embedder": {"provider": settings.embedder, "config": {}},
            "llm": {"provider": settings.llm or "none", "config": {}},
        }

    return await service_of(request).call(request, "admin", work)


@SELF_HOSTED.post("/configure", response_model=answers.Anything)
async def configure(request: Request, body: ConfigureIn) -> Response:
    """Changes nothing, and says so: a server is configured when it starts. Needs the right "admin"."""

    def work(call: Call) -> Any:
        return {
            "message": "Nothing was changed: this server is configured when it starts",
            "ignored": sorted(body.model_fields_set),
        }

    return await service_of(request).call(request, "admin", work)


@SELF_HOSTED.get("/configure/providers", response_model=answers.Anything)
async def providers(request: Request) -> Response:
    """What a server can be started with."""

    def work(call: Call) -> Any:
        return {**_PROVIDERS, "vector_store": ["remanence"]}

    return await service_of(request).call(request, ANY, work)


@SELF_HOSTED.get("/entities", response_model=list[dict[str, Any]])
async def entities(request: Request, page: Page = 1, page_size: PageSize = 100) -> Response:
    """Users, agents, apps and runs, with how many memories they have. Needs the right "admin"."""
    return await verbs.entities(request, page, page_size, wrapped=False)


@SELF_HOSTED.delete("/entities/{entity_type}/{entity_id}", response_model=answers.Anything)
async def delete_entity(request: Request, entity_type: EntityType, entity_id: EntityId) -> Response:
    """Let go of all memories of one of them."""
    return await verbs.delete_entity(request, entity_type, entity_id)


@HOSTED.get("/v1/ping/", response_model=answers.Anything)
async def ping(request: Request) -> Response:
    """Whether the key is valid, and whose it is."""

    def work(call: Call) -> Any:
        named = {"org_id": "remanence", "project_id": "remanence", "user_email": call.principal.name}
        return {"status": "ok", **named}

    return await service_of(request).call(request, ANY, work)


@HOSTED.post("/v1/memories/", response_model=answers.Anything)
async def hosted_add(request: Request, body: AddIn) -> Response:
    """Remember messages."""
    return await verbs.add(request, body)


@HOSTED.post("/v3/memories/add/", response_model=answers.Anything)
async def hosted_add_task(request: Request, body: AddIn) -> Response:
    """Remember messages; the task that this makes in mem0's service has been done when this answers."""
    return await verbs.add(request, body, event=True)


@HOSTED.get("/v1/memories/", response_model=answers.Page)
async def hosted_get_all(request: Request, whose: Whose, page: Page = 1, page_size: PageSize = 100) -> Response:
    """A page of memories."""
    return await verbs.page(request, whose, None, page, page_size)


@HOSTED.post("/v2/memories/", response_model=answers.Page)
@HOSTED.post("/v3/memories/", response_model=answers.Page)
async def hosted_list(request: Request, body: ListIn, page: Page = 1, page_size: PageSize = 100) -> Response:
    """A page of memories, with a filter."""
    return await verbs.page(request, body.whose(), body.filters, page, page_size)


@HOSTED.post("/v1/memories/search/", response_model=answers.Anything)
@HOSTED.post("/v2/memories/search/", response_model=answers.Anything)
@HOSTED.post("/v3/memories/search/", response_model=answers.Anything)
async def hosted_search(request: Request, body: SearchIn) -> Response:
    """Find memories."""
    return await verbs.search(request, body)


@HOSTED.get("/v1/memories/{memory_id}/", response_model=answers.Item)
async def hosted_get(request: Request, memory_id: Id, whose: Whose) -> Response:
    """One memory."""
    return await verbs.get(request, memory_id, whose)


@HOSTED.put("/v1/memories/{memory_id}/", response_model=answers.Anything)
async def hosted_update(request: Request, memory_id: Id, body: UpdateIn, whose: Whose) -> Response:
    """Change a memory."""
    return await verbs.update(request, memory_id, body, whose)


@HOSTED.delete("/v1/memories/{memory_id}/", response_model=answers.Anything)
async def hosted_delete(request: Request, memory_id: Id, whose: Whose) -> Response:
    """Let go of a memory."""
    return await verbs.delete(request, memory_id, whose)


@HOSTED.get("/v1/memories/{memory_id}/history/", response_model=list[dict[str, Any]])
async def hosted_history(request: Request, memory_id: Id, whose: Whose) -> Response:
    """Every change of one memory."""
    return await verbs.history(request, memory_id, whose, wrapped=False)


@HOSTED.delete("/v1/memories/", response_model=answers.Anything)
async def hosted_delete_all(request: Request, whose: Whose) -> Response:
    """Let go of all memories of a scope."""
    return await verbs.delete_all(request, whose)


@HOSTED.get("/v1/entities/", response_model=answers.Anything)
async def hosted_entities(request: Request, page: Page = 1, page_size: PageSize = 100) -> Response:
    """Users, agents, apps and runs, with how many memories they have. Needs the right "admin"."""
    return await verbs.entities(request, page, page_size, wrapped=True)


@HOSTED.delete("/v1/entities/{entity_type}/{entity_id}/", response_model=answers.Anything)
@HOSTED.delete("/v2/entities/{entity_type}/{entity_id}/", response_model=answers.Anything)
async def hosted_delete_entity(request: Request, entity_type: EntityType, entity_id: EntityId) -> Response:
    """Let go of all memories of one of them."""
    return await verbs.delete_entity(request, entity_type, entity_id)


@HOSTED.put("/v1/batch/", response_model=answers.Anything)
async def batch_update(request: Request, body: BatchIn) -> Response:
    """Change several memories; none is changed unless all of them are there."""

    def work(call: Call) -> Any:
        if any(one.text is None and one.metadata is None for one in body.memories):
            raise InvalidInput("each memory of a batch needs text or metadata")
        for one, ids in _places(call, body):
            call.memory.update(one.memory_id, one.text, one.metadata, **ids)
        return {"message": f"Successfully updated {len(body.memories)} memories"}

    return await service_of(request).call(request, "write", work, body.whose())


@HOSTED.delete("/v1/batch/", response_model=answers.Anything)
async def batch_delete(request: Request, body: BatchIn) -> Response:
    """Let go of several memories; of none unless all of them are there."""

    def work(call: Call) -> Any:
        for one, ids in _places(call, body):
            call.memory.delete(one.memory_id, **ids)
        return {"message": f"Successfully deleted {len(body.memories)} memories"}

    return await service_of(request).call(request, "write", work, body.whose())


def _places(call: Call, body: BatchIn) -> list[tuple[shapes.BatchOne, dict[str, Any]]]:
    """Each memory of a batch with the ids under which it is reached. Raises `NotFound` when one is not there."""
    if len({one.memory_id for one in body.memories}) < len(body.memories):
        raise InvalidInput("a memory stands twice in this batch")
    found = [(one, shapes.located(call, one.memory_id)) for one in body.memories]
    for one, ids in found:
        found_or_missing(call.memory.get(one.memory_id, **ids), one.memory_id)
    return found


@HOSTED.get("/v1/event/{event_id}/", response_model=answers.Anything)
async def event(request: Request, event_id: Id, whose: Whose) -> Response:
    """What became of a task; here it has always been done."""

    def work(call: Call) -> Any:
        entries = shapes.events_of(call, event_id)
        return {
            "id": event_id,
            "event_type": shapes.EVENTS[entries[0].op],
            "status": "SUCCEEDED",
            "created_at": entries[0].at.isoformat(),
            "results": [{"id": entry.id, "event": shapes.EVENTS[entry.op]} for entry in entries],
        }

    return await service_of(request).call(request, "read", work, whose)
