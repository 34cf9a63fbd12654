"""What a record is: text with two time axes, provenance, versions and usage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from remanence.core.clock import to_micros
from remanence.core.errors import InvalidInput, InvalidTime
from remanence.core.scope import Scope

State = Literal["generated", "activated", "merged", "archived", "expired", "frozen"]
STATES: tuple[str, ...] = get_args(State)

DERIVED = "derived:"
"""What the origin of derived records begins with; the name of the handler follows."""
DERIVED_KINDS: frozenset[str] = frozenset(
    {"fact", "entity", "episode", "summary", "instruction", "note", "conclusion", "reading"}
)
"""Kinds that workers give to what they derive; users may give them to their own memories too."""
AWAY: frozenset[str] = frozenset({"merged", "archived", "expired"})
"""States of what is put away."""

MAX_TEXT = 8 * 1024 * 1024
"""Characters per record. A longer document belongs into several records."""
MAX_META = 1024 * 1024
"""Bytes of JSON per record."""


class Source(NamedTuple):
    """A span of raw text that a derived record rests on: characters `start:end` of record `id`."""

    id: str
    start: int
    end: int


class Edge(NamedTuple):
    """A typed, weighted link between two records."""

    source: str
    target: str
    type: str
    weight: float = 1.0


class Vector(NamedTuple):
    """An embedding in one space: int8 components times `scale`. `space` is `EmbeddingSpace.key`."""

    space: str
    data: bytes
    scale: float


@dataclass(frozen=True, slots=True)
class Draft:
    """What a caller wants remembered; the store adds id, version and system time.

    `scope` None means the scope of the batch. `event_at` None means the time of recording; `valid_from` None means
    `event_at`. `id` is given only when a record moves in from elsewhere with its identity; it must be new.
    `terms` is the analysed token stream (what lexical search ranks by), `zone` the caller's time zone for display.
    `origin` says where the text comes from ("user", "tool", "import:chatgpt", "derived:facts"), `trust` how far it may
    be believed: 1 is the word of whom the memory belongs to, 0 is quarantine (kept, and found only when asked for).
    """

    text: str
    kind: str = "turn"
    scope: Scope | None = None
    event_at: datetime | None = None
    zone: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    speaker: str | None = None
    role: str | None = None
    language: str | None = None
    sources: tuple[Source, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    terms: tuple[str, ...] = ()
    vector: Vector | None = None
    state: State = "generated"
    id: str | None = None
    origin: str | None = None
    trust: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One version of one memory, as a store returns it. All times are aware UTC."""

    id: str
    version: int
    kind: str
    text: str
    scope: Scope
    event_at: datetime
    zone: str | None
    valid_from: datetime
    valid_to: datetime | None
    """End of validity that was known when the version was written."""
    recorded_at: datetime
    closed_at: datetime | None
    """System time at which this version was superseded or deleted; None while it is believed."""
    ended_at: datetime | None
    """Event time from which the closing took effect; `valid_from` when the version was retracted altogether."""
    speaker: str | None
    role: str | None
    language: str | None
    sources: tuple[Source, ...]
    meta: Mapping[str, Any]
    terms: tuple[str, ...]
    state: State
    hits: int = 0
    last_hit: datetime | None = None
    strength: float = 1.0
    utility: float = 0.0
    origin: str | None = None
    trust: float = 1.0

    @property
    def derived(self) -> bool:
        """Whether a worker made it from other records, so that it can be dropped and made again."""
        return is_derived(self.origin)

    @property
    def hidden(self) -> bool:
        """Whether it is put away: found only when asked for by its state or trust."""
        return is_hidden(self.state, self.trust)


def is_derived(origin: str | None) -> bool:
    """Whether an origin is that of something worked out from other records."""
    return origin is not None and origin.startswith(DERIVED)


def is_hidden(state: str, trust: float) -> bool:
    """Whether a record of this state and trust is left out of what search finds by default."""
    return state in AWAY or trust <= 0


@dataclass(frozen=True, slots=True)
class View:
    """Which versions are visible: what is true `now`, what was true `as_of`, as the store `known_at` saw it.

    A version is visible when it was recorded by `known_at`, and its validity covers the event time:

    - default (`as_of` None): its validity has not ended by `now`, or by its start if that lies ahead. A start in the
      future does not hide it, so that what was just added is found even when its date is yet to come;
    - `as_of`: `valid_from <= as_of` and its validity has not ended by `as_of`.

    Validity ends at `valid_to`, or at `ended_at` once the closing is known (`closed_at <= known_at`).
    """

    now: datetime
    as_of: datetime | None = None
    known_at: datetime | None = None

    def micros(self) -> tuple[int, int | None, int | None]:
        """`(now, as_of, known_at)` in microseconds since 1970."""
        return (
            to_micros(self.now),
            None if self.as_of is None else to_micros(self.as_of),
            None if self.known_at is None else to_micros(self.known_at),
        )

    def shows(self, record: Record) -> bool:
        """Whether this version is visible; the readable form of the rule that stores and indexes apply to columns."""
        if self.known_at is not None and record.recorded_at > self.known_at:
            return False
        moment = max(self.now, record.valid_from) if self.as_of is None else self.as_of
        if self.as_of is not None and record.valid_from > moment:
            return False
        if record.valid_to is not None and record.valid_to <= moment:
            return False
        closing_known = record.closed_at is not None and (self.known_at is None or record.closed_at <= self.known_at)
        return not (closing_known and record.ended_at is not None and record.ended_at <= moment)


def check_draft(draft: Draft) -> str:
    """Validate a draft before anything is written, and return its `meta` as canonical JSON.

    Raises `InvalidInput` naming the field and the fix.
    """
    if not isinstance(draft.text, str):
        raise InvalidInput(f"text must be a string, not {type(draft.text).__name__}")
    if not draft.text:
        raise InvalidInput("text is empty; there is nothing to remember")
    if len(draft.text) > MAX_TEXT:
        raise InvalidInput(f"text has {len(draft.text):,} characters; the limit is {MAX_TEXT:,}, split it")
    if not draft.kind or not draft.kind.replace("_", "").isalnum():
        raise InvalidInput(f"kind {draft.kind!r} must be a word such as 'turn' or 'fact'")
    if draft.state not in STATES:
        raise InvalidInput(f"state {draft.state!r} is none of {', '.join(STATES)}")
    for name in ("event_at", "valid_from", "valid_to"):
        moment = getattr(draft, name)
        if moment is not None:
            try:
                to_micros(moment)
            except OverflowError as error:
                raise InvalidTime(f"{name} {moment.isoformat()} lies outside the years 1 to 9999 in UTC") from error
    if draft.valid_from is not None and draft.valid_to is not None and draft.valid_to <= draft.valid_from:
        raise InvalidInput(f"valid_to {draft.valid_to} is not after valid_from {draft.valid_from}")
    for source in draft.sources:
        if not 0 <= source.start <= source.end:
            raise InvalidInput(f"source span {source.start}:{source.end} of {source.id} is not a span of text")
    trust: object = draft.trust
    if isinstance(trust, bool) or not isinstance(trust, int | float) or not 0 <= trust <= 1:
        raise InvalidInput(f"trust {trust!r} must be a number from 0 (quarantine) to 1")
    for name in ("speaker", "role", "language", "zone", "origin"):
        value = getattr(draft, name)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{name} must be a string, not {type(value).__name__} {value!r}")
    return meta_json(draft.meta)


def meta_json(meta: Mapping[str, Any], what: str = "metadata", limit: int = MAX_META) -> str:
    """Canonical JSON of metadata. NaN, infinities, non-string keys and foreign types are refused by name."""
    if not isinstance(meta, Mapping):
        raise InvalidInput(f"{what} must be a mapping, not {type(meta).__name__}")
    if not meta:
        return "{}"
    for key in meta:
        if not isinstance(key, str):
            raise InvalidInput(f"{what} key {key!r} must be a string")
    try:
        text = json.dumps(dict(meta), allow_nan=False, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{what} cannot be kept as JSON: {error}; use strings, finite numbers, lists and objects"
        ) from error
    if len(text) > limit:
        raise InvalidInput(f"{what} takes {len(text):,} bytes of JSON; the limit is {limit:,}")
    return text
