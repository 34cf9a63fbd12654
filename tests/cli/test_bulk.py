"""`--ray` of import, reembed and rebuild. What Ray itself does is tested with the runtime; "here" needs none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from remanence.substrates.records.deriving import Deriver
from tests.cli.conftest import Run
from tests.runtime.bulk.cases import chat


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(chat(tmp_path / "chat.jsonl", 30))


def test_an_import_is_known_again(run: Run, ask: Callable[..., Any], file: str) -> None:
    assert run("import", file, "--ray", "here", "--work").stdout == "imported 30 memories from chat\n"
    assert ask("jobs", "--user", "ana") == []
    assert run("import", file, "--ray", "here").stdout == "imported 0 memories from chat, 30 were there\n"
    report = ask("import", file, "--ray", "here", "--again")
    assert (report["imported"], report["before"], report["failed"]) == (30, 0, [])
    assert run("reembed", "--user", "ana", "--ray", "here").stdout == "embedded 0 versions\n"
    assert run("rebuild", "--user", "ana", "--ray", "here").stdout.startswith("rebuilt 60 versions")
    assert ask("rebuild", "--user", "ana", "--ray", "here")["failed"] == []


def test_what_failed_is_told_and_ends_with_status_3(run: Run, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    analyse = Deriver.analyse

    def fail(self: Deriver, texts: Sequence[str]) -> list[tuple[str, ...]]:
        if any(text.endswith(" 7") for text in texts):
            raise RecursionError("too deep")
        return analyse(self, texts)

    run("import", file, "--ray", "here")
    with monkeypatch.context() as patch:
        patch.setattr(Deriver, "analyse", fail)
        result = run("import", file, "--user", "ana", "--ray", "here", status=3)
        assert result.stdout == "imported 29 memories from chat\n"
        assert result.stderr == "not stored: 1 message (lines 8): line 8: RecursionError: too deep\n"
        result = run("rebuild", "--user", "ana", "--ray", "here", status=3)
        assert "RecursionError: too deep" in result.stderr
    assert run("import", file, "--user", "ana", "--ray", "here").stdout.startswith("imported 1 memory from chat, 29")


def test_options_of_bulk_work_go_with_it(run: Run, file: str) -> None:
    for option in ("--again", "--work"):
        assert "go with --ray" in run("import", file, option, status=2).stderr


@pytest.mark.loopback
def test_what_cannot_be_reached_is_told(run: Run, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no Ray cluster could be reached" in run("import", file, "--ray", "127.0.0.1:1", status=1).stderr
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'remanence[ray]'" in run("import", file, "--ray", "local", status=1).stderr
