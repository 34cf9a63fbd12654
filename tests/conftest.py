"""Rules for the whole suite: no network, no hidden randomness, no state shared with the user's own memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")

# The same examples on every machine and every run; REMANENCE_HYPOTHESIS=explore searches for new ones.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("REMANENCE_HYPOTHESIS", "fixed"))

# Libraries that would look for models on the network read these in child processes too, where sockets are not blocked.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# What is worked out, and when, is for each test to say; those of the thread behind a memory switch it on.
os.environ["REMANENCE_BACKGROUND"] = "0"
os.environ.pop("REMANENCE_LLM", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("loopback") is not None:
            item.add_marker(pytest.mark.allow_hosts(list(LOOPBACK)))


@pytest.fixture(autouse=True)
def _local_names_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`loopback` opens this machine, so a name of another machine must not even be looked up."""
    if request.node.get_closest_marker("loopback") is None:
        return
    look_up = socket.getaddrinfo

    def local_only(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "", *LOOPBACK):
            raise RuntimeError(f"a loopback test asked for the address of {name!r}; only {LOOPBACK} are open to it")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", local_only)


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `Memory()` made without a path must never open a store of the person who runs the tests."""
    monkeypatch.setenv("REMANENCE_DIR", str(tmp_path))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
