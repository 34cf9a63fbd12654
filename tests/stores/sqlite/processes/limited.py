"""Writing where the room or the right to write is missing.

`limited.py room PATH` writes under a limit on the size of files, `limited.py rights FOLDER` as one who may only read;
both print what happened, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from remanence.core.errors import StoreError
from remanence.stores.sqlite import SqliteStore
from tests.stores.sqlite.support import add, everything

NOBODY = 65534


def attempt(store: SqliteStore, *texts: str) -> str:
    """Name of the error that writing ends with, empty when it succeeds."""
    try:
        add(store, *texts)
    except StoreError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def room(path: Path) -> dict[str, Any]:
    """Fill the file to a limit that the process sets itself, then lift the limit."""
    store = SqliteStore(path, durable=False)
    kept = [f"kept {number}" for number in range(3)]
    for text in kept:
        add(store, text)
    size = max(file.stat().st_size for file in path.parent.iterdir())
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, unlimited[1]))
    tries = [attempt(store, *[f"large {number} {part}" + "x" * 9000 for part in range(2)]) for number in range(40)]
    errors = [error for error in tries if error]
    while_full = [record.text[:12] for record in everything(store)]
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    after = attempt(store, "after")
    texts = [record.text[:12] for record in everything(store)]
    return {"errors": errors, "while_full": while_full, "after": after, "texts": texts, "check": store.check()}


def rights(folder: Path) -> dict[str, Any]:
    """Read and write three stores (`file.db` not writable, `folder/r.db` in a folder that is not, and none at all)."""
    # Whoever runs the tests as root may write anywhere, so become somebody else; all modules are loaded by now.
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    answer: dict[str, Any] = {}
    for name in ("file.db", "locked/r.db", "locked/new.db", "locked/deep/new.db"):
        store = SqliteStore(folder / name, busy_timeout=1)
        answer[name] = {"write": attempt(store, "x")}
        try:
            answer[name]["texts"] = [record.text for record in everything(store)]
        except StoreError as error:
            answer[name]["texts"], answer[name]["reading"] = type(error).__name__, f"{type(error).__name__}: {error}"
        store.close()
    return answer


if __name__ == "__main__":
    print(json.dumps({"room": room, "rights": rights}[sys.argv[1]](Path(sys.argv[2]))))
