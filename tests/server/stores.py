"""The stores that a server may stand on: a file, and a schema of the test run's PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.stores.postgres.server import Schemas, serve

STORES: Final = ("sqlite", "postgres")


@contextmanager
def address(kind: str, folder: Path) -> Iterator[str]:
    """Where a store that holds nothing yet can be opened; by several servers, one of them in another process."""
    if kind == "sqlite":
        yield str(folder / "memory.db")
    else:
        with Schemas(serve()) as schemas:
            yield schemas.address()
