"""`Erase`: records and what rests on them alone, destroyed in every table."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.clock import from_micros
from remanence.core.scope import FIELDS
from remanence.stores.postgres import jobs
from remanence.stores.postgres.codec import KEY, Key, pack, unpack_optional
from remanence.stores.postgres.reading import no_record
from remanence.stores.postgres.transaction import Transaction
from remanence.substrates.records.model import is_derived
from remanence.substrates.records.operations import Erase, Receipt
from remanence.substrates.records.packing import pack_sources, unpack_sources

_AT_ONCE = 16384


class _Version(NamedTuple):
    """A version that an erasure touches; `sources` is the column's JSON."""

    key: Key
    seq: int
    id: str
    version: int
    sources: str | None
    terms: bytes
    origin: str | None


class _Lineage(NamedTuple):
    """What an erasure reaches: records that go, versions that go, and versions that lose a source but stay."""

    gone: dict[str, Key]
    doomed: dict[int, _Version]
    staying: dict[int, _Version]


def erase(tx: Transaction, operation: Erase) -> Receipt:
    """Destroy, and leave a receipt."""
    asked: dict[str, Key] = {}
    if operation.ids is None:
        where, values = tx.covered("v")
        for id, *own in tx.execute(f"SELECT DISTINCT v.id, {KEY} FROM versions v WHERE {where}", values):
            asked[id] = (own[0], own[1], own[2], own[3])
    else:
        for id in operation.ids:
            owner = tx.owner(id)
            if owner is None:
                raise no_record(tx, id)
            asked[id] = owner
    key = tx.place(tx.scope)
    jobs_gone = jobs.covered_ids(tx) if operation.ids is None else []
    # Derived records are followed wherever they are.
    with tx.everywhere():
        lineage = _follow(tx, asked)
        places = {version.key for version in lineage.doomed.values()}
        jobs.forget(tx, lineage.gone.keys(), places, jobs_gone)
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
    parts = [[*ids] for ids in (receipt.ids, receipt.derived, receipt.kept, receipt.again)]
    who = (pack(tx.actor), pack(operation.reason))
    tx.execute(
        f"INSERT INTO receipts VALUES ({', '.join(['%s'] * 14)})",
        (*key, seq, change, tx.now, *who, json.dumps(counts), *parts),
    )
    gone = [*lineage.gone]
    tx.execute("INSERT INTO retired SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (gone,))
    tx.forget_caches()
    return receipt


def _follow(tx: Transaction, asked: dict[str, Key]) -> _Lineage:
    """Follow derived records wherever they are: they come from the same words, whoever's scope they were written to."""
    gone: dict[str, Key] = {}
    doomed: dict[int, _Version] = {}
    touched: dict[int, _Version] = {}
    wave = asked
    while wave:
        gone.update(wave)
        doomed.update((version.seq, version) for version in _versions(tx, "id", wave))
        query = "SELECT seq FROM lineage WHERE source = ANY(%s::text[])"
        resting = {seq for (seq,) in tx.execute(query, ([*wave],))}
        reached = _versions(tx, "seq", resting - doomed.keys())
        derived = _derived(tx, {version.id for version in reached})
        wave = {version.id: version.key for version in reached if version.id in derived}
        # Else a version goes when none of its sources is left, a derived one with any of them; a record goes when none
        # of its versions is left.
        candidates: dict[str, Key] = {}
        for version in reached:
            touched[version.seq] = version
            if _is_derived(version) or all(source.id in gone for source in unpack_sources(version.sources)):
                doomed[version.seq] = version
                candidates[version.id] = version.key
        left = {version.id for version in _versions(tx, "id", candidates) if version.seq not in doomed}
        wave |= {id: key for id, key in candidates.items() if id not in left}
    return _Lineage(gone, doomed, {seq: version for seq, version in touched.items() if seq not in doomed})


def _support(tx: Transaction, lineage: _Lineage) -> tuple[str, ...]:
    """Surviving records that are not derived, on which the derived ones among the destroyed versions rested."""
    made = (version for version in lineage.doomed.values() if _is_derived(version))
    sources = {source.id for version in made for source in unpack_sources(version.sources)} - lineage.gone.keys()
    return tuple(sorted(sources - _derived(tx, sources)))


def _derived(tx: Transaction, ids: Collection[str]) -> set[str]:
    """Those of some records whose newest version a worker derived."""
    query = "SELECT DISTINCT ON (id) id, origin FROM versions WHERE id = ANY(%s::text[]) ORDER BY id, version DESC"
    return {id for id, origin in tx.execute(query, ([*ids],)) if is_derived(unpack_optional(origin))}


def _is_derived(version: _Version) -> bool:
    return is_derived(unpack_optional(version.origin))


def _destroy(tx: Transaction, lineage: _Lineage, erasing: Key) -> dict[str, int]:
    """Delete rows of every kind; how many of each. The scope that erases stays, since the receipt names it."""
    gone, doomed = lineage.gone, lineage.doomed
    ids = [*gone]
    owned = [(*key, id) for id, key in gone.items()]
    placed = [(*version.key, version.seq) for version in doomed.values()]
    halves = [version for version in doomed.values() if version.id not in gone]
    counts = {
        "versions": _delete(tx, "versions", "id, version", [(*v.key, v.id, v.version) for v in doomed.values()]),
        "vectors": _delete(tx, "vectors", "seq", placed),
        "edges": _delete(tx, "edges", "source", owned) + _delete(tx, "edges", "target", owned, "target_"),
        "usage": _delete(tx, "usage", "id", owned),
        "journal": tx.execute(
            "DELETE FROM journal WHERE id = ANY(%s::text[]) OR other = ANY(%s::text[]) OR (id, version) IN "
            "(SELECT * FROM unnest(%s::text[], %s::bigint[]))",
            (ids, ids, [version.id for version in halves], [version.version for version in halves]),
        ).rowcount,
        "terms": tx.execute(
            "DELETE FROM vocab WHERE tid = ANY(%s::int[])", (_unused_terms(tx, doomed.values()),)
        ).rowcount,
    }
    _cut_sources(tx, lineage)
    _delete(tx, "floors", "id", owned)
    tx.many(
        f"INSERT INTO floors AS f VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT ({KEY}, id) "
        "DO UPDATE SET version = greatest(f.version, excluded.version)",
        [(*version.key, version.id, version.version) for version in halves],
    )
    tx.execute("DELETE FROM spaces s WHERE NOT near AND NOT EXISTS (SELECT 1 FROM vectors e WHERE e.space = s.space)")
    _drop_scopes(tx, erasing)
    return counts


def _cut_sources(tx: Transaction, lineage: _Lineage) -> None:
    """Take what goes out of the sources of what stays, and out of the table that finds derived records."""
    gone = lineage.gone
    tx.execute("DELETE FROM lineage WHERE source = ANY(%s::text[])", ([*gone],))
    links = {
        (*version.key, source.id, version.seq)
        for version in lineage.doomed.values()
        for source in unpack_sources(version.sources)
    }
    _delete(tx, "lineage", "source, seq", sorted(links))
    tx.many(
        f"UPDATE versions SET sources = %s WHERE ({KEY}) = (%s, %s, %s, %s) AND id = %s AND version = %s",
        [
            (
                pack_sources(source for source in unpack_sources(version.sources) if source.id not in gone),
                *version.key,
                version.id,
                version.version,
            )
            for version in lineage.staying.values()
        ],
    )


def _unused_terms(tx: Transaction, doomed: Iterable[_Version]) -> list[int]:
    """Term integers that no remaining version uses, of versions that went and of terms that a reindexing replaced."""
    if tx.reindexed > tx.epoch:
        # Nobody knows any more which versions had the replaced terms, and the words of what is erased are among them.
        vocabulary = [tid for (tid,) in tx.execute("SELECT tid FROM vocab ORDER BY tid")]
        candidates = np.array(vocabulary, dtype=np.int32)
    else:
        candidates = np.unique(_integers([version.terms for version in doomed]))
    if not len(candidates):
        return []
    used = np.zeros(int(candidates[-1]) + 1, dtype=np.bool_)
    with tx.connection.cursor("terms", binary=True) as cursor:
        cursor.execute(b"SELECT terms FROM versions")
        while rows := cursor.fetchmany(_AT_ONCE):
            tids = _integers([terms for (terms,) in rows])
            used[tids[tids < len(used)]] = True
    return [int(tid) for tid in candidates[~used[candidates]]]


def _drop_scopes(tx: Transaction, erasing: Key) -> None:
    """Forget scopes that nothing names any more, those of settled jobs included: their ids may be names of people."""
    unused = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} t WHERE {' AND '.join(f't.{name} = s.{name}' for name in FIELDS)})"
        for table in ("versions", "journal", "receipts", "jobs")
    )
    key = ", ".join(f"s.{name}" for name in FIELDS)
    tx.execute(f"DELETE FROM scopes s WHERE ({key}) <> (%s, %s, %s, %s) AND {unused}", erasing)


def _versions(tx: Transaction, column: str, values: Collection[str] | Collection[int]) -> list[_Version]:
    if not values:
        return []
    kind = "text" if column == "id" else "bigint"
    query = f"SELECT {KEY}, seq, id, version, sources, terms, origin FROM versions WHERE {column} = ANY(%s::{kind}[])"
    return [_Version((row[0], row[1], row[2], row[3]), *row[4:]) for row in tx.execute(query, ([*values],))]


def _delete(tx: Transaction, table: str, columns: str, rows: Sequence[tuple[Any, ...]], prefix: str = "") -> int:
    """Delete the rows with these keys, each the scope's columns and then `columns`."""
    key = ", ".join(f"{prefix}{name}" for name in FIELDS)
    marks = ", ".join(["%s"] * (len(FIELDS) + columns.count(",") + 1))
    return tx.many(f"DELETE FROM {table} WHERE ({key}, {columns}) = ({marks})", rows)


def _integers(streams: list[bytes]) -> NDArray[np.int32]:
    return np.frombuffer(b"".join(streams), dtype="<i4")
