"""Several threads, objects and processes on one file."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from remanence.core.errors import StoreClosed
from remanence.runtime.memory import Memory
from remanence.substrates.records.reference import MemoryStore
from tests.runtime.conftest import Make


def test_another_object_sees_every_write_at_its_next_read(on_disk: Make) -> None:
    one, two = on_disk(), on_disk()
    for n in range(5):
        (one if n % 2 else two).add(f"message {n}", user_id="ana")
        reader = two if n % 2 else one
        assert reader.search(f"message {n}", user_id="ana")["results"][0]["memory"] == f"message {n}"
        assert len(reader.get_all(user_id="ana")["results"]) == n + 1


def test_another_process_sees_what_was_added(on_disk: Make, tmp_path: Path) -> None:
    memory = on_disk()
    memory.add("the boiler hums", user_id="ana")
    code = f"""
        from remanence import Memory
        with Memory({str(tmp_path / "shared.db")!r}) as memory:
            print(memory.search("boiler", user_id="ana")["results"][0]["memory"])
            memory.add("the door squeaks", user_id="ana")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "the boiler hums"
    assert memory.search("door", user_id="ana")["results"][0]["memory"] == "the door squeaks"


def test_threads_lose_nothing(memory: Memory) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(10):
                memory.add(f"thread {number} message {n}", user_id="ana", run_id=f"r{number}")
                found = memory.search(f"thread {number} message {n}", user_id="ana", limit=200)["results"]
                assert f"thread {number} message {n}" in {item["memory"] for item in found}
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert memory.stats(user_id="ana")["memories"] == 40


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "memory.db"
    memory = Memory(path)
    assert not path.parent.exists()
    memory.close()
    assert not path.parent.exists()


@pytest.mark.parametrize("verb", ["add", "search", "get_all", "stats"])
def test_closed_memories_say_so(make: Make, verb: str) -> None:
    memory = make()
    memory.add("x", user_id="ana")
    memory.close()
    memory.close()
    arguments = ("x",) if verb in ("add", "search") else ()
    with pytest.raises(StoreClosed):
        getattr(memory, verb)(*arguments, user_id="ana")


def test_a_store_that_was_handed_in_stays_open() -> None:
    store = MemoryStore()
    with Memory(store=store) as memory:
        memory.add("x", user_id="ana")
    assert len(Memory(store=store).get_all(user_id="ana")["results"]) == 1


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    for given, expected in (
        (folder, folder / "remanence.db"),
        (f"{tmp_path}/new/", tmp_path / "new" / "remanence.db"),
        (tmp_path / "a.db", tmp_path / "a.db"),
        (None, tmp_path / "remanence.db"),
    ):
        with Memory(given) as memory:
            memory.add("x", user_id="ana")
        assert expected.is_file()
    monkeypatch.setenv("REMANENCE_DIR", str(tmp_path / "elsewhere"))
    with Memory() as memory:
        memory.add("x", user_id="ana")
    assert (tmp_path / "elsewhere" / "remanence.db").is_file()


def test_a_reader_without_the_right_to_write_can_search(tmp_path: Path) -> None:
    import os

    with Memory(tmp_path / "memory.db") as memory:
        memory.add("the boiler hums", user_id="ana")
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "memory.db").chmod(0o444)
    with Memory(tmp_path / "memory.db") as memory:
        assert memory.search("boiler", user_id="ana")["results"]
