"""The verbs that remember: `add` for what is said now, `add_many` for a stream of what was said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from remanence.core.errors import EmbeddingError, InvalidInput, RemanenceError
from remanence.core.scope import Scope
from remanence.runtime import outbox
from remanence.runtime.arguments import SCOPE_KEYS, Time, ids_of, moment_of
from remanence.runtime.engine import Engine
from remanence.runtime.messages import Message, parse_message, parse_messages, read_time
from remanence.runtime.origins import echo_meta, origin_of, trust_of
from remanence.runtime.results import AddResult, AddRow, ManyResult, milliseconds
from remanence.substrates.records.model import Draft, Source, check_draft
from remanence.substrates.records.operations import Outcome, Put, Written

__all__ = ["KEYS", "Common", "Progress", "add", "add_many", "derive", "drafts_of", "item_check"]

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and how much there is in all or None if that is unknown."""

_MOST: Final = 100_000
_COMMON: Final = ("metadata", "kind", "valid_from", "valid_to", "language")
KEYS: Final = frozenset(("role", "content", "name", "timestamp", "messages", *_COMMON)) | SCOPE_KEYS
"""What an item of `add_many` may have."""
# What OpenAI's messages carry besides; none of it is something that was said.
_PASSED_OVER: Final = frozenset(("tool_calls", "tool_call_id", "function_call", "refusal", "annotations", "audio"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What a call says of all its messages; a message's own word goes before it."""

    metadata: Mapping[str, Any] | None = None
    timestamp: Time | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None
    kind: str = "turn"
    speaker: str | None = None
    role: str = "user"
    language: str | None = None
    origin: str | None = None
    trust: float | None = None
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        for name in ("kind", "role"):
            if not isinstance(getattr(self, name), str):
                raise InvalidInput(f"{name}={getattr(self, name)!r} must be a string")
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise InvalidInput(f"metadata must be a mapping, not {type(self.metadata).__name__}")

    def draft(self, engine: Engine, message: Message, scope: Scope) -> Draft:
        """A message as a draft, still without what follows from its text."""
        at, zone = message.at, message.zone
        if at is None and self.timestamp is not None:
            at, zone = read_time(self.timestamp)
        origin = self.origin or origin_of(message.role, self.kind)
        return Draft(
            text=message.text,
            kind=self.kind,
            scope=scope,
            event_at=at,
            zone=zone,
            valid_from=moment_of(self.valid_from),
            valid_to=moment_of(self.valid_to),
            speaker=message.speaker or self.speaker,
            role=message.role,
            language=self.language,
            sources=self.sources,
            meta={**(self.metadata or {}), **echo_meta(engine.handed_out, scope, message)},
            origin=origin,
            trust=trust_of(message.role, origin) if self.trust is None else self.trust,
        )


def derive(engine: Engine, drafts: Sequence[Draft], scope: Scope) -> tuple[list[Draft], list[str]]:
    """Drafts with token streams and vectors, and what did not work.

    A failing embedder costs the vectors and nothing else: words are kept in any case.
    """
    recall = engine.recall(scope)
    try:
        return recall.derive(drafts), []
    except EmbeddingError as error:
        streams = recall.analyse([draft.text for draft in drafts])
        found = [replace(draft, terms=terms) for draft, terms in zip(drafts, streams, strict=True)]
        return found, [f"stored without vectors, the next search or flush() attaches them: {error}"]


def add(engine: Engine, messages: object, scope: Scope, common: Common) -> AddResult:
    """Store messages in one transaction. See `Memory.add`."""
    started = time.perf_counter()
    parsed = parse_messages(messages, role=common.role)
    drafts = []
    for where, raw, message in _listed(messages, parsed):
        if message.reason is None:
            drafts.append(_own(raw, common, where).draft(engine, message, _within(raw, scope, where)))
    drafts, degraded = derive(engine, drafts, scope)
    outcome = _put(engine, drafts, scope, wide=True) if drafts else None
    written = iter(() if outcome is None else outcome.results)
    result: AddResult = {
        "results": [_row(message, None if message.reason else next(written)) for message in parsed],
        "change": None if outcome is None else outcome.change,
        "usage": {"ms": milliseconds(started)},
    }
    if degraded:
        result["degraded"] = degraded
    return result


def _listed(messages: Any, parsed: Sequence[Message]) -> Iterator[tuple[str, object, Message]]:
    """Messages as they were given and as they were read, each with what goes before its errors."""
    if isinstance(messages, str | Mapping):
        yield "", messages, parsed[0]
        return
    for at, (raw, message) in enumerate(zip(messages, parsed, strict=True)):
        yield f"message {at}: ", raw, message


def _own(message: object, common: Common, where: str) -> Common:
    """What holds for one message of a call: its own word, and where it has none, the call's."""
    own = {key: message[key] for key in _COMMON if message.get(key) is not None} if isinstance(message, Mapping) else {}
    if not own:
        return common
    if isinstance(own.get("metadata"), Mapping):
        own["metadata"] = {**(common.metadata or {}), **own["metadata"]}
    try:
        return replace(common, **own)
    except InvalidInput as error:
        raise InvalidInput(f"{where}{error}") from error


def _within(message: object, scope: Scope, where: str) -> Scope:
    """The scope of one message of a call, which may be narrower than the call's. Raises `InvalidInput`."""
    if not isinstance(message, Mapping) or message.keys().isdisjoint(SCOPE_KEYS):
        return scope
    named = ids_of({key: message[key] for key in SCOPE_KEYS if key in message})
    for name, value in scope.items():
        if named.setdefault(name, value) != value:
            raise InvalidInput(f"{where}{name}={named[name]!r} contradicts {name}={value!r} of the call")
    return Scope(**named)


def _put(engine: Engine, drafts: Sequence[Draft], scope: Scope, *, wide: bool = False) -> Outcome:
    puts = [Put(draft) for draft in drafts]
    outcome = engine.write([*puts, *outbox.note(engine, drafts, scope)], scope, wide=wide)
    engine.note_unembedded(draft.scope or scope for draft in drafts if draft.vector is None)
    return outcome


def _row(message: Message, written: Written | None) -> AddRow:
    if written is None:
        return {"memory": message.text, "event": "NONE", "reason": message.reason or ""}
    return {
        "id": written.id, "memory": message.text, "event": "ADD", "version": written.version, "searchable": True
    }  # fmt: skip


def add_many(
    engine: Engine,
    items: Iterable[object],
    ids: Mapping[str, object],
    common: Common,
    *,
    batch_size: object,
    progress: Progress | None,
) -> ManyResult:
    """Store a stream of messages, `batch_size` at a time. See `Memory.add_many`."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= _MOST:
        raise InvalidInput(f"batch_size={batch_size!r} must be a whole number from 1 to {_MOST:,}")
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise InvalidInput(f"add_many() takes an iterable of messages, not {type(items).__name__}; use add() for one")
    started = time.perf_counter()
    total = len(items) if isinstance(items, Sequence) else None
    stream = _Stream(engine, ids, common)
    read = 0
    try:
        for item in items:
            stream.waiting.extend(stream.read(read, item))
            read += 1
            if len(stream.waiting) >= batch_size:
                stream.commit()
                if progress is not None:
                    progress(read, total)
        stream.commit()
    except RemanenceError as error:
        raise type(error)(f"item {read}: {error} ({stream.count:,} messages before it are stored)") from error
    if progress is not None:
        progress(read, total)
    return stream.result(milliseconds(started))


def item_check(engine: Engine, ids: Mapping[str, object]) -> Callable[[object], None]:
    """A function that raises the `InvalidInput` that `add_many` would raise for an item, and stores nothing."""
    stream = _Stream(engine, ids, Common())

    def check(item: object) -> None:
        for placed in stream.read(0, item):
            check_draft(placed.draft)
        stream.forget()

    return check


def drafts_of(
    engine: Engine, ids: Mapping[str, object], common: Common
) -> Callable[[object], tuple[list[Draft], list[str]]]:
    """A function from an item to its drafts, each with its scope, and the reasons why others are not to be stored.

    Errors as `item_check`.
    """
    stream = _Stream(engine, ids, common)

    def read(item: object) -> tuple[list[Draft], list[str]]:
        drafts = [placed.draft for placed in stream.read(0, item)]
        reasons = stream.reasons()
        stream.forget()
        return drafts, reasons

    return read


@dataclass(frozen=True, slots=True)
class _Placed:
    """A draft of a stream and its place in the list of ids."""

    at: int
    scope: Scope
    draft: Draft


class _Stream:
    """How far one `add_many` has come."""

    def __init__(self, engine: Engine, ids: Mapping[str, object], common: Common) -> None:
        self.waiting: list[_Placed] = []
        self.count = 0
        self._engine = engine
        self._given = ids_of(ids)
        self._common = common
        self._ids: list[str | None] = []
        self._skipped: list[dict[str, Any]] = []
        self._changes: list[str] = []
        self._degraded: dict[str, None] = {}
        self._scopes: dict[tuple[tuple[str, object], ...], Scope] = {}

    def read(self, at: int, item: object) -> Iterator[_Placed]:
        """The drafts of one item; what is not to be stored is noted."""
        common, scope, messages = self._open(item)
        for message in messages:
            self._ids.append(None)
            if message.reason is None:
                yield _Placed(len(self._ids) - 1, scope, common.draft(self._engine, message, scope))
            else:
                self._skipped.append({"item": at, "reason": message.reason})

    def commit(self) -> None:
        """Store what waits: one transaction for all that can share one."""
        waiting, self.waiting = self.waiting, []
        groups: dict[tuple[str, str], list[_Placed]] = {}
        for placed in waiting:
            groups.setdefault(next(placed.scope.items()), []).append(placed)
        for (name, value), group in groups.items():
            scope = Scope(**{name: value})
            drafts, degraded = derive(self._engine, [placed.draft for placed in group], scope)
            outcome = _put(self._engine, drafts, scope)
            for placed, written in zip(group, outcome.results[: len(group)], strict=True):
                self._ids[placed.at] = written.id
            self.count += len(group)
            self._changes.append(str(outcome.change))
            self._degraded.update(dict.fromkeys(degraded))

    def forget(self) -> None:
        """Begin anew, with nothing waiting or noted."""
        self._ids, self._skipped, self.waiting = [], [], []

    def reasons(self) -> list[str]:
        """Why messages were passed over."""
        return [str(row["reason"]) for row in self._skipped]

    def result(self, ms: float) -> ManyResult:
        """What was done."""
        found: ManyResult = {
            "ids": self._ids,
            "count": self.count,
            "skipped": self._skipped,
            "changes": self._changes,
            "usage": {"ms": ms},
        }
        if self._degraded:
            found["degraded"] = list(self._degraded)
        return found

    def _open(self, item: object) -> tuple[Common, Scope, list[Message]]:
        common = self._common
        if not isinstance(item, Mapping):
            return common, self._scope(()), [parse_message(item, role=common.role)]
        for key in item:
            if key not in KEYS and key not in _PASSED_OVER:
                raise InvalidInput(f"unknown key {key!r}; known are {', '.join(sorted(KEYS))}; the rest is 'metadata'")
        own = {key: item[key] for key in _COMMON if item.get(key) is not None}
        if "messages" in item:
            if "content" in item:
                raise InvalidInput("an item has either 'content' or 'messages', not both")
            own.update({"timestamp": item["timestamp"]} if item.get("timestamp") is not None else {})
        common = replace(common, **own) if own else common
        scope = self._scope(tuple((key, value) for key, value in item.items() if key in SCOPE_KEYS))
        if "messages" in item:
            return common, scope, parse_messages(item["messages"], role=common.role)
        return common, scope, [parse_message(item, role=common.role)]

    def _scope(self, own: tuple[tuple[str, object], ...]) -> Scope:
        scope = self._scopes.get(own)
        if scope is None:
            named = ids_of(dict(own))
            for name, value in self._given.items():
                if named.setdefault(name, value) != value:
                    raise InvalidInput(f"the item's {name}={named[name]!r} contradicts {name}={value!r} of the call")
            scope = self._scopes[own] = Scope(**{**self._engine.defaults, **named})
        return scope
