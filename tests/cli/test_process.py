"""The command as a process of its own: entry points, encodings, pipes, speed of `--help`, two processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import remanence
from tests.architecture.tree import PACKAGE

LIMIT_SECONDS = 0.250
RUNS = 50
ENVIRONMENT = {"PYTHONPATH": str(PACKAGE.parent), "PYTHONWARNINGS": "error", "REMANENCE_EMBEDDER": "hash"}


def start(*words: str, env: dict[str, str] | None = None, stdin: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "remanence", *words]
    given = {**os.environ, **ENVIRONMENT, **(env or {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=stdin, env=given)


def run(*words: str, env: dict[str, str] | None = None) -> tuple[int, bytes, bytes]:
    with start(*words, env=env, stdin=subprocess.DEVNULL) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_module_is_the_command() -> None:
    assert run("--version") == (0, f"remanence {remanence.__version__}\n".encode(), b"")


def test_help_is_quick_and_light() -> None:
    probe = (
        "import sys, time; start = time.perf_counter()\n"
        "from remanence.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(time.perf_counter() - start, *sys.modules)"
    )

    def seconds() -> float:
        out = subprocess.run(
            [sys.executable, "-c", probe], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True
        ).stdout
        passed, *modules = out.splitlines()[-1].split()
        assert not {"numpy", "rich", "simsimd", "sqlite3", "Stemmer"} & set(modules)
        return float(passed)

    # A busy machine makes it slower, nothing makes it faster than it is: the first quick one is enough.
    assert any(seconds() < LIMIT_SECONDS for _ in range(RUNS))


@pytest.mark.parametrize("encoding", ["ascii"])
def test_any_text_is_printed_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = "Grüße 你好 👋🏽 עברית \x1b[31mred"
    env = {"REMANENCE_DIR": str(tmp_path), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
    assert run("add", text, "--user", "ana", "--name", "Jürgen", env=env)[0] == 0
    for words in (("context", "Grüße"), ("search", "Grüße", "--explain")):
        code, out, _ = run(*words, "--user", "ana", env=env)
        assert code == 0
        assert b"\x1b[31m" not in out
    code, out, _ = run("list", "--user", "ana", "--json", env=env)
    assert json.loads(out.decode(encoding))["results"][0]["memory"] == text


def test_bytes_that_are_no_text_come_back(tmp_path: Path) -> None:
    env = {"REMANENCE_DIR": str(tmp_path), "PYTHONUTF8": "1"}
    command: list[str | bytes] = [sys.executable, "-m", "remanence", "add", b"caf\xe9 noir", "--user", "ana"]
    given = {**os.environ, **ENVIRONMENT, **env}
    assert subprocess.run(command, env=given, capture_output=True, check=False).returncode == 0
    assert run("search", "noir", "--user", "ana", env=env)[0] == 0
    _, out, _ = run("list", "--user", "ana", "--json", env=env)
    assert json.loads(out)["results"][0]["memory"] == "caf\udce9 noir"


def test_errors_go_to_standard_error(tmp_path: Path) -> None:
    code, out, err = run("search", "x", "--user", "ana", env={"REMANENCE_DIR": str(tmp_path)})
    assert (code, out) == (1, b"")
    assert err.startswith(b"error: there is no store")


def test_colours_are_for_terminals(tmp_path: Path) -> None:
    env = {"REMANENCE_DIR": str(tmp_path)}
    run("add", "hello", "--user", "ana", env=env)
    assert b"\x1b" not in run("list", "--user", "ana", env=env)[1]
    assert b"\x1b[1m" in run("list", "--user", "ana", env={**env, "FORCE_COLOR": "1", "TERM": "xterm"})[1]
    assert b"\x1b[3" not in run("list", "--user", "ana", env={**env, "FORCE_COLOR": "1", "NO_COLOR": "1"})[1]


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    env = {"REMANENCE_DIR": str(tmp_path)}
    with remanence.Memory(tmp_path, user_id="ana", embedder="hash") as memory:
        memory.add_many([f"word {number} " * 50 for number in range(500)])
    with start("list", "--all", "--json", "--user", "ana", env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    env = {"REMANENCE_DIR": str(tmp_path)}
    lines = [json.dumps({"role": "user", "content": f"line {number}"}) for number in range(1500)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    importing = start("import", str(tmp_path / "a.jsonl"), "--user", "ana", env=env)
    adding = start("add", "the cello", "--user", "ana", env=env)
    for process in (importing, adding):
        with process:
            assert process.wait(timeout=60) == 0
    _, out, _ = run("stats", "--user", "ana", "--json", env=env)
    assert json.loads(out)["memories"] == 1501
    assert b"the cello" in run("search", "cello", "--user", "ana", "-n1", env=env)[1]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where tests run in the background, a shell has interruptions ignored, also by what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_leaves_no_traceback(tmp_path: Path) -> None:
    env = {"REMANENCE_DIR": str(tmp_path)}
    with start("add", "-", "--user", "ana", env=env, stdin=subprocess.PIPE) as process:
        # More than a pipe holds: once it is written, the command is reading it.
        assert process.stdin is not None
        process.stdin.write(b"x" * 4_000_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
