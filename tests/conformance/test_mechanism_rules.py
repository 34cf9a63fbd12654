"""The rules for mechanisms: every mechanism of the catalog keeps them, and every wrong one is caught by one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from remanence import catalog
from remanence.conformance import GENERAL_RULES, Report, check, rules_of
from remanence.conformance.rules import Broken, CannotRun, Rule, Verdict, run
from remanence.conformance.subject import Subject
from remanence.core.card import Card, Evidence
from remanence.core.errors import CatalogError, InvalidInput
from tests.conformance.mechanism_adversaries import ADVERSARIES, CARD, Indifferent, Restless, Right, Unrooted

RULES = [rule.id for rule in rules_of("records")]


@pytest.mark.parametrize("slug", catalog.cards())
def test_every_mechanism_keeps_the_rules(slug: str) -> None:
    report = check(slug)
    assert report.ok, str(report)
    statuses = {verdict.rule: verdict.status for verdict in report.verdicts}
    substrate = catalog.cards()[slug].substrate
    assert set(statuses) == {rule.id for rule in rules_of(substrate)}
    # A mechanism of the catalog has a witness, and what lives in a store runs on every store.
    always = ("G08", "G09", "R04") if substrate == "records" else ("G08", "G09")
    assert {statuses[rule] for rule in always} == {"pass"}


@pytest.mark.parametrize(("cls", "rule"), ADVERSARIES, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_mechanism_is_caught(cls: type[Any], rule: str) -> None:
    witness = getattr(cls, "witness", None)
    subject = Subject(cls, witness)
    report = run([one for one in rules_of("records") if one.id == rule], lambda: subject, claimed=cls.card.can)
    assert [(one.rule, one.status) for one in report.verdicts] == [(rule, "fail")], str(report)
    assert report.verdicts[0].note


def test_the_right_one_passes_and_every_rule_has_an_adversary() -> None:
    report = check(Right)
    assert report.ok, str(report)
    # Nothing is wrong on SQLite alone unless SQLite is: the histories of the stores' own tests watch over that.
    assert set(RULES) - {rule for _, rule in ADVERSARIES} == {"R04"}


def test_rules_have_distinct_ids_and_say_what_they_promise() -> None:
    assert sorted(set(RULES)) == sorted(RULES)
    for rule in rules_of("records"):
        assert rule.title.endswith("."), rule.id
        assert rule.when is None or rule.when in ("update", "forget", "consolidate", "feedback", "reinforce")


class Waived(Unrooted):
    card: ClassVar[Card] = replace(CARD, waivers={"R17": "its notes name no sources", "R01": "no need", "X99": "?"})


def test_a_waiver_is_needed_or_an_error() -> None:
    statuses = {one.rule: (one.status, one.note) for one in check(Waived).verdicts}
    status, note = statuses["R17"]
    assert status == "known"
    assert note.startswith("its notes name no sources (")
    assert statuses["R01"] == ("stale-waiver", "no need")
    assert statuses["X99"] == ("stale-waiver", "?")
    assert {"R01", "X99"} < {one.rule for one in check(Waived).failed}


def test_what_is_not_claimed_is_not_asked() -> None:
    statuses = {one.rule: one.status for one in check(Indifferent, only={"R02", "R16", "R13"}).verdicts}
    assert statuses == {"R02": "not-claimed", "R16": "not-claimed", "R13": "not-claimed"}
    assert check(Restless, only={"R14"}).verdicts[0].status == "not-claimed"


class NeedsMore(Right):
    card: ClassVar[Card] = replace(CARD, needs=frozenset({"surely-not-installed"}))


def test_what_needs_more_than_there_is_cannot_run_here() -> None:
    report = check(NeedsMore)
    assert set(report.counts) == {"cannot-run-here"}
    assert "surely-not-installed" in report.verdicts[0].note
    assert report.ok


def test_a_check_that_breaks_is_not_held_against_the_mechanism() -> None:
    def breaks(subject: Subject) -> None:
        raise ZeroDivisionError("in the check")

    report = run([Rule("X1", "t.", breaks)], lambda: Subject(Right))
    assert [verdict.status for verdict in report.verdicts] == ["broken-check"]
    assert "ZeroDivisionError" in report.verdicts[0].note
    assert not report.ok


def test_an_error_of_the_mechanism_is_a_failure() -> None:
    class Raising(Right):
        def read(self, query: str, k: int, *, now: Any) -> Any:
            nothing: dict[str, Any] = {}
            return nothing[query]

    report = check(Raising, only={"R01"})
    assert [one.status for one in report.verdicts] == ["fail"]
    assert "KeyError" in report.verdicts[0].note


def test_reports_as_text_and_json() -> None:
    verdicts = (Verdict("A1", "One.", "pass"), Verdict("A2", "Two.", "fail", "saw 1"), Verdict("A3", "Three.", "known"))
    report = Report(verdicts, "x (records)")
    assert str(report).splitlines()[0] == "x (records)"
    assert str(report).splitlines()[-1] == "1 pass, 1 fail, 1 known"
    data = json.loads(report.to_json())
    assert (data["ok"], data["counts"]) == (False, {"pass": 1, "fail": 1, "known": 1})
    assert data["verdicts"][1] == {"rule": "A2", "title": "Two.", "status": "fail", "note": "saw 1"}


OWN = '''
"""A newcomer's mechanism in one file."""
from datetime import datetime
from typing import ClassVar

from remanence.core.card import Card, Evidence
from remanence.substrates.records.base import TURN, RecordMemory
from remanence.substrates.records.mechanism import Hit

CARD = Card(slug="mine", substrate="records", title="Mine", paper="", claim="finds", can=frozenset({"forget"}))


class Mine(RecordMemory):
    card: ClassVar[Card] = CARD

    def work(self, now: datetime, *, flush: bool = False) -> list[str]:
        return []

    def read(self, query: str, k: int, *, now: datetime) -> list[Hit]:
        return self.hits(self.lexical(query, k, kinds=(TURN,)), k, now=now)


def witness(seed: int) -> Evidence:
    return Evidence("found", 1.0, 0.0)
'''


def test_a_file_of_ones_own_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    for subject in (path, str(path)):
        statuses = {one.rule: one.status for one in check(subject, only={"G08", "R01", "R02", "R16"}).verdicts}
        assert statuses == {"G08": "pass", "R01": "pass", "R02": "pass", "R16": "not-claimed"}


def test_what_cannot_be_checked_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file"):
        check(tmp_path / "absent.py")
    empty, broken = tmp_path / "empty.py", tmp_path / "broken.py"
    empty.write_text("x = 1\n")
    broken.write_text("import surely_not_installed\n")
    with pytest.raises(InvalidInput, match="must hold one class with a `card`; it holds none"):
        check(empty)
    with pytest.raises(CatalogError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        check(broken)
    with pytest.raises(InvalidInput, match="there is no 'recal' in the catalog; did you mean recall"):
        check("recal")
    with pytest.raises(InvalidInput, match="int has no card"):
        check(int)


def test_evidence_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def witness(seed: int) -> Evidence:
        seeds.append(seed)
        return Evidence("x", 1.0, 0.0)

    subject = Subject(Right, witness)
    assert run([one for one in GENERAL_RULES if one.id in ("G08", "G09")], lambda: subject).ok
    assert seeds == [0, 1, 2, 0]
    with pytest.raises(CannotRun):
        Subject(Right).testify(0)
    assert issubclass(Broken, AssertionError)
