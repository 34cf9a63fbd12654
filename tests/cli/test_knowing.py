"""`remanence profile`, `timeline` and `explain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

Run = Callable[..., Result]
Ask = Callable[..., Any]


@pytest.fixture
def told(run: Run) -> None:
    for day, text in enumerate(("I live in Lisbon.", "I love olives.", "I moved to Oslo."), 1):
        run("add", text, "--user", "Ana", "--timestamp", f"2026-01-0{day}")


@pytest.mark.usefixtures("told")
def test_a_profile(run: Run, ask: Ask) -> None:
    shown = run("profile", "--user", "Ana").stdout
    assert shown.splitlines()[0] == "Ana"
    assert "Ana lives in Oslo" in shown
    assert "Lisbon" not in shown
    assert "preferences" in shown
    found = ask("profile", "--user", "Ana")
    assert [row["memory"] for row in found["current"]] == ["Ana lives in Oslo"]
    assert found["current"][0]["sources"][0]["text"] == "I moved to Oslo"
    then = ask("profile", "Ana", "--user", "Ana", "--as-of", "2026-01-02")
    assert [row["memory"] for row in then["current"]] == ["Ana lives in Lisbon"]
    assert "nothing is known" in run("profile", "Bea", "--user", "Ana").stdout


@pytest.mark.usefixtures("told")
def test_a_time_line(run: Run, ask: Ask) -> None:
    lines = run("timeline", "--user", "Ana", "--attribute", "home_city").stdout.splitlines()
    assert "2026-01-01  2026-01-03  superseded" in lines[1]
    assert "held" in lines[2]
    assert [row["value"] for row in ask("timeline", "--user", "Ana", "--since", "2026-01-04")["results"]] == [
        "olives",
        "Oslo",
    ]
    assert "more: --since" in run("timeline", "--user", "Ana", "--limit", "1").stderr
    assert run("timeline", "Bea", "--user", "Ana").stdout == "nothing found\n"


@pytest.mark.usefixtures("told")
def test_a_lineage(run: Run, ask: Ask) -> None:
    (oslo,) = ask("timeline", "--user", "Ana", "--since", "2026-01-04", "--attribute", "home_city")["results"]
    shown = run("explain", oslo["id"], "--user", "Ana").stdout
    assert shown.splitlines()[0] == "Ana lives in Oslo"
    assert "Ana: “I moved to Oslo”" in shown
    assert "took the place of:" in shown
    assert "Ana lives in Lisbon (superseded)" in shown
    turn = oslo["sources"][0]["id"]
    of_turn = run("explain", turn, "--user", "Ana").stdout
    assert "from it follows:" in of_turn
    assert "put an end to:" in of_turn
    assert ask("explain", turn, "--user", "Ana")["ended"][0]["memory"] == "Ana lives in Lisbon"


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("explain", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--user", "Ana"), 1, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        (("timeline", "--user", "Ana", "--since", "someday"), 1, "someday"),
        (("timeline", "--user", "Ana", "--since", "2026-02-01", "--until", "2026-01-01"), 1, "not after"),
        (("profile", " ", "--user", "Ana"), 1, "must be a word"),
        (("profile",), 2, "--user"),
    ],
)
def test_what_cannot_be_answered(run: Run, words: tuple[str, ...], status: int, error: str) -> None:
    assert error in run(*words, status=status).stderr
