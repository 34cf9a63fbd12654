"""Wiping what an erasure leaves behind in the file's unused space and in the log.

Deleted rows are overwritten with zeros where they lay, but SQLite also moves rows between pages without clearing the
place they came from. So the file is rewritten without unused space, the log is copied into it, and the log is emptied.
Readers of other processes that still look at the time before the erasure hold up the last step; until it has succeeded
the store says so in `meta.residue`.
"""

from __future__ import annotations

import sqlite3
import time

_POLL = 0.02
_LARGE = 1 << 28


def cleared(connection: sqlite3.Connection) -> bool:
    """Whether nothing is left to wipe."""
    return not connection.execute("SELECT value FROM meta WHERE name = 'residue'").fetchone()[0]


def clear(connection: sqlite3.Connection, patience: float) -> bool:
    """Wipe, waiting for other processes up to `patience` seconds. Answer: whether everything is gone."""
    deadline = time.monotonic() + patience
    try:
        if cleared(connection):
            return True
        _compact(connection)
        while not _empty_log(connection):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        # The log that this begins holds one page, which has never held text.
        connection.execute("UPDATE meta SET value = 0 WHERE name = 'residue'")
    except sqlite3.OperationalError as error:
        # The erasure itself is committed, so a lock held too long or a disk too full for a copy only postpones this.
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL):
            return False
        raise
    return True


def _compact(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    # The copy that VACUUM makes on the way holds only what stays; in memory where that is not too much to ask.
    store = "MEMORY" if pages * page_size < _LARGE else "FILE"
    connection.execute(f"PRAGMA temp_store = {store}")
    try:
        connection.execute("VACUUM")
    finally:
        connection.execute("PRAGMA temp_store = MEMORY")


def _empty_log(connection: sqlite3.Connection) -> bool:
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
