"""Moving a store into another one, also half of it, also while it is written, also from a server into a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remanence.cli.app import root
from remanence.conformance.stage import ANA, NOW, START, day, one, put
from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.runtime import migrating
from remanence.runtime.migrating import migrate
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Edges,
    Embed,
    Enqueue,
    Erase,
    Find,
    History,
    Jobs,
    Link,
    Operation,
    Outcome,
    Put,
    Reindex,
    Restore,
    Revise,
    Scan,
    Touch,
    Unlink,
)
from remanence.substrates.records.port import RecordStore
from tests.stores.postgres.server import Schemas, schema_of, serve

RUN = Scope(user_id="ana", run_id="r1")
SHOP = Scope(app_id="shop", user_id="ana")
MALL = Scope(app_id="mall", user_id="ana")
SCOPES = (ANA, RUN, SHOP, MALL, Scope(agent_id="bot"), Scope(user_id="a%"), Scope(user_id="é" * 512))


@pytest.fixture
def source(tmp_path: Path) -> SqliteStore:
    """Everything that there can be: versions, closings, sources in sibling scopes, links, vectors, counters, jobs."""
    store = SqliteStore(
        tmp_path / "source.db", clock=SteppingClock(START), random_bits=random.Random(7).getrandbits, durable=False
    )
    rng = random.Random(5)
    ids: dict[Scope, list[str]] = {scope: [] for scope in SCOPES}
    for number in range(60):
        scope = rng.choice(SCOPES)
        vector = Vector("s:4", rng.randbytes(4), 0.5) if number % 3 else None
        text = rng.choice(["plain", "nul \x00", "lone \ud800", "'; --", "% _ \\", "sub \x1a0000"])
        ids[scope].append(
            put(store, f"{text} {number}", scope, terms=("w", str(number % 7)), vector=vector, meta={"n": number})
        )
    for scope, own in ids.items():
        one(store, Revise(own[0], Draft("revised", valid_from=day(-3), terms=("revised",))), scope)
        one(store, Revise(own[0], Draft("again")), scope)
        one(store, Close(own[1], at=day(9)), scope)
        one(store, Close(own[2]), scope)
        one(store, Restore(own[2], 1), scope)
        one(store, Touch((own[0], own[3]), day(1), strength=2.0, utility=0.25), scope)
        one(store, Link(Edge(own[0], own[1], "next", 0.5)), scope)
        one(
            store,
            Put(Draft("derived", sources=(Source(own[0], 0, 3), Source(own[3], 0, 1)), origin="derived:x")),
            scope,
        )
        one(store, Embed(own[4], 1, Vector("t:2", b"\x01\x02", 2.0)), scope)
    # One record rests on a younger one, and two of different apps on each other and on a link between them.
    young = put(store, "young", RUN)
    one(store, Revise(ids[RUN][4], Draft("rests on a younger one", sources=(Source(young, 0, 1),))), ANA)
    one(store, Link(Edge(ids[SHOP][0], ids[MALL][0], "across")), ANA)
    one(store, Put(Draft("of both", scope=SHOP, sources=(Source(ids[MALL][0], 0, 1),))), ANA)
    one(store, Erase((ids[ANA][5],), "asked for"), ANA)
    one(store, Enqueue("enrich", {"n": 1}, scope=RUN), ANA)
    return store


def content(store: RecordStore) -> dict[str, Any]:
    """All that has to be the same in both."""
    found: dict[str, Any] = {}
    for scope in SCOPES:
        records = one(store, Find(NOW, limit=None, closed=True), scope)
        found[str(scope)] = [one(store, History(record.id), scope) for record in records]
        found[f"edges of {scope}"] = one(store, Edges(), scope)
        for space in ("s:4", "t:2"):
            columns = one(store, Scan(space=space), scope)
            rows = zip(columns.ids, columns.versions.tolist(), columns.scales.tolist(), strict=True)
            found[f"{space} of {scope}"] = sorted(rows)
    return found


def test_everything_arrives_with_both_of_its_times(source: SqliteStore, schemas: Schemas) -> None:
    target = schemas.new(day(1))
    report = migrate(source, target)
    assert report["verified"], report
    assert report["replayed"] == 0
    assert report["receipts_left"] == 1
    assert all(line["times"] for line in report["scopes"])
    assert content(target) == content(source)
    jobs = [(job.scope, job.kind, job.payload["n"]) for job in one(target, Jobs())]
    assert jobs == [(RUN, "enrich", 1)]
    assert target.check() == []


def test_and_back_into_a_file(source: SqliteStore, schemas: Schemas, tmp_path: Path) -> None:
    middle = schemas.new(day(1))
    migrate(source, middle)
    with SqliteStore(tmp_path / "back.db", clock=SteppingClock(day(2)), durable=False) as back:
        assert migrate(middle, back)["verified"]
        assert content(back) == content(source)
        assert back.check() == []


class _Dies(Exception):
    pass


class Mortal:
    """A target whose process dies before, or just after, its n-th batch that writes is committed."""

    def __init__(self, store: RecordStore, batches: int, *, after: bool) -> None:
        self._store = store
        self._left = batches
        self._after = after

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        self._left -= bool(why)
        if self._left < 0 and not self._after:
            raise _Dies
        outcome = self._store.batch(operations, scope=scope, actor=actor, why=why)
        if self._left < 0:
            raise _Dies
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_killed_half_way_and_run_again_is_the_same(
    source: SqliteStore, schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "PORTION", 8)
    wanted = content(source)
    target = schemas.new(day(1))
    deaths = adopted = 0
    for number in range(12):
        try:
            report = migrate(source, Mortal(target, 3 + 3 * number, after=number % 2 == 1))
        except _Dies:
            deaths += 1
            continue
        adopted = report["adopted"]
        assert report["verified"], report
        break
    else:
        pytest.fail("it never came to an end")
    assert deaths > 2
    assert adopted < 30
    assert content(target) == wanted
    assert migrate(source, target)["adopted"] == 0
    assert len(one(target, Jobs())) == 1


class Busy:
    """A source that somebody goes on writing to: before each of some answers, something changes."""

    def __init__(self, store: SqliteStore, changes: list[tuple[Scope, list[Operation]]]) -> None:
        self._store = store
        self._changes = changes
        self._reads = 0

    def batch(self, operations: Sequence[Operation], *, scope: Scope, actor: str = "", why: str = "") -> Outcome:
        self._reads += 1
        if self._changes and self._reads % 12 == 0:
            place, writes = self._changes.pop(0)
            self._store.batch(writes, scope=place)
        return self._store.batch(operations, scope=scope, actor=actor, why=why)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_what_is_written_meanwhile_arrives_too(source: SqliteStore, schemas: Schemas) -> None:
    own = [record.id for record in one(source, Find(NOW, limit=None), ANA) if record.scope == ANA]
    other = [record.id for record in one(source, Find(NOW, limit=None), SHOP)]
    meanwhile: list[tuple[Scope, list[Operation]]] = [
        (ANA, [Revise(own[0], Draft("meanwhile", valid_from=day(-1), terms=("new",)))]),
        (ANA, [Close(own[1])]),
        (SHOP, [Close(other[0], at=day(3)), Restore(other[0], 1)]),
        (ANA, [Put(Draft("new", sources=(Source(own[2], 0, 1),), vector=Vector("s:4", b"abcd", 1.0)))]),
        (ANA, [Link(Edge(own[2], own[0], "later", 0.75)), Reindex(own[2], 1, ("cut", "anew"))]),
        (ANA, [Touch((own[2],), day(5), utility=0.5), Embed(own[2], 1, Vector("t:2", b"\x07\x08", 1.0))]),
        (Scope(user_id="newcomer"), [Put(Draft("of somebody new"))]),
        (ANA, [Erase((own[3],), "meanwhile"), Unlink(Edge(own[2], own[0], "later"))]),
        (ANA, [Link(Edge(own[2], own[0], "later", 0.5))]),
    ]
    target = schemas(clock=SteppingClock(day(1), timedelta(milliseconds=1)), random_bits=random.Random(3).getrandbits)
    busy = Busy(source, meanwhile)
    report = migrate(busy, target)
    assert busy._changes == []
    assert report["verified"], report
    assert report["replayed"] >= 4
    assert one(target, Find(NOW), Scope(user_id="newcomer"))[0].text == "of somebody new"
    timeless = {"recorded_at", "closed_at"}
    for record in one(source, Find(NOW, limit=None, closed=True), ANA):
        for here, there in zip(one(source, History(record.id)), one(target, History(record.id)), strict=True):
            for name in set(type(here).__dataclass_fields__) - timeless:
                assert getattr(here, name) == getattr(there, name), (record.id, name)
    assert one(target, Edges(), ANA) == one(source, Edges(), ANA)


def test_a_difference_is_told(source: SqliteStore, schemas: Schemas) -> None:
    target = schemas.new(day(1))
    migrate(source, target)
    (record, *_) = one(target, Find(NOW), RUN)
    serve().execute(f"UPDATE {schema_of(target)}.versions SET text = 'tampered' WHERE id = %s", record.id)
    report = migrate(source, target)
    assert not report["verified"]
    told = [line for line in report["scopes"] if line["differences"]]
    assert {tuple(line["scope"].items()) for line in told} == {(("user_id", "ana"), ("run_id", "r1"))}


def test_the_journal_of_the_target_says_that_they_came(source: SqliteStore, schemas: Schemas) -> None:
    target = schemas.new(day(1))
    migrate(source, target)
    ops = {entry.op for entry in one(target, Changes(), ANA)}
    assert ops == {"adopt", "link"}


def test_the_command(source: SqliteStore, schemas: Schemas) -> None:
    path = str(source.path)
    source.close()
    url = f"{serve().url}&schema={schema_of(schemas.new())}"
    result = CliRunner().invoke(root, ["migrate", path, url])
    assert result.exit_code == 0, result.output
    assert "verified: compared" in result.output
    assert "1 receipt of erasures stay in the source" in result.output
    again = CliRunner().invoke(root, ["migrate", path, url, "--json"])
    assert again.exit_code == 0
    assert '"adopted": 0' in again.output
    missing = CliRunner().invoke(root, ["migrate", path + ".not", url])
    assert missing.exit_code == 1
    assert "there is no store at" in missing.output


def test_same_store_is_refused(source: SqliteStore) -> None:
    with pytest.raises(ValueError, match="the same store"):
        migrate(source, source)
