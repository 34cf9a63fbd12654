"""What cannot be done ends in one line on standard error and a status, never in a traceback."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from remanence.cli import finding
from remanence.cli.options import Settings

Run = Callable[..., Result]

ANA = ("--user", "ana")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("add", "x"), 2, "whose memory?"),
        (("search", "x"), 2, "whose memory?"),
        (("import", "x"), 1, "cannot read x"),
        (("add", "x", "--user", ""), 1, "user_id is empty"),
        (("add", "", *ANA), 1, "nothing to remember"),
        (("add", "x", *ANA, "--metadata", "{"), 2, "not JSON"),
        (("add", "x", *ANA, "--metadata", "[1]"), 2, "not a JSON object"),
        (("add", "x", *ANA, "--metadata", '{"a": NaN}'), 1, "finite numbers"),
        (("add", "x", *ANA, "--timestamp", "yesterday"), 1, "yesterday"),
        (("add", "x", *ANA, "--timestamp", "9999999999999.5"), 0, ""),
        (("search", " ", *ANA), 1, "empty"),
        (("search", "x", *ANA, "--limit", "-1"), 1, "-1"),
        (("search", "x", *ANA, "--limit", "few"), 2, "few"),
        (("search", "x", *ANA, "--threshold", "nan"), 1, "nan"),
        (("search", "x", *ANA, "--filter", '{"a": {"$regex": "b"}}'), 1, "regex"),
        (("search", "x", *ANA, "--as-of", "2025-13-01"), 1, "2025-13-01"),
        (("search", "x", *ANA, "--embedder", "nope"), 1, "unknown embedder 'nope'"),
        (("search", "x", *ANA, "--language", "klingon"), 1, "klingon"),
        (("context", "x", *ANA, "--max-tokens", "1"), 1, "max_tokens=1"),
        (("context", "x", *ANA, "--neighbours", "9"), 1, "neighbours=9"),
        (("get", "", *ANA), 1, "error: "),
        (("history", "nope", *ANA), 1, "nope"),
        (("undo", "nope", *ANA), 1, "nope"),
        (("update", "nope", "x", *ANA), 1, "nope"),
        (("update", "nope", *ANA), 1, "error: "),
        (("delete", "nope", *ANA), 1, "nope"),
        (("erase", "nope", *ANA, "--yes"), 1, "nope"),
        (("list", *ANA, "--page", "x"), 1, "page='x'"),
        (("export", "/no/such/folder/x", *ANA), 1, "/no/such/folder/x"),
        (("import", "/no/such/file", *ANA), 1, "/no/such/file"),
        (("import", "x", "--format", "pst", *ANA), 2, "pst"),
        (("bench", "nope"), 1, "unknown data set 'nope'"),
        (("bench", "locomo", "--data", "nowhere"), 1, "nowhere"),
        (("bench", "locomo", "--sizes", "1"), 2, "--sizes"),
        (("bench", "speed", "--data", "x"), 2, "--data"),
        (("bench", "speed", "--sizes", "many"), 2, "many"),
        (("demo", "--path", "remanence.db"), 1, "there already"),
        (("no-such-command",), 2, "no-such-command"),
        (("search", "x", "--no-such-option"), 2, "--no-such-option"),
    ],
)
def test_bad_input(run: Run, words: tuple[str, ...], status: int, told: str) -> None:
    run("add", "hello", *ANA)
    result = run(*words, status=status)
    assert told.lower() in result.stderr.lower()
    if status == 1:
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ("search", "x"), ("context", "x"), ("get", "x"), ("list",), ("history", "x"), ("changes",), ("undo", "x"),
        ("update", "x", "y"), ("delete", "x"), ("erase", "--yes"), ("verify-erasure", "x"), ("receipts",),
        ("rebuild",), ("reembed",), ("stats",), ("export", "-"),
    ],
)  # fmt: skip
def test_only_what_stores_makes_a_file(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "there is no store at" in run(*words, *ANA, status=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store(run: Run, tmp_path: Path) -> None:
    (tmp_path / "remanence.db").write_bytes(b"something else " * 500)
    assert run("add", "x", *ANA, status=1).stderr.startswith("error: ")
    assert "WRONG store" in run("doctor", status=1).stdout


def test_a_store_of_a_newer_version(run: Run, tmp_path: Path) -> None:
    run("add", "x", *ANA)
    connection = sqlite3.connect(tmp_path / "remanence.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert "newer" in run("search", "x", *ANA, status=1).stderr


def test_standard_input_that_is_no_text(run: Run) -> None:
    assert "not UTF-8" in run("add", "-", *ANA, input=b"\xff\xfe", status=2).stderr


def test_an_interruption_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(settings: Settings, *, new: bool = False) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Settings, "memory", interrupted)
    run("search", "x", *ANA, status=130)


def test_a_failing_disk_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(settings: Settings, *, new: bool = False) -> None:
        raise OSError(28, "No space left on device", "a.db")

    monkeypatch.setattr(Settings, "memory", failing)
    assert run("search", "x", *ANA, status=1).stderr == "error: No space left on device: a.db\n"


def test_a_mistake_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "hello", *ANA)
    monkeypatch.setattr(finding, "_show", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("search", "hello", *ANA)
