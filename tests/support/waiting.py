"""Waiting for what will be so, on a machine that may be busy."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["eventually"]


def eventually(holds: Callable[[], object], otherwise: str = "it did not happen", *, seconds: float = 60.0) -> None:
    """Wait until something holds; how long it takes does not matter. Fails with `otherwise` after `seconds`."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, otherwise
        time.sleep(0.005)
