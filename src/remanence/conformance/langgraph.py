"""The promises of LangGraph's `BaseStore` as rules L01 and following, to run against one's own store.

>>> from contextlib import nullcontext
>>> from langgraph.store.memory import InMemoryStore
>>> from remanence.conformance.langgraph import check_langgraph_store
>>> def factory(*, index=None, ttl=None):
...     return nullcontext(InMemoryStore(index=index))
>>> check_langgraph_store(factory, only={"L08", "L21"}).counts
{'pass': 2}

The rules take from LangGraph's documentation what it says of the interface, and leave open what it leaves open: the
order of a search without a query, and whether the reads of a batch see its writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from remanence.conformance import langgraph_items, langgraph_search
from remanence.conformance.langgraph_stage import Advance, Reopen, Stage, StoreFactory
from remanence.conformance.rules import Report, Rule, collect, run, unknown_waivers

__all__ = ["LANGGRAPH_RULES", "Advance", "Reopen", "Stage", "StoreFactory", "check_langgraph_store"]

LANGGRAPH_RULES: tuple[Rule[Stage], ...] = collect(langgraph_items, langgraph_search)
"""All rules, by id."""


def check_langgraph_store(
    factory: StoreFactory,
    *,
    claimed: Collection[str] | None = None,
    waivers: Mapping[str, str] | None = None,
    advance: Advance | None = None,
    reopen: Reopen | None = None,
    only: Collection[str] | None = None,
    subject: str = "",
) -> Report:
    """Put a LangGraph store to the test; `print` the report, or ask it whether all is `ok`.

    Args:
        factory: makes a new, empty store each time; `factory(index=…, ttl=…)` one with these abilities.
        claimed: of "index", "ttl" and "async", what the store can do; "index", "async" and what `supports_ttl` says
            if left out.
        waivers: why a rule does not hold, by its id. A waived rule is still run, and has to fail.
        advance: lets time pass for a store; without it the rules on expiry cannot run.
        reopen: opens what a store left behind; without it the rule on durability cannot run.
        only: ids of the rules to run.
        subject: a name for the report.

    """
    if claimed is None:
        with factory() as store:
            claimed = {"index", "async"} | ({"ttl"} if store.supports_ttl else set())
    rules = [one for one in LANGGRAPH_RULES if only is None or one.id in only]
    excused = {id: why for id, why in (waivers or {}).items() if only is None or id in only}
    report = run(rules, lambda: Stage(factory, advance, reopen), claimed=claimed, waivers=excused, subject=subject)
    return replace(report, verdicts=(*report.verdicts, *unknown_waivers(excused, LANGGRAPH_RULES)))
