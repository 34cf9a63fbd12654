"""The application: the routes of this layer behind one gate."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

import remanence
from remanence.core.errors import RemanenceError
from remanence.runtime.memory import Memory
from remanence.server import answers, console
from remanence.server.api.care import CARE
from remanence.server.api.memories import MEMORIES
from remanence.server.api.moving import IMPORT, MOVING
from remanence.server.api.state import HEALTH, STATE
from remanence.server.errors import body_of, describe
from remanence.server.gate import Gate
from remanence.server.mem0.routes import HOSTED, SELF_HOSTED
from remanence.server.proxy import routes as proxy
from remanence.server.service import Service
from remanence.server.settings import Settings

__all__ = ["OPENAPI", "create_app"]

LOG: Final = logging.getLogger("remanence.server")
OPENAPI: Final = "/api/v1/openapi.json"
ROUTERS: Final = (MEMORIES, CARE, MOVING, STATE, SELF_HOSTED, HOSTED)
_TYPES: Final = {404: "not_found", 405: "method_not_allowed"}


def create_app(settings: Settings, memory: Memory | None = None, *, service: Service | None = None) -> FastAPI:
    """The application. Its service hangs on `app.state.service`; see `remanence.server.create_app`."""
    made = service or Service(settings, memory)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        made.close()

    # The pages that FastAPI shows documents with load scripts from elsewhere, so they stay off.
    app = FastAPI(
        title="Remanence",
        version=remanence.__version__,
        summary="Durable, searchable, erasable memory.",
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = made
    made.public(HEALTH)
    made.public(OPENAPI)
    made.large(IMPORT)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(RemanenceError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    proxy.mount(app, made)
    console.mount(app)
    app.add_middleware(Gate, service=made)
    _describe(app)
    return app


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, RemanenceError)
    status, detail, retry = describe(error)
    if status >= 500:
        LOG.warning("request %s: %s", request.state.request_id, error)
    headers = {} if retry is None else {"retry-after": str(max(1, round(retry)))}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return _answer(request, status, detail["type"], detail["message"], detail["param"], headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # The first part says whether it is in the body, the path or the query.
    where = ".".join(str(part) for part in first["loc"][1:])
    message = f"{where or 'the body'}: {first['msg']}"
    return _answer(request, 422, "invalid_request", message, where or None)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "there is no such route" if error.status_code == 404 else str(error.detail)
    type = _TYPES.get(error.status_code, "bad_request")
    return _answer(request, error.status_code, type, message, None, dict(error.headers or {}))


def _answer(
    request: Request, status: int, type: str, message: str, param: str | None, headers: dict[str, str] | None = None
) -> Response:
    body = body_of({"type": type, "message": message, "param": param}, request.state.request_id)
    return Response(body, status, headers, media_type="application/json")


def _describe(app: FastAPI) -> None:
    """Publish how a key is sent, and what an error looks like."""
    plain = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            schema = plain()
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(_error_schema())
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    operation["security"] = [] if path == HEALTH else [{"bearer": []}, {"header": []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _error_schema() -> dict[str, object]:
    schema = answers.Error.model_json_schema(ref_template="#/components/schemas/{model}")
    nested = schema.pop("$defs", {})
    return {"Error": schema, **nested}
