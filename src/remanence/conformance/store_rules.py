"""All that a record store promises, as rules S01 and following."""

from __future__ import annotations

from collections.abc import Collection

from remanence.conformance import store_erasure, store_jobs, store_promises, store_reads, store_writes
from remanence.conformance.rules import Report, Rule, collect, run
from remanence.conformance.stage import Reopen, Stage, StoreFactory

STORE_RULES: tuple[Rule[Stage], ...] = collect(store_promises, store_writes, store_reads, store_erasure, store_jobs)


def check_store(factory: StoreFactory, *, reopen: Reopen | None = None, only: Collection[str] | None = None) -> Report:
    """Put a record store to the test; `print` the report, or ask it whether all is `ok`.

    `factory(clock=…, random_bits=…)` makes a new, empty store each time. `reopen(store)` closes a store and opens it
    again as another process would; without it the rules on durability cannot run. `only` picks rules by id.
    """
    rules = [rule for rule in STORE_RULES if only is None or rule.id in only]
    return run(rules, lambda: Stage(factory, reopen))
