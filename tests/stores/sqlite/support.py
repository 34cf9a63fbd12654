"""What the tests of the SQLite store share: short ways to write and look, and scripts in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

from remanence.core.clock import SteppingClock
from remanence.core.scope import Scope
from remanence.stores.sqlite import SqliteStore
from remanence.substrates.records.model import Draft, Record, View
from remanence.substrates.records.operations import Find, Operation, Put

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA = Scope(user_id="ana")
BOB = Scope(user_id="bob")
LATER = View(datetime(2100, 1, 1, tzinfo=UTC))
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def fresh(path: Path, **options: Any) -> SqliteStore:
    """A store whose clock begins at `START` and moves on by a second per reading."""
    options.setdefault("clock", SteppingClock(START, timedelta(seconds=1)))
    options.setdefault("durable", False)
    return SqliteStore(path, **options)


def add(store: SqliteStore, *texts: str, scope: Scope = ANA, **draft: Any) -> list[str]:
    """Write records in one batch and return their ids."""
    outcome = store.batch([Put(Draft(text, **draft)) for text in texts], scope=scope)
    return [written.id for written in outcome.results]


def ask(store: SqliteStore, operation: Operation, scope: Scope = ANA) -> Any:
    """The answer to one operation."""
    return store.batch([operation], scope=scope).results[0]


def everything(store: SqliteStore, scope: Scope = ANA) -> tuple[Record, ...]:
    """All visible records."""
    found: tuple[Record, ...] = ask(store, Find(LATER, limit=None), scope)
    return found


def files(path: Path) -> dict[str, bytes]:
    """The bytes of the store's files, read by another process: closing them here would take this process's locks."""
    found = sorted(path.parent.glob(path.name + "*"))
    copy = "import sys; [sys.stdout.buffer.write(open(name, 'rb').read()) for name in sys.argv[1:]]"
    data = subprocess.run([sys.executable, "-I", "-S", "-c", copy, *found], capture_output=True, check=True).stdout
    ends = list(accumulate(file.stat().st_size for file in found))
    assert ends[-1] == len(data)
    return {file.name: data[start:end] for file, start, end in zip(found, [0, *ends], ends, strict=False)}


def start(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A script of this folder in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PYTHONWARNINGS": "error",
    }
    command: list[str] = [sys.executable, str(HERE / "processes" / script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def finish(process: subprocess.Popen[str], timeout: float = 90) -> Any:
    """The JSON that a script printed."""
    out, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}\n{out}"
    return json.loads(out)
