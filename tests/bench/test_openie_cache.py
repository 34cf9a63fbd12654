"""Cached triples as an extractor."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remanence.bench.datasets import DatasetMissing
from remanence.bench.openie_cache import CachedOpenIE
from remanence.core.errors import ImportFormatError, NotFound
from remanence.kernels.openie import Extraction
from remanence.mechanisms.records.hippo_rag import HippoRag
from remanence.substrates.records.mechanism import Item

ROWS = [
    {
        "title": "Oslo",
        "text": "Oslo lies in Norway.",
        "passage": "Oslo\nOslo lies in Norway.",
        "extracted_entities": ["Oslo", "Norway"],
        "extracted_triples": [["Oslo", "lies in", "Norway"], ["Oslo", "is nice"], ["a", "b", "c", "d"]],
    }
]
NAME = "openie_musique_train_results_ner_tiny_1.json"


def put(folder: Path, content: object) -> Path:
    (folder / "hipporag").mkdir(exist_ok=True)
    path = folder / "hipporag" / NAME
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("direct", [False, True])
def test_a_passage_has_the_triples_of_the_file(tmp_path: Path, direct: bool) -> None:
    path = put(tmp_path, {"docs": ROWS})
    cache = CachedOpenIE(path if direct else tmp_path)
    assert len(cache) == 0
    assert cache([]) == []
    assert cache(["Oslo\nOslo lies in Norway."]) == [Extraction(("Oslo", "Norway"), (("Oslo", "lies in", "Norway"),))]
    assert len(cache) == 1


def test_a_mechanism_reads_by_it(tmp_path: Path) -> None:
    put(tmp_path, {"docs": ROWS})
    memory = HippoRag(openie=CachedOpenIE(tmp_path))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    memory.write([Item(str(ROWS[0]["passage"]))], now=now)
    assert set(memory.phrases(now).number) == {"oslo", "norway"}


def test_an_unknown_passage_is_not_passed_over(tmp_path: Path) -> None:
    put(tmp_path, {"docs": ROWS})
    with pytest.raises(NotFound, match="Bergen is wet"):
        CachedOpenIE(tmp_path)(["Bergen\nBergen is wet."])


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetMissing, match="openie_musique"):
        CachedOpenIE(tmp_path)(["x"])
    monkeypatch.delenv("REMANENCE_BENCH_DATA", raising=False)
    with pytest.raises(DatasetMissing, match="REMANENCE_BENCH_DATA"):
        CachedOpenIE()(["x"])


@pytest.mark.parametrize("content", [[], {"docs": [{"passage": "x"}]}, {"docs": [7]}, {"documents": []}])
def test_another_file_is_refused(tmp_path: Path, content: object) -> None:
    put(tmp_path, content)
    with pytest.raises(ImportFormatError, match="no file of cached triples"):
        CachedOpenIE(tmp_path)(["x"])
