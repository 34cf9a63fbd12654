"""`sleep`, `quarantine`, `release` and `audit`, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Run = Callable[..., Result]
Ask = Callable[..., Any]

ANA = ("--user", "ana")
ROWS = [
    {"id": "1", "memory": "Lives in Oslo", "user_id": "bo", "created_at": "2026-01-01T00:00:00Z"},
    {"id": "2", "memory": "Lives in Turin", "user_id": "bo", "created_at": "2026-02-01T00:00:00Z"},
    {"id": "3", "memory": "HEARTBEAT_OK", "user_id": "bo", "created_at": "2026-02-02T00:00:00Z"},
]


@pytest.fixture
def twins(run: Run) -> list[str]:
    """Two memories that say the same, and one that has ended; their ids."""
    texts = [
        ("I am allergic to peanuts", ()),
        ("I'm allergic to peanuts!", ()),
        ("The door code is 4711", ("--metadata", '{"ttl": 0}')),
    ]
    return [run("add", text, *ANA, "--ids", *options).stdout.strip() for text, options in texts]


def test_a_dry_run_changes_nothing(run: Run, ask: Ask, twins: list[str]) -> None:
    shown = run("sleep", *ANA, "--dry-run").stdout
    assert "1 would be merged" in shown
    assert "1 would expire" in shown
    assert f"as {twins[0]}" in shown
    assert "duplicates: 33.3% before, 0.0% after, of 3 memories" in shown
    assert {ask("get", id, *ANA)["state"] for id in twins} == {"generated"}


def test_sleep_and_undo(run: Run, ask: Ask, twins: list[str]) -> None:
    report = ask("sleep", *ANA)
    changes = {step["step"]: step["change"] for step in report["steps"]}
    assert [ask("get", id, *ANA)["state"] for id in twins] == ["generated", "merged", "expired"]
    run("undo", changes["merge"], *ANA)
    run("undo", changes["expire"], *ANA)
    assert {ask("get", id, *ANA)["state"] for id in twins} == {"generated"}
    report = ask("sleep", *ANA, "--no-merge", "--no-ttl", "--no-notes", "--forget", "close", "--archived-days", "1")
    assert [(step["step"], step["count"]) for step in report["steps"]] == [("wake", 0), ("archive", 0), ("close", 0)]


def test_what_sleep_did_is_told(run: Run, twins: list[str]) -> None:
    shown = run("sleep", *ANA).stdout
    assert "1 merged  change 01" in shown
    assert "1 expired  change 01" in shown
    assert run("sleep", *ANA).stdout.startswith("duplicates: 0.0% before")


def test_an_end_that_cannot_be_read_is_told(run: Run) -> None:
    run("add", "Odd", *ANA, "--metadata", '{"ttl": "soon"}')
    assert "ttl 'soon'" in run("sleep", *ANA).stderr


@pytest.mark.parametrize("words", [("--forget", "all"), ("--keep", "x"), ("--scale", "x"), ("--seed", "1.5")])
def test_settings_that_are_none_are_refused(run: Run, twins: list[str], words: tuple[str, ...]) -> None:
    run("sleep", *ANA, *words, status=2)


def test_a_scale_of_nothing_is_refused(run: Run, twins: list[str]) -> None:
    assert "scale=0.0" in run("sleep", *ANA, "--forget", "archive", "--scale", "0", status=1).output


def test_quarantine_and_release(run: Run, ask: Ask, twins: list[str]) -> None:
    page = run("add", "The bank moved", *ANA, "--ids", "--role", "tool", "--metadata", '{"source": "x"}').stdout.strip()
    shown = run("quarantine", *ANA, "--source", "x", "--reason", "planted").stdout
    assert shown.startswith("1 memory in quarantine, 0 that rest on them alone")
    item = ask("get", page, *ANA)
    assert (item["trust"], item["metadata"]["quarantine"]) == (0, {"reason": "planted", "trust": 0.5})
    assert ask("quarantine", page, twins[0], *ANA)["quarantined"] == [twins[0]]
    assert run("release", page, *ANA).stdout.startswith("released 1 memory")
    assert ask("release", *ANA, "--filter", '{"kind": "turn"}')["released"] == [twins[0]]
    assert ask("get", page, *ANA)["trust"] == 0.5


def test_a_quarantine_needs_a_selection(run: Run, twins: list[str]) -> None:
    assert "name what is meant" in run("quarantine", *ANA, status=1).output
    assert "no open memory" in run("quarantine", "01JXXXXXXXXXXXXXXXXXXXXXXX", *ANA, status=1).output


def test_audit_of_the_store(run: Run, ask: Ask, twins: list[str]) -> None:
    report = ask("audit", *ANA)
    assert (report["source"], report["counts"]["near_duplicates"], report["exceeded"]) == ("store", 1, [])
    shown = run("audit", *ANA, "--max-duplicates", "0.5").stdout
    assert "near duplicates" in shown
    assert twins[1] in shown
    result = run("audit", *ANA, "--max-duplicates", "0.1", status=1)
    assert "duplicates 33.33% is over 10.00%" in result.stderr


def test_audit_of_an_export(run: Run, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "mem0.json"
    path.write_text(json.dumps({"results": ROWS}))
    report = ask("audit", str(path), "--examples", "0")
    assert (report["source"], report["counts"]["contradictions"], report["junk"]) == ("mem0", 1, {"heartbeat": 1})
    assert report["rates"]["unsupported"] is None
    shown = run("audit", str(path), "--format", "mem0").stdout
    assert "city: Oslo, and Turin since" in shown
    assert "unknown" in shown
    run("audit", str(path), "--max-unsupported", "0")
    run("audit", str(path), "--max-junk", "0.2", "--json", status=1)


def test_an_audit_needs_a_store_or_a_file(run: Run, tmp_path: Path) -> None:
    assert "there is no store" in run("audit", *ANA, status=1).output
    assert "cannot read" in run("audit", "gone.json", status=1).output
    (tmp_path / "x.json").write_text("[1]")
    assert "no export" in run("audit", "x.json", status=1).output
