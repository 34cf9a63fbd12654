"""A scope as a file: every version and every link as JSON lines, under a header with counts and a checksum.

    {"format": "remanence-export", "version": 1, "scope": {…}, "records": 2, "versions": 3, "edges": 0, "sha256": "…"}
    {"type": "version", "id": "01J…", "version": 1, "text": "…", "recorded_at": "…", …}
    {"type": "edge", "source": "01J…", "target": "01J…", "edge": "mentions", "weight": 1.0}

The checksum is that of all bytes after the header line. What is derived (token streams, vectors) is not in the file: a
store that reads it makes its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final

from remanence.core.clock import parse_time
from remanence.core.errors import Conflict, ImportFormatError, InvalidInput, NotFound
from remanence.core.ids import is_ulid
from remanence.core.scope import Scope
from remanence.runtime import outbox
from remanence.runtime.adding import Progress, derive
from remanence.runtime.changing import as_draft
from remanence.runtime.engine import Engine
from remanence.runtime.files import TextFile, batched
from remanence.runtime.maintenance import histories
from remanence.substrates.records.model import Edge, Record, Source, check_draft
from remanence.substrates.records.operations import (
    Adopt,
    Columns,
    Edges,
    Link,
    Operation,
    Scan,
)

__all__ = ["FORMAT", "VERSION", "encoded", "export", "import_", "lines"]

FORMAT: Final = "remanence-export"
VERSION: Final = 1
PORTION: Final = 256
"""Records stored in one transaction."""

_TIMES: Final = ("event_at", "valid_from", "valid_to", "recorded_at", "closed_at", "ended_at", "last_hit")
_KEPT: Final = (
    "id", "version", "text", "kind", "zone", "speaker", "role", "language", "sources", "meta", "state", "hits",
    "strength", "utility", "origin", "trust",
)  # fmt: skip
_NULLABLE: Final = frozenset(("valid_to", "closed_at", "ended_at", "last_hit"))


def export(engine: Engine, target: TextFile, scope: Scope) -> dict[str, Any]:
    """Write a scope to a path or an open text file. See `Memory.export`."""
    if isinstance(target, str | os.PathLike):
        path = Path(target).expanduser()
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as stream:
                header = _write(engine, scope, stream)
            os.replace(part, path)
        except OSError as error:
            raise InvalidInput(f"cannot write to {path}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
        return {**header, "path": str(path)}
    with tempfile.TemporaryFile() as stream:
        header = _write(engine, scope, stream)
        stream.seek(0)
        for line in stream:
            target.write(line.decode("ascii"))
    return header


def _write(engine: Engine, scope: Scope, stream: BinaryIO) -> dict[str, Any]:
    """The body first, since the header says its checksum; then both in order."""
    digest = hashlib.sha256()
    counts = {"records": 0, "derived": 0, "versions": 0, "edges": 0}
    with tempfile.TemporaryFile() as body:
        for line in lines(engine, scope, counts):
            data = encoded(line)
            digest.update(data)
            body.write(data)
        header = {
            "format": FORMAT,
            "version": VERSION,
            "scope": dict(scope.items()),
            **counts,
            "exported_at": engine.now().isoformat(),
            "sha256": digest.hexdigest(),
        }
        stream.write(json.dumps(header).encode("ascii") + b"\n")
        body.seek(0)
        shutil.copyfileobj(body, stream)
    return header


def encoded(line: Mapping[str, Any]) -> bytes:
    """A line as it is written."""
    return json.dumps(line, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def lines(engine: Engine, scope: Scope, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Every version and every link of a scope; `counts` grows as they are read."""
    columns: Columns
    (columns,) = engine.read([Scan()], scope)
    # In the order in which records began, so that sources stand before what rests on them.
    written: set[str] = set()
    for ids in batched(dict.fromkeys(columns.ids), PORTION):
        for versions in histories(engine, ids, scope):
            written.add(versions[0].id)
            counts["records"] += 1
            counts["derived"] += versions[-1].derived
            counts["versions"] += len(versions)
            yield from map(_version_line, versions)
    edges: tuple[Edge, ...]
    (edges,) = engine.read([Edges()], scope)
    for edge in edges:
        if edge.source in written and edge.target in written:
            counts["edges"] += 1
            yield {
                "type": "edge",
                "source": edge.source,
                "target": edge.target,
                "edge": edge.type,
                "weight": edge.weight,
            }


def _version_line(record: Record) -> dict[str, Any]:
    line = {"type": "version", **{name: getattr(record, name) for name in _KEPT}, "scope": dict(record.scope.items())}
    for name in _TIMES:
        moment = getattr(record, name)
        line[name] = None if moment is None else moment.isoformat()
    return line


def import_(
    engine: Engine, stream: BinaryIO, name: str, scope: Scope | None, progress: Progress | None
) -> dict[str, Any]:
    """Read what `export` wrote, from a stream that can be read twice. See `Memory.import_`."""
    header, body = _check(stream, name)
    scope = scope or _scope(header.get("scope"), name, 1)
    for number, line in _parsed(stream, body, name):
        if line["type"] == "edge":
            _read_edge(line, name, number)
        elif not scope.covers(_read_version(line, name, number).scope):
            raise InvalidInput(f"{name}, line {number}: {line['scope']} lies outside of the scope {scope}")
    task = _Import(engine, scope)
    done = 0
    # What rests on others comes after all of them, and together, since it may rest on its like.
    resting: list[list[Record]] = []
    for group in batched(_records(_parsed(stream, body, name), name), PORTION):
        plain = [versions for versions in group if not any(version.sources for version in versions)]
        resting += [versions for versions in group if any(version.sources for version in versions)]
        task.records(plain)
        done += len(plain)
        if progress is not None and plain:
            progress(done, header.get("records"))
    if resting:
        task.records(resting)
        if progress is not None:
            progress(done + len(resting), header.get("records"))
    lines = _parsed(stream, body, name)
    task.edges(_read_edge(line, name, number) for number, line in lines if line["type"] == "edge")
    return task.result()


def _records(lines: Iterable[tuple[int, dict[str, Any]]], name: str) -> Iterator[list[Record]]:
    """Records with all of their versions, oldest first: they stand together in the file."""
    versions = (_read_version(line, name, number) for number, line in lines if line["type"] == "version")
    for _, group in groupby(versions, key=lambda record: record.id):
        yield sorted(group, key=lambda record: record.version)


def _check(stream: BinaryIO, name: str) -> tuple[dict[str, Any], int]:
    """The header, once the whole file is known to be what the header says; and where the body begins."""
    first = stream.readline(1 << 20)
    try:
        header = json.loads(first)
    except ValueError as error:
        raise ImportFormatError(f"{name} is no Remanence export: its first line is no JSON header ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ImportFormatError(f"{name} is no Remanence export: its first line does not say {FORMAT!r}")
    if header.get("version") != VERSION:
        raise ImportFormatError(f"{name} has export format {header.get('version')!r}; this version reads {VERSION}")
    body = stream.tell()
    sha = hashlib.sha256()
    while portion := stream.read(1 << 20):
        sha.update(portion)
    digest = sha.hexdigest()
    if digest != header.get("sha256"):
        raise ImportFormatError(
            f"{name} is damaged or incomplete: its checksum is {digest}, not {header.get('sha256')}"
        )
    return header, body


def _parsed(stream: BinaryIO, body: int, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """`(line number, line)` of the body."""
    stream.seek(body)
    for number, data in enumerate(stream, 2):
        try:
            line = json.loads(data)
        except ValueError as error:
            raise ImportFormatError(f"{name}, line {number}: no JSON ({error})") from error
        if not isinstance(line, dict) or line.get("type") not in ("version", "edge"):
            raise ImportFormatError(f"{name}, line {number}: neither a version nor an edge")
        yield number, line


def _scope(value: object, name: str, number: int) -> Scope:
    if not isinstance(value, Mapping):
        raise ImportFormatError(f"{name}, line {number}: no scope")
    try:
        return Scope.of(value)
    except InvalidInput as error:
        raise ImportFormatError(f"{name}, line {number}: {error}") from error


def _read_version(line: Mapping[str, Any], name: str, number: int) -> Record:
    try:
        times: dict[str, Any] = {
            key: None if line[key] is None and key in _NULLABLE else parse_time(line[key]) for key in _TIMES
        }
        record = Record(
            id=line["id"],
            version=int(line["version"]),
            kind=line["kind"],
            text=line["text"],
            scope=Scope.of(line["scope"]),
            zone=line["zone"],
            speaker=line["speaker"],
            role=line["role"],
            language=line["language"],
            sources=tuple(Source(*source) for source in line["sources"]),
            meta=line["meta"],
            terms=(),
            state=line["state"],
            hits=int(line["hits"]),
            strength=float(line["strength"]),
            utility=float(line["utility"]),
            origin=line.get("origin"),
            trust=float(line.get("trust", 1.0)),
            **times,
        )
        if not is_ulid(record.id):
            raise InvalidInput(f"id {record.id!r} is no ULID")
        check_draft(as_draft(record))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Every check of a record is a ValueError too; a file may also lack keys or hold other types.
        reason = str(error) if isinstance(error, InvalidInput) else f"{type(error).__name__}: {error}"
        raise ImportFormatError(f"{name}, line {number}: {reason}; nothing was stored") from error
    return record


class _Import:
    """How far one import has come."""

    def __init__(self, engine: Engine, scope: Scope) -> None:
        self._engine = engine
        self._scope = scope
        columns: Columns
        (columns,) = engine.read([Scan()], scope)
        self._there = set(columns.ids)
        self._new: set[str] = set()
        self._versions = 0
        self._edges = 0
        self._skipped: list[dict[str, str]] = []
        self._changes: list[str] = []

    def records(self, group: Sequence[Sequence[Record]]) -> None:
        """Store records, each with all of its versions, in one transaction if none of their ids is taken."""
        fresh = [versions for versions in group if versions[0].id not in self._there]
        for versions in group:
            if versions[0].id in self._there:
                self._skip(versions[0].id, "it is in the store already")
        try:
            self._store(fresh)
        except (Conflict, NotFound):
            # An id may be taken where this scope cannot see it, or have been erased, and a source may lie outside of
            # the file; one by one tells which.
            for versions in fresh:
                try:
                    self._store([versions])
                except (Conflict, NotFound) as error:
                    self._skip(versions[0].id, str(error))

    def edges(self, edges: Iterable[Edge]) -> None:
        """Link what was stored, among itself and with what was there."""
        known = self._there | self._new
        wanted = [
            Link(edge)
            for edge in edges
            if edge.source in known and edge.target in known and {edge.source, edge.target} & self._new
        ]
        for start in range(0, len(wanted), PORTION):
            outcome = self._engine.write(wanted[start : start + PORTION], self._scope)
            self._edges += sum(result is True for result in outcome.results)

    def result(self) -> dict[str, Any]:
        """What was done."""
        return {
            "imported": len(self._new),
            "versions": self._versions,
            "edges": self._edges,
            "skipped": self._skipped,
            "changes": self._changes,
        }

    def _store(self, group: Sequence[Sequence[Record]]) -> None:
        if not group:
            return
        drafts = [as_draft(record) for versions in group for record in versions]
        ready = iter(derive(self._engine, drafts, self._scope)[0])
        operations: list[Operation] = []
        for versions in group:
            derived = [next(ready) for _ in versions]
            terms, vectors = (tuple(draft.terms for draft in derived), tuple(draft.vector for draft in derived))
            operations.append(Adopt(tuple(versions), terms, vectors))
        # An export of an earlier version, or of a part, may lack what follows from its words.
        operations += outbox.follow(self._engine, (versions[0].scope for versions in group if not versions[0].derived))
        outcome = self._engine.write(operations, self._scope)
        self._changes.append(str(outcome.change))
        self._new.update(versions[0].id for versions in group)
        self._versions += len(drafts)

    def _skip(self, id: str, reason: str) -> None:
        self._skipped.append({"id": id, "reason": reason})


def _read_edge(line: Mapping[str, Any], name: str, number: int) -> Edge:
    try:
        return Edge(str(line["source"]), str(line["target"]), str(line["edge"]), float(line["weight"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ImportFormatError(f"{name}, line {number}: no edge ({type(error).__name__}: {error})") from error
