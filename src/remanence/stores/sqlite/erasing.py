"""Rows in SQLite as an erasure sees them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from remanence.stores.relational.columns import Row
from remanence.stores.relational.rows import ErasureRows, Lineage, Version
from remanence.stores.sqlite.codec import chunks, pack, unpack_optional
from remanence.substrates.records.operations import Receipt

if TYPE_CHECKING:
    from remanence.stores.sqlite.transaction import Transaction

_AT_ONCE = 16384
# In these words, so that the index with this condition serves.
_BY_ID = "op IN ('link', 'unlink', 'reindex', 'erase')"
_COLUMNS = "sid, seq, id, version, closed_seq, sources, terms, origin"


class SqliteErasureRows(ErasureRows[int]):
    """Asks and deletes what `ErasureRows` says."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def covered(self) -> dict[str, int]:
        """Every covered record."""
        where, values = self._tx.covered("sid")
        return dict(self._tx.execute(f"SELECT DISTINCT id, sid FROM versions WHERE {where}", values).fetchall())

    def versions_of(self, ids: Collection[str]) -> list[Version[int]]:
        """All versions of records."""
        return self._versions("id", ids)

    def versions_at(self, seqs: Collection[int]) -> list[Version[int]]:
        """The versions of journal positions."""
        return self._versions("seq", seqs)

    def resting_on(self, ids: Collection[str]) -> set[int]:
        """Journal positions of the versions that rest on records."""
        return {seq for (seq,) in self._among("SELECT seq FROM lineage WHERE source IN ({})", ids)}

    def newest_origins(self, ids: Collection[str]) -> Iterable[tuple[str, str | None]]:
        """Records with the origin of their newest version."""
        # Where max() is asked for, SQLite takes the other columns from the row that has it.
        query = "SELECT id, origin, max(version) FROM versions WHERE id IN ({}) GROUP BY id"
        return [(id, unpack_optional(origin)) for id, origin, _ in self._among(query, ids)]

    def reindexed(self) -> int:
        """Journal position of the last reindexing."""
        return int(self._tx.execute("SELECT value FROM meta WHERE name = 'reindexed'").fetchone()[0])

    def vocabulary(self) -> list[int]:
        """The integers of all terms, in order."""
        return [tid for (tid,) in self._tx.execute("SELECT tid FROM vocab ORDER BY tid")]

    def streams(self) -> Iterator[list[bytes]]:
        """The term streams of all versions, in portions."""
        cursor = self._tx.execute("SELECT terms FROM versions")
        while rows := cursor.fetchmany(_AT_ONCE):
            yield [terms for (terms,) in rows]

    def drop_versions(self, doomed: Collection[Version[int]]) -> int:
        """Delete versions."""
        return self._delete("versions WHERE seq = ?", ((version.seq,) for version in doomed))

    def drop_vectors(self, doomed: Collection[Version[int]]) -> int:
        """Delete the vectors of versions."""
        spaces = self._spaces()
        rows = ((version.key, space, version.seq) for version in doomed for space in spaces)
        return self._delete("vectors WHERE sid = ? AND space = ? AND seq = ?", rows)

    def drop_edges(self, gone: Mapping[str, int]) -> int:
        """Delete edges that start from or lead to records."""
        starting = self._delete("edges WHERE source = ? AND sid = ?", gone.items())
        return starting + self._delete("edges WHERE target = ? AND target_sid = ?", gone.items())

    def drop_usage(self, gone: Mapping[str, int]) -> int:
        """Delete the counters of records."""
        return self._delete("usage WHERE id = ? AND sid = ?", gone.items())

    def drop_entries(self, lineage: Lineage[int]) -> int:
        """Delete journal entries that speak of what goes, and changes that have none left."""
        entries = self._entries(lineage)
        deleted = self._delete("journal WHERE seq = ?", ((seq,) for seq in entries))
        self._delete(
            "changes WHERE first = ?1 AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.seq BETWEEN ?1 AND changes.last)",
            {(first,) for first in entries.values()},
        )
        return deleted

    def drop_terms(self, tids: Sequence[int]) -> int:
        """Delete terms."""
        return self._delete("vocab WHERE tid = ?", ((tid,) for tid in tids))

    def drop_lineage(self, lineage: Lineage[int], links: Set[tuple[int, str, int]]) -> None:
        """Delete links to records that go, and those of the versions that go."""
        self._delete("lineage WHERE source = ?", ((id,) for id in lineage.gone))
        self._delete("lineage WHERE source = ? AND seq = ?", ((source, seq) for _, source, seq in links))

    def set_sources(self, columns: Sequence[tuple[str | None, Version[int]]]) -> None:
        """Replace the packed sources of versions."""
        self._tx.connection.executemany(
            "UPDATE versions SET sources = ? WHERE seq = ?", [(sources, version.seq) for sources, version in columns]
        )

    def set_floors(self, lineage: Lineage[int]) -> None:
        """Forget the floors of records that go, raise those of records that lose versions."""
        self._delete("floors WHERE id = ? AND sid = ?", lineage.gone.items())
        self._tx.connection.executemany(
            "INSERT INTO floors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = max(version, excluded.version)",
            [(version.key, version.id, version.version) for version in lineage.halves],
        )

    def drop_spaces(self) -> None:
        """Forget embedding spaces that no vector is left of."""
        for space in self._spaces():
            self._tx.execute(
                "DELETE FROM spaces WHERE space = ?1 AND NOT EXISTS "
                "(SELECT 1 FROM scopes JOIN vectors USING (sid) WHERE vectors.space = ?1)",
                (space,),
            )

    def drop_scopes(self, erasing: int) -> None:
        """Forget scopes that nothing names, those of settled jobs included: their ids may be names of people."""
        self._tx.execute(
            "DELETE FROM scopes WHERE sid <> ? AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.sid = scopes.sid) AND "
            "sid NOT IN (SELECT sid FROM journal UNION SELECT sid FROM receipts UNION SELECT sid FROM jobs)",
            (erasing,),
        )

    def add_receipt(self, seq: int, key: int, receipt: Receipt, gone: Collection[str]) -> None:
        """Keep the receipt, which refuses the ids that went, and note that their bytes may be left."""
        self._tx.execute(
            "INSERT INTO receipts VALUES (?, ?, ?, ?)", (seq, key, pack(receipt.reason), json.dumps(receipt.counts))
        )
        parts = {"asked": receipt.ids, "derived": receipt.derived, "kept": receipt.kept, "again": receipt.again}
        for part, ids in parts.items():
            self._tx.connection.executemany(
                "INSERT INTO receipt_ids VALUES (?, ?, ?, ?)", [(seq, part, place, id) for place, id in enumerate(ids)]
            )
        self._tx.execute("UPDATE meta SET value = 1 WHERE name = 'residue'")

    def _spaces(self) -> list[int]:
        return [space for (space,) in self._tx.execute("SELECT space FROM spaces")]

    def _versions(self, column: str, values: Collection[str] | Collection[int]) -> list[Version[int]]:
        rows = self._among(f"SELECT {_COLUMNS} FROM versions WHERE {column} IN ({{}})", values)
        return [Version._make((*row[:7], unpack_optional(row[7]))) for row in rows]

    def _entries(self, lineage: Lineage[int]) -> dict[int, int]:
        """Positions of journal entries that speak of what goes, with the first position of their change."""
        gone, doomed = lineage.gone, lineage.doomed
        found: dict[int, int] = {}
        closings = [version.closed_seq for version in doomed.values() if version.closed_seq is not None]
        for condition, values in (
            ("seq IN ({})", doomed),
            ("op = 'close' AND seq IN ({})", closings),
            (f"{_BY_ID} AND id IN ({{}})", gone),
            ("other IN ({})", gone),
        ):
            found.update(self._among(f"SELECT seq, first FROM journal WHERE {condition}", values))
        # Of records that stay, the reindexing of destroyed versions alone.
        halves = {(version.id, version.version) for version in lineage.halves}
        query = f"SELECT seq, first, id, version FROM journal WHERE {_BY_ID} AND op = 'reindex' AND id IN ({{}})"
        rows = self._among(query, sorted({id for id, _ in halves}))
        found.update((seq, first) for seq, first, id, version in rows if (id, version) in halves)
        return found

    def _among(self, query: str, values: Collection[Any]) -> Iterator[Row]:
        """Rows of a query with an IN list, of which `{}` holds the place."""
        for marks, part in chunks([*values]):
            yield from self._tx.execute(query.format(marks), part)

    def _delete(self, where: str, rows: Iterable[Row]) -> int:
        return max(0, self._tx.connection.executemany(f"DELETE FROM {where}", rows).rowcount)
