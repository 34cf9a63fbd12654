"""The file's layout, its identity and its numbered steps from one layout to the next.

Every table that holds what belongs to somebody leads its key with `sid`, the number of a scope. The four ids of a scope
are kept once, in `scopes`, where an empty string stands for an id that was left out (an id itself is never empty).
`lineage` and the receipts are the exceptions, because erasing follows derived records wherever they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from remanence.core.errors import StoreCorrupt, StoreVersionError

APPLICATION_ID = 0x524D4E43
"""`RMNC` in the file's header, so that tools can tell a Remanence store from any other SQLite file."""

PAGE_SIZE = 8192
"""Vectors of up to 2,000 bytes fit into a leaf of their table."""

_FIRST = """
-- late: last position in the stream of late vectors. reindexed: journal position of the last reindexing.
-- residue: whether erased bytes may still be in the files.
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE scopes(
    sid INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id TEXT NOT NULL, user_id TEXT NOT NULL, agent_id TEXT NOT NULL, run_id TEXT NOT NULL,
    UNIQUE(app_id, user_id, agent_id, run_id)
);
CREATE INDEX scopes_user ON scopes(user_id);
CREATE INDEX scopes_agent ON scopes(agent_id);
CREATE INDEX scopes_run ON scopes(run_id);

-- One row per batch that was journaled; its entries are first..last. last_id is the newest ULID given out so far.
CREATE TABLE changes(
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, change TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL, last_id TEXT NOT NULL
);
-- other: the target of a link. detail: JSON of what undo needs, NULL for nothing.
CREATE TABLE journal(
    seq INTEGER PRIMARY KEY, first INTEGER NOT NULL, sid INTEGER NOT NULL, op TEXT NOT NULL,
    id TEXT NOT NULL, version INTEGER NOT NULL, other TEXT, detail TEXT
);
CREATE INDEX journal_id ON journal(id) WHERE op IN ('link', 'unlink', 'reindex', 'erase');
CREATE INDEX journal_other ON journal(other) WHERE other IS NOT NULL;

-- seq is the journal position that opened the version, so the table itself lies in journal order.
-- Times are microseconds since 1970 UTC. terms: little-endian int32 of vocab.tid. text comes last: scans skip it.
CREATE TABLE versions(
    seq INTEGER PRIMARY KEY, sid INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
    event_at INTEGER NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER, recorded_at INTEGER NOT NULL,
    closed_at INTEGER, ended_at INTEGER, closed_seq INTEGER,
    state TEXT NOT NULL, zone TEXT, speaker TEXT, role TEXT, language TEXT, sources TEXT, meta TEXT,
    terms BLOB NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX versions_id ON versions(id, version);
CREATE INDEX versions_scope ON versions(sid, id, version);
CREATE INDEX versions_closed ON versions(closed_seq) WHERE closed_seq IS NOT NULL;

CREATE TABLE lineage(source TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(source, seq)) WITHOUT ROWID;

CREATE TABLE vocab(tid INTEGER PRIMARY KEY AUTOINCREMENT, term TEXT NOT NULL UNIQUE);

CREATE TABLE spaces(space INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, dim INTEGER NOT NULL);
-- late: position in the stream of vectors that came after their version; NULL for those written with it.
CREATE TABLE vectors(
    sid INTEGER NOT NULL, space INTEGER NOT NULL, seq INTEGER NOT NULL, late INTEGER, scale REAL NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY(sid, space, seq)
) WITHOUT ROWID;
CREATE INDEX vectors_late ON vectors(late) WHERE late IS NOT NULL;

CREATE TABLE edges(
    sid INTEGER NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, type TEXT NOT NULL, weight REAL NOT NULL,
    target_sid INTEGER NOT NULL, PRIMARY KEY(sid, source, target, type)
) WITHOUT ROWID;
CREATE INDEX edges_target ON edges(target_sid, target);

CREATE TABLE usage(
    sid INTEGER NOT NULL, id TEXT NOT NULL, hits INTEGER NOT NULL, last_hit INTEGER, strength REAL NOT NULL,
    utility REAL NOT NULL, PRIMARY KEY(sid, id)
) WITHOUT ROWID;

-- The highest version number of a record whose newest version was destroyed while the record stayed.
CREATE TABLE floors(
    sid INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY(sid, id)
) WITHOUT ROWID;

CREATE TABLE receipts(seq INTEGER PRIMARY KEY, sid INTEGER NOT NULL, reason TEXT NOT NULL, counts TEXT NOT NULL);
CREATE TABLE receipt_ids(
    seq INTEGER NOT NULL, part TEXT NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY(seq, part, place)
) WITHOUT ROWID;
CREATE INDEX receipt_ids_id ON receipt_ids(id);
"""

_SECOND = """
-- Built anew, because text has to stay the last column: what lies behind it costs a scan its way through long texts.
CREATE TABLE versions_2(
    seq INTEGER PRIMARY KEY, sid INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
    event_at INTEGER NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER, recorded_at INTEGER NOT NULL,
    closed_at INTEGER, ended_at INTEGER, closed_seq INTEGER,
    state TEXT NOT NULL, zone TEXT, speaker TEXT, role TEXT, language TEXT, origin TEXT, trust REAL NOT NULL,
    sources TEXT, meta TEXT, terms BLOB NOT NULL, text TEXT NOT NULL
);
INSERT INTO versions_2 SELECT
    seq, sid, id, version, kind, event_at, valid_from, valid_to, recorded_at, closed_at, ended_at, closed_seq,
    state, zone, speaker, role, language, NULL, 1.0, sources, meta, terms, text FROM versions ORDER BY seq;
DROP TABLE versions;
ALTER TABLE versions_2 RENAME TO versions;
CREATE UNIQUE INDEX versions_id ON versions(id, version);
CREATE INDEX versions_scope ON versions(sid, id, version);
CREATE INDEX versions_closed ON versions(closed_seq) WHERE closed_seq IS NOT NULL;

-- ready: when the job can be leased, which is due or leased_until; NULL for dead ones. payload: JSON, NULL for nothing.
CREATE TABLE jobs(
    id TEXT PRIMARY KEY, sid INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT, payload TEXT, change TEXT,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, created_at INTEGER NOT NULL, due INTEGER NOT NULL, ready INTEGER,
    worker TEXT, leased_until INTEGER, error TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_ready ON jobs(sid, ready, id, kind) WHERE ready IS NOT NULL;
CREATE INDEX jobs_held ON jobs(sid, state, id) WHERE state <> 'waiting';
CREATE INDEX jobs_key ON jobs(sid, kind, key) WHERE key IS NOT NULL AND state = 'waiting';

-- One row: time of the newest batch that changed a job, and the newest ULID given out by such batches.
CREATE TABLE work(one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL, last_id TEXT NOT NULL);
"""

RECEIPT_TABLES = frozenset({"receipts", "receipt_ids"})


_EVER = -(1 << 63)
"""A time before all others."""


def _run(connection: sqlite3.Connection, script: str) -> None:
    # executescript would commit the surrounding transaction.
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _create(connection: sqlite3.Connection) -> None:
    _run(connection, _FIRST)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("late", 0), ("reindexed", 0), ("residue", 0)])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _add_work(connection: sqlite3.Connection) -> None:
    """Where records come from and how far they are trusted, and the outbox."""
    _run(connection, _SECOND)
    connection.execute("INSERT INTO work VALUES (1, ?, '')", (_EVER,))


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create, _add_work)
"""`STEPS[n]` leads from layout `n` to layout `n + 1`; a published step is never edited, only followed by another."""

VERSION = len(STEPS)
"""The layout that this code reads and writes, kept in the file's `user_version`."""


_SMALLEST = 512
"""Bytes of the smallest database; SQLite takes some shorter files for empty ones."""


def inspect_file(path: Path) -> None:
    """Look at a file in a way that leaves no trace, before it is opened to be used.

    Raises `StoreCorrupt` for a file that is no store or shorter than it says, `StoreVersionError` for a newer one, and
    errors of SQLite. An empty file passes.

    Even this look goes through SQLite. POSIX takes all locks on a file away from a process that closes any descriptor
    of it: reading the header with `open` would unlock the store for every other connection of this process.
    """
    try:
        _inspect(path)
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            raise StoreCorrupt(f"{path} is not a Remanence store ({error}); choose another path") from error
        if code != sqlite3.SQLITE_CORRUPT:
            raise
        # In the middle of a checkpoint the file is shorter than its header says, and the log holds the missing pages.
        log = path.with_name(path.name + "-wal")
        if not (log.exists() and log.stat().st_size):
            _inspect_again(path)


def _inspect(path: Path) -> None:
    size = path.stat().st_size
    if size == 0:
        return
    if size < _SMALLEST:
        raise StoreCorrupt(f"{path} is not a Remanence store (it has {size} bytes); choose another path")
    connection = sqlite3.connect(unlocked(path), isolation_level=None, uri=True)
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    finally:
        connection.close()
    if application_id == APPLICATION_ID:
        refuse_newer(path, version)


def _inspect_again(path: Path) -> None:
    """The second look at a file that was too short: another process may have finished a checkpoint between the two."""
    try:
        _inspect(path)
    except sqlite3.DatabaseError as error:
        size = path.stat().st_size
        raise StoreCorrupt(f"{path} is truncated or damaged: {size:,} bytes are left; restore a backup") from error


def unlocked(path: Path) -> str:
    """The address under which SQLite reads a file as it lies there, without locks and without its log."""
    return f"{path.resolve().as_uri()}?immutable=1"


def refuse_newer(path: Path, version: int) -> None:
    """Raise `StoreVersionError` when `version` is above `VERSION`."""
    if version > VERSION:
        raise StoreVersionError(
            f"{path} has layout {version}, written by a newer Remanence; this one knows layouts up to {VERSION}. "
            "Install the newer version, or choose another path. The file was not touched"
        )


def identify(connection: sqlite3.Connection, path: Path) -> int:
    """The layout number of an open file; 0 when it is new and empty.

    Raises `StoreCorrupt` when it belongs to another program, `StoreVersionError` when it is newer.
    """
    application_id, version, objects = _marks(connection)
    if application_id == APPLICATION_ID:
        refuse_newer(path, version)
        return version
    if application_id or version or objects:
        raise StoreCorrupt(f"{path} is an SQLite file of another program, not a Remanence store; choose another path")
    return 0


def _marks(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Application id, layout number and number of tables, all of one moment.

    Read one after another, they would belong to no file that ever was while another process makes the store.
    """
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        if alone and connection.in_transaction:
            connection.execute("ROLLBACK")
    return application_id, version, objects


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an open file to `VERSION`, inside the caller's transaction."""
    for step in STEPS[identify(connection, path) :]:
        step(connection)
    connection.execute(f"PRAGMA user_version = {VERSION}")
