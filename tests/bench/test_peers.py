from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from remanence.bench import peers, speed_data
from remanence.bench.peers import Measured
from remanence.core.errors import MissingExtra, RemanenceError


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "QUERIES", 4)
        patch.setattr(peers, "SINGLE_ADDS", 3)
        return list(peers.run([60], ["remanence"]))


def test_this_library_is_measured_like_the_others(measured: list[Measured]) -> None:
    (one,) = measured
    assert (one.name, one.records) == ("remanence", 60)
    assert one.search.calls == 4
    assert one.add.calls == 3
    assert one.add_per_second > 0


def test_ratios_are_to_this_library_at_the_same_size(measured: list[Measured]) -> None:
    (ours,) = measured
    slow = replace(ours.search, p50=ours.search.p50 * 4)
    other = replace(ours, name="other", search=slow, add_per_second=ours.add_per_second / 2)
    lines = peers.render([ours, other, replace(other, records=7)]).splitlines()
    assert lines[2].endswith("| – |")
    assert lines[3].endswith("| 4.0×, 2.0×, 1.0× |")
    assert lines[4].endswith("| – |")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(peers, "installed", lambda: ["remanence"])
    with pytest.raises(MissingExtra, match="chroma is not installed"):
        list(peers.run([10], ["remanence", "chroma"]))
    assert peers.main(["--store", "lancedb"]) == 2
    assert "lancedb is not installed" in capsys.readouterr().err


def test_a_store_that_finds_nothing_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = peers.Remanence(tmp_path)
    monkeypatch.setattr(forgetful, "search", lambda query: 0)
    with pytest.raises(RemanenceError, match="found fewer turns"):
        peers._measure(forgetful, list(speed_data.turns(12)), 0)
    forgetful.close()
