"""Files that callers name by a path or hand over opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from remanence.core.errors import ImportFormatError

__all__ = ["TextFile", "batched", "opened"]

T = TypeVar("T")

TextFile = str | os.PathLike[str] | IO[str]
"""A path, or an open text file such as `sys.stdin`."""


@contextmanager
def opened(source: TextFile) -> Iterator[tuple[BinaryIO, str]]:
    """A stream of bytes that can be read twice, and what to call it in messages. Raises `ImportFormatError`."""
    if isinstance(source, str | os.PathLike):
        try:
            stream = Path(source).expanduser().open("rb")
        except OSError as error:
            raise ImportFormatError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
        with stream:
            yield stream, os.fspath(source)
        return
    import tempfile  # It brings along much that only this needs.

    with tempfile.TemporaryFile() as copy:
        try:
            for line in source:
                copy.write(line.encode("utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise ImportFormatError(f"{getattr(source, 'name', 'the file')} is not UTF-8: {error}") from error
        copy.seek(0)
        yield copy, str(getattr(source, "name", "the file"))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items."""
    source = iter(items)
    while part := list(islice(source, size)):
        yield part
