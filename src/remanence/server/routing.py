"""How bodies are read: JSON in UTF-8, however deep or wrong it is, is never more than a bad request."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from remanence.server.errors import BadRequest, UnsupportedMediaType

__all__ = ["ERRORS", "Route", "router"]

_UTF8: Final = ("utf-8", "utf8", "us-ascii")

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for status, text in (
        (400, "The request cannot be used."),
        (401, "No valid key."),
        (403, "The key does not reach there, or may not do this."),
        (404, "There is no such thing within reach."),
        (409, "Something else came first."),
        (413, "Too many bytes."),
        (415, "No JSON in UTF-8."),
        (422, "A field is missing or wrong."),
        (429, "Too many requests."),
        (503, "Not at present."),
    )
}


class _Request(Request):
    """A request whose body is parsed strictly, with a bound on its depth."""

    async def json(self) -> Any:
        """The body. Raises `HTTPException`."""
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            # FastAPI passes this exception on as it is, and turns others into one without a reason.
            raise HTTPException(400, f"the body is no JSON: {str(error)[:200]}") from error


class Route(APIRoute):
    """A route with strict bodies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI behind a check of what kind of body comes."""
        plain = super().get_route_handler()
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            strict = _Request(request.scope, request.receive)
            if takes_body:
                _check_type(request.headers.get("content-type"))
                try:
                    # Here already, because FastAPI turns whatever goes wrong with it into one error without a reason.
                    await strict.body()
                except ClientDisconnect as error:
                    raise BadRequest("the caller left before the body was whole") from error
            return await plain(strict)

        return handle


def router(tag: str, prefix: str = "") -> APIRouter:
    """A router whose routes read bodies strictly and document their errors."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=Route, responses=ERRORS)


def _check_type(value: str | None) -> None:
    if value is None:
        # A web page can send this without asking; a JSON body it cannot.
        raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
    kind, _, parameters = value.partition(";")
    kind = kind.strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType(f"send JSON, not {kind[:80]!r}: Content-Type: application/json")
    for parameter in parameters.split(";"):
        name, _, charset = parameter.partition("=")
        if name.strip().lower() == "charset" and charset.strip(' "').lower() not in _UTF8:
            raise UnsupportedMediaType(f"send JSON in UTF-8, not {charset.strip()[:40]!r}")
