"""mem0's clients of its hosted service, on a memory of one's own: `MemoryClient` and `AsyncMemoryClient`.

>>> from remanence.compat.mem0_client import MemoryClient
>>> client = MemoryClient(path=":memory:")
>>> client.add([{"role": "user", "content": "I moved to Oslo"}], user_id="ana")["status"]
'SUCCEEDED'
>>> client.users()["results"][0]["name"]
'ana'

Nothing is sent anywhere: `api_key`, `host` and the like are accepted and have no effect.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from remanence.compat.mem0 import Memory
from remanence.compat.mem0_shapes import IDS, MemoryNotFound, owner_of
from remanence.core.clock import parse_time
from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.substrates.records.model import is_derived
from remanence.substrates.records.operations import NEVER, Columns, Scan

__all__ = ["AsyncMemoryClient", "MemoryClient"]

_ALL: Final = 2**31 - 2
# What clients of the service send along, and what means nothing here.
_PASSED_OVER: Final = frozenset(
    ("agent_custom_instructions", "api_version", "async_mode", "custom_categories", "custom_instructions",
     "enable_graph", "excludes", "fields", "immutable", "includes", "keyword_search", "latest_only", "org_id",
     "org_name", "output_format", "project_id", "project_name", "structured_data_schema", "version")
)  # fmt: skip


class MemoryClient:
    """The client's verbs, answered here and at once: what the service does later is done when a call returns.

    Args:
        api_key: accepted; so are `host`, `org_id`, `project_id` and `client`.
        memory: the memory that answers; one is made from `options`, as for `Memory`, if left out.

    """

    def __init__(
        self,
        api_key: str | None = None,
        host: str | None = None,
        org_id: str | None = None,
        project_id: str | None = None,
        client: object = None,
        *,
        memory: Memory | None = None,
        **options: Any,
    ) -> None:
        if memory is not None and options:
            raise InvalidInput(f"a memory is given; {', '.join(options)} would mean another one")
        self.memory = Memory(**options) if memory is None else memory

    def add(self, messages: Any, options: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """As `Memory.add`; `status` is "SUCCEEDED", and `event_id` the change that was made.

        Ids may stand in `filters`, as the service takes them since its third version. Custom categories, instructions
        and schemas are for the service's model; they change nothing here.
        """
        added = self.memory.add(messages, **_with_owner(_arguments(options, more)))
        return {**added, "status": "SUCCEEDED", "event_id": added["change"]}

    def search(self, query: str, options: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """As `Memory.search`; `categories` and `metadata` narrow it down as conditions on the metadata do."""
        return self.memory.search(query, **_narrowed(_arguments(options, more)))

    def get(self, memory_id: str) -> dict[str, Any]:
        """One memory. Raises `MemoryNotFound`."""
        found = self.memory.get(memory_id)
        if found is None:
            raise MemoryNotFound(f"memory with id {memory_id} not found; pass the 'id' of a result")
        return found

    def get_all(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        page: int | None = None,
        page_size: int | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """As `Memory.get_all`; by `page` of `page_size` (100) memories: `count`, `next`, `previous`, `results`.

        `start_date` and `end_date`, which count, say when a memory was created; `categories` as for `search`.
        """
        asked = _narrowed({"page": page, "page_size": page_size, **_arguments(options, more)})
        page, page_size = asked.pop("page"), asked.pop("page_size")
        if page is None and page_size is None:
            return self.memory.get_all(**asked)
        number, size = _positive("page", page, 1), _positive("page_size", page_size, 100)
        rows = self.memory.get_all(limit=_ALL, **asked)["results"]
        end = number * size
        return {
            "count": len(rows),
            "next": number + 1 if end < len(rows) else None,
            "previous": number - 1 if number > 1 else None,
            "results": rows[end - size : end],
        }

    def update(self, memory_id: str, options: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Replace text or metadata of a memory; the memory as it is then."""
        self.memory.update(memory_id, **_arguments(options, more))
        return self.get(memory_id)

    def delete(self, memory_id: str, delete_linked: bool = False) -> dict[str, str]:
        """Let go of a memory. Nothing is linked to it that would stay: what was derived from it follows in any case."""
        return self.memory.delete(memory_id)

    def delete_all(self, options: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """As `Memory.delete_all`."""
        return self.memory.delete_all(**_arguments(options, more))

    def history(self, memory_id: str) -> list[dict[str, Any]]:
        """As `Memory.history`."""
        return self.memory.history(memory_id)

    def users(self) -> dict[str, Any]:
        """All users, agents and runs that have memories, with their number: `results` and `total_results`."""
        runtime = self.memory.runtime
        columns: Columns
        (columns,) = runtime.store.batch([Scan()], scope=Scope(app_id=self.memory.collection)).results
        counts: Counter[tuple[str, str]] = Counter()
        for row in np.flatnonzero(columns.closed_at == NEVER).tolist():
            if not is_derived(columns.origins[row]):
                place = columns.scopes[columns.scope_of[row]]
                counts.update((name, value) for name in IDS if (value := getattr(place, name)) is not None)
        rows = [
            {"id": value, "name": value, "type": name.removesuffix("_id"), "total_memories": count}
            for (name, value), count in sorted(counts.items(), key=lambda one: (IDS.index(one[0][0]), one[0][1]))
        ]
        return {"results": rows, "total_results": len(rows)}

    def delete_users(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> dict[str, str]:
        """Destroy everything of a user, an agent or a run, with its history; of all of them if none is named."""
        if app_id is not None:
            raise InvalidInput(
                f"app_id={app_id!r}: collections are kept apart by their configuration; open the other one"
            )
        named = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}
        self.memory.runtime.erase(reason="delete_users", **{name: value for name, value in named.items() if value})  # type: ignore[arg-type]
        return {"message": "Entities deleted successfully."}

    def reset(self) -> dict[str, str]:
        """Destroy everything."""
        self.memory.reset()
        return {"message": "Client reset successful. All users and memories deleted."}

    def batch_update(self, memories: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Update memories given as `memory_id` with `text` or `metadata`, one after the other."""
        for row in memories:
            values = dict(row)
            self.memory.update(values.pop("memory_id", None) or "", **values)
        return {"message": f"Successfully updated {len(memories)} memories"}

    def batch_delete(self, memories: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Let go of memories given as `memory_id`, one after the other."""
        for row in memories:
            self.memory.delete(row.get("memory_id") or "")
        return {"message": f"Successfully deleted {len(memories)} memories"}

    def close(self) -> None:
        """Close the memory."""
        self.memory.close()


class AsyncMemoryClient:
    """The verbs of `MemoryClient` as coroutines, each run in a thread. Arguments as `MemoryClient`."""

    def __init__(self, api_key: str | None = None, host: str | None = None, **options: Any) -> None:
        self.client = MemoryClient(api_key, host, **options)
        """The synchronous client underneath."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def add(self, *values: Any, **options: Any) -> dict[str, Any]:
        """As `MemoryClient.add`."""
        return await asyncio.to_thread(self.client.add, *values, **options)

    async def search(self, *values: Any, **options: Any) -> dict[str, Any]:
        """As `MemoryClient.search`."""
        return await asyncio.to_thread(self.client.search, *values, **options)

    async def get(self, memory_id: str) -> dict[str, Any]:
        """As `MemoryClient.get`."""
        return await asyncio.to_thread(self.client.get, memory_id)

    async def get_all(self, *values: Any, **options: Any) -> dict[str, Any]:
        """As `MemoryClient.get_all`."""
        return await asyncio.to_thread(self.client.get_all, *values, **options)

    async def update(self, *values: Any, **options: Any) -> dict[str, Any]:
        """As `MemoryClient.update`."""
        return await asyncio.to_thread(self.client.update, *values, **options)

    async def delete(self, memory_id: str, delete_linked: bool = False) -> dict[str, str]:
        """As `MemoryClient.delete`."""
        return await asyncio.to_thread(self.client.delete, memory_id, delete_linked)

    async def delete_all(self, *values: Any, **options: Any) -> dict[str, Any]:
        """As `MemoryClient.delete_all`."""
        return await asyncio.to_thread(self.client.delete_all, *values, **options)

    async def history(self, memory_id: str) -> list[dict[str, Any]]:
        """As `MemoryClient.history`."""
        return await asyncio.to_thread(self.client.history, memory_id)

    async def users(self) -> dict[str, Any]:
        """As `MemoryClient.users`."""
        return await asyncio.to_thread(self.client.users)

    async def delete_users(self, **ids: Any) -> dict[str, str]:
        """As `MemoryClient.delete_users`."""
        return await asyncio.to_thread(self.client.delete_users, **ids)

    async def reset(self) -> dict[str, str]:
        """As `MemoryClient.reset`."""
        return await asyncio.to_thread(self.client.reset)

    async def batch_update(self, memories: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """As `MemoryClient.batch_update`."""
        return await asyncio.to_thread(self.client.batch_update, memories)

    async def batch_delete(self, memories: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """As `MemoryClient.batch_delete`."""
        return await asyncio.to_thread(self.client.batch_delete, memories)

    async def close(self) -> None:
        """Close the memory."""
        await asyncio.to_thread(self.client.close)


def _arguments(options: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise InvalidInput(f"options must be a mapping, not {type(options).__name__}")
    given = {**(options or {}), **more}
    return {name: value for name, value in given.items() if name not in _PASSED_OVER}


def _with_owner(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `add` with the ids of `filters` among them."""
    filters = given.pop("filters", None)
    if filters is None:
        return given
    named, rest = owner_of({name: given.pop(name, None) for name in IDS}, filters)
    if rest:
        raise InvalidInput(f"filters={filters!r} of add() takes ids alone; use {', '.join(IDS)}")
    return {**given, **named}


def _narrowed(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a read with what the service takes beside `filters` as a part of these."""
    conditions: list[dict[str, Any]] = []
    if (categories := given.pop("categories", None)) is not None:
        if not isinstance(categories, list | tuple):
            raise InvalidInput(f"categories={categories!r} must be a list of names")
        conditions += [{"OR": [{"categories": {"contains": name}} for name in categories]}] if categories else []
    if (metadata := given.pop("metadata", None)) is not None:
        if not isinstance(metadata, Mapping):
            raise InvalidInput(f"metadata must be a mapping, not {type(metadata).__name__}")
        conditions += [{f"metadata.{name}": value} for name, value in metadata.items()]
    start, end = given.pop("start_date", None), given.pop("end_date", None)
    if start is not None:
        conditions.append({"created_at": {"gte": parse_time(start)}})
    if end is not None:
        last, whole_day = parse_time(end), isinstance(end, str) and len(end) == len("2026-01-31")
        conditions.append({"created_at": {"lt": last + timedelta(days=1)} if whole_day else {"lte": last}})
    if not conditions:
        return given
    filters = given.pop("filters", None)
    return {**given, "filters": {"AND": [*([] if filters is None else [filters]), *conditions]}}


def _positive(name: str, value: object, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
        raise InvalidInput(f"{name}={value!r} must be a whole number from 1 up")
    return value
