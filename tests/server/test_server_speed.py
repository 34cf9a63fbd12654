"""The measurement of the server runs, and counts what it says it counts."""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from remanence.bench import server_speed
from remanence.core.errors import RemanenceError
from tests.support.waiting import eventually

pytestmark = pytest.mark.loopback


def test_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMANENCE_BACKGROUND", "0")
    out = tmp_path / "server.json"
    words = ["--records", "200", "--calls", "48", "--clients", "4", "--workers", "1", "--pace", "50"]
    assert server_speed.main([*words, "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    for name in ("paced_search", "search", "add"):
        for side in ("rest", "direct"):
            way = found[name][side]
            assert way["per_second"] > 0
            assert way["ms"]["p50"] <= way["ms"]["p99"]
            assert way["ms"]["calls"] == 48
            assert way["cpu_ms"] is None or 0 < way["cpu_ms"] < 10_000
    assert found["paced_search"]["rest"]["per_second"] <= 4 * 50 * 1.5, "paced means paced"
    printed = capsys.readouterr().out
    assert "search, paced, REST" in printed
    assert server_speed.main(["--show", str(out)]) == 0
    assert capsys.readouterr().out == printed


def test_the_guide_shows_the_committed_measurement() -> None:
    root = Path(__file__).parents[2]
    table = server_speed.render(server_speed.load(root / "results" / "server.json"))
    assert table in (root / "docs" / "guides" / "server.md").read_text(encoding="utf-8")


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "server.json"
    path.write_text('{"schema": 1}')
    with pytest.raises(RemanenceError, match="measure again"):
        server_speed.load(path)


def test_nothing_is_waited_for_once_the_last_answer_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a wait would count as time that answers took: a second of it made a fast server look half as fast."""
    outstanding: list[bool] = []

    class Watched(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            outstanding.append(any(key.data.sent is not None for key in self.get_map().values()))
            return super().select(timeout)

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while connection.recv(1000):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    monkeypatch.setattr(selectors, "DefaultSelector", Watched)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=answer, args=(listening,))
        server.start()
        way = server_speed.through_rest(listening.getsockname(), [b"asked"] * 5, 1, None)
        server.join(10)
    assert way.ms.calls == 5
    assert outstanding
    assert all(outstanding)


def test_a_bad_answer_is_no_measurement(tmp_path: Path) -> None:
    with server_speed._server(tmp_path / "m.db", 1, 1) as (address, token, _):
        request = server_speed._request(address, "wrong", "/api/v1/search", {"query": "x"})
        with pytest.raises(RemanenceError, match="401"):
            server_speed.through_rest(address, [request], 1, None)
        assert token.startswith("rmk_")


def test_processor_time_is_that_of_a_process_and_all_below_it() -> None:
    # Far more than is waited for: each process of two loses the beginnings of ticks in the counts of the system.
    spin = "import time; n = time.process_time() + 0.6\nwhile time.process_time() < n: pass\n"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin + 'input()'!r}])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE) as process:
        try:
            if server_speed.cpu_seconds(process.pid) is None:
                pytest.skip("this system does not tell the processor time of other processes")
            eventually(lambda: (server_speed.cpu_seconds(process.pid) or 0) >= 0.3, "the child's time is not counted")
        finally:
            process.communicate(b"\n")
    assert server_speed.cpu_seconds(process.pid) is None, "a process that has ended has no time"
