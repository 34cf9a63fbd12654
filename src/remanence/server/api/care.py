"""Routes that look after a memory: erasing, sleep, quarantine, jobs, counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request
from fastapi.responses import Response

from remanence.core.errors import InvalidInput, NotFound
from remanence.server import answers, models
from remanence.server.access import ANY
from remanence.server.api.memories import Cursor, Whose, bounded, one_way
from remanence.server.routing import router
from remanence.server.service import Call, service_of

__all__ = ["CARE"]

CARE: Final = router("care", "/api/v1")
ReceiptId = Annotated[str, Path(description="The `id` of a receipt.", max_length=100)]


@CARE.post("/erase", summary="Destroy memories", response_model=answers.Receipt)
async def erase(request: Request, body: models.EraseIn) -> Response:
    """Every version, all that was derived from them alone, and all traces in the files. Needs the right "erase".

    Name `ids`, or say `everything` for all that the scope covers. Honours `Idempotency-Key`.
    """

    def work(call: Call) -> Any:
        if (body.ids is None) is not body.everything:
            raise InvalidInput("name the ids to erase, or say everything=true, and not both")
        if body.ids is not None and not body.ids:
            raise InvalidInput("ids=[] names nothing to erase")
        return call.memory.erase(body.ids, reason=body.reason, **call.ids)

    return await service_of(request).call(request, "erase", work, body.whose(), once=True, slow=True)


@CARE.get("/receipts", summary="Receipts of erasures", response_model=answers.Receipts)
async def receipts(
    request: Request,
    whose: Whose,
    limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    cursor: Cursor = None,
) -> Response:
    """Oldest first. Needs the right "read"."""
    wanted = bounded(request, limit, 100)

    def work(call: Call) -> Any:
        return one_way(call.memory.receipts(limit=wanted + 1, after=cursor, **call.ids), wanted, "id")

    return await service_of(request).call(request, "read", work, whose)


@CARE.get("/receipts/{receipt_id}", summary="One receipt", response_model=answers.Receipt)
async def receipt(request: Request, receipt_id: ReceiptId, whose: Whose) -> Response:
    """Needs the right "read"."""
    return await service_of(request).call(request, "read", lambda call: _receipt(call, receipt_id), whose)


@CARE.post("/receipts/{receipt_id}/verify", summary="Prove an erasure", response_model=answers.Anything)
async def verify_receipt(request: Request, receipt_id: ReceiptId, body: models.IdsIn | None = None) -> Response:
    """Searches the store's files or tables for what the receipt says was erased. Needs the right "erase"."""

    def work(call: Call) -> Any:
        return _shown(call.memory.verify_erasure(_receipt(call, receipt_id), **call.ids))

    return await service_of(request).call(request, "erase", work, body.whose() if body else {}, slow=True)


@CARE.post("/verify", summary="Search the store for words", response_model=answers.Anything)
async def verify_words(request: Request, body: models.VerifyIn) -> Response:
    """Whether words or ids are anywhere in the store's files or tables, whosever. Needs "admin" on everything."""

    def work(call: Call) -> Any:
        if not body.phrases and not body.ids:
            raise InvalidInput("name phrases or ids to look for")
        if call.service.settings.path == ":memory:":
            raise InvalidInput("a store in memory cannot be searched for words")
        return _shown(call.memory.verify_erasure(body.ids, body.phrases))

    service_of(request).everywhere(request)
    return await service_of(request).call(request, "admin", work, slow=True)


def _receipt(call: Call, receipt_id: str) -> Mapping[str, Any]:
    for found in call.memory.receipts(receipt_id=receipt_id, **call.ids):
        return found
    raise NotFound(f"there is no receipt {receipt_id!r} in this scope")


def _shown(report: dict[str, Any]) -> dict[str, Any]:
    """A report without the folders of this machine. A database has tables instead of files."""
    if "files" not in report:
        return report
    return {**report, "files": {PurePath(name).name: size for name, size in report["files"].items()}}


@CARE.post("/sleep", summary="Consolidate", response_model=answers.Anything)
async def sleep(request: Request, body: models.SleepIn) -> Response:
    """Merges repetitions, puts away what ran out or faded, writes notes. Needs the right "write"."""

    def work(call: Call) -> Any:
        return call.memory.sleep(**body.given(), **call.ids)

    return await service_of(request).call(request, "write", work, body.whose(), slow=True)


def _some(verb: str, summary: str, text: str) -> None:
    """A route for a verb on some memories."""

    async def route(request: Request, body: models.MemoriesIn) -> Response:
        def work(call: Call) -> Any:
            return getattr(call.memory, verb)(body.ids, reason=body.reason, **call.ids)

        return await service_of(request).call(request, "write", work, body.whose())

    route.__name__ = verb
    route.__doc__ = f'{text} Needs the right "write".'
    CARE.post(f"/{verb}", summary=summary, response_model=answers.Anything)(route)


_some("archive", "Put memories away", "No search finds them unless a filter asks for the state archived.")
_some("activate", "Bring memories back", "What was archived, merged or expired is found again.")
_some("freeze", "Keep memories as they are", "No sleep touches them.")
_some("unfreeze", "Let sleep touch memories again", "They are treated as any others.")


@CARE.post("/quarantine", summary="Believe memories no longer", response_model=answers.Anything)
async def quarantine(request: Request, body: models.QuarantineIn) -> Response:
    """Nor anything that rests on them alone, until they are released. Needs the right "write"."""

    def work(call: Call) -> Any:
        given = body.given("ids", "filters")
        return call.memory.quarantine(body.ids, filters=call.filters or None, **given, **call.ids)

    return await service_of(request).call(request, "write", work, body.whose(), filters=body.filters, slow=True)


@CARE.post("/release", summary="Believe memories again", response_model=answers.Anything)
async def release(request: Request, body: models.QuarantineIn) -> Response:
    """What was in quarantine, and what rests on it. Needs the right "write"."""

    def work(call: Call) -> Any:
        given = body.given("ids", "filters", "reason")
        return call.memory.release(body.ids, filters=call.filters or None, **given, **call.ids)

    return await service_of(request).call(request, "write", work, body.whose(), filters=body.filters, slow=True)


@CARE.get("/audit", summary="How clean a scope is", response_model=answers.Anything)
async def audit(
    request: Request,
    whose: Whose,
    stale_days: Annotated[float, Query(gt=0, lt=1e6)] = 365.0,
    examples: Annotated[int, Query(ge=0, le=100)] = 3,
) -> Response:
    """Rates of junk, repetitions, contradictions, stale and unsupported memories. Needs the right "read"."""

    def work(call: Call) -> Any:
        return call.memory.audit(stale_days=stale_days, examples=examples, **call.ids)

    return await service_of(request).call(request, "read", work, whose, slow=True)


@CARE.get("/jobs", summary="What is still to be worked out", response_model=answers.Jobs)
async def jobs(
    request: Request,
    whose: Whose,
    states: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    cursor: Cursor = None,
) -> Response:
    """Oldest first; states are waiting, leased and dead. Needs the right "read"."""
    wanted = bounded(request, limit, 100)

    def work(call: Call) -> Any:
        found = call.memory.jobs(states=states, limit=wanted + 1, after=cursor, **call.ids)
        return one_way(found, wanted, "id")

    return await service_of(request).call(request, "read", work, whose)


@CARE.post("/jobs/retry", summary="Try jobs again", response_model=answers.Anything)
async def retry_jobs(request: Request, body: models.JobsIn) -> Response:
    """These, or all dead ones if none are named. Needs the right "write"."""

    def work(call: Call) -> Any:
        return {"retried": call.memory.retry_jobs(body.ids, **call.ids)}

    return await service_of(request).call(request, "write", work, body.whose())


@CARE.post("/jobs/discard", summary="Give jobs up", response_model=answers.Anything)
async def discard_jobs(request: Request, body: models.JobsIn) -> Response:
    """What they would have worked out is not. Needs the right "write"."""

    def work(call: Call) -> Any:
        if not body.ids:
            raise InvalidInput("ids=[] names no job to give up")
        return {"discarded": call.memory.discard_jobs(body.ids, **call.ids)}

    return await service_of(request).call(request, "write", work, body.whose())


@CARE.post("/work", summary="Work out what is due", response_model=answers.Anything)
async def work_now(request: Request, body: models.WorkIn) -> Response:
    """Facts, episodes and the like, here and now, for some seconds. Needs the right "write"."""
    return await service_of(request).call(
        request, "write", lambda call: call.memory.work(seconds=body.seconds, **call.ids), body.whose(), slow=True
    )


@CARE.get("/stats", summary="Counts of a scope", response_model=answers.Anything)
async def stats(request: Request, whose: Whose) -> Response:
    """Memories, versions, kinds, sessions, speakers, vectors, jobs. Needs the right "read"."""

    def work(call: Call) -> Any:
        found = call.memory.stats(**call.ids)
        if call.principal.everywhere and call.principal.may("admin"):
            return found
        # What concerns the whole store is for whoever runs it.
        return {name: value for name, value in found.items() if name not in ("store", "indexes", "background", "llm")}

    return await service_of(request).call(request, "read", work, whose)


@CARE.get("/scopes", summary="Whose memories there are", response_model=answers.Anything)
async def scopes(
    request: Request, whose: Whose, limit: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None
) -> Response:
    """Every combination of ids that holds something, as far as the key reaches. Needs the right "admin"."""
    wanted = bounded(request, limit, 1000)

    def work(call: Call) -> Any:
        found = call.service.places(call.principal, call.ids)
        return {"count": len(found), "results": [dict(place.items()) for place in found[:wanted]]}

    return await service_of(request).call(request, "admin", work, whose, slow=True)


@CARE.get("/whoami", summary="What the key may do", response_model=answers.Who)
async def whoami(request: Request) -> Response:
    """The name, scope and rights of the caller's key. Needs any right."""

    def work(call: Call) -> Any:
        principal = call.principal
        return {"name": principal.name, "scope": dict(principal.ids), "rights": sorted(principal.rights)}

    return await service_of(request).call(request, ANY, work)
