"""What `Erase` does: records and what rests on them alone, destroyed in every table."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from remanence.core.clock import from_micros
from remanence.stores.relational import jobs
from remanence.stores.relational.rows import Lineage, Version
from remanence.stores.relational.transaction import K, Transaction
from remanence.stores.relational.writing import no_record
from remanence.substrates.records.model import is_derived
from remanence.substrates.records.operations import Erase, Receipt
from remanence.substrates.records.packing import pack_sources, unpack_sources


def erase(tx: Transaction[K], operation: Erase) -> Receipt:
    """Destroy, and leave a receipt."""
    asked = tx.erasing.covered() if operation.ids is None else _owned(tx, operation.ids)
    key = tx.place(tx.scope)
    if operation.ids is None:
        tx.jobs.drop_covered()
    # Derived records are followed wherever they are.
    with tx.everywhere():
        lineage = _follow(tx, asked)
        jobs.forget(tx, lineage.gone.keys(), {version.key for version in lineage.doomed.values()})
        again = _support(tx, lineage)
        # Whoever asks for everything means what was said; the rest goes with it.
        said = asked.keys() - _derived(tx, asked) if operation.ids is None else asked.keys()
        counts = _destroy(tx, lineage, key)
    change = tx.begin_change()
    seq = tx.enter("erase", key, change, 0)
    touched = {version.id for part in (lineage.doomed, lineage.staying) for version in part.values()}
    receipt = Receipt(
        id=change,
        scope=tx.scope,
        at=from_micros(tx.now),
        actor=tx.actor,
        reason=operation.reason,
        ids=tuple(sorted(said)),
        derived=tuple(sorted(lineage.gone.keys() - said)),
        kept=tuple(sorted(touched - lineage.gone.keys())),
        counts=counts,
        again=again,
    )
    tx.erasing.add_receipt(seq, key, receipt, lineage.gone)
    tx.forget_caches()
    return receipt


def _owned(tx: Transaction[K], ids: Iterable[str]) -> dict[str, K]:
    asked: dict[str, K] = {}
    for id in ids:
        key = tx.owner(id)
        if key is None:
            raise no_record(tx, id)
        asked[id] = key
    return asked


def _follow(tx: Transaction[K], asked: dict[str, K]) -> Lineage[K]:
    """Follow derived records wherever they are: they come from the same words, whoever's scope they were written to."""
    rows = tx.erasing
    gone: dict[str, K] = {}
    doomed: dict[int, Version[K]] = {}
    touched: dict[int, Version[K]] = {}
    wave = asked
    while wave:
        gone.update(wave)
        doomed.update((version.seq, version) for version in rows.versions_of(wave))
        reached = rows.versions_at(rows.resting_on(wave) - doomed.keys())
        derived = _derived(tx, {version.id for version in reached})
        wave = {version.id: version.key for version in reached if version.id in derived}
        # Else a version goes when none of its sources is left, a derived one with any of them; a record goes when none
        # of its versions is left.
        candidates: dict[str, K] = {}
        for version in reached:
            touched[version.seq] = version
            if version.derived or all(source.id in gone for source in unpack_sources(version.sources)):
                doomed[version.seq] = version
                candidates[version.id] = version.key
        left = {version.id for version in rows.versions_of(candidates) if version.seq not in doomed}
        wave |= {id: key for id, key in candidates.items() if id not in left}
    return Lineage(gone, doomed, {seq: version for seq, version in touched.items() if seq not in doomed})


def _support(tx: Transaction[K], lineage: Lineage[K]) -> tuple[str, ...]:
    """Surviving records that are not derived, on which the derived ones among the destroyed versions rested."""
    made = (version for version in lineage.doomed.values() if version.derived)
    sources = {source.id for version in made for source in unpack_sources(version.sources)} - lineage.gone.keys()
    return tuple(sorted(sources - _derived(tx, sources)))


def _derived(tx: Transaction[K], ids: Collection[str]) -> set[str]:
    """Those of some records whose newest version a worker derived."""
    return {id for id, origin in tx.erasing.newest_origins(ids) if is_derived(origin)}


def _destroy(tx: Transaction[K], lineage: Lineage[K], erasing: K) -> dict[str, int]:
    """Delete rows of every kind; how many of each. The scope that erases stays, since the receipt names it."""
    rows, gone, doomed = tx.erasing, lineage.gone, lineage.doomed.values()
    counts = {
        "versions": rows.drop_versions(doomed),
        "vectors": rows.drop_vectors(doomed),
        "edges": rows.drop_edges(gone),
        "usage": rows.drop_usage(gone),
        "journal": rows.drop_entries(lineage),
        "terms": rows.drop_terms(_unused_terms(tx, doomed)),
    }
    _cut_sources(tx, lineage)
    rows.set_floors(lineage)
    rows.drop_spaces()
    rows.drop_scopes(erasing)
    return counts


def _cut_sources(tx: Transaction[K], lineage: Lineage[K]) -> None:
    """Take what goes out of the sources of what stays, and out of the table that finds derived records."""
    links = {
        (version.key, source.id, version.seq)
        for version in lineage.doomed.values()
        for source in unpack_sources(version.sources)
    }
    tx.erasing.drop_lineage(lineage, links)
    tx.erasing.set_sources(
        [
            (
                pack_sources(source for source in unpack_sources(version.sources) if source.id not in lineage.gone),
                version,
            )
            for version in lineage.staying.values()
        ]
    )


def _unused_terms(tx: Transaction[K], doomed: Iterable[Version[K]]) -> list[int]:
    """Term integers that no remaining version uses, of versions that went and of terms that a reindexing replaced."""
    rows = tx.erasing
    if rows.reindexed() > tx.epoch:
        # Nobody knows any more which versions had the replaced terms, and the words of what is erased are among them.
        candidates = np.array(rows.vocabulary(), dtype=np.int32)
    else:
        candidates = np.unique(_integers([version.terms for version in doomed]))
    if not len(candidates):
        return []
    used = np.zeros(int(candidates[-1]) + 1, dtype=np.bool_)
    for streams in rows.streams():
        tids = _integers(streams)
        used[tids[tids < len(used)]] = True
    return [int(tid) for tid in candidates[~used[candidates]]]


def _integers(streams: list[bytes]) -> NDArray[np.int32]:
    return np.frombuffer(b"".join(streams), dtype="<i4")
