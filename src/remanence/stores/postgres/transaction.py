"""One batch in progress, over PostgreSQL: what has to be asked for, and the rows that wait to be written together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import (
    EVERYWHERE,
    KEY,
    TEXTS,
    Key,
    digest,
    is_hashed,
    key_from,
    key_of,
    pack,
    scope_from,
    unpack,
)
from remanence.stores.postgres.erasing import PostgresErasureRows
from remanence.stores.postgres.jobs import PostgresJobRows
from remanence.stores.postgres.nearest import near_rows
from remanence.stores.postgres.schema import Connection
from remanence.stores.postgres.writing import PostgresVersionRows
from remanence.stores.relational import transaction as relational
from remanence.stores.relational.columns import Row
from remanence.stores.relational.transaction import Space
from remanence.substrates.records.model import Vector
from remanence.substrates.records.packing import pack_terms

if TYPE_CHECKING:
    import psycopg

_EVER = -(1 << 63)
"""A time before all others."""

TERMS = "SELECT tid, term FROM vocab WHERE tid = ANY(%s)"
TIDS = "SELECT digest, tid FROM vocab WHERE digest = ANY(%s)"
LONG_SCOPE = f"SELECT {KEY}, ids FROM scopes WHERE ({KEY}) = (%s, %s, %s, %s)"

_INSERTS = {
    "versions": 26,
    "vectors": 9,
    "lineage": 6,
    "usage": 9,
    "journal": 14,
}
"""Tables whose rows wait to be written together, and how many columns each has."""


class Cache(relational.Cache[Key]):
    """What one process remembers of committed rows."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.placed: set[Key] = set()
        """Keys that are in the table of scopes."""
        self.only: dict[Key, Key | None] = {}
        """The one scope that a principal covered when it was last looked up, to which others may have come since; None
        where there were several, of which none but an erasure makes fewer."""

    def learn(self, other: Cache) -> None:
        """Take over what a committed transaction found out."""
        self.learn_words(other)
        self.placed |= other.placed
        self.only.update(other.only)


class Standing(NamedTuple):
    """Where the store stands, in the order of the columns of `state`; `at` with that of `work` in it."""

    seq: int
    at: int
    last_id: str
    late: int
    reindexed: int
    epoch: int
    tid: int


STANDING = ", ".join(Standing._fields)
NOWHERE = Standing(0, _EVER, "", 0, 0, 0, 0)
"""Stands for what is not known yet."""


class Transaction(relational.Transaction[Key]):
    """State of one batch inside an open transaction. The key of a scope is its four columns."""

    found: Cache

    def __init__(self, connection: Connection, scope: Scope, committed: Cache, standing: Standing) -> None:
        super().__init__(scope, standing.seq, committed, Cache(committed.epoch), TEXTS)
        self.connection = connection
        self.key = key_of(scope)
        self.late = standing.late
        """Last position in the stream of late vectors."""
        self.reindexed = standing.reindexed
        """Journal position of the last reindexing."""
        self.standing = standing
        self._tid = standing.tid
        self._committed = committed
        self._spaces: dict[str, Space | None] = {}
        self._only: tuple[Key | None] | None = None
        self._taken: dict[str, bool] = {}
        self._waiting: dict[str, list[Row]] = {table: [] for table in _INSERTS}
        self._near: dict[Space, list[tuple[Key, int, Vector]]] = {}
        self.in_one_piece = False
        """Whether statements are made before it is known where the store stands, and answered all at once."""

    @property
    def rows(self) -> PostgresVersionRows:
        """Rows of versions and of what hangs on them."""
        return PostgresVersionRows(self)

    @property
    def jobs(self) -> PostgresJobRows:
        """Rows of the outbox."""
        return PostgresJobRows(self)

    @property
    def erasing(self) -> PostgresErasureRows:
        """Rows as an erasure sees them."""
        return PostgresErasureRows(self)

    def take_for_granted(self) -> bool:
        """Make statements by what was known before (see `asking.at_once`); whether the one scope has to be checked."""
        self.in_one_piece = True
        self._only = (self._committed.only.get(self.key),)
        return self._only != (None,) or self.key not in self._committed.only

    def stands(self, standing: Standing, covered: Sequence[Row] | None) -> bool:
        """Learn where the store stands, and whether what was taken for granted is so.

        `covered`: the first two scopes that the principal covers, if they had to be looked up.
        """
        self.standing = standing
        self.seq, self.late, self.reindexed = standing.seq, standing.late, standing.reindexed
        if covered is None:
            return self.epoch == standing.epoch
        first = tuple(covered[0]) if len(covered) == 1 else None
        if covered:
            self.found.only[self.key] = first
        # Statements that name no single scope are right for one scope too, though not as fast.
        return self.epoch == standing.epoch and self.only_scope in (None, first)

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[Row]:
        """Run a statement of our own; what callers gave is in its parameters alone."""
        return self.connection.execute(query.encode(), parameters, binary=True)

    def many(self, query: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement for each row of parameters; how many rows it concerned in all."""
        if not rows:
            return 0
        with self.connection.cursor() as cursor:
            cursor.executemany(query.encode(), rows)
            return max(0, cursor.rowcount)

    # Principals

    def confine(self, key: Key) -> None:
        """Let the rest of the transaction see and write what a principal covers, and nothing else."""
        self.execute("SELECT set_config('remanence.scope', %s::text[]::text, true)", (list(key),))

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Look beyond the batch's scope, for what is of the whole store: lineage, and jobs that quote what goes."""
        self.confine(EVERYWHERE)
        yield
        self.confine(self.key)

    def forget_caches(self) -> None:
        """After an erasure within this batch: rows that caches remember may be gone."""
        self.erased = True
        self._committed = self.found = Cache(self.seq)
        self._remember(self.found)
        self._owners.clear()
        self._taken.clear()
        self._spaces.clear()
        self._only = None

    # Scopes

    def scope_of(self, key: Sequence[str]) -> Scope:
        """The scope behind four columns."""
        columns = key_from(key)
        scope = self._committed.scopes.get(columns) or self.found.scopes.get(columns)
        if scope is None:
            if self.unknown_scopes((columns,)):
                self.learn_scopes(self.execute(LONG_SCOPE, columns))
            scope = self.found.scopes[columns]
        return scope

    def unknown_scopes(self, keys: Iterable[Key]) -> list[Key]:
        """Those keys whose scopes have to be asked for, by `LONG_SCOPE`, since they hold hashes of ids."""
        known, found = self._committed.scopes, self.found.scopes
        long = []
        for key in keys:
            if key not in known and key not in found:
                if any(map(is_hashed, key)):
                    long.append(key)
                else:
                    found[key] = scope_from(key)
        return long

    def learn_scopes(self, rows: Iterable[Row]) -> None:
        """Take note of what `LONG_SCOPE` has answered."""
        self.found.scopes.update((key_from(row[:4]), scope_from(row[4])) for row in rows)

    def place(self, scope: Scope) -> Key:
        """The key of a scope, which is noted down where it is new."""
        key = key_of(scope)
        if key not in self._committed.placed and key not in self.found.placed:
            ids = [pack(getattr(scope, name) or "") for name in FIELDS] if any(map(is_hashed, key)) else None
            self.execute("INSERT INTO scopes VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", (*key, ids))
            self.found.placed.add(key)
            self._only = None
        return key

    def covers(self, key: Sequence[str]) -> bool:
        """Whether the batch's scope covers a row's."""
        return all(own in ("", other) for own, other in zip(self.key, key, strict=True))

    def covered(self, of: str, prefix: str = "") -> tuple[str, tuple[str, ...]]:
        """The SQL condition that the scope columns of `of` are covered, with its parameters.

        Policies hold rows back anyway; this is what indexes serve. `prefix` is that of the columns' names.
        """
        only = self.only_scope
        if only is not None:
            return " AND ".join(f"{of}.{prefix}{name} = %s" for name in FIELDS), only
        ids = [(name, value) for name, value in zip(FIELDS, self.key, strict=True) if value]
        values = tuple(value for _, value in ids)
        if self.key[0] or self.key[1]:
            return " AND ".join(f"{of}.{prefix}{name} = %s" for name, _ in ids), values
        columns = ", ".join(f"{of}.{prefix}{name}" for name in FIELDS)
        where = " AND ".join(f"s.{name} = %s" for name, _ in ids)
        inner = ", ".join(f"s.{name}" for name in FIELDS)
        return f"({columns}) IN (SELECT {inner} FROM scopes s WHERE {where})", values

    @property
    def only_scope(self) -> Key | None:
        """The key of the one scope that is covered; None when there are several or none."""
        if self._only is None:
            ids = [(name, value) for name, value in zip(FIELDS, self.key, strict=True) if value]
            where = " AND ".join(f"{name} = %s" for name, _ in ids)
            rows = self.execute(
                f"SELECT {KEY} FROM scopes WHERE {where} LIMIT 2", [value for _, value in ids]
            ).fetchall()
            self._only = (key_from(rows[0]) if len(rows) == 1 else None,)
        return self._only[0]

    # Records

    def learn_owners(self, ids: Iterable[str]) -> None:
        """Look up many records at once, for `owner`."""
        missing = [id for id in dict.fromkeys(ids) if id not in self._owners]
        if not missing:
            return
        self._owners.update(dict.fromkeys(missing))
        query = f"SELECT DISTINCT id, {KEY} FROM versions WHERE id = ANY(%s)"
        for id, *key in self.execute(query, ([*map(pack, missing)],)):
            if self.covers(key):
                self._owners[id] = key_from(key)

    def owner(self, id: str) -> Key | None:
        """The scope columns of a record if it exists and is covered, whatever its versions' state."""
        if id not in self._owners:
            self.learn_owners((id,))
        return self._owners[id]

    def learn_taken(self, ids: Iterable[str]) -> None:
        """Look up many ids at once, for `taken`."""
        missing = [id for id in ids if id not in self._taken]
        if missing:
            self._taken.update(dict.fromkeys(missing, False))
            self._taken.update((id, True) for (id,) in self.execute("SELECT taken(%s)", (missing,)).fetchall())

    def taken(self, id: str) -> bool:
        """Whether a record in any scope has or ever had this id."""
        if self._owners.get(id) is not None:
            return True
        self.learn_taken((id,))
        return self._taken[id]

    # Terms

    def read_tids(self, terms: Sequence[str]) -> Iterable[tuple[str, int]]:
        """The integers of those terms that occur in the store, each with its term."""
        by_digest = {digest(term): term for term in terms}
        return tids_of(by_digest, self.execute(TIDS, ([*by_digest],)))

    def read_terms(self, tids: Sequence[int]) -> Iterable[tuple[int, str]]:
        """The terms behind integers, each with its integer."""
        return terms_of(self.execute(TERMS, ([*tids],)))

    def learn_terms(self, rows: Iterable[Row]) -> None:
        """Take note of what `TERMS` has answered."""
        self.found.terms.update(terms_of(rows))

    def add_terms(self, terms: Sequence[str]) -> range:
        """Write terms that are new to the store; the integers that they get."""
        fresh = range(self._tid + 1, self._tid + 1 + len(terms))
        self._tid += len(terms)
        self.execute(
            "INSERT INTO vocab SELECT * FROM unnest(%s::int[], %s::bytea[], %s::text[])",
            ([*fresh], [*map(digest, terms)], [*map(pack, terms)]),
        )
        return fresh

    # Spaces

    def space(self, key: str) -> Space | None:
        """An embedding space; None when the store holds no vector of it."""
        if key not in self._spaces:
            row = self.execute("SELECT space, dim, near FROM spaces WHERE digest = %s", (digest(key),)).fetchone()
            self._spaces[key] = None if row is None else Space(*row)
        return self._spaces[key]

    def add_space(self, key: str, dim: int) -> Space:
        """Note down a space that is new."""
        insert = "INSERT INTO spaces(digest, key, dim) VALUES (%s, %s, %s) RETURNING space"
        ((number,),) = self.execute(insert, (digest(key), pack(key), dim)).fetchall()
        space = self._spaces[key] = Space(number, dim)
        return space

    # Rows that wait

    def add_vector(self, key: Key, space: Space, seq: int, vector: Vector, late: int | None = None) -> None:
        """Keep a vector until the next `flush`; `late` where it comes after its version, which may have one."""
        self._waiting["vectors"].append((*key, space.number, seq, late, float(vector.scale), vector.data))
        if space.near:
            self._near.setdefault(space, []).append((key, seq, vector))

    def add_lineage(self, key: Key, source: str, seq: int) -> None:
        """Keep the fact that a version rests on a record until the next `flush`."""
        self._waiting["lineage"].append((*key, source, seq))

    def add_usage(self, key: Key, id: str, counters: Row) -> None:
        """Keep the counters that came with a record until the next `flush`."""
        self._waiting["usage"].append((*key, id, *counters))

    def flush(self) -> None:
        """Write what waits, so that queries see it."""
        waiting = self._waiting
        if self._versions:
            tids = self._take_streams()
            waiting["versions"] = [
                (*key, seq, id, *columns, pack_terms([tids[term] for term in terms]), text)
                for key, seq, id, columns, terms, text in self._versions
            ]
            self._versions.clear()
        if self._entries:
            who = (self.change, self.now, pack(self.actor), pack(self.why))
            waiting["journal"] = [(*key, seq, *who, *rest) for seq, key, *rest in self._entries]
            self._entries.clear()
        for table, columns in _INSERTS.items():
            if rows := waiting[table]:
                conflict = {
                    "lineage": " ON CONFLICT DO NOTHING",
                    "vectors": f" ON CONFLICT ({KEY}, space, seq) DO UPDATE SET "
                    "late = excluded.late, scale = excluded.scale, data = excluded.data",
                }.get(table, "")
                self.many(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * columns)}){conflict}", rows)
                waiting[table] = []
        for space, vectors in self._near.items():
            self.many(*near_rows(space.number, space.dim, vectors))
        self._near.clear()

    def finish(self) -> None:
        """At the end of a batch: tell its jobs their change, and where the store stands now."""
        self.flush()
        if self.change is not None and self.unnamed:
            self.execute("UPDATE jobs SET change = %s WHERE id = ANY(%s)", (self.change, self.unnamed))
        before = self.standing
        acted = self.change is not None or self.worked
        after = Standing(
            seq=self.seq,
            at=self.now if acted else before.at,
            last_id=max(before.last_id, self.newest_id) if acted else before.last_id,
            late=self.late,
            reindexed=self.reindexed,
            epoch=self.epoch,
            tid=self._tid,
        )
        if after != before:
            places = ", ".join(f"{name} = %s" for name in Standing._fields)
            self.execute(f"UPDATE state SET {places}, residue = residue OR %s", (*after, self.erased))


def tids_of(by_digest: Mapping[bytes, str], rows: Iterable[Row]) -> Iterator[tuple[str, int]]:
    """Terms and their integers from what `TIDS` has answered."""
    return ((by_digest[bytes(key)], tid) for key, tid in rows)


def terms_of(rows: Iterable[Row]) -> Iterator[tuple[int, str]]:
    """Integers and their terms from what `TERMS` has answered."""
    return ((tid, unpack(column)) for tid, column in rows)
