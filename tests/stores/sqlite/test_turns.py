"""Batches that wait are committed together, and nobody can tell: neither from the file nor from the answers."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from remanence.core.errors import Conflict, NotFound, RemanenceError, StoreBusy, StoreError, StoreFull, StoreUncertain
from remanence.core.scope import Scope
from remanence.stores.relational import dispatch, writing
from remanence.stores.sqlite import SqliteStore, connection, store
from remanence.stores.sqlite.turns import MOST, Batch, Turns
from remanence.substrates.records.checks import check_batch
from remanence.substrates.records.model import Draft, Edge, Source
from remanence.substrates.records.operations import Close, Enqueue, Erase, Link, Operation, Outcome, Put, Revise, Touch
from tests.stores.sqlite.support import ANA, BOB, START, add, everything, fresh

WORDS = "amber birch cedar dune ember fjord grove heath islet juniper".split()


def waiting(operations: Sequence[Operation], scope: Scope = ANA, *, alone: bool = False) -> Batch:
    return Batch(operations, check_batch(operations, scope=scope), scope, "someone", "", alone)


def deterministic(path: Path) -> SqliteStore:
    return SqliteStore(path, clock=lambda: START, random_bits=random.Random(1).getrandbits)


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with sqlite3.connect(path) as plain:
        names = [name for (name,) in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {name: sorted(plain.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
    plain.close()
    return found


def batches(rng: random.Random, ids: Sequence[str]) -> list[tuple[Scope, list[Operation]]]:
    """Batches of which some are refused: for want of a record, for a version, or halfway through."""
    made: list[tuple[Scope, list[Operation]]] = []
    for _ in range(40):
        some = ids[rng.randrange(len(ids))]
        text = " ".join(rng.choices(WORDS, k=3))
        draft = Draft(text=text, terms=tuple(text.split()))
        one: list[Operation] = [
            Put(draft),
            Put(Draft(text=text, scope=Scope(user_id="ana", run_id=rng.choice("abcdefgh")), terms=(f"{text}!",))),
            Put(Draft(text=text, sources=(Source(some, 0, 1),))),
            Revise(some, draft, rng.choice([None, 1, 2, 99])),
            Close(some),
            Link(Edge(ids[0], some, "near", rng.random())),
            Touch((some,), START),
            Enqueue("work", key=rng.choice([None, "k"])),
        ]
        made.append((rng.choice([ANA, ANA, ANA, BOB]), rng.sample(one, rng.randrange(1, 4))))
    return [
        (scope, [op for op in operations if scope == ANA or not (isinstance(op, Put) and op.draft.scope)] or [Put(
            Draft(text="alone"))])
        for scope, operations in made
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_together_is_as_one_after_the_other(tmp_path: Path, seed: int) -> None:
    files: list[Path] = []
    told: list[list[object]] = []
    for size in (1, 7):
        path = tmp_path / f"{size}.db"
        files.append(path)
        with deterministic(path) as kept:
            ids = add(kept, *WORDS)
            rng = random.Random(seed)
            group = [waiting(operations, scope) for scope, operations in batches(rng, ids)]
            for start in range(0, len(group), size):
                kept._commit(group[start : start + size])
            told.append([(type(one.error), str(one.error)) if one.error else one.outcome for one in group])
            assert kept.check() == []
            refused = [one for one in group if one.error]
            assert 3 < len(refused) < len(group) - 3, "too few or too many are refused to learn anything"
            assert {type(one.error) for one in refused} <= {NotFound, Conflict}
    assert told[0] == told[1]
    assert contents(files[0]) == contents(files[1])


def sizes_of_commits(kept: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many batches each commit from now on holds."""
    sizes: list[int] = []
    plain = kept._commit

    def counted(group: Sequence[Batch]) -> None:
        sizes.append(len(group))
        plain(group)

    monkeypatch.setattr(kept, "_commit", counted)
    return sizes


def together(kept: SqliteStore, batches: Sequence[Sequence[Operation]]) -> list[Outcome | RemanenceError]:
    """What threads are answered that wait for one turn in this order."""
    found: dict[int, Outcome | RemanenceError] = {}

    def work(number: int) -> None:
        try:
            found[number] = kept.batch(batches[number], scope=ANA)
        except RemanenceError as error:
            found[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(batches))]
    turns = kept._connections.turns
    with turns.hold():
        for number, thread in enumerate(threads):
            thread.start()
            deadline = time.monotonic() + 60
            while len(turns._waiting) <= number and time.monotonic() < deadline:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(batches))]


def test_threads_that_wait_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path / "r.db")
    add(kept, "first")
    sizes = sizes_of_commits(kept, monkeypatch)
    names = list("12345678")
    operations: list[list[Operation]] = [[Put(Draft(text=name))] for name in names]
    operations[3] = [Close("01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    found = together(kept, operations)
    assert sizes == [len(names)]
    assert isinstance(found.pop(3), NotFound)
    outcomes = [outcome for outcome in found if isinstance(outcome, Outcome)]
    assert len({outcome.change for outcome in outcomes}) == len(found) == len(outcomes)
    records = {record.id: record.text for record in everything(kept)}
    assert [records[outcome.results[0].id] for outcome in outcomes] == names[:3] + names[4:]


def test_whoever_waits_in_vain_writes_nothing(tmp_path: Path) -> None:
    kept = fresh(tmp_path / "r.db", busy_timeout=0.05)
    add(kept, "one")
    with kept._connections.turns.hold(), pytest.raises(StoreBusy, match="other threads"):
        add(kept, "two")
    add(kept, "three")
    assert [record.text for record in everything(kept)] == ["one", "three"]


def test_what_sqlite_cannot_keep_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path / "r.db")
    plain = writing.put

    def put(tx: object, operation: Put, meta: str) -> object:
        if operation.draft.text == "bad":
            raise sqlite3.DataError("string or blob too big")
        return plain(tx, operation, meta)  # type: ignore[arg-type]

    monkeypatch.setitem(dispatch.WITH_JSON, Put, put)
    group = [waiting([Put(Draft(text=text))]) for text in ("one", "bad", "two")]
    kept._commit(group)
    assert isinstance(group[1].error, StoreError)
    assert [one.error for one in (group[0], group[2])] == [None, None]
    assert [record.text for record in everything(kept)] == ["one", "two"]


def test_a_commit_that_fails_fails_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path / "r.db")
    add(kept, "zero")

    @contextmanager
    def full(open: sqlite3.Connection, begin: str, patience: float) -> Iterator[None]:
        with connection.transaction(open, begin, patience):
            yield
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    monkeypatch.setattr(store, "transaction", full)
    group = [waiting([Put(Draft(text=text))]) for text in ("one", "two", "three")]
    kept._commit(group)
    monkeypatch.undo()
    errors = [one.error for one in group]
    assert all(isinstance(error, StoreFull) for error in errors)
    assert len(set(map(id, errors))) == len(errors), "threads do not raise one error together"
    assert [record.text for record in everything(kept)] == ["zero"]


def test_an_erasure_shares_with_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fresh(tmp_path / "r.db")
    (id,) = add(kept, "a secret")
    sizes = sizes_of_commits(kept, monkeypatch)
    together(kept, [[Put(Draft(text="one"))], [Put(Draft(text="two"))], [Erase((id,))], [Put(Draft(text="three"))]])
    assert sizes == [2, 1, 1]
    assert [record.text for record in everything(kept)] == ["one", "two", "three"]
    assert kept.residue_cleared


def test_a_large_batch_holds_up_no_small_ones() -> None:
    turns = Turns("r.db", 1.0)
    small, large = [Put(Draft(text="x"))], [Put(Draft(text="x"))] * MOST
    turns._waiting.extend(waiting(some) for some in (small, small, large, small))
    assert [[len(one.operations) for one in turns._take()] for _ in range(3)] == [[1, 1], [MOST], [1]]


def test_whoever_was_taken_along_by_an_interrupted_thread_is_told() -> None:
    turns = Turns("r.db", 1.0)
    other = waiting([Put(Draft(text="x"))])
    turns._waiting.append(other)

    def interrupted(group: Sequence[Batch]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turns.write(waiting([Put(Draft(text="y"))]), interrupted)
    assert isinstance(other.error, StoreUncertain)
    assert not turns._waiting


def test_a_fork_does_not_write_what_threads_of_its_parent_wait_for(tmp_path: Path) -> None:
    kept = fresh(tmp_path / "r.db")
    add(kept, "one")
    connections = kept._connections
    connections.turns._waiting.append(waiting([Put(Draft(text="the parent's"))]))
    connections.freeze()
    connections.thaw(child=True)
    add(kept, "two")
    assert [record.text for record in everything(kept)] == ["one", "two"]


def test_another_process_is_waited_for_in_short_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.db"
    kept = fresh(path, busy_timeout=60.0)
    add(kept, "one")
    pauses: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 12:
                other.execute("ROLLBACK")

        monkeypatch.setattr(time, "sleep", sleep)
        add(kept, "two")
        monkeypatch.undo()
    assert len(pauses) == 12
    assert pauses[0] < 0.001
    assert pauses == sorted(pauses)
    assert pauses[-1] == connection._LONGEST
    with kept._connections.lend() as plain:
        assert plain.execute("PRAGMA busy_timeout").fetchone() == (60_000,)


def test_waiting_ends_and_leaves_the_patience_of_readers_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    kept = fresh(path, busy_timeout=0.03)
    add(kept, "one")
    with closing(sqlite3.connect(path, isolation_level=None)) as other, kept._connections.lend() as plain:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection._begin_soon(plain, "BEGIN IMMEDIATE", 0.03)
        assert plain.execute("PRAGMA busy_timeout").fetchone() == (30,)
