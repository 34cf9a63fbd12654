"""`Erase`: records and what rests on them alone, destroyed in every table."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.clock import from_micros
from remanence.stores.sqlite import jobs
from remanence.stores.sqlite.codec import Column, Row, pack, unpack_optional
from remanence.stores.sqlite.reading import no_record
from remanence.stores.sqlite.transaction import Transaction, chunks
from remanence.substrates.records.model import is_derived
from remanence.substrates.records.operations import Erase, Receipt
from remanence.substrates.records.packing import pack_sources, unpack_sources

_AT_ONCE = 16384
# In these words, so that the index with this condition serves.
_BY_ID = "op IN ('link', 'unlink', 'reindex', 'erase')"


class _Version(NamedTuple):
    """A version that an erasure touches; `sources` is the column's JSON."""

    seq: int
    sid: int
    id: str
    version: int
    closed_seq: int | None
    sources: str | None
    terms: bytes
    origin: Column | None


_COLUMNS = ", ".join(_Version._fields)


class _Lineage(NamedTuple):
    """What an erasure reaches: records that go, versions that go, and versions that lose a source but stay."""

    gone: dict[str, int]
    """Id to scope number."""
    doomed: dict[int, _Version]
    staying: dict[int, _Version]


def erase(tx: Transaction, operation: Erase) -> Receipt:
    """Destroy, and leave a receipt."""
    if operation.ids is None:
        where, values = tx.covered("sid")
        asked = dict(tx.execute(f"SELECT DISTINCT id, sid FROM versions WHERE {where}", values).fetchall())
    else:
        asked = {}
        for id in operation.ids:
            sid = tx.owner(id)
            if sid is None:
                raise no_record(tx, id)
            asked[id] = sid
    sid = tx.sid_of(tx.scope)
    lineage = _follow(tx, asked)
    places = {version.sid for version in lineage.doomed.values()}
    jobs.forget(tx, lineage.gone.keys(), places, whole=operation.ids is None)
    again = _support(tx, lineage)
    # Whoever asks for everything means what was said; the rest goes with it.
    said = asked.keys() - _derived(tx, asked) if operation.ids is None else asked.keys()
    counts = _destroy(tx, lineage, sid)
    change = tx.begin_change()
    seq = tx.enter("erase", sid, change, 0)
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
    tx.execute("INSERT INTO receipts VALUES (?, ?, ?, ?)", (seq, sid, pack(operation.reason), json.dumps(counts)))
    parts = {"asked": receipt.ids, "derived": receipt.derived, "kept": receipt.kept, "again": receipt.again}
    for part, ids in parts.items():
        tx.connection.executemany(
            "INSERT INTO receipt_ids VALUES (?, ?, ?, ?)", [(seq, part, place, id) for place, id in enumerate(ids)]
        )
    tx.execute("UPDATE meta SET value = 1 WHERE name = 'residue'")
    tx.forget_caches()
    return receipt


def _follow(tx: Transaction, asked: dict[str, int]) -> _Lineage:
    """Follow derived records wherever they are: they come from the same words, whoever's scope they were written to."""
    gone: dict[str, int] = {}
    doomed: dict[int, _Version] = {}
    touched: dict[int, _Version] = {}
    wave = asked
    while wave:
        gone.update(wave)
        doomed.update((version.seq, version) for version in _versions(tx, "id", wave))
        resting = [
            seq
            for marks, ids in chunks(list(wave))
            for (seq,) in tx.execute(f"SELECT seq FROM lineage WHERE source IN ({marks})", ids)
        ]
        reached = list(_versions(tx, "seq", {seq for seq in resting if seq not in doomed}))
        derived = _derived(tx, {version.id for version in reached})
        wave = {version.id: version.sid for version in reached if version.id in derived}
        # Else a version goes when none of its sources is left, a derived one with any of them; a record goes when none
        # of its versions is left.
        candidates: dict[str, int] = {}
        for version in reached:
            touched[version.seq] = version
            if _is_derived(version) or all(source.id in gone for source in unpack_sources(version.sources)):
                doomed[version.seq] = version
                candidates[version.id] = version.sid
        left = {version.id for version in _versions(tx, "id", candidates) if version.seq not in doomed}
        wave |= {id: sid for id, sid in candidates.items() if id not in left}
    return _Lineage(gone, doomed, {seq: version for seq, version in touched.items() if seq not in doomed})


def _support(tx: Transaction, lineage: _Lineage) -> tuple[str, ...]:
    """Surviving records that are not derived, on which the derived ones among the destroyed versions rested."""
    made = (version for version in lineage.doomed.values() if _is_derived(version))
    sources = {source.id for version in made for source in unpack_sources(version.sources)} - lineage.gone.keys()
    return tuple(sorted(sources - _derived(tx, sources)))


def _derived(tx: Transaction, ids: Collection[str]) -> set[str]:
    """Those of some records whose newest version a worker derived."""
    newest: dict[str, _Version] = {}
    for version in _versions(tx, "id", ids):
        if version.id not in newest or newest[version.id].version < version.version:
            newest[version.id] = version
    return {id for id, version in newest.items() if _is_derived(version)}


def _is_derived(version: _Version) -> bool:
    return is_derived(unpack_optional(version.origin))


def _destroy(tx: Transaction, lineage: _Lineage, erasing: int) -> dict[str, int]:
    """Delete rows of every kind; how many of each. The scope that erases stays, since the receipt names it."""
    gone, doomed = lineage.gone, lineage.doomed
    spaces = [space for (space,) in tx.execute("SELECT space FROM spaces")]
    owned = [(sid, id) for id, sid in gone.items()]
    entries = _entries(tx, lineage)
    counts = {
        "versions": _delete(tx, "versions WHERE seq = ?", ((seq,) for seq in doomed)),
        "vectors": _delete(
            tx,
            "vectors WHERE sid = ? AND space = ? AND seq = ?",
            ((version.sid, space, seq) for seq, version in doomed.items() for space in spaces),
        ),
        "edges": _delete(tx, "edges WHERE sid = ? AND source = ?", owned)
        + _delete(tx, "edges WHERE target_sid = ? AND target = ?", owned),
        "usage": _delete(tx, "usage WHERE sid = ? AND id = ?", owned),
        "journal": _delete(tx, "journal WHERE seq = ?", ((seq,) for seq in entries)),
        "terms": _delete(tx, "vocab WHERE tid = ?", ((tid,) for tid in _unused_terms(tx, doomed.values()))),
    }
    _delete(
        tx,
        "changes WHERE first = ?1 AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.seq BETWEEN ?1 AND changes.last)",
        {(first,) for first, _ in entries.values()},
    )
    _cut_sources(tx, lineage)
    _delete(tx, "floors WHERE sid = ? AND id = ?", owned)
    tx.connection.executemany(
        "INSERT INTO floors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
        [(version.sid, version.id, version.version) for version in doomed.values() if version.id not in gone],
    )
    for space in spaces:
        tx.execute(
            "DELETE FROM spaces WHERE space = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM scopes JOIN vectors USING (sid) WHERE vectors.space = ?1)",
            (space,),
        )
    _drop_scopes(tx, erasing)
    return counts


def _entries(tx: Transaction, lineage: _Lineage) -> dict[int, tuple[int, int]]:
    """Positions of journal entries that speak of what goes, with the first position of their change and their scope."""
    gone, doomed = lineage.gone, lineage.doomed
    found: dict[int, tuple[int, int]] = {}
    closings = [version.closed_seq for version in doomed.values() if version.closed_seq is not None]
    for condition, values in (
        ("seq IN ({})", list(doomed)),
        ("op = 'close' AND seq IN ({})", closings),
        (f"{_BY_ID} AND id IN ({{}})", list(gone)),
        ("other IN ({})", list(gone)),
    ):
        for marks, part in chunks(values):
            query = f"SELECT seq, first, sid FROM journal WHERE {condition.format(marks)}"
            found.update((seq, (first, sid)) for seq, first, sid in tx.execute(query, part))
    # Of records that stay, the reindexing of destroyed versions alone.
    halves = {(version.id, version.version) for version in doomed.values() if version.id not in gone}
    for marks, part in chunks(sorted({id for id, _ in halves})):
        query = (
            f"SELECT seq, first, sid, id, version FROM journal WHERE {_BY_ID} AND op = 'reindex' AND id IN ({marks})"
        )
        rows = tx.execute(query, part)
        found.update((seq, (first, sid)) for seq, first, sid, id, version in rows if (id, version) in halves)
    return found


def _cut_sources(tx: Transaction, lineage: _Lineage) -> None:
    """Take what goes out of the sources of what stays, and out of the table that finds derived records."""
    gone = lineage.gone
    _delete(tx, "lineage WHERE source = ?", ((id,) for id in gone))
    _delete(
        tx,
        "lineage WHERE source = ? AND seq = ?",
        ((source.id, version.seq) for version in lineage.doomed.values() for source in unpack_sources(version.sources)),
    )
    tx.connection.executemany(
        "UPDATE versions SET sources = ? WHERE seq = ?",
        [
            (pack_sources(source for source in unpack_sources(version.sources) if source.id not in gone), seq)
            for seq, version in lineage.staying.items()
        ],
    )


def _unused_terms(tx: Transaction, doomed: Iterable[_Version]) -> list[int]:
    """Term integers that no remaining version uses, of versions that went and of terms that a reindexing replaced."""
    (reindexed,) = tx.execute("SELECT value FROM meta WHERE name = 'reindexed'").fetchone()
    if reindexed > tx.epoch:
        # Nobody knows any more which versions had the replaced terms, and the words of what is erased are among them.
        vocabulary = [tid for (tid,) in tx.execute("SELECT tid FROM vocab ORDER BY tid")]
        candidates = np.array(vocabulary, dtype=np.int32)
    else:
        candidates = np.unique(_integers([version.terms for version in doomed]))
    if not len(candidates):
        return []
    used = np.zeros(int(candidates[-1]) + 1, dtype=np.bool_)
    cursor = tx.execute("SELECT terms FROM versions")
    while rows := cursor.fetchmany(_AT_ONCE):
        tids = _integers([terms for (terms,) in rows])
        used[tids[tids < len(used)]] = True
    return [int(tid) for tid in candidates[~used[candidates]]]


def _drop_scopes(tx: Transaction, erasing: int) -> None:
    """Forget scopes that nothing names any more, those of settled jobs included: their ids may be names of people."""
    tx.execute(
        "DELETE FROM scopes WHERE sid <> ? AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.sid = scopes.sid) AND "
        "sid NOT IN (SELECT sid FROM journal UNION SELECT sid FROM receipts UNION SELECT sid FROM jobs)",
        (erasing,),
    )


def _versions(tx: Transaction, column: str, values: Iterable[str] | Iterable[int]) -> Iterator[_Version]:
    for marks, part in chunks(list(values)):
        yield from map(_Version._make, tx.execute(f"SELECT {_COLUMNS} FROM versions WHERE {column} IN ({marks})", part))


def _delete(tx: Transaction, where: str, rows: Iterable[Row]) -> int:
    return max(0, tx.connection.executemany(f"DELETE FROM {where}", rows).rowcount)


def _integers(streams: list[bytes]) -> NDArray[np.int32]:
    return np.frombuffer(b"".join(streams), dtype="<i4")
