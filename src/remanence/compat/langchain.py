"""LangChain's interfaces over a memory: a retriever, and the history of one conversation.

>>> from remanence import Memory
>>> from remanence.compat.langchain import RemanenceChatMessageHistory, RemanenceRetriever
>>> memory = Memory(":memory:")
>>> history = RemanenceChatMessageHistory(memory, session_id="monday", user_id="ana")
>>> history.add_user_message("The spare key is under the flower pot")
>>> [message.content for message in history.messages]
['The spare key is under the flower pot']
>>> retriever = RemanenceRetriever(memory=memory, ids={"user_id": "ana"}, k=1)
>>> retriever.invoke("where is the key?")[0].page_content
'The spare key is under the flower pot'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from remanence.compat.extras import missing
from remanence.compat.transcript import LANGCHAIN, Transcript, memories_only, own_metadata
from remanence.runtime.memory import Memory

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
    from langchain_core.retrievers import BaseRetriever
    from pydantic import Field
except ImportError as error:
    raise missing(__name__, "langchain-core", error) from error

__all__ = ["RemanenceChatMessageHistory", "RemanenceRetriever"]

_ROLES: Final = {"human": "user", "ai": "assistant"}
_ABOUT: Final = (
    "score", "event_at", "created_at", "updated_at", "valid_from", "valid_to", "user_id", "agent_id", "run_id",
    "app_id", "speaker", "role", "kind", "version", "superseded",
)  # fmt: skip


class RemanenceRetriever(BaseRetriever):
    """Memories as documents: `page_content` is the memory, `metadata` its own metadata and what is known about it.

    What is known (`id`, `score`, times, ids, …) goes before keys of the same name in the memory's metadata.
    """

    memory: Memory
    """Where to look."""
    ids: dict[str, Any] = Field(default_factory=dict)
    """Whose memories: `user_id`, `agent_id`, …; the memory's defaults if left out."""
    k: int = 10
    """How many documents at most."""
    options: dict[str, Any] = Field(default_factory=dict)
    """More arguments of `Memory.search`: `filters`, `threshold`, `as_of`, `kinds`."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **more: Any
    ) -> list[Document]:
        """`more` is what one call says beside the query: `k`, or other options than the retriever's own."""
        k = more.pop("k", self.k)
        options = {**self.options, **more}
        options["filters"] = memories_only(options.get("filters"))
        found = self.memory.search(query, limit=k, **options, **self.ids)
        return [Document(page_content=row["memory"], id=row["id"], metadata=_about(row)) for row in found["results"]]


class RemanenceChatMessageHistory(BaseChatMessageHistory):
    """The messages of one session, each a memory that searches find. `clear` lets go of them; `undo` can take it back.

    Args:
        memory: where they are kept.
        session_id: which conversation.
        ids: whose: `user_id`, `agent_id`, ….

    """

    def __init__(self, memory: Memory, session_id: str, **ids: Any) -> None:
        super().__init__()
        self.session_id = session_id
        self._transcript = Transcript(memory, LANGCHAIN, session_id, ids)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """All messages, in the order in which they were added, as they were added."""
        return messages_from_dict(self._transcript.items())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Remember messages in one transaction."""
        self._transcript.add([(_said(message), message_to_dict(message)) for message in messages])

    def clear(self) -> None:
        """Let go of all messages of the session."""
        self._transcript.clear()


def _said(message: BaseMessage) -> dict[str, Any]:
    return {"role": _ROLES.get(message.type, message.type), "name": message.name, "content": message.content}


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row[name] for name in _ABOUT if row.get(name) is not None}
    return {**own_metadata(row["metadata"]), "id": row["id"], **known}
