"""What other assistants and memory layers let their users take along: ChatGPT, Claude, mem0, LangMem and LangGraph.

Each reader yields `(number, item)`: an item for `Memory.add_many`, and the place to name in messages. Facts about the
formats: ChatGPT's `conversations.json` is a list of trees of messages (`mapping`), of which the branch that ends in
`current_node` is what the user saw; Claude's is a list of conversations with `chat_messages`; mem0's `get_all` and
exports are lists of memories, bare or under `results`; items of a LangGraph store have `namespace`, `key` and `value`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from remanence.core.errors import ImportFormatError

__all__ = ["READERS", "Complain", "Numbered", "chatgpt", "claude", "json_of", "langgraph", "mem0", "recognise"]

Complain = Callable[[int, object], None]
"""Called with the place and the reason of what cannot be read; raises, or counts it."""
Numbered = Iterator[tuple[int, dict[str, Any]]]

_LOOK: Final = 1 << 16
_MEM0_IDS: Final = ("user_id", "agent_id", "run_id", "app_id")
_MEM0_OWN: Final = frozenset(("id", "memory", "text", "metadata", "created_at", "updated_at", "score", *_MEM0_IDS))


def json_of(stream: BinaryIO, name: str) -> Any:
    """The JSON of a file: of the file itself, of its lines, or of the conversations in a ZIP of exported data.

    Raises `ImportFormatError`.
    """
    stream.seek(0)
    if stream.read(4) == b"PK\x03\x04":
        return _zipped(stream, name)
    stream.seek(0)
    try:
        data = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFormatError(f"{name} is not UTF-8: {error}; nothing was stored") from error
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ImportFormatError(f"{name}: JSON nested too deeply; nothing was stored") from error
    except ValueError as error:
        found = _lines(data)
        if found is None:
            raise ImportFormatError(f"{name}: no JSON ({error}); nothing was stored") from error
        return found


def _lines(data: str) -> list[Any] | None:
    """The values of JSON lines; None where a line is none."""
    try:
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _zipped(stream: BinaryIO, name: str) -> list[Any]:
    try:
        with zipfile.ZipFile(stream) as archive:
            parts = sorted(
                entry for entry in archive.namelist()
                if entry.rsplit("/", 1)[-1].startswith("conversations") and entry.endswith(".json")
            )  # fmt: skip
            if not parts:
                raise ImportFormatError(f"{name} is a ZIP without conversations.json in it; nothing was stored")
            found: list[Any] = []
            for part in parts:
                data = json.loads(archive.read(part).decode("utf-8-sig"))
                found += data if isinstance(data, list) else [data]
            return found
    except (zipfile.BadZipFile, RuntimeError, ValueError, RecursionError) as error:
        if isinstance(error, ImportFormatError):
            raise
        raise ImportFormatError(f"{name} is a damaged ZIP, or holds no JSON ({error}); nothing was stored") from error


def _members(data: Any, *names: str) -> list[Any]:
    """The list that a file is, or holds under one of `names`; a single object is a list of one."""
    if isinstance(data, Mapping):
        for name in names:
            if isinstance(data.get(name), list):
                return list(data[name])
        return [data]
    return data if isinstance(data, list) else [data]


def recognise(data: Any) -> str | None:
    """The name of the format that parsed JSON looks like."""
    for item in _members(data, "results", "memories", "items", "conversations")[:20]:
        if isinstance(item, Mapping):
            for name, marks in _MARKS.items():
                if any(mark <= item.keys() for mark in marks):
                    return name
    return None


def chatgpt(data: Any, complain: Complain) -> Numbered:
    """The messages that the user of ChatGPT saw, conversation by conversation; edited and regenerated ones are left."""
    for place, conversation in enumerate(_members(data, "conversations"), 1):
        tree = conversation.get("mapping") if isinstance(conversation, Mapping) else None
        if not isinstance(tree, Mapping):
            complain(place, "a conversation is needed, with its messages under 'mapping'")
            continue
        session = conversation.get("conversation_id") or conversation.get("id") or f"conversation-{place}"
        for node in _branch(tree, conversation.get("current_node")):
            message = node.get("message")
            if not isinstance(message, Mapping) or _unseen(message):
                continue
            text = _parts(message.get("content"))
            if not text.strip():
                continue
            yield (
                place,
                {
                    "role": message["author"]["role"],
                    "content": text,
                    "timestamp": _seconds(message.get("create_time") or conversation.get("create_time")),
                    "session_id": f"chatgpt/{session}",
                    "metadata": _said(title=conversation.get("title"), message_id=message.get("id")),
                },
            )


def _branch(tree: Mapping[str, Any], leaf: object) -> list[Mapping[str, Any]]:
    """The nodes from the root to the leaf; without a leaf, to the end of each node's last child."""
    if not isinstance(leaf, str) or leaf not in tree:
        roots = [key for key, node in tree.items() if isinstance(node, Mapping) and node.get("parent") not in tree]
        leaf = roots[0] if roots else None
        seen = set()
        while isinstance(leaf, str) and leaf not in seen:
            seen.add(leaf)
            children = [child for child in (tree[leaf].get("children") or ()) if child in tree]
            if not children:
                break
            leaf = children[-1]
    found: list[Mapping[str, Any]] = []
    passed: set[str] = set()
    while isinstance(leaf, str) and leaf in tree and leaf not in passed and isinstance(tree[leaf], Mapping):
        passed.add(leaf)
        found.append(tree[leaf])
        leaf = tree[leaf].get("parent")
    return found[::-1]


def _unseen(message: Mapping[str, Any]) -> bool:
    """Whether a message was for the machine: system messages, calls of tools, hidden ones."""
    author, extra = message.get("author"), message.get("metadata")
    role = author.get("role") if isinstance(author, Mapping) else None
    hidden = isinstance(extra, Mapping) and extra.get("is_visually_hidden_from_conversation")
    return role not in ("user", "assistant", "tool") or bool(hidden) or message.get("recipient", "all") != "all"


def _parts(content: object) -> str:
    if not isinstance(content, Mapping):
        return ""
    parts = content.get("parts")
    if isinstance(parts, list):
        texts = [part if isinstance(part, str) else _of(part, "text") for part in parts]
        return "\n".join(text for text in texts if text)
    return _of(content, "text")


def _of(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def claude(data: Any, complain: Complain) -> Numbered:
    """The messages of Claude's conversations, with the text of what was attached."""
    roles = {"human": "user", "assistant": "assistant"}
    for place, conversation in enumerate(_members(data, "conversations"), 1):
        messages = conversation.get("chat_messages") if isinstance(conversation, Mapping) else None
        if not isinstance(messages, list):
            complain(place, "a conversation is needed, with its messages under 'chat_messages'")
            continue
        session = conversation.get("uuid") or f"conversation-{place}"
        for message in messages:
            role = roles.get(str(message.get("sender"))) if isinstance(message, Mapping) else None
            if role is None:
                complain(place, "a message is needed, with 'sender' human or assistant")
                continue
            text = _claude_text(message)
            if text.strip():
                yield (
                    place,
                    {
                        "role": role,
                        "content": text,
                        "timestamp": message.get("created_at") or conversation.get("created_at"),
                        "session_id": f"claude/{session}",
                        "metadata": _said(title=conversation.get("name"), message_id=message.get("uuid")),
                    },
                )


def _claude_text(message: Mapping[str, Any]) -> str:
    blocks = message.get("content")
    texts = [
        block["text"] for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, Mapping) and block.get("type") == "text" and isinstance(block.get("text"), str)
    ] or [_of(message, "text")]  # fmt: skip
    attached = message.get("attachments")
    for file in attached if isinstance(attached, list) else ():
        text = _of(file, "extracted_content")
        if text.strip():
            texts.append(f"[file: {_of(file, 'file_name') or 'attachment'}]\n{text}")
    return "\n".join(text for text in texts if text)


def mem0(data: Any, complain: Complain) -> Numbered:
    """The memories of a mem0 store; each keeps the ids that mem0 filed it under."""
    for place, memory in enumerate(_members(data, "results", "memories"), 1):
        if isinstance(memory, Mapping) and isinstance(memory.get("payload"), Mapping):
            # A row of the vector store behind it: the memory lies in the payload.
            inner = memory["payload"]
            memory = {"id": memory.get("id"), "memory": inner.get("data"), **inner}
        text = (memory.get("memory") or memory.get("text")) if isinstance(memory, Mapping) else None
        if not isinstance(text, str) or not text.strip():
            complain(place, "a memory is needed, with its text under 'memory'")
            continue
        rest = {key: value for key, value in memory.items() if key not in _MEM0_OWN and value is not None}
        metadata = memory.get("metadata")
        metadata if isinstance(metadata, Mapping) else {}
        item = {
            "content": text,
            "kind": "note",
            "timestamp": memory.get("created_at"),
            "valid_to": memory.get("expiration_date"),
            "metadata": {
                **rest,
                **(metadata if isinstance(metadata, Mapping) else {}),
                **_said(mem0_id=memory.get("id")),
            },
            **{name: memory.get(name) for name in _MEM0_IDS},
        }
        yield place, {key: value for key, value in item.items() if value is not None}


def langgraph(data: Any, complain: Complain) -> Numbered:
    """The items of a LangGraph store, LangMem's memories among them. The namespace is kept as metadata."""
    for place, item in enumerate(_members(data, "items", "results"), 1):
        if not isinstance(item, Mapping) or not isinstance(item.get("value"), Mapping):
            complain(place, "an item is needed, with 'namespace', 'key' and 'value'")
            continue
        value = item["value"]
        text = _langmem_text(value)
        namespace = item.get("namespace")
        yield (
            place,
            {
                "content": text,
                "kind": "note",
                "timestamp": item.get("created_at"),
                "metadata": {
                    "namespace": list(namespace) if isinstance(namespace, list | tuple) else namespace,
                    "key": item.get("key"),
                    "value": dict(value),
                },
            },
        )


def _langmem_text(value: Mapping[str, Any]) -> str:
    """LangMem writes `{"kind": "Memory", "content": {"content": text}}`, others whatever they like."""
    found: object = value
    while isinstance(found, Mapping):
        inner = next((found[key] for key in ("content", "text", "memory", "data") if key in found), None)
        if inner is None:
            return json.dumps(dict(found), ensure_ascii=False, sort_keys=True)
        found = inner
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, sort_keys=True)


def _said(**metadata: object) -> dict[str, object]:
    return {key: value for key, value in metadata.items() if isinstance(value, str) and value}


def _seconds(value: object) -> datetime | object:
    """Unix seconds as a time; anything else as it is, for the reader of timestamps to judge."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        return value


Reader = Callable[[Any, Complain], Numbered]
READERS: Final[Mapping[str, Reader]] = {"chatgpt": chatgpt, "claude": claude, "mem0": mem0, "langgraph": langgraph}
_MARKS: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "chatgpt": (frozenset({"mapping"}),),
    "claude": (frozenset({"chat_messages"}),),
    "langgraph": (frozenset({"namespace", "value"}),),
    "mem0": (frozenset({"memory"}), frozenset({"payload", "id"})),
}
