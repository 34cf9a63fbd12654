"""Files to import, what a store holds of them, and embedders that misbehave: of a module, for workers to have too."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.scope import Scope
from remanence.runtime.memory import Memory
from remanence.substrates.embedding import EmbeddingKind, HashEmbedder
from remanence.substrates.records.operations import History, Scan
from remanence.substrates.records.port import RecordStore

WORDS = "river pot key Lisbon Oslo Bergen bread friday lunch music garden train winter coat paper letter".split()


def chat(path: Path, messages: int, *, users: Sequence[str] = ("ana",), session: int = 20) -> Path:
    """A file of chats, user after user within each round; the times are those of the messages."""
    lines = []
    for number in range(messages):
        text = " ".join(WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 5, 7)) + f" {number}"
        lines.append(
            {
                "role": "user",
                "content": text,
                "timestamp": 1_740_000_000 + 60 * number,
                "session_id": f"s{number // session}",
                "user_id": users[number % len(users)],
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def held(store: RecordStore, space: str = "hash-0:64", **ids: str) -> list[tuple[Any, ...]]:
    """All versions of a scope in order, with terms and the vectors of a space, without ids and times of recording."""
    scope = Scope(**ids)
    (columns,) = store.batch([Scan(space=space)], scope=scope).results
    vectors = {
        (columns.ids[row], int(columns.versions[row])): columns.vectors[row].tobytes()
        for row in columns.scales.nonzero()[0].tolist()
    }
    found: list[tuple[Any, ...]] = []
    for id in dict.fromkeys(columns.ids):
        for one in store.batch([History(id)], scope=scope).results[0]:
            # What is dated by its recording alone has another date in every store.
            at = one.event_at if one.event_at != one.recorded_at else None
            found.append(
                (one.text, str(one.scope), at, one.kind, one.origin, one.terms, vectors.get((id, one.version)))
            )
    return found


def raw(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without what was derived."""
    return [row for row in rows if not (row[4] or "").startswith("derived:")]


def listed(memory: Memory, **ids: Any) -> list[str]:
    return [str(item["memory"]) for item in memory.get_all(limit=100_000, **ids)["results"]]


class Picky(HashEmbedder):
    """Fails on texts with a word: with an error, or with its process."""

    def __init__(self, word: str, how: str = "error", dim: int = 64) -> None:
        super().__init__(dim)
        self._word = word
        self._how = how

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        if any(self._word in text.split() for text in texts):
            if self._how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("no vector for this")
        return super().embed(texts, kind=kind)


class Gated(HashEmbedder):
    """Stops the second machine of a cluster in its second call, and lets the first do two calls and no more until then.

    Files in the folder tell: `{node}.gate` which machine is to be stopped, `{node}-….ended` one for each call that
    came to its end, and `stopped` the process that has to be killed for the work to go on.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)

    def embed(self, texts: Sequence[str], *, kind: EmbeddingKind = "passage") -> NDArray[np.float32]:
        import ray

        node = ray.get_runtime_context().get_node_id()
        stopped = self._folder / "stopped"
        done = len(list(self._folder.glob(f"{node}-*.ended")))
        if (self._folder / f"{node}.gate").exists():
            if done:
                (self._folder / "stopping").write_text(str(os.getpid()))
                (self._folder / "stopping").rename(stopped)
                time.sleep(120)
        elif done >= 2:
            wait_for(stopped)
        (self._folder / f"{node}-{time.monotonic_ns()}.ended").touch()
        return super().embed(texts, kind=kind)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    begun = time.monotonic()
    while not path.exists():
        assert time.monotonic() - begun < 100, f"{path.name} never came"
        time.sleep(0.005)


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]
