"""Proof of an erasure: the ids are in no table but the receipts', and the words are in none of the rows.

Unlike a file, a server's storage cannot be read from here. Dead rows lie in it until the table is rewritten
(`PostgresStore.clear_residue`), the log of changes holds them until it is recycled, and replicas and backups for as
long as their keeper decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from remanence.stores.postgres.codec import pack
from remanence.stores.postgres.schema import SERVER
from remanence.stores.postgres.transaction import Transaction
from remanence.stores.relational.searching import Finding, Ids, Needles, forms, meanings, report_dict

_RECEIPTS = frozenset({"receipts", "retired"})
_NUMBERS = frozenset({"terms", "data", "digest", "embedding"})
_TEXTS = ("text", "bytea", "text[]")
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a verification looked at and found."""

    name: str
    """Of the store."""
    tables: dict[str, int]
    """Bytes searched, by table."""
    ids: int
    phrases: int
    residue_cleared: bool
    """False: dead rows of what was erased may lie in the tables' files; see `PostgresStore.clear_residue`."""
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether no row holds anything of what was erased."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, the bytes searched under "tables"."""
        searched = {"tables": self.tables}
        return report_dict(self.clean, self.findings, self.ids, self.phrases, self.residue_cleared, searched)


def search(tx: Transaction, name: str, schema: str, ids: set[str], phrases: Sequence[str]) -> VerificationReport:
    """Search every text of every table for what was erased. `tx` looks everywhere.

    Phrases are searched for whole and in fragments, in all forms that a column could hold. A fragment that a surviving
    record's text holds as well proves nothing and is passed over.
    """
    meaning = meanings(phrases, _forms)
    needles = Needles(meaning)
    wanted = Ids(ids)
    found: list[Finding] = []
    living: set[str] = set()
    sizes: dict[str, int] = {}
    for table, column, value in _values(tx, schema):
        sizes[table] = sizes.get(table, 0) + len(value)
        place = f"{table}.{column}"
        if table not in _RECEIPTS:
            found += wanted.find(table, column, value)
        for _, needle in needles.find(value):
            kind, what, form = meaning[needle]
            if kind == "phrase":
                found.append(Finding("phrase", what, place, form=form))
            elif place == "versions.text":
                living.add(what)
            else:
                found.append(Finding("fragment", what, place, form=form))
    ((residue,),) = tx.execute("SELECT residue FROM state").fetchall()
    kept = dict.fromkeys(finding for finding in found if finding.kind != "fragment" or finding.what not in living)
    return VerificationReport(name, sizes, len(ids), len(phrases), not residue, tuple(kept))


def _forms(text: str) -> dict[str, bytes]:
    packed = pack(text).encode()
    known = forms(text)
    return known if packed in known.values() else {**known, "column": packed}


def _values(tx: Transaction, schema: str) -> Iterator[tuple[str, str, bytes]]:
    """Every text and byte string of every table, as bytes; what servers keep is not memory, and no words are in it."""
    columns: Iterable[tuple[str, str, str]] = [
        (row[0], row[1], row[2])
        for row in tx.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a "
            "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped "
            "AND c.relname <> ALL(%s) ORDER BY c.relname, a.attnum",
            (schema, [*SERVER]),
        ).fetchall()
    ]
    for table, column, kind in columns:
        if kind not in _TEXTS or column in _NUMBERS:
            continue
        value = f'"{column}"::text' if kind == "text[]" else f'"{column}"'
        with tx.connection.cursor("search", binary=True) as cursor:
            cursor.execute(f'SELECT {value} FROM "{table}" WHERE "{column}" IS NOT NULL'.encode())
            while rows := cursor.fetchmany(_AT_ONCE):
                for (found,) in rows:
                    yield table, column, found.encode() if isinstance(found, str) else found
