from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import pytest

from remanence.bench.datasets import Corpus, Dataset, Document, Question
from remanence.bench.engine import RecallRanker
from remanence.bench.runner import ASKED, run
from remanence.core.errors import EmbeddingError
from remanence.scenarios.dialogues import generate
from remanence.stores.embedders.static import StaticEmbedder
from remanence.substrates.embedding import HashEmbedder
from tests.bench.samples import small


def talk() -> Dataset:
    """Two generated conversations in the shape of a data set."""
    corpora, questions = [], []
    for seed in (1, 2):
        dialogue = generate(seed, sessions=4)
        corpora.append(
            Corpus(
                f"c{seed}",
                tuple(
                    Document(turn.id, turn.text, speaker=turn.speaker, session=turn.session, event_at=turn.at)
                    for turn in dialogue.turns
                ),
            )
        )
        questions += [
            Question(f"{seed}/{one.id}", f"c{seed}", one.text, frozenset(one.gold), one.category, now=one.now)
            for one in dialogue.questions
        ]
    return Dataset("talk", tuple(corpora), tuple(questions), licence="none", notes="Made up.", title="Talk")


def test_a_store_on_disk_ranks_like_one_in_memory() -> None:
    data = talk()
    with RecallRanker(StaticEmbedder()) as disk, RecallRanker(StaticEmbedder(), disk=False) as memory:
        on_disk, in_memory = run(data, disk), run(data, memory)
        assert on_disk.rankings == in_memory.rankings
        assert all(len(ranking) == ASKED for ranking in on_disk.rankings)
        here, there = disk.footprint(), memory.footprint()
    assert here.memory == pytest.approx(there.memory, rel=0.2)
    assert here.disk is not None
    assert 500 < here.disk < 8000
    assert there.disk is None


def test_each_corpus_is_a_memory_of_its_own() -> None:
    with RecallRanker(HashEmbedder()) as ranker:
        done = run(small(), ranker)
    for question, ranking in zip(done.dataset.questions, done.rankings, strict=True):
        own = {
            document.id
            for corpus in done.dataset.corpora
            if corpus.id == question.corpus
            for document in corpus.documents
        }
        assert set(ranking) == own
        assert len(ranking) == len(own)


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ranker = RecallRanker(HashEmbedder())
    ranker.build(small().corpora[0])
    assert list(tmp_path.iterdir())
    ranker.build(small().corpora[1])
    assert len(list(tmp_path.iterdir())) == 1
    ranker.close()
    ranker.close()
    gc.collect()
    assert not list(tmp_path.iterdir())


class Model(HashEmbedder):
    """An embedder that must not run while writing."""

    calls = 0

    @property
    def inline(self) -> bool:
        return False


def test_a_model_embeds_after_writing_and_ranks_alike() -> None:
    with RecallRanker(Model()) as late, RecallRanker(HashEmbedder()) as inline:
        assert run(small(), late).rankings == run(small(), inline).rankings


def test_failures_of_the_embedder_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EmbeddingError("no model today")

    monkeypatch.setattr(Model, "embed", fail)
    with RecallRanker(Model()) as ranker, pytest.raises(EmbeddingError, match="no model today"):
        ranker.build(small().corpora[0])
