"""Importing in parts, in this process: as a plain import, whoever is stopped, and however often it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import Conflict, ImportFormatError, InvalidInput
from remanence.core.scope import Scope
from remanence.runtime.bulk import importing, ledger
from remanence.runtime.memory import Memory
from remanence.substrates.records.deriving import Deriver
from remanence.substrates.records.model import Draft
from remanence.substrates.records.operations import Put
from tests.architecture.tree import ROOT
from tests.runtime.bulk.cases import Picky, chat, held, listed
from tests.runtime.conftest import Make


class Stopped(BaseException):
    """As an interrupt from the keyboard: nothing but the caller may catch it."""


def stopping(after: int) -> Any:
    def progress(done: int, _: int | None) -> None:
        if done >= after:
            raise Stopped

    return progress


def test_it_stores_what_a_plain_import_stores(make: Make, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 230, users=("ana", "bo"))
    plain, memory = make(":memory:", embedder="hash"), make(embedder="hash")
    plain.import_(path)
    seen: list[tuple[int, int | None]] = []
    with memory.bulk() as bulk:
        report = bulk.import_(path, size=50, progress=lambda done, total: seen.append((done, total)))
    assert (report["imported"], report["before"], report["failed"]) == (230, 0, [])
    assert (len(report["changes"]), seen[-1]) == (6, (230, 230))
    for user in ("ana", "bo"):
        assert held(memory.store, user_id=user) == held(plain.store, user_id=user)
        assert len(held(memory.store, user_id=user)) == 115
    assert memory.search("message 17", user_id="bo")["results"]
    assert memory.work(user_id="ana")["turns"] == 115


@pytest.mark.parametrize("after", [1, 60, 199])
def test_one_that_was_stopped_goes_on_from_there(make: Make, tmp_path: Path, after: int) -> None:
    path = chat(tmp_path / "chat.jsonl", 200)
    whole, memory = make(":memory:", embedder="hash"), make(embedder="hash")
    with whole.bulk() as bulk:
        bulk.import_(path, size=50)
    with memory.bulk() as bulk:
        with pytest.raises(Stopped):
            bulk.import_(path, size=50, progress=stopping(after))
        there = len(listed(memory, user_id="ana"))
        assert there == -(-after // 50) * 50
        assert len(memory.jobs(user_id="ana", limit=1000)) > 0 or there == 200
        # Another size would cut the file in another way; what was planned counts.
        report = bulk.import_(path, size=70)
    assert (report["imported"], report["before"]) == (200 - there, there)
    assert held(memory.store, user_id="ana") == held(whole.store, user_id="ana")


@pytest.mark.parametrize("parts", [1, 3])
def test_a_driver_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, parts: int) -> None:
    path = chat(tmp_path / "chat.jsonl", 200)
    store = tmp_path / "one.db"
    driver = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("driver.py")), str(store), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        for part in range(parts):
            assert driver.stdout.readline() == f"{50 * (part + 1)}\n"
            if part + 1 < parts:
                driver.stdin.write("\n")
                driver.stdin.flush()
        driver.kill()
        driver.stdin.close()
    with Memory(store, embedder="hash") as memory, memory.bulk() as bulk:
        report = bulk.import_(path, size=50)
        assert (report["imported"], report["before"]) == (200 - 50 * parts, 50 * parts)
        assert len(set(listed(memory, user_id="ana"))) == len(listed(memory, user_id="ana")) == 200


def test_a_complete_import_is_known_again(memory: Memory, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 30)
    with memory.bulk() as bulk:
        bulk.import_(path, size=10)
        assert bulk.import_(path)["before"] == 30
        assert len(listed(memory, user_id="ana")) == 30
        # For somebody else it is another import.
        assert bulk.import_(chat(tmp_path / "bo.jsonl", 30, users=("bo",)), user_id="bo")["imported"] == 30
        assert bulk.import_(path, again=True)["imported"] == 30
        assert len(listed(memory, user_id="ana")) == 60
        assert bulk.import_(path)["imported"] == 0


def test_once_all_is_erased_a_file_can_come_back(memory: Memory, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 30)
    with memory.bulk() as bulk:
        bulk.import_(path)
        memory.erase(user_id="ana")
        assert bulk.import_(path)["imported"] == 30


def test_what_is_kept_of_an_import_is_no_work_to_be_done(memory: Memory, tmp_path: Path) -> None:
    with memory.bulk() as bulk:
        bulk.import_(chat(tmp_path / "chat.jsonl", 30))
    memory.work(user_id="ana")
    assert memory.jobs(user_id="ana") == []
    assert memory.stats(user_id="ana")["jobs"] == {"waiting": 0, "leased": 0, "dead": 0}
    assert not memory.work(everywhere=True)["left"]


def test_several_drivers_share_an_import(on_disk: Make, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 400, users=("ana", "bo"))
    reports: list[dict[str, Any]] = []

    def drive(memory: Memory) -> None:
        with memory.bulk() as bulk:
            reports.append(bulk.import_(path, size=10))

    threads = [threading.Thread(target=drive, args=(on_disk(embedder="hash"),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report["imported"] for report in reports) == 400
    assert all(report["imported"] + report["before"] == 400 for report in reports)
    memory = on_disk(embedder="hash")
    assert len(set(listed(memory, user_id="ana"))) == len(listed(memory, user_id="ana")) == 200
    waiting = memory.jobs(user_id="ana", limit=10_000)
    assert {job["kind"] for job in waiting} == {"enrich"}


def test_of_two_plans_one_counts(memory: Memory) -> None:
    place = Scope(user_id="ana")
    engine = memory._engine
    first = ledger.begin(engine, place, "import-x", {}, [{}, {}], again=False)
    second = ledger.begin(engine, place, "import-x", {}, [{}, {}], again=False)
    assert (first.fresh, second.fresh, first.name == second.name) == (True, False, True)
    assert ledger.left(engine, first).keys() == ledger.left(engine, second).keys() == {0, 1}


def test_a_part_done_twice_is_written_once(memory: Memory) -> None:
    place = Scope(user_id="ana")
    engine = memory._engine
    run = ledger.begin(engine, place, "import-x", {}, [{}], again=False)
    job = ledger.left(engine, run)[0]
    for expected in (True, False, False):
        outcome = ledger.commit(engine, run, job, [Put(Draft(text="said once"))])
        assert (outcome is not None) == expected
    assert listed(memory, user_id="ana") == ["said once"]


def test_a_commit_that_nobody_was_told_of_is_counted(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = chat(tmp_path / "chat.jsonl", 60)
    write = importing._write
    twice = []

    def retried(engine: Any, made: Any) -> Any:
        # As when a worker dies between its commit and its answer, and another one does the part again.
        if made.part.job.payload["part"] == 1:
            twice.append(write(engine, made))
        return write(engine, made)

    monkeypatch.setattr(importing, "_write", retried)
    with memory.bulk() as bulk:
        report = bulk.import_(path, size=20)
    assert (report["imported"], report["before"], len(twice)) == (60, 0, 1)
    assert len(report["changes"]) == len(set(report["changes"])) == 3
    for change in report["changes"]:
        memory.undo(change, user_id="ana")
    assert listed(memory, user_id="ana") == []


def test_a_part_that_somebody_else_holds_is_not_taken_for_done(memory: Memory) -> None:
    place = Scope(user_id="ana")
    engine = memory._engine
    run = ledger.begin(engine, place, "import-x", {}, [{}], again=False)
    stranger = ledger.Run(place, run.line, {**run.plan, "by": "somebody else"}, False)
    (job,) = ledger.left(engine, run).values()
    assert ledger.commit(engine, stranger, job, [Put(Draft(text="said once"))]) is None
    assert ledger.left(engine, run).keys() == {0}
    assert listed(memory, user_id="ana") == []


def test_a_conflict_that_stays_is_raised(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = memory._engine
    run = ledger.begin(engine, Scope(user_id="ana"), "import-x", {}, [{}], again=False)
    (job,) = ledger.left(engine, run).values()

    def refuse(*args: Any, **options: Any) -> Any:
        raise Conflict("not now")

    monkeypatch.setattr(ledger, "_hold", lambda *_: None)
    monkeypatch.setattr(engine, "write", refuse)
    with pytest.raises(Conflict, match="part 0 of import-x cannot be ended: not now"):
        ledger.commit(engine, run, job, [])


def test_a_bad_line_means_that_nothing_is_stored_or_planned(memory: Memory, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 30)
    path.write_text(path.read_text() + '{"role": "user"\n{"role": "user", "content": 5, "user_id": "ana"}\n')
    with memory.bulk() as bulk:
        with pytest.raises(ImportFormatError, match="line 31: no JSON"):
            bulk.import_(path, size=10)
        assert listed(memory, user_id="ana") == []
        assert memory.jobs(user_id="ana") == []
        report = bulk.import_(path, size=10, skip_bad=True)
    assert (report["imported"], report["bad"]) == (30, 2)
    assert [row["line"] for row in report["bad_lines"]] == [31, 32]


def test_messages_without_a_text_are_told(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    lines = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with memory.bulk() as bulk:
        report = bulk.import_(path, user_id="ana")
    assert (report["imported"], len(report["skipped"]), report["skipped"][0]["item"]) == (1, 1, 0)


def test_a_text_that_breaks_the_embedder_is_stored_without_a_vector(make: Make, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 40)
    memory = make(embedder=Picky("17"))
    with memory.bulk() as bulk:
        report = bulk.import_(path, size=20)
        assert (report["imported"], report["degraded"]) == (40, ["1 stored without vectors; reembed() attaches them"])
        missing = [row[0] for row in held(memory.store, user_id="ana") if row[-1] is None]
        assert [text.split()[-1] for text in missing] == ["17"]
        (failed,) = bulk.reembed(user_id="ana")["failed"]
        assert "ZeroDivisionError: no vector for this" in failed["reason"]
    memory._engine.embedder = Picky("")
    with memory.bulk() as bulk:
        assert bulk.reembed(user_id="ana") == {"embedded": 1, "failed": []}


def test_what_cannot_be_made_is_named_and_tried_again(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = chat(tmp_path / "chat.jsonl", 60)
    analyse = Deriver.analyse

    def fail(self: Deriver, texts: Sequence[str]) -> list[tuple[str, ...]]:
        if any(text.split()[-1] in ("7", "33") for text in texts):
            raise RecursionError("too deep")
        return analyse(self, texts)

    with memory.bulk() as bulk:
        with monkeypatch.context() as patch:
            patch.setattr(Deriver, "analyse", fail)
            for stored, before in ((58, 0), (0, 58)):
                report = bulk.import_(path, size=20)
                assert (report["imported"], report["before"]) == (stored, before)
                assert report["failed"] == [
                    {"lines": [8], "count": 1, "reason": "line 8: RecursionError: too deep"},
                    {"lines": [34], "count": 1, "reason": "line 34: RecursionError: too deep"},
                ]
        assert [job["state"] for job in memory.jobs(user_id="ana", states=["dead"])] == ["dead", "dead"]
        assert bulk.import_(path)["imported"] == 2
    assert sorted(int(text.split()[-1]) for text in listed(memory, user_id="ana")) == list(range(60))


def test_what_the_store_refuses_does_not_stop_the_rest(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = chat(tmp_path / "chat.jsonl", 60)
    batch = memory.store.batch

    def refuse(operations: Sequence[Any], **options: Any) -> Any:
        if any(isinstance(one, Put) and one.draft.text.endswith(" 25") for one in operations):
            raise InvalidInput("not this one")
        return batch(operations, **options)

    with memory.bulk() as bulk:
        with monkeypatch.context() as patch:
            patch.setattr(memory.store, "batch", refuse)
            report = bulk.import_(path, size=20)
        assert (report["imported"], len(report["failed"])) == (40, 1)
        assert report["failed"][0] == {"lines": list(range(21, 41)), "count": 20, "reason": "not this one"}
        assert bulk.import_(path)["imported"] == 20


def test_a_file_that_changes_while_it_is_read_is_noticed(memory: Memory, tmp_path: Path) -> None:
    path = chat(tmp_path / "chat.jsonl", 60)
    lines = path.read_text().splitlines(keepends=True)

    def change(done: int, _: int | None) -> None:
        # As long as the line before, so that what comes after it stays where it was.
        path.write_text("".join([*lines[:45], lines[45].replace(" 45", " 54"), *lines[46:]]))

    with memory.bulk() as bulk, pytest.raises(ImportFormatError, match="lines 41 to 50: the messages are not those"):
        bulk.import_(path, size=10, progress=change)


def test_exports_are_for_a_plain_import(memory: Memory, tmp_path: Path) -> None:
    memory.add("I moved to Oslo", user_id="ana")
    memory.export(tmp_path / "ana.jsonl", user_id="ana")
    with memory.bulk() as bulk, pytest.raises(InvalidInput, match="'remanence', which is stored by one process"):
        bulk.import_(tmp_path / "ana.jsonl")


@pytest.mark.parametrize("size", [0, True, 5001, 1.5])
def test_sizes_are_checked(memory: Memory, tmp_path: Path, size: Any) -> None:
    with memory.bulk() as bulk, pytest.raises(InvalidInput, match="size="):
        bulk.import_(chat(tmp_path / "chat.jsonl", 1), size=size)
