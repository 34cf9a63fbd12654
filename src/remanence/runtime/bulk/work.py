"""Bulk work on a memory: what `Memory.bulk` returns."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Literal, Self, Unpack

from remanence.core.errors import InvalidInput
from remanence.core.scope import Scope
from remanence.runtime import maintenance
from remanence.runtime.adding import Progress
from remanence.runtime.arguments import Ids, ids_of, whom
from remanence.runtime.bulk import deriving, importing
from remanence.runtime.bulk.spread import HERE, Spread, as_spread
from remanence.runtime.bulk.tools import Recipe, address_of, forget_tools, recipe_of
from remanence.runtime.engine import Engine
from remanence.runtime.files import TextFile
from remanence.runtime.working import WorkReport

__all__ = ["Bulk", "Writer"]

Writer = Literal["auto", "driver", "workers"]
_MOST: Final = 5000
_IMPORTED: Final = 1000
_DERIVED: Final = 256


class Bulk:
    """Imports, embeds and rebuilds in parts that are computed wherever `spread` has room.

    Every part is written in one transaction with the note that it is done. Whoever is killed, a worker, a machine of
    the cluster or the process that calls this, the same call goes on with the parts that are left; nothing is lost and
    nothing is stored twice.

    Args:
        engine: of the memory.
        spread: "here" (this process), "local" (a Ray cluster of this machine), the address of a Ray cluster, or an
            object that keeps `spread.Spread`, which is left open.
        write: who writes: the workers, or this process what workers computed. "auto": the workers, where they are
            other processes and the store is a database, which all machines reach; this process else.

    Raises:
        InvalidInput: workers are to write into a store that only this machine can open.
        MissingExtra: Ray is meant, and is not installed.
        SpreadError: no cluster at that address.

    """

    def __init__(self, engine: Engine, spread: Spread | str = HERE, *, write: Writer = "auto") -> None:
        if write not in ("auto", "driver", "workers"):
            raise InvalidInput(f"write={write!r} must be 'auto', 'driver' or 'workers'")
        address = address_of(engine.store)
        if write == "workers" and address is None:
            raise InvalidInput(
                f"workers cannot write into {engine.place}: processes on many machines cannot share it; "
                "let the driver write (write='driver'), or keep the memory in PostgreSQL"
            )
        self._engine = engine
        self._own = isinstance(spread, str)
        self._spread = as_spread(spread)
        self._there = write == "workers" or (write == "auto" and self._spread.apart)
        self._address = address if self._there else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of a cluster that was made or reached for this."""
        forget_tools()
        if self._own:
            self._spread.close()

    def import_(
        self,
        source: TextFile,
        *,
        format: str = "auto",
        skip_bad: bool = False,
        size: int = _IMPORTED,
        again: bool = False,
        progress: Progress | None = None,
        filters: Mapping[str, Any] | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Store what a file of chats or of another layer's memories holds, as `Memory.import_` does, in parts.

        The store remembers the import: the same file for the same ids goes on where it was stopped, and once it is
        complete stores nothing again. Messages are stored in the order of the file, with their vectors, however slow
        the model is that makes them.

        Args:
            source: a path or an open text file.
            format: what it is; recognised by its beginning if left out. Exports of Remanence are for `Memory.import_`.
            skip_bad: pass over lines that cannot be read, and count them, instead of refusing the file.
            size: messages per part, up to 5,000; an import that goes on keeps the size that it was begun with.
            again: import a file that was imported already once more.
            progress: called with how much is stored, and how much there is.

        Returns:
            `imported` (by this call) and `before` (by earlier ones, or others), `failed` (messages that could not be
            made or stored: their first `lines`, how many, the reason; the next call tries them again), `skipped`,
            `bad`, `bad_lines` and `changes` as `Memory.import_`, and `degraded` where vectors are missing.

        Raises:
            ImportFormatError: not such a file, or a bad line in it; nothing was stored. Or the file was changed.
            StoreError: the store could not be read or written; what was stored before is not lost.

        """
        given = ids_of(ids)
        if self._engine.defaults or filters or given:
            given = dict(whom("import_", self._engine.defaults, ids, filters).items())
        return importing.import_file(
            self._engine,
            self._spread,
            self._recipe(),
            source,
            given,
            format=format,
            skip_bad=skip_bad,
            size=_checked(size),
            again=again,
            progress=progress,
        )

    def reembed(
        self,
        *,
        everywhere: bool = False,
        size: int = _DERIVED,
        progress: Progress | None = None,
        filters: Mapping[str, Any] | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Compute the vectors that are missing in the memory's embedding space, from the texts.

        `size`: records per part. Answer: `embedded` versions, and those that `failed`, each with `id` and `reason`.
        """
        scopes = self._scopes("reembed", ids, filters, everywhere)
        return deriving.reembed(self._engine, self._spread, self._recipe(), scopes, _checked(size), progress)

    def rebuild(
        self,
        *,
        derived: bool = True,
        everywhere: bool = False,
        size: int = _DERIVED,
        progress: Progress | None = None,
        filters: Mapping[str, Any] | None = None,
        **ids: Unpack[Ids],
    ) -> dict[str, Any]:
        """Derive terms and vectors of every version anew, and what was worked out, as `Memory.rebuild` does, in parts.

        One that was stopped goes on with the parts that are left, unless a rebuild to another language or embedder
        came between. Answer: versions `rebuilt` during this call, records done `before`, and those that `failed`, each
        with `id` and `reason`; the next call tries them again.
        """
        scopes = self._scopes("rebuild", ids, filters, everywhere)
        return deriving.rebuild(
            self._engine, self._spread, self._recipe(), scopes, _checked(size), progress, derived=derived
        )

    def work(self) -> WorkReport:
        """Do what is due in the whole store: facts, episodes and the like.

        Workers that can write each take a home scope at a time; else this process does it alone. What a worker that
        died had begun is due again after a minute.
        """
        return deriving.work(self._engine, self._spread, self._recipe())

    def _recipe(self) -> Recipe:
        return recipe_of(self._engine, self._address)

    def _scopes(
        self, verb: str, ids: Mapping[str, object], filters: Mapping[str, Any] | None, everywhere: bool
    ) -> list[Scope]:
        if everywhere:
            return maintenance.territories(self._engine.store)
        return [whom(verb, self._engine.defaults, ids, filters)]


def _checked(size: object) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MOST:
        raise InvalidInput(f"size={size!r} must be a whole number from 1 to {_MOST:,}")
    return size
