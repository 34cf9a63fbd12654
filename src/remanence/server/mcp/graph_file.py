"""The file of a knowledge graph: read by many, changed by one at a time, never half.

A change holds the lock, reads the file, and puts a new one in its place, which is on the disk before it gets the name.
So readers see the one or the other, whoever is killed when, and two writers both find their changes in the file. A
writer that knows nothing of the lock is noticed if it was faster, and the change is made again on what it wrote.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from remanence.core.errors import Conflict, StoreError, StoreFull, StoreReadOnly
from remanence.server.mcp.graph import Graph
from remanence.server.mcp.lock import exclusive

__all__ = ["GraphFile"]

T = TypeVar("T")

_ATTEMPTS: Final = 20
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

Signature = tuple[int, int, int, int] | None
"""Device, file, time and size; None: there is no file."""


class GraphFile:
    """A graph at a path. Thread-safe. Nothing is opened or made before it is needed.

    `timeout`: seconds that a change waits for other writers.
    """

    def __init__(self, path: Path, *, timeout: float = 20.0) -> None:
        self.path = path
        self._timeout = timeout
        self._lock = threading.Lock()
        self._latest: tuple[bytes, Graph] | None = None

    def read(self) -> Graph:
        """The graph as it stands now, which nobody may change. Raises `StoreError`."""
        data, _ = self._load(self._target())
        with self._lock:
            # Compared by its bytes: no time of a file tells for certain that nothing was written meanwhile.
            if self._latest is None or self._latest[0] != data:
                self._latest = (data, Graph(data))
            return self._latest[1]

    def change(self, work: Callable[[Graph], T]) -> T:
        """Let `work` change the graph and keep what it made of it; what it returns. If it raises, nothing changes.

        Raises:
            StoreBusy: other writers held the file too long.
            StoreReadOnly, StoreFull, StoreError: it cannot be written; it is as it was.
            Conflict: something that keeps no lock changes it all the time.

        """
        target = self._target()
        self._make_folder(target.parent)
        with exclusive(target.with_name(f"{target.name}.lock"), self._timeout):
            for _ in range(_ATTEMPTS):
                data, before = self._load(target)
                graph = Graph(data)
                result = work(graph)
                if not graph.changed or self._replace(target, bytes(graph), before):
                    return result
        raise Conflict(f"{target} was changed {_ATTEMPTS} times in a row by a program that keeps no lock; try again")

    def _target(self) -> Path:
        """Where the data lies: a link stays a link."""
        return Path(os.path.realpath(self.path))

    def _load(self, target: Path) -> tuple[bytes, Signature]:
        try:
            with target.open("rb") as file:
                stat = os.fstat(file.fileno())
                return file.read(), (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            return b"", None
        except OSError as error:
            raise StoreError(f"{target} cannot be read: {error.strerror or error}") from error

    def _replace(self, target: Path, data: bytes, before: Signature) -> bool:
        """Put a new file in the place of the old; False if that is not the one that was read."""
        # Only whoever holds the lock uses this name, so one that a killed process left is simply written anew.
        fresh = target.with_name(f".{target.name}.new")
        try:
            mode = 0o600 if before is None else os.stat(target).st_mode & 0o777
            with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(fresh, mode)
            if self._signature(target) != before:
                return False
            os.replace(fresh, target)
            _sync_folder(target.parent)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise _translated(target, error) from error
        return True

    def _signature(self, target: Path) -> Signature:
        try:
            stat = os.stat(target)
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _translated(folder, error) from error


def _translated(path: Path, error: OSError) -> StoreError:
    text = f"{path} cannot be written: {error.strerror or error}"
    if error.errno in _DENIED:
        return StoreReadOnly(text)
    return StoreFull(text) if error.errno in _FULL else StoreError(text)


def _sync_folder(folder: Path) -> None:
    """Make the new name last; not every system lets folders be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
