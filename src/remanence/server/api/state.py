"""Routes on the server itself: whether it works, what it can do, what it counts."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

import remanence
from remanence.server import answers
from remanence.server.access import ANY
from remanence.server.metrics import CONTENT_TYPE
from remanence.server.routing import router
from remanence.server.service import Call, Service, service_of

__all__ = ["HEALTH", "STATE", "capabilities"]

HEALTH: Final = "/api/v1/health"
STATE: Final = router("server")


@STATE.head(HEALTH, include_in_schema=False)
@STATE.get(HEALTH, summary="Whether the server works", response_model=answers.Health)
async def health(request: Request) -> Response:
    """Answers everybody whether the store can be read, with 503 when it cannot. `/api/v1/capabilities` says more."""
    return await service_of(request).run(None, lambda: _health(service_of(request)))


def _health(service: Service) -> Response:
    service.memory.store.position()
    return Response(b'{"status":"ok"}', media_type="application/json")


@STATE.get("/api/v1/capabilities", summary="What the server can do", response_model=answers.Anything)
async def capability(request: Request) -> Response:
    """Each ability with whether it is there, and why it is not where it is not. Needs any right."""

    def work(call: Call) -> Any:
        return {"status": "ok", "version": remanence.__version__, **capabilities(call.service)}

    return await service_of(request).call(request, ANY, work)


def capabilities(service: Service) -> dict[str, Any]:
    """The matrix: a name, `available`, and the reason where it is not."""
    settings = service.settings
    llm = settings.llm is not None
    file = settings.store_file is not None

    def row(available: bool, reason: str) -> dict[str, Any]:
        return {"available": available, "reason": None if available else reason}

    return {
        "capabilities": {
            "lexical_search": row(True, ""),
            "semantic_search": {**row(True, ""), "embedder": settings.embedder},
            "facts": row(True, ""),
            "language_model": row(llm, "no language model is configured; facts come from rules"),
            "background_work": row(
                settings.background, "switched off; `remanence worker` or POST /api/v1/work does it"
            ),
            "verify_erasure_in_files": row(file, "only a store in a file can be searched byte by byte"),
            "proxy": row(settings.upstream is not None, "no upstream is configured"),
            "authentication": row(not service.is_open(), "no key was ever made, so callers on this machine need none"),
        },
        "limits": {
            "max_body": settings.max_body,
            "max_import": settings.max_import,
            "max_results": settings.max_results,
            "rate": settings.rate,
            "burst": settings.burst,
            "timeout": settings.timeout,
        },
    }


@STATE.get("/metrics", summary="Counters in Prometheus' form", response_class=Response)
async def metrics(request: Request) -> Response:
    """Needs the right "admin", everywhere."""
    service = service_of(request)
    service.everywhere(request)
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)
