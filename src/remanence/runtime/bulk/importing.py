"""Importing a file in parts: terms and vectors are made wherever there is room, and written in the order of the file.

The file is read twice. The first time everything is checked, so that a bad line means that nothing is stored, and the
parts are planned: up to so many messages each of what one transaction can hold. The second time the parts that are
left are made and written. A part is known by its place in the file and by a hash of its messages.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from remanence.core.errors import ImportFormatError, InvalidInput, SpreadError
from remanence.core.scope import Scope
from remanence.runtime import outbox
from remanence.runtime.adding import Common, Progress, drafts_of
from remanence.runtime.bulk import ledger
from remanence.runtime.bulk.ledger import Run
from remanence.runtime.bulk.spread import Spread
from remanence.runtime.bulk.tools import Made, Recipe, tools_of
from remanence.runtime.engine import Engine
from remanence.runtime.files import TextFile, opened
from remanence.runtime.importers import FORMATS, SHOWN, Bad, reader_of, recognise
from remanence.runtime.origins import IMPORT
from remanence.substrates.records.model import Draft, check_draft
from remanence.substrates.records.operations import Job, Operation, Put

__all__ = ["import_file"]

_WHOLE = frozenset(("remanence", "cube", "mcp"))


@dataclass(frozen=True, slots=True)
class _Part:
    """Messages that are written together. `numbers` are their lines, or their places, in the file."""

    run: Run
    job: Job
    drafts: tuple[Draft, ...]
    numbers: tuple[int, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """The messages that are still to be written: all, or those that failed before."""
        return tuple(self.job.payload.get("only") or range(len(self.drafts)))


@dataclass(frozen=True, slots=True)
class _Made:
    """A part whose messages have their terms and vectors, but for those refused."""

    part: _Part
    drafts: tuple[Draft, ...]
    refused: Mapping[int, str]
    bare: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Wrote:
    """What became of a part. `job`: where that was ended before, by somebody else or without our being told."""

    count: int
    change: str | None
    bare: int = 0
    job: tuple[Run, Job] | None = None


@dataclass(slots=True)
class _Plan:
    """The parts of one place, as the first reading counts them."""

    size: int
    count: int = 0
    parts: list[dict[str, Any]] = field(default_factory=list)
    _digest: Any = None

    def add(self, draft: Draft) -> None:
        """One more message."""
        if self.count % self.size == 0:
            self._digest = hashlib.sha256()
            self.parts.append({})
        self.count += 1
        self._digest.update(_identity(draft))
        self.parts[-1] = {"count": (self.count - 1) % self.size + 1, "sha": self._digest.hexdigest()[:16]}


def import_file(
    engine: Engine,
    spread: Spread,
    recipe: Recipe,
    source: TextFile,
    ids: Mapping[str, object],
    *,
    format: str,
    skip_bad: bool,
    size: int,
    again: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """See `Bulk.import_`."""
    if format not in FORMATS:
        raise InvalidInput(f"format {format!r} is none of {', '.join(FORMATS)}")
    with opened(source) as (stream, name):
        found = recognise(stream, name) if format == "auto" else format
        if found in _WHOLE:
            raise InvalidInput(
                f"{name} is of the format {found!r}, which is stored by one process, since its memories keep their ids "
                "and know each other; use Memory.import_, or `remanence import` without --ray"
            )
        bad = Bad(name, skip_bad)
        task = _Import(engine, spread, recipe, stream, found, ids, bad, size)
        task.plan(again)
        return {"format": found, **task.carry_out(progress), "bad": bad.count, "bad_lines": bad.shown}


class _Import:
    def __init__(
        self,
        engine: Engine,
        spread: Spread,
        recipe: Recipe,
        stream: BinaryIO,
        format: str,
        ids: Mapping[str, object],
        bad: Bad,
        size: int,
    ) -> None:
        self._engine = engine
        self._spread = spread
        self._recipe = recipe
        self._stream = stream
        self._format = format
        self._ids = ids
        self._bad = bad
        self._size = size
        self._reader = reader_of(format)
        self._given = {**engine.defaults, **ids}
        self._refused: set[int] = set()
        self._skipped: list[dict[str, Any]] = []
        self._runs: dict[Scope, Run] = {}
        self._left: dict[Scope, dict[int, Job]] = {}
        self._total = self._known = 0
        self._since = engine.store.position()

    def plan(self, again: bool) -> None:
        """Check everything, then write down what there is to do, or find what is left of it."""
        run = self._name()
        plans: dict[Scope, _Plan] = {}
        for draft, _ in self._read(first=True):
            plans.setdefault(_place(draft), _Plan(self._size)).add(draft)
        for place, plan in plans.items():
            about = {"format": self._format, "messages": plan.count, "size": self._size}
            known = ledger.begin(self._engine, place, run, about, plan.parts, again=again)
            if known.plan["messages"] != plan.count:
                raise ImportFormatError(
                    f"{self._bad.name} has {plan.count:,} messages of {place}, and had {known.plan['messages']:,} when "
                    "its import was begun: it is read in another way now; erase what was imported, or pass again=True"
                )
            self._runs[place] = known
            self._left[place] = ledger.left(self._engine, known)
            waiting = sum(map(_left_of, self._left[place].values()))
            self._total += waiting
            self._known += plan.count - waiting

    def carry_out(self, progress: Progress | None) -> dict[str, Any]:
        """Make and write all parts that are left."""
        count = bare = 0
        changes: list[str] = []
        again: dict[Scope, list[tuple[Run, Job]]] = {}
        for wrote in self._written(self._parts()):
            count += wrote.count
            bare += wrote.bare
            changes += [] if wrote.change is None else [wrote.change]
            if wrote.job is not None:
                again.setdefault(wrote.job[0].place, []).append(wrote.job)
            if progress is not None:
                progress(self._known + count, self._known + self._total)
        for parts in again.values():
            run = parts[0][0]
            for change, entries in ledger.written(self._engine, run, [job for _, job in parts], self._since).items():
                count += sum(entry.op == "put" for entry in entries)
                changes.append(change)
        failed: list[dict[str, Any]] = [
            {"lines": list(job.payload["lines"]), "count": _left_of(job), "reason": job.error}
            for run in self._runs.values()
            for job in ledger.failures(self._engine, run)
        ]
        missing = sum(row["count"] for row in failed)
        result: dict[str, Any] = {
            "imported": count,
            "before": self._known + self._total - count - missing,
            "skipped": self._skipped,
            "failed": failed,
            "changes": changes,
        }
        if bare:
            result["degraded"] = [f"{bare:,} stored without vectors; reembed() attaches them"]
        return result

    def _name(self) -> str:
        """What tells this import from others: the file's bytes, how they are read, and whose memories they are."""
        digest = hashlib.sha256(json.dumps([self._format, sorted(self._given.items())], default=str).encode())
        self._stream.seek(0)
        while portion := self._stream.read(1 << 20):
            digest.update(portion)
        return f"import-{digest.hexdigest()[:24]}"

    def _read(self, *, first: bool) -> Iterator[tuple[Draft, int]]:
        """Every message of the file, with its line; the first time, what cannot be stored is told or refused."""
        self._stream.seek(0)
        read = drafts_of(self._engine, self._ids, Common(origin=f"{IMPORT}{self._format}"))
        # What is refused the first time is counted already.
        bad = self._bad if first else Bad(self._bad.name, skip=True)
        for at, (number, item) in enumerate(self._reader(self._stream, bad, self._given)):
            if at in self._refused:
                continue
            try:
                drafts, reasons = read(item)
                for draft in drafts if first else ():
                    check_draft(draft)
            except InvalidInput as error:
                self._bad.line(number, error)
                self._refused.add(at)
                continue
            if first:
                self._skipped += [{"item": at, "reason": reason} for reason in reasons]
            yield from ((draft, number) for draft in drafts)

    def _parts(self) -> Iterator[_Part]:
        """The parts that are left, in the order in which they end in the file."""
        waiting: dict[Scope, list[tuple[Draft, int]]] = {}
        numbers = dict.fromkeys(self._runs, 0)
        for draft, line in self._read(first=False):
            place = _place(draft)
            plan = self._runs[place].plan
            part = waiting.setdefault(place, [])
            part.append((draft, line))
            number = numbers[place]
            whole = min(plan["size"], plan["messages"] - number * plan["size"])
            if len(part) == whole:
                numbers[place] += 1
                del waiting[place]
                job = self._left[place].get(number)
                if job is not None:
                    yield self._part(place, job, part)

    def _part(self, place: Scope, job: Job, messages: Sequence[tuple[Draft, int]]) -> _Part:
        digest = hashlib.sha256()
        for draft, _ in messages:
            digest.update(_identity(draft))
        if digest.hexdigest()[:16] != job.payload["sha"]:
            raise ImportFormatError(
                f"{self._bad.name}, lines {messages[0][1]} to {messages[-1][1]}: the messages are not those of the "
                "import that was begun; was the file changed meanwhile?"
            )
        drafts, numbers = zip(*messages, strict=True)
        return _Part(self._runs[place], job, drafts, numbers)

    def _written(self, parts: Iterable[_Part]) -> Iterator[_Wrote]:
        """Let parts be made, several at once, and write them in their order."""
        there = self._recipe.address is not None
        recipe = self._spread.put(self._recipe)
        chunks = _chunks(parts, self._size)
        making: deque[tuple[list[_Part], Any]] = deque()
        more = True
        while more or making:
            while more and len(making) < _ahead(self._spread):
                chunk = next(chunks, None)
                if chunk is None:
                    more = False
                else:
                    # Where the driver writes, nothing but texts needs to travel.
                    ticket = self._spread.start(_make, recipe, chunk if there else None, _texts(chunk))
                    making.append((chunk, ticket))
            if making:
                chunk, ticket = making.popleft()
                yield from self._outcomes(chunk, ticket, recipe, there)

    def _outcomes(self, chunk: list[_Part], ticket: Any, recipe: Any, there: bool) -> list[_Wrote]:
        try:
            if there:
                wrote: list[_Wrote] = self._spread.result(self._spread.start(_write_there, recipe, ticket, light=True))
                return wrote
            made: Made = self._spread.result(ticket)
        except SpreadError as error:
            return [self._give_up(part, error) for part in chunk]
        return [_write(self._engine, one) for one in _joined(chunk, made)]

    def _give_up(self, part: _Part, error: SpreadError) -> _Wrote:
        """Set a part aside that could not be made anywhere, so that the others can go on."""
        outcome = ledger.commit(self._engine, part.run, _named(part, part.places), [], failed=str(error))
        return _Wrote(0, None, job=(part.run, part.job) if outcome is None else None)


def _texts(chunk: Sequence[_Part]) -> list[str]:
    return [part.drafts[place].text for part in chunk for place in part.places]


def _make(recipe: Recipe, chunk: Sequence[_Part] | None, texts: Sequence[str]) -> Made | list[_Made]:
    """A task: terms and vectors of the messages of some parts; joined with them, where they came along."""
    made = tools_of(recipe).make(texts)
    return made if chunk is None else _joined(chunk, made)


def _joined(chunk: Sequence[_Part], made: Made) -> list[_Made]:
    """The messages of some parts with what was made of their texts."""
    found: list[_Made] = []
    at = 0
    for part in chunk:
        drafts: list[Draft] = []
        refused: dict[int, str] = {}
        bare: dict[int, str] = {}
        for place in part.places:
            terms = made.terms[at]
            if terms is None:
                refused[place] = made.refused[at]
            else:
                drafts.append(replace(part.drafts[place], terms=terms, vector=made.vectors[at]))
                bare |= {place: made.bare[at]} if at in made.bare else {}
            at += 1
        found.append(_Made(part, tuple(drafts), refused, bare))
    return found


def _write_there(recipe: Recipe, made: Sequence[_Made]) -> list[_Wrote]:
    """A task: write some parts into the store that the recipe names."""
    engine = tools_of(recipe).engine
    return [_write(engine, one) for one in made]


def _write(engine: Engine, made: _Made) -> _Wrote:
    """Write a part, in one transaction with the end of its job."""
    part = made.part
    refused = tuple(made.refused)
    told = "; ".join(f"line {part.numbers[place]}: {reason}" for place, reason in made.refused.items())
    puts = [Put(draft) for draft in made.drafts]
    operations: list[Operation] = [*puts, *outbox.note(engine, made.drafts, part.run.place)]
    job = _named(part, refused) if refused else part.job
    try:
        outcome = ledger.commit(engine, part.run, job, operations, failed=told, only=refused)
    except InvalidInput as error:
        ledger.commit(engine, part.run, _named(part, part.places), [], failed=str(error))
        return _Wrote(0, None)
    if outcome is None:
        return _Wrote(0, None, job=(part.run, part.job))
    engine.note_unembedded(draft.scope or part.run.place for draft in made.drafts if draft.vector is None)
    return _Wrote(len(puts), outcome.change, len(made.bare))


def _named(part: _Part, places: Sequence[int]) -> Job:
    """The job of a part with the first lines of what is left of it, for those who ask later what failed."""
    lines = [part.numbers[place] for place in places[:SHOWN]]
    return replace(part.job, payload={**part.job.payload, "lines": lines})


def _left_of(job: Job) -> int:
    """How many messages of a part are not stored."""
    return len(job.payload.get("only") or ()) or int(job.payload["count"])


def _chunks(parts: Iterable[_Part], size: int) -> Iterator[list[_Part]]:
    """Small parts together, so that a task is worth its journey."""
    chunk: list[_Part] = []
    count = 0
    for part in parts:
        chunk.append(part)
        count += len(part.places)
        if count >= size:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def _ahead(spread: Spread) -> int:
    """Chunks that may be under way at once."""
    return 2 * spread.slots + 1 if spread.apart else 1


def _place(draft: Draft) -> Scope:
    """The widest scope of a message by one id: what one transaction can hold."""
    assert draft.scope is not None, "a draft of an item has its scope"
    return Scope(**dict([next(draft.scope.items())]))


def _identity(draft: Draft) -> bytes:
    """What a message is known by again; not what depends on who reads it when."""
    at = None if draft.event_at is None else draft.event_at.isoformat()
    return json.dumps([str(draft.scope), draft.text, draft.speaker, draft.role, at]).encode() + b"\n"
