"""The files of the console and how they are answered: from memory, to everybody, under a strict policy.

They hold nothing of anybody, so they need no key; the pages ask for one before they show anything.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response

from remanence.server.console.routes import CONSOLE
from remanence.server.service import Service

__all__ = ["FOLDER", "POLICY", "files", "mount"]

FOLDER: Final = "/console/"
"""Where the files lie; relative names in the page, so that a proxy may put a path before it."""
_INDEX: Final = "index.html"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        # Memories are other people's words: no string may become markup or code, whatever a page does wrong.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Content-Security-Policy of every page."""
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def files() -> dict[str, bytes]:
    """The files by their names below `FOLDER`, with `/` between folders."""
    found: dict[str, bytes] = {}
    waiting = [("", resources.files(__package__).joinpath("static"))]
    while waiting:
        place, folder = waiting.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                waiting.append((f"{place}{entry.name}/", entry))
            elif entry.name.rpartition(".")[2] in _TYPES:
                found[place + entry.name] = entry.read_bytes()
    return found


def mount(app: FastAPI) -> None:
    """Serve the console at `/`, and the routes that only it needs. `app` is what `remanence.server.app.build` makes."""
    service: Service = app.state.service
    known = files()

    def answer(name: str) -> Response:
        # A table of what there is: a path is looked up in it, and never becomes the name of a file.
        body = known.get(name)
        if body is None:
            raise HTTPException(404)
        return Response(body, headers=_HEADERS, media_type=_TYPES[name.rpartition(".")[2]])

    async def page(request: Request) -> Response:
        return answer(_INDEX)

    async def file(request: Request, name: str) -> Response:
        return answer(name)

    service.public("/")
    service.public(FOLDER)
    methods = ["GET", "HEAD"]
    app.add_api_route("/", page, methods=methods, include_in_schema=False)
    app.add_api_route(f"{FOLDER}{{name:path}}", file, methods=methods, include_in_schema=False)
    app.include_router(CONSOLE)
