"""Rows of versions, vectors, edges and counters in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from remanence.stores.postgres.codec import KEY, Key, key_from, keyed, pack, unpack
from remanence.stores.relational.columns import KEPT, Row
from remanence.stores.relational.rows import Current, VersionRows
from remanence.stores.relational.transaction import Space
from remanence.substrates.records.model import Edge, Vector
from remanence.substrates.records.operations import (
    Adopt,
    Close,
    Embed,
    Link,
    Operation,
    Put,
    Reindex,
    Restore,
    Revise,
    Touch,
    Unlink,
)

if TYPE_CHECKING:
    from remanence.stores.postgres.transaction import Transaction

_OWN = f"({KEY}) = (%s, %s, %s, %s)"
_EDGE = f"{_OWN} AND source = %s AND target = %s AND type = %s"


def look_ahead(tx: Transaction, operations: Sequence[Operation]) -> None:
    """Ask at once for what the operations would ask for one by one: who owns the records that they name."""
    named: list[str] = []
    given: list[str] = []
    for operation in operations:
        match operation:
            case Put(draft):
                named += [source.id for source in draft.sources]
                given += [] if draft.id is None else [draft.id]
            case Revise(id, draft):
                named += [id, *(source.id for source in draft.sources)]
            case Adopt(versions):
                named += [source.id for record in versions for source in record.sources]
                given.append(versions[0].id)
            case Link(edge) | Unlink(edge):
                named += edge[:2]
            case Close(id) | Restore(id) | Embed(id) | Reindex(id):
                named.append(id)
            case Touch(ids):
                named += ids
            case _:
                pass
    tx.learn_owners(named)
    tx.learn_taken(given)


class PostgresVersionRows(VersionRows[Key]):
    """Asks and writes what `VersionRows` says."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def open_version(self, id: str) -> Current[Key] | None:
        """The open version of a record."""
        columns = f"{KEY}, seq, version, valid_from, closed_at"
        query = f"SELECT {columns} FROM versions WHERE id = %s ORDER BY version DESC LIMIT 1"
        row = self._tx.execute(query, (id,)).fetchone()
        return None if row is None or row[7] is not None else Current(key_from(row[:4]), *row[4:7])

    def kept(self, id: str, version: int) -> Row | None:
        """A version's journal position and what a later one takes over."""
        query = f"SELECT seq, {KEPT} FROM versions WHERE id = %s AND version = %s"
        return self._tx.execute(query, (id, version)).fetchone()

    def indexed(self, id: str, version: int) -> tuple[int, bytes] | None:
        """A version's journal position and term stream."""
        row = self._tx.execute(
            "SELECT seq, terms FROM versions WHERE id = %s AND version = %s", (id, version)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def newest(self, key: Key, id: str) -> int:
        """The highest version number that a record ever had."""
        query = (
            "SELECT greatest((SELECT max(version) FROM versions WHERE id = %s), "
            f"(SELECT version FROM floors WHERE {_OWN} AND id = %s))"
        )
        return int(self._tx.execute(query, (id, *key, id)).fetchall()[0][0])

    def shut(self, seq: int, ended_at: int, closed_seq: int) -> None:
        """Close a version now."""
        query = "UPDATE versions SET closed_at = %s, ended_at = %s, closed_seq = %s WHERE seq = %s"
        self._tx.execute(query, (self._tx.now, ended_at, closed_seq, seq))

    def copy_vectors(self, key: Key, earlier: int, seq: int) -> None:
        """Give a version the vectors of an earlier one."""
        for number, dim, near, name, scale, data in self._tx.execute(
            "SELECT s.space, s.dim, s.near, s.key, e.scale, e.data FROM vectors e JOIN spaces s ON s.space = e.space "
            f"WHERE {_OWN} AND e.seq = %s",
            (*key, earlier),
        ).fetchall():
            self._tx.add_vector(key, Space(number, dim, near), seq, Vector(unpack(name), data, scale))

    def copy_lineage(self, key: Key, earlier: int, seq: int) -> None:
        """Let a version rest on what an earlier one rests on."""
        query = f"INSERT INTO lineage SELECT {KEY}, source, %s FROM lineage WHERE {_OWN} AND seq = %s"
        self._tx.execute(query, (seq, *key, earlier))

    def embed(self, key: Key, space: Space, seq: int, vector: Vector) -> None:
        """Keep a vector that comes after its version until the next `flush`."""
        self._tx.late += 1
        self._tx.add_vector(key, space, seq, vector, self._tx.late)

    def set_terms(self, key: Key, id: str, version: int, stream: bytes) -> None:
        """Replace a version's term stream."""
        query = f"UPDATE versions SET terms = %s WHERE {_OWN} AND id = %s AND version = %s"
        self._tx.execute(query, (stream, *key, id, version))

    def note_reindexed(self, seq: int) -> None:
        """Remember the journal position of the last reindexing."""
        self._tx.reindexed = seq

    def weight(self, source: Key, edge: Edge) -> float | None:
        """The weight of an edge."""
        values = (*source, edge.source, edge.target, keyed(edge.type))
        row = self._tx.execute(f"SELECT weight FROM edges WHERE {_EDGE}", values).fetchone()
        return None if row is None else float(row[0])

    def set_edge(self, source: Key, target: Key, edge: Edge, weight: float) -> None:
        """Add an edge or change its weight."""
        self._tx.execute(
            f"INSERT INTO edges VALUES ({', '.join(['%s'] * 13)}) "
            f"ON CONFLICT ({KEY}, source, target, type) DO UPDATE SET weight = excluded.weight",
            (*source, edge.source, edge.target, keyed(edge.type), pack(edge.type), weight, *target),
        )

    def drop_edge(self, source: Key, edge: Edge) -> None:
        """Remove an edge."""
        values = (*source, edge.source, edge.target, keyed(edge.type))
        self._tx.execute(f"DELETE FROM edges WHERE {_EDGE}", values)

    def count_use(
        self, owned: Sequence[tuple[Key, str]], at: int, strength: float | None, utility: float | None
    ) -> None:
        """Count one use of each record."""
        set_to = "strength = coalesce(%s::float8, u.strength), utility = coalesce(%s::float8, u.utility)"
        self._tx.many(
            "INSERT INTO usage AS u VALUES "
            "(%s, %s, %s, %s, %s, 1, %s, coalesce(%s::float8, 1), coalesce(%s::float8, 0)) "
            f"ON CONFLICT ({KEY}, id) DO UPDATE SET hits = u.hits + 1, "
            f"last_hit = greatest(u.last_hit, excluded.last_hit), {set_to}",
            [(*key, id, at, strength, utility, strength, utility) for key, id in sorted(owned)],
        )
