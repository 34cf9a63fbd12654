"""The measurement of the server runs, and counts what it says it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remanence.bench import server_speed
from remanence.core.errors import RemanenceError

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
    assert found["paced_search"]["rest"]["per_second"] <= 4 * 50 * 1.5, "paced means paced"
    assert "search, paced, REST" in capsys.readouterr().out


def test_a_bad_answer_is_no_measurement(tmp_path: Path) -> None:
    with server_speed._server(tmp_path / "m.db", 1, 1) as (address, token):
        request = server_speed._request(address, "wrong", "/api/v1/search", {"query": "x"})
        with pytest.raises(RemanenceError, match="401"):
            server_speed.through_rest(address, [request], 1, None)
        assert token.startswith("rmk_")
