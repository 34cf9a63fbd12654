"""After an erasure no file of the store holds the words, in any encoding, or the store says that it could not wipe."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remanence.core.scope import Scope
from remanence.stores.relational.searching import forms
from remanence.stores.sqlite import SqliteStore, connection, residue
from remanence.stores.sqlite.verify import verify_erasure
from remanence.substrates.records.model import Draft, Edge, Source, Vector
from remanence.substrates.records.operations import (
    Changes,
    Close,
    Erase,
    Find,
    History,
    Link,
    Lookup,
    Operation,
    Put,
    Receipts,
    Reindex,
    Restore,
    Revise,
    Scan,
    Touch,
)
from tests.stores.sqlite.support import ANA, BOB, LATER, add, ask, everything, files, fresh, start

SECRET = "the quokka hid seventeen ivory dominoes under the staircase of Villa Ångström 🦘"
WORDS = ("quokka", "seventeen", "ivory", "dominoes", "staircase")


def leaks(path: Path, *phrases: str) -> list[str]:
    """Phrases that any file of the store holds in any form: the plain way to look."""
    return [
        f"{phrase!r} as {form} in {name}"
        for name, data in files(path).items()
        for phrase in phrases
        for form, needle in forms(phrase).items()
        if needle in data
    ]


def crowd(store: SqliteStore, rounds: int = 30) -> list[str]:
    """Secrets among other texts, moved about by later writes: their pages split and merge many times over."""
    rng = random.Random(3)
    ids = []
    for number in range(rounds):
        text = f"{SECRET} number {number} " + "x" * rng.choice((0, 50, 900, 30_000))
        meta = {"said": f"{SECRET} again {number}"}
        ids += add(store, text, meta=meta, speaker=f"{SECRET} {number}", terms=(*WORDS, f"w{number}"))
        add(store, *[f"harmless {number} {part} " + "y" * rng.randrange(900) for part in range(8)], scope=BOB)
        if rng.random() < 0.5:
            store.batch([Revise(ids[-1], Draft(f"{SECRET} revised {number}", terms=WORDS))], scope=ANA)
        if rng.random() < 0.3:
            store.batch([Close(ids[-1]), Restore(ids[-1], 1)], scope=ANA)
        if rng.random() < 0.3:
            store.batch([Erase((add(store, "short-lived " + "z" * 2000)[0],))], scope=ANA)
    return ids


@pytest.mark.parametrize("reopen", [False, True])
def test_no_byte_of_what_was_erased_is_left(tmp_path: Path, reopen: bool) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    ids = crowd(store)
    assert leaks(path, SECRET, *WORDS), "the secret was never there"
    if reopen:
        store.close()
        store = fresh(path)
    receipt = ask(store, Erase(tuple(ids), reason="she asked"))
    assert store.residue_cleared
    assert leaks(path, SECRET, SECRET[:25], SECRET[20:50], *WORDS) == []
    report = verify_erasure(path, receipt, [SECRET])
    assert report.clean
    assert report.ids == len(ids)
    assert len(everything(store, BOB)) == 30 * 8
    assert store.check() == []


@pytest.mark.parametrize(("step", "done"), [("_compact", None), ("_empty_log", True)])
def test_the_verifier_sees_what_an_omitted_step_leaves_behind(
    tmp_path: Path, step: str, done: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.db"
    # SQLite's own wiping of deleted rows leaves so little that only some runs show that it is not enough.
    monkeypatch.setattr(connection, "_SETTINGS", ("secure_delete = OFF",))
    store = fresh(path)
    first, *rest = crowd(store)
    ask(store, Erase((first,)))
    assert verify_erasure(path, [first], [f"{SECRET} number 0 "]).clean, "compacting alone is enough"
    monkeypatch.setattr(residue, step, lambda _: done)
    receipt = ask(store, Erase(tuple(rest)))
    report = verify_erasure(path, receipt, [SECRET])
    assert not report.clean
    assert {finding.kind for finding in report.findings} == {"phrase", "fragment"}
    assert leaks(path, SECRET[:25]), "a plain search finds it too"


def test_everything_a_scope_holds_goes_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    inner = Scope(user_id="ana", run_id="a run with a telling name")
    mine, also_mine = add(store, SECRET, terms=WORDS, scope=inner), add(store, SECRET + "!", terms=(*WORDS, "shared"))
    theirs, _ = add(store, "bob's", "bob's other", scope=BOB, terms=("shared",), vector=Vector("m:2", b"ab", 1.0))
    store.batch([Link(Edge(mine[0], also_mine[0], "near")), Touch((mine[0],), LATER.now)], scope=ANA)
    before = everything(store, BOB)
    receipt = ask(store, Erase(None, "all of it"))
    assert receipt.ids == tuple(sorted([*mine, *also_mine]))
    assert dict(receipt.counts) == {"versions": 2, "vectors": 0, "edges": 1, "usage": 1, "journal": 3, "terms": 5}
    assert everything(store, BOB) == before
    assert everything(store) == ()
    assert leaks(path, SECRET, inner.run_id or "", *WORDS) == []
    assert [entry.op for entry in ask(store, Changes())] == ["erase"]
    assert ask(store, Receipts()) == (receipt,)
    assert store.scopes() == (BOB,)
    assert ask(store, History(theirs), BOB)
    assert store.check() == []


def test_what_rests_on_erased_words_goes_with_them_in_any_scope(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    team = Scope(app_id="team", user_id="ana")
    raw, other = add(store, SECRET, "harmless", scope=team)
    alone, both = (
        add(store, f"fact: {SECRET}", kind="fact", scope=Scope(app_id="team"), sources=sources)[0]
        for sources in ((Source(raw, 0, 9),), (Source(raw, 0, 9), Source(other, 0, 3)))
    )
    deeper = add(store, f"summary: {SECRET}", scope=Scope(app_id="team"), sources=(Source(alone, 0, 4),))[0]
    receipt = ask(store, Erase((raw,)), ANA)
    assert (receipt.ids, receipt.derived, receipt.kept) == ((raw,), tuple(sorted((alone, deeper))), (both,))
    (kept,) = (record for record in everything(store, Scope(app_id="team")) if record.id == both)
    assert kept.sources == (Source(other, 0, 3),)
    assert verify_erasure(path, receipt).clean
    report = verify_erasure(path, receipt, [SECRET])
    assert {finding.kind for finding in report.findings} == {"phrase"}, "a fact that others support still says it"


def test_a_text_of_lone_surrogates_and_one_in_json_are_wiped_as_well(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    odd = 'odd \ud800 "quoted" ünïcödé text\x00 with\nall kinds'
    (id,) = add(store, odd, meta={odd: [odd]}, terms=(odd,), speaker=odd)
    assert len(leaks(path, odd)) >= 2
    receipt = ask(store, Erase((id,)))
    assert leaks(path, odd) == []
    assert verify_erasure(path, receipt, [odd]).clean


@contextmanager
def reading(path: Path) -> Iterator[Callable[[], None]]:
    """Another process in the middle of reading; the function ends it."""
    process = start("reader.py", path, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0

    def stop() -> None:
        process.communicate(timeout=60)
        assert process.returncode == 0

    try:
        yield stop
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_is_still_reading_holds_the_wiping_up_but_not_the_erasure(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path, busy_timeout=0.2)
    ids = crowd(store, 5)
    with reading(path) as stop:
        receipt = ask(store, Erase(tuple(ids)))
        assert everything(store) == ()
        assert not store.residue_cleared
        assert not fresh(path).residue_cleared, "other processes have to know as well"
        assert not store.clear_residue()
        report = verify_erasure(path, receipt, [SECRET])
        assert not report.clean
        assert not report.residue_cleared
        assert not verify_erasure(path, receipt).clean, "the store knows it, even when nothing was searched for"
        add(store, "writing goes on")
        stop()
    assert leaks(path, SECRET)
    assert store.clear_residue()
    assert store.residue_cleared
    assert leaks(path, SECRET, SECRET[:25], *WORDS) == []
    assert verify_erasure(path, receipt, [SECRET]).clean
    assert [record.text for record in everything(store)] == ["writing goes on"]
    assert store.check() == []


def test_the_wiping_waits_for_a_reader_that_ends_in_time(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path, busy_timeout=20)
    ids = crowd(store, 3)
    with reading(path) as stop:
        timer = threading.Timer(0.3, stop)
        timer.start()
        ask(store, Erase(tuple(ids)))
        timer.join()
    assert store.residue_cleared
    assert leaks(path, SECRET) == []


def test_an_erasure_that_fails_destroys_nothing(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    ids = crowd(store, 3)
    before, receipts = everything(store), ask(store, Receipts())
    failing: list[list[Operation]] = [
        [Erase((ids[0], "unknown"))],
        [Erase(tuple(ids)), Close("unknown")],
        [Erase((ids[0],)), Erase((ids[0],))],
    ]
    for operations in failing:
        with pytest.raises(KeyError):
            store.batch(operations, scope=ANA)
    assert everything(store) == before
    assert ask(store, Receipts()) == receipts
    assert store.residue_cleared
    assert store.check() == []


def test_version_numbers_and_ids_are_not_used_again(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    raw, other = add(store, "raw", "other")
    (fact,) = add(store, "one", sources=(Source(other, 0, 1),))
    store.batch([Revise(fact, Draft("two", sources=(Source(raw, 0, 1),)))], scope=ANA)
    receipt = ask(store, Erase((raw,)))
    assert (receipt.derived, receipt.kept, receipt.counts["versions"]) == ((), (fact,), 2)
    assert [version.version for version in ask(store, History(fact))] == [1]
    assert ask(store, Restore(fact, 1)).version == 3
    with pytest.raises(Exception, match="taken or was erased"):
        store.batch([Put(Draft("again", id=raw))], scope=BOB)
    assert store.check() == []


def test_a_second_process_forgets_what_was_erased_by_the_first(tmp_path: Path) -> None:
    ours, theirs = fresh(tmp_path / "r.db"), fresh(tmp_path / "r.db")
    there = Scope(user_id="ana", run_id="r")
    vector = Vector("m:2", b"ab", 1.0)
    add(ours, "one", terms=WORDS, scope=there, vector=vector)
    add(theirs, "two", terms=WORDS, scope=there, vector=vector)
    ask(ours, Erase(None))
    add(theirs, "three", terms=WORDS, scope=there, vector=Vector("m:2", b"abc", 1.0))
    assert theirs.check() == []
    assert [(record.text, record.terms, record.scope) for record in everything(ours)] == [("three", WORDS, there)]


def test_one_batch_may_write_erase_and_write_again(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    (old,) = add(store, SECRET, terms=WORDS)
    outcome = store.batch(
        [
            Put(Draft("kept", terms=("kept", "quokka"))),
            Erase((old,)),
            Put(Draft("after", terms=("quokka", "staircase", "new"))),
            Find(LATER),
            Scan(),
        ],
        scope=ANA,
    )
    _, receipt, _, found, scan = outcome.results
    assert receipt.id == outcome.change
    assert [record.terms for record in found] == [("kept", "quokka"), ("quokka", "staircase", "new")]
    assert scan.ids == [record.id for record in found]
    assert everything(store) == found
    assert leaks(path, SECRET, "dominoes") == []
    assert store.check() == []


@pytest.mark.parametrize("process", ["same", "another"])
def test_words_that_a_reindexing_took_out_of_use_do_not_outlive_an_erasure(tmp_path: Path, process: str) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    (old,) = add(store, SECRET, terms=WORDS)
    (other,) = add(store, "stays", terms=("stays",), scope=BOB)
    store.batch([Revise(old, Draft("revised", terms=("revised", *WORDS)))], scope=ANA)
    store.batch([Reindex(old, version, ("plain",)) for version in (1, 2)], scope=ANA)
    assert leaks(path, *WORDS), "the words were gone before the erasure"
    eraser = store if process == "same" else fresh(path)
    receipt = ask(eraser, Erase((old,)))
    assert receipt.counts["terms"] == len(WORDS) + 2
    assert leaks(path, SECRET, *WORDS, "revised", "plain") == []
    assert verify_erasure(path, receipt, [SECRET]).clean
    assert [record.terms for record in everything(store, BOB)] == [("stays",)]
    assert [entry.op for entry in ask(store, Changes(id=other), BOB)] == ["put"]
    assert ask(store, Lookup((*WORDS, "plain", "stays")), BOB)[-2:] == (None, 6)
    assert store.check() == []


def test_a_reindexing_within_the_batch_that_erases(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    one, two = add(store, "one", "two", terms=WORDS)
    operations: list[Operation] = [Reindex(one, 1, ("dull",)), Erase((one,)), Reindex(two, 1, ("grey",)), Erase(())]
    results = store.batch(operations, scope=ANA).results
    assert [results[1].counts["terms"], results[3].counts["terms"]] == [1, len(WORDS)]
    assert leaks(path, *WORDS, "dull") == []
    assert [record.terms for record in everything(store)] == [("grey",)]
    assert store.check() == []


def test_a_second_process_starts_over_after_a_reindexing(tmp_path: Path) -> None:
    ours, theirs = fresh(tmp_path / "r.db"), fresh(tmp_path / "r.db")
    (id,) = add(ours, "one", terms=("old",))
    seen = ask(theirs, Scan())
    assert ask(ours, Reindex(id, 1, ("new", "old")))
    columns = ask(theirs, Scan(after=seen.seq))
    assert (columns.erased, columns.ids) == (True, [])
    assert ask(theirs, Scan()).terms.tolist() == [2, 1]
    assert [record.terms for record in everything(theirs)] == [("new", "old")]
    assert not ask(theirs, Scan(after=columns.seq)).erased
