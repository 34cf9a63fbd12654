"""What SQLite reports, said in the words of the store: typed errors that name the file and the fix."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from pathlib import Path

from remanence.core.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly

_NOTHING_KEPT = "nothing of this batch was kept"
_LITTLE = 1 << 20


def translate(error: sqlite3.Error, path: Path, timeout: float) -> StoreError:
    """The store error that says what `error` means for the file at `path`."""
    extended = getattr(error, "sqlite_errorcode", None)
    # Errors of the module itself carry no code: a closed connection, a column that is not UTF-8.
    code = extended & 0xFF if extended is not None else None
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return StoreBusy(f"{path} was locked by another writer for more than {timeout:g} s; {_NOTHING_KEPT}, try again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (code is None and "decode" in str(error).lower()):
        return StoreCorrupt(f"{path} is damaged ({error}); restore a backup or export what `check` finds readable")
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return read_only(path)
    if code == sqlite3.SQLITE_CANTOPEN:
        if path.is_dir():
            return StoreError(f"{path} is a folder; name a file in it, such as {path / 'remanence.db'}")
        if not writable(path):
            return read_only(path)
        return _full(path) if room(path.parent) < _LITTLE else StoreError(f"{path} cannot be opened: {error}")
    if code == sqlite3.SQLITE_IOERR:
        # SQLite calls some full disks an I/O error: a file size limit, or no room for the shared index of the log.
        if room(path.parent) < _LITTLE or _at_size_limit(path):
            return _full(path)
        return StoreError(f"{path} could not be read or written ({error}); {_NOTHING_KEPT}; check the disk")
    return StoreError(f"{path}: {error}; {_NOTHING_KEPT}")


def translate_os(error: OSError, path: Path) -> StoreError:
    """The store error for a folder that could not be made or a file that could not be looked at."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return read_only(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _full(path)
    return StoreError(f"{path} cannot be opened: {error.strerror}; check the path")


def writable(path: Path) -> bool:
    """Whether this process may write the file (where it exists) and create files beside it."""
    return os.access(path.parent, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))


def room(folder: Path) -> int:
    """Bytes that this process may still write to the folder's disk; a large number where that cannot be asked."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not hasattr(os, "statvfs"):
        return sys.maxsize
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def _full(path: Path) -> StoreFull:
    return StoreFull(f"no room left to write {path}; {_NOTHING_KEPT}. Free space on the disk and try again")


def read_only(path: Path) -> StoreReadOnly:
    """The error for a file or folder that cannot be written."""
    return StoreReadOnly(
        f"{path} or its folder cannot be written; {_NOTHING_KEPT}. Change the permissions or choose another path"
    )


def not_brought_up(path: Path, layout: int, wanted: int) -> StoreReadOnly:
    """The error for an older file that would have to be written in order to be read."""
    return StoreReadOnly(
        f"{path} has layout {layout} and has to be brought to layout {wanted} before it is read, but it or its folder "
        "cannot be written. Open it once where it can be, or open a copy of it"
    )


def _at_size_limit(path: Path) -> bool:
    if sys.platform == "win32":
        return False
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    files = (path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))
    return any(file.exists() and file.stat().st_size + _LITTLE > limit for file in files)
