"""Random histories of record stores, for tests of what is derived from them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.kernels.analyzer import Analyzer
from remanence.kernels.quantize import quantize
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.conversation import token_streams
from remanence.substrates.records.model import Draft, Record, Source, Vector, View
from remanence.substrates.records.operations import (
    Close,
    Embed,
    Erase,
    History,
    Operation,
    Put,
    Restore,
    Revise,
    Scan,
    Touch,
)
from remanence.substrates.records.port import RecordStore
from remanence.substrates.records.reference import MemoryStore

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA = Scope(user_id="ana")
BOB = Scope(user_id="bob")
EMBEDDER = HashEmbedder(dim=8)
ANALYZER = Analyzer()
WORDS = "red blue green fox dog bird jumps sings sleeps Oslo Bergen Lisbon today 2024 the a of".split()
MINUTE = timedelta(minutes=1)
SPACE = EMBEDDER.space.key
DIM = EMBEDDER.space.dim
STEMS = sorted({term for word in WORDS for term in ANALYZER.terms(word)})
LATER = View(now=START + timedelta(days=3650))

OpenStore = Callable[[], RecordStore]


@contextmanager
def opened(kind: str, folder: Path, seed: int = 0) -> Iterator[OpenStore]:
    """A way to open one and the same new store: a SQLite file any number of times, memory only once."""
    stores: list[RecordStore] = []

    def another() -> RecordStore:
        number = len(stores)
        clock = SteppingClock(START + timedelta(seconds=number), 7 * MINUTE)
        bits = random.Random(100 * seed + number).getrandbits
        if kind == "memory":
            assert not stores
            stores.append(MemoryStore(clock=clock, random_bits=bits))
        else:
            stores.append(SqliteStore(folder / f"{seed}.db", clock=clock, random_bits=bits, durable=False))
        return stores[-1]

    try:
        yield another
    finally:
        for store in stores:
            store.close()


def vector(text: str) -> Vector:
    codes, scales = quantize(EMBEDDER.embed([text]))
    return Vector(EMBEDDER.space.key, codes[0].tobytes(), float(scales[0]))


def turn(text: str, *, embedded: bool = True, **fields: object) -> Draft:
    """A draft as the engine would write it."""
    (terms,) = token_streams([text], ANALYZER)
    return Draft(text, terms=terms, vector=vector(text) if embedded else None, **fields)  # type: ignore[arg-type]


def say(store: RecordStore, text: str, scope: Scope = ANA, **fields: object) -> str:
    """Write one turn; its id."""
    written = store.batch([Put(turn(text, **fields))], scope=scope).results[0]  # type: ignore[arg-type]
    id: str = written.id
    return id


class World:
    """A random history, written batch by batch: Ana's and Bob's turns and facts, with all that can happen to them."""

    def __init__(self, store: RecordStore, seed: int, *, erase: float = 0.05, revise: bool = True) -> None:
        self.store = store
        self.rng = random.Random(seed)
        self.erase = erase
        self.revise = revise
        self.ids: dict[Scope, list[str]] = {ANA: [], BOB: []}
        self.moment = START

    def step(self, store: RecordStore | None = None) -> None:
        """Write one batch of one to four operations, through `store` if that is another door to the same file."""
        store = store or self.store
        scope = ANA if self.rng.random() < 0.8 else BOB
        if self.ids[scope] and self.rng.random() < self.erase:
            gone = self.rng.sample(self.ids[scope], min(len(self.ids[scope]), self.rng.randint(1, 2)))
            store.batch([Erase(tuple(gone))], scope=scope)
            self.ids[scope] = list(dict.fromkeys(id for id, _ in rows(store, scope)))
            return
        operations = [self.operation(store, scope) for _ in range(self.rng.choice([1, 1, 2, 4]))]
        touched = [operation.id for operation in operations if isinstance(operation, Revise | Close | Restore)]
        if len(set(touched)) < len(touched):
            operations = operations[:1]
        results = store.batch(operations, scope=scope).results
        for operation, result in zip(operations, results, strict=True):
            if isinstance(operation, Put):
                self.ids[scope].append(result.id)

    def operation(self, store: RecordStore, scope: Scope) -> Operation:
        rng = self.rng
        roll = rng.random()
        if not self.ids[scope] or roll < 0.55:
            return Put(self.draft(scope))
        id = rng.choice(self.ids[scope])
        versions = history(store, id, scope)
        is_open = versions[-1].closed_at is None
        if roll < 0.75 and is_open and self.revise:
            return Revise(id, self.draft(scope, kind=versions[-1].kind, origin=versions[-1].origin or "user"))
        if roll < 0.83 and is_open:
            return Close(id, rng.choice([None, None, self.moment, self.moment + 2000 * MINUTE]))
        if 0.83 <= roll < 0.88 and self.revise:
            return Restore(id, rng.choice(versions).version)
        if roll < 0.97:
            return Embed(id, rng.choice(versions).version, vector(self.text()))
        return Touch((id,), self.moment)

    def text(self) -> str:
        words = self.rng.choices(WORDS, k=self.rng.randint(1, 7))
        return " ".join(words) + self.rng.choice(["", "", ".", "?"])

    def draft(self, scope: Scope, kind: str | None = None, origin: str | None = None) -> Draft:
        rng = self.rng
        self.moment += rng.choice([1, 2, 5, 30, 59, 60, 61, 200, -90]) * MINUTE
        run = rng.choice([None, None, "r1", "r2"])
        event = rng.choice([self.moment, self.moment, None, self.moment + 5000 * MINUTE])
        start = rng.choice([None, None, None, self.moment - 100 * MINUTE])
        # Validity begins at the time of recording when nothing else is said.
        end = (start or event or START + 10**5 * MINUTE) + 700 * MINUTE
        ids = self.ids[scope]
        sources = rng.sample(ids, 1) if ids and rng.random() < 0.15 else []
        return turn(
            self.text(),
            embedded=rng.random() < 0.7,
            kind=kind or rng.choice(["turn", "turn", "turn", "fact"]),
            scope=Scope(user_id=scope.user_id, run_id=run),
            event_at=event,
            valid_from=start,
            valid_to=end if rng.random() < 0.15 else None,
            speaker=rng.choice([None, "Ana", "Bob Lee", "Ana"]),
            role=rng.choice([None, "user", "assistant"]),
            origin=origin or rng.choice([None, None, None, None, "user", "derived:facts"]),
            trust=rng.choice([1.0, 1.0, 1.0, 0.5, 1.0, 0.0]),
            state=rng.choice(["generated", "generated", "generated", "activated", "archived"]),
            sources=tuple(Source(id, 0, 1) for id in sources),
        )

    def views(self) -> list[View]:
        """Views of every kind, at random moments around the history."""
        rng = self.rng

        def moment() -> datetime:
            return self.moment + rng.randint(-3000, 3000) * MINUTE

        return [
            View(now=self.moment + 10**6 * MINUTE),
            View(now=moment()),
            View(now=self.moment, as_of=moment()),
            View(now=self.moment, known_at=moment()),
            View(now=self.moment, as_of=moment(), known_at=moment()),
        ]


def history(store: RecordStore, id: str, scope: Scope = ANA) -> tuple[Record, ...]:
    found: tuple[Record, ...] = store.batch([History(id)], scope=scope).results[0]
    return found


def rows(store: RecordStore, scope: Scope = ANA, derived: bool | None = None) -> list[tuple[str, int]]:
    """Every version in the scope, in the order in which they were written; only what was derived, or only what not."""
    columns = store.batch([Scan()], scope=scope).results[0]
    return [
        (id, version)
        for id, version, origin in zip(columns.ids, columns.versions.tolist(), columns.origins, strict=True)
        if derived is None or derived == (origin is not None and origin.startswith("derived:"))
    ]
