"""Seeded random lives of a store: all operations, several hostile scopes, a clock that jumps, errors included.

`live(seed, stores)` drives several stores through one life and insists, answer by answer, that they agree.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.ids import decode, encode
from remanence.core.scope import MAX_LENGTH, Scope
from remanence.substrates.records.model import STATES, Draft, Edge, Record, Source, Vector, View
from remanence.substrates.records.operations import (
    NEVER,
    Adopt,
    Changes,
    Close,
    Columns,
    Count,
    Discard,
    Edges,
    Embed,
    Enqueue,
    Erase,
    Find,
    Get,
    History,
    Job,
    Jobs,
    Lease,
    Link,
    Lookup,
    Operation,
    Outcome,
    Pending,
    Put,
    Receipts,
    Reindex,
    Renew,
    Requeue,
    Restore,
    Revise,
    Scan,
    Settle,
    Spaces,
    Touch,
    Unlink,
    Written,
)
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.undo import undo

BATCHES = 15
START = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
WORDS = ("oslo", "bergen", "ana", "a", "%", "_", "ß", "ss", "北京", "👩‍👩‍👧", "naïve", "nai\u0308ve", "x" * 64)
TEXTS = (
    "hello",
    "I moved to Oslo",
    "\x00",
    "lone \ud800",
    "e\u0301é",
    "مرحبا",
    "我搬到卑尔根了",
    "'; --",
    "a\nb",
    "y" * 5000,
)
TYPES = ("mentions", "supports", "a%", "é", "e\u0301")
KINDS = ("turn", "fact", "note", "summary_2")
WORKERS = ("w", "w2", "\ud800")
JOB_KINDS = ("enrich", "sleep", "a%", "\udfff")
SPACES = {"minilm:4": 4, "hash-0:2": 2}

TWINS = (
    ("ana", "ana2", "an"), ("ana", "Ana", "ANA"), ("a%", "ab", "a"), ("a_b", "axb", "a"), ("a.b", "a", "a.b.c"),
    ("é", "e\u0301", "e"), ("ß", "ss", "SS"), ("İ", "i̇", "i"), ("👩‍👩‍👧", "👩", "👩‍👩"),
    ("x" * MAX_LENGTH, "x" * (MAX_LENGTH - 1), "x"),
    ("'", "''", '"'), ("\\", "\\\\", "\\%"), (" ", "  ", "\t"), ("null", "None", "0"), ("ана", "ana", "аna"),
    ("user", "user\u200d", "user "), ("ana\x1frun", "ana", "run"), ("*", "?", "[a]"),
)  # fmt: skip
"""Ids that a sloppy comparison takes for one another."""


class JumpyClock:
    """Mostly moves on by less than a millisecond, sometimes by days, sometimes backwards."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._now = START

    def __call__(self) -> datetime:
        days = self._rng.choice([0, 0, 0, 0, 1, 3, -2])
        self._now += timedelta(days=days, microseconds=self._rng.randrange(3))
        return self._now


class Life:
    """What is known so far, and what may happen next."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ids: list[str] = []
        self.here: list[str] = []
        self.open: dict[str, int] = {}
        self.edges: list[tuple[str, str, str]] = []
        self.changes: list[str] = []
        self.jobs: list[Job] = []
        self.lives: Sequence[tuple[Record, ...]] = ()
        self.seq = 0
        self.vectors_seq = 0
        twins = self.rng.choice(TWINS)
        field = self.rng.choice(["user_id", "agent_id", "run_id", "app_id"])
        other = "run_id" if field != "run_id" else "user_id"
        self.scopes = [Scope(**{field: value}) for value in twins]
        self.scopes += [Scope(**{field: twins[0], other: value}) for value in twins[:2]]
        self.scopes.append(Scope(**{other: twins[0]}))

    def go_to(self, store: RecordStore) -> Scope:
        """The scope of the next batch: half of the time the first, so that much happens there. See what is there."""
        scope = self.scopes[0] if self.rng.random() < 0.5 else self.rng.choice(self.scopes)
        columns, edges, self.jobs = store.batch([Scan(), Edges(), Jobs()], scope=scope).results
        self.edges = [edge[:3] for edge in edges]
        self.here = list(dict.fromkeys(columns.ids))
        self.lives = store.batch([History(id) for id in self.here[-4:]], scope=scope).results
        rows = zip(columns.ids, columns.versions.tolist(), columns.closed_at.tolist(), strict=True)
        self.open = {id: version for id, version, closed_at in rows if closed_at == NEVER}
        return scope

    def learn(self, outcome: Outcome) -> None:
        """Remember ids and changes to come back to."""
        if outcome.change is not None:
            self.changes.append(outcome.change)
        for result in outcome.results:
            if isinstance(result, Written) and result.id not in self.ids:
                self.ids.append(result.id)
            if isinstance(result, Columns):
                self.seq, self.vectors_seq = result.seq, result.vectors_seq

    def batch(self, scope: Scope) -> list[Operation]:
        """Some operations, most of them writes."""
        makers: list[tuple[int, Callable[[Scope], Operation]]] = [
            (8, lambda scope: Put(self.draft(scope))), (5, self.revise), (2, self.close), (3, self.restore),
            (4, self.link), (1, self.unlink), (3, self.embed), (2, self.reindex), (2, self.touch), (1, self.erase),
            (1, self.adopt), (6, self.read),
        ]  # fmt: skip
        if not self.here:
            return [Put(self.draft(scope)) for _ in range(self.rng.randrange(1, 4))]
        weights = [weight for weight, _ in makers]
        chosen = self.rng.choices([make for _, make in makers], weights, k=self.rng.choice([1, 1, 1, 2, 3, 4]))
        operations = [make(scope) for make in chosen]
        # Work rides along and takes the place of nothing.
        held = any(job.state == "leased" for job in self.jobs)
        while self.rng.random() < 0.5:
            weights = [2, 2, 5, 1] if held else [40, 30, 1, 5]
            (make,) = self.rng.choices([self.enqueue, self.lease, self.settle, self.tend], weights)
            operations.insert(self.rng.randrange(len(operations) + 1), make(scope))
        return operations

    def id(self, among: Collection[str] = ()) -> str:
        """Mostly an id that can be reached, sometimes one of another scope, or erased, or of no store."""
        chance = self.rng.random()
        if chance < 0.01:
            return NOBODY
        if self.ids and chance < 0.04:
            return self.rng.choice(self.ids)
        ids = list(among or self.here) or [NOBODY]
        return self.rng.choice(ids[-6:])

    def some_ids(self, most: int = 4) -> tuple[str, ...]:
        return tuple(self.id() for _ in range(self.rng.randrange(most)))

    def moment(self) -> datetime:
        return START + timedelta(days=self.rng.randrange(-20, 25), microseconds=self.rng.choice([0, 0, 1]))

    def maybe(self, make: Callable[[], Any], chance: float = 0.5) -> Any:
        return make() if self.rng.random() < chance else None

    def view(self) -> View:
        return View(self.moment(), self.maybe(self.moment), self.maybe(self.moment, 0.3))

    def vector(self) -> Vector:
        space = self.rng.choice(list(SPACES))
        width = SPACES[space] + (self.rng.random() < 0.02)
        return Vector(space, self.rng.randbytes(width), self.rng.random())

    def version(self, id: str = "") -> int:
        return self.open[id] if id in self.open and self.rng.random() < 0.8 else self.rng.choice([1, 1, 1, 2, 3, 7])

    def draft(self, scope: Scope) -> Draft:
        rng = self.rng
        sources = (
            Source(self.id(), 0, rng.randrange(9)) for _ in range(rng.choice([0, 0, 0, 1, 1, 2]) if self.here else 0)
        )
        return Draft(
            text=rng.choice(TEXTS) + rng.choice(["", " again"]),
            kind=rng.choice(KINDS),
            scope=rng.choice(
                [None, None, *(inner for inner in self.scopes if scope.covers(inner) or rng.random() < 0.01)]
            ),
            event_at=self.maybe(self.moment),
            zone=self.maybe(lambda: rng.choice(["Europe/Oslo", "+05:45"]), 0.2),
            valid_from=self.maybe(self.moment),
            valid_to=self.maybe(lambda: START + timedelta(days=rng.randrange(10, 60)), 0.15),
            speaker=self.maybe(lambda: rng.choice(["Ana", "\ud800", "Bo"])),
            role=self.maybe(lambda: rng.choice(["user", "assistant"])),
            language=self.maybe(lambda: rng.choice(["en", "zh"]), 0.2),
            sources=tuple(sources),
            meta=self.maybe(self.meta) or {},
            terms=self.terms(),
            vector=self.maybe(self.vector, 0.4),
            state=rng.choice(STATES),  # type: ignore[arg-type]
            id=rng.choice([self.id(), NOBODY]) if rng.random() < 0.02 else None,
            origin=self.maybe(lambda: rng.choice(["user", "derived:facts", "import:x", "\ud800"])),
            trust=rng.choice([1, 1.0, 0, 0.0, 0.5]),
        )

    def terms(self) -> tuple[str, ...]:
        return tuple(self.rng.choice(WORDS) for _ in range(self.rng.randrange(5)))

    def meta(self) -> dict[str, Any]:
        rng = self.rng
        values: list[Any] = [1, 2.5, "x", "X", True, None, ["a", 1], {"deep": "x"}, "\ud800", "2026-01-05", 2**70]
        return {rng.choice(["n", "tag", "a.b", "é", ""]): rng.choice(values) for _ in range(rng.randrange(3))}

    def where(self) -> Mapping[str, Any]:
        wheres: list[Mapping[str, Any]] = [
            {}, {"kind": "fact"}, {"n": {"gte": 1}}, {"tag": "*"}, {"speaker": "Ana"}, {"text": {"icontains": "OSLO"}},
            {"meta.tag.deep": "x"}, {"event_at": {"lt": self.moment()}}, {"valid_from": {"gte": "2026-01-01"}},
            {"OR": [{"role": "user"}, {"NOT": [{"kind": {"in": ["turn", "note"]}}]}]}, {"version": {"gt": 1}},
            {"state": {"$ne": "frozen"}}, {"user_id": self.scopes[0].user_id}, {"n": {"like": 1}},
            {"recorded_at": {"gt": START}}, {"origin": "*"}, {"trust": {"gt": 0.25}},
            {"origin": {"in": ["user", "\ud800"]}}, {"NOT": 3}, {"$nor": []},
        ]  # fmt: skip
        return self.rng.choice(wheres)

    def revise(self, scope: Scope) -> Operation:
        id = self.id(self.open)
        return Revise(id, self.draft(scope), self.maybe(lambda: self.version(id), 0.3))

    def close(self, scope: Scope) -> Operation:
        id = self.id(self.open)
        return Close(id, self.maybe(self.moment), self.maybe(lambda: self.version(id), 0.2))

    def restore(self, scope: Scope) -> Operation:
        id = self.id()
        return Restore(id, self.rng.choice([1, self.version(id)]), self.maybe(lambda: self.version(id), 0.2))

    def edge(self) -> Edge:
        known = self.rng.choice(self.edges) if self.edges and self.rng.random() < 0.4 else None
        source, target, type = known or (self.id(), self.id(), self.rng.choice(TYPES))
        return Edge(source, target, type, self.rng.choice([1.0, 0.5, 2, -0.25]))

    def adopt(self, scope: Scope) -> Operation:
        """One of the records that are there, once more under another id: a twin from another store."""
        rng = self.rng
        versions: tuple[Record, ...] = rng.choice(self.lives)
        versions = versions[: rng.choice([1, 9, 9, 9])]
        id = rng.choice([encode(decode(NOBODY) + rng.randrange(9)), versions[0].id, encode(rng.getrandbits(128))])
        if rng.random() < 0.9:
            id = encode(decode(NOBODY) + rng.getrandbits(60))
        hits, last_hit = rng.choice([(0, None), (3, START), (2, None)])
        strength = rng.choice([1, 2.5])
        twins = [replace(one, id=id, hits=hits, last_hit=last_hit, strength=strength) for one in versions]
        vectors = tuple(self.maybe(self.vector, 0.4) for _ in twins)
        return Adopt(tuple(twins), tuple(self.terms() for _ in twins), vectors)

    def link(self, scope: Scope) -> Operation:
        return Link(self.edge())

    def unlink(self, scope: Scope) -> Operation:
        return Unlink(self.edge())

    def embed(self, scope: Scope) -> Operation:
        id = self.id(self.open)
        return Embed(id, self.version(id), self.vector())

    def reindex(self, scope: Scope) -> Operation:
        id = self.id()
        return Reindex(id, self.version(id), self.terms())

    def touch(self, scope: Scope) -> Operation:
        return Touch(self.some_ids(), self.moment(), self.maybe(self.rng.random, 0.3), self.maybe(self.rng.random, 0.3))

    def erase(self, scope: Scope) -> Operation:
        ids = None if self.rng.random() < 0.15 else self.some_ids(3)
        return Erase(ids, self.rng.choice(["", "asked for", "\ud800"]))

    def enqueue(self, scope: Scope) -> Operation:
        rng = self.rng
        return Enqueue(
            rng.choice(JOB_KINDS),
            self.payload(),
            self.maybe(lambda: rng.choice(["k", "\ud800", f"about {self.id()}"])),
            self.maybe(self.moment, 0.3),
            rng.choice([None, *(inner for inner in self.scopes if scope.covers(inner) or rng.random() < 0.01)]),
        )

    def payload(self) -> dict[str, Any]:
        payloads: list[dict[str, Any]] = [
            {}, {}, {"id": self.id()}, {"ids": [self.id(), self.id(), 1]}, {self.id(): 1, "n": 2.5, "\ud800": None},
            {"deep": {"ids": [[self.id()], {"x": self.id(), "y": f"re {self.id()}"}], "s": "s"}},
        ]  # fmt: skip
        return self.rng.choice(payloads)

    def lease(self, scope: Scope) -> Operation:
        rng = self.rng
        kinds = rng.choice([None, None, JOB_KINDS[:2], JOB_KINDS[2:], ()])
        seconds = rng.choice([1e-6, 86400.0, 3e5, 3e6, 3e6, 3e7])
        return Lease(rng.choice(WORKERS), kinds, rng.choice([0, 1, 1, 2, 9]), seconds)

    def job(self) -> tuple[str, str]:
        """A job and the worker that holds it, mostly."""
        held = [job for job in self.jobs if job.state == "leased"]
        if self.jobs and self.rng.random() < 0.9:
            job = self.rng.choice(held or self.jobs)
            return job.id, job.worker if job.worker and self.rng.random() < 0.9 else self.rng.choice(WORKERS)
        return self.id(), self.rng.choice(WORKERS)

    def settle(self, scope: Scope) -> Operation:
        rng = self.rng
        id, worker = self.job()
        outcomes: list[Any] = ["done", "retry", "retry", "dead", "dead"]
        outcome, error = rng.choice(outcomes), rng.choice(["", "boom", "\ud800" * 3, "e" * 5000])
        return Settle(id, worker, outcome, error, self.maybe(self.moment), self.maybe(self.payload, 0.3))

    def tend(self, scope: Scope) -> Operation:
        id, worker = self.job()
        ids = (id, *self.some_ids(2), self.job()[0])
        tending: list[Operation] = [Renew(worker, ids, 7200), Requeue(self.maybe(lambda: ids)), Discard(ids)]
        return self.rng.choice(tending)

    def read(self, scope: Scope) -> Operation:
        rng = self.rng
        kinds = rng.choice([None, ("fact",), ("turn", "note")])
        change = self.maybe(lambda: rng.choice([*self.changes, NOBODY]), 0.3)
        states: list[Any] = [None, ("waiting",), ("leased", "dead"), ()]
        narrowed: list[Operation] = [
            Find(
                self.view(),
                kinds,
                self.where(),
                rng.choice([None, 0, 1, 3]),
                self.maybe(self.id, 0.3),
                rng.random() < 0.5,
                rng.random() < 0.5,
                rng.choice([None, True, False]),
            ),
            Count(self.view(), kinds, rng.choice([True, False])),
            Jobs(
                rng.choice(states),
                rng.choice([None, JOB_KINDS[1:], ()]),
                rng.choice([0, 1, 100]),
                self.maybe(lambda: self.job()[0]),
            ),
            Scan(rng.randrange(self.seq + 1), rng.choice([None, *SPACES]), rng.randrange(self.vectors_seq + 1)),
            Changes(rng.randrange(self.seq + 1), change, self.maybe(self.id, 0.3), rng.choice([None, 2])),
            Edges(self.maybe(self.some_ids), rng.choice([None, TYPES[:2], ()])),
        ]
        return rng.choice([*self.reads(), *narrowed, *narrowed])

    def reads(self) -> list[Operation]:
        """One of each reading operation, with arguments that show all there is."""
        view = self.view()
        ids = tuple(self.ids[-8:])
        return [
            Get((*ids, NOBODY), view), Find(view, limit=None), Find(View(START), limit=None), Count(view), Edges(),
            Changes(), Scan(0, "minilm:4"), Scan(self.seq, "hash-0:2", self.vectors_seq), Lookup((*WORDS, "nowhere")),
            Pending("minilm:4"), Pending("hash-0:2", 2), Spaces(), Receipts(), History(self.id()), Jobs(),
            Jobs(limit=0), Find(view, closed=True, limit=None),
        ]  # fmt: skip


def live(seed: int, stores: Sequence[RecordStore], batches: int = BATCHES) -> list[str]:
    """Drive the stores through one life; what came of each batch, as text. AssertionError where they part."""
    life = Life(seed)
    chronicle = []
    for number in range(batches):
        scope = life.go_to(stores[0])
        if life.changes and life.rng.random() < 0.12:
            change = life.rng.choice([*life.changes[-3:], life.changes[-1], NOBODY])
            act, what = undoing(change, scope), f"undo {change}"
        else:
            operations = life.batch(scope)
            act, what = running(operations, scope), repr(operations)
        answer = agreed(stores, act, f"seed {seed}, batch {number} under {scope}: {what}")
        if isinstance(answer, Outcome):
            life.learn(answer)
        kind = "undo" if what.startswith("undo") else "batch"
        chronicle.append(f"{kind}: {type(answer).__name__}")
    for scope in life.scopes:
        for read in life.reads():
            # Each by itself: History of a record outside the scope is NotFound and would hide the others.
            agreed(stores, running([read], scope), f"seed {seed}, end, {scope}: {read}")
    return chronicle


def running(operations: Sequence[Operation], scope: Scope) -> Callable[[RecordStore], Outcome]:
    return lambda store: store.batch(operations, scope=scope, actor="\ud800", why="w")


def undoing(change: str, scope: Scope) -> Callable[[RecordStore], Outcome]:
    return lambda store: undo(store, change, scope=scope, actor="u")


def agreed(stores: Sequence[RecordStore], act: Callable[[RecordStore], Outcome], what: str) -> Outcome | Exception:
    """The answer on which all stores agree; errors agree when their types do."""
    answers = [attempt(store, act) for store in stores]
    for answer in answers[1:]:
        assert comparable(answer) == comparable(answers[0]), what
    positions = [(store.position(), *store.due(), *store.due(1), *store.due(kinds=JOB_KINDS[:2])) for store in stores]
    assert len(set(positions)) == 1, f"{what}: positions and scopes with jobs that are due {positions}"
    return answers[0]


def attempt(store: RecordStore, act: Callable[[RecordStore], Outcome]) -> Outcome | Exception:
    try:
        return act(store)
    except RemanenceError as error:
        return error


def comparable(answer: Any) -> Any:
    """Answers as plain data whose equality means equality."""
    if isinstance(answer, Exception):
        return type(answer)
    if isinstance(answer, np.ndarray):
        return (answer.dtype.name, answer.shape, answer.tobytes())
    if isinstance(answer, Columns):
        return {field.name: comparable(getattr(answer, field.name)) for field in dataclasses.fields(answer)}
    if isinstance(answer, Outcome):
        return (answer.change, answer.seq, [comparable(result) for result in answer.results])
    return answer
