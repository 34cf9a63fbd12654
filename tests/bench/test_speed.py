from __future__ import annotations

import json
from pathlib import Path

import pytest

from remanence.bench import speed
from remanence.core.errors import ImportFormatError, InvalidInput


@pytest.fixture(scope="module")
def measured() -> speed.Speed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "QUERIES", 8)
        patch.setattr(speed, "SINGLE_ADDS", 5)
        patch.setattr(speed, "PER_SCOPE", 40)
        patch.setattr(speed, "_OPENINGS", 1)
        patch.setattr(speed, "_SAMPLED_SCOPES", 3)
        patch.setattr(speed, "_WARM", 10)
        lines: list[str] = []
        found = speed.run([150], scopes=6, report=lines.append)
        assert lines[0] == "150 records in one memory"
        return found


def test_every_figure_is_there(measured: speed.Speed) -> None:
    (one,) = measured.one_scope
    assert one.records == 150
    assert one.add_per_second > 10
    assert min(one.split.analyse, one.split.embed, one.split.commit) > 0
    assert one.search.calls == 8
    assert one.single_add.calls == one.fsync.calls == one.after_add.calls == 5
    assert one.append_bytes > 1000
    assert one.opening.total_ms >= one.opening.first_query_ms > 0
    assert one.scan.bytes == 150 * 256
    assert one.scan.factor == pytest.approx(one.scan.ms / one.scan.floor_ms)
    assert 300 < one.index_bytes < 5000
    assert 500 < one.disk_bytes < 20_000
    many = measured.many_scopes
    assert many is not None
    assert (many.scopes, many.records, many.cold.calls, many.warm.calls) == (6, 240, 3, 12)


def test_a_run_survives_its_file(measured: speed.Speed, tmp_path: Path) -> None:
    path = tmp_path / "results" / "speed.json"
    speed.save(measured, path)
    again = speed.load(path)
    assert again.hardware == measured.hardware
    assert again.one_scope[0].search.p50 == pytest.approx(measured.one_scope[0].search.p50, abs=1e-5)
    speed.save(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert speed.render(speed.load(tmp_path / "again.json")) == speed.render(again)


def test_the_table_puts_figures_beside_their_floors(measured: speed.Speed) -> None:
    table = speed.render(measured)
    assert "| records in one memory | 150 |" in table
    assert "append + `fsync` of as many bytes" in table
    assert "6 memories of 40 records in one file" in table
    for line in table.splitlines():
        assert line.count("|") in (0, 3)


@pytest.mark.parametrize("content", ["no json", "[]", '{"schema": 99}', '{"schema": 1, "version": "x"}'])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text(content)
    with pytest.raises(ImportFormatError, match="measure again"):
        speed.load(path)


def test_a_missing_key_is_refused(measured: speed.Speed, tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    speed.save(measured, path)
    data = json.loads(path.read_text())
    del data["one_scope"][0]["scan"]
    path.write_text(json.dumps(data))
    with pytest.raises(ImportFormatError, match="scan"):
        speed.load(path)


def test_sizes_are_read_as_people_write_them() -> None:
    assert [speed.size_of(text) for text in ("1", "500", "10k", "1M")] == [1, 500, 10_000, 1_000_000]
    for text in ("", "k", "1.5k", "-1", "10g", "ten"):
        with pytest.raises(InvalidInput, match="10k"):
            speed.size_of(text)


def test_an_empty_memory_is_not_measured() -> None:
    with pytest.raises(InvalidInput, match="at least one record"):
        speed.run([0], scopes=0)
