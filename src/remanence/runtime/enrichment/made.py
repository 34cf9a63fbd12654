"""For handlers that make whole records anew: what stands now, and the writes that lead from it to what should."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.enrichment.following import Follower, Followers
from remanence.runtime.enrichment.handler import Batch, newest_versions, speaks
from remanence.substrates.records.model import DERIVED, Draft, Record, View
from remanence.substrates.records.operations import Close, Erase, Find, Put, Revise, WriteOperation

__all__ = ["Made", "Shelf", "rewrite", "standing", "turns_from"]

_PAGE: Final = 256


@dataclass(frozen=True, slots=True)
class Made:
    """A derived record as it stands, or will stand once the job is written."""

    id: str
    version: int
    scope: Scope
    draft: Draft
    closed: bool = False
    """Whether a user has closed it; then it is not made again."""


class Shelf(Follower):
    """The derived records of a home scope, by kind and handler; a kind is kept from when somebody asks for it."""

    def __init__(self, engine: Engine, home: Scope) -> None:
        super().__init__(engine, home)
        self._kinds: dict[str, None] = {}
        self.clear()

    def kinds(self) -> tuple[str, ...]:
        """What was asked for so far."""
        return tuple(self._kinds)

    def clear(self) -> None:
        """Keep nothing."""
        self._made: dict[tuple[str, str], dict[Scope, dict[str, Made]]] = {}
        self._places: dict[str, dict[str, Made]] = {}

    def take(self, records: Sequence[Record]) -> None:
        """Keep these in place of what they were."""
        for record in records:
            place = self._places.pop(record.id, None)
            if place is not None:
                del place[record.id]
            if record.derived and record.kind in self._kinds:
                kept = self._made.setdefault((record.kind, str(record.origin)), {}).setdefault(record.scope, {})
                kept[record.id] = _made(record)
                self._places[record.id] = kept

    def made(self, kind: str, origin: str, scope: Scope | None) -> dict[str, Made]:
        """Records of one origin, in the home scope or in `scope` alone, by id."""
        if kind not in self._kinds:
            self._kinds[kind] = None
            self.read(kind)
        by_scope = self._made.get((kind, origin), {})
        some = by_scope.values() if scope is None else [by_scope.get(scope, {})]
        return dict(sorted(pair for kept in some for pair in kept.items()))


_SHELVES: Final = Followers(Shelf)


def standing(batch: Batch, kind: str, maker: str, scope: Scope | None = None) -> list[Made]:
    """Records of a kind that handler `maker` has made in the home scope, or in `scope` alone, over or not, by id; with
    what is planned.
    """
    origin = f"{DERIVED}{maker}"
    made = _SHELVES.of(batch.engine, batch.home).made(kind, origin, scope)
    for operation in batch.planned:
        if isinstance(operation, Put) and operation.draft.kind == kind and operation.draft.origin == origin:
            draft = operation.draft
            if draft.id is not None and (scope is None or draft.scope == scope):
                made[draft.id] = Made(draft.id, 1, draft.scope or batch.scope, draft)
        elif isinstance(operation, Revise) and operation.id in made:
            old = made[operation.id]
            made[operation.id] = Made(old.id, old.version + 1, old.scope, operation.draft)
        elif isinstance(operation, Close):
            made.pop(operation.id, None)
        elif isinstance(operation, Erase):
            for gone in operation.ids or ():
                made.pop(gone, None)
    return list(made.values())


def rewrite(
    batch: Batch,
    existing: Mapping[str, Made],
    wanted: Mapping[str, Draft],
    *,
    drop: Iterable[str] = (),
    spoilt: Collection[str] = (),
) -> list[WriteOperation]:
    """The writes after which the records under the keys of `wanted` have that content; equal ones are left alone.

    `drop` are keys of existing records that are not wanted. Records that rest on `spoilt` ids (turns that are closed or
    erased) are made anew under another id, since a revision would keep their words in its history.
    """
    operations: list[WriteOperation] = []
    for key in drop:
        made = existing[key]
        if not made.closed:
            operations.append(Erase((made.id,), reason="no longer derived"))
    for key, draft in wanted.items():
        old = existing.get(key)
        if old is None:
            operations.append(Put(draft))
        elif old.closed or _same(old.draft, draft):
            continue
        elif any(source.id in spoilt for source in old.draft.sources):
            operations += [Erase((old.id,), reason="made anew"), Put(draft)]
        else:
            operations.append(Revise(old.id, draft, expected_version=old.version))
    return operations


def turns_from(batch: Batch, first: str | None, context: int) -> tuple[list[Record], list[Record]]:
    """Up to `context` turns of the leaf scope before turn `first`, and it with all that follow; by id.

    `first` None: all turns, and no context.
    """
    earlier: list[Record] = []
    after = first
    while first is not None and len(earlier) < context:
        page = _page(batch, after, newest_first=True)
        earlier += [record for record in page if _is_turn(batch, record)]
        if len(page) < _PAGE:
            break
        after = page[-1].id
    later: list[Record] = []
    after = None
    if first is not None:
        later = [record for record in _get(batch, first) if _is_turn(batch, record)]
        after = first
    while True:
        page = _page(batch, after, newest_first=False)
        later += [record for record in page if _is_turn(batch, record)]
        if len(page) < _PAGE:
            return earlier[:context][::-1], later
        after = page[-1].id


def _page(batch: Batch, after: str | None, *, newest_first: bool) -> Sequence[Record]:
    asked = Find(View(batch.now), kinds=("turn",), limit=_PAGE, after=after, newest_first=newest_first, closed=True)
    page: Sequence[Record] = batch.engine.read([asked], batch.scope)[0]
    return page


def _get(batch: Batch, id: str) -> list[Record]:
    return newest_versions(batch.engine, [id], batch.scope)


def _is_turn(batch: Batch, record: Record) -> bool:
    return record.scope == batch.scope and record.kind == "turn" and speaks(record)


def _made(record: Record) -> Made:
    draft = Draft(
        text=record.text,
        kind=record.kind,
        scope=record.scope,
        event_at=record.event_at,
        valid_from=record.valid_from,
        valid_to=record.valid_to,
        sources=record.sources,
        meta=record.meta,
        origin=record.origin,
        trust=record.trust,
    )
    return Made(record.id, record.version, record.scope, draft, record.closed_at is not None)


def _same(one: Draft, other: Draft) -> bool:
    def content(draft: Draft) -> tuple[Any, ...]:
        began = draft.valid_from or draft.event_at
        return draft.text, draft.event_at, began, draft.valid_to, draft.sources, dict(draft.meta), draft.trust

    return content(one) == content(other)
