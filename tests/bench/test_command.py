from __future__ import annotations

from pathlib import Path

import pytest

from remanence.bench import results
from remanence.bench.__main__ import main
from tests.bench.test_datasets import chat, put


def test_systems_are_measured_printed_written_and_put_on_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "locomo" / "locomo_any.json", [chat(), chat("conv-2")])
    folder = tmp_path / "results"
    where = ["--data", str(tmp_path), "--set", "locomo", "--results", str(folder)]
    assert main(["retrieval", *where]) == 0
    written = results.read_all(folder)
    assert [one.system for one in written] == ["bm25", "bm25-stemmed", "dense", "rrf", "recall"]
    assert "### LoCoMo, evidence turns" in capsys.readouterr().out
    assert [one.embedder is None for one in written] == [True, True, False, False, False]
    assert main(["ablation", *where]) == 0
    assert "without all of words" in capsys.readouterr().out
    for path in folder.iterdir():
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    marks = "<!-- {}: made by python -m remanence.bench tables -->\n<!-- end of {} -->\n"
    page.write_text(marks.format("retrieval", "retrieval") + marks.format("ablation", "ablation"), encoding="utf-8")
    assert main(["tables", "--results", str(folder), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "### LoCoMo, evidence turns" in text
    assert "without all of words" in text


def test_one_system_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "locomo" / "locomo_any.json", [chat()])
    assert main(["retrieval", "--data", str(tmp_path), "--set", "locomo", "--system", "bm25"]) == 0
    printed = capsys.readouterr().out
    assert "`bm25`" in printed
    assert "`rrf`" not in printed


def test_missing_data_is_an_error_with_a_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrieval", "--data", str(tmp_path), "--set", "locomo"]) == 2
    assert "REMANENCE_BENCH_DATA" in capsys.readouterr().err


def test_a_size_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--sizes", "many"]) == 2
    assert "10k" in capsys.readouterr().err
