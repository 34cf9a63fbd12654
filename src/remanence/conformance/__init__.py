"""The promises of the contracts as rules with stable ids, to run against one's own implementation.

>>> from remanence.conformance import check_store
>>> from remanence.substrates.records.reference import MemoryStore
>>> check_store(MemoryStore).ok
True
"""

from __future__ import annotations

from remanence.conformance.rules import Broken, Report, Rule, Verdict
from remanence.conformance.stage import Stage, StoreFactory
from remanence.conformance.store_rules import STORE_RULES, check_store

__all__ = ["STORE_RULES", "Broken", "Report", "Rule", "Stage", "StoreFactory", "Verdict", "check_store"]
