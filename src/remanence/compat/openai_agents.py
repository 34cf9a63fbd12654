"""A session of the OpenAI Agents SDK over a memory: what agents and users say is kept, and found by every search.

>>> import asyncio
>>> from remanence import Memory
>>> from remanence.compat.openai_agents import RemanenceSession
>>> session = RemanenceSession("monday", Memory(":memory:"), user_id="ana")
>>> asyncio.run(session.add_items([{"role": "user", "content": "The spare key is under the flower pot"}]))
>>> asyncio.run(session.get_items())
[{'content': 'The spare key is under the flower pot', 'role': 'user'}]
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from remanence.compat.extras import missing
from remanence.compat.transcript import OPENAI_AGENTS, Transcript
from remanence.core.errors import InvalidInput
from remanence.runtime.memory import Memory

try:
    from agents.memory import SessionABC, SessionSettings
except ImportError as error:
    raise missing(__name__, "openai-agents", error) from error

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

__all__ = ["RemanenceSession"]


class RemanenceSession(SessionABC):
    """The items of one session, in order and as they were given.

    Messages of users and assistants are memories; calls of tools, their outputs and the rest are kept for the session.

    Args:
        session_id: which session; it becomes the `run_id` of the memories.
        memory: where they are kept.
        session_settings: of the SDK; its `limit` holds where `get_items` is not given one.
        ids: whose: `user_id`, `agent_id`, ….

    """

    def __init__(
        self, session_id: str, memory: Memory, *, session_settings: SessionSettings | None = None, **ids: Any
    ) -> None:
        self.session_id = session_id
        self.session_settings = session_settings
        self._transcript = Transcript(memory, OPENAI_AGENTS, session_id, ids)

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The items, oldest first; the newest `limit` of them."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        found = await asyncio.to_thread(self._transcript.items, None if limit is None else max(limit, 0))
        return cast("list[TResponseInputItem]", found)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append items in one transaction."""
        await asyncio.to_thread(
            self._transcript.add, [(_said(item), cast("Mapping[str, Any]", item)) for item in items]
        )

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the newest item, and give it back; None when there is none."""
        return cast("TResponseInputItem | None", await asyncio.to_thread(self._transcript.pop))

    async def clear_session(self) -> None:
        """Remove all items; `Memory.undo` can take that back."""
        await asyncio.to_thread(self._transcript.clear)


def _said(item: object) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidInput(f"an item is a mapping with 'role' and 'content' or with a 'type', not {item!r}")
    return {"role": item.get("role") or item.get("type"), "content": item.get("content")}
