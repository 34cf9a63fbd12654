"""Meaning and SQL stay apart, every operation has an answer, and a back end that slips in one row is found out."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from remanence.conformance import check_store
from remanence.stores.postgres import store as postgres
from remanence.stores.relational.dispatch import WITH_JSON
from remanence.stores.sqlite import store as sqlite
from remanence.stores.sqlite.erasing import SqliteErasureRows
from remanence.stores.sqlite.jobs import SqliteJobRows
from remanence.stores.sqlite.transaction import Transaction
from remanence.stores.sqlite.writing import SqliteVersionRows
from remanence.substrates.records.model import Draft, Source
from remanence.substrates.records.operations import Erase, Operation, Put
from tests.architecture.tree import PACKAGE
from tests.stores.contract.conftest import SqliteFiles
from tests.stores.sqlite.support import add, ask, fresh

MEANING = "writing erasing jobs transaction rows dispatch store".split()
ROWS = "writing erasing jobs".split()


def statements(code: str) -> list[str]:
    """Strings of a module that hold SQL."""
    sql = re.compile(r"\b(SELECT|INSERT INTO|INSERT OR|UPDATE|DELETE FROM|WHERE)\b")
    strings = (node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant))
    return [value for value in strings if isinstance(value, str) and sql.search(value)]


def refusals(code: str) -> list[int]:
    """Lines of a module on which something is raised, asserted or entered into the journal."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Raise | ast.Assert)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "enter")
    ]


@pytest.mark.parametrize("name", MEANING)
def test_operations_hold_no_sql(name: str) -> None:
    assert statements((PACKAGE / "stores" / "relational" / f"{name}.py").read_text()) == []


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("back_end", ["sqlite", "postgres"])
def test_row_operations_decide_nothing(back_end: str, name: str) -> None:
    code = (PACKAGE / "stores" / back_end / f"{name}.py").read_text()
    assert refusals(code) == []
    assert statements(code), "the rows of a back end are asked for in SQL"


def test_a_statement_and_a_refusal_in_the_wrong_place_are_found() -> None:
    assert statements('def close(tx):\n    tx.execute("UPDATE versions SET closed_at = 1")\n')
    assert refusals("def shut(self):\n    raise NotFound('no record')\n") == [2]
    assert refusals("def shut(self):\n    self._tx.enter('close', key, id, 1)\n") == [2]


@pytest.mark.parametrize("table", [sqlite._OTHERS, postgres._OTHERS], ids=["sqlite", "postgres"])
def test_every_operation_is_answered_once(table: dict[type, Any]) -> None:
    assert {*WITH_JSON, *table} == {*get_args(Operation)}
    assert not WITH_JSON.keys() & table.keys()


def nothing(*_: object) -> None:
    return None


def zero(*_: object) -> int:
    return 0


def forgetful(self: SqliteVersionRows, key: int, id: str) -> int:
    """The highest version number that is there, not that ever was."""
    return int(self._tx.execute("SELECT max(version) FROM versions WHERE id = ?", (id,)).fetchone()[0])


def early(self: SqliteVersionRows, seq: int, ended_at: int, closed_seq: int) -> None:
    """Closed at the position before."""
    query = "UPDATE versions SET closed_at = ?, ended_at = ?, closed_seq = ? WHERE seq = ?"
    self._tx.execute(query, (self._tx.now, ended_at, closed_seq - 1, seq))


def single(self: SqliteErasureRows, ids: Any) -> list[Any]:
    """Nothing is derived from anything."""
    return []


SLIPS: list[tuple[type, str, Callable[..., object], str]] = [
    (SqliteVersionRows, "newest", forgetful, "S63"),
    (SqliteVersionRows, "shut", early, "S45"),
    (SqliteVersionRows, "copy_vectors", nothing, "S30"),
    (SqliteVersionRows, "copy_lineage", nothing, "S37"),
    (SqliteVersionRows, "note_reindexed", nothing, "S35"),
    (SqliteVersionRows, "set_terms", nothing, "S35"),
    (SqliteVersionRows, "drop_edge", nothing, "S31"),
    (SqliteVersionRows, "count_use", nothing, "S34"),
    (SqliteErasureRows, "newest_origins", single, "S73"),
    (SqliteErasureRows, "drop_edges", zero, "S60"),
    (SqliteErasureRows, "drop_vectors", zero, "S60"),
    (SqliteErasureRows, "drop_usage", zero, "S60"),
    (SqliteErasureRows, "drop_entries", zero, "S60"),
    (SqliteErasureRows, "drop_terms", zero, "S60"),
    (SqliteErasureRows, "set_floors", nothing, "S63"),
    (SqliteErasureRows, "set_sources", nothing, "S62"),
    (SqliteErasureRows, "drop_spaces", nothing, "S66"),
    (SqliteJobRows, "waiting", nothing, "S85"),
    (SqliteJobRows, "drop_covered", nothing, "S90"),
    (SqliteJobRows, "hush", nothing, "S90"),
    (SqliteJobRows, "rewrite", nothing, "S90"),
    (SqliteJobRows, "drop", nothing, "S83"),
    (Transaction, "add_lineage", nothing, "S62"),
    (Transaction, "add_usage", nothing, "S37"),
]


@pytest.mark.parametrize(
    ("rows", "name", "wrong", "rule"), SLIPS, ids=[f"{rows.__name__}.{name}" for rows, name, *_ in SLIPS]
)
def test_a_slip_in_one_row_operation_is_found_out(
    rows: type, name: str, wrong: Callable[..., object], rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SqliteFiles(tmp_path)
    assert check_store(files, reopen=files.reopen, only={rule}).ok
    monkeypatch.setattr(rows, name, wrong)
    assert [verdict.rule for verdict in check_store(files, reopen=files.reopen, only={rule}).failed] == [rule]


def test_a_link_of_lineage_that_an_erasure_leaves_is_found_by_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fresh(tmp_path / "r.db")
    (said,) = add(store, "I live in Oslo")
    ask(store, Put(Draft("Ana lives in Oslo", sources=(Source(said, 0, 14),))))
    monkeypatch.setattr(SqliteErasureRows, "drop_lineage", nothing)
    ask(store, Erase((said,)))
    assert [sentence.partition(" has ")[2] for sentence in store.check()] == ["a loose end"]
