"""All that a mechanism promises, as rules G* (every substrate) and one letter per substrate."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from remanence import catalog
from remanence.conformance import laws
from remanence.conformance.rules import Report, Rule, Verdict, collect, run, unknown_waivers
from remanence.conformance.subject import Subject
from remanence.core.card import Card, Substrate

GENERAL_RULES: tuple[Rule[Subject], ...] = collect(laws)


@cache
def substrate_rules(substrate: Substrate) -> tuple[Rule[Subject], ...]:
    """The rules that a substrate adds: those of the module called after it. Loads what the substrate needs."""
    # By name, so that nobody loads torch who asks for the rules of records.
    name = f"{__package__}.{substrate}_rules"
    return collect(importlib.import_module(name)) if importlib.util.find_spec(name) else ()


def rules_of(substrate: Substrate) -> tuple[Rule[Subject], ...]:
    """The rules for mechanisms of a substrate."""
    return (*GENERAL_RULES, *substrate_rules(substrate))


def check(subject: type[Any] | str | Path, *, only: Collection[str] | None = None) -> Report:
    """Put a mechanism to the test; `print` the report, or ask it whether all is `ok`.

    Args:
        subject: a class with a `card`, the slug of a mechanism of the catalog, or a Python file that holds one.
        only: ids of the rules to run; all that apply if left out.

    Raises:
        InvalidInput: no such mechanism, or nothing in the file that could be tested.

    """
    card = _card(subject)
    missing = sorted(need for need in card.needs if not _there(need)) if card else []
    if card and missing:
        # Neither the mechanism nor the rules of its substrate can be loaded then.
        note = f"it needs {', '.join(missing)}, which is not installed"
        rules = [one for one in GENERAL_RULES if only is None or one.id in only]
        return Report(tuple(Verdict(one.id, one.title, "cannot-run-here", note) for one in rules), _title(card))
    tested = Subject.of(subject)
    rules = [one for one in rules_of(tested.card.substrate) if only is None or one.id in only]
    title = _title(tested.card)
    report = run(rules, lambda: tested, claimed=tested.card.can, waivers=tested.card.waivers, subject=title)
    stale = unknown_waivers(tested.card.waivers, rules_of(tested.card.substrate)) if only is None else []
    return Report((*report.verdicts, *stale), title)


def _card(subject: type[Any] | str | Path) -> Card | None:
    """The card of a class or of a mechanism of the catalog, which is not loaded for it; None: it stands in a file."""
    found = catalog.cards().get(subject) if isinstance(subject, str) else getattr(subject, "card", None)
    return found if isinstance(found, Card) else None


def _title(card: Card) -> str:
    return f"{card.slug} ({card.substrate})"


def _there(need: str) -> bool:
    try:
        return importlib.util.find_spec(need.replace("-", "_")) is not None
    except (ImportError, ValueError):
        return False
