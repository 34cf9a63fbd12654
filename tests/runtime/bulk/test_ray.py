"""What is in `ray_cases.py`, in a process of its own: Ray keeps the settings that it was first loaded with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.bulk.cluster import SETTINGS

CASES = Path(__file__).with_name("ray_cases.py")
PATIENCE = 420.0
"""Seconds; starting and killing machines takes most of it, more on a busy one."""


@pytest.mark.loopback
@pytest.mark.timeout(PATIENCE + 30)
def test_work_spread_over_a_cluster() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(
        command, env={**os.environ, **SETTINGS}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
