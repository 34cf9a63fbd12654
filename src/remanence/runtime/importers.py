"""Conversations and memories from other tools' files.

- `chat`: JSON lines, one message each (`role`, `content`, `name`, `timestamp`, `session_id`, …), or a list of messages
  each under `messages`. What a line says besides becomes metadata.
- `locomo`: a JSON list of conversations with numbered sessions, as the LoCoMo benchmark has them.
- `mcp`: the JSON lines of the MCP memory server: entities with observations, and relations.
- `chatgpt`, `claude`: the conversations of an exported account, as JSON or in the ZIP that they come in.
- `mem0`, `langgraph`: the memories of these stores (LangMem's are items of a LangGraph store).
- `remanence`, `cube`: what `Memory.export` wrote.

Every file is read to its end before anything is stored: a bad line means that nothing is, unless bad lines are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.core.scope import Scope
from remanence.runtime import cube, formats, transfer
from remanence.runtime.adding import KEYS, Common, Progress, add_many, item_check
from remanence.runtime.arguments import ids_of, scope_of
from remanence.runtime.engine import Engine
from remanence.runtime.files import TextFile, batched, opened
from remanence.runtime.origins import IMPORT
from remanence.substrates.records.model import Edge, Record, View
from remanence.substrates.records.operations import Find, Link

__all__ = ["FORMATS", "Bad", "Reader", "import_file", "reader_of", "recognise"]

FORMATS: Final = ("auto", "remanence", "cube", "chat", "locomo", "mcp", *formats.READERS)
SHOWN: Final = 20
"""Bad lines that are told one by one; the others are counted."""

_SESSION_TIME: Final = "%I:%M %p on %d %B, %Y"
_LOOK: Final = 1 << 16


@dataclass(slots=True)
class Bad:
    """Lines that could not be read: the first one is an error unless they are to be skipped."""

    name: str
    skip: bool
    count: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)

    def line(self, number: int, reason: object) -> None:
        """A line, or a place, that cannot be read. Raises `ImportFormatError` unless bad ones are skipped."""
        if not self.skip:
            raise ImportFormatError(f"{self.name}, line {number}: {reason}; nothing was stored")
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append({"line": number, "reason": str(reason)})


def import_file(
    engine: Engine,
    source: TextFile,
    ids: Mapping[str, object],
    *,
    format: str,
    skip_bad: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """Store what a file holds. See `Memory.import_`."""
    if format not in FORMATS:
        raise InvalidInput(f"format {format!r} is none of {', '.join(FORMATS)}")
    with opened(source) as (stream, name):
        found = recognise(stream, name) if format == "auto" else format
        stream.seek(0)
        bad = Bad(name, skip_bad)
        if found in ("remanence", "cube"):
            named = ids_of({**engine.defaults, **ids})
            reader = cube.import_ if found == "cube" else transfer.import_
            result = reader(engine, stream, name, Scope(**named) if named else None, progress)
        elif found == "mcp":
            result = _McpGraph(stream, bad).store(engine, ids)
        else:
            result = _messages(engine, reader_of(found), stream, bad, ids, progress, found)
    return {"format": found, **result, "bad": bad.count, "bad_lines": bad.shown}


def recognise(stream: BinaryIO, name: str) -> str:
    """The format of a file, by how it begins."""
    if cube.is_cube(stream):
        return "cube"
    start = stream.read(_LOOK).lstrip(b"\xef\xbb\xbf \t\r\n")
    first = start.split(b"\n", 1)[0]
    if b'"session_1' in start and b'"conversation"' in start:
        return "locomo"
    try:
        line = json.loads(first)
    except (ValueError, RecursionError):
        line = None
    match line:
        case {"format": transfer.FORMAT}:
            return "remanence"
        case {"type": "entity" | "relation"}:
            return "mcp"
        case {"content": _} | {"messages": _}:
            return "chat"
        case _:
            found = formats.recognise(formats.json_of(stream, name))
            if found is not None:
                return found
            if start.startswith(b"["):
                return "locomo"
            raise ImportFormatError(
                f"{name} is in no format that is known by its first line; name one: {', '.join(FORMATS[1:])}"
            )


def _json_lines(stream: BinaryIO, bad: Bad) -> Iterator[tuple[int, dict[str, Any]]]:
    """`(line number, object)` of every line that is not blank."""
    stream.seek(0)
    for number, data in enumerate(stream, 1):
        if not data.strip():
            continue
        try:
            line = json.loads(data)
        except (ValueError, RecursionError) as error:
            bad.line(number, f"no JSON ({error})")
            continue
        if isinstance(line, dict):
            yield number, line
        else:
            bad.line(number, f"a JSON object is needed, not {type(line).__name__}")


# Conversations

Reader = Callable[[BinaryIO, Bad, Mapping[str, object]], Iterator[tuple[int, dict[str, Any]]]]


def _messages(
    engine: Engine,
    reader: Reader,
    stream: BinaryIO,
    bad: Bad,
    ids: Mapping[str, object],
    progress: Progress | None,
    format: str,
) -> dict[str, Any]:
    """Check all items of a file, then store them."""
    given = {**engine.defaults, **ids}
    check = item_check(engine, ids)
    good = 0
    refused: set[int] = set()
    for at, (number, item) in enumerate(reader(stream, bad, given)):
        try:
            check(item)
            good += 1
        except InvalidInput as error:
            bad.line(number, error)
            refused.add(at)
    # What was refused above is counted already.
    again = reader(stream, Bad(bad.name, skip=True), given)
    items = (item for at, (_, item) in enumerate(again) if at not in refused)
    told = None if progress is None else lambda done, _: progress(done, good)
    common = Common(origin=f"{IMPORT}{format}")
    result = add_many(engine, items, ids, common, batch_size=1000, progress=told)
    return {"imported": result["count"], "skipped": result["skipped"], "changes": result["changes"]}


def reader_of(format: str) -> Reader:
    """The reader of a format of messages: `(line or position, item)` of what a stream holds, for whom it is given."""
    return _chat if format == "chat" else _locomo if format == "locomo" else _foreign(format)


def _foreign(name: str) -> Reader:
    """A reader of another tool's file. Positions instead of lines."""

    def read(stream: BinaryIO, bad: Bad, given: Mapping[str, object]) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, item in formats.READERS[name](formats.json_of(stream, bad.name), bad.line):
            # Whose it is, as the call says it, goes before what the other tool filed it under.
            yield place, {key: value for key, value in item.items() if given.get(key) is None}

    return read


def _chat(stream: BinaryIO, bad: Bad, given: Mapping[str, object]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _json_lines(stream, bad):
        item = {key: value for key, value in line.items() if key in KEYS}
        rest = {key: value for key, value in line.items() if key not in KEYS}
        metadata = item.get("metadata") or {}
        if rest and isinstance(metadata, Mapping):
            item["metadata"] = {**rest, **metadata}
        yield number, item


def _locomo(stream: BinaryIO, bad: Bad, given: Mapping[str, object]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The turns of all conversations. Positions instead of lines: a conversation is no line of its own."""
    stream.seek(0)
    try:
        samples = json.load(stream)
    except (ValueError, RecursionError) as error:
        raise ImportFormatError(f"{bad.name}: no JSON ({error}); nothing was stored") from error
    for place, sample in enumerate([samples] if isinstance(samples, dict) else samples, 1):
        conversation = sample.get("conversation") if isinstance(sample, dict) else None
        if not isinstance(conversation, dict):
            bad.line(place, "a conversation is needed, with its sessions under 'conversation'")
            continue
        name = str(sample.get("sample_id", place))
        # Without anybody to belong to, each conversation belongs to itself.
        whom = {} if any(value is not None for value in given.values()) else {"user_id": name}
        for key, turns in conversation.items():
            if key.startswith("session_") and isinstance(turns, list):
                said = _session_time(conversation.get(f"{key}_date_time"))
                for turn in turns:
                    yield place, {**whom, **_turn(turn, name, key, said)}


def _turn(turn: Any, sample: str, session: str, said: Any) -> dict[str, Any]:
    if not isinstance(turn, dict):
        return {"content": turn}
    caption = turn.get("blip_caption")
    text = turn.get("text")
    return {
        "content": f"{text}\n[image: {caption}]" if caption and isinstance(text, str) else text,
        "name": turn.get("speaker"),
        "timestamp": said,
        "session_id": f"{sample}/{session}",
        "metadata": {"sample_id": sample, "dia_id": turn.get("dia_id")},
    }


def _session_time(text: Any) -> Any:
    """`1:56 pm on 8 May, 2023`, in UTC; anything else as it is, for the reader of timestamps to judge."""
    try:
        return datetime.strptime(str(text).strip(), _SESSION_TIME).replace(tzinfo=UTC)
    except ValueError:
        return text


# The MCP memory server's graph


class _McpGraph:
    """Entities, observations and relations of one file. Storing it again adds only what is new."""

    def __init__(self, stream: BinaryIO, bad: Bad) -> None:
        self.entities: dict[str, str | None] = {}
        self.observations: dict[tuple[str, str], None] = {}
        self.relations: dict[tuple[str, str, str], None] = {}
        for number, line in _json_lines(stream, bad):
            try:
                self._read(line)
            except ValueError as error:
                bad.line(number, error)

    def _read(self, line: Mapping[str, Any]) -> None:
        match line:
            case {"type": "entity", "name": str(name), "observations": [*observations]} if name.strip():
                if not all(isinstance(text, str) for text in observations):
                    raise ValueError("an observation must be a string")
                kind = line.get("entityType")
                self.entities[name] = kind if isinstance(kind, str) else None
                self.observations.update(((name, text), None) for text in observations if text.strip())
            case {"type": "relation", "from": str(start), "to": str(end), "relationType": str(kind)} if kind.strip():
                for name in (start, end):
                    if not name.strip():
                        raise ValueError("a relation needs the names of two entities")
                    self.entities.setdefault(name, None)
                self.relations[start, end, kind] = None
            case _:
                raise ValueError(
                    "it is neither an entity with 'name' and 'observations' "
                    "nor a relation with 'from', 'to' and 'relationType'"
                )

    def items(self) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """What is to be remembered, each with the key by which it is known again."""
        for name, type in self.entities.items():
            text = name if type is None else f"{name} ({type})"
            yield ("entity", name), {"content": text, "kind": "entity", "metadata": {"name": name, "entity_type": type}}
        for name, text in self.observations:
            item = {"content": f"{name}: {text}", "kind": "fact", "metadata": {"entity": name, "observation": text}}
            yield ("observation", name, text), item
        for start, end, kind in self.relations:
            # A link alone would not be found by its words.
            item = {
                "content": f"{start} {kind.replace('_', ' ')} {end}",
                "kind": "fact",
                "metadata": {"from": start, "to": end, "relation": kind},
            }
            yield ("relation", start, end, kind), item

    def store(self, engine: Engine, ids: Mapping[str, object]) -> dict[str, Any]:
        """Add what is not there yet, and link it."""
        scope, _ = scope_of("import_", engine.defaults, ids)
        records: tuple[Record, ...]
        (records,) = engine.read([Find(View(engine.now()), kinds=("entity", "fact"), limit=None)], scope)
        there = {key: record.id for record in records if (key := _known_again(record)) is not None}
        fresh = [(key, item) for key, item in self.items() if key not in there]
        common = Common(origin=f"{IMPORT}mcp")
        result = add_many(engine, [item for _, item in fresh], ids, common, batch_size=1000, progress=None)
        there.update((key, id) for (key, _), id in zip(fresh, result["ids"], strict=True) if id is not None)
        links = [Link(edge) for edge in self._edges(there)]
        linked = 0
        changes = list(result["changes"])
        for part in batched(links, 1000):
            outcome = engine.write(part, scope)
            linked += sum(answer is True for answer in outcome.results)
            changes += [] if outcome.change is None else [outcome.change]
        return {"imported": result["count"], "edges": linked, "skipped": result["skipped"], "changes": changes}

    def _edges(self, there: Mapping[tuple[str, ...], str]) -> Iterable[Edge]:
        for name, text in self.observations:
            yield Edge(there["observation", name, text], there["entity", name], "about")
        for start, end, kind in self.relations:
            yield Edge(there["entity", start], there["entity", end], kind)
            yield Edge(there["relation", start, end, kind], there["entity", start], "about")
            yield Edge(there["relation", start, end, kind], there["entity", end], "about")


def _known_again(record: Record) -> tuple[str, ...] | None:
    match record.kind, record.meta:
        case "entity", {"name": str(name)}:
            return ("entity", name)
        case "fact", {"entity": str(name), "observation": str(text)}:
            return ("observation", name, text)
        case "fact", {"from": str(start), "to": str(end), "relation": str(kind)}:
            return ("relation", start, end, kind)
        case _:
            return None
