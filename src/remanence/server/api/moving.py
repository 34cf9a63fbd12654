"""Routes that move memories in and out as files. They travel in the request and the answer; no path is ever named."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Any, Final, Literal

from fastapi import Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect

from remanence.core.errors import RemanenceError
from remanence.runtime.importers import FORMATS
from remanence.server import answers
from remanence.server.api.memories import Whose
from remanence.server.errors import BadRequest
from remanence.server.routing import router
from remanence.server.service import Call, service_of

__all__ = ["IMPORT", "MOVING"]

MOVING: Final = router("moving", "/api/v1")
IMPORT: Final = "/api/v1/import"

_PORTION: Final = 1 << 18
_FILES: Final = {"jsonl": "application/x-ndjson", "cube": "application/zip"}
_NAME: Final = "the upload"


@MOVING.get(
    "/export",
    summary="A scope as a file",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in _FILES.values()}}},
)
async def export(request: Request, whose: Whose, format: Literal["jsonl", "cube"] = "jsonl") -> Response:
    """All versions and links of a scope: JSON lines under a header with a checksum, or a cube. Needs "read"."""
    service = service_of(request)
    principal = service.principal(request, "read")
    call = Call(service, principal, whose, None, request.state.request_id)

    def work() -> IO[bytes]:
        # It has no name once it is made, so nothing of it is left behind, whatever happens.
        with tempfile.TemporaryDirectory(prefix="remanence-export-") as folder:
            path = os.path.join(folder, f"export.{format}")
            call.memory.export(path, **call.ids)
            return open(path, "rb")

    stream = await service.run(principal, work, service.settings.import_timeout, slow=True)
    headers = {"content-disposition": f'attachment; filename="memories.{format}"'}
    return StreamingResponse(_portions(stream), media_type=_FILES[format], headers=headers)


def _portions(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while portion := stream.read(_PORTION):
            yield portion


@MOVING.post(
    "/import",
    summary="Store what a file holds",
    response_model=answers.Anything,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_file(
    request: Request,
    whose: Whose,
    format: Annotated[str, Query(description=f"One of {', '.join(FORMATS)}.")] = "auto",
    skip_bad: bool = False,
) -> Response:
    """The body is the file: an export or a cube, chats, or the memories of another layer. Needs the right "write".

    It is read to its end before anything is stored; a caller who leaves before that leaves nothing.
    """
    service = service_of(request)
    service.principal(request, "write")
    loop = asyncio.get_running_loop()
    handle, path = tempfile.mkstemp(prefix="remanence-import-")
    try:
        with os.fdopen(handle, "wb") as upload:
            try:
                async for portion in request.stream():
                    await loop.run_in_executor(None, upload.write, portion)
            except ClientDisconnect as error:
                raise BadRequest("the caller left before the file was whole; nothing was stored") from error

        def work(call: Call) -> Any:
            try:
                return call.memory.import_(path, format=format, skip_bad=skip_bad, **call.ids)
            except RemanenceError as error:
                raise type(error)(str(error).replace(path, _NAME)) from error

        return await service.call(request, "write", work, whose, seconds=service.settings.import_timeout, slow=True)
    finally:
        os.unlink(path)
