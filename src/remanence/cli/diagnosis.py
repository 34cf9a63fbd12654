"""What `remanence doctor` looks at: the installation, the place of the store, and the store."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import remanence
from remanence.core.errors import EmbeddingError, RemanenceError
from remanence.core.scope import Scope

if TYPE_CHECKING:
    from remanence.cli.options import Settings
    from remanence.stores.sqlite import SqliteStore

__all__ = ["Finding", "examine", "examine_llm"]

SYNCS = 16
PENDING = 10_000
"""Memories without vectors that are counted in one scope before it says "or more"."""
SHOWN = 20
"""Problems of one store that are told one by one."""

_PACKAGES = {"numpy": "numpy", "simsimd": "simsimd", "PyStemmer": "Stemmer", "click": "click", "rich": "rich"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. "note" is worth knowing and keeps nothing from working."""

    name: str
    state: Literal["ok", "note", "wrong"]
    text: str
    value: Any = None


def examine(settings: Settings, /) -> Iterator[Finding]:
    """Everything in order, the cheap first."""
    yield Finding("remanence", "ok", remanence.__version__, remanence.__version__)
    yield Finding("python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield _sqlite()
    for package, module in _PACKAGES.items():
        yield _package(package, module)
    yield _embedder(settings.embedder)
    yield from _place(settings)


def examine_llm(name: str, /) -> Iterator[Finding]:
    """A language model, by its name or that of the environment when it is empty."""
    from remanence.runtime.llm_check import check_model
    from remanence.stores.llm import as_llm

    try:
        model = as_llm(name or None)
    except RemanenceError as error:
        yield Finding("llm", "wrong", str(error))
        return
    if model is None:
        yield Finding("llm", "wrong", "none is named; say --llm openai:MODEL or set REMANENCE_LLM to that")
        return
    for check in check_model(model):
        yield Finding(check.name, check.state, check.text, check.value)


def _sqlite() -> Finding:
    if sqlite3.threadsafety == 0:
        return Finding("sqlite", "wrong", f"{sqlite3.sqlite_version} is not built for threads; use another Python")
    return Finding("sqlite", "ok", sqlite3.sqlite_version, sqlite3.sqlite_version)


def _package(package: str, module: str) -> Finding:
    try:
        importlib.import_module(module)
        version = importlib.metadata.version(package)
    except ImportError as error:
        return Finding(package, "wrong", f"{error}; install remanence again")
    return Finding(package, "ok", version, version)


def _embedder(name: str) -> Finding:
    from remanence.stores.embedders import StaticEmbedder, as_embedder

    try:
        embedder = as_embedder(name)
        if isinstance(embedder, StaticEmbedder):
            embedder.verify()
            return Finding("embedder", "ok", f"{embedder.space.key}, the table has its fingerprint", embedder.space.key)
        return Finding("embedder", "ok", embedder.space.key, embedder.space.key)
    except (RemanenceError, OSError) as error:
        return Finding("embedder", "wrong", str(error))


def _place(settings: Settings, /) -> Iterator[Finding]:
    from remanence.runtime.engine import open_store
    from remanence.stores.sqlite import SqliteStore
    from remanence.substrates.records.port import Inspectable

    store = open_store(settings.path, _no_clock)
    if not isinstance(store, Inspectable):
        yield Finding("store", "ok", "in memory; nothing is written")
        return
    if not isinstance(store, SqliteStore):
        # Of folders and disks only what runs on this machine knows.
        try:
            wrong = store.check()
        except RemanenceError as error:
            wrong = [str(error)]
        finally:
            store.close()
        yield from (Finding("store", "wrong", sentence, store.place) for sentence in wrong)
        if not wrong:
            yield Finding("store", "ok", f"{store.place} is sound", store.place)
        return
    path = store.path
    yield from _folder(path)
    if not path.exists():
        yield Finding("store", "note", f"{path} is not there yet; the first `remanence add` makes it", str(path))
        return
    try:
        yield from _store(store, settings.embedder)
    except RemanenceError as error:
        yield Finding("store", "wrong", str(error), str(path))
    finally:
        store.close()


def _no_clock() -> Any:
    raise AssertionError("looking at a store writes nothing, so it needs no time")


def _folder(path: Path) -> Iterator[Finding]:
    """Whether the store can be written where it is, and how long the disk takes to acknowledge."""
    folder = next(place for place in (path.absolute().parent, *path.absolute().parents) if place.exists())
    if path.exists() and not os.access(path, os.W_OK):
        yield Finding("folder", "wrong", f"{path} may not be written; change its permissions")
        return
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            seconds = []
            for _ in range(SYNCS):
                begun = time.perf_counter()
                file.write(bytes(4096))
                os.fsync(file.fileno())
                seconds.append(time.perf_counter() - begun)
    except OSError as error:
        yield Finding("folder", "wrong", f"{folder} cannot be written: {error.strerror or error}; --path names another")
        return
    yield Finding("folder", "ok", f"{folder} can be written", str(folder))
    ms = median(seconds) * 1000
    yield Finding("fsync", "ok", f"{ms:.2f} ms, the least that a durable add takes here", round(ms, 4))


def _store(store: SqliteStore, embedder: str) -> Iterator[Finding]:
    info = store.info()
    size = sum(info.bytes.values())
    summary = f"{info.path}: {info.records:,} memories in {size:,} bytes, layout {info.layout}"
    yield Finding("store", "ok", summary, {"path": str(info.path), "records": info.records, "bytes": size})
    problems = store.check()
    told = "; ".join(problems[:SHOWN]) + (f"; and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else "")
    yield Finding("check", "wrong" if problems else "ok", told or "the file is sound", problems)
    if info.residue_cleared:
        yield Finding("residue", "ok", "no bytes of what was erased are left", True)
    else:
        yield Finding("residue", "wrong", "erased bytes may still lie in the file; the next erasure wipes them", False)
    yield from _vectors(store, embedder)


def _vectors(store: SqliteStore, embedder: str) -> Iterator[Finding]:
    from remanence.stores.embedders import as_embedder
    from remanence.substrates.records.operations import Pending, Spaces

    try:
        own = as_embedder(embedder).space.key
    except EmbeddingError:
        # It has been told already, and what is missing depends on it.
        return
    # One id of each scope covers all that shares it.
    covers = {Scope(**dict([next(scope.items())])): None for scope in store.scopes()}
    spaces: dict[str, int] = {}
    waiting, more = 0, ""
    for scope in covers:
        found, pending = store.batch([Spaces(), Pending(own, PENDING)], scope=scope).results
        for space, count in found:
            spaces[space] = spaces.get(space, 0) + count
        waiting += len(pending)
        more = " or more" if len(pending) == PENDING else more
    others = {space: count for space, count in spaces.items() if space != own and count}
    told = f"{spaces.get(own, 0):,} of {own}"
    if waiting:
        told += f"; {waiting:,}{more} memories have none yet: a search or `remanence reembed` computes them"
    if others:
        told += "; of other embedders: " + ", ".join(f"{count:,} of {space}" for space, count in others.items())
    value = {"own": spaces.get(own, 0), "pending": waiting, "others": others}
    yield Finding("vectors", "note" if waiting or others else "ok", told, value)
