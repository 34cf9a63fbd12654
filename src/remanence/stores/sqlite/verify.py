"""Proof of an erasure: the ids are in no table but the receipts', and the words are in none of the store's bytes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remanence.core.errors import StoreError
from remanence.stores.relational.searching import Finding, Ids, Needles, forms, meanings, report_dict
from remanence.stores.relational.store import erased_ids
from remanence.stores.sqlite import residue
from remanence.stores.sqlite.connection import Connections, transaction
from remanence.stores.sqlite.maintenance import SUFFIXES
from remanence.stores.sqlite.schema import RECEIPT_TABLES
from remanence.substrates.records.operations import Receipt

_PORTION = 1 << 24
# Each portion is preceded by its length, and each file ends with an empty one.
_READER = """
import sys
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        while True:
            portion = file.read(int(sys.argv[1]))
            sys.stdout.buffer.write(len(portion).to_bytes(8, "big") + portion)
            if not portion:
                break
"""
_NUMBERS = {"data", "terms"}


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a verification looked at and found."""

    path: Path
    files: dict[str, int]
    """Bytes searched, by file name."""
    ids: int
    phrases: int
    residue_cleared: bool
    """False: the store knows that erased bytes may still lie in its files; see `SqliteStore.clear_residue`."""
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing of what was erased is left."""
        return self.residue_cleared and not self.findings

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, the bytes searched under "files"."""
        searched = {"files": self.files}
        return report_dict(self.clean, self.findings, self.ids, self.phrases, self.residue_cleared, searched)


def verify_erasure(
    path: str | Path, erased: Receipt | Iterable[str], phrases: Sequence[str] = (), *, timeout: float = 30.0
) -> VerificationReport:
    """Search a store for what was erased from it.

    `erased` is the receipt or the ids; they must occur in no table except those of the receipts. (The mark of the
    highest id given out, which says nothing of a record, is passed over.) `phrases` are texts that must be in none of
    the store's files, whole or in fragments of four words, as UTF-8, UTF-16 or JSON. A fragment that a surviving record
    holds as well proves nothing and is passed over; a whole phrase never is.

    Raises `StoreError` when there is no such store, or when it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"{path} is not there; name the file of a store")
    ids = erased_ids(erased)
    # Before SQLite opens the file, because it tidies up after processes that were killed.
    found, sizes = _in_files(path, phrases)
    connections = Connections(path, timeout=timeout, durable=True)
    try:
        with connections.lend() as connection, transaction(connection, "BEGIN"):
            findings = list(_in_tables(connection, ids))
            fragments = {finding.what for finding in found if finding.kind == "fragment"}
            living = _living(connection, fragments) if fragments else set()
            cleared = residue.cleared(connection)
    finally:
        connections.close()
    findings += [finding for finding in found if finding.kind == "phrase" or finding.what not in living]
    return VerificationReport(path, sizes, len(ids), len(phrases), cleared, tuple(findings))


def _in_files(path: Path, phrases: Sequence[str]) -> tuple[list[Finding], dict[str, int]]:
    meaning = meanings(phrases, forms)
    needles = Needles(meaning)
    found: list[Finding] = []
    files = [file for suffix in SUFFIXES if (file := path.with_name(path.name + suffix)).exists()]
    sizes = {file.name: 0 for file in files}
    overlap = max(0, needles.longest - 1)
    kept = b""
    seen: set[tuple[str, int, bytes]] = set()
    for file, start, portion in read_apart(files):
        # Portions overlap by what a needle could straddle.
        kept = kept[len(kept) - overlap :] if start and overlap else b""
        data = kept + portion
        hits = {(file.name, start - len(kept) + at, needle) for at, needle in needles.find(data)}
        for place, offset, needle in sorted(hits - seen):
            kind, what, form = meaning[needle]
            found.append(Finding(kind, what, place, offset, form))
        seen, kept = hits, data
        sizes[file.name] = start + len(portion)
    return found, sizes


def read_apart(files: Sequence[Path]) -> Iterator[tuple[Path, int, bytes]]:
    """The bytes of files in portions `(file, offset, bytes)`, read by another process.

    POSIX takes all locks on a file away from a process that closes any descriptor of it. Reading a store's file here
    would unlock it for every open connection of this process, and a process elsewhere would take it for abandoned.
    """
    command = [sys.executable, "-I", "-S", "-c", _READER, str(_PORTION), *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for file in files:
            start = 0
            while size := int.from_bytes(process.stdout.read(8), "big"):
                yield file, start, process.stdout.read(size)
                start += size
    if process.returncode:
        raise StoreError(f"{files[0]} or a file beside it could not be read to search it; check the permissions")


def _in_tables(connection: sqlite3.Connection, ids: set[str]) -> Iterator[Finding]:
    wanted = Ids(ids)
    for table, column, value in _values(connection):
        if table not in RECEIPT_TABLES:
            yield from wanted.find(table, column, value)


def _living(connection: sqlite3.Connection, pieces: set[str]) -> set[str]:
    """Those pieces that rows of the store hold."""
    meaning = {data: piece for piece in pieces for data in forms(piece).values()}
    needles = Needles(meaning)
    return {meaning[needle] for _, _, value in _values(connection) for _, needle in needles.find(value)}


def _values(connection: sqlite3.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Every text and blob of every table, as bytes."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        for column in set(columns) - _NUMBERS:
            texts = f"typeof(\"{column}\") IN ('text', 'blob')"
            for (value,) in connection.execute(f'SELECT CAST("{column}" AS BLOB) FROM "{table}" WHERE {texts}'):
                yield table, column, value
