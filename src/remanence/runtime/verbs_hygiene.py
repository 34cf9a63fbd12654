"""The verbs of `Memory` that keep it in order: sleep, the archive, quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from remanence.runtime.arguments import Ids, Time, scope_of
from remanence.runtime.verbs import Filters, Verbs

if TYPE_CHECKING:
    from remanence.runtime.fading import Forget, Keep

__all__ = ["HygieneVerbs"]


class HygieneVerbs(Verbs):
    """Consolidation and forgetting, what is put away, and what is not to be believed."""

    def sleep(
        self,
        *,
        dry_run: bool = False,
        duplicates: bool = True,
        ttl: bool = True,
        forget: Forget = "off",
        abstract: bool = True,
        across_runs: bool = True,
        kinds: Sequence[str] | str = ("turn",),
        keep: Keep = "facts",
        episodes: int = 2,
        scale: float = 30.0,
        threshold: float = 0.1,
        archived_days: float = 90.0,
        seed: int | None = None,
        now: Time | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Consolidate: merge repetitions, put away what ran out or faded, write down what many episodes say.

        Each step is one change that `undo` takes back, and nothing is destroyed. Doing it again at the same time
        changes nothing.

        Args:
            dry_run: tell what would be done, and do nothing.
            duplicates: merge what says the same; the survivor counts its evidence.
            ttl: let expire what has `ttl` or `expires_at` in its metadata.
            forget: "off" forgets nothing; "archive" puts away what fades by the forgetting curve; "close" also lets go
                of what has lain in the archive for `archived_days`.
            abstract: write notes of what several episodes say.
            across_runs: whether what was said in one session can repeat what was said in another.
            kinds: kinds of memories that may fade.
            keep: what never fades: sources of "facts" of any time, of what is "held" now, or "nothing".
            episodes: in how many episodes something must have been said to become a note.
            scale: days in which a memory of strength 1 fades to 1/e; each use adds 1 to its strength.
            threshold: retention below which a memory has faded.
            archived_days: see `forget`.
            seed: draw by retention with this seed, as MemoryBank does, instead of cutting off at `threshold`.
            now: the time by which to judge.

        """
        scope = self._whom("sleep", ids, filters)
        from remanence.runtime import sleeping

        return sleeping.sleep(
            self._engine,
            scope,
            dry_run=dry_run,
            duplicates=duplicates,
            ttl=ttl,
            forget=forget,
            abstract=abstract,
            across_runs=across_runs,
            kinds=kinds,
            keep=keep,
            episodes=episodes,
            scale=scale,
            threshold=threshold,
            archived_days=archived_days,
            seed=seed,
            now=now,
        )

    def archive(
        self,
        memory_ids: str | Iterable[str],
        *,
        reason: str = "",
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Put memories away: no search finds them unless a filter asks for the state "archived". Raises `NotFound`."""
        from remanence.runtime import sleeping

        return sleeping.archive(self._engine, memory_ids, self._whom("archive", ids, filters), reason=reason)

    def activate(
        self,
        memory_ids: str | Iterable[str],
        *,
        reason: str = "",
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Bring back what was archived, merged or expired. Raises `NotFound`."""
        from remanence.runtime import sleeping

        return sleeping.activate(self._engine, memory_ids, self._whom("activate", ids, filters), reason=reason)

    def freeze(
        self,
        memory_ids: str | Iterable[str],
        *,
        reason: str = "",
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Let no sleep touch these memories. Raises `NotFound`."""
        from remanence.runtime import sleeping

        return sleeping.freeze(self._engine, memory_ids, self._whom("freeze", ids, filters), reason=reason)

    def unfreeze(
        self,
        memory_ids: str | Iterable[str],
        *,
        reason: str = "",
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Treat frozen memories as any others again. Raises `NotFound`."""
        from remanence.runtime import sleeping

        return sleeping.unfreeze(self._engine, memory_ids, self._whom("unfreeze", ids, filters), reason=reason)

    def quarantine(
        self,
        memory_ids: str | Iterable[str] | None = None,
        *,
        origin: str | None = None,
        source: str | None = None,
        reason: str = "",
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Believe memories no longer, and nothing that rests on them alone, until `release`; `undo` takes it back.

        Args:
            memory_ids: which ones.
            origin: all of this origin: "tool", "import:mem0", or "import:*" for all that begins so.
            source: all whose metadata names this `source`.
            reason: kept with each memory.
            filters: conditions besides; of several selections a memory has to meet each.

        """
        scope, where = scope_of("quarantine", self._engine.defaults, ids, filters)
        from remanence.runtime import hygiene

        return hygiene.quarantine(
            self._engine, scope, ids=memory_ids, origin=origin, source=source, where=where or None, reason=reason
        )

    def release(
        self,
        memory_ids: str | Iterable[str] | None = None,
        *,
        origin: str | None = None,
        source: str | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Believe memories again that were in quarantine, and what rests on them. Arguments as `quarantine`."""
        scope, where = scope_of("release", self._engine.defaults, ids, filters)
        from remanence.runtime import hygiene

        return hygiene.release(self._engine, scope, ids=memory_ids, origin=origin, source=source, where=where or None)

    def audit(
        self,
        *,
        stale_days: float = 365.0,
        examples: int = 3,
        now: Time | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """How clean a scope is: the rates of junk, repetitions, contradictions, stale and unsupported memories, and
        suspected injections, with `examples` of each.

        `remanence.runtime.audit.audit_file` asks the same of other tools' exports.
        """
        from remanence.runtime import audit  # It reads claims; few calls need that.

        scope = self._whom("audit", ids, filters)
        return audit.audit(self._engine, scope, stale_days=stale_days, examples=examples, now=now)
