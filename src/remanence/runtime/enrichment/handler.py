"""What a handler of enrichment is, and what it is given to work on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Protocol

from remanence.core.ids import UlidFactory
from remanence.core.scope import Scope
from remanence.runtime.engine import Engine
from remanence.runtime.maintenance import histories
from remanence.substrates.records.model import DERIVED, Draft, Record, Source, View
from remanence.substrates.records.operations import Find, Get, Operation, WriteOperation

__all__ = ["Batch", "Handler", "Later", "Refined", "around", "home_of", "newest_versions", "speaks"]

_PAGE: Final = 32


class Handler(Protocol):
    """Works something out from turns, by arithmetic alone; an object of it is the `HANDLER` of its module.

    What `derive` returns is written in one transaction with what the other handlers return and with the end of the job,
    so it happens once or not at all. It must be a function of what is stored, whatever the number of turns per job and
    the order of jobs: working on the same turns again must return nothing that changes anything. Revisions should name
    their `expected_version`; whoever was faster makes the job run anew.
    """

    name: ClassVar[str]
    """A word; the origin of its records is `derived:<name>`."""
    after: ClassVar[tuple[str, ...]]
    """Names of handlers whose results it reads; within a job they run before it, and their writes are not yet stored:
    `Batch.planned` has them."""

    def derive(self, batch: Batch) -> list[WriteOperation]:
        """The writes that bring what is derived up to date with the batch. Reads through the batch only."""
        ...


@dataclass(frozen=True, slots=True)
class Refined:
    """What a later job has worked out; `more` says that it should be asked again, which is then a new job."""

    operations: Sequence[WriteOperation]
    more: bool = False


class Later(Protocol):
    """Costly work that follows an "enrich" job with new turns as a job of its own, of kind `enrich:<name>`.

    All turns of a leaf scope share one waiting job, which finds for itself what there is to do.
    """

    name: ClassVar[str]
    pause: ClassVar[timedelta]
    """How long to collect turns."""

    def wanted(self, engine: Engine) -> bool:
        """Whether this engine can do it. Nothing is enqueued, and no job is taken, by one that cannot."""
        ...

    def refine(self, batch: Batch) -> Refined:
        """As `Handler.derive`. Errors `LLMUnavailable` and `BudgetExceeded` put the job off for any number of times."""
        ...


@dataclass(slots=True)
class Batch:
    """Turns of one leaf scope that were added or changed, and what a handler may ask about them."""

    engine: Engine
    scope: Scope
    """Leaf scope: that of every turn."""
    home: Scope
    """Within which claims about one thing meet: the leaf scope without its run."""
    turns: Sequence[Record]
    """Newest versions of raw records of any kind, by id: what was added or changed, and what follows a change."""
    gone: Sequence[str]
    """Ids of raw records that were closed or erased, have expired or are in quarantine; nothing may rest on them."""
    changed: Sequence[str]
    """Ids of derived records that others than the worker changed, or that lost a source to an erasure."""
    now: datetime
    handler: str = ""
    """Who is at work."""
    planned: list[WriteOperation] = field(default_factory=list)
    """What earlier handlers of this job return, and what is written together with it."""
    _known: dict[str, Record] = field(default_factory=dict)
    _ids: UlidFactory | None = None

    def __post_init__(self) -> None:
        self.admit(self.turns)

    def admit(self, turns: Iterable[Record]) -> None:
        """Set `turns`, oldest first."""
        self.turns = tuple(turns)
        self._known.update({turn.id: turn for turn in self.turns})

    def read(self, operations: Sequence[Operation]) -> tuple[Any, ...]:
        """Answers to reading operations within the home scope, from one moment of the store.

        `Find` leaves out records of other homes that the scope covers (those of an agent of the same user), so a page
        may be shorter than its limit.
        """
        results = list(self.engine.read(operations, self.home))
        for place, operation in enumerate(operations):
            if isinstance(operation, Find):
                results[place] = tuple(record for record in results[place] if home_of(record.scope) == self.home)
                self._known.update({record.id: record for record in results[place]})
        return tuple(results)

    def before(self, record: Record, n: int) -> Sequence[Record]:
        """Up to `n` raw records that precede `record` in its leaf scope, oldest first, as far as they count."""
        return around(self.engine, record, n, newest_first=True)[::-1]

    def following(self, record: Record, n: int) -> Sequence[Record]:
        """Up to `n` raw records that follow `record` in its leaf scope, oldest first, as far as they count."""
        return around(self.engine, record, n, newest_first=False)

    def draft(
        self,
        text: str,
        *,
        kind: str,
        sources: Iterable[Source],
        scope: Scope | None = None,
        event_at: datetime | None = None,
        zone: str | None = None,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        meta: Mapping[str, Any] | None = None,
        language: str | None = None,
        trust: float | None = None,
        **others: Any,
    ) -> Draft:
        """A draft of a derived record: origin of the handler at work, scope of the batch if none is given, and as much
        trust as the least trusted of its sources. Terms and vector are attached to all drafts of a job at once.
        """
        spans = tuple(sources)
        return Draft(
            text=text,
            kind=kind,
            scope=scope or self.scope,
            event_at=event_at,
            zone=zone,
            valid_from=valid_from,
            valid_to=valid_to,
            language=language,
            sources=spans,
            meta={} if meta is None else meta,
            origin=f"{DERIVED}{self.handler}",
            trust=self.trust([source.id for source in spans]) if trust is None else trust,
            **others,
        )

    def new_id(self) -> str:
        """An id for a record that others of this batch refer to."""
        if self._ids is None:
            self._ids = UlidFactory(self.engine.now)
        return self._ids()

    def trust(self, ids: Iterable[str]) -> float:
        """The least trust among records; 1 where there are none."""
        wanted = dict.fromkeys(ids)
        missing = [id for id in wanted if id not in self._known]
        if missing:
            self._known.update({record.id: record for record in newest_versions(self.engine, missing, self.home)})
        return min((self._known[id].trust for id in wanted if id in self._known), default=1.0)


def around(engine: Engine, record: Record, n: int, *, newest_first: bool) -> list[Record]:
    """Up to `n` raw records behind `record` in its leaf scope, or before it (`newest_first`), nearest first."""
    found: list[Record] = []
    after = record.id
    while len(found) < n:
        # Also what is over by now: what stood before a turn must not depend on when one looks.
        asked = Find(View(engine.now()), limit=_PAGE, after=after, newest_first=newest_first, closed=True)
        page: tuple[Record, ...]
        (page,) = engine.read([asked], record.scope)
        found += [other for other in page if other.scope == record.scope and speaks(other)]
        if len(page) < _PAGE:
            break
        after = page[-1].id
    return found[:n]


def home_of(scope: Scope) -> Scope:
    """A leaf scope without its run, unless the run is all it has."""
    if scope.run_id is None or (scope.app_id, scope.user_id, scope.agent_id) == (None, None, None):
        return scope
    return Scope(app_id=scope.app_id, user_id=scope.user_id, agent_id=scope.agent_id)


def newest_versions(engine: Engine, ids: Sequence[str], scope: Scope) -> list[Record]:
    """The newest version of each record, open or closed; those that are erased, or not in the scope, are left out."""
    if not ids:
        return []
    (shown,) = engine.read([Get(tuple(ids), View(engine.now()))], scope)
    found = {record.id: record for record in shown if record is not None and record.closed_at is None}
    rest = [id for id in ids if id not in found]
    if rest:
        found.update({versions[-1].id: versions[-1] for versions in histories(engine, rest, scope)})
    return [found[id] for id in ids if id in found]


def speaks(record: Record) -> bool:
    """Whether the newest version of a record is something to derive from: raw, not closed, expired or in quarantine."""
    return record.closed_at is None and not record.derived and record.trust > 0 and record.state != "expired"
