"""Rows of versions, vectors, edges and counters in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from remanence.stores.relational.columns import KEPT, Row
from remanence.stores.relational.rows import Current, VersionRows
from remanence.stores.relational.transaction import Space
from remanence.stores.sqlite.codec import bounded, pack
from remanence.substrates.records.model import Edge, Vector

if TYPE_CHECKING:
    from remanence.stores.sqlite.transaction import Transaction

_EDGE = "sid = ? AND source = ? AND target = ? AND type = ?"


class SqliteVersionRows(VersionRows[int]):
    """Asks and writes what `VersionRows` says."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def open_version(self, id: str) -> Current[int] | None:
        """The open version of a record."""
        columns = "sid, seq, version, valid_from, closed_at"
        query = f"SELECT {columns} FROM versions WHERE id = ? ORDER BY version DESC LIMIT 1"
        row = self._tx.execute(query, (id,)).fetchone()
        return None if row is None or row[4] is not None else Current(*row[:4])

    def kept(self, id: str, version: int) -> Row | None:
        """A version's journal position and what a later one takes over."""
        query = f"SELECT seq, {KEPT} FROM versions WHERE id = ? AND version = ?"
        row: Row | None = self._tx.execute(query, (id, bounded(version))).fetchone()
        return row

    def indexed(self, id: str, version: int) -> tuple[int, bytes] | None:
        """A version's journal position and term stream."""
        query = "SELECT seq, terms FROM versions WHERE id = ? AND version = ?"
        row: tuple[int, bytes] | None = self._tx.execute(query, (id, bounded(version))).fetchone()
        return row

    def newest(self, key: int, id: str) -> int:
        """The highest version number that a record ever had."""
        query = (
            "SELECT max((SELECT max(version) FROM versions WHERE id = ?), "
            "ifnull((SELECT version FROM floors WHERE sid = ? AND id = ?), 0))"
        )
        return int(self._tx.execute(query, (id, key, id)).fetchone()[0])

    def shut(self, seq: int, ended_at: int, closed_seq: int) -> None:
        """Close a version now."""
        query = "UPDATE versions SET closed_at = ?, ended_at = ?, closed_seq = ? WHERE seq = ?"
        self._tx.execute(query, (self._tx.now, ended_at, closed_seq, seq))

    def copy_vectors(self, key: int, earlier: int, seq: int) -> None:
        """Give a version the vectors of an earlier one."""
        self._tx.execute(
            "INSERT INTO vectors SELECT sid, space, ?, NULL, scale, data FROM vectors WHERE sid = ? AND seq = ?",
            (seq, key, earlier),
        )

    def copy_lineage(self, key: int, earlier: int, seq: int) -> None:
        """Let a version rest on what an earlier one rests on."""
        self._tx.execute("INSERT INTO lineage SELECT source, ? FROM lineage WHERE seq = ?", (seq, earlier))

    def embed(self, key: int, space: Space, seq: int, vector: Vector) -> None:
        """Keep a vector that comes after its version."""
        query = "UPDATE meta SET value = value + 1 WHERE name = 'late' RETURNING value"
        (late,) = self._tx.execute(query).fetchone()
        values = (key, space.number, seq, late, vector.scale, vector.data)
        self._tx.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", values)

    def set_terms(self, key: int, id: str, version: int, stream: bytes) -> None:
        """Replace a version's term stream."""
        query = "UPDATE versions SET terms = ? WHERE id = ? AND version = ?"
        self._tx.execute(query, (stream, id, bounded(version)))

    def note_reindexed(self, seq: int) -> None:
        """Remember the journal position of the last reindexing."""
        self._tx.execute("UPDATE meta SET value = ? WHERE name = 'reindexed'", (seq,))

    def weight(self, source: int, edge: Edge) -> float | None:
        """The weight of an edge."""
        values = (source, edge.source, edge.target, pack(edge.type))
        row = self._tx.execute(f"SELECT weight FROM edges WHERE {_EDGE}", values).fetchone()
        return None if row is None else float(row[0])

    def set_edge(self, source: int, target: int, edge: Edge, weight: float) -> None:
        """Add an edge or change its weight."""
        self._tx.execute(
            "INSERT INTO edges VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET weight = excluded.weight",
            (source, edge.source, edge.target, pack(edge.type), weight, target),
        )

    def drop_edge(self, source: int, edge: Edge) -> None:
        """Remove an edge."""
        values = (source, edge.source, edge.target, pack(edge.type))
        self._tx.execute(f"DELETE FROM edges WHERE {_EDGE}", values)

    def count_use(
        self, owned: Sequence[tuple[int, str]], at: int, strength: float | None, utility: float | None
    ) -> None:
        """Count one use of each record."""
        self._tx.connection.executemany(
            "INSERT INTO usage VALUES (?1, ?2, 1, ?3, ifnull(?4, 1.0), ifnull(?5, 0.0)) ON CONFLICT DO UPDATE SET "
            "hits = hits + 1, last_hit = max(ifnull(last_hit, ?3), ?3), strength = ifnull(?4, strength), "
            "utility = ifnull(?5, utility)",
            [(key, id, at, strength, utility) for key, id in owned],
        )
