"""Mechanisms as rankers: what their hits tell of, and what a reader who takes in so many tokens finds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remanence.bench import mechanisms, suite
from remanence.bench.baselines import Dense
from remanence.bench.datasets import Corpus, Dataset, Document
from remanence.bench.engine import NOW
from remanence.bench.mechanisms import MechanismRanker
from remanence.bench.runner import BUDGET, WITHIN_BUDGET, Unit, recall_within, run
from remanence.core.errors import InvalidInput
from remanence.stores.embedders import StaticEmbedder
from remanence.substrates.embedding import HashEmbedder
from remanence.substrates.records.mechanism import Hit
from tests.bench.samples import small


def test_the_dense_mechanism_ranks_as_the_dense_baseline_does() -> None:
    # The baseline scores with the vectors themselves, the mechanism with their bytes: orders agree, scores nearly.
    data, embedder = small(), StaticEmbedder()
    assert run(data, MechanismRanker("rag", embedder)).rankings == run(data, Dense(embedder)).rankings


@pytest.mark.parametrize("slug", mechanisms.slugs())
def test_every_mechanism_can_be_measured(slug: str) -> None:
    done = run(small(), MechanismRanker(slug, HashEmbedder()))
    assert len(done.rankings) == len(done.units) == 5
    for question, ranked, units in zip(small().questions, done.rankings, done.units, strict=True):
        known = {
            document.id for corpus in small().corpora if corpus.id == question.corpus for document in corpus.documents
        }
        assert set(ranked) <= known
        assert len(set(ranked)) == len(ranked)
        assert all(unit.tokens > 0 for unit in units)
    assert done.values("recall@20").mean() > 0.5
    assert done.tokens() > 0


def test_a_wide_unit_tells_of_what_it_still_says() -> None:
    ranker = MechanismRanker("rag", HashEmbedder())
    ranker._documents = {f"t{at}": f"d{at}" for at in range(12)}
    ranker._texts = {f"t{at}": f"Text number {at}." for at in range(12)}
    narrow = Hit("s", "a summary", 1.0, sources=tuple(f"t{at}" for at in range(8)))
    assert ranker._told_by(narrow) == tuple(f"d{at}" for at in range(8))
    wide = Hit("s", "It said: text number 11. And more.", 1.0, sources=tuple(f"t{at}" for at in range(12)))
    assert ranker._told_by(wide) == ("d11",)
    assert ranker._told_by(Hit("t3", "x", 1.0)) == ("d3",)
    assert ranker._told_by(Hit("x", "x", 1.0, sources=("elsewhere",))) == ()


def test_what_fits_into_the_budget_counts() -> None:
    units = [Unit(400, ("a",)), Unit(600, ("b", "c")), Unit(1, ("d",))]
    assert recall_within(units, {"a", "c"}) == 1.0
    assert recall_within(units, {"a", "d"}) == 0.5  # a thousand tokens are full after the second
    assert recall_within(units, {"a"}, budget=399) == 0.0
    assert recall_within([], {"a"}) == 0.0
    # A unit that does not fit ends the reading, or long ones could be passed over for free.
    assert recall_within([Unit(BUDGET + 1, ("a",)), Unit(1, ("b",))], {"b"}) == 0.0


def test_documents_cost_what_they_are_long() -> None:
    done = run(small(), Dense(HashEmbedder()))
    assert done.values(WITHIN_BUDGET).tolist() == done.values("recall@20").tolist()
    assert {unit.documents for unit in done.units[0]} == {("a",), ("b",), ("c",), ("d",)}
    assert done.tokens() == pytest.approx(sum(sum(unit.tokens for unit in units) for units in done.units) / 5)


def test_all_stands_for_everything() -> None:
    assert suite.chosen(["all"]) == suite.systems()
    assert suite.chosen(["recall", "bm25"]) == ("bm25", "recall")
    assert set(suite.systems()) == {*suite.BASELINES, *mechanisms.slugs()}
    assert len(set(suite.systems())) == len(suite.systems())
    with pytest.raises(InvalidInput, match=r"unknown systems \['magic'\]; choose from bm25"):
        suite.chosen(["bm25", "magic"])


def test_it_is_asked_after_it_was_built() -> None:
    with pytest.raises(RuntimeError, match="after build"):
        MechanismRanker("rag", HashEmbedder()).rank(small().questions[0], 3)
    assert datetime(2026, 1, 1, tzinfo=UTC) == NOW


def test_triples_that_come_with_the_data_make_a_system_of_their_own(tmp_path: Path) -> None:
    document = Document("d", "Ana lives in Oslo", title="Ana")
    data = Dataset("m", (Corpus("c", (document,)),), (), licence="none", notes="")
    assert list(mechanisms.variants("hippo_rag", data, tmp_path)) == ["hippo_rag"]
    rows = [
        {"passage": "Ana\nAna lives in Oslo", "extracted_entities": ["Ana"], "extracted_triples": [["a", "b", "c"]]}
    ]
    (tmp_path / "openie_musique_x.json").write_text(json.dumps({"docs": rows}))
    both = mechanisms.variants("hippo_rag", data, tmp_path)
    assert list(both) == ["hippo_rag", "hippo_rag+cached-openie"]
    assert both["hippo_rag"] == {}
    ranker = MechanismRanker("hippo_rag", HashEmbedder(), both["hippo_rag+cached-openie"], "hippo_rag+cached-openie")
    ranker.build(data.corpora[0])
    assert ranker.name == "hippo_rag+cached-openie"
    # Another mechanism takes no triples, and other documents were read by nobody.
    assert list(mechanisms.variants("rag", data, tmp_path)) == ["rag"]
    assert list(mechanisms.variants("hippo_rag", small(), tmp_path)) == ["hippo_rag"]
