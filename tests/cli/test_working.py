"""`remanence jobs` and `worker`, and what commands that add something finish themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from remanence import Memory
from remanence.core.clock import utc_now
from tests.runtime.handlers import Echoes, Fails, Topics, install

Run = Callable[..., Result]
Ask = Callable[..., Any]

ANA = ("--user", "ana")


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """A job that nobody has done yet."""
    memory = Memory(tmp_path, user_id="ana", embedder="hash", background=False)
    memory.add(["cats purr", "cats meow"])
    (row,) = memory.jobs()
    memory.close()
    return str(row["id"])


def test_what_is_added_is_worked_out_at_once(run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    run("add", "cats purr", *ANA)
    assert [item["memory"] for item in ask("list", *ANA, "--kind", "topic")["results"]] == ["cats: cats purr"]
    assert ask("jobs", *ANA) == []
    assert run("jobs", *ANA).stdout == "nothing found\n"


def test_what_is_imported_is_worked_out_at_once(
    run: Run, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Topics(), Echoes())
    lines = [{"content": "cats purr", "user_id": "ana"}, {"content": "dogs bark", "user_id": "bo"}]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    run("import", "chat.jsonl")
    assert ask("jobs", *ANA) == ask("jobs", "--user", "bo") == []
    assert len(ask("list", "--user", "bo", "--kind", "topic")["results"]) == 1


def test_jobs_are_listed(run: Run, ask: Ask, waiting: str) -> None:
    heading, row = run("jobs", *ANA).stdout.splitlines()
    assert heading.split() == ["id", "kind", "state", "tries", "due", "whose", "error"]
    assert row.split()[:4] == [waiting, "enrich", "waiting", "0"]
    assert row.split()[-1] == "ana"
    assert run("jobs", *ANA, "--ids").stdout == f"{waiting}\n"
    assert [job["id"] for job in ask("jobs", *ANA)] == [waiting]
    assert ask("jobs", *ANA, "--dead") == ask("jobs", "--user", "bo") == ask("jobs", *ANA, "--id", "other") == []


def test_dead_jobs_are_retried_or_discarded(
    run: Run, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = Fails("\x1b[31mno")
    install(monkeypatch, Topics(), fails)
    passed = [timedelta()]
    memory = Memory(tmp_path, user_id="ana", embedder="hash", background=False, clock=lambda: utc_now() - passed[0])
    passed[0] = timedelta(days=1)
    memory.add("cats purr")
    for _ in range(20):
        memory.work()
        passed[0] -= timedelta(hours=1)
    memory.close()
    (dead,) = ask("jobs", *ANA, "--dead")
    assert (dead["kind"], dead["attempts"]) == ("enrich:fails", 8)
    assert "\\x1b[31mno" in run("jobs", *ANA).stdout
    assert "\x1b" not in run("jobs", *ANA).stdout
    fails.words = None
    assert run("jobs", *ANA, "--retry").stdout == "retried 1 job\n"
    assert ask("jobs", *ANA, "--dead") == []
    assert ask("jobs", *ANA, "--discard", "--id", dead["id"]) == {"discarded": 1}
    assert ask("jobs", *ANA, "--discard") == {"discarded": 0}
    assert "contradict" in run("jobs", *ANA, "--retry", "--discard", status=2).stderr


def test_a_worker_does_what_is_due(run: Run, ask: Ask, waiting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Echoes())
    assert run("worker", "--once").stdout == "did 1 job about 2 turns\n"
    assert ask("worker", "--once")["done"] == 0
    assert ask("worker", "--seconds", "0.1", "--poll", "0.01")["done"] == 0
    assert ask("jobs", *ANA) == []
    assert "no store at" in run("worker", "--once", "--path", "elsewhere.db", status=1).stderr


def test_a_worker_says_what_goes_wrong(run: Run, waiting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Topics(), Fails("out of tune"))
    assert "note: fails: ValueError: out of tune" in run("worker", "--once").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_it_is_told_to(tmp_path: Path, waiting: str, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "remanence", "worker", "--path", str(tmp_path), "--poll", "0.05", "--json"]
    with subprocess.Popen(
        command, env={**os.environ, "REMANENCE_EMBEDDER": "hash"}, stdout=subprocess.PIPE, text=True
    ) as process:
        memory = Memory(tmp_path, user_id="ana", embedder="hash", background=False)
        ends = time.monotonic() + 60
        while memory.jobs() and time.monotonic() < ends:
            time.sleep(0.02)
        memory.close()
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["done"] >= 1
