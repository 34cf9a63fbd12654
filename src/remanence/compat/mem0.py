"""mem0's interface over the runtime: `Memory` and `AsyncMemory`, with the call shapes of 1.x and of 2.x.

>>> from remanence.compat.mem0 import Memory
>>> memory = Memory(path=":memory:")
>>> added = memory.add("I moved to Oslo", user_id="ana")
>>> memory.search("where does she live?", user_id="ana", limit=3)["results"][0]["memory"]  # as in 1.x
'I moved to Oslo'
>>> memory.search("where does she live?", filters={"user_id": "ana"}, top_k=3)["results"][0]["memory"]  # as in 2.x
'I moved to Oslo'

No model is called and no key is needed. All memories of a collection lie under one `app_id`, within which users, agents
and runs are scopes: whatever is in the metadata, a memory cannot move from one to another.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping
from datetime import UTC
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, Unpack

from remanence.compat.mem0_shapes import EXPIRATION, Config, MemoryNotFound, day_of, item, owner_of, unexpired, where_of
from remanence.core.clock import Clock, utc_now
from remanence.core.errors import Conflict, InvalidInput, NotFound
from remanence.runtime.arguments import Time, limit_of
from remanence.runtime.memory import Memory as Runtime
from remanence.runtime.messages import parse_messages

__all__ = ["AsyncMemory", "Memory", "Owner"]

PROCEDURAL: Final = "procedural_memory"
MOST: Final = 20
_ATTEMPTS: Final = 10


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""Stands for an argument that was left out, where None says something."""


class Owner(TypedDict, total=False):
    """Whom memories belong to."""

    user_id: str | int | None
    agent_id: str | int | None
    run_id: str | int | None


class Memory:
    """mem0's `Memory`. Thread-safe; one file may be used by many objects and processes.

    Args:
        config: as for mem0, a mapping or its `MemoryConfig`. The collection's name keeps collections apart; models,
            providers and their settings have no effect, and `unused` lists them.
        path: the file, as the runtime's `Memory` takes it.
        clock: where the time comes from.
        options: more arguments of the runtime's `Memory`, such as `embedder`, `store` or `llm`.

    """

    def __init__(
        self,
        config: object = None,
        *,
        path: str | os.PathLike[str] | None = None,
        clock: Clock = utc_now,
        **options: Any,
    ) -> None:
        read = Config.read(config)
        self.config = config
        self.collection = read.collection
        """The `app_id` under which all of this lies."""
        self.unused = read.unused
        self._clock = clock
        self.runtime = Runtime(path, app_id=read.collection, clock=clock, **options)
        """The runtime's memory underneath, which can do more."""

    @classmethod
    def from_config(cls, config_dict: object, **options: Any) -> Self:
        """A memory from a configuration, as the constructor makes it."""
        return cls(config_dict, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store. Later calls raise `StoreClosed`."""
        self.runtime.close()

    def add(
        self,
        messages: Any,
        *,
        metadata: Mapping[str, Any] | None = None,
        timestamp: Time | None = None,
        expiration_date: object = None,
        infer: bool = True,
        memory_type: str | None = None,
        prompt: str | None = None,
        llm: object = None,
        **ids: Unpack[Owner],
    ) -> dict[str, Any]:
        """Remember messages word for word.

        `infer`, `prompt` and `llm` are accepted and change nothing: words are kept either way. `memory_type` may be
        "procedural_memory", for an agent. `expiration_date` is the last day on which the memory is shown.

        Returns:
            `results`: `id`, `memory`, `event` "ADD", `role` and `actor_id` (None without a name) of each message
            stored; `skipped`, if any was not, says why; `change`, which the runtime's `undo` takes.

        """
        named, _ = owner_of(ids)
        if memory_type not in (None, PROCEDURAL):
            raise InvalidInput(f"memory_type={memory_type!r} must be {PROCEDURAL!r}, or left out")
        if memory_type == PROCEDURAL and "agent_id" not in named:
            raise InvalidInput("a procedural memory belongs to an agent: pass agent_id")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidInput(f"metadata must be a mapping, not {type(metadata).__name__}")
        meta = dict(metadata or {})
        if expiration_date is not None:
            meta[EXPIRATION] = day_of(expiration_date)
        if memory_type is not None:
            meta["memory_type"] = memory_type
        added = self.runtime.add(
            messages, metadata=meta, timestamp=timestamp, kind="turn" if memory_type is None else memory_type, **named
        )
        rows = added["results"]
        result: dict[str, Any] = {
            "results": [
                {"id": row["id"], "memory": row["memory"], "event": "ADD", "role": said.role, "actor_id": said.speaker}
                for row, said in zip(rows, parse_messages(messages), strict=True)
                if row["event"] == "ADD"
            ],
            "change": added["change"],
        }
        skipped = [dict(row) for row in rows if row["event"] != "ADD"]
        if skipped:
            result["skipped"] = skipped
        return result

    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        top_k: int | None = None,
        filters: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        rerank: bool = False,
        explain: bool = False,
        reference_date: Time | None = None,
        show_expired: bool = False,
        **ids: Unpack[Owner],
    ) -> dict[str, Any]:
        """The memories most likely to answer a query, best first; 20 if neither `limit` nor `top_k` is given.

        Scores are probabilities. Nothing is left out for its score unless a `threshold` is given. `reference_date` asks
        as one would have asked then: for what was true at that time. With `explain`, `score_details` holds what each
        channel contributed. `rerank` is accepted: all channels are weighed in one step.
        """
        named, rest = owner_of(ids, filters)
        _check_threshold(threshold)
        found = self.runtime.search(
            query,
            limit=limit_of(limit, top_k, MOST),
            filters=self._where(rest, show_expired),
            threshold=threshold,
            as_of=reference_date,
            explain=explain,
            **named,
        )
        result: dict[str, Any] = {"results": [item(row) for row in found["results"]]}
        if "degraded" in found:
            result["degraded"] = found["degraded"]
        return result

    def get(self, memory_id: str, **ids: Unpack[Owner]) -> dict[str, Any] | None:
        """One memory; None if there is none of this id. Ids, if given, must be those of its owner."""
        named, _ = owner_of(ids, required=False)
        found = self.runtime.get(memory_id, **named)
        return None if found is None else {**item(found), "score": None}

    def get_all(
        self,
        *,
        limit: int | None = None,
        top_k: int | None = None,
        filters: Mapping[str, Any] | None = None,
        show_expired: bool = False,
        **ids: Unpack[Owner],
    ) -> dict[str, Any]:
        """Memories in the order in which they were added; 20 if neither `limit` nor `top_k` is given."""
        named, rest = owner_of(ids, filters)
        page = self.runtime.get_all(
            limit=limit_of(limit, top_k, MOST), filters=self._where(rest, show_expired), **named
        )
        return {"results": [item(row) for row in page["results"]]}

    def update(
        self,
        memory_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expiration_date: object = UNSET,
        data: str | None = None,
        **ids: Unpack[Owner],
    ) -> dict[str, str]:
        """Replace what a memory says (`text`, or `data` as in 1.x); what it said before stays in its history.

        `metadata` is merged into what there is. `expiration_date=None` lets the memory expire no more.

        Raises:
            MemoryNotFound: there is no such memory; a `ValueError`.

        """
        named, _ = owner_of(ids, required=False)
        if text is not None and data is not None and text != data:
            raise InvalidInput("text and data are synonyms and say different things; give one of them")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidInput(f"metadata must be a mapping, not {type(metadata).__name__}")
        changed = metadata is not None or expiration_date is not UNSET
        for _ in range(_ATTEMPTS):
            found = self.runtime.get(memory_id, **named)
            if found is None:
                raise _not_found(memory_id)
            meta = {**found["metadata"], **(metadata or {})}
            if expiration_date is None:
                meta.pop(EXPIRATION, None)
            elif expiration_date is not UNSET:
                meta[EXPIRATION] = day_of(expiration_date)
            try:
                self.runtime.update(
                    memory_id,
                    text if text is not None else data,
                    meta if changed else None,
                    expected_version=found["version"],
                    **named,
                )
            except Conflict:
                continue
            except NotFound as error:
                raise _not_found(memory_id) from error
            return {"message": "Memory updated successfully!"}
        raise Conflict(f"memory {memory_id} was changed by others {_ATTEMPTS} times in a row; try again")

    def delete(self, memory_id: str, **ids: Unpack[Owner]) -> dict[str, str]:
        """Let go of a memory. Raises `MemoryNotFound`, a `ValueError`."""
        named, _ = owner_of(ids, required=False)
        try:
            self.runtime.delete(memory_id, **named)
        except NotFound as error:
            raise _not_found(memory_id) from error
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self,
        user_id: str | int | None = None,
        agent_id: str | int | None = None,
        run_id: str | int | None = None,
        *,
        filters: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Let go of all memories of somebody, who has to be named (else `ScopeRequired`); `reset` is for everything."""
        named, rest = owner_of({"user_id": user_id, "agent_id": agent_id, "run_id": run_id}, filters)
        if rest or not named:
            raise InvalidInput(
                "delete_all() takes user_id, agent_id and run_id, and no other filter; delete by id instead"
            )
        return {"message": "Memories deleted successfully!", "count": self.runtime.delete_all(**named)["count"]}

    def history(self, memory_id: str, **ids: Unpack[Owner]) -> list[dict[str, Any]]:
        """Every change of a memory, oldest first; empty for an id that there never was."""
        named, _ = owner_of(ids, required=False)
        try:
            return [dict(row) for row in self.runtime.history(memory_id, **named)]
        except NotFound:
            return []

    def reset(self) -> None:
        """Destroy everything in this collection, in every version; other collections stay."""
        self.runtime.erase(reason="reset")

    def _where(self, rest: Mapping[str, Any], show_expired: bool) -> dict[str, Any]:
        where = where_of(rest)
        return where if show_expired else unexpired(where, self._clock().astimezone(UTC))


class AsyncMemory:
    """mem0's `AsyncMemory`: the verbs of `Memory` as coroutines, each run in a thread. Arguments as `Memory`."""

    def __init__(self, config: object = None, **options: Any) -> None:
        self.memory = Memory(config, **options)
        """The synchronous memory underneath."""

    @classmethod
    def from_config(cls, config_dict: object, **options: Any) -> Self:
        """As the constructor; may be awaited, as in mem0 1.x, or not."""
        return cls(config_dict, **options)

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        await asyncio.to_thread(self.close)
        return False

    @property
    def unused(self) -> tuple[str, ...]:
        """As `Memory.unused`."""
        return self.memory.unused

    def close(self) -> None:
        """Close the store; not a coroutine, as in mem0."""
        self.memory.close()

    async def add(self, messages: Any, **options: Any) -> dict[str, Any]:
        """As `Memory.add`."""
        return await asyncio.to_thread(self.memory.add, messages, **options)

    async def search(self, query: str, **options: Any) -> dict[str, Any]:
        """As `Memory.search`."""
        return await asyncio.to_thread(self.memory.search, query, **options)

    async def get(self, memory_id: str, **ids: Any) -> dict[str, Any] | None:
        """As `Memory.get`."""
        return await asyncio.to_thread(self.memory.get, memory_id, **ids)

    async def get_all(self, **options: Any) -> dict[str, Any]:
        """As `Memory.get_all`."""
        return await asyncio.to_thread(self.memory.get_all, **options)

    async def update(self, memory_id: str, *values: Any, **options: Any) -> dict[str, str]:
        """As `Memory.update`."""
        return await asyncio.to_thread(self.memory.update, memory_id, *values, **options)

    async def delete(self, memory_id: str, **ids: Any) -> dict[str, str]:
        """As `Memory.delete`."""
        return await asyncio.to_thread(self.memory.delete, memory_id, **ids)

    async def delete_all(self, *ids: Any, **options: Any) -> dict[str, Any]:
        """As `Memory.delete_all`."""
        return await asyncio.to_thread(self.memory.delete_all, *ids, **options)

    async def history(self, memory_id: str, **ids: Any) -> list[dict[str, Any]]:
        """As `Memory.history`."""
        return await asyncio.to_thread(self.memory.history, memory_id, **ids)

    async def reset(self) -> None:
        """As `Memory.reset`."""
        await asyncio.to_thread(self.memory.reset)


def _check_threshold(threshold: object) -> None:
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 <= threshold <= 1):  # type: ignore[operator]
        raise InvalidInput(f"threshold={threshold!r} must be a number from 0 to 1")


def _not_found(memory_id: str) -> MemoryNotFound:
    return MemoryNotFound(f"memory with id {memory_id} not found; pass the 'id' of a result")
