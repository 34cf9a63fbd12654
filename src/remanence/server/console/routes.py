"""What the console asks for beyond the rest of `/api/v1`: the graph of what is known, and the catalog with results."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Query, Request
from fastapi.responses import Response

from remanence.core.errors import InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.runtime.arguments import view_of
from remanence.runtime.knowing import known
from remanence.server import answers
from remanence.server.access import ANY
from remanence.server.api.memories import Moment, Whose, moment
from remanence.server.console import measured
from remanence.server.console.graph import picture
from remanence.server.routing import router
from remanence.server.service import Call, service_of
from remanence.substrates.records.operations import Find

__all__ = ["CONSOLE"]

CONSOLE: Final = router("console", "/api/v1/console")


@CONSOLE.get("/graph", summary="Who and what is known, and how it hangs together", response_model=answers.Anything)
async def graph(
    request: Request,
    whose: Whose,
    around: Annotated[str | None, Query(max_length=200, description="A name, or the `key` of a node.")] = None,
    limit: Annotated[int, Query(ge=1, le=300)] = 60,
    as_of: Moment = None,
) -> Response:
    """The people and things of which most is known, or the neighbours of one. Needs the right "read".

    An edge is a fact that holds; a node says how many of its facts are not shown, so that one can ask for more.
    """

    def work(call: Call) -> Any:
        view = view_of(call.service.now(), moment(as_of), None)
        asked = [Find(view, kinds=("fact",), limit=None), Find(view, kinds=("entity",), limit=None)]
        facts, entities = call.memory.store.batch(asked, scope=_scope(call)).results
        found = [fact for record in facts if (fact := known(record)) is not None]
        return picture(found, entities, around=around, limit=limit)

    return await service_of(request).call(request, "read", work, whose)


@CONSOLE.get("/catalog", summary="Mechanisms, benchmarks and publications", response_model=answers.Anything)
async def catalog(request: Request) -> Response:
    """What works and what is planned, with the claims and what was measured. Needs any right."""
    return await service_of(request).call(request, ANY, lambda call: measured.listing())


@CONSOLE.get("/catalog/{slug}", summary="One entry of the catalog", response_model=answers.Anything)
async def entry(request: Request, slug: Annotated[str, Path(max_length=100)]) -> Response:
    """All that is known about a mechanism, a benchmark or a publication, with its results. Needs any right."""

    def work(call: Call) -> Any:
        try:
            return measured.entry(slug)
        except InvalidInput as error:
            raise NotFound(str(error)) from error

    return await service_of(request).call(request, ANY, work)


def _scope(call: Call) -> Scope:
    return Scope.of(call.ids)
