"""The verbs of `Memory` that look after what is kept: erasing, counting, moving it, deriving anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from remanence.runtime import maintenance, outbox, reading, vectors
from remanence.runtime.adding import Progress
from remanence.runtime.arguments import Ids, limit_of
from remanence.runtime.files import TextFile
from remanence.runtime.results import ReceiptDict
from remanence.runtime.verbs import Filters, Verbs
from remanence.stores.embedders import as_embedder
from remanence.substrates.embedding import Embedder

if TYPE_CHECKING:
    from remanence.runtime.bulk.spread import Spread
    from remanence.runtime.bulk.work import Bulk, Writer

__all__ = ["CareVerbs"]


class CareVerbs(Verbs):
    """Erasing, counting, moving and deriving anew."""

    # Forgetting for good

    def erase(
        self,
        memory_ids: str | Iterable[str] | None = None,
        *,
        reason: str = "",
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> ReceiptDict:
        """Destroy memories in every version, with all that was derived from them alone, and all traces in the files.

        Args:
            memory_ids: which; None means everything that the scope covers.
            reason: kept on the receipt.

        Returns:
            The receipt: ids, counts, time and reason, but no text.

        Raises:
            NotFound: one of the ids is not in this scope; nothing was erased.

        """
        scope = self._whom("erase", ids, filters)
        return maintenance.erase(self._engine, memory_ids, scope, reason)

    def verify_erasure(
        self,
        receipt: Mapping[str, Any] | Sequence[str],
        phrases: Sequence[str] = (),
        *,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Search the store's files for what a receipt says was erased, and for phrases; `clean` is the result."""
        scope = self._whom_if_any("verify_erasure", ids, filters)
        return maintenance.verify_erasure(self._engine, receipt, phrases, scope)

    def receipts(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        receipt_id: str | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> list[ReceiptDict]:
        """Receipts of earlier erasures in a scope, oldest first; 100 if no limit is given.

        Args:
            limit: how many at most.
            after: only those after this receipt; to go on, that of the last one listed.
            receipt_id: only this one.

        Raises:
            NotFound: `after` is no receipt in this scope.

        """
        scope = self._whom("receipts", ids, filters)
        return reading.receipts(self._engine, scope, limit_of(limit, None, 100), after=after, receipt_id=receipt_id)

    # Looking after it

    def stats(self, *, filters: Filters | None = None, **ids: Unpack[Ids]) -> dict[str, Any]:
        """Counts of a scope: memories, versions, kinds, sessions, speakers, vectors by space, and where it is kept."""
        scope = self._whom("stats", ids, filters)
        worker = self._engine.worker
        from remanence.runtime.enrichment.budget import usage_of

        return {
            **reading.stats(self._engine, scope),
            "jobs": outbox.job_counts(self._engine, scope),
            "background": None if worker is None else worker.status(),
            "llm": usage_of(self._engine),
        }

    def export(self, target: TextFile, *, filters: Filters | None = None, **ids: Unpack[Ids]) -> dict[str, Any]:
        """Write all versions and links of a scope as JSON lines, under a header with counts and a checksum.

        `target` is a path or an open text file. A path is replaced only once everything is written. A path that ends in
        `.cube` becomes a cube: the same lines in a ZIP, with a manifest of hashes.
        """
        scope = self._whom("export", ids, filters)
        from remanence.runtime import cube, transfer  # What few need is loaded for those.

        if isinstance(target, str | os.PathLike) and os.fspath(target).endswith(cube.SUFFIX):
            return cube.export(self._engine, target, scope)
        return transfer.export(self._engine, target, scope)

    def import_(
        self,
        source: TextFile,
        *,
        format: str = "auto",
        skip_bad: bool = False,
        progress: Progress | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Store what a file holds: an export ("remanence", "cube"), chats ("chat", "chatgpt", "claude", "locomo"), or
        the memories of another layer ("mem0", "langgraph", "mcp").

        An export keeps its ids, versions and links, and what is there already is passed over; everything in it must lie
        within the scope given here, or else within the scope that was exported. See `remanence.runtime.importers`.

        Args:
            source: a path or an open text file.
            format: what it is; recognised by its beginning if left out.
            skip_bad: pass over lines that cannot be read, and count them, instead of refusing the file.
            progress: called with how much is stored, and how much there is.

        Raises:
            ImportFormatError: not such a file, or a bad line in it; nothing was stored.
            InvalidInput: memories that the scope does not cover; nothing was stored.

        """
        scope = self._whom_if_any("import_", ids, filters)
        whose = {} if scope is None else dict(scope.items())
        from remanence.runtime import importers

        return importers.import_file(self._engine, source, whose, format=format, skip_bad=skip_bad, progress=progress)

    def reembed(
        self,
        embedder: Embedder | Callable[[list[str]], object] | str | None = None,
        *,
        everywhere: bool = False,
        progress: Progress | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> int:
        """Compute the vectors that are missing, from the texts; how many. A new `embedder` is used from here on.

        `everywhere`: in the whole store instead of one scope, for those who look after it.
        """
        scopes = self._places("reembed", ids, filters, everywhere)
        if embedder is not None:
            self._engine.embedder = as_embedder(embedder)
        return sum(maintenance.reembed(self._engine, scope, progress) for scope in scopes)

    def rebuild(
        self,
        *,
        derived: bool = True,
        everywhere: bool = False,
        progress: Progress | None = None,
        filters: Filters | None = None,
        **ids: Unpack[Ids],
    ) -> int:
        """Derive search terms and vectors of every version anew from the texts, and facts, episodes and all else that
        was worked out; how many versions.

        This is how a store moves to another `language`. Texts, times and versions stay as they are; where terms differ,
        that is journaled. Words that only earlier terms held stay in the store's vocabulary until the next erasure.
        `derived=False` leaves out facts, episodes and all else that was worked out.
        `everywhere`: in the whole store instead of one scope, for those who look after it.

        Raises:
            EmbeddingError: the model failed; the terms are right by then, the vectors in part.

        """
        scopes = self._places("rebuild", ids, filters, everywhere)
        from remanence.runtime.bulk import ledger
        from remanence.runtime.rederiving import rebuild_derived

        # What is worked out anew gets its terms and vectors with that.
        anew = derived and self._engine.enrich
        for scope in scopes:
            ledger.drop(self._engine, scope, ledger.REBUILD)
        count = sum(maintenance.rebuild(self._engine, scope, progress, derived=not anew) for scope in scopes)
        for scope in scopes if anew else ():
            rebuild_derived(self._engine, scope)
        return count

    def bulk(self, spread: Spread | str = "here", *, write: Writer = "auto") -> Bulk:
        """Import, embed and rebuild in parts that survive whoever works on them, here or over a Ray cluster.

        Args:
            spread: "here" (this process), "local" (a Ray cluster of this machine), or the address of a Ray cluster.
            write: who writes: "workers", the "driver", or "auto"; see `remanence.runtime.bulk.work.Bulk`.

        Raises:
            InvalidInput: workers are to write into a store that only this machine can open.
            MissingExtra: Ray is meant, and is not installed.
            SpreadError: there is no cluster at that address.

        """
        from remanence.runtime.bulk.work import Bulk  # Few need it.

        return Bulk(self._engine, spread, write=write)

    def flush(self, *, filters: Filters | None = None, **ids: Unpack[Ids]) -> dict[str, int]:
        """Finish what was put off: count the uses, embed what was added while the embedder could not run, and work out
        facts, episodes and the like.

        Without ids: wherever this object has left something to do, and all jobs that are due. Raises `EmbeddingError`,
        `StoreError`; what fails while jobs are worked on is told by `jobs`.
        """
        scope = self._whom_if_any("flush", ids, filters)
        counted = self._engine.flush_uses()
        from remanence.runtime import working

        worked = working.drain(self._engine, scope)["done"]
        return {"counted": counted, "embedded": vectors.finish(self._engine, scope), "worked": worked}
