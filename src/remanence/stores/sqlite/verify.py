"""Proof of an erasure: the ids are in no table but the receipts', and the words are in none of the store's bytes."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from remanence.core.errors import StoreError
from remanence.stores.sqlite import residue
from remanence.stores.sqlite.connection import Connections, transaction
from remanence.stores.sqlite.maintenance import SUFFIXES
from remanence.stores.sqlite.schema import RECEIPT_TABLES
from remanence.substrates.records.operations import Receipt

WORDS = 4
"""Length of the fragments of a phrase that are searched for, in words."""
LETTERS = 12
"""Length of the fragments of a phrase that has fewer words, in characters."""
FRAGMENTS = 256
"""Most fragments of one phrase; of a longer phrase as many are taken, evenly spread."""

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
_MARK = "last_id"
"""The column of the highest id given out so far, which may have been that of a record: below it none is given again."""
_KEY = 8
_HASH_BITS = 20
_HASH_FACTOR = 0x9E3779B97F4A7C15
_ULID = re.compile(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where something that was erased still is."""

    kind: Literal["id", "phrase", "fragment"]
    what: str
    """The id, the phrase, or the part of a phrase."""
    place: str
    """`table.column`, or the name of the file."""
    offset: int | None = None
    """Byte in the file."""
    form: str | None = None
    """How the text is encoded there."""


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
        return {
            "clean": self.clean,
            "findings": [asdict(finding) for finding in self.findings],
            "ids": self.ids,
            "phrases": self.phrases,
            "files": self.files,
            "residue_cleared": self.residue_cleared,
        }


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
    ids = {*erased.ids, *erased.derived} if isinstance(erased, Receipt) else set(erased)
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


def fragments(phrase: str) -> list[str]:
    """Pieces of a phrase by which a copy is recognised that was torn apart: four words, or twelve letters, each."""
    words = [match.span() for match in re.finditer(r"\S+", phrase)]
    if len(words) > WORDS:
        pieces = [phrase[first[0] : last[1]] for first, last in zip(words, words[WORDS - 1 :], strict=False)]
    elif len(words) < WORDS and len(phrase) > LETTERS:
        pieces = [phrase[start : start + LETTERS] for start in range(len(phrase) - LETTERS + 1)]
    else:
        return []
    step = max(1, -(-len(pieces) // FRAGMENTS))
    return list(dict.fromkeys(pieces[::step]))


def forms(text: str) -> dict[str, bytes]:
    """The encodings of a text that a file could hold, equal ones once."""
    encoded = {
        "utf-8": text.encode("utf-8", "surrogatepass"),
        "utf-16-le": text.encode("utf-16-le", "surrogatepass"),
        "utf-16-be": text.encode("utf-16-be", "surrogatepass"),
        "json": json.dumps(text)[1:-1].encode(),
        "json-utf-8": json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"),
    }
    return {name: data for name, data in encoded.items() if next(n for n, d in encoded.items() if d == data) == name}


class Needles:
    """Many byte strings, searched for in one pass; those of fewer than eight bytes are searched one by one."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        distinct = [needle for needle in dict.fromkeys(needles) if needle]
        self.longest = max(map(len, distinct), default=0)
        self._short = [needle for needle in distinct if len(needle) < _KEY]
        self._by_key: dict[bytes, list[bytes]] = {}
        for needle in distinct:
            if len(needle) >= _KEY:
                self._by_key.setdefault(needle[:_KEY], []).append(needle)
        keys = np.frombuffer(b"".join(self._by_key), dtype=np.uint64)
        self._marked = np.zeros(1 << _HASH_BITS, dtype=np.bool_)
        self._marked[self._hash(keys)] = True

    def find(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Every `(offset, needle)` in `data`, in no particular order."""
        for needle in self._short:
            at = data.find(needle)
            while at >= 0:
                yield at, needle
                at = data.find(needle, at + 1)
        if not self._by_key:
            return
        for shift in range(min(_KEY, max(0, len(data) - _KEY + 1))):
            keys = np.frombuffer(data, dtype=np.uint64, offset=shift, count=(len(data) - shift) // _KEY)
            for place in np.flatnonzero(self._marked[self._hash(keys)]):
                at = int(place) * _KEY + shift
                for needle in self._by_key.get(data[at : at + _KEY], ()):
                    if data.startswith(needle, at):
                        yield at, needle

    @staticmethod
    def _hash(keys: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return (keys * np.uint64(_HASH_FACTOR)) >> np.uint64(64 - _HASH_BITS)


def find_naive(data: bytes, needles: Iterable[bytes]) -> set[tuple[int, bytes]]:
    """What `Needles.find` answers, by looking for one needle after the other."""
    return {
        (at, needle)
        for needle in needles
        if needle
        for at in range(len(data) - len(needle) + 1)
        if data.startswith(needle, at)
    }


def _in_files(path: Path, phrases: Sequence[str]) -> tuple[list[Finding], dict[str, int]]:
    meaning: dict[bytes, tuple[Literal["phrase", "fragment"], str, str]] = {}
    for phrase in phrases:
        for form, data in forms(phrase).items():
            meaning[data] = ("phrase", phrase, form)
    for phrase in phrases:
        for piece in fragments(phrase):
            for form, data in forms(piece).items():
                meaning.setdefault(data, ("fragment", piece, form))
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
    wanted = {id.encode("utf-8", "surrogatepass") for id in ids}
    for table, column, value in _values(connection):
        if table not in RECEIPT_TABLES and column != _MARK:
            for id in sorted(wanted.intersection(_ULID.findall(value))):
                yield Finding("id", id.decode(), f"{table}.{column}")


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
