"""A proxy for one test, or one that the tests of a file share: those that leave no more behind than words of Ana."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.proxy.support import Place, proxied


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with proxied(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with proxied(tmp_path_factory.mktemp("standing")) as found:
        yield found


@pytest.fixture
def shared(standing: Place) -> Place:
    standing.up.clear()
    # So that nobody finds them, in whatever order the tests run.
    if standing.texts(user_id="ana"):
        standing.memory.erase(user_id="ana")
    return standing
