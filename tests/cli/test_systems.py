from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from remanence import catalog, conformance
from remanence.catalog import cards, get, index, listing, publications
from remanence.conformance import Report, Verdict
from remanence.core.card import Card, EntryCard, Evidence

Run = Callable[..., Result]
Ask = Callable[..., Any]

PLANTED = Card(
    slug="planted",
    substrate="kv",
    title="A cache",
    paper="hema",
    claim="beats nothing",
    idea="Keeps.",
    equation="y = x",
    source="owner/name",
    can=frozenset({"forget"}),
    needs=frozenset({"torch"}),
    deviations=("smaller",),
    waivers={"K1": "cannot"},
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog of one mechanism and one study."""
    study = EntryCard(slug="a_study", kind="study", title="A study", paper="", about="Counts.")
    monkeypatch.setattr(
        index, "_index", lambda: {"planted": index.Found(PLANTED, "m"), "a_study": index.Found(study, "n")}
    )


def test_what_works_is_listed(run: Run, planted: None) -> None:
    head, one, two, last = run("systems").stdout.splitlines()
    assert head.split() == ["slug", "kind", "substrate", "title", "paper", "can", "needs", "status"]
    assert one.split() == ["planted", "system", "kv", "A", "cache", "HEMA", "(2025)", "forget", "torch", "working"]
    assert two.split() == ["a_study", "study", "A", "study", "working"]
    assert last == "1 mechanism and 1 benchmarks and studies work; 173 of 174 publications are planned"


@pytest.mark.parametrize(
    ("words", "slugs"),
    [
        ((), ["planted", "a_study"]),
        (("--substrate", "kv"), ["planted"]),
        (("--substrate", "records"), []),
        (("--can", "forget", "--needs", "torch"), ["planted"]),
        (("--can", "forget", "--can", "fly"), []),
        (("--kind", "study"), ["a_study"]),
        (("--status", "planned", "--substrate", "maps", "--kind", "benchmark"), []),
        (("--all", "--kind", "survey", "--status", "working"), None),
    ],
)  # fmt: skip
def test_the_list_is_narrowed(run: Run, planted: None, words: tuple[str, ...], slugs: list[str] | None) -> None:
    if slugs is None:
        assert "contradict" in run("systems", *words, status=2).stderr
        return
    assert [row["slug"] for row in json.loads(run("systems", *words, "--json").stdout)] == slugs
    shown = run("systems", *words).stdout
    assert shown.startswith("slug" if slugs else "nothing found")


def test_what_is_planned_is_listed_on_demand(ask: Ask, planted: None) -> None:
    rows = ask("systems", "--all")
    assert [row["status"] for row in rows].count("working") == 2
    assert {row["slug"] for row in rows if row["status"] == "planned"} == {one.key for one in publications()} - {"hema"}
    assert [row["slug"] for row in rows] == [
        *("planted", "a_study"),
        *(row["slug"] for row in ask("systems", "--status", "planned")),
    ]


def test_everything_that_is_listed_can_be_shown(run: Run) -> None:
    for row in listing.listed():
        found = listing.describe(row.slug)
        # A data set may have its publication's name: then the name shows the data set, and the publication with it.
        assert row.status in (found["status"], (found["publication"] or {}).get("status"))
    for slug in ("recall", "locomo", "wise"):
        assert run("show", slug).stdout.startswith("slug")


def test_a_mechanism_is_shown(run: Run, ask: Ask, planted: None) -> None:
    text = run("show", "planted").stdout
    paper = "A Hippocampus-Inspired Extended Memory Architecture"
    for told in (
        "kv",
        "beats nothing",
        "Keeps.",
        "y = x",
        "owner/name",
        "forget",
        "torch",
        paper,
        "(2025)",
        "none yet",
    ):
        assert told in text
    for told in ("  - smaller", "  - K1: cannot"):
        assert told in text
    found = ask("show", "planted")
    assert (found["witness"], found["can"], found["waivers"]) == (False, ["forget"], {"K1": "cannot"})
    assert found["publication"]["realised_by"] == ["planted"]


def test_a_publication_is_shown_by_its_key(run: Run, ask: Ask, planted: None) -> None:
    assert "realised by  planted" in run("show", "hema").stdout
    planned = run("show", "wise").stdout
    assert "planned" in planned
    assert "zjunlp/EasyEdit" in planned
    assert "witness" not in planned
    assert ask("show", "a_study")["about"] == "Counts."
    assert "Counts." in run("show", "a_study").stdout
    assert "the project's own" in run("show", "a_study").stdout


@pytest.mark.parametrize("command", ["show", "witness", "check"])
def test_an_unknown_name_is_one_line(run: Run, command: str) -> None:
    result = run(command, "recal", status=1)
    assert result.stderr.startswith("error: there is no 'recal' in the catalog; did you mean recall")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["witness", "check"])
def test_only_mechanisms_are_measured(run: Run, command: str) -> None:
    assert "no 'locomo'" in run(command, "locomo", status=1).stderr


class TestWitness:
    """Claim, measurement per seed, and the status that says whether it holds."""

    @pytest.fixture
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        asked: list[int] = []

        def measure(seed: int) -> Evidence:
            asked.append(seed)
            # Lower is better here, and seed 2 does not show it.
            return Evidence("regret", 0.25 if seed != 2 else 0.75, 0.5, higher_is_better=False)

        monkeypatch.setattr(catalog, "witness", lambda slug: measure)
        return asked

    def test_it_holds(self, run: Run, measured: list[int]) -> None:
        claim, head, *rows = run("witness", "recall", "--seed", "0", "--seed", "7").stdout.splitlines()
        assert claim == f"recall {cards()['recall'].claim}"
        assert head.split() == ["seed", "metric", "measured", "baseline", "better", "is", "holds"]
        assert [row.split() for row in rows] == [[seed, "regret", "0.25", "0.5", "lower", "yes"] for seed in "07"]
        assert measured == [0, 7]

    def test_one_seed_that_does_not_show_it_is_enough_to_fail(self, run: Run, measured: list[int]) -> None:
        assert run("witness", "recall", status=1).stdout.splitlines()[-1].split()[-1] == "NO"
        assert measured == [0, 1, 2]
        found = json.loads(run("witness", "recall", "--json", status=1).stdout)
        assert (found["holds"], [row["holds"] for row in found["evidence"]]) == (False, [True, True, False])
        assert found["evidence"][2]["value"] == 0.75


class TestCheck:
    """The subject goes to the rules as it was named, and the status says whether they hold."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
        asked: list[tuple[Any, Any]] = []

        def check(subject: type | str | Path, *, only: Collection[str] | None = None) -> Report:
            asked.append((subject, only))
            broken = isinstance(subject, Path)
            return Report((Verdict("R01", "it holds", "fail" if broken else "pass", "seen" if broken else ""),))

        monkeypatch.setattr(conformance, "check", check)
        return asked

    def test_a_mechanism_by_its_slug(self, run: Run, asked: list[tuple[Any, Any]]) -> None:
        assert "R01 pass" in run("check", "recall").stdout
        assert asked == [(get("recall"), None)]
        run("check", "recall", "--rule", "R01", "--rule", "R02")
        assert asked[1][1] == ("R01", "R02")

    def test_ones_own_file_and_what_fails(self, run: Run, asked: list[tuple[Any, Any]]) -> None:
        assert "R01 fail" in run("check", "mine.py", status=1).stdout
        assert asked == [(Path("mine.py"), None)]
        found = json.loads(run("check", "mine.py", "--json", status=1).stdout)
        assert found["ok"] is False
        assert found["verdicts"][0]["rule"] == "R01"


def test_the_rules_are_run_for_real(ask: Ask, run: Run, tmp_path: Path) -> None:
    found = ask("check", "recall", "--rule", "R01")
    assert [(verdict["rule"], verdict["status"]) for verdict in found["verdicts"]] == [("R01", "pass")]
    assert run("check", str(tmp_path / "gone.py"), status=1).stderr.startswith("error: ")
