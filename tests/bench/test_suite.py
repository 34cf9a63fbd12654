from __future__ import annotations

from pathlib import Path

import pytest

from remanence.bench import ablation, datasets, pages, results, suite
from remanence.bench.datasets import Dataset
from remanence.bench.results import Result
from remanence.core.errors import ImportFormatError, InvalidInput
from remanence.mechanisms.records.recall import CHANNELS
from remanence.substrates.embedding import HashEmbedder
from tests.architecture.tree import ROOT
from tests.bench.samples import small


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    one = small()
    monkeypatch.setattr(datasets, "load", lambda name, folder=None: one)
    return one


def test_all_systems_are_measured_and_written(data: Dataset, tmp_path: Path) -> None:
    seen: list[Result] = []
    found = suite.run_dataset("small", embedder=HashEmbedder(), out=tmp_path, report=seen.append)
    assert [one.system for one in found] == list(suite.SYSTEMS)
    assert seen == found
    assert [one.system for one in results.read_all(tmp_path)] == list(suite.SYSTEMS)
    ours = found[-1]
    assert set(ours.gains) == set(results.COMPARED)
    assert {gain.baseline for gain in ours.gains.values()} <= set(suite.SYSTEMS[:-1])
    assert ours.embedder == HashEmbedder().space.key
    assert ours.bytes_per_record.disk is not None
    assert ours.latency.calls == len(data.questions)


def test_the_order_of_systems_does_not_matter(data: Dataset) -> None:
    one = suite.run_dataset("small", systems=("recall", "bm25"), embedder=HashEmbedder())
    assert [result.system for result in one] == ["bm25", "recall"]
    alone = suite.run_dataset("small", systems=("recall",), embedder=HashEmbedder())
    assert [result.system for result in alone] == ["recall"]
    # The baselines that it is compared with are run, asked for or not.
    assert one[1].gains == alone[0].gains == suite.run_dataset("small", embedder=HashEmbedder())[-1].gains
    assert set(alone[0].gains) == set(results.COMPARED)


@pytest.mark.parametrize("systems", [(), ("bm25", "magic")])
def test_unknown_systems_are_refused(data: Dataset, systems: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="choose from bm25"):
        suite.run_dataset("small", systems=systems)


def test_several_data_sets_in_a_row(data: Dataset) -> None:
    found = suite.run_all(names=("locomo", "beam"), systems=("bm25",))
    assert [one.dataset for one in found] == ["small", "small"]


def test_what_was_learnt_on_is_said(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = HashEmbedder()
    folds = {"small": {"recall@5": 0.25}}
    learnt = {"embedder": embedder.space.key, "cross_validation": folds, "data": {"small": data.fingerprint()}}
    monkeypatch.setattr(suite, "shipped", lambda: learnt)
    assert suite.learning(data, embedder) == {"learnt_on": True, "cross_validated": {"recall@5": 0.25}}
    # Another embedder has no cross-validated figures; the weights were learnt on the questions all the same.
    assert suite.learning(data, HashEmbedder(8)) == {"learnt_on": True, "cross_validated": {}}
    with monkeypatch.context() as patch:
        patch.setattr(suite, "SAMPLED_CORPORA", 1)
        assert suite.learning(data, embedder) == {"learnt_on": True, "cross_validated": {}}
    learnt["data"] = {"small": "another half"}
    assert suite.learning(data, embedder) == {"learnt_on": False, "cross_validated": {}}
    del learnt["data"]
    assert suite.learning(data, embedder)["learnt_on"]
    learnt["cross_validation"] = {}
    assert not suite.learning(data, embedder)["learnt_on"]


def test_tables_show_both_figures_and_mark_the_honest_one(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = {"embedder": HashEmbedder().space.key, "cross_validation": {"small": {"recall@5": 0.125}}}
    monkeypatch.setattr(suite, "shipped", lambda: learnt)
    table = results.render(suite.run_dataset("small", systems=("bm25", "recall"), embedder=HashEmbedder()))
    (development,) = (
        line
        for line in table.splitlines()
        if line.startswith(("| `recall`, development | 0", "| `recall`, development | **"))
    )
    (held_out,) = (line for line in table.splitlines() if line.startswith("| `recall`, cross-validated"))
    assert held_out.split(" | ")[2] == "0.125"
    assert held_out.split(" | ")[1] == "–"
    assert "**" not in development.split(" | ")[2]
    assert "bytes per record in memory" in table


def test_shipped_weights_say_what_they_were_learnt_on() -> None:
    numbers = suite.shipped()
    # Besides the data sets, conversations and books that the project generates itself.
    learnt = {*datasets.names(generated=False), "dialogues", "books"}
    assert set(numbers["cross_validation"]) == set(numbers["data"]) == learnt
    assert {"recall@1", "recall@5", "recall@10"} <= set(numbers["cross_validation"]["locomo"])


def test_ablation_switches_channels_off(data: Dataset, tmp_path: Path) -> None:
    found = ablation.ablate(names=("small",), embedder=HashEmbedder())
    assert list(found["small"]) == list(ablation.variants())
    assert all(0 <= value <= 1 for one in found["small"].values() for value in one.values())
    assert {f"without {name}" for name in CHANNELS} < set(found["small"])
    ablation.save(found, tmp_path / "ablation.json")
    assert ablation.load(tmp_path / "ablation.json") == found
    assert ablation.render(found).count("\n") == len(ablation.variants()) + 2
    (tmp_path / "ablation.json").write_text("{}")
    with pytest.raises(ImportFormatError, match="run it again"):
        ablation.load(tmp_path / "ablation.json")


def test_groups_name_channels_that_exist() -> None:
    for channels in ablation.GROUPS.values():
        assert channels
        assert set(channels) <= set(CHANNELS)


def test_a_part_of_a_page_is_replaced(data: Dataset, tmp_path: Path) -> None:
    marks = "<!-- retrieval: made by python -m remanence.bench tables -->", "<!-- end of retrieval -->"
    page = f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n"
    suite.run_dataset("small", systems=("bm25",), out=tmp_path)
    filled = pages.fill(page, tmp_path)
    assert filled.startswith("before\n")
    assert filled.endswith("after\n")
    assert "### Small" in filled
    assert "old" not in filled
    assert pages.fill(filled, tmp_path) == filled
    with pytest.raises(InvalidInput, match="end of retrieval"):
        pages.fill("nothing", tmp_path)


def test_the_page_shows_the_committed_results() -> None:
    page = (ROOT / pages.PAGE).read_text(encoding="utf-8")
    assert pages.fill(page, ROOT / pages.RESULTS) == page, "run python -m remanence.bench tables"
