"""What goes wrong with the server's own files through no fault of theirs is not called damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from remanence.core.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly
from remanence.server.idempotency import Requests
from remanence.server.key_file import KeyFile
from remanence.server.keys import Keys
from remanence.server.places import file_failure
from remanence.server.request_file import RequestFile
from tests.server.conftest import Now

FULL = "PRAGMA max_page_count = 1"
READ_ONLY = "PRAGMA query_only = ON"


def limited(monkeypatch: pytest.MonkeyPatch, kind: type[KeyFile] | type[RequestFile], name: str, pragma: str) -> None:
    """Let SQLite itself run out of room, or refuse to write, on every connection that is opened from here on."""
    real: Callable[..., sqlite3.Connection] = getattr(kind, name)

    def opened(*given: object, **more: object) -> sqlite3.Connection:
        connection = real(*given, **more)
        connection.execute(pragma).fetchall()
        return connection

    monkeypatch.setattr(kind, name, opened)


@pytest.fixture
def keys(tmp_path: Path, clock: Now) -> Iterator[Keys]:
    with closing(Keys(tmp_path / "m.db.keys", clock=clock)) as found:
        yield found


@pytest.mark.parametrize(("pragma", "kind"), [(FULL, StoreFull), (READ_ONLY, StoreReadOnly)])
def test_keys(keys: Keys, monkeypatch: pytest.MonkeyPatch, pragma: str, kind: type[StoreError]) -> None:
    kept, token = keys.create("desk", None)
    limited(monkeypatch, KeyFile, "_connect", pragma)
    with pytest.raises(kind, match=r"m\.db\.keys"):
        [keys.create("another with a long name " * 8, None) for _ in range(1000)]
    assert keys.verify(token) == kept, "reading goes on"


@pytest.mark.parametrize(("pragma", "kind"), [(FULL, StoreFull), (READ_ONLY, StoreReadOnly)])
def test_requests(
    tmp_path: Path, clock: Now, monkeypatch: pytest.MonkeyPatch, pragma: str, kind: type[StoreError]
) -> None:
    limited(monkeypatch, RequestFile, "_opened", pragma)
    with closing(Requests(tmp_path / "m.db.requests", clock=clock)) as requests, pytest.raises(kind):
        [requests.begin("ana", "POST /", f"key {number}", [b"{}"]) for number in range(1000)]


@pytest.mark.parametrize("times", [2, 10_000])
def test_others_who_open_the_file_at_the_same_time_are_waited_for(
    tmp_path: Path, clock: Now, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """SQLite changes a file into WAL mode without waiting for whoever else does so at that moment."""
    opened: list[sqlite3.Connection] = []

    class Contended(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if "journal_mode" in statement:
                opened.append(self)
                if len(opened) <= times:
                    error = sqlite3.OperationalError("database is locked")
                    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                    raise error
            return super().execute(statement, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Contended))
    with closing(RequestFile(tmp_path / "m.db.requests", timeout=60.0 if times == 2 else 0.05)) as file:
        if times == 2:
            assert file.take(b"name", b"body", b"nonce", at=1, lease=2, expired=0) is None
        else:
            with pytest.raises(StoreBusy, match="try again"):
                file.take(b"name", b"body", b"nonce", at=1, lease=2, expired=0)
    for connection in opened[:times]:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.total_changes  # noqa: B018


def test_a_file_that_cannot_be_opened_is_not_damaged(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "m.db.keys").mkdir()
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        keys.verify(f"rmk_{'0' * 16}_{'0' * 64}")
    assert not isinstance(caught.value, StoreCorrupt)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusy),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreReadOnly),
        (sqlite3.SQLITE_CORRUPT, type(None)),
        (sqlite3.SQLITE_NOTADB, type(None)),
    ],
)
def test_what_a_code_means(code: int, kind: type[object]) -> None:
    error = sqlite3.OperationalError("it went wrong")
    error.sqlite_errorcode = code
    assert type(file_failure("a.db", error, timeout=1.0)) is kind
