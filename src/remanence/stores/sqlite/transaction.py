"""One batch in progress, over SQLite: numbers of scopes, words and spaces, and the rows that wait to be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from remanence.core.scope import FIELDS, Scope
from remanence.stores.relational import transaction as relational
from remanence.stores.relational.columns import Row
from remanence.stores.relational.transaction import Space
from remanence.stores.sqlite.codec import TEXTS, chunks, pack, scope_from, scope_values, unpack
from remanence.stores.sqlite.erasing import SqliteErasureRows
from remanence.stores.sqlite.jobs import SqliteJobRows
from remanence.stores.sqlite.writing import SqliteVersionRows
from remanence.substrates.records.model import Vector
from remanence.substrates.records.packing import pack_terms

_INSERT_VERSION = f"INSERT INTO versions VALUES ({', '.join('?' * 23)})"


class Cache(relational.Cache[int]):
    """What one process remembers of committed rows; scopes have numbers."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.sids: dict[Scope, int] = {}
        self.spaces: dict[str, Space] = {}

    def learn(self, other: Cache) -> None:
        """Take over what a committed transaction found out."""
        self.learn_words(other)
        self.sids.update(other.sids)
        self.spaces.update(other.spaces)


class Transaction(relational.Transaction[int]):
    """State of one batch inside an open SQLite transaction. The key of a scope is its number, `sid`."""

    found: Cache

    def __init__(self, connection: sqlite3.Connection, scope: Scope, committed: Cache, seq: int) -> None:
        super().__init__(scope, seq, committed, Cache(committed.epoch), TEXTS)
        self.connection = connection
        self.execute = connection.execute
        self._kept_id = ""
        self._committed = committed
        self._visible: dict[int, bool] = {}
        self._only: int | None = None
        self._condition: tuple[str, tuple[Any, ...]] | None = None
        self._vectors: list[Row] = []
        self._lineage: list[Row] = []
        self._usage: list[Row] = []

    @property
    def rows(self) -> SqliteVersionRows:
        """Rows of versions and of what hangs on them."""
        return SqliteVersionRows(self)

    @property
    def jobs(self) -> SqliteJobRows:
        """Rows of the outbox."""
        return SqliteJobRows(self)

    @property
    def erasing(self) -> SqliteErasureRows:
        """Rows as an erasure sees them."""
        return SqliteErasureRows(self)

    def everywhere(self) -> AbstractContextManager[None]:
        """Nothing has to be opened: a statement that names no scope sees all of the file."""
        return nullcontext()

    def forget_caches(self) -> None:
        """After an erasure within this batch: rows that caches remember may be gone."""
        self.erased = True
        self._committed = self.found = Cache(self.seq)
        self._remember(self.found)
        self._owners.clear()
        self._visible.clear()
        self._condition = None

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

    def place(self, scope: Scope) -> int:
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

    def learn_owners(self, ids: Iterable[str]) -> None:
        """Nothing is looked up ahead: asking for one after the other costs as little."""

    def taken(self, id: str) -> bool:
        """Whether a record in any scope has or ever had this id."""
        if id in self._owners:
            return True
        erased = "SELECT 1 FROM receipt_ids WHERE id = ? AND part IN ('asked', 'derived')"
        used = f"SELECT 1 FROM versions WHERE id = ? UNION ALL {erased} LIMIT 1"
        return self.execute(used, (id, id)).fetchone() is not None

    # Terms

    def read_tids(self, terms: Sequence[str]) -> Iterable[tuple[str, int]]:
        """The integers of those terms that occur in the store, each with its term."""
        for marks, values in chunks([*map(pack, terms)]):
            for column, tid in self.execute(f"SELECT term, tid FROM vocab WHERE term IN ({marks})", values):
                yield unpack(column), tid

    def read_terms(self, tids: Sequence[int]) -> Iterable[tuple[int, str]]:
        """The terms behind integers, each with its integer."""
        for marks, values in chunks(tids):
            for tid, column in self.execute(f"SELECT tid, term FROM vocab WHERE tid IN ({marks})", values):
                yield tid, unpack(column)

    def add_terms(self, terms: Sequence[str]) -> range:
        """Write terms that are new to the store; the integers that they get."""
        row = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'vocab'").fetchone()
        first = (row[0] if row else 0) + 1
        fresh = range(first, first + len(terms))
        rows = zip(fresh, map(pack, terms), strict=True)
        self.connection.executemany("INSERT INTO vocab(tid, term) VALUES (?, ?)", rows)
        return fresh

    # Spaces

    def space(self, key: str) -> Space | None:
        """An embedding space; None when the store holds no vector of it."""
        space = self._committed.spaces.get(key) or self.found.spaces.get(key)
        if space is None:
            row = self.execute("SELECT space, dim FROM spaces WHERE key = ?", (pack(key),)).fetchone()
            if row is None:
                return None
            space = self.found.spaces[key] = Space(*row)
        return space

    def add_space(self, key: str, dim: int) -> Space:
        """Note down a space that is new."""
        cursor = self.execute("INSERT INTO spaces(key, dim) VALUES (?, ?)", (pack(key), dim))
        space = self.found.spaces[key] = Space(int(cursor.lastrowid or 0), dim)
        return space

    # Rows that wait

    def add_vector(self, key: int, space: Space, seq: int, vector: Vector) -> None:
        """Keep the vector that came with a version until the next `flush`."""
        self._vectors.append((key, space.number, seq, None, vector.scale, vector.data))

    def add_lineage(self, key: int, source: str, seq: int) -> None:
        """Keep the fact that a version rests on a record until the next `flush`."""
        self._lineage.append((source, seq))

    def add_usage(self, key: int, id: str, counters: Row) -> None:
        """Keep the counters that came with a record until the next `flush`."""
        self._usage.append((key, id, *counters))

    def keep_newest_id(self) -> None:
        """Let the change know of ids that were drawn after its last journal entry was written."""
        if self._kept_id != self.newest_id:
            self.execute("UPDATE changes SET last_id = ? WHERE first = ?", (self.newest_id, self.first))

    def flush(self) -> None:
        """Write what waits, so that queries see it."""
        many = self.connection.executemany
        if self._versions:
            tids = self._take_streams()
            many(
                _INSERT_VERSION,
                [
                    (seq, key, id, *columns, pack_terms([tids[term] for term in terms]), text)
                    for key, seq, id, columns, terms, text in self._versions
                ],
            )
            self._versions.clear()
        if self._vectors:
            many("INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?)", self._vectors)
            self._vectors.clear()
        if self._lineage:
            many("INSERT OR IGNORE INTO lineage VALUES (?, ?)", self._lineage)
            self._lineage.clear()
        if self._usage:
            many("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?)", self._usage)
            self._usage.clear()
        if self._entries:
            first = self.first
            many(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (seq, first, key, op, id, version, other, note)
                    for seq, key, op, id, version, other, note in self._entries
                ],
            )
            self._entries.clear()
            self._kept_id = self.newest_id
            self.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT(first) DO UPDATE SET last = excluded.last, last_id = excluded.last_id",
                (self.first, self.seq, self.change, self.now, pack(self.actor), pack(self.why), self.newest_id),
            )
