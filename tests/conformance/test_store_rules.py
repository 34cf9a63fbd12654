"""The rules catch stores that are wrong on purpose, and say what they saw."""

from __future__ import annotations

import types

import pytest

from remanence.conformance import STORE_RULES, Broken, check_store
from remanence.conformance.rules import Rule, collect
from remanence.conformance.stage import Reopen, StoreFactory, expect, raises, same
from remanence.core.errors import NotFound
from remanence.substrates.records.reference import MemoryStore
from tests.conformance.adversaries import ADVERSARIES, remembers
from tests.conformance.working_adversaries import WORKING_ADVERSARIES


@pytest.mark.parametrize(
    ("factory", "reopen", "rule"),
    [*ADVERSARIES, *WORKING_ADVERSARIES],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_adversary_is_caught_by_its_rule(factory: StoreFactory, reopen: Reopen | None, rule: str) -> None:
    report = check_store(factory, reopen=reopen, only={rule})
    assert [verdict.rule for verdict in report.failed] == [rule], str(report)
    assert report.failed[0].note
    assert rule in str(report)


def test_a_restart_that_keeps_everything_passes() -> None:
    assert check_store(MemoryStore, reopen=remembers, only={"S12", "S92"}).ok


def test_rules_that_need_a_restart_cannot_run_without_one() -> None:
    (verdict,) = check_store(MemoryStore, only={"S12"}).verdicts
    assert (verdict.status, verdict.note) == ("cannot-run-here", "no way to reopen a store was given")


def test_rules_have_stable_distinct_ids_and_say_what_they_promise() -> None:
    ids = [rule.id for rule in STORE_RULES]
    assert ids == sorted(set(ids))
    assert all(rule.title.endswith(".") for rule in STORE_RULES)


def test_two_rules_with_one_id_are_refused() -> None:
    module = types.ModuleType("twice")
    module.__dict__.update(a=Rule("S01", "a", print), b=Rule("S01", "b", print))
    with pytest.raises(ValueError, match="two rules are called S01"):
        collect(module)


def test_an_unexpected_error_is_a_failure_and_not_the_end() -> None:
    def factory(**_: object) -> MemoryStore:
        raise NotFound("nothing here")

    report = check_store(factory)
    assert {verdict.status for verdict in report.verdicts} == {"fail"}
    assert report.verdicts[0].note == "NotFound: nothing here"
    assert not report.ok


def test_questions_of_the_stage() -> None:
    expect(True, "no")
    same(1, 1, "no")
    raises(ValueError, lambda: int("x"), "no")
    with pytest.raises(Broken, match="yes"):
        expect((), "yes")
    with pytest.raises(Broken, match="it: got 1, not 2"):
        same(1, 2, "it")
    with pytest.raises(Broken, match="answered 3"):
        raises(KeyError, lambda: 3, "it")
    with pytest.raises(Broken, match="raised TypeError"):
        raises(KeyError, lambda: len(3), "it")  # type: ignore[arg-type]
