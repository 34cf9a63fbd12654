from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.llm_server import Service, serving


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []
