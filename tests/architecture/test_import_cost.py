"""`import remanence` is quick and light, measured where nothing is loaded yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGE

LIMIT_SECONDS = 0.150
RUNS = 50
NEVER = {
    "fastapi",
    "httpx",
    "mcp",
    "ray",
    "rich",
    "sentence_transformers",
    "starlette",
    "tokenizers",
    "torch",
    "transformers",
    "uvicorn",
}

LATER = {
    "remanence.kernels.claims.answers",
    "remanence.kernels.claims.questions",
    "remanence.kernels.timex",
    "remanence.mechanisms.records.recall",
    "remanence.runtime.audit",
    "remanence.runtime.importers",
    "remanence.runtime.knowing",
    "remanence.runtime.sleeping",
    "remanence.runtime.working",
    "tempfile",
    "zipfile",
    "zoneinfo",
}
"""What takes long to load, and is loaded with the first call that needs it."""

PROBE = """
import json, sys, time
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def run(statement: str, folder: Path) -> tuple[float, set[str]]:
    """Seconds and top-level modules of one import in a fresh interpreter, with the package found in `folder`."""
    result = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, modules = json.loads(result.stdout)
    return float(seconds), set(modules)


def quick(statement: str, folder: Path, runs: int = RUNS) -> bool:
    """Whether one of several runs is quick: a busy machine makes it slower, nothing makes it faster than it is."""
    return any(run(statement, folder)[0] < LIMIT_SECONDS for _ in range(runs))


def test_import_is_quick() -> None:
    assert quick("import remanence", PACKAGE.parent)


def test_import_is_light() -> None:
    _, modules = run("import remanence", PACKAGE.parent)
    assert modules & (NEVER | {"numpy", "click", "sqlite3"}) == set()


@pytest.mark.parametrize("statement", ["from remanence import Memory", "import remanence.cli"])
def test_using_it_is_light(statement: str) -> None:
    _, modules = run(statement, PACKAGE.parent)
    assert modules & NEVER == set()


def test_what_only_some_calls_need_comes_with_them() -> None:
    probe = "import sys; from remanence import Memory; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert LATER.intersection(done.stdout.split()) == set()


def test_a_slow_and_heavy_package_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time, rich\ntime.sleep(0.2)\n")
    assert not quick("import slow", tmp_path, runs=3)
    assert "rich" in run("import slow", tmp_path)[1] & NEVER
