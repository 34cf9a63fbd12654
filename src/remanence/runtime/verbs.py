"""What the groups of verbs of `Memory` share: the engine behind them, and whom a call is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remanence.core.scope import Scope
from remanence.runtime import maintenance
from remanence.runtime.arguments import Ids, whom
from remanence.runtime.engine import Engine

__all__ = ["Filters", "Verbs"]

Filters = Mapping[str, Any]


class Verbs:
    """Base of the groups of verbs; `Memory` gives it its engine."""

    _engine: Engine

    def _whom(self, verb: str, ids: Ids, filters: Filters | None) -> Scope:
        return whom(verb, self._engine.defaults, ids, filters)

    def _places(self, verb: str, ids: Ids, filters: Filters | None, everywhere: bool) -> list[Scope]:
        return maintenance.territories(self._engine.store) if everywhere else [self._whom(verb, ids, filters)]

    def _whom_if_any(self, verb: str, ids: Ids, filters: Filters | None) -> Scope | None:
        if not (self._engine.defaults or filters or any(value is not None for value in ids.values())):
            return None
        return whom(verb, self._engine.defaults, ids, filters)
