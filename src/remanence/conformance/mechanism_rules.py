"""All that a mechanism promises, as rules G* (every substrate) and one letter per substrate."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import Any

from remanence.conformance import laws, record_rules
from remanence.conformance.rules import Report, Rule, Verdict, collect, run, unknown_waivers
from remanence.conformance.subject import Subject
from remanence.core.card import Substrate

GENERAL_RULES: tuple[Rule[Subject], ...] = collect(laws)
SUBSTRATE_RULES: dict[Substrate, tuple[Rule[Subject], ...]] = {"records": collect(record_rules)}


def rules_of(substrate: Substrate) -> tuple[Rule[Subject], ...]:
    """The rules for mechanisms of a substrate."""
    return (*GENERAL_RULES, *SUBSTRATE_RULES.get(substrate, ()))


def check(subject: type[Any] | str | Path, *, only: Collection[str] | None = None) -> Report:
    """Put a mechanism to the test; `print` the report, or ask it whether all is `ok`.

    Args:
        subject: a class with a `card`, the slug of a mechanism of the catalog, or a Python file that holds one.
        only: ids of the rules to run; all that apply if left out.

    Raises:
        InvalidInput: no such mechanism, or nothing in the file that could be tested.

    """
    tested = Subject.of(subject)
    rules = [one for one in rules_of(tested.card.substrate) if only is None or one.id in only]
    title = f"{tested.card.slug} ({tested.card.substrate})"
    missing = sorted(need for need in tested.card.needs if not _there(need))
    if missing:
        note = f"it needs {', '.join(missing)}, which is not installed"
        return Report(tuple(Verdict(one.id, one.title, "cannot-run-here", note) for one in rules), title)
    report = run(rules, lambda: tested, claimed=tested.card.can, waivers=tested.card.waivers, subject=title)
    stale = unknown_waivers(tested.card.waivers, rules_of(tested.card.substrate)) if only is None else []
    return Report((*report.verdicts, *stale), title)


def _there(need: str) -> bool:
    try:
        return importlib.util.find_spec(need.replace("-", "_")) is not None
    except (ImportError, ValueError):
        return False
