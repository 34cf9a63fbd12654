from __future__ import annotations

from pathlib import Path

import pytest

from remanence.bench import results
from remanence.bench.__main__ import main
from tests.bench.test_datasets import chat, put


def test_baselines_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "locomo" / "locomo_any.json", [chat(), chat("conv-2")])
    arguments = ["baselines", "--data", str(tmp_path), "--set", "locomo", "--results", str(tmp_path / "results")]
    assert main(arguments) == 0
    written = results.read_all(tmp_path / "results")
    assert [one.system for one in written] == ["bm25", "bm25-stemmed", "dense", "rrf"]
    assert "### LoCoMo, evidence turns" in capsys.readouterr().out
    assert [one.embedder is None for one in written] == [True, True, False, False]
    for path in (tmp_path / "results").iterdir():
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_missing_data_is_an_error_with_a_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baselines", "--data", str(tmp_path), "--set", "locomo"]) == 2
    assert "REMANENCE_BENCH_DATA" in capsys.readouterr().err
