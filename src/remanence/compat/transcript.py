"""The messages of one session as other frameworks keep them: in order, each as it was, and each a memory as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from remanence.core.errors import InvalidInput, NotFound
from remanence.runtime.arguments import ids_of
from remanence.runtime.memory import Memory
from remanence.runtime.messages import parse_message
from remanence.substrates.records.model import meta_json

__all__ = ["SILENT", "Transcript", "memories_only", "own_metadata"]

_PAGE: Final = 1000
SILENT: Final = "message"
"""Kind of what belongs to a conversation and is no memory: calls of tools, instructions, recalled text."""
LANGCHAIN: Final = "langchain"
OPENAI_AGENTS: Final = "openai_agents"
"""Keys of the metadata under which the frameworks' own forms of messages are kept."""
_FORMS: Final = frozenset((LANGCHAIN, OPENAI_AGENTS))
_SPEAKING: Final = ("user", "assistant")


def memories_only(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    """A filter that besides leaves out what is kept for conversations alone."""
    own = {"kind": {"ne": SILENT}}
    return {"AND": [dict(filters), own]} if filters else own


def own_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a memory without the form of the message that it was: no prompt is to say things twice."""
    return {name: value for name, value in metadata.items() if name not in _FORMS}


class Transcript:
    """One session of a memory. Thread-safe.

    Args:
        memory: where it is kept.
        key: under which key of the metadata the framework's own form of a message is kept.
        session_id: which session.
        ids: whose.

    """

    def __init__(self, memory: Memory, key: str, session_id: str, ids: Mapping[str, Any]) -> None:
        self._ids: dict[str, Any] = ids_of({**ids, "run_id": session_id})
        if "run_id" not in self._ids:
            raise InvalidInput(f"session_id={session_id!r} must be a name")
        self._memory = memory
        self._key = key

    def add(self, messages: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Remember pairs of what was said (a message as `Memory.add` takes it) and the framework's own form of it.

        What users and assistants say is a memory. The rest is kept for the conversation alone: its words are in its
        form, where no search looks, and a record of kind "message" stands for it. All of it is one transaction.
        Raises `InvalidInput` for a form that cannot be kept as JSON of a megabyte; nothing was stored then.
        """
        items = []
        for said, form in messages:
            self._check(form)
            item: dict[str, Any] = {"role": said.get("role"), "content": _text(said.get("content")), **self._ids}
            if said.get("name"):
                item["name"] = said["name"]
            # Instructions and what `context` had put into a prompt would not be stored as they are.
            if said.get("role") not in _SPEAKING or parse_message(item).reason is not None:
                item.update(role="tool", kind=SILENT, content=f"[{said.get('role')}]")
            items.append({**item, "metadata": {self._key: dict(form)}})
        if items:
            self._memory.add_many(items, batch_size=len(items))

    def _check(self, form: Mapping[str, Any]) -> None:
        try:
            meta_json({self._key: form}, "a message")
        except InvalidInput as error:
            raise InvalidInput(f"{error}; pictures and files go by their address, not by their bytes") from error

    def items(self, last: int | None = None) -> list[dict[str, Any]]:
        """The framework's forms in the order in which they were added; of the newest `last` only, if given."""
        return [dict(row["metadata"][self._key]) for row in self._rows(last)]

    def pop(self) -> dict[str, Any] | None:
        """Let go of the newest one, and give it back; None when there is none."""
        while rows := self._rows(1):
            try:
                self._memory.delete(rows[0]["id"], **self._ids)
            except NotFound:
                # Somebody else took it at the same moment; the next one is the newest now.
                continue
            return dict(rows[0]["metadata"][self._key])
        return None

    def clear(self) -> None:
        """Let go of the whole session."""
        self._memory.delete_all(**self._ids)

    def _rows(self, last: int | None) -> list[Any]:
        where = {f"meta.{self._key}": "*"}
        if last is not None:
            found = self._memory.get_all(limit=last, filters=where, newest_first=True, **self._ids)
            return list(reversed(found["results"]))
        rows: list[Any] = []
        page: str | None = None
        while True:
            part = self._memory.get_all(limit=_PAGE, page=page, filters=where, **self._ids)
            rows += part["results"]
            page = part["next"]
            if page is None:
                return rows


def _text(content: object) -> str:
    """The words of a content, be it a string, a part with `text`, or a list of these."""
    if isinstance(content, list | tuple):
        return "\n".join(filter(None, map(_text, content)))
    text = content.get("text") if isinstance(content, Mapping) else content
    return text if isinstance(text, str) else ""
