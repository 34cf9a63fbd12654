"""Nothing acknowledged is lost and nothing half-written is seen, whenever a writer is killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stores.sqlite.support import finish, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
ROUNDS = 200 if os.environ.get("REMANENCE_SLOW") else 40


def crash(folder: Path, rounds: int, seed: int, variant: str) -> Any:
    return finish(start("crash.py", folder, rounds, seed, variant))


def test_a_writer_killed_at_random_points_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    report = crash(tmp_path, ROUNDS, 1, "right")
    assert report["faults"] == []
    assert report["acknowledged"] > ROUNDS, "the writers were killed before they wrote anything worth checking"


@pytest.mark.parametrize(
    ("variant", "fault"), [("early", "was acknowledged and is missing"), ("torn", "is there by halves")]
)
def test_the_checker_notices_a_writer_that_breaks_the_promise(tmp_path: Path, variant: str, fault: str) -> None:
    faults = crash(tmp_path, 20, 2, variant)["faults"]
    assert any(fault in line for line in faults), faults
