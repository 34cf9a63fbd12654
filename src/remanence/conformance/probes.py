"""How a mechanism of each substrate is used once and looked at: what the general laws are stated with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remanence.core.card import Substrate
from remanence.substrates.records import probe as records


@dataclass(frozen=True, slots=True)
class Probe:
    """`drive(mechanism, seed)` uses it, the same way for the same seed; `observe(mechanism)` says what it remembers, as
    plain data without ids."""

    drive: Callable[[Any, int], object]
    observe: Callable[[Any], Any]


PROBES: dict[Substrate, Probe] = {"records": Probe(records.drive, records.observe)}
