"""Rows in PostgreSQL as an erasure sees them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from remanence.core.scope import FIELDS
from remanence.stores.postgres.codec import KEY, Key, key_from, pack, unpack_optional
from remanence.stores.relational.rows import ErasureRows, Lineage, Version
from remanence.substrates.records.operations import Receipt

if TYPE_CHECKING:
    from remanence.stores.postgres.transaction import Transaction

_AT_ONCE = 16384
_COLUMNS = f"{KEY}, seq, id, version, closed_seq, sources, terms, origin"


class PostgresErasureRows(ErasureRows[Key]):
    """Asks and deletes what `ErasureRows` says."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def covered(self) -> dict[str, Key]:
        """Every covered record."""
        where, values = self._tx.covered("v")
        rows = self._tx.execute(f"SELECT DISTINCT v.id, {KEY} FROM versions v WHERE {where}", values)
        return {row[0]: key_from(row[1:]) for row in rows}

    def versions_of(self, ids: Collection[str]) -> list[Version[Key]]:
        """All versions of records."""
        return self._versions("id = ANY(%s::text[])", ids)

    def versions_at(self, seqs: Collection[int]) -> list[Version[Key]]:
        """The versions of journal positions."""
        return self._versions("seq = ANY(%s::bigint[])", seqs)

    def resting_on(self, ids: Collection[str]) -> set[int]:
        """Journal positions of the versions that rest on records."""
        rows = self._tx.execute("SELECT seq FROM lineage WHERE source = ANY(%s::text[])", ([*ids],))
        return {seq for (seq,) in rows}

    def newest_origins(self, ids: Collection[str]) -> Iterable[tuple[str, str | None]]:
        """Records with the origin of their newest version."""
        query = "SELECT DISTINCT ON (id) id, origin FROM versions WHERE id = ANY(%s::text[]) ORDER BY id, version DESC"
        return [(id, unpack_optional(origin)) for id, origin in self._tx.execute(query, ([*ids],))]

    def reindexed(self) -> int:
        """Journal position of the last reindexing."""
        return self._tx.reindexed

    def vocabulary(self) -> list[int]:
        """The integers of all terms, in order."""
        return [tid for (tid,) in self._tx.execute("SELECT tid FROM vocab ORDER BY tid")]

    def streams(self) -> Iterator[list[bytes]]:
        """The term streams of all versions, in portions."""
        with self._tx.connection.cursor("terms", binary=True) as cursor:
            cursor.execute(b"SELECT terms FROM versions")
            while rows := cursor.fetchmany(_AT_ONCE):
                yield [terms for (terms,) in rows]

    def drop_versions(self, doomed: Collection[Version[Key]]) -> int:
        """Delete versions."""
        return self._delete("versions", "id, version", [(*v.key, v.id, v.version) for v in doomed])

    def drop_vectors(self, doomed: Collection[Version[Key]]) -> int:
        """Delete the vectors of versions."""
        return self._delete("vectors", "seq", [(*version.key, version.seq) for version in doomed])

    def drop_edges(self, gone: Mapping[str, Key]) -> int:
        """Delete edges that start from or lead to records."""
        owned = _owned(gone)
        return self._delete("edges", "source", owned) + self._delete("edges", "target", owned, "target_")

    def drop_usage(self, gone: Mapping[str, Key]) -> int:
        """Delete the counters of records."""
        return self._delete("usage", "id", _owned(gone))

    def drop_entries(self, lineage: Lineage[Key]) -> int:
        """Delete journal entries that speak of what goes."""
        ids, halves = [*lineage.gone], lineage.halves
        return self._tx.execute(
            "DELETE FROM journal WHERE id = ANY(%s::text[]) OR other = ANY(%s::text[]) OR (id, version) IN "
            "(SELECT * FROM unnest(%s::text[], %s::bigint[]))",
            (ids, ids, [version.id for version in halves], [version.version for version in halves]),
        ).rowcount

    def drop_terms(self, tids: Sequence[int]) -> int:
        """Delete terms."""
        return self._tx.execute("DELETE FROM vocab WHERE tid = ANY(%s::int[])", ([*tids],)).rowcount

    def drop_lineage(self, lineage: Lineage[Key], links: Set[tuple[Key, str, int]]) -> None:
        """Delete links to records that go, and those of the versions that go."""
        self._tx.execute("DELETE FROM lineage WHERE source = ANY(%s::text[])", ([*lineage.gone],))
        self._delete("lineage", "source, seq", sorted((*key, source, seq) for key, source, seq in links))

    def set_sources(self, columns: Sequence[tuple[str | None, Version[Key]]]) -> None:
        """Replace the packed sources of versions."""
        self._tx.many(
            f"UPDATE versions SET sources = %s WHERE ({KEY}) = (%s, %s, %s, %s) AND id = %s AND version = %s",
            [(sources, *version.key, version.id, version.version) for sources, version in columns],
        )

    def set_floors(self, lineage: Lineage[Key]) -> None:
        """Forget the floors of records that go, raise those of records that lose versions."""
        self._delete("floors", "id", _owned(lineage.gone))
        self._tx.many(
            f"INSERT INTO floors AS f VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT ({KEY}, id) "
            "DO UPDATE SET version = greatest(f.version, excluded.version)",
            [(*version.key, version.id, version.version) for version in lineage.halves],
        )

    def drop_spaces(self) -> None:
        """Forget embedding spaces that no vector is left of, unless they have an index."""
        used = "EXISTS (SELECT 1 FROM vectors e WHERE e.space = s.space)"
        self._tx.execute(f"DELETE FROM spaces s WHERE NOT near AND NOT {used}")

    def drop_scopes(self, erasing: Key) -> None:
        """Forget scopes that nothing names, those of settled jobs included: their ids may be names of people."""
        unused = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {table} t WHERE {' AND '.join(f't.{name} = s.{name}' for name in FIELDS)})"
            for table in ("versions", "journal", "receipts", "jobs")
        )
        key = ", ".join(f"s.{name}" for name in FIELDS)
        self._tx.execute(f"DELETE FROM scopes s WHERE ({key}) <> (%s, %s, %s, %s) AND {unused}", erasing)

    def add_receipt(self, seq: int, key: Key, receipt: Receipt, gone: Collection[str]) -> None:
        """Keep the receipt and refuse the ids that went; the batch notes in the end that their bytes may be left."""
        parts = [[*ids] for ids in (receipt.ids, receipt.derived, receipt.kept, receipt.again)]
        who = (pack(receipt.actor), pack(receipt.reason))
        self._tx.execute(
            f"INSERT INTO receipts VALUES ({', '.join(['%s'] * 14)})",
            (*key, seq, receipt.id, self._tx.now, *who, json.dumps(receipt.counts), *parts),
        )
        self._tx.execute("INSERT INTO retired SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", ([*gone],))

    def _versions(self, where: str, values: Collection[str] | Collection[int]) -> list[Version[Key]]:
        if not values:
            return []
        rows = self._tx.execute(f"SELECT {_COLUMNS} FROM versions WHERE {where}", ([*values],))
        return [Version._make((key_from(row[:4]), *row[4:10], unpack_optional(row[10]))) for row in rows]

    def _delete(self, table: str, columns: str, rows: Sequence[tuple[Any, ...]], prefix: str = "") -> int:
        """Delete the rows with these keys, each the scope's columns and then `columns`."""
        key = ", ".join(f"{prefix}{name}" for name in FIELDS)
        marks = ", ".join(["%s"] * (len(FIELDS) + columns.count(",") + 1))
        return self._tx.many(f"DELETE FROM {table} WHERE ({key}, {columns}) = ({marks})", rows)


def _owned(gone: Mapping[str, Key]) -> list[tuple[str, ...]]:
    return [(*key, id) for id, key in gone.items()]
