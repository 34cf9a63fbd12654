"""Full disks, files that may not be written, that are damaged, newer or not ours: typed, clear and harmless."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remanence.core.errors import StoreCorrupt, StoreError, StoreFull, StoreReadOnly, StoreVersionError
from remanence.stores.sqlite import SqliteStore, schema
from tests.stores.sqlite.support import add, everything, files, finish, fresh, start

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and users")


def filled(path: Path, records: int = 200) -> SqliteStore:
    """A store of some hundred kilobytes, closed, so that all of it is in one file."""
    store = fresh(path)
    add(store, *[f"text {number} " + "word " * 100 for number in range(records)])
    store.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return store


def mounted() -> list[str]:
    """Folders on which something is mounted."""
    table = Path("/proc/self/mounts")
    return [line.split()[1] for line in table.read_text().splitlines()] if table.exists() else []


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, with whatever is mounted there taken off in the end."""
    folder = tmp_path / "mount"
    folder.mkdir()
    yield folder
    while str(folder) in mounted():
        subprocess.run(["umount", str(folder)], check=True)


def try_mount(*arguments: str) -> None:
    allowed = mounted() and shutil.which("mount")
    if not allowed or subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")


def test_a_full_disk_keeps_what_was_there_and_takes_nothing_of_the_batch(mount: Path) -> None:
    try_mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount))
    store = fresh(mount / "r.db")
    kept = 0
    error = None
    while error is None:
        try:
            add(store, *[f"{part} " + "x" * 9000 for part in range(3)])
            kept += 3
        except StoreFull as full:
            error = full
    assert "Free space on the disk" in str(error)
    assert kept > 3
    assert len(everything(store)) == kept, "reading does not work on a full disk"
    with pytest.raises(StoreFull):
        add(store, "x" * 100_000)
    subprocess.run(["mount", "-o", "remount,size=16m", str(mount)], check=True)
    add(store, "after")
    assert len(everything(store)) == kept + 1
    assert store.check() == []
    store.close()


def test_a_full_disk_at_the_first_write(mount: Path) -> None:
    try_mount("-t", "tmpfs", "-o", "size=16k", "tmpfs", str(mount))
    store = fresh(mount / "r.db")
    with pytest.raises(StoreFull):
        add(store, "x")
    subprocess.run(["mount", "-o", "remount,size=16m", str(mount)], check=True)
    add(store, "after")
    assert [record.text for record in everything(store)] == ["after"]
    store.close()


def test_the_same_without_mounting_anything(tmp_path: Path) -> None:
    store = fresh(tmp_path / "r.db")
    add(store, "one")
    with store._connections.lend() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    add(store, "x" * 5000)
    with pytest.raises(StoreFull, match="nothing of this batch was kept"):
        add(store, *["x" * 5000 for _ in range(20)])
    assert len(everything(store)) == 2
    assert store.check() == []
    add(store, "a new connection knows no limit")


@needs_posix
def test_a_limit_on_file_size_is_a_full_disk_too(tmp_path: Path) -> None:
    report = finish(start("limited.py", "room", tmp_path / "r.db"))
    assert report["errors"]
    assert {error.split(":")[0] for error in report["errors"]} == {"StoreFull"}
    assert report["while_full"][:3] == ["kept 0", "kept 1", "kept 2"]
    assert len(report["while_full"]) % 2 == 1, "half of a batch was kept"
    assert report["after"] == ""
    assert report["texts"] == [*report["while_full"], "after"]
    assert report["check"] == []


@needs_posix
def test_what_may_not_be_written_can_be_read_and_says_so(tmp_path: Path) -> None:
    # Not in tmp_path: another user cannot get there.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        locked = folder / "locked"
        locked.mkdir()
        for path in (folder / "file.db", locked / "r.db"):
            store = fresh(path)
            add(store, "one")
            store.close()
        (folder / "file.db").chmod(0o444)
        locked.chmod(0o555)
        report = finish(start("limited.py", "rights", folder))
    finally:
        (folder / "locked").chmod(0o755)
        shutil.rmtree(folder)
    for name, answer in report.items():
        assert answer["write"].startswith("StoreReadOnly: "), name
        assert "cannot be written" in answer["write"], name
    assert report["file.db"]["texts"] == report["locked/r.db"]["texts"] == ["one"]
    assert report["locked/new.db"]["texts"] == report["locked/deep/new.db"]["texts"] == "StoreReadOnly"


def test_a_disk_mounted_read_only(mount: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    filled(source / "r.db", 3)
    try_mount("--bind", str(source), str(mount))
    try_mount("-o", "remount,ro,bind", str(mount))
    store = fresh(mount / "r.db")
    assert len(everything(store)) == 3
    with pytest.raises(StoreReadOnly):
        add(store, "x")
    with pytest.raises(StoreReadOnly):
        add(fresh(mount / "new.db"), "x")
    # A snapshot serves one batch: what another mount of the disk writes is seen at the next one.
    other = fresh(source / "r.db")
    add(other, "new")
    other.close()
    assert len(everything(store)) == 4


def test_a_store_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = files(path)
    for use in (lambda store: add(store, "x"), everything, SqliteStore.position, SqliteStore.check):
        with pytest.raises(StoreVersionError, match=rf"layout {schema.VERSION + 1}.* up to {schema.VERSION}"):
            use(fresh(path))
    assert files(path) == before


def test_a_store_that_a_newer_version_takes_over_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = fresh(path)
    add(store, "one")
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(StoreVersionError):
        add(store, "two")
    with pytest.raises(StoreVersionError):
        everything(store)


def test_an_older_layout_is_brought_up_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.db"
    filled(path, 3)

    now = schema.VERSION

    def second(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE added(x)")

    def third(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO added SELECT count(*) FROM versions")
        if fail:
            raise sqlite3.OperationalError("the third step failed")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, second, third))
    monkeypatch.setattr(schema, "VERSION", now + 2)
    fail = True
    with pytest.raises(StoreError, match="third step failed"):
        everything(fresh(path))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (now,)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'added'").fetchone() == (0,)
    fail = False
    assert len(everything(fresh(path))) == 3
    assert connection.execute("SELECT x FROM added").fetchall() == [(3,)]
    assert connection.execute("PRAGMA user_version").fetchone() == (now + 2,)
    connection.close()


@pytest.mark.parametrize("left", [0.9, 0.5, 0.02])
def test_a_truncated_file_is_reported(tmp_path: Path, left: float) -> None:
    path = tmp_path / "r.db"
    filled(path)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * left))
    before = files(path)
    with pytest.raises(StoreCorrupt, match=r"r\.db is truncated .* restore a backup"):
        add(fresh(path), "x")
    assert files(path) == before


def test_a_file_cut_within_its_header(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    filled(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(StoreCorrupt):
        everything(fresh(path))


@pytest.mark.parametrize("size", [1, 50, 5000, 100_000])
def test_garbage_is_no_store(tmp_path: Path, size: int) -> None:
    path = tmp_path / "r.db"
    path.write_bytes(random.Random(size).randbytes(size))
    before = files(path)
    with pytest.raises(StoreCorrupt, match=r"r\.db is not a Remanence store"):
        add(fresh(path), "x")
    assert files(path) == before


def test_damaged_pages_are_reported_where_they_are_met(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    filled(path, 500)
    data = bytearray(path.read_bytes())
    # Every page but the first, which says what the file is.
    for page in range(schema.PAGE_SIZE, len(data), schema.PAGE_SIZE):
        data[page : page + 200] = random.Random(page).randbytes(200)
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="is damaged"):
        everything(fresh(path))
    with pytest.raises(StoreCorrupt, match="is damaged"):
        add(fresh(path), "x")


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs(x)")
    connection.commit()
    connection.close()
    before = files(path)
    with pytest.raises(StoreCorrupt, match="another program"):
        add(fresh(path), "x")
    assert files(path) == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    path.touch()
    add(fresh(path), "x")
    assert len(everything(fresh(path))) == 1


def test_a_creation_that_was_interrupted_is_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert path.stat().st_size > 0
    add(fresh(path), "x")
    assert len(everything(fresh(path))) == 1


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is a folder; name a file in it, such as .*remanence\.db"):
        add(fresh(tmp_path), "x")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        add(fresh(tmp_path / "file" / "r.db"), "x")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "ü b" / "r?#%.db"
    add(fresh(path), "x")
    assert len(everything(fresh(path))) == 1
    assert path.is_file()
