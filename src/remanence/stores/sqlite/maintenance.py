"""Looking after a store: is it sound, how large is it, and a copy of it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from remanence.core.errors import InvalidInput
from remanence.core.scope import FIELDS, Scope
from remanence.stores.relational.invariants import (
    CLOSED_WHOLLY,
    LINEAGE,
    NEWEST_OPEN,
    ONE_OPEN,
    OPENS,
    REINDEXED,
    broken,
    job_whole,
    unknown_terms,
)
from remanence.stores.sqlite.codec import scope_from
from remanence.stores.sqlite.connection import sync_folder

SUFFIXES = ("", "-wal", "-shm", "-journal")
_COUNTED = ("versions", "vectors", "edges", "usage", "journal", "vocab", "scopes", "spaces", "receipts", "jobs")

# Each query answers with rows that must not exist, each sentence takes the columns of one.
_INVARIANTS = (
    (
        "SELECT v.id, v.version FROM versions v LEFT JOIN journal j ON j.seq = v.seq "
        "WHERE j.seq IS NULL OR j.id <> v.id OR j.version <> v.version OR "
        f"j.op NOT IN {OPENS}",
        "version {1} of record {0} has no journal entry of its own",
    ),
    (
        "SELECT j.seq, j.id FROM journal j LEFT JOIN versions v ON v.seq = j.seq "
        f"WHERE j.op IN {OPENS} AND v.seq IS NULL",
        "journal entry {0} opened a version of record {1} that is not there",
    ),
    REINDEXED,
    (
        "SELECT j.seq FROM journal j LEFT JOIN changes c ON c.first = j.first "
        "WHERE c.first IS NULL OR j.seq NOT BETWEEN c.first AND c.last",
        "journal entry {0} belongs to no change",
    ),
    (
        "SELECT c.change FROM changes c WHERE NOT EXISTS "
        "(SELECT 1 FROM journal j WHERE j.seq BETWEEN c.first AND c.last)",
        "change {0} has no journal entry",
    ),
    ONE_OPEN,
    NEWEST_OPEN,
    CLOSED_WHOLLY,
    ("SELECT id FROM versions GROUP BY id HAVING count(DISTINCT sid) > 1", "record {0} lies in more than one scope"),
    (
        "SELECT seq FROM versions WHERE sid NOT IN (SELECT sid FROM scopes) UNION "
        "SELECT seq FROM journal WHERE sid NOT IN (SELECT sid FROM scopes)",
        "journal position {0} lies in no known scope",
    ),
    (
        "SELECT e.seq FROM vectors e LEFT JOIN versions v ON v.seq = e.seq AND v.sid = e.sid "
        "LEFT JOIN spaces s USING (space) WHERE v.seq IS NULL OR s.space IS NULL OR s.dim <> length(e.data)",
        "the vector of journal position {0} has no version, or no space of its dimension",
    ),
    (
        "SELECT source, target FROM edges e WHERE NOT EXISTS "
        "(SELECT 1 FROM versions v WHERE v.sid = e.sid AND v.id = e.source) OR NOT EXISTS "
        "(SELECT 1 FROM versions v WHERE v.sid = e.target_sid AND v.id = e.target)",
        "the edge from {0} to {1} has a loose end",
    ),
    (
        "SELECT id FROM usage u WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.sid = u.sid AND v.id = u.id)",
        "the counters of {0} belong to no record",
    ),
    LINEAGE,
    (
        "SELECT id FROM receipt_ids WHERE part IN ('asked', 'derived') AND id IN (SELECT id FROM versions)",
        "record {0} is there although a receipt says that it was erased",
    ),
    ("SELECT id FROM jobs WHERE sid NOT IN (SELECT sid FROM scopes)", "job {0} lies in no known scope"),
    job_whole("IS NOT"),
    (
        "SELECT change FROM (SELECT change, at, lag(at) OVER (ORDER BY first) AS before FROM changes) "
        "WHERE at < before",
        "change {0} is dated before the change that precedes it",
    ),
)


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Sizes and counts of a store."""

    path: Path
    layout: int
    """Number of the file's layout, see `schema.STEPS`."""
    position: int
    """Last journal position."""
    records: int
    """Distinct ids, closed ones included."""
    rows: dict[str, int]
    """Rows by table."""
    bytes: dict[str, int]
    """Size of the store's files by name, those that are there."""
    residue_cleared: bool


def check(connection: sqlite3.Connection) -> list[str]:
    """What is wrong, in sentences: SQLite's own integrity check, then what the tables promise each other."""
    found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    found += broken(_INVARIANTS, connection.execute)
    known = {tid for (tid,) in connection.execute("SELECT tid FROM vocab")}
    found += unknown_terms(known, connection.execute("SELECT seq, terms FROM versions"))
    return found


def scopes(connection: sqlite3.Connection) -> tuple[Scope, ...]:
    """Scopes in use, in order of their first appearance."""
    used = "EXISTS (SELECT 1 FROM versions v WHERE v.sid = s.sid)"
    query = f"SELECT {', '.join(FIELDS)} FROM scopes s WHERE {used} ORDER BY sid"
    return tuple(map(scope_from, connection.execute(query)))


def info(connection: sqlite3.Connection, path: Path) -> StoreInfo:
    """Sizes and counts."""
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return StoreInfo(
        path=path,
        layout=connection.execute("PRAGMA user_version").fetchone()[0],
        position=connection.execute("SELECT ifnull(max(seq), 0) FROM journal").fetchone()[0],
        records=connection.execute("SELECT count(DISTINCT id) FROM versions").fetchone()[0],
        rows={table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _COUNTED},
        bytes={file.name: file.stat().st_size for file in files if file.exists()},
        residue_cleared=not connection.execute("SELECT value FROM meta WHERE name = 'residue'").fetchone()[0],
    )


def backup(connection: sqlite3.Connection, path: Path, target: Path) -> None:
    """Copy to `target`, which must not exist. The copy is compact: it holds no bytes of what was erased."""
    if target.exists():
        raise InvalidInput(f"{target} is there already; a backup overwrites nothing, choose another name")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
        copy = sqlite3.connect(part, isolation_level=None)
        try:
            # Committing this also syncs the whole file, which VACUUM INTO does not do.
            copy.execute("PRAGMA synchronous = FULL")
            copy.execute("UPDATE meta SET value = 0 WHERE name = 'residue'")
        finally:
            copy.close()
        os.rename(part, target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
