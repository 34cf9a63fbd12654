"""One batch in progress: what it may see, what it has drawn, and the rows that wait to be written together."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from remanence.core.clock import from_micros
from remanence.core.errors import EmbeddingSpaceMismatch
from remanence.core.scope import FIELDS, Scope
from remanence.stores.sqlite.codec import Column, Row, pack, scope_from, scope_values, unpack
from remanence.substrates.records.id_source import IdSource
from remanence.substrates.records.model import Vector
from remanence.substrates.records.operations import JournalOp
from remanence.substrates.records.packing import pack_detail, pack_terms

CACHED_TERMS = 1 << 20
_CHUNKS = (1, 8, 64, 512)
_BOUND = 1 << 62


class Cache:
    """What one process remembers of committed rows that cannot change before the next erasure.

    `epoch` is the journal position of the newest erasure. A transaction that sees another epoch uses another cache.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.tids: dict[str, int] = {}
        self.terms: dict[int, str] = {}
        self.scopes: dict[int, Scope] = {}
        self.sids: dict[Scope, int] = {}
        self.spaces: dict[str, tuple[int, int]] = {}

    def learn(self, other: Cache) -> None:
        """Take over what a committed transaction found out."""
        if len(self.tids) + len(other.tids) > CACHED_TERMS:
            self.tids, self.terms = {}, {}
        self.tids.update(other.tids)
        self.terms.update(other.terms)
        self.scopes.update(other.scopes)
        self.sids.update(other.sids)
        self.spaces.update(other.spaces)


def chunks(values: Sequence[Any]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Cut values into `(placeholders, values)` for IN lists of few lengths, so that prepared statements are reused.

    The last value is repeated to fill a list, which changes nothing for IN.
    """
    done = 0
    while done < len(values):
        part = tuple(values[done : done + _CHUNKS[-1]])
        done += len(part)
        size = next(size for size in _CHUNKS if size >= len(part))
        yield ",".join("?" * size), part + part[-1:] * (size - len(part))


def bounded(number: int) -> int:
    """A caller's number, cut to what SQLite can hold; positions, versions and limits never come near."""
    return max(-_BOUND, min(number, _BOUND))


class Transaction:
    """State of one batch inside an open SQLite transaction."""

    def __init__(self, connection: sqlite3.Connection, scope: Scope, committed: Cache, seq: int) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.scope = scope
        self.seq = seq
        """Last journal position, unwritten entries included."""
        self.change: str | None = None
        self.now = 0
        """Microseconds; set for batches that write."""
        self.moment: datetime = from_micros(0)
        self.erased = False
        """Whether this batch destroyed something, so that files have to be cleaned after it."""
        self.adopting: frozenset[str] = frozenset()
        """Ids of the records that this batch adopts."""
        self.worked = False
        """Whether this batch made or changed a job."""
        self.unnamed: list[str] = []
        """Jobs of this batch that were made before it had a change."""
        self.newest_id = ""
        """Newest id that this batch drew."""
        self._kept_id = ""
        self.found = Cache(committed.epoch)
        self._committed = committed
        self._visible: dict[int, bool] = {}
        self._only: int | None = None
        self._condition: tuple[str, tuple[Any, ...]] | None = None
        self._owners: dict[str, int] = {}
        self._first = 0
        self.actor = ""
        self._why = ""
        self._ids: IdSource | None = None
        self._versions: list[tuple[Row, Sequence[str], Column]] = []
        self._journal: list[Row] = []
        self._vectors: list[Row] = []
        self._lineage: list[Row] = []

    def begin_writing(self, ids: IdSource, now: int, actor: str, why: str) -> None:
        """Give the batch what only writing needs: ids, the time in microseconds, and who does it for what reason."""
        self._ids = ids
        self.now, self.moment = now, from_micros(now)
        self.actor, self._why = actor, why

    def follow(self, id: str) -> None:
        """Stay above an id that came from elsewhere."""
        assert self._ids is not None, "only batches that write take in ids"
        self._ids.follow(id)
        self.newest_id = max(self.newest_id, id)

    def draw(self) -> str:
        """A new ULID."""
        assert self._ids is not None, "only batches that write draw ids"
        self.newest_id = self._ids.draw(self.now)
        return self.newest_id

    def forget_caches(self) -> None:
        """After an erasure within this batch: rows that caches remember may be gone."""
        self.erased = True
        self._committed = self.found = Cache(self.seq)
        self._owners.clear()
        self._visible.clear()
        self._condition = None

    @property
    def epoch(self) -> int:
        """Journal position of the newest erasure."""
        return self.found.epoch

    # Scopes

    def scope_of(self, sid: int) -> Scope:
        """The scope behind a number."""
        scope = self._committed.scopes.get(sid) or self.found.scopes.get(sid)
        if scope is None:
            row = self.execute(f"SELECT {', '.join(FIELDS)} FROM scopes WHERE sid = ?", (sid,)).fetchone()
            scope = self.found.scopes[sid] = scope_from(row)
        return scope

    def learn_scopes(self, sids: Iterable[int]) -> None:
        """Read many scopes at once, for `scope_of`."""
        known = self._committed.scopes
        missing = [sid for sid in dict.fromkeys(sids) if sid not in known and sid not in self.found.scopes]
        for marks, values in chunks(missing):
            query = f"SELECT sid, {', '.join(FIELDS)} FROM scopes WHERE sid IN ({marks})"
            self.found.scopes.update((sid, scope_from(ids)) for sid, *ids in self.execute(query, values))

    def sid_of(self, scope: Scope) -> int:
        """The number of a scope, which is made when it is new."""
        sid = self._committed.sids.get(scope) or self.found.sids.get(scope)
        if sid is None:
            values = scope_values(scope)
            where = " AND ".join(f"{name} = ?" for name in FIELDS)
            row = self.execute(f"SELECT sid FROM scopes WHERE {where}", values).fetchone()
            if row is None:
                insert = f"INSERT INTO scopes({', '.join(FIELDS)}) VALUES (?, ?, ?, ?)"
                row = (self.execute(insert, values).lastrowid,)
                self._condition = None
            sid = self.found.sids[scope] = int(row[0])
            self.found.scopes[sid] = scope
        return sid

    def covers(self, sid: int) -> bool:
        """Whether the batch's scope covers the scope behind a number."""
        visible = self._visible.get(sid)
        if visible is None:
            visible = self._visible[sid] = self.scope.covers(self.scope_of(sid))
        return visible

    def covered(self, column: str) -> tuple[str, tuple[Any, ...]]:
        """The SQL condition that a scope column is covered, with its parameters."""
        if self._condition is None:
            ids = tuple(self.scope.items())
            where = " AND ".join(f"{name} = ?" for name, _ in ids)
            values = tuple(value for _, value in ids)
            rows = self.execute(f"SELECT sid FROM scopes WHERE {where} LIMIT 2", values).fetchall()
            # One scope is the usual case, and an equality is what the planner makes the most of.
            self._condition = (
                ("= ?", rows[0]) if len(rows) == 1 else (f"IN (SELECT sid FROM scopes WHERE {where})", values)
            )
            self._only = rows[0][0] if len(rows) == 1 else None
        condition, values = self._condition
        return f"{column} {condition}", values

    @property
    def only_scope(self) -> int | None:
        """The number of the one scope that is covered; None when there are several or none."""
        self.covered("sid")
        return self._only

    # Records

    def owner(self, id: str) -> int | None:
        """The scope number of a record if it exists and is covered, whatever its versions' state."""
        sid = self._owners.get(id)
        if sid is None:
            # An id that is not ASCII cannot exist, and SQLite could not even be asked for all of them.
            query = "SELECT sid FROM versions WHERE id = ? LIMIT 1"
            row = self.execute(query, (id,)).fetchone() if id.isascii() else None
            if row is None or not self.covers(row[0]):
                return None
            sid = self._owners[id] = row[0]
        return sid

    def taken(self, id: str) -> bool:
        """Whether a record in any scope has or ever had this id."""
        if id in self._owners:
            return True
        erased = "SELECT 1 FROM receipt_ids WHERE id = ? AND part IN ('asked', 'derived')"
        used = f"SELECT 1 FROM versions WHERE id = ? UNION ALL {erased} LIMIT 1"
        return self.execute(used, (id, id)).fetchone() is not None

    # Terms

    def tids(self, terms: Iterable[str]) -> dict[str, int]:
        """The integers of those terms that occur in the store."""
        known, found = self._committed.tids, self.found
        missing = []
        answer = {}
        for term in terms:
            tid = known.get(term) or found.tids.get(term)
            if tid is None:
                missing.append(pack(term))
            else:
                answer[term] = tid
        for marks, values in chunks(missing):
            for column, tid in self.execute(f"SELECT term, tid FROM vocab WHERE term IN ({marks})", values):
                term = unpack(column)
                answer[term] = found.tids[term] = tid
                found.terms[tid] = term
        return answer

    def decode(self, tids: tuple[int, ...]) -> tuple[str, ...]:
        """The terms behind a stream of integers."""
        known, found = self._committed.terms, self.found.terms
        try:
            return tuple(map(known.__getitem__, tids))
        except KeyError:
            missing = [tid for tid in dict.fromkeys(tids) if tid not in known and tid not in found]
            for marks, values in chunks(missing):
                for tid, column in self.execute(f"SELECT tid, term FROM vocab WHERE tid IN ({marks})", values):
                    found[tid] = unpack(column)
            return tuple([known.get(tid) or found[tid] for tid in tids])

    def _intern(self, streams: Sequence[Sequence[str]]) -> dict[str, int]:
        """Integers for all terms of the streams; new terms get new ones, in order of appearance."""
        distinct = dict.fromkeys(chain.from_iterable(streams))
        tids = self.tids(distinct)
        new = [term for term in distinct if term not in tids]
        if new:
            row = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'vocab'").fetchone()
            first = (row[0] if row else 0) + 1
            fresh = dict(zip(new, range(first, first + len(new)), strict=True))
            rows = [(tid, pack(term)) for term, tid in fresh.items()]
            self.connection.executemany("INSERT INTO vocab(tid, term) VALUES (?, ?)", rows)
            tids.update(fresh)
            self.found.tids.update(fresh)
            self.found.terms.update(zip(fresh.values(), new, strict=True))
        return tids

    def stream(self, terms: Sequence[str]) -> bytes:
        """A term stream as the column keeps it; terms that are new to the store get integers."""
        tids = self._intern([terms])
        return pack_terms([tids[term] for term in terms])

    # Spaces

    def space(self, key: str) -> tuple[int, int] | None:
        """`(number, dimension)` of an embedding space; None when the store holds no vector of it."""
        space = self._committed.spaces.get(key) or self.found.spaces.get(key)
        if space is None:
            row = self.execute("SELECT space, dim FROM spaces WHERE key = ?", (pack(key),)).fetchone()
            if row is None:
                return None
            space = self.found.spaces[key] = (row[0], row[1])
        return space

    def space_for(self, vector: Vector) -> int:
        """The number of a vector's space, which is made when it is new. Raises `EmbeddingSpaceMismatch`."""
        dim = len(vector.data)
        space = self.space(vector.space)
        if space is None:
            cursor = self.execute("INSERT INTO spaces(key, dim) VALUES (?, ?)", (pack(vector.space), dim))
            space = self.found.spaces[vector.space] = (int(cursor.lastrowid or 0), dim)
        if space[1] != dim:
            raise EmbeddingSpaceMismatch(
                f"the store holds vectors of {space[1]} dimensions in space {vector.space!r}, this one has {dim}; "
                "give the new model its own space with `remanence reembed`"
            )
        return space[0]

    # Writing

    def begin_change(self) -> str:
        """The id of this batch's change, drawn at its first journaled effect."""
        if self.change is None:
            self.change = self.draw()
            self._first = self.seq + 1
        return self.change

    def enter(
        self,
        op: JournalOp,
        sid: int,
        id: str,
        version: int,
        other: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Add a line to the journal and return its position; the first one of a batch draws the change's id."""
        if self.change is None:
            self.begin_change()
        self.seq += 1
        note = pack_detail(detail) if detail else None
        self._journal.append((self.seq, self._first, sid, op, id, version, other, note))
        return self.seq

    def add_version(self, row: Row, terms: Sequence[str], text: Column) -> None:
        """Keep a row of `versions` without its two last columns until the next `flush`."""
        self._versions.append((row, terms, text))
        self._owners[row[2]] = row[1]

    def add_vector(self, sid: int, space: int, seq: int, vector: Vector) -> None:
        """Keep the vector that came with a version until the next `flush`."""
        self._vectors.append((sid, space, seq, None, vector.scale, vector.data))

    def add_lineage(self, source: str, seq: int) -> None:
        """Keep the fact that a version rests on a record until the next `flush`."""
        self._lineage.append((source, seq))

    def keep_newest_id(self) -> None:
        """Let the change know of ids that were drawn after its last journal entry was written."""
        if self._kept_id != self.newest_id:
            self.execute("UPDATE changes SET last_id = ? WHERE first = ?", (self.newest_id, self._first))

    def flush(self) -> None:
        """Write what waits, so that queries see it."""
        many = self.connection.executemany
        if self._versions:
            tids = self._intern([terms for _, terms, _ in self._versions])
            many(
                f"INSERT INTO versions VALUES ({','.join('?' * 23)})",
                [(*row, pack_terms([tids[term] for term in terms]), text) for row, terms, text in self._versions],
            )
            self._versions.clear()
        if self._vectors:
            many("INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?)", self._vectors)
            self._vectors.clear()
        if self._lineage:
            many("INSERT OR IGNORE INTO lineage VALUES (?, ?)", self._lineage)
            self._lineage.clear()
        if self._journal:
            many("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._journal)
            self._journal.clear()
            self._kept_id = self.newest_id
            self.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT(first) DO UPDATE SET last = excluded.last, last_id = excluded.last_id",
                (self._first, self.seq, self.change, self.now, pack(self.actor), pack(self._why), self.newest_id),
            )
