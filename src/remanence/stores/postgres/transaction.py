"""One batch in progress: what it may see, what it has drawn, and the rows that wait to be written together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from remanence.core.clock import from_micros
from remanence.core.errors import EmbeddingSpaceMismatch
from remanence.core.scope import FIELDS, Scope
from remanence.stores.postgres.codec import (
    EVERYWHERE,
    KEY,
    Key,
    Row,
    digest,
    is_hashed,
    key_of,
    pack,
    scope_from,
    unpack,
)
from remanence.stores.postgres.nearest import near_rows
from remanence.stores.postgres.schema import Connection
from remanence.substrates.records.id_source import IdSource
from remanence.substrates.records.model import Vector
from remanence.substrates.records.operations import JournalOp
from remanence.substrates.records.packing import pack_detail, pack_terms

if TYPE_CHECKING:
    import psycopg

CACHED_TERMS = 1 << 20
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


class Space(NamedTuple):
    """An embedding space: its number, its dimension, and whether an index of its own has to be kept."""

    number: int
    dim: int
    near: bool


class Cache:
    """What one process remembers of committed rows that cannot change before the next erasure.

    `epoch` is the journal position of the newest erasure. A transaction that sees another epoch uses another cache.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.tids: dict[str, int] = {}
        self.terms: dict[int, str] = {}
        self.scopes: dict[Key, Scope] = {}
        self.placed: set[Key] = set()
        """Keys that are in the table of scopes."""
        self.only: dict[Key, Key | None] = {}
        """The one scope that a principal covered when it was last looked up, to which others may have come since; None
        where there were several, of which none but an erasure makes fewer."""

    def learn(self, other: Cache) -> None:
        """Take over what a committed transaction found out."""
        if len(self.tids) + len(other.tids) > CACHED_TERMS:
            self.tids, self.terms = {}, {}
        self.tids.update(other.tids)
        self.terms.update(other.terms)
        self.scopes.update(other.scopes)
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


class Transaction:
    """State of one batch inside an open transaction."""

    def __init__(self, connection: Connection, scope: Scope, committed: Cache, standing: Standing) -> None:
        self.connection = connection
        self.scope = scope
        self.key = key_of(scope)
        self.seq = standing.seq
        """Last journal position, unwritten entries included."""
        self.late = standing.late
        """Last position in the stream of late vectors."""
        self.reindexed = standing.reindexed
        """Journal position of the last reindexing."""
        self.change: str | None = None
        self.now = 0
        """Microseconds; set for batches that write."""
        self.moment: datetime = from_micros(0)
        self.erased = False
        """Whether this batch destroyed something."""
        self.adopting: frozenset[str] = frozenset()
        """Ids of the records that this batch adopts."""
        self.worked = False
        """Whether this batch made or changed a job."""
        self.unnamed: list[str] = []
        """Jobs of this batch that were made before it had a change."""
        self.actor = ""
        self._why = ""
        self.standing = standing
        self._tid = standing.tid
        self._newest_id = ""
        self._ids: IdSource | None = None
        self.found = Cache(committed.epoch)
        self._remember(committed)
        self._spaces: dict[str, Space | None] = {}
        self._only: tuple[Key | None] | None = None
        self._owners: dict[str, Key | None] = {}
        self._taken: dict[str, bool] = {}
        self._versions: list[tuple[Row, Sequence[str], str]] = []
        self._waiting: dict[str, list[Row]] = {table: [] for table in _INSERTS}
        self._near: dict[Space, list[tuple[Key, int, Vector]]] = {}
        self.in_one_piece = False
        """Whether statements are made before it is known where the store stands, and answered all at once."""

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

    def begin_writing(self, ids: IdSource, now: int, actor: str, why: str) -> None:
        """Give the batch what only writing needs: ids, the time in microseconds, and who does it for what reason."""
        self._ids = ids
        self.now, self.moment = now, from_micros(now)
        self.actor, self._why = actor, why

    def follow(self, id: str) -> None:
        """Stay above an id that came from elsewhere."""
        assert self._ids is not None, "only batches that write take in ids"
        self._ids.follow(id)
        self._newest_id = max(self._newest_id, id)

    def draw(self) -> str:
        """A new ULID."""
        assert self._ids is not None, "only batches that write draw ids"
        self._newest_id = self._ids.draw(self.now)
        return self._newest_id

    def forget_caches(self) -> None:
        """After an erasure within this batch: rows that caches remember may be gone."""
        self.erased = True
        self.found = Cache(self.seq)
        self._remember(self.found)
        self._owners.clear()
        self._taken.clear()
        self._spaces.clear()
        self._only = None

    def _remember(self, cache: Cache) -> None:
        self._committed = cache
        # A cache that has grown too large begins new dictionaries: what was found in the old ones stays good.
        self._tids, self._terms = cache.tids, cache.terms

    @property
    def epoch(self) -> int:
        """Journal position of the newest erasure."""
        return self.found.epoch

    # Scopes

    def scope_of(self, key: Sequence[str]) -> Scope:
        """The scope behind four columns."""
        columns: Key = (key[0], key[1], key[2], key[3])
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
        self.found.scopes.update(((row[0], row[1], row[2], row[3]), scope_from(row[4])) for row in rows)

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
            self._only = ((rows[0][0], rows[0][1], rows[0][2], rows[0][3]) if len(rows) == 1 else None,)
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
                self._owners[id] = (key[0], key[1], key[2], key[3])

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

    def known_tids(self, terms: Iterable[str]) -> tuple[dict[str, int], dict[bytes, str]]:
        """The integers of those terms that are known to occur, and the others by digest, to be asked for by `TIDS`."""
        known, found = self._tids, self.found.tids
        missing = {}
        answer = {}
        for term in terms:
            tid = known.get(term) or found.get(term)
            if tid is None:
                missing[digest(term)] = term
            else:
                answer[term] = tid
        return answer, missing

    def learn_tids(self, missing: Mapping[bytes, str], rows: Iterable[Row]) -> dict[str, int]:
        """Take note of what `TIDS` has answered."""
        answer = {missing[bytes(key)]: tid for key, tid in rows}
        self.found.tids.update(answer)
        self.found.terms.update((tid, term) for term, tid in answer.items())
        return answer

    def tids(self, terms: Iterable[str]) -> dict[str, int]:
        """The integers of those terms that occur in the store."""
        answer, missing = self.known_tids(terms)
        if missing:
            answer |= self.learn_tids(missing, self.execute(TIDS, ([*missing],)))
        return answer

    def unknown_terms(self, tids: Iterable[int]) -> list[int]:
        """Those integers whose terms have to be asked for, by `TERMS`."""
        known, found = self._terms, self.found.terms
        return [tid for tid in set(tids) if tid not in known and tid not in found]

    def learn_terms(self, rows: Iterable[Row]) -> None:
        """Take note of what `TERMS` has answered."""
        self.found.terms.update((tid, unpack(column)) for tid, column in rows)

    def decode(self, tids: tuple[int, ...]) -> tuple[str, ...]:
        """The terms behind a stream of integers."""
        known, found = self._terms, self.found.terms
        try:
            return tuple(map(known.__getitem__, tids))
        except KeyError:
            if missing := self.unknown_terms(tids):
                self.learn_terms(self.execute(TERMS, (missing,)))
        return tuple([known.get(tid) or found[tid] for tid in tids])

    def _intern(self, streams: Sequence[Sequence[str]]) -> dict[str, int]:
        """Integers for all terms of the streams; new terms get new ones, in order of appearance."""
        distinct = dict.fromkeys(chain.from_iterable(streams))
        tids = self.tids(distinct)
        new = [term for term in distinct if term not in tids]
        if new:
            fresh = dict(zip(new, range(self._tid + 1, self._tid + 1 + len(new)), strict=True))
            self._tid += len(new)
            self.execute(
                "INSERT INTO vocab SELECT * FROM unnest(%s::int[], %s::bytea[], %s::text[])",
                ([*fresh.values()], [*map(digest, new)], [*map(pack, new)]),
            )
            tids.update(fresh)
            self.found.tids.update(fresh)
            self.found.terms.update(zip(fresh.values(), new, strict=True))
        return tids

    def stream(self, terms: Sequence[str]) -> bytes:
        """A term stream as the column keeps it; terms that are new to the store get integers."""
        tids = self._intern([terms])
        return pack_terms([tids[term] for term in terms])

    # Spaces

    def space(self, key: str) -> Space | None:
        """An embedding space; None when the store holds no vector of it."""
        if key not in self._spaces:
            row = self.execute("SELECT space, dim, near FROM spaces WHERE digest = %s", (digest(key),)).fetchone()
            self._spaces[key] = None if row is None else Space(*row)
        return self._spaces[key]

    def space_for(self, vector: Vector) -> Space:
        """A vector's space, which is made when it is new. Raises `EmbeddingSpaceMismatch`."""
        dim = len(vector.data)
        space = self.space(vector.space)
        if space is None:
            insert = "INSERT INTO spaces(digest, key, dim) VALUES (%s, %s, %s) RETURNING space"
            ((number,),) = self.execute(insert, (digest(vector.space), pack(vector.space), dim)).fetchall()
            space = self._spaces[vector.space] = Space(number, dim, False)
        if space.dim != dim:
            raise EmbeddingSpaceMismatch(
                f"the store holds vectors of {space.dim} dimensions in space {vector.space!r}, this one has {dim}; "
                "give the new model its own space with `remanence reembed`"
            )
        return space

    # Writing

    def begin_change(self) -> str:
        """The id of this batch's change, drawn at its first journaled effect."""
        if self.change is None:
            self.change = self.draw()
        return self.change

    def enter(
        self,
        op: JournalOp,
        key: Key,
        id: str,
        version: int,
        other: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Add a line to the journal and return its position; the first one of a batch draws the change's id."""
        change = self.begin_change()
        self.seq += 1
        note = pack_detail(detail) if detail else None
        who = (pack(self.actor), pack(self._why))
        self._waiting["journal"].append((*key, self.seq, change, self.now, *who, op, id, version, other, note))
        return self.seq

    def add_version(self, row: Row, terms: Sequence[str], text: str) -> None:
        """Keep a row of `versions` without its two last columns until the next `flush`."""
        self._versions.append((row, terms, text))
        self._owners[row[5]] = (row[0], row[1], row[2], row[3])

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
            tids = self._intern([terms for _, terms, _ in self._versions])
            waiting["versions"] = [
                (*row, pack_terms([tids[term] for term in terms]), text) for row, terms, text in self._versions
            ]
            self._versions.clear()
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
            last_id=max(before.last_id, self._newest_id) if acted else before.last_id,
            late=self.late,
            reindexed=self.reindexed,
            epoch=self.epoch,
            tid=self._tid,
        )
        if after != before:
            places = ", ".join(f"{name} = %s" for name in Standing._fields)
            self.execute(f"UPDATE state SET {places}, residue = residue OR %s", (*after, self.erased))
