"""The routes of the proxy, and where they are hung into the server."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from remanence.core.clock import Clock, utc_now
from remanence.core.errors import RemanenceError
from remanence.runtime.memory import Memory
from remanence.server.access import Permit, Principal
from remanence.server.errors import Unauthenticated, describe
from remanence.server.proxy.counting import Counters
from remanence.server.proxy.exchange import Desk, Exchange, plain
from remanence.server.proxy.headers import refused
from remanence.server.proxy.remembering import Remembering
from remanence.server.proxy.settings import Upstream
from remanence.server.proxy.upstream import Client
from remanence.server.service import Service

__all__ = ["CHAT", "Guard", "mount", "router"]

CHAT: Final = "/v1/chat/completions"
MODELS: Final = "/v1/models"
_THREADS: Final = 4

Guard = Callable[[Request], Permit | Awaitable[Permit]]
"""Says whose request it is, and with what leave it writes; raises `Unauthenticated` or `Forbidden`."""


def router(
    memory: Memory | Callable[[], Memory],
    upstream: Upstream,
    guard: Guard,
    *,
    clock: Clock = utc_now,
    counters: Counters | None = None,
) -> APIRouter:
    """The routes in front of one upstream.

    Args:
        memory: an open memory, or what gives one each time that it is needed. For keys to end at once, its store must
            have been through `remanence.server.access.guard`.
        upstream: the service behind.
        guard: who may come in.
        clock: where the time of a turn comes from.
        counters: what counts what happens; some that nobody sees if left out.

    """
    counted = counters or Counters()
    readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="remanence-proxy-read")
    writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="remanence-proxy-write")
    remembering = Remembering((lambda: memory) if isinstance(memory, Memory) else memory)
    desk = Desk(remembering, Client(upstream), readers, writers, clock, counted)

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        yield
        await desk.client.close()
        readers.shutdown(wait=False, cancel_futures=True)
        # What is being stored is stored before the memory behind is closed.
        writers.shutdown(wait=True)

    async def admitted(request: Request) -> Permit:
        found = guard(request)
        return await found if inspect.isawaitable(found) else found

    async def chat(request: Request) -> Response:
        try:
            return await Exchange(desk, request, await admitted(request)).run()
        except RemanenceError as error:
            counted.raised(error)
            return refusal(error)
        except Exception:
            counted.ended("failed")
            raise

    async def models(request: Request) -> Response:
        try:
            name = request.path_params.get("model")
            path = "models" if name is None else f"models/{_safe(name)}"
            return await plain(desk, request, await admitted(request), path)
        except RemanenceError as error:
            return refusal(error)

    routes = APIRouter(lifespan=lifespan)
    routes.add_route(CHAT, chat, methods=["POST"], include_in_schema=False)
    routes.add_route(MODELS, models, methods=["GET"], include_in_schema=False)
    routes.add_route(MODELS + "/{model:path}", models, methods=["GET"], include_in_schema=False)
    return routes


def mount(app: FastAPI, service: Service, upstream: Upstream | None = None) -> None:
    """Hang the proxy into the server's application, in front of `upstream` or of the one that the settings name."""
    settings = service.settings
    if upstream is None and settings.upstream is not None:
        upstream = Upstream(base_url=settings.upstream, key=settings.upstream_key)
    if upstream is None:
        return

    def guard(request: Request) -> Permit:
        # Any right will do: what it takes depends on what the request wants of memory.
        principal: Principal | None = getattr(request.state, "principal", None)
        if principal is None:
            raise Unauthenticated("a valid key is needed")
        return Permit(principal, None if principal.key_id is None else service.keys)

    # The route reads the body itself and has its own limit: pictures are larger than memories.
    service.large(CHAT)
    counters = Counters(service.metrics.registry)
    app.include_router(router(lambda: service.memory, upstream, guard, counters=counters))


def refusal(error: RemanenceError) -> JSONResponse:
    """An error of the proxy in the form that OpenAI's clients read."""
    status, detail, retry = describe(error)
    kind = "invalid_request_error" if status < 500 else detail["type"]
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(status, kind)
    body = {"error": {"message": detail["message"], "type": kind, "param": detail["param"], "code": detail["type"]}}
    headers = {} if retry is None else {"retry-after": str(max(1, round(retry)))}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body, status, headers)


def _safe(name: str) -> str:
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise refused("this is no name of a model", "model")
    return quote(name, safe="/")
