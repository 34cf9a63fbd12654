"""Every promise of the store contract, on every back end. The rules themselves are in remanence.conformance."""

from __future__ import annotations

import pytest

from remanence.conformance import STORE_RULES, check_store
from remanence.conformance.stage import Reopen, StoreFactory


@pytest.mark.parametrize("rule", [rule.id for rule in STORE_RULES])
def test_rule(rule: str, back_end: tuple[StoreFactory, Reopen | None]) -> None:
    factory, reopen = back_end
    report = check_store(factory, reopen=reopen, only={rule})
    assert report.ok, str(report)
    assert reopen is None or not any(verdict.status == "cannot-run-here" for verdict in report.verdicts)
