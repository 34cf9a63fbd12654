"""The rules for sequence mechanisms: a right one keeps them all, every wrong one is caught by the one it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from remanence.conformance import check, rules_of
from remanence.conformance.rules import run
from remanence.conformance.subject import Subject
from tests.conformance.sequence_adversaries import ADVERSARIES, Claimed, Right

RULES = [rule.id for rule in rules_of("sequence")]


@pytest.mark.parametrize(("cls", "rule"), ADVERSARIES, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_layer_is_caught(cls: type[Any], rule: str) -> None:
    subject = Subject(cls, cls.witness)
    report = run([one for one in rules_of("sequence") if one.id == rule], lambda: subject, claimed=cls.card.can)
    assert [(one.rule, one.status) for one in report.verdicts] == [(rule, "fail")], str(report)
    assert report.verdicts[0].note


@pytest.mark.parametrize("cls", [Right, Claimed])
def test_a_right_layer_passes(cls: type[Any]) -> None:
    report = run(rules_of("sequence"), lambda: Subject(cls, cls.witness), claimed=cls.card.can)
    assert report.ok, str(report)


def test_every_rule_has_an_adversary() -> None:
    own = {rule for rule in RULES if rule.startswith("S")}
    assert own == {rule for _, rule in ADVERSARIES if rule.startswith("S")}


def test_what_is_not_there_is_told_without_loading_it() -> None:
    class Elsewhere(Right):
        pass

    Elsewhere.card = type(Right.card)(slug="x", substrate="sequence", title="", paper="", claim="c",
                                      needs=frozenset({"surely-not-installed"}))  # fmt: skip
    assert set(check(Elsewhere).counts) == {"cannot-run-here"}
