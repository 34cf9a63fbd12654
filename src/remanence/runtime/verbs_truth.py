"""The verbs of `Memory` that say what is known: of whom, since when, on which words it rests."""

from __future__ import annotations

from typing import Any, Final, Unpack

from remanence.core.errors import StoreReadOnly
from remanence.core.scope import Scope
from remanence.runtime.arguments import Ids, Time, limit_of, view_of
from remanence.runtime.verbs import Filters, Verbs

__all__ = ["TruthVerbs"]

SOON: Final = 2.0
"""Seconds that may be spent on what is still to be worked out, before what is known is shown."""


class TruthVerbs(Verbs):
    """What is known of people and things: now, earlier, and why."""

    def profile(
        self,
        subject: str | None = None,
        *,
        limit: int | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """What is known of somebody: what rarely changes, what holds now, preferences, instructions; each with sources.

        Args:
            subject: a name; whom the memory belongs to if left out.
            limit: how many rows of each group at most; 50 if left out.
            as_of: what was true then.
            known_at: as the store knew it then.

        """
        scope = self._whom("profile", ids, filters)
        self._settle(scope)
        view = view_of(self._engine.now(), as_of, known_at)
        from remanence.runtime import knowing

        return knowing.profile(self._engine, scope, subject, view, limit_of(limit, None, 50))

    def timeline(
        self,
        subject: str | None = None,
        *,
        attribute: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
        known_at: Time | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """What was true when, oldest first: held, superseded and ended facts, each with its interval and sources.

        Args:
            subject: a name; everybody if left out.
            attribute: only this one, such as "home_city".
            since: only what held at that time or later.
            until: only what began before.
            limit: how many rows at most; 100 if left out.
            known_at: as the store knew it then.

        """
        scope = self._whom("timeline", ids, filters)
        self._settle(scope)
        from remanence.runtime import knowing

        return knowing.timeline(
            self._engine,
            scope,
            view_of(self._engine.now(), None, known_at),
            subject=subject,
            attribute=attribute,
            since=since,
            until=until,
            limit=limit_of(limit, None, 100),
        )

    def explain(self, memory_id: str, *, filters: Filters | None = None, **ids: Unpack[Ids]) -> dict[str, Any]:
        """Where a memory comes from and what became of it: sources with the words quoted, what was derived from it,
        what it replaced and what replaced it, premises, dependents, and every change with its author.

        Raises `NotFound`.
        """
        scope = self._whom("explain", ids, filters)
        self._settle(scope)
        from remanence.runtime import knowing

        return knowing.explain(self._engine, memory_id, scope)

    def _settle(self, scope: Scope) -> None:
        """Work out what is due first, if that is soon done; who may not write reads what there is."""
        if not self._engine.enrich:
            return
        try:
            from remanence.runtime import working

            working.drain(self._engine, scope, seconds=SOON)
        except StoreReadOnly:
            return
