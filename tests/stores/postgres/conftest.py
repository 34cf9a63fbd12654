from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.postgres.server import Schemas, Server, serve


@pytest.fixture
def server() -> Server:
    return serve()


@pytest.fixture
def schemas() -> Iterator[Schemas]:
    with Schemas(serve()) as made:
        yield made
