"""How a mechanism of each substrate is used once and looked at: what the general laws are stated with."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol, cast

from remanence.core.card import SUBSTRATES, Substrate
from remanence.core.errors import InvalidInput


class Probe(Protocol):
    """The module `probe` of a substrate."""

    def drive(self, mechanism: Any, seed: int, /) -> object:
        """Use a mechanism, the same way for the same seed."""
        ...

    def observe(self, mechanism: Any, /) -> Any:
        """What it remembers, as plain data without ids."""
        ...


def _place(substrate: Substrate) -> str:
    return f"remanence.substrates.{substrate}.probe"


def _there(substrate: Substrate) -> bool:
    package = importlib.util.find_spec(f"remanence.substrates.{substrate}")
    return package is not None and importlib.util.find_spec(_place(substrate)) is not None


def probe_of(substrate: Substrate) -> Probe:
    """The probe of a substrate; loads what the substrate needs. Raises `InvalidInput` for one that has none yet."""
    if not _there(substrate):
        known = ", ".join(one for one in SUBSTRATES if _there(one))
        raise InvalidInput(f"there are no rules for substrate {substrate!r} yet, only for {known}")
    # By name, so that nobody loads torch who puts a mechanism of records to the test.
    return cast(Probe, importlib.import_module(_place(substrate)))
