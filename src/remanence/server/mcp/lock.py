"""One writer at a time, over all processes and threads of a machine.

The lock is on a file of its own beside the data, which is replaced as a whole and so is another file after each change.
The system lets go of it when the process dies, however it dies; the empty file stays.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from remanence.core.errors import StoreBusy, StoreError, StoreReadOnly

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["exclusive"]

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


@contextmanager
def exclusive(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock file at `path`, which is made if need be, while the block runs.

    Raises:
        StoreBusy: somebody else held it for more than `timeout` seconds.
        StoreReadOnly: it cannot be made.

    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
    except PermissionError as error:
        raise StoreReadOnly(f"{path} cannot be opened: {error.strerror or error}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror or error}") from error
    try:
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while not _take(descriptor):
            if time.monotonic() >= deadline:
                raise StoreBusy(f"{path} was held by another writer for more than {timeout:g} s; try again")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        try:
            yield
        finally:
            _release(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _take(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _take(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
