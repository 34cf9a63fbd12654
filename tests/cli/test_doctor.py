from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from remanence.cli import diagnosis
from remanence.core.errors import EmbeddingError
from remanence.stores.embedders import StaticEmbedder
from remanence.stores.sqlite import SqliteStore

Run = Callable[..., Result]
Ask = Callable[..., Any]

ANA = ("--user", "ana")


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in report["checks"]}


def test_a_new_place_is_well(run: Run, ask: Ask, tmp_path: Path) -> None:
    report = ask("doctor", "--embedder", "static")
    checks = by_name(report)
    assert report["ok"]
    assert set(checks) == {
        "remanence", "python", "sqlite", "numpy", "simsimd", "PyStemmer", "click", "rich", "embedder", "folder",
        "fsync", "store",
    }  # fmt: skip
    assert "has its fingerprint" in checks["embedder"]["text"]
    assert checks["fsync"]["value"] > 0
    assert checks["store"]["state"] == "note"
    assert run("doctor").stdout.endswith("all is well\n")
    assert list(tmp_path.iterdir()) == []
    assert by_name(ask("doctor", "--path", ":memory:"))["store"]["text"].startswith("in memory")


@pytest.mark.usefixtures("said_only")
def test_a_store_is_examined(run: Run, ask: Ask) -> None:
    run("add", "hello", *ANA, "--run", "r1")
    run("add", "hello", *ANA, "--run", "r2")
    run("add", "hello", "--app", "x")
    checks = by_name(ask("doctor"))
    assert checks["store"]["value"]["records"] == 3
    assert checks["check"]["value"] == []
    assert checks["residue"]["state"] == "ok"
    assert checks["vectors"]["value"] == {"own": 3, "pending": 0, "others": {}}
    other = by_name(ask("doctor", "--embedder", "static"))["vectors"]
    assert (other["state"], other["value"]["own"], other["value"]["pending"]) == ("note", 0, 3)
    assert list(other["value"]["others"].values()) == [3]


def test_a_damaged_store_is_told(run: Run, tmp_path: Path) -> None:
    run("add", "hello", *ANA)
    connection = sqlite3.connect(tmp_path / "remanence.db")
    connection.execute("DELETE FROM journal")
    connection.commit()
    connection.close()
    found = run("doctor", status=1).stdout
    assert "WRONG check" in found
    assert "all is well" not in found


def test_residue_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "hello", *ANA)
    info = SqliteStore.info

    def left(store: SqliteStore) -> Any:
        found = info(store)
        return type(found)(**{name: getattr(found, name) for name in found.__slots__} | {"residue_cleared": False})

    monkeypatch.setattr(SqliteStore, "info", left)
    assert "WRONG residue" in run("doctor", status=1).stdout


def test_a_broken_table_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: StaticEmbedder) -> None:
        raise EmbeddingError("the table has another fingerprint")

    monkeypatch.setattr(StaticEmbedder, "verify", broken)
    assert "WRONG embedder   the table has another" in run("doctor", "--embedder", "static", status=1).stdout
    assert "WRONG embedder   unknown embedder" in run("doctor", "--embedder", "nope", status=1).stdout


def test_a_missing_package_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(diagnosis._PACKAGES, "simsimd", "no_such_module")
    assert "WRONG simsimd" in run("doctor", status=1).stdout


def test_a_folder_that_cannot_be_written_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    assert "cannot be written: Permission denied" in run("doctor", status=1).stdout
