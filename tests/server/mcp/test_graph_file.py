from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from remanence.core.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly
from remanence.server.mcp.graph import Entity, Graph
from remanence.server.mcp.graph_file import GraphFile
from remanence.server.mcp.lock import exclusive

WRITER = """
import sys
from pathlib import Path
from remanence.server.mcp.graph import Entity
from remanence.server.mcp.graph_file import GraphFile
file, who, count = GraphFile(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
file.change(lambda graph: graph.create_entities([Entity("shared", "thing", ())]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    file.change(lambda graph: graph.create_entities([Entity(f"{who}-{number}", "x" * 200, ("one",))]))
    file.change(lambda graph: graph.add_observations([("shared", [f"{who} saw {number}"])]))
    print(number, flush=True)
"""


def entity(name: str) -> Entity:
    return Entity(name, "thing", ())


def writer(path: Path, who: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), who, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    file = GraphFile(tmp_path / "folder" / "memory.jsonl")
    assert file.read().entities() == {}
    assert list(tmp_path.iterdir()) == []
    file.change(lambda graph: graph.create_entities([entity("a")]))
    assert list(file.read().entities()) == ["a"]
    assert os.stat(file.path).st_mode & 0o777 == 0o600


def test_two_processes_lose_no_write(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    count = 60
    processes = [writer(path, who, count) for who in ("left", "right")]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    entities = GraphFile(path).read().entities()
    wanted = {f"{who}-{number}" for who in ("left", "right") for number in range(count)}
    assert wanted <= entities.keys()
    said = {f"{who} saw {number}" for who in ("left", "right") for number in range(count)}
    assert set(entities["shared"].observations) == said


def test_without_the_lock_writes_would_be_lost(tmp_path: Path) -> None:
    """The plausible wrong variant: read, change, write, as the official server does."""
    path = tmp_path / "memory.jsonl"
    barrier = threading.Barrier(2)

    def careless(name: str) -> None:
        graph = Graph(path.read_bytes() if path.exists() else b"")
        barrier.wait()
        graph.create_entities([entity(name)])
        path.write_bytes(bytes(graph))

    threads = [threading.Thread(target=careless, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(GraphFile(path).read().entities()) == 1


def test_threads_of_one_process_lose_no_write(tmp_path: Path) -> None:
    file = GraphFile(tmp_path / "memory.jsonl")

    def add(name: str) -> None:
        file.change(lambda graph: graph.create_entities([entity(name)]))

    def work(who: int) -> None:
        for number in range(20):
            add(f"{who}-{number}")

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read().entities()) == 80


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX")
def test_a_writer_that_is_killed_leaves_a_whole_file_with_all_it_has_told(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    for attempt in range(3):
        process = writer(path, f"victim{attempt}", 10_000)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        told = [process.stdout.readline() for _ in range(5 + 3 * attempt)]
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        graph = GraphFile(path).read()
        assert graph.damaged == 0
        assert {f"victim{attempt}-{int(number)}" for number in told} <= graph.entities().keys()
    # The system has let go of the lock, and what the killed left beside the file is in nobody's way.
    GraphFile(path, timeout=1.0).change(lambda graph: graph.create_entities([entity("after")]))
    assert "after" in GraphFile(path).read().entities()


def test_a_change_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = GraphFile(tmp_path / "memory.jsonl")
    file.change(lambda graph: graph.create_entities([entity("a")]))
    before = file.path.read_bytes()

    def fail(graph: Graph) -> None:
        graph.create_entities([entity("b")])
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        file.change(fail)
    assert file.path.read_bytes() == before
    file.change(lambda graph: graph.create_entities([entity("c")]))


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = GraphFile(tmp_path / "memory.jsonl")
    file.change(lambda graph: graph.create_entities([entity("a")]))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull):
        file.change(lambda graph: graph.create_entities([entity("b")]))
    assert list(file.read().entities()) == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memory.jsonl", "memory.jsonl.lock"]


def test_a_writer_that_keeps_no_lock_is_not_overwritten(tmp_path: Path) -> None:
    file = GraphFile(tmp_path / "memory.jsonl")
    file.change(lambda graph: graph.create_entities([entity("a")]))
    interfered: list[bool] = []

    def work(graph: Graph) -> None:
        if not interfered:
            interfered.append(True)
            line = json.dumps({"type": "entity", "name": "theirs", "entityType": "x", "observations": []})
            with file.path.open("a") as other:
                other.write(line + "\n")
        graph.create_entities([entity("ours")])

    file.change(work)
    assert list(file.read().entities()) == ["a", "theirs", "ours"]


def test_a_change_of_the_same_size_is_seen(tmp_path: Path) -> None:
    file = GraphFile(tmp_path / "memory.jsonl")
    file.change(lambda graph: graph.create_entities([entity("a")]))
    stat = os.stat(file.path)
    assert list(file.read().entities()) == ["a"]
    file.path.write_bytes(file.path.read_bytes().replace(b'"a"', b'"b"'))
    os.utime(file.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert list(file.read().entities()) == ["b"]


def test_whoever_waits_too_long_is_told_so(tmp_path: Path) -> None:
    file = GraphFile(tmp_path / "memory.jsonl", timeout=0.05)
    with exclusive(tmp_path / "memory.jsonl.lock", 1.0), pytest.raises(StoreBusy, match="another writer"):
        file.change(lambda graph: graph.create_entities([entity("a")]))
    file.change(lambda graph: graph.create_entities([entity("a")]))


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path: Path) -> None:
    real = tmp_path / "real" / "graph.jsonl"
    real.parent.mkdir()
    real.write_bytes(b"")
    real.chmod(0o640)
    link = tmp_path / "memory.jsonl"
    link.symlink_to(real)
    GraphFile(link).change(lambda graph: graph.create_entities([entity("a")]))
    assert link.is_symlink()
    assert list(Graph(real.read_bytes()).entities()) == ["a"]
    assert os.stat(real).st_mode & 0o777 == 0o640


def test_a_folder_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        GraphFile(tmp_path).read()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, flags: int, mode: int = 0o777) -> int:
        raise PermissionError(13, "Permission denied")

    # By force: whoever runs the tests as root may write everywhere.
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreReadOnly, match="Permission denied"):
        GraphFile(tmp_path / "memory.jsonl").change(lambda graph: graph.create_entities([entity("a")]))
