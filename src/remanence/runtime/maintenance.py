"""Looking after what is remembered: terms and vectors anew, erasure and its proof."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from remanence.core.errors import InvalidInput, NotFound
from remanence.core.scope import Scope
from remanence.runtime.adding import Progress
from remanence.runtime.arguments import memory_id_of
from remanence.runtime.engine import Engine
from remanence.runtime.files import batched
from remanence.runtime.merged import with_merged
from remanence.runtime.results import ReceiptDict, receipt_dict
from remanence.substrates.records.model import Record, View, is_derived
from remanence.substrates.records.operations import (
    Columns,
    Embed,
    Erase,
    Find,
    History,
    Operation,
    Receipt,
    Reindex,
    Scan,
)
from remanence.substrates.records.port import Inspectable, RecordStore, Surveyable

__all__ = ["erase", "histories", "rebuild", "reembed", "territories", "verify_erasure", "versions_of"]

PORTION: Final = 256
"""Versions derived anew in one transaction."""


def erase(engine: Engine, memory_ids: str | Iterable[str] | None, scope: Scope, reason: str) -> ReceiptDict:
    """Destroy memories and what rests on them alone. See `Memory.erase`."""
    asked = None if memory_ids is None else tuple(with_merged(engine, _ids(memory_ids), scope))
    from remanence.runtime.enrichment.following import forget
    from remanence.runtime.gathering import after_erasure  # It reads with what stands here.

    after = [] if asked is None else after_erasure(engine, asked, scope)
    receipt: Receipt = engine.write([Erase(asked, reason), *after], scope).results[0]
    # What was read of the erased texts must not stay in memory either.
    engine.indexes.clear()
    engine.truth.clear()
    engine.handed_out.clear()
    forget(engine)
    return receipt_dict(receipt)


def _ids(memory_ids: object) -> tuple[str, ...]:
    if isinstance(memory_ids, str) or not isinstance(memory_ids, Iterable):
        return (memory_id_of(memory_ids),)
    return tuple(map(memory_id_of, memory_ids))


def verify_erasure(
    engine: Engine, receipt: Mapping[str, Any] | Sequence[str], phrases: Sequence[str], scope: Scope | None
) -> dict[str, Any]:
    """Look for what was erased. See `Memory.verify_erasure`."""
    ids = [*receipt["ids"], *receipt["derived"]] if isinstance(receipt, Mapping) else list(receipt)
    if isinstance(phrases, str) or not all(isinstance(phrase, str) for phrase in phrases):
        raise InvalidInput(f"phrases must be a list of texts, not {phrases!r}")
    if isinstance(engine.store, Inspectable):
        return engine.store.verify_erasure(ids, phrases).as_dict()
    if isinstance(receipt, Mapping):
        scope = Scope.of(receipt["scope"])
    if scope is None:
        raise InvalidInput("a store without a file is searched within a scope; pass the receipt or scope ids")
    findings = [{"kind": "id", "what": id, "place": "store"} for id in ids if histories(engine, [id], scope)]
    (records,) = engine.read([Find(View(engine.now()), limit=None)], scope)
    findings += [
        {"kind": "phrase", "what": phrase, "place": record.id}
        for phrase in phrases
        for record in records
        if phrase in record.text
    ]
    return {"clean": not findings, "findings": findings, "ids": len(ids), "phrases": len(phrases), "files": {}}


def territories(store: RecordStore) -> list[Scope]:
    """Scopes that together cover everything in a store, by one id each. Raises `InvalidInput` if it cannot tell."""
    if not isinstance(store, Surveyable):
        raise InvalidInput(f"{type(store).__name__} cannot list its scopes; name the scope with user_id or another id")
    return list(dict.fromkeys(Scope(**dict([next(scope.items())])) for scope in store.scopes()))


def reembed(engine: Engine, scope: Scope, progress: Progress | None) -> int:
    """Give every version of a scope that has none a vector of the present embedder; how many.

    Each portion is committed by itself: what was done stays done, and the next call goes on from there.

    Raises:
        EmbeddingError: the model failed.

    """
    space = engine.embedder.space
    columns: Columns
    (columns,) = engine.read([Scan(space=space.key)], scope)
    return _derive(engine, scope, versions_of(columns, np.flatnonzero(columns.scales == 0).tolist()), progress)


def rebuild(engine: Engine, scope: Scope, progress: Progress | None, *, derived: bool = True) -> int:
    """Derive the search terms and the vectors of every version anew from its text, open or closed; how many versions.

    `derived=False` passes over records that were derived from others. No version is made, none is dropped. Terms are
    written, and journaled, only where they differ from those before.
    Errors as `reembed`; terms come first, so they are right even when the model fails.
    """
    columns: Columns
    (columns,) = engine.read([Scan()], scope)
    rows = (row for row, origin in enumerate(columns.origins) if derived or not is_derived(origin))
    wanted = versions_of(columns, rows)
    _reindex(engine, scope, wanted)
    done = _derive(engine, scope, wanted, progress)
    engine.indexes.clear()
    return done


def versions_of(columns: Columns, rows: Iterable[int]) -> dict[str, set[int]]:
    """Version numbers by id."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        wanted.setdefault(columns.ids[row], set()).add(int(columns.versions[row]))
    return wanted


def _reindex(engine: Engine, scope: Scope, wanted: Mapping[str, set[int]]) -> None:
    recall = engine.recall(scope)
    for records in _portions(engine, scope, wanted):
        streams = recall.analyse([record.text for record in records])
        operations: list[Operation] = [
            Reindex(record.id, record.version, terms)
            for record, terms in zip(records, streams, strict=True)
            if record.terms != terms
        ]
        if operations:
            engine.write(operations, scope, why="rebuild")


def _derive(engine: Engine, scope: Scope, wanted: Mapping[str, set[int]], progress: Progress | None) -> int:
    recall = engine.recall(scope)
    total, done = sum(map(len, wanted.values())), 0
    for records in _portions(engine, scope, wanted):
        texts = [record.text for record in records]
        operations: list[Operation] = [
            Embed(record.id, record.version, vector)
            for record, vector in zip(records, recall.embed(texts), strict=True)
        ]
        engine.write(operations, scope)
        done += len(records)
        if progress is not None:
            progress(done, total)
    return done


def _portions(engine: Engine, scope: Scope, wanted: Mapping[str, set[int]]) -> Iterator[list[Record]]:
    for ids in batched(wanted, PORTION):
        records = [
            record
            for versions in histories(engine, ids, scope)
            for record in versions
            if record.version in wanted[record.id]
        ]
        if records:
            yield records


def histories(engine: Engine, ids: Sequence[str], scope: Scope) -> list[tuple[Record, ...]]:
    """All versions of each record; those that were erased since they were listed are left out."""
    try:
        return list(engine.read([History(id) for id in ids], scope))
    except NotFound:
        if len(ids) == 1:
            return []
        half = len(ids) // 2
        return histories(engine, ids[:half], scope) + histories(engine, ids[half:], scope)
