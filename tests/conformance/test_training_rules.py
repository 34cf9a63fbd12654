"""The rules for training mechanisms: a right one keeps them all, every wrong one is caught by the one it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from remanence.conformance import rules_of
from remanence.conformance.rules import run
from remanence.conformance.subject import Subject
from tests.conformance.training_adversaries import ADVERSARIES, Right

RULES = [rule.id for rule in rules_of("training")]


@pytest.mark.parametrize(("cls", "rule"), ADVERSARIES, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_optimizer_is_caught(cls: type[Any], rule: str) -> None:
    subject = Subject(cls, cls.witness)
    report = run([one for one in rules_of("training") if one.id == rule], lambda: subject)
    assert [(one.rule, one.status) for one in report.verdicts] == [(rule, "fail")], str(report)
    assert report.verdicts[0].note


def test_a_right_optimizer_passes() -> None:
    report = run(rules_of("training"), lambda: Subject(Right, Right.witness))
    assert report.ok, str(report)
    assert report.counts == {"pass": len(RULES)}


def test_every_rule_has_an_adversary() -> None:
    own = {rule for rule in RULES if rule.startswith("T")}
    assert own == {rule for _, rule in ADVERSARIES if rule.startswith("T")}
