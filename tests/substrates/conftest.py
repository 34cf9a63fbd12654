from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.substrates.worlds import OpenStore, opened


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    with opened(request.param, tmp_path) as another:
        yield another
